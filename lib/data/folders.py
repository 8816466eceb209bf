"""Sound in folders of other people's corpora: found without reading it all, read in excerpts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.audio import AudioInfo, info, resample
from lib.data.catalogue import SPLITS, choose
from lib.data.signals import STEMS
from lib.errors import DataError, InputError, require_package

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
LEAST_SPEAKERS = 2  # in each split


def require_folder(folder: str | Path, corpus: str, layout: str) -> Path:
    """Require a folder of a corpus, or say in one line what should be there and how to get it.

    Args:
        folder: where it should be.
        corpus: its name for ``data_scripts/download.py``, or ``""``.
        layout: what is expected in it.

    Raises:
        InputError: if it is no path.
        DataError: if there is no such folder.

    Example:
        >>> require_folder("/nowhere", "fsdd", "files such as 7_jackson_32.wav")
        Traceback (most recent call last):
        ...
        lib.errors.DataError: /nowhere: expected a folder with files such as 7_jackson_32.wav, got
        nothing there; to get it: python data_scripts/download.py fsdd
    """
    if not isinstance(folder, (str, Path)):
        raise InputError(f"folder: expected a path, got {folder!r}")
    path = Path(folder).expanduser()
    if not path.is_dir():
        how = f"to get it: python data_scripts/download.py {corpus}" if corpus else "check its name"
        raise DataError(f"{path}: expected a folder with {layout}, got nothing there; {how}")
    return path


def sound_files(folder: Path, pattern: str = "*") -> list[Path]:
    """The sound files of a folder in alphabetical order; hidden ones and other files are left out.

    Args:
        folder: an existing one.
        pattern: of ``Path.glob``; ``"**/*"`` looks into all folders below.

    Example:
        >>> sound_files(Path("."), "no-such-folder/*")
        []
    """
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, without those that systems hide in it."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def header(path: Path, sample_rate: int) -> AudioInfo:
    """What a file's header says, if its sound can be brought to a sample rate.

    Args:
        path: a sound file.
        sample_rate: Hz that is wanted.

    Raises:
        DataError: if the file is missing, truncated or no sound, or its rate is lower: above its
            band there would be nothing to separate.

    Example:
        >>> header(Path("no-such-file.wav"), 8000)
        Traceback (most recent call last):
        ...
        lib.errors.DataError: no-such-file.wav: expected an audio file, got nothing there; check the
        name
    """
    try:
        found = info(path)
    except InputError as error:
        raise DataError(str(error)) from error
    if found.sample_rate < sample_rate:
        raise DataError(
            f"{path}: expected at least {sample_rate} Hz, got {found.sample_rate}; ask for "
            f"sample_rate={found.sample_rate} or take a corpus of a higher rate"
        )
    return found


def read_excerpt(path: Path, found: AudioInfo, start: int, frames: int) -> torch.Tensor:
    """Read a part of a file without what stands before it.

    Args:
        path: a sound file.
        found: its header.
        start: first sample, in the file's own rate.
        frames: how many, at most.

    Returns:
        ``(channels, time)`` float32.

    Raises:
        DataError: if the file ends before its header says or cannot be decoded.

    Example:
        >>> import tempfile
        >>> from lib.audio import write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "ramp.wav")
        ...     write(path, torch.arange(10.0)[None], 8000)
        ...     read_excerpt(path, header(path, 8000), 4, 3)
        tensor([[4., 5., 6.]])
    """
    soundfile = require_package("soundfile", "reading audio files")
    frames = min(frames, found.frames - start)
    try:
        with soundfile.SoundFile(str(path)) as file:
            file.seek(start)
            samples = file.read(frames, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); fetch it again") from error
    if len(samples) < frames:
        raise DataError(
            f"{path}: expected {found.frames} samples as its header says, got "
            f"{start + len(samples)}; the file is truncated, fetch it again"
        )
    if not np.isfinite(samples).all():
        raise DataError(f"{path}: expected finite samples, got NaN or infinity; fetch it again")
    return torch.from_numpy(samples.T.copy())


def speaker_split(
    speakers: list[str], split: str, seed: int = 0, held_out: float = 0.1, name: str = "speakers"
) -> list[str]:
    """The speakers of a split: drawn once from a seed, and no speaker in two splits.

    Args:
        speakers: all names.
        split: ``train``, ``val`` or ``test``.
        seed: of the draw.
        held_out: part of the speakers in ``val``, and in ``test``; at least two each.
        name: what has these speakers, for the error.

    Raises:
        InputError: for an unknown split.
        DataError: if there are too few speakers for two in each split.

    Example:
        >>> [speaker_split(list("abcdefg"), split) for split in ("train", "val", "test")]
        [['a', 'b', 'f'], ['c', 'e'], ['d', 'g']]
    """
    choose(split, SPLITS, "split")
    if len(speakers) < LEAST_SPEAKERS * len(SPLITS):
        raise DataError(
            f"{name}: expected at least {LEAST_SPEAKERS * len(SPLITS)} speakers, two for each of "
            f"train, val and test, got {len(speakers)}; take a corpus with more speakers"
        )
    order = np.random.default_rng(seed).permutation(sorted(speakers)).tolist()
    count = max(LEAST_SPEAKERS, round(held_out * len(order)))
    parts = {"val": order[:count], "test": order[count : 2 * count], "train": order[2 * count :]}
    return sorted(parts[split])


class FolderSpeech:
    """One folder per speaker, all sound files in and below it; the base of other corpora of speech.

    Where the folder holds ``train``, ``val`` or ``test``, the speakers in these are taken. Without
    them the speakers are divided by :func:`speaker_split`.

    Args:
        folder: with one folder per speaker.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: if the folder is missing, or has not enough speakers.

    Example:
        >>> import tempfile
        >>> from lib.audio import write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for speaker in "abcdef":
        ...         Path(folder, speaker).mkdir()
        ...         write(Path(folder, speaker, "1.wav"), torch.ones(1, 800), 8000)
        ...     FolderSpeech(folder, "val").speakers
        ['c', 'd']
    """

    name = ""
    layout = "one folder of sound files per speaker"

    def __init__(self, folder: str | Path, split: str):
        self.folder = require_folder(folder, self.name, self.layout)
        self.split = choose(split, SPLITS, "split")
        self._files = self._list()
        self.speakers = sorted(self._files)

    def _list(self) -> dict[str, list[Path] | None]:
        """The files of each speaker; None where they are listed when first drawn."""
        found = _folders(self.folder)
        given = [name for name in SPLITS if name in found]
        if not given:
            self._root = self.folder
            return dict.fromkeys(speaker_split(found, self.split, name=str(self.folder)))
        if self.split not in given:
            raise DataError(
                f"{self.folder}: expected a folder {self.split} beside {' and '.join(given)}, got "
                "none; divide the speakers among train, val and test"
            )
        self._root = self.folder / self.split
        return dict.fromkeys(_folders(self._root))

    def files(self, speaker: str) -> list[Path]:
        """The sound files of a speaker.

        Args:
            speaker: one of ``speakers``.

        Raises:
            DataError: if there are none.
        """
        if self._files[speaker] is None:
            self._files[speaker] = sound_files(self._root / speaker, "**/*")
        if not self._files[speaker]:
            raise DataError(
                f"{self._root / speaker}: expected sound files ({', '.join(SUFFIXES)}) of a "
                "speaker, got none; take the folder out or fill it"
            )
        return self._files[speaker]

    def draw(self, draw: np.random.Generator, count: int) -> list[tuple[str, dict[str, Any]]]:
        """``count`` different speakers and a file of each: ``(speaker, row)``."""
        places = draw.choice(len(self.speakers), size=count, replace=False)
        names = [self.speakers[place] for place in places]
        return [(name, self.draw_of(name, draw)) for name in names]

    def draw_of(self, speaker: str, draw: np.random.Generator) -> dict[str, Any]:
        """A file of a speaker: its row."""
        files = self.files(speaker)
        path = files[int(draw.integers(len(files)))]
        clip = path.relative_to(self.folder).as_posix()
        return {"clip": clip, "text": "", "sex": "", "person": speaker}

    def load(
        self, row: dict[str, Any], sample_rate: int, position: float, seconds: float | None
    ) -> torch.Tensor:
        """The utterance of a row, mono ``(1, time)``; of a longer file, ``seconds`` of it."""
        path = self.folder / row["clip"]
        found = header(path, sample_rate)
        frames = found.frames
        if seconds is not None:
            frames = min(frames, math.ceil(seconds * found.sample_rate))
        for place in (position, 0.0, 0.25, 0.5, 0.75):  # a long pause is no utterance: look on
            start = int(place * (found.frames - frames))
            waveform = read_excerpt(path, found, start, frames).mean(0, keepdim=True)
            if waveform.any():
                return resample(waveform, found.sample_rate, sample_rate)
        raise DataError(f"{path}: expected speech, got silence; take the file out of the folder")


class LibriSpeechSpeech(FolderSpeech):
    """LibriSpeech: ``train-clean-100`` (or ``-360``), ``dev-clean``, ``test-clean``; flac, 16 kHz.

    The folder is ``LibriSpeech``, or the one that holds it.

    Source: Panayotov, Chen, Povey, Khudanpur 2015, LibriSpeech; openslr.org/12.
    """

    name = "librispeech"
    layout = "train-clean-100, dev-clean and test-clean of LibriSpeech"
    subsets = {
        "train": ("train-clean-100", "train-clean-360"),
        "val": ("dev-clean",),
        "test": ("test-clean",),
    }

    def _list(self) -> dict[str, list[Path] | None]:
        inner = self.folder / "LibriSpeech"
        root = inner if inner.is_dir() else self.folder
        found = [root / name for name in self.subsets[self.split] if (root / name).is_dir()]
        if not found:
            part = self.subsets[self.split][0]
            raise DataError(
                f"{root}: expected the folder {part} of LibriSpeech, got nothing there; to get "
                f"it: python data_scripts/download.py librispeech-{part}"
            )
        self._root = root
        # a speaker is in one subset only; the folders in between are chapters
        return {f"{part.name}/{name}": None for part in found for name in _folders(part)}


class FSDDSpeech(FolderSpeech):
    """The Free Spoken Digit Dataset: ``7_jackson_32.wav`` is digit, speaker and number; 8 kHz.

    The folder is ``recordings``, or the one that holds it. The splits are by speaker, unlike the
    official one by number, which has every speaker in both.

    Source: Jackson et al., Free Spoken Digit Dataset, doi.org/10.5281/zenodo.1342401.
    """

    name = "fsdd"
    layout = "files such as 7_jackson_32.wav"

    def _list(self) -> dict[str, list[Path] | None]:
        inner = self.folder / "recordings"
        files: dict[str, list[Path] | None] = {}
        for path in sound_files(inner if inner.is_dir() else self.folder, "*_*_*.wav"):
            files.setdefault(path.stem.split("_")[1], []).append(path)
        chosen = speaker_split(list(files), self.split, name=str(self.folder))
        return {speaker: files[speaker] for speaker in chosen}


class FolderSongs:
    """Songs as folders of stems: ``SONG/drums.wav`` and so on.

    Excerpts are read from their place in the file.

    Args:
        root: in it, a folder for each song.
        sample_rate: Hz; files of a higher rate are resampled.
        names: which of the folders; None for all.
        corpus: its name for ``data_scripts/download.py``, or ``""``.

    Raises:
        DataError: if there is no song, or a file is missing or damaged.

    Example:
        >>> FolderSongs(Path("/nowhere"), 8000)
        Traceback (most recent call last):
        ...
        lib.errors.DataError: /nowhere: expected folders SONG with drums, bass, other, vocals, got
        no song
    """

    def __init__(
        self,
        root: Path,
        sample_rate: int,
        names: Sequence[str] | None = None,
        corpus: str = "",
    ):
        there = _folders(root) if root.is_dir() else []
        self._root, self.sample_rate = root, sample_rate
        songs = [name for name in there if names is None or name in names]
        if not songs:
            how = f"; to get it: python data_scripts/download.py {corpus}" if corpus else ""
            raise DataError(
                f"{root}: expected folders SONG with {', '.join(STEMS)}, got no song{how}"
            )
        self.seconds = {
            name: min(header(self._path(name, stem), sample_rate).seconds for stem in STEMS)
            for name in songs
        }

    def _path(self, name: str, stem: str) -> Path:
        """The file of a stem, whatever its suffix."""
        stems = self._root / name
        found = (stems / f"{stem}{suffix}" for suffix in SUFFIXES)
        return next((path for path in found if path.is_file()), stems / f"{stem}{SUFFIXES[0]}")

    def excerpt(
        self, name: str, stem: str, start: float, seconds: float | None, position: float
    ) -> torch.Tensor:
        """``seconds`` of a stem at ``position`` from ``start`` to its last place, (C, time)."""
        path = self._path(name, stem)
        found = header(path, self.sample_rate)
        first, frames = round(start * found.sample_rate), found.frames
        if seconds is not None:
            frames = math.ceil(seconds * found.sample_rate)
            first += int(position * max(0, found.frames - first - frames))
        excerpt = read_excerpt(path, found, first, frames)
        excerpt = resample(excerpt, found.sample_rate, self.sample_rate)
        return excerpt if seconds is None else excerpt[:, : round(seconds * self.sample_rate)]


class FolderRecordings(FolderSongs):
    """Recordings whose sources nobody has: all sound files in and below a folder.

    Args:
        root: the folder.
        sample_rate: Hz; files of a higher rate are resampled.

    Raises:
        DataError: if there is no sound file, or one is damaged or of a lower rate.

    Example:
        >>> FolderRecordings(Path("/nowhere"), 8000)
        Traceback (most recent call last):
        ...
        lib.errors.DataError: /nowhere: expected a folder with recordings, got nothing there; check
        its name
    """

    def __init__(self, root: str | Path, sample_rate: int):
        self._root = require_folder(root, "", "recordings")
        self.sample_rate = sample_rate
        files = sound_files(self._root, "**/*")
        if not files:
            raise DataError(
                f"{root}: expected recordings ({', '.join(SUFFIXES)}), got none; check its name"
            )
        self.seconds = {
            path.relative_to(self._root).as_posix(): header(path, sample_rate).seconds
            for path in files
        }

    def _path(self, name: str, stem: str) -> Path:
        return self._root / name
