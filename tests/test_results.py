"""The stored results: complete, reproducible, and in the order and range of the literature."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from lib.errors import DataError, InputError
from lib.evaluation import evaluate, summarise
from lib.published import published
from lib.results import BENCHMARKS, METHODS, benchmark, methods, stored, stored_card
from lib.widgets import results_table

SCRIPT = Path(__file__).parents[1] / "data_scripts" / "make_results.py"


def _medians(name, metric, **where):
    scores = stored(name)
    for column, value in where.items():
        scores = scores[scores[column] == value]
    summary = summarise(scores, resamples=10)
    return summary[summary["metric"] == metric].set_index("method")["median"]


def _make_results():
    spec = importlib.util.spec_from_file_location("make_results", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_method_is_scored_on_every_item_and_source(name):
    scores, card = stored(name), stored_card(name)
    assert card["items"] == len(benchmark(name).dataset()) == 100
    assert card["clips"] == _make_results().fingerprint(card["split"])
    counts = scores.groupby("method", sort=False).size()
    assert counts.to_dict() == dict.fromkeys(methods(name), 100 * len(benchmark(name).sources))
    assert (scores.loc[scores["method"] == "mixture", "si_sdr_i"].abs() < 1e-3).all()


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("method", ["wiener", "ibm"])
def test_stored_scores_are_those_that_the_code_gives_today(name, method):
    chosen = benchmark(name)
    dataset = chosen.dataset()
    items = [dataset[index] for index in (0, 41)]
    fresh = evaluate(
        METHODS[method].make(dataset.sample_rate),
        items,
        ("si_sdr", "stoi"),
        permute=chosen.permute,
    )
    fresh = fresh.groupby("item")[["si_sdr", "stoi"]].first()
    kept = stored(name)
    kept = kept[(kept["method"] == method) & kept["item"].isin(fresh.index)]
    kept = kept.groupby("item")[["si_sdr", "stoi"]].first()
    pd.testing.assert_frame_equal(fresh, kept, atol=2e-3, rtol=0)


@pytest.mark.parametrize(("metric", "papers_call_it"), [("si_sdr_i", "SI-SNRi"), ("sdr_i", "SDRi")])
def test_oracles_of_two_speakers_have_the_order_and_range_of_papers(metric, papers_call_it):
    ours = _medians("two_speakers", metric)
    assert ours["wfm"] > ours["ibm"] > ours["irm"]
    papers = published("WSJ0-2mix", papers_call_it, verified=True)
    for mask in ("irm", "ibm", "wfm"):
        rows = papers[papers["system"].str.contains(mask.upper())]
        value = rows.loc[rows["source_paper"].str.contains("Conv-TasNet"), "value"].iloc[0]
        assert abs(ours[mask] - value) < 3


def test_classical_methods_help_in_stationary_noise_and_not_with_two_speakers():
    steady = _medians("noisy_speech", "si_sdr_i", stationary=True)
    changing = _medians("noisy_speech", "si_sdr_i", stationary=False)
    speakers = _medians("two_speakers", "si_sdr_i")
    for method in ("spectral-subtraction", "wiener"):
        assert steady[method] > 3
        assert changing[method] < steady[method]
        assert speakers[method] < 0.5


def test_results_are_made_whole(tmp_path, monkeypatch):
    script = _make_results()
    monkeypatch.setattr(script, "methods", lambda name: {"mixture": METHODS["mixture"]})
    scores = script.make("two_speakers", tmp_path, items=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "two_speakers.csv",
        "two_speakers.json",
    ]
    assert len(pd.read_csv(tmp_path / "two_speakers.csv")) == len(scores) == 2


def test_a_method_can_be_evaluated_alone(tmp_path):
    script, kept = _make_results(), stored("two_speakers")
    kept.to_csv(tmp_path / "two_speakers.csv", index=False)
    script.make("two_speakers", tmp_path, items=1, only=["mixture"])
    new = pd.read_csv(tmp_path / "two_speakers.csv")
    assert len(new[new["method"] == "mixture"]) == 2
    others = [table[table["method"] != "mixture"].reset_index(drop=True) for table in (kept, new)]
    pd.testing.assert_frame_equal(*others)


def test_an_unknown_benchmark_is_one_line_and_exit_code_2(capsys):
    assert _make_results().main(["no_such"]) == 2
    assert "expected one of noisy_speech, two_speakers, got 'no_such'" in capsys.readouterr().err
    with pytest.raises(InputError, match="expected one of noisy_speech"):
        stored("no_such")


def test_the_folder_for_results_is_made_before_scoring(tmp_path, monkeypatch):
    module, seen = _make_results(), []
    monkeypatch.setattr(module, "make", lambda name, out, *rest: seen.append(out.is_dir()))
    assert module.main(["two_speakers", "--out", str(tmp_path / "new" / "one")]) == 0
    assert seen == [True]


def test_missing_results_say_how_to_make_them(monkeypatch):
    monkeypatch.setitem(BENCHMARKS, "new", BENCHMARKS["two_speakers"])
    with pytest.raises(DataError, match=r"python data_scripts/make_results\.py"):
        stored("new")


def test_the_table_shows_every_method_and_plays_one_mixture():
    table = results_table("two_speakers")
    rows, shown = table.config["rows"], methods("two_speakers")
    assert [row["method"] for row in rows] == [method.label for method in shown.values()]
    assert rows[0]["cells"][0] == ("0.0", "[0.0, 0.0]")
    assert len({row["source"] for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": {"colour": 1}}, "expected a column of the scores, got 'colour'"),
        ({"heard": 100}, "expected 0 to 99, got 100"),
    ],
)
def test_bad_requests_for_a_table(options, message):
    with pytest.raises(InputError, match=message):
        results_table("two_speakers", **options)
