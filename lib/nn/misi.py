"""Multiple input spectrogram inversion: phases that agree with the magnitudes and the mixture."""

from __future__ import annotations

import torch

from lib.errors import InputError
from lib.stft import STFT


def misi(
    magnitudes: torch.Tensor, mixture: torch.Tensor, stft: STFT, iterations: int = 5
) -> torch.Tensor:
    """Turn estimated magnitudes into waveforms that sum to the mixture more and more closely.

    Start with the mixture's phase. Then again and again: invert, give each source an equal share of
    what the waveforms leave of the mixture, and take the phase of the STFT of that, with the
    estimated magnitudes. It is differentiable: a network can be trained through it (WA-MISI).

    Args:
        magnitudes: ``(batch, sources, channels, freq, frames)``.
        mixture: ``(batch, channels, time)``.
        stft: the transform that the magnitudes belong to.
        iterations: how often; 0 keeps the mixture's phase.

    Returns:
        estimates ``(batch, sources, channels, time)``.

    Raises:
        InputError: if the shapes do not belong together, or ``iterations`` is below 0.

    Source: D. Gunawan and D. Sen, "Iterative phase estimation for the synthesis of separated
    sources from single-channel mixtures", IEEE SPL 17(5), 2010; in training: Z.-Q. Wang, J. Le
    Roux, D. Wang and J. R. Hershey, "End-to-end speech separation with unfolded iterative phase
    reconstruction", Interspeech 2018.

    Example:
        >>> stft, sources = STFT(64, 16), torch.randn(1, 2, 1, 500)
        >>> misi(stft(sources).abs(), sources.sum(1), stft, iterations=2).shape
        torch.Size([1, 2, 1, 500])
    """
    if iterations < 0:
        raise InputError(f"iterations: expected 0 or more, got {iterations}")
    spectrogram = stft(mixture)  # (B, C, F, K)
    if magnitudes.ndim != 5 or magnitudes[:, 0].shape != spectrogram.shape:
        raise InputError(
            "magnitudes: expected (batch, sources, channels, freq, frames) with the spectrogram's "
            f"{tuple(spectrogram.shape)}, got {tuple(magnitudes.shape)}"
        )
    length = mixture.shape[-1]
    estimates = stft.inverse(magnitudes * _phase(spectrogram)[:, None], length)  # (B, S, C, T)
    for _ in range(iterations):
        missing = (mixture - estimates.sum(1))[:, None] / magnitudes.shape[1]  # (B, 1, C, T)
        estimates = stft.inverse(magnitudes * _phase(stft(estimates + missing)), length)
    return estimates


def _phase(spectrogram: torch.Tensor) -> torch.Tensor:
    """X / |X|, with a gradient that stays finite where X is 0."""
    return spectrogram / spectrogram.abs().clamp_min(1e-8)
