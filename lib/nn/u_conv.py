"""U-ConvBlock: see a sequence at several rates, and add what was seen up again."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.framing import Memory
from lib.nn.norms import make_norm

__all__ = ["UConvBlock"]


class UConvBlock(nn.Module):
    """Widen, halve the rate again and again, come back up adding each level, narrow, add.

    A level filters each channel for itself with 5 taps. The taps of level q lie 2^(q - 1) frames
    apart (for q > 0), so that context grows as with dilated convolutions, while the work halves
    from level to level.

    Args:
        channels: of input and output.
        hidden: inside.
        depth: levels, the first at full rate.
        norm: see :func:`lib.nn.norms.make_norm`.

    Raises:
        InputError: for an unknown norm, or without a level.

    Source: Tzinis, Wang and Smaragdis, "Sudo rm -rf", MLSP 2020, algorithm 1.

    Example:
        >>> UConvBlock(8, 16, depth=3)(torch.randn(2, 8, 50)).shape
        torch.Size([2, 8, 50])
    """

    def __init__(self, channels: int, hidden: int, depth: int = 5, norm: str = "global"):
        super().__init__()
        if depth < 1:
            raise InputError(f"depth: expected at least 1, got {depth}")
        self.widen = nn.Conv1d(channels, hidden, 1)
        self.widen_norm = make_norm(norm, hidden)
        self.widen_activation = nn.PReLU(hidden)
        self.levels = nn.ModuleList(
            nn.Conv1d(hidden, hidden, 5, 2 if level else 1, 2, groups=hidden)
            for level in range(depth)
        )
        self.level_norms = nn.ModuleList(make_norm(norm, hidden) for _ in range(depth))
        self.sum_norm = make_norm(norm, hidden)
        self.sum_activation = nn.PReLU(hidden)
        self.narrow = nn.Conv1d(hidden, channels, 1)
        self.narrow_norm = make_norm(norm, channels)
        self.output_norm = make_norm(norm, channels)
        self.output_activation = nn.PReLU(channels)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, C, K) to (B, C, K)."""
        level = self.widen_activation(self.widen_norm(self.widen(features), memory))  # (B, H, K)
        levels = []
        for convolution, norm in zip(self.levels, self.level_norms, strict=True):
            level = norm(convolution(level))  # (B, H, K), then (B, H, K / 2) ..., rounded up
            levels.append(level)
        total = levels.pop()
        while levels:
            finer = levels.pop()
            doubled = functional.interpolate(total, scale_factor=2)  # each frame twice
            total = finer + doubled[..., : finer.shape[-1]]
        total = self.sum_activation(self.sum_norm(total))  # (B, H, K)
        narrow = self.narrow_norm(self.narrow(total))  # (B, C, K)
        return self.output_activation(self.output_norm(narrow + features))
