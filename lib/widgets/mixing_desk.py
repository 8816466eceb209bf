"""The mixing desk of chapter 1: two faders, an SNR, and a gain to predict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from lib.errors import InputError
from lib.widgets.element import Element, as_mono, encode_audio

TARGETS_DB = (5.0, -5.0, 10.0, -10.0, 15.0, 0.0)


def mixing_desk(
    voice: torch.Tensor | np.ndarray,
    noises: Mapping[str, torch.Tensor | np.ndarray],
    sample_rate: int,
    title: str = "Mixing desk",
    *,
    targets_db: Sequence[float] = TARGETS_DB,
) -> Element:
    """A desk with a fader for a voice and one for a noise; everything is computed in the page.

    The reader hears and sees the sum while a fader moves, reads its SNR, and in a second mode
    predicts the gain of the noise for a target SNR before it is revealed.

    Args:
        voice: ``(time,)`` or ``(1, time)``, within [-1, 1].
        noises: name to signal, each of the voice's length, within [-1, 1]; the reader picks one.
        sample_rate: in Hz.
        title: heading of the desk.
        targets_db: the SNRs that the reader is asked for, in turn.

    Returns:
        An HTML output.

    Raises:
        InputError: for no noise, stereo, silent or unequally long signals, or targets that are
            not finite numbers.

    Example:
        >>> tone = 0.1 * torch.sin(torch.arange(8000) * 0.3)
        >>> mixing_desk(tone, {"hum": tone}, 8000)
        Mixing desk: a voice and hum (1.0 s at 8000 Hz). Run this cell to use it.
    """
    if not isinstance(noises, Mapping) or not noises:
        raise InputError(
            f"noises: expected a dict of name to signal with at least one entry, got "
            f"{type(noises).__name__}; write mixing_desk(voice, {{'rain': rain}}, sample_rate)"
        )
    if not targets_db or not all(math.isfinite(target) for target in targets_db):
        raise InputError(f"targets_db: expected finite numbers in dB, got {targets_db!r}")
    signals = {"voice": as_mono(voice, "voice")}
    for name, noise in noises.items():
        signals[str(name)] = as_mono(noise, f"noises[{name!r}]")
        if signals[str(name)].shape != signals["voice"].shape:
            raise InputError(
                f"noises[{name!r}]: expected the voice's {signals['voice'].shape[-1]} samples, "
                f"got {signals[str(name)].shape[-1]}; trim one of them"
            )
    encoded = [
        {"name": name, "source": encode_audio(signal, sample_rate)}
        for name, signal in signals.items()
    ]
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "voice": encoded[0],
        "noises": encoded[1:],
        "targets_db": [float(target) for target in targets_db],
    }
    seconds = signals["voice"].shape[-1] / sample_rate
    fallback = (
        f"{title}: a voice and {', '.join(map(str, noises))} "
        f"({seconds:.1f} s at {sample_rate} Hz). Run this cell to use it."
    )
    return Element("unmix-mixing-desk", config, ("mixing_desk",), fallback)
