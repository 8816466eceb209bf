"""The mask painter in a real browser: no kernel; what one paints is what one hears and scores."""

from __future__ import annotations

import base64
import io
from functools import partial

import browser
import pytest
import soundfile
import torch

from lib.masks import OracleMask
from lib.metrics import si_sdr
from lib.stft import STFT
from lib.widgets import mask_painter

SAMPLE_RATE = 8000
TAG = "unmix-mask-painter"
element = partial(browser.element, tag=TAG)
NAMES = ("low", "high")
SCORES = f"""() => Object.fromEntries([...document.querySelector('{TAG}').shadowRoot
    .querySelectorAll('[data-score]')].map(cell => [cell.dataset.score, cell.textContent]))"""


@pytest.fixture(scope="module")
def panel():
    """Noise below 1.5 kHz and noise above 2.5 kHz, each with gaps: easy to part by hand."""
    generator = torch.Generator().manual_seed(9)
    noise = torch.randn(2, 2 * SAMPLE_RATE, generator=generator)
    spectrum, hertz = torch.fft.rfft(noise), torch.fft.rfftfreq(2 * SAMPLE_RATE, 1 / SAMPLE_RATE)
    spectrum = spectrum * torch.stack([(hertz > 100) & (hertz < 1500), hertz > 2500])
    low, high = torch.fft.irfft(spectrum)
    # a little of each in the other's band, so that no ideal mask is perfect
    low, high = 0.2 * (low + 0.05 * noise[1].roll(7)), 0.2 * (high + 0.05 * noise[0].roll(9))
    return mask_painter(dict(zip(NAMES, (low, high), strict=True)), SAMPLE_RATE)


@pytest.fixture
def page(panel, chromium, tmp_path):
    with browser.shown(chromium, panel, tmp_path) as opened:
        yield opened


def scores(page) -> dict[str, float]:
    def number(text: str) -> float:
        return float(text.removesuffix(" dB").replace("−", "-").replace("∞", "inf"))

    return {name: number(text) for name, text in page.evaluate(SCORES).items()}


def heard(page) -> torch.Tensor:
    """The samples of the tracks: mixture, result, what was removed, true source."""
    return torch.tensor(
        element(page, "return e.player.tracks.map(t => Array.from(t.buffer.getChannelData(0)))")
    )


def truth(panel) -> torch.Tensor:
    decoded = []
    for source in panel.config["sources"]:
        raw = base64.b64decode(source["source"].partition(",")[2])
        decoded.append(torch.from_numpy(soundfile.read(io.BytesIO(raw))[0]).float())
    return torch.stack(decoded)


def erase(page, top: float, bottom: float) -> None:
    """Drag the eraser to and fro over the whole width, between two heights (0 top, 1 bottom)."""
    element(page, "e.sizeSlider.set(40)")
    box = page.locator(f"{TAG} .plot").bounding_box()
    y, height = box["y"], box["height"]
    steps = 5
    for step in range(steps):
        level = y + height * (top + (bottom - top) * step / (steps - 1))
        page.mouse.move(box["x"] + 2, level)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 3, level, steps=4)
        page.mouse.up()


def test_the_ideal_masks_are_those_of_lib(page, panel):
    sources = truth(panel)
    mixture, stft = sources.sum(0)[None, None], STFT(256, 64)
    shown = scores(page)
    assert set(shown) == {"yours", "mixture", "IBM", "IRM", "WFM", "PSM"}
    assert shown["yours"] == shown["mixture"]
    for which, name in enumerate(NAMES):
        page.get_by_role("radio", name=name, exact=True).click()
        for kind in ("IBM", "IRM", "WFM", "PSM"):
            estimate = OracleMask(kind.lower(), stft)(mixture, sources[None, :, None])[0, which, 0]
            expected = float(si_sdr(estimate, sources[which]))
            assert scores(page)[kind] == pytest.approx(expected, abs=0.1), (name, kind)
            page.get_by_role("button", name=f"Use {kind}").click()
            torch.testing.assert_close(heard(page)[1], estimate, atol=1e-4, rtol=0)
            assert scores(page)["yours"] == scores(page)[kind]


def test_painting_changes_the_sound(page, panel):
    sources = truth(panel)
    before = heard(page)
    torch.testing.assert_close(before[1], before[0], atol=1e-4, rtol=0)
    erase(page, 0.02, 0.45)  # the upper half of the picture: the other source
    after = heard(page)
    assert si_sdr(after[1], sources[0]) > si_sdr(before[1], sources[0]) + 6
    assert scores(page)["yours"] == pytest.approx(float(si_sdr(after[1], sources[0])), abs=0.1)
    torch.testing.assert_close(after[1] + after[2], after[0], atol=1e-4, rtol=0)
    high = torch.fft.rfft(after[1])[5400:].abs().square().sum()
    assert high < 0.05 * torch.fft.rfft(after[0])[5400:].abs().square().sum()
    page.get_by_role("button", name="Invert").click()
    page.get_by_role("radio", name="high", exact=True).click()
    assert scores(page)["yours"] > scores(page)["mixture"] + 6


def test_undo_redo_reset(page):
    masks = "return Array.from(e.mask)"
    start = element(page, masks)
    erase(page, 0.1, 0.3)
    painted = element(page, masks)
    assert min(painted) == 0 and painted != start
    for _ in range(5):
        page.get_by_role("button", name="Undo").click()
    assert element(page, masks) == start
    assert page.get_by_role("button", name="Undo").is_disabled()
    for _ in range(5):
        page.get_by_role("button", name="Redo").click()
    assert element(page, masks) == painted
    page.get_by_role("button", name="Reset").click()
    assert set(element(page, masks)) == {1}
    page.get_by_role("button", name="Remove all").click()
    assert scores(page)["yours"] == float("-inf") and not heard(page)[1].any()


def test_brush_value_and_soft_edge(page):
    page.get_by_role("button", name="Remove all").click()
    page.get_by_role("radio", name="Brush").click()
    element(page, "e.size = 60; e.value = 0.6; e.soft = 1; e.draw()")
    box = page.locator(f"{TAG} .plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for _ in range(4):  # to and fro on one spot: soft stays soft
        page.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.up()
    painted = torch.tensor(element(page, "return Array.from(e.mask)"))
    assert painted.max() == pytest.approx(0.6, abs=0.01)
    values = painted[painted > 0]
    assert (values < 0.3).float().mean() > 0.2
    element(page, "e.soft = 0; e.value = 1")
    page.mouse.down()
    page.mouse.up()
    assert set(element(page, "return Array.from(e.mask)")) <= {*painted.tolist(), 0.0, 1.0}
    assert element(page, "return Math.max(...e.mask)") == 1


def test_painting_from_the_keyboard(page):
    canvas = page.get_by_role("application", name="Canvas")
    canvas.focus()
    page.keyboard.press("e")
    for _ in range(12):
        page.keyboard.press("ArrowUp")
    assert set(element(page, "return Array.from(e.mask)")) == {1}
    page.keyboard.press("Enter")
    dab = element(page, "return e.mask.filter(m => m < 1).length")
    assert dab > 20
    for _ in range(10):
        page.keyboard.press("Shift+ArrowRight")
    assert element(page, "return e.mask.filter(m => m < 1).length") > 2 * dab
    assert "painted. SI-SDR" in element(page, "return e.live.textContent")
    page.keyboard.press("z")
    page.keyboard.press("]")
    page.keyboard.press("4")
    assert element(page, "return [e.size, e.player.selected, e.past.length]") == [30, 3, 10]


def test_it_plays_and_goes_on_while_one_paints(page):
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"() => document.querySelector('{TAG}').player.position > 0.1")
    erase(page, 0.1, 0.2)
    assert element(page, "return e.player.playing && e.player.position > 0.1")
    levels = "return e.player.tracks.map(t => t.level)"
    assert element(page, levels)[1] > 1
    page.get_by_role("switch", name="Loudness match").click()
    assert element(page, levels) == [1, 1, 1, 1]
    page.get_by_role("button", name="Pause").click()
    assert not element(page, "return e.player.playing")


def test_pictures_and_guides_differ(page):
    picture = "return e.axes.canvas.toDataURL()"
    page.get_by_role("button", name="Use IBM").click()
    seen = []
    for name in ("Mask on mixture", "Mask alone", "Masked mixture", "Source to reach"):
        page.get_by_role("radio", name=name, exact=True).click()
        seen.append(element(page, picture))
    assert len(set(seen)) == 4
    overlay = "return e.axes.overlay.toDataURL()"
    guides = []
    for name in ("none", "IBM", "IRM", "WFM", "PSM"):
        page.get_by_role("radio", name=name, exact=True).click()
        guides.append(element(page, overlay))
    assert len(set(guides)) == 5
