"""The assignments: their form, their hidden tests, and how a broken notebook is put together."""

from __future__ import annotations

import importlib
import math
import random
import time

import nbformat
import numpy as np
import pytest
import torch

from lib.course.assignments import (
    HIDDEN_TESTS,
    answered,
    checked,
    grade_id,
    kind,
    leaks,
    parse,
    parts,
    released,
    repaired,
    resembles,
)
from lib.errors import InputError
from tools import assignments as tool
from tools.notebooks import read

SOURCES = {path.stem: read(path) for path in tool.assignments()}
TESTS = [
    pytest.param(name, cell, id=checked(cell)[0])
    for name, source in SOURCES.items()
    for cell in source.cells
    if kind(cell) == "test"
]
NAME = "16_dprnn"


def fitting(answer, names):
    """An answer kept for a check, by the names that a hidden test uses, if it has that form."""
    if len(names) == 1:
        return {names[0]: answer}
    if isinstance(answer, (tuple, list)) and len(answer) == len(names):
        return dict(zip(names, answer, strict=True))
    return None


def passes(hidden, answers):
    namespace = {"__name__": "hidden_tests", **answers}
    for draw in (torch.manual_seed, np.random.seed, random.seed):
        draw(0)
    try:
        exec(compile(hidden, "hidden tests", "exec"), namespace)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("path", tool.assignments(), ids=lambda path: path.stem)
def test_assignment_keeps_the_rules(path):
    assert tool.problems(path) == []


@pytest.mark.parametrize(("name", "cell"), TESTS)
def test_hidden_tests_tell_right_from_wrong(name, cell):
    exercise, names = checked(cell)
    solutions = importlib.import_module(f"solutions.ch{name[:2]}")
    hidden = parts(cell.source, HIDDEN_TESTS)[1]
    right = [fitting(answer, names) for answer in solutions.RIGHT[exercise]]
    wrong = [fitting(answer, names) for answer, _ in solutions.WRONG[exercise]]
    assert all(passes(hidden, answers) for answers in right)
    assert sum(not passes(hidden, answers) for answers in wrong if answers) >= 2


class Agreeable:
    """Has every attribute, a few items, and answers each call with itself."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, place):
        if isinstance(place, int) and place > 3:
            raise IndexError
        return self

    def __call__(self, *arguments, **keywords):
        return self


@pytest.mark.parametrize(("name", "cell"), TESTS)
def test_hidden_tests_fall_for_no_empty_answer(name, cell):
    # the check that students know runs beside their code, so nobody may lean on it
    nan, nothing = math.nan, torch.zeros(0)
    values = [None, True, 0, nan, math.inf, "", {}, [], (), nothing, torch.tensor(nan)]
    values += [(one, one) for one in (nan, [], torch.tensor(nan))] + [(nan,) * 3, Agreeable()]
    functions = [lambda *_, value=value, **__: value for value in values]
    functions += [lambda first, *_, **__: first, lambda *_, **__: functions[0]]
    hidden = parts(cell.source, HIDDEN_TESTS)[1]
    for answer in [*values, *functions]:
        assert not passes(hidden, dict.fromkeys(answered(SOURCES[name]), answer)), answer


# ------------------------------------------------------------------ release


def test_a_release_has_the_chapters_cells_and_no_solution():
    source = SOURCES[NAME]
    release = released(source)
    theirs = {cell.id: cell.source for cell in read(tool.chapter_of(NAME)).cells}
    both = [cell for cell in release.cells if cell.id in theirs and cell.id not in ("title",)]
    assert len(both) == 7
    assert all(cell.source == theirs[cell.id] for cell in both)
    assert leaks(source, release) == []
    text = nbformat.writes(release)
    assert "SOLUTION" not in text and "HIDDEN" not in text and "OneWay" not in text


@pytest.mark.parametrize("place", ["source", "output", "metadata"])
def test_a_leak_is_found_wherever_it_is(place):
    source = SOURCES[NAME]
    release = released(source)
    line = "    return 2 * round((2 * frames) ** 0.5 / 2)"
    if place == "source":
        release.cells[0].source += f"\n\nHint:\n{line}"
    elif place == "output":
        output = nbformat.v4.new_output("stream", name="stdout", text=line)
        next(cell for cell in release.cells if cell.cell_type == "code").outputs = [output]
    else:
        release.metadata["old"] = {"cells": [line]}
    assert leaks(source, release) == [line.strip()]


def test_a_mark_without_its_end_is_refused():
    source = nbformat.from_dict(SOURCES[NAME])
    cell = next(cell for cell in source.cells if kind(cell) == "solution")
    cell.source = cell.source.replace("### END SOLUTION", "")
    with pytest.raises(InputError, match="marks in pairs"):
        released(source)


# ------------------------------------------------------------------ repair


@pytest.fixture
def release():
    return released(SOURCES[NAME])


@pytest.fixture
def submission(release):
    """The release with something in each open cell, as a student hands it in."""
    notebook = nbformat.from_dict(release)
    for cell in notebook.cells:
        if kind(cell) in ("solution", "answer"):
            cell.source += f"\n\n# mine: {grade_id(cell)}"
    return notebook


def answers(notebook):
    return {grade_id(c): c.source for c in notebook.cells if kind(c) in ("solution", "answer")}


def bare(cell):
    cell = nbformat.from_dict(cell)
    cell.metadata, cell.id = nbformat.from_dict({}), nbformat.v4.new_raw_cell().id
    return cell


def strip_metadata(notebook):
    notebook.cells = list(map(bare, notebook.cells))


def test_what_needs_no_repair_is_left_alone(release, submission):
    notebook, mended, doubtful = repaired(release, submission)
    assert (mended, doubtful) == ([], [])
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in submission.cells]
    assert [cell.metadata for cell in notebook.cells] == [cell.metadata for cell in release.cells]


@pytest.mark.parametrize("shuffled", [False, True])
def test_lost_metadata_are_found_again(release, submission, shuffled):
    right = answers(submission)
    strip_metadata(submission)
    if shuffled:  # the texts between the exercises are gone, too
        kept = [cell for cell in submission.cells if "# mine" in cell.source]
        submission.cells = [nbformat.v4.new_code_cell("import numpy as np"), *kept]
    notebook, mended, doubtful = repaired(release, submission)
    assert answers(notebook) == right
    assert doubtful == [] and len([line for line in mended if "its metadata" in line]) >= 4
    found = [grade_id(cell) for cell in notebook.cells if grade_id(cell)]
    assert found == [grade_id(cell) for cell in release.cells]


def test_a_copy_is_counted_once(release, submission):
    right = answers(submission)
    place = next(i for i, cell in enumerate(submission.cells) if kind(cell) == "solution")
    for source in (release.cells[place].source, submission.cells[place].source):
        copy = nbformat.from_dict(submission.cells[place])
        copy.source = source
        submission.cells.insert(place + 1, copy)
    notebook, mended, doubtful = repaired(release, submission)
    assert answers(notebook) == right and doubtful == []
    assert any("3 copies" in line for line in mended)
    submission.cells[place].source += "\nand another idea"
    assert any("different copies" in line for line in repaired(release, submission)[2])


def test_a_lost_answer_is_said_aloud(release, submission):
    lost = next(cell for cell in submission.cells if kind(cell) == "solution")
    submission.cells.remove(lost)
    notebook, _, doubtful = repaired(release, submission)
    assert doubtful == [f"{grade_id(lost)}: lost, nothing in its place is like it"]
    assert "# mine" not in answers(notebook)[grade_id(lost)]


def test_tests_are_put_back_and_own_cells_stay(release, submission):
    tests = [i for i, cell in enumerate(submission.cells) if kind(cell) == "test"]
    submission.cells[tests[0]].source = "pass  # it was too strict"
    given = next(cell for cell in submission.cells if cell.id.startswith("given"))
    given.source += "\nimport numpy as np"
    del submission.cells[tests[1]]
    submission.cells.append(nbformat.v4.new_code_cell("plot()"))
    notebook, mended, doubtful = repaired(release, submission)
    by_name = {grade_id(cell): cell.source for cell in notebook.cells}
    assert all(by_name[grade_id(c)] == c.source for c in release.cells if kind(c) == "test")
    assert doubtful == [] and len(mended) == 2
    own = [cell.source for cell in notebook.cells if grade_id(cell) is None]
    assert own == [given.source, "pass  # it was too strict", "plot()"]
    assert all(cell.metadata == {} for cell in notebook.cells if grade_id(cell) is None)


def test_points_cannot_be_written_into_a_notebook(release, submission):
    for cell in submission.cells:
        cell.metadata.nbgrader.points = 1000
        cell.metadata.nbgrader.grade = True
    notebook, _, _ = repaired(release, submission)
    assert [cell.metadata for cell in notebook.cells] == [cell.metadata for cell in release.cells]


def test_another_notebook_is_no_submission(release, submission):
    strip_metadata(submission)
    assert resembles(release, submission)
    assert not resembles(release, read(tool.chapter_of("09_ideal_masks")))
    strangers = [cell for cell in release.cells if cell.id in ("setup", "given-1", "answer")]
    assert not resembles(release, nbformat.v4.new_notebook(cells=list(map(bare, strangers))))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{}", b"\xff\xfe", b"[" * 5000, b'{"nbformat": ' + b"9" * 5000 + b"}"),
        b'{"cells": 3, "nbformat": 4}',
        b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": "x"}',
        nbformat.writes(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_raw_cell() for _ in range(1001)])
        ).encode(),
    ],
    ids=range(9),
)
def test_no_notebook_is_one_clear_error(data):
    with pytest.raises(InputError, match=r"mine\.ipynb: expected a notebook, got"):
        parse(data, "mine.ipynb")


def test_half_a_letter_is_none(submission):
    text = nbformat.writes(submission).replace("# mine", "\\ud83d\\ude00 \\ud800")
    written = nbformat.writes(parse(text, "mine.ipynb"))
    assert written.encode("utf-8").decode().count("😀 ?") == 4


def test_a_cell_of_any_size_is_compared_at_once(release, submission):
    strip_metadata(submission)
    for cell in submission.cells:
        cell.source = "def f(x):\n" * 50_000
    started = time.monotonic()
    repaired(release, submission)
    assert time.monotonic() - started < 20


# ------------------------------------------------------------------ the tool


def test_refresh_follows_the_chapter(tmp_path, monkeypatch):
    (tmp_path / NAME).mkdir()
    path = tmp_path / NAME / f"{NAME}.ipynb"
    notebook = nbformat.from_dict(SOURCES[NAME])
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.id == "exercises":
            cell.source = "an older text"
    tool.write(path, notebook)
    monkeypatch.setattr(tool, "EXERCISES", tmp_path)
    assert any("refresh" in problem for problem in tool.problems(path))
    assert tool.main(["refresh"]) == 0
    assert tool.problems(path) == [] and tool.main(["check"]) == 0
    assert read(path) == SOURCES[NAME]
    with pytest.raises(SystemExit, match="exists already"):
        tool.new(NAME)


def test_a_new_assignment_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "EXERCISES", tmp_path)
    assert tool.main(["new", NAME]) == 0
    assert tool.main(["check"]) == 1
    printed = capsys.readouterr().out
    for text in ("no solution", "no hidden tests"):
        assert printed.count(text) >= 3
