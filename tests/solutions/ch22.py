"""Chapter 22: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import firwin
from torch.nn import functional
from worked import ch22

from lib.checks.ch22 import printed_table

valid_output, decimate, repair = ch22.samples_out, ch22.halve, ch22.repaired


def _doubled(length, depth, kernel_size, up_kernel_size):
    """Each rate twice the one below: out by one, and by more."""
    right = valid_output(length, depth, kernel_size, up_kernel_size)
    return right and right + 2**depth - 1


def _one_less(length, *sizes):
    right = valid_output(length, *sizes)
    return right and right - 1


def _any_length(length, depth, kernel_size, up_kernel_size):
    return (
        length - (kernel_size - 1) * (2 ** (depth + 1) - 1) - (up_kernel_size - 1) * (2**depth - 1)
    )


def _filtered(features, taps, window="hamming"):
    kernel = torch.from_numpy(firwin(taps, 0.5, window=window)).to(features)
    kernel = kernel.expand(features.shape[1], 1, -1)
    padded = functional.pad(features, (taps // 2, (taps - 1) // 2))
    return functional.conv1d(padded, kernel, groups=features.shape[1])


def _delayed(features):
    return _filtered(features, 64)[..., ::2]


def _as_it_stands(rows):
    repaired, label = {}, ""
    for printed, data, *cells in rows:
        label = printed or label
        repaired[label, data] = tuple(cells)
    return repaired


def _labels_of_the_cells(rows):
    return {(label, data): tuple(cells) for label, data, *cells in rows}


def _all_rows(rows):
    private = next(row for row in rows if row[1] == "DS-priv")
    return repair(rows) | {private[:2]: private[2:]}


def _typed_by_hand(rows):
    return repair(printed_table())


def _without_a_row(rows):
    return {key: cells for key, cells in repair(rows).items() if key[0] != "no-mask"}


RIGHT = {
    "ch22.valid_output": [valid_output, lambda *sizes: np.int64(valid_output(*sizes))],
    "ch22.decimate": [decimate],
    "ch22.repair": [repair],
}

WRONG = {
    "ch22.valid_output": [
        (_doubled, "takes f - 1 samples"),
        (_one_less, "2n - 1 all in all"),
        (_any_length, "leave the last one out"),
        (lambda *sizes: "none", "expected numbers"),
    ],
    "ch22.decimate": [
        (lambda features: features[..., ::2], "come back as slow ones"),
        (lambda features: _filtered(features, 15)[..., ::2], "alias below -40 dB"),
        (_delayed, "delays and scales nothing"),
        (lambda features: 2 * decimate(features), "delays and scales nothing"),
        (lambda features: _filtered(features, 63), "expected features of shape"),
    ],
    "ch22.repair": [
        (_as_it_stands, "without augmentation"),
        (_labels_of_the_cells, "expected a label in every row"),
        (_all_rows, "means, and of another test set"),
        (_typed_by_hand, "numbers drawn"),
        (_without_a_row, "the rows, as (label, training data)"),
        (lambda rows: rows, "expected a dict"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch22.valid_output": [..., None, _not_written, lambda *sizes: None],
    "ch22.decimate": [..., None, _not_written, lambda features: None],
    "ch22.repair": [..., None, _not_written, lambda rows: None],
}
