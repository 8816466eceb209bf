"""Blocks in which every layer hears all layers before it, each at a dilation of its own.

N. Takahashi and Y. Mitsufuji, "D3Net: Densely connected multidilated DenseNet for music source
separation", 2020, arXiv:2010.01733.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

__all__ = ["D2Block", "D3Block", "DenseUNet"]


class _Dense(nn.Module):
    """Steps of which each adds to what all later ones hear; the last one's part comes out.

    A step hears its own ``growth`` channels, the sum of what the steps before sent it. That is a
    convolution over all their outputs, written per sender instead of per receiver.
    """

    def __init__(
        self, step: Callable[[int, int, int], nn.Module], inputs: int, growth: int, count: int
    ):
        super().__init__()
        self.growth = growth
        self.steps = nn.ModuleList(
            step(growth if number else inputs, growth * (count - number), number)
            for number in range(count)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs, K, F) to (B, growth, K, F)."""
        parts = self.steps[0](x).split(self.growth, 1)  # count x (B, growth, K, F)
        for step in self.steps[1:]:
            sent = step(parts[0]).split(self.growth, 1)
            parts = [part + more for part, more in zip(parts[1:], sent, strict=True)]
        return parts[0]


class D2Block(_Dense):
    """Layers that hear layer i before them at dilation 2^i: near and far at once, without gaps.

    With one dilation for all, a layer would hear dilated what has not been smoothed before, and so
    with blind spots.

    Args:
        inputs: channels.
        growth: channels that a layer gives to each later one; those of the result.
        layers: how many.
        multidilated: else all at dilation 1, as in DenseNet.

    Source: the paper, section 2.2; channels as in the authors' code.

    Example:
        >>> D2Block(3, growth=4, layers=3)(torch.randn(2, 3, 10, 20)).shape
        torch.Size([2, 4, 10, 20])
    """

    def __init__(self, inputs: int, growth: int, layers: int, multidilated: bool = True):
        def layer(inputs: int, outputs: int, number: int) -> nn.Module:
            dilation = 2**number if multidilated else 1
            convolution = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
            return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), convolution)

        super().__init__(layer, inputs, growth, layers)


class D3Block(_Dense):
    """D2 blocks that are densely connected in turn.

    Args:
        inputs: channels.
        growth: channels that a block gives to each later one; those of the result.
        layers: of a D2 block.
        blocks: how many.

    Source: the paper, section 2.3.

    Example:
        >>> D3Block(3, growth=4, layers=2, blocks=2)(torch.randn(2, 3, 10, 20)).shape
        torch.Size([2, 4, 10, 20])
    """

    def __init__(self, inputs: int, growth: int, layers: int, blocks: int):
        super().__init__(lambda i, o, _: D2Block(i, o, layers), inputs, growth, blocks)


class DenseUNet(nn.Module):
    """A D3 block at each scale on the way down, in the middle, and on the way up.

    Args:
        channels: of the input.
        filters: of the first convolution.
        growth: of each block, an odd number of them.
        layers: of the D2 blocks in each block.
        blocks: D2 blocks in each block.

    Example:
        >>> DenseUNet(2, 8, [4, 6, 4], [2, 2, 2], [1, 2, 1])(torch.randn(3, 2, 7, 21)).shape
        torch.Size([3, 4, 7, 21])
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        growth: Sequence[int],
        layers: Sequence[int],
        blocks: Sequence[int],
    ):
        super().__init__()
        depth = len(growth) // 2
        self.first = nn.Conv2d(channels, filters, 3, padding=1)
        sizes = list(zip(growth, layers, blocks, strict=True))
        widths = [filters, *growth[: depth + 1]]
        self.down = nn.ModuleList(
            D3Block(inputs, *size) for inputs, size in zip(widths, sizes[: depth + 1], strict=False)
        )  # the middle is the last
        self.doublings = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ConvTranspose2d(width, width, 2, stride=2))
            for width in growth[depth:-1]
        )
        self.up = nn.ModuleList(
            D3Block(width + skip, *size)
            for width, skip, size in zip(
                growth[depth:-1], growth[:depth][::-1], sizes[depth + 1 :], strict=True
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, K, F) to (B, last growth, K, F)."""
        frames, bins = x.shape[-2:]
        multiple = 2 ** len(self.up)
        x = functional.pad(x, (0, -bins % multiple, 0, -frames % multiple))
        x, skips = self.first(x), []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = functional.avg_pool2d(x, 2)  # (B, G, K / 2, F / 2)
        x = self.down[-1](x)
        for doubling, block in zip(self.doublings, self.up, strict=True):
            x = block(torch.cat([doubling(x), skips.pop()], 1))  # (B, G', 2 K, 2 F)
        return x[..., :frames, :bins]
