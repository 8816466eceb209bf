"""Chapter 2: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch02

shapes, istft = ch02.shapes, ch02.istft
LOUD, FAINT_TOO = ch02.first, ch02.second


def _tone(first, last, level=1.0, frequency=0.3):
    signal = torch.zeros(16000, dtype=torch.float64)
    count = last - first
    fade = torch.hann_window(count, dtype=torch.float64)
    signal[first:last] = level * fade * torch.sin(frequency * torch.arange(count))
    return signal


def _in_single_precision(spectrogram, window, hop_length, length):
    return istft(spectrogram.to(torch.complex64), window.float(), hop_length, length).float()


RIGHT = {
    "ch02.shapes": [shapes, lambda *setting: list(shapes(*setting))],
    "ch02.floor_is_not_injective": [(LOUD, FAINT_TOO), (FAINT_TOO, LOUD)],
    "ch02.istft": [istft, _in_single_precision],
}


def _variant(window_again=True, power=2, start=None, divide=True):
    def answer(spectrogram, window, hop_length, length):
        n_fft = len(window)
        frames = torch.fft.irfft(spectrogram.T, n=n_fft)
        total = len(frames) * hop_length + 2 * n_fft
        signal, weight = torch.zeros(2, total, dtype=torch.float64)
        for k, frame in enumerate(frames):
            place = slice(k * hop_length, k * hop_length + n_fft)
            signal[place] += (window if window_again else 1) * frame
            weight[place] += window**power
        first = n_fft // 2 if start is None else start
        result = signal / weight if divide else signal
        return result[first : first + length]

    return answer


def _plain_exact(spectrogram, window, hop_length, length):
    """Divide plain overlap-add by the sum of the windows: exact, but not least squares."""
    return _variant(window_again=False, power=1)(spectrogram, window, hop_length, length)


# exercise -> [(wrong answer, what the message has to say)]
WRONG = {
    "ch02.shapes": [
        (lambda *s: shapes(*s)[::-1], "wrong order"),
        (
            lambda length, n_fft, hop, padding: (n_fft, shapes(length, n_fft, hop, padding)[1]),
            "symm",
        ),
        (lambda length, n_fft, hop, padding: (n_fft // 2, 1), "both included"),
        (lambda *s: (shapes(*s)[0], shapes(*s)[1] - 1), "first frame counts"),
        (lambda length, n_fft, hop, padding: shapes(length, n_fft, hop, 0), "padding"),
        (
            lambda length, n_fft, hop, padding: (
                n_fft // 2 + 1,
                1 + (length + padding - n_fft) // hop,
            ),
            "both sides",
        ),
        (
            lambda length, n_fft, hop, padding: (
                n_fft // 2 + 1,
                1 - (n_fft - length - 2 * padding) // hop,
            ),
            "round down",
        ),
        (lambda *s: shapes(*s)[1], "a pair"),
    ],
    "ch02.floor_is_not_injective": [
        ((LOUD, -LOUD), "magnitudes are equal"),
        ((LOUD, LOUD), "magnitudes are equal"),
        ((LOUD, 2 * LOUD), "Another level"),
        ((LOUD, LOUD + _tone(9000, 15000, level=1e-3)), "under the floor"),
        ((LOUD, LOUD + _tone(1000, 7000, level=3e-5, frequency=0.31)), "pause"),
        ((torch.zeros(16000), LOUD), "silent"),
        ((LOUD[:100], LOUD[:100]), "shape (16000,)"),
        (3.0, "a pair"),
    ],
    "ch02.istft": [
        (_variant(window_again=False, divide=False), "nothing is divided"),
        (_variant(divide=False), "now divide"),
        (_variant(window_again=False), "once more"),
        (_variant(power=1), "squared"),
        (_variant(start=0), "first half lies before"),
        (_plain_exact, "least-squares"),
        (
            lambda spectrogram, window, hop, length: istft(spectrogram, window, hop, length)[:-1],
            "shape",
        ),
        (lambda *given: given[0].real, "shape"),
    ],
}

OPEN = {
    "ch02.shapes": [None, ..., lambda *setting: None],
    "ch02.floor_is_not_injective": [(..., ...), None],
    "ch02.istft": [None, lambda *given: None],
}
