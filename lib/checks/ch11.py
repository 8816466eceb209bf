"""Checks of chapter 11: first mask networks and their losses."""

from __future__ import annotations

import torch
from torch import nn

from lib.checks import CheckFailed, close, exercise, holds
from lib.data import NoisySpeech
from lib.losses import mask_approximation_loss, signal_approximation_loss
from lib.losses.spectrogram import DISTANCES
from lib.metrics import si_sdr

_RATE, _KINDS = 8000, ["keyboard", "cafe"]
_LARGEST, _LEAST_GAIN = 100_000, 5.0


def _optimum(values: torch.Tensor, distance: str) -> float:
    """The constant with the least mean distance to the values: the loss is convex, so thirds."""
    low, high = float(values.min()), float(values.max())
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        losses = [DISTANCES[distance](values - guess).mean() for guess in (left, right)]
        low, high = (low, right) if losses[0] <= losses[1] else (left, high)
    return (low + high) / 2


@exercise("ch11.best_constants")
def best_constants(answer):
    """Compare with the optimum found by searching."""
    generator = torch.Generator().manual_seed(11)
    uniform = torch.rand(3, 201, generator=generator, dtype=torch.float64)
    cases = {
        "skewed": uniform[0] ** 4,
        "bimodal": torch.where(uniform[1] < 0.3, 0.9, 0.1) + 0.01 * uniform[2],
        "below zero": 3 * uniform[1].log(),
    }
    for name, values in cases.items():
        right = [_optimum(values, distance) for distance in ("l1", "l2")]
        got = answer(values.clone())
        hint = "The slope of |v - c| is a sign: count. The slope of (v - c)^2 is a sum: average."
        if isinstance(got, (tuple, list)) and len(got) == 2:
            got = torch.stack([torch.as_tensor(one, dtype=torch.float64) for one in got])
            swapped = torch.tensor(right[::-1], dtype=torch.float64)
            if got.shape == swapped.shape and torch.allclose(got, swapped, atol=1e-3):
                hint = "L1 first, then L2."
        what = f"the best constants for L1 and L2, {name} values"
        close(got, right, what, atol=1e-3, rtol=0, hint=hint)
    return "3 sets of 201 values, within 0.001 of a search"


@exercise("ch11.signal_approximation")
def signal_approximation(answer):
    """Compare value and gradient with the library's; silence must not break them."""
    generator = torch.Generator().manual_seed(12)
    for silent in (0, 4):
        shape = (2, 6, 10)
        mixture, reference = torch.randn(shape, generator=generator, dtype=torch.cdouble)
        mixture, reference = mixture.clone(), 0.5 * reference
        mixture[:silent] = reference[:silent] = 0
        mask = torch.rand(shape[1:], generator=generator, dtype=torch.float64)
        ours = mask.clone().requires_grad_()
        right = signal_approximation_loss(ours, reference, mixture)
        right.backward()
        theirs = mask.clone().requires_grad_()
        got = answer(theirs, reference.clone(), mixture.clone())
        hint = _signal_hint(got, mask, reference, mixture, right.detach())
        close(got, right, "the loss", atol=1e-6, hint=hint)
        holds(
            isinstance(got, torch.Tensor) and got.requires_grad,
            "expected a loss with a gradient",
            hint="Stay with tensor operations: item(), detach() and numpy() cut the gradient off.",
        )
        got.backward()
        close(theirs.grad, ours.grad, "its gradient", atol=1e-6, hint="Is the value an accident?")
    return "2 random spectrograms, value and gradient, with silent rows and without"


def _signal_hint(got, mask, reference, mixture, right) -> str:
    absolute = mask * mixture.abs() - reference.abs()
    wrong = {
        "That is mask approximation still: multiply by |X| instead of dividing.": (
            mask_approximation_loss(mask, reference.abs() / mixture.abs())
        ),
        "Compare magnitudes: the phases are part of your difference.": (
            (mask * mixture - reference).abs().square().mean()
        ),
        "Take the mean over the points, not the sum.": absolute.square().sum(),
        "Square the difference: this is its L1 form.": absolute.abs().mean(),
    }
    if isinstance(got, torch.Tensor) and got.numel() == 1 and not torch.isclose(got, right):
        for hint, value in wrong.items():
            if torch.isclose(got.detach(), value, rtol=1e-4, equal_nan=True):
                return hint
    return "The square of M |X| - |S|, averaged over all points."


@exercise("ch11.separator")
def separator(answer):
    """Count the parameters; score the first estimate on mixtures held out from training."""
    holds(
        isinstance(answer, nn.Module),
        f"expected a network (torch.nn.Module), got {type(answer).__name__}",
        hint="Hand in the model itself, trained.",
    )
    count = sum(parameter.numel() for parameter in answer.parameters())
    holds(
        0 < count < _LARGEST,
        f"the parameters: expected 1 to {_LARGEST - 1:,}, got {count:,}",
        hint="Fewer hidden units, or fewer frames of context.",
    )
    items = list(NoisySpeech("test", 16, 1111, _RATE, (-3.0, 3.0), _KINDS, seconds=2.0))
    mixtures, sources = (
        torch.stack([getattr(i, name) for i in items]) for name in ("mixture", "sources")
    )
    was_training = answer.training
    answer.eval()
    try:
        with torch.no_grad():
            estimates = answer(mixtures)
    finally:
        answer.train(was_training)
    wanted = (len(items), 1, mixtures.shape[-1])
    shape = tuple(getattr(estimates, "shape", ()))
    if len(shape) != 4 or shape[1] < 1 or (shape[0], *shape[2:]) != wanted:
        raise CheckFailed(
            f"the estimates: expected shape ({wanted[0]}, sources, 1, {wanted[2]}), got {shape}",
            "(batch, sources, channels, time), with the speech first.",
        )
    gains = si_sdr(estimates, sources[:, :1].expand_as(estimates)) - si_sdr(
        mixtures, sources[:, 0]
    ).unsqueeze(1)
    kinds = [item.meta["noise"] for item in items]
    speech = {k: gains[[n == k for n in kinds], 0].mean() for k in _KINDS}
    gains = gains.mean((0, 2))  # one per estimate
    hint = "More steps, another loss, another network? Watch your validation score, not this one."
    if len(gains) > 1 and gains[1:].max() > _LEAST_GAIN:
        hint = "One of your other estimates would pass: the speech must come first."
    holds(
        gains[0] > _LEAST_GAIN,
        f"the mean SI-SDRi on {len(items)} held-out mixtures: expected more than "
        f"{_LEAST_GAIN:.0f} dB, got {gains[0]:.1f} dB",
        hint=hint,
    )
    each = ", ".join(f"{kind} {gain:.1f} dB" for kind, gain in speech.items())
    return f"{count:,} parameters, SI-SDRi {gains[0]:.1f} dB on held-out mixtures: {each}"
