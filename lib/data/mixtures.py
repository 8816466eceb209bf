"""Mixtures made on the fly from the pack: each item depends only on the seed and its index.

The mixture of an item is computed as the sum of its sources, so the sources are exact ground truth
although the clips are stored with a lossy codec.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from lib.data.catalogue import SPLITS, choose, clips, load
from lib.data.signals import STEMS, noise_kinds, song, stretch
from lib.errors import InputError, check_rate
from lib.mixing import level_db, mix_at_snr

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


class _Mixtures:
    """What the data sets share: length, bounds, draws."""

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

    def _index(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: expected 0 to {len(self) - 1}, got {index}")
        return index % len(self)

    def _draw(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index])

    def _item(self, sources: torch.Tensor, index: int, meta: dict[str, Any]) -> Item:
        """Sum the sources, after one gain for all where a peak would pass 0.9."""
        peak = max(float(sources.abs().max()), float(sources.sum(0).abs().max()))
        gain = min(1.0, LARGEST_PEAK / peak)
        sources = sources * gain
        name = f"{self.split}-{index:04d}"
        meta = meta | {"gain": gain}
        return Item(sources.sum(0), sources, self.sample_rate, name, meta)


def _range(values: float | tuple[float, float], name: str) -> tuple[float, float]:
    ends = values if isinstance(values, (tuple, list)) else (values, values)
    if not (len(ends) == 2 and np.isfinite(ends).all() and ends[0] <= ends[1]):
        raise InputError(f"{name}: expected a number, or (low, high) in dB, got {values}")
    return float(ends[0]), float(ends[1])


def _seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds < np.inf:
        raise InputError(f"seconds: expected a positive number or None, got {seconds}")
    return seconds


def _fit(waveform: torch.Tensor, length: int, position: float) -> torch.Tensor:
    """Cut out ``length`` samples, or pad with zeros behind."""
    if waveform.shape[-1] < length:
        return torch.nn.functional.pad(waveform, (0, length - waveform.shape[-1]))
    return stretch(waveform, length, position, "an utterance")


class _Utterances:
    """The utterances of a split by speaker, so that each speaker is drawn equally often."""

    def __init__(self, split: str):
        table = clips("speech", split)
        self.by_speaker = {
            name: group[["clip", "text", "sex", "person"]].to_dict("records")
            for name, group in table.groupby("speaker", sort=True)
        }
        self.speakers = list(self.by_speaker)

    def draw(self, draw: np.random.Generator, count: int) -> list[tuple[str, dict]]:
        """``count`` different speakers and an utterance of each."""
        places = draw.choice(len(self.speakers), size=count, replace=False)
        names = [self.speakers[place] for place in places]
        rows = [self.by_speaker[name] for name in names]
        return [(n, r[int(draw.integers(len(r)))]) for n, r in zip(names, rows, strict=True)]


class TwoSpeakers(_Mixtures):
    """Two different speakers at once, in the manner of WSJ0-2mix.

    Args:
        split: ``train``, ``val`` or ``test``: the speakers of the splits derive from different
            persons.
        items: how many mixtures.
        seed: of the draws; item ``i`` depends on ``(seed, i)`` only.
        sample_rate: Hz.
        seconds: length of each item (utterances are cut, or padded with zeros); None keeps theirs.
        snr_range_db: the level of the first over the second is drawn uniformly from it; levels are
            mean power over what is kept of each utterance.
        length: without ``seconds``: ``"min"`` cuts to the shorter utterance, ``"max"`` pads to the
            longer.

    Items have one channel and two sources; ``meta`` holds ``speakers``, ``sexes``, ``clips``,
    ``texts``, ``snr_db`` and ``gain``.

    Raises:
        InputError: for an unknown split or length mode, or bad numbers.

    Source: Hershey, Chen, Le Roux, Watanabe 2016, Deep clustering (WSJ0-2mix: speakers up to 5 dB
        apart).

    Example:
        >>> item = TwoSpeakers("test", items=3, seconds=1.0)[0]
        >>> item.sources.shape, bool((item.mixture == item.sources.sum(0)).all())
        (torch.Size([2, 1, 8000]), True)
    """

    source_names = ("speaker_1", "speaker_2")

    def __init__(
        self,
        split: str = "test",
        items: int = 100,
        seed: int = 0,
        sample_rate: int = 8000,
        seconds: float | None = None,
        snr_range_db: float | tuple[float, float] = (-5.0, 5.0),
        length: str = "min",
    ):
        super().__init__(split, items, seed, sample_rate)
        self.seconds = _seconds(seconds)
        self.snr_range_db = _range(snr_range_db, "snr_range_db")
        self.length = choose(length, ("min", "max"), "length")
        self._utterances = _Utterances(split)

    def __getitem__(self, index: int) -> Item:
        """Mixture number ``index``."""
        index = self._index(index)
        draw = self._draw(index)
        drawn = self._utterances.draw(draw, 2)
        snr_db = float(draw.uniform(*self.snr_range_db))
        positions = draw.random(2)
        waveforms = [load(row["clip"], self.sample_rate)[0] for _, row in drawn]
        lengths = [waveform.shape[-1] for waveform in waveforms]
        if self.seconds is not None:
            total = round(self.seconds * self.sample_rate)
        else:
            total = min(lengths) if self.length == "min" else max(lengths)
        kept = [
            stretch(w, min(w.shape[-1], total), float(p), "an utterance")
            for w, p in zip(waveforms, positions, strict=True)
        ]
        # levels are taken before padding: silence behind must not make a short utterance louder
        gain = 10 ** ((level_db(kept[0]) - level_db(kept[1]) - snr_db) / 20)
        kept[1] = kept[1] * gain
        sources = torch.stack([_fit(waveform, total, 0.0) for waveform in kept])
        meta = {
            "speakers": [name for name, _ in drawn],
            "sexes": "".join(row["sex"] for _, row in drawn),
            "clips": [row["clip"] for _, row in drawn],
            "texts": [row["text"] for _, row in drawn],
            "snr_db": snr_db,
        }
        return self._item(sources, index, meta)


class NoisySpeech(_Mixtures):
    """One speaker in noise at a chosen SNR.

    Args:
        split: ``train``, ``val`` or ``test``: speakers, sentences and noise clips are disjoint.
        items: how many mixtures.
        seed: of the draws; item ``i`` depends on ``(seed, i)`` only.
        sample_rate: Hz.
        snr_db: speech over noise in dB, one number or (low, high); mean power over the item.
        kinds: kinds of noise, taken in turn; all if None.
        seconds: length of each item, at most that of the noise (10 s in ``test``); None keeps the
            utterance's.

    Items have one channel and two sources, speech and noise; ``meta`` holds ``speaker``, ``sex``,
    ``clip``, ``text``, ``noise``, ``stationary``, ``snr_db`` and ``gain``.

    Raises:
        InputError: for an unknown split or kind, or bad numbers.

    Example:
        >>> item = NoisySpeech("test", items=4, snr_db=0.0, kinds=["rain"], seconds=2.0)[1]
        >>> item.sources.shape, item.meta["noise"]
        (torch.Size([2, 1, 32000]), 'rain')
    """

    source_names = ("speech", "noise")

    def __init__(
        self,
        split: str = "test",
        items: int = 100,
        seed: int = 0,
        sample_rate: int = 16000,
        snr_db: float | tuple[float, float] = 0.0,
        kinds: list[str] | None = None,
        seconds: float | None = None,
    ):
        super().__init__(split, items, seed, sample_rate)
        self.snr_db = _range(snr_db, "snr_db")
        if isinstance(kinds, str):
            raise InputError(f"kinds: expected a list, got the string {kinds!r}; write [{kinds!r}]")
        known = noise_kinds()
        self.kinds = known if kinds is None else [choose(kind, known, "kinds") for kind in kinds]
        if not self.kinds:
            raise InputError("kinds: expected at least one kind of noise, got an empty list")
        self.seconds = _seconds(seconds)
        self._utterances = _Utterances(split)
        table = clips("noise", split)
        self._noises = {k: table[table["noise"] == k]["clip"].tolist() for k in self.kinds}
        self._stationary = set(noise_kinds(stationary=True))
        longest = float(table["duration_s"].min())
        if seconds is not None and seconds > longest:
            raise InputError(f"seconds: expected at most the noise's {longest} s, got {seconds}")

    def __getitem__(self, index: int) -> Item:
        """Mixture number ``index``."""
        index = self._index(index)
        draw = self._draw(index)
        ((speaker, row),) = self._utterances.draw(draw, 1)
        kind = self.kinds[index % len(self.kinds)]
        snr_db = float(draw.uniform(*self.snr_db))
        positions = [float(value) for value in draw.random(2)]
        names = self._noises[kind]
        clip = names[int(draw.integers(len(names)))]
        speech, _ = load(row["clip"], self.sample_rate)
        if self.seconds is not None:
            speech = _fit(speech, round(self.seconds * self.sample_rate), positions[0])
        background, _ = load(clip, self.sample_rate)
        background = stretch(background, speech.shape[-1], positions[1], f"noise {kind}")
        mixed = mix_at_snr(speech, background, snr_db)
        meta = {
            "speaker": speaker,
            "sex": row["sex"],
            "clip": row["clip"],
            "text": row["text"],
            "noise": kind,
            "stationary": kind in self._stationary,
            "snr_db": snr_db,
        }
        return self._item(torch.stack([mixed.target, mixed.interference]), index, meta)


class Songs(_Mixtures):
    """The songs of a split: stereo at 44.1 kHz, four sources.

    Args:
        split: ``train`` (8 songs), ``val`` (2) or ``test`` (2).
        seconds: length of the excerpt; the whole song if None.
        start: seconds to skip.

    Raises:
        InputError: for an unknown split, or a stretch that a song does not have.

    Example:
        >>> Songs("test", seconds=1.0)[0].sources.shape
        torch.Size([4, 2, 44100])
    """

    source_names = STEMS

    def __init__(self, split: str = "test", seconds: float | None = None, start: float = 0.0):
        self.seconds, self.start = _seconds(seconds), start
        table = clips("song", split).drop_duplicates("song")
        self._names = table["song"].tolist()
        super().__init__(split, len(self._names), 0, int(table["sample_rate"].iloc[0]))

    def __getitem__(self, index: int) -> Item:
        """Song number ``index``."""
        index = self._index(index)
        excerpt = song(self._names[index], seconds=self.seconds, start=self.start)
        sources = torch.stack([excerpt.stems[stem] for stem in STEMS])
        return self._item(sources, index, {"song": excerpt.name})
