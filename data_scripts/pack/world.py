"""A new speaker from an old one: WORLD analysis, a change of pitch, formants and breath, synthesis.

Nothing here was tuned on separation scores. WORLD: Morise, Yokomori, Ozawa 2016.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyworld

from .speakers import Speaker

FRAME_PERIOD_MS = 5.0


class Analysis(NamedTuple):
    """Fundamental frequency (frames), power envelope and aperiodicity (frames, bins)."""

    f0: np.ndarray
    envelope: np.ndarray
    aperiodicity: np.ndarray


def analyse(waveform: np.ndarray, sample_rate: int, floor: float = 60, ceil: float = 420):
    """Split speech into pitch, envelope and aperiodicity, every 5 ms."""
    waveform = np.ascontiguousarray(waveform, dtype=np.float64)
    f0, time = pyworld.dio(waveform, sample_rate, f0_floor=floor, f0_ceil=ceil)
    f0 = pyworld.stonemask(waveform, f0, time, sample_rate)
    envelope = pyworld.cheaptrick(waveform, f0, time, sample_rate)
    aperiodicity = pyworld.d4c(waveform, f0, time, sample_rate, threshold=0.0)
    return Analysis(f0, envelope, aperiodicity)


def synthesise(analysis: Analysis, sample_rate: int, frame_period_ms: float = FRAME_PERIOD_MS):
    """Speech (float64) from its parts."""
    parts = (analysis.f0, analysis.envelope, np.clip(analysis.aperiodicity, 1e-3, 1.0))
    parts = [np.ascontiguousarray(part, dtype=np.float64) for part in parts]
    return pyworld.synthesize(*parts, sample_rate, frame_period=frame_period_ms)


def shift_formants(spectra: np.ndarray, factor: float) -> np.ndarray:
    """Stretch the frequency axis of (frames, bins) by ``factor``, tied at 0 and Nyquist.

    Linear below 62 % of the band, then bent so that Nyquist stays where it is.
    """
    if factor == 1.0:
        return spectra
    bins = spectra.shape[1]
    axis = np.arange(bins) / (bins - 1)
    knee = 0.62 * min(1.0, 1.0 / factor)
    above = knee + (axis - knee * factor) * (1 - knee) / (1 - knee * factor)
    position = np.where(axis <= knee * factor, axis / factor, above) * (bins - 1)
    low = np.minimum(position.astype(int), bins - 2)
    part = position - low
    log = np.log(spectra + 1e-16)
    return np.exp(log[:, low] * (1 - part) + log[:, low + 1] * part)


def add_breath(aperiodicity: np.ndarray, amount: float, sample_rate: int) -> np.ndarray:
    """Raise the aperiodicity above about 2.5 kHz by ``amount`` (0 to 1)."""
    frequency = np.linspace(0, sample_rate / 2, aperiodicity.shape[1])
    weight = 1 / (1 + np.exp(-(frequency - 2500) / 600))
    return 1 - (1 - aperiodicity) * (1 - amount * weight)


def smooth_noise(generator: np.random.Generator, frames: int, width: int) -> np.ndarray:
    """Noise of unit variance, smoothed by a Hann window of ``width`` frames."""
    window = np.hanning(width)
    noise = np.convolve(generator.standard_normal(frames + width), window, "same")
    return noise[:frames] / np.sqrt((window**2).sum())


def revoice(
    waveform: np.ndarray, sample_rate: int, speaker: Speaker, seed: list[int]
) -> np.ndarray:
    """The same words from another throat; float64, longer or shorter by the speaker's speed."""
    generator = np.random.default_rng(seed)
    f0, envelope, aperiodicity = analyse(waveform, sample_rate)
    voiced = f0 > 0
    if voiced.any():
        log_f0 = np.log(np.where(voiced, f0, 1.0))
        middle = np.median(log_f0[voiced])
        log_f0 = middle + speaker.pitch_range * (log_f0 - middle) + np.log(speaker.pitch)
        drift = 0.25 * smooth_noise(generator, len(f0), 65)  # semitones, about 3 Hz
        drift += 0.03 * generator.standard_normal(len(f0))
        log_f0 = np.clip(log_f0 + drift * np.log(2) / 12, np.log(55), np.log(480))
        f0 = np.where(voiced, np.exp(log_f0), 0.0)
    envelope = shift_formants(envelope, speaker.formant)
    aperiodicity = shift_formants(aperiodicity, speaker.formant)
    if speaker.tilt_db:
        frequency = np.maximum(np.linspace(0, sample_rate / 2, envelope.shape[1]), 100.0)
        envelope = envelope * 10 ** (speaker.tilt_db * np.log2(frequency / 1000.0) / 10)
    aperiodicity = add_breath(aperiodicity, speaker.breath, sample_rate)
    speed = speaker.speed * (1 + 0.05 * float(np.clip(generator.standard_normal(), -2, 2)))
    changed = Analysis(f0, envelope, aperiodicity)
    return synthesise(changed, sample_rate, FRAME_PERIOD_MS / speed)
