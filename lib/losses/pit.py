"""Permutation invariant training: which estimate belongs to which reference.

Two speakers have no natural order, so an estimate may not be punished for coming out second. PIT
computes the loss of every pair and trains with the best assignment. With one assignment for the
whole utterance (uPIT) each output stays with its speaker; with one per frame it may jump.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import torch

from lib.errors import InputError

# from here on the Hungarian algorithm is faster: n! assignments against n^3 steps
_HUNGARIAN_FROM = 6
_MOST_ASSIGNMENTS = 4_000_000  # of 10 estimates


def pairwise(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    estimates: torch.Tensor,
    references: torch.Tensor,
) -> torch.Tensor:
    """Compute a loss between every estimate and every reference.

    Args:
        loss: a function of ``(estimate, reference)`` that reduces trailing dimensions only, such
            as the losses of this package or the metrics of :mod:`lib.metrics`.
        estimates: ``(batch, estimates, ...)``.
        references: ``(batch, references, ...)``.

    Returns:
        ``(batch, estimates, references)``; what ``loss`` leaves of further dimensions (channels)
        is averaged.

    Raises:
        InputError: if the shapes differ in more than the number of sources.

    Example:
        >>> from lib.losses import l1_loss
        >>> references = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
        >>> pairwise(l1_loss, references.flip(1), references)
        tensor([[[1., 0.],
                 [0., 1.]]])
    """
    rest = estimates.shape[:1] + estimates.shape[2:]
    if estimates.ndim < 3 or rest != references.shape[:1] + references.shape[2:]:
        raise InputError(
            "estimates and references: expected (batch, sources, ...) alike but for the sources, "
            f"got {tuple(estimates.shape)} and {tuple(references.shape)}"
        )
    estimates, references = estimates[:, :, None], references[:, None]
    # the losses of this package need no copy of every pair
    if not getattr(getattr(loss, "func", loss), "broadcasts", False):
        shape = (*estimates.shape[:2], *references.shape[2:])
        estimates, references = estimates.expand(shape), references.expand(shape)
    losses = loss(estimates, references)  # (B, E, R, ...)
    return losses if losses.ndim == 3 else losses.flatten(3).mean(-1)  # (B, E, R)


def pit(pairwise: torch.Tensor, method: str | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Assign an estimate to each reference so that the mean loss is smallest.

    Args:
        pairwise: ``(batch, estimates, references)``: the loss of each pair. There may be more
            estimates than references; those left over cost nothing. For one assignment per frame,
            put the frames into the batch.
        method: ``"enumeration"`` tries all assignments at once, on the device of ``pairwise``;
            ``"hungarian"`` solves each item on the CPU with SciPy. Both are exact. None takes the
            first up to 5 estimates.

    Returns:
        loss ``(batch,)``, the mean over the references of the pairs chosen, through which
        gradients flow; and permutation ``(batch, references)``, the index of the estimate assigned
        to each reference.

    Raises:
        InputError: for fewer estimates than references, losses that are not finite, an unknown
            method, or an enumeration of more than 10 estimates' assignments.

    Source: D. Yu, M. Kolbaek, Z.-H. Tan and J. Jensen, "Permutation invariant training of deep
    models for speaker-independent multi-talker speech separation", ICASSP 2017; on the Hungarian
    algorithm S. Dovrat, E. Nachmani and L. Wolf, "Many-speakers single channel speech separation
    with optimal permutation training", Interspeech 2021.

    Example:
        >>> loss, permutation = pit(torch.tensor([[[5.0, 1.0], [2.0, 4.0]]]))
        >>> loss, permutation  # estimate 1 is the first source, estimate 0 the second
        (tensor([1.5000]), tensor([[1, 0]]))
    """
    if pairwise.ndim != 3 or not pairwise.shape[1] >= pairwise.shape[2] >= 1:
        raise InputError(
            "pairwise: expected (batch, estimates, references) with an estimate for every "
            f"reference, got shape {tuple(pairwise.shape)}"
        )
    if method not in (None, *_SEARCHES):
        raise InputError(f"method: expected one of {', '.join(_SEARCHES)}, got {method!r}")
    costs = pairwise.detach()
    if not math.isfinite(costs.sum()):  # the quick look; a sum of finite losses may overflow
        items = (~costs.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
        if items:
            raise InputError(
                f"pairwise: expected finite losses, got NaN or infinity in items {items}; "
                "look at the estimates"
            )
    if method is None:
        method = "hungarian" if pairwise.shape[1] >= _HUNGARIAN_FROM else "enumeration"
    permutation = _SEARCHES[method](costs)  # (B, R)
    return pairwise.gather(1, permutation[:, None]).mean((1, 2)), permutation


@functools.lru_cache(maxsize=32)
def _assignments(
    estimates: int, references: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """List every way to give each reference an estimate of its own.

    Returns the assignments ``(P, R)``, and where in an item of E x R losses they stand
    ``(R * P,)``.
    """
    if math.perm(estimates, references) > _MOST_ASSIGNMENTS:
        raise InputError(
            f"method: expected 'hungarian' for {estimates} estimates, as enumeration would try "
            f"{math.perm(estimates, references):.2g} assignments"
        )
    table = torch.tensor(list(itertools.permutations(range(estimates), references)))
    places = table * references + torch.arange(references)
    return table.to(device), places.T.flatten().to(device)


def _enumerate(costs: torch.Tensor) -> torch.Tensor:
    items, estimates, references = costs.shape
    table, places = _assignments(estimates, references, costs.device)
    chosen = costs.flatten(1).index_select(1, places)  # (B, R * P)
    totals = chosen.view(items, references, len(table)).sum(1)  # (B, P)
    return table.index_select(0, totals.argmin(1))


def _hungarian(costs: torch.Tensor) -> torch.Tensor:
    from scipy.optimize import linear_sum_assignment

    # in a row, as SciPy would else copy every item on its way
    columns = costs.cpu().double().numpy().transpose(0, 2, 1).copy()  # (B, R, E)
    # references come back in their order, so the columns chosen are the permutation
    chosen = np.array([linear_sum_assignment(item)[1] for item in columns], dtype=np.int64)
    return torch.from_numpy(chosen).view(-1, costs.shape[2]).to(costs.device)


_SEARCHES = {"enumeration": _enumerate, "hungarian": _hungarian}
