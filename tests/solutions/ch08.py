"""Chapter 8: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch08

from lib.classical.noise_tracking import analysis

spectral_subtraction, gain = ch08.my_spectral_subtraction, ch08.my_gain


RIGHT = {
    "ch08.floor": [ch08.my_floor, 0.11],
    "ch08.gain": [gain, lambda xi, mu: 1 - 1 / (1 + xi / mu)],
    "ch08.spectral_subtraction": [spectral_subtraction],
}


def _variant(magnitude=lambda spectrum, noise, alpha, beta: None, length=None, inverse=True):
    def answer(mixture, sample_rate, profile, alpha, beta):
        stft = analysis(sample_rate)
        spectrum = stft(mixture)
        left = magnitude(spectrum, profile[:, None], alpha, beta)
        result = torch.polar(left, spectrum.angle())
        if not inverse:
            return result
        return stft.inverse(result, mixture.shape[-1])[:length]

    return answer


def _in_place(mixture, sample_rate, profile, alpha, beta):
    result = spectral_subtraction(mixture, sample_rate, profile, alpha, beta)
    mixture -= result
    return result


def _plain(x, p, a, b):
    return torch.minimum(torch.maximum(x.abs() - a * p.sqrt(), b * p.sqrt()), x.abs())


WRONG = {
    "ch08.floor": [
        (0.0, "It still sings"),
        (0.02, "Raise the floor"),
        (0.5, "Lower it"),
        (-20, "not decibels"),
        ("0.1", "expected one number, got str"),
    ],
    "ch08.gain": [
        (lambda xi, mu: xi / (1 + xi), "mu does not enter"),
        (lambda xi, mu: (xi / (xi + mu)) ** 0.5, "square root of the right gain"),
        (lambda xi, mu: 1 / (1 + xi / mu), "keeps the noise"),
        (lambda xi, mu: mu * xi / (1 + mu * xi), "wrong side"),
        (lambda xi, mu: (1 - mu / xi).clamp(min=0), "posterior SNR"),
        (lambda xi, mu: xi, "Differentiate"),
        (lambda xi, mu: float(xi) / (float(xi) + mu), "only one element tensors"),
    ],
    "ch08.spectral_subtraction": [
        (_variant(lambda x, p, a, b: (x.abs() - a * p.sqrt()).clamp(min=0)), "floor is missing"),
        (
            _variant(
                lambda x, p, a, b: torch.minimum(torch.maximum(x.abs() - a * p, b * p), x.abs())
            ),
            "Take its square root first",
        ),
        (
            _variant(
                lambda x, p, a, b: torch.minimum(
                    torch.maximum(x.abs() ** 2 - a * p, b * p), x.abs() ** 2
                ).sqrt()
            ),
            "you subtracted powers",
        ),
        (
            _variant(lambda x, p, a, b: torch.maximum(x.abs() - a * p.sqrt(), b * p.sqrt())),
            "never above |X|",
        ),
        (
            _variant(lambda x, p, a, b: torch.maximum(x.abs() - a * p.sqrt(), b * x.abs()).abs()),
            "max(|X| - alpha |N|, beta |N|)",
        ),
        (_variant(_plain, length=6000), "expected shape (7001,), got (6000,)"),
        (_variant(_plain, inverse=False), "expected a waveform"),
        (_in_place, "your function changed it"),
    ],
}

OPEN = {
    "ch08.floor": [...],
    "ch08.gain": [lambda xi, mu: ..., ...],
    "ch08.spectral_subtraction": [lambda *arguments: None, ...],
}
