"""Chapter 24: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import math

import torch
from worked import ch24

from lib.checks.ch24 import STEMS, ablation, aligned

mixer, best_weight, align = ch24.gains_by_mixer, ch24.best_weight, ch24.align
_NAMES = list(dict.fromkeys(system for system, *_ in ablation()))


def _gains(rows, difference):
    values = {(system, stem): value for system, stem, value in rows}
    return {stem: difference(*(values[name, stem] for name in _NAMES)) for stem in STEMS}


def _by_place(rows):
    stems = [stem for _, stem, _ in rows[:4]]
    values = [value for *_, value in rows]
    return {
        stem: (values[4 + i] - values[i], values[12 + i] - values[8 + i])
        for i, stem in enumerate(stems)
    } | ({} if set(stems) == set(STEMS) else dict.fromkeys(set(STEMS) - set(stems), (0.0, 0.0)))


def _independent(first, second, reference):
    energies = [(one - reference).square().sum() for one in (first, second)]
    return energies[1] / sum(energies)


def _searched(first, second, reference):
    grid = torch.linspace(-2, 3, 20_001, dtype=first.dtype)
    a, b = first - reference, second - reference
    error = grid**2 * (a @ a) + 2 * grid * (1 - grid) * (a @ b) + (1 - grid) ** 2 * (b @ b)
    return float(grid[error.argmin()])


def _down(length, n_fft, stride):
    bins, pairs = n_fft // 2, []
    while bins > 2 * stride:
        bins, length = bins // stride, length // stride
        pairs.append((bins, length))
    return [*pairs, (1, 2 * length // bins)]


def _on_and_on(length, n_fft, stride):
    bins, pairs = n_fft // 2, []
    while bins > 1:
        bins, length = max(1, bins // stride), math.ceil(length / stride)
        pairs.append((bins, length))
    return pairs


def _fractions(length, n_fft, stride):
    steps, pairs = length, align(length, n_fft, stride)
    for level, (bins, _) in enumerate(pairs):
        last = stride if bins > 1 else (n_fft // 2) // stride**level // 2
        steps = (steps + last - 1) / last
        pairs[level] = bins, steps
    return pairs


def _always_the_stride(length, n_fft, stride):
    *pairs, last = align(length, n_fft, stride)
    return [*pairs, (1, math.ceil(([(0, length), *pairs][-1][1]) / stride))]


RIGHT = {
    "ch24.mixer": [mixer],
    "ch24.best_weight": [best_weight, _searched],
    "ch24.align": [align, aligned],
}

WRONG = {
    "ch24.mixer": [
        (lambda rows: _gains(rows, lambda p, m, b, a: (p - m, b - a)), "positive where"),
        (lambda rows: _gains(rows, lambda p, m, b, a: (m - p, a - p)), "Demucs has its part"),
        (lambda rows: _gains(rows, lambda p, m, b, a: (m - p, a - m)), "you want the reverse"),
        (lambda rows: _gains(rows, lambda p, m, b, a: m - p), "expected a pair of gains"),
        (_by_place, "not by their places"),
        (lambda rows: mixer(ablation()), "from the rows that come in"),
        (lambda rows: list(mixer(rows).items()), "expected a dict"),
        (lambda rows: {"drums": (0.55, 0.19)}, "the stems"),
    ],
    "ch24.best_weight": [
        (lambda a, b, s: 1 - best_weight(a, b, s), "weight of the second"),
        (lambda a, b, s: best_weight(a, b, s).clamp(0, 1), "do not cut it off"),
        (_independent, "nothing in common"),
        (lambda a, b, s: 0.5, "Set the derivative"),
        (lambda a, b, s: a, "expected shape"),
    ],
    "ch24.align": [
        (_down, "round up"),
        (_on_and_on, "all bins at once"),
        (_always_the_stride, "half of the bins left"),
        (_fractions, "whole numbers"),
        (lambda *sizes: [(sizes[1] // 2, sizes[0]), *align(*sizes)], "begin with what it leaves"),
        (lambda length, n_fft, stride: align(length, n_fft + 2 * stride, stride), "left out"),
        (lambda length, n_fft, stride: align(length, n_fft, stride)[-1], "a list of pairs"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch24.mixer": [..., None, _not_written, lambda rows: None],
    "ch24.best_weight": [..., None, _not_written, lambda *signals: None],
    "ch24.align": [..., None, _not_written, lambda *numbers: None],
}
