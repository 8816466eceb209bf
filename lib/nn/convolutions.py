"""The two cheap convolutions: over channels at one frame, and over frames of one channel.

They compute what ``nn.Conv1d`` does with the same arguments, in the forms that processors are good
at. ``tests/bench_models.py`` measures them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from lib.nn.eager import eager_on_cpu, exporting

__all__ = ["DilatedDepthwise", "Pointwise", "pointwise"]

_SHORT = 32  # frames: in a piece of a stream it is the calls of kernels that cost


def pointwise(features: torch.Tensor, *layers: nn.Conv1d) -> tuple[torch.Tensor, ...]:
    """Apply 1x1 convolutions to the same features, as one.

    Args:
        features: ``(batch, channels, frames)``.
        layers: with one tap each.

    Returns:
        For each layer ``(batch, its channels, frames)``.

    Example:
        >>> to_two, to_three = Pointwise(8, 2), Pointwise(8, 3)
        >>> [part.shape[1] for part in pointwise(torch.randn(1, 8, 50), to_two, to_three)]
        [2, 3]
    """
    if eager_on_cpu(features) and features.shape[-1] <= _SHORT:
        rows = features.transpose(1, 2)  # (B, K, C)
        return tuple(
            functional.linear(rows, layer.weight[..., 0], layer.bias).transpose(1, 2)
            for layer in layers
        )
    weight = torch.cat([layer.weight for layer in layers])  # (all their channels, C, 1)
    bias = torch.cat([layer.bias for layer in layers])
    # one tap has no neighbours, so dilation changes nothing but the kernel that PyTorch takes:
    # oneDNN's also for a single thread, on some processors twice as fast as BLAS; from this size on
    large = not exporting() and features.is_cpu and features.numel() > 20480
    dilation = 2 if large else 1
    outputs = functional.conv1d(features, weight, bias, dilation=dilation)
    return outputs.split([layer.out_channels for layer in layers], 1)


class Pointwise(nn.Conv1d):
    """1x1 convolution: one matrix for every frame.

    Args:
        inputs: channels.
        outputs: channels.

    Example:
        >>> Pointwise(8, 2)(torch.randn(1, 8, 50)).shape
        torch.Size([1, 2, 50])
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, K) to (B, C', K)."""
        return pointwise(features, self)[0]


class DilatedDepthwise(nn.Conv1d):
    """Each channel has its own filter, whose taps are ``dilation`` frames apart.

    Written in rows of ``dilation`` frames, the sequence has a tap's neighbour right above or below
    it. The dilated filter becomes a plain filter along columns::

        0 1 2 3
        4 5 6 7      frames 1, 5 and 9: a filter of three taps with dilation 4
        8 9 ...

    Args:
        channels: of input and output.
        kernel_size: P, taps.
        dilation: frames between taps.

    Example:
        >>> DilatedDepthwise(8, kernel_size=3, dilation=4)(torch.randn(1, 8, 50), (4, 4)).shape
        torch.Size([1, 8, 50])
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int = 1):
        super().__init__(channels, channels, kernel_size, dilation=dilation, groups=channels)
        self.reach = (kernel_size - 1) * dilation  # frames besides the one of the output

    def forward(self, features: torch.Tensor, around: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """Filter features (B, C, K) with so many zeros before and behind."""
        if exporting():
            return super().forward(functional.pad(features, around))
        before, behind = around
        if eager_on_cpu(features) and features.shape[-1] - self.reach <= _SHORT and not any(around):
            frames = features.shape[-1] - self.reach
            filtered = self.bias[:, None]
            for tap, start in enumerate(range(0, self.reach + 1, self.dilation[0])):
                piece = features[..., start : start + frames]
                filtered = torch.addcmul(filtered, piece, self.weight[..., tap])
            return filtered
        (dilation,) = self.dilation
        frames = features.shape[-1] + before + behind - self.reach  # of the output
        features = functional.pad(features, (before, behind + -frames % dilation))
        rows = features.unflatten(-1, (-1, dilation))  # (B, C, rows, dilation)
        weight = self.weight[..., None]  # (C, 1, P, 1)
        filtered = functional.conv2d(rows, weight, self.bias, groups=self.groups)
        return filtered.flatten(-2)[..., :frames]
