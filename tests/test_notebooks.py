"""The guard: every chapter keeps the rules, or says which one it breaks."""

from __future__ import annotations

import pytest

from tools.notebooks import ROOT, chapters, problems, repository, toc_files


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_chapter_keeps_the_rules(path):
    assert problems(path) == []


def test_pages_of_the_contents_and_notebooks_are_the_same():
    listed = {page for page in toc_files() if page.startswith("notebooks/")}
    assert listed == {f"notebooks/{path.stem}" for path in chapters()}


def test_every_page_of_the_book_is_in_the_contents():
    assert {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")} <= set(toc_files())


@pytest.mark.parametrize("name", ["README.md", "CITATION.cff", "pyproject.toml"])
def test_address_is_the_one_of_the_configuration(name):
    assert repository() in (ROOT / name).read_text(encoding="utf-8")
