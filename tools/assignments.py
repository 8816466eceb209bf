"""Keep the assignments in one form, and in step with the chapters.

    new 16_dprnn               an assignment from the exercises of a chapter, without solutions
    refresh [NAME ...]         take texts and code from the chapters, write nbgrader's metadata
    check [NAME ...]           every rule, every breach

An assignment is ``notebooks/exercises/NAME/NAME.ipynb``. Write in it what is its own: solutions
between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` below the chapter's code, hidden tests
between ``### BEGIN HIDDEN TESTS`` and ``### END HIDDEN TESTS``, points (``# 3 points`` behind a
check, ``(4 points)`` in an answer), at the end a question that is graded by hand, with a rubric in
its solution: lines such as ``- 2: hears that ...``. Cells with more given code may stand anywhere.
What is shared with the chapter is found by its cells' ids and copied from there.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib.checks import names
from lib.course.assignments import HIDDEN_TESTS, SOLUTION, answered, checked, kind, parts
from tools.notebooks import NOTEBOOKS, canonical, chapters, read, setup_source, write

EXERCISES = NOTEBOOKS / "exercises"
CHECK = re.compile(r'check\(\s*"(ch\d\d)\.(\w+)"')
TITLE = """\
{title}: assignment

Write your answers in the cells that are open. You may add cells, with imports or with trials. \
Everything else, the tests included, is put back as it was before your work is graded, and \
graded with further tests. Then run everything from the top, save, and hand in this notebook."""


def assignments() -> list[Path]:
    """Every assignment, in order."""
    return sorted(EXERCISES.glob("*/*.ipynb"))


def chapter_of(name: str) -> Path:
    """The chapter that an assignment belongs to."""
    return NOTEBOOKS / f"{name}.ipynb"


def shared(name: str) -> dict[str, nbformat.NotebookNode]:
    """The cells of a chapter that its assignment has as well, by id."""
    cells = read(chapter_of(name)).cells
    heading = cells[0].source.partition("\n")[0]
    first = next(i for i, cell in enumerate(cells) if cell.source.startswith("## Exercises"))
    last = next(i for i, cell in enumerate(cells) if cell.source.startswith("## References"))
    title = nbformat.v4.new_markdown_cell(TITLE.format(title=heading), id="title")
    setup = nbformat.v4.new_code_cell(setup_source(), id="setup")
    return {cell.id: cell for cell in [title, setup, *cells[first:last]]}


def new(name: str) -> Path:
    """Make an assignment that has everything of the chapter's, and room for the rest."""
    path = EXERCISES / name / f"{name}.ipynb"
    if path.exists():
        raise SystemExit(f"{path.name} exists already")
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = []
    for cell in shared(name).values():
        cells.append(cell)
        found = CHECK.findall(cell.source) if cell.cell_type == "code" else []
        if found:
            cell.source += f"\n### BEGIN {SOLUTION}\n### END {SOLUTION}"
        for chapter, exercise in found:
            source = (
                "from lib.checks import check\n\n"
                f'assert check("{chapter}.{exercise}", {exercise})  # 3 points\n'
                f"### BEGIN {HIDDEN_TESTS}\n### END {HIDDEN_TESTS}"
            )
            cells.append(code(source, id=f"{exercise.replace('_', '-')}-test"))
    cells.append(markdown("**Listen.**", id="question"))
    answer = f"*Your answer (4 points):*\n\n### BEGIN {SOLUTION}\n- 4:\n### END {SOLUTION}"
    cells.append(markdown(answer, id="answer"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, refreshed(nbformat.v4.new_notebook(cells=cells), name))
    return path


def refreshed(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """A copy with what the chapter says now, and with nbgrader's metadata."""
    notebook, theirs = canonical(notebook), shared(name)
    for cell in notebook.cells:
        if cell.id in theirs:
            mark = re.search(rf"^.*BEGIN {SOLUTION}", cell.source, flags=re.M)
            own = cell.source[mark.start() :] if mark else ""
            cell.source = f"{theirs[cell.id].source}\n{own}".rstrip()
        cell.metadata["nbgrader"] = _metadata(cell, f"ch{name[:2]}")
    return canonical(notebook)


def _metadata(cell: nbformat.NotebookNode, chapter: str) -> dict:
    """What the text of a cell says that it is for."""
    solution, test = f"BEGIN {SOLUTION}" in cell.source, f"BEGIN {HIDDEN_TESTS}" in cell.source
    answer = solution and cell.cell_type == "markdown"
    label = cell.id
    if cell.cell_type == "code" and (solution or test):
        label = CHECK.search(cell.source)[2] + ("_test" if test else "")
    metadata = {
        "grade": test or answer,
        "grade_id": f"{chapter}_{re.sub('[^A-Za-z0-9]', '_', label)}",
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if test or answer:
        points = re.search(r"(\d+) points?\b", parts(cell.source, SOLUTION)[0])
        metadata["points"] = int(points[1]) if points else 0
    return metadata


def problems(path: Path) -> list[str]:
    """Every rule that an assignment breaks, one line each."""
    name, notebook = path.stem, read(path)
    found, by_kind = [], {one: [] for one in ("given", "solution", "test", "answer")}
    for cell in notebook.cells:
        by_kind[kind(cell)].append(cell)
    if notebook != refreshed(notebook, name):
        found.append("not as the chapter and its own text say: run tools/assignments.py refresh")
    if missing := shared(name).keys() - {cell.id for cell in notebook.cells}:
        found.append(f"without the chapter's cells {', '.join(sorted(missing))}")
    tested = [checked(cell)[0] for cell in by_kind["test"]]
    if sorted(tested) != sorted(names(f"ch{name[:2]}")):
        found.append(f"tests {', '.join(tested)}: not each exercise of the chapter once")
    handed_over = {one for cell in by_kind["test"] for one in checked(cell)[1]}
    if unknown := handed_over - {*answered(notebook)}:
        found.append(f"tests take {', '.join(sorted(unknown))}, which no solution defines")
    for cell in (*by_kind["solution"], *by_kind["answer"]):
        if not parts(cell.source, SOLUTION)[1].strip():
            found.append(f"{cell.id}: no solution")
    for cell in (*by_kind["test"], *by_kind["answer"]):
        if not cell.metadata.nbgrader.points:
            found.append(f"{cell.id}: no points")
    found += [
        f"{cell.id}: no hidden tests"
        for cell in by_kind["test"]
        if not parts(cell.source, HIDDEN_TESTS)[1].strip()
    ]
    if not by_kind["answer"]:
        found.append("no question that is graded by hand")
    for cell in by_kind["answer"]:
        rubric = re.findall(r"^- (\d+): ", parts(cell.source, SOLUTION)[1], flags=re.M)
        if sum(map(int, rubric)) != cell.metadata.nbgrader.points:
            found.append(f"{cell.id}: the points of its rubric are not those of the question")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if every assignment keeps the rules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("new").add_argument("name", choices=[path.stem for path in chapters()])
    for command in ("refresh", "check"):
        commands.add_parser(command).add_argument("names", nargs="*")
    options = parser.parse_args(arguments)
    if options.command == "new":
        print(new(options.name))
        return 0
    broken = 0
    for path in assignments():
        if options.names and path.stem not in options.names:
            continue
        if options.command == "refresh":
            write(path, refreshed(read(path), path.stem))
        else:
            for problem in problems(path):
                broken += 1
                print(f"{path.name}: {problem}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
