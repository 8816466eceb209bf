"""The bank of which two edges per band are learned."""

from __future__ import annotations

import math

import torch
from torch import nn

from lib.errors import InputError
from lib.filterbanks.base import Filterbank

__all__ = ["SincFilterbank"]

LOWEST = 30.0  # Hz, where the first band begins
LEAST = 50.0  # Hz, added to lower edges and to widths, so that no band vanishes


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


class _Bands(nn.Module):
    """Band-pass filters in pairs of a cosine and a sine.

    The average of all cosines of a band is ``sinc(width * t) cos(2 pi centre t)``, that of all
    sines ``sinc(width * t) sin(2 pi centre t)``: the two parts of an analytic filter.

    Args:
        bands: how many.
        kernel_size: taps.
        sample_rate: Hz.
    """

    window: torch.Tensor

    def __init__(self, bands: int, kernel_size: int, sample_rate: int):
        super().__init__()
        self.least = LEAST / sample_rate
        top = sample_rate / 2 - 2 * LEAST
        mels = torch.linspace(_mel(LOWEST), _mel(top), bands + 1, dtype=torch.float64)
        edges = 700 * (10 ** (mels / 2595) - 1) / sample_rate  # equally wide on the mel scale
        dtype = torch.get_default_dtype()
        # in cycles per sample: in Hz, an optimiser whose steps are 0.001 would never move them
        self.low = nn.Parameter(edges[:-1].to(dtype))
        self.width = nn.Parameter(edges.diff().to(dtype))
        window = torch.signal.windows.hamming(kernel_size, dtype=dtype)
        self.register_buffer("window", window, persistent=False)

    def edges(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Lower and upper edges of the bands, in cycles per sample."""
        low = self.least + self.low.abs()
        return low, (low + self.least + self.width.abs()).clamp(self.least, 0.5)

    def forward(self) -> torch.Tensor:
        """The filters ``(2 * bands, 1, kernel_size)``: cosines, then sines."""
        low, high = self.edges()
        taps = len(self.window)
        times = torch.arange(taps, device=low.device, dtype=low.dtype) - (taps - 1) / 2
        envelopes = torch.sinc((high - low)[:, None] * times) * self.window
        phases = math.pi * (low + high)[:, None] * times
        return torch.cat([envelopes * phases.cos(), envelopes * phases.sin()])[:, None]


class SincFilterbank(Filterbank):
    """Band-pass filters whose edges are the only parameters, as pairs of cosine and sine.

    The decoder is learned: it has bands of its own, which start as those of the encoder. It does
    not reconstruct exactly; a constant makes it as loud as the signal before training.

    Args:
        filters: N, even: two for each band.
        kernel_size: L, samples of a frame; even or odd.
        stride: samples between frames; half of ``kernel_size`` if not given.
        rectified: set what is below zero in the encoder's features to zero.
        sample_rate: Hz; the bands lie equally on the mel scale before training.

    Raises:
        InputError: for sizes that cannot be.

    Source: Ravanelli and Bengio, "Speaker recognition from raw waveform with SincNet", SLT 2018,
    arXiv:1808.00158, eq. 4 to 8; the sines from Pariente, Cornell, Deleforge and Vincent,
    "Filterbank design for end-to-end speech separation", ICASSP 2020, arXiv:1910.10400.

    Example:
        >>> bank = SincFilterbank(filters=32, kernel_size=16)
        >>> bank(torch.randn(1, 1, 800)).shape
        torch.Size([1, 32, 101])
        >>> sum(weights.numel() for weights in bank.parameters())  # 2 edges, 16 bands, both ways
        64
    """

    gain: torch.Tensor

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int | None = None,
        rectified: bool = False,
        sample_rate: int = 8000,
    ):
        super().__init__(filters, kernel_size, stride, rectified)
        if filters % 2:
            raise InputError(f"filters: expected an even number, two for a band, got {filters}")
        self.encoder_bands = _Bands(filters // 2, kernel_size, sample_rate)
        self.decoder_bands = _Bands(filters // 2, kernel_size, sample_rate)
        gain = self.stride / self.analysis().detach().square().sum()
        self.register_buffer("gain", gain, persistent=False)

    def analysis(self) -> torch.Tensor:
        """The filters of the encoder ``(filters, 1, kernel_size)``."""
        return self.encoder_bands()

    def synthesis(self) -> torch.Tensor:
        """The filters of the decoder ``(filters, 1, kernel_size)``."""
        return self.gain * self.decoder_bands()
