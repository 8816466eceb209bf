"""A study: one voice in noise at 8 kHz, by a spectrogram U-Net and by a Wave-U-Net.

Eight networks see the same clips, made from the pack: sentences with pauses, ten seconds long, in
noise of -8 to +4 dB. They take as many steps, each from three seeds. :func:`train` makes the runs,
:func:`score` hears them on held-out speakers and noises, :func:`stored` has the scores of the
maintainers' runs, and :func:`table` and :func:`figure` are what chapter 22 shows of them.
``data_scripts/make_study.py`` does all of it with one command.

Three kinds of noise (:data:`UNSEEN_KINDS`) and two levels (:data:`LEVELS_DB` beyond the range) are
kept from the training, so that the scores tell what generalises.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lib.classical import as_separator
from lib.data import NoisyClips, noise_kinds
from lib.errors import DataError, InputError, require_package
from lib.evaluation import bootstrap_interval, evaluate
from lib.masks import OracleMask
from lib.models.base import Separator
from lib.stft import STFT

if TYPE_CHECKING:
    import pandas

__all__ = [
    "BASELINES",
    "LEVELS_DB",
    "METRICS",
    "SEEDS",
    "TRAINED_DB",
    "UNSEEN_KINDS",
    "VARIANTS",
    "Variant",
    "figure",
    "score",
    "stored",
    "table",
    "train",
]

SAMPLE_RATE = 8000
TRAINED_DB = (-8.0, 4.0)
LEVELS_DB = (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0)
UNSEEN_KINDS = ("fan", "keyboard", "siren")
SEEDS = (1, 2, 3)
METRICS = ("si_sdr", "si_snr", "stoi", "pesq")
CLIPS_PER_LEVEL = 10


class Variant(NamedTuple):
    """What is trained: a recipe, and what is changed in it."""

    label: str
    recipe: str
    changes: dict[str, Any]


VARIANTS: dict[str, Variant] = {
    "unet": Variant("U-Net, two masks", "study-unet", {}),
    "unet-voice": Variant("U-Net, voice alone", "study-unet", {"system.outputs": 1}),
    "unet-no-skips": Variant("U-Net, no skips", "study-unet", {"system.skips": False}),
    "unet-direct": Variant("U-Net, no masks", "study-unet", {"system.direct": True}),
    "wave-unet": Variant("Wave-U-Net", "study-wave-unet", {}),
    "wave-unet-no-context": Variant(
        "Wave-U-Net, no context", "study-wave-unet", {"data.chunk": 2.0, "objective.margin": 0}
    ),
    "wave-unet-random": Variant(
        "Wave-U-Net, chunks anywhere", "study-wave-unet", {"data.place": "random"}
    ),
    "wave-unet-zero-mean": Variant(
        "Wave-U-Net, means removed in the loss", "study-wave-unet", {"objective.zero_mean": True}
    ),
}
BASELINES = {"mixture": "Mixture", "wiener": "Wiener filter", "irm": "Ideal ratio mask"}


def _chosen(names: Iterable[str] | None) -> dict[str, Variant]:
    """The variants of these names; all if None."""
    names = list(VARIANTS if names is None else names)
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"variants: expected some of {', '.join(VARIANTS)}, got {name!r}")
    return {name: VARIANTS[name] for name in names}


def train(
    runs: str | Path,
    variants: Iterable[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    progress: bool = True,
) -> list[Path]:
    """Train variants from seeds, one after another; what is finished is left, the rest goes on.

    Args:
        runs: folder of the trainings, each in ``VARIANT-SEED``.
        variants: names; all if None.
        seeds: of the trainings.
        changes: of a recipe, such as ``{"study-unet": {"trainer.max_epochs": 1}}``.
        progress: show a line per epoch.

    Returns:
        The folders of the models.

    Raises:
        InputError: for an unknown variant, or a change that cannot be.

    Example:
        >>> train("runs/study", ["u-net"])
        Traceback (most recent call last):
        ...
        lib.errors.InputError: variants: expected some of unet, unet-voice, unet-no-skips,
        unet-direct, wave-unet, wave-unet-no-context, wave-unet-random, wave-unet-zero-mean,
        got 'u-net'
    """
    from lib.training import train as train_recipe

    kinds = [kind for kind in noise_kinds() if kind not in UNSEEN_KINDS]
    folders = []
    for name, variant in _chosen(variants).items():
        for seed in seeds:
            run = Path(runs) / f"{name}-{seed}"
            more = (changes or {}).get(variant.recipe, {})
            overrides = {"seed": seed, "data.kinds": kinds, **variant.changes, **more}
            if not (run / "model").exists():
                resume = (run / "recipe.yaml").exists()
                train_recipe(
                    variant.recipe, run, resume=resume, overrides=overrides, progress=progress
                )
            folders.append(run / "model")
    return folders


def score(
    runs: str | Path,
    variants: Iterable[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    clips: int = CLIPS_PER_LEVEL,
    metrics: Sequence[str] = METRICS,
    progress: bool = True,
) -> pandas.DataFrame:
    """Score runs and baselines on held-out speakers, at every level, in noises seen and unseen.

    Args:
        runs: folder of the trainings.
        variants: names; all if None.
        seeds: of the trainings.
        clips: at each level of :data:`LEVELS_DB`, all kinds of noise in turn.
        metrics: see :func:`lib.evaluation.evaluate`.
        progress: show a bar.

    Returns:
        One row per clip, level, variant and seed: the columns of ``evaluate`` for the voice, with
        ``variant``, ``seed`` (0 for baselines), ``level_db`` and ``unseen`` (the kind of noise).

    Raises:
        InputError: for an unknown variant.
        DataError: if a run is missing.

    Example:
        >>> score("nowhere", ["unet"], seeds=[1])
        Traceback (most recent call last):
        ...
        lib.errors.DataError: nowhere/unet-1/model: expected a trained model, got nothing there;
        python data_scripts/make_study.py trains it
    """
    separators: dict[tuple[str, int], Any] = {
        ("mixture", 0): lambda mixture: mixture[:, None].repeat(1, 2, 1, 1),
        ("wiener", 0): as_separator("wiener", SAMPLE_RATE),
        ("irm", 0): OracleMask("irm", STFT(256, 64)),
    }
    for name in _chosen(variants):
        for seed in seeds:
            model = Path(runs) / f"{name}-{seed}" / "model"
            if not model.is_dir():
                raise DataError(
                    f"{model}: expected a trained model, got nothing there; "
                    "python data_scripts/make_study.py trains it"
                )
            separators[name, seed] = Separator.from_pretrained(model)
    pandas = require_package("pandas", "the study")
    tables = []
    for level in LEVELS_DB:
        dataset = NoisyClips("test", clips, seed=2022, sample_rate=SAMPLE_RATE, snr_db=level)
        for (name, seed), separator in separators.items():
            rows = evaluate(
                separator, dataset, metrics, method=name, sources=["speech"], progress=progress
            )
            rows["seed"], rows["level_db"] = seed, level
            tables.append(rows)
    scores = pandas.concat(tables, ignore_index=True).rename(columns={"method": "variant"})
    scores["unseen"] = scores["noise"].isin(UNSEEN_KINDS)
    # the same clip at another level is another item
    scores["item"] = scores["item"] + scores["level_db"].map(" at {:+.0f} dB".format)
    return scores


def stored(folder: str | Path | None = None) -> pandas.DataFrame:
    """The scores of the maintainers' runs.

    Args:
        folder: of other runs' scores.

    Returns:
        The table of :func:`score`.

    Raises:
        DataError: if they are not there.

    Example:
        >>> sorted(int(level) for level in stored()["level_db"].unique())
        [-12, -8, -4, 0, 4, 8]
    """
    pandas = require_package("pandas", "the study")
    place = importlib.resources.files("lib.results") if folder is None else Path(folder)
    path = place / "study.csv"
    if not path.is_file():
        raise DataError(
            f"{path}: expected the scores of the study, got nothing there; make them with: "
            "python data_scripts/make_study.py"
        )
    return pandas.read_csv(str(path))


def _label(name: str) -> str:
    return BASELINES[name] if name in BASELINES else VARIANTS[name].label


def table(scores: pandas.DataFrame, metrics: Sequence[str] = METRICS) -> pandas.DataFrame:
    """Means within the trained range of SNR, in noises of known kinds and of others.

    Args:
        scores: from :func:`score` or :func:`stored`.
        metrics: some of its columns.

    Returns:
        A row per variant, by its label. For each metric the mean over clips and seeds in known
        noise, with its 95 % interval (clips are drawn, seeds stay together), the spread of the
        seeds' means (largest less smallest), and the mean in unseen noise.

    Example:
        >>> rows = table(stored(), ["si_sdr"])
        >>> float(rows.loc["Ideal ratio mask", "si_sdr seeds"])
        0.0
    """
    pandas = require_package("pandas", "the study")
    low, high = TRAINED_DB
    inside = scores[scores["level_db"].between(low, high)]
    rows = {}
    for name, group in inside.groupby("variant", sort=False):
        row: dict[str, Any] = {}
        for metric in metrics:
            known = group[~group["unseen"]]
            values = known.pivot(index="item", columns="seed", values=metric)
            interval = bootstrap_interval(values.to_numpy(), np.nanmean)
            row[metric] = interval.value
            row[f"{metric} low"], row[f"{metric} high"] = interval.low, interval.high
            row[f"{metric} seeds"] = float(np.ptp(values.mean().to_numpy()))
            row[f"{metric} unseen"] = group.loc[group["unseen"], metric].mean()
        rows[_label(name)] = row
    return pandas.DataFrame(rows).T


def figure(scores: pandas.DataFrame, metric: str, variants: Sequence[str]) -> Any:
    """Draw a metric against the SNR of the mixture, a line per variant.

    Args:
        scores: from :func:`score` or :func:`stored`.
        metric: one of its columns.
        variants: of :data:`VARIANTS` and :data:`BASELINES`.

    Returns:
        The figure: the mean over clips and seeds as a line, the seeds' own means as dots, and the
        levels of the training shaded.

    Raises:
        InputError: for a variant without scores.

    Example:
        >>> drawn = figure(stored(), "stoi", ["mixture", "unet", "wave-unet"])
        >>> drawn.axes[0].get_ylabel()
        'STOI'
    """
    import matplotlib.pyplot as plt

    from lib import plots

    missing = [name for name in variants if name not in set(scores["variant"])]
    if missing:
        raise InputError(f"variants: expected some with scores, got {missing[0]!r}")
    with plt.rc_context(plots.style()):
        drawn, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
        axes.axvspan(*TRAINED_DB, alpha=0.12, color="grey", lw=0, label="levels of the training")
        for name in variants:
            rows = scores[scores["variant"] == name]
            means = rows.groupby("level_db")[metric].mean()
            (line,) = axes.plot(means.index, means, label=_label(name))
            for _, own in rows.groupby("seed"):
                values = own.groupby("level_db")[metric].mean()
                axes.plot(values.index, values, "o", color=line.get_color(), ms=3)
        words = {
            "si_sdr": "SI-SDR, dB",
            "si_snr": "SI-SNR, dB",
            "stoi": "STOI",
            "pesq": "PESQ (narrow band)",
        }
        axes.set(xlabel="SNR of the mixture, dB", ylabel=words.get(metric, metric))
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return drawn
