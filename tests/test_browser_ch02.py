"""The STFT microscope in a real browser: it measures, draws and plays with no kernel."""

from __future__ import annotations

import re

import browser
import pytest
import torch

from lib.stft import STFT, cola_deviation, make_window
from lib.widgets import stft_microscope

SAMPLE_RATE = 16000
TAG = "unmix-stft-microscope"


@pytest.fixture(scope="module")
def chirp():
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    return 0.3 * torch.sin(2 * torch.pi * (300 * time + 400 * time**2))  # 300 to 1100 Hz


@pytest.fixture(scope="module")
def opened(tmp_path_factory, chirp):
    folder = tmp_path_factory.mktemp("microscope")
    body = "".join(stft_microscope({"Chirp": chirp}, SAMPLE_RATE)._repr_html_() for _ in range(2))
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>M</title></head>'
        f'<body style="background:#fff;color:#222">{body}</body></html>',
        encoding="utf-8",
    )
    with browser.serve(folder) as address, browser.chromium() as context:
        page, record = browser.open_page(context, f"{address}/index.html")
        page.wait_for_function(
            "tag => document.querySelectorAll(`${tag}[data-ready]`).length === 2", arg=TAG
        )
        yield page, record


@pytest.fixture
def panel(opened):
    """The first microscope, as it was at the start."""
    page, _ = opened
    first = page.locator(TAG).first
    for name in ("Two tones and a click", "Hann", "Magnitude", "As it is"):
        first.get_by_role("radio", name=name, exact=True).click()
    for name, value in (("Size N", 10), ("Hop H", 2), ("Gap", 50)):
        first.get_by_role("slider", name=name).fill(str(value))
    return first


def choose(panel, name):
    panel.get_by_role("radio", name=name, exact=True).click()


def move(panel, name, value):
    panel.get_by_role("slider", name=name).fill(str(value))


def read(panel, what):
    return panel.locator(f".{what}").inner_text().replace("\u2212", "-")


def error_db(panel):
    """The error of the way back, once it has been computed."""
    panel.page.wait_for_timeout(400)
    text = read(panel, "heard")
    return float(re.search(r"(-?[\d.]+) dB", text)[1])


def test_it_stands_on_its_own(opened):
    page, record = opened
    record.assert_clean()
    assert page.locator(TAG).nth(1).get_by_role("button", name="Play").is_visible()


def test_a_longer_window_separates_the_tones(panel):
    found = {}
    for power in (8, 9, 10, 11):
        move(panel, "Size N", power)
        found[2**power] = "two peaks" in read(panel, "resolution")
    # the chapter's table: a Hann window needs two bins, 62.5 Hz at 512 and 31.25 Hz at 1024
    assert found == {256: False, 512: False, 1024: True, 2048: True}
    move(panel, "Size N", 9)
    move(panel, "Gap", 65)
    assert "two peaks" in read(panel, "resolution")


@pytest.mark.parametrize(
    ("window", "python", "hop", "fraction"),
    [("Hann", "hann", 4, 1 / 2), ("Hann", "hann", 6, 3 / 4), ("Blackman", "blackman", 4, 1 / 2)],
)
def test_the_cola_indicator_agrees_with_lib(panel, window, python, hop, fraction):
    choose(panel, window)
    move(panel, "Hop H", hop)
    deviation = cola_deviation(make_window(python, 1024), round(1024 * fraction))
    text = read(panel, "cola")
    state = panel.locator(".cola").get_attribute("data-state")
    if deviation < 1e-6:
        assert text.startswith("COLA holds") and state == "good"
    else:
        shown = float(re.search(r"strays ([\d.]+) %", text)[1])
        assert shown == pytest.approx(100 * deviation, abs=0.6) and state == "warn"


def test_the_three_ways_back(panel):
    choose(panel, "Chirp")
    move(panel, "Hop H", 6)
    choose(panel, "Plain overlap-add")
    assert -15 < error_db(panel) < -5  # the chapter's table: -8.5 dB for noise
    choose(panel, "Least squares")
    assert error_db(panel) <= -120
    choose(panel, "Phase set to 0")
    assert error_db(panel) > -3
    move(panel, "Hop H", 7)
    assert "no inverse" in read(panel, "cola")
    assert panel.locator(".cola").get_attribute("data-state") == "bad"


def test_plain_overlap_add_is_exact_where_cola_holds(panel):
    choose(panel, "Chirp")
    choose(panel, "Plain overlap-add")
    assert error_db(panel) <= -120


def test_the_cursor_reads_what_lib_computes(panel, chirp):
    choose(panel, "Chirp")
    plot = panel.get_by_role("application")
    box = plot.bounding_box()
    # 0.5 s into the chirp its frequency is 700 Hz; the picture ends at 1 s and 4 kHz
    plot.hover(position={"x": 0.5 * box["width"], "y": (1 - 700 / 4000) * box["height"]})
    text = read(panel, "cursor")
    frame, seconds, bin_, centre, level, phase, frequency, delay = map(
        float,
        re.search(
            r"Frame (\d+) at ([\d.]+) s, bin (\d+) at ([\d.]+) Hz; level (-?[\d.]+) dB; phase "
            r"(-?[\d.]+) rad; instantaneous frequency (-?[\d.]+) Hz; group delay (-?[\d.]+) ms",
            text,
        ).groups(),
    )
    stft = STFT(1024, 256)
    spectrogram = stft(chirp.double())
    value = spectrogram[int(bin_), int(frame)]
    assert seconds == pytest.approx(frame * 256 / SAMPLE_RATE, abs=1e-3)
    assert centre == pytest.approx(bin_ * SAMPLE_RATE / 1024, abs=0.06)
    top = spectrogram.abs().max()
    assert level == pytest.approx(20 * float((value.abs() / top).log10()), abs=0.2)
    assert phase == pytest.approx(float(value.angle()), abs=0.02)
    assert frequency == pytest.approx(300 + 800 * seconds, abs=8)
    assert abs(delay) < 10


def test_the_cursor_moves_by_key(panel):
    choose(panel, "Chirp")
    plot = panel.get_by_role("application")
    plot.focus()
    before = list(map(int, re.findall(r"(?:Frame|bin) (\d+)", read(panel, "cursor"))))
    plot.press("ArrowRight")
    plot.press("ArrowUp")
    plot.press("ArrowUp")
    after = list(map(int, re.findall(r"(?:Frame|bin) (\d+)", read(panel, "cursor"))))
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 2]
    plot.press("Shift+ArrowDown")
    assert int(re.search(r"bin (\d+)", read(panel, "cursor"))[1]) == after[1] - 10


def test_each_picture_is_another(panel):
    choose(panel, "Chirp")
    pixels = "node => node.toDataURL()"
    pictures = set()
    for name in ("Magnitude", "Phase", "Instantaneous frequency", "Group delay"):
        choose(panel, name)
        pictures.add(panel.locator(".plot.image canvas").first.evaluate(pixels))
    assert len(pictures) == 4


def test_it_plays_and_a_change_keeps_it_playing(panel):
    choose(panel, "Chirp")
    choose(panel, "Plain overlap-add")
    panel.page.wait_for_timeout(300)
    panel.get_by_role("button", name="Play").click()
    panel.page.wait_for_timeout(200)
    assert panel.evaluate("node => node.player.playing")
    move(panel, "Hop H", 6)
    panel.page.wait_for_timeout(350)
    assert panel.evaluate("node => node.player.playing && node.player.position > 0.1")
    panel.get_by_role("button", name="Pause").press(" ")
    assert not panel.evaluate("node => node.player.playing")


def test_nothing_went_wrong_on_the_way(opened):
    opened[1].assert_clean()
