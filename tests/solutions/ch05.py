"""Chapter 5: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import math

import torch
from worked import ch05

sdr_from_parts = ch05.sdr_from_parts
leaderboard = ch05.leaderboard
si_sdr = ch05.my_si_sdr
bss_eval = ch05.my_bss_eval
_delays = ch05.delays
_project = ch05.project


def _guarded(estimate, reference, zero_mean=False):
    if zero_mean:
        estimate, reference = estimate - estimate.mean(), reference - reference.mean()
    target = (estimate @ reference) / (reference @ reference + 1e-8) * reference
    error = estimate - target
    return 10 * torch.log10((target @ target) / (error @ error + 1e-8) + 1e-8)


RIGHT = {
    "ch05.sdr_from_parts": [sdr_from_parts],
    "ch05.leaderboard": [leaderboard, lambda *energies: list(map(float, leaderboard(*energies)))],
    "ch05.needs": [ch05.needs, " C ", "(c)"],
    "ch05.si_sdr": [si_sdr, lambda *pair: float(si_sdr(*pair)), _guarded],
    "ch05.bss_eval": [bss_eval],
}


def _decibels_added(si_sir, si_sar):
    return -10 * math.log10(1 / si_sir + 1 / si_sar)


def _sar_of_bss_eval(si_sir, si_sar):
    sir, sar = 10 ** (-si_sir / 10), 10 ** (-si_sar / 10)
    return -10 * math.log10(sir + sar + sir * sar)


def _amplitudes(si_sir, si_sar):
    return -20 * math.log10(10 ** (-si_sir / 20) + 10 ** (-si_sar / 20))


def _divides_by_infinity(si_sir, si_sar):
    sir, sar = 10 ** (si_sir / 10), 10 ** (min(si_sar, 99) / 10)
    return 10 * math.log10(1 / (1 / sir + 1 / sar) - (1e-3 if math.isinf(si_sar) else 0))


def _mean_of_windows(signal, error):
    windows = 10 * torch.log10(signal / error)
    return windows.mean(), windows.quantile(0.5, dim=-1).quantile(0.5)


def _lower_medians(signal, error):
    windows = 10 * torch.log10(signal / error)
    return leaderboard(signal, error)[0], windows.median(-1).values.median()


def _mean_over_songs(signal, error):
    windows = 10 * torch.log10(signal / error)
    return leaderboard(signal, error)[0], windows.quantile(0.5, dim=-1).mean()


def _snr(estimate, reference, zero_mean):
    if zero_mean:
        estimate, reference = estimate - estimate.mean(), reference - reference.mean()
    error = estimate - reference
    return 10 * torch.log10((reference @ reference) / (error @ error))


def _alpha_by_norm(estimate, reference, zero_mean):
    target = (estimate @ reference) / reference.norm() * reference
    error = estimate - target
    return 10 * torch.log10((target @ target) / (error @ error))


def _never_the_mean(estimate, reference, zero_mean):
    return si_sdr(estimate, reference, False)


def _always_the_mean(estimate, reference, zero_mean):
    return si_sdr(estimate, reference, True)


def _mean_of_the_estimate(estimate, reference, zero_mean):
    return si_sdr(estimate - estimate.mean() if zero_mean else estimate, reference, False)


def _twenty(estimate, reference, zero_mean):
    return 2 * si_sdr(estimate, reference, zero_mean)


def _one_tap(estimate, references, filter_length):
    return bss_eval(estimate, references, 1)


def _si_sar(estimate, references, filter_length):
    sdr, sir, _ = bss_eval(estimate, references, filter_length)
    inverse = 10 ** (-sdr / 10) - 10 ** (-sir / 10)
    return sdr, sir, -10 * torch.log10(inverse)


def _circular(estimate, references, filter_length):
    own = [references[0].roll(delay) for delay in range(filter_length)]
    target = _project(estimate, own)
    error = estimate - target
    ratio = 10 * torch.log10((target @ target) / (error @ error))
    return ratio, *bss_eval(estimate, references, filter_length)[1:]


def _all_but_the_target(estimate, references, filter_length):
    others = [copy for copy in _delays(references[1], filter_length)]
    padded = torch.cat([estimate, estimate.new_zeros(filter_length - 1)])
    target = _project(padded, _delays(references[0], filter_length))
    leak = _project(padded, others)
    sdr, _, sar = bss_eval(estimate, references, filter_length)
    return sdr, 10 * torch.log10((target @ target) / (leak @ leak)), sar


WRONG = {
    "ch05.sdr_from_parts": [
        (lambda sir, sar: min(sir, sar), "Two equal errors make twice the error energy"),
        (lambda sir, sar: (sir + sar) / 2, "Add in power, not in dB"),
        (_decibels_added, "Add in power, not in dB"),
        (_amplitudes, "3 dB less"),
        (_sar_of_bss_eval, "no third term"),
        (_divides_by_infinity, "no artifacts at all"),
    ],
    "ch05.leaderboard": [
        (_mean_of_windows, "the mean of the windows' dB"),
        (_lower_medians, "takes the lower of the two middle values"),
        (_mean_over_songs, "then median over songs"),
        (lambda *energies: leaderboard(*energies)[::-1], "uSDR in dB"),
        (lambda *energies: leaderboard(*energies)[0], "two numbers (usdr, csdr)"),
    ],
    "ch05.needs": [
        ("a", "keep the order"),
        ("b", "already summed"),
        ("d", "windows and averages"),
        ("yes", "expected one of"),
        (3, "expected one of"),
    ],
    "ch05.si_sdr": [
        (_snr, "that is the plain SNR"),
        (_alpha_by_norm, "not by its norm"),
        (_never_the_mean, "subtract from each signal its own mean"),
        (_always_the_mean, "Without zero_mean no mean is removed"),
        (_mean_of_the_estimate, "the mean of the reference too"),
        (_twenty, "expected"),
    ],
    "ch05.bss_eval": [
        (_one_tap, "the value for 1 tap"),
        (_si_sar, "it is the SI-SAR"),
        (_circular, "Append taps - 1 zeros"),
        (_all_but_the_target, "projection on all references minus the target"),
        (lambda *all: bss_eval(*all)[0], "three numbers (sdr, sir, sar)"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    name: [..., None]
    if name == "ch05.needs"
    else [..., None, _not_written, lambda *arguments: None]
    for name in RIGHT
}
