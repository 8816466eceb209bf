"""Checks of chapter 17: attention, what it costs, and dynamic mixing."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from lib.checks import CheckFailed, close, exercise, holds
from lib.nn.dual_path import chunk_padding


@exercise("ch17.attention")
def attention(answer):
    """Compare with torch's, for several shapes."""
    for shape in ((7, 4), (3, 12, 8), (2, 4, 25, 16)):
        queries, keys, values = torch.randn(3, *shape, dtype=torch.float64).unbind(0)
        right = functional.scaled_dot_product_attention(queries, keys, values)
        got = answer(queries.clone(), keys.clone(), values.clone())
        hint = "softmax(Q K' / sqrt(d)) V, with the softmax along each row."
        if isinstance(got, torch.Tensor) and got.shape == right.shape:
            products = queries @ keys.transpose(-1, -2)
            size = shape[-1]
            others = {
                "Divide the products by the root of d, the length of a query.": products,
                "Divide by the root of d, not by d.": products / size,
            }
            weights = {text: scores.softmax(-1) for text, scores in others.items()}
            text = "The weights of one query sum to one: softmax over the last axis."
            weights[text] = (products / math.sqrt(size)).softmax(-2)
            for text, one in weights.items():
                if torch.allclose(got, one @ values):
                    hint = text
        close(got, right, f"inputs {shape}", atol=1e-6, rtol=0, hint=hint)
    return "3 shapes, equal to torch's within 1e-6"


@exercise("ch17.multiply_adds")
def multiply_adds(answer):
    """Compare with the formula, exactly."""
    for frames, channels, chunk in (
        (4001, 256, 250),
        (1001, 256, 250),
        (60_001, 256, 250),
        (501, 64, 50),
        (2001, 64, 100),
        (12_000, 128, 150),
        (100, 16, 10),
        (32_001, 64, 250),
        (999, 8, 44),
        (5000, 32, 2),
    ):
        chunks = 2 * (sum(chunk_padding(frames, chunk)) + frames) // chunk - 1
        got = answer(frames, channels, chunk, chunks)
        what = f"T = {frames}, C = {channels}, K = {chunk}, S = {chunks}"
        if got is not None and got is not ... and np.shape(got) != (2,):
            raise CheckFailed(f"{what}: expected a pair (whole, folded), got {got!r}")
        inside, across = 2 * chunks * chunk**2 * channels, 2 * chunk * chunks**2 * channels
        right = 2 * frames**2 * channels, inside + across
        hint = "Inside: S sequences of K frames. Across: K sequences of S frames."
        if got is not None and got is not ...:
            if got[1] == inside:
                hint = "The layer across chunks counts, too."
            elif 2 * got[1] == inside + across:
                hint = "Two products per layer: of queries with keys, of weights with values."
        close(got, right, what, atol=0, rtol=0, hint=hint)
    return "10 cases, exact"


_RATE, _PAIRS = 8000, 300
_TONES = (900.0, 1700.0)


def _speeds(sources: torch.Tensor) -> torch.Tensor:
    """How much faster the two tones sound than they were: ``(2,)``."""
    spectra = torch.fft.rfft(sources[:, 0] * torch.hann_window(_RATE), 8 * _RATE).abs()
    return spectra.argmax(-1) / 8 / torch.tensor(_TONES)


@exercise("ch17.remix")
def remix(answer):
    """Mix two tones many times: a speed moves their pitch, so both draws can be measured."""
    time = torch.arange(2 * _RATE) / _RATE
    # a slow swell, so that a piece has a level of its own
    first, second = (
        (0.1 + time)[None] * torch.sin(2 * torch.pi * tone * time)[None] / 8 for tone in _TONES
    )
    draw = torch.Generator().manual_seed(0)
    speeds, levels, repeated = [], [], set()
    for index in range(_PAIRS):
        sources = answer(first.clone(), second.clone(), draw)
        if not isinstance(sources, torch.Tensor) or sources.shape != (2, 1, _RATE):
            shape = tuple(sources.shape) if isinstance(sources, torch.Tensor) else sources
            close(sources, torch.zeros(2, 1, _RATE), f"mixture {index}, sources (got {shape})")
        speeds.append(_speeds(sources))
        power = sources.double().square().mean((1, 2))
        levels.append(10 * (power[0] / power[1]).log10())
        repeated.add(float(sources[0].abs().max()))
    holds(
        len(repeated) > _PAIRS / 2,
        f"expected {_PAIRS} different mixtures, got {len(repeated)}",
        hint="Take every number from `draw`, and make no generator of your own.",
    )
    speeds, levels = torch.stack(speeds, 1), torch.stack(levels)
    _uniform(levels, -5.0, 5.0, "SNR in dB", "A level in dB is 10 log10 of a ratio of powers.")
    for name, values in zip(("first", "second"), speeds, strict=True):
        _uniform(values, 0.9, 1.1, f"speed of the {name}", "change_speed(waveform, speed).")
    together = float(torch.corrcoef(speeds)[0, 1])
    holds(
        abs(together) < 0.3,
        f"the two speeds: expected independent draws, got a correlation of {together:.2f}",
        hint="Each recording has a speed of its own.",
    )
    return f"{_PAIRS} mixtures; speeds from 0.9 to 1.1, SNRs from -5 to 5 dB, spread evenly"


def _uniform(values: torch.Tensor, low: float, high: float, what: str, hint: str) -> None:
    """Range, mean and deviation of a uniform distribution, within four standard errors or more."""
    span = high - low
    ends = float(values.min()), float(values.max())
    holds(
        low - 0.03 * span <= ends[0] and ends[1] <= high + 0.03 * span,
        f"{what}: expected {low:g} to {high:g}, got {ends[0]:.3g} to {ends[1]:.3g}",
        hint=hint,
    )
    mean, spread = float(values.mean()), float(values.std())
    middle, even = (low + high) / 2, span / math.sqrt(12)
    holds(
        abs(mean - middle) < 0.08 * span and abs(spread - even) < 0.06 * span,
        f"{what}: expected even draws (mean {middle:.3g}, deviation {even:.2g}), got mean "
        f"{mean:.3g}, deviation {spread:.2g}",
        hint=hint,
    )
