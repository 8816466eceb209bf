"""The bank of the first TasNets: features that are never negative, behind a gate."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from lib.filterbanks.free import FreeFilterbank

__all__ = ["GatedFilterbank"]


class GatedFilterbank(FreeFilterbank):
    """A free bank, rectified, times a second one through a sigmoid; the decoder is linear.

    The gate of the 2018 paper sees frames of unit norm, and the decoder puts the norms back. Here
    the features keep the level of their frames. Masking and decoding are linear, so the waveforms
    are the same, as long as the masker does not mind the level of a frame.

    Source: Luo and Mesgarani, "TasNet", ICASSP 2018, arXiv:1711.00541, section 2.2.

    Args:
        filters: N, the number of basis signals.
        kernel_size: L, samples of a frame.
        stride: samples between frames; half of ``kernel_size`` if not given.
        normalised: gate by frames of unit norm, so that features follow the level of a frame.

    Example:
        >>> bank, waveform = GatedFilterbank(32, 40, stride=40), torch.randn(1, 1, 800)
        >>> features = bank(waveform)
        >>> features.shape, bool((features >= 0).all())
        (torch.Size([1, 32, 20]), True)
        >>> torch.allclose(bank(3 * waveform), 3 * features, atol=1e-5)
        True
    """

    def __init__(
        self, filters: int, kernel_size: int, stride: int | None = None, normalised: bool = True
    ):
        super().__init__(filters, kernel_size, stride, rectified=True)
        self.normalised = normalised
        self.gate_filters = nn.Parameter(
            torch.empty(filters, 1, kernel_size).uniform_(-(kernel_size**-0.5), kernel_size**-0.5)
        )

    def encode_frames(self, waveform: torch.Tensor) -> torch.Tensor:
        """Encode the frames that lie inside of a waveform (B, 1, T), without padding."""
        gate = functional.conv1d(waveform, self.gate_filters, stride=self.stride)  # (B, N, K)
        if self.normalised:
            frames = waveform.unfold(-1, self.kernel_size, self.stride)  # (B, 1, K, L)
            gate = gate / frames.norm(dim=-1).clamp_min(1e-12)  # the gate of silence is 1 / 2
        return super().encode_frames(waveform) * gate.sigmoid()
