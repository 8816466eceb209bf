"""The bank that is not learned at all: cosines and sines under a window."""

from __future__ import annotations

import math

import torch

from lib.errors import InputError
from lib.filterbanks.base import Filterbank

__all__ = ["STFTFilterbank"]


class STFTFilterbank(Filterbank):
    """The short-time Fourier transform as real filters, with its least-squares inverse.

    The real parts of frequencies 0 to N/2 come first, then the imaginary parts of 1 to N/2 - 1
    (those of 0 and N/2 are zero). Frames stand in the middle of N samples, zeros around them. The
    window is half a period of a sine. The decoder gives the signal back exactly; with frames that
    overlap by half it has the filters of the encoder.

    Args:
        filters: N, even, at least ``kernel_size``: also the length of the Fourier transform.
        kernel_size: L, samples of a frame.
        stride: samples between frames; half of ``kernel_size`` if not given.
        rectified: set what is below zero in the encoder's features to zero.

    Raises:
        InputError: for sizes that cannot be.

    Source: the inverse of Griffin and Lim, "Signal estimation from modified short-time Fourier
    transform", IEEE TASSP 32(2), 1984, eq. 6.

    Example:
        >>> bank, waveform = STFTFilterbank(filters=32, kernel_size=16), torch.randn(1, 1, 800)
        >>> bool((bank.inverse(bank(waveform), 800) - waveform).abs().max() < 1e-5)
        True
    """

    analysis_filters: torch.Tensor
    synthesis_filters: torch.Tensor

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int | None = None,
        rectified: bool = False,
    ):
        super().__init__(filters, kernel_size, stride, rectified)
        if filters % 2 or filters < kernel_size:
            raise InputError(
                f"filters: expected an even number from kernel_size={kernel_size} for an STFT, "
                f"got {filters}"
            )
        times = torch.arange(kernel_size, dtype=torch.float64)
        window = torch.sin(math.pi * (times + 0.5) / kernel_size)
        # what a sample gets from all frames that it lies in
        firsts = [tap % self.stride for tap in range(kernel_size)]
        power = torch.stack([window[first :: self.stride].square().sum() for first in firsts])
        waves = self._waves(times)
        # default type as for parameters; the checkpoint needs no copy of a formula
        dtype = torch.get_default_dtype()
        self.register_buffer("analysis_filters", (waves * window).to(dtype), persistent=False)
        synthesis = (waves * window / power).to(dtype)
        self.register_buffer("synthesis_filters", synthesis, persistent=False)

    def _waves(self, times: torch.Tensor) -> torch.Tensor:
        """Rows of the orthonormal real Fourier transform (N, 1, L)."""
        times = times + (self.filters - self.kernel_size) // 2
        half = self.filters // 2
        frequencies = torch.arange(half + 1, dtype=torch.float64)
        phases = 2 * math.pi * frequencies[:, None] * times / self.filters  # (N/2 + 1, L)
        real, imaginary = phases.cos(), -phases[1:half].sin()
        real[[0, half]] /= math.sqrt(2)  # they have no other half
        return torch.cat([real, imaginary])[:, None] * math.sqrt(2 / self.filters)

    def analysis(self) -> torch.Tensor:
        """The filters of the encoder ``(filters, 1, kernel_size)``."""
        return self.analysis_filters

    def synthesis(self) -> torch.Tensor:
        """The filters of the decoder ``(filters, 1, kernel_size)``."""
        return self.synthesis_filters
