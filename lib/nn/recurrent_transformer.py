"""DPTNet's layer: attention, then a recurrent network, which knows the order of the frames."""

from __future__ import annotations

import torch
from torch import nn

from lib.errors import InputError
from lib.framing import Memory
from lib.nn.attention import SelfAttention
from lib.nn.norms import make_norm

__all__ = ["RecurrentTransformerLayer"]


class RecurrentTransformerLayer(nn.Module):
    """Attention and an LSTM that each add to their input; norms follow.

    ``x <- Norm(x + Attention(x))``, ``x <- Norm(x + W relu(LSTM(x)))``.

    A transformer widens and narrows each frame for itself, and has to be told the frames' places.
    Here an LSTM widens: it reads the frames in their order, and no positions are added.

    Args:
        channels: C, of input and output.
        heads: of the attention.
        hidden: units of the LSTM, per direction.
        dropout: of the attention's weights, and of what is added.
        norm: of each sequence, see :func:`lib.nn.norms.make_norm`.

    Source: Chen, Mao and Liu, "Dual-path transformer network", Interspeech 2020, section 2.2.

    Example:
        >>> RecurrentTransformerLayer(channels=8, heads=2, hidden=16)(torch.randn(3, 50, 8)).shape
        torch.Size([3, 50, 8])
    """

    def __init__(
        self, channels: int, heads: int, hidden: int, dropout: float = 0.0, norm: str = "channel"
    ):
        super().__init__()
        self.attention = SelfAttention(channels, heads, dropout)
        self.attention_norm = make_norm(norm, channels)
        self.recurrent = nn.LSTM(channels, hidden, bidirectional=True)
        self.output = nn.Linear(2 * hidden, channels)
        self.output_norm = make_norm(norm, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, sequences: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map sequences (A, T, C) to (A, T, C)."""
        if memory is not None:
            raise InputError(
                "stream: expected a causal system, got attention, which needs the whole input"
            )
        seen = sequences + self.dropout(self.attention(sequences))
        seen = self.attention_norm(seen.transpose(1, 2)).transpose(1, 2)  # (A, C, T) and back
        hidden = self.recurrent(seen.transpose(0, 1))[0].relu()  # (T, A, 2 hidden)
        seen = seen + self.dropout(self.output(self.dropout(hidden))).transpose(0, 1)
        return self.output_norm(seen.transpose(1, 2)).transpose(1, 2)
