"""Checks of chapter 22: lengths of a Wave-U-Net, a decimation without aliases, a repaired table."""

from __future__ import annotations

import math
import random

import torch

from lib.checks import CheckFailed, NotAttempted, close, equal, exercise, holds
from lib.errors import InputError
from lib.nn.wave_unet import valid_lengths, valid_output
from lib.published import published

# ------------------------------------------------------------------ 1


@exercise("ch22.valid_output")
def count_valid(answer):
    """Compare with lib, for a hundred configurations whose lengths fit, and their neighbours."""
    for _ in range(100):
        sizes = random.randint(1, 12), random.randrange(3, 25, 2), random.randrange(1, 9, 2)
        length = valid_lengths(random.randint(1, 50_000), *sizes).input
        depth, down, up = sizes
        of = f"of depth {depth}, {down} taps down and {up} taps up"
        hint = "A convolution of f taps takes f - 1 samples; of n, every second are (n + 1) / 2."
        got = answer(length, *sizes)
        if got == valid_output(length, *sizes) - 1:
            hint = "Between n samples fit n - 1 new ones: 2n - 1 all in all."
        what = f"the answer to {length} samples {of}"
        close(got, valid_output(length, *sizes), what, atol=0, rtol=0, hint=hint)
        wrong = length + random.randrange(1, 2**depth)
        try:
            valid_output(wrong, *sizes)
        except InputError:
            hint = "Of an even number of samples, every second would leave the last one out."
            got = answer(wrong, *sizes)
            close(got, 0, f"the answer to {wrong} samples {of}", atol=0, rtol=0, hint=hint)
    return "100 configurations that fit, and 100 lengths that do not"


# ------------------------------------------------------------------ 2

_TIME, _EDGE = 2001, 100


@exercise("ch22.decimate")
@torch.no_grad()
def decimate(answer):
    """Feed sines above and below the new Nyquist frequency, and compare energies."""
    time = torch.arange(_TIME, dtype=torch.float64)
    middle = slice(_EDGE, (_TIME + 1) // 2 - _EDGE)

    def through(frequencies):
        phases = 2 * math.pi * torch.rand(len(frequencies), 1, dtype=torch.float64)
        sines = torch.sin(2 * math.pi * frequencies[:, None] * time + phases)
        sines = sines[None].float()  # (1, F, T)
        got = answer(sines.clone())
        if got is None:
            raise NotAttempted
        wanted = (1, len(frequencies), (_TIME + 1) // 2)
        holds(
            isinstance(got, torch.Tensor) and got.shape == wanted,
            f"expected features of shape {wanted} from {tuple(sines.shape)}, got "
            f"{tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__}",
            hint="Filter with zeros around, so that the length stays; then take every second.",
        )
        return got[..., middle], sines[..., ::2][..., middle]

    slow, kept = through(0.01 + 0.17 * torch.rand(8, dtype=torch.float64))
    error = 10 * float((slow - kept).square().mean().div(kept.square().mean()).log10())
    holds(
        error < -30,
        f"sines below 0.18 cycles per sample: expected them as before, with an error below -30 dB, "
        f"got {error:.1f} dB",
        hint="A symmetric filter of an odd number of taps, with sum 1, delays and scales nothing.",
    )
    fast, before = through(0.32 + 0.17 * torch.rand(8, dtype=torch.float64))
    alias = 10 * float((fast.square().mean() / before.square().mean()).clamp_min(1e-20).log10())
    holds(
        alias < -40,
        f"sines above 0.32 cycles per sample: expected an alias below -40 dB, got {alias:.1f} dB",
        hint="They come back as slow ones. Filter before every second sample is dropped, with taps "
        "enough for a steep edge at 0.25: some 40.",
    )
    return f"alias {alias:.0f} dB, error of what is kept {error:.0f} dB"


# ------------------------------------------------------------------ 3

# rows as printed: label, training data, and the name of its system in lib.published
_W, _U = "Wave-U-Net (", "U-Net (full"
_ROWS = (
    ("W", "no-DA", _W, "no-DA"),
    ("", "Stretch", _W, "time stretch"),
    ("", "Env.", _W, "spectral envelope"),
    ("", "Pitch", _W, "pitch shift"),
    ("", "DA", _W, "all DA"),
    ("W [9]", "DA-F", _W, "all DA, full (DA-F)"),
    ("", "no-DA+CCMix", "Wave-U-Net M3", "no DA, MUSDB + CCMixter"),
    ("U", "no-DA-F", _U, "no-DA-F"),
    ("", "Stretch-F", _U, "Stretch-F"),
    ("", "Env.-F", _U, "Env.-F"),
    ("", "Pitch-F", _U, "Pitch-F"),
    ("", "DA-F", _U, "DA-F"),
    ("U [8]", "DS-priv", "U-Net of Jansson", "private dataset (DS-priv)"),
    ("no-skip", "DA-F", "U-Net without skip", "DA-F"),
    ("no-mask", "DA-F", "U-Net without mask", "DA-F"),
)
_METRICS = ("SAR", "SIR", "SDR")


def printed_table() -> list[tuple]:
    """List the table of Cohen-Hadria et al. (2019) as lectures print it, with a label displaced.

    Returns:
        Rows of a label, the training data, and the numbers of SAR, SIR and SDR in dB, None where
        there is none. A label is printed once for several rows; below it stands ``""``.

    Example:
        >>> printed_table()[5]
        ('W [9]', 'DA-F', 6.62, 13.9, 5.42)
    """
    table = published()
    table = table[table["source_paper"].str.contains("Cohen-Hadria")]
    table = table.set_index(table["metric"].str[:3])
    rows = []
    for label, data, system, trained in _ROWS:
        # the condition, whole, since one name begins another
        found = table[
            table["system"].str.startswith(system)
            & table["split_or_condition"].str.endswith(f"training data: {trained}")
        ]["value"]
        numbers = (float(found[metric]) if metric in found else None for metric in _METRICS)
        rows.append((label, data, *numbers))
    return rows


@exercise("ch22.repair")
def repair(answer):
    """Compare cell by cell: with the numbers as printed, then with others in their places."""
    rows = printed_table()
    for numbers in ("as printed", "drawn"):
        if numbers == "drawn":
            rows = [
                (*row[:2], *(value and round(random.uniform(0, 20), 2) for value in row[2:]))
                for row in rows
            ]
        got = answer(list(rows))
        if got is None:
            raise NotAttempted
        if not isinstance(got, dict):
            raise CheckFailed(
                "expected a dict of (label, training data) to (SAR, SIR, SDR), got "
                f"{type(got).__name__}"
            )
        right, label = {}, ""
        for printed, data, *cells in rows:
            label = printed or label
            own = {"DA-F": "W", "no-DA+CCMix": "W [9]"}.get(data, label)
            if label != "U [8]":
                right[own if label == "W [9]" else label, data] = tuple(cells)
        holds(
            all(label for label, _ in got),
            "expected a label in every row, got an empty one",
            hint="A label holds for the rows below it, until the next.",
        )
        holds(
            ("W [9]", "DA-F") not in got,
            "expected another label for DA-F: W [9] was trained without augmentation",
            hint="Which row has the data of paper [9], MUSDB and CCMixter? The label is its own.",
        )
        holds(
            not any(label == "U [8]" for label, _ in got),
            "expected no row of U [8]: means, and of another test set",
            hint="Numbers of MedleyDB cannot stand beside medians of MUSDB18.",
        )
        equal(set(got), set(right), "the rows, as (label, training data)")
        for row, cells in right.items():
            equal(tuple(got[row]), cells, f"{row[0]} {row[1]}, numbers {numbers}")
    return f"{len(right)} rows, cell by cell"
