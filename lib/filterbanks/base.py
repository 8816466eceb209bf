"""What every bank of filters between waveforms and features does: frames, padding, inverse."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.framing import Memory, add_tail, take_frames

__all__ = ["Filterbank", "pseudo_inverse"]


def pseudo_inverse(
    filters: torch.Tensor, stride: int, tolerance: float | None = None
) -> torch.Tensor:
    """The decoder that undoes an encoder: the pseudo-inverse of its matrix, frame by frame.

    A sample lies in several frames, each of which gives it back: their mean is what counts.
    Reconstruction is exact where the filters span the frame, which takes at least ``kernel_size``
    of them. With fewer, a frame gives back what it has in their span.

    Args:
        filters: of the encoder, ``(filters, 1, kernel_size)``.
        stride: samples between frames.
        tolerance: singular values below this part of the largest count as zero, so that errors of
            features are not amplified by more than its inverse; not given: what rounding asks for.

    Returns:
        filters of the decoder ``(filters, 1, kernel_size)``.

    Example:
        >>> filters = torch.randn(40, 1, 16, dtype=torch.float64)
        >>> waveform = torch.randn(1, 1, 160, dtype=torch.float64)
        >>> features = functional.conv1d(waveform, filters, stride=8)
        >>> again = functional.conv_transpose1d(features, pseudo_inverse(filters, 8), stride=8)
        >>> bool((again - waveform)[..., 8:-8].abs().max() < 1e-8)  # away from the ends
        True
    """
    taps = torch.arange(filters.shape[-1], device=filters.device)
    # tap t meets a sample in the frames t, t - S, t + S ... samples after their first
    frames = taps % stride + stride * torch.arange(len(taps), device=taps.device)[:, None]
    frames = (frames < len(taps)).sum(0)
    return torch.linalg.pinv(filters[:, 0], rtol=tolerance).T[:, None] / frames


class Filterbank(nn.Module):
    """Correlate frames of a waveform with filters; the inverse overlaps and adds.

    A bank defines :meth:`analysis` and :meth:`synthesis`. The signal is surrounded by
    ``kernel_size - stride`` zeros, so that each sample lies in equally many frames, and by as many
    more behind it as the last frame needs.

    With a ``memory``, both directions go on where the piece before ended (see
    :class:`lib.separate.Streamer`).

    Args:
        filters: rows of the bank: features of a frame.
        kernel_size: samples of a frame.
        stride: samples between frames, 1 to ``kernel_size``; half of ``kernel_size`` if not given.
        rectified: set what is below zero in the encoder's features to zero.

    Raises:
        InputError: for sizes that cannot be.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int | None = None,
        rectified: bool = False,
    ):
        super().__init__()
        stride = max(1, kernel_size // 2) if stride is None else stride
        sizes = (filters, kernel_size, stride)
        whole = all(isinstance(size, int) for size in sizes)
        if not whole or filters < 1 or not 1 <= stride <= kernel_size:
            raise InputError(
                "filters, kernel_size, stride: expected at least one filter and a stride from 1 "
                f"to kernel_size, got {filters}, {kernel_size}, {stride}"
            )
        self.filters, self.kernel_size, self.stride = sizes
        self.rectified = rectified

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

    def forward(self, waveform: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Encode.

        Args:
            waveform: ``(batch, 1, time)``.
            memory: of a stream.

        Returns:
            features ``(batch, filters, frames)``; of a stream, those of the frames that the
            waveform completes, if any.
        """
        if memory is None:
            padded = functional.pad(waveform, self.padding(waveform.shape[-1]))
            return self.encode_frames(padded)
        waiting = memory.get(self)
        if waiting is None:
            waiting = waveform.new_zeros(*waveform.shape[:-1], self.kernel_size - self.stride)
        frames, memory[self] = take_frames(waiting, waveform, self.kernel_size, self.stride)
        if frames.shape[-1] == 0:
            return waveform.new_empty(len(waveform), self.filters, 0)
        return self.encode_frames(frames)

    def flush(self, memory: Memory) -> torch.Tensor:
        """Encode the frames that reach over the end of a stream: (B, N, frames)."""
        waiting = memory[self]
        samples = waiting.shape[-1]
        frames = math.ceil(samples / self.stride)
        missing = (frames - 1) * self.stride + self.kernel_size - samples
        return self(waiting.new_zeros(*waiting.shape[:-1], missing), memory)

    def encode_frames(self, waveform: torch.Tensor) -> torch.Tensor:
        """Encode the frames that lie inside of a waveform (B, 1, T), without padding."""
        features = functional.conv1d(waveform, self.analysis(), stride=self.stride)
        return features.relu() if self.rectified else features

    def inverse(
        self, features: torch.Tensor, length: int | None, memory: Memory | None = None
    ) -> torch.Tensor:
        """Decode.

        Args:
            features: ``(..., filters, frames)``.
            length: samples of the result. Of a stream, None before its end, then what is left.
            memory: of a stream.

        Returns:
            ``(..., 1, length)``; of a stream before its end, the samples that no later frame adds
            to.
        """
        before = self.kernel_size - self.stride
        sums = self.decode_frames(features)
        if memory is None:
            return sums[..., before : before + length]
        # what stands before the signal is skipped, which may take several pieces
        tail, skip = memory.get((self, "inverse"), (None, before))
        ready, tail = add_tail(sums, tail, before)
        memory[self, "inverse"] = tail, max(0, skip - ready.shape[-1])
        return ready[..., skip:][..., :length]

    def decode_frames(self, features: torch.Tensor) -> torch.Tensor:
        """Overlap and add all frames of features (..., N, K), padding included: (..., 1, T')."""
        waveforms = functional.conv_transpose1d(
            features.flatten(0, -3), self.synthesis(), stride=self.stride
        )
        return waveforms.unflatten(0, features.shape[:-2])
