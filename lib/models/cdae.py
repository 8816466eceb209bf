"""CDAE: convolutional denoising auto-encoders that answer with a source, not with a mask.

E. M. Grais and M. D. Plumbley, "Single channel audio source separation using convolutional
denoising autoencoders", GlobalSIP 2017, arXiv:1703.08019.

To an auto-encoder of one source, all others are noise to be removed: it maps the magnitudes of the
mixture straight to those of its source. Convolutions and pooling narrow 15 x 1025 points to a small
map, convolutions and repetition widen it again; what is too fine for the small map must be made up.
Each source has a network of its own, and lends the phase of the mixture.

==========  =========================  =====================================================
paper       argument                   meaning
==========  =========================  =====================================================
F           ``n_fft // 2 + 1``         frequencies (1025)
N           (15)                       frames of a patch
filters     ``filters``                of the layers up to the middle; the decoder mirrors them
pooling     ``pooling``                (frames, frequencies) after the first layers
==========  =========================  =====================================================

The filters (12, 20, 30, 40, 30, 20, 12, 1, all 3 x 3) and the pooling (3 x 5, then 1 x 5) are a
reading whose count, 37,101 per source, fits the paper's claim of far fewer parameters than a
feed-forward network; the paper's own table could not be consulted.

Deviations:
    - The network runs over the whole spectrogram; being convolutional, it needs no patches of 15
      frames. The ends are padded with silence to a multiple of the pooling.
    - Levels are relative to the mixture's mean power, and come back in the answer.
    - The answer passes a softplus: a ReLU that answers zero everywhere no longer learns.
    - ``small()`` and ``tiny()`` see the logarithm of the magnitudes, and scale what they answer by
      the mean magnitude of each frequency.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.models.base import SpectrogramSeparator
from lib.stft import STFT

# magnitudes below this share of the mixture's mean look like silence (-60 dB)
_FLOOR = 1e-3


class AutoEncoder(nn.Module):
    """Map magnitudes to magnitudes through a narrow middle.

    Args:
        filters: of the convolutions up to the middle; the decoder has them in reverse, and one more
            convolution gives the answer.
        pooling: (frames, frequencies) to pool after each of the first convolutions, undone in
            reverse order before the mirrored ones.

    Example:
        >>> network = AutoEncoder([2, 3], [(2, 3)])
        >>> network(torch.rand(4, 1, 6, 9)).shape
        torch.Size([4, 1, 6, 9])
    """

    def __init__(self, filters: Sequence[int], pooling: Sequence[Sequence[int]]):
        super().__init__()
        *down, _ = filters
        widths = [1, *filters, *down[::-1]]
        blocks: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            mirrored = len(widths) - 2 - number
            blocks += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            if number < len(pooling):
                blocks.append(nn.MaxPool2d(tuple(pooling[number])))
            elif mirrored < len(pooling):
                blocks.append(nn.Upsample(scale_factor=tuple(map(float, pooling[mirrored]))))
        blocks += [nn.Conv2d(widths[-1], 1, 3, padding=1), nn.Softplus()]
        self.layers = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, 1, K, F) to the same shape, in multiples of the pooling."""
        return self.layers(x)


class AutoEncoders(nn.Module):
    """The auto-encoders of all sources, and the scaling around them.

    Example:
        >>> network = AutoEncoders(bins=5, sources=2, filters=[2, 3], pooling=[(2, 2)])
        >>> network(torch.randn(3, 1, 5, 7, dtype=torch.complex64)).shape
        torch.Size([3, 2, 1, 5, 7])
    """

    mean: torch.Tensor
    scale: torch.Tensor
    level: torch.Tensor

    def __init__(
        self,
        bins: int,
        sources: int,
        filters: Sequence[int],
        pooling: Sequence[Sequence[int]],
        log: bool = False,
    ):
        super().__init__()
        self.log = log
        self.multiple = [math.prod(size) for size in zip(*pooling, strict=True)]  # (frames, bins)
        self.networks = nn.ModuleList(AutoEncoder(filters, pooling) for _ in range(sources))
        self.register_buffer("mean", torch.zeros(bins))
        self.register_buffer("scale", torch.ones(bins))
        self.register_buffer("level", torch.ones(bins))

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to magnitudes (B, S, C, F, K)."""
        batch, channels, bins, frames = spectrogram.shape
        x, whole = self.relative(spectrogram)  # (B, C, K, F), (B, 1, 1, 1)
        if self.log:
            x = ((x + _FLOOR).log() - self.mean) / self.scale
        x = x.flatten(0, 1)[:, None]  # (B * C, 1, K, F)
        x = functional.pad(x, (0, -bins % self.multiple[1], 0, -frames % self.multiple[0]))
        answers = torch.cat([network(x) for network in self.networks], 1)  # (B * C, S, K', F')
        answers = answers[:, :, :frames, :bins].float().unflatten(0, (batch, channels))
        answers = answers * self.level * whole[..., None]  # (B, C, S, K, F)
        return answers.permute(0, 2, 1, 4, 3)  # (B, S, C, F, K)

    def relative(self, spectrogram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return magnitudes (B, C, K, F) relative to the level (B, 1, 1, 1), and the level."""
        magnitudes = spectrogram.abs().float().transpose(2, 3)  # (B, C, K, F)
        whole = magnitudes.square().mean((1, 2, 3), keepdim=True).clamp_min(1e-20).sqrt()
        return magnitudes / whole, whole

    @torch.no_grad()
    def calibrate(self, spectrograms: Iterable[torch.Tensor]) -> None:
        """Set the statistics from spectrograms ``(channels, freq, frames)``."""
        if not self.log:
            return
        frames = torch.cat([self.relative(one[None])[0].flatten(0, 2) for one in spectrograms])
        logarithms = (frames + _FLOOR).log()  # (frames, F)
        self.mean.copy_(logarithms.mean(0))
        self.scale.copy_(logarithms.std(0).clamp_min(1e-3))
        self.level.copy_(frames.mean(0).clamp_min(_FLOOR))


class CDAE(SpectrogramSeparator):
    """Magnitudes of each source from an auto-encoder of its own, with the phase of the mixture.

    ``masker`` is the auto-encoders, whose answers are magnitudes: train it by ``magnitudes`` or by
    waveforms, not by masks. Channels are separated one by one.

    Args:
        sources: their names.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        filters: of the convolutions up to the middle.
        pooling: (frames, frequencies) after the first convolutions.
        log: see the logarithm of the magnitudes.
        sample_rate: Hz.

    Raises:
        InputError: without sources, or with as much pooling as convolutions.

    Example:
        >>> CDAE.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: AutoEncoders

    def __init__(
        self,
        sources: Sequence[str] = ("vocals", "drums", "bass", "other"),
        n_fft: int = 2048,
        hop_length: int = 512,
        filters: Sequence[int] = (12, 20, 30, 40),
        pooling: Sequence[Sequence[int]] = ((3, 5), (1, 5)),
        log: bool = False,
        sample_rate: int = 44100,
    ):
        if isinstance(sources, str) or not sources:
            raise InputError(f"sources: expected a list of names, got {sources!r}")
        if len(pooling) >= len(filters):
            raise InputError(
                f"pooling: expected fewer than the {len(filters)} filters, got {len(pooling)}"
            )
        super().__init__(STFT(n_fft, hop_length), sample_rate, sources)
        self.masker = AutoEncoders(n_fft // 2 + 1, len(sources), filters, pooling, log)

    @classmethod
    def paper(cls) -> Self:
        """Build four auto-encoders of 37,101 parameters, one per stem of a song."""
        return cls()

    @classmethod
    def small(cls) -> Self:
        """Build a size for speech in noise at 16 kHz."""
        return cls(**_SPEECH, filters=[24, 40, 60, 80])

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(**_SPEECH, filters=[12, 20, 30])

    def spectra(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the spectrograms (B, S, C, F, K) of the sources, with the mixture's phase."""
        return self.magnitudes(spectrogram) * torch.sgn(spectrogram)[:, None]

    def magnitudes(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the magnitudes (B, S, C, F, K) of the sources."""
        return self.masker(spectrogram)

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set the statistics of the network's input and answer."""
        self.masker.calibrate(self.encoder(mixture) for mixture in mixtures)


_SPEECH = {
    "sources": ["speech", "noise"],
    "n_fft": 512,
    "hop_length": 256,
    "pooling": [(3, 2), (1, 2)],
    "log": True,
    "sample_rate": 16000,
}
