"""Tables of scores: shape, streaming, permutation, intervals, comparisons."""

import math
import weakref
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import torch

from lib import evaluation, metrics
from lib.errors import InputError
from lib.evaluation import bootstrap_interval, evaluate, paired_comparison, summarise
from lib.masks import OracleMask
from lib.stft import STFT

FAST = ["si_sdr", "snr"]


class Noises(list):
    source_names = ("first", "second")


def make_item(index, sources=2, channels=1, time=4000, rate=8000):
    generator = torch.Generator().manual_seed(index)
    signals = torch.randn(sources, channels, time, generator=generator)
    meta = {"snr_db": float(index), "speakers": ["a", "b"]}
    return SimpleNamespace(
        mixture=signals.sum(0), sources=signals, sample_rate=rate, name=f"item-{index}", meta=meta
    )


def identity(mixture):
    return mixture[:, None].expand(-1, 2, -1, -1)


def test_one_row_per_item_and_source():
    table = evaluate(identity, Noises(make_item(i) for i in range(3)), FAST, method="mixture")
    assert table.columns[:4].tolist() == ["item", "source", "method", "sample_rate"]
    assert table["item"].tolist() == [f"item-{i}" for i in (0, 0, 1, 1, 2, 2)]
    assert table["source"].tolist() == ["first", "second"] * 3
    assert set(table["method"]) == {"mixture"} and set(table["speakers"]) == {"a+b"}
    assert table["snr_db"].tolist() == [0, 0, 1, 1, 2, 2]
    assert (table["si_sdr_i"] == 0).all() and (table["snr_i"] == 0).all()


@pytest.mark.parametrize("channels", [1, 2])
def test_values_are_those_of_the_metrics(channels):
    item = make_item(0, channels=channels, time=8000)
    separator = OracleMask("irm", STFT(256, 64))
    table = evaluate(separator, [item], ["si_sdr", "sdr", "sir", "sar", "stoi"])
    estimates = separator(item.mixture[None], item.sources[None])[0]
    expected = metrics.si_sdr(estimates, item.sources).mean(-1)
    np.testing.assert_allclose(table["si_sdr"], expected, atol=1e-4)
    scores = metrics.bss_eval(estimates.transpose(0, 1), item.sources.transpose(0, 1))
    for field in ("sdr", "sir", "sar"):
        np.testing.assert_allclose(table[field], getattr(scores, field).mean(0), atol=1e-3)
    stoi = metrics.stoi(estimates, item.sources, 8000).mean(-1)
    np.testing.assert_allclose(table["stoi"], stoi, atol=1e-5)
    floor = metrics.si_sdr(item.mixture.expand_as(item.sources), item.sources).mean(-1)
    np.testing.assert_allclose(table["si_sdr_i"], expected - floor, atol=1e-4)


def test_memory_does_not_grow_with_the_number_of_items():
    alive = []
    most = 0

    def stream():
        nonlocal most
        for index in range(40):
            item = make_item(index)
            alive.append(weakref.ref(item.mixture))
            yield item
            del item
            most = max(most, sum(reference() is not None for reference in alive))

    assert len(evaluate(identity, stream(), ["si_sdr"])) == 80
    assert most <= 2


def test_permutation_finds_the_speakers():
    item = make_item(0, sources=3)

    def shuffled(mixture):
        return item.sources[[2, 0, 1]][None] + 0.01 * mixture[:, None]

    kept = evaluate(shuffled, [item], ["si_sdr"])
    found = evaluate(shuffled, [item], ["si_sdr"], permute=True)
    assert kept["si_sdr"].max() < 5
    assert found["si_sdr"].min() > 20


def test_only_some_sources():
    dataset = Noises([make_item(0, time=8000)])
    everything = evaluate(identity, dataset, ["si_sdr", "sdr"])
    second = evaluate(identity, dataset, ["si_sdr", "sdr"], sources=["second"])
    assert second["source"].tolist() == ["second"]
    pandas.testing.assert_frame_equal(
        everything[everything["source"] == "second"].reset_index(drop=True), second
    )


def test_silence_and_rates_without_pesq_are_nan():
    item = make_item(0, rate=11025)
    item.sources[1] = 0
    table = evaluate(identity, [item], ["si_sdr", "pesq"])
    assert math.isnan(table["si_sdr"][1]) and not math.isnan(table["si_sdr"][0])
    assert table["pesq"].isna().all()


def test_wrong_input_gives_one_clear_error():
    dataset = Noises([make_item(0)])
    with pytest.raises(InputError, match="metrics: expected some of"):
        evaluate(identity, dataset, ["loudness"])
    with pytest.raises(InputError, match="sources: expected some of first, second"):
        evaluate(identity, dataset, FAST, sources=["third"])
    with pytest.raises(InputError, match="separator: expected estimates of shape"):
        evaluate(lambda mixture: mixture[:, None], dataset, FAST)


def test_default_metrics_leave_pesq_out_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(evaluation.importlib.util, "find_spec", lambda name: None)
    assert evaluation.default_metrics() == ("si_sdr", "sdr", "stoi")


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        interval = bootstrap_interval(rng.normal(3, 1, 60), resamples=300, seed=trial)
        hits += interval.low <= 3 <= interval.high
    assert 0.9 <= hits / 200 <= 0.995


def test_interval_is_seeded_and_vectorised_in_parts(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = bootstrap_interval(values, seed=1)
    assert whole == bootstrap_interval(values, seed=1)
    assert whole != bootstrap_interval(values, seed=2)
    monkeypatch.setattr(evaluation, "_RESAMPLED_AT_ONCE", 1000)
    assert bootstrap_interval(values, seed=1) == whole


def test_interval_draws_items_not_rows():
    # eight equal values per item tell no more than one: the interval must not shrink
    values = np.random.default_rng(0).normal(size=30)
    alone = bootstrap_interval(values, np.nanmean)
    repeated = bootstrap_interval(np.repeat(values[:, None], 8, 1), np.nanmean)
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low, rel=1e-6)


def test_interval_of_mean_matches_its_formula():
    values = np.random.default_rng(1).normal(size=400)
    interval = bootstrap_interval(values, np.nanmean, confidence=0.9, resamples=4000)
    half = 1.645 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.1)


def test_interval_leaves_nan_out():
    interval = bootstrap_interval([1.0, np.nan, 1.0])
    assert interval == (1, 1, 1)
    assert np.isnan(bootstrap_interval([np.nan]).value)
    assert np.isnan(bootstrap_interval([]).low)


def test_interval_checks_its_input():
    with pytest.raises(InputError, match="items"):
        bootstrap_interval(np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match="confidence"):
        bootstrap_interval([1.0], confidence=95)


def scores(method, values):
    names = [f"item-{index // 2}" for index in range(len(values))]
    source = ["first", "second"] * (len(values) // 2)
    return pandas.DataFrame(
        {"item": names, "source": source, "method": method, "si_sdr": values, "snr_db": 0.0}
    )


def test_summary_by_hand():
    table = pandas.concat([scores("a", [1.0, 2, 3, 10]), scores("b", [0.0, 0, 0, np.nan])])
    summary = summarise(table).set_index("method")
    assert summary["metric"].unique().tolist() == ["si_sdr"]
    assert summary.loc["a", ["median", "mad", "n"]].tolist() == [2.5, 1.0, 4]
    assert summary.loc["b", ["median", "mad", "low", "high", "n"]].tolist() == [0, 0, 0, 0, 3]
    assert summary.loc["a", "low"] < 2.5 < summary.loc["a", "high"]
    by_source = summarise(table, ["method", "source"])
    assert len(by_source) == 4
    with pytest.raises(InputError, match="expected a column 'kind'"):
        summarise(table, "kind")


def test_comparison_sees_a_small_steady_difference_that_spread_hides():
    rng = np.random.default_rng(0)
    level = rng.normal(0, 10, 40)
    first, second = level + 0.5 + rng.normal(0, 0.2, 40), level
    result = paired_comparison(first, second)
    assert 0 < result.low < result.difference < result.high < 1
    assert result.p_value < 0.01 and result.wins >= 38 and result.n == 40
    swapped = paired_comparison(second, first)
    assert swapped.difference == pytest.approx(-result.difference)


def test_comparison_of_equals_is_not_significant():
    rng = np.random.default_rng(0)
    p_values = [
        paired_comparison(*rng.normal(size=(2, 30)), resamples=500).p_value for _ in range(60)
    ]
    assert np.mean(np.array(p_values) < 0.05) < 0.15
    same = paired_comparison([1.0, 2.0], [1.0, 2.0])
    assert same.p_value == 1 and same.wins == 0


def test_comparison_matches_tables_by_item_and_source():
    first = scores("a", [1.0, 2, 3, np.nan])
    second = scores("b", [0.0, 0, 1, 1])
    result = paired_comparison(first, second.sample(frac=1, random_state=0))
    assert result.difference == 2 and result.wins == 3 and result.n == 3
    with pytest.raises(InputError, match="same items"):
        paired_comparison(first, second.iloc[:2])
    with pytest.raises(InputError, match="several rows"):
        paired_comparison(pandas.concat([first, first]), second)
    with pytest.raises(InputError, match="expected a column 'pesq'"):
        paired_comparison(first, second, "pesq")
    with pytest.raises(InputError, match="equally long"):
        paired_comparison([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="at least one pair"):
        paired_comparison([np.nan], [1.0])
