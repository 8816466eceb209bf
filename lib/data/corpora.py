"""Real corpora in folders, with the interface of the pack's data sets; nothing is read until asked.

The mixtures here were made by others and are read as they lie on the disk; for mixtures made on the
fly from a corpus of speech see ``TwoSpeakers(corpus=..., folder=...)``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from lib.audio import resample
from lib.data.catalogue import SPLITS, choose
from lib.data.folders import FolderSongs, header, read_excerpt, require_folder, sound_files
from lib.data.items import Item, Mixtures, check_seconds
from lib.data.songs import Stems
from lib.errors import DataError, InputError


class Recorded(Mixtures):
    """Mixtures and sources as files; the base of the corpora below, which say where the files are.

    Args:
        folder: of the corpus.
        split: ``train``, ``val`` or ``test``.
        items: how many to draw, each at a random place of a random file; None takes each file once,
            in alphabetical order, from its beginning.
        seed: of the draws.
        sample_rate: Hz.
        seconds: length of each item: longer files are cut, shorter ones padded with zeros; None
            keeps theirs.

    Raises:
        InputError: for an unknown split or bad numbers.
        DataError: if the folder or a file is missing, damaged or of another rate than its partners.
    """

    corpus, layout = "", ""

    def __init__(
        self,
        folder: str | Path,
        split: str = "test",
        items: int | None = None,
        seed: int = 0,
        sample_rate: int = 8000,
        seconds: float | None = None,
    ):
        super().__init__(split, 1 if items is None else items, seed, sample_rate)
        self.folder = require_folder(folder, self.corpus, self.layout)
        self.seconds, self.drawn = check_seconds(seconds, self.sample_rate), items is not None
        self.roles = self._roles()
        mixtures = self.roles["mixture"]
        if not mixtures.is_dir():
            raise DataError(
                f"{self.folder}: expected {self.layout}, got no folder "
                f"{mixtures.relative_to(self.folder).as_posix()}; to get it: "
                f"python data_scripts/download.py {self.corpus}"
            )
        self._names = [path.name for path in sound_files(mixtures) if self._is_in_split(path)]
        if not self._names:
            raise DataError(f"{mixtures}: expected sound files of split {split}, got none")
        if not self.drawn:
            self.items = len(self._names)

    def _roles(self) -> dict[str, Path]:
        """The folder of the mixtures, ``mixture``, and of each source, in their order."""
        raise NotImplementedError

    def _is_in_split(self, path: Path) -> bool:
        return True

    def _sources(self, read: dict[str, torch.Tensor]) -> torch.Tensor:
        """The sources ``(S, C, T)`` from what was read."""
        return torch.stack([read[role] for role in self.roles if role != "mixture"])

    def __getitem__(self, index: int) -> Item:
        """Mixture number ``index``."""
        index = self._index(index)
        name, position = self._names[index % len(self._names)], 0.0
        if self.drawn:
            draw = self._draw(index)
            name, position = self._names[int(draw.integers(len(self._names)))], float(draw.random())
        paths = {role: folder / name for role, folder in self.roles.items()}
        for path in paths.values():
            if not path.is_file():
                raise DataError(
                    f"{path}: expected the partner of {paths['mixture']}, got nothing there; make "
                    "or fetch the corpus again"
                )
        headers = {role: header(path, self.sample_rate) for role, path in paths.items()}
        if len(shapes := {(h.sample_rate, h.channels) for h in headers.values()}) > 1:
            raise DataError(
                f"{name} in {self.folder}: expected files of one rate and one number of channels, "
                f"got {', '.join(f'{rate} Hz x {channels}' for rate, channels in sorted(shapes))}"
            )
        rate, frames = headers["mixture"].sample_rate, min(h.frames for h in headers.values())
        start, wanted = 0, frames
        if self.seconds is not None and self.seconds * rate < frames:
            wanted = math.ceil(self.seconds * rate)
            start = int(position * (frames - wanted))
        read = {}
        for role, path in paths.items():
            excerpt = read_excerpt(path, headers[role], start, wanted)
            excerpt = resample(excerpt, rate, self.sample_rate)
            if self.seconds is not None:
                length = round(self.seconds * self.sample_rate)
                excerpt = torch.nn.functional.pad(excerpt, (0, length - excerpt.shape[-1]))
            read[role] = excerpt
        meta: dict[str, Any] = {"clip": name, "start": start / rate}
        item = f"{self.split}-{index:04d}"
        return Item(read["mixture"], self._sources(read), self.sample_rate, item, meta)


class LibriMix(Recorded):
    """Libri2Mix or Libri3Mix as their script writes them: two or three speakers, also in noise.

    Args:
        folder: ``Libri2Mix`` or ``Libri3Mix``; in it ``wav8k/min/test/mix_clean``, ``s1``, ``s2``.
        split: ``train`` (``train-100``, or what ``subset`` says), ``val`` (``dev``) or ``test``.
        items: how many to draw; None takes each file once.
        seed: of the draws.
        sample_rate: 8000 or 16000 Hz: ``wav8k`` or ``wav16k``.
        seconds: length of each item; None keeps the file's.
        mixture: ``mix_clean``, ``mix_both`` (with noise, which is no source) or ``mix_single``
            (the first speaker in noise; sources are ``speech`` and ``noise``).
        mode: ``min`` or ``max``.
        subset: for another folder than the split's usual one, such as ``train-360``.

    Raises:
        InputError: for an unknown choice.
        DataError: if a folder or file is missing or damaged.

    Source: Cosentino, Pariente, Cornell, Deleforge, Vincent 2020, LibriMix.
    """

    corpus, layout = "librimix", "LibriMix's folders such as wav8k/min/test/mix_clean, s1 and s2"
    splits = {"train": "train-100", "val": "dev", "test": "test"}

    def __init__(
        self,
        folder: str | Path,
        split: str = "test",
        items: int | None = None,
        seed: int = 0,
        sample_rate: int = 8000,
        seconds: float | None = None,
        mixture: str = "mix_clean",
        mode: str = "min",
        subset: str | None = None,
    ):
        if sample_rate not in (8000, 16000):
            raise InputError(f"sample_rate: expected 8000 or 16000, got {sample_rate}")
        self.mixture = choose(mixture, ("mix_clean", "mix_both", "mix_single"), "mixture")
        self.mode = choose(mode, ("min", "max"), "mode")
        choose(split, SPLITS, "split")
        self._part = f"wav{sample_rate // 1000}k/{mode}/{subset or self.splits[split]}"
        super().__init__(folder, split, items, seed, sample_rate, seconds)

    def _roles(self) -> dict[str, Path]:
        root = self.folder / self._part
        if self.mixture == "mix_single":
            self.source_names = ("speech", "noise")
            return {"mixture": root / "mix_single", "s1": root / "s1", "noise": root / "noise"}
        count = 3 if (root / "s3").is_dir() else 2
        self.source_names = tuple(f"speaker_{place + 1}" for place in range(count))
        speakers = {f"s{place + 1}": root / f"s{place + 1}" for place in range(count)}
        return {"mixture": root / self.mixture} | speakers


class WHAM(LibriMix):
    """WHAM! as its script writes it: ``wav8k/min/tr/mix_both``, ``mix_clean``, ``s1``, ``s2``...

    Arguments and items as of :class:`LibriMix`; the splits are ``tr``, ``cv`` and ``tt``.

    Source: Wichern et al. 2019, WHAM!: Extending speech separation to noisy environments.
    """

    corpus, layout = "wham", "WHAM!'s folders such as wav8k/min/tt/mix_both, s1 and s2"
    splits = {"train": "tr", "val": "cv", "test": "tt"}


class VoiceBankDemand(Recorded):
    """VoiceBank-DEMAND: noisy speech and the same speech clean; 48 kHz, sources speech and noise.

    The noise is the noisy file minus the clean one. ``val`` takes two of the 28 speakers of the
    training set, as the corpus has no validation set of its own.

    Args:
        folder: in it ``noisy_trainset_28spk_wav``, ``clean_trainset_28spk_wav`` and the same of
            ``testset_wav``.
        split: ``train``, ``val`` or ``test``.
        items: how many to draw; None takes each file once.
        seed: of the draws.
        sample_rate: Hz, at most 48000.
        seconds: length of each item; None keeps the file's.

    Raises:
        DataError: if a folder or file is missing or damaged.

    Source: Valentini-Botinhao et al. 2016; doi.org/10.7488/ds/2117.
    """

    corpus = "voicebank-demand"
    layout = "noisy_trainset_28spk_wav, clean_trainset_28spk_wav, noisy_testset_wav, clean_..."
    source_names = ("speech", "noise")
    val_speakers = ("p226", "p287")  # a woman and a man

    def __init__(
        self,
        folder: str | Path,
        split: str = "test",
        items: int | None = None,
        seed: int = 0,
        sample_rate: int = 16000,
        seconds: float | None = None,
    ):
        super().__init__(folder, split, items, seed, sample_rate, seconds)

    def _roles(self) -> dict[str, Path]:
        part = "testset_wav" if self.split == "test" else "trainset_28spk_wav"
        return {
            "mixture": self.folder / f"noisy_{part}",
            "speech": self.folder / f"clean_{part}",
        }

    def _is_in_split(self, path: Path) -> bool:
        held_out = path.name.startswith(self.val_speakers)
        return self.split == "test" or held_out == (self.split == "val")

    def _sources(self, read: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.stack([read["speech"], read["mixture"] - read["speech"]])


# the 14 songs that the tools of the corpus's authors keep out of training
MUSDB18_VAL = (
    "Actions - One Minute Smile",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Johnny Lokke - Promises & Lies",
    "Patrick Talbot - A Reason To Leave",
    "Triviul - Angelsaint",
    "Alexander Ross - Goodbye Bolero",
    "Fergessen - Nos Palpitants",
    "Leaf - Summerghost",
    "Skelpolu - Human Mistakes",
    "Young Griffo - Pennies",
    "ANiMAL - Rockshow",
    "James May - On The Line",
    "Meaxic - Take A Step",
    "Traffic Experiment - Sirens",
)


class MUSDB18(Stems):
    """MUSDB18-HQ: songs as folders of stems in wav, ``train/SONG/vocals.wav`` and so on; 44.1 kHz.

    Excerpts are read from their place in the file. The mixture is the sum of the stems; the file
    ``mixture.wav`` is not read.

    Args:
        folder: in it ``train`` (100 songs, of which 14 are ``val``) and ``test`` (50).
        split: ``train``, ``val`` or ``test``.
        options: those of :class:`~lib.data.songs.Songs`.

    Raises:
        DataError: if a folder or file is missing or damaged, or the folder holds the ``.stem.mp4``
            files of MUSDB18, which soundfile does not read.

    Source: Rafii, Liutkus, Stöter, Mimilakis, Bittner 2019, MUSDB18-HQ;
        doi.org/10.5281/zenodo.3338373.
    """

    def __init__(self, folder: str | Path, split: str = "test", **options: Any):
        layout = "train/SONG/vocals.wav and so on, as in MUSDB18-HQ"
        self.folder = require_folder(folder, "musdb18-hq", layout)
        choose(split, SPLITS, "split")
        root = self.folder / ("test" if split == "test" else "train")
        names = [] if not root.is_dir() else sorted(p.name for p in root.iterdir())
        if any(name.endswith(".stem.mp4") for name in names):
            raise DataError(
                f"{root}: expected folders of wav files, got .stem.mp4, which soundfile does "
                "not read; take MUSDB18-HQ, or decode them with ffmpeg into SONG/vocals.wav and so "
                "on"
            )
        if split != "test":
            names = [name for name in names if (name in MUSDB18_VAL) == (split == "val")]
        self.found = FolderSongs(root, options.get("sample_rate", 44100), names, "musdb18-hq")
        super().__init__(split, **options)
