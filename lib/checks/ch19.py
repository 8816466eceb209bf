"""Checks of chapter 19: gain per song of extra data, a hidden condition, and FiLM."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds
from lib.metrics import si_sdr
from lib.published import published

_MUSDB18 = 100  # songs that all of them train on
_ENOUGH = 15.0  # dB


def _gains() -> dict[str, tuple[float, int]]:
    """Gain in dB and number of extra songs, of each system that is listed with both."""
    rows = published("MUSDB18", "SDR (cSDR, BSSEval v4)")
    rows = rows[rows.source_paper.str.contains("comparison table on MusDB")]
    rows = rows[rows.split_or_condition.str.startswith("test, all; extra training data")]
    extra = rows.split_or_condition.str.extract(r"data: ~?([\d.]+)(k?) tracks$")
    songs = extra[0].astype(float) * extra[1].map({"k": 1000}).fillna(1)
    without = rows[rows.split_or_condition.str.endswith("none")].set_index("system").value
    return {
        row.system: (row.value - without[row.system], int(count))
        for row, count in zip(rows.itertuples(), songs, strict=True)
        if count > 0 and row.system in without
    }


@exercise("ch19.per_song")
def per_song(answer):
    """The largest of the quotients, and whose it is."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise CheckFailed("expected a pair (part of the system's name, dB per 100 songs)")
    name, got = answer
    if name is None or name is ... or got is None or got is ...:
        raise NotAttempted
    gains = _gains()
    quotients = {system: 100 * gain / songs for system, (gain, songs) in gains.items()}
    best = max(quotients, key=quotients.get)
    gain, songs = gains[best]
    named = [system for system in gains if str(name).strip().lower() in system.lower()]
    holds(
        len(named) == 1,
        f"the system: expected a name that fits one of {', '.join(gains)}, got {name!r}",
        hint="A system counts if the table has it with and without extra data.",
    )
    most = max(gains, key=lambda system: gains[system][0])
    hint = "Divide each gain by the number of its extra songs."
    if named[0] == most and most != best:
        hint = "That one gains most in all, but with ten times as many extra songs."
    holds(named[0] == best, f"the system: {named[0]} does not gain most per song", hint=hint)
    hint = "The gain in dB, divided by the number of extra songs, times 100."
    if isinstance(got, (int, float)):
        if abs(got - gain / songs) < 1e-4:
            hint = "That is the gain per song; you want it per 100 songs."
        elif abs(got - 100 * gain / (songs + _MUSDB18)) < 0.005:
            hint = "Divide by the extra songs only: both trainings had those of MUSDB18."
        elif abs(got - gain) < 0.005:
            hint = "That is the gain in all."
    close(got, 100 * gain / songs, "dB per 100 extra songs", atol=0.005, rtol=0, hint=hint)
    return f"{gain:.2f} dB from {songs} songs"


def black_box(seed: int):
    """A separator whose conditions are hidden vectors, a mixture for it, and the drums in it.

    The hidden vectors are rows of a Hadamard matrix with other signs and another order: with a
    one-hot vector, several sources come through alike.
    """
    draw = torch.Generator().manual_seed(seed)
    hadamard = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    signs = 2.0 * torch.randint(0, 2, (4,), generator=draw) - 1
    codes = hadamard[torch.randperm(4, generator=draw)] * signs
    noise = torch.randn(4, 1, 4000, generator=draw)
    # each source has a band of its own, and a little of everybody's
    bands = torch.full((4, 2001), 0.3)
    for place, band in enumerate(bands):
        band[500 * place : 500 * (place + 1)] = 1.0
    sources = torch.fft.irfft(torch.fft.rfft(noise) * bands[:, None], n=4000)
    drums = int(torch.randint(4, (1,), generator=draw))

    return partial(_separate, sources, codes), sources.sum(0), sources[drums], drums, codes


def _separate(sources, codes, mixture: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
    """Map a mixture (1, T) and conditions (S, 4) to estimates (S, 1, T)."""
    if conditions.ndim != 2 or conditions.shape[1] != 4:
        raise CheckFailed(
            f"the black box: expected conditions of shape (any, 4), got {tuple(conditions.shape)}",
            "One condition is separate(mixture, condition[None])[0].",
        )
    if mixture.shape != (1, 4000):
        raise CheckFailed("the black box: expected the mixture as it was given")
    gains = (8 * conditions.float() @ codes.T - 4).sigmoid()  # (S, 4)
    return (gains[:, :, None, None] * sources).sum(1)


@exercise("ch19.find_condition")
def find_condition(answer):
    """Three black boxes, in which no one-hot vector is the right condition."""
    scores = []
    for seed in (1, 2, 5):
        separate, mixture, drums, _, _ = black_box(seed)
        got = answer(separate, mixture.clone(), drums.clone())
        if got is None or got is ...:
            raise NotAttempted
        got = torch.as_tensor(got).detach()
        what = "the condition"
        hint = "Return the condition, not the estimate." if got.numel() > 4 else ""
        holds(got.shape == (4,), f"{what}: expected shape (4,), got {tuple(got.shape)}", hint=hint)
        holds(got.isfinite().all(), f"{what}: expected finite numbers, got {got.tolist()}")
        with torch.no_grad():
            score = float(si_sdr(separate(mixture, got.float()[None])[0], drums))
        hint = "Go on: more steps, or larger ones."
        if any(torch.allclose(got.float(), one) for one in torch.eye(4)):
            hint = "A box may have learned other vectors than one-hot ones. Look between them."
        elif all(value in (0.0, 1.0) for value in got.tolist()):
            hint = "Zeros and ones are not all there is. Take negative numbers, too."
        holds(
            score >= _ENOUGH,
            f"{what} of black box {len(scores) + 1}: expected drums with at least {_ENOUGH:g} dB "
            f"SI-SDR, got {score:.1f} dB",
            hint=hint,
        )
        scores.append(score)
    return f"{min(scores):.0f} dB or more from three black boxes"


def _of(module: nn.Module, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
    """What the module gives, with the right shape."""
    what = f"features {tuple(features.shape)}: expected the same shape"
    hint = "Give scales and shifts an axis of length 1 for each axis behind the channels."
    try:
        got = module(features, conditions)
    except RuntimeError as error:
        if isinstance(error, NotImplementedError):
            raise
        raise CheckFailed(f"{what}, got an error ({error})", hint) from error
    if got is None:
        raise NotAttempted
    holds(
        isinstance(got, torch.Tensor) and got.shape == features.shape,
        f"{what}, got {tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__}",
        hint=hint,
    )
    return got


@exercise("ch19.film")
def film(answer):
    """Shapes, the affine law, what depends on what, and the gradients."""
    module = answer(4, 6)
    if module is None:
        raise NotAttempted
    holds(isinstance(module, nn.Module), f"expected an nn.Module, got {type(module).__name__}")
    module = module.double().eval()
    for axes in ((5,), (5, 7), (2, 3, 4)):
        _of(module, torch.randn(3, 6, *axes).double(), torch.randn(3, 4).double())
    features, nothing = torch.randn(3, 6, 5, 7).double(), torch.zeros(3, 4).double()
    close(
        _of(module, features, nothing),
        features,
        "a new module, condition zero",
        hint="Scales begin at 1 and shifts at 0, or the layers behind hear nothing. Where is the "
        "bias of the layer that makes the scales?",
    )
    conditions = torch.randn(3, 4).double()
    with torch.no_grad():
        _affine(module, features, conditions)
    _gradients(module, features, conditions)
    return "3 to 5 axes, an affine map per channel, gradients for condition and weights"


def _affine(module: nn.Module, features: torch.Tensor, conditions: torch.Tensor) -> None:
    """One scale and one shift for all points of a channel, from the item's condition alone."""
    shift = _of(module, torch.zeros_like(features), conditions)
    scale = _of(module, torch.ones_like(features), conditions) - shift
    for name, values in (("shift", shift), ("scale", scale)):
        spread = float((values.amax((2, 3)) - values.amin((2, 3))).max())
        holds(spread < 1e-9, f"expected one {name} for all points of a channel, got several")
        first = values[..., 0, 0]
        holds(
            float(first.std(1).min()) > 1e-9,
            f"expected a {name} for each channel, got the same for all",
            hint="The linear layers have as many outputs as there are channels.",
        )
        holds(
            float(first.std(0).min()) > 1e-9,
            f"expected another {name} for another condition, got the same",
            hint="Does it come from the condition?",
        )
    close(
        _of(module, features, conditions),
        scale * features + shift,
        "scale * x + shift",
        hint="FiLM is affine: no activation, no normalisation.",
    )
    alone = torch.cat(
        [_of(module, features[n : n + 1], conditions[n : n + 1]) for n in range(len(features))]
    )
    close(_of(module, features, conditions), alone, "each item of the batch for itself")


def _gradients(module: nn.Module, features: torch.Tensor, conditions: torch.Tensor) -> None:
    """Both the condition and all weights learn, and the features hand their gradient on."""
    features = features.clone().requires_grad_()
    conditions = conditions.clone().requires_grad_()
    module.zero_grad()
    _of(module, features, conditions).square().sum().backward()
    for name, one in (("features", features), ("condition", conditions)):
        holds(
            one.grad is not None and bool(one.grad.abs().sum() > 0),
            f"expected a gradient for the {name}, got none",
            hint="No detach, no .data, no torch.no_grad.",
        )
    parameters = dict(module.named_parameters())
    holds(parameters, "expected parameters, got none", hint="Two linear layers make the numbers.")
    for name, one in parameters.items():
        holds(
            one.grad is not None and bool(one.grad.abs().sum() > 0),
            f"expected a gradient for {name}, got none",
            hint="Is it used?",
        )
