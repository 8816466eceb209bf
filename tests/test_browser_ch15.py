"""The dilation explorer in a real browser: its numbers and its cone are those of lib."""

from __future__ import annotations

from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.models import ConvTasNet
from lib.nn.tcn import TCN, receptive_field
from lib.widgets import dilation_explorer

TAG = "unmix-dilation-explorer"
element = partial(browser.element, tag=TAG)
# taps, blocks, repeats, kernel_size, causal
GRID = [
    (3, 8, 3, 16, False),
    (3, 8, 3, 20, True),
    (2, 1, 1, 2, True),
    (2, 10, 6, 64, True),
    (4, 3, 2, 40, True),
    (5, 6, 4, 8, False),
    (7, 10, 6, 16, False),
    (3, 1, 6, 4, False),
]


@pytest.fixture
def page(chromium, tmp_path):
    with browser.shown(chromium, dilation_explorer(), tmp_path) as opened:
        yield opened


def settle(page, taps, blocks, repeats, kernel_size=16, causal=False) -> None:
    settings = {"taps": taps, "blocks": blocks, "repeats": repeats, "kernel_size": kernel_size}
    element(page, "e.preset(argument[0], argument[1])", [settings, causal])


def shown(page, name: str) -> str:
    return page.locator(f"{TAG} [data-value={name}]").text_content()


def test_numbers_are_those_of_lib(page):
    for taps, blocks, repeats, kernel_size, causal in GRID:
        settle(page, taps, blocks, repeats, kernel_size, causal)
        with torch.device("meta"):
            model = ConvTasNet(
                kernel_size=kernel_size,
                taps=taps,
                blocks=blocks,
                repeats=repeats,
                causal=causal,
                norm="channel",
            )
        frames = receptive_field(taps, blocks, repeats)
        assert shown(page, "formula").endswith(f"= {frames:,} frames")
        assert element(page, "return e.rows[0].count") == frames
        # a sample lies in two frames and sees a stride more than one of them
        samples = model.receptive_field - model.encoder.stride
        assert shown(page, "seconds") == f"{samples / 8000:.3f} s"
        assert shown(page, "parameters") == f"{sum(p.numel() for p in model.parameters()):,}"
        ahead = 0 if causal else (frames - 1) // 2
        assert shown(page, "ahead") == f"{ahead:,} frame{'s' * (ahead != 1)}"
        flat = sum(receptive_field(taps, 1) - 1 for _ in range(blocks * repeats)) + 1
        assert shown(page, "plain").endswith(f"would see {flat} frames")


@pytest.mark.parametrize(
    ("taps", "blocks", "repeats", "causal"),
    [(3, 4, 1, False), (3, 3, 2, True), (2, 4, 2, True), (5, 2, 3, False), (4, 3, 2, True)],
)
def test_the_cone_is_what_gradients_reach(page, taps, blocks, repeats, causal):
    settle(page, taps, blocks, repeats, causal=causal)
    rows = element(page, "return e.rows.slice(0, -1)")
    tcn = TCN(4, 8, 4, taps, blocks, repeats, "channel", causal, last_residual=True).double()
    reach = receptive_field(taps, blocks, repeats)
    assert len(rows) == len(tcn.blocks)
    for first, row in enumerate(rows):
        features = torch.randn(1, 4, 2 * reach + 1, dtype=torch.float64, requires_grad=True)
        hidden = features
        for block in tcn.blocks[first:]:
            hidden, _ = block(hidden)
        (gradient,) = torch.autograd.grad(hidden[0, :, reach].sum(), features)
        reached = (gradient[0].abs().sum(0).nonzero().flatten() - reach).tolist()
        assert reached == list(range(row["first"], row["last"] + 1, row["step"]))
        assert row["count"] == len(reached)


def test_following_the_cone_block_by_block(page):
    slider = page.get_by_role("slider", name="Blocks followed back")
    spoken = page.locator(f"{TAG} p[role=status]")
    picture = "return e.canvas.toDataURL()"
    whole = element(page, picture)
    assert "4 blocks back, behind dilation 1: 31 frames, from −15 to 15." in spoken.text_content()
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == "3 of 4"
    assert "3 blocks back, behind dilation 2: 15 frames, from −14 to 14." in spoken.text_content()
    assert element(page, picture) != whole
    page.keyboard.press("Home")
    assert "The output frame itself" in element(page, "return e.canvas.ariaLabel")
    page.keyboard.press("End")
    assert element(page, picture) == whole


def test_an_even_kernel_needs_the_causal_switch(page):
    taps = page.get_by_role("slider", name="P, kernel size")
    causal = page.get_by_role("switch", name="Causal")
    taps.focus()
    page.keyboard.press("ArrowRight")
    assert element(page, "return e.settings.taps") == 5
    page.keyboard.press("c")
    assert causal.get_attribute("aria-checked") == "true"
    page.keyboard.press("ArrowLeft")
    assert element(page, "return e.settings.taps") == 4
    causal.click()
    assert element(page, "return [e.settings.taps, e.causal]") == [5, False]
    assert taps.get_attribute("aria-valuetext") == "5"
    page.get_by_role("slider", name="L, window").focus()
    page.keyboard.press("ArrowLeft")
    assert element(page, "return e.settings.kernel_size") == 14


def test_the_paper_and_back(page):
    page.get_by_role("button", name="Conv-TasNet").click()
    assert shown(page, "parameters") == "5,050,545"
    assert shown(page, "seconds") == "1.532 s"
    page.get_by_role("button", name="Start again").click()
    assert shown(page, "formula").endswith("= 31 frames")


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 400, "height": 800})
    for settings in ((3, 8, 3), (7, 10, 6)):
        settle(page, *settings)
        browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


def test_two_on_a_page_do_not_meet(chromium, tmp_path):
    class Both:
        tag = TAG

        def _repr_html_(self) -> str:
            second = dilation_explorer(2, 5, causal=True, title="Second")
            return dilation_explorer()._repr_html_() + second._repr_html_()

    with browser.shown(chromium, Both(), tmp_path) as page:
        page.wait_for_function("document.querySelectorAll('[data-ready]').length === 2")
        first, second = (page.locator(TAG).nth(number) for number in range(2))
        second.get_by_role("slider", name="X, blocks").focus()
        page.keyboard.press("ArrowRight")
        assert second.locator("[data-value=formula]").text_content().endswith("= 64 frames")
        assert first.locator("[data-value=formula]").text_content().endswith("= 31 frames")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"taps": 1}, "taps: expected a whole number, 2 to 7, got 1"),
        ({"taps": 4}, "taps: expected an odd number, or causal=True, got 4"),
        ({"blocks": 11}, "blocks: expected a whole number, 1 to 10"),
        ({"repeats": 1.5}, "repeats: expected a whole number, 1 to 6, got 1.5"),
        ({"kernel_size": 15}, "kernel_size: expected an even number, got 15"),
        ({"kernel_size": "16"}, "kernel_size: expected a whole number, 2 to 64"),
        ({"sample_rate": 0}, "sample_rate: expected 1000 Hz or more"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        dilation_explorer(**arguments)
