"""The built site, page by page in a browser: complete, quiet, light, and alive without a kernel.

``make test`` builds the site and names it in ``UNMIX_SITE``; run alone, this file builds one.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from browser import chromium, open_page

from tools.notebooks import ROOT, toc_files

PAGES = toc_files()
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
MAX_BYTES = 5_000_000
DESKTOP = {"width": 1200, "height": 900}
# Jupyter Book 1 includes sphinx-thebe twice; the second declaration is refused, harmlessly
KNOWN_ERRORS = ("THEBE_JS_URL",)


@pytest.fixture(scope="module")
def context():
    """One browser for all pages."""
    with chromium(viewport=DESKTOP) as browser:
        yield browser


SETTLED = """() => [...document.querySelectorAll('*')]
    .filter((element) => element.localName.startsWith('unmix-'))
    .every((element) => element.matches('[data-ready], [data-failed]'))"""


class Opened(NamedTuple):
    """A page of the site in the browser."""

    name: str
    page: Any
    record: Any
    html: str


@pytest.fixture(scope="module", params=PAGES)
def opened(request, context, address, site):
    """Each page in turn, opened once for all tests that look at it."""
    page, record = open_page(context, f"{address}/{request.param}.html")
    page.wait_for_load_state("networkidle")
    page.wait_for_function(SETTLED, timeout=60_000)
    html = (site / f"{request.param}.html").read_text(encoding="utf-8")
    yield Opened(request.param, page, record, html)
    page.close()


def test_front_door_leads_to_the_landing_page(context, address):
    page, _ = open_page(context, f"{address}/index.html")
    page.wait_for_url("**/book/index.html")
    assert page.locator("article h1").first.inner_text().startswith("Unmixing Sound")
    box = page.locator("unmix-listen").first.bounding_box()
    page.close()
    assert box["y"] + box["height"] <= 900, "the player is not in the first screen"


def test_page_is_clean_and_light(opened):
    failed = opened.page.locator("[data-failed]")
    assert failed.count() == 0, [element.inner_text() for element in failed.all()]
    opened.record.assert_clean(allow=KNOWN_ERRORS)
    assert sum(opened.record.bytes.values()) < MAX_BYTES
    assert opened.page.locator("mjx-merror").count() == 0


def test_page_fits_a_telephone(opened):
    opened.page.set_viewport_size({"width": 400, "height": 800})
    width = opened.page.evaluate("document.documentElement.scrollWidth")
    opened.page.set_viewport_size(DESKTOP)
    assert width <= 400


def test_icons_are_in_the_bundle(opened, site):
    shown = set(re.findall(r"\bfa-([a-z-]+)\b", opened.html))
    shown -= {"solid", "brands", "regular", "lg", "fw"}
    bundle = (site / "_static" / "scripts" / "fontawesome.js").read_text("utf-8")
    missing = {icon for icon in shown if f'"{icon}"' not in bundle}
    assert not missing, "add them to book/_static/vendor/icons.js and bundle again"


def test_no_path_of_the_building_machine_is_published(opened):
    assert str(ROOT) not in opened.html


@pytest.mark.parametrize("opened", ["book/index", *CHAPTERS], indirect=True)
def test_first_panel_plays_and_switches(opened):
    panel = opened.page.locator("unmix-listen").first
    panel.get_by_role("button", name="Play").click()
    opened.page.wait_for_timeout(500)
    assert panel.evaluate("(element) => element.player.position") > 0.1
    second = panel.get_by_role("radio").nth(1)
    second.click()
    assert second.get_attribute("aria-checked") == "true"
    panel.get_by_role("button", name="Pause").click()


@pytest.mark.parametrize("opened", CHAPTERS, indirect=True)
def test_quiz_answers(opened):
    question = opened.page.locator("unmix-quiz fieldset").first
    choices = question.locator("input[type=radio], input[type=checkbox]")
    if choices.count():
        choices.first.check()
    else:
        question.locator("input[type=text]").fill("0")
    question.get_by_role("button", name="Check").click()
    assert re.match(r"[✓✗]", question.locator(".verdict").first.inner_text())
