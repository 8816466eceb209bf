"""Evaluate every method of ``lib.results`` on the pack's test split and store the scores.

    python data_scripts/make_results.py [BENCHMARK ...] [--items N] [--methods NAME ...]

writes ``lib/results/NAME.csv`` (a row per item, source and method) and ``NAME.json`` (how it was
made). It takes about ten minutes on two CPU cores. With ``--methods`` only these are evaluated, and
the stored scores of the others stay.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import pandas as pd

import lib
from lib.data import Songs, clips
from lib.data.items import Mixtures
from lib.errors import CourseError, InputError
from lib.evaluation import evaluate
from lib.results import BENCHMARKS, METHODS, benchmark, methods

FOLDER = Path(lib.__file__).parent / "results"
DECIMALS = 4  # a tenth of the last digit that any table prints
PACKAGES = ("torch", "numpy", "pesq")


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)


def fingerprint(dataset: Mixtures) -> str:
    """A hash of the clips that a benchmark mixes, so that old scores are noticed."""
    kinds = ("song",) if isinstance(dataset, Songs) else ("speech", "noise")
    used = pd.concat([clips(kind, dataset.split) for kind in kinds])
    return hashlib.sha256("".join(used["sha256"]).encode()).hexdigest()[:16]


def _kept(path: Path, wanted: Iterable[str], items: int) -> pd.DataFrame | None:
    """The stored scores of the other methods, which must be of as many items."""
    if not path.exists():
        return None
    kept = pd.read_csv(path)
    kept = kept[~kept["method"].isin(wanted)]
    if (there := kept["item"].nunique()) not in (0, items):
        raise InputError(
            f"{path}: expected scores of {items} items beside the new ones, got {there}; take as "
            "many --items, or another --out"
        )
    return kept


def make(
    name: str, folder: Path = FOLDER, items: int | None = None, only: list[str] | None = None
) -> pd.DataFrame:
    """Evaluate methods on one benchmark and store the scores in a folder; all of them if None."""
    chosen, every = benchmark(name), methods(name)
    wanted = {key: method for key, method in every.items() if only is None or key in only}
    dataset = chosen.dataset()
    if items is not None:
        dataset.items = min(items, dataset.items)
    kept = None if only is None else _kept(folder / f"{name}.csv", wanted, len(dataset))
    tables = [
        evaluate(
            method.make(chosen, dataset),
            dataset,
            chosen.metrics,
            method=key,
            sources=chosen.sources,
            permute=chosen.permute,
            progress=True,
        )
        for key, method in wanted.items()
    ]
    scores = pd.concat([*tables, kept], ignore_index=True).drop(
        columns=["text", "texts"], errors="ignore"
    )
    order = {key: place for place, key in enumerate(every)}
    scores = scores.sort_values("method", key=lambda column: column.map(order), kind="stable")
    card = {
        "benchmark": name,
        "command": "python data_scripts/make_results.py",
        "items": len(dataset),
        "split": dataset.split,
        "seed": dataset.seed,
        "sample_rate": dataset.sample_rate,
        "clips": fingerprint(dataset),
        "versions": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "date": datetime.date.today().isoformat(),
    }
    _replace(folder / f"{name}.csv", scores.round(DECIMALS).to_csv(index=False))
    _replace(folder / f"{name}.json", json.dumps(card, indent=2) + "\n")
    return scores


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("benchmarks", nargs="*", default=list(BENCHMARKS), help="default: all")
    parser.add_argument("--items", type=int, help="score only the first N items (a trial run)")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), help="default: all")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the files")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)  # now, not after ten minutes of scoring
    try:
        for name in options.benchmarks:
            if options.methods and not set(options.methods) & set(methods(name)):
                continue  # nothing new there
            make(name, options.out, options.items, options.methods)
    except CourseError as error:
        print(f"make_results: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
