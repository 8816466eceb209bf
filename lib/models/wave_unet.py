"""Wave-U-Net: a U-Net on the samples themselves, which predicts only what it has context for.

D. Stoller, S. Ewert and S. Dixon, "Wave-U-Net: A multi-scale neural network for end-to-end audio
source separation", ISMIR 2018, arXiv:1806.03185.

Each block of the way down filters the signal and drops every second sample; each block of the way
up doubles the rate again and sees, beside the coarse features, those of its own rate from the way
down. Nothing is masked: the last convolution answers with samples, or with all sources but the
last, which is what they leave of the mixture. Convolutions see no zeros that are not part of the
signal, so the answer is shorter than the input; what is cut off is the context.

======  =====================  ================================================================
paper   argument               meaning
======  =====================  ================================================================
K       ``sources``            names of the estimates
C       ``channels``           channels of the mixture and of each source
L       ``depth``              blocks on each way; the lowest rate is 2^L times lower
F_c     ``filters``            channels of the first block, and how many each further one adds
f_d     ``kernel_size``        taps of the convolutions on the way down and in the middle
f_u     ``up_kernel_size``     taps of the convolutions on the way up
======  =====================  ================================================================

The variants of the paper: M1 pads each convolution with zeros (``padding="same"``), M2 adds the
difference output, M3 the context (``padding="valid"``), M4 two channels, M5 learned up-sampling.

With context the system can be computed in blocks without a change of result, see
:meth:`WaveUNet.predict`.

Deviations:
    - :meth:`WaveUNet.forward` gives the ends of a signal context of zeros, so that the answer is as
      long as the mixture. The paper's network answers for the middle of excerpts.
    - With ``padding="same"`` 2^L m + 1 samples come in and each rate has one sample more than twice
      the rate below, less one, as with context. The authors' network takes 2^L m samples and
      stretches features to twice their length, which shifts them against each other.
    - The vocals come first, and the difference is the accompaniment; in the authors' code it is the
      other way round.
    - ``small()`` and ``tiny()`` answer without a tanh, whatever the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.models.base import Separator, check_mixture
from lib.nn.activations import make_activation
from lib.nn.wave_unet import UpSampling, reach, valid_lengths, valid_output

SLOPE = 0.2  # of the leaky rectifiers below zero, as in the authors' code


class WaveUNet(Separator):
    """Samples of each source from samples of the mixture, by a U-Net of one-dimensional blocks.

    Args:
        sources: names of the estimates.
        channels: of the mixture and of each estimate.
        filters: channels of the first block, and how many each further one adds.
        depth: blocks on each way.
        kernel_size: taps on the way down; odd.
        up_kernel_size: taps on the way up; odd.
        padding: ``valid``, with context; or ``same``, zeros around each convolution.
        upsampling: ``linear`` or ``learned``.
        difference: the last estimate is what the others leave of the mixture.
        activation: of the answer: ``tanh``, or ``linear`` for none.
        sample_rate: Hz.

    Raises:
        InputError: for an unknown padding, up-sampling or activation, sizes that cannot be, or a
            difference of one source.

    Example:
        >>> WaveUNet.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    channels: int

    def __init__(
        self,
        sources: Sequence[str] = ("vocals", "accompaniment"),
        channels: int = 1,
        filters: int = 24,
        depth: int = 12,
        kernel_size: int = 15,
        up_kernel_size: int = 5,
        padding: str = "valid",
        upsampling: str = "linear",
        difference: bool = False,
        activation: str = "tanh",
        sample_rate: int = 22050,
    ):
        super().__init__()
        if isinstance(sources, str) or len(set(sources)) < max(len(sources), 1 + difference):
            raise InputError(
                f"sources: expected a list of different names, {1 + difference} or more, got "
                f"{sources!r}"
            )
        for name, value, known in (
            ("padding", padding, ("valid", "same")),
            ("upsampling", upsampling, ("linear", "learned")),
        ):
            if value not in known:
                raise InputError(f"{name}: expected {' or '.join(known)}, got {value!r}")
        for name, taps in (("kernel_size", kernel_size), ("up_kernel_size", up_kernel_size)):
            if taps < 1 or taps % 2 == 0:
                raise InputError(f"{name}: expected an odd number, got {taps}")
        if depth < 1:
            raise InputError(f"depth: expected at least 1, got {depth}")
        self.sample_rate, self.channels = sample_rate, channels
        self.source_names = tuple(sources)
        self.stride = 2**depth
        self.sizes = depth, kernel_size, up_kernel_size
        self.padding, self.difference = padding, difference
        widths = [channels] + [filters * (level + 1) for level in range(depth + 1)]
        self.down = nn.ModuleList(
            nn.Conv1d(widths[level], widths[level + 1], kernel_size, padding=padding)
            for level in range(depth)
        )
        self.middle = nn.Conv1d(widths[-2], widths[-1], kernel_size, padding=padding)
        # from the lowest rate to the highest
        self.upsample = nn.ModuleList(
            UpSampling(width, upsampling == "learned") for width in widths[:1:-1]
        )
        self.up = nn.ModuleList(
            nn.Conv1d(width + skip, skip, up_kernel_size, padding=padding)
            for width, skip in zip(widths[:1:-1], widths[-2:0:-1], strict=True)
        )
        answers = (len(sources) - difference) * channels
        self.output = nn.Conv1d(widths[1] + channels, answers, 1)
        self.activation = make_activation(activation)
        self.leaky = nn.LeakyReLU(SLOPE)
        self.lookahead, self.receptive_field = reach(*self.sizes)

    @classmethod
    def paper(cls, variant: str = "M1") -> Self:
        """Build a variant of the paper, M1 to M5.

        Parameters: M1 10,263,028, M2 and M3 10,263,002, M4 10,263,390, M5 10,265,550.
        """
        if variant not in _VARIANTS:
            raise InputError(f"variant: expected one of {', '.join(_VARIANTS)}, got {variant!r}")
        return cls(**_VARIANTS[variant])

    @classmethod
    def small(cls, task: str = "speech") -> Self:
        """Build a size for training on one core: ``speech`` in noise, or ``singing``."""
        if task not in _TASKS:
            raise InputError(f"task: expected one of {', '.join(_TASKS)}, got {task!r}")
        return cls(**_TASKS[task])

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(**_TASKS["speech"] | {"filters": 8, "depth": 5})

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`lib.models.base.Separator.forward`."""
        check_mixture(mixture, self.channels)
        time = mixture.shape[-1]
        if self.padding == "same":
            behind = (1 - time) % self.stride
            return self._answer(functional.pad(mixture, (0, behind)))[..., :time]
        needed, given = valid_lengths(time, *self.sizes)
        context = (needed - given) // 2
        padded = functional.pad(mixture, (context, needed - time - context))
        return self._answer(padded)[..., :time]

    def predict(self, mixture: torch.Tensor) -> torch.Tensor:
        """Answer for the middle of an excerpt, which has its context on both sides.

        What comes out depends on nothing but the excerpt, so a long signal can be answered piece by
        piece, exactly as if at once. Pieces of the answer must begin at multiples of ``stride``
        samples: on the way down every second sample is dropped, and from another beginning it
        would be the other one.

        Args:
            mixture: ``(batch, channels, time)``, of a length that
                :func:`lib.nn.wave_unet.valid_lengths` finds.

        Returns:
            ``(batch, sources, channels, less time)``.

        Raises:
            InputError: for another length, or a network without context.

        Example:
            >>> from lib.nn.wave_unet import valid_lengths
            >>> model = WaveUNet.tiny()
            >>> needed, given = valid_lengths(1000, *model.sizes)
            >>> model.predict(torch.randn(1, 1, needed)).shape[-1] == given
            True
        """
        check_mixture(mixture, self.channels)
        if self.padding == "same":
            raise InputError("padding: expected valid, which leaves context, got 'same'")
        valid_output(mixture.shape[-1], *self.sizes)
        return self._answer(mixture)

    def _answer(self, mixture: torch.Tensor) -> torch.Tensor:
        """Map (B, C, T) to (B, S, C, T'); rates differ by (K + 1) / 2."""
        x, skips = mixture, []
        for convolution in self.down:
            x = self.leaky(convolution(x))  # (B, F, K)
            skips.append(x)
            x = x[..., ::2]  # (B, F, (K + 1) / 2)
        x = self.leaky(self.middle(x))
        for upsample, convolution in zip(self.upsample, self.up, strict=True):
            x = upsample(x)  # (B, F', K')
            x = self.leaky(convolution(torch.cat([_middle(skips.pop(), x), x], 1)))
        mixture = _middle(mixture, x)
        answer = self.output(torch.cat([mixture, x], 1))  # (B, S C or (S - 1) C, T')
        answer = self.activation(at_least_float32(answer))
        answer = answer.unflatten(1, (-1, self.channels))  # (B, S or S - 1, C, T')
        if not self.difference:
            return answer
        return torch.cat([answer, mixture[:, None] - answer.sum(1, keepdim=True)], 1)


def _middle(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Cut features to the length of others, as much at each end."""
    cut = (features.shape[-1] - like.shape[-1]) // 2
    return features[..., cut : features.shape[-1] - cut]


_VARIANTS: dict[str, dict] = {"M1": {"padding": "same"}}
_VARIANTS["M2"] = _VARIANTS["M1"] | {"difference": True}
_VARIANTS["M3"] = _VARIANTS["M2"] | {"padding": "valid"}
_VARIANTS["M4"] = _VARIANTS["M3"] | {"channels": 2}
_VARIANTS["M5"] = _VARIANTS["M4"] | {"upsampling": "learned"}

_TASKS: dict[str, dict] = {
    "speech": {
        "sources": ["speech", "noise"],
        "filters": 12,
        "depth": 8,
        "difference": True,
        "activation": "linear",
        "sample_rate": 8000,
    },
    "singing": {
        "sources": ["vocals", "accompaniment"],
        "filters": 8,
        "depth": 10,
        "difference": True,
        "activation": "linear",
        "sample_rate": 16000,
    },
}
