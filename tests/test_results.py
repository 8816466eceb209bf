"""The stored results: complete, reproducible, and in the order and range of the literature."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
import torch

from lib.data import TwoSpeakers
from lib.errors import DataError, InputError
from lib.evaluation import evaluate, summarise
from lib.models import UPIT, card
from lib.published import published
from lib.results import BENCHMARKS, METHODS, benchmark, methods, stored, stored_card
from lib.widgets import results_table

SCRIPTS = Path(__file__).parents[1] / "data_scripts"


def _medians(name, metric, **where):
    scores = stored(name)
    for column, value in where.items():
        scores = scores[scores[column] == value]
    summary = summarise(scores, resamples=10)
    return summary[summary["metric"] == metric].set_index("method")["median"]


class _Items(list):
    """Some items of a data set, which names its sources."""


def _script(name="make_results"):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_method_is_scored_on_every_item_and_source(name):
    scores, card = stored(name), stored_card(name)
    dataset = benchmark(name).dataset()
    assert card["items"] == len(dataset) == 100
    assert card["clips"] == _script().fingerprint(dataset)
    counts = scores.groupby("method", sort=False).size()
    assert counts.to_dict() == dict.fromkeys(methods(name), 100 * len(benchmark(name).sources))
    floor = scores.loc[scores["method"] == "mixture", "si_sdr_i"]
    assert floor.isna().mean() < 0.1  # where a stem is silent there is no score
    assert (floor.dropna().abs() < 1e-3).all()


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (name, method)
        for name in BENCHMARKS
        for method in ("wiener", "ibm")
        if method in methods(name)
    ],
)
def test_stored_scores_are_those_that_the_code_gives_today(name, method):
    chosen = benchmark(name)
    dataset = chosen.dataset()
    items = _Items(dataset[index] for index in (0, 41))
    items.source_names = dataset.source_names
    metrics = [metric for metric in ("si_sdr", "stoi") if metric in chosen.metrics]
    fresh = evaluate(
        METHODS[method].make(chosen, dataset),
        items,
        metrics,
        sources=chosen.sources,
        permute=chosen.permute,
    )
    fresh = fresh.groupby("item")[metrics].first()
    kept = stored(name)
    kept = kept[(kept["method"] == method) & kept["item"].isin(fresh.index)]
    kept = kept.groupby("item")[metrics].first()
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
    script = _script()
    monkeypatch.setattr(script, "methods", lambda name: {"mixture": METHODS["mixture"]})
    scores = script.make("two_speakers", tmp_path, items=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "two_speakers.csv",
        "two_speakers.json",
    ]
    assert len(pd.read_csv(tmp_path / "two_speakers.csv")) == len(scores) == 2


def test_a_method_can_be_evaluated_alone(tmp_path):
    script, kept = _script(), stored("two_speakers")
    kept = kept[kept["item"] == kept["item"].iloc[0]]
    kept.to_csv(tmp_path / "two_speakers.csv", index=False)
    script.make("two_speakers", tmp_path, items=1, only=["mixture"])
    new = pd.read_csv(tmp_path / "two_speakers.csv")
    assert len(new[new["method"] == "mixture"]) == 2
    others = [table[table["method"] != "mixture"].reset_index(drop=True) for table in (kept, new)]
    pd.testing.assert_frame_equal(*others)


def test_scores_of_other_items_are_not_mixed_in(tmp_path, capsys):
    path = tmp_path / "two_speakers.csv"
    stored("two_speakers").to_csv(path, index=False)
    before = path.read_bytes()
    one = ["--methods", "mixture", "--items", "1", "--out"]
    assert _script().main(["two_speakers", *one, str(tmp_path)]) == 2
    assert "expected scores of 1 items beside the new ones, got 100" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert _script().main(["two_speakers", *one, str(tmp_path / "new")]) == 0
    assert set(pd.read_csv(tmp_path / "new" / "two_speakers.csv")["method"]) == {"mixture"}


def test_a_benchmark_without_the_methods_stays(tmp_path):
    arguments = ["noisy_speech", "--methods", "upit-blstm-small", "--out", str(tmp_path)]
    assert _script().main(arguments) == 0
    assert not list(tmp_path.iterdir())


def test_a_finished_training_becomes_a_checkpoint_with_the_scores_of_what_is_stored(
    tmp_path, monkeypatch
):
    script, name = _script("make_checkpoint"), "upit-blstm-small"
    few = BENCHMARKS["two_speakers"]
    dataset = TwoSpeakers("test", items=2, seconds=0.5)
    monkeypatch.setitem(BENCHMARKS, "two_speakers", few._replace(dataset=lambda: dataset))
    monkeypatch.setattr(script, "PRETRAINED", tmp_path / "pretrained")
    scored, evaluate = [], script.evaluate
    monkeypatch.setattr(
        script, "evaluate", lambda model, *a, **k: scored.append(model) or evaluate(model, *a, **k)
    )
    UPIT.tiny().save(tmp_path / "run" / "model", {"seed": 7})
    folder = script.make(name, tmp_path / "run")
    about, shipped = card(folder), UPIT.from_pretrained(folder)
    assert about["seed"] == 7 and "MIT" in about["licence"]
    mean, low, high = about["scores"]["mean_si_sdr_i"]
    assert about["scores"]["items"] == 2 and low <= mean <= high
    for ours, theirs in zip(scored[0].parameters(), shipped.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_unknown_benchmark_is_one_line_and_exit_code_2(capsys):
    assert _script().main(["no_such"]) == 2
    assert f"expected one of {', '.join(BENCHMARKS)}, got 'no_such'" in capsys.readouterr().err
    with pytest.raises(InputError, match="expected one of noisy_speech"):
        stored("no_such")


def test_the_folder_for_results_is_made_before_scoring(tmp_path, monkeypatch):
    module, seen = _script(), []
    monkeypatch.setattr(module, "make", lambda name, out, *rest: seen.append(out.is_dir()))
    assert module.main(["two_speakers", "--out", str(tmp_path / "new" / "one")]) == 0
    assert seen == [True]


def test_missing_results_say_how_to_make_them(monkeypatch):
    monkeypatch.setitem(BENCHMARKS, "new", BENCHMARKS["two_speakers"])
    with pytest.raises(DataError, match=r"python data_scripts/make_results\.py"):
        stored("new")


def test_a_table_names_the_methods_without_scores(monkeypatch):
    monkeypatch.setitem(METHODS, "new", METHODS["conv-tasnet-small"])
    with pytest.raises(DataError, match="two_speakers: expected .* every method, got none of new"):
        results_table("two_speakers")


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
