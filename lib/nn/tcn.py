"""Temporal convolutional networks: stacks of dilated convolutions with a cheap inside."""

from __future__ import annotations

import torch
from torch import nn

from lib.errors import InputError
from lib.framing import Memory
from lib.nn.activations import PReLU
from lib.nn.convolutions import DilatedDepthwise, Pointwise, pointwise
from lib.nn.norms import make_norm

__all__ = ["TCN", "DilatedBlock", "receptive_field"]


def receptive_field(kernel_size: int, blocks: int, repeats: int = 1) -> int:
    """How many frames an output frame of a TCN depends on: 1 + R (P - 1) (2^X - 1).

    Args:
        kernel_size: P, taps of each dilated convolution.
        blocks: X, whose dilations are 1, 2, 4 ... 2^(X - 1).
        repeats: R.

    Source: Luo and Mesgarani, "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019, section II-C.

    Example:
        >>> receptive_field(kernel_size=3, blocks=8, repeats=3)
        1531
    """
    return 1 + repeats * (kernel_size - 1) * (2**blocks - 1)


class DilatedBlock(nn.Module):
    """1-D conv block: widen, filter each channel for itself, narrow; to the next block and out.

    Args:
        channels: B, of input and residual output.
        hidden: H, of the depthwise convolution.
        skip: Sc, channels of the skip output.
        kernel_size: P, taps.
        dilation: frames between taps.
        norm: see :func:`lib.nn.norms.make_norm`.
        causal: look at no later frame.
        residual: whether there is a next block, which needs the residual output.

    Source: Luo and Mesgarani, "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019, fig. 1 (C).

    Example:
        >>> block = DilatedBlock(8, 16, 4)
        >>> onwards, skip = block(torch.randn(2, 8, 50))
        >>> onwards.shape, skip.shape
        (torch.Size([2, 8, 50]), torch.Size([2, 4, 50]))
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        skip: int,
        kernel_size: int = 3,
        dilation: int = 1,
        norm: str = "global",
        causal: bool = False,
        residual: bool = True,
    ):
        super().__init__()
        self.causal = causal
        self.widen = Pointwise(channels, hidden)
        self.widen_activation = PReLU()
        self.widen_norm = make_norm(norm, hidden)
        self.depthwise = DilatedDepthwise(hidden, kernel_size, dilation)
        self.depthwise_activation = PReLU()
        self.depthwise_norm = make_norm(norm, hidden)
        self.residual = Pointwise(hidden, channels) if residual else None
        self.skip = Pointwise(hidden, skip)

    def forward(
        self, features: torch.Tensor, memory: Memory | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map features (B, B', K) to those for the next block (B, B', K) and out (B, Sc, K)."""
        hidden = self.widen_activation(self.widen(features))  # (B, H, K)
        hidden = self._look_around(self.widen_norm(hidden, memory), memory)  # (B, H, K)
        hidden = self.depthwise_norm(self.depthwise_activation(hidden), memory)
        if self.residual is None:
            return features, self.skip(hidden)
        onwards, skip = pointwise(hidden, self.residual, self.skip)  # one product for both
        return features + onwards, skip

    def _look_around(self, hidden: torch.Tensor, memory: Memory | None) -> torch.Tensor:
        """Filter each channel, with zeros around the frames, or what a stream heard before."""
        context = self.depthwise.reach
        if memory is None:
            before = context if self.causal else context // 2
            return self.depthwise(hidden, (before, context - before))
        before = memory.get(self)
        if before is None:
            before = hidden.new_zeros(*hidden.shape[:2], context)
        hidden = torch.cat([before, hidden], -1)  # (B, H, context + K)
        # a copy: a view would keep all of the piece
        memory[self] = hidden[..., hidden.shape[-1] - context :].clone()
        return self.depthwise(hidden)


class TCN(nn.Module):
    """R stacks of X blocks whose dilation doubles; the sum of their skip outputs.

    Args:
        channels: B.
        hidden: H.
        skip: Sc.
        kernel_size: P.
        blocks: X.
        repeats: R.
        norm: see :func:`lib.nn.norms.make_norm`.
        causal: look at no later frame.
        last_residual: keep the residual output of the last block, which nothing reads.

    Raises:
        InputError: without a block.

    Example:
        >>> TCN(8, 16, 4, blocks=3, repeats=2)(torch.randn(2, 8, 50)).shape
        torch.Size([2, 4, 50])
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        skip: int,
        kernel_size: int = 3,
        blocks: int = 8,
        repeats: int = 3,
        norm: str = "global",
        causal: bool = False,
        last_residual: bool = False,
    ):
        super().__init__()
        if blocks < 1 or repeats < 1:
            raise InputError(
                f"blocks, repeats: expected at least one of each, got {blocks}, {repeats}"
            )
        self.blocks = nn.ModuleList(
            DilatedBlock(
                channels,
                hidden,
                skip,
                kernel_size,
                2 ** (number % blocks),
                norm,
                causal,
                residual=last_residual or number < repeats * blocks - 1,
            )
            for number in range(repeats * blocks)
        )

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, B', K) to (B, Sc, K)."""
        total: torch.Tensor | float = 0.0
        for block in self.blocks:
            features, skip = block(features, memory)
            total = total + skip
        return total
