"""Chapter 13: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

from worked import ch13

KEY = ch13.decisions
REFERENCES = ch13.references
CROSSED = ch13.estimates
upit_loss = ch13.upit_loss


def _in_order(estimates, references):
    return (estimates - references).square().mean((1, 2, 3))


def _summed(estimates, references):
    return upit_loss(estimates, references) * references.shape[1]


RIGHT = {
    "ch13.pit_or_fixed": [KEY],
    "ch13.levels_differ": [
        (CROSSED, REFERENCES),
        (CROSSED.tolist(), REFERENCES.tolist()),
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
        ((REFERENCES.flip(0), REFERENCES), "both levels reach"),
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
