"""Ready signals from the pack: an utterance, a stretch of noise, a song, a room."""

from __future__ import annotations

import random
from typing import NamedTuple

import torch

from lib.data.catalogue import SPLITS, choose, clips, load
from lib.errors import InputError

STEMS = ("drums", "bass", "other", "vocals")


def pick(names: list[str], index: int, what: str) -> str:
    """``names[index]``, or an error that says how many there are.

    Args:
        names: what there is.
        index: which of them; negative counts from the end.
        what: it is called in the error.

    Raises:
        InputError: if the index is out of range.

    Example:
        >>> pick(["a", "b"], 1, "letter")
        'b'
    """
    if not -len(names) <= index < len(names):
        raise InputError(f"index: expected 0 to {len(names) - 1} for {what}, got {index}")
    return names[index]


def speech(
    split: str | None = "test",
    speaker: str | None = None,
    index: int = 0,
    sample_rate: int = 16000,
) -> torch.Tensor:
    """An utterance. Successive indices go round the speakers, women and men in turn.

    Args:
        split: ``train``, ``val`` or ``test``; None for any (with ``speaker``).
        speaker: name of a speaker (``f09``); all of the split if None.
        index: which of the utterances.
        sample_rate: Hz.

    Returns:
        waveform ``(1, time)``, 2 to 7 seconds.

    Raises:
        InputError: for an unknown split or speaker, a speaker of another split, or an index out of
            range.

    Example:
        >>> speech("test", speaker="f09", index=3, sample_rate=8000).shape[0]
        1
    """
    where = {} if speaker is None else {"speaker": speaker}
    table = clips("speech", split, **where)
    if table.empty:
        own = clips("speech", speaker=speaker)["split"].iloc[0]
        raise InputError(f"speaker: {speaker} is in split {own!r}, not in {split!r}; ask for that")
    order = table.assign(
        utterance=table["clip"].str.rpartition("_")[2].astype(int),
        rank=table["speaker"].str[1:].astype(int),
    ).sort_values(["utterance", "rank", "sex"], kind="stable")
    return load(pick(order["clip"].tolist(), index, "these utterances"), sample_rate)[0]


def noise_kinds(stationary: bool | None = None) -> list[str]:
    """The names of the kinds of noise.

    Args:
        stationary: only those that are (True), or only the others (False); all if None.

    Example:
        >>> len(noise_kinds()), "pink" in noise_kinds(stationary=True)
        (10, True)
    """
    table = clips("noise") if stationary is None else clips("noise", stationary=stationary)
    return table["noise"].drop_duplicates().tolist()


def noise(
    kind: str,
    split: str = "test",
    seconds: float | None = None,
    sample_rate: int = 16000,
    seed: int = 0,
) -> torch.Tensor:
    """A stretch of noise.

    Args:
        kind: one of :func:`noise_kinds`.
        split: ``train`` (40 s), ``val`` (10 s) or ``test`` (10 s).
        seconds: length; the whole clip if None.
        sample_rate: Hz.
        seed: which stretch.

    Returns:
        waveform ``(1, time)``, about -26 dB re full scale.

    Raises:
        InputError: for an unknown kind or split, or more seconds than there are.

    Example:
        >>> noise("fan", seconds=2.0, sample_rate=8000).shape
        torch.Size([1, 16000])
    """
    choose(kind, noise_kinds(), "kind")
    names = clips("noise", split, noise=kind)["clip"].tolist()
    draw = random.Random(seed)
    waveform, _ = load(names[draw.randrange(len(names))], sample_rate)
    if seconds is None:
        return waveform
    return stretch(waveform, round(seconds * sample_rate), draw.random(), f"noise {kind}")


def stretch(waveform: torch.Tensor, length: int, position: float, what: str) -> torch.Tensor:
    """A stretch of a waveform.

    Args:
        waveform: ``(channels, time)``.
        length: samples to cut out.
        position: where, from 0 (its beginning) to 1 (its end).
        what: the waveform is called in the error.

    Raises:
        InputError: if the waveform is shorter, or the length is not positive.

    Example:
        >>> stretch(torch.arange(10.0)[None], 4, 0.5, "this example")
        tensor([[3., 4., 5., 6.]])
    """
    room_left = waveform.shape[-1] - length
    if length < 1 or room_left < 0:
        raise InputError(
            f"length of {what}: expected 1 to {waveform.shape[-1]} samples, got {length}"
        )
    start = int(position * (room_left + 1)) if position < 1 else room_left
    return waveform[:, start : start + length]


class Song(NamedTuple):
    """A song: mixture ``(2, time)``, stems by name ``(2, time)`` each, sample rate in Hz."""

    name: str
    mixture: torch.Tensor
    stems: dict[str, torch.Tensor]
    sample_rate: int


def song(
    name: str | None = None,
    split: str = "test",
    index: int = 0,
    seconds: float | None = None,
    start: float = 0.0,
) -> Song:
    """A song and its four stems, 44.1 kHz stereo; the mixture is exactly the sum of the stems.

    Args:
        name: of a song, whatever its split; or None, and ``split`` and ``index`` choose.
        split: ``train`` (8 songs), ``val`` (2) or ``test`` (2).
        index: which song of the split.
        seconds: length; all that is left after ``start`` if None.
        start: seconds to skip.

    Raises:
        InputError: for an unknown name or split, or a stretch that the song does not have.

    Example:
        >>> excerpt = song(seconds=2.0)
        >>> list(excerpt.stems), excerpt.mixture.shape
        (['drums', 'bass', 'other', 'vocals'], torch.Size([2, 88200]))
    """
    if name is None:
        choose(split, SPLITS, "split")
        name = pick(clips("song", split)["song"].drop_duplicates().tolist(), index, "these songs")
    rows = clips("song", song=name)
    sample_rate = int(rows["sample_rate"].iloc[0])
    total = int(rows["stop"].iloc[0])
    first = round(start * sample_rate)
    length = total - first if seconds is None else round(seconds * sample_rate)
    if first < 0 or length < 1 or first + length > total:
        raise InputError(
            f"start and seconds: expected a stretch within the {total / sample_rate:.2f} s of "
            f"{name}, got start {start} and seconds {seconds}"
        )
    names = dict(zip(rows["stem"], rows["clip"], strict=True))
    stems = {stem: load(names[stem])[0][:, first : first + length] for stem in STEMS}
    return Song(name, torch.stack(list(stems.values())).sum(0), stems, sample_rate)


def room(index: int = 0, split: str = "test", sample_rate: int = 16000) -> torch.Tensor:
    """The impulse responses of a simulated room.

    Args:
        index: which room of the split, from dry to reverberant.
        split: ``train`` (16 rooms), ``val`` (4) or ``test`` (4).
        sample_rate: Hz.

    Returns:
        ``(sources, mics, time)``, two of each, one gain for all four (largest tap 0.5).

    Raises:
        InputError: for an unknown split or an index out of range.

    Example:
        >>> room(0).shape[:2]
        torch.Size([2, 2])
    """
    names = clips("room", split)["clip"].tolist()
    return load(pick(names, index, "these rooms"), sample_rate)[0].reshape(2, 2, -1)
