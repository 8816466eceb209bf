"""Activations by their names, as configurations hold them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import at_least_float32
from lib.nn.eager import eager_on_cpu

__all__ = ["ACTIVATIONS", "PReLU", "make_activation"]

ACTIVATIONS = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(1),  # over the speakers of masks (B, S, N, K): they sum to one
    "tanh": nn.Tanh,
}


def make_activation(name: str) -> nn.Module:
    """Build an activation.

    Args:
        name: ``linear``, ``relu``, ``sigmoid``, ``softmax`` (over the axis of the speakers) or
            ``tanh``.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> make_activation("relu")
        ReLU()
    """
    if name not in ACTIVATIONS:
        raise InputError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]()


class _PReLU(torch.autograd.Function):
    """y = x above zero and a x below, with a gradient in whole passes over the features.

    PyTorch's own gradient takes one element after the other on a processor: three times as long.
    """

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        slope = slope.to(features.dtype)
        ctx.save_for_backward(features, slope)
        return functional.prelu(features, slope)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, slope = ctx.saved_tensors
        # dy/dx = 1 above zero, else a
        above = features.sign().clamp(min=0)
        onwards = torch.lerp(gradient * above, gradient, slope)
        # dy/da = x below zero, else nothing
        parts = at_least_float32(gradient), at_least_float32(features).clamp(max=0)
        return onwards, torch.dot(*(part.flatten() for part in parts)).view(1)


class PReLU(nn.PReLU):
    """A line through zero with slope 1 above and a learned slope below.

    Source: He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852, eq. 1.

    Example:
        >>> PReLU()(torch.tensor([-2.0, 2.0])).tolist()
        [-0.5, 2.0]
    """

    def __init__(self):
        super().__init__(num_parameters=1, init=0.25)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Bend features of any shape."""
        if eager_on_cpu(features):
            return _PReLU.apply(features, self.weight)
        return super().forward(features)
