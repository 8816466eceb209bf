"""Convolution as a matrix, and what transposed convolution transposes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from lib.errors import InputError

__all__ = ["convolution_matrix"]


def convolution_matrix(
    kernel: torch.Tensor,
    shape: Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
) -> torch.Tensor:
    """Write the convolution of an image (or a sequence) with a kernel as one matrix W.

    Each row holds the kernel where it lies for one point of the output: ``W @ x.flatten()`` is the
    convolution (in the sense of networks: the kernel is not turned round). A column says which
    outputs a point of the input goes to, so that ``W.T @ y.flatten()`` spreads an output over the
    input's places. That is transposed convolution: the shape comes back, not the values.

    Args:
        kernel: ``(rows, columns)``, or ``(taps,)``.
        shape: of the input, as many numbers as the kernel has axes.
        stride: between places of the kernel, one number or one per axis.
        padding: zeros around the input, one number or one per axis.

    Returns:
        ``(points of the output, points of the input)``.

    Raises:
        InputError: if the sizes do not belong together, or the kernel does not fit in.

    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
    arXiv:1603.07285, section 4.1.

    Example:
        >>> convolution_matrix(torch.tensor([1.0, 2.0, 3.0]), shape=[4])
        tensor([[1., 2., 3., 0.],
                [0., 1., 2., 3.]])
        >>> kernel, image = torch.rand(3, 3), torch.rand(4, 4)
        >>> matrix = convolution_matrix(kernel, image.shape)
        >>> convolved = torch.conv2d(image[None, None], kernel[None, None])
        >>> matrix.shape, torch.allclose(matrix @ image.flatten(), convolved.flatten())
        (torch.Size([4, 16]), True)
    """
    axes = kernel.ndim
    if axes < 1 or len(shape) != axes or kernel.numel() == 0 or min(shape) < 1:
        raise InputError(
            "kernel and shape: expected as many axes, none of them empty, got "
            f"{tuple(kernel.shape)} and {tuple(shape)}"
        )
    strides, paddings = (
        [value] * axes if isinstance(value, int) else list(value) for value in (stride, padding)
    )
    if len(strides) != axes or min(strides) < 1:
        raise InputError(f"stride: expected 1 or more, one number or {axes}, got {stride}")
    if len(paddings) != axes or min(paddings) < 0:
        raise InputError(f"padding: expected 0 or more, one number or {axes}, got {padding}")
    padded = [size + 2 * zeros for size, zeros in zip(shape, paddings, strict=True)]
    if any(taps > size for taps, size in zip(kernel.shape, padded, strict=True)):
        raise InputError(
            f"kernel: expected at most the padded shape {tuple(padded)}, got {tuple(kernel.shape)}"
        )
    # number the points of the input from 1, the zeros around it 0, and see what each place covers
    points = math.prod(shape)
    numbers = torch.arange(1, points + 1, device=kernel.device).view(*shape)
    around = itertools.chain.from_iterable((zeros, zeros) for zeros in reversed(paddings))
    numbers = functional.pad(numbers, tuple(around))
    for axis, (taps, step) in enumerate(zip(kernel.shape, strides, strict=True)):
        numbers = numbers.unfold(axis, taps, step)
    covered = numbers.flatten(0, axes - 1).flatten(1)  # (outputs, points of the kernel)
    matrix = kernel.new_zeros(len(covered), points + 1)
    return matrix.scatter(1, covered, kernel.flatten().expand(len(covered), -1))[:, 1:]
