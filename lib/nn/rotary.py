"""Attention that knows how far frames are apart: queries and keys are turned by their places.

A query at place t is turned by angles that grow with t, a key likewise. In their product only the
difference of the angles is left, so what a frame reads depends on the distance, not on the place.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.nn.attention import SelfAttention

__all__ = ["RootMeanSquareNorm", "RotaryAttention", "RotaryLayer", "rotate"]


def rotate(features: torch.Tensor) -> torch.Tensor:
    """Turn each pair of features by an angle that grows with the place of its frame.

    Pair i of frame t, as a complex number, is multiplied by ``exp(j t / 10000^(2 i / D))``.

    Args:
        features: ``(..., frames, D)``, D even.

    Returns:
        The same shape.

    Raises:
        InputError: for an odd number of features.

    Source: J. Su et al., "RoFormer: enhanced transformer with rotary position embedding",
    Neurocomputing 568, 2024, arXiv:2104.09864, eq. 15.

    Example:
        >>> rotate(torch.tensor([[1.0, 0.0]] * 3))
        tensor([[ 1.0000,  0.0000],
                [ 0.5403,  0.8415],
                [-0.4161,  0.9093]])
    """
    frames, size = features.shape[-2:]
    if size % 2:
        raise InputError(f"features: expected an even number of them, got {size}")
    pairs = at_least_float32(features).unflatten(-1, (-1, 2)).contiguous()  # (..., T, D / 2, 2)
    places = torch.arange(frames, device=features.device, dtype=pairs.dtype)
    slowness = torch.arange(0, size, 2, device=features.device, dtype=pairs.dtype) / size
    angles = places[:, None] * 10000.0**-slowness  # (T, D / 2)
    turned = torch.view_as_complex(pairs) * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2).to(features.dtype)


class RootMeanSquareNorm(nn.Module):
    """Features divided by the root of their mean square, times gains.

    Args:
        shape: of the gains, whose last axis is that of the features.

    Source: B. Zhang and R. Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Example:
        >>> RootMeanSquareNorm(2)(torch.tensor([3.0, 4.0])).tolist()  # their root mean square: 3.5
        [0.8485281467437744, 1.1313709020614624]
    """

    def __init__(self, *shape: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise features (..., C)."""
        unit = functional.normalize(at_least_float32(features), dim=-1)
        return unit * features.shape[-1] ** 0.5 * self.weight


class RotaryAttention(SelfAttention):
    """Self-attention with turned queries and keys; each head may mute what it read, by frame.

    Args:
        channels: C, of input and output.
        heads: H, of an even number of features each.
        dropout: of the weights.

    Example:
        >>> RotaryAttention(channels=8, heads=2)(torch.randn(3, 50, 8)).shape
        torch.Size([3, 50, 8])
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0):
        super().__init__(channels, heads, dropout, bias=False)
        self.gate = nn.Linear(channels, heads)

    def _queries_keys_values(
        self, frames: torch.Tensor, other: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        queries, keys, values = super()._queries_keys_values(frames, other)
        return rotate(queries), rotate(keys), values

    def read(self, frames: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """Return what each head reads and lets through, (B, H, T, C / H)."""
        gates = self.gate(frames).sigmoid().transpose(1, 2)[..., None]  # (B, H, T, 1)
        return super().read(frames, other) * gates


class RotaryLayer(nn.Module):
    """Attention, then a network for each frame; both read normalised frames and add what they find.

    Args:
        channels: C, of input and output.
        heads: of the attention.
        hidden: of the network for each frame.
        dropout: of what is added, and of the attention's weights.

    Example:
        >>> RotaryLayer(channels=8, heads=2, hidden=32)(torch.randn(3, 50, 8)).shape
        torch.Size([3, 50, 8])
    """

    def __init__(self, channels: int, heads: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.attention_norm = RootMeanSquareNorm(channels)
        self.attention = RotaryAttention(channels, heads, dropout)
        self.frame_norm = RootMeanSquareNorm(channels)
        self.widen = nn.Linear(channels, hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Map frames (B, T, C) to (B, T, C)."""
        frames = frames + self.dropout(self.attention(self.attention_norm(frames)))
        hidden = self.dropout(functional.gelu(self.widen(self.frame_norm(frames))))
        return frames + self.dropout(self.narrow(hidden))
