"""The dataset atlas in Chromium, with no kernel and no other host."""

from __future__ import annotations

import math

import browser
import pytest
import torch

from lib.published import datasets
from lib.widgets import dataset_atlas
from lib.widgets.dataset_atlas import PACK

RATE = 8000
ATLAS = 'document.querySelector("unmix-dataset-atlas")'


@pytest.fixture
def page(chromium, tmp_path):
    tone = 0.2 * torch.sin(2 * math.pi * 330 * torch.arange(RATE) / RATE)
    atlas = dataset_atlas(tone, RATE, clip_text="a tone")
    with browser.shown(chromium, atlas, tmp_path) as opened:
        yield opened


def names(page):
    return page.locator("unmix-dataset-atlas tbody th").all_inner_texts()


def column(page, number):
    cells = page.locator(f"unmix-dataset-atlas tbody td:nth-of-type({number})").all_inner_texts()
    return [cell.replace("\u202f", "") for cell in cells]


def bubbles(page):
    return page.locator("unmix-dataset-atlas .bubble")


def details(page):
    return page.locator("unmix-dataset-atlas .details").inner_text()


def test_all_corpora_are_in_the_table_and_those_with_hours_in_the_chart(page):
    table = datasets()
    assert len(names(page)) == len(table) + 1
    assert bubbles(page).count() == int(table["hours"].notna().sum()) + 1
    assert "only in the table" in page.locator("unmix-dataset-atlas .note").first.inner_text()


def test_headings_sort_and_turn_the_order(page):
    page.get_by_role("button", name="Hours", exact=True).click()
    hours = [float(cell) for cell in column(page, 4) if cell != "?"]
    assert hours == sorted(hours, reverse=True)
    assert column(page, 4)[-1] == "?"  # unknown comes last
    page.get_by_role("button", name="Hours ▾").click()
    hours = [float(cell) for cell in column(page, 4) if cell != "?"]
    assert hours == sorted(hours)
    assert column(page, 4)[-1] == "?"
    sorted_by = page.locator("unmix-dataset-atlas th[aria-sort=ascending]").inner_text()
    assert sorted_by.startswith("Hours")
    page.get_by_role("button", name="Name", exact=True).click()
    assert names(page) == sorted(names(page), key=str.lower)


def test_filters_and_search_combine(page):
    page.get_by_label("Task").select_option("music separation")
    page.get_by_label("Licence").select_option("open")
    assert names(page) == ["Slakh2100", PACK]
    page.get_by_label("Licence").select_option("")
    page.get_by_label("Search").fill("leak")
    assert names(page) == ["DSD100"]
    assert bubbles(page).count() == 1
    page.get_by_label("Search").fill("no such corpus")
    assert names(page) == []
    assert "0 of 21" in page.locator("unmix-dataset-atlas .note").first.inner_text()


def test_a_name_and_a_bubble_show_trap_and_what_is_from_memory(page):
    page.get_by_role("button", name="MIR-1K", exact=True).click()
    assert "accompaniment left and the voice right" in details(page)
    assert "from memory" in details(page)
    assert page.evaluate(f"{ATLAS}.shadowRoot.activeElement.textContent") == "MIR-1K"
    pressed = page.locator("unmix-dataset-atlas .bubble[aria-pressed=true]")
    assert pressed.get_attribute("aria-label").startswith("MIR-1K")
    page.locator("unmix-dataset-atlas .bubble[aria-label^='TIMIT']").click()
    assert "two dialect sentences" in details(page)
    assert "every entry found again" in details(page)


def test_bubbles_show_year_hours_and_size(page):
    place = (
        f"(name) => {{ const c = [...{ATLAS}.bubbles].find(([row]) => row.name === name)[1]"
        ".querySelector('circle');"
        " return ['cx', 'cy', 'r'].map((key) => Number(c.getAttribute(key))); }"
    )
    timit, slakh, musdb = (
        page.evaluate(place, name) for name in ("TIMIT", "Slakh2100", "MUSDB18-HQ")
    )
    assert timit[0] < slakh[0] == musdb[0]  # years 1993, 2019, 2019
    assert slakh[1] < musdb[1] < timit[1]  # more hours stand higher
    assert slakh[2] > musdb[2]  # 2100 songs, 150 songs


def test_it_works_with_the_keyboard(page):
    page.locator("unmix-dataset-atlas .bubble[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    first = page.evaluate(f"{ATLAS}.chosen.name")
    assert first == "TIMIT"  # from the last round to the first
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{ATLAS}.chosen.name") == "MASS"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(f"{ATLAS}.chosen.name") == "TIMIT"
    page.keyboard.press("/")
    page.keyboard.type("slakh")
    assert names(page) == ["Slakh2100"]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(f"{ATLAS}.chosen.name") == "Slakh2100"


def test_only_the_pack_can_be_heard(page):
    assert page.get_by_role("button", name="Play").is_visible()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{ATLAS}.player.position > 0.1")
    page.get_by_role("button", name="MUSDB18", exact=True).click()
    assert page.evaluate(f"{ATLAS}.player.playing") is False  # no sound without its button
    assert page.get_by_role("button", name="Pause").count() == 0
    page.get_by_role("button", name=PACK, exact=True).click()
    assert "a tone" in details(page)


def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
