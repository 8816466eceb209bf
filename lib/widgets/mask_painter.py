"""The mask painter: separate a mixture by hand, with a brush on its spectrogram."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lib.errors import InputError
from lib.widgets.element import Element, as_channels, encode_audio


def mask_painter(
    sources: Mapping[str, torch.Tensor | np.ndarray],
    sample_rate: int,
    title: str = "Mask painter",
    *,
    n_fft: int = 256,
    hop_length: int = 64,
) -> Element:
    """A panel in which the reader paints a mask over a mixture, and hears what it lets through.

    The mixture is the sum of the sources. The brush has a value, a size and a soft edge; there
    are an eraser, undo and redo, and every tool works from the keyboard. Each stroke is heard at
    once, scored in SI-SDR against the chosen source, and compared with the ideal masks (IBM, IRM,
    WFM, PSM), which one click fetches or lays over the picture as a guide. The page computes all
    of it itself: STFT, masking, inverse STFT and score.

    Args:
        sources: name to mono signal, ``(time,)`` or ``(1, time)``, at least two of one length,
            whose sum stays within [-1, 1]; 3 to 4 s make a good canvas.
        sample_rate: in Hz.
        title: heading of the panel.
        n_fft: length of the frames, a power of two from 64 to 2048 samples.
        hop_length: from one frame to the next, in samples, at most half of ``n_fft``.

    Returns:
        An HTML output.

    Raises:
        InputError: for fewer than two sources, unequal lengths, stereo, a mixture beyond full
            scale, or sizes outside their range.

    Example:
        >>> tone = torch.sin(torch.arange(8000) * 0.3) / 4
        >>> mask_painter({"a tone": tone, "a louder tone": 2 * tone}, 8000)
        Mask painter: a tone, a louder tone (1.0 s at 8000 Hz). Run this cell to paint.
    """
    if not isinstance(sources, Mapping) or len(sources) < 2:
        raise InputError(
            f"sources: expected a dict with at least two signals, got {type(sources).__name__} of "
            f"length {len(sources)}; write mask_painter({{'one': first, 'two': second}}, rate)"
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
    fallback = (
        f"{title}: {', '.join(signals)} ({seconds:.1f} s at {sample_rate} Hz). "
        "Run this cell to paint."
    )
    return Element("unmix-mask-painter", config, ("mask_painter",), fallback)
