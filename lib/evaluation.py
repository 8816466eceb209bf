"""Scores of a separator over a data set, with their spread, and honest comparisons.

:func:`evaluate` gives one row per item and source. Everything after it works on that table:
:func:`summarise` gives medians with bootstrap intervals, :func:`paired_comparison` asks whether one
method is better than another on the same items.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from lib import metrics as measures
from lib.errors import InputError, require_package

if TYPE_CHECKING:
    import pandas

__all__ = [
    "METRICS",
    "Comparison",
    "Interval",
    "best_order",
    "bootstrap_interval",
    "default_metrics",
    "evaluate",
    "matched_estimates",
    "paired_comparison",
    "summarise",
]

_PER_SIGNAL = ("si_sdr", "si_snr", "snr", "sd_sdr")
_BSS_EVAL = ("sdr", "sir", "sar")
METRICS = (*_PER_SIGNAL, *_BSS_EVAL, "stoi", "pesq")
_PESQ_MODES = {8000: "nb", 16000: "wb"}
_RESAMPLED_AT_ONCE = 2_000_000  # numbers in memory during a bootstrap


class Interval(NamedTuple):
    """A statistic and the ends of its confidence interval."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """How the first of two methods compares with the second on the same items."""

    difference: float
    low: float
    high: float
    p_value: float
    wins: int
    n: int


def default_metrics() -> tuple[str, ...]:
    """Return the metrics of the results tables; PESQ only where its package is installed.

    Example:
        >>> default_metrics()[:3]
        ('si_sdr', 'sdr', 'stoi')
    """
    metrics = ("si_sdr", "sdr", "stoi")
    return (*metrics, "pesq") if importlib.util.find_spec("pesq") else metrics


def evaluate(
    separator: Callable[..., torch.Tensor],
    dataset: Iterable[Any],
    metrics: Sequence[str] | None = None,
    *,
    method: str | None = None,
    sources: Sequence[str] | None = None,
    permute: bool = False,
    progress: bool = False,
) -> pandas.DataFrame:
    """Score a separator on every item of a data set.

    Items are drawn, separated and forgotten one by one: memory does not grow with their number.

    Args:
        separator: a callable ``mixture (1, channels, time) -> estimates (1, sources, channels,
            time)``; with an attribute ``needs_sources`` it is called ``(mixture, sources)``.
        dataset: an iterable of items with the fields ``mixture (channels, time)``, ``sources
            (sources, channels, time)``, ``sample_rate``, ``name`` and ``meta``. Its attribute
            ``source_names``, if it has one, names the sources.
        metrics: names from :data:`METRICS`; :func:`default_metrics` if None. ``sdr``, ``sir`` and
            ``sar`` are those of BSS Eval version 3 with 512 taps; ``pesq`` is wide band at 16 kHz
            and narrow band at 8 kHz, two scales that must not stand in one column.
        method: what stands in the column ``method``; the separator's class or function if None.
        sources: which sources to report; all if None. STOI and PESQ mean little for a noise.
        permute: give each source the estimate that is best for all together by SI-SDR, as needed
            for speakers, who have no order.
        progress: show a progress bar.

    Returns:
        A DataFrame with the columns ``item``, ``source``, ``method``, ``sample_rate``, what the
        item's ``meta`` says (lists joined with ``+``), and for each metric its value and the
        improvement over the mixture, ``<metric>_i``. Channels are averaged. NaN where a metric is
        not defined: a silent reference, a PESQ that finds no utterance or another rate than 8 and
        16 kHz.

    Raises:
        InputError: for an unknown metric or source, or estimates of another shape.

    Example:
        >>> from types import SimpleNamespace
        >>> sources = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(0))
        >>> item = SimpleNamespace(mixture=sources.sum(0), sources=sources, sample_rate=8000,
        ...                        name="one", meta={"snr_db": 0.0})
        >>> halves = lambda mixture: torch.stack([mixture / 2, mixture / 2], 1)
        >>> table = evaluate(halves, [item], ["si_sdr"], method="halves")
        >>> table[["item", "source", "method", "si_sdr_i"]].values.tolist()
        [['one', 'source_1', 'halves', 0.0], ['one', 'source_2', 'halves', 0.0]]
    """
    pandas = require_package("pandas", "evaluate")
    metrics = default_metrics() if metrics is None else tuple(metrics)
    for metric in metrics:
        if metric not in METRICS:
            raise InputError(f"metrics: expected some of {', '.join(METRICS)}, got {metric!r}")
    name = method or getattr(separator, "__name__", type(separator).__name__)
    names = getattr(dataset, "source_names", None)
    rows: list[dict[str, Any]] = []
    for item in _with_progress(dataset, name, progress):
        rows.extend(_rows(separator, item, names, metrics, sources, permute, name))
    return pandas.DataFrame(rows)


def _with_progress(dataset: Iterable[Any], name: str, progress: bool) -> Iterable[Any]:
    if not progress:
        return dataset
    return require_package("tqdm.auto", "the progress bar", "tqdm").tqdm(dataset, desc=name)


def _rows(
    separator: Callable[..., torch.Tensor],
    item: Any,
    names: Sequence[str] | None,
    metrics: tuple[str, ...],
    wanted: Sequence[str] | None,
    permute: bool,
    method: str,
) -> list[dict[str, Any]]:
    references = item.sources  # (S, C, T)
    names = names or [f"source_{index + 1}" for index in range(len(references))]
    unknown = [source for source in wanted or [] if source not in names]
    if unknown:
        raise InputError(f"sources: expected some of {', '.join(names)}, got {unknown[0]!r}")
    kept = [index for index, name in enumerate(names) if wanted is None or name in wanted]
    estimates = matched_estimates(separator, item, names, permute)
    with torch.no_grad():
        scores = _scores(estimates, references, item.sample_rate, metrics, kept)
        # the floor of every table: the mixture as the estimate of each source
        unprocessed = item.mixture.expand_as(references)
        floor = _scores(unprocessed, references, item.sample_rate, metrics, kept)
    meta = {key: _as_cell(value) for key, value in item.meta.items()}
    rows = []
    for position, index in enumerate(kept):
        row = {**meta, "item": item.name, "source": names[index], "method": method}
        row["sample_rate"] = item.sample_rate
        for metric in metrics:
            row[metric] = scores[metric][position]
            row[f"{metric}_i"] = scores[metric][position] - floor[metric][position]
        rows.append({key: row[key] for key in sorted(row, key=_order)})
    return rows


@torch.no_grad()
def matched_estimates(
    separator: Callable[..., torch.Tensor],
    item: Any,
    names: Sequence[str] | None = None,
    permute: bool = False,
) -> torch.Tensor:
    """Separate an item: the estimates in the order of its sources.

    Args:
        separator: see :func:`evaluate`; one whose ``source_names`` are the same in another order is
            matched by name.
        item: see :func:`evaluate`.
        names: of the item's sources.
        permute: match by SI-SDR, see :func:`best_order`.

    Returns:
        ``(sources, channels, time)``.

    Raises:
        InputError: for estimates of another shape.

    Example:
        >>> from types import SimpleNamespace
        >>> sources = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
        >>> item = SimpleNamespace(mixture=sources.sum(0), sources=sources)
        >>> twice = lambda mixture: torch.stack([mixture, 2 * mixture], 1)
        >>> twice.source_names = ("vocals", "accompaniment")
        >>> matched_estimates(twice, item, ("accompaniment", "vocals")).tolist()
        [[[8.0, 12.0]], [[4.0, 6.0]]]
    """
    references = item.sources  # (S, C, T)
    arguments = [item.mixture[None]]
    if getattr(separator, "needs_sources", False):
        arguments.append(references[None])
    estimates = separator(*arguments)[0].to(references.device)
    if estimates.shape != references.shape:
        raise InputError(
            f"separator: expected estimates of shape {(1, *references.shape)}, "
            f"got {(1, *estimates.shape)}"
        )
    if permute:
        return estimates[best_order(estimates, references)]
    own = getattr(separator, "source_names", ())
    if names is not None and sorted(own) == sorted(names):
        return estimates[[own.index(name) for name in names]]
    return estimates


def _order(column: str) -> int:
    first = ("item", "source", "method", "sample_rate")
    return first.index(column) if column in first else len(first)


def _as_cell(value: Any) -> Any:
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def best_order(estimates: torch.Tensor, references: torch.Tensor) -> list[int]:
    """Which estimate to give to each source: the order with the highest sum of SI-SDR.

    Args:
        estimates: ``(sources, channels, time)``.
        references: the same shape.

    Returns:
        For each reference the index of its estimate.

    Example:
        >>> sources = torch.randn(2, 1, 400, generator=torch.Generator().manual_seed(0))
        >>> best_order(sources.flip(0), sources)
        [1, 0]
    """
    count = len(references)
    pairs = [[measures.si_sdr(e, r).mean() for e in estimates] for r in references]
    table = torch.nan_to_num(torch.tensor(pairs, dtype=torch.float64), nan=0.0)
    orders = itertools.permutations(range(count))
    return list(max(orders, key=lambda order: float(table[range(count), list(order)].sum())))


def _scores(
    estimates: torch.Tensor,
    references: torch.Tensor,
    sample_rate: int,
    metrics: tuple[str, ...],
    kept: list[int],
) -> dict[str, list[float]]:
    """Values of each metric for the sources ``kept``, averaged over channels."""
    scores: dict[str, torch.Tensor] = {}
    if any(metric in _BSS_EVAL for metric in metrics):
        # all references are needed, also those that are not reported
        result = measures.bss_eval(estimates.transpose(0, 1), references.transpose(0, 1))
        for field in _BSS_EVAL:
            scores[field] = getattr(result, field).transpose(0, 1)[kept]
    estimate, reference = estimates[kept], references[kept]
    for metric in metrics:
        if metric in _PER_SIGNAL:
            scores[metric] = getattr(measures, metric)(estimate, reference)
        elif metric == "stoi":
            scores[metric] = measures.stoi(estimate, reference, sample_rate)
        elif metric == "pesq" and sample_rate in _PESQ_MODES:
            mode = _PESQ_MODES[sample_rate]
            scores[metric] = measures.pesq(estimate, reference, sample_rate, mode)
        elif metric == "pesq":
            scores[metric] = torch.full(reference.shape[:-1], torch.nan)
    return {metric: scores[metric].double().mean(-1).tolist() for metric in metrics}


def bootstrap_interval(
    values: Any,
    statistic: Callable[..., Any] = np.nanmedian,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Estimate how uncertain a statistic is, by drawing the items again and again.

    Args:
        values: ``(items,)``, or ``(items, values)`` where the values of one item belong together,
            such as those of its sources: then whole items are drawn.
        statistic: a function like ``np.nanmedian`` that takes an array and ``axis``.
        confidence: probability that the interval is made for, in (0, 1).
        resamples: how many times the items are drawn.
        seed: of the draws.

    Returns:
        ``Interval(value, low, high)``: percentiles; all NaN if there is no value.

    Raises:
        InputError: if the values are no such array or the confidence is no probability.

    Source: Efron, "Bootstrap methods: another look at the jackknife", 1979.

    Example:
        >>> values = np.random.default_rng(0).normal(10, 1, size=100)
        >>> interval = bootstrap_interval(values)
        >>> 9.5 < interval.low < interval.value < interval.high < 10.5
        True
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim not in (1, 2):
        raise InputError(f"values: expected (items,) or (items, values), got shape {table.shape}")
    if not 0 < confidence < 1 or resamples < 1:
        raise InputError(
            "confidence and resamples: expected a number within (0, 1) and at least 1, "
            f"got {confidence} and {resamples}"
        )
    table = table[:, None] if table.ndim == 1 else table
    table = table[~np.isnan(table).all(1)]
    if len(table) == 0:
        return Interval(np.nan, np.nan, np.nan)
    drawn = _resampled(table, statistic, resamples, seed)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(drawn, ends, method="inverted_cdf")  # no arithmetic on infinities
    return Interval(float(statistic(table.ravel(), axis=0)), float(low), float(high))


def _resampled(
    table: np.ndarray, statistic: Callable[..., Any], resamples: int, seed: int
) -> np.ndarray:
    """The statistic of ``resamples`` draws of the rows, ``(resamples,)``."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _RESAMPLED_AT_ONCE // table.size)
    parts = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        rows = rng.integers(len(table), size=(count, len(table)))
        parts.append(statistic(table[rows].reshape(count, -1), axis=1))
    return np.concatenate(parts)


def summarise(
    scores: pandas.DataFrame,
    by: str | Sequence[str] = "method",
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pandas.DataFrame:
    """Condense the rows of :func:`evaluate` to medians with their spread and uncertainty.

    Args:
        scores: from :func:`evaluate`, or several of them concatenated.
        by: the column or columns that make a group.
        confidence: of the bootstrap intervals, which draw items, not rows.
        resamples: number of bootstrap samples.
        seed: of the bootstrap.

    Returns:
        A DataFrame, one row per group and metric: the group, ``metric``, ``median``, ``mad``
        (median absolute deviation from the median), ``low`` and ``high`` (the interval of the
        median) and ``n`` (rows with a value).

    Raises:
        InputError: if a column is missing.

    Example:
        >>> import pandas
        >>> scores = pandas.DataFrame(
        ...     {"item": list("abc"), "method": "wiener", "si_sdr": [1.0, 2.0, 6.0]})
        >>> summarise(scores)[["method", "metric", "median", "mad", "n"]].values.tolist()
        [['wiener', 'si_sdr', 2.0, 1.0, 3]]
    """
    pandas = require_package("pandas", "summarise")
    groups = [by] if isinstance(by, str) else list(by)
    missing = [column for column in (*groups, "item") if column not in scores]
    if missing:
        raise InputError(f"scores: expected a column {missing[0]!r}, got {list(scores.columns)}")
    wanted = [*METRICS, *(f"{metric}_i" for metric in METRICS)]
    columns = [column for column in scores.columns if column in wanted]
    rows = []
    for key, group in scores.groupby(groups, sort=False, dropna=False):
        # values of one item side by side, so that the bootstrap draws items
        place = group.groupby("item").cumcount()
        for metric in columns:
            per_item = group.set_index(["item", place])[metric].unstack().to_numpy()
            interval = bootstrap_interval(
                per_item, confidence=confidence, resamples=resamples, seed=seed
            )
            values = group[metric].to_numpy(dtype=np.float64)
            values = values[~np.isnan(values)]
            with np.errstate(invalid="ignore"):  # a silent estimate scores -inf
                mad = np.median(np.abs(values - interval.value)) if len(values) else np.nan
            rows.append(
                dict(zip(groups, key, strict=True))
                | {"metric": metric, "median": interval.value, "mad": float(mad)}
                | {"low": interval.low, "high": interval.high, "n": len(values)}
            )
    return pandas.DataFrame(rows)


def paired_comparison(
    first: Any,
    second: Any,
    metric: str = "si_sdr",
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two methods on the same items: the differences decide, not two separate means.

    Args:
        first: scores of one method: a table from :func:`evaluate`, or values ``(items,)``.
        second: scores of the other, of the same kind; tables are matched by item and source.
        metric: the column to compare, for tables.
        confidence: of the interval.
        resamples: number of bootstrap samples.
        seed: of the bootstrap.

    Returns:
        ``Comparison(difference, low, high, p_value, wins, n)``: the median of ``first - second``
        with its bootstrap interval, the two-sided bootstrap p value of "the median difference is
        zero", and on how many of the ``n`` pairs the first is better. Pairs with a NaN are left
        out; with tables, whole items are drawn.

    Raises:
        InputError: if the two do not have the same items, or there is no pair left.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993.

    Example:
        >>> first, second = np.arange(20.0) + 1.0, np.arange(20.0)
        >>> result = paired_comparison(first, second)
        >>> result.difference, result.wins, result.p_value < 0.001
        (1.0, 20, True)
    """
    differences = _differences(first, second, metric)
    flat = differences[~np.isnan(differences)]
    if len(flat) == 0:
        raise InputError("first and second: expected at least one pair of values, got none")
    value, low, high = bootstrap_interval(
        differences, confidence=confidence, resamples=resamples, seed=seed
    )
    present = differences[~np.isnan(differences).all(1)]
    drawn = _resampled(present, np.nanmedian, resamples, seed)
    extreme = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p_value = min(1.0, 2 * (extreme + 1) / (resamples + 1))
    return Comparison(value, low, high, float(p_value), int((flat > 0).sum()), len(flat))


def _differences(first: Any, second: Any, metric: str) -> np.ndarray:
    """``first - second`` as ``(items, values per item)``."""
    if hasattr(first, "columns") and hasattr(second, "columns"):
        keys = ["item", "source"]
        for name, table in (("first", first), ("second", second)):
            if missing := [column for column in (*keys, metric) if column not in table]:
                raise InputError(f"{name}: expected a column {missing[0]!r}, got none")
            if table.duplicated(keys).any():
                raise InputError(f"{name}: expected one method, got several rows per item")
        one, two = (table.set_index(keys)[metric].unstack() for table in (first, second))
        if not (one.index.sort_values().equals(two.index.sort_values()) and set(one) == set(two)):
            raise InputError("first and second: expected the same items and sources in both")
        return (one - two).to_numpy(dtype=np.float64)
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape:
        raise InputError(
            "first and second: expected two tables or two equally long lists of values, "
            f"got shapes {one.shape} and {two.shape}"
        )
    return (one - two)[:, None]
