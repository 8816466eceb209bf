"""What an instructor takes from the site: slides, a handout, solutions, and links that last."""

from __future__ import annotations

import contextlib
import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from browser import open_page, serve
from bs4 import BeautifulSoup
from pypdf import PdfReader

from lib.course.assignments import leaks
from tools import slides
from tools.build_site import jupyter_book, with_solutions
from tools.notebooks import NOTEBOOKS, ROOT, published, read, toc_files

PAGES = toc_files()
CHAPTERS = [Path(page).name for page in PAGES if page.startswith("notebooks/")]
SOURCES = [file for name in CHAPTERS for file in NOTEBOOKS.glob(f"exercises/{name}/{name}.ipynb")]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
MOVED = CONFIG["sphinx"]["config"]["redirects"]
TELLING = 25  # letters: a shorter line of a solution may stand anywhere


def sections(name: str) -> list[str]:
    """The headings of a chapter's sections."""
    prose = [c.source for c in read(NOTEBOOKS / f"{name}.ipynb").cells if c.cell_type == "markdown"]
    return re.findall(r"^## +(.+?) *$", "\n".join(prose), flags=re.M)


# ------------------------------------------------------------------ slides


@pytest.mark.parametrize(
    ("paragraph", "shown"),
    [
        ("The first sentence stays. The second goes.", "The first sentence stays."),
        (
            "<strong>1. See</strong> (5 minutes). The task. The rest.",
            "1. See (5 minutes). The task.",
        ),
        (
            "The first sentence stays. Does a question? This goes. The last leads on:",
            "The first sentence stays. Does a question? The last leads on:",
        ),
        (
            "The first sentence stays. This goes. <strong>Bold</strong> stays. Not this.",
            "The first sentence stays. Bold stays.",
        ),
        (
            "Marks, e.g. 3.5 and <code>a. B</code>, end nothing. This goes, <em>all. Of it</em>.",
            "Marks, e.g. 3.5 and a. B, end nothing.",
        ),
    ],
)
def test_prose_is_shortened_by_rule(paragraph, shown):
    tag = BeautifulSoup(f"<p>{paragraph}</p>", "html.parser").p
    slides.shorten(tag)
    assert " ".join(tag.get_text().split()) == shown


def test_a_slide_holds_one_thing_with_its_lead_and_its_remark():
    text, lead = slides.Block("text", 2, "text"), slides.Block("lead", 2, "lead")
    thing, tall = slides.Block("thing", 9, "thing"), slides.Block("tall", 90, "thing")

    def packed(*pieces):
        return [[piece.html for piece in slide] for slide in slides.packed(list(pieces))]

    assert packed() == []
    assert packed(text, thing, text, lead, thing) == [["text", "thing", "text"], ["lead", "thing"]]
    assert packed(thing, thing) == [["thing"], ["thing"]]
    assert packed(text, lead, tall, text) == [["text"], ["lead", "tall"], ["text"]]
    assert packed(*[text] * 10) == [["text"] * 9, ["text"]]


@pytest.fixture(scope="module")
def decks(site):
    """The slides, beside the built pages."""
    return slides.write(site)


def test_every_chapter_has_slides_and_the_index_leads_to_them(decks, site):
    assert [deck.stem for deck in decks] == CHAPTERS
    index = (site / "slides" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'href="(\w+)\.html"', index) == CHAPTERS


@pytest.mark.parametrize("name", CHAPTERS)
def test_slides_are_complete_quiet_and_play(name, decks, chromium, address):
    page, record = open_page(chromium, f"{address}/slides/{name}.html")
    page.wait_for_function("Reveal.isReady()", timeout=60_000)
    titles = page.locator(".slides > section h2:first-child")
    shown = " ".join(titles.evaluate_all("all => all.map(one => one.textContent)"))
    assert [one for one in sections(name) if one not in shown] == ["References"]
    assert page.evaluate("""() => Reveal.getSlides().every((slide) =>
        slide.childElementCount > 1)""")

    while not page.evaluate("!!Reveal.getCurrentSlide().querySelector('unmix-listen')"):
        page.keyboard.press("Space")
    while page.evaluate("Reveal.availableFragments().next"):
        page.keyboard.press("Space")
    player = page.locator("section.present section.present unmix-listen").first
    player.get_by_role("button", name="Play").click()
    page.wait_for_timeout(400)
    assert player.evaluate("element => element.player.position") > 0.1
    here = page.evaluate("Reveal.getIndices()")
    page.keyboard.press("ArrowRight")  # seeks: the player has the keys
    assert page.evaluate("Reveal.getIndices()") == here
    handle = player.element_handle()
    page.keyboard.press("PageDown")
    assert page.evaluate("Reveal.getIndices()") != here
    assert not handle.evaluate("element => element.player.playing")

    assert page.locator("[data-failed], mjx-merror").count() == 0
    record.assert_clean()
    page.close()


# ------------------------------------------------------------------ handout


def test_the_handout_has_the_text_and_links_for_the_sounds(site):
    number, name = "16", "16_dprnn"
    command = [sys.executable, "tools/handout.py", number, "--out", site.parent]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
    pdf = PdfReader(site.parent / "handouts" / f"{name}.pdf")
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    assert [one for one in sections(name) if one not in text] == []
    assert "%pip install" not in text  # hidden on the page, too
    built = (site / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    notes = [entry.get_object() for page in pdf.pages for entry in page.get("/Annots", [])]
    links = {note["/A"]["/URI"] for note in notes if "/URI" in note.get("/A", {})}
    assert [link for link in links if not link.startswith("https://")] == []
    here = f"{published()}/notebooks/{name}.html"
    assert text.count("▶") == len(re.findall(r"<unmix-", built)) > 3
    places = {link.partition("#")[2] for link in links if link.startswith(f"{here}#")}
    assert places and all(f'id="{place}"' in built for place in places)


# ------------------------------------------------------------------ solutions


def words(text: str) -> str:
    """A text without marks and spaces, which a page sets in its own way."""
    return " ".join(re.findall(r"\w+", text))


def said(folder: Path) -> list[str]:
    """The words of each file of a site that holds text, as it stands and without its tags."""
    texts = []
    for path in folder.rglob("*"):
        if path.is_file() and "vendor" not in path.parts:
            with contextlib.suppress(UnicodeDecodeError):  # pictures, fonts
                texts.append(path.read_text(encoding="utf-8"))
    return [words(html.unescape(one)) for one in texts] + [
        words(html.unescape(re.sub(r"<[^>]*>", "", one))) for one in texts
    ]


@pytest.fixture(scope="module")
def in_the_open():
    """What anybody may read: the chapters and the library."""
    cells = [cell.source for name in CHAPTERS for cell in read(NOTEBOOKS / f"{name}.ipynb").cells]
    library = [path.read_text(encoding="utf-8") for path in (ROOT / "lib").rglob("*.py")]
    return [words(text) for text in cells + library]


@pytest.fixture(scope="module")
def public(site, decks):
    """What the public site says, slides included."""
    return said(site)


@pytest.fixture(scope="module")
def instructor(tmp_path_factory):
    """The instructors' site, without outputs and with one page that moved."""
    folder = tmp_path_factory.mktemp("site")
    options = with_solutions(folder, folder / "cache")
    config = yaml.safe_load((folder / "_config.yml").read_text(encoding="utf-8"))
    config["execute"]["execute_notebooks"] = "off"
    config["sphinx"]["config"]["redirects"] = {"old/place": f"/{PAGES[1]}.html"}
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert jupyter_book(folder / "_build", "smoke", options) == 0
    return folder / "_build" / "html"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_solutions_are_for_instructors_alone(source, public, instructor, in_the_open):
    page = instructor / "notebooks" / "exercises" / source.stem / f"{source.stem}.html"
    lines = [words(line) for line in leaks(read(source), read(source)) if len(line) > TELLING]
    hidden = [line for line in lines if not any(line in text for text in in_the_open)]
    shown = said(page.parent)
    assert len(hidden) > 5
    assert [line for line in hidden if not any(line in text for text in shown)] == []
    assert [line for line in hidden if any(line in text for text in public)] == []


# ------------------------------------------------------------------ links that last


def test_an_address_that_moved_leads_on(instructor, chromium):
    with serve(instructor) as url:
        page, _ = open_page(chromium, f"{url}/old/place.html#here")
        page.wait_for_url(f"**/{PAGES[1]}.html#here")
        page.close()


def test_redirects_lead_from_no_page_to_a_page():
    assert not set(MOVED) & set(PAGES)
    assert set(MOVED.values()) <= {f"/{page}.html" for page in PAGES}


def test_no_address_was_ever_lost():
    command = ["git", "log", "--format=", "--patch", "--", "_toc.yml"]
    history = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if history.returncode:
        pytest.skip("no history here")
    ever = set(re.findall(r"^\+ *- file: (\S+)$", history.stdout, flags=re.M))
    assert ever - set(PAGES) - set(MOVED) == set(), "name them under redirects in _config.yml"
