"""Train and score the study of chapter 22, and draw its table and figures.

    python data_scripts/make_study.py                     train, score and report
    python data_scripts/make_study.py report              from the stored scores

Runs lie in ``runs/study``; those that are finished are left, so a stopped study goes on. Scores go
to ``lib/results/study.csv`` with ``study.json`` beside it, the report to ``build/study``. All of it
takes about four hours of one core.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import lib
from lib import study
from lib.errors import CourseError

ROOT = Path(lib.__file__).resolve().parent.parent
STAGES = ("train", "score", "report")
# a study of seconds, in which nothing is learned: for the tests
_SHORT = {
    "trainer.max_epochs": 1,
    "data.steps_per_epoch": 2,
    "data.val_items": 2,
    "data.batch_size": 2,
    "data.workers": 0,
}
TRIAL = {
    "study-unet": _SHORT | {"system.preset": "tiny"},
    "study-wave-unet": _SHORT | {"system.filters": 4, "system.depth": 5},
}


def store(scores, folder: Path, runs: Path, seeds: list[int], clips: int) -> None:
    """Write the scores and how they were made, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["item", "variant", "seed", "level_db", "noise", "unseen", *study.METRICS]
    kept = scores[[column for column in columns if column in scores]]
    hours = {
        run.name: json.loads((run / "model" / "card.json").read_text(encoding="utf-8"))["hours"]
        for run in sorted(runs.iterdir())
        if (run / "model" / "card.json").is_file()
    }
    about = {
        "command": "python data_scripts/make_study.py",
        "seeds": seeds,
        "clips_per_level": clips,
        "hours": hours,
        "versions": {package: version(package) for package in ("torch", "numpy", "pesq")},
        "machine": f"{platform.system()} {platform.machine()}",
        "date": datetime.date.today().isoformat(),
    }
    for name, text in (
        ("study.csv", kept.round(4).to_csv(index=False)),
        ("study.json", json.dumps(about, indent=2) + "\n"),
    ):
        part = folder / f"{name}.part"
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, folder / name)


def report(scores, folder: Path) -> None:
    """Write the table and the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    study.table(scores).round(3).to_csv(folder / "table.csv")
    trained = [name for name in study.VARIANTS if name in set(scores["variant"])]
    for metric in study.METRICS:
        drawn = study.figure(scores, metric, [*study.BASELINES, *trained])
        drawn.savefig(folder / f"{metric}.svg")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stages", nargs="*", default=STAGES, metavar="STAGE", help="default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="of the trainings")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/results", help="of the scores")
    parser.add_argument("--report", type=Path, default=ROOT / "build/study", help="its folder")
    parser.add_argument("--variants", nargs="+", choices=list(study.VARIANTS), help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(study.SEEDS))
    parser.add_argument("--clips", type=int, default=study.CLIPS_PER_LEVEL, help="per level")
    parser.add_argument("--trial", action="store_true", help="two steps of tiny networks")
    options = parser.parse_args(arguments)
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"stages: expected some of {', '.join(STAGES)}, got {', '.join(unknown)}")
    try:
        if "train" in options.stages:
            changes = TRIAL if options.trial else None
            study.train(options.runs, options.variants, options.seeds, changes)
        if "score" in options.stages:
            scores = study.score(options.runs, options.variants, options.seeds, options.clips)
            store(scores, options.out, options.runs, options.seeds, options.clips)
        if "report" in options.stages:
            report(study.stored(options.out), options.report)
    except CourseError as error:
        print(f"make_study: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
