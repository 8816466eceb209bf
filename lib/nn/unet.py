"""Blocks of U-Nets on spectrograms: halve both axes, double both axes, and meet half-way across.

To halve an even number of points exactly, a kernel of k points with stride 2 needs k - 2 zeros
around them; an odd k leaves one zero more for one of the ends. PyTorch's ``padding=k // 2`` puts it
before the first point, TensorFlow's ``"same"`` behind the last: weights of one network do not fit
the other. ``before`` says how many stand before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.nn.film import film

__all__ = ["Contraction", "Doubling", "Expansion", "Halving", "SpectrogramUNet", "pad_to_multiple"]

SLOPE = 0.2  # of the leaky ReLUs on the way down


def pad_to_multiple(features: torch.Tensor, multiple: int) -> torch.Tensor:
    """Append zeros until both last axes are multiples of a number.

    Args:
        features: ``(..., rows, columns)``.
        multiple: of what.

    Example:
        >>> pad_to_multiple(torch.ones(1, 3, 8), 4).shape
        torch.Size([1, 4, 8])
    """
    rows, columns = features.shape[-2:]
    return functional.pad(features, (0, -columns % multiple, 0, -rows % multiple))


def _zeros_before(kernel_size: int, before: int | None) -> int:
    """Check how many of the zeros stand before the first point; None for half, rounded up."""
    if kernel_size < 2:
        raise InputError(f"kernel_size: expected at least 2, got {kernel_size}")
    if before is None:
        return (kernel_size - 1) // 2
    if not 0 <= before <= (kernel_size - 1) // 2:
        raise InputError(f"before: expected 0 to {(kernel_size - 1) // 2}, got {before}")
    return before


class Halving(nn.Conv2d):
    """Convolution with stride 2 that halves even numbers of rows and columns exactly.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: points of the kernel on each axis.
        before: zeros before the first point; the others of ``kernel_size - 2`` stand behind the
            last. PyTorch's habit if not given.

    Raises:
        InputError: for a kernel below 2 points, or more than half of the zeros before.

    Example:
        >>> Halving(1, 3)(torch.randn(2, 1, 8, 10)).shape
        torch.Size([2, 3, 4, 5])
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 5, before: int | None = None):
        before = _zeros_before(kernel_size, before)
        super().__init__(inputs, outputs, kernel_size, 2, before)
        self.missing = max(0, kernel_size - 2 - 2 * before)  # zeros behind that are not before

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, K, F) to (B, C', K / 2, F / 2)."""
        if self.missing:
            features = functional.pad(features, (0, self.missing, 0, self.missing))
        return super().forward(features)


class Doubling(nn.ConvTranspose2d):
    """Transposed convolution: the way back of :class:`Halving` with the same arguments.

    Example:
        >>> Doubling(3, 1)(torch.randn(2, 3, 4, 5)).shape
        torch.Size([2, 1, 8, 10])
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 5, before: int | None = None):
        before = _zeros_before(kernel_size, before)
        more = max(0, 2 * before + 2 - kernel_size)
        super().__init__(inputs, outputs, kernel_size, 2, before, more)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, K, F) to (B, C', 2 K, 2 F)."""
        rows, columns = features.shape[-2:]
        return super().forward(features)[..., : 2 * rows, : 2 * columns]


class Contraction(nn.Module):
    """Halve, normalise over the batch, let a condition scale and shift, rectify leakily.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: points of the kernel on each axis.

    Example:
        >>> Contraction(1, 3)(torch.randn(2, 1, 8, 10)).shape
        torch.Size([2, 3, 4, 5])
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 5):
        super().__init__()
        self.halving = Halving(inputs, outputs, kernel_size)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(
        self,
        features: torch.Tensor,
        modulation: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Map features (B, C, K, F) to (B, C', K / 2, F / 2).

        Args:
            features: even numbers of rows and columns.
            modulation: scales and shifts, see :func:`lib.nn.film.film`.
        """
        x = self.norm(self.halving(features))  # (B, C', K / 2, F / 2)
        if modulation is not None:
            x = film(x, *modulation)
        return functional.leaky_relu(x, SLOPE)


class Expansion(nn.Module):
    """Double, normalise over the batch, rectify, drop some.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: points of the kernel on each axis.
        dropout: share of points dropped in training.

    Example:
        >>> Expansion(3, 1)(torch.randn(2, 3, 4, 5)).shape
        torch.Size([2, 1, 8, 10])
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 5, dropout: float = 0.0):
        super().__init__()
        self.doubling = Doubling(inputs, outputs, kernel_size)
        self.norm = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, K, F) to (B, C', 2 K, 2 F)."""
        return self.dropout(self.norm(self.doubling(features)).relu())


class SpectrogramUNet(nn.Module):
    """From one picture of a spectrogram to others of the same size, through a narrow middle.

    Contractions double their filters from level to level, expansions halve them. With skips each
    expansion but the first sees, beside the one before it, the contraction of its size: what the
    middle has no room for. Nothing else passes the middle.

    The network sees all frequencies but the highest, whose number then often is a power of two; the
    answer repeats the one below. Both axes are padded to multiples of ``2 ** depth`` and cropped.

    Args:
        outputs: pictures.
        filters: of the first contraction.
        depth: contractions.
        kernel_size: points of the kernels on each axis.
        skips: between contractions and expansions.
        dropout: in the first three expansions.

    Raises:
        InputError: without outputs or filters, or for a depth below 1.

    Source: Jansson et al., "Singing voice separation with deep U-Net convolutional networks",
    ISMIR 2017, section 3.

    Example:
        >>> SpectrogramUNet(outputs=2, filters=4, depth=3)(torch.randn(1, 11, 17)).shape
        torch.Size([1, 2, 17, 11])
    """

    def __init__(
        self,
        outputs: int = 1,
        filters: int = 16,
        depth: int = 6,
        kernel_size: int = 5,
        skips: bool = True,
        dropout: float = 0.5,
    ):
        super().__init__()
        for name, value in (("outputs", outputs), ("filters", filters), ("depth", depth)):
            if value < 1:
                raise InputError(f"{name}: expected at least 1, got {value}")
        self.skips = skips
        self.widths = [filters * 2**level for level in range(depth)]  # of the contractions
        self.contractions = nn.ModuleList(
            Contraction(inputs, width, kernel_size)
            for inputs, width in zip([1, *self.widths], self.widths, strict=False)
        )
        both = 2 if skips else 1
        inputs = [self.widths[-1], *(both * width for width in self.widths[-2::-1])]
        self.expansions = nn.ModuleList(
            Expansion(inputs[level], width, kernel_size, dropout if level < 3 else 0.0)
            for level, width in enumerate(self.widths[-2::-1])
        )
        self.last = Doubling(inputs[-1], outputs, kernel_size)

    def forward(
        self,
        features: torch.Tensor,
        modulations: Sequence[tuple[torch.Tensor, torch.Tensor]] | None = None,
    ) -> torch.Tensor:
        """Map features (B, K, F) to logits (B, outputs, F, K).

        Args:
            features: of the mixture.
            modulations: scales and shifts of each contraction, see :class:`lib.nn.film.Control`.
        """
        frames, seen = features.shape[1], max(1, features.shape[2] - 1)
        x = pad_to_multiple(features[:, None, :, :seen], 2 ** len(self.widths))  # (B, 1, K', F')
        levels = []
        for level, contraction in enumerate(self.contractions):
            x = contraction(x, modulations[level] if modulations else None)
            levels.append(x)  # (B, C, K' / 2, F' / 2), then (B, 2 C, K' / 4, F' / 4), ...
        levels.pop()
        for expansion in self.expansions:
            x = expansion(x)  # (B, C, 2 K, 2 F)
            beside = levels.pop()
            if self.skips:
                x = torch.cat([x, beside], 1)  # (B, 2 C, 2 K, 2 F)
        logits = at_least_float32(self.last(x)[..., :frames, :seen])  # (B, outputs, K, F - 1)
        above = logits[..., -1:].expand(-1, -1, -1, features.shape[2] - seen)
        return torch.cat([logits, above], -1).transpose(2, 3)  # (B, outputs, F, K)
