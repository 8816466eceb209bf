"""Mixtures made on the fly from the pack: each item depends only on the seed and its index.

The mixture of an item is computed as the sum of its sources, so the sources are exact ground truth
although the clips are stored with a lossy codec.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from lib.data.augmentation import Augmentation, Noises, level
from lib.data.catalogue import choose, clips, load
from lib.data.folders import FolderSpeech, FSDDSpeech, LibriSpeechSpeech
from lib.data.items import Item, Mixtures, check_range, check_seconds, fit
from lib.data.signals import stretch
from lib.data.voice import RANGES
from lib.errors import DataError, InputError
from lib.mixing import mix_at_snr

# what may be changed where noise is a source: the voice, and the level of the whole
OF_ONE_VOICE = ("speed_range", "equaliser_db", *RANGES, "reverb", "gain_range_db")


class PackSpeech:
    """The utterances of a split of the pack; each speaker is drawn equally often.

    Args:
        split: ``train``, ``val`` or ``test``.

    Example:
        >>> PackSpeech("val").speakers[:2]
        ['f07', 'f08']
    """

    def __init__(self, split: str):
        table = clips("speech", split)
        self.by_speaker = {
            name: group[["clip", "text", "sex", "person"]].to_dict("records")
            for name, group in table.groupby("speaker", sort=True)
        }
        self.speakers = list(self.by_speaker)

    def draw(self, draw: np.random.Generator, count: int) -> list[tuple[str, dict[str, Any]]]:
        """``count`` different speakers and an utterance of each: ``(speaker, row)``."""
        places = draw.choice(len(self.speakers), size=count, replace=False)
        names = [self.speakers[place] for place in places]
        return [(name, self.draw_of(name, draw)) for name in names]

    def draw_of(self, speaker: str, draw: np.random.Generator) -> dict[str, Any]:
        """An utterance of a speaker: its row."""
        rows = self.by_speaker[speaker]
        return rows[int(draw.integers(len(rows)))]

    def load(
        self, row: dict[str, Any], sample_rate: int, position: float, seconds: float | None
    ) -> torch.Tensor:
        """The utterance of a row, ``(1, time)``; a long one may be cut to what is needed."""
        return load(row["clip"], sample_rate)[0]


SPEECH: dict[str, Any] = {
    "folders": FolderSpeech,
    "librispeech": LibriSpeechSpeech,
    "fsdd": FSDDSpeech,
}


def speech_of(split: str, corpus: str, folder: str | None, speakers: int) -> Any:
    """The utterances to mix: those of the pack, or of a folder.

    Args:
        split: ``train``, ``val`` or ``test``.
        corpus: ``pack``, ``folders`` (one per speaker), ``librispeech`` or ``fsdd``.
        folder: of the corpus; None for the pack.
        speakers: how many an item needs.

    Raises:
        InputError: for an unknown corpus, or a folder too many or too few.
        DataError: if the folder is missing or has too few speakers.

    Example:
        >>> len(speech_of("train", "pack", None, speakers=2).speakers)
        12
    """
    choose(corpus, ("pack", *SPEECH), "corpus")
    if (folder is None) != (corpus == "pack"):
        raise InputError(
            f"folder: expected one beside corpus={', '.join(SPEECH)}, and none for the pack, got "
            f"folder={folder!r} and corpus={corpus!r}"
        )
    found = PackSpeech(split) if folder is None else SPEECH[corpus](folder, split)
    if len(found.speakers) < speakers:
        raise DataError(
            f"{folder or 'pack'}: expected at least {speakers} speakers in {split}, got "
            f"{len(found.speakers)}; mix fewer, or take a corpus with more speakers"
        )
    return found


class Speakers(Mixtures):
    """Several different speakers at once, in the manner of WSJ0-2mix; the base of the two below.

    Args:
        split: ``train``, ``val`` or ``test``: the speakers of the splits derive from different
            persons.
        items: how many mixtures.
        seed: of the draws; item ``i`` depends on ``(seed, i)`` only.
        sample_rate: Hz.
        seconds: length of each item (utterances are cut, or padded with zeros); None keeps theirs.
        snr_range_db: the level of the first over each other is drawn uniformly from it; levels are
            mean power over what is kept of each utterance.
        length: without ``seconds``: ``"min"`` cuts to the shortest utterance, ``"max"`` pads to the
            longest.
        corpus: whose speech: ``pack``, or with a ``folder``: ``librispeech``, ``fsdd`` or
            ``folders`` (one per speaker).
        folder: of that corpus.
        augment: options of :class:`~lib.data.augmentation.Augmentation`, all off by default.

    Items have one channel and one source per speaker; ``meta`` holds ``speakers``, ``sexes``,
    ``clips``, ``texts``, ``snr_db`` (a list for more than two) and ``gain``, and what the options
    drew. The mixture is the sum of the sources, unless noise was added or they are asked for dry.

    Raises:
        InputError: for an unknown split, length mode or option, or bad numbers.
        DataError: if the split has too few speakers.

    Source: Hershey, Chen, Le Roux, Watanabe 2016, Deep clustering (WSJ0-2mix and WSJ0-3mix).

    Example:
        >>> class FourSpeakers(Speakers):
        ...     source_names = ("speaker_1", "speaker_2", "speaker_3", "speaker_4")
        >>> FourSpeakers("test", items=3, seconds=1.0)[0].sources.shape
        torch.Size([4, 1, 8000])
    """

    def __init__(
        self,
        split: str = "test",
        items: int = 100,
        seed: int = 0,
        sample_rate: int = 8000,
        seconds: float | None = None,
        snr_range_db: float | tuple[float, float] = (-5.0, 5.0),
        length: str = "min",
        corpus: str = "pack",
        folder: str | None = None,
        **augment: Any,
    ):
        super().__init__(split, items, seed, sample_rate)
        self.seconds = check_seconds(seconds, self.sample_rate)
        self.snr_range_db = check_range(snr_range_db, "snr_range_db")
        self.length = choose(length, ("min", "max"), "length")
        self.augmentation = Augmentation(split, self.sample_rate, **augment)
        self.count = len(self.source_names)
        if self.augmentation.reverb and self.count > 2:
            raise InputError(
                f"reverb: expected at most two speakers, as the pack's rooms have, got {self.count}"
            )
        self._utterances = speech_of(split, corpus, folder, self.count)
        self._longest = None if seconds is None else seconds * self.augmentation.shortens

    def __getitem__(self, index: int) -> Item:
        """Mixture number ``index``."""
        index, augmentation = self._index(index), self.augmentation
        draw, own = self._draw(index), partial(self._draw, index)
        drawn = self._utterances.draw(draw, self.count)
        snr_db = [float(draw.uniform(*self.snr_range_db)) for _ in range(self.count - 1)]
        positions = [float(position) for position in draw.random(self.count)]
        extra: dict[str, Any] = {}
        voices = [
            self._utterances.load(row, self.sample_rate, position, self._longest)
            for (_, row), position in zip(drawn, positions, strict=True)
        ]
        voices = augmentation.voices(voices, own, extra)  # S x (1 or heard and dry, T)
        lengths = [voice.shape[-1] for voice in voices]
        if self.seconds is not None:
            total = round(self.seconds * self.sample_rate)
            offsets = augmentation.offsets(self.count, total // 2, own, extra)
        else:
            offsets = augmentation.offsets(self.count, min(lengths) // 2, own, extra)
            ends = [offset + length for offset, length in zip(offsets, lengths, strict=True)]
            total = min(ends) if self.length == "min" else max(ends)
        kept = [
            stretch(v, min(v.shape[-1], total - o), p, "an utterance")
            for v, o, p in zip(voices, offsets, positions, strict=True)
        ]
        # levels are taken before padding: silence behind must not make a short utterance louder
        first = level(kept[0][:1])
        for place, difference in enumerate(snr_db, start=1):
            kept[place] = kept[place] * 10 ** ((first - level(kept[place][:1]) - difference) / 20)
        sources = torch.stack([fit(v, total, 0.0, o) for v, o in zip(kept, offsets, strict=True)])
        noise = augmentation.noise([float(level(v[:1])) for v in kept], total, own, extra)
        mixture = None
        if noise is not None or sources.shape[1] > 1:
            mixture = sources[:, :1].sum(0) + (0.0 if noise is None else noise)
        meta = {
            "speakers": [name for name, _ in drawn],
            "sexes": "".join(row["sex"] for _, row in drawn),
            "clips": [row["clip"] for _, row in drawn],
            "texts": [row["text"] for _, row in drawn],
            "snr_db": snr_db[0] if self.count == 2 else snr_db,
        }
        gain = augmentation.gain(own)
        return self._item(sources[:, -1:], index, meta | extra, mixture, gain)


class TwoSpeakers(Speakers):
    """Two different speakers at once; arguments and items as of :class:`Speakers`.

    Example:
        >>> item = TwoSpeakers("test", items=3, seconds=1.0)[0]
        >>> item.sources.shape, bool((item.mixture == item.sources.sum(0)).all())
        (torch.Size([2, 1, 8000]), True)
    """

    source_names = ("speaker_1", "speaker_2")


class ThreeSpeakers(Speakers):
    """Three different speakers at once; arguments and items as of :class:`Speakers`.

    Example:
        >>> ThreeSpeakers("test", items=3, seconds=1.0)[0].sources.shape
        torch.Size([3, 1, 8000])
    """

    source_names = ("speaker_1", "speaker_2", "speaker_3")


class NoisySpeech(Mixtures):
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
        corpus: whose speech, as for :class:`Speakers`; the noise is the pack's.
        folder: of that corpus.
        augment: ``speed_range``, ``equaliser_db``, ``pitch_semitones``, ``stretch_range``,
            ``envelope_range``, ``reverb`` (all of the speech, not of the noise) and
            ``gain_range_db`` of :class:`~lib.data.augmentation.Augmentation`, all off by
            default.

    Items have one channel and two sources, speech and noise; ``meta`` holds ``speaker``, ``sex``,
    ``clip``, ``text``, ``noise``, ``stationary``, ``snr_db`` and ``gain``, and what the options
    drew. The mixture is the sum of the sources, unless reverberant speech is asked for dry.

    Raises:
        InputError: for an unknown split, kind or option, or bad numbers.

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
        corpus: str = "pack",
        folder: str | None = None,
        **augment: Any,
    ):
        super().__init__(split, items, seed, sample_rate)
        self.snr_db = check_range(snr_db, "snr_db")
        self.seconds = check_seconds(seconds, self.sample_rate)
        self._noises = Noises(split, kinds)
        self.kinds = self._noises.kinds
        self._noises.require(seconds)
        for name in augment:
            choose(name, OF_ONE_VOICE, "option")
        self.augmentation = Augmentation(split, self.sample_rate, **augment)
        self._utterances = speech_of(split, corpus, folder, 1)
        self._longest = None if seconds is None else seconds * self.augmentation.shortens

    def __getitem__(self, index: int) -> Item:
        """Mixture number ``index``."""
        index, augmentation = self._index(index), self.augmentation
        draw, own = self._draw(index), partial(self._draw, index)
        ((speaker, row),) = self._utterances.draw(draw, 1)
        kind = self.kinds[index % len(self.kinds)]
        snr_db = float(draw.uniform(*self.snr_db))
        positions = [float(value) for value in draw.random(2)]
        names = self._noises.by_kind[kind]
        clip = names[int(draw.integers(len(names)))]
        extra: dict[str, Any] = {}
        voice = self._utterances.load(row, self.sample_rate, positions[0], self._longest)
        (voice,) = augmentation.voices([voice], own, extra)  # (1 or heard and dry, T)
        if self.seconds is not None:
            voice = fit(voice, round(self.seconds * self.sample_rate), positions[0])
        background, _ = load(clip, self.sample_rate)
        background = stretch(background, voice.shape[-1], positions[1], f"noise {kind}")
        mixed = mix_at_snr(voice[:1], background, snr_db)
        meta = {
            "speaker": speaker,
            "sex": row["sex"],
            "clip": row["clip"],
            "text": row["text"],
            "noise": kind,
            "stationary": kind in self._noises.stationary,
            "snr_db": snr_db,
        }
        sources = torch.stack([voice[-1:], mixed.interference])
        mixture = mixed.mixture if voice.shape[0] > 1 else None
        gain = augmentation.gain(own)
        return self._item(sources, index, meta | extra, mixture, gain)
