"""The speech of the pack: twenty speakers, each in one file, utterances at multiples of 20 ms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyloudnorm
from scipy.ndimage import maximum_filter1d
from scipy.signal import butter, sosfilt

from .files import write_audio
from .sentences import sentences
from .speakers import SPEAKERS, VOICES
from .voices import speak
from .world import revoice

SAMPLE_RATE = 16000
LOUDNESS_LUFS = -27.0
CREST_DB = 17.0
FLOOR_DBFS = -75.0
OPUS_FRAME = 320  # 20 ms: an utterance starts where a frame of the codec starts
FILE_UTTERANCES = 60


def _active(waveform: np.ndarray, drop_db: float = 42.0) -> np.ndarray:
    """Which 10 ms frames lie within ``drop_db`` of the loudest."""
    size = SAMPLE_RATE // 100
    frames = waveform[: len(waveform) // size * size].reshape(-1, size)
    level = 10 * np.log10((frames**2).mean(1) + 1e-12)
    return level > level.max() - drop_db


def trim(waveform: np.ndarray, edge_s: float = 0.08, longest_pause_s: float = 0.3) -> np.ndarray:
    """Cut silence at both ends to ``edge_s`` and pauses inside to ``longest_pause_s``."""
    size = SAMPLE_RATE // 100
    active = np.flatnonzero(_active(waveform))
    edge, pause = round(edge_s * 100), round(longest_pause_s * 100)
    keep = np.zeros(len(waveform) // size, dtype=bool)
    keep[max(0, active[0] - edge) : active[-1] + edge + 1] = True
    for left, right in zip(active[:-1], active[1:], strict=True):
        if right - left > pause:
            keep[left + pause // 2 : right - pause // 2] = False
    return waveform[: len(keep) * size].reshape(-1, size)[keep].ravel()


def limit(waveform: np.ndarray, crest_db: float = CREST_DB) -> np.ndarray:
    """Turn bursts down for some milliseconds so that no peak exceeds the RMS by ``crest_db``.

    WORLD makes the bursts of stop consonants of the diphone voices up to 6 dB too loud.
    """
    highest = 10 ** (crest_db / 20) * np.sqrt(np.mean(waveform**2))
    width = SAMPLE_RATE // 200
    around = maximum_filter1d(np.abs(waveform), 2 * width + 1)
    gain = np.minimum(1.0, highest / np.maximum(around, 1e-9))
    window = np.hanning(2 * width + 1)
    return waveform * np.convolve(np.pad(gain, width, mode="edge"), window / window.sum(), "valid")


def finish(waveform: np.ndarray, seed: list[int]) -> np.ndarray:
    """Trim, bring to one loudness (ITU-R BS.1770), and lay a faint floor of noise beneath."""
    waveform = trim(sosfilt(butter(2, 50, "high", fs=SAMPLE_RATE, output="sos"), waveform))
    waveform = np.pad(waveform, (0, -len(waveform) % OPUS_FRAME))
    waveform = limit(waveform)
    meter = pyloudnorm.Meter(SAMPLE_RATE)
    gain_db = LOUDNESS_LUFS - meter.integrated_loudness(waveform)
    waveform = waveform * 10 ** (gain_db / 20)
    waveform *= min(1.0, 0.9 / np.abs(waveform).max())
    noise = np.random.default_rng(seed).standard_normal(len(waveform))
    return waveform + 10 ** (FLOOR_DBFS / 20) * noise


def make_speech(
    folder: Path, per_speaker: int, first_seed: int = 7, skip_texts: int = 0, say=print
):
    """Speak, re-voice and write all speakers; ``skip_texts`` sentences are left to another set.

    Returns the manifest's rows, and the utterances by split (for babble and cafe).
    """
    texts = sentences(skip_texts + per_speaker * len(SPEAKERS))[skip_texts:]
    rows, spoken = [], {"train": [], "val": [], "test": []}
    for number, (name, speaker) in enumerate(SPEAKERS.items()):
        voice = VOICES[speaker.voice]
        mine = texts[number * per_speaker : (number + 1) * per_speaker]
        for first in range(0, per_speaker, FILE_UTTERANCES):
            block = mine[first : first + FILE_UTTERANCES]
            suffix = f"_{first // FILE_UTTERANCES:03d}" if per_speaker > FILE_UTTERANCES else ""
            path = f"speech/{name}{suffix}.ogg"
            parts, start = [], 0
            for place, utterance in enumerate(speak(speaker.voice, block)):
                index = first + place
                seed = [first_seed, number, index]
                waveform = revoice(utterance.waveform, utterance.sample_rate, speaker, seed)
                parts.append(finish(waveform, [*seed, 1]))
                stop = start + len(parts[-1])
                rows.append(
                    {
                        "clip": f"{name}_{index:03d}",
                        "kind": "speech",
                        "path": path,
                        "start": start,
                        "stop": stop,
                        "sample_rate": SAMPLE_RATE,
                        "duration_s": f"{(stop - start) / SAMPLE_RATE:.3f}",
                        "split": speaker.split,
                        "speaker": name,
                        "person": voice.person,
                        "sex": speaker.sex,
                        "text": block[place],
                        "seed": "-".join(map(str, seed)),
                        "source": f"{voice.engine} {voice.name}, re-synthesised with WORLD",
                        "licence": voice.licence,
                    }
                )
                start = stop
            write_audio(folder / path, np.concatenate(parts), SAMPLE_RATE, "OPUS", 0.96)
            # enough for babble, and bounded when hours are made
            spoken[speaker.split] += parts[: max(0, 60 - first)]
        say(f"  speech {name}: {per_speaker} utterances")
    return rows, spoken
