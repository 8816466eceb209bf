"""Figures with labelled axes, units, one stated decibel reference and colour-blind safe colours.

Each function returns a matplotlib figure that is closed for pyplot: as the last line of a cell it
is shown once, and ``display(figure)`` shows it anywhere.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lib.errors import InputError, check_signal, require_package
from lib.stft import STFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by readers with any common colour blindness
COLORS = {
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "vermillion": "#d55e00",
    "sky": "#56b4e9",
    "purple": "#cc79a7",
    "grey": "#777777",
}

_WIDTH = 7.2  # inches; at 100 dots per inch the width of the book's column
# A picture of a spectrogram needs no more cells than the eye resolves, and stays a small file.
_CELLS = (104, 300)  # frequency, and time over the whole width
_LEVELS = 24
_LINES_UNDER_A_LEGEND = 5  # with more, it stands beside the axes


def style() -> dict[str, Any]:
    """The settings of the course's figures, applied to every figure drawn from now on.

    Returns:
        The settings, for ``matplotlib.rc_context``.

    Example:
        >>> style()["figure.dpi"]
        100
    """
    settings = _settings()
    _pyplot().rcParams.update(settings)
    return settings


def waveforms(
    signals: torch.Tensor | Mapping[str, torch.Tensor],
    sample_rate: int,
    *,
    title: str = "",
) -> Figure:
    """Waveforms one below the other, on one amplitude scale.

    Args:
        signals: one signal or a dict of name to signal, each ``(time,)`` or ``(channels, time)``;
            channels are averaged.
        sample_rate: in Hz.
        title: heading of the figure.

    Raises:
        InputError: for what is not a signal.

    Example:
        >>> figure = waveforms({"mixture": torch.zeros(800), "target": torch.zeros(800)}, 8000)
        >>> len(figure.axes)
        2
    """
    named = _named(signals)
    arrays = {name: _mono(signal, name) for name, signal in named.items()}
    peak = max(float(np.abs(array).max()) for array in arrays.values()) or 1.0
    with _figure(len(arrays), 1, height=0.5 + 1.05 * len(arrays), title=title) as (figure, axes):
        for axis, (name, array), color in zip(axes, arrays.items(), _cycle(), strict=False):
            seconds, low, high = _envelope(array, sample_rate)
            axis.fill_between(seconds, low, high, color=color, linewidth=0.6)
            axis.set_ylim(-1.05 * peak, 1.05 * peak)
            axis.set_xlim(0, array.size / sample_rate)
            if name:
                axis.set_title(name)
        axes[-1].set_xlabel("Time (s)")
        figure.supylabel("Amplitude (1 = full scale)", fontsize=9)
    return figure


def spectrogram(
    signal: torch.Tensor,
    sample_rate: int,
    *,
    n_fft: int | None = None,
    hop_length: int | None = None,
    floor_db: float = -80.0,
    max_frequency: float | None = None,
    title: str = "",
) -> Figure:
    """The level of a signal over time and frequency, in dB relative to its loudest bin.

    Args:
        signal: a waveform ``(time,)`` or ``(channels, time)``, or a complex spectrogram
            ``(freq, frames)`` or ``(channels, freq, frames)``; channel powers are averaged.
        sample_rate: in Hz.
        n_fft: length of the frames of a waveform in samples; default about 40 ms.
        hop_length: hop of the frames in samples; default a quarter frame.
        floor_db: what is darker than this is drawn alike.
        max_frequency: upper edge in Hz; default half the sample rate.
        title: heading of the figure.

    Raises:
        InputError: for what is neither a waveform nor a complex spectrogram.

    Example:
        >>> figure = spectrogram(torch.randn(8000), 8000)
        >>> [axis.get_ylabel() for axis in figure.axes]
        ['Frequency (kHz)', 'Level (dB re. loudest bin)']
    """
    options = {"n_fft": n_fft, "hop_length": hop_length, "floor_db": floor_db}
    return spectrograms({title: signal}, sample_rate, max_frequency=max_frequency, **options)


def spectrograms(
    signals: Mapping[str, torch.Tensor],
    sample_rate: int,
    *,
    columns: int | None = None,
    n_fft: int | None = None,
    hop_length: int | None = None,
    floor_db: float = -80.0,
    max_frequency: float | None = None,
    title: str = "",
) -> Figure:
    """Spectrograms side by side on one dB scale, relative to the loudest bin of them all.

    Args:
        signals: name to waveform or complex spectrogram, as in :func:`spectrogram`.
        sample_rate: in Hz.
        columns: pictures per row; default up to three.
        n_fft: length of the frames of waveforms in samples; default about 40 ms.
        hop_length: hop in samples; default a quarter frame.
        floor_db: what is darker than this is drawn alike.
        max_frequency: upper edge in Hz; default half the sample rate.
        title: heading of the figure.

    Raises:
        InputError: for what is neither a waveform nor a complex spectrogram.

    Example:
        >>> noise = torch.randn(2, 8000)
        >>> len(spectrograms({"mixture": noise[0], "estimate": noise[1]}, 8000).axes)
        3
    """
    _check_names(signals)
    pictures = {}
    for name, signal in signals.items():
        power, hop = _power(signal, name, sample_rate, n_fft, hop_length)
        pictures[name] = (10 * np.log10(power + 1e-20), hop)
    top = max(float(levels.max()) for levels, _ in pictures.values())
    pictures = {name: (levels - top, hop) for name, (levels, hop) in pictures.items()}
    return _images(
        pictures,
        sample_rate,
        columns=columns,
        max_frequency=max_frequency,
        title=title,
        limits=(floor_db, 0.0),
        cmap="magma",
        label="Level (dB re. loudest bin)",
    )


def mask(
    mask: torch.Tensor, sample_rate: int, *, hop_length: int | None = None, title: str = ""
) -> Figure:
    """A mask over time and frequency; of a complex mask, the magnitude.

    Args:
        mask: ``(freq, frames)``, real or complex.
        sample_rate: in Hz.
        hop_length: hop of the frames in samples; default a quarter frame.
        title: heading of the figure.

    Raises:
        InputError: for other dimensions, NaN or infinity.

    Example:
        >>> mask(torch.rand(129, 50), 8000).axes[1].get_ylabel()
        'Mask value'
    """
    return masks({title: mask}, sample_rate, hop_length=hop_length)


def masks(
    masks: Mapping[str, torch.Tensor],
    sample_rate: int,
    *,
    hop_length: int | None = None,
    columns: int | None = None,
    title: str = "",
) -> Figure:
    """Masks side by side on one scale, from 0 to 1 or to the largest 99th percentile above it.

    Args:
        masks: name to mask ``(freq, frames)``, real or complex.
        sample_rate: in Hz.
        hop_length: hop of the frames in samples; default a quarter frame.
        columns: pictures per row; default up to three.
        title: heading of the figure.

    Raises:
        InputError: for other dimensions, NaN or infinity.

    Example:
        >>> len(masks({"IBM": torch.ones(129, 50), "IRM": torch.rand(129, 50)}, 8000).axes)
        3
    """
    _check_names(masks)
    pictures = {}
    for name, values in masks.items():
        array = _matrix(values, name or "mask")
        array = np.abs(array) if np.iscomplexobj(array) else array
        n_fft = 2 * (array.shape[0] - 1)
        pictures[name] = (array, hop_length or max(1, n_fft // 4))
    low = min(0.0, *(float(np.percentile(array, 1)) for array, _ in pictures.values()))
    high = max(1.0, *(float(np.percentile(array, 99)) for array, _ in pictures.values()))
    return _images(
        pictures,
        sample_rate,
        columns=columns,
        max_frequency=None,
        title=title,
        limits=(low, high),
        cmap="cividis",
        label="Mask value",
    )


def curve(
    values: Sequence[float] | torch.Tensor,
    lines: Mapping[str, Any],
    *,
    horizontal: str,
    vertical: str,
    title: str = "",
) -> Figure:
    """Lines over one quantity, each told apart by colour and by marker or dash.

    Args:
        values: where the lines are known, ``(points,)``.
        lines: name to values ``(points,)``, or to ``(middle, low, high)`` to shade an interval.
        horizontal: label of the horizontal axis with its unit, ``"Input SNR (dB)"``.
        vertical: label of the vertical axis with its unit.
        title: heading of the figure.

    Raises:
        InputError: if a line and ``values`` differ in length.

    Example:
        >>> figure = curve([0, 5], {"wiener": [3, 4]}, horizontal="SNR (dB)", vertical="Gain (dB)")
        >>> figure.axes[0].get_xlabel()
        'SNR (dB)'
    """
    places = _numbers(values, "values")
    dashes = ["-", "--", "-.", ":"]
    with _figure(1, 1, height=3.2, title=title) as (_, (axis,)):
        for i, ((name, line), color) in enumerate(zip(lines.items(), _cycle(), strict=False)):
            parts = line if isinstance(line, tuple) and len(line) == 3 else (line,)
            parts = [_numbers(part, f"lines[{name!r}]") for part in parts]
            if any(part.shape != places.shape for part in parts):
                raise InputError(
                    f"lines[{name!r}]: expected {places.size} points like values, "
                    f"got {[part.size for part in parts]}"
                )
            if len(parts) == 3:
                axis.fill_between(places, parts[1], parts[2], color=color, alpha=0.2, linewidth=0)
            marker = "os^Dv"[i % 5] if places.size <= 25 else None
            axis.plot(places, parts[0], dashes[i % 4], color=color, marker=marker, label=name)
        axis.set(xlabel=horizontal, ylabel=vertical)
        axis.grid(alpha=0.25)
        if len(lines) > _LINES_UNDER_A_LEGEND:
            axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        elif len(lines) > 1:
            axis.legend()
    return axis.figure


def bars(
    scores: Mapping[str, float | tuple[float, float, float]],
    *,
    horizontal: str,
    title: str = "",
    reference: float | None = None,
) -> Figure:
    """One bar per name with its interval, such as medians with bootstrap intervals.

    Args:
        scores: name to a value or to ``(middle, low, high)``.
        horizontal: label of the value's axis with its unit, ``"SI-SDRi (dB)"``.
        title: heading of the figure.
        reference: draws a line at this value, such as the score of the mixture.

    Raises:
        InputError: for no scores, or a low above its high.

    Example:
        >>> figure = bars({"IBM": (12.0, 11.5, 12.4), "IRM": 10.9}, horizontal="SI-SDRi (dB)")
        >>> figure.axes[0].get_xlabel()
        'SI-SDRi (dB)'
    """
    _check_names(scores)
    rows = {}
    for name, score in scores.items():
        row = _numbers(
            score if isinstance(score, tuple | list) else [score] * 3, f"scores[{name!r}]"
        )
        if row.size != 3 or not row[1] <= row[0] <= row[2]:
            raise InputError(
                f"scores[{name!r}]: expected a number or (middle, low, high) in order, got {score}"
            )
        rows[name] = row
    with _figure(1, 1, height=0.9 + 0.36 * len(rows), title=title) as (_, (axis,)):
        middle, low, high = np.stack(list(rows.values()), axis=1)
        axis.barh(list(rows), middle, color=COLORS["sky"], edgecolor=COLORS["blue"], height=0.62)
        wide = high > low
        if wide.any():
            places = np.arange(len(rows))[wide]
            error = np.stack([middle - low, high - middle])[:, wide]
            axis.errorbar(middle[wide], places, xerr=error, fmt="none", ecolor="#333", capsize=3)
        if reference is not None:
            axis.axvline(reference, color=COLORS["vermillion"], linestyle="--", linewidth=1.2)
        axis.invert_yaxis()
        axis.set_xlabel(horizontal)
        axis.grid(axis="x", alpha=0.25)
        axis.set_axisbelow(True)
    return axis.figure


def _pyplot():
    return require_package("matplotlib.pyplot", "figures")


class LiveCurve:
    """A curve that grows in one place while a cell runs.

    Outside notebooks it only keeps the values.

    Args:
        title: heading of the figure.
        label: of the vertical axis.
        steps: how many values will come, if known: the width of the figure's axis.
        show: draw where there is a notebook.

    Example:
        >>> curve = LiveCurve("Training", "Loss", steps=2)
        >>> curve.update(1, 0.5)
        >>> curve.update(2, 0.25)
        >>> curve.close()
        >>> curve.figure().axes[0].get_ylabel(), curve.values
        ('Loss', [0.5, 0.25])
    """

    _PAUSE = 10  # drawing takes at most a tenth of the time

    def __init__(
        self, title: str = "", label: str = "Loss", steps: int | None = None, show: bool = True
    ):
        self.title, self.label, self.total = title, label, steps
        self.steps: list[int] = []
        self.values: list[float] = []
        self._display = _notebook_display() if show else None
        self._handle: Any = None
        self._next = 0.0

    def update(self, step: int, value: float) -> None:
        """Add a value, and draw it if the last drawing is long enough ago."""
        self.steps.append(step)
        self.values.append(value)
        if self._display is not None and time.monotonic() >= self._next:
            self._draw()

    def close(self) -> None:
        """Draw what came last."""
        if self._display is not None and self.values:
            self._draw()

    def _draw(self) -> None:
        start = time.monotonic()
        if self._handle is None:
            self._handle = self._display(self.figure(), display_id=True)
        else:
            self._handle.update(self.figure())
        now = time.monotonic()
        self._next = now + max(0.3, self._PAUSE * (now - start))

    def figure(self) -> Figure:
        """Draw the values, and their running mean over a twentieth of them."""
        with _figure(1, 1, height=2.4, title=self.title) as (figure, (axis,)):
            values = np.asarray(self.values, dtype=np.float64)
            axis.plot(self.steps, values, color=COLORS["sky"], linewidth=0.8, label="each step")
            width = max(1, len(values) // 20)
            if width > 1:
                means = np.convolve(values, np.ones(width) / width, mode="valid")
                axis.plot(
                    self.steps[width - 1 :],
                    means,
                    color=COLORS["blue"],
                    linewidth=1.6,
                    label=f"mean of {width} steps",
                )
                axis.legend(loc="upper right")
            axis.set_xlabel("Step")
            axis.set_ylabel(self.label)
            if self.total is not None:
                axis.set_xlim(0, self.total + 1)
        return figure


def _notebook_display() -> Any:
    """``display`` of IPython in a notebook, else None."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    return display if hasattr(get_ipython(), "kernel") else None


def _settings() -> dict[str, Any]:
    cycler = require_package("cycler", "figures").cycler
    return {
        "figure.dpi": 100,
        "savefig.dpi": 100,
        "figure.figsize": (_WIDTH, 3.0),
        "figure.facecolor": "white",
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=list(COLORS.values())),
        "axes.unicode_minus": True,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
        "image.cmap": "magma",
    }


@contextlib.contextmanager
def _figure(rows: int, columns: int, *, height: float, title: str) -> Iterator[tuple]:
    pyplot = _pyplot()
    with pyplot.rc_context(_settings()):
        figure, axes = pyplot.subplots(
            rows,
            columns,
            figsize=(_WIDTH, height),
            squeeze=False,
            sharex=True,
            sharey=True,
            layout="constrained",
        )
        # a figure that pyplot no longer holds is shown once: as the value of the cell
        pyplot.close(figure)
        if title:
            figure.suptitle(title, fontsize=10.5)
        yield figure, list(axes.flat)


def _images(
    pictures: dict[str, tuple[np.ndarray, int]],
    sample_rate: int,
    *,
    columns: int | None,
    max_frequency: float | None,
    title: str,
    limits: tuple[float, float],
    cmap: str,
    label: str,
) -> Figure:
    matplotlib = require_package("matplotlib", "figures")
    count = len(pictures)
    columns = columns or min(3, count)
    rows = -(-count // columns)
    nyquist = sample_rate / 2
    kilo = nyquist >= 2000
    unit = 1000 if kilo else 1
    colors = matplotlib.colormaps[cmap].resampled(_LEVELS)
    height = 0.75 + (2.1 if columns == 1 else 1.75) * rows
    with _figure(rows, columns, height=height, title=title) as (figure, axes):
        for axis, (name, (values, hop)) in zip(axes, pictures.items(), strict=False):
            seconds = values.shape[1] * hop / sample_rate
            image = axis.imshow(
                _pool(values, (_CELLS[0], _CELLS[1] // columns)),
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                extent=(0, seconds, 0, nyquist / unit),
                vmin=limits[0],
                vmax=limits[1],
                cmap=colors,
            )
            axis.set_ylim(0, (max_frequency or nyquist) / unit)
            axis.set_title(name)
        for axis in axes[count:]:
            axis.set_visible(False)
        for index, axis in enumerate(axes[:count]):
            if index % columns == 0:
                axis.set_ylabel("Frequency (kHz)" if kilo else "Frequency (Hz)")
            if index + columns >= count:
                axis.set_xlabel("Time (s)")
                axis.tick_params(labelbottom=True)
        figure.colorbar(image, ax=axes[:count], label=label, pad=0.02, aspect=18 * rows)
    return figure


def _pool(values: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """The mean over blocks of cells, so that the picture has at most the cells it can show."""
    for axis, limit in enumerate(limits):
        size = values.shape[axis]
        if size > limit:
            edges = np.linspace(0, size, limit, endpoint=False).astype(int)
            counts = np.diff([*edges, size])
            shape = (-1, 1) if axis == 0 else (1, -1)
            values = np.add.reduceat(values, edges, axis=axis) / counts.reshape(shape)
    return values


def _power(
    signal: torch.Tensor, name: str, sample_rate: int, n_fft: int | None, hop_length: int | None
) -> tuple[np.ndarray, int]:
    name = name or "signal"
    if isinstance(signal, torch.Tensor) and signal.is_complex():
        if not 2 <= signal.ndim <= 3:
            raise InputError(
                f"{name}: expected a complex spectrogram (freq, frames) or (channels, freq, "
                f"frames), got shape {tuple(signal.shape)}"
            )
        spectrum = signal
        hop = hop_length or max(1, (signal.shape[-2] - 1) // 2)
    else:
        check_signal(signal, name)
        if signal.ndim > 2:
            raise InputError(
                f"{name}: expected a waveform (time,) or (channels, time), got shape "
                f"{tuple(signal.shape)}; index one item of the batch"
            )
        n_fft = n_fft or 2 ** round(np.log2(0.04 * sample_rate))
        hop = hop_length or n_fft // 4
        spectrum = STFT(n_fft, hop)(signal.detach().cpu().float())
    power = spectrum.detach().cpu().abs().double().square()
    return (power.mean(0) if power.ndim == 3 else power).numpy(), hop


def _matrix(values: torch.Tensor, name: str) -> np.ndarray:
    if not isinstance(values, torch.Tensor) or values.ndim != 2 or values.numel() == 0:
        shape = getattr(values, "shape", None)
        raise InputError(
            f"{name}: expected a tensor (freq, frames), got {type(values).__name__} of shape "
            f"{None if shape is None else tuple(shape)}"
        )
    array = values.detach().cpu().numpy()
    if not np.isfinite(array).all():
        raise InputError(f"{name}: expected finite values, got NaN or infinity")
    return array if np.iscomplexobj(array) else array.astype(np.float64)


def _named(signals: torch.Tensor | Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    if isinstance(signals, Mapping):
        _check_names(signals)
        return signals
    return {"": signals}


def _check_names(entries: Mapping[str, Any]) -> None:
    if not isinstance(entries, Mapping) or not entries:
        raise InputError(
            f"expected a dict with at least one entry, got {type(entries).__name__}; "
            "write {'name': value}"
        )


def _mono(signal: torch.Tensor, name: str) -> np.ndarray:
    check_signal(signal, name or "signals")
    if signal.ndim > 2:
        raise InputError(
            f"{name or 'signals'}: expected (time,) or (channels, time), got shape "
            f"{tuple(signal.shape)}; index one item of the batch"
        )
    array = signal.detach().cpu().double().numpy()
    return array.mean(axis=0) if array.ndim == 2 else array


def _envelope(array: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smallest and largest sample of each of at most 600 stretches: no peak gets lost."""
    starts = np.unique(np.linspace(0, array.size, min(array.size, 600), endpoint=False).astype(int))
    low, high = np.minimum.reduceat(array, starts), np.maximum.reduceat(array, starts)
    return starts / sample_rate, low, high


def _numbers(values: Any, name: str) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    try:
        return np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected numbers, got {values!r}") from error


def _cycle() -> list[str]:
    return list(COLORS.values()) * 4
