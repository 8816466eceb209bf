"""Encoder-decoder animator: packets of samples on their way through a network that streams."""

from __future__ import annotations

from lib.errors import InputError
from lib.widgets.element import Element

_RANGES = {"depth": (1, 6), "kernel_size": (2, 16), "stride": (2, 8), "packet": (1, 4096)}
_RESAMPLING = (1, 2, 4)
# the course's small denoiser, and the published one of 48 channels
_PRESETS = (
    {"label": "Denoiser.small()", "depth": 4, "kernel_size": 8, "stride": 4}
    | {"resampling": 1, "packet": 256, "sample_rate": 16_000},
    {"label": "the paper's, dns48", "depth": 5, "kernel_size": 8, "stride": 4}
    | {"resampling": 4, "packet": 256, "sample_rate": 16_000},
)


def encoder_decoder(
    kernel_size: int = 4,
    stride: int = 2,
    depth: int = 2,
    *,
    packet: int = 2,
    sample_rate: int = 16_000,
    title: str = "Encoder-decoder animator",
) -> Element:
    """A panel in which packets of samples walk through encoder, recurrent middle and decoder.

    Each row is a layer, and lies in time where it belongs; to the right of what it has made it
    waits. A step lets a packet of samples come in, or one layer work. Frames of the encoder wait
    for their last sample, the RNN for the frame before, samples of the decoder for the last frame
    that adds to them. A followed output sample shows what it waits for, layer by layer, and a
    curve how long each sample waits.

    What is ready when is that of :class:`lib.separate.Streamer` with a
    :class:`lib.models.Denoiser` of these sizes, interpolation included.

    Args:
        kernel_size: samples of a frame of the caller's network on each level, 2 to 16.
        stride: between frames, 2 to 8, at most ``kernel_size``.
        depth: levels each way, 1 to 6.
        packet: samples that come in at once, 1 to 4096.
        sample_rate: Hz, for times.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for a number out of its range.

    Source: A. Defossez, G. Synnaeve and Y. Adi, "Real time speech enhancement in the waveform
    domain", Interspeech 2020.

    Example:
        >>> encoder_decoder()
        Encoder-decoder animator: 2 levels, frames of 4, stride 2. Run this cell to move them.
    """
    own = {"depth": depth, "kernel_size": kernel_size, "stride": stride, "packet": packet}
    for name, value in own.items():
        low, high = _RANGES[name]
        if value not in range(low, high + 1):
            raise InputError(f"{name}: expected a whole number, {low} to {high}, got {value!r}")
    if stride > kernel_size:
        raise InputError(f"stride: expected at most kernel_size={kernel_size}, got {stride}")
    if sample_rate not in range(1, 192_001):
        raise InputError(f"sample_rate: expected a whole number, 1 to 192000, got {sample_rate!r}")
    own = {name: int(value) for name, value in own.items()}
    own |= {"resampling": 1, "sample_rate": int(sample_rate)}
    config = {
        "title": title,
        "presets": [{"label": "to see each sample"} | own, *_PRESETS],
        "ranges": _RANGES,
        "resampling": _RESAMPLING,
    }
    fallback = (
        f"{title}: {depth} levels, frames of {kernel_size}, stride {stride}. "
        "Run this cell to move them."
    )
    return Element("unmix-encoder-decoder", config, ("encoder_decoder",), fallback)
