"""Blend the estimates of several models: weights that are best in closed form.

Models of different kinds make different errors. A weighted sum of their estimates of a source errs
less than the best of them, as long as the errors are not the same. Which weights are best is a
least squares problem: no search, no training.
"""

from __future__ import annotations

import torch

from lib.errors import InputError

__all__ = ["blend", "blend_weights", "least_squares"]


def least_squares(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Find the matrix that makes targets of inputs with the least squared error.

    Args:
        inputs: ``(..., inputs, time)``.
        targets: ``(..., outputs, time)``.

    Returns:
        W ``(outputs, inputs)``, which minimises ``||targets - W inputs||`` over all items and
        times: ``W = R_ti R_ii^-1`` with the correlations R of targets and inputs. Where inputs are
        silent or say the same, of all best matrices the smallest.

    Raises:
        InputError: if the shapes do not belong together.

    Example:
        >>> inputs = torch.eye(2)
        >>> least_squares(inputs, torch.tensor([[3.0, 4.0]]))
        tensor([[3., 4.]])
    """
    if inputs.ndim < 2 or inputs.ndim != targets.ndim or not _alike(inputs, targets, -2):
        raise InputError(
            "inputs and targets: expected (..., inputs, time) and (..., outputs, time), got "
            f"{tuple(inputs.shape)} and {tuple(targets.shape)}"
        )
    heard, wanted = (one.double().movedim(-2, 0).flatten(1) for one in (inputs, targets))
    among, across = heard @ heard.T, wanted @ heard.T  # (inputs, inputs), (outputs, inputs)
    return (across @ torch.linalg.pinv(among, hermitian=True)).to(inputs.dtype)


def blend_weights(
    estimates: torch.Tensor, sources: torch.Tensor, total: float | None = None
) -> torch.Tensor:
    """Find the weights of models whose blend is nearest to the sources.

    Args:
        estimates: ``(models, ..., sources, channels, time)``.
        sources: ``(..., sources, channels, time)``, on songs that no test uses.
        total: what the weights of a source add up to, such as 1; free if None.

    Returns:
        ``(models, sources)``. With two models and a total of 1, the weight of the first is
        ``<s - b, a - b> / ||a - b||^2`` for their estimates a and b of the source s.

    Raises:
        InputError: if the shapes do not belong together.

    Source: blends by S. Uhlich et al., "Improving music source separation based on deep neural
    networks through data augmentation and network blending", ICASSP 2017, whose weights were
    searched for.

    Example:
        >>> source = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, 1, 4)
        >>> error = torch.tensor([1.0, 1.0, -1.0, -1.0]).view(1, 1, 4)
        >>> blend_weights(torch.stack([source + error, source - 3 * error]), source)
        tensor([[0.7500],
                [0.2500]])
    """
    if estimates.ndim < 4 or estimates.shape[1:] != sources.shape:
        raise InputError(
            "estimates: expected those of each model in the shape of the sources "
            f"{tuple(sources.shape)}, got {tuple(estimates.shape)}"
        )
    found = []
    for one, source in zip(estimates.unbind(-3), sources.unbind(-3), strict=True):
        rows, row = one.flatten(1), source.flatten()[None]  # (models, samples), (1, samples)
        if total is None:
            found.append(least_squares(rows, row)[0])
            continue
        *others, last = rows.unbind(0)  # what the others get, the last does not
        differences = torch.stack([other - last for other in others]) if others else rows[:0]
        weights = least_squares(differences, row - total * last)[0]
        found.append(torch.cat([weights, total - weights.sum()[None]]))
    return torch.stack(found, -1)


def blend(estimates: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Add up the estimates of several models, weighted source by source.

    Args:
        estimates: ``(models, ..., sources, channels, time)``.
        weights: ``(models, sources)``. MDX-Net's for itself and Demucs: 0.9 and 0.1 for vocals, 0.7
            and 0.3 for other, 0.5 and 0.5 for bass and drums.

    Returns:
        ``(..., sources, channels, time)``.

    Raises:
        InputError: if there is not one weight for each model and source.

    Example:
        >>> estimates = torch.tensor([[[[1.0, 1.0]]], [[[5.0, 9.0]]]])  # two models, one source
        >>> blend(estimates, torch.tensor([[0.75], [0.25]]))
        tensor([[[2., 3.]]])
    """
    if estimates.ndim < 4 or weights.shape != (estimates.shape[0], estimates.shape[-3]):
        raise InputError(
            "weights: expected one for each model and source of estimates "
            f"{tuple(estimates.shape)}, got {tuple(weights.shape)}"
        )
    return torch.einsum("m...sct,ms->...sct", estimates, weights.to(estimates))


def _alike(first: torch.Tensor, second: torch.Tensor, apart: int) -> bool:
    """Whether shapes are equal apart from one axis."""
    shapes = [[*one.shape] for one in (first, second)]
    for shape in shapes:
        shape.pop(apart)
    return shapes[0] == shapes[1]
