"""Checks of chapter 13: permutation invariant training."""

from __future__ import annotations

import itertools

import torch

from lib.checks import CheckFailed, close, exercise, holds
from lib.losses import pit

_TASKS = {
    "two speakers": (
        "pit",
        "two voices are of one type, and nothing says which comes first",
    ),
    "speech and noise": ("fixed", "speech is the first output, noise the second: two types"),
    "vocals, drums, bass, other": ("fixed", "each stem is a type with a place of its own"),
    "three speakers in noise": (
        "pit",
        "the noise has its place, but the three speakers have no order",
    ),
    "two violins": ("pit", "two instruments of one type have no order"),
    "one known speaker among others": (
        "fixed",
        "the known speaker is one output, the rest the other",
    ),
}


@exercise("ch13.pit_or_fixed")
def pit_or_fixed(answer):
    """Compare the six decisions with the key, and give the reason for a wrong one."""
    if not isinstance(answer, dict):
        raise CheckFailed(f"expected a dictionary, got {type(answer).__name__}")
    missing = sorted(set(_TASKS) - set(answer))
    holds(not missing, f"these tasks are missing: {', '.join(missing)}")
    for task, (right, reason) in _TASKS.items():
        got = answer[task]
        holds(got in ("pit", "fixed"), f"{task}: expected 'pit' or 'fixed', got {got!r}")
        holds(got == right, f"{task}: expected another answer than {got!r}", hint=f"Here {reason}.")
    return "six of six"


@exercise("ch13.levels_differ")
def levels_differ(answer):
    """Compute both assignments of the pair (estimates, references), each (2, frames)."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise CheckFailed("expected a pair (estimates, references)")
    estimates, references = (torch.as_tensor(one).double() for one in answer)
    for name, one in (("estimates", estimates), ("references", references)):
        shape = tuple(one.shape)
        holds(
            one.ndim == 2 and shape[0] == 2 and shape[1] >= 2,
            f"{name}: expected shape (2, frames) with 2 frames or more, got {shape}",
        )
    holds(
        estimates.shape == references.shape,
        f"expected equal shapes, got {tuple(estimates.shape)} and {tuple(references.shape)}",
    )
    costs = (estimates[:, None] - references).square()  # (E, R, K)
    whole = pit(costs.mean(-1)[None])[0][0]
    frames = pit(costs.permute(2, 0, 1))[0].mean()
    holds(
        whole > frames + 1e-9,
        f"both levels reach the loss {float(whole):.3g}",
        hint="Let output 1 be right about speaker 1 in one frame, and about speaker 2 in another.",
    )
    return f"utterance level {float(whole):.3g}, frame level {float(frames):.3g}"


@exercise("ch13.upit_loss")
def upit_loss(answer):
    """Compare with every permutation, and shuffle the outputs."""
    for seed, (items, sources) in enumerate(((1, 2), (3, 2), (4, 3), (2, 4))):
        generator = torch.Generator().manual_seed(seed)
        estimates, references = torch.randn(
            2, items, sources, 5, 7, generator=generator, dtype=torch.float64
        )
        orders = itertools.permutations(range(sources))
        tried = torch.stack(
            [(estimates[:, list(o)] - references).square().mean((1, 2, 3)) for o in orders]
        )
        right = tried.amin(0)
        got = answer(estimates.clone(), references.clone())
        hint = "Mean over sources, frequencies and frames; then the smallest over the orders."
        if isinstance(got, torch.Tensor) and got.shape == right.shape:
            if torch.allclose(got.double(), tried[0]):
                hint = "You compare in the given order only."
            elif torch.allclose(got.double(), right * sources):
                hint = "Divide by the number of sources: the mean, not the sum."
        what = f"the loss of {items} item(s) with {sources} sources"
        close(got, right, what, hint=hint)
        shuffled = estimates[:, torch.randperm(sources, generator=generator)]
        close(answer(shuffled, references.clone()), right, "the loss of shuffled outputs")
    return "4 random sets, as brute force, and blind to the order of the outputs"
