"""The training loop around a recipe: checkpoints, resuming, the model at the end.

A training writes into one folder::

    recipe.yaml   the whole recipe
    curve.csv     one row per epoch
    last.ckpt     everything needed to go on after the last epoch
    best.ckpt     the same after the epoch with the best validation score
    model/        the best model: what ``Separator.from_pretrained`` loads
    tensorboard/  for ``tensorboard --logdir``, unless ``trainer.logger`` says otherwise: ``none``,
                  ``wandb``, or ``wandb-offline`` for ``wandb sync`` later

Every file is written beside its place and moved there, so a kill leaves the one or the other.
Each epoch draws its mixtures and its random numbers from the seed and its own number: an epoch
that was interrupted is done again, and the curve is that of a training that never stopped.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import pickle
import platform
import re
import shutil
import signal
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.errors import CourseError, DataError, InputError, require_package
from lib.losses import make_objective
from lib.training.data import MixtureData
from lib.training.recipes import build_model, give_weights, load_recipe, max_seconds
from lib.training.task import SCORE, SeparationTask

pl = require_package("lightning.pytorch", "training", "lightning")
MisconfigurationException = pl.utilities.exceptions.MisconfigurationException

CALIBRATED_ON = 64  # mixtures
_COLUMNS = ("epoch", "train/loss", "val/loss", SCORE, "learning_rate", "seconds")
# a checkpoint holds weights and two moments in 32 bits; there are three while one is written
_COPIES = 3 * 3
# how long, on which machine and what is shown; all else decides the curve
_MAY_CHANGE = {
    *(f"trainer.{key}" for key in "max_epochs max_time logger".split()),
    *(f"trainer.{key}" for key in "accelerator strategy devices num_nodes".split()),
    "early_stopping.patience",
    "data.workers",
}


class Keeper(pl.Callback):
    """What happens between epochs: curve, checkpoints, and whether to stop.

    Args:
        folder: of the training; nothing is written if None.
        seed: of the random numbers.
        patience: epochs without a better score after which to stop, or None.
        max_seconds: stop when the next epoch would not end within this time, or None.
        on_epoch: called with the row of each epoch.
    """

    def __init__(
        self,
        folder: Path | None,
        seed: int,
        patience: int | None = None,
        max_seconds: float | None = None,
        on_epoch: Callable[[dict[str, float]], None] | None = None,
    ):
        self.folder, self.seed, self.patience = folder, seed, patience
        self.max_seconds, self.on_epoch = max_seconds, on_epoch
        self.rows: list[dict[str, float]] = []
        self._since = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint remembers."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.rows = state_dict["rows"]

    @property
    def best(self) -> int:
        """The epoch with the best score, the first of equals."""
        return int(np.argmax([row[SCORE] for row in self.rows]))

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return sum(row["seconds"] for row in self.rows)

    def on_train_start(self, trainer: Any, pl_module: SeparationTask) -> None:
        """Do nothing more in a training that was resumed after its end."""
        trainer.should_stop = self.is_over()

    def on_train_epoch_start(self, trainer: Any, pl_module: SeparationTask) -> None:
        """Give the epoch random numbers of its own."""
        self._since = time.monotonic()
        entropy = [self.seed, trainer.current_epoch, trainer.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        pl_module.past_scores = [row[SCORE] for row in self.rows]

    def on_train_epoch_end(self, trainer: Any, pl_module: SeparationTask) -> None:
        """Note the epoch, write the checkpoints, decide whether to go on."""
        metrics = trainer.callback_metrics
        row = {
            "epoch": trainer.current_epoch,
            "train/loss": float(metrics["train/loss_epoch"]),
            "val/loss": float(metrics["val/loss"]),
            SCORE: float(metrics[SCORE]),
            "learning_rate": float(metrics["learning_rate"]),
            "seconds": round(time.monotonic() - self._since, 3),
        }
        self.rows.append(row)
        if self.folder is not None:
            self._write(trainer)
        if trainer.is_global_zero and self.on_epoch is not None:
            self.on_epoch(row)
        # every process stops, or none
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(self.is_over(), all=False)

    def is_over(self) -> bool:
        """Whether time or patience is at an end."""
        if not self.rows:
            return False
        waited, mean = len(self.rows) - 1 - self.best, self.seconds / len(self.rows)
        late = self.max_seconds is not None and self.seconds + mean > self.max_seconds
        return late or (self.patience is not None and waited >= self.patience)

    def _write(self, trainer: Any) -> None:
        last = self.folder / "last.ckpt"
        if not trainer.is_global_zero:
            trainer.save_checkpoint(_part(last))  # takes part; the first process writes
            return
        # the last comes last: whatever a kill leaves undone here, the epoch is done again
        with _replacing(last) as part:
            trainer.save_checkpoint(part)
            if self.best == len(self.rows) - 1:
                with _replacing(self.folder / "best.ckpt") as twin:
                    _link(part, twin)
            _write_curve(self.folder / "curve.csv", self.rows)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path``; what is written there takes its place if all went well."""
    part = _part(path)
    try:
        yield part
        if part.exists():
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)  # no second copy on the disk
    except OSError:
        shutil.copyfile(source, target)


def _write_curve(path: Path, rows: list[dict[str, float]]) -> None:
    lines = [",".join(_COLUMNS)]
    lines += [",".join(f"{row[column]:.6g}" for column in _COLUMNS) for row in rows]
    with _replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def train(
    recipe: str | Path | Mapping,
    out: str | Path,
    *,
    resume: bool = False,
    overrides: Mapping[str, Any] | tuple = (),
    progress: bool = True,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Path:
    """Train the system of a recipe.

    Args:
        recipe: see :func:`lib.training.recipes.load_recipe`.
        out: the folder of this training; must hold none yet, unless ``resume``.
        resume: go on after the last epoch that was finished.
        overrides: changes of the recipe, such as ``{"trainer.max_epochs": 3}``.
        progress: show a bar and a line per epoch.
        on_epoch: called after each epoch with its row of the curve; what it raises ends the
            training.

    Returns:
        The folder of the best model.

    Raises:
        InputError: for a recipe that cannot be, or a folder that cannot be used.
        CourseError: if a loss is not finite or the disk is full; the last checkpoint stays.

    Example:
        >>> train("upit-blstm-small", "runs/first", overrides={"trainer.max_epochs": 0})
        Traceback (most recent call last):
        ...
        lib.errors.InputError: trainer.max_epochs: expected a whole number, 1 or more, got 0
    """
    recipe, out = load_recipe(recipe, overrides), Path(out)
    first = is_first_process()
    if first:
        _check_folder(out, recipe, resume)
    model = build_model(recipe)
    data = MixtureData.from_recipe(recipe, model)
    if not give_weights(model, recipe):
        model.calibrate(data.train_items[index].mixture for index in range(CALIBRATED_ON))
    options = recipe["trainer"]
    if options["compile"]:
        model.compile()
    task = SeparationTask(
        model,
        _objective(recipe),
        recipe["optimiser"],
        recipe["schedule"],
        options["max_epochs"] * (data.steps_per_epoch // options["accumulate_grad_batches"]),
        options["gradient_clip_val"],
    )
    keeper = Keeper(
        out,
        recipe["seed"],
        recipe["early_stopping"]["patience"],
        options["max_time"] and max_seconds(options["max_time"]),
        on_epoch,
    )
    with _one_line_errors(out), quiet(), torch.random.fork_rng():
        trainer = make_trainer(
            [keeper, *([_Lines()] if progress else [])],
            out,
            logger=_logger(options["logger"], out),
            enable_progress_bar=progress and _has_a_bar(),
            **{key: options[key] for key in _PASSED_ON},
        )
        # without one, the first epoch was never finished
        last = out / "last.ckpt" if resume and (out / "last.ckpt").exists() else None
        if last is not None:
            _load(last, task)
        if first:
            out.mkdir(parents=True, exist_ok=True)
            _check_room(out, model)
            _write_recipe(out / "recipe.yaml", recipe)
        with _leaving_nothing(out) if first else contextlib.nullcontext():
            fit(trainer, task, data, last)
    folder = out / "model"
    if trainer.is_global_zero:
        _load(out / "best.ckpt", task)
        model.cpu().eval()
        with _one_line_errors(out):
            model.save(folder, _card(recipe, keeper, trainer.strategy.root_device))
    return folder


_PASSED_ON = (
    "max_epochs accumulate_grad_batches precision accelerator strategy devices num_nodes".split()
)


def is_first_process() -> bool:
    """Whether this process speaks for all of a training's, which find what it has made.

    Example:
        >>> is_first_process()
        True
    """
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(int(os.environ.get(name, 0)) == 0 for name in ranks)


def make_trainer(callbacks: list[Any], root: Path, **options: Any) -> Any:
    """A trainer that leaves checkpoints, samplers and messages to this package.

    Args:
        callbacks: what happens between steps and epochs.
        root: the folder for what Lightning itself may write.
        **options: of ``lightning.pytorch.Trainer``.

    Example:
        >>> with quiet():
        ...     make_trainer([], Path("."), logger=False, max_epochs=3).max_epochs
        3
    """
    try:
        return pl.Trainer(
            callbacks=callbacks,
            default_root_dir=root,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            log_every_n_steps=10,
            **options,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise InputError(f"trainer: expected options that Lightning takes, got: {error}") from error


def fit(trainer: Any, task: SeparationTask, data: MixtureData, checkpoint: Path | None) -> None:
    """Run a trainer; an interrupt comes out as ``KeyboardInterrupt``.

    Args:
        trainer: from :func:`make_trainer`.
        task: what it trains.
        data: on which data.
        checkpoint: where to go on, or None.

    Example:
        >>> from lib.training.live import train_live  # fits with a trainer of its own
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        if checkpoint is None and data.val_items and hasattr(task.objective, "validated"):
            trainer.validate(task, data, verbose=False)  # the score that has to be beaten
        trainer.fit(task, data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as error:  # what Lightning makes of an interrupt
        raise KeyboardInterrupt from error
    except CourseError as error:
        # a worker process sends its whole traceback, which ends with the message
        name = f"{type(error).__module__}.{type(error).__qualname__}: "
        _, sent, message = str(error).rpartition(name)
        if not sent:
            raise
        raise type(error)(message.strip()) from error
    finally:
        if signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's remarks on devices, workers and products.

    Example:
        >>> with quiet():
        ...     trainer = make_trainer([], Path("."), logger=False, max_epochs=1)
    """
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _has_a_bar() -> bool:
    """Whether a bar can be redrawn: not in a log file."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class _Lines(pl.Callback):
    """A line per epoch, which stays when the bar is gone."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.is_global_zero:
            value, bar = trainer.callback_metrics, trainer.progress_bar_callback
            write = functools.partial(print, flush=True) if bar is None else bar.print
            write(
                f"epoch {trainer.current_epoch:3d}  train/loss {value['train/loss_epoch']:8.3f}  "
                f"val/loss {value['val/loss']:8.3f}  {SCORE} {value[SCORE]:6.2f} dB"
            )


def _objective(recipe: dict) -> Callable[..., torch.Tensor]:
    section = dict(recipe["objective"])
    return make_objective(section.pop("name"), **section)


def _check_folder(out: Path, recipe: dict, resume: bool) -> None:
    """Refuse a folder that is no place for this training."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, got a file; choose another --out")
    old = out / "recipe.yaml"
    if not resume:
        if old.exists():
            raise InputError(
                f"{out}: expected no training, got one; add --resume, or choose another --out"
            )
        return
    if not old.exists():
        raise InputError(f"{out}: expected a training to go on with, got none; leave out --resume")
    before, now = _flat(load_recipe(old)), _flat(recipe)
    for key in [*before, *now]:
        if key not in _MAY_CHANGE and before.get(key) != now.get(key):
            raise InputError(
                f"{key}: expected what the training began with, {before.get(key)!r}, got "
                f"{now.get(key)!r}; take {old} as the recipe, or choose another --out"
            )


def _flat(recipe: dict) -> dict[str, Any]:
    sections = {key: value for key, value in recipe.items() if isinstance(value, dict)}
    flat = {f"{section}.{key}": v for section, part in sections.items() for key, v in part.items()}
    return flat | {"seed": recipe["seed"]}


def _load(path: Path, task: SeparationTask) -> None:
    """Put the weights of a checkpoint into a task."""
    mend = "delete the folder and train again"
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums
            if (part := archive.testzip()) is not None:
                raise zipfile.BadZipFile(part)
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        weights, _ = found["state_dict"], found["callbacks"]["Keeper"]["rows"]
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a checkpoint, got nothing there; {mend}") from error
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
    ) as error:
        raise DataError(f"{path}: expected a checkpoint, got a damaged file; {mend}") from error
    try:
        task.load_state_dict(weights)
    except RuntimeError as error:
        system = type(task.model).__name__
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: expected weights of {system}, got others ({reason})") from error


@contextlib.contextmanager
def _leaving_nothing(out: Path) -> Iterator[None]:
    """A training that fails in its first epoch leaves its folder free for another start."""
    try:
        yield
    except BaseException:
        if not (out / "last.ckpt").exists():
            (out / "recipe.yaml").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                out.rmdir()
        raise


def _check_room(out: Path, model: torch.nn.Module) -> None:
    needed = _COPIES * sum(value.nbytes for value in model.state_dict().values())
    free = shutil.disk_usage(out).free
    if free < needed:
        raise CourseError(
            f"{out}: expected {needed / 1e6:.0f} MB of free space for checkpoints, "
            f"got {free / 1e6:.0f} MB; make room or choose another --out"
        )


def _write_recipe(path: Path, recipe: dict) -> None:
    yaml = require_package("yaml", "recipes", "pyyaml")
    with _replacing(path) as part:
        part.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")


@contextlib.contextmanager
def _one_line_errors(out: Path) -> Iterator[None]:
    """Say what is wrong with the disk, or with Weights & Biases."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "wandb":
            raise InputError(
                f"trainer.logger: expected a wandb that is logged in and can be reached, got: "
                f"{error}; or choose wandb-offline"
            ) from error
        if not isinstance(error, OSError) or isinstance(error, CourseError):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "free space" if full else "a folder that can be written"
        raise CourseError(
            f"{out}: expected {what}, got: {error}; the checkpoint before this is kept; "
            "make room or choose another --out, and go on with --resume"
        ) from error


def _logger(name: str, out: Path) -> Any:
    if name == "none":
        return False
    if name.startswith("wandb"):
        require_package("wandb", f"trainer.logger: {name}")
        runs = sorted((out / "wandb").glob("*run-*-*"))  # a resumed training goes on with its run
        return pl.loggers.WandbLogger(
            save_dir=out,
            name=out.name,
            id=runs[-1].name.rpartition("-")[2] if runs else None,
            project="unmixing-sound",
            offline=name == "wandb-offline",
        )
    require_package("tensorboard", "trainer.logger: tensorboard")
    return pl.loggers.TensorBoardLogger(save_dir=out, name="", version="tensorboard")


def _device_name(device: torch.device) -> str:
    """The name of a GPU or processor, as far as the system tells it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # where Linux says more
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name[ \t]*:[ \t]*(\S.*)$", text, re.MULTILINE):
            name = found[1].strip()
    if device.type != "cpu":
        name = f"{name} {device.type}"
    return name.strip() or "CPU"


def _card(recipe: dict, keeper: Keeper, device: torch.device) -> dict[str, Any]:
    """What the training knows about the model."""
    return {
        "data": recipe["data"] | {"augment": recipe["augment"]},
        "recipe": recipe,
        "seed": recipe["seed"],
        "curve": keeper.rows,
        "best_epoch": keeper.best,
        "hours": round(keeper.seconds / 3600, 3),
        "machine": {
            "torch": torch.__version__,
            "device": _device_name(device),
            "devices": recipe["trainer"]["devices"],
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }
