"""What every bank of filters between waveforms and features does: frames, padding, inverse."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError

__all__ = ["Filterbank"]

Memory = dict  # see lib.nn.norms


class Filterbank(nn.Module):
    """Correlate frames of a waveform with filters; the inverse overlaps and adds.

    A bank defines :meth:`analysis` and :meth:`synthesis`. The signal is surrounded by
    ``kernel_size - stride`` zeros, so that each sample lies in equally many frames, and by as many
    more behind it as the last frame needs.

    Args:
        filters: rows of the bank: features of a frame.
        kernel_size: samples of a frame.
        stride: samples between frames, 1 to ``kernel_size``; half of ``kernel_size`` if not given.

    Raises:
        InputError: for sizes that cannot be.
    """

    def __init__(self, filters: int, kernel_size: int, stride: int | None = None):
        super().__init__()
        stride = max(1, kernel_size // 2) if stride is None else stride
        if filters < 1 or not 1 <= stride <= kernel_size:
            raise InputError(
                "filters, kernel_size, stride: expected at least one filter and a stride from 1 "
                f"to kernel_size, got {filters}, {kernel_size}, {stride}"
            )
        self.filters, self.kernel_size, self.stride = filters, kernel_size, stride

    def analysis(self) -> torch.Tensor:
        """The filters of the encoder ``(filters, 1, kernel_size)``."""
        raise NotImplementedError

    def synthesis(self) -> torch.Tensor:
        """The filters of the decoder ``(filters, 1, kernel_size)``."""
        raise NotImplementedError

    def frames(self, length: int) -> int:
        """How many frames a signal of ``length`` samples has.

        Args:
            length: samples.
        """
        return math.ceil((length + self.kernel_size - self.stride) / self.stride)

    def padding(self, length: int) -> tuple[int, int]:
        """How many zeros stand before and behind a signal of ``length`` samples.

        Args:
            length: samples.
        """
        before = self.kernel_size - self.stride
        covered = (self.frames(length) - 1) * self.stride + self.kernel_size
        return before, covered - before - length

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Encode.

        Args:
            waveform: ``(batch, 1, time)``.

        Returns:
            features ``(batch, filters, frames)``.
        """
        padded = functional.pad(waveform, self.padding(waveform.shape[-1]))
        return self.encode_frames(padded)

    def encode_frames(self, waveform: torch.Tensor) -> torch.Tensor:
        """Encode the frames that lie inside of a waveform (B, 1, T), without padding."""
        return functional.conv1d(waveform, self.analysis(), stride=self.stride)

    def inverse(self, features: torch.Tensor, length: int) -> torch.Tensor:
        """Decode.

        Args:
            features: ``(..., filters, frames)``.
            length: samples of the result.

        Returns:
            ``(..., 1, length)``.
        """
        before, _ = self.padding(length)
        return self.decode_frames(features)[..., before : before + length]

    def decode_frames(self, features: torch.Tensor) -> torch.Tensor:
        """Overlap and add all frames of features (..., N, K), padding included: (..., 1, T')."""
        waveforms = functional.conv_transpose1d(
            features.flatten(0, -3), self.synthesis(), stride=self.stride
        )
        return waveforms.unflatten(0, features.shape[:-2])
