"""Chapter 6: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import numpy as np
import torch
from worked import ch06

pesq_range = ch06.pesq_range
better_system = ch06.better_system
stoi_segment = ch06.my_segment_correlation


def _verdict(p, difference):
    if p >= 0.05:
        return "undecided"
    return "first" if difference > 0 else "second"


def _two_sided(drawn):
    return min(1, 2 * min(np.mean(drawn <= 0), np.mean(drawn >= 0)))


RIGHT = {
    "ch06.pesq_range": [
        pesq_range,
        lambda mode: [round(value, 3) for value in pesq_range(mode)],
        lambda mode: torch.tensor(pesq_range(mode)),
    ],
    "ch06.better_system": [
        better_system,
        lambda first, second: [better_system(first, second)[0], better_system(first, second)[1]],
    ],
    "ch06.stoi_segment": [stoi_segment],
}


def _apart(first, second):
    rng = np.random.default_rng(0)
    a = np.median(first[rng.integers(50, size=(2000, 50))], axis=1)
    b = np.median(second[rng.integers(50, size=(2000, 50))], axis=1)
    p = _two_sided(a - b)
    return p, _verdict(p, np.median(first) - np.median(second))


def _means(first, second):
    rows = np.random.default_rng(1).integers(50, size=(2000, 50))
    p = _two_sided(np.mean((first - second)[rows], axis=1))
    return p, _verdict(p, np.mean(first - second))


def _one_sided(first, second):
    p, verdict = better_system(first, second)
    return p / 2, verdict


def _always_decided(first, second):
    p, _ = better_system(first, second)
    return p, "first" if np.median(first - second) > 0 else "second"


def _lower_wins(first, second):
    p, verdict = better_system(first, second)
    return p, {"first": "second", "second": "first"}.get(verdict, verdict)


def _variant(scale=True, bound=1 + 10 ** (15 / 20), centre=True):
    def answer(estimate, reference):
        gain = reference.norm(dim=-1, keepdim=True) / estimate.norm(dim=-1, keepdim=True)
        y = estimate * gain if scale else estimate
        y = torch.minimum(y, bound * reference) if bound else y
        x, y = (s - s.mean(-1, keepdim=True) if centre else s for s in (reference, y))
        return (x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1))

    return answer


def _in_place(estimate, reference):
    estimate *= reference.norm(dim=-1, keepdim=True) / estimate.norm(dim=-1, keepdim=True)
    return stoi_segment(estimate, reference)


WRONG = {
    "ch06.pesq_range": [
        (lambda mode: (-0.5, 4.5), "range of the raw score"),
        (lambda mode: (0.999, 4.999), "only at infinity"),
        (lambda mode: (1.0, 5.0), "only at infinity"),
        (lambda mode: pesq_range("wb"), "P.862.1"),
        (lambda mode: pesq_range("nb"), "P.862.2"),
        (lambda mode: pesq_range(mode)[::-1], "in this order"),
        (lambda mode: pesq_range(mode)[0], "two numbers"),
    ],
    "ch06.better_system": [
        (_apart, "Draw files, not scores"),
        (_means, "not its mean"),
        (_one_sided, "doubles it"),
        (_always_decided, "nothing is decided"),
        (_lower_wins, "Higher scores are better"),
        (lambda *pair: (1 - better_system(*pair)[0], "undecided"), "complement"),
        (lambda *pair: (2.0, "first"), "between 0 and 1"),
        (lambda *pair: (better_system(*pair)[0], "A"), "out of first, second, undecided"),
        (lambda *pair: better_system(*pair)[0], "expected (p, verdict)"),
    ],
    "ch06.stoi_segment": [
        (_variant(bound=None), "the clip"),
        (_variant(scale=False), "energy first"),
        (_variant(centre=False), "Remove the mean"),
        (_variant(bound=10 ** (15 / 20)), "signal plus distortion"),
        (_variant(bound=1 + 10 ** (-15 / 20)), "about 6.6"),
        (_variant(bound=1 + 10 ** (15 / 10)), "divide the decibels by 20"),
        (lambda *pair: stoi_segment(*pair).mean(), "one correlation per segment"),
        (lambda *pair: stoi_segment(*pair)[..., None], "no axis of length 1"),
        (_in_place, "found them changed"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {name: [..., None, _not_written, lambda *arguments: None] for name in RIGHT}
