"""D3Net: dense blocks that hear near and far at once, in bands of the spectrogram.

N. Takahashi and Y. Mitsufuji, "D3Net: Densely connected multidilated DenseNet for music source
separation", arXiv:2010.01733, 2020; the same blocks at CVPR 2021. Its predecessor is MMDenseNet,
N. Takahashi and Y. Mitsufuji, "Multi-scale multi-band DenseNets for audio source separation",
WASPAA 2017, which put U-Nets of dense blocks on bands (and MMDenseLSTM recurrent layers into them).

In a dense block every layer hears all layers before it. Here it hears each at a dilation that grows
with how much that layer has already seen: the field grows fast, and no layer skips points that were
not smoothed before. U-Nets of such blocks work on bands, with as many channels as a band needs, and
one more on the whole; a last block joins them and answers with a mask for one source.

=============  =====================  ==============================================================
code           argument               meaning
=============  =====================  ==============================================================
bands          ``bands``              U-Nets of the bands from the lowest, each up to the bin ``to``
full           ``full``               the U-Net of the whole
k              (``growth``)           channels of the blocks of a U-Net, and so of the other lists
num_layers     (``layers``)           layers of their D2 blocks
n_blocks       (``blocks``)           D2 blocks in each
ttl_dens_k     ``growth``             channels of the last block; ``layers`` are its layers
valid index    ``bands``              the last ``to``: how many bins the network sees
=============  =====================  ==============================================================

What is known of the sizes: blocks, connections and the gate are read from the authors' published
code, which trains a network per source. The numbers of ``paper()`` are those of its network for the
vocals as a reimplementation repeats them; the paper's own table could not be consulted. Counting
them gives 2,966,509 parameters; no published count was found to compare with.

Deviations:
    - The answer is a mask, as of all spectrogram systems here; the authors' network answers with
      magnitudes, and a multichannel Wiener filter brings those of all sources together.
    - Above what the network sees the mask is one, as the authors' code hands magnitudes through.
    - The scales of the input have no entries for frequencies that the network does not see.
    - Masks of ``small()`` and ``tiny()`` are sigmoids of one channel, and the network sees the
      logarithm of the magnitudes relative to the mixture's mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import nn

from lib.errors import InputError
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.models.base import SpectrogramSeparator, estimate_names
from lib.models.open_unmix import ACTIVATIONS, TargetNetworks
from lib.nn.dense import D2Block, DenseUNet
from lib.stft import STFT

# magnitudes below this share of the mixture's mean look like silence (-60 dB)
_FLOOR = 1e-3


class TargetNetwork(nn.Module):
    """The mask of one source.

    Args:
        channels: of the mixture.
        bandwidth: how many bins the network sees, from the lowest.
        bands: ``{"to", "filters", "growth", "layers", "blocks"}`` of each band.
        full: the same without ``to``, of the U-Net of all bands.
        growth: channels of the last block.
        layers: of the last block.
        activation: of the mask: ``relu`` or ``sigmoid``.
        log: see the logarithm of the magnitudes, relative to their mean.

    Example:
        >>> sizes = {"filters": 4, "growth": [2, 2, 2], "layers": [2, 2, 2], "blocks": [1, 1, 1]}
        >>> network = TargetNetwork(2, 8, [sizes | {"to": 4}, sizes | {"to": 8}], sizes)
        >>> network(torch.rand(3, 2, 9, 7)).shape
        torch.Size([3, 2, 9, 7])
    """

    def __init__(
        self,
        channels: int,
        bandwidth: int,
        bands: Sequence[dict[str, Any]],
        full: dict[str, Any],
        growth: int = 12,
        layers: int = 3,
        activation: str = "relu",
        log: bool = False,
    ):
        super().__init__()
        self.channels, self.bandwidth = channels, bandwidth
        self.activation, self.log = activation, log
        self.ends = [band["to"] for band in bands]
        unets = [{name: sizes[name] for name in _SIZES} for sizes in bands]
        self.bands = nn.ModuleList(DenseUNet(channels, **sizes) for sizes in unets)
        self.full = DenseUNet(channels, **full)
        widest = max(sizes["growth"][-1] for sizes in unets)
        self.widen = nn.ModuleList(
            nn.Identity()
            if sizes["growth"][-1] == widest
            else nn.Sequential(
                nn.BatchNorm2d(sizes["growth"][-1]), nn.Conv2d(sizes["growth"][-1], widest, 1)
            )
            for sizes in unets
        )
        self.last = D2Block(widest + full["growth"][-1], growth, layers)
        self.norm = nn.BatchNorm2d(growth)
        self.gate = nn.Conv2d(growth, channels, 1)
        self.answer = nn.Conv2d(growth, channels, 1)
        self.input_mean = nn.Parameter(torch.zeros(bandwidth))
        self.input_scale = nn.Parameter(torch.ones(bandwidth))
        self.output_scale = nn.Parameter(torch.ones(bandwidth))
        # a mask begins at 1, a sigmoid's at 1/2
        self.output_mean = nn.Parameter(torch.full((bandwidth,), float(activation == "relu")))

    def forward(self, magnitudes: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map the magnitudes of the mixture (B, C, F, K) to a mask of the same shape."""
        if memory is not None:
            raise InputError("stream: expected a causal network, got D3Net, which looks ahead")
        x = (self.compress(magnitudes) - self.input_mean) / self.input_scale  # (B, C, K, seen)
        starts = [0, *self.ends[:-1]]
        seen = [
            widen(band(x[..., start:end]))
            for start, end, band, widen in zip(
                starts, self.ends, self.bands, self.widen, strict=True
            )
        ]
        x = torch.cat([torch.cat(seen, -1), self.full(x)], 1)  # (B, G + G', K, seen)
        x = self.norm(self.last(x))  # (B, G'', K, seen)
        x = at_least_float32(self.gate(x).sigmoid() * self.answer(x))  # (B, C, K, seen)
        mask = ACTIVATIONS[self.activation](x * self.output_scale + self.output_mean)
        mask = mask.transpose(2, 3)  # (B, C, seen, K)
        above = magnitudes[:, :, self.bandwidth :]
        return torch.cat([mask, torch.ones_like(above)], 2)

    def compress(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return what the network sees of magnitudes (B, C, F, K), (B, C, K, seen)."""
        x = magnitudes[:, :, : self.bandwidth].transpose(2, 3)
        if not self.log:
            return x
        power = magnitudes.square().mean((1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
        return (x / power.clamp_min(1e-20).sqrt() + _FLOOR).log()

    @torch.no_grad()
    def calibrate(self, magnitudes: Iterable[torch.Tensor]) -> None:
        """Set mean and scale of the input from magnitudes ``(channels, freq, frames)``."""
        seen = torch.cat([self.compress(one[None])[0].flatten(0, 1) for one in magnitudes])
        scale = seen.std(0)
        self.input_mean.copy_(seen.mean(0))
        self.input_scale.copy_(scale.clamp_min(1e-4 * float(scale.max()) + 1e-10))


class D3Net(SpectrogramSeparator):
    """Masks from one network per target.

    With ``channels=1`` the networks hear the mean power of all channels and give them one mask.

    Args:
        targets: what to estimate, one network each.
        residual: name of one more estimate, of what the targets leave of the mixture; None for
            none.
        channels: that the networks see: 1 or 2. Stereo networks see a mono mixture on both.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        bands: the U-Nets of the bands; None for the paper's.
        full: the U-Net of the whole; None for the paper's.
        growth: channels of the last block.
        layers: of the last block.
        activation: of the masks: ``relu`` or ``sigmoid``.
        log: see the logarithm of the magnitudes.
        sample_rate: Hz.

    Raises:
        InputError: for an unknown activation, no target, or bands that do not fit.

    Example:
        >>> separator = D3Net.tiny()
        >>> separator.source_names, separator(torch.randn(1, 1, 4000)).shape
        (('speech', 'noise'), torch.Size([1, 2, 1, 4000]))
    """

    masker: TargetNetworks

    def __init__(
        self,
        targets: Sequence[str] = ("vocals",),
        residual: str | None = None,
        channels: int = 2,
        n_fft: int = 4096,
        hop_length: int = 1024,
        bands: Sequence[dict[str, Any]] | None = None,
        full: dict[str, Any] | None = None,
        growth: int = 12,
        layers: int = 3,
        activation: str = "relu",
        log: bool = False,
        sample_rate: int = 44100,
    ):
        names = estimate_names(targets, residual)
        if activation not in ACTIVATIONS:
            raise InputError(
                f"activation: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        bands, full = bands or _VOCALS, full or _VOCALS_FULL
        ends = [0, *(band["to"] for band in bands), n_fft // 2 + 2]
        if sorted(set(ends)) != ends:
            raise InputError(
                f"bands: expected rising ends up to {n_fft // 2 + 1} bins, got {ends[1:-1]}"
            )
        super().__init__(STFT(n_fft, hop_length), sample_rate, names)
        sizes = (channels, bands[-1]["to"], bands, full, growth, layers, activation, log)
        self.masker = TargetNetworks(
            {name: TargetNetwork(*sizes) for name in targets}, residual is not None
        )

    @classmethod
    def paper(cls, target: str = "vocals") -> Self:
        """Build the network of the vocals, as far as its sizes are known (see the module)."""
        return cls([target])

    @classmethod
    def small(cls, task: str = "speech") -> Self:
        """Build a size for training on one core: ``speech`` in noise, or ``singing``.

        The other source is what the target leaves of the mixture.
        """
        if task not in _TASKS:
            raise InputError(f"task: expected one of {', '.join(_TASKS)}, got {task!r}")
        low, high = _SMALL
        bins = _TASKS[task]["n_fft"] // 2
        bands = [low | {"to": bins // 2}, high | {"to": bins + 1}]
        return cls(**_TASKS[task], bands=bands, full=_SMALL_FULL, growth=6, layers=2)

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(**_TASKS["speech"], bands=_TINY, full=_TINY_FULL, growth=4, layers=2)

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set the statistics of the networks' input."""
        magnitudes = [self.masker.magnitudes(self.encoder(one)[None])[0] for one in mixtures]
        for network in self.masker.targets.values():
            network.calibrate(magnitudes)


_SIZES = ("filters", "growth", "layers", "blocks")


def _sizes(
    filters: int, growth: list[int], layers: list[int], blocks: int, **band: int
) -> dict[str, Any]:
    """Sizes of a U-Net, with as many D2 blocks at all scales."""
    own = {"filters": filters, "growth": growth, "layers": layers}
    return band | own | {"blocks": [blocks] * len(growth)}


_VOCALS = [
    _sizes(32, [16, 18, 20, 22, 20, 18, 16], [5, 5, 5, 5, 4, 4, 4], 2, to=256),
    _sizes(8, [2] * 5, [1] * 5, 1, to=1600),
]
_VOCALS_FULL = _sizes(32, [13, 14, 15, 16, 17, 16, 14, 12, 11], [4, 5, 6, 7, 8, 6, 5, 4, 4], 2)
_SMALL = [
    _sizes(8, [6, 12, 20, 28, 20, 12, 6], [2, 2, 3, 3, 3, 2, 2], 2),
    _sizes(4, [2, 4, 2], [1, 2, 1], 1),
]
_SMALL_FULL = _sizes(6, [3, 8, 16, 28, 36, 28, 16, 8, 3], [2, 2, 3, 3, 3, 3, 3, 2, 2], 2)
_TINY = [_sizes(4, [4, 6, 4], [2, 2, 2], 1, to=64), _sizes(4, [2, 4, 2], [1, 2, 1], 1, to=257)]
_TINY_FULL = _sizes(4, [4, 6, 8, 6, 4], [2] * 5, 1)
_COURSE: dict[str, Any] = {
    "channels": 1,
    "activation": "sigmoid",
    "log": True,
    "sample_rate": 8000,
}
_TASKS: dict[str, dict[str, Any]] = {
    "speech": _COURSE
    | {"targets": ["speech"], "residual": "noise", "n_fft": 512, "hop_length": 256},
    "singing": _COURSE
    | {"targets": ["vocals"], "residual": "accompaniment", "n_fft": 1024, "hop_length": 512},
}
