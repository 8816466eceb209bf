"""Guess the score: rank spoilt copies of a sentence by ear, then see what the metrics say."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from lib.errors import InputError, check_signal
from lib.mixing import mix_at_snr
from lib.stft import STFT
from lib.widgets.element import Element, as_mono, encode_audio
from lib.widgets.listen import loudness, matching_gains

LETTERS = "ABCDEFGH"
# Stored this soft, noisy clips take a third less room in the page; the player undoes it, and the
# rounding to 16 bits stays some 60 dB below the speech.
_STORED_LUFS = -38.0


def low_pass(signal: torch.Tensor, sample_rate: int, cutoff: float) -> torch.Tensor:
    """Keep what lies below a frequency, nothing above it, with no delay.

    Args:
        signal: ``(..., time)``.
        sample_rate: in Hz.
        cutoff: in Hz.

    Returns:
        The same shape.

    Raises:
        InputError: if ``signal`` is not valid.

    Example:
        >>> tones = torch.sin(torch.arange(800) * 2 * torch.pi / torch.tensor([[80.0], [4.0]]))
        >>> low_pass(tones, 8000, 500).square().mean(-1).round(decimals=3)
        tensor([0.5000, 0.0000])
    """
    check_signal(signal, "signal")
    spectrum = torch.fft.rfft(signal)
    frequency = torch.fft.rfftfreq(signal.shape[-1], 1 / sample_rate).to(signal)
    return torch.fft.irfft(spectrum * (frequency <= cutoff), signal.shape[-1])


def noise_vocoder(
    signal: torch.Tensor, sample_rate: int, bands: int = 16, *, seed: int = 0
) -> torch.Tensor:
    """Replace the fine structure of a signal by noise and keep the envelopes of its bands.

    Args:
        signal: ``(time,)``.
        sample_rate: in Hz.
        bands: number of bands between 100 Hz and half the sample rate, equally wide in octaves.
        seed: of the noise.

    Returns:
        ``(time,)``: what a cochlear implant of so many channels passes on, roughly.

    Raises:
        InputError: if ``signal`` is no ``(time,)``.

    Source: Shannon et al., "Speech recognition with primarily temporal cues", Science 270, 1995.

    Example:
        >>> noise_vocoder(torch.sin(torch.arange(8000) * 0.3), 8000).shape
        torch.Size([8000])
    """
    check_signal(signal, "signal", ndim=1)
    stft = STFT(n_fft=2 * round(0.016 * sample_rate))
    noise = torch.randn(signal.shape, generator=torch.Generator().manual_seed(seed))
    speech, carrier = stft(signal), stft(noise.to(signal))
    frequency = torch.fft.rfftfreq(stft.n_fft, 1 / sample_rate).to(signal)
    edges = torch.logspace(2, math.log10(sample_rate / 2), bands + 1).to(signal)
    band = torch.bucketize(frequency, edges[1:-1])
    member = torch.nn.functional.one_hot(band, bands).to(signal) * (frequency >= edges[0])[:, None]
    powers = [member.mT @ spectrum.abs().square() for spectrum in (speech, carrier)]
    gain = member @ (powers[0] / powers[1].clamp_min(1e-20)).sqrt()
    return stft.inverse(gain * carrier, signal.shape[-1])


def distortions(
    speech: torch.Tensor, noise: torch.Tensor, response: torch.Tensor, sample_rate: int
) -> dict[str, torch.Tensor]:
    """Spoil a sentence in eight ways that ears and metrics judge differently.

    Args:
        speech: ``(time,)``.
        noise: same shape, for the noisy one.
        response: ``(taps,)``, the impulse response of a room; its direct path becomes sample 0.
        sample_rate: in Hz.

    Returns:
        Name to signal, each of the shape of ``speech``; loudness is left as it comes out.

    Raises:
        InputError: if a signal is not valid, or speech and noise differ in shape.

    Example:
        >>> noise = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
        >>> list(distortions(noise[0], noise[1], noise[1, :400], 16000))[:3]
        ['10 ms late', 'telephone band', 'below 500 Hz']
    """
    check_signal(speech, "speech", ndim=1)
    check_signal(response, "response", ndim=1)
    time, late = speech.shape[-1], round(0.01 * sample_rate)
    direct = response[int(response.abs().argmax()) :].to(speech)
    length = time + len(direct) - 1
    in_room = torch.fft.irfft(torch.fft.rfft(speech, length) * torch.fft.rfft(direct, length))
    stft = STFT(n_fft=2 * round(0.016 * sample_rate))
    spectrogram = stft(speech)
    kept = torch.rand(spectrogram.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    limit = 0.3 * speech.square().mean().sqrt()
    telephone = low_pass(speech, sample_rate, 3400) - low_pass(speech, sample_rate, 300)
    return {
        "10 ms late": torch.nn.functional.pad(speech, (late, 0))[:time],
        "telephone band": telephone,
        "below 500 Hz": low_pass(speech, sample_rate, 500),
        "half the spectrogram": stft.inverse(spectrogram * kept, time),
        "noise vocoder": noise_vocoder(speech, sample_rate),
        "pink noise, 5 dB": mix_at_snr(speech, noise, 5.0).mixture,
        "clipped": speech.clamp(-limit, limit),
        "large room": in_room[:time],
    }


def guess_the_score(
    clips: Mapping[str, torch.Tensor | np.ndarray],
    reference: torch.Tensor | np.ndarray,
    scores: Mapping[str, Mapping[str, float]],
    sample_rate: int,
    *,
    note: str = "",
    title: str = "Guess the score",
) -> Element:
    """A blind test: the reader ranks clips, then sees their scores and the rank correlations.

    The clips stand in a new order, under letters, for each reader and each round; all are played
    equally loud unless the reader switches that off. Ranks can be given for two questions, how
    good a clip sounds and how easily its words can be written down. Everything happens in the page.

    Args:
        clips: name to signal, ``(time,)`` or ``(1, time)``; 3 to 8 of them, all within [-1, 1].
        reference: the clean signal, same length.
        scores: metric to name to value, each metric with a finite value for every clip; higher is
            better.
        sample_rate: in Hz.
        note: a line under the panel, for example what is missing.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for another number of clips, unequal lengths, stereo or silent clips, and
            scores that are missing or not finite.

    Example:
        >>> tone = torch.sin(torch.arange(8000) * 0.3)
        >>> clips = {name: gain * tone for name, gain in (("a", 0.1), ("b", 0.2), ("c", 0.3))}
        >>> guess_the_score(clips, tone, {"SNR (dB)": {"a": 0.9, "b": 1.9, "c": 3.1}}, 8000)
        Guess the score: 3 clips to rank by ear (1.0 s at 8000 Hz). Run this cell to play.
    """
    if not isinstance(clips, Mapping) or not 3 <= len(clips) <= len(LETTERS):
        count = len(clips) if isinstance(clips, Mapping) else type(clips).__name__
        raise InputError(f"clips: expected a dict of 3 to {len(LETTERS)} signals, got {count}")
    named = {"reference": reference, **{f"clips[{name!r}]": c for name, c in clips.items()}}
    signals = [as_mono(signal, name) for name, signal in named.items()]
    for name, signal in zip(named, signals, strict=True):
        if signal.shape != signals[0].shape:
            raise InputError(
                f"{name}: expected the reference's {signals[0].shape[-1]} samples, "
                f"got {signal.shape[-1]}; trim or pad it"
            )
    metrics = [_metric(name, values, list(clips)) for name, values in scores.items()]
    if not metrics:
        raise InputError("scores: expected at least one metric, got none")
    tracks = _encode(signals, sample_rate)
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "reference": tracks[0],
        "clips": [{"name": str(n), **t} for n, t in zip(clips, tracks[1:], strict=True)],
        "metrics": metrics,
        "note": note,
    }
    fallback = (
        f"{title}: {len(clips)} clips to rank by ear "
        f"({signals[0].shape[-1] / sample_rate:.1f} s at {sample_rate} Hz). Run this cell to play."
    )
    return Element("unmix-guess-the-score", config, ("guess_the_score",), fallback)


def _metric(name: str, values: Mapping[str, float], clips: list[str]) -> dict:
    if not isinstance(values, Mapping) or set(values) != set(clips):
        got = sorted(values) if isinstance(values, Mapping) else type(values).__name__
        raise InputError(f"scores[{name!r}]: expected a value for each clip, got {got}")
    numbers = [float(values[clip]) for clip in clips]
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"scores[{name!r}]: expected finite numbers, got {numbers}")
    return {"name": str(name), "values": numbers, "digits": 1 if "dB" in name else 2}


def _encode(signals: list[np.ndarray], sample_rate: int) -> list[dict]:
    """Each signal as a soft copy, with the gains in dB that play it as it is or equally loud."""
    tracks = []
    for signal, gain in zip(signals, matching_gains(signals, sample_rate), strict=True):
        level = loudness(signal, sample_rate)
        lowered = min(0.0, _STORED_LUFS - level) if math.isfinite(level) else 0.0
        lowered = min(lowered, -20 * math.log10(np.abs(signal).max()))  # a peak above 1 would clip
        tracks.append(
            {
                "source": encode_audio(signal * 10 ** (lowered / 20), sample_rate),
                "original_db": round(-lowered, 3),
                "matched_db": round(gain - lowered, 3),
            }
        )
    return tracks
