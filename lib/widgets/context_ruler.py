"""Context ruler: how much longer than its answer the input of a Wave-U-Net is, rate by rate."""

from __future__ import annotations

from lib.errors import InputError
from lib.widgets.element import Element

_RANGES = {"depth": (1, 12), "kernel_size": (3, 25), "up_kernel_size": (1, 9)}
_LONGEST = 200_000
# the paper's network (Stoller, Ewert and Dixon 2018), and the course's small one for speech
_PRESETS = (
    {"label": "the paper's", "depth": 12, "kernel_size": 15, "up_kernel_size": 5}
    | {"output": 16_384, "sample_rate": 22_050},
    {"label": "WaveUNet.small()", "depth": 8, "kernel_size": 15, "up_kernel_size": 5}
    | {"output": 16_000, "sample_rate": 8000},
)


def context_ruler(
    output: int = 60,
    depth: int = 3,
    kernel_size: int = 5,
    up_kernel_size: int = 3,
    *,
    sample_rate: int = 8000,
    title: str = "Context ruler",
) -> Element:
    """A panel in which the reader sets a Wave-U-Net and sees which samples have an answer.

    The ruler shows the input with the answer in its middle. Below it the features of each rate
    stand where they lie in time; what a convolution takes is missing at their ends. The reader
    paints how much of the input has no answer at each end, and is told whether that is too little
    or too much. A followed sample of the answer shows what it looks at, rate by rate.

    Numbers are those of :func:`lib.nn.wave_unet.valid_lengths`: the shortest input whose answer has
    at least the samples wanted.

    Args:
        output: samples wanted of the caller's network, 1 to 200000.
        depth: blocks on each way at the start, 1 to 12.
        kernel_size: taps on the way down, odd, 3 to 25.
        up_kernel_size: taps on the way up, odd, 1 to 9.
        sample_rate: Hz, for times.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for a number out of its range, or an even number of taps.

    Source: D. Stoller, S. Ewert and S. Dixon, "Wave-U-Net", ISMIR 2018, section 3.2.1.

    Example:
        >>> context_ruler()
        Context ruler: 3 blocks, 5 taps down, 3 up. Run this cell to change them.
    """
    settings = {"depth": depth, "kernel_size": kernel_size, "up_kernel_size": up_kernel_size}
    for name, value in settings.items():
        low, high = _RANGES[name]
        step = 1 if name == "depth" else 2
        if value not in range(low, high + 1, step):
            kind = "a whole" if step == 1 else "an odd"
            raise InputError(f"{name}: expected {kind} number, {low} to {high}, got {value!r}")
    for name, value, high in (("output", output, _LONGEST), ("sample_rate", sample_rate, 192_000)):
        if value not in range(1, high + 1):
            raise InputError(f"{name}: expected a whole number, 1 to {high}, got {value!r}")
    own = {name: int(value) for name, value in settings.items()}
    own |= {"output": int(output), "sample_rate": int(sample_rate)}
    config = {
        "title": title,
        "presets": [{"label": "to see each sample"} | own, *_PRESETS],
        "ranges": _RANGES,
        "longest": _LONGEST,
    }
    fallback = (
        f"{title}: {depth} blocks, {kernel_size} taps down, {up_kernel_size} up. "
        "Run this cell to change them."
    )
    return Element("unmix-context-ruler", config, ("context_ruler",), fallback)
