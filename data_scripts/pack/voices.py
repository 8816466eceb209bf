"""Text to speech through the command lines of flite and festival."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from .speakers import VOICES


class Phone(NamedTuple):
    """A phone and its extent in seconds."""

    name: str
    start: float
    stop: float


class Utterance(NamedTuple):
    """Speech (mono float64), its sample rate in Hz, and its phones."""

    waveform: np.ndarray
    sample_rate: int
    phones: list[Phone]


def _flite(voice: str, text: str, wav: Path) -> list[tuple[str, float]]:
    command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(wav)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pairs = (item.rsplit(":", 1) for item in printed.split())
    return [(name, float(stop)) for name, stop in pairs]


def _festival(voice: str, texts: list[str], folder: Path, stretch: float) -> None:
    lines = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {stretch})"]
    for number, text in enumerate(texts):
        lines += [
            f'(set! spoken (utt.synth (Utterance Text "{text}")))',
            f'(utt.save.wave spoken "{folder}/{number}.wav" \'riff)',
            f'(utt.save.segs spoken "{folder}/{number}.seg")',
        ]
    script = folder / "speak.scm"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)


def speak(voice: str, texts: list[str], stretch: float = 1.0) -> list[Utterance]:
    """Say each text with a voice of :data:`speakers.VOICES`; ``stretch`` is festival's only."""
    engine, name = VOICES[voice].engine, VOICES[voice].name
    spoken = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if engine == "festival":
            _festival(name, texts, folder, stretch)
        for number, text in enumerate(texts):
            wav = folder / f"{number}.wav"
            if engine == "flite":
                ends = _flite(name, text, wav)
            else:
                rows = (folder / f"{number}.seg").read_text(encoding="utf-8").splitlines()
                ends = [(r.split()[2], float(r.split()[0])) for r in rows if len(r.split()) == 3]
            starts = [0.0] + [stop for _, stop in ends[:-1]]
            phones = [Phone(p, a, b) for (p, b), a in zip(ends, starts, strict=True)]
            waveform, sample_rate = soundfile.read(wav, dtype="float64")
            spoken.append(Utterance(waveform, sample_rate, phones))
    return spoken
