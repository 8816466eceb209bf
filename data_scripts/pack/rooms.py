"""Room impulse responses by the image-source method: two sources, two microphones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyroomacoustics

from .files import write_audio

SAMPLE_RATE = 16000
COUNTS = {"train": 16, "val": 4, "test": 4}
SPACINGS_M = (0.05, 0.1, 0.2)


class Room(NamedTuple):
    """Responses (time, 4): source 1 to mics 1 and 2, source 2 to mics 1 and 2; and in words."""

    responses: np.ndarray
    description: str


def _place_source(draw, centre, size, angle):
    while True:
        distance = draw.uniform(0.7, 1.8)
        turn = angle + draw.uniform(-0.3, 0.3)
        offset = [np.cos(turn), np.sin(turn), draw.uniform(-0.1, 0.2)]
        place = centre + distance * np.array(offset)
        if np.all(place > 0.3) and np.all(place < size - 0.3):
            return place
        angle = draw.uniform(0, 2 * np.pi)


def measured_t60(response: np.ndarray) -> float:
    """Reverberation time in seconds, by Schroeder's backward integral from -5 to -25 dB."""
    decay = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2) + 1e-12)
    first, last = np.argmax(decay < -5), np.argmax(decay < -25)
    slope = np.polyfit(np.arange(first, last) / SAMPLE_RATE, decay[first:last], 1)[0]
    return -60 / slope


def make_room(target_t60: float, spacing_m: float, seed: list[int]) -> Room:
    """One room; the same seed gives the same samples (no ray tracing, which is random)."""
    draw = np.random.default_rng(seed)
    size = draw.uniform([4, 3.5, 2.5], [8, 6, 3.2])
    # Sabine's formula overshoots for long decays: aim below, then keep what was measured
    absorption, order = pyroomacoustics.inverse_sabine(target_t60 * 0.95, size)
    room = pyroomacoustics.ShoeBox(
        size,
        fs=SAMPLE_RATE,
        materials=pyroomacoustics.Material(absorption),
        max_order=order,
        air_absorption=True,
    )
    centre = draw.uniform([1.6, 1.4, 1.2], size - [1.6, 1.4, 1.0])
    first = draw.uniform(0, 2 * np.pi)
    for angle in (first, first + draw.uniform(np.pi / 4, np.pi)):
        room.add_source(_place_source(draw, centre, size, angle))
    offsets = np.array([[-spacing_m / 2, 0, 0], [spacing_m / 2, 0, 0]])
    room.add_microphone_array((centre + offsets).T)
    room.compute_rir()
    pairs = [room.rir[mic][source] for source in (0, 1) for mic in (0, 1)]
    length = math.ceil(target_t60 * 1.1 * SAMPLE_RATE)
    responses = np.zeros((length, 4))
    for column, response in enumerate(pairs):
        responses[: len(response), column] = response[:length]
    fade = np.linspace(1, 0, SAMPLE_RATE // 100)
    responses[-len(fade) :] *= fade[:, None]
    responses *= 0.5 / np.abs(responses).max()
    t60 = np.mean([measured_t60(responses[:, column]) for column in range(4)])
    extent = " x ".join(f"{side:.1f}" for side in size)
    words = f"{extent} m, T60 {t60:.2f} s, microphones {spacing_m * 100:.0f} cm apart"
    return Room(responses, words)


def make_rooms(folder: Path, repeats: int = 1, first_seed: int = 300, say=print) -> list[dict]:
    """Write all rooms; returns the manifest's rows."""
    rows = []
    for number, (split, count) in enumerate(COUNTS.items()):
        count *= repeats
        for index, target in enumerate(np.linspace(0.2, 0.6, count)):
            seed = [first_seed, number, index]
            spacing = SPACINGS_M[index % len(SPACINGS_M)]
            room = make_room(float(target), spacing, seed)
            clip = f"room_{split}_{index:02d}"
            path = f"rooms/{clip}.flac"
            write_audio(folder / path, room.responses, SAMPLE_RATE, "PCM_24", 1.0)
            rows.append(
                {
                    "clip": clip,
                    "kind": "room",
                    "path": path,
                    "start": 0,
                    "stop": len(room.responses),
                    "sample_rate": SAMPLE_RATE,
                    "duration_s": f"{len(room.responses) / SAMPLE_RATE:.3f}",
                    "split": split,
                    "text": room.description,
                    "seed": "-".join(map(str, seed)),
                    "source": "pyroomacoustics, image sources",
                    "licence": "CC0-1.0",
                }
            )
        say(f"  rooms {split}: {count}")
    return rows
