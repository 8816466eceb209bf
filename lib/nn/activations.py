"""Activations by their names, as configurations hold them."""

from __future__ import annotations

from torch import nn

from lib.errors import InputError

__all__ = ["ACTIVATIONS", "make_activation"]

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
