"""Checks of chapter 9: ideal masks."""

from __future__ import annotations

import re
from functools import lru_cache

import torch

from lib import masks as course
from lib.checks import CheckFailed, NotAttempted, close, exercise, holds

_RULES = {
    "ibm": course.ideal_binary_mask,
    "irm": course.ideal_ratio_mask,
    "wfm": course.wiener_like_mask,
    "am": course.ideal_amplitude_mask,
    "psm": course.phase_sensitive_mask,
    "npsm": course.nonnegative_phase_sensitive_mask,
    "cirm": course.complex_ideal_ratio_mask,
}
_HINTS = {
    "ibm": "1 where this source is the loudest of all, else 0. Compare magnitudes.",
    "irm": "The IRM of speech separation: a magnitude over the sum of all magnitudes. Sum over "
    "axis 0, the sources.",
    "wfm": "The WFM shares powers, so square the magnitudes above and below.",
    "am": "|S_i| / |X|, where X is the sum of the complex sources, not the sum of magnitudes.",
    "psm": "The real part of S_i / X. It may be negative.",
    "npsm": "The PSM where it is positive, 0 elsewhere.",
    "cirm": "S_i / X, a complex number.",
}
_WINDOWS = (8, 16, 32, 64, 128, 256)


def _spectra(seed: int, sources: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sources, 6, 5, generator=generator, dtype=torch.complex128)


@lru_cache(maxsize=1)
def _irm_by_window() -> tuple[float, ...]:
    from lib.data import TwoSpeakers
    from lib.metrics import si_sdr
    from lib.stft import STFT

    items = list(TwoSpeakers("val", items=6, seed=9, seconds=3.0))
    mixture = torch.stack([item.mixture for item in items])
    sources = torch.stack([item.sources for item in items])
    separate = (course.OracleMask("irm", STFT(8 * window)) for window in _WINDOWS)
    return tuple(si_sdr(f(mixture, sources), sources).mean().item() for f in separate)


@exercise("ch09.best_window")
def best_window(answer):
    """The frame length in milliseconds at which the IRM scores highest."""
    holds(
        isinstance(answer, int | float) and not isinstance(answer, bool),
        f"expected one number in milliseconds, got {answer!r}",
        hint="Write, for example, best_window = 32",
    )
    holds(
        answer in _WINDOWS,
        f"expected one of {', '.join(map(str, _WINDOWS))} ms, got {answer:g}",
        hint="In milliseconds: 256 samples at 8000 Hz are 32 ms.",
    )
    scores = _irm_by_window()
    best = scores.index(max(scores))
    if abs(_WINDOWS.index(answer) - best) > 1:
        score = scores[_WINDOWS.index(answer)]
        raise CheckFailed(
            f"{answer:g} ms: expected a length next to the best one, got one that scores "
            f"{max(scores) - score:.1f} dB less",
            "Compute the mean of gain(OracleMask('irm', STFT(8 * ms))(*given), given) for each "
            "length.",
        )
    return f"the maximum of {max(scores):.1f} dB SI-SDR is at {_WINDOWS[best]} ms"


@exercise("ch09.psm_sum")
def psm_sum(answer):
    """``answer`` is ``(psm, proof)``: ``psm(spectra)`` gives the masks, ``proof`` says why."""
    holds(
        isinstance(answer, tuple | list) and len(answer) == 2,
        "expected a pair, the function and the proof",
        hint='check("ch09.psm_sum", (my_psm, my_proof))',
    )
    function, proof = answer
    if function is None or function is ...:
        raise NotAttempted
    for seed, sources in enumerate((2, 3, 4, 2, 5)):
        spectra = _spectra(seed, sources)
        got = function(spectra)
        if got is None or got is ...:
            raise NotAttempted
        _right_mask("psm", got, spectra, sources)
        close(got.sum(0), torch.ones(6, 5), "the sum of the masks over the sources", atol=1e-8)
    _check_proof(proof)
    return "5 random mixtures, and a proof with its three steps"


# What a proof must say, as words that may say it.
_STEPS = {
    "that the sources sum to the mixture": (
        r"(sum|add|total|sigma|\+)",
        "Start from X = S_1 + S_2 + ...: say that the sum of the sources is the mixture.",
    ),
    "that X / X is 1": (
        r"(\b(x|mixture)\s*(/|over|(divided )?by)\s*(the\s+)?(x|mixture)\b|\bitself\b"
        r"|\bre(al part of)?\s*\(?\s*(1|one)\b|\)\s*/\s*x\s*=\s*1)",
        "What is the sum of all S_i / X? Write it as one fraction.",
    ),
    "that the real part of a sum is the sum of the real parts": (
        r"(\breal\b|\bre\b|re\s*\(|linear)",
        "The PSM is a real part. Why may you take it after summing?",
    ),
}


def _check_proof(proof) -> None:
    if proof is None or proof is ...:
        raise NotAttempted
    holds(isinstance(proof, str), f"expected a text as proof, got {type(proof).__name__}")
    holds(
        len(proof.split()) >= 6,
        "expected a proof in one or two sentences",
        hint="Three steps: what the sources sum to, what that gives divided by X, and the real "
        "part.",
    )
    for step, (pattern, hint) in _STEPS.items():
        if not re.search(pattern, proof.lower()):
            raise CheckFailed(f"the function is right; the proof does not say {step}", hint)


@exercise("ch09.masks")
def masks(answer):
    """``answer(spectra)`` gives a dictionary of the seven masks."""
    for seed, sources in enumerate((2, 3, 4)):
        spectra = _spectra(10 + seed, sources)
        got = answer(spectra)
        _complete(got)
        for kind in _RULES:
            _right_mask(kind, got[kind], spectra, sources)
    _edges(answer)
    return "random spectra, ties and silence"


def _complete(got) -> None:
    if got is None or got is ...:
        raise NotAttempted
    holds(
        isinstance(got, dict),
        f"expected a dictionary, got {type(got).__name__}",
        hint='Finish with: return {"ibm": ..., "irm": ...}',
    )
    missing = [kind for kind in _RULES if kind not in got]
    holds(not missing, f"expected seven masks, these are missing: {', '.join(missing)}")


def _right_mask(kind: str, got, spectra: torch.Tensor, sources: int) -> None:
    hint = _HINTS[kind]
    right = _RULES[kind](spectra)
    if isinstance(got, torch.Tensor) and got.shape == right.shape:
        power = course.ideal_ratio_mask(spectra, kind="power_sqrt")
        if kind == "irm" and torch.allclose(got.real.double(), power):
            hint = "That is the IRM of speech enhancement, with a square root. " + hint
        if kind == "psm" and torch.allclose(
            got.real.double(), course.ideal_amplitude_mask(spectra)
        ):
            hint = "That is still the amplitude mask. " + hint
        if not got.is_complex() and kind != "cirm":
            got = got.double()
    what = f"the {kind.upper() if kind != 'cirm' else 'cIRM'} of {sources} sources"
    close(got, right, what, atol=1e-6, hint=hint)


def _edges(answer) -> None:
    equal = torch.ones(3, 2, 2, dtype=torch.complex128)
    got = answer(equal)
    first = torch.zeros(3, 2, 2, dtype=torch.float64)
    first[0] = 1
    tie_hint = "Only the first of the loudest gets the point: argmax gives its index."
    close(_real(got["ibm"]), first, "the IBM of three equally loud sources", hint=tie_hint)
    silent = answer(torch.zeros(2, 2, 2, dtype=torch.complex128))
    for kind in ("irm", "wfm"):
        close(
            silent[kind],
            torch.full((2, 2, 2), 0.5),
            f"the {kind.upper()} of two silent sources",
            hint="0 / 0 is NaN: where the sum is 0, each source gets an equal share.",
        )
    opposed = torch.stack([torch.ones(2, 2), -torch.ones(2, 2)]).to(torch.complex128)
    cancelled = answer(opposed)
    for kind in ("am", "psm", "npsm", "cirm"):
        close(
            cancelled[kind],
            torch.zeros(2, 2, 2),
            f"the {kind} of two sources that cancel",
            hint="Where the mixture is 0, the mask is 0: use torch.where.",
        )


def _real(mask):
    return mask.double() if isinstance(mask, torch.Tensor) and not mask.is_complex() else mask
