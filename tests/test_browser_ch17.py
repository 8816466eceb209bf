"""The attention lens in a real browser: it shows the weights that it was given."""

from __future__ import annotations

import itertools
import re
from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.models.sepformer import SepFormer
from lib.nn.attention import attention_maps
from lib.nn.dual_path import segment
from lib.widgets import attention_lens

TAG = "unmix-attention-lens"
element = partial(browser.element, tag=TAG)
RATE, SAMPLES = 8000, 2000


@pytest.fixture(scope="module")
def maps():
    torch.manual_seed(0)
    model = SepFormer(filters=8, kernel_size=32, channels=8, chunk=10, layers=2, repeats=1, heads=2)
    for layer in model.modules():  # sharper than at the start of a training
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data *= 3
    return attention_maps(model.eval(), noise())


def noise():
    return torch.randn(1, 1, SAMPLES, generator=torch.Generator().manual_seed(1)) / 4


@pytest.fixture
def lens(maps):
    return attention_lens(noise(), RATE, maps, stride=16)


@pytest.fixture
def page(chromium, tmp_path, lens):
    with browser.shown(chromium, lens, tmp_path) as opened:
        yield opened


def pick(page, group: str, option: str):
    page.get_by_role("radiogroup", name=group).get_by_role("radio", name=option).click()


def status(page) -> str:
    return page.locator(f"{TAG} p[role=status]").text_content()


def chunks(frames: int, chunk: int) -> torch.Tensor:
    """The chunks (S, K) of the numbers from 1 to T; zeros stay zeros."""
    return segment(torch.arange(1.0, frames + 1).view(1, 1, -1), chunk)[:, 0, :, 0]


def test_it_shows_the_weights_of_the_maps(page, maps):
    for layer, head, later in itertools.product((0, 1), (0, 1, 2), (False, True)):
        check_weights(page, maps, layer, head, later)


def check_weights(page, maps, layer, head, later):
    pick(page, "Layer", str(layer + 1))
    pick(page, "Head", str(head) if head else "mean")
    pick(page, "Chunk", "later" if later else "earlier")
    inside, across = (
        maps[f"masker.dual_path.blocks.0.{path}.layers.{layer}.attention"]
        for path in ("intra", "inter")
    )
    cut = chunks(SAMPLES // 16 + 1, 10)
    for frame in (0, 3, 64, SAMPLES // 16):
        found = element(page, "e.frameSlider.set(argument); return [e.index, e.place]", frame)
        index, place = (cut == frame + 1).nonzero().tolist()[later]
        assert found == [index, place]
        shown = element(page, "return [[...e.within], [...e.across]]")
        rows = inside[index, :, place], across[place, :, index]  # (heads, K), (heads, S)
        for seen, row in zip(shown, rows, strict=True):
            right = row[head - 1] if head else row.mean(0)
            # one byte for the root of a weight
            assert torch.allclose(torch.tensor(seen), right, atol=0.01)
            assert sum(seen) == pytest.approx(1)


def test_the_text_names_the_frames_that_are_read_most(page):
    element(page, "e.frameSlider.set(50)")
    within, start = element(page, "return [[...e.within], e.start]")
    order = sorted(range(10), key=lambda i: -within[i])[:3]
    text = status(page)
    assert text.startswith("Frame 50, at 100 ms: place 0 of chunk 11. Layer 1, mean of the heads.")
    names = ["itself" if start + i == 50 else f"{2 * (start + i)} ms" for i in order]
    listed = re.search(r"reads most (.*?)\. Across", text)[1]
    assert [entry.split(" (")[0] for entry in listed.split(", ")] == names
    assert text in element(page, "return e.stage.ariaLabel")


def test_pointing_and_keys_choose_a_frame(page):
    box = page.locator(f"{TAG} .stage").bounding_box()
    width = box["width"] - 60
    page.mouse.move(box["x"] + 50 + 0.5 * width, box["y"] + 60)
    assert element(page, "return e.frame") in (62, 63)
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(box["x"] + 5, box["y"] - 5)  # off the picture
    before = element(page, "return e.frame")
    slider = page.get_by_role("slider", name="Frame")
    page.keyboard.press("ArrowRight")
    assert element(page, "return e.frame") == before + 1
    assert slider.get_attribute("aria-valuetext") == f"{before + 1}, at {2 * before + 2} ms"
    page.keyboard.press("End")
    assert element(page, "return e.frame") == 125
    page.keyboard.press("Home")
    assert element(page, "return e.frame") == 0
    assert "zeros around the sound" in status(page) or "itself" in status(page)


def test_pressing_in_the_lower_bars_goes_to_that_frame(page):
    element(page, "e.frameSlider.set(50)")
    start = element(page, "return e.start")
    box = page.locator(f"{TAG} .inside").bounding_box()
    width = box["width"] - 60
    place = (box["x"] + 50 + 0.85 * width, box["y"] + 50)
    page.mouse.move(*place)
    assert element(page, "return e.frame") == 50  # hovering would chase the chunk
    page.mouse.click(*place)
    assert element(page, "return e.frame") == start + 8


def test_a_touch_chooses_a_frame(page):
    script = """const box = e.stage.getBoundingClientRect();
        const clientX = box.left + 50 + 0.25 * (box.width - 60);
        e.stage.dispatchEvent(new PointerEvent("pointerdown",
            {clientX, clientY: box.top + 60, pointerType: "touch", cancelable: true}));
        return [e.frame, e.shadowRoot.activeElement === e.frameSlider.input];"""
    assert element(page, script) in ([31, True], [32, True])


def test_the_pictures_follow(page):
    pictures = "return e.stage.toDataURL() + e.inside.toDataURL()"
    seen = [element(page, pictures)]
    for script in ("e.frameSlider.set(90)", "e.head = 1; e.show()", "e.layer = 1; e.show()"):
        element(page, script)
        seen.append(element(page, pictures))
    assert len(set(seen)) == 4


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 400, "height": 800})
    browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": 0}, "stride: expected 1 to 2000 samples, got 0"),
        ({"stride": 8}, "maps: expected the shapes .* for 251 frames"),
        ({"maps": {}}, "maps: expected as many layers inside of chunks as across them, got 0 and"),
        ({"maps": {"a.intra": torch.ones(1), "a.inter": torch.ones(1)}}, "maps: expected weights"),
        ({"mixture": torch.zeros(1, SAMPLES)}, "mixture: expected a signal, got silence"),
    ],
)
def test_what_is_refused(maps, change, message):
    arguments = {"mixture": noise(), "sample_rate": RATE, "maps": maps, "stride": 16}
    with pytest.raises(InputError, match=message):
        attention_lens(**(arguments | change))
