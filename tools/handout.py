"""A chapter as a PDF to hand out, printed by Chromium from the built site.

    python tools/handout.py 16 [--out _build]

reads ``OUT/html`` and writes ``OUT/handouts/16_dprnn.pdf``. Paper does not play: in the place of
each player, widget and quiz stands its name, as a link to its section of the published page. Hidden
code stays hidden; links to other pages lead to the published ones.
"""

from __future__ import annotations

import argparse
import html
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.chromium import executable
from tools.notebooks import ROOT, published, toc_files

# What stands inside of a widget is shown where scripts do not run, and so on paper.
ON_PAPER = """async (address) => {
  await MathJax.startup.promise;
  for (const link of document.querySelectorAll("article a[href]")) {
    if (!link.getAttribute("href").startsWith("#"))
      link.href = new URL(link.getAttribute("href"), address).href;
  }
  for (const element of document.querySelectorAll("article *")) {
    if (!element.localName.startsWith("unmix-")) continue;
    const section = element.closest("section[id]").id;
    const name = element.textContent.replace(/ Run this cell .*/, "");
    const link = Object.assign(document.createElement("a"), {
      className: "sound", href: `${address}#${section}`, textContent: `▶ ${name}` });
    element.replaceWith(link);
  }
}"""


def find(chapter: str) -> str:
    """The name of a chapter from its number or name.

    Raises:
        SystemExit: if the book has no such chapter.
    """
    names = [Path(file).name for file in toc_files() if file.startswith("notebooks/")]
    for name in names:
        if chapter == name or chapter.zfill(2) == name[:2]:
            return name
    numbers = ", ".join(str(int(name[:2])) for name in names)
    raise SystemExit(f"CHAPTER: expected one of {numbers}, got {chapter!r}")


def handout(name: str, out: Path) -> Path:
    """Print a chapter of the site in ``out/html``.

    Args:
        name: of the chapter, such as ``16_dprnn``.
        out: the folder of builds.

    Returns:
        The PDF.

    Raises:
        SystemExit: if the chapter has not been built.
    """
    page_file = out / "html" / "notebooks" / f"{name}.html"
    if not page_file.is_file():
        raise SystemExit(f"expected {page_file}; build the site first: make book")
    from playwright.sync_api import sync_playwright

    pdf = out / "handouts" / f"{name}.pdf"
    pdf.parent.mkdir(exist_ok=True)
    address = f"{published()}/notebooks/{name}.html"
    foot = (
        '<p style="width: 100%; text-align: center; font: 8px sans-serif">'
        f'{html.escape(address)} · <span class="pageNumber"></span></p>'
    )
    with sync_playwright() as playwright:
        path = executable()
        browser = playwright.chromium.launch(
            executable_path=path, channel=None if path else "chrome", args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.set_default_timeout(600_000)  # a slow machine is no failure
        page.add_init_script("customElements.define = () => {}")  # widgets need not start
        page.goto(page_file.as_uri())
        page.evaluate(ON_PAPER, address)
        page.pdf(
            path=pdf,
            format="A4",
            scale=0.8,
            margin={"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"},
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=foot,
            outline=True,
            tagged=True,
        )
        browser.close()
    return pdf


def main() -> None:
    """Print one chapter and say where it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chapter")
    parser.add_argument("--out", type=Path, default=ROOT / "_build")
    options = parser.parse_args()
    print(handout(find(options.chapter), options.out.resolve()))


if __name__ == "__main__":
    main()
