"""Change how a voice sounds: its pitch, its tempo, its spectral envelope.

A. Cohen-Hadria, A. Roebel and G. Peeters, "Improving singing voice separation using deep U-Net and
Wave-U-Net with data augmentation", EUSIPCO 2019, arXiv:1903.01415.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from scipy.signal import resample_poly
from torch.nn import functional

from lib.data.items import check_range
from lib.errors import InputError, require_package
from lib.stft import STFT

# what may be drawn, and from where to where: semitones, times as long, times as high
RANGES = {
    "pitch_semitones": (-12.0, 12.0),
    "stretch_range": (0.5, 2.0),
    "envelope_range": (0.5, 2.0),
}
# a period of the highest voice: what changes faster along the spectrum is its harmonics
SHORTEST_PERIOD = 0.002
_FLOOR = 1e-4  # of the largest magnitude: below it there is no envelope


def _stft(sample_rate: int, seconds: float) -> STFT:
    """Frames of about so many seconds, four over each sample."""
    return STFT(max(16, 2 ** round(np.log2(seconds * sample_rate))))


def stretch_time(waveform: torch.Tensor, factor: float, sample_rate: int) -> torch.Tensor:
    """Play a waveform slower or faster, at the same pitch, with a phase vocoder.

    Args:
        waveform: ``(..., time)``.
        factor: how many times as long, 0.5 to 2.
        sample_rate: Hz.

    Returns:
        ``(..., round(time * factor))``.

    Raises:
        InputError: for another factor.

    Source: J. Flanagan and R. Golden, "Phase vocoder", Bell System Technical Journal, 1966.

    Example:
        >>> stretch_time(torch.zeros(1, 1000), 1.1, 8000).shape
        torch.Size([1, 1100])
    """
    _require(factor, "factor", "stretch_range")
    vocoder = require_package("torchaudio.functional", "stretching sounds", "torchaudio")
    stft, length = _stft(sample_rate, 0.064), round(waveform.shape[-1] * factor)
    # zeros behind, so that no frame is missing after the stretch
    spectrogram = stft(functional.pad(waveform, (0, stft.n_fft)))
    advance = torch.linspace(0, torch.pi * stft.hop_length, stft.n_fft // 2 + 1)[:, None]
    stretched = vocoder.phase_vocoder(spectrogram, 1 / factor, advance)
    return stft.inverse(stretched[..., : stft.frames(length)], length)


def shift_pitch(waveform: torch.Tensor, semitones: float, sample_rate: int) -> torch.Tensor:
    """Raise or lower the pitch at the same tempo: stretched, then played faster.

    Formants go with it.

    Args:
        waveform: ``(..., time)``.
        semitones: upwards, -12 to 12; rounded to about a hundredth.
        sample_rate: Hz.

    Returns:
        The same shape.

    Raises:
        InputError: for more semitones.

    Example:
        >>> shift_pitch(torch.zeros(1, 1000), -2.0, 8000).shape
        torch.Size([1, 1000])
    """
    _require(semitones, "semitones", "pitch_semitones")
    ratio = Fraction(2 ** (semitones / 12)).limit_denominator(1000)
    longer = stretch_time(waveform, float(ratio), sample_rate)
    shifted = resample_poly(longer.numpy(), ratio.denominator, ratio.numerator, axis=-1)
    time = waveform.shape[-1]
    shifted = torch.from_numpy(shifted)[..., :time]
    return functional.pad(shifted, (0, time - shifted.shape[-1]))


def warp_envelope(waveform: torch.Tensor, factor: float, sample_rate: int) -> torch.Tensor:
    """Move the formants up or down at the same pitch, as of a shorter or a longer throat.

    The envelope of each frame is its smoothed spectrum: the cepstrum up to 2 ms.

    Args:
        waveform: ``(..., time)``.
        factor: by which the frequencies of the envelope rise, 0.5 to 2.
        sample_rate: Hz.

    Returns:
        The same shape.

    Raises:
        InputError: for another factor.

    Example:
        >>> warp_envelope(torch.zeros(1, 1000), 1.1, 8000).shape
        torch.Size([1, 1000])
    """
    _require(factor, "factor", "envelope_range")
    stft = _stft(sample_rate, 0.032)
    spectrogram = stft(waveform)  # (..., F, K)
    magnitudes = spectrogram.abs().transpose(-1, -2)  # (..., K, F)
    largest = magnitudes.amax((-1, -2), keepdim=True).clamp_min(1e-10)
    cepstrum = torch.fft.irfft((magnitudes / largest + _FLOOR).log())  # (..., K, n_fft)
    kept = round(SHORTEST_PERIOD * sample_rate)
    cepstrum[..., kept + 1 : cepstrum.shape[-1] - kept] = 0
    envelope = torch.fft.rfft(cepstrum).real  # (..., K, F), of the logarithm
    bins = envelope.shape[-1]
    # each bin gets what the envelope has lower down by the factor; the end goes on as it is
    places = (torch.arange(bins) / factor).clamp_max(bins - 1)
    below = places.long().clamp_max(bins - 2)
    warped = torch.lerp(envelope[..., below], envelope[..., below + 1], places - below)
    gains = (warped - envelope).exp().transpose(-1, -2)  # (..., F, K)
    return stft.inverse(spectrogram * gains, waveform.shape[-1])


def _require(value: float, name: str, option: str) -> None:
    low, high = RANGES[option]
    if not low <= value <= high:
        raise InputError(f"{name}: expected {low:g} to {high:g}, got {value}")


class VoiceChanges:
    """What is drawn of the three; nothing unless asked for.

    Args:
        sample_rate: Hz.
        pitch_semitones: the pitch rises by semitones drawn from (low, high), say -2 to 2.
        stretch_range: what is heard lasts so many times as long, drawn from (low, high).
        envelope_range: formants move up by a factor drawn from (low, high).

    Raises:
        InputError: for ranges beyond an octave either way.

    Example:
        >>> changes = VoiceChanges(8000, pitch_semitones=(-2, 2), stretch_range=(0.9, 1.1))
        >>> (drawn,) = changes.draw(lambda stream: np.random.default_rng([0, stream]))
        >>> sorted(drawn)
        ['pitch_semitones', 'stretch']
        >>> changes.apply(torch.zeros(1, 1000), {"stretch": 0.9}).shape
        torch.Size([1, 900])
    """

    # numbers of the streams of draws, which those of the data sets do not use
    STREAMS = {"pitch_semitones": 21, "stretch_range": 22, "envelope_range": 23}

    def __init__(self, sample_rate: int, **options: Any):
        self.sample_rate = sample_rate
        self.ranges: dict[str, tuple[float, float]] = {}
        for name, (low, high) in RANGES.items():
            if (value := options.get(name)) is not None:
                drawn = check_range(value, name, "semitones" if "pitch" in name else "times")
                if not low <= drawn[0] <= drawn[1] <= high:
                    raise InputError(f"{name}: expected {low:g} to {high:g}, got {value}")
                self.ranges[name] = drawn

    @property
    def shortest(self) -> float:
        """How many times as long a sound is at least."""
        return self.ranges.get("stretch_range", (1.0, 1.0))[0]

    def draw(
        self, draw: Callable[[int], np.random.Generator], count: int = 1
    ) -> list[dict[str, float]]:
        """Draw for ``count`` sounds, each option from a stream of its own.

        Args:
            draw: from the number of a stream to its generator.
            count: of sounds.
        """
        drawn: list[dict[str, float]] = [{} for _ in range(count)]
        for name, ends in self.ranges.items():
            values = draw(self.STREAMS[name]).uniform(*ends, count)
            for one, value in zip(drawn, values, strict=True):
                one[name.removesuffix("_range")] = float(value)
        return drawn

    def apply(self, waveform: torch.Tensor, drawn: dict[str, float]) -> torch.Tensor:
        """Change a waveform ``(..., time)`` by what was drawn."""
        if "stretch" in drawn:
            waveform = stretch_time(waveform, drawn["stretch"], self.sample_rate)
        if "pitch_semitones" in drawn:
            waveform = shift_pitch(waveform, drawn["pitch_semitones"], self.sample_rate)
        if "envelope" in drawn:
            waveform = warp_envelope(waveform, drawn["envelope"], self.sample_rate)
        return waveform
