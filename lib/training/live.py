"""A short training in a notebook, with a curve that falls while the cell runs."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.errors import InputError, require_package
from lib.losses import make_objective
from lib.plots import LiveCurve
from lib.training.data import MixtureData
from lib.training.engine import CALIBRATED_ON, fit, make_trainer, quiet
from lib.training.task import SeparationTask

pl = require_package("lightning.pytorch", "training", "lightning")


@dataclasses.dataclass
class Curve:
    """The loss of each update.

    Attributes:
        losses: one value per step, the mean over its batch.
    """

    losses: list[float]

    def __repr__(self) -> str:
        ends = [float(np.mean(part)) for part in (self.losses[:10], self.losses[-10:])]
        return f"Curve({len(self.losses)} steps, loss from {ends[0]:.3g} to {ends[1]:.3g})"


class _Recorder(pl.Callback):
    def __init__(self, seed: int, shown: LiveCurve):
        self.seed, self.shown, self.losses = seed, shown, []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        torch.manual_seed(self.seed)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))
        self.shown.update(len(self.losses), self.losses[-1])


def train_live(
    model: torch.nn.Module,
    items: Sequence[Any],
    objective: str | Callable[..., torch.Tensor] = "waveform",
    steps: int = 200,
    *,
    learning_rate: float = 1e-3,
    batch_size: int = 4,
    seed: int = 0,
    title: str = "",
    loss_label: str = "Loss",
    show: bool = True,
) -> Curve:
    """Train a model for some updates, in place, and draw the loss as it goes.

    Nothing is written, and the same seed gives the same weights and losses.

    Args:
        model: a separator; it ends in evaluation mode, on the device where it was.
        items: a data set or a list of items of equal length; drawn in a new order in every pass.
        objective: ``(model, mixture, sources) -> loss (B,)``, or a name for
            :func:`lib.losses.make_objective`.
        steps: updates.
        learning_rate: of Adam.
        batch_size: items per update.
        seed: of the order of the items, and of dropout.
        title: heading of the figure.
        loss_label: what its vertical axis says.
        show: draw the curve, where there is a notebook to draw in.

    Raises:
        InputError: for no items, or items of another rate than the model's or of unequal length.
        CourseError: if a loss is not finite.

    Example:
        >>> from lib.data import TwoSpeakers
        >>> from lib.models import UPIT
        >>> items = TwoSpeakers("train", items=4, seconds=0.5)
        >>> len(train_live(UPIT.tiny(), items, steps=2).losses)
        2
    """
    if steps < 1 or batch_size < 1:
        raise InputError(f"steps, batch_size: expected 1 or more, got {steps} and {batch_size}")
    if not learning_rate > 0:
        raise InputError(f"learning_rate: expected a number above 0, got {learning_rate}")
    if len(items) < 1:
        raise InputError("items: expected at least one, got none")
    if isinstance(objective, str):
        objective = make_objective(objective)
    if items[0].sample_rate != model.sample_rate:
        raise InputError(
            f"items: expected {model.sample_rate} Hz as the model, got {items[0].sample_rate} Hz"
        )
    names = None if model.any_order else model.source_names
    data = MixtureData(items, None, batch_size, steps, names, seed)
    model.calibrate(items[index].mixture for index in range(min(len(items), CALIBRATED_ON)))
    task = SeparationTask(model, objective, {"learning_rate": learning_rate}, gradient_clip_val=5.0)
    device = next(model.parameters()).device
    shown = LiveCurve(title, loss_label, steps, show)
    recorder = _Recorder(seed, shown)
    with quiet(), torch.random.fork_rng():
        trainer = make_trainer(
            [recorder],
            Path(tempfile.gettempdir()),
            logger=False,
            enable_progress_bar=False,
            max_steps=steps,
            limit_val_batches=0,
        )
        try:
            fit(trainer, task, data, None)
        finally:
            shown.close()
            model.to(device).eval()
    return Curve(recorder.losses)
