"""Guess the score in a real browser: no kernel, mouse, keyboard, sound, rank correlations."""

from __future__ import annotations

import math
from functools import partial

import browser
import pytest
import torch
from scipy.stats import spearmanr

from lib.widgets import guess_the_score

RATE = 8000
TAG = "unmix-guess-the-score"
element = partial(browser.element, tag=TAG)
NAMES = ("tone", "hiss", "pulse", "silent half", "soft")
SCORES = {
    "SI-SDR (dB)": dict(zip(NAMES, (12.0, -3.0, 4.0, 8.0, 1.0), strict=True)),
    "STOI": dict(zip(NAMES, (0.5, 0.9, 0.7, 0.7, 0.1), strict=True)),
}


@pytest.fixture(scope="module")
def panel():
    generator = torch.Generator().manual_seed(4)
    time = torch.arange(RATE) / RATE
    tone = 0.3 * torch.sin(2 * math.pi * 440 * time)
    clips = {
        "tone": tone,
        "hiss": 0.05 * torch.randn(RATE, generator=generator),
        "pulse": tone * (torch.sin(2 * math.pi * 8 * time) > 0),
        "silent half": tone * (time < 0.5),
        "soft": 0.02 * tone,
    }
    return guess_the_score(clips, tone, SCORES, RATE, note="PESQ is missing.")


@pytest.fixture
def page(panel, chromium, tmp_path):
    with browser.shown(chromium, panel, tmp_path) as opened:
        yield opened


def shown(page) -> str:
    """The letters from the top of the list to its end."""
    rows = "[...e.shadowRoot.querySelectorAll('li')].map(row => row.dataset.letter).join('')"
    return element(page, f"return {rows}")


def grip(page, letter: str):
    return page.get_by_role("button", name=f"Clip {letter}, number")


def test_nothing_gives_the_clips_away_before_the_scores_are_revealed(page):
    text = page.locator(f"{TAG} section").inner_text()
    assert not any(name in text for name in NAMES)
    assert "PESQ is missing." in text
    assert sorted(element(page, "return e.order")) == list(range(5))
    page.get_by_role("button", name="Reveal").click()
    assert "move at least one" in page.locator(f"{TAG} section").inner_text()
    assert not element(page, "return e.revealed")


def test_each_round_has_an_order_of_its_own(page):
    orders = set()
    for _ in range(8):
        page.get_by_role("button", name="Shuffle").click()
        orders.add(tuple(element(page, "return e.order")))
    assert len(orders) > 2
    assert shown(page) == "ABCDE"


def test_buttons_and_arrow_keys_move_a_clip_and_keep_the_focus(page):
    page.get_by_role("button", name="Clip C: one up").click()
    assert shown(page) == "ACBDE"
    page.get_by_role("button", name="Clip C: one up").click()
    assert shown(page) == "CABDE"
    # its own button is disabled at the top: the focus goes to the grip of the same row
    page.keyboard.press("ArrowDown")
    assert shown(page) == "ACBDE"
    grip(page, "E").focus()
    for _ in range(6):
        page.keyboard.press("ArrowUp")
    assert shown(page) == "EACBD"
    assert grip(page, "E").get_attribute("aria-label").startswith("Clip E, number 1 of 5")


def test_a_clip_can_be_dragged(page):
    box, rows = grip(page, "B").bounding_box(), page.locator("ol").bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 8, rows["y"] + rows["height"] - 3, steps=8)
    page.mouse.up()
    assert shown(page) == "ACDEB"
    box = grip(page, "E").bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 8, rows["y"] + 3, steps=8)
    page.mouse.up()
    assert shown(page) == "EACDB"


def test_the_two_questions_keep_two_orders(page):
    grip(page, "A").press("ArrowDown")
    page.get_by_role("radio", name="Whose words").click()
    assert shown(page) == "ABCDE"
    grip(page, "E").press("ArrowUp")
    page.get_by_role("radio", name="Which sounds best").click()
    assert shown(page) == "BACDE"
    page.get_by_role("button", name="Reveal").click()
    assert page.locator("[data-pair]").count() == 4


def test_letters_and_space_play_at_one_loudness(page):
    page.keyboard.press("Tab")  # into the panel
    page.keyboard.press("d")
    clip = element(page, "return e.order[3]")
    assert element(page, "return e.player.selected") == clip
    page.get_by_role("button", name="Hear clip B").click()
    page.wait_for_function(f"() => document.querySelector('{TAG}').player.position > 0.15")
    assert element(page, "return e.player.selected") == element(page, "return e.order[1]")
    matched = element(page, "return e.player.tracks.map(track => track.level)")
    page.keyboard.press("m")
    plain = element(page, "return e.player.tracks.map(track => track.level)")
    soft = NAMES.index("soft")
    assert matched[soft] / plain[soft] > 20 * matched[0] / plain[0]
    page.keyboard.press("r")
    assert element(page, "return e.player.selected") == 5
    page.get_by_role("button", name="Pause").click()
    assert not element(page, "return e.player.playing")


def test_the_correlations_are_spearmans(page):
    order = element(page, "return e.order")
    for letter in "DEBE":
        grip(page, letter).press("ArrowUp")
    ranking = shown(page)
    page.get_by_role("button", name="Reveal").click()
    mine = [-ranking.index(letter) for letter in "ABCDE"]
    for place, (metric, values) in enumerate(SCORES.items()):
        theirs = [values[NAMES[clip]] for clip in order]
        expected = spearmanr(mine, theirs).statistic
        assert element(page, f"return e.agreement[0][{place}].rho") == pytest.approx(expected)
        name = metric.removesuffix(" (dB)")
        row = page.locator(f'[data-pair="sound/{name}"]').inner_text().replace("−", "-")
        assert f"{expected:.2f}".replace("-0.00", "0.00") in row.replace("-0.00", "0.00")


def test_the_luck_of_a_random_order_is_counted(page):
    order = element(page, "return e.order")
    best = sorted(range(5), key=lambda letter: -SCORES["SI-SDR (dB)"][NAMES[order[letter]]])
    for place, letter in enumerate(best):
        for _ in range(5):
            if shown(page).index("ABCDE"[letter]) > place:
                grip(page, "ABCDE"[letter]).press("ArrowUp")
    if [*range(5)] == best:  # already in order: touch it
        grip(page, "A").press("ArrowDown")
        grip(page, "A").press("ArrowUp")
    page.get_by_role("button", name="Reveal").click()
    found = element(page, "return e.agreement[0][0]")
    assert found["rho"] == pytest.approx(1)
    assert found["chance"] == pytest.approx(1 / 120)
    assert "followed best by SI-SDR" in page.locator(".verdict").inner_text()


def test_revealing_names_everything_and_ends_the_round(page):
    grip(page, "A").press("ArrowDown")
    page.get_by_role("button", name="Reveal").click()
    text = page.locator(f"{TAG} section").inner_text()
    assert all(name in text for name in NAMES)
    assert page.locator("svg g").count() == 5
    assert grip(page, "A").is_disabled()
    page.keyboard.press("c")
    page.get_by_role("button", name="Hear clip C").click()
    assert page.locator("tr.heard td").first.inner_text() == "C"
    page.get_by_role("button", name="Shuffle").click()
    assert not any(name in page.locator(f"{TAG} section").inner_text() for name in NAMES)
    assert grip(page, "A").is_enabled()
