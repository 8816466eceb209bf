"""Every public function of the package shows how it is called; the doctests run what it shows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lib

ROOT = Path(lib.__file__).parent
# the checks of exercises are called by their names only, through lib.checks.check
FILES = [path for path in sorted(ROOT.rglob("*.py")) if not path.match("checks/ch*.py")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_public_functions_have_examples_and_describe_arguments(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            # installing an import hook has no result to show
            assert ">>>" in text or path.name == "_torchaudio_shim.py", node.name
            assert "Args:" in text or not node.args.args, node.name
