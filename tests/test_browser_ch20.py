"""The complex mask plane in a real browser: arrows, masks, sound and scores are those of lib."""

from __future__ import annotations

import base64
import io
import math
from functools import partial

import browser
import pytest
import soundfile
import torch

from lib.errors import InputError
from lib.masks import OracleMask, complex_ideal_ratio_mask, nonnegative_phase_sensitive_mask
from lib.metrics import si_sdr
from lib.stft import STFT
from lib.widgets import complex_mask_plane

SAMPLE_RATE = 8000
TAG = "unmix-complex-mask-plane"
element = partial(browser.element, tag=TAG)


@pytest.fixture(scope="module")
def panel():
    """A tone that slides and noise: their phases agree nowhere for long."""
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = 0.3 * torch.sin(2 * math.pi * (300 + 600 * time) * time)
    noise = 0.1 * torch.randn(SAMPLE_RATE, generator=torch.Generator().manual_seed(20))
    return complex_mask_plane({"tone": tone, "noise": noise}, SAMPLE_RATE)


@pytest.fixture
def page(panel, chromium, tmp_path):
    with browser.shown(chromium, panel, tmp_path) as opened:
        yield opened


def truth(panel) -> torch.Tensor:
    decoded = []
    for source in panel.config["sources"]:
        raw = base64.b64decode(source["source"].partition(",")[2])
        decoded.append(torch.from_numpy(soundfile.read(io.BytesIO(raw))[0]).float())
    return torch.stack(decoded)


def heard(page) -> torch.Tensor:
    """The samples of the tracks: mixture, result, what was removed, true source."""
    return torch.tensor(
        element(page, "return e.player.tracks.map(t => Array.from(t.buffer.getChannelData(0)))")
    )


def mask(page) -> torch.Tensor:
    """The mask, (freq, frames)."""
    script = "return [Array.from(e.mask.re), Array.from(e.mask.im), e.spectrum.bins]"
    real, imaginary, bins = element(page, script)
    parts = torch.tensor([real, imaginary], dtype=torch.float32)
    return torch.complex(*parts).unflatten(0, (-1, bins)).T


def score(page) -> float:
    text = page.locator(f"{TAG} [role=status]").first.text_content()
    return float(text.split()[1].replace("\u2212", "-"))


def test_masks_sounds_and_scores_are_those_of_lib(page, panel):
    sources = truth(panel)
    stft = STFT(256, 64)
    spectra = stft(sources)
    mixture = spectra.sum(0)  # a mask counts as much as what it multiplies
    for which, name in enumerate(("tone", "noise")):
        page.get_by_role("radio", name=name, exact=True).click()
        page.get_by_role("button", name="M = 1").click()
        assert score(page) == pytest.approx(float(si_sdr(sources.sum(0), sources[which])), abs=0.06)
        for kind, options, button, expected in (
            ("npsm", {"clip": 1.0}, "best real", nonnegative_phase_sensitive_mask(spectra, clip=1)),
            ("cirm", {"bound": 1.0}, "S / X, bounded", complex_ideal_ratio_mask(spectra, bound=1)),
        ):
            page.get_by_role("button", name=button).click()
            torch.testing.assert_close(
                mask(page) * mixture, expected[which] * mixture, atol=1e-3, rtol=0
            )
            oracle = OracleMask(kind, stft, **options)
            estimate = oracle(sources.sum(0)[None, None], sources[None, :, None])[0, which, 0]
            torch.testing.assert_close(heard(page)[1], estimate, atol=1e-4, rtol=0)
            assert score(page) == pytest.approx(float(si_sdr(estimate, sources[which])), abs=0.1)
    whole, result, removed, _ = heard(page)
    torch.testing.assert_close(result + removed, whole, atol=1e-5, rtol=0)


def test_arrows_are_those_of_the_bin(page, panel):
    spectra = STFT(256, 64)(truth(panel))
    page.get_by_role("application", name="Spectrogram").focus()
    element(page, "e.choose(40, 15)")
    x, s = spectra.sum(0)[15, 40], spectra[0, 15, 40]
    assert element(page, "return e.ideal(e.index)") == pytest.approx(
        [(s / x).real.item(), (s / x).imag.item()], abs=1e-4
    )
    wanted = 20 * torch.log10((s - x).abs() / s.abs())
    assert element(page, "return e.binError") == pytest.approx(wanted.item(), abs=0.01)
    text = page.locator(f"{TAG} dl").text_content()
    assert f"{(s / x).abs():.2f} \u2220" in text and "0.32 s, 469 Hz" in text
    for turned, view in ((x.angle(), "As they are"), (0.0, "Divided by X")):
        page.get_by_role("radio", name=view).click()
        tip = element(page, "return e.toPlane([1, 0])")
        direction = math.atan2(-tip[1], tip[0])
        assert math.cos(direction - float(turned)) == pytest.approx(1, abs=1e-5)
        again = element(page, "return e.fromPlane(...e.toPlane([0.3, -0.4]))")
        assert again == pytest.approx([0.3, -0.4])
    page.keyboard.press("Tab")
    page.get_by_role("application", name="Spectrogram").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    assert element(page, "return [e.place.frame, e.place.bin]") == [48, 16]
    assert "The ideal mask is" in element(page, "return e.live.textContent")


def test_a_click_chooses_a_bin(page):
    box = page.locator(f"{TAG} .plot").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 0.75 * box["height"])
    frame, bin_ = element(page, "return [e.place.frame, e.place.bin]")
    assert abs(frame - 62.5) <= 1 and abs(bin_ - 32) <= 1


def test_dragging_changes_the_patch_and_the_sound(page):
    page.get_by_role("radio", name="Divided by X").click()
    page.get_by_role("radio", name="9 × 9").click()
    element(page, "e.choose(40, 15)")
    before = heard(page)
    box = page.locator(f"{TAG} .both > svg").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    radius = box["width"] / 2 / element(page, "return e.span")
    page.mouse.move(middle[0] + radius, middle[1])
    page.mouse.down()
    page.mouse.move(middle[0], middle[1] - 0.5 * radius, steps=3)
    page.mouse.up()
    changed = mask(page)
    inside = changed[11:20, 36:45]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5j), atol=0.02, rtol=0)
    assert int((changed != 1).sum()) == 81
    after = heard(page)
    assert (after[1] - before[1]).abs().max() > 1e-3
    far = torch.cat([after[1, : 36 * 64 - 128], after[1, 45 * 64 + 128 :]])
    was = torch.cat([before[1, : 36 * 64 - 128], before[1, 45 * 64 + 128 :]])
    torch.testing.assert_close(far, was, atol=1e-6, rtol=0)
    page.mouse.move(middle[0], middle[1])
    page.mouse.down()
    page.mouse.move(middle[0] - 1.5 * radius, middle[1], steps=3)  # beyond the bound
    page.mouse.up()
    assert mask(page)[15, 40].item() == pytest.approx(-1, abs=0.02)


def test_the_mask_from_the_keyboard(page):
    page.get_by_role("radio", name="Divided by X").click()
    page.get_by_role("radio", name="1 bin").click()
    page.get_by_role("application", name="Complex plane").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    where = "[e.mask.re[e.index], e.mask.im[e.index]]"
    step = 0.05 * element(page, "return e.span")
    assert element(page, f"return {where}") == pytest.approx([1 - step, step], abs=1e-5)
    page.keyboard.press("Enter")
    wanted = element(page, "return e.ideal(e.index)")
    length = max(1.0, math.hypot(*wanted))
    assert element(page, f"return {where}") == pytest.approx(
        [wanted[0] / length, wanted[1] / length], abs=1e-5
    )
    assert int((mask(page) != 1).sum()) == 1
    assert "SI-SDR" in element(page, "return e.live.textContent")


def test_all_bins_turned_sound_the_same_and_score_nothing(page):
    page.get_by_role("radio", name="all").click()
    before = score(page)
    element(page, "e.setMask([0, 1]); e.changed()")
    assert score(page) < before - 10
    mixture, result = heard(page)[:2]
    levels = [STFT(256, 64)(one).abs() for one in (mixture, result)]
    error = (levels[0] - levels[1])[4:-4, 4:-4].norm() / levels[0].norm()
    assert error < 0.02


def test_bound_loop_and_play(page):
    page.get_by_role("button", name="S / X, bounded").click()
    close = score(page)
    element(page, "e.boundSlider.set(4)")
    page.get_by_role("button", name="S / X, bounded").click()
    assert score(page) > close + 1 and mask(page).abs().max() > 1.5
    element(page, "e.boundSlider.set(0.5)")
    page.wait_for_function(f"() => !document.querySelector('{TAG}').waiting")
    assert mask(page).abs().max() <= 0.5 + 1e-6
    element(page, "e.choose(60, 15)")
    page.get_by_role("switch", name="Loop around the bin").click()
    assert element(page, "return e.player.loop") == pytest.approx([0.18, 0.78])
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"() => document.querySelector('{TAG}').player.playing")
    page.keyboard.press("4")
    assert element(page, "return e.player.selected") == 3


@pytest.mark.parametrize("width", [1100, 400])
def test_it_fits_the_screen(panel, chromium, tmp_path, width):
    with browser.shown(chromium, panel, tmp_path) as page:
        page.set_viewport_size({"width": width, "height": 900})
        browser.assert_fits(page, TAG)


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ({"one": torch.zeros(800)}, {}, "at least two signals"),
        ([torch.zeros(800)] * 2, {}, "expected a dict"),
        ({"a": torch.zeros(800), "b": torch.zeros(900)}, {}, "of one length"),
        ({"a": torch.ones(800), "b": torch.ones(800)}, {}, "got a peak of 2"),
        ({"a": torch.zeros(800), "b": torch.zeros(800)}, {"n_fft": 300}, "power of two"),
        ({"a": torch.zeros(800), "b": torch.zeros(800)}, {"bound": 20}, "from 0.5 to 10"),
    ],
)
def test_what_it_cannot_take(sources, options, message):
    with pytest.raises(InputError, match=message):
        complex_mask_plane(sources, 8000, **options)
