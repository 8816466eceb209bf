"""The listening panel: signals that run in step, equally loud, with their spectrograms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lib.errors import InputError, require_package
from lib.widgets.element import Element, as_channels, encode_audio

_TARGET_LUFS = -23.0  # the broadcast level (EBU R 128): room above it for peaks
_SILENCE_LUFS = -70.0  # the absolute gate of BS.1770: below it there is nothing to match
_PEAK = 0.99


def listen(
    tracks: Mapping[str, torch.Tensor | np.ndarray],
    sample_rate: int,
    title: str = "",
    *,
    start: str | None = None,
    loudness_match: bool = True,
    format: str = "flac",
    max_frequency: float | None = None,
) -> Element:
    """A panel that plays signals in step and switches between them without a click.

    Make it the last line of a cell. All tracks start on the same sample; switching keeps the
    playhead. Loudness matching is a switch in the panel and touches no sample; each track is
    otherwise played as it is. Only if a track exceeds full scale are all tracks lowered by one
    gain, and the panel says so.

    Args:
        tracks: name to signal, each ``(time,)``, ``(1, time)`` or stereo ``(2, time)``, all of one
            length, nominally within [-1, 1]; tensors or arrays.
        sample_rate: in Hz.
        title: heading of the panel.
        start: name of the track that is heard first; ``None``: ``"mixture"`` if there is one,
            else the first.
        loudness_match: whether the switch starts on.
        format: how the page carries the audio: ``"flac"``, ``"wav"``, ``"vorbis"`` or ``"opus"``.
        max_frequency: upper edge of the spectrogram in Hz; ``None``: half the sample rate.

    Returns:
        An HTML output.

    Raises:
        InputError: for no tracks, other shapes, unequal lengths, NaN or infinity, unknown names.

    Source:
        Loudness: ITU-R BS.1770-4, "Algorithms to measure audio programme loudness".

    Example:
        >>> tone = torch.sin(torch.arange(8000) * 0.3)
        >>> listen({"mixture": tone, "estimate": 0.1 * tone}, 8000)
        Listening panel: mixture, estimate (1.0 s at 8000 Hz). Run this cell to hear it.
    """
    signals = _check(tracks, sample_rate)
    names = list(signals)
    if start is None:
        start = "mixture" if "mixture" in names else names[0]
    if start not in names:
        raise InputError(f"start: expected one of {', '.join(names)}, got {start!r}")
    nyquist = sample_rate / 2
    if max_frequency is not None and not 0 < max_frequency <= nyquist:
        raise InputError(
            f"max_frequency: expected more than 0 and at most {nyquist:g} Hz, got {max_frequency}"
        )

    signals, notes = _within_full_scale(signals)
    gains = matching_gains(list(signals.values()), sample_rate)
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "max_frequency": float(max_frequency or nyquist),
        "start": names.index(start),
        "match": bool(loudness_match),
        "notes": notes,
        "tracks": [
            {
                "name": name,
                "source": encode_audio(signal, sample_rate, format),
                "gain_db": round(gain, 3),
            }
            for (name, signal), gain in zip(signals.items(), gains, strict=True)
        ],
    }
    seconds = next(iter(signals.values())).shape[-1] / sample_rate
    heading = f"Listening panel{f' “{title}”' if title else ''}"
    fallback = (
        f"{heading}: {', '.join(names)} ({seconds:.1f} s at {sample_rate} Hz). "
        "Run this cell to hear it."
    )
    return Element("unmix-listen", config, ("listen",), fallback)


def _check(tracks: Mapping[str, torch.Tensor | np.ndarray], sample_rate: int) -> dict:
    if not isinstance(tracks, Mapping) or not tracks:
        raise InputError(
            f"tracks: expected a dict of name to signal with at least one entry, got "
            f"{type(tracks).__name__}; write listen({{'mixture': mixture}}, sample_rate)"
        )
    if not 3000 <= sample_rate <= 192000:
        raise InputError(f"sample_rate: expected 3000 to 192000 Hz, got {sample_rate}")
    signals = {
        str(name): as_channels(signal, f"tracks[{name!r}]") for name, signal in tracks.items()
    }
    lengths = {name: signal.shape[-1] for name, signal in signals.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(
            f"tracks: expected signals of one length, got {listed} samples; trim or pad them"
        )
    return signals


def _within_full_scale(signals: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    peaks = {name: float(np.abs(signal).max()) for name, signal in signals.items()}
    loudest = max(peaks, key=peaks.get)
    if peaks[loudest] <= 1:
        return signals, []
    gain = _PEAK / peaks[loudest]
    note = (
        f"“{loudest}” exceeds full scale (peak {peaks[loudest]:.2f}): every track is played "
        f"{-20 * np.log10(gain):.1f} dB lower, by the same gain, so that none clips."
    )
    return {name: signal * gain for name, signal in signals.items()}, [note]


def matching_gains(signals: list[np.ndarray], sample_rate: int) -> list[float]:
    """Gains in dB that make signals equally loud without letting any peak exceed 0.99.

    Where the broadcast level of -23 LUFS would make one of them exceed it, the target is lowered
    for all. Silence keeps 0 dB.

    Args:
        signals: arrays ``(channels, time)``.
        sample_rate: in Hz.

    Returns:
        One gain in dB per signal.

    Example:
        >>> tone = np.sin(np.arange(16000) * 0.3)[None]
        >>> loud, soft = matching_gains([0.5 * tone, 0.05 * tone], 16000)
        >>> round(soft - loud, 3)
        20.0
    """
    levels = [loudness(signal, sample_rate) for signal in signals]
    target = _TARGET_LUFS
    for signal, level in zip(signals, levels, strict=True):
        if level > _SILENCE_LUFS:
            headroom = 20 * np.log10(_PEAK / np.abs(signal).max())
            target = min(target, level + headroom)
    return [float(target - level) if level > _SILENCE_LUFS else 0.0 for level in levels]


def loudness(signal: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness in LUFS; for less than 0.4 s, where it is not defined, the RMS in dB.

    Args:
        signal: array ``(channels, time)``.
        sample_rate: in Hz.

    Returns:
        LUFS, ``-inf`` for silence.

    Source:
        ITU-R BS.1770-4: K-weighting, blocks of 400 ms with 75 % overlap, gates at -70 LUFS and
        10 LU below the mean. The filters are the analogue prototypes that reproduce its tables at
        48 kHz (De Man, 2018), so that they hold at any rate.

    Example:
        >>> tone = np.sin(2 * np.pi * 997 * np.arange(48000) / 48000)[None]
        >>> round(loudness(tone, 48000), 1)
        -3.0
    """
    block = round(0.4 * sample_rate)
    if signal.shape[-1] < block:
        power = np.mean(signal**2)
        return float(10 * np.log10(power)) if power > 0 else -np.inf
    weighted = _k_weighted(signal, sample_rate)
    # running sums give the power of every block in one pass
    sums = np.concatenate([[0.0], np.cumsum((weighted**2).sum(axis=0))])
    starts = np.arange(0, signal.shape[-1] - block + 1, max(1, block // 4))
    powers = np.maximum((sums[starts + block] - sums[starts]) / block, 0)
    powers = powers[powers > _power(_SILENCE_LUFS)]
    if powers.size == 0:
        return -np.inf
    powers = powers[powers > powers.mean() / 10]
    return float(-0.691 + 10 * np.log10(powers.mean()))


def _power(lufs: float) -> float:
    return 10 ** ((lufs + 0.691) / 10)


def _k_weighted(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    filtering = require_package("scipy.signal", "loudness matching")

    def corner(frequency: float, q: float) -> tuple[float, float]:
        k = np.tan(np.pi * min(frequency, 0.45 * sample_rate) / sample_rate)
        return k, k / q

    k, damping = corner(1681.9744509555319, 0.7071752369554196)
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = [
        [high + band * damping + k * k, 2 * (k * k - high), high - band * damping + k * k],
        [1 + damping + k * k, 2 * (k * k - 1), 1 - damping + k * k],
    ]
    k, damping = corner(38.13547087602444, 0.5003270373238773)
    high_pass = [[1, -2, 1], [1 + damping + k * k, 2 * (k * k - 1), 1 - damping + k * k]]
    sections = [np.concatenate([b, a]) / a[0] for b, a in (shelf, high_pass)]
    sections[1][:3] = [1, -2, 1]  # BS.1770 leaves the numerator of the high-pass unscaled
    return filtering.sosfilt(np.stack(sections), signal, axis=-1)
