"""Spectral subtraction: take the spectrum of the noise away from that of the mixture.

Boll (1979) subtracts magnitudes, Berouti et al. (1979) powers. Both keep the phase of the mixture.
What is left where noise fluctuates above its mean are short isolated tones: musical noise. The two
classical cures are to subtract more than the estimate (``over_subtraction``) and never to go below
a floor of noise (``floor``), which hides the tones.
"""

from __future__ import annotations

import torch

from lib.classical.noise_tracking import analysis, noise_power
from lib.errors import InputError, check_same_shape, check_signal

__all__ = ["musical_noise_index", "spectral_subtraction", "subtraction_gain"]

_EXPONENTS = {"magnitude": 1, "power": 2}


def spectral_subtraction(
    mixture: torch.Tensor,
    sample_rate: int,
    *,
    noise_profile: torch.Tensor | None = None,
    noise_seconds: float | tuple[float, float] | None = None,
    over_subtraction: float = 2.0,
    floor: float = 0.1,
    domain: str = "magnitude",
    window_ms: float = 32.0,
) -> torch.Tensor:
    """Remove noise from speech by subtracting its spectrum.

    Without a profile or a stretch of noise, the noise is tracked by minimum statistics. Each
    channel is treated by itself.

    Args:
        mixture: waveform ``(..., time)``, any length, any sample rate.
        sample_rate: in Hz.
        noise_profile: noise power ``(freq,)`` or ``(..., freq)``, from
            :func:`lib.classical.noise_profile` with the same window.
        noise_seconds: stretch of the mixture with noise alone, ``(start, stop)`` or the length of
            its beginning, in seconds.
        over_subtraction: how many times the noise is subtracted.
        floor: least that stays, as a fraction of the noise (in the domain that is subtracted in).
        domain: ``"magnitude"`` or ``"power"``.
        window_ms: length of a frame in milliseconds.

    Returns:
        The enhanced waveform, of the shape of ``mixture``; silence stays silence.

    Raises:
        InputError: if the mixture is no signal, or an option is out of range.

    Source: Boll, IEEE Trans. ASSP 27(2), 1979; Berouti, Schwartz and Makhoul, ICASSP 1979.

    Example:
        >>> time = torch.arange(16000) / 16000
        >>> tone = torch.sin(2 * torch.pi * 440 * time) * (time > 0.5)
        >>> noise = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
        >>> enhanced = spectral_subtraction(tone + noise, 16000, noise_seconds=0.4)
        >>> bool((enhanced - tone).square().sum() < 0.2 * noise.square().sum())
        True
    """
    check_signal(mixture, "mixture")
    stft = analysis(sample_rate, window_ms)
    spectrogram = stft(mixture)  # (..., F, K)
    noise = noise_power(
        mixture, spectrogram, stft, sample_rate, profile=noise_profile, seconds=noise_seconds
    )
    gain = subtraction_gain(
        spectrogram.abs().square(),
        noise,
        over_subtraction=over_subtraction,
        floor=floor,
        domain=domain,
    )
    return stft.inverse(gain * spectrogram, mixture.shape[-1]).to(mixture.dtype)


def subtraction_gain(
    power: torch.Tensor,
    noise: torch.Tensor,
    *,
    over_subtraction: float = 2.0,
    floor: float = 0.1,
    domain: str = "magnitude",
) -> torch.Tensor:
    """Compute the gain that spectral subtraction applies to each time-frequency point.

    With D = |X|^p the power (p = 2) or magnitude (p = 1) of the mixture and N that of the noise, D
    becomes ``max(D - over_subtraction * N, floor * N)``, but never more than D. The gain is the
    ratio of the magnitudes after and before.

    Args:
        power: power of the mixture ``(..., freq, frames)``.
        noise: power of the noise, broadcastable to it.
        over_subtraction: how many times the noise is subtracted, at least 0.
        floor: least that stays, as a fraction of N, at least 0.
        domain: ``"magnitude"`` or ``"power"``.

    Returns:
        Gains in [0, 1], of the shape of ``power``.

    Raises:
        InputError: if ``power`` is no signal, or an option is out of range.

    Source: Berouti, Schwartz and Makhoul, ICASSP 1979.

    Example:
        >>> power, noise = torch.tensor([[100.0, 4.0]]), torch.tensor([[1.0]])
        >>> gain = subtraction_gain(power, noise, over_subtraction=2.0, floor=0.1)
        >>> [round(value, 3) for value in gain.flatten().tolist()]
        [0.8, 0.05]
    """
    if domain not in _EXPONENTS:
        raise InputError(f"domain: expected 'magnitude' or 'power', got {domain!r}")
    check_signal(power, "power")
    if not over_subtraction >= 0 or not floor >= 0:
        raise InputError(
            "over_subtraction and floor: expected numbers of at least 0, "
            f"got {over_subtraction} and {floor}"
        )
    exponent = _EXPONENTS[domain]
    ratio = noise / torch.where(power > 0, power, torch.ones_like(power))  # 1 / posterior SNR
    if exponent == 1:
        ratio = _root(ratio)
    left = torch.maximum(1 - over_subtraction * ratio, (floor * ratio).clamp(max=1.0))
    return left if exponent == 1 else _root(left)


def _root(values: torch.Tensor) -> torch.Tensor:
    """Square root, with a gradient of 0 at 0, where the root has none."""
    present = values > 0
    return torch.where(present, torch.where(present, values, 1.0).sqrt(), 0.0)


def musical_noise_index(
    processed: torch.Tensor, unprocessed: torch.Tensor, sample_rate: int, window_ms: float = 32.0
) -> torch.Tensor:
    """Measure musical noise as the log ratio of the kurtosis after and before processing.

    Isolated tones make the power at a frequency spiky: nearly always nothing, now and then a lot.
    The kurtosis (fourth over squared second moment of the power over time, about zero) says so. It
    is taken at each frequency, and the log ratios are averaged over those with any power left. It
    is blind to the level: a few spikes far below the floor of hearing count, so read it beside the
    level of what is left.

    Args:
        processed: the denoiser's output for noise alone, ``(..., time)``.
        unprocessed: that noise, ``(..., time)``.
        sample_rate: in Hz.
        window_ms: length of a frame in milliseconds.

    Returns:
        Index ``(...)``: 0 if nothing changed, or only the level did; above 0 for musical noise.

    Raises:
        InputError: if a signal is none, or the shapes differ.

    Source: Uemura, Takahashi, Saruwatari, Shikano and Kondo, "Automatic optimization scheme of
    spectral subtraction based on musical noise assessment via higher-order statistics", IWAENC
    2008.

    Example:
        >>> noise = torch.randn(16000, generator=torch.Generator().manual_seed(0))
        >>> round(float(musical_noise_index(0.5 * noise, noise, 16000)), 3)
        0.0
    """
    check_signal(processed, "processed")
    check_signal(unprocessed, "unprocessed")
    check_same_shape(processed, unprocessed, ("processed", "unprocessed"))
    stft = analysis(sample_rate, window_ms)

    def kurtosis(waveform: torch.Tensor) -> torch.Tensor:
        power = stft(waveform).abs().square()
        peak = power.amax(-1, keepdim=True)
        power = power / torch.where(peak > 0, peak, torch.ones_like(peak))
        fourth, second = power.pow(4).mean(-1), power.square().mean(-1)
        return torch.where(second > 0, fourth / second.square(), torch.zeros_like(second))

    after, before = kurtosis(processed), kurtosis(unprocessed)
    present = (after > 0) & (before > 0)
    ratio = torch.where(present, after, 1.0) / torch.where(present, before, 1.0)
    return ratio.log().sum(-1) / present.sum(-1).clamp(min=1)
