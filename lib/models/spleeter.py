"""Spleeter: a U-Net for each stem, and masks that share the mixture among them by power.

R. Hennequin, A. Khlif, F. Voituret and M. Moussallam, "Spleeter: a fast and efficient music source
separation tool with pre-trained models", JOSS 5(50), 2020, doi:10.21105/joss.02154.

The U-Net of Jansson et al. as an engineer's tool: it sees both channels of stereo at 44.1 kHz up to
11 kHz, and there is one for each stem of a song. What a network lets through of the mixture is its
claim; a stem's mask is its share of the power of all claims. The details are those of the published
code, which the paper does not give.

===================  ================  ===========================================================
published            argument          meaning
===================  ================  ===========================================================
instrument_list      ``sources``       stems; their number decides on activations, see below
n_channels           ``channels``      that the networks see
F = 1024             ``bandwidth``     the networks see frequencies below it, in Hz
mask_extension       ``extension``     masks above: ``zeros``, or the ``average`` of a frame's mask
conv_n_filters[0]    ``filters``       of the first convolution; they double from level to level
frame_length, step   ``n_fft``         samples of a frame; ``hop_length`` between frames
===================  ================  ===========================================================

Where the code differs from Jansson's network:

- Skips, and the middle, carry what a convolution says *before* its normalisation and activation.
- On the way up the activation comes before the normalisation.
- Padding is TensorFlow's ``"same"``, whose odd zero stands behind (see :mod:`lib.nn.unet`).
- The last transposed convolution has one channel; a dilated convolution, 4 x 4, makes of it a mask
  for each channel.
- With two stems the activations are leaky and plain ReLUs, with more of them ELUs; with five, the
  networks' answers pass a softmax over the stems, else sigmoids.

Deviations:
    - The middle has no normalisation. The published network stores one that nothing reads (1,024
      parameters more than the 9,822,725 of a stem here).
    - The network runs over the whole spectrogram, padded at its end; the published one over pieces
      of 512 frames, 12 s, each for itself.
    - The STFT is ``lib.stft.STFT``: frames are centred on multiples of the hop.
    - ``small()`` and ``tiny()`` separate speech from noise. They hear one channel, and see the
      logarithm of the magnitudes relative to the mixture's mean.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.models.base import SpectrogramSeparator
from lib.nn.spectral import channel_magnitudes
from lib.nn.unet import SLOPE, Doubling, Halving, pad_to_multiple
from lib.stft import STFT

_EPS = 1e-10  # power of the claims below which stems share alike
_NORM_EPS = 1e-3  # of batch normalisation in Keras
_FLOOR = 1e-3  # magnitudes below this share of the mixture's mean look like silence (-60 dB)

EXTENSIONS = ("zeros", "average")
STEMS = {
    2: ["vocals", "accompaniment"],
    4: ["vocals", "drums", "bass", "other"],
    5: ["vocals", "piano", "drums", "bass", "other"],
}


class StemNetwork(nn.Module):
    """The U-Net of one stem.

    Args:
        channels: of the mixture.
        filters: of the first convolution.
        depth: convolutions on the way down.
        elu: ELUs in the place of ReLUs.
        dropout: in the first three layers on the way up.

    Example:
        >>> network = StemNetwork(channels=2, filters=4, depth=3)
        >>> network(torch.rand(3, 2, 7, 12)).shape
        torch.Size([3, 2, 7, 12])
    """

    def __init__(
        self,
        channels: int = 2,
        filters: int = 16,
        depth: int = 6,
        elu: bool = False,
        dropout: float = 0.5,
    ):
        super().__init__()
        widths = [filters * 2**level for level in range(depth)]
        kernel = {"kernel_size": 5, "before": 1}  # of the three zeros; two stand behind
        self.halvings = nn.ModuleList(
            Halving(inputs, outputs, **kernel)
            for inputs, outputs in zip([channels, *widths], widths, strict=False)
        )
        ups = [*widths[-2::-1], 1]
        beside = [widths[-1], *(2 * width for width in ups[:-1])]  # with the skips
        self.doublings = nn.ModuleList(
            Doubling(inputs, outputs, **kernel) for inputs, outputs in zip(beside, ups, strict=True)
        )
        self.down_norms = nn.ModuleList(nn.BatchNorm2d(width, _NORM_EPS) for width in widths[:-1])
        self.up_norms = nn.ModuleList(nn.BatchNorm2d(width, _NORM_EPS) for width in ups)
        self.last = nn.Conv2d(1, channels, 4, padding=3, dilation=2)
        self.down = (
            functional.elu
            if elu
            else functools.partial(functional.leaky_relu, negative_slope=SLOPE)
        )
        self.up = functional.elu if elu else torch.relu
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, K, F) to logits of masks (B, C, K, F)."""
        frames, bins = features.shape[-2:]
        x = pad_to_multiple(features, 2 ** len(self.halvings))  # (B, C, K', F')
        levels = []
        for level, halving in enumerate(self.halvings):
            if level:
                x = self.down(self.down_norms[level - 1](x))
            x = halving(x)
            levels.append(x)  # (B, N, K' / 2, F' / 2), then (B, 2 N, K' / 4, F' / 4), ...
        levels.pop()
        for level, (doubling, norm) in enumerate(zip(self.doublings, self.up_norms, strict=True)):
            x = norm(self.up(doubling(x)))  # (B, N, 2 K, 2 F)
            if level < 3 and levels:
                x = self.dropout(x)
            if levels:
                x = torch.cat([levels.pop(), x], 1)  # (B, 2 N, 2 K, 2 F)
        return at_least_float32(self.last(x)[..., :frames, :bins])


class Masker(nn.Module):
    """The networks of all stems, and masks that share the mixture.

    Args:
        stems: how many.
        bins: frequencies of the spectrogram.
        seen_bins: how many of them the networks see, from the lowest.
        channels: of the mixture.
        filters: of the first convolution.
        depth: convolutions on the way down.
        extension: of the masks above what the networks see: ``zeros`` or ``average``.
        log: see the logarithm of the magnitudes, relative to the mixture's mean.
        dropout: in the first three layers on the way up.

    Example:
        >>> masker = Masker(stems=4, bins=17, seen_bins=16, filters=2, depth=3)
        >>> masks = masker(torch.randn(3, 2, 17, 7, dtype=torch.complex64))
        >>> masks.shape, bool(((masks.sum(1)[:, :, :16] - 1).abs() < 1e-5).all())
        (torch.Size([3, 4, 2, 17, 7]), True)
    """

    def __init__(
        self,
        stems: int,
        bins: int,
        seen_bins: int,
        channels: int = 2,
        filters: int = 16,
        depth: int = 6,
        extension: str = "zeros",
        log: bool = False,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.bins, self.seen_bins, self.channels = bins, seen_bins, channels
        self.extension, self.log, self.softmax = extension, log, stems > 4
        self.networks = nn.ModuleList(
            StemNetwork(channels, filters, depth, stems > 2, dropout) for _ in range(stems)
        )

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, S, C or 1, F, K), power ratios."""
        magnitudes = self.seen(spectrogram)
        claims = (self.claims(magnitudes) * magnitudes[:, None]).square()  # (B, S, C, seen, K)
        total = claims.sum(1, keepdim=True)
        return self.extend((claims + _EPS / len(self.networks)) / (total + _EPS), spectrogram)

    def seen(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Return the magnitudes that the networks see, (B, C, seen, K)."""
        return channel_magnitudes(spectrogram, self.channels)[:, :, : self.seen_bins]

    def claims(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return each network's own mask of magnitudes (B, C, seen, K), (B, S, C, seen, K)."""
        x = magnitudes
        if self.log:
            power = x.square().mean((1, 2, 3), keepdim=True).clamp_min(1e-20)  # (B, 1, 1, 1)
            x = (x / power.sqrt() + _FLOOR).log()
        x = x.transpose(2, 3)  # (B, C, K, seen)
        logits = torch.stack([network(x) for network in self.networks], 1)  # (B, S, C, K, seen)
        masks = logits.softmax(1) if self.softmax else logits.sigmoid()
        return masks.transpose(3, 4)

    def extend(self, masks: torch.Tensor, spectrogram: torch.Tensor) -> torch.Tensor:
        """Give masks (B, S, C, seen, K) the frequencies above, and the mixture's channels."""
        if self.channels > spectrogram.shape[1]:
            masks = masks.mean(2, keepdim=True)  # a mono mixture seen as stereo
        above = masks.mean(3, keepdim=True)  # (B, S, C, 1, K)
        if self.extension == "zeros":
            above = torch.zeros_like(above)
        return torch.cat([masks, above.expand(-1, -1, -1, self.bins - self.seen_bins, -1)], 3)


class Spleeter(SpectrogramSeparator):
    """Masks that share the mixture among the stems, from a U-Net for each.

    With one channel the networks hear the mean power of all channels and give them one mask.

    Args:
        sources: the stems.
        channels: that the networks see: 1 or 2. Stereo networks see a mono mixture on both.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        bandwidth: the networks see frequencies below it, in Hz; None for all but the highest.
        extension: of the masks above: ``zeros``, or ``average``, the mean of a frame's mask.
        filters: of the first convolution.
        depth: convolutions on the way down.
        log: see the logarithm of the magnitudes.
        dropout: in the first three layers on the way up.
        sample_rate: Hz.

    Raises:
        InputError: for less than two stems or names that are not different, an unknown extension,
            or a band without frequencies.

    Example:
        >>> Spleeter.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: Masker

    def __init__(
        self,
        sources: Sequence[str] = tuple(STEMS[2]),
        channels: int = 2,
        n_fft: int = 4096,
        hop_length: int = 1024,
        bandwidth: float | None = 11025,
        extension: str = "zeros",
        filters: int = 16,
        depth: int = 6,
        log: bool = False,
        dropout: float = 0.5,
        sample_rate: int = 44100,
    ):
        if isinstance(sources, str) or len(set(sources)) < max(2, len(sources)):
            raise InputError(f"sources: expected two or more different names, got {sources!r}")
        if extension not in EXTENSIONS:
            raise InputError(
                f"extension: expected one of {', '.join(EXTENSIONS)}, got {extension!r}"
            )
        seen = n_fft // 2
        if bandwidth is not None:
            seen = min(seen, int(bandwidth * n_fft / sample_rate))
        if seen < 1:
            raise InputError(
                f"bandwidth: expected at least {sample_rate / n_fft} Hz, got {bandwidth}"
            )
        super().__init__(STFT(n_fft, hop_length), sample_rate, sources)
        self.masker = Masker(
            len(sources),
            n_fft // 2 + 1,
            seen,
            channels,
            filters,
            depth,
            extension,
            log,
            dropout,
        )

    @classmethod
    def paper(cls, stems: int = 2, bandwidth: float = 11025) -> Self:
        """Build a published size: 9,822,725 parameters per stem.

        Args:
            stems: 2 (vocals, accompaniment), 4 (vocals, drums, bass, other) or 5 (and piano).
            bandwidth: 11025; 16537.5 in the published variants "16kHz".
        """
        if stems not in STEMS:
            raise InputError(f"stems: expected one of {', '.join(map(str, STEMS))}, got {stems!r}")
        return cls(STEMS[stems], bandwidth=bandwidth)

    @classmethod
    def small(cls) -> Self:
        """Build a size for speech in noise at 8 kHz."""
        return cls(**_SPEECH, filters=12, depth=5)

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(**_SPEECH, filters=6, depth=4)

    def magnitudes(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Return what each network claims (B, S, C, F, K), before the claims share the mixture.

        The published networks are trained on these, with ``l1``.
        """
        claims = self.masker.claims(self.masker.seen(spectrogram))
        return self.masker.extend(claims, spectrogram) * spectrogram.abs()[:, None]


_SPEECH = {
    "sources": ["speech", "noise"],
    "channels": 1,
    "n_fft": 512,
    "hop_length": 128,
    "bandwidth": None,
    "extension": "average",
    "log": True,
    "dropout": 0.0,
    "sample_rate": 8000,
}
