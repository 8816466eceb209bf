"""Chapter 9: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch09

PROOF, psm, masks = ch09.my_proof, ch09.my_psm, ch09.my_masks


RIGHT = {
    "ch09.best_window": [ch09.best_window, 32.0, 128],
    "ch09.psm_sum": [
        (psm, PROOF),
        [psm, "Re is linear: sum Re(S_i/X) = Re((S_1 + ... + S_n) / X) = Re(X/X) = 1"],
        (psm, "Re is linear: sum Re(S_i/X) = Re((sum S_i)/X) = Re(1), as X is the sum of them."),
        (psm, "It is the real part of the sum of all S_i divided by X, so of X divided by X: 1."),
        (psm, "Real parts add up, so the sum is the real part of (S_1 + ... + S_n) / X = 1."),
        (lambda s: s.abs() / s.sum(0).abs() * torch.cos(s.sum(0).angle() - s.angle()), PROOF),
    ],
    "ch09.masks": [masks],
}


def _am(spectra):
    return spectra.abs() / spectra.sum(0).abs()


def _complex_quotient(spectra):
    return spectra / spectra.sum(0)


def _with(**changes):
    def answer(spectra):
        return masks(spectra) | {kind: rule(spectra) for kind, rule in changes.items()}

    return answer


def _all_loudest(spectra):
    return (spectra.abs() == spectra.abs().amax(0)).double()


def _without_silence(kind):
    power = {"irm": 1, "wfm": 2}[kind]
    return _with(**{kind: lambda s: s.abs() ** power / (s.abs() ** power).sum(0)})


WRONG = {
    "ch09.best_window": [
        (8, "next to the best one"),
        (256, "next to the best one"),
        (0.064, "In milliseconds"),
        (512, "In milliseconds"),
        ("64 ms", "expected one number"),
    ],
    "ch09.psm_sum": [
        ((_am, PROOF), "still the amplitude mask"),
        ((_complex_quotient, PROOF), "The real part of S_i / X"),
        ((lambda s: psm(s).clamp(min=0), PROOF), "It may be negative"),
        ((lambda s: psm(s)[0], PROOF), "expected shape"),
        ((psm, "Because it is so."), "one or two sentences"),
        ((psm, "The sum of the sources is the mixture, and so the masks are one."), "X / X is 1"),
        ((psm, "The sources sum to X, so the sum of S_i / X is X / X, one."), "real part"),
        ((psm, "Take the real part of X / X, which is plainly one for every point."), "mixture"),
        ((psm, 5), "expected a text"),
        (psm, "expected a pair"),
    ],
    "ch09.masks": [
        (_with(irm=lambda s: (s.abs() ** 2 / (s.abs() ** 2).sum(0)).sqrt()), "with a square root"),
        (_with(irm=lambda s: s.abs() / s.sum(0).abs()), "magnitude over the sum"),
        (_with(wfm=lambda s: s.abs() / s.abs().sum(0)), "shares powers"),
        (_with(am=lambda s: s.abs() / s.abs().sum(0)), "not the sum of magnitudes"),
        (_with(psm=_am), "still the amplitude mask"),
        (_with(npsm=psm), "0 elsewhere"),
        (_with(cirm=_am), "a complex number"),
        (_with(ibm=_all_loudest), "argmax"),
        (_without_silence("irm"), "equal share"),
        (_without_silence("wfm"), "equal share"),
        (_with(cirm=_complex_quotient), "torch.where"),
        (lambda s: list(masks(s).values()), "expected a dictionary"),
        (lambda s: {"ibm": masks(s)["ibm"]}, "these are missing: irm, wfm"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch09.best_window": [..., None],
    "ch09.psm_sum": [
        ...,
        None,
        (..., ...),
        (psm, ...),
        (_not_written, PROOF),
        (lambda spectra: None, PROOF),
    ],
    "ch09.masks": [..., None, _not_written, lambda spectra: None],
}
