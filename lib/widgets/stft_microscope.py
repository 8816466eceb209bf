"""The STFT microscope: window, size and hop of a short-time Fourier transform, moved by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lib.errors import InputError
from lib.widgets.element import Element, as_channels, encode_audio


def stft_microscope(
    sounds: Mapping[str, torch.Tensor | np.ndarray],
    sample_rate: int,
    title: str = "STFT microscope",
    *,
    tone: float = 500.0,
    gap: float = 50.0,
) -> Element:
    """A panel that shows a sound through every short-time Fourier transform, and plays it back.

    The reader moves window, size and hop, points at a bin to read time, frequency, level, phase,
    instantaneous frequency and group delay, and hears what plain overlap-add, least squares and
    a phase of zero make of the sound. Beside the given sounds there is always one that the page
    makes itself: two tones with an adjustable gap, and a click.

    Args:
        sounds: name to mono signal, ``(time,)`` or ``(1, time)`` within [-1, 1].
        sample_rate: in Hz.
        title: heading of the panel.
        tone: the lower of the two tones, in Hz.
        gap: how far the upper one lies above it at first, 5 to 200 Hz.

    Returns:
        An HTML output.

    Raises:
        InputError: for a stereo signal, another shape, or a tone or gap outside its range.

    Example:
        >>> stft_microscope({"noise": torch.zeros(16000)}, 16000)
        STFT microscope: two tones and a click, noise. Run this cell to see and hear it.
    """
    if not 50 <= tone <= sample_rate / 8 or not 5 <= gap <= 200:
        raise InputError(
            f"tone, gap: expected 50 to {sample_rate / 8:g} Hz and 5 to 200 Hz, got {tone}, {gap}"
        )
    for name, signal in sounds.items():
        channels = as_channels(signal, f"sounds[{name!r}]").shape[0]
        if channels != 1:
            raise InputError(
                f"sounds[{name!r}]: expected one channel, got {channels}; take their mean"
            )
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "tone": float(tone),
        "gap": float(gap),
        "sounds": [
            {"name": str(name), "source": encode_audio(signal, sample_rate)}
            for name, signal in sounds.items()
        ],
    }
    names = ", ".join(["two tones and a click", *map(str, sounds)])
    fallback = f"{title}: {names}. Run this cell to see and hear it."
    return Element("unmix-stft-microscope", config, ("stft_microscope",), fallback)
