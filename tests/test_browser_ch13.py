"""The permutation game in a real browser: mouse, keyboard, and both algorithms."""

from __future__ import annotations

from functools import partial

import browser
import numpy as np
import pytest
import scipy.optimize

from lib.widgets import permutation_game

TAG = "unmix-permutation-game"
element = partial(browser.element, tag=TAG)


@pytest.fixture
def page(chromium, tmp_path):
    with browser.shown(chromium, permutation_game(3, seed=4), tmp_path) as opened:
        yield opened


def solved(page) -> tuple[list[int], int]:
    costs = np.array(element(page, "return e.costs"))
    rows, columns = scipy.optimize.linear_sum_assignment(costs)
    return columns.tolist(), int(costs[rows, columns].sum())


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_both_algorithms_find_the_best(page, size):
    page.get_by_role("radio", name=str(size), exact=True).click()
    for _ in range(3):
        page.get_by_role("button", name="New round").click()
        best = solved(page)[1]
        count = element(page, "return e.orders.length")
        for _ in range(count):
            element(page, "e.enumerate()")
        assert element(page, "return e.lowest") == best
        for _ in range(size):
            page.get_by_role("button", name="Hungarian step").click()
        assert f"is {best}." in element(page, "return e.verdict.textContent")


def test_playing_by_keyboard(page):
    order, best = solved(page)
    page.get_by_role("button", name="reference 1, output 1").focus()
    column = 0
    for row, wanted in enumerate(order):
        if row:
            page.keyboard.press("ArrowDown")
        for _ in range((wanted - column) % 3):
            page.keyboard.press("ArrowRight")
        column = wanted
        page.keyboard.press("Enter")
    assert element(page, "return e.chosen") == order
    assert f"Sum {best}: the best" in element(page, "return e.verdict.textContent")


def test_an_output_serves_one_reference_and_time_ends_the_round(page):
    page.get_by_role("button", name="reference 1, output 2").click()
    page.get_by_role("button", name="reference 3, output 2").click()
    assert element(page, "return e.chosen") == [None, None, 1]
    element(page, "e.tick(100)")
    assert "Time is up" in element(page, "return e.verdict.textContent")
    page.get_by_role("button", name="reference 1, output 1").click()
    assert element(page, "return e.chosen") == [None, None, 1]
