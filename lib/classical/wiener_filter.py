"""Wiener filtering with the decision-directed a priori SNR.

The Wiener gain ``xi / (1 + xi)`` is the best linear estimate if one knows the a priori SNR xi: the
expected power of the speech over that of the noise. Ephraim and Malah estimate it from the decision
taken one frame earlier, with a little of what the present frame shows. In noise this averages over
many frames, which is what keeps musical noise away; where speech sets in, it follows at once.
"""

from __future__ import annotations

import math

import torch

from lib.classical.noise_tracking import analysis, noise_power
from lib.errors import InputError, check_signal

__all__ = ["decision_directed_snr", "wiener_filter", "wiener_gain"]


def wiener_filter(
    mixture: torch.Tensor,
    sample_rate: int,
    *,
    noise_profile: torch.Tensor | None = None,
    noise_seconds: float | tuple[float, float] | None = None,
    alpha: float = 0.98,
    floor_db: float = -15.0,
    window_ms: float = 32.0,
) -> torch.Tensor:
    """Remove noise from speech with a decision-directed Wiener filter.

    Without a profile or a stretch of noise, the noise is tracked by minimum statistics. Each
    channel is treated by itself.

    Args:
        mixture: waveform ``(..., time)``, any length, any sample rate.
        sample_rate: in Hz.
        noise_profile: noise power ``(freq,)`` or ``(..., freq)``, from
            :func:`lib.classical.noise_profile` with the same window.
        noise_seconds: stretch of the mixture with noise alone, ``(start, stop)`` or the length of
            its beginning, in seconds.
        alpha: weight of the previous decision, in [0, 1).
        floor_db: least a priori SNR in dB.
        window_ms: length of a frame in milliseconds.

    Returns:
        The enhanced waveform, of the shape of ``mixture``; silence stays silence.

    Raises:
        InputError: if the mixture is no signal, or an option is out of range.

    Source: Ephraim and Malah, IEEE Trans. ASSP 32(6), 1984; Scalart and Vieira Filho, ICASSP 1996.

    Example:
        >>> time = torch.arange(16000) / 16000
        >>> tone = torch.sin(2 * torch.pi * 440 * time) * (time > 0.5)
        >>> noise = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
        >>> enhanced = wiener_filter(tone + noise, 16000, noise_seconds=0.4)
        >>> bool((enhanced - tone).square().sum() < 0.2 * noise.square().sum())
        True
    """
    check_signal(mixture, "mixture")
    stft = analysis(sample_rate, window_ms)
    spectrogram = stft(mixture)  # (..., F, K)
    noise = noise_power(
        mixture, spectrogram, stft, sample_rate, profile=noise_profile, seconds=noise_seconds
    )
    prior_snr = decision_directed_snr(
        spectrogram.abs().square(), noise, alpha=alpha, floor_db=floor_db
    )
    speech = wiener_gain(prior_snr) * spectrogram
    return stft.inverse(speech, mixture.shape[-1]).to(mixture.dtype)


def wiener_gain(prior_snr: torch.Tensor) -> torch.Tensor:
    """Compute the Wiener gain ``xi / (1 + xi)``.

    Args:
        prior_snr: a priori SNR xi as a power ratio, at least 0.

    Returns:
        Gains in [0, 1), of the shape of ``prior_snr``.

    Example:
        >>> wiener_gain(torch.tensor([0.0, 1.0, 3.0])).tolist()
        [0.0, 0.5, 0.75]
    """
    return prior_snr / (1 + prior_snr)


def decision_directed_snr(
    power: torch.Tensor, noise: torch.Tensor, *, alpha: float = 0.98, floor_db: float = -15.0
) -> torch.Tensor:
    """Estimate the a priori SNR from the previous decision and the present frame.

    ``xi = alpha * previous_speech / noise + (1 - alpha) * max(posterior - 1, 0)``, where the
    previous speech power is what the Wiener gain left of the frame before. The first frame has none
    before it and takes ``max(posterior - 1, 0)`` alone.

    Args:
        power: power of the mixture ``(..., freq, frames)``.
        noise: power of the noise, broadcastable to it.
        alpha: weight of the previous decision, in [0, 1).
        floor_db: least a priori SNR in dB.

    Returns:
        A priori SNR as a power ratio, of the shape of ``power``; half precision gives float32.

    Raises:
        InputError: if ``power`` is no signal, or an option is out of range.

    Source: Ephraim and Malah, 1984, eq. 51.

    Example:
        >>> power = torch.ones(1, 50)   # as loud as the noise: no speech
        >>> decision_directed_snr(power, torch.ones(1, 1))[0, -1] < 0.04
        tensor(True)
    """
    check_signal(power, "power")
    if not 0 <= alpha < 1:
        raise InputError(f"alpha: expected a number in [0, 1), got {alpha}")
    if not floor_db < math.inf:
        raise InputError(f"floor_db: expected a number of dB, got {floor_db}")
    dtype = torch.promote_types(power.dtype, torch.float32)
    power, noise = power.to(dtype), noise.to(dtype)
    floor = 10.0 ** (floor_db / 10.0)
    tiny = torch.finfo(power.dtype).tiny
    posterior = (power / noise.clamp(min=tiny)).clamp(max=1e6)
    previous = None
    result = []
    for frame in posterior.unbind(-1):
        fresh = (frame - 1).clamp(min=0)
        prior = fresh if previous is None else alpha * previous + (1 - alpha) * fresh
        prior = prior.clamp(min=floor)
        previous = wiener_gain(prior).square() * frame
        result.append(prior)
    return torch.stack(result, -1)
