"""In what precision losses are computed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

_HALF = (torch.float16, torch.bfloat16)


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
        is_half = isinstance(value, torch.Tensor) and value.dtype in _HALF
        return value.float() if is_half else value

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> torch.Tensor:
        device = next((a.device.type for a in args if isinstance(a, torch.Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*map(convert, args), **{k: convert(v) for k, v in kwargs.items()})

    return wrapped
