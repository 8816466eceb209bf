"""How loud is the noise? From a stretch without speech, or tracked under the speech.

Both classical denoisers need the power of the noise at each frequency. If the user can point to a
stretch of noise alone, its mean power spectrum is the answer. If not, minimum statistics uses that
speech pauses and moves on within a second or so: the smallest smoothed power that a frequency has
shown lately belongs to the noise. A minimum lies below the mean, so it is scaled up by a factor
that depends on how much the smoothed power fluctuates.

Deviations from Martin's paper: no quick path for rising noise (his ``noise_slope_max``), and an
optional run-up, because a whole file is at hand where he had a telephone call. The estimate is a
constant for automatic differentiation.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from lib.errors import InputError, check_rate, check_signal
from lib.stft import STFT

__all__ = ["analysis", "minimum_statistics", "noise_power", "noise_profile"]

# Martin 2001, Table III: the mean of the minimum of D correlated power estimates, as M(D).
_WINDOW_LENGTHS = (1, 2, 5, 8, 10, 15, 20, 30, 40, 60, 80, 120, 140, 160)
_M = (0.0, 0.26, 0.48, 0.58, 0.61, 0.668, 0.705, 0.762, 0.8, 0.841, 0.865, 0.89, 0.9, 0.91)
_SUBWINDOWS = 8


def analysis(sample_rate: int, window_ms: float = 32.0) -> STFT:
    """Make the STFT of the classical denoisers: Hann, three quarters of overlap.

    Args:
        sample_rate: in Hz.
        window_ms: length of a frame in milliseconds.

    Raises:
        InputError: if the rate is no positive integer or the window is not above zero.

    Example:
        >>> analysis(16000).n_fft, analysis(16000).hop_length
        (512, 128)
    """
    if not 0 < window_ms < math.inf:
        raise InputError(f"window_ms: expected milliseconds above 0, got {window_ms}")
    hop_length = max(1, round(check_rate(sample_rate) * window_ms / 4000))
    return STFT(4 * hop_length, hop_length)


def noise_profile(
    noise: torch.Tensor,
    sample_rate: int,
    *,
    start: float = 0.0,
    stop: float | None = None,
    window_ms: float = 32.0,
) -> torch.Tensor:
    """Average the power spectrum over a stretch that holds nothing but noise.

    Args:
        noise: waveform ``(..., time)``; the noise, or a recording with noise alone in the stretch.
        sample_rate: in Hz.
        start: beginning of the stretch in seconds.
        stop: its end in seconds; None for the end of the signal.
        window_ms: length of a frame in milliseconds; the denoiser must use the same.

    Returns:
        Mean power per frequency, ``(..., freq)``.

    Raises:
        InputError: if the stretch is empty or lies outside the signal.

    Source: Boll, "Suppression of acoustic noise in speech using spectral subtraction", 1979.

    Example:
        >>> noise = torch.randn(16000, generator=torch.Generator().manual_seed(0))
        >>> noise_profile(noise, 16000, stop=0.5).shape
        torch.Size([257])
    """
    check_signal(noise, "noise")
    seconds = noise.shape[-1] / check_rate(sample_rate)
    end = seconds if stop is None else stop
    if not 0 <= start < end or end > seconds + 1 / sample_rate:
        raise InputError(
            f"start and stop: expected a stretch of the {seconds:.3f} s that there are, "
            f"got {start} to {end} s"
        )
    stretch = noise[..., round(start * sample_rate) : max(1, round(end * sample_rate))]
    check_signal(stretch, "noise")
    stft = analysis(sample_rate, window_ms)
    power = stft(stretch).abs().square()
    return power[..., _inner_frames(stft, stretch.shape[-1], power.shape[-1])].mean(-1)


def noise_power(
    mixture: torch.Tensor,
    spectrogram: torch.Tensor,
    stft: STFT,
    sample_rate: int,
    *,
    profile: torch.Tensor | None = None,
    seconds: float | tuple[float, float] | None = None,
) -> torch.Tensor:
    """Estimate the noise of a mixture from a profile, from a stretch of it, or by tracking.

    Args:
        mixture: waveform ``(..., time)``.
        spectrogram: its complex spectrogram ``(..., freq, frames)``.
        stft: the transform that made it.
        sample_rate: in Hz.
        profile: noise power ``(freq,)`` or ``(..., freq)``, from :func:`noise_profile`.
        seconds: stretch of the mixture with noise alone: ``(start, stop)``, or one number for its
            first seconds. Without profile and stretch, minimum statistics tracks the noise.

    Returns:
        Noise power ``(..., freq, frames or 1)``.

    Raises:
        InputError: if both a profile and a stretch are given, or one does not fit.

    Example:
        >>> mixture = torch.randn(8000, generator=torch.Generator().manual_seed(0))
        >>> stft = analysis(8000)
        >>> noise_power(mixture, stft(mixture), stft, 8000, seconds=0.3).shape
        torch.Size([129, 1])
    """
    if profile is not None and seconds is not None:
        raise InputError("noise_profile and noise_seconds: expected at most one of them, got both")
    if seconds is not None:
        stretch = seconds if isinstance(seconds, (tuple, list)) else (0.0, seconds)
        if len(stretch) != 2:
            raise InputError(f"noise_seconds: expected (start, stop) in seconds, got {seconds}")
        start, stop = stretch
        window_ms = 1000 * stft.n_fft / sample_rate
        profile = noise_profile(mixture, sample_rate, start=start, stop=stop, window_ms=window_ms)
    if profile is not None:
        check_signal(profile, "noise_profile")
        if profile.shape[-1] != spectrogram.shape[-2] or (profile < 0).any():
            raise InputError(
                f"noise_profile: expected {spectrogram.shape[-2]} powers, none negative, got shape "
                f"{tuple(profile.shape)}; make it with the same sample rate and window"
            )
        try:
            profile.expand(spectrogram.shape[:-1])
        except RuntimeError:
            raise InputError(
                "noise_profile: expected (freq,) or one profile for each item "
                f"{tuple(spectrogram.shape[:-1])}, got shape {tuple(profile.shape)}"
            ) from None
        return profile.to(spectrogram.device, spectrogram.real.dtype).unsqueeze(-1)
    power = spectrogram.abs().square()
    frames = _inner_frames(stft, mixture.shape[-1], power.shape[-1])
    # frames that reach beyond the signal hold less power, and a minimum would remember it
    nearest = torch.arange(power.shape[-1], device=power.device)
    nearest = nearest.clamp(frames.start, frames.stop - 1)
    return minimum_statistics(power[..., nearest], stft.hop_length / sample_rate)


@torch.no_grad()
def minimum_statistics(
    power: torch.Tensor, hop_seconds: float, *, window_seconds: float = 1.5, run_up: bool = True
) -> torch.Tensor:
    """Track the power of the noise as the scaled minimum of the smoothed power of the mixture.

    Args:
        power: power spectrogram ``(..., freq, frames)``.
        hop_seconds: time from frame to frame in seconds.
        window_seconds: how long a minimum is remembered. It must span a pause between words, and
            bounds how fast the estimate can follow a rising noise.
        run_up: pass over the opening backwards first, so that the estimate stands at the first
            frame. Without it the tracker is causal.

    Returns:
        Noise power, of the shape of ``power``.

    Raises:
        InputError: if ``power`` is no power spectrogram, or a duration is not above zero.

    Source: Martin, "Noise power spectral density estimation based on optimal smoothing and minimum
    statistics", IEEE Trans. Speech and Audio Processing 9(5), 2001.

    Example:
        >>> noise = torch.randn(1, 257, 400, 2, generator=torch.Generator().manual_seed(0))
        >>> tracked = minimum_statistics(noise.square().sum(-1), 0.008)
        >>> 1.0 < float(tracked[..., 100:].mean()) < 3.0   # the truth is 2
        True
    """
    check_signal(power, "power")
    if power.ndim < 2 or (power < 0).any():
        raise InputError(
            f"power: expected powers (..., freq, frames), got shape {tuple(power.shape)}"
        )
    if not 0 < hop_seconds < math.inf or not 0 < window_seconds < math.inf:
        raise InputError(
            "hop_seconds and window_seconds: expected numbers above 0, "
            f"got {hop_seconds} and {window_seconds}"
        )
    scale = power.mean((-2, -1), keepdim=True)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    frames = list((power / scale).unbind(-1))  # each (..., F)
    opening = min(len(frames), round(window_seconds / hop_seconds)) if run_up else 0
    tracked = _track(frames[:opening][::-1] + frames, hop_seconds, window_seconds)
    return torch.stack(tracked[opening:], -1) * scale


def _track(
    frames: list[torch.Tensor], hop_seconds: float, window_seconds: float
) -> list[torch.Tensor]:
    subwindow = max(1, round(window_seconds / hop_seconds / _SUBWINDOWS))  # V
    window = subwindow * _SUBWINDOWS  # D
    m = float(np.interp(window, _WINDOW_LENGTHS, _M))
    tiny = torch.finfo(frames[0].dtype).tiny ** 0.25  # its square is still a normal number
    infinity = torch.full_like(frames[0], math.inf)

    smoothed = mean = noise = frames[0]  # P, its running mean, and sigma_N^2
    variance = torch.zeros_like(smoothed)
    correction = torch.ones_like(smoothed[..., :1])  # alpha_c
    lowest = infinity
    remembered: list[torch.Tensor] = []
    tracked = []
    for index, observed in enumerate(frames):
        # 1. smooth: strongly where the power stays near the noise, hardly where speech sets in
        jump = smoothed.sum(-1, keepdim=True) / (observed.sum(-1, keepdim=True) + tiny) - 1
        correction = 0.7 * correction + 0.3 * (1 / (1 + jump.square())).clamp(min=0.7)
        posterior = smoothed / (noise + tiny)
        alpha = (0.96 * correction / (1 + (posterior - 1).square())).clamp(min=0.3)
        smoothed = alpha * smoothed + (1 - alpha) * observed

        # 2. how much does the smoothed power fluctuate? The inverse degrees of freedom 1 / Q_eq
        beta = alpha.square().clamp(max=0.8)
        deviation = smoothed - mean
        mean = mean + (1 - beta) * deviation
        variance = beta * (variance + (1 - beta) * deviation.square())
        inverse_q = (variance / (2 * noise.square() + tiny**2)).clamp(max=0.5)
        spread = 1 + 2.12 * inverse_q.mean(-1, keepdim=True).sqrt()  # B_c

        # 3. the noise is the least of the scaled minima of the last subwindows
        adjusted_q = (1 / inverse_q.clamp(min=1e-6) - 2 * m) / (1 - m)
        bias = 1 + (window - 1) * 2 / adjusted_q  # B_min, eq. 17
        lowest = torch.minimum(lowest, smoothed * spread * bias)
        noise = torch.stack([lowest, *remembered]).amin(0)
        tracked.append(noise)
        if (index + 1) % subwindow == 0:
            remembered = [*remembered, lowest][-_SUBWINDOWS:]
            lowest = infinity
    return tracked


def _inner_frames(stft: STFT, time: int, frames: int) -> slice:
    """Frames that lie within the signal; the middle one if the signal is shorter than a frame."""
    reach = stft.n_fft // 2
    first = math.ceil(reach / stft.hop_length)
    last = min((time - reach) // stft.hop_length, frames - 1)
    if last < first:
        first = last = min(frames - 1, round(time / 2 / stft.hop_length))
    return slice(first, last + 1)
