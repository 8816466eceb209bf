"""Chapter 7: its table is sourced, its claims are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from solutions import ch07 as solutions

from lib import data, mixing
from lib.checks.ch07 import split_files
from lib.errors import DataError, InputError
from lib.published import _datasets, datasets, published
from lib.widgets import dataset_atlas
from lib.widgets.dataset_atlas import PACK

ROOT = Path(__file__).resolve().parents[1]
ITEMS = (
    "Audiosep MVA|WSJ0-2mix|WSJ0|WHAM!|LibriMix|LibriSpeech|TIMIT|DNS Challenge 2020|MUSDB18|"
    "MUSDB18-HQ|MDX 2021|DSD100|MASS|MIR-1K|QUASI|ccMixter|MedleyDB|iKala|Slakh2100|"
    "The Easton Ellises - Falcon 69"
).split("|")


# ------------------------------------------------------------------ exercises


def test_the_key_of_the_leaks_follows_from_the_files():
    def song(name):
        return re.sub(r"_\(.*\)", "", name.lower())

    for name, column, same in (("A", "sha256", str), ("B", "person", str), ("C", "song", song)):
        table = split_files()[name]
        trained = set(table.loc[table["split"] == "train", column].map(same))
        test = table[table["split"] == "test"]
        assert (
            test.loc[test[column].map(same).isin(trained), "id"].tolist() == (solutions.LEAKS[name])
        )


# ------------------------------------------------------------------ the table of data sets


def test_every_corpus_is_listed_with_year_licence_access_trap_and_source():
    table = datasets()
    assert sorted(table["name"]) == sorted(ITEMS)
    for column in ("task", "contents", "unit", "licence", "licence_class", "access", "trap"):
        assert (table[column].str.len() > 2).all(), column
    assert (table["source"].str.len() > 10).all()
    assert table["year"].between(1990, 2026).all()
    assert table["sample_rate"].isin([8000, 16000, 44100]).all()
    assert table["channels"].isin([1, 2]).all()


def test_a_row_is_verified_only_if_nothing_in_it_is_from_memory():
    table = datasets()
    assert (table["verified"] == (table["from_memory"] == "")).all()
    assert 0.2 < table["verified"].mean() < 0.9
    assert "channel layout" in table.set_index("name").loc["MIR-1K", "from_memory"]


def test_hours_follow_from_the_published_fields():
    table = datasets().set_index("name")
    tracks = published(metric="tracks").set_index("dataset")["value"]
    seconds = published(metric="average duration").set_index("dataset")["value"]
    hours = tracks * seconds / 3600
    assert round(hours["Slakh2100"]) == 145
    for name in hours.index.drop("iKala"):
        assert table.loc[name, "hours"] == pytest.approx(hours[name])
    # 206 songs, 252 public clips: the clips count
    assert table.loc["iKala", "hours"] == pytest.approx(252 * 30 / 3600)
    assert table.loc["WSJ0", "hours"] != table.loc["WSJ0", "hours"]  # unknown, not zero


def test_its_citations_are_in_the_bibliography():
    keys = set(
        re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text("utf-8"), re.M)
    )
    assert set(datasets()["key"]) - {""} <= keys


def test_filters_combine_and_unknown_names_are_listed():
    rows = datasets("music separation", "non-commercial", verified=True)
    assert {"MUSDB18", "MedleyDB"} <= set(rows["name"])
    with pytest.raises(InputError, match="task: expected one of .*speech corpus.*got 'songs'"):
        datasets("songs")
    with pytest.raises(InputError, match="licence_class: expected one of"):
        datasets(licence_class="free")


def test_the_caller_cannot_change_the_table():
    mine = datasets()
    mine["year"] = 0
    assert (datasets()["year"] > 1990).all()


def test_a_missing_table_gives_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr("lib.published._DATASETS", tmp_path / "gone.csv")
    _datasets.cache_clear()
    try:
        with pytest.raises(DataError, match="install the course again"):
            datasets()
    finally:
        _datasets.cache_clear()


# ------------------------------------------------------------------ claims of the text


def test_the_pause_is_worth_its_activity():
    voice = torch.randn(24000, generator=torch.Generator().manual_seed(1))
    padded = torch.cat([voice, torch.zeros(56000)])
    noise = torch.ones(80000)
    gap = mixing.active_snr_db(padded, noise, 8000) - (
        mixing.level_db(padded) - mixing.level_db(noise)
    )
    assert gap.item() == pytest.approx(-10 * torch.log10(torch.tensor(0.3)).item(), abs=0.01)


def test_splits_share_no_person_no_sentence_and_no_file():
    table = data.manifest()
    speech = table[table["kind"] == "speech"]
    for column in ("person", "speaker", "text", "sha256"):
        assert (speech.groupby(column)["split"].nunique() == 1).all(), column
    songs = table[table["kind"] == "song"]
    assert (songs.groupby("song")["split"].nunique() == 1).all()


def test_closed_and_open_condition_differ_by_little():
    rows = published("WSJ0-2mix", "SDRi", "uPIT")
    rows = rows[rows["split_or_condition"].str.contains("assignment")]
    closed = rows["split_or_condition"].str.contains("closed")
    assert abs(rows.loc[closed, "value"].mean() - rows.loc[~closed, "value"].mean()) < 0.2


# ------------------------------------------------------------------ the atlas


def test_the_atlas_carries_every_corpus_and_the_pack():
    atlas = dataset_atlas(torch.zeros(2, 4410), 44100, format="vorbis", clip_text="a song")
    rows = {row["name"]: row for row in atlas.config["rows"]}
    assert set(rows) == set(ITEMS) | {PACK}
    assert rows["WSJ0"]["hours"] is None and rows["WSJ0"]["items"] is None
    assert rows["Slakh2100"]["hours"] == 145.25
    assert rows["iKala"]["items"] == 252 and not rows["iKala"]["verified"]
    spoken = data.clips("speech")
    assert rows[PACK]["items"] > len(spoken)
    assert rows[PACK]["hours"] > spoken["duration_s"].sum() / 3600
    assert "<unmix-dataset-atlas " in atlas._repr_html_()


def test_the_atlas_refuses_what_it_cannot_play():
    with pytest.raises(InputError, match="peak of 2"):
        dataset_atlas(2 * torch.ones(80), 8000)
    with pytest.raises(InputError, match="format"):
        dataset_atlas(torch.zeros(80), 8000, format="aac")
