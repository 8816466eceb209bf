"""Band splitter: draw the bands of a Band-Split RNN on a spectrogram, and count what they cost."""

from __future__ import annotations

import numpy as np
import torch

from lib.errors import InputError
from lib.models.band_split_rnn import SCHEMES
from lib.nn.bands import band_widths
from lib.published import published
from lib.widgets.element import Element, as_mono, encode_audio

_SECONDS = 10
_N_FFT = (256, 512, 1024, 2048, 4096)
_PUBLISHED = (44_100, 2048)  # sample rate and frames of the published bands
_TARGETS = ("bass", "drums")  # with bands of their own; the others are for vocals


def band_splitter(
    signal: torch.Tensor | np.ndarray,
    sample_rate: int = 44_100,
    title: str = "Draw your bands",
    *,
    n_fft: int = 2048,
    channels: int = 128,
    layers: int = 12,
    bands: str = "v1",
) -> Element:
    """A panel in which the reader cuts a spectrogram into bands, and sees what they cost a network.

    Edges are dragged, bands split and merged, with mouse or keyboard; the chosen band can be heard
    alone. The panel counts the bands and the parameters of a
    :class:`lib.models.BandSplitRNN` with them, and writes the bands down as its argument. One
    click takes those of the paper, whose published scores stand beside them. For other bands no
    score is known, and the panel gives none.

    Args:
        signal: what to look at, ``(time,)`` or ``(1, time)`` within [-1, 1], at most 10 s.
        sample_rate: in Hz.
        title: heading of the panel.
        n_fft: samples of a frame, a power of two from 256 to 4096.
        channels: features of a band, N, 8 to 256, a multiple of 8.
        layers: pairs of LSTMs, 1 to 12.
        bands: those at the start, a name of ``lib.models.band_split_rnn.SCHEMES``.

    Returns:
        An HTML output.

    Raises:
        InputError: for another signal, or a number or name that is not among these.

    Source: Y. Luo and J. Yu, "Music source separation with band-split RNN", IEEE/ACM TASLP 31,
    2023, sections III and V-A.

    Example:
        >>> band_splitter(torch.sin(torch.arange(44100) * 0.03) / 4)
        Draw your bands: 1.0 s at 44100 Hz, 1025 bins. Run this cell to cut them.
    """
    samples = as_mono(signal)
    seconds = samples.shape[-1] / sample_rate
    if seconds > _SECONDS:
        raise InputError(f"signal: expected at most {_SECONDS} s, got {seconds:.1f} s")
    if n_fft not in _N_FFT:
        raise InputError(f"n_fft: expected one of {', '.join(map(str, _N_FFT))}, got {n_fft}")
    if channels not in range(8, 257, 8):
        raise InputError(f"channels: expected a multiple of 8 up to 256, got {channels}")
    if layers not in range(1, 13):
        raise InputError(f"layers: expected a whole number, 1 to 12, got {layers}")
    names = [name for name in SCHEMES if name.startswith("v") and name != "vocals"]
    names += _TARGETS
    if bands not in names:
        raise InputError(f"bands: expected one of {', '.join(names)}, got {bands!r}")
    bins = n_fft // 2 + 1
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "n_fft": int(n_fft),
        "channels": int(channels),
        "layers": int(layers),
        "source": encode_audio(samples, sample_rate),
        "start": names.index(bands),
        "presets": [
            {"label": name.upper() if name[1:].isdigit() else name}
            | {"widths": band_widths(SCHEMES[name], bins, sample_rate)}
            | {"target": name if name in _TARGETS else "vocals"}
            | {"score": _score(name) if (sample_rate, n_fft) == _PUBLISHED else None}
            for name in names
        ],
    }
    fallback = (
        f"{title}: {seconds:.1f} s at {sample_rate} Hz, {bins} bins. Run this cell to cut them."
    )
    return Element("unmix-band-splitter", config, ("band_splitter",), fallback)


def _score(name: str) -> float:
    """Look up the uSDR of the published network with these bands, in dB."""
    if name in _TARGETS:
        rows = published("MUSDB18-HQ", "uSDR", "BSRNN")
        wanted = f"test, {name}; MUSDB only"
        rows = rows[(rows["system"] == "BSRNN") & (rows["split_or_condition"] == wanted)]
    else:
        rows = published("MUSDB18-HQ", "uSDR", f"BSRNN, bands {name}")
    return float(rows["value"].iloc[0])
