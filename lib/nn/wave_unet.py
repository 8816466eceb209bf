"""Lengths and reach of a Wave-U-Net, and how it doubles a rate.

D. Stoller, S. Ewert and S. Dixon, "Wave-U-Net: A multi-scale neural network for end-to-end audio
source separation", ISMIR 2018, arXiv:1806.03185.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from lib.errors import InputError

__all__ = ["Lengths", "UpSampling", "reach", "valid_lengths", "valid_output"]


class Lengths(NamedTuple):
    """Samples that go in and that come out."""

    input: int
    output: int


def valid_lengths(
    output: int, depth: int = 12, kernel_size: int = 15, up_kernel_size: int = 5
) -> Lengths:
    """Find the shortest input whose answer has at least so many samples.

    Lengths of answers are ``up_kernel_size + k * 2**depth`` for whole k. The input is always longer
    by the same context, half of it on each side.

    Args:
        output: samples wanted.
        depth: L, blocks on each way.
        kernel_size: f_d, taps on the way down.
        up_kernel_size: f_u, taps on the way up.

    Returns:
        ``(input, output)``.

    Raises:
        InputError: for less than one sample.

    Example:
        >>> valid_lengths(16384)  # the paper's
        Lengths(input=147443, output=16389)
    """
    if output < 1:
        raise InputError(f"output: expected at least 1 sample, got {output}")
    stride = 2**depth
    answer = up_kernel_size + -(-(output - up_kernel_size) // stride) * stride
    # a convolution of f taps at a rate 2^i times lower takes 2^i (f - 1) samples of the input
    down = (kernel_size - 1) * (2 * stride - 1)  # L blocks and the middle
    up = (up_kernel_size - 1) * (stride - 1)
    return Lengths(answer + down + up, answer)


def valid_output(
    length: int, depth: int = 12, kernel_size: int = 15, up_kernel_size: int = 5
) -> int:
    """Count the samples that an input is answered with.

    Args:
        length: samples of the input.
        depth: L, blocks on each way.
        kernel_size: f_d, taps on the way down.
        up_kernel_size: f_u, taps on the way up.

    Raises:
        InputError: if no answer belongs to this length; it names the next that has one.

    Example:
        >>> valid_output(147443)
        16389
    """
    sizes = depth, kernel_size, up_kernel_size
    shortest = valid_lengths(1, *sizes)
    above = valid_lengths(max(1, length - shortest.input + shortest.output), *sizes)
    if above.input != length:
        raise InputError(
            f"mixture: expected {shortest.input} samples or a multiple of {2**depth} more, got "
            f"{length}; the next that fits is {above.input}"
        )
    return above.output


def reach(depth: int = 12, kernel_size: int = 15, up_kernel_size: int = 5) -> tuple[int, int]:
    """Find how many samples behind itself an output sample looks at most, and how many it sees.

    That depends on where it lies between two samples of the lowest rate: all places are tried.

    Args:
        depth: L, blocks on each way.
        kernel_size: f_d, taps on the way down.
        up_kernel_size: f_u, taps on the way up.

    Example:
        >>> reach()
        (69622, 135155)
    """
    first = last = place = np.arange(2**depth)
    for _ in range(depth):  # down to the lowest rate, through the blocks of the way up
        first = (first - up_kernel_size // 2) // 2
        last = -((-last - up_kernel_size // 2) // 2)
    around = kernel_size // 2
    first, last = first - around, last + around  # the middle
    for _ in range(depth):  # and back to the input, through the blocks of the way down
        first, last = 2 * first - around, 2 * last + around
    return int((last - place).max()), int((last - first).max()) + 1


class UpSampling(nn.Module):
    """Put one sample between every two.

    Args:
        channels: of the features.
        learned: a weight per channel says how much of the earlier neighbour it is, sigmoid(w); else
            it is their mean.

    Source: the paper, section 3.2.2.

    Example:
        >>> UpSampling(1)(torch.tensor([[[0.0, 2.0, 6.0]]]))
        tensor([[[0., 1., 2., 4., 6.]]])
    """

    def __init__(self, channels: int, learned: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels)) if learned else None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, K) to (B, C, 2 K - 1)."""
        before, behind = features[..., :-1], features[..., 1:]
        if self.weight is None:
            between = (before + behind) / 2
        else:
            between = torch.lerp(behind, before, self.weight.sigmoid()[:, None].to(behind))
        pairs = torch.stack([before, between], -1).flatten(-2)  # (B, C, 2 K - 2)
        return torch.cat([pairs, features[..., -1:]], -1)
