"""One update and one validation of a separator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lib.errors import CourseError, require_package
from lib.metrics import si_sdr
from lib.metrics.energy_ratios import double
from lib.training.data import Batch

pl = require_package("lightning.pytorch", "training", "lightning")

SCORE = "val/si_sdr_i"
_OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class Diverged(CourseError):
    """A loss or gradient is not finite."""


class SeparationTask(pl.LightningModule):
    """A separator, what it minimises, and how.

    Logs ``train/loss``, ``learning_rate``, ``val/loss`` and ``val/si_sdr_i`` (dB over the mixture;
    with the best assignment where the model's sources have no order).

    Args:
        model: a :class:`lib.models.base.Separator`.
        objective: ``(model, mixture (B, C, T), sources (B, S, C, T)) -> loss (B,)``. One that has
            ``start`` and ``validated``, such as :class:`lib.losses.SelfTraining`, is told when
            training begins, and each validation score.
        optimiser: ``name`` (adam, adamw, sgd), ``learning_rate``, ``weight_decay``.
        schedule: see :func:`learning_rate`.
        total_steps: updates of the whole training, for schedules that need it.
        gradient_clip_val: largest norm of the gradient, or None.

    Raises:
        Diverged: while training or validating, if a loss or gradient is not finite.

    Example:
        >>> from lib.models import UPIT
        >>> task = SeparationTask(UPIT.tiny(), lambda model, mixture, sources: mixture.mean((1, 2)))
        >>> task.configure_optimizers().defaults["lr"]
        0.001
    """

    def __init__(
        self,
        model: torch.nn.Module,
        objective: Callable[..., torch.Tensor],
        optimiser: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        total_steps: int | None = None,
        gradient_clip_val: float | None = None,
    ):
        super().__init__()
        self.model, self.objective = model, objective
        self.optimiser = {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.0}
        self.optimiser |= optimiser or {}
        self.schedule, self.total_steps = schedule or {}, total_steps
        self.gradient_clip_val = gradient_clip_val
        self.past_scores: list[float] = []  # SCORE of the epochs so far; the engine keeps it
        self._names: list[str] = []
        self._sums: dict[str, float] = {}
        if hasattr(objective, "start"):
            objective.start(model)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser."""
        return _OPTIMISERS[self.optimiser["name"]](
            self.model.parameters(),
            lr=self.optimiser["learning_rate"],
            weight_decay=self.optimiser["weight_decay"],
        )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate of this update."""
        rate = learning_rate(
            self.optimiser["learning_rate"],
            self.global_step,
            self.past_scores,
            total_steps=self.total_steps,
            **self.schedule,
        )
        for group in self.optimizers().optimizer.param_groups:
            group["lr"] = rate
        self.log("learning_rate", rate)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Mean loss of a batch."""
        losses, wrong = self._losses(batch)
        self._stop_if("loss", wrong)
        self._names = batch.names
        self.log(
            "train/loss",
            losses.mean(),
            on_step=True,
            on_epoch=True,
            batch_size=len(losses),
            sync_dist=True,  # the curve is that of the whole batch
        )
        return losses.mean()

    def _losses(self, batch: Batch) -> tuple[torch.Tensor, list[str]]:
        """The loss of each item ``(B,)``, and the names of those where it is not finite."""
        losses = self.objective(self.model, batch.mixture, batch.sources)
        finite = torch.isfinite(losses.detach()).tolist()
        return losses, [name for name, fine in zip(batch.names, finite, strict=True) if not fine]

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm of all gradients, and refuse one that is not finite."""
        largest = self.gradient_clip_val or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), largest)
        self._stop_if("gradient", [] if torch.isfinite(norm) else self._names)

    def _stop_if(self, what: str, names: list[str]) -> None:
        """Stop every process if one of them has names of items."""
        if not self.trainer.strategy.reduce_boolean_decision(bool(names), all=False):
            return
        if self.trainer.world_size > 1:
            every: list[list[str]] = [[]] * self.trainer.world_size
            torch.distributed.all_gather_object(every, names)
            names = list(itertools.chain(*every))
        raise Diverged(
            f"training: expected a finite {what}, got NaN or infinity in epoch "
            f"{self.current_epoch}, step {self.global_step}, at the items {', '.join(names)}; "
            "what was saved before stays; look at these items or lower the learning rate"
        )

    def on_validation_epoch_start(self) -> None:
        """Start the sums."""
        self._sums = {"items": 0.0, "val/loss": 0.0, SCORE: 0.0}
        self._wrong: list[str] = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the sums."""
        losses, wrong = self._losses(batch)
        self._wrong += wrong
        estimates = self.model(batch.mixture)
        gains = improvements(estimates, batch.sources, batch.mixture, self.model.any_order)
        self._sums["items"] += len(losses)
        self._sums["val/loss"] += float(double(losses).sum())
        self._sums[SCORE] += float(gains.sum())

    def on_validation_epoch_end(self) -> None:
        """Log the means over the items of all processes."""
        self._stop_if("validation loss", self._wrong)  # here, as they may differ in batches
        sums = torch.tensor(list(self._sums.values()), dtype=torch.float32, device=self.device)
        sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        means = dict(zip(self._sums, (sums / sums[0]).tolist(), strict=True))
        for key in ("val/loss", SCORE):
            self.log(key, means[key], prog_bar=True, rank_zero_only=True)
        if hasattr(self.objective, "validated"):
            self.objective.validated(self.model, means[SCORE])


def improvements(
    estimates: torch.Tensor, sources: torch.Tensor, mixture: torch.Tensor, any_order: bool
) -> torch.Tensor:
    """SI-SDR over that of the mixture in dB, averaged over sources and channels, ``(B,)``.

    Silent sources, for which SI-SDR is not defined, are left out.

    Args:
        estimates: ``(B, S, C, T)``.
        sources: ``(B, S, C, T)``.
        mixture: ``(B, C, T)``.
        any_order: take the best assignment of the estimates.

    Example:
        >>> sources = torch.randn(1, 2, 1, 800)
        >>> mixture = sources.sum(1)
        >>> good = sources + 0.01 * torch.randn(1, 2, 1, 800)
        >>> bool(improvements(good.flip(1), sources, mixture, any_order=True) > 30)
        True
    """
    estimates, sources, mixture = double(estimates), double(sources), double(mixture)
    floor = si_sdr(mixture[:, None].expand_as(sources), sources)  # (B, S, C)
    count = sources.shape[1]
    orders = list(itertools.permutations(range(count))) if any_order else [tuple(range(count))]
    every = torch.stack([si_sdr(estimates[:, list(o)], sources) - floor for o in orders])
    every = every.nan_to_num(nan=torch.nan, neginf=-100.0, posinf=100.0)
    return every.flatten(2).nanmean(-1).nan_to_num(0.0).amax(0)  # (B,)


def learning_rate(
    base: float,
    step: int,
    scores: Sequence[float] = (),
    *,
    name: str = "constant",
    warmup_steps: int = 0,
    factor: float = 0.5,
    patience: int = 3,
    total_steps: int | None = None,
) -> float:
    """The learning rate of an update: a function of the past, without a state of its own.

    Args:
        base: the largest rate.
        step: number of the update, from 0.
        scores: validation scores of the epochs so far; higher is better.
        name: ``constant``; ``plateau`` multiplies by ``factor`` each time that ``patience`` epochs
            brought no better score; ``cosine`` falls to 0 over ``total_steps``.
        warmup_steps: updates over which the rate rises from 0, linearly.
        factor: of ``plateau``.
        patience: of ``plateau``.
        total_steps: of ``cosine``.

    Example:
        >>> learning_rate(1.0, 9, [3.0, 2.0, 2.5, 1.0], name="plateau", patience=3)
        0.5
    """
    rate = base
    if name == "plateau":
        best, waited = -math.inf, 0
        for score in scores:
            waited = 0 if score > best else waited + 1
            best = max(best, score)
            if waited >= max(1, patience):
                rate, waited = rate * factor, 0
    elif name == "cosine":
        done = min(1.0, step / max(1, total_steps or 1))
        rate = base * (1 + math.cos(math.pi * done)) / 2
    return rate * min(1.0, (step + 1) / warmup_steps) if warmup_steps else rate
