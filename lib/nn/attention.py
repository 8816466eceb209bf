"""Self-attention: every frame reads every other, and learns which ones to read.

Attention knows nothing of order. :func:`positional_encoding` writes the place of a frame into its
features. :class:`TransformerLayer` is attention and a small network that each add to their input.
:func:`attention_maps` shows who reads whom.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import full_precision

__all__ = ["SelfAttention", "TransformerLayer", "attention_maps", "positional_encoding"]


def positional_encoding(
    length: int,
    channels: int,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Describe the places 0, 1, 2 ... by sines and cosines of many wavelengths.

    ``p[t, 2 i] = sin(t / 10000^(2 i / C))`` and ``p[t, 2 i + 1] = cos(t / 10000^(2 i / C))``. It is
    computed where it is needed, so that no table ends before the sound does.

    Args:
        length: how many places.
        channels: C, even.
        device: of the result.
        dtype: of the result.

    Returns:
        ``(length, channels)``.

    Raises:
        InputError: for an odd number of channels.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5.

    Example:
        >>> positional_encoding(2, 4)
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    if channels < 2 or channels % 2:
        raise InputError(f"channels: expected an even number of them, got {channels}")
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    pairs = torch.arange(0, channels, 2, device=device, dtype=exact)
    slowness = torch.exp(pairs * (-math.log(10000.0) / channels))  # (C / 2,)
    angles = torch.arange(length, device=device, dtype=exact)[:, None] * slowness  # (T, C / 2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1).to(dtype)  # (T, C)


class SelfAttention(nn.Module):
    """Multi-head self-attention.

    Each frame makes a query, a key and a value, and for each head h

    ``A_h = softmax(Q_h K_h' / sqrt(C / H))``, ``Y = [A_1 V_1, ..., A_H V_H] W + b``.

    Row t of A says which frames the frame t reads. With other frames at hand keys and values are
    made of those (cross-attention). ``forward`` never holds A as a whole
    (``torch.nn.functional.scaled_dot_product_attention``); :meth:`weights` computes it to be
    looked at.

    Args:
        channels: C, of input and output.
        heads: H, a divisor of C.
        dropout: of the weights.
        bias: add offsets, to queries, keys and values as well.

    Raises:
        InputError: if the heads do not divide the channels.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.

    Example:
        >>> attention = SelfAttention(channels=8, heads=2)
        >>> frames = torch.randn(3, 50, 8)
        >>> attention(frames).shape, attention.weights(frames).shape
        (torch.Size([3, 50, 8]), torch.Size([3, 2, 50, 50]))
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        if heads < 1 or channels < 1 or channels % heads:
            raise InputError(
                f"heads: expected a number that divides the {channels} channels, got {heads}"
            )
        self.heads, self.dropout = heads, dropout
        self.project = nn.Linear(channels, 3 * channels, bias)  # to queries, keys and values
        self.output = nn.Linear(channels, channels, bias)

    def _queries_keys_values(
        self, frames: torch.Tensor, other: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Three of (B, H, T, C / H); with other frames the last two of (B, H, S, C / H)."""
        if other is None:
            projected = self.project(frames).unflatten(-1, (3, self.heads, -1))
            return projected.permute(2, 0, 3, 1, 4).unbind(0)  # of (3, B, H, T, C / H)
        sizes = (frames.shape[-1], 2 * frames.shape[-1])
        weights, bias = self.project.weight.split(sizes), self.project.bias
        biases = (None, None) if bias is None else bias.split(sizes)
        queries = functional.linear(frames, weights[0], biases[0])
        queries = queries.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        both = functional.linear(other, weights[1], biases[1])
        keys, values = both.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return queries, keys, values

    def forward(self, frames: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """Map frames (B, T, C) to (B, T, C).

        Args:
            frames: that read.
            other: that are read, ``(batch, other frames, channels)``; the same if not given.
        """
        return self.output(self.read(frames, other).transpose(1, 2).flatten(2))

    def read(self, frames: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """Return what each head reads for each frame of (B, T, C), (B, H, T, C / H)."""
        attend = functional.scaled_dot_product_attention
        if frames.device.type == "cpu":  # whose gradients of it in bfloat16 take ten times longer
            attend = full_precision(attend)
        return attend(
            *self._queries_keys_values(frames, other),
            dropout_p=self.dropout if self.training else 0.0,
        )

    @torch.no_grad()
    def weights(self, frames: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """Compute which frames each frame of (B, T, C) reads: (B, H, T, T), rows that sum to 1."""
        queries, keys, _ = self._queries_keys_values(frames, other)
        return (queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5).softmax(-1)


class TransformerLayer(nn.Module):
    """Attention, then a network for each frame; both read normalised frames and add what they find.

    ``x <- x + Attention(Norm(x))``, ``x <- x + W2 relu(W1 Norm(x))``.

    Args:
        channels: C, of input and output.
        heads: of the attention.
        hidden: of the network for each frame.
        dropout: of what is added.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017, with the norms before as
    in R. Xiong et al., "On layer normalization in the transformer architecture", ICML 2020.

    Example:
        >>> TransformerLayer(channels=8, heads=2, hidden=32)(torch.randn(3, 50, 8)).shape
        torch.Size([3, 50, 8])
    """

    def __init__(self, channels: int, heads: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels, eps=1e-6)
        self.attention = SelfAttention(channels, heads, dropout)
        self.frame_norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Map frames (B, T, C) to (B, T, C)."""
        frames = frames + self.dropout(self.attention(self.attention_norm(frames)))
        hidden = self.dropout(self.widen(self.frame_norm(frames)).relu())  # (B, T, hidden)
        return frames + self.dropout(self.narrow(hidden))


@torch.no_grad()
def attention_maps(model: nn.Module, *inputs: Any) -> dict[str, torch.Tensor]:
    """Look at every attention layer of a model while it works on an input.

    Training and separating pay nothing for it: the weights are computed here only, a second time.
    A layer needs (heads x frames x frames) numbers for each sequence, so take a short excerpt.

    Args:
        model: holds :class:`SelfAttention` layers.
        inputs: of its ``forward``.

    Returns:
        for the name of each layer its weights ``(sequences, heads, frames, frames)``.

    Raises:
        InputError: if the model has no such layer.

    Example:
        >>> layer = TransformerLayer(channels=8, heads=2, hidden=32)
        >>> maps = attention_maps(layer, torch.randn(3, 50, 8))
        >>> maps["attention"].shape, bool(torch.allclose(maps["attention"].sum(-1), torch.ones(1)))
        (torch.Size([3, 2, 50, 50]), True)
    """
    layers = {n: layer for n, layer in model.named_modules() if isinstance(layer, SelfAttention)}
    if not layers:
        raise InputError(f"model: expected one with SelfAttention, got {type(model).__name__}")
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    hooks = [
        layer.register_forward_pre_hook(
            lambda layer, frames, name=name: seen[name].append(layer.weights(*frames))
        )
        for name, layer in layers.items()
    ]
    try:
        model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(pieces) for name, pieces in seen.items() if pieces}
