"""The embedding sphere in a real browser: no kernel; it turns, and its k-means is that of lib."""

from __future__ import annotations

from functools import partial

import browser
import pytest
import torch
from torch.nn import functional

from lib.nn.embedding import kmeans
from lib.widgets import embedding_sphere

TAG = "unmix-embedding-sphere"
element = partial(browser.element, tag=TAG)
BINS, FRAMES = 20, 30


def embeddings() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two clouds on the sphere that overlap a little, and silence."""
    generator = torch.Generator().manual_seed(12)
    owners = torch.randint(2, (BINS * FRAMES,), generator=generator)
    middles = functional.normalize(torch.tensor([[1.0, 0.4, 0.0], [0.0, 0.5, 1.0]]), dim=1)
    spread = 0.35 * torch.randn(BINS * FRAMES, 3, generator=generator)
    points = functional.normalize(middles[owners] + spread, dim=1)
    return points, owners, torch.rand(BINS * FRAMES, generator=generator) > 0.2


@pytest.fixture(scope="module")
def panel():
    return embedding_sphere(*embeddings(), bins=BINS, names=("the woman", "the man"))


@pytest.fixture
def page(panel, chromium, tmp_path):
    with browser.shown(chromium, panel, tmp_path) as opened:
        yield opened


def value(page, name: str) -> float:
    text = element(page, f"return e.panel.querySelector('[data-value={name}]').textContent")
    return float(text.removesuffix(" %"))


CENTRES = "return e.centres.map(c => [...c])"


def test_it_ends_where_kmeans_of_lib_ends(page):
    points, owners, active = embeddings()
    page.get_by_role("button", name="Run to the end").click()
    centres, nearest = kmeans(points[active][None], 2)
    found = torch.tensor(element(page, CENTRES))
    order = torch.cdist(found, centres[0]).argmin(1)
    assert sorted(order.tolist()) == [0, 1]
    torch.testing.assert_close(found, centres[0][order], atol=0.01, rtol=0)
    right = (nearest[0] == owners[active]).double().mean()
    assert value(page, "agreement") == pytest.approx(100 * max(right, 1 - right), abs=0.5)
    cost = (points[active] - centres[0][nearest[0]]).square().sum(1).mean()
    assert value(page, "cost") == pytest.approx(float(cost), abs=0.005)
    assert "Settled" in element(page, "return e.state.textContent")


def test_each_step_lowers_the_cost(page):
    costs = [value(page, "cost")]
    for _ in range(4):
        page.get_by_role("button", name="k-means step").click()
        costs.append(value(page, "cost"))
    assert costs == sorted(costs, reverse=True) and costs[-1] < costs[0]
    page.get_by_role("button", name="New start").click()
    assert value(page, "steps") == 0


def test_dragging_turns_the_sphere_or_moves_a_centre(page):
    box = page.locator(f"{TAG} canvas.sphere").bounding_box()
    before, view = element(page, CENTRES), element(page, "return e.view")
    element(page, "e.centres = [[...e.view[2]], e.view[2].map(v => -v)]; e.changed('')")
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1], steps=3)
    page.mouse.up()
    moved = element(page, CENTRES)
    assert element(page, "return e.view") == view and moved[0] != before[0]
    assert torch.tensor(moved[0]).norm() == pytest.approx(1)
    right = torch.tensor(view[0])
    assert torch.tensor(moved[0]) @ right > 0.2
    page.mouse.move(box["x"] + 30, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    turned = torch.tensor(element(page, "return e.view"))
    assert element(page, CENTRES) == moved
    torch.testing.assert_close(turned @ turned.T, torch.eye(3), atol=1e-5, rtol=0)
    # what lay in front went to the right, with the pointer
    assert torch.tensor(view[2]) @ turned[0] > 0.2


def test_everything_from_the_keyboard(page):
    page.locator(f"{TAG} canvas.sphere").focus()
    view = torch.tensor(element(page, "return e.view"))
    page.keyboard.press("ArrowRight")
    turned = torch.tensor(element(page, "return e.view"))
    assert view[2] @ turned[0] == pytest.approx(0.087, abs=0.01)  # sin 5 degrees, to the right
    page.keyboard.press("ArrowUp")
    assert view[2] @ torch.tensor(element(page, "return e.view"))[1] > 0.05
    page.keyboard.press("1")
    element(page, "e.moveCentre(0, [...e.view[2]])")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    right, up, _ = torch.tensor(element(page, "return e.view"))
    centre = torch.tensor(element(page, CENTRES)[0])
    assert centre @ right == pytest.approx(0.087, abs=0.01)
    assert centre @ up == pytest.approx(0.087, abs=0.01)
    page.keyboard.press("s")
    assert value(page, "steps") == 1
    page.keyboard.press("r")
    assert "right." in element(page, "return e.state.textContent")
    page.keyboard.press("n")
    assert value(page, "steps") == 0
    page.keyboard.press("c")
    assert element(page, "return e.byCluster") is True


def test_three_centres_and_the_pictures(page):
    page.get_by_role("button", name="Run to the end").click()
    two = element(page, "return e.mask.toDataURL()")
    assert two != element(page, "return e.truth.toDataURL()")
    page.get_by_role("radio", name="3", exact=True).click()
    page.get_by_role("button", name="Run to the end").click()
    assert len(element(page, CENTRES)) == 3
    assert element(page, "return e.mask.toDataURL()") != two
    assert element(page, "return new Set(e.nearest).size") == 3
    sphere = "return e.canvas.toDataURL()"
    by_source = element(page, sphere)
    page.get_by_role("radio", name="cluster", exact=True).click()
    assert element(page, sphere) != by_source
