"""Chapter 1: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

from worked import ch01

mix_at_snr, own_peaks, TASKS = ch01.mix, ch01.gains_per_file, ch01.labels


RIGHT = {
    "ch01.tasks": [
        TASKS,
        TASKS | {"A": "Speech enhancement", "B": "separation", "C": "diarization"},
        TASKS | {"E": "event detection"},
    ],
    "ch01.own_peaks": [
        own_peaks,
        lambda *stored: tuple(map(float, own_peaks(*stored))),
        lambda *stored: own_peaks(*stored).numpy(),
    ],
    "ch01.mix_at_snr": [mix_at_snr, lambda *given: list(mix_at_snr(*given))],
}


def _with_gain(gain):
    def answer(target, noise, snr_db):
        if not target.any() or not noise.any():
            raise ValueError("silence")
        scaled = gain(target, noise, snr_db) * noise
        return target + scaled, scaled

    return answer


def _in_place(target, noise, snr_db):
    noise *= 10 ** (-snr_db / 20) * target.norm() / noise.norm()
    return target + noise, noise


def _no_silence(target, noise, snr_db):
    scaled = 10 ** (-snr_db / 20) * target.norm() / noise.norm() * noise
    return target + scaled, scaled


def _normalised(target, noise, snr_db):
    mixture, scaled = mix_at_snr(target, noise, snr_db)
    return mixture / mixture.abs().max(), scaled


def _scales_the_target(target, noise, snr_db):
    gain = 10 ** (snr_db / 20) * noise.norm() / target.norm()
    return gain * target + noise, noise


def _one_at_a_time(mixture, voice, noise):
    return (mixture @ voice) / (voice @ voice), (mixture @ noise) / (noise @ noise)


# exercise -> [(wrong answer, what the message has to say)]
WRONG = {
    "ch01.tasks": [
        (["denoising"], "keys A, B, C"),
        (TASKS | {"A": "cleaning"}, "expected one of"),
        (TASKS | {"C": "source separation"}, "C is not source separation"),
        (TASKS | {"D": "denoising"}, "4 of 5 right"),
        (TASKS | {"E": "diarisation"}, "who spoke when"),
    ],
    "ch01.own_peaks": [
        (lambda mixture, voice, noise: (1.0, 1.0), "gains of 1"),
        (lambda *s: (s[1].abs().max(), s[2].abs().max()), "gains of 1"),
        (lambda *s: tuple(1 / own_peaks(*s)), "wrong way up"),
        (_one_at_a_time, "found together"),
        (lambda *s: 0.5, "two gains"),
    ],
    "ch01.mix_at_snr": [
        (_with_gain(lambda t, n, snr: 10 ** (snr / 20) * t.norm() / n.norm()), "sign"),
        (_with_gain(lambda t, n, snr: 10 ** (-snr / 10) * t.norm() / n.norm()), "20, not 10"),
        (_with_gain(lambda t, n, snr: 10 ** (-snr / 10) * (t @ t) / (n @ n)), "square root"),
        (_with_gain(lambda t, n, snr: 10 ** (-snr / 20)), "left out the ratio"),
        (_with_gain(lambda t, n, snr: 10 ** (-snr / 20) * n.norm() / t.norm()), "upside down"),
        (_with_gain(lambda t, n, snr: 0.1), "expected 0, measured"),
        (lambda t, n, snr: mix_at_snr(t, n, snr)[0], "two signals"),
        (lambda t, n, snr: (t + n, -n), "positive"),
        (_in_place, "in place"),
        (_no_silence, "silent"),
        (_normalised, "nothing is normalised"),
        (_scales_the_target, "expected 0, measured"),
    ],
}
OPEN = {
    "ch01.tasks": [..., None, TASKS | {"B": ...}],
    "ch01.own_peaks": [..., lambda mixture, voice, noise: ...],
    "ch01.mix_at_snr": [..., lambda target, noise, snr_db: None],
}
