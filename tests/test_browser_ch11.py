"""The loss landscape in a real browser: values, gradients and steps are those of torch."""

from __future__ import annotations

import math
from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.losses import magnitude_loss, si_snr_loss
from lib.widgets import loss_landscape

TAG = "unmix-loss-landscape"
element = partial(browser.element, tag=TAG)
MIXTURE = (1.0, 0.8)
TARGETS = ((0.9, 0.2), (0.7, 0.1), (0.0, 0.6))
LOSSES = {
    "mse": lambda e, s: magnitude_loss(e[:, None], s[:, None], "l2"),
    "l1": lambda e, s: magnitude_loss(e[:, None], s[:, None], "l1"),
    "si_sdr": lambda e, s: si_snr_loss(e, s, zero_mean=False),
}
# anywhere; on a kink of L1; the target itself; at right angles to the third target; silence
MASKS = (
    [0.3125, 1.171875],
    [1.4321, 0.0123],
    [0.9, 0.6],
    [0.9, 0.25],
    [0.5, 0.0],
    [0.0, 1.5],
    [0.0, 0.0],
)


@pytest.fixture(scope="module")
def panel():
    return loss_landscape(MIXTURE, TARGETS[0], TARGETS[1:])


@pytest.fixture
def page(panel, chromium, tmp_path):
    with browser.shown(chromium, panel, tmp_path) as opened:
        yield opened


def results(page, mask) -> dict:
    return element(page, "e.startFrom(argument); return e.results", list(mask))


def reference(name: str, mask, targets) -> tuple[float, list[float]]:
    """Value and gradient of the mean loss over targets, by autograd."""
    mask = torch.tensor(mask, dtype=torch.float64, requires_grad=True)
    estimate = mask * torch.tensor(MIXTURE, dtype=torch.float64)
    losses = [LOSSES[name](estimate, torch.tensor(s, dtype=torch.float64)) for s in targets]
    value = torch.stack(losses).mean()
    return value.item(), torch.autograd.grad(value, mask)[0].tolist()


def shown(page, name: str, part: str) -> float:
    text = page.locator(f"{TAG} [data-value={name}-{part}]").text_content()
    return float(text.removesuffix(" dB").replace("\u2212", "-"))


@pytest.mark.parametrize("count", [1, 3])
def test_values_and_gradients_are_those_of_autograd(page, count):
    if count == 3:
        page.get_by_role("switch", name="Three targets that disagree").click()
    for mask in MASKS:
        got = results(page, mask)
        for name in LOSSES:
            value, gradient = reference(name, mask, TARGETS[:count])
            where = f"{name} at {mask}"
            assert got[name]["value"] == pytest.approx(value, rel=1e-9, abs=1e-9), where
            assert got[name]["gradient"] == pytest.approx(gradient, rel=1e-7, abs=1e-7), where


def test_the_table_and_the_slider_say_the_same(page):
    mask = MASKS[0]
    results(page, mask)
    for name in LOSSES:
        value, gradient = reference(name, mask, TARGETS[:1])
        assert shown(page, name, "value") == pytest.approx(value, abs=0.0051)
        assert shown(page, name, "first") == pytest.approx(gradient[0], rel=1e-3, abs=0.00051)
        assert shown(page, name, "second") == pytest.approx(gradient[1], rel=1e-3, abs=0.00051)
    spoken = page.get_by_role("slider", name="Mask. Left").get_attribute("aria-valuetext")
    assert "mask (0.31, 1.17)" in spoken
    assert f"MSE (L2) {shown(page, 'mse', 'value'):.3f}" in spoken
    pixels = page.locator(f"{TAG} .pixels").get_attribute("aria-label")
    assert "estimate (0.31, 0.94), target (0.90, 0.20)" in pixels


def take_steps(page, count: int) -> torch.Tensor:
    for _ in range(count):
        page.get_by_role("button", name="Gradient step").click()
    return torch.tensor(element(page, "return e.path"), dtype=torch.float64)


def test_steps_follow_the_negative_gradient(page):
    for index, name in enumerate(LOSSES):
        page.get_by_role("radio").nth(index).click()
        results(page, MASKS[0])
        size = element(page, "return e.steps[e.drawn]")
        path = take_steps(page, 3)
        for before, after in zip(path[:-1], path[1:], strict=True):
            _, gradient = reference(name, before.tolist(), TARGETS[:1])
            expected = before - size * torch.tensor(gradient, dtype=torch.float64)
            torch.testing.assert_close(after, expected.clamp(0, 1.5))
        # the arrow ends where the next step will
        points = element(page, "return e.arrow.firstChild.getAttribute('d')").split("L")[1]
        tip = [float(number) for number in points.split("M")[0].split()]
        first, second = take_steps(page, 1)[-1].tolist()
        assert tip == pytest.approx([200 * first, 300 - 200 * second], abs=0.01)


def test_steps_of_mse_shrink_and_those_of_l1_do_not(page):
    lengths = take_steps(page, 8).diff(dim=0).norm(dim=1)
    assert (lengths.diff() < 0).all() and lengths[-1] < 0.1 * lengths[0]
    page.get_by_role("button", name="Back to start").click()
    page.get_by_role("radio", name="L1").click()
    page.get_by_role("button", name="10 steps").click()
    steps = take_steps(page, 4).diff(dim=0)
    torch.testing.assert_close(steps.norm(dim=1), steps[0].norm().expand(14))
    torch.testing.assert_close(steps[-1], -steps[-2])
    assert "Step 14: 0.128 long" in page.locator(f"{TAG} span[role=status]").text_content()


def test_si_sdr_leaves_the_level_free(page):
    soft, loud = (results(page, [f * value for value in (0.4, 0.5)]) for f in (1, 2))
    assert soft["si_sdr"]["value"] == pytest.approx(loud["si_sdr"]["value"])
    gradient = torch.tensor(soft["si_sdr"]["gradient"])
    along = gradient @ torch.tensor([0.4, 0.5])
    assert abs(along) < 1e-6 and gradient.norm() > 1
    torch.testing.assert_close(torch.tensor(loud["si_sdr"]["gradient"]), gradient / 2)
    # and a silent mask stays where it is
    page.get_by_role("radio", name="SI-SDR").click()
    assert results(page, (0, 0))["si_sdr"]["value"] == pytest.approx(80)
    assert take_steps(page, 1)[-1].tolist() == [0, 0]


def test_disagreeing_targets_have_mean_and_median(page):
    page.get_by_role("switch", name="Three targets that disagree").click()
    targets, mixture = torch.tensor(TARGETS), torch.tensor(MIXTURE)
    for name, middle in (("MSE", targets.mean(0)), ("L1", targets.median(0).values)):
        page.get_by_role("radio", name=name).click()
        ring = [float(element(page, f"return e.best.getAttribute('c{axis}')")) for axis in "xy"]
        best = (middle / mixture).tolist()
        assert ring == pytest.approx([200 * best[0], 300 - 200 * best[1]], abs=0.01)
        key = {"MSE": "mse", "L1": "l1"}[name]
        lowest = results(page, best)[key]["value"]
        for move in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
            around = [value + step for value, step in zip(best, move, strict=True)]
            assert results(page, around)[key]["value"] > lowest
    # SI-SDR has a valley at each target
    page.get_by_role("radio", name="SI-SDR").click()
    for target in TARGETS:
        mask = torch.tensor(target) / mixture
        valley = results(page, mask.tolist())["si_sdr"]["value"]
        for turn in (-0.02, 0.02):
            aside = mask + turn * torch.tensor([-mask[1], mask[0]])
            assert results(page, aside.tolist())["si_sdr"]["value"] > valley + 5


def test_the_picture_is_the_loss(page):
    script = """const [i, j] = argument;
        const pixel = e.axes.canvas.getContext('2d').getImageData(i, 239 - j, 1, 1).data;
        return 0.3 * pixel[0] + 0.6 * pixel[1] + 0.1 * pixel[2];"""
    generator = torch.Generator().manual_seed(2)
    places = torch.randint(240, (60, 2), generator=generator)
    for index, name in enumerate(LOSSES):
        page.get_by_role("radio").nth(index).click()
        light = torch.tensor([element(page, script, place) for place in places.tolist()])
        masks = (places + 0.5) * 1.5 / 240
        losses = torch.tensor([reference(name, m, TARGETS[:1])[0] for m in masks.tolist()])
        if name == "si_sdr":
            losses = losses.clamp(-30, 10)
        # brighter is higher: sorted by loss, the bands of colour come in their order
        assert (light[losses.argsort()].diff() > -1e-6).all()
        assert light.unique().numel() > 7


def test_dragging_and_keys_move_the_mask(page):
    box = page.locator(f"{TAG} .plot").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"])
    assert element(page, "return e.mask") == pytest.approx([0.9, 0.75], abs=0.011)
    element(page, "e.moveTo([0.9, 0.75])")
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert element(page, "return e.mask") == pytest.approx([0.86, 0.79])
    page.keyboard.press("3")
    assert element(page, "return e.drawn") == 2
    page.keyboard.press("t")
    assert element(page, "return e.targets") == [list(target) for target in TARGETS]
    page.keyboard.press("s")
    assert element(page, "return e.path.length") == 2
    page.keyboard.press("r")
    assert element(page, "return e.path") == [[0.25, 0.9]]
    page.get_by_role("slider", name="Mask of pixel 2").focus()
    page.keyboard.press("ArrowRight")
    assert element(page, "return e.mask") == pytest.approx([0.25, 0.91])
    page.get_by_role("slider", name="Step size").focus()
    page.keyboard.press("ArrowLeft")
    assert element(page, "return e.steps[2]") == 0.001


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.get_by_role("switch", name="Three targets that disagree").click()
    for index, mask in enumerate(([0.9, 0.2501], [0.0, 1.5], [0.9001, 0.25])):
        page.get_by_role("radio").nth(index).click()
        results(page, mask)
        browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixture": (1.0,)}, "mixture: expected two numbers, 0.01 to 2 and 0.01 to 2, got"),
        ({"mixture": (1.0, 0.0)}, "mixture: expected two numbers"),
        ({"mixture": "loud"}, "mixture: expected two numbers"),
        ({"target": (0.9, 1.3)}, "target: expected two numbers, 0 to 1.5 and 0 to 1.2, got"),
        ({"target": (math.nan, 0.2)}, "target: expected two numbers"),
        ({"target": (0.0, 0.001)}, "target: expected one magnitude of 0.01 or more"),
        ({"others": [(0.5, 0.5)]}, "others: expected two targets, got 1"),
        ({"others": [(0.5, 0.5), (-0.1, 0.5)]}, r"others\[1\]: expected two numbers"),
        ({"start": (1.6, 0.0)}, "start: expected two numbers, 0 to 1.5 and 0 to 1.5, got"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        loss_landscape(**arguments)


def test_other_targets_suit_the_mixture():
    config = loss_landscape((1.0, 0.02), (0.9, 0.01)).config
    assert sum(config["targets"][1:], []) == pytest.approx([0.8, 0.0075, 0.1, 0.0175])
