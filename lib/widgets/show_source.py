"""Show the code that runs: a chapter renders blocks from ``lib`` and never pastes a copy."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path

from lib.errors import InputError

_DOCSTRINGS = ("summary", "full", "none")


class Source:
    """Source code that shows itself as highlighted Markdown in a notebook, as text elsewhere."""

    def __init__(self, code: str, path: str, first_line: int) -> None:
        self.code = code
        self.path = path
        self.first_line = first_line

    def _repr_markdown_(self) -> str:
        fence = "````" if "```" in self.code else "```"
        place = f"*`{self.path}`, from line {self.first_line}:*"
        return f"{place}\n\n{fence}python\n{self.code}\n{fence}\n"

    def __repr__(self) -> str:
        return f"# {self.path}, from line {self.first_line}\n{self.code}"


def show_source(target: object, *, docstring: str = "summary") -> Source:
    """The source of a function, method, class or module, with its file and first line.

    Args:
        target: what to show, for example ``lib.mixing.mix_at_snr``.
        docstring: ``"summary"`` keeps the first sentence of each docstring, ``"full"`` all,
            ``"none"`` drops them.

    Raises:
        InputError: if the object has no Python source, or for an unknown ``docstring``.

    Example:
        >>> from lib.errors import check_same_shape
        >>> show_source(check_same_shape).code.splitlines()[1]
        '    \"\"\"Require two signals of equal shape.\"\"\"'
    """
    if docstring not in _DOCSTRINGS:
        raise InputError(f"docstring: expected one of {', '.join(_DOCSTRINGS)}, got {docstring!r}")
    target = inspect.unwrap(target) if callable(target) else target
    try:
        lines, first_line = inspect.getsourcelines(target)
        path = inspect.getsourcefile(target)
    except (TypeError, OSError) as error:
        raise InputError(
            f"target: expected a function, class or module written in Python, "
            f"got {type(target).__name__}"
        ) from error
    code = textwrap.dedent("".join(lines)).rstrip()
    if docstring != "full":
        code = _shorten(code, keep_summary=docstring == "summary")
    return Source(code, _short_path(Path(path)), max(1, first_line))


def _short_path(path: Path) -> str:
    package = Path(__file__).resolve().parents[1]
    try:
        return f"lib/{path.resolve().relative_to(package).as_posix()}"
    except ValueError:
        return path.name


def _shorten(code: str, keep_summary: bool) -> str:
    lines = code.splitlines()
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    documented = [
        node for node in ast.walk(ast.parse(code)) if isinstance(node, kinds) and _docstring(node)
    ]
    # from the last to the first, so that line numbers stay true while lines go
    for node in sorted(documented, key=lambda node: _docstring(node).lineno, reverse=True):
        literal = _docstring(node)
        only_statement = len(node.body) == 1
        replacement = []
        if keep_summary or only_statement:
            indent = " " * literal.col_offset
            replacement = [f'{indent}"""{_summary(literal.value.value)}"""']
        lines[literal.lineno - 1 : literal.end_lineno] = replacement
    return "\n".join(lines).strip("\n")


def _docstring(node: ast.AST) -> ast.Expr | None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first if isinstance(first.value.value, str) else None
    return None


def _summary(text: str) -> str:
    paragraph = inspect.cleandoc(text).partition("\n\n")[0]
    return " ".join(paragraph.split())
