"""Checks of chapter 5: energy ratios."""

from __future__ import annotations

import math

import torch

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds
from lib.metrics import bss_eval as course_bss_eval
from lib.metrics import si_sdr as course_si_sdr


def _power(decibels: float) -> float:
    return 10 ** (decibels / 10)


@exercise("ch05.sdr_from_parts")
def sdr_from_parts(answer):
    """``answer(si_sir, si_sar)`` in dB gives the SI-SDR in dB."""
    hint = "Two equal errors make twice the error energy, 3 dB less. Add in power, not in dB."
    first = answer(20.0, 20.0)
    if isinstance(first, float) and abs(first + 10 * math.log10(2 / 100 + 1 / 100**2)) < 1e-6:
        hint = "That is the rule for bss_eval's SAR; with the SI-SAR there is no third term."
    close(
        first,
        10 * math.log10(100 / 2),
        "SI-SIR 20 dB and SI-SAR 20 dB, in dB",
        atol=1e-3,
        hint=hint,
    )
    generator = torch.Generator().manual_seed(5)
    for sir, sar in (40 * torch.rand(20, 2, generator=generator, dtype=torch.float64) - 5).tolist():
        right = -10 * math.log10(1 / _power(sir) + 1 / _power(sar))
        close(
            answer(sir, sar),
            right,
            f"SI-SIR {sir:.1f} dB and SI-SAR {sar:.1f} dB, in dB",
            atol=1e-6,
            hint="1/SDR = 1/SIR + 1/SAR in power: turn dB into power, add, turn back.",
        )
    close(
        answer(12.0, math.inf),
        12.0,
        "no artifacts at all: SI-SIR 12 dB, SI-SAR infinite",
        atol=1e-6,
        hint="10 ** (-inf / 10) is 0 in Python: add the inverse powers 10 ** (-value / 10).",
    )
    return "20 random pairs"


@exercise("ch05.leaderboard")
def leaderboard(answer):
    """``answer(signal, error)``, energies ``(songs, windows)``, gives ``(usdr, csdr)``."""
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        songs, windows = 4 + seed, 11 + 2 * (seed % 3)
        signal = 10 ** (2 * torch.rand(songs, windows, generator=generator, dtype=torch.float64))
        error = signal * 10 ** (-1.5 * torch.rand(songs, windows, generator=generator).double())
        got = answer(signal, error)
        if got is None or got is ...:
            raise NotAttempted
        holds(
            isinstance(got, tuple | list) and len(got) == 2,
            f"expected two numbers (usdr, csdr), got {type(got).__name__}",
            hint="Finish with: return usdr, csdr",
        )
        per_window = 10 * torch.log10(signal / error)
        per_song = 10 * torch.log10(signal.sum(-1) / error.sum(-1))
        _not_the_mean_of_windows(got[0], per_window, per_song)
        close(
            got[0],
            per_song.mean(),
            "uSDR in dB",
            atol=1e-6,
            hint="Sum the energies over the windows of a song, then take dB, then average songs.",
        )
        close(
            got[1],
            per_window.quantile(0.5, dim=-1).quantile(0.5),
            "cSDR in dB",
            atol=1e-6,
            hint="dB in each window, median over windows, then median over songs. For an even "
            "number torch.median takes the lower of the two middle values; .quantile(0.5) "
            "takes their mean.",
        )
    return "6 random leaderboards"


def _not_the_mean_of_windows(got, per_window: torch.Tensor, per_song: torch.Tensor) -> None:
    value = torch.as_tensor(got).double()
    if value.numel() == 1 and torch.isclose(value, per_window.mean(), atol=1e-6):
        raise CheckFailed(
            f"uSDR in dB: expected {per_song.mean():.6g}, got {value.item():.6g}, "
            "the mean of the windows' dB",
            "uSDR knows no windows: sum the energies of a song before you take the logarithm.",
        )


@exercise("ch05.needs")
def needs(answer):
    """Which letter: what turns a leaderboard of uSDR into one of cSDR."""
    replies = {
        "a": "A constant would keep the order of any two rows, and the rows of "
        "BSRNN in 5.7 show that the order can change.",
        "b": "The score of the whole song has already summed the energies; which window was good "
        "cannot be read off it.",
        "d": "Another projection changes SIR and SAR. uSDR and cSDR differ in their windows and "
        "averages only.",
    }
    letter = str(answer).strip(" ().").lower()
    holds(
        letter in {*replies, "c"},
        f"expected one of 'a', 'b', 'c', 'd', got {answer!r}",
        hint="Write the letter in quotes.",
    )
    if letter != "c":
        raise CheckFailed(f"{letter!r} is not enough", replies[letter])
    return "only the energies of each window, or the audio itself, will do"


@exercise("ch05.si_sdr")
def si_sdr(answer):
    """``answer(estimate, reference, zero_mean)`` gives the SI-SDR in dB."""
    generator = torch.Generator().manual_seed(50)
    reference = torch.randn(400, generator=generator, dtype=torch.float64)
    estimate = 0.7 * reference + 0.3 * torch.randn(400, generator=generator, dtype=torch.float64)
    first = answer(estimate, reference, False)
    if first is None or first is ...:
        raise NotAttempted
    _gain_is_free(answer, estimate, reference, first)
    for index in range(100):
        reference, noise = torch.randn(2, 300, generator=generator, dtype=torch.float64)
        gain, offset = torch.randn(2, generator=generator, dtype=torch.float64).tolist()
        reference = reference + 0.5 * offset
        estimate = gain * reference + 0.5 * noise + offset
        for zero_mean in (False, True):
            close(
                answer(estimate, reference, zero_mean),
                course_si_sdr(estimate, reference, zero_mean=zero_mean),
                f"pair {index + 1}, zero_mean={zero_mean}, in dB",
                atol=1e-3,  # room for a small constant against division by zero
                hint=_mean_hint(answer, estimate, reference)
                if zero_mean
                else "alpha = <estimate, reference> / ||reference||^2; then compare alpha * "
                "reference with the rest of the estimate. Without zero_mean no mean is removed.",
            )
    a, b = reference - reference.mean(), estimate - estimate.mean()
    rho2 = (a @ b) ** 2 / (a.square().sum() * b.square().sum())
    close(
        answer(estimate, reference, True),
        10 * torch.log10(rho2 / (1 - rho2)),
        "10 log10(rho^2 / (1 - rho^2)), in dB",
        atol=1e-6,
        hint="rho is the correlation coefficient of the two signals.",
    )
    return "100 random pairs, with and without their means"


def _gain_is_free(answer, estimate, reference, first) -> None:
    louder = answer(7 * estimate, reference, False)
    close(
        louder,
        first,
        "the score of 7 times the estimate, in dB",
        atol=1e-3,
        hint="Scale the reference by alpha. If you leave alpha out, that is the plain SNR.",
    )
    scaled_reference = answer(estimate, 3 * reference, False)
    close(
        scaled_reference,
        first,
        "the score with 3 times the reference, in dB",
        atol=1e-3,
        hint="Divide by the energy of the reference in alpha, not by its norm and not by the "
        "energy of the estimate.",
    )


def _mean_hint(answer, estimate, reference) -> str:
    centred = estimate - estimate.mean()
    got = torch.as_tensor(answer(estimate, reference, True)).double()
    if torch.isclose(got, course_si_sdr(centred, reference), atol=1e-9).all():
        return "Remove the mean of the reference too, not only that of the estimate."
    return "With zero_mean, subtract from each signal its own mean before anything else."


@exercise("ch05.bss_eval")
def bss_eval(answer):
    """``answer(estimate, references, filter_length)`` gives ``(sdr, sir, sar)`` of estimate 0."""
    generator = torch.Generator().manual_seed(55)
    for taps in (1, 8):
        for _ in range(3):
            references = torch.randn(2, 500, generator=generator, dtype=torch.float64)
            filters = torch.randn(2, taps, generator=generator, dtype=torch.float64)
            estimate = 0.3 * torch.randn(500, generator=generator, dtype=torch.float64)
            for source, response in zip(references, filters, strict=True):
                for delay, tap in enumerate(response.tolist()):
                    estimate[delay:] += tap * source[: 500 - delay]
            got = answer(estimate, references, taps)
            if got is None or got is ...:
                raise NotAttempted
            holds(
                isinstance(got, tuple | list) and len(got) == 3,
                f"expected three numbers (sdr, sir, sar), got {type(got).__name__}",
                hint="Finish with: return sdr, sir, sar",
            )
            _compare_bss_eval(got, estimate, references, taps)
    return "1 and 8 taps"


def _compare_bss_eval(got, estimate, references, taps: int) -> None:
    estimates = torch.stack([estimate, references[1]])
    right = [score[0] for score in course_bss_eval(estimates, references, taps)]
    hints = (
        "The target is the projection on the delayed copies of reference 0 alone. Append "
        "taps - 1 zeros to every signal first, so that a delayed copy loses no sample.",
        "The interference is the projection on all references minus the target.",
        "SAR divides the energy of target plus interference by that of the rest. "
        "With the target alone on top it is the SI-SAR.",
    )
    if taps > 1:
        one = course_bss_eval(estimates, references, 1).sdr[0]
        if abs(float(got[0]) - float(one)) < 1e-6:
            raise CheckFailed(
                f"SDR with {taps} taps, in dB: expected {right[0]:.6g}, got {float(got[0]):.6g}, "
                "the value for 1 tap",
                "Put the copies with delay 0 to taps - 1 into the matrix of the projection.",
            )
    for name, value, expected, hint in zip(("SDR", "SIR", "SAR"), got, right, hints, strict=True):
        plural = "" if taps == 1 else "s"
        close(value, expected, f"{name} with {taps} tap{plural}, in dB", atol=1e-3, hint=hint)
