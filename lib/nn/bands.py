"""Bands of a spectrogram: split it into them, and bring what was found in them together.

Bands are as wide as the source needs them, and each has weights of its own. Neighbours of one width
are a *run*, and a run is one product of stacked matrices, whatever its number of bands: of the 41
bands of a voice that leaves six products.

Features of bands have the bands first, ``(bands, batch, frames, channels)``: then a run is a slice,
and both the sequence along time and the one along bands are views.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import at_least_float32

__all__ = ["BandLinear", "BandMasks", "BandNorm", "BandSplit", "band_widths", "runs"]


def band_widths(scheme: Sequence[Sequence[float]], bins: int, sample_rate: float) -> list[int]:
    """Count the bins of each band of a scheme; what it leaves above is one more band.

    Args:
        scheme: (width in Hz, how many bands of it), from the lowest. Bands above the highest bin
            are left out.
        bins: of the spectrogram, F.
        sample_rate: Hz.

    Returns:
        Bins of each band, which add up to ``bins``. A width of h Hz is ``floor(2 h F / rate)``
        bins, as in the code of the authors of the Band-Split RNN; so bands are a little narrower
        than they are called.

    Raises:
        InputError: for a scheme that is none, or bands narrower than a bin.

    Example:
        >>> band_widths([(100, 3), (1000, 2)], bins=1025, sample_rate=44100)
        [4, 4, 4, 46, 46, 921]
        >>> band_widths([(1000, 100)], bins=9, sample_rate=16000)
        [1, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    widths: list[int] = []
    left = bins
    for hertz, count in scheme:
        width = math.floor(hertz / (sample_rate / 2) * bins)
        if width < 1 or count < 1:
            raise InputError(
                f"bands: expected pairs of a width of at least {sample_rate / 2 / bins:.1f} Hz, "
                f"which is a bin, and how many there are of it, got {hertz} Hz, {count}"
            )
        for _ in range(min(int(count), math.ceil(left / width))):
            widths.append(min(width, left))
            left -= widths[-1]
    return [*widths, left] if left else widths


def runs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Group neighbours of one size: (size, how many).

    Args:
        sizes: of bands.

    Example:
        >>> runs([4, 4, 4, 46, 46, 921])
        [(4, 3), (46, 2), (921, 1)]
    """
    return [(size, len([*same])) for size, same in itertools.groupby(sizes)]


class BandLinear(nn.Module):
    """A linear layer of its own for each of some bands of one size.

    Args:
        bands: K.
        inputs: channels.
        outputs: channels.

    Example:
        >>> BandLinear(bands=3, inputs=8, outputs=2)(torch.randn(3, 5, 7, 8)).shape
        torch.Size([3, 5, 7, 2])
    """

    def __init__(self, bands: int, inputs: int, outputs: int):
        super().__init__()
        bound = inputs**-0.5  # as of nn.Linear
        self.weight = nn.Parameter(torch.empty(bands, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(bands, 1, outputs).uniform_(-bound, bound))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (K, B, T, C) to (K, B, T, C')."""
        rows = features.flatten(1, 2)  # (K, B * T, C)
        return torch.baddbmm(self.bias, rows, self.weight).unflatten(1, features.shape[1:3])


class BandNorm(nn.Module):
    """Mean and variance over some axes of bands' features, then gains and offsets of each channel.

    Over frames and channels this is, for each band, GroupNorm with one group.

    Args:
        bands: with gains of their own; 1 where all share them.
        channels: C.
        over: two axes of features (K, B, T, C).

    Example:
        >>> normed = BandNorm(3, 8)(5 + 3 * torch.randn(3, 2, 100, 8))
        >>> bool(normed.mean((2, 3)).abs().max() < 1e-5)
        True
    """

    def __init__(self, bands: int, channels: int, over: tuple[int, ...] = (2, 3)):
        super().__init__()
        self.order = [*(axis for axis in range(4) if axis not in over), *over]
        self.back = [self.order.index(axis) for axis in range(4)]
        self.eps = torch.finfo(torch.float32).eps
        self.weight = nn.Parameter(torch.ones(bands, 1, 1, channels))
        self.bias = nn.Parameter(torch.zeros(bands, 1, 1, channels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise features (K, B, T, C)."""
        rows = at_least_float32(features).permute(self.order)
        # on processors five times as fast as mean and variance one by one
        normed = functional.layer_norm(rows, rows.shape[2:], eps=self.eps).permute(self.back)
        return torch.addcmul(self.bias, normed, self.weight)


class BandSplit(nn.Module):
    """Normalise each band and bring it to one number of channels.

    Args:
        sizes: how many numbers a frame has in each band.
        channels: N.
        norm: of (bands, size), see :class:`BandNorm`.

    Example:
        >>> BandSplit([4, 4, 6], channels=8)(torch.randn(2, 50, 14)).shape
        torch.Size([3, 2, 50, 8])
    """

    def __init__(
        self, sizes: Sequence[int], channels: int, norm: Callable[[int, int], nn.Module] = BandNorm
    ):
        super().__init__()
        self.runs = runs(sizes)
        self.bands = nn.ModuleList(
            nn.Sequential(norm(count, size), BandLinear(count, size, channels))
            for size, count in self.runs
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Map frames (B, T, all sizes), band by band, to features (K, B, T, N)."""
        parts = frames.split([size * count for size, count in self.runs], -1)
        found = [
            run(part.unflatten(-1, (count, size)).movedim(2, 0))  # (K', B, T, size)
            for run, part, (size, count) in zip(self.bands, parts, self.runs, strict=True)
        ]
        return torch.cat(found)


class BandMasks(nn.Module):
    """A small network of its own for each band, whose last layer is gated: values for masks.

    Hidden layers end in a tangent, the last in a gated linear unit ``v * sigmoid(g)``.

    Args:
        sizes: how many numbers a frame of the masks has in each band.
        channels: N.
        hidden: units of the hidden layers.
        layers: hidden ones.

    Example:
        >>> masks = BandMasks([4, 4, 6], channels=8, hidden=32, layers=1)
        >>> masks(torch.randn(3, 2, 50, 8)).shape
        torch.Size([2, 50, 14])
    """

    def __init__(self, sizes: Sequence[int], channels: int, hidden: int, layers: int):
        super().__init__()
        self.runs = runs(sizes)
        widths = [channels, *[hidden] * layers]
        self.hidden = nn.ModuleList(
            BandLinear(len(sizes), *pair) for pair in itertools.pairwise(widths)
        )
        self.last = nn.ModuleList(
            BandLinear(count, widths[-1], 2 * size) for size, count in self.runs
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (K, B, T, N) to frames (B, T, all sizes), band by band."""
        for layer in self.hidden:
            features = layer(features).tanh()  # (K, B, T, hidden)
        parts = features.split([count for _, count in self.runs])
        gated = [functional.glu(run(part)) for run, part in zip(self.last, parts, strict=True)]
        return torch.cat([one.movedim(0, 2).flatten(2) for one in gated], -1)
