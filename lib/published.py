"""Published numbers: what papers and lectures report, with where each comes from.

The table stands in ``lib/reference/published_results.csv``. A row is *verified* if its value was
found again in the paper or in an independent source, as its note says; the others are as printed
in one place. Numbers of another data set are never comparable with the course's own.

``lib/reference/datasets.csv`` lists the data sets themselves: what they hold, under which licence,
and the trap in each.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lib.errors import DataError, InputError, require_package

if TYPE_CHECKING:
    import pandas

__all__ = ["datasets", "published"]

_TABLE = Path(__file__).parent / "reference" / "published_results.csv"
_DATASETS = Path(__file__).parent / "reference" / "datasets.csv"


@lru_cache(maxsize=1)
def _table() -> pandas.DataFrame:
    pandas = require_package("pandas", "published")
    try:
        table = pandas.read_csv(_TABLE, encoding="utf-8", dtype={"year": "Int64"})
    except OSError as error:
        raise DataError(
            f"{_TABLE}: expected the table of published results, got an error ({error}); "
            "install the course again"
        ) from error
    text = [column for column in table if column not in ("year", "value", "std", "verified")]
    table[text] = table[text].fillna("")
    return table


def published(
    dataset: str | None = None,
    metric: str | None = None,
    system: str | None = None,
    verified: bool | None = None,
) -> pandas.DataFrame:
    """Look up published results.

    Args:
        dataset: keep rows of this data set, for example ``"WSJ0-2mix"``.
        metric: keep rows of this metric, for example ``"SI-SNRi"``.
        system: keep rows whose system contains this text, upper or lower case.
        verified: keep only rows that were (True) or were not (False) found again elsewhere.

    Returns:
        A DataFrame with the columns ``system``, ``year``, ``task``, ``dataset``,
        ``split_or_condition``, ``metric``, ``unit``, ``value``, ``std``, ``verified``,
        ``source_paper`` and ``note``.

    Raises:
        InputError: if the table has no such data set, metric or system.

    Example:
        >>> rows = published("WSJ0-2mix", "SDRi", "oracle", verified=True)
        >>> bool(rows["verified"].all())
        True
    """
    rows = _table()
    for column, wanted in (("dataset", dataset), ("metric", metric)):
        if wanted is not None:
            known = sorted(rows[column].unique())
            if wanted not in known:
                raise InputError(f"{column}: expected one of {', '.join(known)}, got {wanted!r}")
    if dataset is not None:
        rows = rows[rows["dataset"] == dataset]
    if metric is not None:
        rows = rows[rows["metric"] == metric]
    if system is not None:
        matches = rows["system"].str.contains(system, case=False, regex=False)
        if not matches.any():
            raise InputError(
                f"system: expected part of the name of a listed system, got {system!r}; "
                "see published()['system'].unique()"
            )
        rows = rows[matches]
    if verified is not None:
        rows = rows[rows["verified"] == verified]
    return rows.reset_index(drop=True)


@lru_cache(maxsize=1)
def _datasets() -> pandas.DataFrame:
    pandas = require_package("pandas", "datasets")
    whole = dict.fromkeys(("year", "items", "sample_rate", "channels"), "Int64")
    try:
        table = pandas.read_csv(_DATASETS, encoding="utf-8", dtype=whole).set_index("name")
    except OSError as error:
        raise DataError(
            f"{_DATASETS}: expected the table of data sets, got an error ({error}); "
            "install the course again"
        ) from error
    statistics = published().query("task == 'dataset statistics'")
    statistics = statistics.pivot_table("value", "dataset", "metric").reindex(table.index)
    table["items"] = table["items"].fillna(statistics["tracks"].astype("Int64"))
    table["mean_s"] = table["mean_s"].fillna(statistics["average duration"])
    table["hours"] = table["hours"].fillna(table["items"].astype(float) * table["mean_s"] / 3600)
    text = table.select_dtypes(["object", "string"]).columns
    table[text] = table[text].fillna("")
    return table.reset_index()


def datasets(
    task: str | None = None, licence_class: str | None = None, verified: bool | None = None
) -> pandas.DataFrame:
    """Look up the corpora that separation is trained and tested on.

    Where the table states no hours they are ``items * mean_s / 3600``, with the number of tracks
    and their mean length from :func:`published` (rows of the task ``"dataset statistics"``).

    Args:
        task: ``"speech corpus"``, ``"speech separation"``, ``"speech enhancement"`` or
            ``"music separation"``; all if None.
        licence_class: ``"open"``, ``"non-commercial"``, ``"paid"``, ``"ask the source"`` or
            ``"not available"``; all if None.
        verified: keep only rows of which every column was (True), or not every column was
            (False), found again in a source; ``from_memory`` names the others.

    Returns:
        A DataFrame with the columns ``name``, ``year``, ``task``, ``contents``, ``items`` (how
        many ``unit``), ``unit``, ``mean_s`` (length in s), ``hours``, ``sample_rate`` (Hz),
        ``channels``, ``licence``, ``licence_class``, ``access``, ``trap``, ``key`` (of
        ``book/references.bib``), ``source``, ``from_memory`` and ``verified``. Unknown numbers
        are missing values.

    Raises:
        InputError: for an unknown task or class of licence.

    Example:
        >>> row = datasets("music separation", "open").iloc[0]
        >>> row["name"], int(row["items"]), round(row["hours"])
        ('Slakh2100', 2100, 145)
    """
    rows = _datasets()
    for column, wanted in (("task", task), ("licence_class", licence_class)):
        if wanted is None:
            continue
        known = sorted(_datasets()[column].unique())
        if wanted not in known:
            raise InputError(f"{column}: expected one of {', '.join(known)}, got {wanted!r}")
        rows = rows[rows[column] == wanted]
    if verified is not None:
        rows = rows[rows["verified"] == verified]
    return rows.reset_index(drop=True)
