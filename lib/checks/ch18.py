"""Checks of chapter 18: sizes on both ways of a U-Net, a printed matrix, and a matrix to build."""

from __future__ import annotations

import random

import torch
from torch import nn
from torch.nn import functional

from lib.checks import CheckFailed, NotAttempted, close, equal, exercise, holds

_SIDE, _KERNEL = 4, 3  # of the image and of the kernel on the slide


def _as_list(got, what: str, count: int) -> list:
    """What an answer gave, as a list of that many numbers."""
    if got is None:
        raise NotAttempted
    holds(
        isinstance(got, (list, tuple)) and len(got) == count,
        f"{what}: expected a list of {count} numbers, got {got!r}",
    )
    return list(got)


@exercise("ch18.level_sizes")
def level_sizes(answer):
    """Compare with PyTorch's layers, level by level and back."""
    draw = random.Random(18)
    for points in (512, 128, 1, 513, 100, *(draw.randint(1, 2000) for _ in range(15))):
        got = answer(points)
        if got is None:
            raise NotAttempted
        holds(
            isinstance(got, (list, tuple)) and len(got) == 2,
            f"expected a pair (sizes, output paddings), got {got!r}",
        )
        with torch.device("meta"):
            down, x = nn.Conv1d(1, 1, 5, 2, padding=2), torch.zeros(1, 1, points)
            right = []
            for _ in range(6):
                x = down(x)
                right.append(x.shape[-1])
        what = f"{points} points: the sizes of the six levels"
        sizes = _as_list(got[0], what, 6)
        hint = "With k = 5, s = 2 and p = 2: the whole part of (n - 1) / 2, plus 1."
        if sizes == [points, *right[:-1]]:
            hint = "Begin behind the first convolution, not with the input."
        equal(sizes, right, what, hint=hint)
        what = f"{points} points: the output paddings"
        more = _as_list(got[1], what, 6)
        larger = [points, *right[:-1]]  # what each level must come back to
        needed = [to - (2 * at - 1) for at, to in zip(right, larger, strict=True)][::-1]
        hint = "A transposed convolution makes 2 n - 1 of n points; the rest is output padding."
        if more == needed[::-1]:
            hint = "From the middle outwards, as the way up goes."
        equal(more, needed, what, hint=hint)
    return "20 lengths, on both ways"


def _names(rows: int, columns: int, kernel: int) -> list[list[str]]:
    """The matrix of the slide, as texts."""
    names = [["0"] * (rows * columns) for _ in range((rows - kernel + 1) * (columns - kernel + 1))]
    for place, row in enumerate(names):
        top, left = divmod(place, columns - kernel + 1)
        for a in range(kernel):
            for b in range(kernel):
                row[(top + a) * columns + left + b] = "abc"[a] + "abc"[b]
    return names


@exercise("ch18.slide")
def slide(answer):
    """Compare the repaired rows entry by entry, then the line below them."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise CheckFailed("expected a pair (rows, line)")
    rows, line = answer
    if rows in (None, ...) or line in (None, ...):
        raise NotAttempted
    holds(isinstance(rows, str), f"rows: expected a text, got {type(rows).__name__}")
    got = [row.split() for row in rows.strip().splitlines()]
    right = _names(_SIDE, _SIDE, _KERNEL)
    equal(len(got), len(right), "the number of rows", hint="One row for each output point.")
    for number, (row, wanted) in enumerate(zip(got, right, strict=True), 1):
        equal(
            len(row),
            len(wanted),
            f"row {number}: the number of entries",
            hint="One for each of the 16 points of the image.",
        )
        for place, (entry, name) in enumerate(zip(row, wanted, strict=True), 1):
            equal(
                entry,
                name,
                f"row {number}, entry {place}",
                hint="Lay the kernel on the image at the place of this output point, and read the "
                "image row by row.",
            )
    equal(
        [tuple(part) if isinstance(part, list) else part for part in line],
        ["W", (16, 4), "Y", (4, 1), "X", (16, 1)],
        "the line",
        hint="The matrix that is transposed is that of the kernel; it is applied to the small "
        "picture and gives the large one.",
    )
    return "64 entries and a line"


@exercise("ch18.matrix")
def matrix(answer):
    """Compare with conv2d and conv_transpose2d on 20 random kernels and images."""
    generator = torch.Generator().manual_seed(18)
    for _ in range(20):
        kernel, image, small = (
            torch.randn(side, side, generator=generator, dtype=torch.float64)
            for side in (_KERNEL, _SIDE, 2)
        )
        got = answer(kernel.clone())
        if got is None:
            raise NotAttempted
        holds(
            isinstance(got, torch.Tensor) and got.shape == (4, 16),
            "expected a tensor of shape (4, 16), got "
            f"{tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__}",
            hint="A row for each point of the 2 x 2 output, a column for each of the 4 x 4 image.",
        )
        got = got.to(torch.float64)
        right = functional.conv2d(image[None, None], kernel[None, None]).flatten()
        turned = functional.conv2d(image[None, None], kernel.flip(0, 1)[None, None]).flatten()
        hint = "Each row holds the kernel where it lies in the image for one output point."
        if torch.allclose(got @ image.flatten(), turned):
            hint = "A network's convolution does not turn the kernel round."
        elif torch.allclose(got @ image.T.flatten(), right):
            hint = "Read the image row by row, not column by column."
        elif torch.allclose(got @ image.flatten(), right.view(2, 2).T.flatten()):
            hint = "Order the rows as the output is read: along its first row, then its second."
        close(got @ image.flatten(), right, "W* x against conv2d", atol=1e-5, rtol=0, hint=hint)
        right = functional.conv_transpose2d(small[None, None], kernel[None, None]).flatten()
        close(
            got.T @ small.flatten(),
            right,
            "W*'s transpose times y against conv_transpose2d",
            atol=1e-5,
            rtol=0,
            hint="Entries outside of the kernel have to be zero.",
        )
    return "20 random kernels, forwards and transposed"
