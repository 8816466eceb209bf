"""Checks of chapter 24: what a Mixer is worth, the best blend of two models, alignment."""

from __future__ import annotations

import math
import random

import torch

from lib.checks import CheckFailed, NotAttempted, close, equal, exercise, holds
from lib.metrics import snr
from lib.published import published

# ------------------------------------------------------------------ 1

_PLAIN, _MIXER = "TFC-TDF-U-Net v2", "TFC-TDF-U-Net v2 + Mixer"
_BLEND, _ALL = "TFC-TDF-U-Net v2 + Demucs", "KUIELab-MDX-Net (v2 + Mixer + Demucs)"
STEMS = ("vocals", "drums", "bass", "other")


def ablation() -> list[tuple[str, str, float]]:
    """List what the parts of KUIELab-MDX-Net are worth, as published.

    Returns:
        Rows of a system, a stem and its SDR in dB, for the U-Nets alone, with the Mixer, blended
        with Demucs, and with both.

    Source: M. Kim et al., "KUIELab-MDX-Net", MDX workshop at ISMIR 2021.

    Example:
        >>> ablation()[0]
        ('TFC-TDF-U-Net v2', 'vocals', 8.81)
    """
    table = published("MUSDB18 (compressed)", "SDR (cSDR, BSSEval v4)")
    table = table.set_index(["system", table["split_or_condition"].str.removeprefix("test, ")])
    return [
        (system, stem, float(table.loc[(system, stem), "value"]))
        for system in (_PLAIN, _MIXER, _BLEND, _ALL)
        for stem in STEMS
    ]


@exercise("ch24.mixer")
def mixer(answer):
    """With the numbers as printed, in another order, and with others in their places."""
    rows = ablation()
    for kind in ("as printed", "in another order", "drawn"):
        if kind != "as printed":
            random.shuffle(rows)
        if kind == "drawn":
            rows = [(*row[:2], round(random.uniform(4, 10), 2)) for row in rows]
        got = answer(list(rows))
        if got is None:
            raise NotAttempted
        if not isinstance(got, dict):
            raise CheckFailed(
                "expected a dict of a stem to (gain without Demucs, gain with Demucs), got "
                f"{type(got).__name__}"
            )
        equal(set(got), set(STEMS), "the stems")
        values = {(system, stem): value for system, stem, value in rows}
        for stem in STEMS:
            pair = got[stem]
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise CheckFailed(f"{stem}: expected a pair of gains in dB, got {pair!r}")
            plain, mixed, blended, both = (
                values[system, stem] for system in (_PLAIN, _MIXER, _BLEND, _ALL)
            )
            right = (mixed - plain, both - blended)
            hint = "With the Mixer minus without it, everything else the same."
            if math.isclose(pair[0], -right[0], abs_tol=1e-6):
                hint = "A gain is positive where the Mixer helps."
            elif math.isclose(pair[1], both - plain, abs_tol=1e-6):
                hint = (
                    "Demucs has its part in that. Compare systems which differ in the Mixer only."
                )
            elif math.isclose(pair[1], both - mixed, abs_tol=1e-6):
                hint = "That is what Demucs adds to the Mixer; you want the reverse."
            elif kind == "in another order":
                hint = "Find rows by their names, not by their places."
            elif kind == "drawn":
                hint = "Take the numbers from the rows that come in."
            for gain, wanted, where in zip(pair, right, ("without", "with"), strict=True):
                what = f"{stem}, {where} Demucs, numbers {kind}: the gain in dB"
                close(gain, wanted, what, atol=1e-6, rtol=0, hint=hint)
    return "4 stems, twice each; bass loses both times"


# ------------------------------------------------------------------ 2


def _pair(alike: float, louder: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two estimates whose errors correlate so much, one so many times as loud; the source."""
    source, first, second = torch.randn(3, 400, dtype=torch.float64)
    second = second - (second @ first) / (first @ first) * first
    second = second / second.norm() * first.norm()
    other = alike * first + math.sqrt(1 - alike**2) * second
    return source + 0.3 * first, source + 0.3 * louder * other, source


@exercise("ch24.best_weight")
def best_weight(answer):
    """Compare with the best of a thousand weights, for errors that have more or less in common."""
    cases = [(0.0, 1.0), (0.0, 3.0), (0.5, 1.2), (0.9, 1.05), (-0.6, 2.0), (0.9, 2.0), (0.8, 0.4)]
    for alike, louder in cases:
        first, second, source = _pair(alike, louder)
        errors = first - source, second - source
        got = answer(first.clone(), second.clone(), source.clone())
        grid = torch.linspace(-1.5, 2.5, 4001, dtype=torch.float64)[:, None]
        scores = snr(grid * first + (1 - grid) * second, source.expand(len(grid), -1))
        best = float(grid[scores.argmax()])
        energies = [float(error.square().sum()) for error in errors]
        mistakes = {
            "That is the weight of the second estimate.": 1 - best,
            "Outside of 0 to 1 the blend may be better still: do not cut it off.": (
                min(1.0, max(0.0, best))
            ),
            "That is right only if the errors have nothing in common.": (
                energies[1] / sum(energies)
            ),
        }
        hint = "Set the derivative of ||w a + (1 - w) b - s||^2 to 0."
        if isinstance(got, (int, float, torch.Tensor)) and torch.as_tensor(got).numel() == 1:
            value = float(got)
            if abs(value - best) > 2e-3:
                known = (words for words, other in mistakes.items() if abs(value - other) < 2e-3)
                hint = next(known, hint)
        what = (
            f"errors that correlate by {alike:g}, the second {louder:g} times as loud: the weight"
        )
        close(got, best, what, atol=1e-3, rtol=0, hint=hint)
    return f"{len(cases)} pairs, each against 4001 weights"


# ------------------------------------------------------------------ 3


def aligned(length: int, n_fft: int, stride: int) -> list[tuple[int, int]]:
    """List (bins, steps) behind each level of two branches, until they meet.

    Args:
        length: samples.
        n_fft: samples of a frame; a quarter of it lies between frames.
        stride: of the layers, over frequency and over time.

    Returns:
        How many bins the branch on the spectrogram has left, and how many steps the one on the
        waveform, behind each level. Where at most two strides of bins are left, one layer takes
        all of them, and the other branch goes on in steps of half as many.

    Example:
        >>> aligned(44100, 4096, 4)
        [(512, 11025), (128, 2757), (32, 690), (8, 173), (1, 44)]
    """
    bins, steps, pairs = n_fft // 2, length, []
    while bins > 1:
        last = bins <= 2 * stride
        steps = math.ceil(steps / (bins // 2 if last else stride))
        bins = 1 if last else bins // stride
        pairs.append((bins, steps))
    return pairs


def _rounded_down(length: int, n_fft: int, stride: int) -> list[tuple[int, int]]:
    bins, steps, pairs = n_fft // 2, length, []
    while bins > 1:
        last = bins <= 2 * stride
        steps //= bins // 2 if last else stride
        bins = 1 if last else bins // stride
        pairs.append((bins, steps))
    return pairs


@exercise("ch24.align")
def align(answer):
    """Level by level, for lengths that are no multiples of anything."""
    settings = [(4096, 4), (1024, 4), (256, 4), (2048, 4), (512, 2), (64, 4)]
    for n_fft, stride in settings:
        for length in (
            1,
            n_fft // 4,
            n_fft // 4 + 1,
            *(random.randint(2, 500_000) for _ in range(5)),
        ):
            got = answer(length, n_fft, stride)
            if got is None:
                raise NotAttempted
            what = f"{length} samples, frames of {n_fft}, stride {stride}"
            right = aligned(length, n_fft, stride)
            try:
                exact = [tuple(float(number) for number in pair) for pair in got]
            except (TypeError, ValueError) as error:
                raise CheckFailed(
                    f"{what}: expected a list of pairs (bins, steps), got {got!r}"
                ) from error
            if not all(number.is_integer() for pair in exact for number in pair):
                raise CheckFailed(f"{what}: expected whole numbers, rounded up, got {exact}")
            got = [tuple(int(number) for number in pair) for pair in exact]
            hint = "Bins: n_fft / 2 of them at first. Steps: the samples at first."
            if got == _rounded_down(length, n_fft, stride):
                hint = "Layers pad what is left over: round up."
            elif [bins for bins, _ in got] == [bins for bins, _ in right] and got[:-1] == right[
                :-1
            ]:
                hint = "In the level where they meet, the step over time is half of the bins left."
            elif got[1:] == right:
                hint = "The first level is the first layer's: begin with what it leaves."
            elif len(got) > len(right):
                hint = "A layer takes all bins at once where at most two strides of them are left."
            elif got and got[0][0] == -(-(n_fft // 2 + 1) // stride):
                hint = "The highest bin is left out, so that n_fft / 2 are left."
            equal(len(got), len(right), f"{what}: the number of levels", hint=hint)
            for level, (pair, wanted) in enumerate(zip(got, right, strict=True), 1):
                equal(pair, wanted, f"{what}: (bins, steps) behind level {level}", hint=hint)
            frames = math.ceil(length / (n_fft // 4))
            holds(
                got[-1] == (1, frames),
                f"{what}: expected to meet at one bin and {frames} steps, one for each frame",
            )
    return f"{len(settings)} networks, 8 lengths each: one step for each frame where they meet"
