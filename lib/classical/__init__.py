"""Separation without learning: one file per method.

A method takes a waveform ``(..., time)`` and its sample rate, and returns the speech in it.
:func:`as_separator` turns it into a separator of the course, with speech and noise as sources.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from lib.classical.noise_tracking import minimum_statistics, noise_profile
from lib.classical.spectral_subtraction import (
    musical_noise_index,
    spectral_subtraction,
    subtraction_gain,
)
from lib.classical.wiener_filter import decision_directed_snr, wiener_filter, wiener_gain
from lib.errors import InputError, check_signal

__all__ = [
    "METHODS",
    "Enhancer",
    "as_separator",
    "decision_directed_snr",
    "minimum_statistics",
    "musical_noise_index",
    "noise_profile",
    "spectral_subtraction",
    "subtraction_gain",
    "wiener_filter",
    "wiener_gain",
]


def _identity(mixture: torch.Tensor, sample_rate: int) -> torch.Tensor:
    return mixture


METHODS: dict[str, Callable[..., torch.Tensor]] = {
    "identity": _identity,
    "spectral-subtraction": spectral_subtraction,
    "wiener": wiener_filter,
}


class Enhancer:
    """A denoiser as a separator: estimates of speech and noise that add up to the mixture.

    Args:
        method: a function ``(mixture (..., time), sample_rate, **options) -> speech (..., time)``.
        sample_rate: in Hz, of every mixture that it will get.
        **options: passed on to the method.

    Example:
        >>> separator = Enhancer(wiener_filter, 16000)
        >>> separator(torch.zeros(1, 2, 4000)).shape
        torch.Size([1, 2, 2, 4000])
    """

    source_names = ("speech", "noise")

    def __init__(self, method: Callable[..., torch.Tensor], sample_rate: int, **options) -> None:
        """Remember the method, the sample rate and the options."""
        self.method = method
        self.sample_rate = sample_rate
        self.options = options

    def __call__(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate ``(batch, channels, time)`` into ``(batch, 2, channels, time)``.

        Raises:
            InputError: if the mixture is no such signal.
        """
        check_signal(mixture, "mixture", ndim=3)
        speech = self.method(mixture, self.sample_rate, **self.options)
        return torch.stack([speech, mixture - speech], 1)


def as_separator(method: str, sample_rate: int, **options) -> Enhancer:
    """Make a separator of a method by its name.

    Args:
        method: ``"identity"`` (hands the mixture back as speech), ``"spectral-subtraction"`` or
            ``"wiener"``.
        sample_rate: in Hz, of every mixture that it will get.
        **options: passed on to the method.

    Returns:
        A callable from mixtures ``(batch, channels, time)`` to estimates
        ``(batch, 2, channels, time)``: speech, and the rest.

    Raises:
        InputError: if the method is unknown.

    Example:
        >>> as_separator("identity", 8000)(torch.ones(1, 1, 3)).squeeze().tolist()
        [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    if method not in METHODS:
        raise InputError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    return Enhancer(METHODS[method], sample_rate, **options)
