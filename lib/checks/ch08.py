"""Checks of chapter 8: spectral subtraction and Wiener."""

from __future__ import annotations

import torch

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds
from lib.classical import musical_noise_index, noise_profile
from lib.classical import spectral_subtraction as course_subtraction
from lib.data import noise, speech
from lib.metrics import si_sdr
from lib.mixing import Mixture, mix_at_snr

SAMPLE_RATE = 16000
INDEX, LOSS_DB = 1.0, 1.0


def noisy_clip(kind: str = "fan") -> tuple[Mixture, torch.Tensor]:
    """The chapter's clip, a noise that starts half a second early, and its profile."""
    voice = speech("test", index=0, sample_rate=SAMPLE_RATE)[0, : 3 * SAMPLE_RATE]
    voice = torch.nn.functional.pad(voice, (SAMPLE_RATE // 2, 0))
    seconds = len(voice) / SAMPLE_RATE
    clip = mix_at_snr(voice, noise(kind, seconds=seconds, seed=3)[0], 0.0)
    return clip, noise_profile(clip.mixture, SAMPLE_RATE, stop=0.3)


def floor_scores(floor: float, over_subtraction: float = 2.0) -> tuple[float, float]:
    """SI-SDR in dB and musical-noise index of the chapter's clip with a floor."""
    clip, profile = noisy_clip()
    options = {
        "noise_profile": profile,
        "over_subtraction": over_subtraction,
        "floor": floor,
    }
    estimate = course_subtraction(clip.mixture, SAMPLE_RATE, **options)
    left = course_subtraction(clip.interference, SAMPLE_RATE, **options)
    index = musical_noise_index(left, clip.interference, SAMPLE_RATE)
    return float(si_sdr(estimate, clip.target)), float(index)


@exercise("ch08.floor")
def floor(answer):
    """A number: the floor for alpha = 2 that calms the noise and costs under 1 dB."""
    holds(
        isinstance(answer, int | float) and not isinstance(answer, bool),
        f"expected one number, got {type(answer).__name__}",
        hint="Write for example my_floor = 0.3.",
    )
    holds(
        0 <= answer <= 1,
        f"expected a floor from 0 to 1, got {answer}",
        hint="A floor is a fraction of the noise, not decibels: 0.1 is 20 dB below it.",
    )
    best, _ = floor_scores(0.0)
    score, index = floor_scores(float(answer))
    loss = best - score
    got = f"index {index:.2f}, SI-SDR loss {loss:.2f} dB"
    holds(
        index < INDEX,
        f"{got}: expected an index below {INDEX:g}",
        hint="It still sings. Raise the floor: plain noise hides the lone tones.",
    )
    holds(
        loss < LOSS_DB,
        f"{got}: expected a loss below {LOSS_DB:g} dB",
        hint="That floor hands back too much of the fan. Lower it.",
    )
    return got


@exercise("ch08.gain")
def gain(answer):
    """``answer(xi, mu)``: the gain that minimises (1 - G)^2 phi_S + mu G^2 phi_N."""
    points = [(xi, mu) for mu in (1.0, 2.0, 0.5) for xi in (0.0, 0.03, 0.4, 1.0, 3.0, 25.0)]
    for xi, mu in points:
        right = xi / (xi + mu)
        got = answer(torch.tensor(xi, dtype=torch.float64), mu)
        if got is None or got is ...:
            raise NotAttempted
        _diagnose_gain(answer, got, xi, mu, right)
        close(
            got,
            right,
            f"gain for xi = {xi:g}, mu = {mu:g}",
            atol=1e-9,
            rtol=1e-9,
            hint="Differentiate (1 - G)^2 xi + mu G^2 with respect to G, set it to zero, solve.",
        )
    many = torch.logspace(-3, 3, 50, dtype=torch.float64)
    close(
        answer(many, 1.0),
        many / (1 + many),
        "a whole tensor of xi at once",
        atol=1e-9,
        hint="Use operations on tensors only: no float(), no if.",
    )
    return f"{len(points)} points"


def _diagnose_gain(answer, got, xi: float, mu: float, right: float) -> None:
    value = torch.as_tensor(got, dtype=torch.float64)
    if value.numel() != 1 or torch.isclose(value, torch.tensor(right, dtype=torch.float64)):
        return
    ratio = xi / mu
    slips = {
        (right**0.5): "That is the square root of the right gain. It belongs to power "
        "subtraction; the Wiener gain multiplies the spectrum itself.",
        1 / (1 + ratio): "That is the gain that keeps the noise. At xi = 0 nothing may pass.",
        xi / (1 + xi): "Right for mu = 1, but mu does not enter. The noise term counts mu times.",
        mu * xi / (1 + mu * xi): "mu stands on the wrong side: counting the noise twice must "
        "make the gain smaller.",
        max(1 - 1 / ratio, 0) if ratio else 0.0: "1 - 1/x is the Wiener gain in terms of the "
        "posterior SNR gamma. You are given xi, and gamma is about xi + 1.",
    }
    for slip, hint in slips.items():
        if abs(float(value) - slip) < 1e-9:
            raise CheckFailed(
                f"gain for xi = {xi:g}, mu = {mu:g}: expected {right:.6g}, got {float(value):.6g}",
                hint,
            )


@exercise("ch08.spectral_subtraction")
def spectral_subtraction(answer):
    """``answer(mixture, sample_rate, profile, alpha, beta)``: magnitudes, as in the chapter."""
    generator = torch.Generator().manual_seed(81)
    time = torch.arange(7001) / SAMPLE_RATE
    tone = 0.4 * torch.sin(2 * torch.pi * 700 * time) * (time > 0.1)
    hiss = 0.1 * torch.randn(len(time), generator=generator)
    mixture, profile = tone + hiss, noise_profile(hiss, SAMPLE_RATE)
    for alpha, beta in ((1.0, 0.0), (2.0, 0.1), (1.5, 0.6), (0.2, 3.0)):
        before = mixture.clone()
        got = answer(mixture, SAMPLE_RATE, profile, alpha, beta)
        if got is None or got is ...:
            raise NotAttempted
        holds(
            torch.equal(mixture, before),
            "expected the mixture to stay as it was, but your function changed it",
            hint="Work on the spectrogram; operations that end in _ change their tensor.",
        )
        _diagnose_subtraction(got, mixture, profile, alpha, beta)
        close(
            got,
            _subtract(mixture, profile, alpha, beta),
            f"output for alpha = {alpha:g}, beta = {beta:g}",
            atol=1e-6,
            rtol=0,
            hint="max(|X| - alpha |N|, beta |N|), never above |X|; the phase is that of X.",
        )
    clip, _ = noisy_clip()
    hiss = torch.randn(len(clip.target), generator=generator)
    clip = mix_at_snr(clip.target, hiss, 0.0)
    profile = noise_profile(clip.mixture, SAMPLE_RATE, stop=0.3)
    estimate = answer(clip.mixture, SAMPLE_RATE, profile, 2.0, 0.1)
    better = float(si_sdr(estimate, clip.target) - si_sdr(clip.mixture, clip.target))
    holds(better > 3, f"expected more than 3 dB in white noise at 0 dB, got {better:.1f} dB")
    return f"4 settings within 1e-6; speech in white noise at 0 dB: +{better:.1f} dB"


def _subtract(mixture, profile, alpha: float, beta: float, domain: str = "magnitude"):
    return course_subtraction(
        mixture,
        SAMPLE_RATE,
        noise_profile=profile,
        over_subtraction=alpha,
        floor=beta,
        domain=domain,
    )


def _diagnose_subtraction(got, mixture, profile, alpha: float, beta: float) -> None:
    """Recognise what goes wrong most often."""
    holds(isinstance(got, torch.Tensor), f"expected a tensor, got {type(got).__name__}")
    holds(
        not got.is_complex(),
        "expected a waveform, got a complex tensor",
        hint="Go back with stft.inverse(spectrogram, mixture.shape[-1]).",
    )
    holds(
        got.shape == mixture.shape,
        f"expected shape {tuple(mixture.shape)}, got {tuple(got.shape)}",
        hint="stft.inverse(spectrogram, mixture.shape[-1]) gives the length back.",
    )
    slips = {
        "the noise profile holds powers, and you subtracted it from magnitudes": (
            _subtract(mixture, profile.square(), alpha, beta),
            "Take its square root first.",
        ),
        "you subtracted powers": (
            _subtract(mixture, profile, alpha, beta, "power"),
            "This exercise asks for magnitudes: |X| - alpha |N|.",
        ),
    }
    if beta > 0:
        slips["the floor is missing: what falls below it became 0"] = (
            _subtract(mixture, profile, alpha, 0.0),
            "At least beta |N| has to stay.",
        )
    right = _subtract(mixture, profile, alpha, beta)
    for message, (slip, hint) in slips.items():
        if torch.allclose(got, slip, atol=1e-6) and not torch.allclose(slip, right, atol=1e-5):
            raise CheckFailed(f"alpha = {alpha:g}, beta = {beta:g}: {message}", hint)
    if beta > alpha + 1 and got.norm() > mixture.norm():
        raise CheckFailed(
            f"alpha = {alpha:g}, beta = {beta:g}: your output is louder than the mixture",
            "A large floor may not add noise: the result is never above |X|. "
            "Finish with torch.minimum(..., X.abs()).",
        )
