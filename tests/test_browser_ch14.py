"""The basis gallery in a real browser: its order, its sounds and its numbers are those of lib."""

from __future__ import annotations

from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.filterbanks import by_frequency, centre_frequencies
from lib.models import UPIT, ConvTasNet, TasNet
from lib.widgets import basis_gallery

TAG = "unmix-basis-gallery"
element = partial(browser.element, tag=TAG)
RATE, LENGTH = 8000, 4000


def network() -> ConvTasNet:
    torch.manual_seed(0)
    return ConvTasNet.tiny(bank="stft").eval()


def mixture() -> torch.Tensor:
    times = torch.arange(LENGTH) / RATE
    sweep = torch.sin(2 * torch.pi * (300 + 1500 * times) * times)
    return 0.2 * sweep + 0.02 * torch.randn(LENGTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def page(chromium, tmp_path):
    gallery = basis_gallery(network(), mixture(), names=("Ada", "Ben"))
    with browser.shown(chromium, gallery, tmp_path) as opened:
        yield opened


def parts(model, order) -> torch.Tensor:
    """What each filter, in that order, gives to the mixture and to each output: (S + 1, N, T)."""
    with torch.no_grad():
        features = model.encoder(mixture()[None, None])
        masks = model.masker(features)[0]
        weighted = features * torch.cat([torch.ones_like(masks[:1]), masks])  # (S + 1, N, K)
        alone = torch.zeros(len(weighted), len(order), *weighted.shape[1:])
        for place, number in enumerate(order):
            alone[:, place, number] = weighted[:, number]
        return model.encoder.inverse(alone, LENGTH)[:, :, 0]


def missing(got: list[float], right: torch.Tensor) -> float:
    """The error in dB below what is right."""
    error = torch.tensor(got) - right
    return float(10 * (error.square().sum() / right.square().sum()).log10())


def test_filters_hang_in_the_order_of_their_frequencies(page):
    synthesis = network().encoder.synthesis()
    order = by_frequency(synthesis)
    assert element(page, "return e.numbers") == order.tolist()
    centres = element(page, "return e.frequencies")
    assert centres == sorted(centres)
    assert centres == pytest.approx(centre_frequencies(synthesis)[order].tolist(), abs=0.06)
    place = element(page, "e.choose(argument); return e.levels(e.decoder, argument)", 70)
    peak = max(range(len(place)), key=place.__getitem__)
    assert peak * RATE / 2048 == pytest.approx(centres[70], abs=0.06)


def test_what_one_filter_or_all_up_to_it_give(page):
    model = network()
    right = parts(model, by_frequency(model.encoder.synthesis()).tolist())
    for place in (10, 64, 127):
        for source in range(3):
            one = element(page, f"return [...e.part({place}, {source}, false)]")
            assert missing(one, right[source, place]) < -25
            summed = element(page, f"return [...e.part({place}, {source}, true)]")
            assert missing(summed, right[source, : place + 1].sum(0)) < -25
    # all filters of the STFT give the mixture back
    assert missing(element(page, "return [...e.part(127, 0, true)]"), mixture()) < -30


def test_a_repeated_filter_has_the_pitch_of_its_centre(page):
    for place in (20, 50, 80, 110):
        burst = torch.tensor(element(page, f"return [...e.burst({place})]"))
        heard = torch.fft.rfft(burst).abs().argmax() * RATE / len(burst)
        centre = element(page, f"return e.frequencies[{place}]")
        assert float(heard) == pytest.approx(centre, rel=0.03)


def test_play_before_anything_is_chosen(page):
    page.get_by_role("button", name="Play").click()
    assert element(page, "return e.player.playing")


def test_all_of_it_from_the_keyboard(page):
    gallery = page.get_by_role("slider", name="Filter, by centre frequency")
    gallery.focus()
    page.keyboard.press("Home")
    assert gallery.get_attribute("aria-valuenow") == "1"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    columns = element(page, "return e.columns")
    assert gallery.get_attribute("aria-valuenow") == str(2 + columns)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    assert gallery.get_attribute("aria-valuetext") == "filter 128 of 128, 4,000 Hz"
    page.keyboard.press("Enter")
    assert element(page, "return e.player.playing")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    assert element(page, "return e.player.playing")
    page.keyboard.press(" ")
    assert not element(page, "return e.player.playing")
    page.keyboard.press("3")
    page.keyboard.press("a")
    assert page.get_by_role("switch", name="All filters up to it").get_attribute("aria-checked")
    level = element(page, "return e.level.textContent")
    assert level.startswith("Ada through filters 1 to 128: 0 dB against all filters")
    assert page.get_by_role("radio", name="Ada").first.get_attribute("aria-checked") == "true"


def test_a_click_chooses_and_plays(page):
    columns = element(page, "return e.columns")
    box = page.locator(f"{TAG} .gallery").bounding_box()
    page.mouse.click(box["x"] + 3.5 * box["width"] / columns, box["y"] + 1.5 * 24)
    assert element(page, "return e.filter") == columns + 3
    assert element(page, "return e.player.playing")
    plot = page.locator(f"{TAG} .plot.image").bounding_box()
    page.mouse.click(plot["x"] + 20, plot["y"] + 0.25 * plot["height"])
    assert element(page, "return e.filter") in (95, 96)


def test_masks_are_named_and_drawn(page):
    model = network()
    order = by_frequency(model.encoder.synthesis())
    with torch.no_grad():
        features = model.encoder(mixture()[None, None])
        masks = model.masker(features)[0, :, order[40]]
    weights = features[0, order[40]].square()
    means = (masks * weights).sum(1) / weights.sum()
    element(page, "e.choose(40)")
    words = page.locator(f"{TAG} p[role=status]").text_content()
    for name, mean in zip(("Ada", "Ben"), means.tolist(), strict=True):
        shown = float(words.split(f"{name} ")[1].split(",")[0].rstrip("."))
        assert shown == pytest.approx(mean, abs=0.02)
    pictures = set()
    for name in ("features of the mixture", "mask of Ada", "mask of Ben"):
        page.get_by_role("radio", name=name).click()
        pictures.add(element(page, "return e.image.canvas.toDataURL()"))
    assert len(pictures) == 3


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 400, "height": 800})
    browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


def test_two_on_a_page_do_not_meet(chromium, tmp_path):
    class Both:
        tag = TAG

        def _repr_html_(self) -> str:
            first = basis_gallery(network(), mixture())
            return first._repr_html_() + basis_gallery(TasNet.tiny(), mixture())._repr_html_()

    with browser.shown(chromium, Both(), tmp_path) as page:
        page.wait_for_function("document.querySelectorAll('[data-ready]').length === 2")
        before = element(page, "return e.filter")
        page.locator(TAG).nth(1).get_by_role("slider", name="Filter").focus()
        page.keyboard.press("Home")
        assert element(page, "return e.filter") == before
        second = f"document.querySelectorAll('{TAG}')[1]"
        assert page.evaluate(f"{second}.filter") == 0
        basis = page.evaluate(f"{second}.gallery.toDataURL()")
        page.get_by_role("radio", name="filters of the encoder").nth(1).click()
        assert page.evaluate(f"{second}.gallery.toDataURL()") != basis


@pytest.mark.parametrize(
    ("model", "sound", "options", "message"),
    [
        (UPIT, torch.ones(800), {}, "model: expected a separator with a bank of filters"),
        (ConvTasNet, torch.zeros(800), {}, "mixture: expected a signal, got silence"),
        (ConvTasNet, torch.ones(2, 800), {}, "mixture: expected one channel, got 2"),
        (ConvTasNet, torch.ones(80000), {"names": ["one"]}, "names: expected 2, one for each"),
        (ConvTasNet, torch.ones(160000), {}, "mixture: expected at most 10.4 s for 128 filters"),
    ],
)
def test_what_is_refused(model, sound, options, message):
    with pytest.raises(InputError, match=message):
        basis_gallery(model.tiny(), sound, **options)
