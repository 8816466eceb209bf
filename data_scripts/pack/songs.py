"""The songs: composed by code, played by fluidsynth, sung by WORLD, mixed to four stems."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pretty_midi
import pyloudnorm
import soundfile
from scipy.signal import butter, fftconvolve, sosfilt

from . import arranging
from .composing import SONGS, SongPlan, bars, melody
from .files import write_audio
from .singing import SAMPLE_RATE, nuclei, sing
from .speakers import VOICES
from .voices import speak

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
STEMS = ("drums", "bass", "other", "vocals")
LOUDNESS_LUFS = {"drums": -20.0, "bass": -22.0, "other": -21.5, "vocals": -19.5}
TAIL_S = 1.5
MIX_PEAK = 0.85  # the codec moves peaks by a few per cent


def play(instruments: list, bpm: float, seconds: float) -> np.ndarray:
    """Render instruments with fluidsynth; (time, 2), float64."""
    for instrument in instruments:  # a note-off must never cut a later note of the same pitch
        sounding: dict[int, pretty_midi.Note] = {}
        for note in sorted(instrument.notes, key=lambda note: (note.start, note.pitch)):
            before = sounding.get(note.pitch)
            if before is not None and before.end > note.start - 0.012:
                before.end = max(before.start + 0.01, note.start - 0.012)
            sounding[note.pitch] = note
    midi = pretty_midi.PrettyMIDI(initial_tempo=bpm, resolution=480)
    midi.instruments += instruments
    with tempfile.TemporaryDirectory() as folder:
        score, wav = Path(folder) / "song.mid", Path(folder) / "song.wav"
        midi.write(str(score))
        command = "fluidsynth -niq -g 0.5 -R 0 -C 0 -O float -T wav".split()
        command += ["-r", str(SAMPLE_RATE), "-F", str(wav), str(SOUNDFONT), str(score)]
        subprocess.run(command, check=True, capture_output=True)
        waveform, _ = soundfile.read(wav, dtype="float64")
    size = round(seconds * SAMPLE_RATE)
    return np.pad(waveform, ((0, max(0, size - len(waveform))), (0, 0)))[:size]


def reverberate(waveform: np.ndarray, draw, t60: float, wet: float) -> np.ndarray:
    """Add a diffuse stereo tail to (time, 2)."""
    time = np.arange(round(t60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = draw.standard_normal((len(time), 2)) * np.exp(-6.9 * time / t60)[:, None]
    tail[: round(0.012 * SAMPLE_RATE)] = 0
    tail = sosfilt(butter(1, 5000, fs=SAMPLE_RATE, output="sos"), tail, axis=0)
    tail /= np.sqrt((tail**2).sum(0))
    wetness = [fftconvolve(waveform[:, side], tail[:, side]) for side in (0, 1)]
    return waveform + wet * np.stack(wetness, 1)[: len(waveform)]


def make_stems(plan: SongPlan, seed: list[int]) -> dict[str, np.ndarray]:
    """The four stems (time, 2) of a song, levelled, with one common gain."""
    draw = np.random.default_rng(seed)
    seconds = bars(plan) * plan.beats * 60 / plan.bpm + TAIL_S
    parts = {name: getattr(arranging, name)(plan, draw) for name in STEMS[:3]}
    stems = {name: play(notes, plan.bpm, seconds) for name, notes in parts.items()}
    spoken = speak(plan.voice, list(plan.lyrics), stretch=1.1)
    lines = melody(plan, [line.phones for line in spoken], draw)
    lead = sum(
        sing(line, notes, seconds, plan.formant, 0.1 if plan.sex == "F" else 0.0, [*seed, index])
        for index, (line, notes) in enumerate(zip(spoken, lines, strict=True))
    )
    stems["vocals"] = np.stack([lead, lead], 1)
    stems["drums"] = reverberate(stems["drums"], draw, 0.35, 0.15)
    stems["other"] = reverberate(stems["other"], draw, 0.9, 0.25)
    stems["vocals"] = reverberate(stems["vocals"], draw, 1.0, 0.25)
    stems["bass"] = np.tanh(1.6 * stems["bass"] / np.abs(stems["bass"]).max())
    # synthesised pads carry an offset that nobody hears and that takes a third of their energy
    rumble = butter(2, 30, "highpass", fs=SAMPLE_RATE, output="sos")
    stems = {name: sosfilt(rumble, stem, axis=0) for name, stem in stems.items()}
    meter = pyloudnorm.Meter(SAMPLE_RATE)
    for name, loudness in LOUDNESS_LUFS.items():
        stems[name] = stems[name] * 10 ** ((loudness - meter.integrated_loudness(stems[name])) / 20)
    peak = max(np.abs(sum(stems.values())).max(), *(np.abs(s).max() for s in stems.values()))
    size = len(lead)
    fade = np.clip((size - np.arange(size)) / (0.4 * SAMPLE_RATE), 0, 1)[:, None]
    return {name: stems[name] * fade * MIX_PEAK / peak for name in STEMS}


def varied(plan: SongPlan, take: int) -> SongPlan:
    """The same song in another key and tempo; take 0 is the song itself."""
    draw = np.random.default_rng([take, plan.key, plan.bpm])
    if take == 0:
        return plan
    shift = int(draw.integers(-4, 5))
    turn = int(draw.integers(len(plan.chords)))
    return plan._replace(
        bpm=round(plan.bpm * draw.uniform(0.88, 1.12)),
        key=plan.key + shift,
        centre=plan.centre + round(shift / 2),
        chords=plan.chords[:1] + tuple(np.roll(plan.chords[1:], turn).tolist()),
        formant=plan.formant * draw.uniform(0.97, 1.03),
    )


def make_songs(folder: Path, repeats: int = 1, first_seed: int = 200, say=print, only=None):
    """Write all songs; returns the manifest's rows."""
    rows = []
    for number, (title, original) in enumerate(SONGS.items()):
        for take in range(repeats if only is None or title in only else 0):
            plan, seed = varied(original, take), [first_seed, number, take]
            name = f"{title}_{take:03d}" if take else title
            voice = VOICES[plan.voice]
            for stem, waveform in make_stems(plan, seed).items():
                path = f"songs/{name}/{stem}.ogg"
                write_audio(folder / path, waveform, SAMPLE_RATE, "VORBIS", 0.9)
                sung = stem == "vocals"
                row = {
                    "clip": f"{name}_{stem}",
                    "kind": "song",
                    "path": path,
                    "start": 0,
                    "stop": len(waveform),
                    "sample_rate": SAMPLE_RATE,
                    "duration_s": f"{len(waveform) / SAMPLE_RATE:.3f}",
                    "split": plan.split,
                    "song": name,
                    "stem": stem,
                    "seed": "-".join(map(str, seed)),
                    "source": "fluidsynth, Fluid R3",
                    "licence": "MIT",
                }
                if sung:
                    row |= {
                        "person": voice.person,
                        "sex": plan.sex,
                        "text": " / ".join(plan.lyrics),
                        "source": f"{voice.engine} {voice.name}, sung with WORLD",
                        "licence": voice.licence,
                    }
                rows.append(row)
            cores = [len(nuclei(line.phones)) for line in speak(plan.voice, list(plan.lyrics))]
            say(f"  song {name}: {len(waveform) / SAMPLE_RATE:.1f} s, syllables {cores}")
    return rows
