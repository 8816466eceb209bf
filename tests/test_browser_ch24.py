"""Blend bar in a real browser: its scores, weights and sounds are those of lib."""

from __future__ import annotations

import re
from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.metrics import snr
from lib.widgets import blend_bar

TAG = "unmix-blend-bar"
element = partial(browser.element, tag=TAG)
NAMES, MODELS = ("vocals", "bass"), ("spectrogram", "waveform")


def signals():
    """Two sources; models whose errors correlate, and one that is best left alone."""
    torch.manual_seed(24)
    time = torch.arange(8000) / 8000
    vocals = 0.2 * torch.sin(900 * time + 5 * torch.sin(20 * time))
    bass = 0.2 * torch.sin(500 * time)
    shared, first, second = 0.03 * torch.randn(3, 8000)
    estimates = {
        "spectrogram": {"vocals": vocals + shared + 2 * first, "bass": bass + 0.5 * first},
        "waveform": {"vocals": vocals + shared - second, "bass": bass + 2 * first + second},
    }
    return {"vocals": vocals, "bass": bass}, estimates


@pytest.fixture(scope="module")
def panel():
    return blend_bar(*signals(), 8000)


@pytest.fixture
def page(panel, chromium, tmp_path):
    with browser.shown(chromium, panel, tmp_path) as opened:
        yield opened


def tracks(page) -> torch.Tensor:
    """True source and both estimates of each source, (sources, 3, time)."""
    found = element(page, "return e.sources.map(s => s.tracks.map(t => Array.from(t)))")
    return torch.tensor(found, dtype=torch.float64)


def shown(page, name: str) -> float:
    element(page, "e.update()")
    text = page.locator(f"{TAG} [data-value={name}]").text_content()
    return float(text.replace("\u2212", "-").removesuffix(" dB"))


def facts(page, which: int) -> list[float]:
    """SDR of the first and the second model, of the best blend, its weight, the correlation."""
    element(page, "e.update()")
    text = page.locator(f"{TAG} .facts").nth(which).text_content().replace("\u2212", "-")
    return [float(found) for found in re.findall(r"-?\d+\.\d+", text)]


def closed_form(source, first, second) -> float:
    return float(((source - second) @ (first - second)) / (first - second).square().sum())


def test_the_sounds_are_those_that_came(page):
    references, estimates = signals()
    given = torch.stack(
        [torch.stack([references[n], *(estimates[m][n] for m in MODELS)]) for n in NAMES]
    )
    torch.testing.assert_close(tracks(page).float(), given, atol=4e-5, rtol=0)


@pytest.mark.parametrize("weight", [0.0, 0.27, 1.0])
def test_scores_are_those_of_lib(page, weight):
    for which, (source, first, second) in enumerate(tracks(page)):
        element(page, "e.setWeight(argument[0], argument[1])", [which, weight])
        expected = float(snr(weight * first + (1 - weight) * second, source))
        assert shown(page, NAMES[which]) == pytest.approx(expected, abs=0.006)
        alone = [float(snr(one, source)) for one in (first, second)]
        assert facts(page, which)[:2] == pytest.approx(alone, abs=0.006)
        errors = torch.stack([first - source, second - source])
        cosine = torch.cosine_similarity(*errors, dim=0)
        assert facts(page, which)[-1] == pytest.approx(float(cosine), abs=0.006)


def test_the_mark_is_the_closed_form_and_no_weight_is_better(page):
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Best of each").click()
    for which, (source, first, second) in enumerate(tracks(page)):
        right = closed_form(source, first, second)
        assert facts(page, which)[3] == pytest.approx(right, abs=0.006)
        weight = element(page, "return e.sources[argument].weight", which)
        assert weight == pytest.approx(min(1.0, right), abs=1e-6)
        grid = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
        scores = snr(grid * first + (1 - grid) * second, source.expand(1001, -1))
        assert shown(page, NAMES[which]) == pytest.approx(float(scores.max()), abs=0.006)
        assert facts(page, which)[2] == shown(page, NAMES[which])
    # the second of the two is best without any of the second model
    text = page.locator(f"{TAG} .facts").nth(1).text_content()
    assert "which lies outside" in text
    assert "which lies outside" not in page.locator(f"{TAG} .facts").first.text_content()
    status = page.locator(f"{TAG} [role=status]").first.text_content()
    mean = sum(shown(page, name) for name in NAMES) / 2
    said = float(status.replace("\u2212", "-").split(" dB")[0].rpartition(" ")[2])
    assert said == pytest.approx(mean, abs=0.011)


def test_what_is_heard(page):
    element(page, "e.setWeights([0.25, 0.5])")
    heard = {
        "Blend": [0, 0.25, 0.75],
        "Spectrogram": [0, 1, 0],
        "Waveform": [0, 0, 1],
        "True source": [1, 0, 0],
        "Error of the blend": [-1, 0.25, 0.75],
    }
    for name, gains in heard.items():
        page.get_by_role("radio", name=name, exact=True).click()
        script = "return e.player.tracks.map((track) => track.gain)"
        assert element(page, script) == [*gains, 0, 0, 0]
    page.get_by_role("radio", name="Bass", exact=True).click()
    assert element(page, script) == [0, 0, 0, -1, 0.5, 0.5]
    page.keyboard.press("1")
    assert element(page, script) == [0, 0, 0, 0, 0.5, 0.5]
    before = element(page, "e.updateSound(); return e.view.canvas.toDataURL()")
    page.keyboard.press("5")
    assert element(page, "e.updateSound(); return e.view.canvas.toDataURL()") != before
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"() => document.querySelector('{TAG}').player.playing")
    page.keyboard.press(" ")
    assert not element(page, "return e.player.playing")


def test_sliders_drags_and_one_weight_for_all(page):
    weights = "return e.sources.map(({ weight }) => weight)"
    page.get_by_role("slider", name="vocals: weight of spectrogram").focus()
    page.keyboard.press("ArrowRight")
    assert element(page, weights) == pytest.approx([0.51, 0.5])
    page.keyboard.press("b")
    best = element(page, weights)
    page.get_by_role("switch", name="One weight for all").click()
    assert element(page, weights) == [best[0], best[0]]
    box = page.locator(f"{TAG} canvas").nth(1).bounding_box()
    page.mouse.move(box["x"] + 10 + 0.3 * (box["width"] - 20), box["y"] + 50)
    page.mouse.down()
    assert element(page, weights) == pytest.approx([0.3, 0.3])
    page.mouse.move(box["x"] + 10 + 0.8 * (box["width"] - 20), box["y"] + 50, steps=2)
    page.mouse.up()
    assert element(page, weights) == pytest.approx([0.8, 0.8])
    page.keyboard.press("b")  # each its own again
    assert element(page, weights) == best
    assert not element(page, "return e.linked")
    page.get_by_role("button", name="Waveform alone").click()
    assert element(page, weights) == [0, 0]
    canvas = page.locator(f"{TAG} canvas").first
    element(page, "e.update()")
    assert "Now " in canvas.get_attribute("aria-label")


def test_one_source(chromium, tmp_path):
    references, estimates = signals()
    only = {model: {"vocals": found["vocals"]} for model, found in estimates.items()}
    output = blend_bar({"vocals": references["vocals"]}, only, 8000)
    with browser.shown(chromium, output, tmp_path) as page:
        page.get_by_role("button", name="Best weight").click()
        assert page.get_by_role("radio", name="Vocals").count() == 0
        page.keyboard.press("l")
        assert not element(page, "return e.linked")
        element(page, "e.update()")
        assert page.locator(f"{TAG} [role=status]").first.text_content().startswith("SDR: ")


@pytest.mark.parametrize("width", [1100, 400])
def test_it_fits_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


def test_what_is_refused():
    references, estimates = signals()
    first = estimates["spectrogram"]
    louder = {model: {n: 9 * s for n, s in group.items()} for model, group in estimates.items()}
    short = {n: s[:-1] for n, s in first.items()}
    cases = [
        (references, {"one": first}, "two models, got 2 and 1"),
        ({}, estimates, "got 0 and 2"),
        (references, estimates | {"waveform": {"vocals": first["vocals"]}}, "got vocals"),
        (references, estimates | {"waveform": short}, r"one length, got \[7999, 8000\]"),
        (references, {"one": first, "two": first}, "that differ"),
        (references, louder, "scale sources and estimates alike"),
        (references | {"bass": torch.zeros(8000)}, estimates, "got silence"),
    ]
    for sources, models, message in cases:
        with pytest.raises(InputError, match=message):
            blend_bar(sources, models, 8000)
    with pytest.raises(InputError, match="at most 10 s, got 16"):
        blend_bar(references, estimates, 500)
