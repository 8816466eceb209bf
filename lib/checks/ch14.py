"""Checks of chapter 14: TasNet."""

from __future__ import annotations

import torch
from torch.nn import functional

from lib.checks import CheckFailed, close, exercise, holds
from lib.filterbanks import pseudo_inverse

# what the chapter offers as corrections of a slide: letter, whether it is right, and why
_PAPER, _LATER = "Luo and Mesgarani, ICASSP 2018", "Luo and Mesgarani, TASLP 2019, table IV"
_CORRECTIONS = {
    "a": (False, f"a BLSTM's units count per direction: 500, not 1000 ({_PAPER})"),
    "b": (True, f"a BLSTM's units count per direction: 500 ({_PAPER})"),
    "c": (True, f"the fully connected layer makes masks, one linear basis the sound ({_PAPER})"),
    "d": (False, f"one linear decoder serves all speakers, and it has 500 signals ({_PAPER})"),
    "e": (True, f"both sizes are printed ({_LATER})"),
    "f": (False, f"with all its parts it has 23.6 million ({_LATER})"),
    "g": (False, "the mean SDR of such mixtures is about 0 dB: SDR and SDRi are about equal"),
    "h": (True, f"the causal network has 7.7 and 8.0, the BLSTM 10.8 and 11.1 ({_PAPER}, table 1)"),
}


@exercise("ch14.slide")
def slide(answer):
    """Compare the ticked corrections with the key, and give the source for a wrong one."""
    if not isinstance(answer, (set, frozenset, list, tuple, str)):
        raise CheckFailed(f"expected a set of letters, got {type(answer).__name__}")
    ticked = {str(letter).lower() for letter in answer}
    unknown = ", ".join(sorted(ticked - set(_CORRECTIONS)))
    holds(not unknown, f"expected letters from a to h, got {unknown}")
    for letter, (right, reason) in _CORRECTIONS.items():
        if right != (letter in ticked):
            verb = "is right, and not ticked" if right else "is ticked, and not right"
            raise CheckFailed(f"{letter} {verb}", f"{reason[0].upper()}{reason[1:]}.")
    return "four corrections, one for each statement"


@exercise("ch14.latency")
def latency(answer):
    """Compare samples and milliseconds, for frames with and without later ones."""
    for size, stride, ahead, rate in (
        (40, 40, 0, 8000),
        (40, 20, 0, 8000),
        (256, 64, 0, 8000),
        (16, 8, 0, 8000),
        (32, 16, 10, 8000),
        (320, 160, 2, 16000),
        (2, 1, 0, 8000),
    ):
        what = f"L = {size}, hop {stride}, {ahead} later frames, {rate} Hz"
        got = answer(size, stride, ahead, rate)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            close(got, (0.0, 0.0), f"{what}: a pair (samples, milliseconds)")
        samples = size - 1 + ahead * stride
        hint = "The frame that begins with a sample ends L - 1 samples later; a later frame, a hop."
        if got[0] == samples + 1:
            hint = "The sample itself is there already."
        elif got[0] == size - 1 + ahead * size:
            hint = "A later frame ends a hop later, not a whole frame."
        elif got[0] == stride - 1 + ahead * stride:
            hint = "The last frame that holds a sample may begin with it. Its end is L - 1 away."
        close(got[0], samples, f"{what}: samples", atol=1e-9, rtol=0, hint=hint)
        hint = "A second has sample_rate samples, and 1000 milliseconds."
        close(got[1], 1000 * samples / rate, f"{what}: ms", atol=1e-9, rtol=0, hint=hint)
    return "7 rows, exact; TasNet's 5 ms frames wait 39 samples, 4.875 ms"


@exercise("ch14.decoder")
def decoder(answer):
    """Encode noise, decode it with the answer's signals, and compare away from the ends."""
    for seed, (filters, size, stride) in enumerate(
        ((40, 16, 8), (16, 16, 16), (128, 32, 8), (500, 40, 20), (10, 16, 8))
    ):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(filters, size, generator=generator, dtype=torch.float64)
        noise = torch.randn(1, 1, 20 * size, generator=generator, dtype=torch.float64)
        features = functional.conv1d(noise, rows[:, None], stride=stride)
        right = pseudo_inverse(rows[:, None], stride)
        got = answer(rows.clone(), stride)
        what = f"{filters} filters of {size} samples, hop {stride}"
        if not isinstance(got, torch.Tensor) or got.shape != rows.shape:
            close(got, rows, f"{what}: the decoder's signals")
        got = got.double()[:, None]
        sounds = [functional.conv_transpose1d(features, one, stride=stride) for one in (got, right)]
        again, best = (sound[..., size:-size] for sound in sounds)
        target = noise[..., size:-size] if filters >= size else best
        hint = "torch.linalg.pinv gives (L, N); and a sample lies in L / hop frames."
        copies = size // stride
        if copies > 1 and torch.allclose(again, copies * best):
            hint = f"Each sample lies in {copies} frames, and each of them gives it back: divide."
        elif torch.allclose(got, rows[:, None]):
            hint = "The encoder's own filters are no inverse, unless they are orthonormal."
        error = float((again - target).abs().max())
        holds(error < 1e-8, f"{what}: expected an error below 1e-8, got {error:.2g}", hint=hint)
    return "4 banks to 1e-8; 10 filters give back what they span of 16 samples"
