"""Sweeps: what is searched, given up, resumed and refused."""

import signal
import subprocess
import sys

import pytest

from lib import cli
from lib.errors import InputError
from lib.training import sweep, sweeps
from lib.training.task import SCORE, Diverged

RECIPE = {
    "system": {"name": "UPIT", "preset": "tiny", "hidden": 8, "layers": 1},
    "data": {
        "name": "two_speakers",
        "seconds": 0.3,
        "batch_size": 2,
        "steps_per_epoch": 2,
        "val_items": 2,
    },
    "objective": {"name": "waveform"},
    "trainer": {"max_epochs": 9, "accelerator": "cpu", "logger": "none"},
}
SPACE = {"optimiser.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}


def storage(folder):
    return f"sqlite:///{(folder / 'sweep.db').as_posix()}"


def trials(folder):
    import optuna

    return optuna.load_study(study_name="sweep", storage=storage(folder)).trials


@pytest.fixture
def trained(monkeypatch):
    """Trainings that score by their learning rate at once; the overrides of each."""
    done = []

    def train(recipe, folder, *, overrides, progress, on_epoch):
        done.append(overrides["optimiser.learning_rate"])
        for epoch in range(recipe["trainer"]["max_epochs"]):
            on_epoch({"epoch": epoch, SCORE: epoch - 1000 * abs(done[-1] - 0.01)})

    monkeypatch.setattr(sweeps, "train", train)
    return done


def test_the_best_is_found_and_poor_trials_are_given_up(trained, tmp_path, capsys):
    best = sweep(RECIPE, SPACE, 15, storage(tmp_path), tmp_path)
    states = [trial.state.name for trial in trials(tmp_path)]
    assert set(states) == {"COMPLETE", "PRUNED"}
    # Hyperband's rungs
    assert {len(trial.intermediate_values) for trial in trials(tmp_path)} == {1, 3, 9}
    rate = best["values"]["optimiser.learning_rate"]
    assert rate == min(trained, key=lambda value: abs(value - 0.01))
    assert best["score"] == pytest.approx(8 - 1000 * abs(rate - 0.01))
    assert best["folder"] == str(tmp_path / f"trial-{trained.index(rate)}" / "model")
    assert capsys.readouterr().out.count("given up") == states.count("PRUNED")


def test_a_sweep_goes_on_where_its_storage_ends(trained, tmp_path):
    sweep(RECIPE, SPACE, 4, storage(tmp_path), tmp_path, progress=False)
    first = list(trained)
    sweep(RECIPE, SPACE, 6, storage(tmp_path), tmp_path, progress=False)
    assert trained[:4] == first and len(trained) == 6
    sweep(RECIPE, SPACE, 6, storage(tmp_path), tmp_path, progress=False)
    assert len(trained) == 6
    for recipe, space in ((RECIPE | {"seed": 9}, SPACE), (RECIPE, {"seed": [1, 2]})):
        with pytest.raises(InputError, match="storage: expected a sweep over the same recipe"):
            sweep(recipe, space, 7, storage(tmp_path), tmp_path)


def test_a_training_that_diverges_does_not_end_the_sweep(monkeypatch, tmp_path):
    def train(recipe, folder, *, overrides, progress, on_epoch):
        if folder.name == "trial-0":
            raise Diverged("training: expected a finite loss")
        on_epoch({"epoch": 0, SCORE: 1.0})

    monkeypatch.setattr(sweeps, "train", train)
    best = sweep(RECIPE, SPACE, 2, storage(tmp_path), tmp_path, progress=False)
    assert best["folder"] == str(tmp_path / "trial-1" / "model")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills in another way")
def test_a_killed_sweep_goes_on_from_the_command_line(tmp_path, capsys):
    code = f"""
import os, signal
from lib.training import sweeps

train = sweeps.train

def killed(recipe, folder, **options):
    if folder.name == "trial-1":
        os.kill(os.getpid(), signal.SIGKILL)
    return train(recipe, folder, **options)

sweeps.train = killed
sweeps.sweep({str(tmp_path / "recipe.yaml")!r}, {str(tmp_path / "space.yaml")!r}, 2,
             {storage(tmp_path)!r}, {str(tmp_path)!r}, overrides={{"trainer.max_epochs": 1}})
"""
    from lib.training import engine, load_recipe

    engine._write_recipe(tmp_path / "recipe.yaml", load_recipe(RECIPE))
    (tmp_path / "space.yaml").write_text("optimiser.learning_rate: {low: 1e-4, high: 1e-2}\n")
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE", "RUNNING"]
    words = ["sweep", str(tmp_path / "recipe.yaml"), "--space", str(tmp_path / "space.yaml")]
    words += ["--trials", "2", "--out", str(tmp_path), "--trainer.max_epochs", "1"]
    assert cli.main(words) == 0
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE", "FAIL", "COMPLETE"]
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("trial 2: ") and told[1].startswith("best: ")
    assert told[2].endswith("model") and (tmp_path / "trial-2" / "model").is_dir()


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({}, "expected keys such as"),
        ({"optimiser.speed": [1]}, "learning_rate"),
        ({"optimiser.learning_rate": [0.1, -1]}, "above 0"),
        ({"optimiser.learning_rate": []}, "expected a list, or low and high"),
        ({"optimiser.learning_rate": {"low": 0.1}}, "expected a list, or low and high"),
        ({"system.hidden": {"low": 8, "high": 4}}, "system.hidden: expected a range"),
        ({"optimiser.weight_decay": {"low": 0.0, "high": 1.0, "log": True}}, "expected a range"),
        ({"system.hidden": {"low": "few", "high": "many"}}, "expected a range"),
    ],
)
def test_a_space_that_cannot_be_is_named(trained, tmp_path, space, says):
    with pytest.raises(InputError, match=says) as caught:
        sweep(RECIPE, space, 2, storage(tmp_path), tmp_path)
    assert "\n" not in str(caught.value)
    assert not trained


def test_what_else_a_sweep_refuses(trained, tmp_path):
    with pytest.raises(InputError, match="trials: expected 1 or more, got 0"):
        sweep(RECIPE, SPACE, 0, storage(tmp_path), tmp_path)
    with pytest.raises(InputError, match="storage: expected an address such as"):
        sweep(RECIPE, SPACE, 1, "nowhere", tmp_path)
    with pytest.raises(InputError, match="devices and num_nodes: expected 1 in a sweep, got 2"):
        sweep(RECIPE, SPACE, 1, storage(tmp_path), tmp_path, overrides={"trainer.devices": 2})
    (tmp_path / "bad.yaml").write_text("a: [")
    for name in ("bad.yaml", "missing.yaml"):
        with pytest.raises(InputError, match=f"{name}: expected a search space in YAML"):
            sweep(RECIPE, tmp_path / name, 1, storage(tmp_path), tmp_path)
    (tmp_path / "trial-0").mkdir()
    with pytest.raises(InputError, match="expected no trainings of another sweep"):
        sweep(RECIPE, SPACE, 1, storage(tmp_path), tmp_path)
    assert not trained
