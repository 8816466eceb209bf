"""Audio files that come out byte for byte the same, and the rows of the manifest."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import soundfile

COLUMNS = (
    "clip kind path start stop sample_rate duration_s split speaker person sex song stem noise "
    "stationary text seed source licence sha256"
).split()

_POLYNOMIAL = 0x04C11DB7


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (_POLYNOMIAL if value & 0x80000000 else 0)
            value &= 0xFFFFFFFF
        table.append(value)
    return table


_TABLE = _crc_table()


def _ogg_crc(page: bytes) -> int:
    """The checksum of an Ogg page (RFC 3533), its own field being zero."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value


def fix_ogg(path: Path, serial: int = 1) -> None:
    """Give an Ogg file a fixed serial number: libsndfile draws a random one for each file."""
    data = bytearray(path.read_bytes())
    start = 0
    while start < len(data):
        if data[start : start + 4] != b"OggS":
            raise ValueError(f"{path}: no Ogg page at byte {start}")
        segments = data[start + 26]
        table = data[start + 27 : start + 27 + segments]
        stop = start + 27 + segments + sum(table)
        data[start + 14 : start + 18] = serial.to_bytes(4, "little")
        data[start + 22 : start + 26] = bytes(4)
        crc = _ogg_crc(bytes(data[start:stop]))
        data[start + 22 : start + 26] = crc.to_bytes(4, "little")
        start = stop
    path.write_bytes(data)


def write_audio(path: Path, waveform: np.ndarray, sample_rate: int, codec: str, level: float = 0):
    """Write (time,) or (time, channels) as Ogg (``OPUS``, ``VORBIS``) or FLAC (``PCM_24``)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    container = "FLAC" if codec.startswith("PCM") else "OGG"
    # whole-file writes of Ogg overflow libsndfile's stack for long signals: write by blocks
    with soundfile.SoundFile(
        path,
        "w",
        sample_rate,
        channels=1 if waveform.ndim == 1 else waveform.shape[1],
        format=container,
        subtype=codec,
        compression_level=level,
    ) as file:
        for start in range(0, len(waveform), sample_rate):
            file.write(waveform[start : start + sample_rate])
    if container == "OGG":
        fix_ogg(path)


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, rows: list[dict]) -> None:
    """Write ``manifest.csv``: one row per clip, with the hash of the file that it lies in."""
    hashes = {path: sha256(folder / path) for path in {row["path"] for row in rows}}
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"sha256": hashes[row["path"]]})
