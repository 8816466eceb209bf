"""Checks of chapter 15: Conv-TasNet."""

from __future__ import annotations

import torch

from lib.checks import CheckFailed, close, exercise, holds
from lib.models import ConvTasNet
from lib.nn import tcn


@exercise("ch15.receptive_field")
def receptive_field(answer):
    """Compare with the formula, for the paper's network first."""
    for taps, blocks, repeats, size, rate in (
        (3, 8, 3, 16, 8000),
        (3, 7, 2, 40, 8000),
        (5, 4, 1, 32, 16000),
        (2, 6, 4, 20, 44100),
        (3, 1, 1, 16, 8000),
    ):
        what = f"P = {taps}, X = {blocks}, R = {repeats}, L = {size}, {rate} Hz"
        got = answer(taps, blocks, repeats, size, rate)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            close(got, (0.0, 0.0), f"{what}: a pair (frames, seconds)")
        frames = tcn.receptive_field(taps, blocks, repeats)
        hint = "A stack adds (P - 1)(1 + 2 + 4 + ...) frames; the frame itself counts, too."
        if got[0] == frames - 1:
            hint = "The frame itself counts, too."
        elif got[0] == repeats * tcn.receptive_field(taps, blocks):
            hint = "The frame itself counts once, not once per repeat."
        close(got[0], frames, f"{what}: frames", hint=hint)
        seconds = ((frames - 1) * size / 2 + size) / rate
        hint = "Windows start L / 2 samples apart; the last one lasts L samples."
        close(got[1], seconds, f"{what}: seconds", atol=1e-6, hint=hint)
    return "5 configurations; the paper's sees 1531 frames, 1.53 s"


def _by_loop(features: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    columns = []
    for k in range(1, features.shape[1] + 1):
        seen = features[:, :k]
        columns.append((seen[:, -1] - seen.mean()) / (seen.var(correction=0) + eps).sqrt())
    return torch.stack(columns, 1)


@exercise("ch15.cumulative_norm")
def cumulative_norm(answer):
    """Compare with a loop over frames, and change later frames."""
    for seed, (channels, frames) in enumerate(((4, 12), (3, 30), (16, 1), (7, 50))):
        generator = torch.Generator().manual_seed(seed)
        features = 2 + 3 * torch.randn(channels, frames, generator=generator, dtype=torch.float64)
        right, got = _by_loop(features), answer(features.clone())
        hint = "Frame k has seen k times as many numbers as there are channels."
        if isinstance(got, torch.Tensor) and got.shape == right.shape:
            whole = (features - features.mean()) / (features.var(correction=0) + 1e-8).sqrt()
            mean, variance = features.mean(0), features.var(0, correction=0)
            if torch.allclose(got, whole) and frames > 1:
                hint = "That is gLN: it looks at all frames."
            elif torch.allclose(got, (features - mean) / (variance + 1e-8).sqrt()):
                hint = "That is the channel norm: it looks at one frame."
        close(got, right, f"{channels} channels, {frames} frames", hint=hint)
        changed = features.clone()
        changed[:, frames // 2 + 1 :] += 5
        before, after = (answer(one)[:, : frames // 2 + 1] for one in (features, changed))
        holds(
            torch.allclose(before, after),
            "expected an output that does not depend on later frames",
            hint="Sum up to each frame: torch.cumsum over frames.",
        )
    return "4 random inputs, as the loop, and causal"


_PAPER = {
    "filters": 512,
    "kernel_size": 16,
    "bottleneck": 128,
    "hidden": 512,
    "skip": 128,
    "taps": 3,
    "blocks": 8,
    "repeats": 3,
    "speakers": 2,
}


@exercise("ch15.parameters")
def parameters(answer):
    """Compare with a count, of the paper's network and of others."""
    for change in (
        {},
        {"skip": 512, "kernel_size": 40},
        {"speakers": 3, "filters": 2048},
        {"taps": 31, "blocks": 5, "repeats": 2},
        {"bottleneck": 256, "hidden": 256, "repeats": 2},
    ):
        sizes = _PAPER | change
        with torch.device("meta"):
            model = ConvTasNet(**sizes)
        right = sum(parameter.numel() for parameter in model.parameters())
        got = answer(**sizes)
        if got is not None and got is not ... and not isinstance(got, (int, float)):
            raise CheckFailed(f"expected a number, got {type(got).__name__}")
        named = ", ".join(f"{name} = {value}" for name, value in change.items())
        what = f"the paper's network{' with ' + named if named else ''}, parameters"
        hint = (
            "Encoder and decoder N L each; bottleneck N B; per block B H, H P, H B, H Sc; "
            "masks Sc N per speaker."
        )
        close(got, right, what, atol=0, rtol=0.01, hint=hint)
    return "5 configurations within 1 %; the paper's has 5.05 million"
