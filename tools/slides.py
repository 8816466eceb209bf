"""Slides of every chapter, made from the built site by rule.

    python tools/slides.py [--out _build]

reads ``OUT/html/notebooks/*.html`` and writes ``OUT/html/slides``: one reveal.js deck per chapter,
and an index of them. Nothing is written for slides alone. The rule:

- The title slide shows the title and what the reader can do afterwards. A section is a column of
  slides, a subsection continues it; the references are left out.
- Of a paragraph stay the first sentence (and the next, where the first is only a label), every
  question, every sentence that begins in bold type, and a last one that ends on a colon. Lists are
  shortened item by item; a paragraph in parentheses is left out. Formulas and tables stay.
- A player, a widget, a picture or a table stays, and the code that made it is folded below it. Code
  that prints stays open above what it prints. Code in cells tagged ``hide-input`` is left out, and
  so are the cells before the first section.
- A slide holds one of these, with the text that leads to it and the remark behind it; where these
  do not fit, they get slides of their own. What is taller than the screen scrolls.
- Where the text says **Predict first**, what answers it appears with the next press.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup, NavigableString, Tag

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.notebooks import CHECKED, ROOT, toc_files

ROOM = 18.0  # lines of text that a slide holds beside its heading
LETTERS = 78  # in a line
LABEL = 25  # letters: a shorter first sentence is a label, such as "1. See (10 minutes)."
# the end of a sentence: its mark, closing brackets and quotes, and then a gap before a new start
END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bal)(?<!\bvs)(?<!\bFig)[.?!][)”’\"]*(?=\s+\S|\s*$)")
ATOMIC = ("code", "kbd", "svg")  # never cut inside of these, nor inside of a formula

PAGE = """<!doctype html>
<html lang="en" data-theme="light">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/pygments.css">
<link rel="stylesheet" href="../_static/vendor/reveal/reveal.css">
<link rel="stylesheet" href="../_static/slides.css">
<script src="../_static/vendor/reveal/reveal.js"></script>
{mathjax}
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
<script defer src="../_static/slides.js"></script>
"""

INDEX = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slides</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/slides.css">
<body class="index">
<h1>Slides</h1>
<p>Space goes on, arrows move, <kbd>Esc</kbd> shows all, <kbd>F</kbd> fills the screen. The
browser's zoom (<kbd>Ctrl</kbd> <kbd>+</kbd>) makes players and widgets larger, too.</p>
<ul>
{items}
</ul>
"""


class Block(NamedTuple):
    """A piece of a slide: its HTML, its height in lines of text, and what it is.

    ``kind`` is "thing" (a slide holds only one), "lead" (text that points to what follows), "text".
    """

    html: str
    lines: float
    kind: str


# ------------------------------------------------------------------ text


def kept(sentences: list[str], bold: list[bool]) -> list[bool]:
    """Which sentences of a paragraph a slide shows.

    Args:
        sentences: the paragraph, cut.
        bold: for each, whether it begins in bold type.
    """
    label = len(sentences[0]) < LABEL
    return [
        index == 0 or (index == 1 and label) or starts_bold or sentence.endswith(("?", ":"))
        for index, (sentence, starts_bold) in enumerate(zip(sentences, bold, strict=True))
    ]


def shorten(paragraph: Tag) -> None:
    """Take out of a paragraph the sentences that slides leave out; markup and formulas stay."""
    pieces = list(_pieces(paragraph))
    text = "".join(shown for _, shown in pieces)
    ends = [match.end() for match in END.finditer(text)]
    ends = [end for end in ends if _starts_anew(text[end:]) and not _is_number(text[:end])]
    starts = [0, *ends]
    spans = [
        (start, end) for start, end in zip(starts, [*ends, len(text)], strict=True) if start < end
    ]
    if not spans:
        return
    places = _starts_of(pieces)
    bold = [
        any(
            piece.find_parent("strong") is not None
            for (piece, shown), at in zip(pieces, places, strict=True)
            if at <= start + len(text[start:]) - len(text[start:].lstrip()) < at + len(shown)
        )
        for start, _ in spans
    ]
    keep = kept([text[start:end].strip() for start, end in spans], bold)
    stay = [span for span, stays in zip(spans, keep, strict=True) if stays]
    for (piece, shown), at in zip(pieces, places, strict=True):
        if isinstance(piece, Tag):
            if not any(start <= at < end for start, end in stay):
                piece.extract()
        else:
            parts = [shown[max(start - at, 0) : max(end - at, 0)] for start, end in stay]
            piece.replace_with("".join(parts))
    for inline in paragraph.find_all(["strong", "em", "a", "span"]):
        if not inline.get_text(strip=True) and not inline.find(True):
            inline.extract()


def _pieces(node: Tag) -> Iterator[tuple[NavigableString | Tag, str]]:
    # leaves in order; what must not be cut stands as one word that may begin a sentence
    for child in list(node.children):
        if isinstance(child, NavigableString):
            yield child, str(child)
        elif child.name in ATOMIC or "math" in child.get("class", []):
            yield child, "X" * max(1, len(child.get_text()))
        else:
            yield from _pieces(child)


def _starts_of(pieces: list[tuple]) -> list[int]:
    starts, at = [], 0
    for _, shown in pieces:
        starts.append(at)
        at += len(shown)
    return starts


def _is_number(start: str) -> bool:
    return re.fullmatch(r"\s*\d+\.", start) is not None  # of an exercise


def _starts_anew(rest: str) -> bool:
    rest = rest.lstrip()
    return not rest or bool(re.match(r"[“\"‘(]*[A-ZÄÖÜ0-9]", rest))


def height(tag: Tag) -> float:
    """About how many lines of text an element takes."""
    if tag.name in ("ul", "ol"):
        return sum(height(item) for item in tag.find_all("li", recursive=False))
    if "math" in tag.get("class", []):
        return 2.2 + 1.4 * tag.get_text().count(r"\\")
    if tag.name == "pre":
        return 1 + 0.65 * tag.get_text().strip().count("\n")
    if rows := len(tag.find_all("tr")):
        return 1.2 * rows
    return 0.6 + -(-len(" ".join(tag.get_text().split())) // LETTERS)


# ------------------------------------------------------------------ blocks


def blocks(section: Tag) -> list[Block]:
    """The pieces of a section's own content, without its subsections."""
    pieces: list[Block] = []
    code: list[Tag] = []  # of cells that show nothing: it goes with the next that does
    for node in section.find_all(True, recursive=False):
        text = node.get_text().lstrip()
        if node.name in ("h1", "h2", "h3", "section", "script"):
            continue
        if "cell" in node.get("class", []):
            if "tag_hide-input" not in node["class"]:
                code += [part.extract() for part in node.select(".cell_input > *")]
            shown = node.select_one(".cell_output")
            if shown is not None:
                pieces.append(_output(shown, code))
                code = []
        elif text[:1].islower() and pieces and pieces[-1].kind != "thing":
            before, rest = pieces.pop(), _text(node)  # a sentence with a formula in its middle
            pieces.append(Block(before.html + rest.html, before.lines + rest.lines, rest.kind))
        elif not text.startswith("("):
            pieces.append(_text(node))
    if code:
        lines = sum(map(height, _listings(code)))
        pieces.append(Block("".join(map(str, code)), lines, "thing"))
    return pieces


def _text(node: Tag) -> Block:
    for paragraph in [node] if node.name == "p" else node.select("li > p"):
        shorten(paragraph)
    if node.find("table"):
        return Block(str(node), height(node), "thing")
    first = next((child for child in node.children if str(child).strip()), None)
    leads = getattr(first, "name", None) == "strong" or node.get_text().rstrip()[-1:] in ("?", ":")
    return Block(str(node), height(node), "lead" if leads else "text")


def _output(shown: Tag, code: list[Tag]) -> Block:
    listing = "".join(map(str, code))
    printed = sum(height(pre) for pre in shown.find_all("pre"))
    if not shown.find(["img", "table", "svg"]) and not widgets(shown):
        if shown.select(".highlight-python, .highlight-ipython3"):  # show_source: a listing itself
            return Block(str(shown), printed, "thing")
        return Block(listing + str(shown), printed + sum(map(height, _listings(code))), "thing")
    for widget in widgets(shown):
        widget["class"] = "widget"
        widget["data-prevent-swipe"] = ""
    tables = sum(height(table) for table in shown.find_all("table"))
    lines = printed + tables + 9 * len(shown.find_all("img")) + 11 * len(widgets(shown))
    folded = f"<details><summary>Code</summary>{listing}</details>" if listing else ""
    return Block(str(shown) + folded, lines + 1, "thing")


def _listings(code: list[Tag]) -> list[Tag]:
    return [pre for part in code for pre in part.find_all("pre")]


def widgets(tag: Tag) -> list[Tag]:
    """The players and other widgets inside of an element."""
    return tag.find_all(re.compile("^unmix-"))


def packed(pieces: list[Block]) -> Iterator[list[Block]]:
    """Pieces onto slides, in their order.

    Example:
        >>> thing, text = Block("a picture", 9, "thing"), Block("a remark", 2, "text")
        >>> [len(slide) for slide in packed([text, thing, text, thing])]
        [3, 1]
    """
    slide: list[Block] = []
    for piece, after in zip_longest(pieces, pieces[1:]):
        full = sum(one.lines for one in slide) + piece.lines > ROOM
        has_thing = any(one.kind == "thing" for one in slide)
        leads_on = piece.kind == "lead" and after is not None and after.kind == "thing"
        if has_thing and (full or leads_on or piece.kind == "thing"):
            yield slide
            slide = []
        elif full and slide:
            # the last words before a thing stand beside it, however tall it is
            stays = slide[-1:] if piece.kind == "thing" else []
            if len(slide) > len(stays):
                yield slide[: len(slide) - len(stays)]
            slide = stays
        slide = [*slide, piece]
    if slide:
        yield slide


# ------------------------------------------------------------------ decks


def deck(page: str, name: str) -> str:
    """The slides of a built chapter.

    Args:
        page: HTML of the chapter's page.
        name: its name, such as ``01_mixtures_and_tasks``.

    Returns:
        A page that stands in a folder beside that of the chapters.
    """
    soup = BeautifulSoup(page, "html.parser")
    chapter = soup.select_one("article section")
    for link in chapter.select("a.headerlink"):
        link.extract()
    for mark in chapter.find_all("span", class_="c1", string=CHECKED):
        mark.next_sibling.extract()
        mark.extract()
    for link in chapter.select('a[href^="#"]'):
        link["href"] = f"../notebooks/{name}.html{link['href']}"
    title = chapter.h1.get_text()
    mathjax = "\n".join(str(script) for script in soup.head.select("script") if _is_math(script))
    columns = [[_title_slide(chapter, name)]]
    for section in chapter.find_all("section", recursive=False):
        if section["id"] != "references":
            columns.append(list(_column(section, name)))
    slides = "\n".join(f"<section>\n{chr(10).join(column)}\n</section>" for column in columns)
    return PAGE.format(title=html.escape(title), mathjax=mathjax, slides=slides)


def _is_math(script: Tag) -> bool:
    return "MathJax" in (script.string or "") or "mathjax" in script.get("src", "")


def _title_slide(chapter: Tag, name: str) -> str:
    outcomes = chapter.find("ul", recursive=False)
    lead = outcomes.find_previous_sibling("p")
    return _slide(name, chapter.h1, [_text(lead), _text(outcomes)], address="title")


def _column(section: Tag, name: str) -> Iterator[str]:
    for part in [section, *section.find_all("section", recursive=False)]:
        above = section.h2.decode_contents() if part is not section else ""
        address = part["id"]
        for slide in packed(blocks(part)):
            yield _slide(name, part.find(["h2", "h3"]), slide, part["id"], address, above)
            address = ""


def _slide(
    name: str,
    heading: Tag,
    content: list[Block],
    section: str = "",
    address: str = "",
    above: str = "",
) -> str:
    inside, held = [], False
    for block in content:
        # the answer to a prediction waits for the next press, and what follows it waits, too
        if block.kind == "thing" and any("Predict first" in text for text in inside):
            held = True
        inside.append(f'<div class="fragment">{block.html}</div>' if held else block.html)
    identity = f' id="{address}"' if address else ""  # the slide's own address, #/address
    small = f"<small>{above}</small>" if above else ""
    text = f'<a href="../notebooks/{name}.html#{section}">text</a>'
    title = f"<h2>{small}{heading.decode_contents()}{text}</h2>"
    return "\n".join([f"<section{identity}>", title, *inside, "</section>"])


def write(site: Path) -> list[Path]:
    """Write the decks of all chapters of a built site, and their index.

    Args:
        site: the folder of the pages.

    Returns:
        The decks, in the order of the book.

    Raises:
        SystemExit: if a chapter has not been built.
    """
    folder, items, decks = site / "slides", [], []
    folder.mkdir(exist_ok=True)
    for file in toc_files():
        if not file.startswith("notebooks/"):
            continue
        page = site / f"{file}.html"
        if not page.is_file():
            raise SystemExit(f"expected {page}; build the site first: make book")
        slides = deck(page.read_text(encoding="utf-8"), page.stem)
        decks.append(folder / page.name)
        decks[-1].write_text(slides, encoding="utf-8")
        title = re.search(r"<title>(.*): slides</title>", slides).group(1)
        items.append(f'<li><a href="{page.name}">{title}</a></li>')
    (folder / "index.html").write_text(INDEX.format(items="\n".join(items)), encoding="utf-8")
    return decks


def main() -> None:
    """Write all decks and say where they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "_build")
    site = parser.parse_args().out.resolve() / "html"
    write(site)
    index = (site / "slides" / "index.html").as_uri()
    print(f"\nThe slides are ready. Open them in a browser:\n\n    {index}\n")


if __name__ == "__main__":
    main()
