"""Demucs: a U-Net on the samples of songs, with a BLSTM between its ways.

A. Defossez, N. Usunier, L. Bottou and F. Bach, "Music source separation in the waveform domain",
arXiv:1911.13254. This is the second version, the code of 2020 and 2021; Hybrid Demucs followed at
ISMIR 2021.

Convolutions with a stride of 4 and gated linear units bring the signal down to about 22 frames a
second, where a BLSTM looks at all of them; transposed convolutions bring it up again, and each
level adds its features to those from below. No mask: the last layer says the samples of all
sources.

=========  =================  ===================================================================
paper      argument           meaning
=========  =================  ===================================================================
L          ``depth``          levels
K          ``kernel_size``    samples of a frame, on each level
S          ``stride``         samples between frames, on each level
C_1        ``filters``        channels of the first level; they double from level to level
a          ``rescale_to``     what the size of the first weights is brought near to
3          ``context``        frames that a gated mixture sees on the way up
=========  =================  ===================================================================

The shift trick of the paper is an option of :func:`lib.separate.separate`.

Deviations:
    - Convolutions do not pad, so the network answers for the middle of what it hears. ``forward``
      puts silence around the mixture, as much as the authors do, and gives it back in full length.
    - The published code without ``normalize`` divides by 1 + 1e-5; so does this one.
    - ``small()`` and ``tiny()`` work at the rate of the signal, with fewer levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.models.base import Separator, check_mixture, different_names
from lib.models.hybrid_demucs import STEMS
from lib.nn.demucs import Down, Up, rescale, std_mean
from lib.nn.interpolation import change_rate

_EPSILON = 1e-5  # added to the standard deviation


class Demucs(Separator):
    """Samples of each source from samples of the mixture.

    Args:
        sources: names of the estimates.
        channels: of the mixture and of each estimate.
        filters: channels of the first level; they double from level to level.
        depth: levels.
        kernel_size: samples of a frame.
        stride: samples between frames.
        context: frames that a gated mixture sees on the way up.
        layers: of the BLSTM.
        resampling: work at twice the rate.
        normalize: divide the mixture by its standard deviation.
        rescale_to: size that the first weights are brought near to, see
            :func:`lib.nn.demucs.rescale`.
        sample_rate: Hz.

    Raises:
        InputError: for sizes that cannot be.

    Example:
        >>> Demucs.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    channels: int

    def __init__(
        self,
        sources: Sequence[str] = STEMS,
        channels: int = 2,
        filters: int = 64,
        depth: int = 6,
        kernel_size: int = 8,
        stride: int = 4,
        context: int = 3,
        layers: int = 2,
        resampling: bool = True,
        normalize: bool = False,
        rescale_to: float = 0.1,
        sample_rate: int = 44100,
    ):
        super().__init__()
        self.source_names = different_names(sources)
        for name, number in (("depth", depth), ("filters", filters), ("layers", layers)):
            if number < 1:
                raise InputError(f"{name}: expected at least 1, got {number}")
        if not 1 <= stride <= kernel_size:
            raise InputError(f"stride: expected 1 to kernel_size={kernel_size}, got {stride}")
        if context < 1 or context % 2 == 0:
            raise InputError(f"context: expected an odd number, got {context}")
        self.sample_rate, self.channels = sample_rate, channels
        self.sizes = kernel_size, stride, depth, context
        self.rate, self.normalize = 1 + resampling, normalize
        widths = [channels, *(filters * 2**level for level in range(depth))]
        self.down = nn.ModuleList(
            Down(*pair, kernel_size, stride) for pair in zip(widths, widths[1:], strict=False)
        )
        self.lstm = nn.LSTM(widths[-1], widths[-1], layers, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * widths[-1], widths[-1])
        widths[0] = channels * len(sources)
        self.up = nn.ModuleList(
            Up(widths[level], widths[level - 1], kernel_size, stride, level == 1, context)
            for level in range(depth, 0, -1)
        )
        rescale(self, rescale_to)

    @classmethod
    def paper(cls, filters: int = 64) -> Self:
        """Build a published size: 64 channels (265,679,496 parameters), or 48 (149,462,504)."""
        return cls(filters=filters)

    @classmethod
    def small(cls) -> Self:
        """Build the size of the recipe ``demucs-small``: four stems in stereo at 16 kHz."""
        return cls(filters=24, depth=4, resampling=False, sample_rate=16000)

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training: the vocals of mono songs."""
        return cls(
            ["vocals", "accompaniment"],
            channels=1,
            filters=12,
            depth=3,
            resampling=False,
            sample_rate=8000,
        )

    def valid_length(self, time: int) -> int:
        """Return the shortest length that fills all frames and is answered with as many samples.

        Args:
            time: samples that are wanted.

        Example:
            >>> model = Demucs(filters=1)
            >>> model.valid_length(441_000), model.answered_length(447_146)
            (447146, 441686)
        """
        kernel_size, stride, depth, context = self.sizes
        frames = time * self.rate
        for _ in range(depth):
            frames = max(1, -(-(frames - kernel_size) // stride) + 1) + context - 1
        for _ in range(depth):
            frames = (frames - 1) * stride + kernel_size
        return -(-frames // self.rate)

    def answered_length(self, length: int) -> int:
        """Return how many samples the network answers with.

        Args:
            length: samples that it hears, see :meth:`valid_length`.

        Example:
            >>> Demucs(filters=1, context=1, resampling=False).answered_length(5460)
            5460
        """
        kernel_size, stride, depth, context = self.sizes
        frames = length * self.rate
        for _ in range(depth):
            frames = (frames - kernel_size) // stride + 1
        for _ in range(depth):
            frames = (frames - context) * stride + kernel_size
        return frames // self.rate

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`lib.models.base.Separator.forward`."""
        check_mixture(mixture, self.channels)
        time = mixture.shape[-1]
        around = self.valid_length(time) - time
        padded = functional.pad(mixture, (around // 2, around - around // 2))
        return _middle(self.answer(padded), time)

    def answer(self, mixture: torch.Tensor) -> torch.Tensor:
        """Map a mixture (B, C, T) to what it has context for, (B, S, C, less than T)."""
        deviation, mean = 1.0, 0.0
        if self.normalize:
            deviation, mean = std_mean(mixture.mean(1, keepdim=True), (-1,))  # (B, 1, 1)
        x, levels = (mixture - mean) / (_EPSILON + deviation), []
        if self.rate == 2:
            x = change_rate(x, 1, 2)
        for block in self.down:
            x = block(x)  # (B, W, K)
            levels.append(x)
        x = self.linear(self.lstm(x.mT)[0]).mT
        for block in self.up:
            x = block(x, _middle(levels.pop(), x.shape[-1]))  # (B, W / 2, K stride)
        x = at_least_float32(x)
        if self.rate == 2:
            x = change_rate(x, 2, 1)
        return (x * deviation + mean).unflatten(1, (self.sources, self.channels))


def _middle(features: torch.Tensor, length: int) -> torch.Tensor:
    """Cut as much from both ends; of an odd number, one more from the end."""
    return features.narrow(-1, (features.shape[-1] - length) // 2, length)
