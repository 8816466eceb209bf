"""Fold the sequence in a real browser: its chunks are those of lib, its shortest paths shortest."""

from __future__ import annotations

import math
from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.filterbanks import FreeFilterbank
from lib.nn.dual_path import segment
from lib.widgets import fold_sequence

TAG = "unmix-fold-sequence"
element = partial(browser.element, tag=TAG)


@pytest.fixture
def page(chromium, tmp_path):
    with browser.shown(chromium, fold_sequence(), tmp_path) as opened:
        yield opened


def chunks(frames: int, chunk: int) -> torch.Tensor:
    """The chunks (S, K) of the numbers from 1 to T; zeros stay zeros."""
    return segment(torch.arange(1.0, frames + 1).view(1, 1, -1), chunk)[:, 0, :, 0]


def path_sum(frames: int, chunk: int) -> int:
    return sum(chunks(frames, chunk).shape)


def shown(page, name: str) -> str:
    return page.locator(f"{TAG} [data-value={name}]").text_content()


@pytest.mark.parametrize("frames", [8, 47, 48, 101])
def test_chunks_are_those_of_lib(chromium, tmp_path, frames):
    with browser.shown(chromium, fold_sequence(frames, 2), tmp_path) as page:
        for chunk in range(2, frames + 1, 2):
            element(page, "e.setChunk(argument)", chunk)
            cut = chunks(frames, chunk)
            assert shown(page, "inside") == f"{chunk} steps"
            assert shown(page, "across") == f"{len(cut)} steps"
            assert shown(page, "sum") == f"{len(cut) + chunk} steps"
            places = element(
                page, "return Array.from({length: e.frames}, (_, frame) => e.placesOf(frame))"
            )
            for frame, found in enumerate(places):
                assert found == (cut == frame + 1).nonzero().tolist()
        best = element(page, "return e.best")
        sums = {chunk: path_sum(frames, chunk) for chunk in range(2, frames + 1, 2)}
        assert sums[best] == min(sums.values())
        assert shown(page, "best").startswith(f"{sums[best]} steps at K = {best};")


@pytest.mark.parametrize(("window", "published"), [(2, 250), (16, 100)])
def test_four_seconds_as_published(page, window, published):
    frames = FreeFilterbank(1, window).frames(4 * 8000)
    page.get_by_role("radio", name=f"4 s, L = {window}, K = {published}").click()
    assert element(page, "return [e.frames, e.chunk]") == [frames, published]
    assert shown(page, "sum") == f"{path_sum(frames, published)} steps"
    assert shown(page, "one") == f"{frames:,} steps"
    page.get_by_role("button", name="Shortest paths").click()
    middle = math.sqrt(2 * frames)
    best = element(page, "return e.chunk")
    assert abs(best - middle) <= 2
    around = range(2 * round(middle / 4), 4 * round(middle / 2), 2)
    assert path_sum(frames, best) == min(path_sum(frames, chunk) for chunk in around)
    assert shown(page, "sum") == f"{path_sum(frames, best)} steps"
    assert f"√(2\u00a0T)\u00a0=\u00a0{middle:.1f}" in shown(page, "best")


def test_dragging_and_keys_change_the_chunk(page):
    slider = page.get_by_role("slider", name="K, chunk length")
    box = page.locator(f"{TAG} .curve").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"])
    dragged = element(page, "return e.chunk")
    assert dragged in (8, 10, 12)
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == str(dragged + 2)
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowDown")
    assert element(page, "return e.chunk") == dragged - 2
    page.keyboard.press("Home")
    assert element(page, "return e.chunk") == 2
    page.keyboard.press("ArrowLeft")
    assert element(page, "return e.chunk") == 2
    page.keyboard.press("End")
    assert element(page, "return e.chunk") == 48
    page.keyboard.press("b")
    assert element(page, "return e.chunk") == element(page, "return e.best")
    assert "K = 10, S = 12, sum 22" in element(page, "return e.curve.ariaLabel")


def test_the_picture_folds(page):
    picture = "return e.stage.toDataURL()"
    folded = element(page, picture)
    slider = page.get_by_role("slider", name="Folded")
    slider.focus()
    page.keyboard.press("Home")
    flat = element(page, picture)
    page.keyboard.press("PageUp")
    assert len({folded, flat, element(page, picture)}) == 3
    page.keyboard.press("f")
    page.wait_for_function(f"document.querySelector('{TAG}').folded === 1")
    assert slider.get_attribute("aria-valuetext") == "100 %"
    assert element(page, picture) == folded


def test_the_picture_has_the_colours_of_the_chunks(page):
    script = """const [column, row] = argument;
        const ratio = window.devicePixelRatio;
        const x = e.picture.x + (column + 0.15) * e.picture.width / e.count;
        const y = e.picture.y + (row + 0.15) * e.picture.height / e.chunk;
        const pixel = e.stage.getContext('2d').getImageData(ratio * x, ratio * y, 1, 1).data;
        const place = Math.round(255 * (argument[2] - 1) / (e.frames - 1));
        const ramp = [...Unmix.colormap('viridis').slice(3 * place, 3 * place + 3)];
        return [[...pixel.slice(0, 3)], argument[2] ? ramp : [136, 136, 136]];"""
    cut = chunks(48, 6).long()
    for column, row in ((0, 0), (0, 5), (3, 1), (12, 4), (16, 0), (17, 5)):
        seen, expected = element(page, script, [column, row, int(cut[column, row])])
        assert seen == expected, (column, row)


def test_following_a_frame(page):
    page.get_by_role("slider", name="Frame followed").focus()
    page.keyboard.press("End")
    text = page.locator(f"{TAG} p[role=status]").text_content()
    assert text == "Frame 47: place 5 of chunk 15 and place 2 of chunk 16, from 0."
    assert text in element(page, "return e.stage.ariaLabel")


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 400, "height": 800})
    for preset in range(3):
        page.get_by_role("radio").nth(preset).click()
        browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


def test_two_on_a_page_do_not_meet(chromium, tmp_path):
    class Both:
        tag = TAG

        def _repr_html_(self) -> str:
            return fold_sequence()._repr_html_() + fold_sequence(20, 4)._repr_html_()

    with browser.shown(chromium, Both(), tmp_path) as page:
        page.wait_for_function("document.querySelectorAll('[data-ready]').length === 2")
        first, second = (page.locator(TAG).nth(number) for number in range(2))
        second.get_by_role("slider", name="K, chunk length").focus()
        page.keyboard.press("ArrowRight")
        assert second.locator("[data-value=inside]").text_content() == "6 steps"
        assert first.locator("[data-value=inside]").text_content() == "6 steps"
        page.keyboard.press("ArrowRight")
        assert second.locator("[data-value=inside]").text_content() == "8 steps"
        assert first.locator("[data-value=inside]").text_content() == "6 steps"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 7}, "frames: expected a whole number, 8 to 100000, got 7"),
        ({"frames": 10.5}, "frames: expected a whole number"),
        ({"chunk": 5}, "chunk: expected an even number, 2 to 48, got 5"),
        ({"chunk": 50}, "chunk: expected an even number, 2 to 48, got 50"),
        ({"chunk": "6"}, "chunk: expected an even number"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        fold_sequence(**arguments)
