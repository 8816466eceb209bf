"""The results table: the stored scores of a benchmark, with a play button in every row."""

from __future__ import annotations

from lib.errors import DataError, InputError
from lib.evaluation import matched_estimates, summarise
from lib.results import Benchmark, Method, benchmark, methods, stored, stored_card
from lib.widgets.element import Element, as_channels, encode_audio
from lib.widgets.listen import matching_gains

_HEARD_SECONDS = 2.5  # of each row; a page holds several tables
_COLUMNS = {
    "si_sdr_i": "SI-SDRi, dB",
    "sdr_i": "SDRi, dB",
    "snr_i": "SNRi (uSDR), dB",
    "stoi": "STOI",
    "pesq": "PESQ",
}


def results_table(
    name: str, *, heard: int = 0, title: str | None = None, where: dict | None = None
) -> Element:
    """A table of medians with their intervals; every row plays the start of the same mixture.

    Args:
        name: such as ``"two_speakers"``, see ``lib.results``.
        heard: index of the item that the rows play, of the rows that ``where`` keeps.
        title: heading; ``None``: the benchmark's title.
        where: keep the rows whose columns have these values, e.g. ``{"stationary": True}``.

    Returns:
        An HTML output.

    Raises:
        InputError: if there is no such benchmark, column or item.
        DataError: if its results, or those of one of its methods, are not stored.

    Example:
        >>> results_table("two_speakers")
        Results of 16 methods on 100 items: Two speakers, 8 kHz. Run this cell to see and hear them.
    """
    chosen, scores = benchmark(name), stored(name)
    for column, value in (where or {}).items():
        if column not in scores:
            raise InputError(f"where: expected a column of the scores, got {column!r}")
        scores = scores[scores[column] == value]
    items = list(dict.fromkeys(scores["item"]))
    if not 0 <= heard < len(items):
        raise InputError(f"heard: expected 0 to {len(items) - 1}, got {heard}")

    dataset = chosen.dataset()
    item = dataset[int(items[heard].rpartition("-")[2])]
    shown = methods(name)
    if missing := shown.keys() - set(scores["method"]):
        raise DataError(
            f"{name}: expected stored scores of every method, got none of "
            f"{', '.join(sorted(missing))}; python data_scripts/make_results.py {name} makes them"
        )
    signals = [as_channels(_estimate(method, chosen, dataset, item)) for method in shown.values()]
    gains = matching_gains(signals, item.sample_rate)
    columns = {metric: label for metric, label in _COLUMNS.items() if metric in scores}
    summary = summarise(scores).set_index(["method", "metric"])
    rows = [
        {
            "method": method.label,
            "group": method.group,
            "cells": [_cell(summary.loc[(key, metric)], metric) for metric in columns],
            "source": encode_audio(signal, item.sample_rate),
            "gain_db": round(gain, 3),
        }
        for (key, method), signal, gain in zip(shown.items(), signals, gains, strict=True)
    ]
    rate = item.sample_rate
    notes = {
        "pesq": f" PESQ is {'narrow' if rate == 8000 else 'wide'}-band MOS-LQO.",
        "sdr_i": " SDR is BSS Eval v3.",
    }
    config = {
        "title": title or chosen.title,
        "caption": (
            f"Median over {len(items)} items of the test split, with the 95 % bootstrap interval "
            f"of the median.{''.join(text for metric, text in notes.items() if metric in columns)} "
            f"Evaluated on {stored_card(name)['date']}."
        ),
        "sample_rate": rate,
        "columns": list(columns.values()),
        "rows": rows,
    }
    fallback = (
        f"Results of {len(rows)} methods on {len(items)} items: {config['title']}. "
        "Run this cell to see and hear them."
    )
    return Element("unmix-results-table", config, ("results_table",), fallback)


def _estimate(method: Method, chosen: Benchmark, dataset, item):
    """What a row plays: the method's estimate of the first source that is scored."""
    separator = method.make(chosen, dataset)
    estimates = matched_estimates(separator, item, dataset.source_names, chosen.permute)
    estimate = estimates[dataset.source_names.index(chosen.sources[0])]  # (C, T)
    estimate = estimate[:, : round(_HEARD_SECONDS * item.sample_rate)]
    peak = float(estimate.abs().max())
    return estimate / peak if peak > 1 else estimate


def _cell(row, metric: str) -> tuple[str, str]:
    """The median, and its interval."""
    digits = 2 if metric in ("stoi", "pesq") else 1
    numbers = [f"{row[part] + 0.0:.{digits}f}" for part in ("median", "low", "high")]
    numbers = [number.replace("-", "\u2212") for number in numbers]
    return numbers[0], f"[{numbers[1]}, {numbers[2]}]"
