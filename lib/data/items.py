"""What a data set yields, and what all data sets share: length, bounds, draws from a seed."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from lib.data.catalogue import SPLITS, choose
from lib.data.signals import stretch
from lib.errors import InputError, check_rate

LARGEST_PEAK = 0.9


class Item(NamedTuple):
    """A mixture ``(channels, time)`` and its sources ``(sources, channels, time)``.

    ``sample_rate`` is in Hz; ``name`` says split and index; ``meta`` says what was drawn.
    """

    mixture: torch.Tensor
    sources: torch.Tensor
    sample_rate: int
    name: str
    meta: dict[str, Any]


class Mixtures:
    """The base of the data sets: a sequence of :class:`Item`, each fixed by seed and index.

    Args:
        split: ``train``, ``val`` or ``test``.
        items: how many.
        seed: of the draws; item ``i`` depends on ``(seed, i)`` only.
        sample_rate: Hz.

    Raises:
        InputError: for an unknown split or bad numbers.

    Example:
        >>> len(Mixtures("test", items=5, seed=0, sample_rate=8000))
        5
    """

    source_names: tuple[str, ...]

    def __init__(self, split: str, items: int, seed: int, sample_rate: int):
        self.split = choose(split, SPLITS, "split")
        if items < 1:
            raise InputError(f"items: expected at least 1, got {items}")
        if seed < 0:
            raise InputError(f"seed: expected 0 or more, got {seed}")
        self.items, self.seed, self.sample_rate = items, seed, check_rate(sample_rate)

    def __len__(self) -> int:
        return self.items

    def __iter__(self) -> Iterator[Item]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Item:
        raise NotImplementedError

    def _index(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: expected 0 to {len(self) - 1}, got {index}")
        return index % len(self)

    def _draw(self, index: int, *stream: int) -> np.random.Generator:
        """The draws of an item; an option has a stream of its own and leaves the others alone."""
        return np.random.default_rng([self.seed, index, *stream])

    def _item(
        self,
        sources: torch.Tensor,
        index: int,
        meta: dict[str, Any],
        mixture: torch.Tensor | None = None,
        gain: float = 1.0,
    ) -> Item:
        """Sum the sources, after one gain for all: ``gain``, or less where a peak would pass 0.9.

        ``mixture`` is given where it is not the sum of the sources.
        """
        heard = sources.sum(0) if mixture is None else mixture
        peak = max(float(sources.abs().max()), float(heard.abs().max()))
        if peak > 0:
            gain = min(gain, LARGEST_PEAK / peak)
        sources = sources * gain
        mixture = sources.sum(0) if mixture is None else mixture * gain
        name = f"{self.split}-{index:04d}"
        return Item(mixture, sources, self.sample_rate, name, meta | {"gain": gain})


def check_range(values: float | tuple[float, float], name: str, unit: str = "dB"):
    """Require a number, or (low, high).

    Args:
        values: what the caller passed.
        name: its name in the caller's signature.
        unit: of the numbers, for the error.

    Returns:
        ``(low, high)``; equal for one number.

    Raises:
        InputError: for anything else.

    Example:
        >>> check_range(3, "snr_db")
        (3.0, 3.0)
    """
    ends = values if isinstance(values, (tuple, list)) else (values, values)
    try:
        fits = len(ends) == 2 and bool(np.isfinite(ends).all()) and ends[0] <= ends[1]
    except TypeError:
        fits = False
    if not fits:
        raise InputError(f"{name}: expected a number, or (low, high) in {unit}, got {values}")
    return float(ends[0]), float(ends[1])


def check_seconds(seconds: float | None, sample_rate: int) -> float | None:
    """Require a length of at least one sample, or None.

    Args:
        seconds: what the caller passed.
        sample_rate: Hz.

    Raises:
        InputError: for anything else.

    Example:
        >>> check_seconds(4.0, 8000)
        4.0
    """
    if seconds is None:
        return None
    is_number = isinstance(seconds, numbers.Real)
    if not (is_number and 0 < seconds < np.inf and round(seconds * sample_rate) >= 1):
        raise InputError(
            f"seconds: expected a positive number, long enough for one sample, or None, "
            f"got {seconds!r}"
        )
    return seconds


def fit(waveform: torch.Tensor, length: int, position: float, offset: int = 0) -> torch.Tensor:
    """Bring a waveform to a length: cut out a stretch, or pad with zeros.

    Args:
        waveform: ``(channels, time)``.
        length: samples of the result.
        position: where to cut, from 0 (its beginning) to 1 (its end).
        offset: zeros in front, counted in ``length``.

    Returns:
        ``(channels, length)``.

    Example:
        >>> fit(torch.ones(1, 2), 5, 0.0, offset=1)
        tensor([[0., 1., 1., 0., 0.]])
    """
    if waveform.shape[-1] + offset <= length:
        behind = length - offset - waveform.shape[-1]
        return torch.nn.functional.pad(waveform, (offset, behind))
    kept = stretch(waveform, length - offset, position, "an utterance")
    return torch.nn.functional.pad(kept, (offset, 0)) if offset else kept
