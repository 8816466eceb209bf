"""Mixtures in batches: the training set is drawn anew in each epoch, the validation set is fixed.

A data set of the course makes item ``i`` from its seed and ``i`` alone, so an epoch is nothing but
a stretch of the indices. What a training sees depends on the seed, the epoch and the step only:
not on how often it was interrupted, nor on how many processes share the work.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from lib.errors import InputError, require_package
from lib.training.recipes import dataset_arguments, dataset_class

pl = require_package("lightning.pytorch", "training", "lightning")

ENDLESS = 2**40  # items of a data set that draws them
REST = ("accompaniment", "residual", "rest")  # a source of this name is all others together


class Batch(NamedTuple):
    """Mixtures ``(B, C, T)``, their sources ``(B, S, C, T)`` and names."""

    mixture: torch.Tensor
    sources: torch.Tensor
    names: list[str]


class MixtureData(pl.LightningDataModule):
    """Batches of mixtures for training and validation.

    In a training with several processes each of them gets its share of every batch, so
    ``batch_size`` is that of the whole.

    Args:
        train: a data set or list of items; drawn in a new order in every pass if it has an end.
        val: items to validate on, or None.
        batch_size: mixtures per update.
        steps_per_epoch: updates per epoch.
        source_names: which sources, in which order; all as they come if None. A name of
            :data:`REST` that the data set does not have stands for the sum of the others.
        seed: of the order.
        workers: processes that prepare batches.

    Example:
        >>> from lib.data import TwoSpeakers
        >>> data = MixtureData(TwoSpeakers("train", seconds=1.0), None, batch_size=4)
        >>> data.batch(0, 0).mixture.shape
        torch.Size([4, 1, 8000])
    """

    def __init__(
        self,
        train: Sequence[Any],
        val: Sequence[Any] | None,
        batch_size: int = 8,
        steps_per_epoch: int = 100,
        source_names: Sequence[str] | None = None,
        seed: int = 0,
        workers: int = 0,
    ):
        super().__init__()
        self.train_items, self.val_items = train, val
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.seed, self.workers = seed, workers
        self.picks = _picks(getattr(train, "source_names", None), source_names)

    @classmethod
    def from_recipe(cls, recipe: dict, model: Any) -> MixtureData:
        """Build the data of a recipe for a model.

        Raises:
            InputError: if the data set refuses its arguments or lacks a source.
        """
        section = dict(recipe["data"])
        system = dataset_class(section.pop("name"))
        own = {
            key: section.pop(key)
            for key in ("batch_size", "steps_per_epoch", "val_items", "workers")
        }
        sizes = {"train": ENDLESS, "val": own.pop("val_items")}
        arguments = {"train": section | recipe["augment"], "val": section}
        sets = {
            split: _dataset(
                system, arguments[split], split, items, model.sample_rate, recipe["seed"]
            )
            for split, items in sizes.items()
        }
        names = None if model.any_order else model.source_names
        data = cls(sets["train"], sets["val"], source_names=names, seed=recipe["seed"], **own)
        expected, got = len(model.source_names), len(data.picks or sets["train"].source_names)
        if expected != got:
            raise InputError(f"data: expected {expected} sources for the system, got {got}")
        return data

    def index(self, position: int) -> int:
        """Which item stands at a position counted from the start of the training."""
        count = len(self.train_items)
        if count >= ENDLESS:
            return position
        turn, place = divmod(position, count)
        return int(np.random.default_rng([self.seed, turn]).permutation(count)[place])

    def batch(self, epoch: int, step: int) -> Batch:
        """The whole batch of one step."""
        items = [self.train_items[index] for index in self.indices(epoch, step)]
        return collate(items, self.picks)

    def indices(self, epoch: int, step: int) -> list[int]:
        """Which items make the batch of one step."""
        first = (epoch * self.steps_per_epoch + step) * self.batch_size
        return [self.index(first + place) for place in range(self.batch_size)]

    def train_dataloader(self) -> Any:
        """Batches of the epoch that the trainer is in, each time it goes through them."""
        world = 1 if self.trainer is None else self.trainer.world_size
        if self.batch_size % world:
            raise InputError(
                f"data.batch_size: expected a multiple of the {world} processes, "
                f"got {self.batch_size}"
            )
        return self._loader(self.train_items, _EpochBatches(self))

    def val_dataloader(self) -> Any:
        """Batches of the validation set; with several processes each gets its share."""
        if self.val_items is None:
            return []
        rank, world = self.trainer.global_rank, self.trainer.world_size
        if len(self.val_items) < world:
            raise InputError(
                f"data.val_items: expected at least one for each of the {world} processes, "
                f"got {len(self.val_items)}"
            )
        mine = list(range(len(self.val_items)))[rank::world]
        size = max(1, self.batch_size // world)
        batches = [mine[start : start + size] for start in range(0, len(mine), size)]
        return self._loader(self.val_items, batches)

    def _loader(self, items: Sequence[Any], batches: Iterable[list[int]]) -> Any:
        return torch.utils.data.DataLoader(
            items,
            batch_sampler=batches,
            collate_fn=functools.partial(collate, picks=self.picks),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,  # they keep their decoded clips
            generator=torch.Generator(),  # else each pass takes a number from the model's dropout
        )


class _EpochBatches:
    """The share of this process in each batch of the trainer's current epoch."""

    def __init__(self, data: MixtureData):
        self.data = data

    def __len__(self) -> int:
        return self.data.steps_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        trainer = self.data.trainer
        for step in range(len(self)):
            indices = self.data.indices(trainer.current_epoch, step)
            yield indices[trainer.global_rank :: trainer.world_size]


def collate(items: Sequence[Any], picks: list[list[int]] | None = None) -> Batch:
    """Stack items of equal length.

    Args:
        items: of a data set.
        picks: for each source, which of the items' it is the sum of; all as they come if None.

    Raises:
        InputError: if the items differ in length.

    Example:
        >>> from lib.data import TwoSpeakers
        >>> items = TwoSpeakers("test", items=2, seconds=1.0)
        >>> collate(list(items), picks=[[1]]).sources.shape
        torch.Size([2, 1, 1, 8000])
    """
    lengths = {item.mixture.shape[-1] for item in items}
    if len(lengths) > 1:
        raise InputError(
            f"data: expected items of one length, got {sorted(lengths)} samples; set data.seconds"
        )
    sources = torch.stack([item.sources for item in items])  # (B, S, C, T)
    if picks is not None:
        sources = torch.stack([sources[:, pick].sum(1) for pick in picks], 1)
    mixture = torch.stack([item.mixture for item in items])
    return Batch(mixture, sources, [item.name for item in items])


def _dataset(
    system: type, arguments: dict, split: str, items: int, sample_rate: int, seed: int
) -> Any:
    known = dataset_arguments(system)
    # the validation set is the same whatever the seed, so that runs compare
    own = {"items": items, "seed": seed if split == "train" else 0, "sample_rate": sample_rate}
    own = {key: value for key, value in own.items() if key in known}
    try:
        dataset = system(split=split, **own, **arguments)
    except InputError as error:
        raise InputError(f"data: {error}") from error
    except TypeError as error:  # such as a folder that is not given
        raise InputError(f"data: {system.__name__} refuses {arguments}: {error}") from error
    if dataset.sample_rate != sample_rate:
        raise InputError(
            f"data: expected {sample_rate} Hz as the system, got {dataset.sample_rate} Hz"
        )
    return dataset


def _picks(names: Sequence[str] | None, wanted: Sequence[str] | None) -> list[list[int]] | None:
    """For each wanted source, which of the data set's it is the sum of."""
    if wanted is None or names is None or tuple(wanted) == tuple(names):
        return None
    rest = [index for index, name in enumerate(names) if name not in wanted]
    picks = []
    for name in wanted:
        if name in names:
            picks.append([names.index(name)])
        elif name in REST and rest:
            picks.append(rest)
        else:
            raise InputError(f"data: expected sources {', '.join(wanted)}, got {', '.join(names)}")
    return picks
