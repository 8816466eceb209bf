"""Build the site: execute every notebook, warnings as errors, and say where to open it.

    python tools/build_site.py [--budget cpu] [--out _build]

Pages land in ``OUT/html``. Outputs of notebooks are cached in ``OUT/.jupyter_cache``; since that
cache sees only the notebooks' own code, it is emptied here when ``lib``, the pinned environment or
the budget has changed.
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


def build(out: Path, budget: str) -> int:
    """Build the site into ``out/html``; returns Jupyter Book's exit status.

    Jupyter Book names its folder ``_build`` itself, so ``out`` ends in that name.
    """
    if out.name != "_build":
        raise SystemExit(f"expected a folder named _build, got {out}")
    forget_stale_outputs(out, fingerprint(budget))
    shutil.rmtree(out / "html", ignore_errors=True)
    scripts = Path(sysconfig.get_path("scripts"))
    # every page is read again (--all): an unchanged page would keep its warnings to itself
    command = [scripts / "jupyter-book", "build", ROOT, "--path-output", out.parent, "--all"]
    command += ["--warningiserror", "--nitpick", "--keep-going"]
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


def main() -> int:
    """Build the site and print its address."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", default=os.environ.get("UNMIX_BUDGET") or "cpu")
    parser.add_argument("--out", type=Path, default=ROOT / "_build")
    options = parser.parse_args()
    status = build(options.out.resolve(), options.budget)
    if status:
        print("\nThe site was not built; the first error above says why.", file=sys.stderr)
    else:
        index = options.out.resolve() / "html" / "index.html"
        print(f"\nThe book is ready. Open it in a browser:\n\n    {index.as_uri()}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
