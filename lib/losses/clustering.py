"""Deep clustering: embed time-frequency points so that those of one source lie together.

Points are counted frame by frame: point ``k * freq + f`` is frame k, frequency f.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from lib.errors import InputError
from lib.losses.precision import full_precision


def _points(spectrogram: torch.Tensor) -> torch.Tensor:
    """Mean power over channels, frame by frame: (..., C, F, K) -> (..., N)."""
    return spectrogram.abs().square().mean(-3).transpose(-1, -2).flatten(-2)


def active_points(spectrogram: torch.Tensor, silence_db: float = -40.0) -> torch.Tensor:
    """Weight 1 for points that are loud enough to belong to somebody, else 0.

    Args:
        spectrogram: of the mixture, complex or magnitudes ``(batch, channels, freq, frames)``.
        silence_db: points further below the loudest point of the item are silent.

    Returns:
        ``(batch, points)``; all 0 for a silent item.

    Source: J. R. Hershey, Z. Chen, J. Le Roux and S. Watanabe, "Deep clustering", ICASSP 2016,
    section 3.

    Example:
        >>> active_points(torch.tensor([[[[1.0, 0.5], [0.001, 0.1]]]]))
        tensor([[1., 0., 1., 1.]])
    """
    power = _points(spectrogram)  # (B, N)
    return (power > 10 ** (silence_db / 10) * power.amax(1, keepdim=True)).to(power.dtype)


def dominant_source(spectrograms: torch.Tensor) -> torch.Tensor:
    """Assign each point to the source that is loudest there.

    Args:
        spectrograms: of the sources, complex or magnitudes
            ``(batch, sources, channels, freq, frames)``.

    Returns:
        One-hot ``(batch, points, sources)``; equally loud sources leave the point to the first.

    Example:
        >>> dominant_source(torch.tensor([3.0, 1.0, 2.0, 2.5]).reshape(1, 2, 1, 1, 2))
        tensor([[[1., 0.],
                 [0., 1.]]])
    """
    power = _points(spectrograms)  # (B, S, N)
    return functional.one_hot(power.argmax(1), power.shape[1]).to(power.dtype)


@full_precision
def deep_clustering_loss(
    embeddings: torch.Tensor, assignments: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Compare the affinities of embeddings with those of the true assignments.

    The naive form has a row and a column per point. With ``n = sum_i w_i`` and D embedding
    dimensions it equals one of D x D matrices::

        1/n^2 sum_ij w_i w_j (v_i . v_j - y_i . y_j)^2
            = (||V'WV||^2 - 2 ||V'WY||^2 + ||Y'WY||^2) / n^2

    so the loss is a mean over pairs of active points: between 0 and 1 for unit-norm rows with
    angles of at most 90 degrees, whatever the length of the mixture.

    Args:
        embeddings: V, ``(batch, points, D)``, rows of unit norm.
        assignments: Y, ``(batch, points, sources)``, one-hot.
        weights: w, ``(batch, points)``, at least 0, such as :func:`active_points`; 1 if not given.

    Returns:
        ``(batch,)``, at least 0; 0 for an item without active points.

    Raises:
        InputError: if the shapes do not fit.

    Source: J. R. Hershey et al., ICASSP 2016; weights: Z.-Q. Wang, J. Le Roux and
    J. R. Hershey, ICASSP 2018. These sum over pairs, where here the mean is taken.

    Example:
        >>> assignments = torch.eye(2).repeat(1, 3, 1)
        >>> deep_clustering_loss(assignments.flip(-1), assignments)  # the order means nothing
        tensor([0.])
        >>> deep_clustering_loss(assignments[..., :1] * 0 + 1, assignments)  # all in one place
        tensor([0.5000])
    """
    points = embeddings.shape[:2]
    if weights is None:
        weights = embeddings.new_ones(points)
    if not (points == assignments.shape[:2] == weights.shape):
        raise InputError(
            "embeddings, assignments, weights: expected (batch, points, D), (batch, points, "
            f"sources), (batch, points), got {tuple(embeddings.shape)}, "
            f"{tuple(assignments.shape)}, {tuple(weights.shape)}"
        )
    total = weights.sum(1, keepdim=True)
    root = (weights / torch.where(total > 0, total, 1.0)).sqrt()[..., None]  # (B, N, 1)
    v, y = embeddings * root, assignments * root

    def energy(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return (left.transpose(1, 2) @ right).square().sum((1, 2))  # (B,)

    # the difference of equal numbers may round to below 0
    return (energy(v, v) - 2 * energy(v, y) + energy(y, y)).clamp_min(0.0)
