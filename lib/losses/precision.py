"""What losses do with their arguments before they count: precision and shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from lib.errors import InputError

_HALF = (torch.float16, torch.bfloat16)


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Leave half precision, where an autocast chose it: losses, masks and embeddings need more.

    Args:
        x: a tensor.

    Example:
        >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x.float() if x.dtype in _HALF else x


def full_precision(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Compute a loss in float32 or better, outside of autocast.

    Energies and logarithms leave the range of half precision, and autocast would round the products
    in between.

    Args:
        function: takes tensors among its arguments. Those in half precision reach it as float32.

    Returns:
        The function, wrapped.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     full_precision(torch.mm)(torch.ones(1, 1), torch.ones(1, 1)).dtype
        torch.float32
    """

    def convert(value: Any) -> Any:
        return at_least_float32(value) if isinstance(value, torch.Tensor) else value

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> torch.Tensor:
        device = next((a.device.type for a in args if isinstance(a, torch.Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*map(convert, args), **{k: convert(v) for k, v in kwargs.items()})

    wrapped.broadcasts = True  # what this package wraps does; see lib.losses.pairwise
    return wrapped


def check_broadcast(
    estimate: torch.Tensor,
    reference: torch.Tensor,
    last: int = 1,
    names: tuple[str, str] = ("estimate", "reference"),
) -> None:
    """Require shapes that are equal, or broadcast without new dimensions.

    Args:
        estimate: a tensor.
        reference: another.
        last: how many of the last dimensions must be equal.
        names: theirs in the caller's signature.

    Raises:
        InputError: if the shapes do not fit.

    Example:
        >>> check_broadcast(torch.zeros(2, 1, 8), torch.zeros(1, 3, 8))
        >>> check_broadcast(torch.zeros(2, 8), torch.zeros(2, 9))
        Traceback (most recent call last):
        ...
        lib.errors.InputError: estimate and reference: expected equal shapes, got (2, 8) and (2, 9)
    """
    shapes = tuple(estimate.shape), tuple(reference.shape)
    fit = len(shapes[0]) == len(shapes[1]) >= last and all(
        a == b or (1 in (a, b) and place < len(shapes[0]) - last)
        for place, (a, b) in enumerate(zip(*shapes, strict=False))
    )
    if not fit:
        raise InputError(
            f"{names[0]} and {names[1]}: expected equal shapes, got {shapes[0]} and {shapes[1]}"
        )
