"""Chapter 13: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import itertools

import torch

KEY = {
    "two speakers": "pit",
    "speech and noise": "fixed",
    "vocals, drums, bass, other": "fixed",
    "three speakers in noise": "pit",
    "two violins": "pit",
    "one known speaker among others": "fixed",
}
REFERENCES = [[1.0, 1.0], [0.0, 0.0]]
CROSSED = [[1.0, 0.0], [0.0, 1.0]]


def upit_loss(estimates, references):
    costs = (estimates[:, :, None] - references[:, None]).square().mean((3, 4))  # (B, E, R)
    places = torch.arange(references.shape[1])
    orders = itertools.permutations(range(references.shape[1]))
    return torch.stack([costs[:, list(o), places].mean(1) for o in orders]).amin(0)


def _in_order(estimates, references):
    return (estimates - references).square().mean((1, 2, 3))


def _summed(estimates, references):
    return upit_loss(estimates, references) * references.shape[1]


RIGHT = {
    "ch13.pit_or_fixed": [KEY],
    "ch13.levels_differ": [
        (torch.tensor(CROSSED), torch.tensor(REFERENCES)),
        (CROSSED, REFERENCES),
    ],
    "ch13.upit_loss": [upit_loss],
}

WRONG = {
    "ch13.pit_or_fixed": [
        (KEY | {"speech and noise": "pit"}, "two types"),
        (KEY | {"three speakers in noise": "fixed"}, "have no order"),
        (KEY | {"two violins": "maybe"}, "expected 'pit' or 'fixed'"),
        ({"two speakers": "pit"}, "missing"),
        ("pit", "expected a dictionary"),
    ],
    "ch13.levels_differ": [
        ((REFERENCES, REFERENCES), "both levels reach"),
        ((REFERENCES[::-1], REFERENCES), "both levels reach"),
        (([[1.0], [0.0]], REFERENCES), "2 frames or more"),
        (5, "expected a pair"),
    ],
    "ch13.upit_loss": [
        (_in_order, "in the given order only"),
        (_summed, "not the sum"),
        (lambda e, r: upit_loss(e, r).mean(), "expected shape"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch13.pit_or_fixed": [..., None],
    "ch13.levels_differ": [..., None],
    "ch13.upit_loss": [..., None, _not_written, lambda estimates, references: None],
}
