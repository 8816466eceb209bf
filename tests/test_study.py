"""The study of voice in noise: a trial of the whole of it, and what its table says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from lib import study
from lib.data import noise_kinds
from lib.errors import DataError, InputError
from lib.training.recipes import load_recipe

SCRIPT = Path(__file__).parent.parent / "data_scripts" / "make_study.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_trial_of_the_whole_study(script, tmp_path, capsys):
    places = {name: tmp_path / name for name in ("runs", "out", "report")}
    arguments = [f"--{name}={place}" for name, place in places.items()]
    arguments += ["--trial", "--clips=1", "--seeds", "5", "--variants", "unet-voice", "wave-unet"]
    assert script.main(arguments) == 0
    scores = study.stored(places["out"])
    assert len(scores) == 5 * len(study.LEVELS_DB)  # three baselines, two networks
    assert set(scores["seed"]) == {0, 5}
    about = json.loads((places["out"] / "study.json").read_text())
    assert sorted(about["hours"]) == ["unet-voice-5", "wave-unet-5"]
    rows = pandas.read_csv(places["report"] / "table.csv", index_col=0)
    assert "Wave-U-Net" in rows.index
    assert {path.name for path in places["report"].glob("*.svg")} == {
        f"{metric}.svg" for metric in study.METRICS
    }
    # a second call trains nothing again
    before = (places["runs"] / "wave-unet-5" / "model" / "card.json").stat().st_mtime_ns
    assert script.main(["train", *arguments]) == 0
    assert (places["runs"] / "wave-unet-5" / "model" / "card.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", study.VARIANTS)
def test_all_variants_see_the_same_clips_for_as_many_steps(name):
    variant = study.VARIANTS[name]
    recipe = load_recipe(variant.recipe, variant.changes)
    same = ("snr_db", "batch_size", "steps_per_epoch")
    assert [recipe["data"][key] for key in same] == [list(study.TRAINED_DB), 8, 200]
    assert recipe["trainer"]["max_epochs"] == 6
    margin = recipe["objective"].get("margin", 0) / study.SAMPLE_RATE
    assert recipe["data"]["chunk"] - 2 * margin == pytest.approx(2.0)


def test_context_is_as_wide_as_the_network_looks():
    from lib.training.recipes import build_model

    recipe = load_recipe("study-wave-unet")
    model = build_model(recipe)
    behind = model.receptive_field - 1 - model.lookahead
    assert max(model.lookahead, behind) <= recipe["objective"]["margin"]


def made_up(spread):
    """Scores of two methods: one adds 5 dB in noise that it knows, with seeds that differ."""
    rows = []
    for level in study.LEVELS_DB:
        for item in range(4):
            unseen = item == 3
            base = {"item": f"{item} {level}", "level_db": level, "unseen": unseen}
            rows.append(base | {"variant": "mixture", "seed": 0, "si_sdr": level})
            for seed in (1, 2):
                gain = 0.0 if unseen else 5.0 + spread * (seed - 1)
                rows.append(base | {"variant": "unet", "seed": seed, "si_sdr": level + gain})
    return pandas.DataFrame(rows)


def test_the_table_keeps_to_the_trained_levels_and_tells_seen_from_unseen():
    rows = study.table(made_up(1.0), ["si_sdr"])
    assert rows.loc["Mixture", "si_sdr"] == pytest.approx(-2.0)
    assert rows.loc["U-Net, two masks", "si_sdr"] == pytest.approx(3.5)
    assert rows.loc["U-Net, two masks", "si_sdr seeds"] == pytest.approx(1.0)
    assert rows.loc["U-Net, two masks", "si_sdr unseen"] == pytest.approx(-2.0)
    low, high = rows.loc["U-Net, two masks", ["si_sdr low", "si_sdr high"]]
    assert low < 3.5 < high


def test_the_figure_has_a_line_per_variant_and_dots_for_seeds():
    drawn = study.figure(made_up(1.0), "si_sdr", ["mixture", "unet"])
    lines = [line for line in drawn.axes[0].lines if line.get_linestyle() == "-"]
    assert [line.get_label() for line in lines] == ["Mixture", "U-Net, two masks"]
    np.testing.assert_allclose(lines[0].get_ydata(), study.LEVELS_DB)
    assert len(drawn.axes[0].lines) == 2 + 3
    with pytest.raises(InputError, match="expected some with scores, got 'wave-unet'"):
        study.figure(made_up(0.0), "si_sdr", ["wave-unet"])


def test_what_is_missing_is_one_line(tmp_path, script, capsys):
    with pytest.raises(DataError, match="expected the scores of the study, got nothing there"):
        study.stored(tmp_path)
    with pytest.raises(DataError, match="expected a trained model, got nothing there"):
        study.score(tmp_path, ["unet"])
    assert script.main(["report", "--out", str(tmp_path)]) == 2
    assert "make_study: " in capsys.readouterr().err


def test_unseen_kinds_are_kinds_of_noise():
    assert set(study.UNSEEN_KINDS) < set(noise_kinds())
