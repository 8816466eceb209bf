"""The bank that is learned in pairs: one filter, and the same turned by 90 degrees."""

from __future__ import annotations

import torch
from torch import nn

from lib.errors import InputError
from lib.filterbanks.base import Filterbank

__all__ = ["AnalyticFree"]


def _with_hilbert(filters: torch.Tensor) -> torch.Tensor:
    """Append the Hilbert transforms of filters (N/2, 1, L): (N, 1, L)."""
    spectrum = torch.fft.rfft(filters)
    turned = torch.fft.irfft(-1j * spectrum, filters.shape[-1])
    return torch.cat([filters, turned])


class AnalyticFree(Filterbank):
    """Half of the filters are free, the others are their Hilbert transforms.

    A pair is the real and the imaginary part of an analytic filter: the sum of their squares
    follows the level of a tone and does not depend on its phase. The decoder is learned, with pairs
    of its own.

    Args:
        filters: N, even.
        kernel_size: L, samples of a frame.
        stride: samples between frames; half of ``kernel_size`` if not given.
        rectified: set what is below zero in the encoder's features to zero.

    Raises:
        InputError: for sizes that cannot be.

    Source: Pariente, Cornell, Deleforge and Vincent, "Filterbank design for end-to-end speech
    separation", ICASSP 2020, arXiv:1910.10400.

    Example:
        >>> bank = AnalyticFree(filters=32, kernel_size=16)
        >>> bank(torch.randn(1, 1, 800)).shape
        torch.Size([1, 32, 101])
        >>> sum(weights.numel() for weights in bank.parameters())  # half of a free bank's
        512
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int | None = None,
        rectified: bool = False,
    ):
        super().__init__(filters, kernel_size, stride, rectified)
        if filters % 2:
            raise InputError(f"filters: expected an even number, in pairs, got {filters}")
        half = torch.empty(filters // 2, 1, kernel_size)
        # as the free bank draws them
        self.encoder_filters = nn.Parameter(half.clone().uniform_(-1, 1) * kernel_size**-0.5)
        self.decoder_filters = nn.Parameter(half.clone().uniform_(-1, 1) * filters**-0.5)

    def analysis(self) -> torch.Tensor:
        """The filters of the encoder ``(filters, 1, kernel_size)``."""
        return _with_hilbert(self.encoder_filters)

    def synthesis(self) -> torch.Tensor:
        """The filters of the decoder ``(filters, 1, kernel_size)``."""
        return _with_hilbert(self.decoder_filters)
