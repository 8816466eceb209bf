"""The tools that keep notebooks and build: each rule fires, canonical form is stable."""

from __future__ import annotations

import os

import nbformat
import pytest

from tools import build_site, needs, notebooks

NAME = "01_trial"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small tree with a configuration, contents and one chapter that keeps every rule."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book").mkdir()
    config = "repository: {url: https://github.com/somebody/something}\n"
    (tmp_path / "_config.yml").write_text(config, encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(
        f"root: book/index\nparts:\n  - chapters:\n      - file: notebooks/{NAME}\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    path = notebooks.new(NAME, "Trial")
    notebook = notebooks.read(path)
    notebook.cells[2].source += "\n\n" + "word " * notebooks.MIN_WORDS
    for value in range(notebooks.MIN_CHECKED):
        cell = nbformat.v4.new_code_cell(f"{notebooks.CHECKED}\nprint({value})", id=f"c{value}")
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"{value}\n")]
        notebook.cells.insert(5, cell)
    notebooks.write(path, notebooks.canonical(notebook))
    return path


def changed(path, change):
    """Apply ``change`` to the notebook at ``path``, and list what is then wrong."""
    notebook = notebooks.read(path)
    change(notebook)
    notebooks.write(path, notebooks.canonical(notebook))
    return notebooks.problems(path)


def add(source, **metadata):
    """A change that adds a code cell."""

    def change(notebook):
        cell = nbformat.v4.new_code_cell(source, metadata=metadata, id="added")
        notebook.cells.insert(6, cell)

    return change


def edit(index, source):
    """A change that replaces a cell's source."""

    def change(notebook):
        notebook.cells[index].source = source

    return change


def test_a_good_chapter_has_no_problems(course):
    assert notebooks.problems(course) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (add("value = 1\n" * 16), "16 lines of code"),
        (add("value = 1\n" * 26, tags=["hide-input"]), "26 lines of code"),
        (add("1 / 0", tags=["raises-exception"]), "forbidden tag"),
        (add("# NBVAL_SKIP\n1"), "forbidden word"),
        (add('open("/home/me/sound.wav")'), "path of somebody's machine"),
        (add("# NBVAL_CHECK_OUTPUT\nprint(1)"), "checked cell without output"),
        (add("  "), "is empty"),
        (edit(0, "# 2. Trial"), "does not start with '# 1. '"),
        (edit(1, "import lib"), "set-up cell differs"),
        (edit(2, "Nothing to hear."), "missing sections: What you will hear"),
        (edit(2, "## What you will hear"), "words of prose"),
        (edit(2, ":::{note}\n:::"), "MyST directive"),
        (edit(2, "## What you will hear\n{cite:p}`key`"), "outside the References"),
        (edit(3, "print(1)"), "no player"),
        (lambda notebook: notebook.cells.pop(5), "checked cells, expected at least"),
        (lambda notebook: notebook.cells.pop(0), "the first cell is not the title"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_rule_fires(course, change, expected):
    assert any(expected in problem for problem in changed(course, change))


def test_a_notebook_that_is_not_canonical_is_named(course):
    course.write_text(course.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert notebooks.problems(course) == ["not canonical: run tools/notebooks.py canonicalise"]


def test_a_notebook_outside_the_contents_is_named(course):
    (notebooks.ROOT / "_toc.yml").write_text("root: book/index\n", encoding="utf-8")
    assert notebooks.problems(course) == ["not in _toc.yml"]


def test_canonical_form_drops_what_varies_and_keeps_what_is_checked():
    checked = nbformat.v4.new_code_cell(
        "# NBVAL_CHECK_OUTPUT\n1", execution_count=7, metadata={"execution": {"started": "now"}}
    )
    checked.outputs = [
        nbformat.v4.new_output("execute_result", {"text/plain": "1"}, execution_count=7)
    ]
    free = nbformat.v4.new_code_cell("1", execution_count=8, metadata={"tags": ["hide-input"]})
    free.outputs = [nbformat.v4.new_output("stream", name="stdout", text="1")]
    before = nbformat.v4.new_notebook(
        cells=[checked, free],
        metadata={"widgets": {}, "kernelspec": {"name": "mine", "display_name": "Mine"}},
    )
    after = notebooks.canonical(before)
    assert after.cells[0].execution_count == 1
    assert after.cells[0].outputs[0].execution_count == 1
    assert after.cells[0].metadata == {}
    assert after.cells[1].outputs == [] and after.cells[1].execution_count is None
    assert after.cells[1].metadata == {"tags": ["hide-input"]}
    assert after.metadata == notebooks.NOTEBOOK_METADATA
    assert [cell.id for cell in after.cells] == [checked.id, free.id]
    assert notebooks.canonical(after) == after
    nbformat.validate(after)


def test_refresh_stores_the_checked_outputs_only(course):
    notebook = notebooks.read(course)
    sources = ("# NBVAL_CHECK_OUTPUT\nprint(6 * 7)", "print('free')")
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebooks.write(course, notebook)
    notebooks.refresh(course)
    checked, free = notebooks.read(course).cells
    assert checked.outputs[0].text == "42\n" and free.outputs == []


def test_new_never_overwrites(course):
    with pytest.raises(SystemExit, match="exists already"):
        notebooks.new(NAME, "Again")


def test_address_reaches_notebooks_and_texts(course):
    root = notebooks.ROOT
    old, new = "https://github.com/somebody/something", "https://github.com/school/course"
    (root / "CITATION.cff").write_text(f'repository-code: "{old}"\n', encoding="utf-8")
    for name in ("README.md", "pyproject.toml", "book/how_to_use.md"):
        (root / name).write_text(f"clone {old}", encoding="utf-8")
    config = (root / "_config.yml").read_text(encoding="utf-8").replace(old, new)
    (root / "_config.yml").write_text(config, encoding="utf-8")
    assert any("Colab link differs" in problem for problem in notebooks.problems(course))

    assert notebooks.main(["address"]) == 0

    assert notebooks.problems(course) == []
    for name in ("README.md", "pyproject.toml", "book/how_to_use.md", "CITATION.cff"):
        text = (root / name).read_text(encoding="utf-8")
        assert new in text and old not in text


def test_the_site_is_published_where_the_configuration_says(course):
    assert notebooks.published() == "https://somebody.github.io/something"
    config = notebooks.ROOT / "_config.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text + "html: {baseurl: https://sound.school/}\n", encoding="utf-8")
    assert notebooks.published() == "https://sound.school"


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs os.wait4")
def test_what_a_chapter_needs_is_counted_and_measured(course, tmp_path, monkeypatch):
    pytest.importorskip("nbconvert")
    monkeypatch.setattr(needs, "TABLE", tmp_path / "needs.csv")
    notebook = notebooks.read(course)
    notebook.cells = [
        nbformat.v4.new_markdown_cell("**1. See** (10 minutes). Four words."),
        nbformat.v4.new_markdown_cell("**2. Change** (20 minutes). One."),
        nbformat.v4.new_code_cell("held = bytearray(300_000_000)"),
    ]
    notebooks.write(course, notebook)
    words, minutes = needs.contents(course)
    assert (words, minutes) == (11, 30)
    seconds, memory = needs.run(course, "smoke")
    assert 0.1 < seconds < 60 and 0.3 < memory < 4  # GB, of the kernel and its children
    other = {"02_gone": ["[2](../notebooks/02_gone.ipynb)", "1"]}
    needs.write(other | {NAME: [f"[1](../notebooks/{NAME}.ipynb)", "12"]})
    assert needs.rows() == {NAME: [f"[1](../notebooks/{NAME}.ipynb)", "12"]}
    notebook.cells[-1].source = "1 / 0"
    notebooks.write(course, notebook)
    with pytest.raises(SystemExit, match="does not run under the budget smoke"):
        needs.run(course, "smoke")


def test_outputs_are_forgotten_when_the_library_changes(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "requirements.txt").write_text("torch==1\n", encoding="utf-8")
    module, build = tmp_path / "lib" / "stft.py", tmp_path / "_build"
    module.write_text("hop = 1\n", encoding="utf-8")

    def kept(budget: str) -> bool:
        cache = build / ".jupyter_cache"
        cache.mkdir(parents=True, exist_ok=True)
        build_site.forget_stale_outputs(build, build_site.fingerprint(budget, tmp_path))
        return cache.exists()

    assert not kept("cpu")
    assert kept("cpu")
    assert not kept("smoke")
    assert kept("smoke")
    module.write_text("hop = 2\n", encoding="utf-8")
    assert not kept("smoke")
