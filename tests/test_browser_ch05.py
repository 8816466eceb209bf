"""The projection triangle in a real browser: no kernel, mouse, keyboard, sound."""

from __future__ import annotations

import io
import math
from functools import partial

import browser
import pytest
import soundfile
import torch

from lib.metrics import bss_eval, sd_sdr, si_sdr, snr
from lib.widgets import projection_triangle

SAMPLE_RATE = 8000
TAG = "unmix-projection-triangle"
element = partial(browser.element, tag=TAG)
VALUES = f"""() => Object.fromEntries([...document.querySelector('{TAG}').shadowRoot
    .querySelectorAll('[data-score]')].map(cell => [cell.dataset.score, cell.textContent]))"""


@pytest.fixture(scope="module")
def panel():
    generator = torch.Generator().manual_seed(3)
    envelope = torch.rand(2, 40, generator=generator).repeat_interleave(SAMPLE_RATE // 20, -1)
    target, interference = envelope * torch.randn(envelope.shape, generator=generator)
    return projection_triangle(target, interference, SAMPLE_RATE, start=(0.9, 0.5, 0.2))


@pytest.fixture
def page(panel, chromium, tmp_path):
    with browser.shown(chromium, panel, tmp_path) as opened:
        yield opened


def scores(page) -> dict[str, float]:
    def number(text: str) -> float:
        text = text.removesuffix(" dB").replace("−", "-").replace("∞", "inf")
        return float(text)

    return {name: number(text) for name, text in page.evaluate(VALUES).items()}


def tracks(panel) -> torch.Tensor:
    import base64

    decoded = []
    for uri in panel.config["tracks"]:
        raw = base64.b64decode(uri.partition(",")[2])
        decoded.append(torch.from_numpy(soundfile.read(io.BytesIO(raw))[0]))
    return torch.stack(decoded)


def test_the_readouts_are_the_metrics_of_the_sound(page, panel):
    audio = tracks(panel)
    estimate = torch.tensor([0.9, 0.5, 0.2], dtype=torch.float64) @ audio
    estimates = torch.stack([estimate, audio[1]])
    ratios = bss_eval(estimates, audio[:2], 1)
    expected = {
        "snr": snr(estimate, audio[0]),
        "sd_sdr": sd_sdr(estimate, audio[0]),
        "si_sdr": si_sdr(estimate, audio[0]),
        "sir": ratios.sir[0],
        "sar": ratios.sar[0],
    }
    shown = scores(page)
    assert set(shown) == set(expected)
    for name, value in expected.items():
        assert shown[name] == pytest.approx(float(value), abs=0.1), name


def test_dragging_moves_the_estimate(page):
    box = page.locator(f"{TAG} svg[role=group]").bounding_box()
    before = scores(page)
    tip = page.locator(f"{TAG} .handle").bounding_box()
    page.mouse.move(tip["x"] + tip["width"] / 2, tip["y"] + tip["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"], steps=4)
    page.mouse.up()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"])
    after = scores(page)
    assert after["sir"] < before["sir"] - 2
    assert after["si_sdr"] < before["si_sdr"] - 2
    vector = element(page, "return e.vector")
    assert 0 < vector[0] < 0.9 and vector[1] > 0.5 and vector[2] == 0.2


def test_gain_only_moves_the_snr_and_nothing_scale_invariant(page):
    before = scores(page)
    page.get_by_role("switch", name="Change the gain only").click()
    slider = page.get_by_role("slider", name="Gain")
    slider.focus()
    for _ in range(50):
        page.keyboard.press("ArrowLeft")
    after = scores(page)
    for name in ("si_sdr", "sir", "sar"):
        assert after[name] == before[name]
    assert after["snr"] < before["snr"] - 0.3
    vector = element(page, "return e.vector")
    assert vector[0] / vector[1] == pytest.approx(1.8)
    assert vector[0] == pytest.approx(0.9 * 10 ** (-5 / 20), rel=1e-3)
    page.get_by_role("switch", name="Change the gain only").click()
    assert page.get_by_role("slider", name="Artifact part").is_visible()


def test_arrow_keys_move_the_estimate(page):
    page.get_by_role("slider", name="Estimate. Left and right").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowUp"):
        page.keyboard.press(key)
    assert element(page, "return e.vector") == pytest.approx([1.0, 0.46, 0.2])
    spoken = page.get_by_role("slider", name="Estimate. Left and right").get_attribute(
        "aria-valuetext"
    )
    assert "target 1.00, interference 0.46" in spoken and "SI-SDR" in spoken


def test_special_cases_are_named(page):
    page.get_by_role("button", name="Perfect").click()
    assert scores(page) == dict.fromkeys(("snr", "sd_sdr", "si_sdr", "sir", "sar"), math.inf)
    page.get_by_role("button", name="Half as loud").click()
    assert scores(page)["snr"] == 6.0 and scores(page)["si_sdr"] == math.inf
    page.get_by_role("button", name="Wrong speaker").click()
    assert scores(page)["si_sdr"] == -math.inf
    page.get_by_role("button", name="Mixture").click()
    assert scores(page)["si_sdr"] == 0.0 and scores(page)["snr"] == 0.0
    done = "return e.shadowRoot.querySelectorAll('.goals .done').length"
    before = element(page, done)
    page.get_by_role("button", name="Perfect").click()
    page.get_by_role("button", name="Flip the sign").click()
    assert scores(page)["snr"] == -6.0 and scores(page)["si_sdr"] == math.inf
    assert element(page, done) == before + 1


def test_it_plays_what_the_arrow_shows_at_one_level(page):
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"() => document.querySelector('{TAG}').player.position > 0.15")
    for preset, vector in (("Mixture", [1, 1, 0]), ("Half as loud", [0.5, 0, 0])):
        page.get_by_role("button", name=preset).click()
        heard = "return e.player.tracks.map(track => track.gain * track.level)"
        length = math.hypot(*vector)
        assert element(page, heard) == pytest.approx([part / length for part in vector])
    page.get_by_role("switch", name="Loudness match").click()
    assert element(page, heard) == pytest.approx([0.5, 0, 0])
    page.keyboard.press("2")
    assert element(page, heard) == pytest.approx([1, 0, 0])
    page.get_by_role("button", name="Pause").click()
    assert not element(page, "return e.player.playing")
