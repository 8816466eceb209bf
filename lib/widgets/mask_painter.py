"""The mask painter: separate a mixture by hand, with a brush on its spectrogram."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lib.widgets.element import Element
from lib.widgets.mixture import mixture_config


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
    config, line = mixture_config(sources, sample_rate, title, n_fft, hop_length)
    return Element(
        "unmix-mask-painter", config, ("mask_painter",), f"{line}. Run this cell to paint."
    )
