"""The manifest of the pack, and clips loaded from it with their hashes checked."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lib.audio import resample
from lib.errors import DataError, InputError, require_package

if TYPE_CHECKING:
    import pandas

KINDS = ("speech", "noise", "song", "room")
SPLITS = ("train", "val", "test")
COLUMNS = (
    "clip kind path start stop sample_rate duration_s split speaker person sex song stem noise "
    "stationary text seed source licence sha256"
).split()
MEND = "install the course again, or fetch the pack anew with git checkout lib/data/pack"
CACHE_BYTES = 256 * 2**20


def pack_folder() -> Path:
    """The folder of the pack: ``lib/data/pack``, or what ``UNMIX_PACK`` names.

    Example:
        >>> (pack_folder() / "manifest.csv").exists()
        True
    """
    other = os.environ.get("UNMIX_PACK")
    return Path(other) if other else Path(__file__).resolve().parent / "pack"


def choose(value: str, known: tuple[str, ...] | list[str], name: str) -> str:
    """Require ``value`` to be one of ``known``.

    Args:
        value: what the caller passed.
        known: what it may be.
        name: its name in the caller's signature.

    Raises:
        InputError: naming what is known.

    Example:
        >>> choose("test", SPLITS, "split")
        'test'
    """
    if value not in known:
        raise InputError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    return value


@functools.lru_cache(maxsize=4)
def _table(folder: Path) -> pandas.DataFrame:
    pandas = require_package("pandas", "the sample pack's manifest")
    path = folder / "manifest.csv"
    if not path.is_file():
        raise DataError(f"expected the sample pack at {folder}, found no manifest.csv; {MEND}")
    try:
        table = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        numbers = {"start": int, "stop": int, "sample_rate": int, "duration_s": float}
        table = table.astype(numbers)
        if list(table.columns) != COLUMNS or table["clip"].duplicated().any():
            raise ValueError("its columns or clip names are wrong")
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected the pack's manifest, got: {error}; {MEND}") from error
    known = table["stationary"].map({"0": False, "1": True, "": None})
    table["stationary"] = known.astype("boolean")
    return table


def manifest() -> pandas.DataFrame:
    """All clips of the pack, one row each.

    ``start`` and ``stop`` are samples in the file ``path``; ``person`` is the recorded person
    whom a speaker derives from; ``sha256`` is the hash of the file.

    Returns:
        a copy of the table, with the columns of :data:`COLUMNS`.

    Raises:
        DataError: if the pack is missing or its manifest is damaged.

    Example:
        >>> sorted(manifest()["kind"].unique())
        ['noise', 'room', 'song', 'speech']
    """
    return _table(pack_folder()).copy()


def clips(kind: str | None = None, split: str | None = None, **where) -> pandas.DataFrame:
    """The rows of the manifest that fit all conditions.

    Args:
        kind: ``speech``, ``noise``, ``song`` or ``room``; all if None.
        split: ``train``, ``val`` or ``test``; all if None.
        where: column=value or column=[values], for example ``sex="F"`` or ``stem="vocals"``.

    Raises:
        InputError: for an unknown kind, split or column, or a value that no clip has.

    Example:
        >>> clips("noise", "test", noise="rain")["clip"].tolist()
        ['rain_test']
    """
    table = _table(pack_folder())
    if kind is not None:
        where["kind"] = choose(kind, KINDS, "kind")
    if split is not None:
        where["split"] = choose(split, SPLITS, "split")
    keep = table["clip"].notna()
    for column, wanted in where.items():
        choose(column, COLUMNS, "column")
        values = list(wanted) if isinstance(wanted, (list, tuple, set)) else [wanted]
        for value in values:
            if not (table[column] == value).any():
                known = sorted(map(str, table[column].dropna().unique()))[:24]
                raise InputError(
                    f"{column}: expected a value such as {', '.join(filter(None, known))}; "
                    f"got {value!r}"
                )
        keep &= table[column].isin(values).fillna(False)
    return table[keep].reset_index(drop=True)


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: expected a file of the pack, got: {error}; {MEND}") from error


class _Cache:
    """The tensors last used, up to a number of bytes."""

    def __init__(self, limit: int):
        self.limit, self.size = limit, 0
        self.kept: OrderedDict[tuple, torch.Tensor] = OrderedDict()

    def get(self, key: tuple, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        if key not in self.kept:
            self.kept[key] = make()
            self.size += self.kept[key].nbytes
            while self.size > self.limit and len(self.kept) > 1:
                self.size -= self.kept.popitem(last=False)[1].nbytes
        self.kept.move_to_end(key)
        return self.kept[key]

    def clear(self) -> None:
        self.kept.clear()
        self.size = 0


_files, _resampled = _Cache(CACHE_BYTES), _Cache(CACHE_BYTES)
_checked: set[tuple[Path, str]] = set()


def _decode(path: Path, expected_hash: str) -> torch.Tensor:
    """The samples (channels, time) of a file whose hash is right; hashed once per process."""
    if (path, expected_hash) not in _checked:
        found = _file_hash(path)
        if found != expected_hash:
            raise DataError(
                f"{path}: expected sha256 {expected_hash[:12]}..., got {found[:12]}...: "
                f"the file is damaged; {MEND}"
            )
        _checked.add((path, expected_hash))
    soundfile = require_package("soundfile", "reading the sample pack")
    try:
        samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); {MEND}") from error
    return torch.from_numpy(samples.T.copy())


@functools.lru_cache(maxsize=4)
def _rows(folder: Path) -> dict[str, dict]:
    return {row["clip"]: row for row in _table(folder).to_dict("records")}


def load(clip: str, sample_rate: int | None = None) -> tuple[torch.Tensor, int]:
    """The samples of a clip.

    A file's hash is checked once per process, and the decoded file is kept for a while.

    Args:
        clip: its name in the manifest.
        sample_rate: Hz to resample to; the clip's own if None.

    Returns:
        waveform ``(channels, time)``, float32, a copy; and its sample rate in Hz.

    Raises:
        InputError: if no clip has this name.
        DataError: if its file is missing or damaged.

    Example:
        >>> waveform, sample_rate = load("rain_test")
        >>> waveform.shape, sample_rate
        (torch.Size([1, 160000]), 16000)
    """
    folder = pack_folder()
    row = _rows(folder).get(clip)
    if row is None:
        some = ", ".join(list(_rows(folder))[:3])
        raise InputError(f"clip: expected a name of the manifest such as {some}; got {clip!r}")
    path, own_rate = folder / row["path"], row["sample_rate"]

    def cut() -> torch.Tensor:
        file = _files.get((path, row["sha256"]), lambda: _decode(path, row["sha256"]))
        return file[:, row["start"] : row["stop"]]

    if sample_rate is None or sample_rate == own_rate:
        return cut().clone(), own_rate
    key = (path, row["sha256"], clip, sample_rate)
    return _resampled.get(key, lambda: resample(cut(), own_rate, sample_rate)).clone(), sample_rate


def verify() -> pandas.DataFrame:
    """Check the hash of every file of the pack.

    Returns:
        one row per file: ``path``, ``bytes``, ``ok``, and in words what is wrong.

    Raises:
        DataError: if there is no pack at all.

    Example:
        >>> bool(verify()["ok"].all())
        True
    """
    pandas = require_package("pandas", "checking the sample pack")
    folder, rows = pack_folder(), []
    for path, group in _table(folder).groupby("path", sort=False):
        file, wrong, size = folder / path, "", 0
        if not file.is_file():
            wrong = "missing"
        else:
            size = file.stat().st_size
            if _file_hash(file) != group["sha256"].iloc[0]:
                wrong = "damaged"
        rows.append({"path": path, "bytes": size, "ok": not wrong, "wrong": wrong})
    return pandas.DataFrame(rows)


def card() -> str:
    """A data card of the pack as text: what is in it, its sizes and its licences.

    Example:
        >>> print(card().splitlines()[0])
        The sample pack of Unmixing Sound
    """
    table, folder = _table(pack_folder()), pack_folder()
    paths = table.drop_duplicates("path")
    sizes = [(folder / path).stat().st_size for path in paths["path"] if (folder / path).is_file()]
    lines = [
        "The sample pack of Unmixing Sound",
        f"  {len(table)} clips in {len(paths)} files, {sum(sizes) / 1e6:.1f} MB; all made by code",
        "  (data_scripts/make_pack.py), nothing recorded for it; notices in lib/data/pack/NOTICE",
    ]
    for kind in KINDS:
        part = table[table["kind"] == kind]
        seen = part[part["stem"].isin(["", "vocals"])]  # a song's length counts once
        minutes = seen.groupby("split")["duration_s"].sum() / 60
        counts = {
            "speech": f"{part['speaker'].nunique()} speakers derived from "
            f"{part['person'].nunique()} recorded persons, {len(part)} utterances",
            "noise": f"{part['noise'].nunique()} kinds",
            "song": f"{part['song'].nunique()} songs of {part['stem'].nunique()} stems",
            "room": f"{len(part)} rooms, 2 sources x 2 microphones",
        }[kind]
        times = ", ".join(f"{s} {minutes[s]:.1f}" for s in SPLITS if s in minutes)
        lines.append(f"  {kind}: {counts}" + ("" if kind == "room" else f"; minutes: {times}"))
        lines.append(f"    licences: {', '.join(sorted(part['licence'].unique()))}")
    return "\n".join(lines)
