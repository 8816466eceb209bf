"""Songs of four stems: one after the other, or excerpts drawn and remixed to train on."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from lib.data.activity import salient_segments
from lib.data.catalogue import SPLITS, choose, clips, load
from lib.data.folders import FolderRecordings, FolderSongs, require_folder
from lib.data.items import LARGEST_PEAK, Item, Mixtures, check_range, check_seconds
from lib.data.signals import STEMS, stretch
from lib.data.voice import VoiceChanges
from lib.errors import DataError, InputError, check_rate

# streams of draws: gains, swaps and flips have 1 to 3, voice changes 21 to 23
_SILENCE, _UNLABELLED, _SALIENT = 4, 5, 6  # of the first stem; the others go on from there


class PackSongs:
    """The songs of a split of the pack.

    Args:
        split: ``train``, ``val`` or ``test``.
        sample_rate: Hz.

    Example:
        >>> list(PackSongs("test", 8000).seconds)
        ['glass_mountain', 'night_ferry']
    """

    def __init__(self, split: str, sample_rate: int):
        table = clips("song", split)
        self._clips = {(row.song, row.stem): row.clip for row in table.itertuples()}
        self.seconds = table.groupby("song", sort=False)["duration_s"].min().to_dict()
        self.sample_rate = sample_rate

    def excerpt(
        self, name: str, stem: str, start: float, seconds: float | None, position: float
    ) -> torch.Tensor:
        """``seconds`` of a stem ``(2, time)`` at ``position`` from ``start`` to its last place."""
        waveform = load(self._clips[name, stem], self.sample_rate)[0]
        waveform = waveform[:, round(start * self.sample_rate) :]
        if seconds is None:
            return waveform
        return stretch(waveform, round(seconds * self.sample_rate), position, f"{name}, {stem}")


class Stems(Mixtures):
    """Songs of four stems: whole, or excerpts drawn and remixed to train on; the base of the sets.

    A set says in ``found`` where its songs come from before it starts this class, whose arguments
    are those of :class:`Songs`.
    """

    source_names = STEMS
    found: PackSongs | FolderSongs

    def __init__(
        self,
        split: str = "test",
        seconds: float | None = None,
        start: float = 0.0,
        items: int | None = None,
        seed: int = 0,
        sample_rate: int = 44100,
        target: str | None = None,
        mono: bool = False,
        remix: bool = False,
        gain_range_db: float | tuple[float, float] = 0.0,
        swap: bool = False,
        flip: bool = False,
        silence: float = 0.0,
        salient: float | None = None,
        unlabelled: str | None = None,
        unlabelled_share: float = 0.5,
        pitch_semitones: float | tuple[float, float] | None = None,
        stretch_range: float | tuple[float, float] | None = None,
        envelope_range: float | tuple[float, float] | None = None,
    ):
        self._songs = list(self.found.seconds)
        super().__init__(split, len(self._songs) if items is None else items, seed, sample_rate)
        self.seconds, self.start = check_seconds(seconds, self.sample_rate), start
        self.drawn = items is not None
        if remix and not self.drawn:
            raise InputError("remix: expected a number of items beside it, got items=None")
        if self.drawn and seconds is None:
            raise InputError("seconds: expected the length of the excerpts to draw, got None")
        self.changes = VoiceChanges(
            sample_rate,
            pitch_semitones=pitch_semitones,
            stretch_range=stretch_range,
            envelope_range=envelope_range,
        )
        shortest = min(self.found.seconds.values())
        needed = (seconds or 1 / sample_rate) / self.changes.shortest
        if start < 0 or start + needed > shortest:
            raise InputError(
                f"start and seconds: expected a stretch within the {shortest:.2f} s of "
                f"the shortest song, got start {start} and seconds {seconds}"
                + (f", for which {needed:.2f} s are read" if stretch_range else "")
            )
        self.target = target
        if target is not None:
            rest = "accompaniment" if target == "vocals" else "rest"
            self.source_names = (choose(target, STEMS, "target"), rest)
        self.mono, self.remix, self.swap, self.flip = mono, remix, swap, flip
        self.gain_range_db = check_range(gain_range_db, "gain_range_db")
        self.silence = _check_share(silence, "silence")
        self.salient = check_seconds(salient, self.sample_rate)
        if salient is not None and not (remix and needed <= salient):
            raise InputError(
                f"salient: expected remix and segments of at least the {needed:.2f} s that are "
                f"read, got remix {remix} and {salient} s"
            )
        self.recordings: FolderRecordings | None = None
        self.unlabelled_share = _check_share(unlabelled_share, "unlabelled_share")
        if unlabelled is not None:
            if not self.drawn:
                raise InputError("unlabelled: expected a number of items beside it, got items=None")
            self.recordings = FolderRecordings(unlabelled, self.sample_rate)
        self._heard: dict[tuple[str, str], list[float]] = {}

    def __getitem__(self, index: int) -> Item:
        """Song or excerpt number ``index``."""
        index = self._index(index)
        if self.recordings and self._draw(index, _UNLABELLED).random() < self.unlabelled_share:
            return self._unlabelled(index, self.recordings)
        names, positions = [self._songs[index % len(self._songs)]] * len(STEMS), [0.0] * len(STEMS)
        if self.drawn:
            draw = self._draw(index)
            names = [self._songs[place] for place in draw.integers(len(self._songs), size=4)]
            positions = [float(position) for position in draw.random(4)]
            if not self.remix:
                names, positions = names[:1] * 4, positions[:1] * 4
        (drawn,) = self.changes.draw(partial(self._draw, index))
        seconds = self.seconds
        if seconds is not None:
            seconds = seconds / drawn.get("stretch", 1.0)  # to be read
        # a stream per option
        gains = 10 ** (self._draw(index, 1).uniform(*self.gain_range_db, 4) / 20)
        swaps, flips = self._draw(index, 2).random(4) < 0.5, self._draw(index, 3).random(4) < 0.5
        silent = self._draw(index, _SILENCE).random(4) < self.silence
        gains[silent] = 0.0
        stems, start = [], self.start
        for place, stem in enumerate(STEMS):
            if self.salient is not None:
                draw = self._draw(index, _SALIENT + place)
                names[place], start = self._where_heard(draw, self.found, stem, seconds)
                positions[place] = 0.0
            waveform = self.found.excerpt(names[place], stem, start, seconds, positions[place])
            if self.swap and swaps[place]:
                waveform = waveform.flip(0)
            gain = gains[place] * (-1.0 if self.flip and flips[place] else 1.0)
            stems.append(waveform * gain)
        length = min(stem.shape[-1] for stem in stems)
        sources = torch.stack([stem[:, :length] for stem in stems])
        if self.mono:
            sources = sources.mean(1, keepdim=True)
        if "envelope" in drawn:
            only = {"envelope": drawn["envelope"]}
            vocals = STEMS.index("vocals")
            sources[vocals] = self.changes.apply(sources[vocals], only)
        if self.target is not None:
            chosen = torch.tensor([stem == self.target for stem in STEMS])
            sources = torch.stack([sources[chosen].sum(0), sources[~chosen].sum(0)])
        # behind the sums, as it takes a while
        of_all = {name: value for name, value in drawn.items() if name != "envelope"}
        sources = self.changes.apply(sources, of_all)
        if self.seconds is not None and of_all:
            missing = round(self.seconds * self.sample_rate) - sources.shape[-1]
            sources = functional.pad(sources, (0, missing))  # or cut, below zero
        meta: dict[str, Any] = {"song": names[0]}
        if self.drawn and self.salient is None:
            meta["position"] = positions[0]
        if self.remix:
            meta = {"songs": dict(zip(STEMS, names, strict=True))}
        if drawn:
            meta["changes"] = drawn
        return self._item(sources, index, meta)

    def _where_heard(
        self, draw: np.random.Generator, found: PackSongs | FolderSongs, stem: str, seconds: float
    ) -> tuple[str, float]:
        """A song, and where an excerpt of a segment begins in which the stem is heard."""
        names = list(found.seconds)
        for name in draw.permutation(names).tolist():
            if (name, stem) not in self._heard:
                whole = found.excerpt(name, stem, self.start, None, 0.0)
                segments = salient_segments(whole, self.sample_rate, self.salient)
                self._heard[name, stem] = [
                    self.start + first / self.sample_rate for first in segments
                ]
            if starts := self._heard[name, stem]:
                first = starts[int(draw.integers(len(starts)))]
                return name, first + float(draw.random()) * (self.salient - seconds)
        raise DataError(
            f"{stem or 'unlabelled'}: expected a segment of {self.salient} s in which it is heard, "
            f"got none in {len(names)} songs; take shorter segments"
        )

    def _unlabelled(self, index: int, recordings: FolderRecordings) -> Item:
        """An excerpt of a recording; its sources are not a number."""
        draw = self._draw(index, _UNLABELLED, 1)
        if self.salient is None:
            name = draw.choice(list(recordings.seconds))
            start, position = 0.0, float(draw.random())
        else:
            (name, start), position = self._where_heard(draw, recordings, "", self.seconds), 0.0
        mixture = recordings.excerpt(name, "", start, self.seconds, position)  # (C, T)
        if len(mixture) > 2:
            raise DataError(
                f"{name}: expected one channel or two, got {len(mixture)}; mix it down to stereo"
            )
        mixture = functional.pad(
            mixture, (0, round(self.seconds * self.sample_rate) - mixture.shape[-1])
        )
        mixture = mixture.mean(0, keepdim=True) if self.mono else mixture.expand(2, -1)
        peak = float(mixture.abs().max())
        mixture = mixture * min(1.0, LARGEST_PEAK / peak) if peak else mixture
        sources = torch.full((len(self.source_names), *mixture.shape), torch.nan)
        return Item(
            mixture, sources, self.sample_rate, f"{self.split}-{index:04d}", {"recording": name}
        )


def _check_share(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"{name}: expected a share from 0 to 1, got {value!r}")
    return value


class Songs(Stems):
    """The songs of a split, stereo, four sources: whole, or excerpts drawn and remixed to train on.

    Args:
        split: ``train`` (8 songs), ``val`` (2) or ``test`` (2).
        corpus: ``pack``; or ``folders``: ``SPLIT/SONG/STEM`` as sound files in a folder, such as
            ``data_scripts/make_songs.py`` makes.
        folder: of that corpus.
        seconds: length of the excerpt; the whole song if None.
        start: seconds to skip.
        items: how many excerpts to draw, each of a random song at a random place after ``start``;
            None takes each song once, at ``start``.
        seed: of the draws; item ``i`` depends on ``(seed, i)`` only.
        sample_rate: Hz.
        target: one of the stems: sources are it and all others together; None keeps the four.
        mono: average the channels.
        remix: with ``items``: each stem is drawn from a song of its own.
        gain_range_db: each stem gets a gain drawn from (low, high).
        swap: left and right of each stem are exchanged, or not, at random.
        flip: the sign of each stem is changed, or not, at random.
        silence: probability that a stem is left out of an item.
        salient: with ``remix``: draw a stem from segments of so many seconds in which it is heard
            (6 in the paper), see :func:`lib.data.activity.salient_segments`.
        unlabelled: folder of recordings whose sources nobody knows, as sound files; some of the
            drawn items are excerpts of these, and their sources are NaN.
        unlabelled_share: of the items, with ``unlabelled``.
        pitch_semitones: the pitch of all stems rises by semitones drawn from (low, high).
        stretch_range: all stems last so many times as long, drawn from (low, high).
        envelope_range: the formants of the vocals move up by a factor drawn from (low, high).

    Raises:
        InputError: for an unknown split or target, bad numbers, or a stretch that a song lacks.
        DataError: if a folder or file is missing or damaged.

    Source: Uhlich et al. 2017, Improving music source separation based on deep neural networks
        through data augmentation and network blending (gains, swaps, remixes); Cohen-Hadria et al.
        2019, Improving singing voice separation using deep U-Net and Wave-U-Net with data
        augmentation (pitch, stretch, envelope); Luo and Yu 2023, Music source separation with
        band-split RNN (silence, salient, unlabelled).

    Example:
        >>> Songs("test", seconds=1.0)[0].sources.shape
        torch.Size([4, 2, 44100])
        >>> drawn = Songs("train", 1.0, items=5, sample_rate=16000, target="vocals", mono=True)
        >>> drawn.source_names, drawn[0].sources.shape
        (('vocals', 'accompaniment'), torch.Size([2, 1, 16000]))
    """

    def __init__(
        self,
        split: str = "test",
        seconds: float | None = None,
        *,
        corpus: str = "pack",
        folder: str | None = None,
        sample_rate: int = 44100,
        **options: Any,
    ):
        choose(split, SPLITS, "split")
        if choose(corpus, ("pack", "folders"), "corpus") == "pack":
            if folder is not None:
                raise InputError(f"folder: expected None with corpus='pack', got {folder!r}")
            self.found = PackSongs(split, check_rate(sample_rate))
        else:
            if folder is None:
                raise InputError("folder: expected a path with corpus='folders', got None")
            root = require_folder(folder, "", f"{split}/SONG/vocals.flac and so on") / split
            self.found = FolderSongs(root, check_rate(sample_rate))
        super().__init__(split, seconds, sample_rate=sample_rate, **options)
