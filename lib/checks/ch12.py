"""Checks of chapter 12: embeddings and clusters."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lib.checks import close, exercise, holds
from lib.nn import embedding
from lib.nn.misi import misi
from lib.stft import STFT


class _Largest(TorchDispatchMode):
    """Note the size of the largest tensor that an answer makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for one in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(one, torch.Tensor):
                self.numbers = max(self.numbers, one.numel())
        return result


def _embedded(seed: int, points: int, dimensions: int, sources: int, silent: float):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(points, dimensions, generator=generator, dtype=torch.float64)
    embeddings = torch.nn.functional.normalize(embeddings, dim=1)
    owners = torch.randint(sources, (points,), generator=generator)
    assignments = torch.nn.functional.one_hot(owners, sources).double()
    weights = (torch.rand(points, generator=generator) >= silent).double()
    return embeddings, assignments, weights


@exercise("ch12.low_rank_loss")
def low_rank_loss(answer):
    """Compare with the naive form; look at the size of what is made on the way."""
    for seed, (dimensions, sources, silent) in enumerate(((3, 2, 0.0), (10, 2, 0.4), (6, 3, 0.6))):
        embeddings, assignments, weights = _embedded(seed, 200, dimensions, sources, silent)
        if sources > 2:
            weights = weights * torch.linspace(0.1, 1.0, 200, dtype=torch.float64)
        with _Largest() as largest:
            got = answer(embeddings.clone(), assignments.clone(), weights.clone())
        difference = embeddings @ embeddings.T - assignments @ assignments.T
        pairs = weights[:, None] * weights
        right = (pairs * difference**2).sum() / pairs.sum()
        hint = "||V'WV||^2 - 2 ||V'WY||^2 + ||Y'WY||^2, over the squared sum of weights."
        if _is(got, (pairs * difference**2).sum()):
            hint = "Divide by the number of pairs that count: weights.sum() squared."
        elif sources > 2 and _is(got, (pairs**2 * difference**2).sum() / pairs.sum()):
            hint = "Each weight counts once in V'WV: scale v by the root of w, or one side by w."
        elif silent and _is(got, (difference**2).mean()):
            hint = "Silent points count in your sum: use the weights."
        what = f"the loss of 200 points, {dimensions} dimensions, {sources} sources"
        close(got, right, what, atol=1e-6, hint=hint)
        holds(
            largest.numbers < 200 * 200,
            "expected no matrix of 200 x 200 on the way",
            hint="Multiply V'V first: it has D x D numbers.",
        )
    return "3 random sets, as the naive form, and no N x N matrix"


def _is(got, value) -> bool:
    return (
        isinstance(got, torch.Tensor)
        and got.numel() == 1
        and bool(torch.isclose(got.double().reshape(()), value, rtol=1e-4))
    )


@exercise("ch12.attractors")
def attractors(answer):
    """Compare with the library, also for a source that owns nothing."""
    for seed, sources in enumerate((2, 3)):
        embeddings, assignments, weights = _embedded(10 + seed, 120, 4, sources, 0.5)
        got = answer(embeddings.clone(), assignments.clone(), weights.clone())
        right = embedding.attractors(embeddings[None], assignments[None], weights[None])[0]
        hint = "Sum w y v over the points, divide by the sum of w y, one row per source."
        if isinstance(got, torch.Tensor) and got.shape == right.shape:
            unweighted = embedding.attractors(embeddings[None], assignments[None])[0]
            unit = torch.nn.functional.normalize(right, dim=1)
            sums = (assignments * weights[:, None]).T @ embeddings
            if torch.allclose(got.double(), unweighted):
                hint = "Silent points move your attractors: give them the weight 0."
            elif torch.allclose(got.double(), unit):
                hint = "An attractor is a mean: it lies inside the sphere. Do not normalise it."
            elif torch.allclose(got.double(), sums):
                hint = "That is the sum; divide by the weight that each source has."
        close(got, right, f"the attractors of {sources} speakers", atol=1e-6, hint=hint)
    nobody = torch.zeros_like(assignments)
    nobody[:, 0] = 1
    close(
        answer(embeddings, nobody, weights)[1:],
        torch.zeros(2, 4),
        "the attractors of speakers who own no point",
        hint="0 / 0 is NaN: clamp the denominator from below.",
    )
    return "2 and 3 speakers, and speakers without a point"


@exercise("ch12.misi_step")
def misi_step(answer):
    """One step is that of the library, and it lowers the consistency error."""
    generator = torch.Generator().manual_seed(3)
    stft = STFT(64, 16)
    for sources in (2, 3):
        envelope = torch.rand(sources, 10, generator=generator).repeat_interleave(80, -1)
        signals = envelope * torch.randn(sources, 800, generator=generator)
        mixture, magnitudes = signals.sum(0), stft(signals).abs()
        whole = (magnitudes[None, :, None], mixture[None, None], stft)
        before, right = (misi(*whole, iterations=n)[0, :, 0] for n in (0, 1))
        got = answer(before.clone(), magnitudes.clone(), mixture.clone(), stft)
        hint = (
            "Give each estimate 1/S of what the sum of the estimates leaves of the mixture; keep "
            "the phase of its STFT, put the magnitudes back, invert."
        )
        if isinstance(got, torch.Tensor) and got.shape == right.shape:
            missing = mixture - before.sum(0)
            alone, whole_share = (
                stft.inverse(torch.polar(magnitudes, stft(signal).angle()), 800)
                for signal in (before, before + missing)
            )
            if torch.allclose(got, alone, atol=1e-5):
                hint = "The mixture is not used: first share out what is missing of it."
            elif torch.allclose(got, before + missing / sources, atol=1e-5):
                hint = "That sums to the mixture, but has lost the magnitudes: put them back."
            elif torch.allclose(got, whole_share, atol=1e-5):
                hint = "Each source gets its share of what is missing: divide by their number."
        close(got, right, f"{sources} estimates after the step", atol=1e-4, hint=hint)
        start, end = ((mixture - e.sum(0)).square().sum() for e in (before, got))
        holds(end < start, f"expected a smaller consistency error, got {end:.3g} from {start:.3g}")
    return f"2 and 3 sources; the error of the sum fell to {end / start:.0%}"
