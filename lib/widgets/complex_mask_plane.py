"""Complex mask plane: one point of a spectrogram as arrows, and a mask that one can turn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lib.errors import InputError
from lib.widgets.element import Element
from lib.widgets.mixture import mixture_config


def complex_mask_plane(
    sources: Mapping[str, torch.Tensor | np.ndarray],
    sample_rate: int,
    title: str = "Complex mask plane",
    *,
    n_fft: int = 256,
    hop_length: int = 64,
    bound: float = 1.0,
) -> Element:
    """A panel in which the reader picks a point of a mixture, sees its arrows and drags its mask.

    The mixture is the sum of the sources. A click on its spectrogram, or the arrow keys, choose a
    bin; the complex plane beside it shows the mixture X, the true source S and the masked mixture
    M X there, as they are or divided by X. Dragging M, or moving it with the arrow keys, changes
    the mask of that bin, of a patch around it, or of all bins, never beyond the bound; the sound
    and its SI-SDR follow. One click fills the whole mask with 1, with the best real numbers from 0
    to 1, or with S / X within the bound. The page computes all of it itself.

    Args:
        sources: name to mono signal, ``(time,)`` or ``(1, time)``, at least two of one length,
            whose sum stays within [-1, 1]; 2 to 4 s are enough.
        sample_rate: in Hz.
        title: heading of the panel.
        n_fft: length of the frames, a power of two from 64 to 2048 samples.
        hop_length: from one frame to the next, in samples, at most half of ``n_fft``.
        bound: largest modulus of the mask at the start, 0.5 to 10.

    Returns:
        An HTML output.

    Raises:
        InputError: for fewer than two sources, unequal lengths, stereo, a mixture beyond full
            scale, or sizes or a bound outside their range.

    Source: Williamson, Wang and Wang, "Complex ratio masking for monaural speech separation", 2016.

    Example:
        >>> tone = torch.sin(torch.arange(8000) * 0.3) / 4
        >>> complex_mask_plane({"a tone": tone, "a louder tone": 2 * tone}, 8000)
        Complex mask plane: a tone, a louder tone (1.0 s at 8000 Hz). Run this cell to use it.
    """
    if not 0.5 <= bound <= 10:
        raise InputError(f"bound: expected a number from 0.5 to 10, got {bound}")
    config, line = mixture_config(sources, sample_rate, title, n_fft, hop_length)
    return Element(
        "unmix-complex-mask-plane",
        config | {"bound": float(bound)},
        ("complex_mask_plane",),
        f"{line}. Run this cell to use it.",
    )
