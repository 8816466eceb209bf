"""Published numbers: what papers and lectures report, with where each comes from.

The table stands in ``lib/reference/published_results.csv``. A row is *verified* if its value was
found again in the paper or in an independent source, as its note says; the others are as printed
in one place. Numbers of another data set are never comparable with the course's own.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lib.errors import DataError, InputError, require_package

if TYPE_CHECKING:
    import pandas

__all__ = ["published"]

_TABLE = Path(__file__).parent / "reference" / "published_results.csv"


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
