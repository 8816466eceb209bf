"""Band-Split RNN: bands as wide as the source needs them, read along time and across each other.

Y. Luo and J. Yu, "Music source separation with band-split RNN", IEEE/ACM TASLP 31, 2023,
arXiv:2209.15174.

Where a source lives, bands of the spectrogram are narrow, and they widen where it has little to
say: what is known of an instrument goes into the network as a list of widths. Each band becomes as
many channels as every other; a recurrent network reads each band along time, another reads across
the bands of each frame, twelve times in turns. A small network for each band answers with complex
masks.

======  =====================  ====================================================================
paper   argument               meaning
======  =====================  ====================================================================
G       ``bands``              widths of the bands: a name of :data:`SCHEMES`, or (Hz, how many)
K       ``bands``              how many there are: 41 for vocals and other, 30 for bass, 55 for
                               drums
N       ``channels``           features of a band
(2 N)   ``hidden``             units of an LSTM, per direction
(12)    ``layers``             pairs of LSTMs, along time and across bands
F, T    ``n_fft``              bins and frames of the spectrogram; ``hop_length`` between frames
======  =====================  ====================================================================

The norms are over all frames and channels of a band, and across bands over all bands and channels
of a frame: GroupNorm with one group.

Deviations:
    - Sizes are those of the authors' code, in which the networks of the masks have two hidden
      layers; the paper speaks of one. So ``paper()`` has 36,417,160 parameters for vocals and for
      other, 32,797,192 for bass and 41,024,392 for drums. Widths are rounded down to bins as there.
    - The STFT is ``lib.stft.STFT``: frames beyond the ends of the signal see zeros, not its mirror.
    - Real and imaginary part of a bin stand side by side; in the authors' code, all real parts of a
      band before the imaginary ones. The weights are the same in another order.
    - Bands of one width are computed together. The numbers are those of a loop over bands.
    - ``small()`` and ``tiny()`` take 16 and 8 kHz, coarser bands, and have a residual.

Each channel of a mixture is separated by itself, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import nn

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.models.base import SpectrogramSeparator, estimate_names
from lib.models.dprnn import RecurrentPath
from lib.nn.bands import BandMasks, BandNorm, BandSplit, band_widths
from lib.nn.eager import eager_on_cpu
from lib.stft import STFT

# gates of recurrent layers, 16 MB: more do not stay in a processor's cache; and fewer sequences at
# once are no product of matrices
_NUMBERS_AT_ONCE = 2**22
_LEAST_AT_ONCE = 8

# (width in Hz, how many); a last band takes what is left. Seven for vocals, which the paper
# compares, then those it settles on for each instrument.
SCHEMES: dict[str, list[tuple[int, int]]] = {
    "v1": [(1000, 21)],
    "v2": [(1000, 16), (2000, 2)],
    "v3": [(1000, 8), (2000, 4), (4000, 1)],
    "v4": [(100, 10), (1000, 7), (2000, 4), (4000, 1)],
    "v5": [(100, 10), (1000, 15), (2000, 2)],
    "v6": [(100, 10), (500, 6), (1000, 4), (2000, 4), (4000, 1)],
    "v7": [(100, 10), (250, 12), (500, 8), (1000, 8), (2000, 2)],
    "vocals": [(100, 10), (250, 12), (500, 8), (1000, 8), (2000, 2)],
    "bass": [(50, 10), (100, 5), (500, 6), (1000, 4), (2000, 4)],
    "drums": [(50, 20), (100, 10), (250, 8), (500, 8), (1000, 8)],
    "other": [(100, 10), (250, 12), (500, 8), (1000, 8), (2000, 2)],
}


class BandSequence(nn.Module):
    """Two residual recurrent layers: along the frames of each band, across the bands of each frame.

    Args:
        channels: N.
        hidden: units of an LSTM, per direction.

    Example:
        >>> BandSequence(channels=8, hidden=16)(torch.randn(5, 2, 30, 8)).shape
        torch.Size([5, 2, 30, 8])
    """

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.time_norm = BandNorm(1, channels)
        self.time = RecurrentPath(channels, hidden)
        self.band_norm = BandNorm(1, channels, over=(0, 3))
        self.band = RecurrentPath(channels, hidden)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (K, B, T, N) to the same shape."""
        along = self.time_norm(features).flatten(0, 1)  # (K * B, T, N)
        features = features + _in_cache(self.time, along).view_as(features)
        across = self.band_norm(features).flatten(1, 2).transpose(0, 1)  # (B * T, K, N)
        return features + _in_cache(self.band, across).transpose(0, 1).reshape(features.shape)


def _in_cache(path: RecurrentPath, sequences: torch.Tensor) -> torch.Tensor:
    """Read sequences (A, T, N), on a processor so many at once as its cache has room for."""
    if not eager_on_cpu(sequences):
        return path(sequences)
    gates = 4 * path.recurrent.hidden_size * sequences.shape[1]  # numbers of a sequence
    pieces = sequences.split(max(_LEAST_AT_ONCE, _NUMBERS_AT_ONCE // gates))
    return torch.cat([path(piece) for piece in pieces])


class TargetNetwork(nn.Module):
    """The complex mask of one source.

    Args:
        widths: bins of the bands.
        channels: N.
        hidden: units of an LSTM, per direction.
        layers: pairs of them.

    Example:
        >>> network = TargetNetwork([2, 2, 5], channels=4, hidden=8, layers=1)
        >>> network(torch.randn(3, 9, 7, dtype=torch.complex64)).shape
        torch.Size([3, 9, 7])
    """

    def __init__(self, widths: Sequence[int], channels: int, hidden: int, layers: int):
        super().__init__()
        self.widths = [*widths]
        sizes = [2 * width for width in widths]
        self.split = BandSplit(sizes, channels)
        self.sequence = nn.Sequential(*(BandSequence(channels, hidden) for _ in range(layers)))
        self.norm = BandNorm(len(sizes), channels)
        self.masks = BandMasks(sizes, channels, 4 * channels, layers=2)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map the complex spectrogram of one channel (B, F, T) to a complex mask."""
        parts = torch.view_as_real(spectrogram.transpose(1, 2).contiguous())  # (B, T, F, 2)
        features = self.sequence(self.split(parts.flatten(2)))  # (K, B, T, N)
        masks = at_least_float32(self.masks(self.norm(features)))  # (B, T, 2 F)
        return torch.view_as_complex(masks.unflatten(-1, (-1, 2))).transpose(1, 2)


class Masker(nn.Module):
    """The networks of all targets, and the mask of what they leave.

    Example:
        >>> masker = Masker([TargetNetwork([2, 2, 5], 4, 8, 1)], residual=True)
        >>> masker(torch.randn(3, 2, 9, 7, dtype=torch.complex64)).shape
        torch.Size([3, 2, 2, 9, 7])
    """

    def __init__(self, networks: Sequence[TargetNetwork], residual: bool):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.residual = residual

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, T) to complex masks (B, S, C, F, T)."""
        channels = spectrogram.flatten(0, 1)  # (B * C, F, T)
        masks = torch.stack([network(channels) for network in self.networks], 1)
        masks = masks.unflatten(0, spectrogram.shape[:2]).transpose(1, 2)  # (B, S, C, F, T)
        if self.residual:
            masks = torch.cat([masks, 1 - masks.sum(1, keepdim=True)], 1)
        return masks


class BandSplitRNN(SpectrogramSeparator):
    """Complex masks from a network per target that reads bands along time and across each other.

    Args:
        targets: what to estimate, one network each.
        residual: name of one more estimate, of what the targets leave of the mixture; None for
            none.
        bands: of all networks: a name of :data:`SCHEMES`, or a list of (width in Hz, how many) from
            the lowest; None: to each target those of its name, or of the vocals.
        channels: features of a band.
        hidden: units of an LSTM, per direction; None for twice the channels.
        layers: pairs of LSTMs.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        sample_rate: Hz.

    Raises:
        InputError: for no target, unknown bands, or bands narrower than a bin.

    Example:
        >>> separator = BandSplitRNN.tiny()
        >>> separator.source_names, separator(torch.randn(1, 2, 4000)).shape
        (('vocals', 'accompaniment'), torch.Size([1, 2, 2, 4000]))
    """

    masker: Masker

    def __init__(
        self,
        targets: Sequence[str] = ("vocals",),
        residual: str | None = None,
        bands: str | Sequence[Sequence[float]] | None = None,
        channels: int = 128,
        hidden: int | None = None,
        layers: int = 12,
        n_fft: int = 2048,
        hop_length: int = 512,
        sample_rate: int = 44100,
    ):
        names = estimate_names(targets, residual)
        if isinstance(bands, str) and bands not in SCHEMES:
            raise InputError(f"bands: expected one of {', '.join(SCHEMES)}, got {bands!r}")
        super().__init__(STFT(n_fft, hop_length), sample_rate, names)
        networks = []
        for target in targets:
            chosen = SCHEMES.get(target, SCHEMES["vocals"]) if bands is None else bands
            scheme = SCHEMES[chosen] if isinstance(chosen, str) else chosen
            widths = band_widths(scheme, n_fft // 2 + 1, sample_rate)
            networks.append(TargetNetwork(widths, channels, hidden or 2 * channels, layers))
        self.masker = Masker(networks, residual is not None)

    @classmethod
    def paper(cls, target: str = "vocals") -> Self:
        """Build the network of one target: vocals, bass, drums or other."""
        return cls([target])

    @classmethod
    def small(cls, target: str = "vocals") -> Self:
        """Build a size for training on one core: a target and what it leaves, at 16 kHz."""
        residual = "accompaniment" if target == "vocals" else "rest"
        return cls([target], residual, **_SMALL)

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(["vocals"], "accompaniment", **_TINY)


_SMALL: dict[str, Any] = {
    "bands": [(100, 8), (200, 6), (500, 4), (1000, 3)],
    "channels": 28,
    "layers": 4,
    "n_fft": 1024,
    "hop_length": 512,
    "sample_rate": 16000,
}
_TINY: dict[str, Any] = {
    "bands": [(250, 4), (500, 4)],
    "channels": 8,
    "layers": 1,
    "n_fft": 256,
    "hop_length": 128,
    "sample_rate": 8000,
}
