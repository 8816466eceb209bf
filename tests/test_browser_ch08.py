"""Denoise by hand in a real browser: no kernel; drawing, sliders, keyboard, sound and scores."""

from __future__ import annotations

from functools import partial

import browser
import pytest
import torch

from lib.audio import resample
from lib.checks.ch08 import noisy_clip
from lib.classical import musical_noise_index, noise_profile, spectral_subtraction
from lib.metrics import si_sdr
from lib.widgets import denoise_by_hand

RATE = 8000
TAG = "unmix-denoise-by-hand"
element = partial(browser.element, tag=TAG)


@pytest.fixture(scope="module")
def clip():
    mixed, _ = noisy_clip()
    return resample(mixed.mixture, 16000, RATE), resample(mixed.target, 16000, RATE)


@pytest.fixture
def page(clip, chromium, tmp_path):
    with browser.shown(chromium, denoise_by_hand(*clip, RATE), tmp_path) as opened:
        yield opened


def scores(page) -> dict[str, float]:
    """What the panel computed, once the next frame has come."""
    page.wait_for_function(f"() => !document.querySelector('{TAG}').pending")
    return element(page, "return e.scores")


def expected(clip, profile, **options) -> dict[str, float]:
    mixture, voice = (signal.double() for signal in clip)
    noise = mixture - voice
    options["noise_profile"] = profile
    left = spectral_subtraction(noise, RATE, **options)
    estimate = spectral_subtraction(mixture, RATE, **options)
    return {
        "before": float(si_sdr(mixture, voice)),
        "after": float(si_sdr(estimate, voice)),
        "left": float(10 * torch.log10(left.square().sum() / noise.square().sum())),
        "index": float(musical_noise_index(left, noise, RATE)),
    }


def test_the_page_computes_what_lib_computes(page, clip):
    profile = noise_profile(clip[0].double(), RATE, stop=0.3)
    bare = expected(clip, profile, over_subtraction=1.0, floor=0.0)
    assert scores(page) == pytest.approx(bare, abs=0.03)
    page.get_by_role("button", name="Cured").click()
    cured = expected(clip, profile, over_subtraction=2.0, floor=0.1)
    assert scores(page) == pytest.approx(cured, abs=0.03)
    page.get_by_role("radio", name="Powers").click()
    powers = expected(clip, profile, over_subtraction=2.0, floor=0.1, domain="power")
    assert scores(page) == pytest.approx(powers, abs=0.03)
    shown = page.locator(f"{TAG} [data-score=si_sdr_i]").text_content()
    change = powers["after"] - powers["before"]
    assert float(shown.removesuffix(" dB")) == pytest.approx(change, abs=0.06)


def test_musical_noise_appears_and_is_cured_on_the_sliders(page):
    assert "lone, short tones" in page.locator(f"{TAG} .verdict").text_content()
    for name, presses in (("Over-subtraction", 10), ("Floor", 15)):
        slider = page.get_by_role("slider", name=name)
        slider.focus()
        for _ in range(presses):
            page.keyboard.press("ArrowRight")
    after = scores(page)
    assert element(page, "return e.options") == pytest.approx(
        {"alpha": 2.0, "beta": 0.15, "exponent": 1}
    )
    assert after["index"] < 0.8
    assert "sounds like noise" in page.locator(f"{TAG} .verdict").text_content()


def test_drawing_changes_the_profile_there_and_nowhere_else(page):
    before = element(page, "return [...e.profile]")
    box = page.locator(f"{TAG} .draw").bounding_box()
    place = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])  # noqa: E731
    page.mouse.move(*place(0.25, 0.9))
    page.mouse.down()
    page.mouse.move(*place(0.5, 0.9), steps=3)
    page.mouse.up()
    page.mouse.move(*place(0.75, 0.1))
    after = element(page, "return [...e.profile]")
    bins = len(before)
    drawn = slice(round(0.27 * bins), round(0.48 * bins))
    # 90 % of the way from +5 down to -60 dB
    zero = element(page, "return e.zero")
    assert after[drawn] == pytest.approx([zero * 10 ** (-53.5 / 10)] * len(after[drawn]), rel=0.2)
    assert after[round(0.6 * bins) :] == before[round(0.6 * bins) :]
    assert after[: round(0.2 * bins)] == before[: round(0.2 * bins)]
    page.get_by_role("button", name="Take the profile from the stretch").click()
    assert element(page, "return [...e.profile]") == before


def test_the_keyboard_raises_the_profile_at_its_cursor(page):
    page.get_by_role("slider", name="Noise profile").focus()
    before = element(page, "return Array.from(e.profile, p => e.level(p))")
    for key in ("ArrowRight", "Shift+ArrowRight", "ArrowUp", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    after = element(page, "return Array.from(e.profile, p => e.level(p))")
    change = [b - a for a, b in zip(before, after, strict=True)]
    top = max(range(len(change)), key=change.__getitem__)
    assert change[top] == pytest.approx(8.0, abs=0.2)
    assert top == pytest.approx((0.25 + 5 / 48) * (len(change) - 1), abs=1.5)
    assert abs(change[-3]) < 0.01
    spoken = page.get_by_role("slider", name="Noise profile").get_attribute("aria-valuetext")
    assert " dB at 14" in spoken and spoken.endswith("Hz")


def test_a_marked_stretch_becomes_the_profile(page, clip):
    box = page.locator(f"{TAG} .plot.image").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 60, steps=4)
    page.mouse.up()
    start, stop = element(page, "return e.stretch")
    assert (start, stop) == pytest.approx((1.05, 1.75), abs=0.02)
    # a profile with voice in it takes the voice away
    assert scores(page)["after"] < 5.0
    slider = page.get_by_role("slider", name="Stretch begins at")
    slider.focus()
    page.keyboard.press("Home")
    assert element(page, "return e.stretch[0]") == 0
    page.get_by_role("slider", name="and lasts").focus()
    page.keyboard.press("Home")
    assert element(page, "return e.stretch[1]") == pytest.approx(0.064)


def test_it_plays_what_it_computed_at_one_loudness(page):
    assert page.locator(f"{TAG} .time").text_content() == "0.0 / 3.5 s"
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"() => document.querySelector('{TAG}').player.position > 0.15")
    same = """
        const heard = e.player.tracks[1].buffer.getChannelData(0);
        return heard.every((value, n) => value === e.estimate[n])"""
    assert element(page, same)
    page.get_by_role("button", name="Cured").click()
    page.wait_for_timeout(600)
    assert element(page, same) and element(page, "return e.player.playing")
    power = """
        return e.player.tracks.map(({ buffer, level }) =>
            level * Math.sqrt(buffer.getChannelData(0).reduce((sum, v) => sum + v * v, 0)))"""
    levels = element(page, power)
    assert levels[:2] == pytest.approx([levels[0]] * 2, rel=0.01)
    page.keyboard.press("m")
    assert element(page, "return e.player.tracks.map(track => track.level)") == [1, 1, 1, 1]
    page.keyboard.press("4")
    assert element(page, "return e.player.selected") == 3
    assert "Reference" in page.locator(f"{TAG} .caption").first.text_content()
    page.get_by_role("button", name="Pause").click()
    assert not element(page, "return e.player.playing")


def test_it_fits_a_narrow_page_and_a_dark_one(page):
    page.set_viewport_size({"width": 380, "height": 800})
    page.evaluate("document.documentElement.style.cssText = 'background:#111;color:#eee'")
    page.wait_for_function(f"() => document.querySelector('{TAG}').hasAttribute('data-dark')")
    browser.assert_fits(page, TAG)
