"""Listening tests of a class: what simulated listeners prefer is found, and bad files are named."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from test_widgets import _decode

from lib import cli
from lib.course import listening
from lib.course.listening import analyse, read_answers
from lib.course.listening_report import report
from lib.errors import InputError
from lib.widgets import abx, mushra
from lib.widgets.blind_test import FORMAT
from lib.widgets.listen import loudness

ITEMS = ["rain", "café", "wind"]
ABX = {"kind": "abx", "name": "pair", "version": 1, "repeats": 4}
ABX |= {"items": ITEMS, "systems": ["one", "two"]}
MUSHRA = {"kind": "mushra", "name": "many", "version": 2, "items": ITEMS}
MUSHRA["systems"] = ["plain", "tuned", "other", "reference", "anchor"]
MUSHRA["scores"] = {
    "good metric": {
        item: {"plain": 4.0 + i, "tuned": 9.0 + i, "other": 4.5 + i, "anchor": 1.0}
        for i, item in enumerate(ITEMS)
    },
    "no metric": {item: {"plain": None, "tuned": 1.0, "other": None} for item in ITEMS},
}


def record(test: dict, listener: str, answers: list[dict], start: int = 0) -> dict:
    """The file of a listener, as the page exports it."""
    times = [
        f"2026-03-01T10:{start + n // 60:02}:{n % 60:02}.000Z" for n in range(len(answers) + 1)
    ]
    for answer, time in zip(answers, times[1:], strict=True):
        answer |= {"seconds": 1.0, "answered": time}
    frame = {"listener": listener, "seed": 7, "started": times[0], "finished": times[-1]}
    return {**FORMAT, "test": test, **frame, "answers": answers}


def abx_listener(number: int, rng: np.random.Generator, hears: float) -> dict:
    """Somebody who finds X with this probability."""
    answers = []
    for item in rng.permutation(ITEMS * ABX["repeats"]):
        a, b = rng.permutation(ABX["systems"])
        x = rng.choice([a, b])
        right = rng.random() < hears
        reply = "a" if (x == a) == right else "b"
        answers.append({"item": item, "a": a, "b": b, "x": x, "answer": reply})
    return record(ABX, f"listener-{number}", answers, number)


def mushra_listener(
    number: int, rng: np.random.Generator, truth: dict[str, float], finds: float = 1.0
) -> dict:
    """Somebody with a habit of their own, who finds the reference with this probability."""
    answers, habit = [], rng.normal(0, 8)
    for item in rng.permutation(ITEMS):
        ratings = {
            s: float(np.clip(v + habit + rng.normal(0, 8), 0, 100)) for s, v in truth.items()
        }
        ratings = {system: round(rating) for system, rating in ratings.items()}
        ratings["reference"] = 100 if rng.random() < finds else 60
        order = [str(system) for system in rng.permutation(MUSHRA["systems"])]
        answers.append({"item": str(item), "order": order, "ratings": ratings})
    return record(MUSHRA, f"listener-{number}", answers, number)


EQUAL = {"plain": 55.0, "tuned": 55.0, "other": 55.0, "anchor": 20.0}
PLANTED = {**EQUAL, "tuned": 68.0}


def listeners(make, seed: int, *arguments, count: int = 12) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [make(number, rng, *arguments) for number in range(count)]


def save(folder, records) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in records:
        path = folder / f"{one['test']['name']}-{one['listener']}.json"
        path.write_text(json.dumps(one, ensure_ascii=False), encoding="utf-8")


# ------------------------------------------------------------------ what is found, and what is not


def test_a_planted_preference_is_recovered():
    covered = 0
    for seed in range(6):
        planted = analyse(listeners(mushra_listener, seed, PLANTED))
        found = planted.tables["Differences"].set_index(["first", "second"])
        for other in ("plain", "other"):
            row = found.loc[
                ("tuned", other)
            ]  # a row stands the way that its difference is positive
            assert row["p (Holm)"] < 0.05 and 0 < row["low"] < row["difference"] < row["high"]
            assert row["difference"] == pytest.approx(13, abs=6)
            covered += row["low"] <= 13 <= row["high"]
        assert sum(text.startswith("tuned is rated") for text in planted.verdicts) == 2
    assert covered >= 9  # of twelve


def test_no_preference_is_invented(monkeypatch):
    none = analyse(listeners(mushra_listener, 100, EQUAL))
    assert none.verdicts[1:] == ["The ratings tell no two systems apart."]
    # many classes, without the intervals, which take the time and have no part in this
    instead = lambda values, statistic: (np.nanmean(values),) * 3  # noqa: E731
    monkeypatch.setattr(listening, "bootstrap_interval", instead)
    classes = [analyse(listeners(mushra_listener, 100 + seed, EQUAL)) for seed in range(60)]
    invented = sum(len(one.verdicts) > 2 or "rated" in one.verdicts[1] for one in classes)
    assert 1 <= invented <= 7  # of 60 classes 3, or fewer since Holm is careful


def test_an_audible_difference_is_found_and_guessing_is_not_taken_for_one():
    taken = covered = 0
    for seed in range(12):
        heard = analyse(listeners(abx_listener, seed, 0.7))
        row = heard.tables["Items"].iloc[-1]
        assert row["p"] < 0.05
        covered += row["low"] <= 70 <= row["high"]
        assert "So one and two can be told apart." in heard.verdicts[0]
        guessed = analyse(listeners(abx_listener, 100 + seed, 0.5))
        taken += "no evidence" not in guessed.verdicts[0]
    assert taken <= 2 and covered >= 9


def test_binomial_p_and_shares_are_those_of_the_textbook():
    answers = analyse([abx_listener(0, np.random.default_rng(0), 1.0)])
    row = answers.tables["Items"].iloc[-1]
    assert row["p"] == pytest.approx(2.0**-12)
    assert row["% right"] == 100 and np.isnan(row["low"])
    assert len(answers.tables["Items"]) == 4 and len(answers.answers) == 12


def test_who_misses_the_reference_is_left_out():
    rng = np.random.default_rng(5)
    records = [mushra_listener(number, rng, PLANTED) for number in range(11)]
    deaf = mushra_listener(11, rng, {**EQUAL, "plain": 100.0}, finds=0.0)
    clean, spoilt = analyse(records), analyse([*records, deaf])
    screened = spoilt.tables["Listeners"].set_index("listener")
    assert not screened.loc["listener-11", "kept"] and screened["kept"].sum() == 11
    for column in ("mean", "low", "high"):
        one, other = (a.tables["Ratings"].set_index("system")[column] for a in (clean, spoilt))
        assert one.equals(other)
    assert (
        spoilt.tables["Ratings"].set_index("system").loc["plain", "mean of all listeners"]
        > clean.tables["Ratings"].set_index("system").loc["plain", "mean of all listeners"]
    )
    nobody = analyse([deaf])
    assert set(nobody.tables) == {"Ratings", "Listeners"}
    assert nobody.verdicts[0].startswith("0 of 1 listeners")


def test_one_miss_in_seven_is_allowed_and_two_are_not():
    items = [f"item {number}" for number in range(7)]
    test = {**MUSHRA, "items": items, "scores": {}}
    for misses, kept in ((1, True), (2, False)):
        answers = [
            {"item": item, "order": test["systems"]}
            | {"ratings": {s: 89.9 if number < misses else 90 for s in test["systems"]}}
            for number, item in enumerate(items)
        ]
        screened = analyse([record(test, "ana", answers)]).tables["Listeners"]
        assert screened["kept"].tolist() == [kept]


def test_metrics_are_compared_with_the_ratings():
    found = analyse(listeners(mushra_listener, 1, PLANTED)).tables["Metrics"]
    found = found.set_index(["metric", "clips"])
    good = found.loc[("good metric", "systems and anchor")]
    assert good["n"] == 12 and good["Spearman low"] > 0.4 < good["Pearson"]
    assert found.loc[("good metric", "systems"), "n"] == 9
    assert np.isnan(found.loc[("no metric", "systems"), "Spearman"])  # three clips are too few


def test_correlations_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    one = analyse(listeners(mushra_listener, 2, PLANTED))
    means = one.answers.groupby(["item", "system"])["rating"].mean()
    pairs = [
        (value, means[item, system])
        for item, values in MUSHRA["scores"]["good metric"].items()
        for system, value in values.items()
        if system != "anchor"
    ]
    row = one.tables["Metrics"].iloc[0]
    assert row["Spearman"] == pytest.approx(stats.spearmanr(*zip(*pairs, strict=True))[0])
    assert row["Pearson"] == pytest.approx(stats.pearsonr(*zip(*pairs, strict=True))[0])


# ------------------------------------------------------------------ the report


def test_report_of_a_class(tmp_path):
    records = [*listeners(abx_listener, 1, 0.8), *listeners(mushra_listener, 1, PLANTED)]
    save(tmp_path / "handed in" / "one", records[:9])
    save(tmp_path / "handed in", records[9:])
    (tmp_path / "handed in" / "notes.txt").write_text("not mine")
    written = report(tmp_path / "handed in")
    out = tmp_path / "handed in-report"
    assert written == [out / "report.html", out / "answers-many.csv", out / "answers-pair.csv"]
    assert sorted(out.iterdir()) == sorted(written)
    page = written[0].read_text(encoding="utf-8")
    assert "tuned is rated" in page and "can be told apart" in page and page.count("<svg") == 3
    # names of formats in the pictures are no requests
    assert not re.search(r'(src|href)="(?!#)|url\((?!#)|@import', page)
    table = written[1].read_text(encoding="utf-8").splitlines()
    assert table[0].startswith("listener,kept,trial,item,letter,system,rating")
    assert len(table) == 1 + 12 * 3 * 5
    with pytest.raises(InputError, match="add --force"):
        report(tmp_path / "handed in")
    report(tmp_path / "handed in", force=True)
    assert written[0].read_text(encoding="utf-8") == page


def test_markup_in_a_name_does_not_reach_the_report(tmp_path):
    text = json.dumps(mushra_listener(0, np.random.default_rng(0), EQUAL))
    for name in ("rain", "good metric", "tuned"):
        evil = json.loads(text.replace(f'"{name}"', '"<script>alert(1)</script>"'))
        save(tmp_path / name, [evil])
        with pytest.raises(InputError, match="test.(items|scores|systems): expected .*names"):
            report(tmp_path / name)


# ------------------------------------------------------------------ files that cannot be merged


def change(path: str, value):
    """Set what stands at a path such as ``answers.0.seconds``; ``...`` takes it away."""

    def apply(one: dict) -> None:
        *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        for key in way:
            one = one[key]
        if value is ...:
            del one[last]
        else:
            one[last] = value

    return apply


@pytest.mark.parametrize(
    ("make", "path", "value", "message"),
    [
        (abx_listener, "format", "other", "format: expected 'unmixing-sound listening test'"),
        (abx_listener, "format_version", 2, "format_version: expected 1, got 2"),
        (abx_listener, "test", [], "test: expected an object, got"),
        (abx_listener, "test.kind", "mos", "test.kind: expected abx or mushra"),
        (abx_listener, "test.name", "../etc", "test.name"),
        (abx_listener, "test.version", True, "test.version"),
        (abx_listener, "test.systems", ["one"], "test.systems: expected 2 to 2 different"),
        (abx_listener, "test.systems", ["one", ["two"]], "test.systems"),
        (abx_listener, "test.repeats", "4", "test.repeats"),
        (abx_listener, "listener", "=cmd()", "listener: expected an id"),
        (abx_listener, "seed", -1, "seed"),
        (abx_listener, "started", "yesterday", "started: expected a time"),
        (abx_listener, "answers", ..., "answers: expected a list, got None"),
        (abx_listener, "answers.0", ..., "was the test finished"),
        (abx_listener, "answers.3.item", 5, "was the test finished"),
        (abx_listener, "answers.0.seconds", -1, r"answers\[1\].seconds"),
        (abx_listener, "answers.0.answered", 5, r"answers\[1\].answered"),
        (abx_listener, "answers.1.a", "three", r"answers\[2\].a and b"),
        (abx_listener, "answers.1.x", ["one"], r"answers\[2\].x"),
        (abx_listener, "answers.1.answer", "x", r"answers\[2\].answer"),
        (mushra_listener, "test.scores", ..., "test.scores: expected an object"),
        (mushra_listener, "test.scores.good metric.rain", {"plain": "4"}, "numbers of systems"),
        (mushra_listener, "test.scores.good metric.rain", ..., "numbers of systems"),
        (mushra_listener, "answers.0.order", ["plain"] * 5, r"order: expected every system once"),
        (mushra_listener, "answers.0.order", [5], r"order: expected every system once"),
        (mushra_listener, "answers.0.ratings.tuned", 101, "0 to 100 for every system"),
        (mushra_listener, "answers.0.ratings.tuned", True, "0 to 100 for every system"),
        (mushra_listener, "answers.0.ratings.tuned", ..., "0 to 100 for every system"),
        (mushra_listener, "answers.0.ratings.tuned", 10**400, "0 to 100 for every system"),
    ],
)
def test_malformed_files_are_named(tmp_path, make, path, value, message):
    rng = np.random.default_rng(0)
    records = json.loads(
        json.dumps([make(n, rng, 0.5 if make is abx_listener else EQUAL) for n in range(3)])
    )
    change(path, value)(records[1])
    save(tmp_path, [records[0], records[2]])
    (tmp_path / "bad.json").write_text(json.dumps(records[1]), encoding="utf-8")
    with pytest.raises(InputError, match=f"1 of 3 files cannot be merged: bad.json: .*{message}"):
        read_answers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b'{"format": NaN}',
        b"[" * 100_000,
        b"1" * 2_000_000,
        b"1" * 20_000,
    ],
    ids=["empty", "cut", "list", "bytes", "nan", "deep", "long", "number"],
)
def test_what_is_no_answer_at_all(tmp_path, data):
    (tmp_path / "bad.json").write_bytes(data)
    with pytest.raises(InputError, match="1 of 1 files cannot be merged: bad.json: .*expected"):
        read_answers(tmp_path)


def test_foreign_duplicated_and_copied_files_are_named(tmp_path):
    records = json.loads(json.dumps(listeners(mushra_listener, 0, EQUAL, count=8)))
    records[1]["test"]["version"] = 3
    records[2]["test"]["systems"][0] = "another"
    for answer in records[2]["answers"]:
        answer["order"] = records[2]["test"]["systems"]
        answer["ratings"]["another"] = answer["ratings"].pop("plain")
    for item in ITEMS:
        values = records[2]["test"]["scores"]["good metric"][item]
        values["another"] = values.pop("plain")
        records[2]["test"]["scores"]["no metric"][item].pop("plain")
    records[3]["answers"], records[3]["started"] = records[0]["answers"], records[0]["started"]
    records[4]["test"]["scores"]["good metric"]["rain"]["plain"] += 0.01  # rounded elsewhere
    records[5]["test"]["scores"]["good metric"]["rain"]["plain"] += 1
    save(tmp_path, records)
    twice = {**records[6], "listener": "LISTENER-6"}
    (tmp_path / "twice.json").write_text(json.dumps(twice), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_answers(tmp_path)
    text = str(caught.value)
    assert text.startswith("5 of 9 files cannot be merged")
    for part in (
        "many-listener-1.json: test.version: expected 2 of many, as most files have, got 3",
        "many-listener-2.json: test: expected many as in most files",
        "many-listener-3.json: answers: expected a listener's own, got a copy of many-listener-0",
        "many-listener-5.json: test: expected many as in most files",
        "twice.json: listener: expected one file of LISTENER-6, got also many-listener-6.json",
    ):
        assert part in text


def test_a_class_of_bad_files_is_one_short_message(tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02}.json").write_text("{}")
    with pytest.raises(InputError, match=r"30 of 30 .* 09.json: .*and 20 more"):
        read_answers(tmp_path)


def test_a_folder_without_answers(tmp_path):
    (tmp_path / "._mac.json").write_text("{}")
    with pytest.raises(InputError, match="expected JSON files of a listening test"):
        read_answers(tmp_path)
    with pytest.raises(InputError, match="at least one"):
        analyse([])


def test_command_line(tmp_path, capsys):
    save(tmp_path / "class", listeners(abx_listener, 0, 0.5, count=2))
    arguments = ["course", "listening", str(tmp_path / "class"), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    names = ["report.html", "answers-pair.csv"]
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in names]
    (tmp_path / "class" / "bad.json").write_text("{}")
    assert cli.main([*arguments, "--force"]) == 2
    errors = capsys.readouterr().err
    assert (
        errors.startswith("error: 1 of 3 files cannot be merged: bad.json") and "\n" == errors[-1]
    )


def test_nothing_is_written_where_something_stands(tmp_path):
    save(tmp_path / "in", listeners(abx_listener, 0, 0.5, count=2))
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InputError, match="expected a folder, got a file"):
        report(tmp_path / "in", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


# ------------------------------------------------------------------ the pages' Python side


def clips(seconds: float = 0.5) -> tuple[dict, dict]:
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(round(16000 * seconds)) / 16000
    items, references = {}, {}
    for item, pitch in (("low", 200.0), ("high", 500.0)):
        tone = 0.2 * torch.sin(2 * torch.pi * pitch * time)
        noise = torch.randn(len(time), generator=generator)
        items[item] = {"hiss": tone + 0.3 * noise, "soft": 0.01 * (tone + 0.1 * noise)}
        references[item] = tone + 0.05 * noise
    return items, references


def test_clips_in_the_page_are_equally_loud():
    items, references = clips(1.0)
    for output in (
        abx(items, 16000, name="loud"),
        mushra(items, references, 16000, name="loud"),
    ):
        levels = []
        for source in (source for item in output.config["clips"] for source in item):
            samples, rate = _decode(source)
            levels.append(loudness(samples.T, rate))
        assert max(levels) - min(levels) < 0.1


def test_the_page_of_the_book():
    """What it carries is equally loud, and what its text says of the anchor is so."""
    text = (Path(cli.__file__).parents[1] / "book" / "listening_test.md").read_text("utf-8")
    names, outputs = {}, []
    for cell in re.findall(r"```\{code-cell\}[^\n]*\n:tags: [^\n]*\n(.*?)```", text, re.S):
        *statements, last = ast.parse(cell).body
        exec(compile(ast.Module(statements, []), "cell", "exec"), names)
        if isinstance(last, ast.Expr):
            outputs.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
        else:
            exec(compile(ast.Module([last], []), "cell", "exec"), names)
    assert [output.config["test"]["kind"] for output in outputs] == ["abx", "mushra"]
    assert len(outputs[0].config["test"]["items"]) * outputs[0].config["test"]["repeats"] == 12
    for output in outputs:
        decoded = [_decode(source) for item in output.config["clips"] for source in item]
        levels = [loudness(samples.T, rate) for samples, rate in decoded]
        assert max(levels) - min(levels) < 0.1
    for of_items in outputs[1].config["test"]["scores"].values():
        for values in of_items.values():
            assert max(values, key=values.get) == "anchor"


def test_the_anchor_ends_at_three_and_a_half_kilohertz():
    items, references = clips(1.0)
    output = mushra(items, references, 16000, name="anchor")
    samples, _ = _decode(output.config["clips"][0][-1])
    power = np.abs(np.fft.rfft(samples[:, 0])) ** 2  # one bin per hertz
    assert power[3600:].sum() < 1e-5 * power[:3500].sum()
    assert output.config["test"]["systems"][-2:] == ["reference", "anchor"]


def test_scores_of_every_clip_are_in_the_test(monkeypatch):
    items, references = clips(1.0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    scores = mushra(items, references, 16000, name="s").config["test"]["scores"]
    assert list(scores) == ["SI-SDR", "STOI"]
    assert list(scores["STOI"]["low"]) == ["hiss", "soft", "anchor"]
    assert scores["SI-SDR"]["low"]["soft"] > scores["SI-SDR"]["low"]["hiss"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Two Words"}, "name: expected up to 60 small letters"),
        ({"version": 0}, "version: expected 1"),
        ({"repeats": 2}, "5 to 200 trials of 2 item"),
        ({"repeats": "4"}, "5 to 200 trials"),
        ({"items": {}}, "at least one item"),
        ({"items": {"a": {"x": torch.ones(80)}}}, "expected two systems"),
        ({"items": {"a": {"x": torch.ones(80), "y": torch.ones(81)}}}, "of one shape"),
        ({"items": {"a": {"x": torch.ones(80), "y": torch.zeros(80)}}}, "leave silence out"),
        ({"items": {"a": {"x": torch.ones(80), "=y": torch.ones(80)}}}, "got '=y'"),
        (
            {"items": {n: {k: torch.ones(80) for k in n} for n in ("xy", "yx")}},
            "in the same order",
        ),
    ],
)
def test_what_an_abx_test_cannot_take(arguments, message):
    items, _ = clips()
    with pytest.raises(InputError, match=message):
        abx(**{"items": items, "sample_rate": 16000, "name": "n", **arguments})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda items, references: items["low"].update(anchor=items["low"]["soft"]),
            "none of them",
        ),
        (lambda items, references: references.pop("low"), "references: expected one for each"),
        (lambda items, references: references.update(low=torch.ones(9)), "the reference's shape"),
        (lambda items, references: items.update(low={}), "expected 1 to 6 systems"),
    ],
)
def test_what_a_mushra_test_cannot_take(change, message):
    items, references = clips()
    change(items, references)
    with pytest.raises(InputError, match=message):
        mushra(items, references, 16000, name="n")
    with pytest.raises(InputError, match="at least 16000 Hz"):
        mushra(items, references, 8000, name="n")
