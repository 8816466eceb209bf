"""Assignments as notebooks: a source with solutions, its release, and what comes back.

A source is a notebook in nbgrader's format. Solutions stand between ``### BEGIN SOLUTION`` and
``### END SOLUTION``, hidden tests between ``### BEGIN HIDDEN TESTS`` and ``### END HIDDEN TESTS``.
A test cell starts with the check that students know::

    assert check("ch16.fold", (fold, unfold))  # 3 points

Everything that is no solution is locked: a submission is rebuilt on its release before it is
graded, so neither lost metadata nor a changed test matters.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
import warnings
from collections.abc import Callable, Iterable

import nbformat
from nbformat import NotebookNode

from lib.errors import InputError, require_package

SOLUTION, HIDDEN_TESTS = "SOLUTION", "HIDDEN TESTS"
# what nbgrader puts in a solution's place: nothing, since what students start from stands above it
STUBS = {"code_stub": {"python": ""}, "text_stub": ""}
_ALIKE = 0.4  # cells in the same place are the same cell if this much of their text is
_COMPARED = 2_000  # letters
_LARGEST, _MOST_CELLS = 20_000_000, 1_000


def parse(data: bytes | str, name: str) -> NotebookNode:
    """Read a notebook that anybody may have made.

    Args:
        data: the content of the file.
        name: of the file, for the message.

    Returns:
        The notebook, as nbformat 4.

    Raises:
        InputError: if it is none.

    Example:
        >>> parse(b"print('hello')", "hello.ipynb")
        Traceback (most recent call last):
        ...
        lib.errors.InputError: hello.ipynb: expected a notebook, got something else (...)
    """
    try:
        if len(data) > _LARGEST:
            raise ValueError(f"{len(data):,} bytes")
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        # JSON can hold half a letter, and no file can
        text = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace").decode()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ids that are missing or used twice; they get new ones
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
        if len(notebook.cells) > _MOST_CELLS:
            raise ValueError(f"{len(notebook.cells):,} cells")
    except nbformat.ValidationError as error:
        reason = str(error).partition("\n")[0][:120]
        raise InputError(f"{name}: expected a notebook, got a damaged one ({reason})") from None
    except Exception as error:  # nbformat has many for what it does not expect
        reason = (str(error) or type(error).__name__).partition("\n")[0][:120]
        raise InputError(f"{name}: expected a notebook, got something else ({reason})") from None
    return notebook


def parts(source: str, mark: str) -> tuple[str, str]:
    """What stands outside of a cell's marked regions, and what inside.

    Args:
        source: of the cell.
        mark: ``SOLUTION`` or ``HIDDEN_TESTS``.

    Returns:
        Two texts, without the marks.

    Example:
        >>> parts("given = 1\\n### BEGIN SOLUTION\\nanswer = 2\\n### END SOLUTION", SOLUTION)
        ('given = 1', 'answer = 2')
    """
    outside, inside, here = [], [], False
    for line in source.split("\n"):
        if f"BEGIN {mark}" in line or f"END {mark}" in line:
            here = f"BEGIN {mark}" in line
        else:
            (inside if here else outside).append(line)
    return "\n".join(outside), "\n".join(inside)


def kind(cell: NotebookNode) -> str:
    """What a cell of a source or a release is for.

    Args:
        cell: with its metadata.

    Returns:
        ``"solution"`` (code to write), ``"answer"`` (graded by hand), ``"test"``, or ``"given"``.

    Example:
        >>> kind(nbformat.v4.new_code_cell("import torch"))
        'given'
    """
    marks = cell.metadata.get("nbgrader", {})
    if marks.get("solution"):
        return "answer" if marks.get("grade") else "solution"
    return "test" if marks.get("grade") else "given"


def grade_id(cell: NotebookNode) -> str | None:
    """nbgrader's name of a cell, or None.

    Args:
        cell: any.

    Example:
        >>> grade_id(nbformat.v4.new_markdown_cell("text")) is None
        True
    """
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else None


def checked(cell: NotebookNode) -> tuple[str, list[str]]:
    """Which check a test cell calls, and the names that it hands over.

    Args:
        cell: a test.

    Returns:
        For example ``("ch16.fold", ["fold", "unfold"])``.

    Raises:
        InputError: if there is no ``check("...", name)`` or ``check("...", (name, name))``.

    Example:
        >>> checked(nbformat.v4.new_code_cell('assert check("ch16.fold", (fold, unfold))'))
        ('ch16.fold', ['fold', 'unfold'])
    """
    for node in ast.walk(ast.parse(cell.source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
            name, answer = node.args
            names = answer.elts if isinstance(answer, ast.Tuple) else [answer]
            return name.value, [one.id for one in names]
    raise InputError(f"{grade_id(cell)}: expected a call of check, got none")


def answered(source: NotebookNode) -> list[str]:
    """The names that a source's solutions define and its tests use: a hidden test gets no others.

    Args:
        source: with everything.

    Returns:
        The names, sorted.

    Example:
        >>> answered(nbformat.v4.new_notebook())
        []
    """
    defined, used = set(), set()
    for cell in source.cells:
        if kind(cell) == "test":
            used |= _names(ast.parse(cell.source))
        for node in ast.parse(cell.source).body if kind(cell) == "solution" else []:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                defined.add(node.name)
            elif isinstance(node, ast.Assign):
                defined |= set().union(*map(_names, node.targets))
    return sorted(defined & used)


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def released(source: NotebookNode) -> NotebookNode:
    """What students get of a source: no solutions, no hidden tests, no outputs.

    Args:
        source: the notebook with everything.

    Returns:
        A new notebook, made by nbgrader's own steps.

    Raises:
        InputError: if a mark is missing.

    Example:
        >>> region = "### BEGIN SOLUTION\\nx = 2\\n### END SOLUTION"
        >>> cell = nbformat.v4.new_code_cell("x = ...\\n" + region)
        >>> cell.metadata.nbgrader = {"grade": False, "solution": True, "locked": False,
        ...                           "grade_id": "x", "schema_version": 3}
        >>> released(nbformat.v4.new_notebook(cells=[cell])).cells[0].source
        'x = ...'
    """
    preprocessors = require_package("nbgrader.preprocessors", "the course kit", "nbgrader")
    notebook = nbformat.from_dict(source)
    config = require_package("traitlets.config", "the course kit", "traitlets").Config()
    config.ClearSolutions.update(STUBS)
    steps = ("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ClearHiddenTests")
    for step in (*steps, "ComputeChecksums"):
        try:
            notebook, _ = getattr(preprocessors, step)(config=config).preprocess(notebook, {})
        except (RuntimeError, ValueError) as error:
            raise InputError(f"the assignment: expected its marks in pairs, got {error}") from error
    for cell in notebook.cells:
        cell.source = cell.source.rstrip()
    return notebook


def leaks(source: NotebookNode, release: NotebookNode) -> list[str]:
    """Lines of solutions or hidden tests that a release has nevertheless.

    Args:
        source: with everything.
        release: what students get.

    Returns:
        The lines; none, if all is well. Imports and short lines do not count, nor does what the
        same cell shows outside of its marks.

    Example:
        >>> markdown = nbformat.v4.new_markdown_cell
        >>> secret = markdown("### BEGIN SOLUTION\\nIt is 42, of course.\\n### END SOLUTION")
        >>> hint = nbformat.v4.new_notebook(cells=[markdown("It is 42, of course.")])
        >>> leaks(nbformat.v4.new_notebook(cells=[secret]), hint)
        ['It is 42, of course.']
    """
    secret = set()
    for cell in source.cells:
        for mark in (SOLUTION, HIDDEN_TESTS):
            outside, inside = parts(cell.source, mark)
            secret |= {line for line in _telling(inside) if line not in outside}
    # outputs and metadata, too
    shown = [line for line in _texts(release) if line]
    return sorted(line for line in secret if any(line in text for text in shown))


def _telling(text: str) -> set[str]:
    lines = (line.strip() for line in text.split("\n"))
    return {line for line in lines if len(line) > 15 and not line.startswith(("import ", "from "))}


def _texts(node: object) -> Iterable[str]:
    """Every text that a notebook holds, wherever."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


def with_tests(notebook: NotebookNode, source: NotebookNode) -> NotebookNode:
    """Put a source's hidden tests back into a notebook that was rebuilt on its release.

    Args:
        notebook: the rebuilt one.
        source: with everything.

    Example:
        >>> empty = nbformat.v4.new_notebook()
        >>> with_tests(empty, empty) == empty
        True
    """
    tests = {grade_id(cell): cell.source for cell in source.cells if kind(cell) == "test"}
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        cell.source = tests.get(grade_id(cell), cell.source)
    return notebook


def scores(notebook: NotebookNode) -> dict[str, tuple[float, float]]:
    """Points of a notebook that was run, by nbgrader's rule: an error among a test's outputs is 0.

    Args:
        notebook: with outputs.

    Returns:
        For each test the points it got, and the most.

    Example:
        >>> scores(nbformat.v4.new_notebook())
        {}
    """
    return {
        grade_id(cell): (0.0 if _failed(cell) else most, most)
        for cell in notebook.cells
        if kind(cell) == "test"
        for most in [float(cell.metadata.nbgrader.points)]
    }


def first_error(notebook: NotebookNode) -> str:
    """The first error among the outputs of a notebook, in a line; empty if there is none.

    Args:
        notebook: that was run.

    Example:
        >>> first_error(nbformat.v4.new_notebook())
        ''
    """
    errors = [e for cell in notebook.cells for e in cell.get("outputs", []) if "ename" in e]
    return f"{errors[0].ename}: {errors[0].evalue}" if errors else ""


def _failed(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.outputs)


def resembles(release: NotebookNode, notebook: NotebookNode) -> bool:
    """Whether a notebook can be a submission of an assignment: something in it is of it alone.

    Args:
        release: what was handed out.
        notebook: what came.

    Example:
        >>> text = nbformat.v4.new_markdown_cell("Count the frames.")
        >>> one = nbformat.v4.new_notebook(cells=[text])
        >>> resembles(one, one), resembles(one, nbformat.v4.new_notebook())
        (True, False)
    """
    names = {grade_id(cell) for cell in release.cells} - {None}
    texts = {
        cell.source.strip()
        for cell in release.cells  # imports, and where answers go, are much alike everywhere
        if (kind(cell), cell.cell_type) != ("given", "code") and kind(cell) != "answer"
    }
    return any(grade_id(cell) in names or cell.source.strip() in texts for cell in notebook.cells)


# ------------------------------------------------------------------ what comes back


def repaired(
    release: NotebookNode, submission: NotebookNode
) -> tuple[NotebookNode, list[str], list[str]]:
    """Put a submission's answers into the release, cell by cell.

    A cell is found by nbgrader's name for it, by its id, by its text, or by its place among the
    cells that were found. Given cells and tests are the release's again; cells that were added,
    and given cells that were changed, stay where they were, as the student's own.

    Args:
        release: what was handed out.
        submission: what came back.

    Returns:
        The notebook to grade, lines on what was mended, and lines on what is lost or in doubt.

    Example:
        >>> cell = nbformat.v4.new_code_cell("x = ...")
        >>> cell.metadata.nbgrader = {"grade": False, "solution": True, "locked": False,
        ...                           "grade_id": "x", "schema_version": 3}
        >>> release = nbformat.v4.new_notebook(cells=[cell])
        >>> stripped = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 2")])
        >>> notebook, mended, doubtful = repaired(release, stripped)
        >>> notebook.cells[0].source, mended, doubtful
        ('x = 2', ['x: found by its place, its metadata were lost'], [])
    """
    match = _Match(release.cells, submission.cells)
    extra: dict[int, list[NotebookNode]] = {}
    latest = -1
    for index, cell in enumerate(submission.cells):
        latest = match.target.get(index, latest)
        if match.is_own(index) and cell.source.strip():
            extra.setdefault(latest, []).append(_own(cell))
    cells = list(extra.get(-1, []))
    for index, cell in enumerate(release.cells):
        cell = nbformat.from_dict(cell)
        if kind(cell) in ("solution", "answer") and index in match.found:
            theirs = submission.cells[match.found[index]].source
            cell.source = theirs if theirs.strip() != cell.source.strip() else cell.source
        cells += [cell, *extra.get(index, [])]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(release.metadata))
    return notebook, match.mended, match.doubtful


def _own(cell: NotebookNode) -> NotebookNode:
    """A cell that the student added, or made out of a given one."""
    new = getattr(nbformat.v4, f"new_{cell.cell_type}_cell")
    return new(cell.source)


class _Match:
    """Which cell of a submission is which of the release: ``found`` and its inverse ``target``."""

    def __init__(self, release: list[NotebookNode], cells: list[NotebookNode]) -> None:
        self.release, self.cells = release, cells
        self.found: dict[int, int] = {}
        self.target: dict[int, int] = {}
        self.mended: list[str] = []
        self.doubtful: list[str] = []
        self._by_name()
        self._by("its id", lambda cell: cell.get("id"))
        self._by("its text", lambda cell: (cell.cell_type, cell.source.strip()))
        self._by_place()
        self._report()

    def is_own(self, index: int) -> bool:
        """Whether a cell is no cell of the release, or a given one that was changed."""
        place = self.target.get(index)
        if place is None:
            return True
        written = kind(self.release[place]) in ("solution", "answer")
        return not written and not self._as_released(index, place)

    def _as_released(self, index: int, place: int) -> bool:
        return self.cells[index].source.strip() == self.release[place].source.strip()

    def _take(self, place: int, index: int) -> None:
        self.found[place], self.target[index] = index, place

    def _by_name(self) -> None:
        for place, cell in enumerate(self.release):
            name = grade_id(cell)
            copies = [i for i, one in enumerate(self.cells) if grade_id(one) == name]
            if not copies or name is None:
                continue
            changed = [i for i in copies if not self._as_released(i, place)]
            written = {self.cells[i].source.strip() for i in changed}
            self._take(place, (changed or copies)[-1])
            self.target |= dict.fromkeys(copies, place)
            if len(copies) > 1 and kind(cell) in ("solution", "answer"):
                if len(written) > 1:
                    self.doubtful.append(f"{name}: {len(copies)} different copies, the last counts")
                else:
                    self.mended.append(f"{name}: {len(copies)} copies of one cell, counted once")

    def _by(self, how: str, key: Callable[[NotebookNode], object]) -> None:
        """Take cells that agree in something that no two cells of the release share."""
        free = {}
        for index, cell in enumerate(self.cells):
            if index not in self.target and key(cell) is not None:
                free.setdefault(key(cell), index)
        for place, cell in enumerate(self.release):
            if place not in self.found and (index := free.pop(key(cell), None)) is not None:
                if self.cells[index].cell_type == cell.cell_type:
                    self._take(place, index)
                    self._mend(place, how)

    def _by_place(self) -> None:
        """Between the neighbours that were found, take the cell that is most alike."""
        for place, cell in enumerate(self.release):
            if place in self.found or kind(cell) not in ("solution", "answer"):
                continue
            first = max((self.found[one] for one in self.found if one < place), default=-1)
            last = min(
                (self.found[one] for one in self.found if one > place), default=len(self.cells)
            )
            likely = {
                index: _likeness(cell, self.cells[index])
                for index in range(first + 1, last)
                if index not in self.target and self.cells[index].cell_type == cell.cell_type
            }
            best = max(likely, key=likely.get, default=None)
            if best is not None and (likely[best] > _ALIKE or kind(cell) == "answer"):
                self._take(place, best)
                self._mend(place, "its place")

    def _mend(self, place: int, how: str) -> None:
        if kind(self.release[place]) != "given":
            name = grade_id(self.release[place])
            self.mended.append(f"{name}: found by {how}, its metadata were lost")

    def _report(self) -> None:
        for place, cell in enumerate(self.release):
            name = grade_id(cell)
            if place not in self.found:
                if kind(cell) in ("solution", "answer"):
                    self.doubtful.append(f"{name}: lost, nothing in its place is like it")
                elif kind(cell) == "test":
                    self.mended.append(f"{name}: lost, put back")
            elif kind(cell) == "test" and not self._as_released(self.found[place], place):
                self.mended.append(f"{name}: changed, put back as it was")


def _likeness(cell: NotebookNode, other: NotebookNode) -> float:
    """From 0 to 1; 1 if the other defines what this one is to define."""
    if cell.cell_type == "code" and _defined(cell.source) & _defined(other.source):
        return 1.0
    texts = cell.source[:_COMPARED], other.source[:_COMPARED]
    return difflib.SequenceMatcher(None, *texts, autojunk=False).ratio()


def _defined(source: str) -> set[str]:
    """Names that code binds at its top level; by its text, since it may be broken."""
    pairs = re.findall(r"^(?:def|class) +(\w+)|^(\w+)(?=(?:, *\w+)* *=[^=])", source, flags=re.M)
    return {name or other for name, other in pairs}
