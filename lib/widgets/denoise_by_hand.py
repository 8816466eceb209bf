"""Denoise by hand: draw the profile of a noise, subtract it, and hear musical noise appear."""

from __future__ import annotations

import numpy as np
import torch

from lib.classical.noise_tracking import analysis
from lib.errors import InputError
from lib.widgets.element import Element, as_mono, encode_audio


def denoise_by_hand(
    mixture: torch.Tensor | np.ndarray,
    reference: torch.Tensor | np.ndarray,
    sample_rate: int,
    title: str = "Denoise by hand",
    *,
    stretch: tuple[float, float] = (0.0, 0.3),
    over_subtraction: float = 1.0,
    floor: float = 0.0,
) -> Element:
    """A panel in which the reader is the noise estimator of spectral subtraction.

    The reader draws the noise profile on the average spectrum, or takes it from a stretch marked
    on the spectrogram, and moves over-subtraction and floor. The estimate, its SI-SDR, the level of
    what is left of the noise and its musical-noise index follow at once. The page computes what
    :func:`lib.classical.spectral_subtraction` and
    :func:`lib.classical.musical_noise_index` compute.

    Args:
        mixture: noisy speech, ``(time,)`` or ``(1, time)`` within [-1, 1], a few seconds.
        reference: the speech alone, of the same shape; the page needs it for the scores only.
        sample_rate: in Hz; 8000 or 16000 (the page's FFT takes powers of two).
        title: heading of the panel.
        stretch: begin and end in seconds of the stretch that the first profile is taken from.
        over_subtraction: where its slider starts, 0 to 6.
        floor: where its slider starts, 0 to 0.5.

    Returns:
        An HTML output.

    Raises:
        InputError: for stereo, unequal lengths, silence, a stretch outside the clip or shorter
            than two frames, or another sample rate.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> speech, noise = torch.rand(2, 8000, generator=generator) - 0.5
        >>> denoise_by_hand(speech + noise, speech, 8000)
        Denoise by hand (1.0 s at 8000 Hz). Run this cell to draw a noise profile.
    """
    n_fft = analysis(sample_rate).n_fft
    if n_fft & (n_fft - 1):
        raise InputError(
            f"sample_rate: expected 8000 or 16000 Hz, got {sample_rate}; resample with "
            "lib.audio.resample"
        )
    signals = {"mixture": mixture, "reference": reference}
    arrays = {name: as_mono(signal, name) for name, signal in signals.items()}
    lengths = [array.shape[-1] for array in arrays.values()]
    if lengths[0] != lengths[1]:
        raise InputError(
            f"mixture and reference: expected equal lengths, got {lengths[0]} and {lengths[1]}"
        )
    seconds = lengths[0] / sample_rate
    start, stop = stretch
    if not (0 <= start and start + 2 * n_fft / sample_rate <= stop <= seconds):
        raise InputError(
            f"stretch: expected at least {2 * n_fft / sample_rate:.3f} s within the "
            f"{seconds:.2f} s of the clip, got {start} to {stop} s"
        )
    if not (0 <= over_subtraction <= 6 and 0 <= floor <= 0.5):
        raise InputError(
            "over_subtraction, floor: expected 0 to 6 and 0 to 0.5, "
            f"got {over_subtraction}, {floor}"
        )
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "n_fft": n_fft,
        "stretch": [float(start), float(stop)],
        "over_subtraction": float(over_subtraction),
        "floor": float(floor),
        "mixture": encode_audio(arrays["mixture"], sample_rate),
        "reference": encode_audio(arrays["reference"], sample_rate),
    }
    fallback = (
        f"Denoise by hand ({seconds:.1f} s at {sample_rate} Hz). "
        "Run this cell to draw a noise profile."
    )
    return Element("unmix-denoise-by-hand", config, ("denoise_by_hand",), fallback)
