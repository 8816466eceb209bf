"""Checks of chapter 20: complex convolution, bounded complex masks, and weights that are tied."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn import functional

from lib.checks import CheckFailed, close, exercise, holds
from lib.masks import OracleMask, complex_ideal_ratio_mask
from lib.metrics import si_sdr
from lib.stft import STFT


def _complex(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128)


@exercise("ch20.complex_convolution")
def complex_convolution(answer):
    """Compare with PyTorch's complex convolution, for several sizes."""
    for inputs, outputs, size in ((1, 1, 1), (1, 1, 3), (3, 2, 3), (2, 4, 5)):
        signal, weight = _complex(2, inputs, 9, 8), _complex(outputs, inputs, size, size)
        x, y, a, b = signal.real, signal.imag, weight.real, weight.imag
        right = functional.conv2d(signal, weight)
        got = answer(x.clone(), y.clone(), a.clone(), b.clone())
        what = f"{inputs} channels to {outputs}, kernel {size} x {size}"
        if isinstance(got, torch.Tensor) and got.is_complex():
            got = got.real, got.imag
        if got is not None and (not isinstance(got, (tuple, list)) or len(got) != 2):
            raise CheckFailed(f"{what}: expected a pair (real part, imaginary part)")
        real, imaginary = got if got is not None else (None, None)
        hint = "(A + iB)(x + iy): which product has i twice?"
        if isinstance(real, torch.Tensor) and real.shape == right.shape:
            if torch.allclose(real, functional.conv2d(x, a) + functional.conv2d(y, b)):
                hint = "i times i is -1."
            elif torch.allclose(real, functional.conv2d(x, a)):
                hint = "That is A * x alone. B * y belongs to the real part, too."
        close(real, right.real, f"{what}, real part", atol=1e-10, rtol=0, hint=hint)
        hint = "B * x + A * y: each part of the signal meets the other part of the weight."
        if isinstance(imaginary, torch.Tensor) and torch.allclose(imaginary, -right.imag):
            hint = "That is the complex conjugate."
        close(imaginary, right.imag, f"{what}, imaginary part", atol=1e-10, rtol=0, hint=hint)
    return "4 sizes, to 1e-10"


@lru_cache(maxsize=1)
def _mixtures() -> list[tuple[torch.Tensor, torch.Tensor]]:
    from lib.data import NoisySpeech

    kinds = (("val", -5.0), ("val", 5.0), ("test", 0.0))
    items = (
        NoisySpeech(split, items=1, seed=20, sample_rate=8000, snr_db=snr, seconds=2.0)[0]
        for split, snr in kinds
    )
    return [(item.mixture[0], item.sources[:, 0]) for item in items]


def _score(stft: STFT, mixture, sources, bound: float, kind: str = "modulus") -> float:
    mask = complex_ideal_ratio_mask(
        stft(sources), mixture=stft(mixture), bound=bound, bound_kind=kind
    )
    return float(si_sdr(stft.inverse(mask[0] * stft(mixture), mixture.shape[-1]), sources[0]))


def _reason(got: float, stft: STFT, mixture, sources, low: float, high: float) -> str:
    """Which mistake gives this number, if it is a known one."""
    wide, narrow = (_score(stft, mixture, sources, bound) for bound in (high, low))
    real = OracleMask("npsm", stft, clip=low)(mixture[None, None], sources[None, :, None])
    squeezed = [_score(stft, mixture, sources, bound, "tanh") for bound in (high, low)]
    mistakes = {
        "The sign is the other way round: a cost is positive.": narrow - wide,
        "The narrow mask of yours is real. Shorten the complex number instead.": wide
        - float(si_sdr(real[0, 0, 0], sources[0])),
        "That is bound_kind='tanh'. Shorten the modulus.": squeezed[0] - squeezed[1],
    }
    return next((hint for hint, value in mistakes.items() if abs(got - value) < 0.05), "")


@exercise("ch20.price_of_a_bound")
def price_of_a_bound(answer):
    """What a bound costs the speech of three mixtures, against a wider one."""
    for place, (mixture, sources) in enumerate(_mixtures()):
        for n_fft, (low, high) in ((256, (1.0, 2.0)), (512, (2.0, 10.0)), (256, (0.5, 10.0))):
            stft = STFT(n_fft)
            right = _score(stft, mixture, sources, high) - _score(stft, mixture, sources, low)
            got = answer(mixture.clone(), sources.clone(), stft, low, high)
            what = f"mixture {place + 1}, frames of {n_fft}, bound {low:g} against {high:g}, in dB"
            hint = "Score the first source with each bound; the wider minus the narrower."
            if isinstance(got, float | int | torch.Tensor) and abs(float(got) - right) > 0.05:
                hint = _reason(float(got), stft, mixture, sources, low, high) or hint
            close(got, right, what, atol=0.05, rtol=0, hint=hint)
    return "9 cases, within 0.05 dB"


def _apply(weight: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    return functional.conv2d(torch.cat([signal.real, signal.imag], 1), weight)


@exercise("ch20.tie")
def tie(answer):
    """Build the real weight of a complex layer; find the complex layer nearest to a real one."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise CheckFailed("expected a pair (tie, nearest)")
    build, nearest = answer
    for inputs, outputs, size in ((1, 1, 1), (2, 3, 3), (4, 2, 1), (3, 3, 5)):
        a, b = torch.randn(2, outputs, inputs, size, size, dtype=torch.float64)
        what = f"A and B of shape {tuple(a.shape)}"
        weight = build(a.clone(), b.clone())
        shape = (2 * outputs, 2 * inputs, size, size)
        if isinstance(weight, torch.Tensor):
            holds(
                weight.shape == shape,
                f"{what}: expected a weight of shape {shape}, got {tuple(weight.shape)}",
                hint="Outputs come first: rows of the matrix. Real parts, then imaginary parts.",
            )
        signal = _complex(2, inputs, 7, 6)
        right = functional.conv2d(signal, torch.complex(a, b))
        wanted = torch.cat([torch.cat([a, -b], 1), torch.cat([b, a], 1)])
        hint = "Rows: real and imaginary part of the output. Columns: of the input."
        if isinstance(weight, torch.Tensor) and torch.equal(weight.abs(), wanted.abs()):
            hint = "The blocks are right. Where does the minus stand?"
        close(weight, wanted, f"{what}, the tied weight", atol=1e-12, rtol=0, hint=hint)
        close(_apply(weight, signal), torch.cat([right.real, right.imag], 1), what, atol=1e-10)

        untied = torch.randn(shape, dtype=torch.float64)
        found = nearest(untied.clone())
        if found is not None and (not isinstance(found, (tuple, list)) or len(found) != 2):
            raise CheckFailed("nearest: expected a pair (A, B)")
        top, bottom = untied.chunk(2)
        (rr, ri), (ir, ii) = top.chunk(2, 1), bottom.chunk(2, 1)
        hint = "Each of A and B stands in two blocks. Which number is nearest to two others?"
        got = found if found is not None else (None, None)
        if isinstance(got[0], torch.Tensor) and torch.equal(got[0], rr):
            hint = "That takes one block and forgets the other; the nearest lies half way."
        close(got[0], (rr + ii) / 2, "nearest: A", atol=1e-12, rtol=0, hint=hint)
        if isinstance(got[1], torch.Tensor) and torch.allclose(got[1], (ir + ri) / 2):
            hint = "One of the two blocks holds -B."
        close(got[1], (ir - ri) / 2, "nearest: B", atol=1e-12, rtol=0, hint=hint)
    return "4 sizes: the same numbers come out, and no complex layer is nearer"
