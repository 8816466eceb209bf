"""What panels that separate a mixture in the page are given: its sources, and the STFT's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lib.errors import InputError
from lib.widgets.element import as_channels, encode_audio


def mixture_config(
    sources: Mapping[str, torch.Tensor | np.ndarray],
    sample_rate: int,
    title: str,
    n_fft: int,
    hop_length: int,
) -> tuple[dict[str, Any], str]:
    """Check and encode the sources of a mixture for ``readSources`` of the panels.

    Args:
        sources: name to mono signal, ``(time,)`` or ``(1, time)``, at least two of one length,
            whose sum stays within [-1, 1].
        sample_rate: in Hz.
        title: heading of the panel.
        n_fft: length of the frames, a power of two from 64 to 2048 samples.
        hop_length: from one frame to the next, in samples, at most half of ``n_fft``.

    Returns:
        The config, and a line that says what is in the mixture.

    Raises:
        InputError: for fewer than two sources, unequal lengths, stereo, a mixture beyond full
            scale, or sizes outside their range.

    Example:
        >>> tone = torch.sin(torch.arange(8000) * 0.3) / 4
        >>> config, line = mixture_config({"one": tone, "two": tone}, 8000, "A mixture", 256, 64)
        >>> line, len(config["sources"])
        ('A mixture: one, two (1.0 s at 8000 Hz)', 2)
    """
    if not isinstance(sources, Mapping) or len(sources) < 2:
        raise InputError(
            f"sources: expected a dict with at least two signals, got {type(sources).__name__} of "
            f"length {len(sources)}; write {{'one': first, 'two': second}}"
        )
    if n_fft not in (64, 128, 256, 512, 1024, 2048) or not 1 <= hop_length <= n_fft // 2:
        raise InputError(
            "n_fft, hop_length: expected a power of two from 64 to 2048 and a hop of at most half "
            f"of it, got {n_fft} and {hop_length}"
        )
    signals = {str(name): as_channels(s, f"sources[{name!r}]") for name, s in sources.items()}
    shapes = {signal.shape for signal in signals.values()}
    if len(shapes) > 1 or next(iter(shapes))[0] != 1:
        raise InputError(
            f"sources: expected mono signals of one length, got {sorted(shapes)}; trim them, and "
            "take the mean over channels"
        )
    if (peak := np.abs(sum(signals.values())).max()) > 1:
        raise InputError(
            f"sources: expected a sum within [-1, 1], got a peak of {peak:.3g}; scale all of them"
        )
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "n_fft": int(n_fft),
        "hop_length": int(hop_length),
        "sources": [
            {"name": name, "source": encode_audio(signal, sample_rate)}
            for name, signal in signals.items()
        ],
    }
    seconds = next(iter(shapes))[1] / sample_rate
    return config, f"{title}: {', '.join(signals)} ({seconds:.1f} s at {sample_rate} Hz)"
