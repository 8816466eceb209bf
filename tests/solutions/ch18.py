"""Chapter 18: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch18

REPAIRED, RIGHT_LINE, level_sizes, matrix = ch18.rows, ch18.line, ch18.level_sizes, ch18.matrix


PRINTED = """
aa ab ac 0 ba bb bc 0 ca cb cc 0 0 0 0
0 aa ab ac 0 ba bb bc 0 ca cb cc 0 0 0 0
0 0 0 0 aa ab ac 0 ba bb bc 0 ca cb cc 0
0 0 0 0 0 aa ab ac 0 ba bb bc 0 ca cb cc
"""
LINE = ["Y", (16, 4), "W", (4, 1), "X", (16, 1)]


def matrix_in_numpy_order(kernel):
    """Built with indices instead."""
    built = torch.zeros(4, 16, dtype=kernel.dtype)
    for row in range(4):
        for point in range(9):
            built[row, (row // 2 + point // 3) * 4 + row % 2 + point % 3] = kernel[
                point // 3, point % 3
            ]
    return built


def _halved(points):
    sizes, more = level_sizes(points)
    return [points // 2 ** (level + 1) for level in range(6)], more


RIGHT = {
    "ch18.level_sizes": [level_sizes, lambda points: tuple(map(tuple, level_sizes(points)))],
    "ch18.slide": [(REPAIRED, RIGHT_LINE), [REPAIRED.strip(), tuple(RIGHT_LINE)]],
    "ch18.matrix": [matrix, matrix_in_numpy_order, lambda kernel: matrix(kernel.float())],
}

WRONG = {
    "ch18.level_sizes": [
        (_halved, "plus 1"),
        (lambda n: ([n, *level_sizes(n)[0][:-1]], level_sizes(n)[1]), "behind the first"),
        (lambda n: (level_sizes(n)[0], level_sizes(n)[1][::-1]), "middle outwards"),
        (lambda n: (level_sizes(n)[0], [1] * 6), "2 n - 1"),
        (lambda n: level_sizes(n)[0], "a pair"),
        (lambda n: (level_sizes(n)[0][:5], [0] * 6), "a list of 6 numbers"),
    ],
    "ch18.slide": [
        ((PRINTED, LINE), "row 1: the number of entries: expected 16, got 15"),
        ((REPAIRED, LINE), "matrix that is transposed"),
        ((PRINTED.replace("aa ab ac 0 ba", "aa ab ac 0 0 ba", 1), RIGHT_LINE), "row 1, entry 5"),
        ((REPAIRED.replace("cc 0\n", "cc 0\n0 0 0 0\n"), RIGHT_LINE), "number of rows"),
        (([["aa"]], RIGHT_LINE), "expected a text"),
        (REPAIRED, "a pair"),
    ],
    "ch18.matrix": [
        (lambda kernel: matrix(kernel).T, "expected a tensor of shape (4, 16)"),
        (lambda kernel: matrix(kernel.flip(0, 1)), "turn the kernel round"),
        (lambda kernel: matrix(kernel).view(4, 4, 4).mT.flatten(1), "row by row"),
        (lambda kernel: matrix(kernel)[[0, 2, 1, 3]], "first row, then its second"),
        (lambda kernel: matrix(kernel) + 0.1, "conv2d"),
        (lambda kernel: matrix(kernel).numpy(), "got ndarray"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch18.level_sizes": [..., None, _not_written, lambda points: None, lambda n: (None, None)],
    "ch18.slide": [..., None, (None, RIGHT_LINE), (REPAIRED, ...)],
    "ch18.matrix": [..., None, _not_written, lambda kernel: None],
}
