"""Train a system by its recipe, score it, and put it where `from_pretrained` finds it.

    python data_scripts/make_checkpoint.py NAME [--run DIR]

NAME is a recipe of ``lib/training/recipes`` and becomes the checkpoint's name. ``--run`` is the
training's folder, ``runs/NAME`` by default; a training that is there already is taken as it is, or
gone on with. The scores on the benchmark of ``lib.results`` go into the card, and the weights are
stored in half precision. ``make_results.py --methods NAME`` then renews the results page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lib.errors import CourseError
from lib.evaluation import bootstrap_interval, evaluate
from lib.models.base import Separator
from lib.models.checkpoint import PRETRAINED, card, save
from lib.results import METHODS, benchmark
from lib.training import recipe_names, train

LICENCE = "MIT; the sounds that it learned from: lib/data/pack/NOTICE"
METRICS = ("si_sdr", "stoi")


def scores(model: Separator, name: str) -> dict[str, Any]:
    """Score a separator on its benchmark: each statistic and the ends of its 95 % interval."""
    (its_own,) = METHODS[name].benchmarks
    chosen = benchmark(its_own)
    dataset = chosen.dataset()
    metrics = [metric for metric in METRICS if metric in chosen.metrics]
    table = evaluate(
        model, dataset, metrics, sources=chosen.sources, permute=chosen.permute, progress=True
    )
    found = {"benchmark": its_own, "split": dataset.split, "items": len(dataset)}
    for column in [name for name in ("si_sdr_i", "stoi", "stoi_i") if name in table]:
        values = table.pivot(index="item", columns="source", values=column).to_numpy()
        for word, statistic in (("mean", np.nanmean), ("median", np.nanmedian)):
            interval = bootstrap_interval(values, statistic)
            found[f"{word}_{column}"] = [round(float(value), 3) for value in interval]
    return found


def make(name: str, run: Path) -> Path:
    """Train if needed, score, and store."""
    folder = run / "model"
    if not folder.exists():
        folder = train(name, run, resume=(run / "recipe.yaml").exists())
    with tempfile.TemporaryDirectory() as place:
        rounded = save(Separator.from_pretrained(folder), Path(place, name), dtype="float16")
        model = Separator.from_pretrained(rounded)  # what ships is what is scored
    about = card(folder) | {"licence": LICENCE, "scores": scores(model, name)}
    return save(model, PRETRAINED / name, about, dtype="float16")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=sorted(set(recipe_names()) & set(METHODS)))
    parser.add_argument("--run", type=Path, help="folder of the training")
    options = parser.parse_args(arguments)
    try:
        print(make(options.name, options.run or Path("runs") / options.name))
    except CourseError as error:
        print(f"make_checkpoint: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
