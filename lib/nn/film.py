"""FiLM: what a condition does to features is to scale and to shift them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lib.errors import InputError

__all__ = ["Control", "film"]


def film(features: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """Scale and shift each channel: gamma x + beta.

    Args:
        features: ``(batch, channels, ...)``.
        gamma: scales ``(batch, channels)``, or ``(batch, 1)``: one for all channels.
        beta: shifts, of the same shape.

    Raises:
        InputError: if the shapes do not fit.

    Source: Perez et al., "FiLM: visual reasoning with a general conditioning layer", AAAI 2018,
    eq. 2.

    Example:
        >>> film(torch.ones(1, 2, 3), torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 5.0]]))
        tensor([[[3., 3., 3.],
                 [5., 5., 5.]]])
    """
    batch, channels = features.shape[:2]
    if gamma.shape != beta.shape or tuple(gamma.shape) not in ((batch, channels), (batch, 1)):
        raise InputError(
            f"gamma and beta: expected ({batch}, {channels}) or ({batch}, 1), "
            f"got {tuple(gamma.shape)} and {tuple(beta.shape)}"
        )
    shape = (*gamma.shape, *[1] * (features.ndim - 2))
    return gamma.view(shape) * features + beta.view(shape)


class Control(nn.Module):
    """From a condition to the scales and shifts of all layers that it controls.

    Fully connected layers with ReLUs, dropout and batch normalisation (the first layer with
    neither), then one linear layer for all scales and one for all shifts. Scales begin near 1.

    Args:
        conditions: length of the condition, such as the number of sources for one-hot vectors.
        channels: of the layers under control.
        hidden: units of the fully connected layers.
        each: scale and shift each channel for itself (complex control); else all channels of a
            layer alike (simple control).
        dropout: behind the second layer and later ones.

    Raises:
        InputError: without conditions, channels or hidden layers.

    Source: Meseguer-Brocal and Peeters, "Conditioned-U-Net", ISMIR 2019, section 3.

    Example:
        >>> control = Control(4, channels=[16, 32], hidden=[8, 8], each=True).eval()
        >>> [tuple(gamma.shape) for gamma, beta in control(torch.eye(4))]
        [(4, 16), (4, 32)]
    """

    def __init__(
        self,
        conditions: int,
        channels: Sequence[int],
        hidden: Sequence[int] = (16, 64, 256),
        each: bool = False,
        dropout: float = 0.5,
    ):
        super().__init__()
        if conditions < 1 or not channels or not hidden:
            raise InputError(
                "conditions, channels, hidden: expected at least one of each, got "
                f"{conditions}, {list(channels)} and {list(hidden)}"
            )
        self.conditions = conditions
        self.sizes = list(channels) if each else [1] * len(channels)
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(
            zip([conditions, *hidden], hidden, strict=False)
        ):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
            if number > 0:
                layers += [nn.Dropout(dropout), nn.BatchNorm1d(outputs)]
        self.layers = nn.Sequential(*layers)
        self.gamma = nn.Linear(hidden[-1], sum(self.sizes))
        self.beta = nn.Linear(hidden[-1], sum(self.sizes))
        nn.init.ones_(self.gamma.bias)
        nn.init.zeros_(self.beta.bias)

    def forward(self, condition: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Map conditions (B, N) to a scale (B, C or 1) and a shift (B, C or 1) for each layer."""
        if condition.ndim != 2 or condition.shape[1] != self.conditions:
            raise InputError(
                f"condition: expected a shape (batch, {self.conditions}), "
                f"got {tuple(condition.shape)}"
            )
        x = self.layers(condition)  # (B, H)
        gammas, betas = (layer(x).split(self.sizes, 1) for layer in (self.gamma, self.beta))
        return list(zip(gammas, betas, strict=True))
