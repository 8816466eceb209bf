"""Hybrid Demucs: a U-Net on the spectrogram and one on the samples, which share their middle.

A. Defossez, "Hybrid spectrogram and waveform source separation", MDX workshop at ISMIR 2021,
arXiv:2111.03600.

One network divides frequencies by 4 from layer to layer until one is left, the other divides time;
both then have one vector for each hop of the STFT, and go on as one. On the way back they part
again, and the estimate is the sum of a spectrogram's inverse and a waveform. The spectrogram is
complex, its real and imaginary parts are channels: nothing is masked.

==================  ======================  =======================================================
published           argument                meaning
==================  ======================  =======================================================
``channels``        ``filters``             channels of the first layer; they double
``depth``           ``depth``               layers
``nfft``            ``n_fft``               samples of a frame; a quarter of it lies between frames
``stride``          ``stride``              over frequency or time; a kernel has twice as many
``norm_starts``     ``norm_starts``         first layer with group normalisation
``dconv_lstm``      ``recurrent_starts``    first layer whose branch has BLSTMs and attention
``dconv_comp``      ``compression``         how many times fewer channels a branch has
``dconv_mode``      ``decoder_branches``    branches on the way back, too
``dconv_init``      ``branch_scale``        first factor of what a branch adds
==================  ======================  =======================================================

Deviations:
    - Published counts are 83,637,832 (the authors' package) and 83,639,368 (torchaudio): the latter
      has a normalisation that it never uses. The paper's results are those of several networks
      together, some of which had an error in their padding; there is no such error here.
    - The shared part of the way back starts from silence, as in the authors' code.
    - The first factors of the residual branches are 1e-4 as in the authors' code; the paper has
      1e-3.
    - A mixture of a single sample has a standard deviation of 0; the published ones have none.
    - ``small()`` and ``tiny()`` have shorter frames, fewer layers and a lower rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.models.base import Separator, check_mixture, different_names
from lib.nn.demucs import rescale, std_mean
from lib.nn.hybrid_demucs import (
    AlignedSTFT,
    DecoderLayer,
    EncoderLayer,
    FrequencyEmbedding,
    Gather,
    ResidualBranch,
    Spread,
)

STEMS = ("drums", "bass", "other", "vocals")
_EPSILON = 1e-5  # added to standard deviations
_GROUPS = 4  # of the normalisations
_SHARED_STRIDE = 2  # over time, of the layers behind the point where both networks meet


class HybridDemucs(Separator):
    """The sum of what a U-Net on the spectrogram and a U-Net on the samples say.

    Args:
        sources: names of the estimates.
        channels: of the mixture and of each estimate.
        filters: channels of the first layer; they double from layer to layer.
        depth: layers.
        n_fft: samples of a frame; a quarter of it lies between frames.
        stride: over frequency or time, even; a kernel has twice as many places.
        norm_starts: first layer, from 0, with group normalisation.
        recurrent_starts: first layer whose residual branch has BLSTMs and attention.
        compression: how many times fewer channels a residual branch has inside.
        decoder_branches: residual branches on the way back, too.
        branch_scale: first factor of what a residual branch adds.
        sample_rate: Hz.

    Raises:
        InputError: for sizes that cannot be: both networks must come to the same frames.

    Example:
        >>> HybridDemucs.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    channels: int
    meet_in_the_middle = True

    def __init__(
        self,
        sources: Sequence[str] = STEMS,
        channels: int = 2,
        filters: int = 48,
        depth: int = 6,
        n_fft: int = 4096,
        stride: int = 4,
        norm_starts: int = 4,
        recurrent_starts: int = 4,
        compression: int = 4,
        decoder_branches: bool = False,
        branch_scale: float = 1e-4,
        sample_rate: int = 44100,
    ):
        super().__init__()
        self.source_names = different_names(sources)
        levels = _levels(depth, n_fft, stride)
        if any(shape.meeting for shape in levels) != self.meet_in_the_middle:
            wanted = "layers that lead" if self.meet_in_the_middle else "fewer layers than lead"
            raise InputError(f"depth: expected {wanted} to one bin, got {depth}")
        self.sample_rate, self.channels = sample_rate, channels
        self.stft = AlignedSTFT(n_fft)
        self.embedding = FrequencyEmbedding(n_fft // 2 // stride, filters)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.time_encoder, self.time_decoder = nn.ModuleList(), nn.ModuleList()
        inputs, answers = channels, channels * len(sources)
        for level, shape in enumerate(levels):
            width, parts = filters * 2**level, 1 if level else 2  # real and imaginary
            ahead = {"groups": _GROUPS if level >= norm_starts else None}
            back = ahead | {"last": level == 0}
            recurrent = level >= recurrent_starts
            branch = partial(ResidualBranch, width, compression, recurrent, branch_scale)
            after = branch if decoder_branches else nn.Identity
            self.encoder.append(
                EncoderLayer(parts * inputs, width, **shape.layer, **ahead, branch=branch())
            )
            self.decoder.insert(
                0, DecoderLayer(width, parts * answers, **shape.layer, **back, branch=after())
            )
            if shape.meeting:
                self.time_encoder.append(Gather(inputs, width, **shape.time))
                self.time_decoder.insert(0, Spread(width, answers, **shape.time, **back))
            elif shape.time:
                self.time_encoder.append(
                    EncoderLayer(inputs, width, **shape.time, **ahead, branch=branch())
                )
                self.time_decoder.insert(
                    0, DecoderLayer(width, answers, **shape.time, **back, branch=after())
                )
            inputs = answers = width
        rescale(self)

    @classmethod
    def paper(cls) -> Self:
        """Build the published size (83,637,832 parameters)."""
        return cls()

    @classmethod
    def small(cls) -> Self:
        """Build the size of the recipe ``hybrid-demucs-small``: four stems in stereo at 16 kHz."""
        return cls(
            filters=16, depth=5, n_fft=1024, norm_starts=3, recurrent_starts=3, sample_rate=16000
        )

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training: the vocals of mono songs."""
        return cls(
            ["vocals", "accompaniment"],
            channels=1,
            filters=8,
            depth=4,
            n_fft=256,
            norm_starts=3,
            recurrent_starts=3,
            sample_rate=8000,
        )

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`lib.models.base.Separator.forward`."""
        check_mixture(mixture, self.channels)
        spectrogram = self.stft(mixture)
        x = torch.stack([spectrogram.real, spectrogram.imag], 2).flatten(1, 2)  # (B, 2 C, F, K)
        deviation, mean = std_mean(x, (1, 2, 3))
        time_deviation, time_mean = std_mean(mixture, (1, 2))
        x, y = self.answer(
            (x - mean) / (_EPSILON + deviation),
            (mixture - time_mean) / (_EPSILON + time_deviation),
        )
        x = at_least_float32(x) * deviation + mean  # (B, 2 S C, F, K)
        real, imaginary = x.unflatten(1, (self.sources, self.channels, 2)).unbind(3)
        y = at_least_float32(y) * time_deviation + time_mean  # (B, S C, T)
        waveform = self.stft.inverse(torch.complex(real, imaginary), mixture.shape[-1])
        return waveform + y.unflatten(1, (self.sources, self.channels))

    def answer(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map a spectrogram (B, 2 C, F, K) and samples (B, C, T) to (B, 2 S C, F, K), (B, S C, T).

        Both networks look at what they are given in the same units.
        """
        sizes, skips, time_sizes, time_skips = [], [], [], []
        for level, layer in enumerate(self.encoder):
            injected = None
            if level < len(self.time_encoder):
                time_sizes.append(y.shape[-1])
                y = self.time_encoder[level](y)  # (B, W, T / stride)
                time_skips.append(y)
                injected = y if self._meeting(level) else None
            elif x.ndim == 4:
                x = x.flatten(1, 2)  # the only bin
            sizes.append(x.shape[-1 if layer.over_time else 2])
            x = layer(x, injected)  # (B, W, F / stride, K) or (B, W, K / 2)
            x = x if level else self.embedding(x)
            skips.append(x)
        x, y = self.between(x, y)
        for layer, level in zip(self.decoder, reversed(range(len(self.decoder))), strict=True):
            skip = skips.pop()
            mixed = layer.mix(x.reshape(skip.shape) + skip)
            x = layer(mixed, sizes.pop())  # (B, W / 2, F stride, K) or (B, W / 2, 2 K)
            if level < len(self.time_decoder):
                time_layer, skip = self.time_decoder[-1 - level], time_skips.pop()
                y = mixed[:, :, 0] if self._meeting(level) else time_layer.mix(y + skip)
                y = time_layer(y, time_sizes.pop())  # (B, W / 2, T stride)
        return x, y

    def between(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Start the way back from silence: all that is known comes across."""
        return torch.zeros_like(x), y

    def _meeting(self, level: int) -> bool:
        return self.meet_in_the_middle and level == len(self.time_encoder) - 1


class _Level(NamedTuple):
    """How the layers of a level work."""

    layer: dict[str, Any]  # on the spectrogram, or on what both networks share
    time: dict[str, Any] | None  # on the samples
    meeting: bool  # one bin is left, and one frame for each hop


def _levels(depth: int, n_fft: int, stride: int) -> list[_Level]:
    if depth < 1 or stride < 2 or stride % 2:
        raise InputError(
            f"depth, stride: expected at least 1 and an even number, got {depth}, {stride}"
        )
    levels, bins = [], n_fft // 2
    for _ in range(depth):
        over = {"over": "frequency"}
        if bins == 1:
            both = {"kernel_size": 2 * _SHARED_STRIDE, "stride": _SHARED_STRIDE}
            levels.append(_Level(both, None, False))
        elif bins <= 2 * stride and bins % 4 == 0:
            layer = {"kernel_size": bins, "stride": stride, "padded": False}
            time = {"kernel_size": bins, "stride": bins // 2}
            levels.append(_Level(layer | over, time, True))
            bins = 1
        elif bins > 2 * stride and bins % stride == 0:
            layer = {"kernel_size": 2 * stride, "stride": stride}
            levels.append(_Level(layer | over, layer, False))
            bins //= stride
        else:
            raise InputError(
                f"n_fft: expected one that leaves a multiple of 4 bins to each of {depth} layers "
                f"with a stride of {stride}, got {n_fft}"
            )
    return levels
