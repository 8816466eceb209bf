"""The mixing desk in Chromium, with no kernel and no other host."""

from __future__ import annotations

import math

import browser
import pytest
import torch

from lib.widgets import mixing_desk

RATE = 8000
DESK = 'document.querySelector("unmix-mixing-desk")'


def signals():
    generator = torch.Generator().manual_seed(3)
    time = torch.arange(RATE) / RATE
    voice = 0.2 * torch.sin(2 * math.pi * 220 * time)
    hiss = 0.1 * torch.randn(RATE, generator=generator).clamp(-3, 3)
    return voice, {"hiss": hiss, "hum": 0.4 * torch.sin(2 * math.pi * 60 * time)}


def true_snr(voice, noise, gain=1.0):
    return (20 * torch.log10(voice.norm() / (gain * noise).norm())).item()


@pytest.fixture
def page(chromium, tmp_path):
    with browser.shown(chromium, mixing_desk(*signals(), RATE), tmp_path) as opened:
        yield opened


def numbers(page):
    return page.locator("unmix-mixing-desk .numbers").inner_text().replace("\u2212", "-")


def fader(page, name):
    return page.get_by_label(f"{name} fader")


def test_the_read_out_is_the_snr_of_the_clips(page):
    voice, noises = signals()
    assert f"{true_snr(voice, noises['hiss']):.1f} dB" in numbers(page)


def test_a_fader_moves_the_snr_by_as_many_decibels(page):
    voice, noises = signals()
    before = true_snr(voice, noises["hiss"])
    fader(page, "noise").fill("-12")
    assert abs(page.evaluate(f"{DESK}.snrDb") - (before + 12)) < 1e-3
    fader(page, "voice").fill("-3")
    assert abs(page.evaluate(f"{DESK}.snrDb") - (before + 9)) < 1e-3


def test_faders_work_with_the_keyboard(page):
    start = page.evaluate(f"{DESK}.snrDb")
    fader(page, "noise").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert abs(page.evaluate(f"{DESK}.snrDb") - (start + 0.5)) < 1e-3
    page.keyboard.press("g")
    assert page.evaluate(f"{DESK}.safe") is False
    page.keyboard.press("2")
    assert page.evaluate(f"{DESK}.heard") == 1


def test_one_gain_for_all_prevents_clipping_and_leaves_the_snr(page):
    fader(page, "voice").fill("12")
    fader(page, "noise").fill("12")
    snr = page.evaluate(f"{DESK}.snrDb")
    gains = page.evaluate(f"{DESK}.player.tracks.map((track) => track.gain)")
    voice, noises = signals()
    peak = (gains[0] * voice + gains[1] * noises["hiss"]).abs().max().item()
    assert peak == pytest.approx(0.99, abs=2e-3)
    assert "clips" in numbers(page)
    page.get_by_role("switch", name="One gain for all").click()
    gains = page.evaluate(f"{DESK}.player.tracks.map((track) => track.gain)")
    assert gains == pytest.approx([10 ** (12 / 20)] * 2)
    assert page.evaluate(f"{DESK}.snrDb") == snr


def test_another_noise_changes_read_out_and_sound(page):
    voice, noises = signals()
    page.get_by_role("radio", name="hum").click()
    assert f"{true_snr(voice, noises['hum']):.1f} dB" in numbers(page)
    samples = page.evaluate(f"{DESK}.player.tracks[1].buffer.getChannelData(0)[40]")
    assert samples == pytest.approx(noises["hum"][40].item(), abs=1e-4)


def test_gains_change_while_it_plays_and_the_playhead_goes_on(page):
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{DESK}.player.position > 0.1")
    voices = page.evaluate_handle(f"{DESK}.player.voices")
    fader(page, "noise").fill("-20")
    assert page.evaluate(f"{DESK}.player.playing")
    assert page.evaluate(f"(voices) => voices === {DESK}.player.voices", voices)
    assert page.evaluate(f"{DESK}.player.tracks[1].gain") == pytest.approx(0.1)
    page.keyboard.press("Space")
    assert not page.evaluate(f"{DESK}.player.playing")


def test_the_pictures_follow_the_faders(page):
    shot = (
        f"new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done("
        f"{DESK}.view.canvas.toDataURL() + {DESK}.wave.canvas.toDataURL()))))"
    )
    before = page.evaluate(shot)
    fader(page, "noise").fill("-30")
    quiet = page.evaluate(shot)
    assert quiet != before
    page.get_by_role("radio", name="noise", exact=True).click()
    assert page.evaluate(shot) != quiet


def start_task(page):
    page.get_by_role("radio", name="Predict the gain").click()
    target = page.evaluate(f"{DESK}.target")
    voice, noises = signals()
    return target, (voice.norm() / noises["hiss"].norm()).item()


def answer(page, value):
    page.get_by_label("Your gain alpha").fill(str(value))
    page.keyboard.press("Enter")
    return page.locator("unmix-mixing-desk form [aria-live]").inner_text().replace("\u2212", "-")


def test_the_task_hides_the_answer_until_it_is_given(page):
    target, ratio = start_task(page)
    assert "SNR = ?" in numbers(page)
    assert fader(page, "noise").is_disabled()
    feedback = answer(page, 10 ** (-target / 20) * ratio)
    assert "Right" in feedback
    assert page.evaluate(f"{DESK}.snrDb") == pytest.approx(target, abs=0.01)
    assert f"= {target:.1f} dB" in numbers(page)


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (lambda target, ratio: 10 ** (target / 20) * ratio, "sign of the exponent"),
        (lambda target, ratio: 10 ** (-target / 10) * ratio, "divided by 10"),
        (lambda target, ratio: 10 ** (-target / 20), "left out"),
        (lambda target, ratio: 10 ** (-target / 20) / ratio, "upside down"),
        (lambda target, ratio: 7.3, "too loud"),
        (lambda target, ratio: -3, "positive"),
        (lambda target, ratio: "loud", "number first"),
    ],
)
def test_the_task_knows_the_common_slips(page, slip, message):
    feedback = answer(page, slip(*start_task(page)))
    assert message in feedback
    assert "Right" not in feedback


def test_show_and_another_target(page):
    target, ratio = start_task(page)
    page.get_by_role("button", name="Show").click()
    assert page.evaluate(f"{DESK}.snrDb") == pytest.approx(target, abs=0.01)
    page.get_by_role("button", name="Another target").click()
    assert page.evaluate(f"{DESK}.target") != target
    assert "SNR = ?" in numbers(page)
    page.get_by_role("radio", name="Mix freely").click()
    assert fader(page, "noise").is_enabled()
