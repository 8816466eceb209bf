"""Recurrent layers that go on where the piece of a stream before ended."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.framing import Memory
from lib.nn.eager import eager_on_cpu

__all__ = ["read"]

_SHORT = 8  # frames: PyTorch's LSTM rearranges all weights at each call on a processor


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
    state = memory.get(layers)
    few = isinstance(layers, nn.LSTM) and layers.batch_first and x.shape[1] <= _SHORT
    if few and eager_on_cpu(x) and not layers.training:
        x, memory[layers] = _step(layers, x, state)
    else:
        x, memory[layers] = layers(x, state)
    return x


def _step(
    layers: nn.LSTM, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Do what the layers do, frame by frame."""
    if state is None:
        zeros = x.new_zeros(layers.num_layers, len(x), layers.hidden_size)
        state = zeros, zeros
    hiddens, cells = [], []
    for (from_input, from_hidden, *biases), hidden, cell in zip(
        layers.all_weights, *state, strict=True
    ):
        input_bias, hidden_bias = biases or (None, None)
        outputs = []
        for gates in functional.linear(x, from_input, input_bias).unbind(1):
            gates = gates + functional.linear(hidden, from_hidden, hidden_bias)  # (B, 4 H)
            enter, keep, new, show = gates.chunk(4, -1)
            cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = show.sigmoid() * cell.tanh()
            outputs.append(hidden)
        x = torch.stack(outputs, 1)  # (B, K, H)
        hiddens.append(hidden)
        cells.append(cell)
    return x, (torch.stack(hiddens), torch.stack(cells))
