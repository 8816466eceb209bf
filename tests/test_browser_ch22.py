"""Context ruler in a real browser: its lengths and what it looks at are those of lib."""

from __future__ import annotations

import random
from functools import partial

import browser
import pytest

from lib.errors import InputError
from lib.models import WaveUNet
from lib.nn.wave_unet import reach, valid_lengths
from lib.widgets import context_ruler

TAG = "unmix-context-ruler"
element = partial(browser.element, tag=TAG)


@pytest.fixture
def page(chromium, tmp_path):
    with browser.shown(chromium, context_ruler(), tmp_path) as opened:
        yield opened


def shown(page, name: str) -> str:
    return page.locator(f"{TAG} [data-value={name}]").text_content()


def said(page) -> str:
    return page.locator(f"{TAG} p[role=status]").first.text_content()


SET = """Object.assign(e, { wanted: argument[0], depth: argument[1], kernel_size: argument[2],
    up_kernel_size: argument[3] }); e.show(); return [e.input, e.output, e.context, e.rows];"""


def test_lengths_are_those_of_lib(page):
    draw = random.Random(22)
    for _ in range(100):
        sizes = draw.randint(1, 12), draw.randrange(3, 26, 2), draw.randrange(1, 10, 2)
        wanted = draw.randint(1, 20_000)
        right = valid_lengths(wanted, *sizes)
        given, output, context, rows = element(page, SET, [wanted, *sizes])
        assert (given, output) == right
        assert 2 * context == right.input - right.output
        assert (rows[0]["count"], rows[-1]["count"]) == right
        assert rows[-1]["start"] == context and rows[-1]["step"] == 1
        assert all(row["count"] % 2 for row in rows if row["name"].startswith("down "))


@pytest.mark.parametrize("sizes", [(1, 3, 1), (2, 5, 3), (3, 5, 3), (3, 15, 5), (4, 7, 9)])
def test_what_an_answer_looks_at_is_the_reach_of_lib(page, sizes):
    depth = sizes[0]
    element(page, SET, [3 * 2**depth, *sizes])
    script = "return Array.from({length: e.output}, (_, place) => e.looksAt(place)[0])"
    context = element(page, "return e.context")
    spans = element(page, script)
    assert spans[0][0] == 0 and spans[-1][1] == element(page, "return e.input") - 1
    ahead = max(last - context - place for place, (_, last) in enumerate(spans))
    width = max(last - first + 1 for first, last in spans)
    assert (ahead, width) == reach(*sizes)


def test_every_row_holds_what_the_next_looks_at(page):
    spans, rows = element(page, "return [e.looksAt(e.followed), e.rows]")
    assert len(spans) == len(rows) == 2 * 2 * 3 + 2
    for (first, last), row in zip(spans, rows, strict=True):
        assert 0 <= first <= last < row["count"]
    starts = [row["start"] + first * row["step"] for (first, _), row in zip(spans, rows)]  # noqa: B905
    assert starts == sorted(starts)


def test_the_published_networks(page):
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Paint the border").click()
    page.get_by_role("radio", name="the paper's").click()
    assert shown(page, "input") == "147,443 samples, 6.69 s"
    assert shown(page, "output") == "16,389 samples, 743 ms"
    assert shown(page, "context") == "65,527 samples, 2.97 s"
    assert shown(page, "lost") == "88.9 %"
    page.get_by_role("radio", name="WaveUNet.small()").click()
    right = valid_lengths(16_000, *WaveUNet.small().sizes)
    assert element(page, "return [e.input, e.output]") == list(right)


def test_painting_tells_too_little_and_too_much(page):
    context = (valid_lengths(60, 3, 5, 3).input - valid_lengths(60, 3, 5, 3).output) // 2
    assert said(page) == f"Too little: {context} more at each end are input only."
    assert shown(page, "context") == "paint first"
    box = page.locator(f"{TAG} .ruler").bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 40, steps=3)
    page.mouse.up()
    assert said(page).startswith("Too much: ")
    slider = page.get_by_role("slider", name="Painted, each end")
    for _ in range(element(page, "return e.painted") - context):
        page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == str(context)
    assert said(page) == f"Exactly: {context} samples at each end are input only."
    assert shown(page, "context").startswith(f"{context} samples")
    # it stays painted when the network changes
    page.get_by_role("slider", name="Blocks each way, L").focus()
    page.keyboard.press("ArrowRight")
    right = valid_lengths(60, 4, 5, 3)
    assert element(page, "return e.painted") == (right.input - right.output) // 2
    page.get_by_role("slider", name="Painted, each end").focus()
    page.keyboard.press("Home")
    assert said(page).startswith("Too little: ")
    page.keyboard.press("p")
    assert said(page).startswith("Exactly: ")


def test_keys_change_the_samples_wanted(page):
    slider = page.get_by_role("slider", name="Samples wanted")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "61"
    page.keyboard.press("PageDown")
    assert slider.get_attribute("aria-valuetext") == "55"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert element(page, "return e.wanted") == 1
    page.keyboard.press("End")
    assert element(page, "return e.wanted") == 200_000


def test_following_a_sample(page):
    page.get_by_role("slider", name="Answer followed").focus()
    page.keyboard.press("Home")
    context = element(page, "return e.context")
    text = page.locator(f"{TAG} p[role=status]").nth(1).text_content()
    assert text.startswith(f"Answer 0 lies at input {context} and looks at input 0 to ")
    assert f"{context} before it" in text
    assert text in element(page, "return e.ladder.ariaLabel")
    before = element(page, "return e.ladder.toDataURL()")
    page.keyboard.press("End")
    assert element(page, "return e.ladder.toDataURL()") != before


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 400, "height": 800})
    for preset in range(3):
        page.get_by_role("radio").nth(preset).click()
        browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 13}, "depth: expected a whole number, 1 to 12, got 13"),
        ({"kernel_size": 4}, "kernel_size: expected an odd number, 3 to 25, got 4"),
        ({"up_kernel_size": 11}, "up_kernel_size: expected an odd number, 1 to 9, got 11"),
        ({"output": 0}, "output: expected a whole number, 1 to 200000, got 0"),
        ({"sample_rate": 8000.5}, "sample_rate: expected a whole number"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        context_ruler(**arguments)
