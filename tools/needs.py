"""What a chapter asks of a class: text to read, minutes of exercises, computing time and memory.

    python tools/needs.py [NOTEBOOK ...]

runs each chapter under the budgets smoke and cpu, in a kernel of its own, on one thread and without
a GPU, and writes its row of ``book/needs.csv``, which the instructors' guide shows. Words are
counted. Minutes are those that the chapter gives for its exercises. Seconds are processor time:
unlike the clock, they hardly depend on what else the machine does. Memory is the most that the
kernel held under the budget cpu. Needs ``os.wait4``: Linux or macOS.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.notebooks import NOTEBOOKS, ROOT, chapters, read, toc_files

TABLE = ROOT / "book" / "needs.csv"
HEAD = ("chapter", "words", "exercises (min)", "`smoke` (s)", "`cpu` (s)", "memory (GB)")


def contents(path: Path) -> tuple[int, int | None]:
    """Words of text in a chapter, and the minutes that it gives for its exercises, if it does."""
    prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    minutes = [int(found) for found in re.findall(r"^\*\*\d\. .*?\((\d+) minutes\)", prose, re.M)]
    return len(prose.split()), sum(minutes) or None


def run(path: Path, budget: str) -> tuple[float, float]:
    """Execute a chapter; the processor time in seconds, and the most memory held, in GB.

    Raises:
        SystemExit: if it stops with an error.
    """
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", path]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = os.environ | one_thread | {"UNMIX_BUDGET": budget, "MPLBACKEND": "agg"}
    process = subprocess.Popen(
        [str(part) for part in command], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)  # of the kernel, too: nbconvert waits for it
    if status:
        raise SystemExit(f"{path.name} does not run under the budget {budget}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e9


def row(path: Path) -> list[str]:
    """The table's row of a chapter."""
    words, minutes = contents(path)
    smoke, _ = run(path, "smoke")
    cpu, memory = run(path, "cpu")
    link = f"[{int(path.name[:2])}](../notebooks/{path.name})"
    return [link, f"{words:,}", str(minutes or ""), f"{smoke:.0f}", f"{cpu:.0f}", f"{memory:.1f}"]


def rows() -> dict[str, list[str]]:
    """The table's rows by the name of the chapter's file."""
    if not TABLE.is_file():
        return {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {
            re.search(r"/(\w+)\.ipynb", line[0]).group(1): line
            for line in list(csv.reader(file))[1:]
        }


def write(table: dict[str, list[str]]) -> None:
    """Write the rows of those chapters that the site has, in its order."""
    order = [Path(file).name for file in toc_files()]
    lines = [table[name] for name in order if name in table]
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEAD, *lines])


def main() -> None:
    """Measure the named chapters, or all, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path)
    for path in parser.parse_args().notebooks or chapters():
        line = row(NOTEBOOKS / path.name)
        write(rows() | {path.stem: line})
        print(*line)


if __name__ == "__main__":
    main()
