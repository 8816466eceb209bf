"""Recurrent layers that go on where the piece of a stream before ended."""

from __future__ import annotations

import torch
from torch import nn

from lib.errors import InputError
from lib.framing import Memory

__all__ = ["read"]


def read(layers: nn.RNNBase, x: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
    """Run recurrent layers over a sequence, or over the next piece of one.

    Args:
        layers: such as ``nn.LSTM``.
        x: what they take, ``(batch, frames, inputs)`` with ``batch_first``.
        memory: of a stream.

    Returns:
        The outputs of the last layer.

    Raises:
        InputError: for a stream through layers that read backwards, too.

    Example:
        >>> layers, x, memory = nn.GRU(3, 4, batch_first=True), torch.randn(1, 10, 3), {}
        >>> pieces = [read(layers, piece, memory) for piece in x.split(4, 1)]
        >>> torch.allclose(torch.cat(pieces, 1), read(layers, x), atol=1e-6)
        True
    """
    if memory is None:
        return layers(x)[0]
    if layers.bidirectional:
        raise InputError(
            f"stream: expected layers that read forwards, got a bidirectional {layers.mode}"
        )
    x, memory[layers] = layers(x, memory.get(layers))
    return x
