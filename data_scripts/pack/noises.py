"""Ten kinds of noise made by numpy: mono, 16 kHz, each a minute over the three splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from .files import write_audio

SAMPLE_RATE = 16000
LEVEL_DBFS = -26.0
SECONDS = {"train": 40, "val": 10, "test": 10}
STATIONARY = {"pink", "hiss", "fan", "engine", "rain"}


def _unit(signal: np.ndarray) -> np.ndarray:
    return signal / signal.std()


def _coloured(draw: np.random.Generator, size: int, slope: float) -> np.ndarray:
    """Gaussian noise of power ~ frequency ** slope, flat below 40 Hz."""
    spectrum = np.fft.rfft(draw.standard_normal(size))
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 40.0) / 1000
    return _unit(np.fft.irfft(spectrum * frequency ** (slope / 2), size))


def _band(signal: np.ndarray, low: float, high: float, order: int = 2) -> np.ndarray:
    sos = butter(order, [low, min(high, 7900)], "band", fs=SAMPLE_RATE, output="sos")
    return sosfilt(sos, signal)


def _drift(draw, size: int, rate: float, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """A smooth random control between ``low`` and ``high``, ``rate`` new values per second."""
    values = draw.uniform(low, high, int(size / SAMPLE_RATE * rate) + 4)
    time = np.arange(size) / SAMPLE_RATE * rate
    left = time.astype(int)
    part = 0.5 - 0.5 * np.cos(np.pi * (time - left))
    return values[left] * (1 - part) + values[left + 1] * part


def _events(draw, size: int, per_second: float) -> np.ndarray:
    return np.sort(draw.integers(0, size, draw.poisson(per_second * size / SAMPLE_RATE)))


def _add(signal: np.ndarray, start: int, event: np.ndarray) -> None:
    stop = min(start + len(event), len(signal))
    signal[start:stop] += event[: stop - start]


def _time(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _harmonics(draw, f0: np.ndarray, count: int, decay: float) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    signal = np.zeros(len(f0))
    for number in range(1, count + 1):
        weight = number**-decay * draw.uniform(0.3, 1)
        audible = np.clip((7500 - number * f0) / 500, 0, 1)
        signal += weight * audible * np.sin(number * phase + draw.uniform(0, 2 * np.pi))
    return _unit(signal)


def pink(draw, size):
    """1/f noise."""
    return _coloured(draw, size, -1.0)


def hiss(draw, size):
    """Flat noise, as of a bad preamplifier."""
    return _band(draw.standard_normal(size), 60, 7600, 1)


def fan(draw, size):
    """A ventilator: blade hum with its harmonics, and moving air."""
    f0 = draw.uniform(60, 110) * (1 + 0.004 * (_drift(draw, size, 0.5) - 0.5))
    hum = _harmonics(draw, f0, 20, 1.1) * _drift(draw, size, 2, 0.93, 1.07)
    return 0.8 * hum + _unit(_band(_coloured(draw, size, -1), 80, 4500, 1))


def engine(draw, size):
    """A car at nearly constant speed: rough harmonics of 30 to 45 Hz over road noise."""
    f0 = draw.uniform(30, 42) * 2 ** _drift(draw, size, 0.3, 0, 0.12)
    phase = np.pi * np.cumsum(f0) / SAMPLE_RATE
    rough = 1 + 0.4 * np.sin(phase)
    level = _drift(draw, size, 0.3, 0.85, 1.15)
    return level * (_harmonics(draw, f0, 90, 1.0) * rough + 0.8 * _coloured(draw, size, -1.5))


def rain(draw, size):
    """Rain on leaves: a bed of band noise and many small drops."""
    bed = _unit(_band(draw.standard_normal(size), 700, 7500, 1))
    signal = bed * _drift(draw, size, 0.2, 0.7, 1)
    for start in _events(draw, size, 80):
        time = _time(draw.uniform(0.002, 0.012))
        ring = np.sin(2 * np.pi * draw.uniform(1200, 6500) * time) * np.exp(-4 * time / time[-1])
        _add(signal, start, draw.lognormal(0.5, 0.6) * ring)
    return signal


def wind(draw, size):
    """Gusts: noise whose loudness and pitch rise and fall together."""
    gust = _drift(draw, size, 0.7) ** 2
    centre = _drift(draw, size, 0.8, 200, 900)
    white = draw.standard_normal(size)
    howl = np.zeros(size)
    state = np.zeros((1, 2))
    for start in range(0, size, 512):
        edges = [centre[start] * 0.8, centre[start] * 1.25]
        sos = butter(1, edges, "band", fs=SAMPLE_RATE, output="sos")
        howl[start : start + 512], state = sosfilt(sos, white[start : start + 512], zi=state)
    return _coloured(draw, size, -1.8) * (0.25 + gust) + 1.2 * _unit(howl) * gust


def keyboard(draw, size):
    """Typing: bursts of key presses and releases, with pauses to think."""
    signal = 3e-3 * _coloured(draw, size, -1)
    start = int(0.2 * SAMPLE_RATE)
    while start < size:
        for delay, gain in ((0.0, 1.0), (draw.uniform(0.06, 0.11), 0.45)):
            time = _time(0.06)
            click = _band(draw.standard_normal(len(time)) * np.exp(-time / 0.004), 1500, 7000, 1)
            body = np.sin(2 * np.pi * draw.uniform(250, 600) * time) * np.exp(-time / 0.012)
            ring = np.sin(2 * np.pi * draw.uniform(1800, 4200) * time) * np.exp(-time / 0.006)
            press = click + draw.uniform(0.05, 0.18) * body + 0.3 * ring
            place = start + int(delay * SAMPLE_RATE)
            if place < size:
                _add(signal, place, gain * draw.lognormal(0, 0.3) * press)
        pause = draw.gamma(3, 0.05) if draw.random() < 0.94 else draw.uniform(0.5, 1.2)
        start += int(SAMPLE_RATE * pause)
    return signal


def siren(draw, size):
    """A street: a bed of traffic, cars that pass, and a siren most of the time."""
    signal = 0.5 * _coloured(draw, size, -1.5)
    for start in _events(draw, size, 0.25):
        length = int(SAMPLE_RATE * draw.uniform(3, 6))
        car = _unit(_band(draw.standard_normal(length), 150, 1800, 1))
        _add(signal, start, draw.uniform(0.6, 1.8) * car * np.hanning(length) ** 2)
    start = int(draw.uniform(0, 1.0) * SAMPLE_RATE)
    while start < size:
        time = _time(draw.uniform(5, 8))
        if draw.random() < 0.5:  # two tones
            tone = np.where((time * 1.6) % 2 < 1, 440.0, 585.0)
        else:  # wail
            tone = 650 + 350 * np.sin(2 * np.pi * 0.3 * time + draw.uniform(0, 2 * np.pi))
        middle = time[-1] / 2
        tone = tone * (1 + 0.03 * np.tanh((middle - time) * 2))  # Doppler: it passes by
        phase = 2 * np.pi * np.cumsum(tone) / SAMPLE_RATE
        voice = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * np.sin(3 * phase)
        _add(signal, start, 1.3 * voice * np.hanning(len(time)) ** 0.8)
        start += len(time) + int(draw.uniform(0.5, 3) * SAMPLE_RATE)
    return signal


def _talkers(draw, size, speech, count):
    signal = np.zeros(size)
    for _ in range(count):
        start = -int(draw.integers(0, 2 * SAMPLE_RATE))
        while start < size:
            said = speech[draw.integers(len(speech))] * draw.uniform(0.7, 1.3)
            if start < 0:
                said = said[-start:]
            _add(signal, max(start, 0), said)
            start = max(start, 0) + len(said) + int(SAMPLE_RATE * draw.exponential(0.2))
    return _unit(signal)


def _hall(draw, seconds):
    time = _time(seconds)
    tail = draw.standard_normal(len(time)) * np.exp(-6.9 * time / seconds)
    sos = butter(1, 3500, fs=SAMPLE_RATE, output="sos")
    return sosfilt(sos, tail)


def babble(draw, size, speech):
    """Seven people talking at once, close by."""
    return _talkers(draw, size, speech, 7)


def cafe(draw, size, speech):
    """Sixteen talkers in a reverberant room, with cups and chairs."""
    talk = _unit(fftconvolve(_talkers(draw, size, speech, 16), _hall(draw, 0.6))[:size])
    signal = talk + 0.15 * _coloured(draw, size, -1)
    for start in _events(draw, size, 1.0):
        time = _time(0.25)
        clink = np.zeros(len(time))
        for frequency in draw.uniform(1800, 7000, 6):
            ring = np.sin(2 * np.pi * frequency * time + draw.uniform(0, 2 * np.pi))
            clink += draw.uniform(0.2, 1) * ring * np.exp(-time / draw.uniform(0.01, 0.06))
        _add(signal, start, draw.lognormal(0.0, 0.6) * clink)
    return signal


KINDS = (pink, hiss, fan, engine, rain, wind, keyboard, siren, cafe, babble)


def noise(kind: int, seconds: float, seed: list[int], speech: list[np.ndarray]) -> np.ndarray:
    """A stretch of kind number ``kind``, at -26 dBFS, softly limited to below full scale."""
    make = KINDS[kind]
    arguments = (speech,) if make in (babble, cafe) else ()
    signal = make(np.random.default_rng(seed), int(seconds * SAMPLE_RATE), *arguments)
    signal = _unit(signal - signal.mean()) * 10 ** (LEVEL_DBFS / 20)
    limit = 0.85
    over = np.abs(signal) > 0.6
    soft = 0.6 + (limit - 0.6) * np.tanh((np.abs(signal) - 0.6) / (limit - 0.6))
    return np.where(over, np.sign(signal) * soft, signal)


def make_noises(folder: Path, spoken: dict, repeats: int = 1, first_seed: int = 100, say=print):
    """Write all kinds and splits; returns the manifest's rows."""
    rows = []
    for kind, make in enumerate(KINDS):
        name = make.__name__
        for number, (split, seconds) in enumerate(SECONDS.items()):
            for take in range(repeats):
                seed = [first_seed, kind, number, take]
                suffix = f"_{take:03d}" if repeats > 1 else ""
                clip = f"{name}_{split}{suffix}"
                signal = noise(kind, seconds, seed, spoken[split])
                write_audio(folder / f"noise/{clip}.ogg", signal, SAMPLE_RATE, "VORBIS", 0.7)
                mixed = make in (babble, cafe)
                rows.append(
                    {
                        "clip": clip,
                        "kind": "noise",
                        "path": f"noise/{clip}.ogg",
                        "start": 0,
                        "stop": len(signal),
                        "sample_rate": SAMPLE_RATE,
                        "duration_s": f"{len(signal) / SAMPLE_RATE:.3f}",
                        "split": split,
                        "noise": name,
                        "stationary": int(name in STATIONARY),
                        "seed": "-".join(map(str, seed)),
                        "source": f"numpy, with the {split} speech" if mixed else "numpy",
                        "licence": "as the speech" if mixed else "CC0-1.0",
                    }
                )
        say(f"  noise {name}")
    return rows
