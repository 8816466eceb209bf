"""Clips of one speaker in noise, with pauses, and the chunks of them that a network trains on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lib.data.augmentation import Noises
from lib.data.catalogue import choose, load
from lib.data.items import Mixtures, check_range, check_seconds, fit
from lib.data.mixtures import speech_of
from lib.data.signals import stretch
from lib.errors import InputError
from lib.mixing import mix_at_snr

PAUSE_S = (0.3, 2.0)  # between two utterances
CHUNKS = ("random", "speech")
# a chunk with speech has at least this share of the voice's mean power over the clip
LEAST_SPEECH = 0.5


class NoisyClips(Mixtures):
    """Utterances of one speaker with pauses between them, in noise at a chosen SNR.

    A network trains on chunks of a clip. Some chunks at random places hold no speech; speech-aware
    chunks do, as far as the clip has any.

    Args:
        split: ``train``, ``val`` or ``test``: speakers, sentences and noise clips are disjoint.
        items: how many clips.
        seed: of the draws; item ``i`` depends on ``(seed, i)`` only.
        sample_rate: Hz.
        snr_db: speech over noise in dB, one number or (low, high): mean power over the whole clip,
            pauses included.
        kinds: kinds of noise, taken in turn; all if None.
        seconds: length of a clip, at most that of the noise (10 s in ``val`` and ``test``).
        chunk: seconds to cut out of the clip; None for the whole.
        place: where a chunk lies: ``random``, or ``speech``, a random place with at least half of
            the voice's mean power.
        corpus: whose speech, as for :class:`~lib.data.mixtures.Speakers`; the noise is the pack's.
        folder: of that corpus.

    Items have one channel and two sources, speech and noise; ``meta`` holds ``speaker``, ``noise``,
    ``stationary``, ``snr_db`` and, of chunks, ``start`` in seconds.

    Raises:
        InputError: for an unknown split, kind or place, or bad numbers.

    Example:
        >>> item = NoisyClips("test", items=2, snr_db=-8.0, kinds=["rain"], seconds=5.0)[0]
        >>> item.sources.shape, item.meta["snr_db"]
        (torch.Size([2, 1, 40000]), -8.0)
    """

    source_names = ("speech", "noise")

    def __init__(
        self,
        split: str = "test",
        items: int = 100,
        seed: int = 0,
        sample_rate: int = 8000,
        snr_db: float | tuple[float, float] = (-8.0, 4.0),
        kinds: list[str] | None = None,
        seconds: float = 10.0,
        chunk: float | None = None,
        place: str = "random",
        corpus: str = "pack",
        folder: str | None = None,
    ):
        super().__init__(split, items, seed, sample_rate)
        self.snr_db = check_range(snr_db, "snr_db")
        self.seconds = check_seconds(seconds, self.sample_rate)
        self.chunk = check_seconds(chunk, self.sample_rate)
        self.place = choose(place, CHUNKS, "place")
        self._noises = Noises(split, kinds)
        if self.seconds is None:
            raise InputError("seconds: expected the length of a clip, got None")
        self._noises.require(self.seconds)
        if self.chunk is not None and self.chunk > self.seconds:
            raise InputError(f"chunk: expected at most the clip's {seconds} s, got {chunk}")
        self._utterances = speech_of(split, corpus, folder, 1)

    def __getitem__(self, index: int):
        """Clip number ``index``, or a chunk of it."""
        index = self._index(index)
        draw = self._draw(index)
        length = round(self.seconds * self.sample_rate)
        speaker, voice = self._voice(draw, length)
        kind = self._noises.kinds[index % len(self._noises.kinds)]
        snr_db = float(draw.uniform(*self.snr_db))
        names = self._noises.by_kind[kind]
        noise, _ = load(names[int(draw.integers(len(names)))], self.sample_rate)
        noise = stretch(noise, length, float(draw.random()), f"noise {kind}")
        mixed = mix_at_snr(voice, noise, snr_db)
        sources = torch.stack([voice, mixed.interference])  # (2, 1, T)
        meta: dict[str, Any] = {
            "speaker": speaker,
            "noise": kind,
            "stationary": kind in self._noises.stationary,
            "snr_db": snr_db,
        }
        if self.chunk is not None:
            chunk = round(self.chunk * self.sample_rate)
            # a stream of its own: the clip is the same whatever the chunk
            start = self._start(voice, chunk, self._draw(index, 1))
            meta["start"] = start / self.sample_rate
            sources = sources[..., start : start + chunk]
        return self._item(sources, index, meta)

    def _voice(self, draw: np.random.Generator, length: int) -> tuple[str, torch.Tensor]:
        """Utterances of one speaker, one after another with pauses, ``(1, length)``."""
        ((speaker, row),) = self._utterances.draw(draw, 1)
        parts, filled = [], 0
        while filled < length:
            pause = round(float(draw.uniform(*PAUSE_S)) * self.sample_rate)
            spoken = self._utterances.load(row, self.sample_rate, 0.0, self.seconds)
            parts += [torch.nn.functional.pad(spoken, (0, pause))]
            filled += parts[-1].shape[-1]
            row = self._utterances.draw_of(speaker, draw)
        return speaker, fit(torch.cat(parts, -1), length, float(draw.random()))

    def _start(self, voice: torch.Tensor, chunk: int, draw: np.random.Generator) -> int:
        """Where a chunk begins."""
        last = voice.shape[-1] - chunk
        if self.place == "random":
            return int(draw.integers(last + 1))
        energy = torch.nn.functional.pad(voice[0].double().square().cumsum(0), (1, 0))
        powers = (energy[chunk:] - energy[:-chunk]) / chunk  # (last + 1,)
        spoken = (powers >= LEAST_SPEECH * energy[-1] / voice.shape[-1]).nonzero()[:, 0]
        return int(spoken[int(draw.integers(len(spoken)))])
