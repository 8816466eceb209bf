"""The floors of the package, and how light `import lib` is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lib

ROOT = Path(lib.__file__).parent

# design, section 2: a file imports only from its own floor or below
FLOORS = {
    0: ["__init__", "errors", "_torchaudio_shim"],
    1: ["audio", "blending", "fetch", "framing", "mixing", "stft", "metrics"],
    2: ["masks", "filterbanks", "losses", "nn"],
    3: ["classical", "models"],
    4: ["data", "training", "evaluation", "cost", "separate", "live", "plots", "study"],
    5: ["widgets", "quiz", "checks", "published", "results", "course", "cli", "__main__"],
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def room_of(path):
    return path.parts[0].removesuffix(".py")


def imported_rooms(path):
    """Rooms of `lib` that a file imports anywhere, also inside its functions."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            if node.module == "lib":
                names = [f"lib.{alias.name}" for alias in node.names]
            else:
                names = [node.module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "lib" and len(parts) > 1:
                is_room = (ROOT / parts[1]).is_dir() or (ROOT / f"{parts[1]}.py").is_file()
                yield parts[1] if is_room else "__init__"  # such as `from lib import about`


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_imports_only_from_its_floor_or_below(path):
    assert room_of(path) in FLOOR_OF, f"{path} stands on no floor: add it to the design's table"
    floor = FLOOR_OF[room_of(path)]
    for room in imported_rooms(path):
        assert FLOOR_OF[room] <= floor, f"{path} (floor {floor}) imports lib.{room}"


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_import_lib_is_light():
    heavy = {
        "torchaudio",
        "pandas",
        "matplotlib",
        "scipy",
        "soundfile",
        "IPython",
        "pesq",
        "librosa",
        "lightning",
        "yaml",
        "tqdm",
    }
    loaded = run(
        "import torch, sys; before = set(sys.modules); import lib;"
        "print(*{m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    assert not heavy & set(loaded)


def test_rooms_of_the_lower_floors_load_no_optional_package():
    code = (
        "import torch, sys; before = set(sys.modules);"
        "import lib.audio, lib.mixing, lib.stft, lib.metrics, lib.masks, lib.classical,"
        " lib.separate, lib.evaluation, lib.cli, lib.training.budget;"
        "print(*{m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    heavy = {"torchaudio", "pandas", "matplotlib", "pesq", "IPython", "lightning", "optuna"}
    assert not heavy & set(run(code))


def test_every_room_can_be_imported_alone():
    modules = [
        "lib." + ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if path.name not in ("__main__.py",) and path != Path("__init__.py")
    ]
    run("import importlib\n" + "\n".join(f"importlib.import_module({m!r})" for m in modules))
