"""The results table in a real browser: every row can be heard, at the playhead of the last."""

from __future__ import annotations

import browser
import pytest

from lib.results import methods
from lib.widgets import results_table

READY = "document.querySelector('unmix-results-table[data-ready]')"


@pytest.fixture(scope="module")
def page_and_record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    body = results_table("two_speakers")._repr_html_()
    document = f'<!doctype html><meta charset="utf-8"><title>Results</title><body>{body}'
    (folder / "index.html").write_text(document, encoding="utf-8")
    with browser.serve(folder) as address, browser.chromium() as context:
        page, record = browser.open_page(context, f"{address}/index.html")
        page.wait_for_function(READY)
        yield page, record


def test_rows_switch_at_one_playhead(page_and_record):
    page, record = page_and_record
    table = page.locator("unmix-results-table")
    hear = table.locator("button.hear")
    assert hear.count() == len(methods("two_speakers"))

    hear.nth(3).click()
    page.wait_for_function(f"{READY}.player.position > 0.3")
    before = table.evaluate("table => table.player.position")
    hear.nth(4).click()
    after = table.evaluate(
        "table => ({ at: table.player.position, "
        "row: table.player.selected, playing: table.player.playing })"
    )
    assert after["playing"] and after["row"] == 4
    assert before <= after["at"] < before + 1
    assert hear.nth(4).get_attribute("aria-pressed") == "true"
    assert hear.nth(3).get_attribute("aria-pressed") == "false"

    hear.nth(4).press("Enter")
    assert not table.evaluate("table => table.player.playing")
    record.assert_clean()


def test_the_space_bar_plays(page_and_record):
    page, _ = page_and_record
    table = page.locator("unmix-results-table")
    table.evaluate("table => table.player.pause()")
    table.locator("button.play").focus()
    page.keyboard.press("Space")
    assert table.evaluate("table => table.player.playing")
    table.evaluate("table => table.player.pause()")
