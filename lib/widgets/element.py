"""The frame of every widget: a custom element, its data and its script in one HTML output.

The output carries everything it needs, so it works in JupyterLab, in Colab (where each output is
an iframe of its own), in VS Code and in the static book. A widget is::

    Element("unmix-mixing-desk", config, ("mixing_desk",), fallback="Mixing desk: run this cell")

with ``js/mixing_desk.js`` defining the element on top of ``js/shared.js``.
"""

from __future__ import annotations

import base64
import functools
import html
import importlib.resources
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lib.errors import InputError, require_package

_FORMATS = {
    "flac": ("FLAC", "PCM_16", "audio/flac"),
    "vorbis": ("OGG", "VORBIS", "audio/ogg"),
    "opus": ("OGG", "OPUS", "audio/ogg"),
    "wav": ("WAV", "PCM_16", "audio/wav"),
}


class Element:
    """An HTML output: a custom element with its configuration, its scripts and a fallback text.

    Args:
        tag: name of the custom element, for example ``"unmix-listen"``.
        config: what the script reads: anything that JSON can hold.
        scripts: names of the files in ``lib/widgets/js`` that define the element, without
            ``.js``; ``shared`` always comes first.
        fallback: what stands where scripts do not run, and in a text console.

    Raises:
        InputError: if JSON cannot hold the configuration (NaN and infinity among the reasons).

    Example:
        >>> panel = Element("unmix-quiz", {"questions": []}, ("quiz",), "A quiz.")
        >>> panel
        A quiz.
        >>> panel._repr_html_().startswith("<unmix-quiz data-config=")
        True
    """

    def __init__(
        self, tag: str, config: dict[str, Any], scripts: Sequence[str], fallback: str
    ) -> None:
        self.tag = tag
        self.config = config
        self.scripts = tuple(scripts)
        self.fallback = fallback
        try:
            self._json = json.dumps(config, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"config: expected what JSON can hold (text, finite numbers, lists, dicts), "
                f"got {error}; convert arrays with encode_array"
            ) from error

    def _repr_html_(self) -> str:
        scripts = "\n".join(script(name) for name in ("shared", *self.scripts))
        return (
            f'<{self.tag} data-config="{html.escape(self._json)}">'
            f"<p>{html.escape(self.fallback)}</p></{self.tag}><script>{scripts}</script>"
        )

    def __repr__(self) -> str:
        return self.fallback


@functools.lru_cache
def script(name: str) -> str:
    """The text of ``js/NAME.js`` without comment lines and indentation.

    Args:
        name: of the file, without its suffix.

    Raises:
        InputError: if there is no such file.

    Example:
        >>> "class Listen" in script("listen")
        True
    """
    source = importlib.resources.files("lib.widgets") / "js" / f"{name}.js"
    try:
        text = source.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(
            f"scripts: expected the name of a file in lib/widgets/js, got {name!r}"
        ) from error
    return _strip(text)


def _strip(text: str) -> str:
    lines, in_comment = [], False
    for line in map(str.strip, text.splitlines()):
        in_comment = in_comment or line.startswith("/*")
        if line and not in_comment and not line.startswith("//"):
            lines.append(line)
        if in_comment and line.endswith("*/"):
            in_comment = False
    return "\n".join(lines)


def as_channels(signal: torch.Tensor | np.ndarray, name: str = "signal") -> np.ndarray:
    """A signal as a float64 array ``(channels, time)`` with one or two channels.

    Args:
        signal: tensor or array, ``(time,)``, ``(1, time)`` or ``(2, time)``; leading axes of
            length one are dropped.
        name: what to call it in an error.

    Raises:
        InputError: if it has another shape, is empty, not real-valued, NaN or infinite.

    Example:
        >>> as_channels(torch.zeros(1, 1, 8)).shape
        (1, 8)
    """
    if isinstance(signal, torch.Tensor):
        signal = signal.detach().cpu()
        # numpy has no bfloat16
        signal = (signal.double() if signal.is_floating_point() else signal).numpy()
    values = np.asarray(signal)
    if values.dtype.kind not in "fiu":
        raise InputError(f"{name}: expected real numbers, got {values.dtype}")
    if values.dtype.kind in "iu":
        raise InputError(
            f"{name}: expected floating-point samples within [-1, 1], got {values.dtype}; "
            "divide by the largest value of that type"
        )
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    shape = values.shape
    if values.ndim == 1:
        values = values[None]
    if values.ndim != 2 or values.shape[0] > 2 or values.shape[1] == 0:
        raise InputError(
            f"{name}: expected shape (time,), (1, time) or (2, time), got {tuple(shape)}; "
            "index one item of a batch, or one source"
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"{name}: expected finite samples, got NaN or infinity; look at its source"
        )
    return values.astype(np.float64)


def as_mono(signal: torch.Tensor | np.ndarray, name: str = "signal") -> np.ndarray:
    """One channel with a sound in it, as a float64 array ``(1, time)``.

    Args:
        signal: as for :func:`as_channels`, but of one channel.
        name: what to call it in an error.

    Raises:
        InputError: if it is not such a signal, has two channels, or is silent.

    Example:
        >>> as_mono(torch.ones(8)).shape
        (1, 8)
    """
    samples = as_channels(signal, name)
    if samples.shape[0] != 1:
        raise InputError(
            f"{name}: expected one channel, got {samples.shape[0]}; "
            "take signal[:1], or the mean over channels"
        )
    if not samples.any():
        raise InputError(f"{name}: expected a signal, got silence; pick another excerpt")
    return samples


def encode_audio(signal: torch.Tensor | np.ndarray, sample_rate: int, format: str = "flac") -> str:
    """A signal as a ``data:`` URI that a browser can decode.

    Args:
        signal: ``(time,)``, ``(1, time)`` or ``(2, time)`` within [-1, 1].
        sample_rate: in Hz.
        format: ``"flac"`` (lossless, the default), ``"wav"``, ``"vorbis"`` or ``"opus"`` (small,
            but lossy: not for hearing what a separation did). Opus takes 8, 12, 16, 24 or 48 kHz.

    Raises:
        InputError: for a signal outside [-1, 1], another shape, or an unknown format.

    Example:
        >>> encode_audio(torch.zeros(800), 8000)[:23]
        'data:audio/flac;base64,'
    """
    if format not in _FORMATS:
        raise InputError(f"format: expected one of {', '.join(_FORMATS)}, got {format!r}")
    samples = as_channels(signal)
    peak = np.abs(samples).max()
    if peak > 1:
        raise InputError(f"signal: expected samples within [-1, 1], got a peak of {peak:.3g}")
    container, subtype, mime = _FORMATS[format]
    soundfile = require_package("soundfile", "encoding audio")
    stream = io.BytesIO()
    # one step below full scale, because +1.0 has no 16-bit integer
    clipped = np.minimum(samples, 1 - 2**-15)
    try:
        soundfile.write(stream, clipped.T, sample_rate, format=container, subtype=subtype)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"format: {format!r} cannot hold {samples.shape[0]} channel(s) at {sample_rate} Hz "
            f"({error}); use format='flac'"
        ) from error
    return f"data:{mime};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def encode_array(values: torch.Tensor | np.ndarray, dtype: str = "float32") -> dict[str, Any]:
    """An array for a widget's configuration; ``Unmix.array`` in JavaScript reads it back.

    Args:
        values: any real, finite array.
        dtype: ``"float32"`` keeps the values, ``"int8"`` (symmetric about zero) and ``"uint8"``
            (from smallest to largest) store each in one byte on a linear scale.

    Returns:
        ``{"data": base64, "dtype", "shape", "scale", "offset"}``: value = stored * scale + offset.

    Raises:
        InputError: for an unknown dtype, complex, NaN or infinite values.

    Example:
        >>> encode_array(torch.tensor([0.0, 1.0]), "uint8")["data"]
        'AP8='
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise InputError(
            f"values: expected finite real numbers, got {array.dtype}"
            f"{'' if array.dtype.kind == 'c' else ' with NaN or infinity'}; "
            "encode real and imaginary parts one by one"
        )
    array = array.astype(np.float64)
    scale, offset = 1.0, 0.0
    if dtype == "int8":
        scale = float(np.abs(array).max(initial=0)) / 127 or 1.0
    elif dtype == "uint8":
        offset = float(array.min(initial=np.inf)) if array.size else 0.0
        scale = float(array.max(initial=offset) - offset) / 255 or 1.0
    elif dtype != "float32":
        raise InputError(f"dtype: expected float32, int8 or uint8, got {dtype!r}")
    stored = (array - offset) / scale
    stored = np.rint(stored) if dtype != "float32" else stored
    raw = stored.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    return {
        "data": base64.b64encode(raw).decode("ascii"),
        "dtype": dtype,
        "shape": list(array.shape),
        "scale": scale,
        "offset": offset,
    }
