"""Keep the chapters' notebooks in one form.

    new 01_mixtures_and_tasks "Mixtures and tasks"    a skeleton with the standard head
    refresh [NOTEBOOK ...]         run, and store the output of the checked cells
    check [NOTEBOOK ...]           every rule, every breach
    canonicalise [NOTEBOOK ...]    strip outputs and whatever varies from run to run
    address                        write the repository's address everywhere

Without NOTEBOOK a command takes every chapter. An author's round: ``new``, write (in JupyterLab,
or as text with ``jupytext --to py:percent`` and ``--update --to ipynb``), ``refresh``, ``check``,
commit.

Git keeps source and, for cells that start with ``# NBVAL_CHECK_OUTPUT``, the output: rounded text
that comes out the same under every budget. The site executes everything when it is built.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
CHECKED = "# NBVAL_CHECK_OUTPUT"
KEPT_CELL_METADATA = {"tags", "nbgrader", "slideshow"}
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
FORBIDDEN_TAGS = {"raises-exception", "skip-execution", "nbval-skip", "nbval-raises-exception"}
FORBIDDEN_WORDS = ("NBVAL_SKIP", "NBVAL_RAISES_EXCEPTION", "allow_errors")
MACHINE_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|root|tmp|work|mnt|Users|content)/\w|[A-Z]:\\+Users"
)
SECTIONS = ("What you will hear", "Where it fails", "Try it", "Quiz", "Exercises", "References")
MAX_LINES, MAX_HIDDEN_LINES = 15, 25
MIN_CHECKED, MIN_WORDS = 3, 1000


# ------------------------------------------------------------------ the head of every notebook


def repository() -> str:
    """The repository's address, as ``_config.yml`` gives it."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return config["repository"]["url"].rstrip("/")


def published() -> str:
    """Where the site is published: ``html: baseurl`` of ``_config.yml``, else GitHub's Pages."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    owner, name = repository().removeprefix("https://github.com/").split("/")
    address = config.get("html", {}).get("baseurl") or f"https://{owner}.github.io/{name}"
    return address.rstrip("/")


def colab_link(name: str) -> str:
    """The line of a notebook's first cell that opens it in Colab."""
    owner_and_name = repository().removeprefix("https://github.com/")
    return (
        "[Open in Colab](https://colab.research.google.com/github/"
        f"{owner_and_name}/blob/main/notebooks/{name}.ipynb)"
    )


def setup_source() -> str:
    """The source of a notebook's second cell."""
    return f"""\
# Finds the course on your machine; on Colab, installs it (never torch).
try:
    import lib
except ModuleNotFoundError:
    %pip install -q "unmixing-sound[metrics,music,train] @ git+{repository()}"
    import lib

print(lib.about())"""


def chapters() -> list[Path]:
    """Every chapter's notebook, in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def new(name: str, title: str) -> Path:
    """Make a skeleton notebook with the standard head and sections; never overwrites."""
    path = NOTEBOOKS / f"{name}.ipynb"
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        raise SystemExit(f"expected a name such as 01_mixtures_and_tasks, got {name!r}")
    if path.exists():
        raise SystemExit(f"{path.relative_to(ROOT)} exists already")
    number = int(name[:2])
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    hidden = {"tags": ["hide-input"]}
    cells = [
        markdown(
            f"# {number}. {title}\n\n{colab_link(name)}\n\n"
            "One paragraph: what the reader gets.\n\n"
            "**When you have worked through it, you can**\n\n- …",
            id="title",
        ),
        code(setup_source(), id="setup", metadata=hidden),
        markdown("## What you will hear", id="hear"),
        code("from lib.widgets import listen\n\nlisten({}, 16000)", id="first-player"),
        *(
            markdown(f"## {section}", id=section.split()[-1].lower())
            for section in ("The idea", "The mathematics", "The code", "Measure", "Listen")
        ),
        markdown("## Where it fails", id="fails"),
        markdown("## Try it", id="try-it"),
        markdown("## Quiz", id="quiz"),
        code(f'from lib.quiz import quiz\n\nquiz("{name[:2]}")', id="quiz-panel", metadata=hidden),
        markdown("## Exercises", id="exercises"),
        code(
            f'from lib.checks import check\n\ncheck("ch{name[:2]}.name", function)', id="exercise-1"
        ),
        markdown("## References\n\n{cite:p}`key`", id="references"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=NOTEBOOK_METADATA)
    write(path, canonical(notebook))
    return path


# ------------------------------------------------------------------ canonical form


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook at ``path``, as nbformat 4 nodes."""
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def write(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write through a temporary sibling, with the same line ends on every system."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes((nbformat.writes(notebook).rstrip("\n") + "\n").encode("utf-8"))
    os.replace(temporary, path)


def is_checked(cell: nbformat.NotebookNode) -> bool:
    """Whether nbval compares this cell's output."""
    return cell.cell_type == "code" and (
        cell.source.startswith(CHECKED) or "nbval-check-output" in tags(cell)
    )


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """The cell's tags."""
    return cell.metadata.get("tags", [])


def canonical(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy with source, ids, tags and checked outputs; nothing that varies from run to run."""
    notebook = nbformat.from_dict(notebook)
    notebook.nbformat_minor = 5
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in cell.metadata if key in KEPT_CELL_METADATA}
        )
        cell.setdefault("id", nbformat.corpus.words.generate_corpus_id())
        cell.source = cell.source.rstrip()
        cell.pop("attachments", None)
        if cell.cell_type != "code":
            continue
        if not is_checked(cell):
            cell.outputs = []
        cell.execution_count = 1 if cell.outputs else None
        for output in cell.outputs:
            output.pop("metadata", None)
            if output.output_type in ("execute_result", "display_data"):
                output.metadata = nbformat.from_dict({})
            if "execution_count" in output:
                output.execution_count = 1
    return notebook


def is_canonical(path: Path) -> bool:
    """Whether the file is byte for byte what :func:`canonical` would write."""
    notebook = canonical(read(path))
    return path.read_bytes() == (nbformat.writes(notebook).rstrip("\n") + "\n").encode("utf-8")


def refresh(path: Path, timeout: int = 600) -> None:
    """Execute the notebook in its folder and store the outputs of its checked cells."""
    from nbclient import NotebookClient

    os.environ.setdefault("UNMIX_BUDGET", "smoke")
    os.environ.setdefault("MPLBACKEND", "agg")
    notebook = read(path)
    client = NotebookClient(
        notebook, timeout=timeout, resources={"metadata": {"path": str(path.parent)}}
    )
    write(path, canonical(client.execute()))


def rewrite_head(path: Path) -> None:
    """Put the repository's address of today into the first two cells."""
    notebook = read(path)
    title, setup = notebook.cells[:2]
    title.source = re.sub(
        r"^\[Open in Colab\]\(.*\)$", colab_link(path.stem), title.source, flags=re.M
    )
    setup.source = setup_source()
    write(path, canonical(notebook))


def rewrite_texts() -> None:
    """Replace the address that ``CITATION.cff`` holds by today's, wherever prose names it."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    former = re.search(r"^repository-code: *\"?([^\"\s]+)", citation, flags=re.M).group(1)
    for path in (
        ROOT / "README.md",
        ROOT / "pyproject.toml",
        *sorted((ROOT / "book").glob("*.md")),
    ):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(former, repository()), encoding="utf-8", newline="\n")
    (ROOT / "CITATION.cff").write_text(
        citation.replace(former, repository()), encoding="utf-8", newline="\n"
    )


# ------------------------------------------------------------------ the rules


def problems(path: Path) -> list[str]:
    """Every rule of the course that the notebook at ``path`` breaks, one line each."""
    notebook = read(path)
    found = [] if is_canonical(path) else ["not canonical: run tools/notebooks.py canonicalise"]
    found += _head_problems(notebook, path.stem)
    for cell in notebook.cells:
        found += [f"cell {cell.get('id')}: {text}" for text in _cell_problems(cell)]
    found += _structure_problems(notebook, path.stem[:2])
    if f"notebooks/{path.stem}" not in toc_files():
        found.append("not in _toc.yml")
    return found


def toc_files() -> list[str]:
    """Every page that ``_toc.yml`` names, without suffix, in order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))

    def walk(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("root", "file"):
                    yield value
                else:
                    yield from walk(value)
        elif isinstance(node, list):
            for item in node:
                yield from walk(item)

    return list(walk(toc))


def _head_problems(notebook: nbformat.NotebookNode, name: str) -> list[str]:
    if len(notebook.cells) < 2 or notebook.cells[0].cell_type != "markdown":
        return ["the first cell is not the title"]
    title, setup = notebook.cells[:2]
    found = []
    if not title.source.startswith(f"# {int(name[:2])}. "):
        found.append(f"the title does not start with '# {int(name[:2])}. '")
    if colab_link(name) not in title.source.splitlines():
        found.append("the Colab link differs: run tools/notebooks.py address")
    if setup.source != setup_source():
        found.append("the set-up cell differs: run tools/notebooks.py address")
    return found


def _cell_problems(cell: nbformat.NotebookNode) -> list[str]:
    found = [f"forbidden tag {tag}" for tag in tags(cell) if tag in FORBIDDEN_TAGS]
    found += [f"forbidden word {word}" for word in FORBIDDEN_WORDS if word in cell.source]
    if MACHINE_PATH.search(cell.source) or MACHINE_PATH.search(str(cell.get("outputs", ""))):
        found.append("names a path of somebody's machine")
    if not cell.source.strip():
        found.append("is empty")
    if cell.cell_type == "markdown":
        if re.search(r"^(```\{|:::)", cell.source, flags=re.M):
            found.append("MyST directive: it would not render in Jupyter or Colab")
        return found
    lines = [line for line in map(str.strip, cell.source.splitlines()) if line and line[0] != "#"]
    limit = MAX_HIDDEN_LINES if "hide-input" in tags(cell) else MAX_LINES
    if len(lines) > limit:
        found.append(f"{len(lines)} lines of code, expected at most {limit}")
    if is_checked(cell):
        if not cell.outputs:
            found.append("checked cell without output: run tools/notebooks.py refresh")
        if any(_text_of(output) is None for output in cell.outputs):
            found.append("checked cell with output other than text")
    return found


def _text_of(output: nbformat.NotebookNode) -> str | None:
    """The output's text if it is plain standard output or a plain text result."""
    if output.output_type == "stream":
        return output.text if output.name == "stdout" else None
    data = output.get("data", {})
    return data["text/plain"] if set(data) == {"text/plain"} else None


def _structure_problems(notebook: nbformat.NotebookNode, number: str) -> list[str]:
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    found = []
    headings = re.findall(r"^## +(.+?) *$", "\n".join(prose), flags=re.M)
    present = [heading for heading in headings if heading in SECTIONS]
    missing = [section for section in SECTIONS if section not in present]
    if missing:
        found.append(f"missing sections: {', '.join(missing)}")
    elif tuple(present) != SECTIONS:
        found.append(f"sections out of order: {', '.join(present)}")
    if not any("listen(" in source for source in code[1:3]):
        found.append("no player in the first two cells after the set-up")
    if not any(f'quiz("{number}")' in source for source in code):
        found.append(f'no quiz("{number}")')
    if not any(f'check("ch{number}.' in source for source in code):
        found.append(f'no check("ch{number}....")')
    checked = sum(map(is_checked, notebook.cells))
    if checked < MIN_CHECKED:
        found.append(f"{checked} checked cells, expected at least {MIN_CHECKED}")
    words = len(" ".join(prose).split())
    if words < MIN_WORDS:
        found.append(f"{words} words of prose, expected at least {MIN_WORDS}")
    if any("{cite" in source for source in prose if not source.startswith("## References")):
        found.append("{cite} outside the References section")
    return found


# ------------------------------------------------------------------ command line


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if every notebook keeps the rules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("refresh", "check", "canonicalise"):
        commands.add_parser(command).add_argument("notebooks", nargs="*", type=Path)
    commands.add_parser("address")
    parser_new = commands.add_parser("new")
    parser_new.add_argument("name")
    parser_new.add_argument("title")
    options = parser.parse_args(arguments)

    if options.command == "new":
        print(new(options.name, options.title).relative_to(ROOT))
        return 0
    paths = [path.resolve() for path in getattr(options, "notebooks", [])] or chapters()
    if options.command == "address":
        rewrite_texts()
    broken = 0
    for path in paths:
        if options.command == "refresh":
            refresh(path)
        elif options.command == "canonicalise":
            write(path, canonical(read(path)))
        elif options.command == "address":
            rewrite_head(path)
        else:
            for problem in problems(path):
                broken += 1
                print(f"{path.name}: {problem}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
