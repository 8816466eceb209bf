"""Singing from speech: WORLD frames of spoken lyrics, laid out in time on the notes of a melody."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from .voices import Phone, Utterance
from .world import Analysis, add_breath, analyse, shift_formants, smooth_noise, synthesise

SAMPLE_RATE = 44100
FRAME_S = 0.005
VOWELS = set("aa ae ah ao aw ax axr ay eh el em en er ey ih ix iy ow oy uh uw ux".split())
SILENCES = {"pau", "sil", "#", "h#"}


class Note(NamedTuple):
    """A note for one syllable: extent in seconds, pitch as a MIDI number."""

    start: float
    stop: float
    pitch: int


def nuclei(phones: list[Phone]) -> list[int]:
    """Which phones are the cores of syllables."""
    return [index for index, phone in enumerate(phones) if phone.name in VOWELS]


class _Layout:
    """Which moment of the speech each frame of the song takes (-1: none), and how loud."""

    def __init__(self, seconds: float):
        self.frames = round(seconds / FRAME_S)
        self.source = np.full(self.frames, -1.0)
        self.gain_db = np.zeros(self.frames)
        self.vowel = np.zeros(self.frames, dtype=bool)

    def place(self, start: float, stop: float, phone: Phone, vowel: bool = False) -> None:
        first, last = max(0, round(start / FRAME_S)), min(self.frames, round(stop / FRAME_S))
        if last <= first:
            return
        part = np.linspace(0, 1, last - first, endpoint=False)
        if vowel:
            length = stop - start
            part = self._stretch(part * length, length, phone.stop - phone.start)
            self.vowel[first:last] = True
            release = np.clip((np.linspace(0, 1, last - first) - 0.6) / 0.4, 0, 1)
            self.gain_db[first:last] = -5 * release * min(1.0, length / 0.6)
        self.source[first:last] = (phone.start + part * (phone.stop - phone.start)) / FRAME_S

    @staticmethod
    def _stretch(time: np.ndarray, length: float, natural: float) -> np.ndarray:
        """Keep the onset and the end of a vowel at their own tempo, stretch its middle."""
        if length <= natural:
            return time / length
        edge = min(0.3 * natural, 0.4 * length)
        middle = (natural - 2 * edge) / (length - 2 * edge)
        inner = edge + (time - edge) * middle
        outer = natural - (length - time)
        return np.where(time < edge, time, np.where(time > length - edge, outer, inner)) / natural


def _lay_out(phones: list[Phone], notes: list[Note], layout: _Layout) -> np.ndarray:
    """Put vowels on the beats and consonants before them; returns pitch in MIDI, NaN outside."""
    pitch = np.full(layout.frames, np.nan)
    cores = nuclei(phones)
    spoken = [phone for phone in phones[: cores[0]] if phone.name not in SILENCES]
    time = notes[0].start - sum(p.stop - p.start for p in spoken)
    for phone in spoken:
        layout.place(time, time + phone.stop - phone.start, phone)
        time += phone.stop - phone.start
    for index, (core, note) in enumerate(zip(cores, notes, strict=True)):
        last = index + 1 == len(cores)
        following = phones[core + 1 : None if last else cores[index + 1]]
        following = [phone for phone in following if phone.name not in SILENCES]
        duration = sum(phone.stop - phone.start for phone in following)
        scale = 1.0
        if last:
            vowel_stop = consonants = note.stop
        else:
            gap = notes[index + 1].start - note.start
            scale = min(1.0, 0.5 * gap / max(duration, 1e-3))
            consonants = notes[index + 1].start - duration * scale
            rest = notes[index + 1].start - note.stop
            vowel_stop = consonants if rest < 0.2 else min(note.stop, consonants)
        layout.place(note.start, vowel_stop, phones[core], vowel=True)
        time = consonants
        for phone in following:
            step = (phone.stop - phone.start) * scale
            layout.place(time, time + step, phone)
            time += step
        first = note.start - (0.15 if index == 0 else 0.03)
        pitch[max(0, round(first / FRAME_S)) : round((time + 0.05) / FRAME_S)] = note.pitch
    return pitch


def _pitch_curve(pitch: np.ndarray, notes: list[Note], draw: np.random.Generator) -> np.ndarray:
    """Notes joined by short slides, with vibrato that sets in late, and a little drift; in Hz."""
    known = np.flatnonzero(~np.isnan(pitch))
    curve = np.interp(np.arange(len(pitch)), known, pitch[known])
    window = np.hanning(15) / np.hanning(15).sum()
    curve = np.convolve(np.pad(curve, 7, mode="edge"), window, "valid")
    time = np.arange(len(pitch)) * FRAME_S
    depth = np.zeros(len(pitch))
    for note in notes:
        inside = (time >= note.start) & (time < note.stop)
        late = np.clip((time - note.start - 0.25) / 0.3, 0, 1)
        depth[inside] = late[inside] * (0.3 if note.stop - note.start > 0.45 else 0.08)
    rate = 5.3 + 0.25 * smooth_noise(draw, len(pitch), 101)
    vibrato = depth * np.sin(2 * np.pi * np.cumsum(rate) * FRAME_S)
    curve += vibrato + 0.06 * smooth_noise(draw, len(pitch), 41)
    return 440 * 2 ** ((curve - 69) / 12)


def _extend_band(waveform: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Breath above 8 kHz for voices recorded at 16 kHz, following the level of 4 to 7.5 kHz."""

    def band(low, high, signal):
        return sosfilt(butter(4, [low, high], "band", fs=SAMPLE_RATE, output="sos"), signal)

    power = band(4000, 7500, waveform) ** 2
    smooth = sosfilt(butter(1, 40, fs=SAMPLE_RATE, output="sos"), power)
    noise = band(7600, 14000, draw.standard_normal(len(waveform)))
    return waveform + 0.6 * np.sqrt(np.maximum(smooth, 0)) * noise / noise.std()


def sing(
    spoken: Utterance, notes: list[Note], seconds: float, formant: float, breath: float, seed
) -> np.ndarray:
    """Sing one line; mono, 44.1 kHz, ``seconds`` long, silent outside the line."""
    draw = np.random.default_rng(seed)
    layout = _Layout(seconds)
    pitch = _lay_out(spoken.phones, notes, layout)
    f0 = _pitch_curve(pitch, notes, draw)
    speech = analyse(spoken.waveform, spoken.sample_rate)
    position = np.clip(layout.source, 0, len(speech.f0) - 1.001)
    low = position.astype(int)
    part = (position - low)[:, None]
    log = np.log(speech.envelope + 1e-14)
    envelope = np.exp((1 - part) * log[low] + part * log[low + 1])
    aperiodicity = (1 - part) * speech.aperiodicity[low] + part * speech.aperiodicity[low + 1]
    active = layout.source >= 0
    voiced = active & ((speech.f0[low] > 0) | layout.vowel)
    unvoiced_vowel = layout.vowel & (speech.f0[low] == 0)
    aperiodicity[unvoiced_vowel] = np.minimum(aperiodicity[unvoiced_vowel], 0.3)
    envelope = shift_formants(envelope, formant)
    aperiodicity = add_breath(shift_formants(aperiodicity, formant), breath, spoken.sample_rate)
    level = 10 * np.log10(envelope.mean(1) + 1e-14)
    usual = np.percentile(level[layout.vowel], 70)
    even = np.where(layout.vowel, 0.6 * (usual - level), 0)  # vowels of nearly equal loudness
    window = np.hanning(11) / np.hanning(11).sum()
    even = np.convolve(even + layout.gain_db, window, "same")
    fade = np.convolve(active.astype(float), window, "same")
    envelope *= (10 ** (even / 10) * np.maximum(fade, 1e-5) ** 2)[:, None]
    frames = Analysis(np.where(voiced, f0, 0.0), envelope, aperiodicity)
    waveform = synthesise(frames, spoken.sample_rate)
    waveform = resample_poly(waveform, SAMPLE_RATE // 100, spoken.sample_rate // 100)
    size = round(seconds * SAMPLE_RATE)
    waveform = np.pad(waveform, (0, max(0, size - len(waveform))))[:size]
    return _extend_band(waveform, draw) if spoken.sample_rate < 32000 else waveform
