"""Mixture consistency: the estimates should add up to the mixture."""

from __future__ import annotations

import torch

from lib.errors import InputError
from lib.losses.precision import full_precision


@full_precision
def mixture_consistency_penalty(estimates: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Measure what the estimates leave over of the mixture: the soft way to consistency.

    Args:
        estimates: ``(batch, sources, channels, time)``.
        mixture: ``(batch, channels, time)``.

    Returns:
        ``(batch,)``: ``||x - sum_j s_hat_j||^2 / ||x||^2``; the numerator's mean square where the
        mixture is silent.

    Raises:
        InputError: if the shapes do not fit.

    Example:
        >>> mixture = torch.ones(1, 1, 4)
        >>> mixture_consistency_penalty(torch.full((1, 2, 1, 4), 0.25), mixture)
        tensor([0.2500])
    """
    residual = _residual(estimates, mixture)
    energy = mixture.square().mean((1, 2))
    return residual.square().mean((1, 2)) / torch.where(energy > 0, energy, 1.0)


def project_to_mixture(
    estimates: torch.Tensor, mixture: torch.Tensor, weights: str = "uniform"
) -> torch.Tensor:
    """Share among the estimates what they leave over of the mixture: the hard way.

    Args:
        estimates: ``(batch, sources, channels, time)``.
        mixture: ``(batch, channels, time)``.
        weights: ``"uniform"``, the least change, or ``"power"``: in proportion to each estimate's
            energy, so that a silent output stays silent (equally if all are silent).

    Returns:
        Estimates of the same shape that sum to the mixture. Gradients flow through it, so it may be
        a model's last layer.

    Raises:
        InputError: if the shapes do not fit or the weights are unknown.

    Source: S. Wisdom et al., "Differentiable consistency constraints for improved deep speech
    enhancement", ICASSP 2019.

    Example:
        >>> mixture = torch.ones(1, 1, 4)
        >>> estimates = torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 4)
        >>> project_to_mixture(estimates, mixture)[0, :, 0, 0]
        tensor([0.7500, 0.2500])
        >>> project_to_mixture(estimates, mixture, "power")[0, :, 0, 0]
        tensor([1., 0.])
    """
    if weights not in ("uniform", "power"):
        raise InputError(f"weights: expected one of uniform, power, got {weights!r}")
    residual = _residual(estimates, mixture)[:, None]  # (B, 1, C, T)
    if weights == "uniform":
        return estimates + residual / estimates.shape[1]
    energies = estimates.square().mean(-1, keepdim=True)  # (B, S, C, 1)
    total = energies.sum(1, keepdim=True)
    share = energies / torch.where(total > 0, total, 1.0)
    share = torch.where(total > 0, share, 1.0 / estimates.shape[1])
    return estimates + share * residual


def _residual(estimates: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    if estimates.ndim != 4 or estimates[:, 0].shape != mixture.shape:
        raise InputError(
            "estimates and mixture: expected (batch, sources, channels, time) and (batch, "
            f"channels, time), got {tuple(estimates.shape)} and {tuple(mixture.shape)}"
        )
    return mixture - estimates.sum(1)  # (B, C, T)
