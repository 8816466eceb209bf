"""Checks of chapter 6: ears and their proxies."""

from __future__ import annotations

import numpy as np
import torch

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds
from lib.evaluation import paired_comparison
from lib.metrics import pesq_to_mos_lqo
from lib.metrics import stoi_segment_correlation as course_correlation

_ITEMS = 50
_LEVEL = 0.05
_BOUND = 1 + 10 ** (15 / 20)


@exercise("ch06.pesq_range")
def pesq_range(answer):
    """``answer(mode)`` gives ``(lowest, highest)`` MOS-LQO."""
    for mode, name in (("nb", "P.862.1"), ("wb", "P.862.2")):
        got = answer(mode)
        if got is None or got is ...:
            raise NotAttempted
        holds(
            isinstance(got, tuple | list | torch.Tensor | np.ndarray) and len(got) == 2,
            f"expected two numbers (low, high), got {type(got).__name__}",
            hint="Finish with: return low, high",
        )
        low, high = (pesq_to_mos_lqo(raw, mode) for raw in (-0.5, 4.5))
        values = [float(value) for value in got]
        if values == [-0.5, 4.5]:
            raise CheckFailed(
                f"{mode}: got (-0.5, 4.5), which is the range of the raw score",
                "Send both ends through the map of 6.3: pesq_to_mos_lqo(raw, mode).",
            )
        hint = f"Map the raw scores -0.5 and 4.5 with a and b of {name}, in this order."
        for value, right, end in zip(values, (low, high), ("lowest", "highest"), strict=True):
            if abs(value - (0.999 if end == "lowest" else 4.999)) < 2e-3:
                raise CheckFailed(
                    f"{mode}, {end} MOS-LQO: expected {right:.3f}, got {value:.3f}, "
                    "which the map reaches only at infinity",
                    "The raw score itself ends at -0.5 and 4.5.",
                )
            close(value, right, f"{mode}, {end} MOS-LQO", atol=1e-3, rtol=0, hint=hint)
    return "NB 1.017 to 4.549, WB 1.043 to 4.644"


def _scores(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Fifty paired scores in dB; files differ far more than the systems do."""
    rng = np.random.default_rng([6, sum(map(ord, case))])
    files = rng.normal(8.0, 4.0, _ITEMS)
    spread = rng.normal(0.0, 1.0, (2, _ITEMS))
    first, second = files + spread[0], files + spread[1]
    if case == "small but steady":
        first = second + 0.4 + 0.3 * spread[0]
    elif case == "the other way round":
        second = first + 0.6 + 0.5 * spread[1]
    elif case == "a few great wins":  # the mean says first, the median says second
        first = second - 0.5 + 0.3 * spread[0]
        first[:6] += 25.0
    elif case == "no difference":
        first = second + spread[0] - np.median(spread[0]) + 0.02
    return first, second


@exercise("ch06.better_system")
def better_system(answer):
    """``answer(first, second)``, fifty scores each, gives ``(p, verdict)``."""
    cases = ("small but steady", "the other way round", "a few great wins", "no difference")
    for case in cases:
        first, second = _scores(case)
        got = answer(first.copy(), second.copy())
        if got is None or got is ...:
            raise NotAttempted
        holds(
            isinstance(got, tuple | list) and len(got) == 2 and isinstance(got[1], str),
            f"expected (p, verdict) with the verdict a text, got {got!r}",
            hint="Finish with: return p, verdict",
        )
        p, verdict = float(got[0]), got[1].strip().lower()
        right = paired_comparison(first, second, resamples=4000)
        _compare_p(p, right.p_value, first, second, case)
        words = ("first", "second", "undecided")
        holds(
            verdict in words,
            f"expected a verdict out of {', '.join(words)}, got {got[1]!r}",
            hint="Spell it as in the text.",
        )
        better = "first" if right.difference > 0 else "second"
        wanted = better if right.p_value < _LEVEL else "undecided"
        holds(
            verdict == wanted,
            f"“{case}”, p = {p:.3f}: expected the verdict {wanted!r}, got {verdict!r}",
            hint="Higher scores are better, so a positive median of first - second speaks for the "
            "first. At p of 0.05 or more nothing is decided.",
        )
    return "4 pairs of systems"


def _compare_p(p: float, right: float, first: np.ndarray, second: np.ndarray, case: str) -> None:
    holds(
        np.isfinite(p) and 0 <= p <= 1,
        f"“{case}”: expected p between 0 and 1, got {p:.3g}",
        hint="Take twice the smaller share, and no more than 1: min(1, 2 * ...).",
    )
    tolerance = 0.01 + 0.12 * right  # of two bootstraps with 2000 draws
    if abs(p - right) <= tolerance:
        return
    rng = np.random.default_rng(0)
    rows = rng.integers(_ITEMS, size=(2, 4000, _ITEMS))
    paired, mean = (first - second)[rows[0]], np.mean
    apart = np.median(first[rows[0]], axis=1) - np.median(second[rows[1]], axis=1)
    slips = (
        (right / 2, "That is one share. A two-sided test doubles it: 2 * min(share, share)."),
        (
            _two_sided(apart),
            "Draw files, not scores: the same rows for both, as (first - second)"
            "[rows]. Easy and hard files then cancel.",
        ),
        (_two_sided(mean(paired, axis=1)), "Take the median of each draw, not its mean."),
        (1 - right, "Small p means that chance explains little. You have its complement."),
    )
    hint = next((text for value, text in slips if abs(p - value) <= 0.01 + 0.12 * value), "")
    raise CheckFailed(
        f"“{case}”: expected p about {right:.3f}, got {p:.3f}",
        hint
        or "Twice the smaller of two shares: medians of first - second that are <= 0, "
        "and those that are >= 0.",
    )


def _two_sided(drawn: np.ndarray) -> float:
    return min(1.0, 2 * min(float(np.mean(drawn <= 0)), float(np.mean(drawn >= 0))))


@exercise("ch06.stoi_segment")
def stoi_segment(answer):
    """``answer(estimate, reference)``, envelopes ``(..., 30)``, gives correlations ``(...)``."""
    generator = torch.Generator().manual_seed(6)
    for shape in ((30,), (15, 30), (4, 15, 30)):
        # envelopes of speech: positive, with deep valleys, so that the clip matters
        reference = torch.rand(shape, generator=generator, dtype=torch.float64) ** 4 + 1e-3
        estimate = 3 * torch.rand(shape, generator=generator, dtype=torch.float64) ** 2 + 1e-3
        kept = estimate.clone(), reference.clone()
        got = answer(estimate, reference)
        if got is None or got is ...:
            raise NotAttempted
        holds(
            torch.equal(estimate, kept[0]) and torch.equal(reference, kept[1]),
            "expected the arguments untouched, found them changed",
            hint="Write y = y * gain in place of y *= gain.",
        )
        right = course_correlation(estimate, reference)
        close(
            got,
            right,
            f"correlations for envelopes {tuple(shape)}",
            atol=1e-6,
            rtol=0,
            hint=_why(got, estimate, reference, right),
        )
    identical = torch.rand(15, 30, generator=generator, dtype=torch.float64)
    close(
        answer(7 * identical, identical),
        torch.ones(15).double(),
        "seven times the reference",
        atol=1e-6,
        hint="Scale before you clip.",
    )
    return "envelopes of 3 shapes, equal to pystoi's to 1e-6"


def _variant(estimate, reference, *, scale=True, bound=_BOUND, centre=True) -> torch.Tensor:
    def norm(values):
        return values.norm(dim=-1, keepdim=True)

    if scale:
        estimate = estimate * norm(reference) / norm(estimate)
    if bound is not None:
        estimate = torch.minimum(estimate, bound * reference)
    if centre:
        estimate, reference = (s - s.mean(-1, keepdim=True) for s in (estimate, reference))
    return torch.nn.functional.cosine_similarity(estimate, reference, dim=-1)


def _why(got, estimate, reference, right) -> str:
    value = torch.as_tensor(got).double()
    if value.numel() == 1 and right.numel() > 1:
        return "Return one correlation per segment: sum over the last axis only (dim=-1)."
    if value.shape != right.shape:
        return "Sum over the last axis only (dim=-1), and keep no axis of length 1."
    slips = (
        ({"bound": None}, "Something is missing between scaling and correlating: the clip."),
        ({"scale": False}, "Scale each segment of the estimate to the reference's energy first."),
        ({"centre": False}, "Remove the mean of both segments before you correlate."),
        ({"bound": 10 ** (15 / 20)}, "The bound is 1 + 10^(15/20): signal plus distortion."),
        ({"bound": 1 + 10 ** (-15 / 20)}, "The bound is 1 + 10^(+15/20), about 6.6."),
        ({"bound": 1 + 10 ** (15 / 10)}, "Envelopes are amplitudes: divide the decibels by 20."),
    )
    for options, text in slips:
        if torch.allclose(value, _variant(estimate, reference, **options), atol=1e-6):
            return text
    return (
        "Per segment: gain = ||x|| / ||y||, y = min(gain y, (1 + 10^(15/20)) x), subtract both "
        "means, divide the inner product by both norms."
    )
