"""Two sequences that read themselves and each other, in turn: the middle of HT Demucs.

S. Rouard, F. Massa and A. Defossez, "Hybrid transformers for music source separation", ICASSP 2023,
arXiv:2211.08553.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.nn.attention import SelfAttention, positional_encoding

__all__ = ["CrossTransformer", "JointNorm", "ScaledLayer", "places_of_points", "places_of_samples"]


def places_of_points(bins: int, frames: int, channels: int, like: torch.Tensor) -> torch.Tensor:
    """Describe the points of a spectrogram, frame by frame.

    Half of the channels say when, the other half at which frequency, each as
    :func:`lib.nn.attention.positional_encoding`.

    Args:
        bins: frequencies.
        frames: of the spectrogram.
        channels: a multiple of 4.
        like: a tensor of the wanted device and type.

    Returns:
        ``(frames * bins, channels)``.

    Example:
        >>> places_of_points(bins=2, frames=3, channels=8, like=torch.zeros(1)).shape
        torch.Size([6, 8])
    """
    when, pitch = (
        positional_encoding(count, channels // 2, like.device, like.dtype)
        for count in (frames, bins)
    )
    shape = frames, bins, channels // 2
    return torch.cat([when[:, None].expand(shape), pitch.expand(shape)], -1).flatten(0, 1)


def places_of_samples(count: int, channels: int, like: torch.Tensor) -> torch.Tensor:
    """Describe places in time by cosines, then sines, of wavelengths from 1 to 10000 radians.

    Args:
        count: how many places.
        channels: an even number, at least 4.
        like: a tensor of the wanted device and type.

    Returns:
        ``(count, channels)``.

    Example:
        >>> places_of_samples(2, 4, like=torch.zeros(1)).round(decimals=2)
        tensor([[1.0000, 1.0000, 0.0000, 0.0000],
                [0.5400, 1.0000, 0.8400, 0.0000]])
    """
    steps = torch.linspace(0, 1, channels // 2, device=like.device, dtype=like.dtype)
    times = torch.arange(count, device=like.device, dtype=like.dtype)
    angles = times[:, None] / 10000.0**steps
    return torch.cat([angles.cos(), angles.sin()], -1)


class JointNorm(nn.GroupNorm):
    """Mean and variance over all frames and channels of a sequence.

    Args:
        channels: each with a gain and an offset of its own.

    Example:
        >>> normed = JointNorm(4)(5 + 3 * torch.randn(2, 100, 4))
        >>> bool(normed.mean().abs() < 1e-5), bool((normed.var() - 1).abs() < 0.01)
        (True, True)
    """

    def __init__(self, channels: int):
        super().__init__(1, channels)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalise frames (B, T, C)."""
        normed = functional.layer_norm(frames, frames.shape[1:], eps=self.eps)
        return torch.addcmul(self.bias, normed, self.weight)


class ScaledLayer(nn.Module):
    """Attention, then a network for each frame; what they add is scaled down at first (LayerScale).

    ``x <- x + a Attention(Norm(x))``, ``x <- x + b W2 gelu(W1 Norm(x))``, ``x <- JointNorm(x)``,
    with a gain of a and b for each channel.

    Args:
        channels: of input and output.
        heads: of the attention.
        hidden: of the network for each frame.
        cross: it reads another sequence.
        dropout: of what is added.
        scale: first value of a and b.

    Source: LayerScale: H. Touvron et al., "Going deeper with image transformers", ICCV 2021.

    Example:
        >>> layer = ScaledLayer(channels=8, heads=2, hidden=32, cross=True)
        >>> layer(torch.randn(3, 50, 8), torch.randn(3, 20, 8)).shape
        torch.Size([3, 50, 8])
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        hidden: int,
        cross: bool,
        dropout: float = 0.0,
        scale: float = 1e-4,
    ):
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.other_norm = nn.LayerNorm(channels) if cross else None
        self.attention = SelfAttention(channels, heads, dropout)
        self.attention_scale = nn.Parameter(torch.full((channels,), scale))
        self.frame_norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.frame_scale = nn.Parameter(torch.full((channels,), scale))
        self.norm = JointNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Map frames (B, T, C) to the same shape.

        Args:
            frames: that read.
            other: that are read by a layer that crosses, ``(batch, other frames, channels)``.
        """
        other = None if self.other_norm is None else self.other_norm(other)
        read = self.dropout(self.attention(self.attention_norm(frames), other))
        frames = torch.addcmul(frames, self.attention_scale, read)
        hidden = self.dropout(functional.gelu(self.widen(self.frame_norm(frames))))
        added = self.dropout(self.narrow(hidden))
        return self.norm(torch.addcmul(frames, self.frame_scale, added))


class CrossTransformer(nn.Module):
    """Layers in which two sequences read themselves, and between them such that read the other.

    Args:
        channels: of both.
        layers: of each; the first, third ... read themselves.
        heads: of the attention.
        hidden: of the network for each frame.
        dropout: of what is added.

    Raises:
        InputError: for channels that are no multiple of 4.

    Example:
        >>> transformer = CrossTransformer(channels=8, layers=3, heads=2, hidden=32)
        >>> points, samples = transformer(torch.randn(2, 8, 4, 10), torch.randn(2, 8, 50))
        >>> points.shape, samples.shape
        (torch.Size([2, 8, 4, 10]), torch.Size([2, 8, 50]))
    """

    def __init__(self, channels: int, layers: int, heads: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        if channels % 4:
            raise InputError(f"channels: expected a multiple of 4, got {channels}")
        self.norm, self.time_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.layers, self.time_layers = (
            nn.ModuleList(
                ScaledLayer(channels, heads, hidden, cross=number % 2 == 1, dropout=dropout)
                for number in range(layers)
            )
            for _ in range(2)
        )

    def forward(
        self, points: torch.Tensor, samples: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map points (B, C, F, K) of a spectrogram and samples (B, C, T) to the same shapes."""
        _, channels, bins, frames = points.shape
        x = self.norm(points.permute(0, 3, 2, 1).flatten(1, 2))  # (B, K F, C)
        y = self.time_norm(samples.mT)  # (B, T, C)
        x = x + places_of_points(bins, frames, channels, like=x)
        y = y + places_of_samples(y.shape[1], channels, like=y)
        for layer, time_layer in zip(self.layers, self.time_layers, strict=True):
            x, y = layer(x, y), time_layer(y, x)
        return x.unflatten(1, (frames, bins)).permute(0, 3, 2, 1), y.mT
