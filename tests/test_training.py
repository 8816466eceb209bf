"""Training: what is learned, written, resumed and refused."""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lib import cli
from lib.data import Item, TwoSpeakers
from lib.errors import CourseError, DataError, InputError, MissingPackageError
from lib.models import UPIT
from lib.training import MixtureData, engine, load_recipe, train, train_live
from lib.training.task import Diverged, SeparationTask, improvements

RECIPE = {
    "system": {"name": "UPIT", "preset": "tiny", "hidden": 8, "layers": 2, "dropout": 0.3},
    "data": {
        "name": "two_speakers",
        "seconds": 0.5,
        "batch_size": 4,
        "steps_per_epoch": 4,
        "val_items": 5,
    },
    "objective": {"name": "waveform", "loss": "si_snr"},
    "schedule": {"name": "plateau", "patience": 1},
    "trainer": {"max_epochs": 3, "accelerator": "cpu", "logger": "none"},
    "seed": 3,
}


def run(out, **more):
    overrides = more.pop("overrides", {})
    return train(RECIPE, out, progress=False, overrides=overrides, **more)


def curve(out):
    with open(out / "curve.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: float(value) for key, value in row.items() if key != "seconds"} for row in rows]


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("training") / "run"
    state = torch.get_rng_state()
    run(out)
    assert torch.equal(state, torch.get_rng_state())
    return out


def test_a_training_leaves_its_recipe_its_curve_and_a_model(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert names == {"recipe.yaml", "curve.csv", "last.ckpt", "best.ckpt", "model"}
    rows = curve(uninterrupted)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert load_recipe(uninterrupted / "recipe.yaml") == load_recipe(RECIPE)
    model = UPIT.from_pretrained(uninterrupted / "model")
    best = weights(uninterrupted / "best.ckpt")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, best[f"model.{name}"], atol=1e-2, rtol=1e-2)
    card = json.loads((uninterrupted / "model" / "card.json").read_text())
    assert card["seed"] == 3
    assert card["recipe"] == load_recipe(RECIPE)
    assert [row["val/loss"] for row in card["curve"]] == pytest.approx(
        [row["val/loss"] for row in rows], rel=1e-5
    )
    assert card["best_epoch"] == max(rows, key=lambda row: row["val/si_sdr_i"])["epoch"]
    machine = card["machine"]
    assert machine["torch"] == torch.__version__
    assert machine["cores"] == os.cpu_count()
    assert machine["device"].strip()
    assert card["hours"] >= 0


@pytest.mark.parametrize(
    ("cpuinfo", "processor", "device", "name"),
    [
        ("model name\t: Chip 9 @ 2 GHz\nmodel name\t: other\n", "x86_64", "cpu", "Chip 9 @ 2 GHz"),
        ("model name\t:\nBogoMIPS: 50\n", "aarch64", "cpu", "aarch64"),
        (None, "Intel64 Family 6", "cpu", "Intel64 Family 6"),
        (None, "arm", "mps", "arm mps"),
        (None, "", "cpu", "CPU"),
    ],
)
def test_the_card_names_the_processor(monkeypatch, cpuinfo, processor, device, name):
    def read_text(path, **_):
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(engine.Path, "read_text", read_text)
    monkeypatch.setattr("platform.processor", lambda: processor)
    monkeypatch.setattr("platform.machine", lambda: "")
    assert engine._device_name(torch.device(device)) == name


# where the second epoch dies, and how many rows the curve then has
KILLS = {
    "in a step": (
        """
step = SeparationTask.training_step

def killed(self, batch, index):
    if (self.current_epoch, index) == (1, 2):
        die()
    return step(self, batch, index)

SeparationTask.training_step = killed
""",
        1,
    ),
    "while the checkpoints are written": (
        """
write = engine._write_curve

def killed(path, rows):
    write(path, rows)
    if len(rows) == 2:  # all is written but the last checkpoint
        die()

engine._write_curve = killed
""",
        2,
    ),
}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills in another way")
@pytest.mark.parametrize("where", KILLS)
def test_a_killed_training_resumes_to_the_same_curve(uninterrupted, tmp_path, where):
    out = tmp_path / "run"
    deadly, rows = KILLS[where]
    code = f"""
import os, signal
from lib.training import engine
from lib.training.task import SeparationTask

def die():
    os.kill(os.getpid(), signal.SIGKILL)

{deadly}
engine.train({RECIPE!r}, {str(out)!r}, progress=False)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert len(curve(out)) == rows
    run(out, resume=True)
    assert curve(out) == curve(uninterrupted)
    expected = weights(uninterrupted / "last.ckpt")
    for name, value in weights(out / "last.ckpt").items():
        assert torch.equal(value, expected[name]), name


def test_a_training_resumed_after_its_end_does_nothing_but_can_be_prolonged(
    uninterrupted, tmp_path
):
    out = tmp_path / "run"
    run(out, overrides={"trainer.max_epochs": 1})
    before = curve(out)
    run(out, resume=True, overrides={"trainer.max_epochs": 1})
    assert curve(out) == before
    run(out, resume=True)
    assert curve(out) == curve(uninterrupted)


def test_two_processes_train_as_one_with_the_whole_batch(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    changed = {
        "optimiser.name": "sgd",  # its first update is the gradient
        "system.dropout": 0.0,
        "data.steps_per_epoch": 1,
        "trainer.max_epochs": 1,
    }
    engine._write_recipe(recipe, load_recipe(RECIPE, changed))
    train(recipe, tmp_path / "one", progress=False)
    command = [sys.executable, "-m", "lib", "train", str(recipe), "--out", str(tmp_path / "two")]
    command += ["--trainer.strategy", "ddp", "--trainer.devices", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr
    one, two = (weights(tmp_path / name / "last.ckpt") for name in ("one", "two"))
    start = SeparationTask(engine.build_model(load_recipe(recipe)), None).state_dict()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-6, rtol=1e-5)
    assert any(not torch.allclose(one[name], start[name], atol=1e-6) for name in one)
    # each validation item counts once, though five of them do not split in two
    for key in ("train/loss", "val/loss", "val/si_sdr_i"):
        assert curve(tmp_path / "two")[0][key] == pytest.approx(curve(tmp_path / "one")[0][key])


def test_a_loss_that_is_not_finite_in_one_of_two_processes_stops_both(tmp_path):
    out = tmp_path / "run"
    changed = {"trainer.strategy": "ddp", "trainer.devices": 2, "data.steps_per_epoch": 1}
    script = tmp_path / "script.py"
    script.write_text(f"""
import os
from lib.errors import CourseError
from lib.training import engine
from lib.training.task import SeparationTask

losses = SeparationTask._losses

def broken(self, batch):
    found, wrong = losses(self, batch)
    second = self.trainer.global_rank == 1 and self.current_epoch == 1
    return found, batch.names[:1] if second else wrong

SeparationTask._losses = broken
try:
    engine.train({RECIPE!r}, {str(out)!r}, progress=False, overrides={changed!r})
except CourseError as error:
    open({str(tmp_path)!r} + "/" + os.environ.get("LOCAL_RANK", "0"), "w").write(str(error))
""")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    process = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment
    )
    assert process.returncode == 0, process.stderr
    said = [(tmp_path / rank).read_text() for rank in "01"]
    assert said[0] == said[1]
    assert "epoch 1, step 1, at the items train-0005;" in said[0]
    assert len(curve(out)) == 1


def test_gradients_that_are_accumulated_make_those_of_the_whole_batch(tmp_path):
    common = {"optimiser.name": "sgd", "system.dropout": 0.0, "trainer.max_epochs": 1}
    run(tmp_path / "whole", overrides=common | {"data.steps_per_epoch": 1})
    parts = {"data.batch_size": 2, "data.steps_per_epoch": 2}
    run(tmp_path / "parts", overrides=common | parts | {"trainer.accumulate_grad_batches": 2})
    whole, added = (weights(tmp_path / name / "last.ckpt") for name in ("whole", "parts"))
    for name, value in whole.items():
        torch.testing.assert_close(added[name], value, atol=1e-6, rtol=1e-5)


def test_a_loss_that_is_not_finite_stops_at_the_item_and_keeps_the_checkpoint(
    monkeypatch, tmp_path
):
    def broken(name, **options):
        def objective(model, mixture, sources):
            losses = model(mixture).square().mean((1, 2, 3))
            calls.append(0)
            # 4 updates and 2 validation batches in the first epoch
            return losses * torch.tensor([1, 1, torch.nan, 1]) if len(calls) == 8 else losses

        return objective

    calls = []
    monkeypatch.setattr(engine, "make_objective", broken)
    with pytest.raises(Diverged, match="epoch 1, step 5, at the items train-0022;"):
        run(tmp_path / "run")
    assert len(curve(tmp_path / "run")) == 1
    assert all(
        torch.isfinite(value).all() for value in weights(tmp_path / "run/last.ckpt").values()
    )


def test_a_validation_loss_that_is_not_finite_stops(monkeypatch, tmp_path):
    def broken(name, **options):
        def objective(model, mixture, sources):
            losses = model(mixture).square().mean((1, 2, 3))
            return losses if model.training else losses / 0

        return objective

    monkeypatch.setattr(engine, "make_objective", broken)
    with pytest.raises(Diverged, match="validation loss.*items val-0000, val-0001, .*val-0004"):
        run(tmp_path / "run")


def test_a_training_that_fails_in_its_first_epoch_leaves_its_folder_free(monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        patched.setattr(SeparationTask, "training_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run(tmp_path / "run", overrides={"trainer.max_epochs": 1})


def test_an_error_in_a_worker_is_one_line(tmp_path):
    from test_corpora import cut, speakers_in

    from lib.data.folders import FolderSpeech

    speakers_in(tmp_path / "corpus", "abcdef", rate=8000)
    for speaker in FolderSpeech(tmp_path / "corpus", "val").speakers:  # read in workers only
        for path in (tmp_path / "corpus" / speaker).iterdir():
            cut(path)
    changed = {"data.corpus": "folders", "data.folder": str(tmp_path / "corpus"), "data.workers": 1}
    with pytest.raises(DataError, match="truncated") as caught:
        run(tmp_path / "run", overrides=changed)
    assert str(caught.value).startswith(str(tmp_path / "corpus"))
    assert "\n" not in str(caught.value)


def test_a_gradient_that_is_not_finite_stops(monkeypatch, tmp_path):
    def steep(name, **options):
        # finite, with an infinite slope
        return lambda model, mixture, sources: (model(mixture) * 0).sum((1, 2, 3)).abs().sqrt()

    monkeypatch.setattr(engine, "make_objective", steep)
    with pytest.raises(Diverged, match="gradient.*train-0000, train-0001"):
        run(tmp_path / "run")


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint_before(monkeypatch, tmp_path):
    import lightning.pytorch as pl

    save = pl.Trainer.save_checkpoint

    def full(self, path, *arguments, **options):
        if self.current_epoch == 1:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, *arguments, **options)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", full)
    with pytest.raises(CourseError, match="free space.*--resume"):
        run(tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"recipe.yaml", "curve.csv", "last.ckpt", "best.ckpt"}
    assert len(curve(tmp_path / "run")) == 1
    weights(tmp_path / "run" / "last.ckpt")


def test_room_is_looked_for_before_the_start(monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(engine.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CourseError, match="MB of free space"):
        run(tmp_path / "run")


def test_folders_that_are_no_place_for_a_training(uninterrupted, tmp_path):
    with pytest.raises(InputError, match="--resume, or choose another --out"):
        run(uninterrupted)
    with pytest.raises(InputError, match="leave out --resume"):
        run(tmp_path / "none", resume=True)
    for key, value in (("optimiser.learning_rate", 1.0), ("trainer.gradient_clip_val", 1.0)):
        with pytest.raises(InputError, match=f"{key}: expected what the training began with"):
            run(uninterrupted, resume=True, overrides={key: value})
    file = tmp_path / "file"
    file.write_text("")
    for out in (file, file / "below"):
        with pytest.raises(CourseError, match="expected a folder"):
            run(out)
    assert not (tmp_path / "none").exists()


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_damaged_or_hostile_checkpoint_is_named_and_never_unpickled(uninterrupted, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    path = out / "last.ckpt"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", b"PK\x03\x04 not a checkpoint", whole[: len(whole) // 2], flipped):
        path.write_bytes(content)
        with pytest.raises(DataError, match="last.ckpt.*damaged"):
            run(out, resume=True)
    for content in ([1], {"state_dict": {}}, {"state_dict": Trap(tmp_path / "sprung")}):
        torch.save(content, path)
        with pytest.raises(DataError, match="last.ckpt.*damaged"):
            run(out, resume=True)
    assert not (tmp_path / "sprung").exists()
    path.write_bytes(whole)
    (out / "best.ckpt").unlink()
    with pytest.raises(DataError, match="best.ckpt: expected a checkpoint, got nothing"):
        run(out, resume=True)


def test_a_checkpoint_of_another_system_is_refused(uninterrupted, tmp_path):
    out = tmp_path / "run"
    run(out, overrides={"system.hidden": 4, "trainer.max_epochs": 1})
    shutil.copy(uninterrupted / "last.ckpt", out / "last.ckpt")
    with pytest.raises(
        DataError, match="last.ckpt: expected weights of UPIT, got others"
    ) as caught:
        run(out, resume=True, overrides={"system.hidden": 4})
    assert "\n" not in str(caught.value)


def test_options_that_lightning_refuses_are_one_error_and_leave_no_folder(tmp_path):
    with pytest.raises(InputError, match="trainer: expected options that Lightning takes"):
        run(tmp_path / "run", overrides={"trainer.accelerator": "gpu", "trainer.devices": 99})
    assert not (tmp_path / "run").exists()


def test_weights_and_biases_without_its_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingPackageError, match="pip install wandb"):
        run(tmp_path / "run", overrides={"trainer.logger": "wandb"})


def test_weights_and_biases_goes_on_with_its_run_and_works_offline(monkeypatch, tmp_path):
    import lightning.pytorch as pl

    monkeypatch.setitem(sys.modules, "wandb", type(sys)("wandb"))
    monkeypatch.setattr(pl.loggers, "WandbLogger", dict)
    first = engine._logger("wandb-offline", tmp_path)
    assert (first["offline"], first["id"], first["save_dir"]) == (True, None, tmp_path)
    (tmp_path / "wandb" / "offline-run-20260101_000000-abc123").mkdir(parents=True)
    again = engine._logger("wandb", tmp_path)
    assert (again["offline"], again["id"]) == (False, "abc123")


def test_weights_and_biases_out_of_reach_is_one_line(monkeypatch, tmp_path):
    unreached = type("UsageError", (Exception,), {"__module__": "wandb.errors.errors"})

    def refuse(*_):
        raise unreached("No API key configured.")

    monkeypatch.setattr(SeparationTask, "configure_optimizers", refuse)
    with pytest.raises(InputError, match="logged in.*No API key.*wandb-offline"):
        run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_a_bar_in_a_terminal_and_a_line_per_epoch(
    monkeypatch, tmp_path, capfd, terminal
):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # the tests' own
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    train(RECIPE, tmp_path / "run", overrides={"trainer.max_epochs": 2})
    shown = capfd.readouterr()
    lines = shown.out.replace("\r", "\n").splitlines()
    assert [line[:9] for line in lines if line.startswith("epoch ")] == ["epoch   0", "epoch   1"]
    assert ("Epoch 1:" in shown.out + shown.err) is terminal


def test_an_interrupt_keeps_the_last_checkpoint(monkeypatch, tmp_path):
    step = SeparationTask.training_step

    def interrupted(self, batch, index):
        if (self.current_epoch, index) == (1, 1):
            raise KeyboardInterrupt
        return step(self, batch, index)

    monkeypatch.setattr(SeparationTask, "training_step", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is handler
    weights(tmp_path / "run" / "last.ckpt")
    assert len(curve(tmp_path / "run")) == 1


def test_time_and_patience_end_a_training(monkeypatch, tmp_path):
    run(tmp_path / "late", overrides={"trainer.max_time": "00:00:00:00"})
    assert len(curve(tmp_path / "late")) == 1
    scores = iter([3.0, 2.0, 1.0, 0.0])
    monkeypatch.setattr(
        "lib.training.task.improvements", lambda *_: torch.full((4,), next(scores)).double()
    )
    overrides = {"early_stopping.patience": 1, "data.val_items": 4, "trainer.max_epochs": 9}
    run(tmp_path / "tired", overrides=overrides)
    assert [row["val/si_sdr_i"] for row in curve(tmp_path / "tired")] == [3.0, 2.0]
    run(tmp_path / "tired", overrides=overrides, resume=True)  # is over and stays so
    assert len(curve(tmp_path / "tired")) == 2
    assert json.loads((tmp_path / "tired/model/card.json").read_text())["best_epoch"] == 0


def test_bfloat16_trains_with_losses_in_float32(monkeypatch, tmp_path):
    seen = []
    make = engine.make_objective

    def watched(name, **options):
        objective = make(name, **options)

        def call(model, mixture, sources):
            loss = objective(model, mixture, sources)
            seen.append((torch.is_autocast_enabled("cpu"), loss.dtype))
            return loss

        return call

    monkeypatch.setattr(engine, "make_objective", watched)
    run(tmp_path, overrides={"trainer.precision": "bf16-mixed", "trainer.max_epochs": 1})
    assert set(seen) == {(True, torch.float32)}
    dtypes = {value.dtype for value in weights(tmp_path / "last.ckpt").values()}
    assert dtypes == {torch.float32}


def test_tensorboard_is_written_beside_and_no_folder_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "run", overrides={"trainer.logger": "tensorboard", "trainer.max_epochs": 1})
    assert any((tmp_path / "run" / "tensorboard").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_command_line_says_what_is_wrong_in_one_line(capsys, tmp_path):
    for words in (
        ["no-such-recipe"],
        ["upit-blstm-small", "--trainer.max_epoch", "3"],
        ["upit-blstm-small", "--trainer.max_epochs"],
        ["upit-blstm-small", "stray"],
    ):
        assert cli.main(["train", *words, "--out", str(tmp_path / "run")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_each_epoch_draws_new_mixtures_and_its_shares_make_the_batch():
    items = TwoSpeakers("train", items=2**40, seed=1, seconds=0.5)
    data = MixtureData(items, None, batch_size=4, steps_per_epoch=3)
    indices = [
        index for epoch in range(2) for step in range(3) for index in data.indices(epoch, step)
    ]
    assert indices == list(range(24))
    few = MixtureData(list(range(6)), None, batch_size=4, steps_per_epoch=3)
    indices = [index for step in range(3) for index in few.indices(0, step)]
    assert sorted(indices) == sorted(2 * list(range(6)))
    assert sorted(indices[:6]) == list(range(6))  # each once before one comes again
    assert indices[:6] != indices[6:]


def test_sources_are_those_that_the_model_names():
    sources = torch.arange(4.0)[:, None, None].expand(4, 1, 8)
    item = Item(sources.sum(0), sources, 8000, "one", {})

    class Four(list):
        source_names = ("vocals", "drums", "bass", "other")

    def picked(names):
        return MixtureData(Four([item]), None, 1, 1, names).batch(0, 0).sources[0, :, 0, 0].tolist()

    assert picked(("bass", "vocals")) == [2.0, 0.0]
    assert picked(("vocals", "accompaniment")) == [0.0, 6.0]
    with pytest.raises(InputError, match="expected sources voice"):
        picked(("voice",))
    with pytest.raises(InputError, match="3 sources"):
        three = load_recipe(RECIPE, {"system.speakers": 3})
        MixtureData.from_recipe(three, UPIT.tiny(speakers=3))


def test_items_of_unequal_length_are_refused():
    items = [TwoSpeakers("test", items=1, seconds=seconds)[0] for seconds in (0.5, 0.6)]
    with pytest.raises(InputError, match="one length"):
        MixtureData(items, None, batch_size=2).batch(0, 0)


def test_the_score_takes_the_best_order_only_where_there_is_none():
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(2, 2, 1, 800, generator=generator)
    noise = 0.1 * torch.randn(2, 2, 1, 800, generator=generator)
    swapped, mixture = (sources + noise).flip(1), sources.sum(1)
    free, fixed = (improvements(swapped, sources, mixture, order) for order in (True, False))
    assert (free > 15).all() and (fixed < 0).all()
    sources[:, 1] = 0  # a silent source has no SI-SDR
    assert torch.isfinite(improvements(sources + noise, sources, mixture, False)).all()


def test_the_score_needs_no_float64_where_there_is_none(on_mps):
    sources = torch.randn(2, 2, 1, 800)
    estimates, mixture = sources + 0.1 * torch.randn(2, 2, 1, 800), sources.sum(1)
    right = improvements(estimates, sources, mixture, True)
    found = improvements(on_mps(estimates), on_mps(sources), on_mps(mixture), True)
    torch.testing.assert_close(found.cpu().double(), right, atol=1e-3, rtol=0)


def test_a_live_training_learns_is_deterministic_and_leaves_no_trace(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    items = list(TwoSpeakers("train", items=3, seconds=0.5))
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        model = UPIT.tiny()
        state = torch.get_rng_state()
        result = train_live(model, items, "waveform", 25, learning_rate=5e-3, batch_size=3, seed=4)
        assert torch.equal(state, torch.get_rng_state())
        assert not model.training
        results.append(result.losses)
    assert results[0] == results[1]
    assert len(results[0]) == 25
    assert results[0][-1] < results[0][0] - 1
    assert list(tmp_path.iterdir()) == []


def test_a_live_training_refuses_what_it_cannot_train_on():
    items = list(TwoSpeakers("train", items=1, seconds=0.5, sample_rate=16000))
    with pytest.raises(InputError, match="8000 Hz"):
        train_live(UPIT.tiny(), items, steps=1)
    with pytest.raises(InputError, match="steps"):
        train_live(UPIT.tiny(), items, steps=0)
    with pytest.raises(InputError, match="learning_rate: expected a number above 0, got -1"):
        train_live(UPIT.tiny(), items, learning_rate=-1)
    with pytest.raises(InputError, match="items: expected at least one"):
        train_live(UPIT.tiny(), [])
