"""The bank that is learned from nothing: a matrix on each side."""

from __future__ import annotations

import torch
from torch import nn

from lib.filterbanks.base import Filterbank

__all__ = ["FreeFilterbank"]


class FreeFilterbank(Filterbank):
    """Every tap of every filter is a parameter, of the encoder and of the decoder.

    Source: Luo and Mesgarani, "TasNet", ICASSP 2018, arXiv:1711.00541, section 2.2.

    Args:
        filters: N, the number of basis signals.
        kernel_size: L, samples of a frame.
        stride: samples between frames; half of ``kernel_size`` if not given.
        rectified: set what is below zero in the encoder's features to zero.

    Example:
        >>> bank = FreeFilterbank(filters=32, kernel_size=16)
        >>> features = bank(torch.randn(1, 1, 800))
        >>> features.shape, bank.inverse(features, 800).shape
        (torch.Size([1, 32, 101]), torch.Size([1, 1, 800]))
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int | None = None,
        rectified: bool = False,
    ):
        super().__init__(filters, kernel_size, stride, rectified)
        bound = kernel_size**-0.5  # as nn.Conv1d draws them
        self.encoder_filters = nn.Parameter(
            torch.empty(filters, 1, kernel_size).uniform_(-bound, bound)
        )
        bound = filters**-0.5
        self.decoder_filters = nn.Parameter(
            torch.empty(filters, 1, kernel_size).uniform_(-bound, bound)
        )

    def analysis(self) -> torch.Tensor:
        """The filters of the encoder ``(filters, 1, kernel_size)``."""
        return self.encoder_filters

    def synthesis(self) -> torch.Tensor:
        """The filters of the decoder ``(filters, 1, kernel_size)``."""
        return self.decoder_filters
