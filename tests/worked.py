"""The worked solutions of the assignments, by chapter: ``from worked import ch16``; ``ch16.fold``.

Only what stands between the marks runs, below the imports that the assignment gives, and only as
far as it takes to find a name: some solutions train a network.
"""

from __future__ import annotations

import functools
from typing import Any

from lib.course.assignments import SOLUTION, kind, parts
from tools.assignments import EXERCISES
from tools.notebooks import read


class Worked:
    """The names that an assignment's solutions define."""

    def __init__(self, chapter: str) -> None:
        (path,) = EXERCISES.glob(f"{chapter.removeprefix('ch')}_*/*.ipynb")
        cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
        self._sources = [
            parts(cell.source, SOLUTION)[kind(cell) == "solution"]
            for cell in cells
            if kind(cell) != "test" and cell.id != "setup"
        ]
        self._done: list[str] = []
        self._names: dict[str, Any] = {"__name__": f"worked.{chapter}"}

    def __getattr__(self, name: str) -> Any:
        while name not in self._names and self._sources:
            self._done.append(self._sources.pop(0))
            exec(compile(self._done[-1], self._names["__name__"], "exec"), self._names)
        try:
            return self._names[name]
        except KeyError:
            raise AttributeError(name) from None

    def source(self) -> str:
        """The code that ran so far."""
        return "\n\n".join(self._done)


@functools.cache
def __getattr__(chapter: str) -> Worked:
    if not chapter.startswith("ch"):
        raise AttributeError(chapter)
    return Worked(chapter)
