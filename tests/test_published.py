"""The table of published results: readable, sourced, honest about what was verified."""

import math

import pytest

from lib.errors import DataError, InputError
from lib.published import _table, published


def test_every_row_has_a_source_and_says_whether_it_was_verified():
    rows = published()
    assert len(rows) > 600
    assert rows["verified"].dtype == bool
    assert 0.3 < rows["verified"].mean() < 0.9
    assert (rows["source_paper"].str.len() > 3).all()
    assert rows["value"].notna().all()
    assert (rows.loc[rows["verified"], "note"].str.startswith("verified")).all()
    assert not rows.loc[~rows["verified"], "note"].str.startswith("verified").any()


def test_filters_combine():
    rows = published("WSJ0-2mix", "SI-SNRi", "oracle", verified=True)
    assert set(rows["dataset"]) == {"WSJ0-2mix"} and set(rows["metric"]) == {"SI-SNRi"}
    assert rows["verified"].all()
    values = rows.groupby("system")["value"].agg(list)
    assert 12.2 in values["IRM (oracle)"]
    assert values["IBM (oracle)"] == [13.0, 13.0]
    assert values["WFM (oracle)"] == [13.4]
    unverified = published("WSJ0-2mix", "SI-SNRi", verified=False)
    both = published("WSJ0-2mix", "SI-SNRi")
    assert 0 < len(unverified) < len(both)


def test_the_caller_cannot_change_the_table():
    rows = published()
    rows["value"] = math.nan
    assert published()["value"].notna().all()


def test_unknown_names_are_listed():
    with pytest.raises(InputError, match="dataset: expected one of .*WSJ0-2mix.*got 'WSJ'"):
        published("WSJ")
    with pytest.raises(InputError, match="metric: expected one of"):
        published(metric="loudness")
    with pytest.raises(InputError, match="system: expected part"):
        published(system="no such net")


def test_a_missing_table_gives_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr("lib.published._TABLE", tmp_path / "gone.csv")
    _table.cache_clear()
    try:
        with pytest.raises(DataError, match="install the course again"):
            published()
    finally:
        _table.cache_clear()
