"""The built site, page by page in a browser: complete, quiet, light, and alive without a kernel.

``make test`` builds the site and names it in ``UNMIX_SITE``; run alone, this file builds one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from browser import chromium, open_page, serve

from tools.build_site import build
from tools.notebooks import ROOT, toc_files

PAGES = toc_files()
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
MAX_BYTES = 5_000_000
# Jupyter Book 1 includes sphinx-thebe twice; the second declaration is refused, harmlessly
KNOWN_ERRORS = ("THEBE_JS_URL",)


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built pages."""
    if "UNMIX_SITE" in os.environ:
        return (ROOT / os.environ["UNMIX_SITE"]).resolve()
    out = ROOT / "_build" / "smoke" / "_build"
    assert build(out, "smoke") == 0, "the site does not build without warnings"
    return out / "html"


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served."""
    with serve(site) as url:
        yield url


@pytest.fixture(scope="session")
def context():
    """One browser for all pages."""
    with chromium(viewport={"width": 1200, "height": 900}) as browser:
        yield browser


@pytest.fixture
def visit(context, address):
    """Open pages by name; each is closed when the test ends."""
    opened = []

    def go(name: str):
        page, record = open_page(context, f"{address}/{name}.html")
        opened.append(page)
        page.wait_for_load_state("networkidle")
        return page, record

    yield go
    for page in opened:
        page.close()


WIDGETS_SETTLED = """() => [...document.querySelectorAll('*')]
    .filter((element) => element.localName.startsWith('unmix-'))
    .every((element) => element.matches('[data-ready], [data-failed]'))"""


def test_front_door_leads_to_the_landing_page(visit):
    page, _ = visit("index")
    page.wait_for_url("**/book/index.html")
    assert page.locator("h1").inner_text().startswith("Unmixing Sound")


@pytest.mark.parametrize("name", PAGES)
def test_page_is_clean_and_light(visit, site, name):
    assert (site / f"{name}.html").is_file()
    page, record = visit(name)
    page.wait_for_function(WIDGETS_SETTLED, timeout=60_000)
    failed = page.locator("[data-failed]")
    assert failed.count() == 0, [element.inner_text() for element in failed.all()]
    record.assert_clean(allow=KNOWN_ERRORS)
    assert sum(record.bytes.values()) < MAX_BYTES
    assert page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_telephone(visit, name):
    page, _ = visit(name)
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function(WIDGETS_SETTLED, timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("name", PAGES)
def test_icons_are_in_the_bundle(site, name):
    shown = set(re.findall(r"\bfa-([a-z-]+)\b", (site / f"{name}.html").read_text("utf-8")))
    shown -= {"solid", "brands", "regular", "lg", "fw"}
    bundle = (site / "_static" / "scripts" / "fontawesome.js").read_text("utf-8")
    missing = {icon for icon in shown if f'"{icon}"' not in bundle}
    assert not missing, "add them to book/_static/vendor/icons.js and bundle again"


@pytest.mark.parametrize("name", ["book/index", *CHAPTERS])
def test_first_panel_plays_and_switches(visit, name):
    page, _ = visit(name)
    panel = page.locator("unmix-listen").first
    panel.wait_for()
    page.wait_for_function(WIDGETS_SETTLED, timeout=60_000)
    panel.get_by_role("button", name="Play").click()
    page.wait_for_timeout(500)
    assert panel.evaluate("(element) => element.player.position") > 0.1
    second = panel.get_by_role("radio").nth(1)
    second.click()
    assert second.get_attribute("aria-checked") == "true"


def test_landing_page_shows_the_player_in_the_first_screen(visit):
    page, _ = visit("book/index")
    box = page.locator("unmix-listen").first.bounding_box()
    assert box is not None and box["y"] + box["height"] <= 900


@pytest.mark.parametrize("name", CHAPTERS)
def test_quiz_answers(visit, name):
    page, _ = visit(name)
    page.wait_for_function(WIDGETS_SETTLED, timeout=60_000)
    question = page.locator("unmix-quiz fieldset").first
    choices = question.locator("input[type=radio], input[type=checkbox]")
    if choices.count():
        choices.first.check()
    else:
        question.locator("input[type=text]").fill("0")
    question.get_by_role("button", name="Check").click()
    assert re.match(r"[✓✗]", question.locator(".verdict").first.inner_text())
