"""Dilation explorer: what one output frame of a temporal convolutional network can see."""

from __future__ import annotations

from lib.errors import InputError
from lib.nn.tcn import receptive_field
from lib.widgets.element import Element

_RANGES = {"taps": (2, 7), "blocks": (1, 10), "repeats": (1, 6), "kernel_size": (2, 64)}
# Conv-TasNet as published; the settings that the reader moves come on top.
_SIZES = {"filters": 512, "bottleneck": 128, "hidden": 512, "skip": 128, "speakers": 2}


def dilation_explorer(
    taps: int = 3,
    blocks: int = 4,
    repeats: int = 1,
    kernel_size: int = 16,
    *,
    causal: bool = False,
    sample_rate: int = 8000,
    title: str = "Dilation explorer",
) -> Element:
    """A panel in which the reader stacks dilated convolutions and sees their cone of influence.

    The picture shows every frame that one output frame depends on, block by block. Sliders set P,
    X, R and L; a switch makes the convolutions causal. Below stand the receptive field, as
    :func:`lib.nn.tcn.receptive_field` counts it, in frames and in seconds, and the parameters of a
    :class:`lib.models.ConvTasNet` of these settings, its other sizes as published.

    Args:
        taps: P at the start, 2 to 7; odd, unless ``causal``.
        blocks: X, 1 to 10.
        repeats: R, 1 to 6.
        kernel_size: L, an even number of samples, 2 to 64; windows overlap by half.
        causal: look at no later frame.
        sample_rate: in Hz, 1000 or more.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for a number out of its range.

    Source: Luo and Mesgarani, "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019, fig. 1.

    Example:
        >>> dilation_explorer(taps=3, blocks=8, repeats=3)
        Dilation explorer: P = 3, X = 8, R = 3 see 1531 frames. Run this cell to change them.
    """
    settings = {"taps": taps, "blocks": blocks, "repeats": repeats, "kernel_size": kernel_size}
    for name, value in settings.items():
        low, high = _RANGES[name]
        if value not in range(low, high + 1):
            raise InputError(f"{name}: expected a whole number, {low} to {high}, got {value!r}")
    if kernel_size % 2:
        raise InputError(f"kernel_size: expected an even number, got {kernel_size}")
    if taps % 2 == 0 and not causal:
        raise InputError(f"taps: expected an odd number, or causal=True, got {taps}")
    if not sample_rate >= 1000:
        raise InputError(f"sample_rate: expected 1000 Hz or more, got {sample_rate!r}")
    config = {
        "title": title,
        "settings": {name: int(value) for name, value in settings.items()},
        "ranges": _RANGES,
        "causal": bool(causal),
        "sizes": _SIZES,
        "sample_rate": int(sample_rate),
    }
    fallback = (
        f"{title}: P = {taps}, X = {blocks}, R = {repeats} see "
        f"{receptive_field(taps, blocks, repeats)} frames. Run this cell to change them."
    )
    return Element("unmix-dilation-explorer", config, ("dilation_explorer",), fallback)
