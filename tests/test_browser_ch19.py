"""FiLM mixer in a real browser: its dials, masks and levels are those of the network in lib."""

from __future__ import annotations

from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.models import ConditionedUNet
from lib.widgets import film_mixer

TAG = "unmix-film-mixer"
element = partial(browser.element, tag=TAG)
NAMES = ("vocals", "drums", "bass")


def network(**options):
    """A small C-U-Net in which no normalisation and no statistic is trivial."""
    torch.manual_seed(19)
    sizes = {"n_fft": 256, "hop_length": 128, "filters": 3, "depth": 3, "log": True}
    sizes |= {"hidden": [5, 6], "sample_rate": 8000}
    model = ConditionedUNet(NAMES, **sizes | options)
    model.train()
    with torch.no_grad():
        model.calibrate(0.1 * torch.randn(3, 1, 8000))
        for _ in range(3):
            model(0.1 * torch.randn(2, 1, 4000))
        for name, one in model.named_parameters():
            if "bias" in name or "norm" in name:
                one.add_(0.2 * torch.randn_like(one))
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def sources():
    """An unsteady tone, clicks, and a hum."""
    time = torch.arange(8100) / 8000
    tone = 0.2 * torch.sin(900 * time + 5 * torch.sin(20 * time))
    clicks = 0.5 * (torch.arange(8100) % 1000 < 3).float()
    return torch.stack([tone, clicks, 0.2 * torch.sin(500 * time)])


@pytest.fixture
def page(chromium, tmp_path, model, sources):
    with browser.shown(chromium, film_mixer(model, sources), tmp_path) as opened:
        yield opened


def carried(page, sources):
    """The sources as the page has them, in 16 bits: faint bins tell the difference."""
    signals = torch.tensor(element(page, "return e.sources.map((one) => [...one])"))
    assert torch.allclose(signals, sources, atol=1e-4)
    return signals


def set_condition(page, condition):
    return element(page, "e.setCondition(argument); e.update(); return [...e.mask]", condition)


@torch.no_grad()
def masks(model, sources, condition):
    """The mask (F, K) that lib gives."""
    spectrogram = model.encoder(sources.sum(0)[None, None])
    return model.masker(spectrogram, torch.tensor([condition]))[0, 0, 0]


@pytest.mark.parametrize("condition", [[1.0, 0.0, 0.0], [0.25, 0.0, 0.7], [1.0, 1.0, 1.0]])
def test_dials_mask_and_levels_are_those_of_lib(page, model, sources, condition):
    sources = carried(page, sources)
    ours = torch.tensor(set_condition(page, condition))
    with torch.no_grad():
        dials = model.masker.control(torch.tensor([condition]))
    found = element(page, "return e.modulation")
    for place, kind in enumerate(("gamma", "beta")):
        expected = torch.cat([pair[place][0] for pair in dials])
        assert torch.allclose(torch.tensor(found[kind]), expected, atol=1e-5)
    mask = masks(model, sources, condition)
    assert mask.std() > 0.05  # otherwise the comparison says little
    assert torch.allclose(ours.view(mask.T.shape).T, mask, atol=1e-4)
    spectra = model.encoder(sources).abs().square()
    levels = 10 * ((mask.square() * spectra).sum((1, 2)) / spectra.sum((1, 2))).log10()
    for name, level in zip(NAMES, levels, strict=True):
        text = page.locator(f"{TAG} [data-value={name}]").text_content()
        assert abs(float(text.replace("\u2212", "-").removesuffix(" dB")) - level) < 0.06


def test_the_sound_is_that_of_lib(page, model, sources):
    sources = carried(page, sources)
    set_condition(page, [0.0, 1.0, 0.0])
    heard = torch.tensor(element(page, "return [...e.estimate]"))
    with torch.no_grad():
        expected = model(sources.sum(0)[None, None], torch.eye(3)[1:2])[0, 0, 0]
    assert torch.allclose(heard, expected, atol=1e-4)
    left = torch.tensor(element(page, "return [...e.left]"))
    assert torch.allclose(heard + left, sources.sum(0), atol=1e-4)


def test_the_plain_magnitudes_as_well(chromium, tmp_path, sources):
    plain = network(log=False, depth=2)
    with browser.shown(chromium, film_mixer(plain, sources), tmp_path) as page:
        ours = torch.tensor(set_condition(page, [0.0, 0.5, 0.5]))
        sources = carried(page, sources)
    mask = masks(plain, sources, [0.0, 0.5, 0.5])
    assert torch.allclose(ours.view(mask.T.shape).T, mask, atol=1e-4)


def test_buttons_sliders_and_keys(page):
    page.get_by_role("button", name="Drums", exact=True).click()
    assert element(page, "return e.condition") == [0, 1, 0]
    page.get_by_role("button", name="All at once").click()
    assert element(page, "return e.condition") == [1, 1, 1]
    page.get_by_role("radio", name="vocals → bass").click()
    page.get_by_role("slider", name="Way").focus()
    page.keyboard.press("End")
    assert element(page, "return e.condition") == [0, 0, 1]
    page.keyboard.press("PageDown")
    walked = element(page, "return e.condition")
    assert walked[1] == 0 and abs(walked[0] + walked[2] - 1) < 1e-9 and 0 < walked[0] < 1
    page.get_by_role("slider", name="Bass", exact=True).focus()
    page.keyboard.press("Home")
    assert element(page, "return e.condition") == [walked[0], 0, 0]
    page.keyboard.press("3")
    assert element(page, "return e.player.selected") == 2


def test_dials_by_hand_and_back(page, model, sources):
    sources = carried(page, sources)
    page.get_by_role("button", name="Vocals", exact=True).click()
    asked = set_condition(page, [1.0, 0.0, 0.0])
    page.get_by_role("slider", name="γ, layer 2").focus()
    page.keyboard.press("End")
    element(page, "e.update()")
    moved = element(page, "return [...e.mask]")
    assert moved != asked
    status = page.locator(f"{TAG} p[role=status]")
    assert status.text_content().startswith("With scales and shifts by hand")
    spectrogram = model.encoder(sources.sum(0)[None, None])
    features = model.masker.features(spectrogram)
    dials = [
        tuple(torch.tensor([[number]]) for number in pair)
        for pair in zip(
            *element(page, "return [e.modulation.gamma, e.modulation.beta]"), strict=True
        )
    ]
    with torch.no_grad():
        mask = model.masker.network(features, dials).sigmoid()[0, 0]
    assert torch.allclose(torch.tensor(moved).view(mask.T.shape).T, mask, atol=1e-4)
    page.get_by_role("button", name="Back to the control network").click()
    element(page, "e.update()")
    assert element(page, "return [...e.mask]") == asked
    assert status.text_content().startswith("With z = (1, 0, 0): ")


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 400, "height": 800})
    browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


def test_what_is_refused(model, sources):
    cases = [
        (network(each=True), sources, "expected simple control"),
        (network(filters=24, depth=4), sources, "at most 250,000 parameters"),
        (network(n_fft=300), sources, "a power of two, got n_fft=300"),
        (model, sources[:2], "expected 3 \\(vocals, drums, bass\\), got 2"),
        (model, sources * torch.tensor([[1.0], [0.0], [1.0]]), "sources, drums: .* silence"),
        (model, sources.repeat(1, 6), "at most 6 s, got 6.1 s"),
        (model, 3 * sources, "a sum within"),
    ]
    for bad, signals, message in cases:
        with pytest.raises(InputError, match=message):
            film_mixer(bad, signals)
