"""Band splitter in a real browser: bands, parameters, scores and sounds are those of lib."""

from __future__ import annotations

import ast
import math
import random
from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.models.band_split_rnn import SCHEMES, BandSplitRNN, TargetNetwork
from lib.nn.bands import band_widths
from lib.published import published
from lib.stft import STFT
from lib.widgets import band_splitter

TAG = "unmix-band-splitter"
element = partial(browser.element, tag=TAG)
RATE, BINS = 44_100, 1025
VERSIONS = [f"v{n}" for n in range(1, 8)]


def sound(rate: int = RATE) -> torch.Tensor:
    """A tone that slides, and noise."""
    time = torch.arange(rate) / rate
    tone = 0.3 * torch.sin(2 * math.pi * (200 + 400 * time) * time)
    return tone + 0.05 * torch.randn(rate, generator=torch.Generator().manual_seed(25))


@pytest.fixture(scope="module")
def panel():
    return band_splitter(sound())


@pytest.fixture
def page(panel, chromium, tmp_path):
    with browser.shown(chromium, panel, tmp_path) as opened:
        yield opened


def shown(page, name: str) -> str:
    element(page, "e.update()")
    return page.locator(f"{TAG} [data-value={name}]").text_content()


def said(page) -> str:
    element(page, "e.update()")
    return page.locator(f"{TAG} [role=status]").first.text_content()


def number(text: str) -> int:
    return int(text.replace(",", ""))


def drawn(draw: random.Random, bins: int = BINS) -> list[int]:
    edges = sorted(draw.sample(range(1, bins), draw.randint(1, 60)))
    return [b - a for a, b in zip([0, *edges], [*edges, bins], strict=True)]


def size_of(widths, channels: int, layers: int) -> int:
    with torch.device("meta"):
        network = TargetNetwork(widths, channels, 2 * channels, layers)
    return sum(weights.numel() for weights in network.parameters())


def test_the_bands_of_the_paper_their_sizes_and_scores(page):
    for name in [*VERSIONS, "bass", "drums"]:
        label = name.upper() if name in VERSIONS else name
        page.get_by_role("radio", name=label, exact=True).click()
        widths = band_widths(SCHEMES[name], BINS, RATE)
        assert element(page, "return e.widths") == widths
        assert shown(page, "bands").startswith(f"{len(widths)}: ")
        assert number(shown(page, "parameters")) == size_of(widths, 128, 12)
        if name in VERSIONS:
            score = published(system=f"BSRNN, bands {name}")["value"].item()
            assert shown(page, "score") == f"{label}: {score:.2f} dB uSDR on vocals, MUSDB18-HQ"
        else:
            rows = published("MUSDB18-HQ", "uSDR", "BSRNN")
            score = rows[rows["split_or_condition"] == f"test, {name}; MUSDB only"]["value"].item()
            assert shown(page, "score") == f"{name}: {score:.2f} dB uSDR on {name}, MUSDB18-HQ"
    page.get_by_role("radio", name="V7").click()
    with torch.device("meta"):
        paper = BandSplitRNN.paper()
    expected = sum(weights.numel() for weights in paper.parameters())
    assert number(shown(page, "parameters")) == expected == 36_417_160


def test_the_formula_is_that_of_the_model(page):
    draw = random.Random(25)
    for _ in range(8):
        widths, channels = drawn(draw), 8 * draw.randint(1, 32)
        layers = draw.randint(1, 12)
        settings = [widths, channels, layers]
        element(
            page, "e.take(argument[0]); e.channels = argument[1]; e.layers = argument[2]", settings
        )
        total = number(shown(page, "parameters"))
        assert total == size_of(widths, channels, layers)
        parts = [shown(page, name) for name in ("each", "bins", "sequence")]
        sums = [number(part.split(" = ")[-1].split(", what")[0]) for part in parts]
        assert sum(sums) == total
        assert parts[0].startswith(f"{len(widths)} × ") and parts[1].startswith("1,025 × ")


def test_other_bands_have_no_score(page):
    page.get_by_role("radio", name="V1", exact=True).click()
    page.locator(f"{TAG} .plot").focus()
    page.keyboard.press("ArrowUp")
    assert shown(page, "score") == "none for these bands; only a training can tell"
    assert page.locator(f"{TAG} [role=radio][aria-checked=true]").all_text_contents() == [
        "Everything1"
    ]
    page.keyboard.press("ArrowDown")
    assert shown(page, "score").startswith("V1: 8.15 dB")


def test_the_argument_makes_the_same_bands(page):
    draw = random.Random(26)
    for widths in [drawn(draw) for _ in range(6)] + [band_widths(SCHEMES["v7"], BINS, RATE)]:
        element(page, "e.take(argument)", widths)
        element(page, "e.update()")
        code = page.locator(f"{TAG} pre").text_content()
        bands = ast.literal_eval(code.removeprefix("bands="))
        assert band_widths(bands, BINS, RATE) == widths
    model = BandSplitRNN(bands=bands, channels=8, layers=1)
    assert model.masker.networks[0].widths == widths


def test_splitting_and_merging(page):
    page.get_by_role("radio", name="V1", exact=True).click()
    page.get_by_role("button", name="One band").click()
    assert element(page, "return e.widths") == [BINS]
    page.keyboard.press("s")
    assert element(page, "return e.widths") == [513, 512]
    page.locator(f"{TAG} .plot").focus()
    page.keyboard.press("PageUp")
    assert said(page).startswith("Band 2 of 2: 11.04 kHz to 22.05 kHz, 512 bins, ")
    page.get_by_role("button", name="Split evenly").click()
    widths = element(page, "return e.widths")
    assert widths[0] == 513 and set(widths[1:-1]) == {5} and 1 <= widths[-1] <= 5
    page.keyboard.press("u")
    page.keyboard.press("m")
    assert element(page, "return e.widths") == [BINS]
    for _ in range(4):
        page.keyboard.press("u")
    assert element(page, "return e.widths") == band_widths(SCHEMES["v1"], BINS, RATE)
    page.get_by_role("slider", name="Split evenly, by").focus()
    page.keyboard.press("Home")
    element(page, "e.take([3, 1022])")
    page.keyboard.press("e")
    assert element(page, "return e.widths") == [1, 1, 1, 1022]
    page.keyboard.press("s")  # one bin cannot be cut
    assert element(page, "return e.widths") == [1, 1, 1, 1022]


def test_edges_from_the_keyboard_keep_a_bin_for_each_band(page):
    element(page, "e.take([3, 20, 1002])")
    page.locator(f"{TAG} .plot").focus()
    page.keyboard.press("Shift+ArrowUp")
    assert element(page, "return e.widths") == [13, 10, 1002]
    page.keyboard.press("Shift+ArrowUp")
    assert element(page, "return e.widths") == [22, 1, 1002]
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    assert element(page, "return e.widths") == [1, 22, 1002]
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")  # the highest edge is that of the spectrogram
    assert element(page, "return [e.chosen, ...e.widths]") == [2, 1, 22, 1002]
    page.keyboard.press("Delete")
    assert element(page, "return e.widths") == [1, 1024]


def test_edges_from_the_mouse(page):
    element(page, "e.take([100, 300, 625])")
    box = page.locator(f"{TAG} .plot").bounding_box()
    middle = box["x"] + box["width"] / 2

    def height(edge):
        return box["y"] + box["height"] * (1 - element(page, "return e.heightOf(argument)", edge))

    per_bin = RATE / 2 / BINS
    page.mouse.click(middle, height(250 * per_bin))
    assert element(page, "return e.chosen") == 1
    page.mouse.move(middle, height(100 * per_bin))
    page.mouse.down()
    page.mouse.move(middle, height(200 * per_bin), steps=3)
    page.mouse.up()
    moved = element(page, "return e.widths")
    assert sum(moved) == BINS and abs(moved[0] - 200) <= 2 and sum(moved[:2]) == 400
    page.keyboard.press("u")
    assert element(page, "return e.widths") == [100, 300, 625]
    page.mouse.click(middle, height(100 * per_bin))  # touched, not moved: nothing to undo
    page.mouse.dblclick(middle, height(600 * per_bin))
    cut = element(page, "return e.widths")
    assert len(cut) == 4 and abs(sum(cut[:3]) - 600) <= 5
    page.keyboard.press("u")
    assert element(page, "return e.widths") == [100, 300, 625]


def test_band_by_band_it_is_the_whole_sound(page):
    element(page, "e.take([10, 40, 975])")
    whole = torch.tensor(element(page, "return Array.from(e.signal)"))
    torch.testing.assert_close(whole, sound(), atol=4e-5, rtol=0)
    pieces, shares = [], []
    for band in range(3):
        script = "e.choose(argument); e.updateSound();"
        script += "return Array.from(e.player.tracks[1].buffer.getChannelData(0))"
        pieces.append(torch.tensor(element(page, script, band)))
        shares.append(float(said(page).rpartition(" % of")[0].rpartition(" ")[2]))
    torch.testing.assert_close(sum(pieces), whole, atol=1e-5, rtol=0)
    power = STFT(2048, 512)(whole[None])[0].abs().square().sum(-1)
    expected = [100 * part.sum() / power.sum() for part in power.split([10, 40, 975])]
    assert shares == pytest.approx([float(one) for one in expected], abs=0.1)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"() => document.querySelector('{TAG}').player.playing")
    page.keyboard.press("2")
    assert element(page, "return e.player.selected") == 1
    page.keyboard.press(" ")


def test_channels_and_layers(page):
    page.get_by_role("radio", name="V7").click()
    widths = band_widths(SCHEMES["v7"], BINS, RATE)
    page.get_by_role("slider", name="N, channels").focus()
    page.keyboard.press("Home")
    page.get_by_role("slider", name="Pairs of LSTMs").focus()
    page.keyboard.press("ArrowLeft")
    assert number(shown(page, "parameters")) == size_of(widths, 8, 11)


def test_other_rates_have_other_bins_and_no_published_scores(chromium, tmp_path):
    output = band_splitter(sound(16_000), 16_000, n_fft=1024, channels=32, layers=4, bands="v7")
    with browser.shown(chromium, output, tmp_path) as page:
        widths = band_widths(SCHEMES["v7"], 513, 16_000)
        assert element(page, "return e.widths") == widths
        assert shown(page, "score").startswith("none")
        assert not page.locator(f"{TAG} canvas.chart").count()
        assert number(shown(page, "parameters")) == size_of(widths, 32, 4)
        browser.assert_fits(page, TAG)


@pytest.mark.parametrize("width", [1100, 400])
def test_it_fits_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_role("radio", name="drums").click()
    element(page, "e.update()")
    browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


@pytest.mark.parametrize(
    ("signal", "options", "message"),
    [
        (torch.zeros(100), {}, "got silence"),
        (torch.ones(2, 100), {}, "expected one channel"),
        (torch.ones(1000) / 2, {"sample_rate": 50}, "at most 10 s, got 20"),
        (torch.ones(100) / 2, {"n_fft": 1000}, "n_fft: expected one of 256"),
        (torch.ones(100) / 2, {"channels": 12}, "a multiple of 8"),
        (torch.ones(100) / 2, {"layers": 0}, "1 to 12, got 0"),
        (torch.ones(100) / 2, {"bands": "v8"}, "one of v1, v2, .*, bass, drums, got 'v8'"),
    ],
)
def test_what_is_refused(signal, options, message):
    with pytest.raises(InputError, match=message):
        band_splitter(signal, **options)
