"""Listening tests of a class: read the files of all listeners, and say what they show.

``lib.widgets.abx`` and ``lib.widgets.mushra`` make the tests; each listener hands in one JSON file
per test. Version 1 of the format::

    format, format_version   "unmixing-sound listening test", 1
    test                     kind ("abx" or "mushra"), name, version, items, systems; for ABX
                             repeats (trials per item); for MUSHRA scores (metric to item to system
                             to number, null where a metric is not defined)
    listener, seed           the id that was typed, and the seed of all orders that it gave
    started, finished        ISO 8601, UTC
    answers                  one per trial, in the order in which they were given, each with item,
                             seconds (since the trial was shown) and answered (ISO 8601, UTC);
        ABX                  a, b, x: the systems behind the letters; answer: "a" or "b"
        MUSHRA               order: the systems behind the letters A, B, ...; ratings: system to
                             number from 0 to 100

The last two systems of a MUSHRA test are the hidden reference and the anchor.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lib.errors import InputError, require_package
from lib.evaluation import bootstrap_interval
from lib.widgets.blind_test import FORMAT, LABEL, TEST_NAME
from lib.widgets.guess_the_score import LETTERS

if TYPE_CHECKING:
    import pandas

_LISTENER = re.compile(r"[^\W_][\w.-]{0,39}")
_MAX_BYTES = 1_000_000
_FAULTS_NAMED = 10
# BS.1534-3, 4.1.2: left out is who rates the hidden reference below 90 in more than 15 % of items
_REFERENCE_FOUND, _MISSES_ALLOWED = 90, 0.15
_SCORE_TOLERANCE = 0.05  # a page that was built again elsewhere may round another way
_SIGNS_AT_ONCE = 14  # up to so many listeners every pattern of signs is tried
_DRAWS = 10_000
_LEVEL = 0.05


class Analysis(NamedTuple):
    """What one test shows.

    ``test`` is its definition, ``answers`` a table with one row per answer, ``tables`` the
    statistics by heading, ``verdicts`` sentences that say what they mean.
    """

    test: dict[str, Any]
    answers: pandas.DataFrame
    tables: dict[str, pandas.DataFrame]
    verdicts: list[str]


# ------------------------------------------------------------------ files


def read_answers(folder: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Read the JSON files of a class, in whatever subfolders they are.

    Args:
        folder: where the files are; files of another kind are not looked at.

    Returns:
        Name of a test to its records, in the order of the listeners.

    Raises:
        InputError: if there are none, or if files cannot be merged: damaged, incomplete, of
            another format, of different versions of one test, two of one listener, or copies. All
            such files are named, with what is wrong.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "ana.json").write_text('{"format": "other"}')
        ...     read_answers(folder)
        Traceback (most recent call last):
        ...
        lib.errors.InputError: 1 of 1 files cannot be merged: ana.json: format: expected ...
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with the files of the listeners, got none")
    paths = sorted(
        path
        for path in folder.rglob("*")
        # what archives made on a Mac have beside each file starts with "._"
        if path.suffix.lower() == ".json" and path.is_file() and not path.name.startswith(".")
    )
    if not paths:
        raise InputError(f"{folder}: expected JSON files of a listening test, got none")
    records, faults = {}, {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            records[name] = _read(path)
        except InputError as error:
            faults[name] = str(error)
    faults |= _conflicts(records)
    if faults:
        named = [f"{name}: {fault}" for name, fault in faults.items()][:_FAULTS_NAMED]
        if len(faults) > _FAULTS_NAMED:
            named.append(f"and {len(faults) - _FAULTS_NAMED} more")
        raise InputError(
            f"{len(faults)} of {len(paths)} files cannot be merged: {'; '.join(named)}. "
            "Replace them, or move them out of the folder"
        )
    tests: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records.values(), key=lambda r: (r["test"]["name"], r["listener"])):
        tests.setdefault(record["test"]["name"], []).append(record)
    return tests


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"expected at most {_MAX_BYTES} bytes, got {path.stat().st_size}")
    try:
        # utf-8-sig: some editors put a mark in front
        record = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON as the test saves it, got {error}") from error
    _want(isinstance(record, dict), "the file", "a JSON object", record)
    for key, value in FORMAT.items():
        _want(record.get(key) == value, key, repr(value), record.get(key))
    _check_test(record.get("test"))
    listener = record.get("listener")
    good = isinstance(listener, str) and _LISTENER.fullmatch(listener)
    _want(good, "listener", "an id as the test takes it", listener)
    seed = record.get("seed")
    _want(type(seed) is int and 0 <= seed < 2**32, "seed", "an integer of 32 bits", seed)
    for key in ("started", "finished"):
        _check_time(record.get(key), key)
    _check_answers(record.get("answers"), record["test"])
    return record


def _no_number(name: str) -> float:
    raise ValueError(f"{name}, which is no number of JSON")


def _want(condition: Any, name: str, expected: str, got: Any) -> None:
    if not condition:
        text = repr(got)
        raise InputError(f"{name}: expected {expected}, got {text[:80]}{'…' * (len(text) > 80)}")


def _check_test(test: Any) -> None:
    _want(isinstance(test, dict), "test", "an object", test)
    kind, name, version = (test.get(key) for key in ("kind", "name", "version"))
    _want(kind in ("abx", "mushra"), "test.kind", "abx or mushra", kind)
    good = isinstance(name, str) and len(name) <= 60 and TEST_NAME.fullmatch(name)
    _want(good, "test.name", "small letters, digits and hyphens", name)
    _want(type(version) is int and version >= 1, "test.version", "1 or more", version)
    for key, least, most in (
        ("items", 1, 200),
        ("systems", *((2, 2) if kind == "abx" else (3, len(LETTERS)))),
    ):
        labels = test.get(key)
        good = isinstance(labels, list) and all(
            isinstance(label, str) and LABEL.fullmatch(label) for label in labels
        )
        good = good and least <= len(set(labels)) == len(labels) <= most
        _want(good, f"test.{key}", f"{least} to {most} different names", labels)
    if kind == "abx":
        repeats = test.get("repeats")
        _want(type(repeats) is int and 1 <= repeats <= 200, "test.repeats", "1 to 200", repeats)
        return
    scores = test.get("scores")
    _want(isinstance(scores, dict), "test.scores", "an object", scores)
    for metric, of_items in scores.items():
        _want(LABEL.fullmatch(metric), "test.scores", "names of metrics", metric)
        for item in test["items"]:
            values = of_items.get(item) if isinstance(of_items, dict) else None
            good = isinstance(values, dict) and set(values) <= set(test["systems"])
            good = good and all(value is None or _is_number(value) for value in values.values())
            _want(good, f"test.scores.{metric}", f"numbers of systems for {item}", values)


def _is_number(value: Any) -> bool:
    # a number of a thousand digits is an int that no float holds
    return type(value) in (int, float) and abs(value) < 1e12


def _check_time(value: Any, name: str) -> None:
    try:
        datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        _want(False, name, "a time in ISO 8601", value)


def _check_answers(answers: Any, test: dict[str, Any]) -> None:
    _want(isinstance(answers, list), "answers", "a list", answers)
    repeats = test.get("repeats", 1)
    expected = Counter({item: repeats for item in test["items"]})
    items = [answer.get("item") if isinstance(answer, dict) else None for answer in answers]
    if not all(isinstance(item, str) for item in items) or Counter(items) != expected:
        raise InputError(
            f"answers: expected {repeats} for each of {len(expected)} items, got {len(items)} "
            "in all, or others; was the test finished?"
        )
    systems = test["systems"]
    for number, answer in enumerate(answers, 1):
        where = f"answers[{number}]"
        seconds = answer.get("seconds")
        good = _is_number(seconds) and seconds >= 0
        _want(good, f"{where}.seconds", "a number of at least 0", seconds)
        _check_time(answer.get("answered"), f"{where}.answered")
        if test["kind"] == "abx":
            pair = [answer.get("a"), answer.get("b")]
            _want(pair in (systems, systems[::-1]), f"{where}.a and b", "the systems", pair)
            _want(answer.get("x") in systems, f"{where}.x", "a system", answer.get("x"))
            reply = answer.get("answer")
            _want(reply in ("a", "b"), f"{where}.answer", "a or b", reply)
            continue
        order, ratings = answer.get("order"), answer.get("ratings")
        good = isinstance(order, list) and all(isinstance(system, str) for system in order)
        good = good and sorted(order) == sorted(systems)
        _want(good, f"{where}.order", "every system once", order)
        good = isinstance(ratings, dict) and set(ratings) == set(systems)
        good = good and all(_is_number(r) and 0 <= r <= 100 for r in ratings.values())
        _want(good, f"{where}.ratings", "0 to 100 for every system", ratings)


def _conflicts(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Name of a file to what another file has against it."""
    faults: dict[str, str] = {}
    listeners: dict[tuple[str, str], str] = {}
    contents: dict[str, str] = {}
    # where files differ in what the test was, the most frequent one is taken for the right one
    tests = Counter(json.dumps(record["test"], sort_keys=True) for record in records.values())
    right = {
        test["name"]: test
        for test in map(json.loads, (text for text, _ in reversed(tests.most_common())))
    }
    for file, record in records.items():
        test, listener = record["test"], record["listener"]
        name, version, expected = test["name"], test["version"], right[test["name"]]
        if version != expected["version"]:
            faults[file] = (
                f"test.version: expected {expected['version']} of {name}, as most files have, "
                f"got {version}"
            )
            continue
        if not _same_test(test, expected):
            faults[file] = f"test: expected {name} as in most files, got another test of that name"
            continue
        other = listeners.setdefault((name, listener.casefold()), file)
        if other != file:
            faults[file] = f"listener: expected one file of {listener}, got also {other}"
            continue
        content = json.dumps([name, record["started"], record["answers"]], sort_keys=True)
        other = contents.setdefault(content, file)
        if other != file:
            faults[file] = f"answers: expected a listener's own, got a copy of {other}"
    return faults


def _same_test(one: dict[str, Any], other: dict[str, Any]) -> bool:
    plain = [{key: test[key] for key in test if key != "scores"} for test in (one, other)]
    scores = [_flat_scores(test) for test in (one, other)]
    return (
        plain[0] == plain[1]
        and scores[0].keys() == scores[1].keys()
        and all(abs(scores[0][key] - scores[1][key]) <= _SCORE_TOLERANCE for key in scores[0])
    )


def _flat_scores(test: dict[str, Any]) -> dict[tuple[str, str, str], float]:
    return {
        (metric, item, system): value
        for metric, of_items in test.get("scores", {}).items()
        for item, values in of_items.items()
        for system, value in values.items()
        if value is not None
    }


# ------------------------------------------------------------------ what they show


def analyse(records: Sequence[dict[str, Any]]) -> Analysis:
    """Say what the listeners of one test heard.

    Intervals are 95 % bootstrap intervals that draw listeners, and for correlations clips.

    For an **ABX** test: the share of right answers with its interval and the one-sided binomial
    p value of "everybody guesses", for each item, all items and each listener.

    For a **MUSHRA** test, listeners who rate the hidden reference below 90 in more than 15 % of the
    items are left out first. Then: mean ratings; differences of each two systems, where p comes
    from flipping the signs of the listeners' mean differences (exact for up to 14 listeners) and is
    corrected for the number of pairs by Holm's method; rank correlation (Spearman) and linear
    correlation (Pearson) of each metric with the mean ratings of the clips, without and with the
    anchor.

    Args:
        records: of one test, see :func:`read_answers`.

    Returns:
        See :class:`Analysis`.

    Raises:
        InputError: if there is no record.

    Source:
        Post-screening: ITU-R BS.1534-3, 2015, section 4.1.2.

    Example:
        >>> trial = {"item": "tone", "a": "one", "b": "two", "x": "one", "answer": "a",
        ...          "seconds": 3.0, "answered": "2026-01-01T00:00:03Z"}
        >>> test = {"kind": "abx", "name": "tones", "version": 1, "repeats": 5, "items": ["tone"],
        ...         "systems": ["one", "two"]}
        >>> analyse([{"test": test, "listener": "ana", "answers": [trial] * 5}]).verdicts
        ['5 of 5 answers are right (100 %); guessing does as well with p = 0.031. So one and two
        can be told apart.']
    """
    if not records:
        raise InputError("records: expected at least one, got none")
    return {"abx": _abx, "mushra": _mushra}[records[0]["test"]["kind"]](records)


def _abx(records: Sequence[dict[str, Any]]) -> Analysis:
    pandas = require_package("pandas", "the report")
    test = records[0]["test"]
    rows = [
        {
            "listener": record["listener"],
            "trial": number,
            **{key: answer[key] for key in ("item", "a", "b", "x", "answer")},
            "right": answer[answer["answer"]] == answer["x"],
            "seconds": answer["seconds"],
            "answered": answer["answered"],
        }
        for record in records
        for number, answer in enumerate(record["answers"], 1)
    ]
    answers = pandas.DataFrame(rows)
    by_item = [{"item": item, **_share(answers[answers["item"] == item])} for item in test["items"]]
    everything = _share(answers)
    by_listener = []
    for listener, own in answers.groupby("listener", sort=False):
        right, trials = int(own["right"].sum()), len(own)
        row = {"listener": listener, "right": right, "trials": trials, "p": _guess_p(right, trials)}
        by_listener.append({**row, "median seconds": own["seconds"].median()})
    tables = {
        "Items": pandas.DataFrame([*by_item, {"item": "all", **everything}]),
        "Listeners": pandas.DataFrame(by_listener),
    }
    pair = " and ".join(test["systems"])
    share = f"{everything['% right']:.0f} %"
    if len(records) > 1:
        share += f", 95 % interval {everything['low']:.0f} to {everything['high']:.0f} %"
    verdicts = [
        f"{everything['right']} of {everything['trials']} answers are right ({share}); guessing "
        f"does as well with p {_p(everything['p'])}. "
        + (
            f"So {pair} can be told apart."
            if everything["p"] < _LEVEL
            else f"So there is no evidence that {pair} can be told apart, which does not show that "
            "they sound the same."
        )
    ]
    if len(records) > 1:
        lucky = sum(row["p"] < _LEVEL for row in by_listener)
        verdicts.append(
            f"Of {len(records)} listeners, {lucky} do better than guessing on their own "
            f"(p below {_LEVEL:g}); by luck alone, {_LEVEL * len(records):.1f} of them would, or "
            "fewer."
        )
    return Analysis(test, answers, tables, verdicts)


def _share(answers: pandas.DataFrame) -> dict[str, float]:
    # (listeners, trials), so that the bootstrap draws listeners
    own = [group.to_numpy(dtype=float) for _, group in answers.groupby("listener")["right"]]
    right, trials = int(answers["right"].sum()), len(answers)
    share, low, high = _interval(100 * np.stack(own))
    row = {"right": right, "trials": trials, "% right": share, "low": low, "high": high}
    return {**row, "p": _guess_p(right, trials)}


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of ``(listeners, values)`` and the ends of its interval, NaN for one listener."""
    mean, low, high = bootstrap_interval(values, np.nanmean)
    return (mean, low, high) if len(values) > 1 else (mean, math.nan, math.nan)


def _guess_p(right: int, trials: int) -> float:
    binomial = require_package("scipy.stats", "the report").binom
    return float(binomial.sf(right - 1, trials, 0.5))


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _mushra(records: Sequence[dict[str, Any]]) -> Analysis:
    pandas = require_package("pandas", "the report")
    test = records[0]["test"]
    reference, systems = test["systems"][-2], test["systems"][:-2]
    screened = _screen(records, reference, len(test["items"]))
    kept = screened["kept"].to_numpy()
    rows = [
        {
            "listener": record["listener"],
            "kept": bool(stays),
            "trial": number,
            "item": answer["item"],
            "letter": letter,
            "system": system,
            "rating": answer["ratings"][system],
            "seconds": answer["seconds"],
            "answered": answer["answered"],
        }
        for record, stays in zip(records, kept, strict=True)
        for number, answer in enumerate(record["answers"], 1)
        for letter, system in zip(LETTERS, answer["order"], strict=False)
    ]
    ratings = {system: _ratings(records, system, test["items"]) for system in test["systems"]}
    means = []
    for system, values in ratings.items():
        mean, low, high = _interval(values[kept])
        row = {"system": system, "mean": mean, "low": low, "high": high}
        means.append({**row, "mean of all listeners": values.mean()})
    tables = {"Ratings": pandas.DataFrame(means).sort_values("mean", ascending=False)}
    verdicts = [
        f"{int(kept.sum())} of {len(records)} listeners found the hidden reference "
        "often enough and are kept."
    ]
    if kept.any():
        pairs = _pairs({system: ratings[system][kept] for system in systems})
        if len(pairs):
            tables["Differences"] = pairs
            verdicts += _preferences(pairs) or ["The ratings tell no two systems apart."]
        tables["Metrics"] = _correlations(
            test, {name: r[kept].mean(0) for name, r in ratings.items()}
        )
    tables["Listeners"] = screened
    return Analysis(test, pandas.DataFrame(rows), tables, verdicts)


def _ratings(records: Sequence[dict[str, Any]], system: str, items: list[str]) -> np.ndarray:
    """Ratings of a system, ``(listeners, items)``."""
    table = [{a["item"]: a["ratings"][system] for a in record["answers"]} for record in records]
    return np.array([[own[item] for item in items] for own in table], dtype=float)


def _screen(records: Sequence[dict[str, Any]], reference: str, items: int) -> pandas.DataFrame:
    pandas = require_package("pandas", "the report")
    rows = []
    for record in records:
        found = [answer["ratings"][reference] for answer in record["answers"]]
        missed = sum(rating < _REFERENCE_FOUND for rating in found)
        rows.append(
            {
                "listener": record["listener"],
                "kept": missed <= _MISSES_ALLOWED * items,
                "reference below 90": missed,
                "items": items,
                "median seconds": float(np.median([a["seconds"] for a in record["answers"]])),
            }
        )
    return pandas.DataFrame(rows)


def _pairs(ratings: dict[str, np.ndarray]) -> pandas.DataFrame:
    """Each two systems: mean difference, interval, p corrected for the number of pairs."""
    pandas = require_package("pandas", "the report")
    rows = []
    for first, second in itertools.combinations(ratings, 2):
        differences = ratings[first] - ratings[second]
        if differences.mean() < 0:
            first, second, differences = second, first, -differences
        mean, low, high = _interval(differences)
        row = {"first": first, "second": second, "difference": mean, "low": low, "high": high}
        rows.append({**row, "p": _sign_flip_p(differences.mean(1))})
    # Holm: the smallest p times the number of pairs, the next times one less, never falling
    corrected = 0.0
    order = sorted(rows, key=lambda row: row["p"])
    for place, row in enumerate(order):
        corrected = max(corrected, min(1.0, row["p"] * (len(order) - place)))
        row["p (Holm)"] = corrected
    return pandas.DataFrame(order)


def _sign_flip_p(differences: np.ndarray) -> float:
    """How often random signs take the mean as far from zero as it is."""
    count = len(differences)
    if count <= _SIGNS_AT_ONCE:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
    else:
        signs = np.random.default_rng(0).choice((1.0, -1.0), size=(_DRAWS, count))
        signs[0] = 1.0
    sums = np.abs(signs @ differences)
    return float(np.mean(sums >= abs(differences.sum()) - 1e-9))


def _preferences(pairs: pandas.DataFrame) -> list[str]:
    sentences = []
    for row in pairs.to_dict("records"):
        if row["p (Holm)"] < _LEVEL:
            sentences.append(
                f"{row['first']} is rated {row['difference']:.0f} points above {row['second']} "
                f"(95 % interval {row['low']:.0f} to {row['high']:.0f}, p {_p(row['p (Holm)'])})."
            )
    return sentences


def _correlations(test: dict[str, Any], means: dict[str, np.ndarray]) -> pandas.DataFrame:
    """How each metric goes with the mean rating per clip: one row per metric and set of clips."""
    pandas = require_package("pandas", "the report")
    anchor = test["systems"][-1]
    scores = _flat_scores(test)
    rows = []
    for metric in test["scores"]:
        for clips in ("systems", "systems and anchor"):
            pairs = [
                (value, means[system][test["items"].index(item)])
                for (name, item, system), value in scores.items()
                if name == metric and (system != anchor or clips != "systems")
            ]
            row = {"metric": metric, "clips": clips, "n": len(pairs)}
            for kind, ranked in (("Spearman", True), ("Pearson", False)):
                value, low, high = _correlation(pairs, ranked)
                row |= {kind: value, f"{kind} low": low, f"{kind} high": high}
            rows.append(row)
    return pandas.DataFrame(rows)


def _correlation(pairs: list[tuple[float, float]], ranked: bool) -> tuple[float, float, float]:
    if len(pairs) < 4:  # of three clips a sixth of all orders agree
        return math.nan, math.nan, math.nan
    rankdata = require_package("scipy.stats", "the report").rankdata

    def statistic(flat: np.ndarray, axis: int) -> np.ndarray:
        # the bootstrap hands out the pairs of a draw one behind the other on the last axis
        both = flat.reshape(*flat.shape[:-1], -1, 2)
        both = rankdata(both, axis=-2) if ranked else both
        both = both - both.mean(-2, keepdims=True)
        x, y = both[..., 0], both[..., 1]
        norm = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
        # what does not vary goes with nothing
        return np.where(norm > 1e-12, (x * y).sum(-1) / np.maximum(norm, 1e-12), 0.0)

    return bootstrap_interval(np.array(pairs), statistic)
