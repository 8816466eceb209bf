"""BS-RoFormer: the bands of the Band-Split RNN, read by attention with rotary embeddings.

W.-T. Lu, J.-C. Wang, Q. Kong and Y.-N. Hung, "Music source separation with band-split RoPE
transformer", ICASSP 2024, arXiv:2309.02612. Mel bands: J.-C. Wang, W.-T. Lu and M. Won,
"Mel-band RoFormer for music source separation", arXiv:2310.01809.

The spectrogram is split into bands as in the Band-Split RNN. Where that has recurrent networks,
along time and across bands in turns, this has transformers: a frame reads the frames that matter,
not its neighbours first. Attention knows nothing of order; queries and keys are turned by their
places, so that it hears distances. Both channels of stereo are heard together.

======  =====================  ====================================================================
paper   argument               meaning
======  =====================  ====================================================================
N       ``bands``              how many bands there are: 62; here their widths in bins
D       ``channels``           features of a band: 384
L       ``layers``             pairs of transformers, along time and across bands: 6, 9 or 12
H       ``heads``              of the attention: 8
F, T    ``n_fft``              bins and frames of the spectrogram; ``hop_length`` between frames
======  =====================  ====================================================================

Deviations:
    - Sizes and details are those of the public package ``BS-RoFormer``, whose answers these are,
      as most published weights were trained with it: norms by the root mean square, a gate for what
      a head reads, tangents and gated linear units in the networks of the masks. Its hyper
      connections and mixed values, which are later and not in the paper, are left out.
      ``paper()`` has 72,173,292 parameters.
    - The STFT is ``lib.stft.STFT``: frames beyond the ends of the signal see zeros, not its mirror.
    - With ``bands="mel"`` bands overlap, and masks of one bin are averaged; all else stays.
    - ``small()`` and ``tiny()`` hear one channel, in wider bands, and have a residual.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import nn

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.models.base import SpectrogramSeparator, estimate_names
from lib.nn.bands import BandMasks, BandSplit
from lib.nn.rotary import RootMeanSquareNorm, RotaryLayer
from lib.nn.spectral import heard_channels, own_channels
from lib.stft import STFT

# (width in bins, how many) for 1025 bins
BANDS = [(2, 24), (4, 12), (12, 8), (24, 8), (48, 8), (128, 1), (129, 1)]
MEL_BANDS = 60


def mel_bands(count: int, bins: int, sample_rate: float) -> list[tuple[int, int]]:
    """Bands around equal steps of the mel scale, each up to the middles of its neighbours.

    Args:
        count: of bands.
        bins: of the spectrogram.
        sample_rate: Hz.

    Returns:
        (first bin, bin behind the last) of each band; a bin lies in one band or two. The scale is
        Slaney's, linear up to 1 kHz, and the bands are where triangles of
        ``librosa.filters.mel`` are above zero.

    Raises:
        InputError: if there are so many that one would be empty.

    Example:
        >>> mel_bands(4, bins=17, sample_rate=8000)
        [(0, 4), (2, 7), (4, 10), (7, 17)]
    """
    knee, step = 15.0, math.log(6.4) / 27  # 15 mel are 1 kHz
    nyquist = sample_rate / 2
    top = knee + math.log(nyquist / 1000) / step if nyquist > 1000 else nyquist * knee / 1000
    edges = []
    for place in range(count + 2):
        mel = top * place / (count + 1)
        hertz = 1000 * (math.exp(step * (mel - knee)) if mel > knee else mel / knee)
        edges.append(hertz / nyquist * (bins - 1))
    bands = [
        (math.floor(low + 1e-9) + 1, math.ceil(high - 1e-9))
        for low, high in zip(edges, edges[2:], strict=False)
    ]
    bands[0], bands[-1] = (0, bands[0][1]), (bands[-1][0], bins)
    if any(start >= end for start, end in bands):
        raise InputError(
            f"bands: expected fewer than {count} mel bands, so that each has a bin of "
            f"{sample_rate / 2 / (bins - 1):.1f} Hz; take a longer n_fft"
        )
    return bands


class AxialLayer(nn.Module):
    """Two transformers: along the frames of each band, across the bands of each frame.

    Example:
        >>> AxialLayer(channels=8, heads=2)(torch.randn(5, 3, 30, 8)).shape
        torch.Size([5, 3, 30, 8])
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.time = RotaryLayer(channels, heads, 4 * channels, dropout)
        self.band = RotaryLayer(channels, heads, 4 * channels, dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (K, B, T, N) to the same shape."""
        features = self.time(features.flatten(0, 1)).view_as(features)
        across = features.flatten(1, 2).transpose(0, 1)  # (B * T, K, N)
        return self.band(across).transpose(0, 1).reshape(features.shape)


class Masker(nn.Module):
    """One stack of transformers for all targets, whose bands have a network per target.

    Args:
        bands: (first bin, bin behind the last) of each; they may overlap.
        targets: how many.
        residual: one more mask, of what the others leave.
        heard: channels that the network hears together.
        channels: N.
        heads: of the attention.
        layers: pairs of transformers.
        dropout: in the transformers.

    Example:
        >>> masker = Masker([(0, 4), (2, 9)], 2, False, heard=2, channels=8, heads=2, layers=1)
        >>> masker(torch.randn(3, 2, 9, 7, dtype=torch.complex64)).shape
        torch.Size([3, 2, 2, 9, 7])
    """

    bins: torch.Tensor
    shares: torch.Tensor

    def __init__(
        self,
        bands: Sequence[tuple[int, int]],
        targets: int,
        residual: bool,
        heard: int,
        channels: int,
        heads: int,
        layers: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.residual, self.heard = residual, heard
        bins = torch.cat([torch.arange(start, end) for start, end in bands])
        self.register_buffer("bins", bins, persistent=False)  # of the bands, side by side
        counts = torch.zeros(bands[-1][1]).index_add(0, bins, torch.ones(len(bins)))
        self.register_buffer("shares", 1 / counts, persistent=False)
        sizes = [2 * heard * (end - start) for start, end in bands]

        def norm(count: int, size: int) -> nn.Module:
            return RootMeanSquareNorm(count, 1, 1, size)

        self.split = BandSplit(sizes, channels, norm)
        self.layers = nn.Sequential(*(AxialLayer(channels, heads, dropout) for _ in range(layers)))
        self.norm = RootMeanSquareNorm(channels)
        self.masks = nn.ModuleList(
            BandMasks(sizes, channels, 4 * channels, layers=1) for _ in range(targets)
        )

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, T) to complex masks (B, S, C, F, T)."""
        heard = heard_channels(spectrogram, self.heard)  # (B', C', F, T)
        points = torch.view_as_real(heard.permute(0, 3, 2, 1).contiguous())  # (B', T, F, C', 2)
        overlapping = len(self.bins) > points.shape[2]
        frames = points[:, :, self.bins] if overlapping else points  # (B', T, of all bands, C', 2)
        features = self.norm(self.layers(self.split(frames.flatten(2))))  # (K, B', T, N)
        masks = torch.stack([masks(features) for masks in self.masks], 1)  # (B', S, T, ...)
        masks = at_least_float32(masks).unflatten(-1, (-1, self.heard, 2))
        if overlapping:
            whole = masks.new_zeros(*masks.shape[:3], *points.shape[2:])  # (B', S, T, F, C', 2)
            masks = whole.index_add(3, self.bins, masks) * self.shares.to(masks)[:, None, None]
        masks = torch.view_as_complex(masks).permute(0, 1, 4, 3, 2)  # (B', S, C', F, T)
        masks = own_channels(masks, spectrogram.shape[1])  # (B, S, C, F, T)
        if self.residual:
            masks = torch.cat([masks, 1 - masks.sum(1, keepdim=True)], 1)
        return masks


class BandSplitRoFormer(SpectrogramSeparator):
    """Complex masks from transformers along time and across bands.

    With ``heard=1`` each channel of a mixture is separated by itself.

    Args:
        targets: what to estimate.
        residual: name of one more estimate, of what the targets leave of the mixture; None for
            none.
        heard: channels that the network hears together: 1 or 2. A stereo network hears a mono
            mixture on both.
        bands: (width in bins, how many) from the lowest, for all bins; or ``mel``, 60 bands that
            overlap.
        channels: features of a band.
        heads: of the attention.
        layers: pairs of transformers.
        dropout: in the transformers.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        sample_rate: Hz.

    Raises:
        InputError: for no target, bands that do not fit, or heads that do not divide the channels.

    Example:
        >>> separator = BandSplitRoFormer.tiny()
        >>> separator.source_names, separator(torch.randn(1, 1, 4000)).shape
        (('vocals', 'accompaniment'), torch.Size([1, 2, 1, 4000]))
    """

    masker: Masker

    def __init__(
        self,
        targets: Sequence[str] = ("vocals",),
        residual: str | None = None,
        heard: int = 2,
        bands: str | Sequence[Sequence[int]] = tuple(BANDS),
        channels: int = 384,
        heads: int = 8,
        layers: int = 6,
        dropout: float = 0.0,
        n_fft: int = 2048,
        hop_length: int = 441,
        sample_rate: int = 44100,
    ):
        names = estimate_names(targets, residual)
        bins = n_fft // 2 + 1
        if bands == "mel":
            ranges = mel_bands(MEL_BANDS, bins, sample_rate)
        else:
            widths = (
                [] if isinstance(bands, str) else [w for w, count in bands for _ in range(count)]
            )
            if sum(widths) != bins or min(widths) < 1:
                raise InputError(
                    f"bands: expected mel, or (bins, how many) that add up to {bins} bins, "
                    f"got {bands!r}"
                )
            ranges = [*itertools.pairwise([0, *itertools.accumulate(widths)])]
        super().__init__(STFT(n_fft, hop_length), sample_rate, names)
        self.masker = Masker(
            ranges, len(targets), residual is not None, heard, channels, heads, layers, dropout
        )

    @classmethod
    def paper(cls, target: str = "vocals", layers: int = 6) -> Self:
        """Build the network of one target; ``layers`` is 6, 9 or 12 in the paper."""
        return cls([target], layers=layers)

    @classmethod
    def small(cls) -> Self:
        """Build a size for training on one core: vocals and what they leave, at 16 kHz."""
        return cls(**_SMALL)

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(**_TINY)


_COURSE: dict[str, Any] = {"targets": ["vocals"], "residual": "accompaniment", "heard": 1}
_SMALL = _COURSE | {
    "bands": [(6, 8), (12, 6), (32, 4), (64, 3), (73, 1)],
    "channels": 64,
    "heads": 4,
    "layers": 4,
    "n_fft": 1024,
    "hop_length": 512,
    "sample_rate": 16000,
}
_TINY = _COURSE | {
    "bands": [(8, 4), (16, 5), (17, 1)],
    "channels": 16,
    "heads": 2,
    "layers": 1,
    "n_fft": 256,
    "hop_length": 128,
    "sample_rate": 8000,
}
