"""The deconvolution matrix in a real browser: its matrices and patterns are those of torch."""

from __future__ import annotations

import math
from functools import partial

import browser
import pytest
import torch
from torch.nn import functional

from lib.errors import InputError
from lib.nn import convolution_matrix
from lib.widgets import deconvolution_matrix

TAG = "unmix-deconvolution-matrix"
element = partial(browser.element, tag=TAG)

SETTINGS = [  # image, kernel, stride, padding
    (4, 3, 1, 0),
    (8, 5, 2, 2),
    (7, 5, 2, 2),
    (8, 4, 2, 1),
    (5, 2, 3, 0),
    (6, 3, 3, 2),
    (4, 5, 1, 1),
]


@pytest.fixture
def page(chromium, tmp_path):
    with browser.shown(chromium, deconvolution_matrix(), tmp_path) as opened:
        yield opened


def texts(page) -> list[str]:
    return page.locator(f"{TAG} p[role=status]").all_text_contents()


@pytest.mark.parametrize(("size", "kernel_size", "stride", "padding"), SETTINGS)
def test_matrix_and_pattern(chromium, tmp_path, size, kernel_size, stride, padding):
    shown = deconvolution_matrix(size, kernel_size, stride, padding)
    drawn = torch.tensor(shown.config["drawn"], dtype=torch.float64)[:kernel_size, :kernel_size]
    with browser.shown(chromium, shown, tmp_path) as page:
        page.get_by_role("radio", name="drawn").click()
        matrix = torch.tensor(element(page, "return e.matrix"), dtype=torch.float64)
        expected = convolution_matrix(drawn, (size, size), stride, padding)
        torch.testing.assert_close(matrix, expected)
        assert texts(page)[0].startswith(f"W* is {len(expected)} × {size**2}: ")
        side = math.isqrt(len(expected))
        missing = size - ((side - 1) * stride + kernel_size - 2 * padding)
        assert f"with output padding {missing}." in texts(page)[0]
        spread = functional.conv_transpose2d(
            torch.ones(1, 1, side, side, dtype=torch.float64),
            drawn[None, None],
            stride=stride,
            padding=padding,
            output_padding=missing,
        )
        torch.testing.assert_close(matrix.sum(0), spread.flatten())

        ones = torch.ones(1, 1, 12, 12, dtype=torch.float64)
        inside = functional.conv_transpose2d(ones, drawn[None, None], stride=stride)[0, 0]
        first = stride * 4  # every point that reaches here is there
        inside = inside[first : first + stride, first : first + stride]
        pattern = torch.tensor(element(page, "return e.pattern"), dtype=torch.float64)
        torch.testing.assert_close(pattern, inside)
        wanted = 10 * torch.log10(inside.var(correction=0) / inside.mean() ** 2 + 1e-30)
        if stride > 1:
            assert element(page, "return e.energy") == pytest.approx(float(wanted), abs=1e-6)
            assert f"energy is {wanted:.1f} dB".replace("-", "\u2212") in texts(page)[1]
        else:
            assert texts(page)[1].startswith("No checkerboard")


@pytest.mark.parametrize(
    ("kernel_size", "equal", "triangle"),
    [(2, True, True), (3, False, True), (4, True, True), (5, False, False)],
)
def test_which_kernels_leave_a_constant_alone_at_stride_2(
    chromium, tmp_path, kernel_size, equal, triangle
):
    with browser.shown(chromium, deconvolution_matrix(8, kernel_size, 2), tmp_path) as page:
        for name, clean in (("all equal", equal), ("triangle", triangle), ("drawn", False)):
            page.get_by_role("radio", name=name).click()
            assert texts(page)[1].startswith("No checkerboard") == clean


def test_sliders_and_what_does_not_fit(page):
    kernel = page.get_by_role("slider", name="Kernel, k")
    kernel.focus()
    page.keyboard.press("End")
    assert element(page, "return [e.size, e.kernel_size]") == [5, 5]
    page.get_by_role("slider", name="Image, n").focus()
    page.keyboard.press("Home")
    assert element(page, "return [e.size, e.kernel_size]") == [4, 4]
    page.get_by_role("slider", name="Padding, p").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("slider", name="Output point").focus()
    page.keyboard.press("End")
    assert texts(page)[0].endswith("Marked: row 9, where 9 of 16 entries are from the kernel.")
    label = element(page, "return e.image.ariaLabel")
    assert "covers rows 1 to 4 and columns 1 to 4" in label
    page.keyboard.press("Home")
    label = element(page, "return e.image.ariaLabel")
    assert "covers rows \u22121 to 2 and columns \u22121 to 2" in label


def test_a_press_marks_a_row_or_a_column(page):
    for name, share in (("wide", (0.5, 0.6)), ("tall", (0.5, 0.5))):
        page.get_by_role("slider", name="Output point").focus()
        page.keyboard.press("Home")
        canvas = page.locator(f"{TAG} canvas.{name}")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        page.mouse.click(box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"])
        assert element(page, "return e.place") == 2
        page.keyboard.press("ArrowRight")
        assert "Marked: row 4" in texts(page)[0]


def test_the_colours_are_those_of_the_kernel(page):
    script = """const { cell, left } = e.wide.drawn;
        const ratio = window.devicePixelRatio;
        const at = (place) => ratio * (place + 0.12) * cell;
        const pixel = e.wide.getContext('2d').getImageData(
            ratio * left + at(argument[1]), at(argument[0]), 1, 1).data;
        const ramp = Unmix.colormap('viridis');
        const color = 3 * Math.round((255 * argument[2]) / 8);
        return [[...pixel.slice(0, 3)], [...ramp.slice(color, color + 3)], pixel[3]];"""
    places = torch.arange(1.0, 10).view(3, 3)
    matrix = convolution_matrix(places, (4, 4)).long().tolist()
    for row, column in ((1, 1), (1, 3), (2, 4), (3, 15), (0, 10)):
        seen, wanted, _ = element(page, script, [row, column, matrix[row][column] - 1])
        assert seen == wanted, (row, column)
    assert element(page, script, [2, 3, 0])[2] == 0  # a zero of the matrix is left empty


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 400, "height": 800})
    for name in ("Image, n", "Kernel, k", "Padding, p"):
        page.get_by_role("slider", name=name).focus()
        page.keyboard.press("End")
        browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 3}, "size: expected a whole number, 4 to 8, got 3"),
        ({"kernel_size": 6}, "kernel_size: expected a whole number, 2 to 5, got 6"),
        ({"stride": 1.5}, "stride: expected a whole number, 1 to 3, got 1.5"),
        ({"padding": -1}, "padding: expected a whole number, 0 to 2, got -1"),
        ({"kernel_size": 5}, "kernel_size: expected at most the padded size 4, got 5"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        deconvolution_matrix(**arguments)
