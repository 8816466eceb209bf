"""Checks of chapter 1: label the tasks, mend a data set, mix at a chosen SNR."""

from __future__ import annotations

import torch

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds, raises

_TASKS = {
    "denoising": (
        "one voice is wanted, as a signal, and everything else has to go; nobody asks for the "
        "rain as a track of its own"
    ),
    "source separation": "every source is wanted, each as a signal of its own",
    "target extraction": (
        "one source is wanted and a clue says which; without the clue nobody could know"
    ),
    "diarisation": "who spoke when: the answer is a list of persons and times, no signal at all",
    "sound event detection": (
        "what sounds when: like diarisation, but the labels are kinds of sound, not persons"
    ),
}
_KEY = {
    "A": "denoising",
    "B": "source separation",
    "C": "diarisation",
    "D": "source separation",
    "E": "sound event detection",
}
_ALIASES = {
    "speech enhancement": "denoising",
    "separation": "source separation",
    "extraction": "target extraction",
    "diarization": "diarisation",
    "event detection": "sound event detection",
}


@exercise("ch01.tasks")
def tasks(answer):
    """``answer``: a dict from the clips A to E to the name of a task."""
    holds(
        isinstance(answer, dict) and set(answer) == set(_KEY),
        "expected a dict with the keys A, B, C, D and E",
        hint='It begins {"A": "denoising", ...} if you think that A is denoising.',
    )
    if any(label is ... or label is None for label in answer.values()):
        raise NotAttempted
    named = {clip: _task(clip, label) for clip, label in answer.items()}
    right = [clip for clip in _KEY if named[clip] == _KEY[clip]]
    for clip, label in named.items():
        if label != _KEY[clip]:
            raise CheckFailed(
                f"{len(right)} of {len(_KEY)} right; {clip} is not {label}",
                f"{label} means: {_TASKS[label]}. Is that what {clip} asks for?",
            )
    return "\n  " + "\n  ".join(f"{clip} {task}: {_TASKS[task]}" for clip, task in _KEY.items())


def _task(clip: str, label) -> str:
    name = str(label).strip().lower().replace("_", " ")
    name = _ALIASES.get(name, name)
    if name not in _TASKS:
        raise CheckFailed(f"{clip}: expected one of {', '.join(_TASKS)}, got {label!r}")
    return name


@exercise("ch01.own_peaks")
def own_peaks(answer):
    """``answer(mixture, voice, noise) -> (gain of voice, gain of noise)``."""
    generator = torch.Generator().manual_seed(11)
    for trial in range(4):
        voice, noise = torch.randn(2, 400, generator=generator, dtype=torch.float64)
        noise = 10 ** (-0.3 * trial) * noise + 0.3 * voice.roll(trial)
        signals = torch.stack([voice + noise, voice, noise])
        peaks = signals.abs().amax(-1)
        stored = signals / peaks[:, None]
        gains = answer(*stored.clone())
        if gains is None or gains is ...:
            raise NotAttempted
        holds(
            hasattr(gains, "__len__") and len(gains) == 2,
            "expected two gains, one for the voice and one for the noise",
        )
        got = torch.stack([torch.as_tensor(g, dtype=torch.float64).reshape(()) for g in gains])
        _diagnose(got, peaks)
        repaired = got[0] * stored[1] + got[1] * stored[2]
        error = (stored[0] - repaired).norm() / stored[0].norm()
        holds(
            error < 1e-6,
            f"gain * voice + gain * noise misses the mixture by {100 * float(error):.2g} %",
            hint="Both gains have to be found together: voice and noise are not orthogonal, so "
            "projecting on one at a time leaves an error. torch.linalg.lstsq solves for both.",
        )
    return "4 broken triples: with your gains, voice + noise == mixture again"


def _diagnose(gains: torch.Tensor, peaks: torch.Tensor) -> None:
    """Recognise what people try first."""
    right = peaks[1:] / peaks[0]
    if torch.allclose(gains, right, rtol=1e-5):
        return
    if torch.allclose(gains, torch.ones(2, dtype=torch.float64), atol=1e-9):
        raise CheckFailed(
            "gains of 1 leave the files as they are, and voice + noise is not the mixture",
            "Each stored file peaks at exactly 1, so its own peak tells you nothing any more. "
            "Use the mixture: which two gains make the sum fit?",
        )
    if torch.allclose(gains, 1 / right, rtol=1e-5):
        raise CheckFailed(
            "both gains are the wrong way up: these are one over the right ones",
            "You want gain * stored voice, not stored voice / gain.",
        )


@exercise("ch01.mix_at_snr")
def mix_at_snr(answer):
    """``answer(target, noise, snr_db) -> (mixture, scaled noise)``."""
    generator = torch.Generator().manual_seed(7)
    for snr_db in (0.0, 5.0, -10.0, 20.0, 3.7):
        length = int(torch.randint(200, 900, (), generator=generator))
        target, noise = torch.randn(2, length, generator=generator, dtype=torch.float64)
        noise = 3.0 * noise
        before = noise.clone()
        got = answer(target.clone(), noise, snr_db)
        if got is None or got is ...:
            raise NotAttempted
        holds(
            isinstance(got, tuple | list) and len(got) == 2,
            "expected two signals: the mixture and the scaled noise",
            hint="Write: return mixture, scaled_noise",
        )
        mixture, scaled = got
        holds(
            torch.equal(noise, before),
            "expected the caller's noise to stay as it was, but your function changed it",
            hint="noise *= gain works in place; write scaled = gain * noise.",
        )
        _diagnose_snr(target, noise, scaled, snr_db)
        close(
            mixture,
            target + scaled,
            "the mixture",
            atol=1e-9,
            hint="It is target + scaled noise: the target keeps its level, and nothing is "
            "normalised here.",
        )
    quiet = torch.zeros(100, dtype=torch.float64)
    loud = torch.ones(100, dtype=torch.float64)
    for pair, name in (((quiet, loud), "target"), ((loud, quiet), "noise")):
        raises(
            lambda pair=pair: answer(*pair, 0.0),
            f"a silent {name}",
            hint="Silence has no level, so no gain gives the SNR: raise ValueError(...) that says "
            "which signal is silent.",
        )
    return "5 random mixtures, each within 1e-6 dB; silence is refused"


def _diagnose_snr(target, noise, scaled, snr_db: float) -> None:
    holds(isinstance(scaled, torch.Tensor), "expected the scaled noise as a tensor")
    holds(
        scaled.shape == noise.shape,
        f"scaled noise: expected shape {tuple(noise.shape)}, got {tuple(scaled.shape)}",
    )
    gain = (scaled @ noise) / (noise @ noise)
    holds(
        torch.allclose(scaled, gain * noise, atol=1e-9) and gain > 0,
        "expected the noise times one positive number",
        hint="One gain for the whole clip: a gain that changes over time would change the noise.",
    )
    measured = 20 * torch.log10(target.norm() / scaled.norm())
    if abs(measured - snr_db) < 1e-6:
        return
    ratio = target.norm() / noise.norm()
    slips = {
        10 ** (snr_db / 20) * ratio: "The sign of the exponent is turned: more SNR, less noise.",
        10 ** (-snr_db / 10) * ratio: "Decibels of amplitude take 20, not 10: 10 ** (-snr_db / 20)"
        " multiplies a signal.",
        10 ** (-snr_db / 10) * ratio**2: "That is the ratio of powers; a gain multiplies the "
        "signal, so take the square root of it.",
        10 ** (-snr_db / 20) * torch.ones(()): "You left out the ratio of the norms: the two "
        "signals are not equally loud to begin with.",
        10 ** (-snr_db / 20) / ratio: "The ratio of the norms stands upside down.",
    }
    hint = "The gain is 10 ** (-snr_db / 20) * norm(target) / norm(noise)."
    for slip, advice in slips.items():
        if torch.isclose(gain, torch.as_tensor(slip, dtype=torch.float64), rtol=1e-6):
            hint = advice
            break
    raise CheckFailed(f"SNR in dB: expected {snr_db:g}, measured {float(measured):.6g}", hint)
