"""Build the site: execute every notebook, warnings as errors, and say where to open it.

    python tools/build_site.py [--budget cpu] [--out _build] [--instructor]

Pages land in ``OUT/html``. Outputs of notebooks are cached in ``OUT/.jupyter_cache``; since that
cache sees only the notebooks' own code, it is emptied here when ``lib``, the pinned environment or
the budget has changed.

``--instructor`` builds a second site, in ``OUT/instructor/_build/html``. There, the source of a
chapter's assignment, where ``notebooks/exercises`` holds one, stands behind the chapter, with its
worked solutions and hidden tests. The public site never has them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def fingerprint(budget: str, root: Path = ROOT) -> str:
    """A hash of everything beside a notebook that its outputs depend on."""
    digest = hashlib.sha256(f"{budget} {sys.version_info[:2]}".encode())
    files = [path for path in (root / "lib").rglob("*") if path.is_file()]
    for path in sorted([*files, root / "requirements.txt"]):
        if "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def forget_stale_outputs(build: Path, current: str) -> bool:
    """Empty the execution cache in ``build`` unless it was filled under ``current``."""
    stamp = build / ".fingerprint"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == current:
        return False
    for name in (".jupyter_cache", "jupyter_execute"):
        shutil.rmtree(build / name, ignore_errors=True)
    build.mkdir(parents=True, exist_ok=True)
    stamp.write_text(current, encoding="utf-8")
    return True


def with_solutions(folder: Path, cache: Path) -> list[str]:
    """Write configuration and contents of the instructors' site into a folder.

    Args:
        folder: where to.
        cache: of executed notebooks; that of the public site, so that no chapter runs twice.

    Returns:
        The options by which Jupyter Book takes them.
    """
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["title"] += ", with solutions"
    config["html"]["announcement"] = "With solutions: for instructors, not to be published."
    config["execute"]["cache"] = str(cache)
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for part in contents["parts"]:
        for chapter in part["chapters"]:
            name = Path(chapter["file"]).name
            assignment = f"notebooks/exercises/{name}/{name}"
            if (ROOT / f"{assignment}.ipynb").is_file():
                page = {"file": assignment, "title": "Assignment and solutions"}
                chapter.setdefault("sections", []).append(page)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("_config.yml", config), ("_toc.yml", contents)):
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return ["--config", str(folder / "_config.yml"), "--toc", str(folder / "_toc.yml")]


def jupyter_book(out: Path, budget: str, options: list[str]) -> int:
    """Build one site into ``out/html``; returns Jupyter Book's exit status."""
    shutil.rmtree(out / "html", ignore_errors=True)
    scripts = Path(sysconfig.get_path("scripts"))
    # every page is read again (--all): an unchanged page would keep its warnings to itself
    command = [scripts / "jupyter-book", "build", ROOT, "--path-output", out.parent, "--all"]
    command += ["--warningiserror", "--nitpick", "--keep-going", *options]
    environment = os.environ | {
        "UNMIX_BUDGET": budget,
        "PYTHONWARNINGS": "ignore",
        "PATH": os.pathsep.join([str(scripts), os.environ.get("PATH", "")]),
    }
    status = subprocess.run([str(part) for part in command], env=environment).returncode
    index = out / "html" / "index.html"
    if status == 0 and not index.is_file():
        print(f"the build ended well but left no {index}", file=sys.stderr)
        return 1
    return status


def instructors(out: Path) -> Path:
    """The folder of the instructors' site beside that of the public one."""
    return out / "instructor" / "_build"


def build(out: Path, budget: str, instructor: bool = False) -> int:
    """Build the public site into ``out/html``, or the instructors' beside it.

    Jupyter Book names its folder ``_build`` itself, so ``out`` ends in that name.

    Args:
        out: the folder of builds.
        budget: how much a notebook may compute.
        instructor: which of the two.

    Returns:
        Jupyter Book's exit status.
    """
    if out.name != "_build":
        raise SystemExit(f"expected a folder named _build, got {out}")
    forget_stale_outputs(out, fingerprint(budget))
    if not instructor:
        return jupyter_book(out, budget, [])
    folder = instructors(out)
    return jupyter_book(folder, budget, with_solutions(folder.parent, out / ".jupyter_cache"))


def main() -> int:
    """Build the site and print its address."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", default=os.environ.get("UNMIX_BUDGET") or "cpu")
    parser.add_argument("--out", type=Path, default=ROOT / "_build")
    parser.add_argument("--instructor", action="store_true")
    options = parser.parse_args()
    out = options.out.resolve()
    status = build(out, options.budget, options.instructor)
    if status:
        print("\nThe site was not built; the first error above says why.", file=sys.stderr)
    else:
        index = (instructors(out) if options.instructor else out) / "html" / "index.html"
        print(f"\nThe book is ready. Open it in a browser:\n\n    {index.as_uri()}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
