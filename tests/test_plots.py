"""Figures: labels, units, one scale, small files, shown once."""

from __future__ import annotations

import io
import subprocess
import sys

import matplotlib
import pytest
import torch

from lib import plots
from lib.errors import InputError
from lib.stft import STFT

matplotlib.use("agg")


def _noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _png(figure) -> int:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", bbox_inches="tight")
    return len(stream.getvalue())


def _mask() -> torch.Tensor:
    """A ratio mask of something like a voice in noise."""
    time = torch.arange(48000) / 16000
    pitch = 140 + 20 * torch.sin(2 * torch.pi * 0.7 * time)
    phase = 2 * torch.pi * torch.cumsum(pitch, 0) / 16000
    voice = sum(torch.sin(k * phase) / k for k in range(1, 30))
    voice, noise = (STFT(512, 128)(signal).abs() for signal in (0.3 * voice, _noise(48000)))
    return voice / (voice + noise)


FIGURES = {
    "waveforms": lambda: plots.waveforms({"a": _noise(48000), "b": _noise(2, 48000)}, 16000),
    "spectrogram": lambda: plots.spectrogram(_noise(48000), 16000, title="noise"),
    "spectrograms": lambda: plots.spectrograms(
        {name: _noise(2, 441000) for name in ("mixture", "estimate", "reference")}, 44100
    ),
    "mask": lambda: plots.mask(_mask(), 16000),
    "masks": lambda: plots.masks(
        {name: _mask() for name in ("IBM", "IRM", "WFM", "PSM")}, 16000, title="Masks"
    ),
    "curve": lambda: plots.curve(
        [0, 5, 10],
        {"a": ([1, 2, 3], [0, 1, 2], [2, 3, 4]), "b": torch.ones(3)},
        horizontal="SNR (dB)",
        vertical="Gain (dB)",
    ),
    "bars": lambda: plots.bars({"a": (2, 1, 3), "b": -1}, horizontal="dB", reference=0.0),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_small_files_and_not_held_by_pyplot(name):
    import matplotlib.pyplot as pyplot

    figure = FIGURES[name]()
    assert pyplot.get_fignums() == []
    assert 2_000 < _png(figure) < 60_000


def test_axes_are_labelled_with_units_and_the_reference():
    figure = FIGURES["spectrograms"]()
    first, second, third, bar = figure.axes
    assert first.get_ylabel() == "Frequency (kHz)"
    assert [axis.get_xlabel() for axis in (first, second, third)] == ["Time (s)"] * 3
    assert [axis.get_title() for axis in (first, second, third)] == [
        "mixture",
        "estimate",
        "reference",
    ]
    assert bar.get_ylabel() == "Level (dB re. loudest bin)"
    assert FIGURES["waveforms"]().axes[-1].get_xlabel() == "Time (s)"


def test_spectrograms_share_one_scale():
    signal = _noise(16000)
    figure = plots.spectrograms({"loud": signal, "soft": 0.1 * signal}, 16000)
    loud, soft = (axis.images[0] for axis in figure.axes[:2])
    assert loud.get_clim() == soft.get_clim() == (-80, 0)
    difference = (loud.get_array() - soft.get_array()).mean()
    assert difference == pytest.approx(20, abs=0.01)


def test_a_tone_stands_at_its_frequency_and_time():
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 2000 * time) * (time > 0.5)
    (axis, _) = plots.spectrogram(tone, 16000).axes
    image = axis.images[0]
    left, right, bottom, top = image.get_extent()
    row, column = divmod(int(image.get_array().argmax()), image.get_array().shape[1])
    rows, columns = image.get_array().shape
    assert bottom + (row + 0.5) / rows * (top - bottom) == pytest.approx(2.0, abs=0.1)
    assert left + (column + 0.5) / columns * (right - left) > 0.5


def test_complex_spectrograms_are_taken_with_their_hop():
    spectrum = STFT(512, 128)(_noise(16000))
    (axis, _) = plots.spectrogram(spectrum, 16000, hop_length=128, max_frequency=4000).axes
    assert axis.images[0].get_extent()[1] == pytest.approx(1.0, abs=0.02)
    assert axis.get_ylim() == (0, 4)


def test_masks_reach_one_and_show_what_exceeds_it():
    assert plots.mask(torch.full((9, 5), 0.5), 8000).axes[0].images[0].get_clim() == (0, 1)
    high = plots.mask(torch.full((9, 5), -3 + 0j), 8000).axes[0].images[0].get_clim()
    assert high == (0, 3)
    assert plots.mask(torch.full((9, 5), -0.5), 8000).axes[0].images[0].get_clim() == (-0.5, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: plots.waveforms({}, 8000),
        lambda: plots.waveforms(torch.zeros(2, 2, 9), 8000),
        lambda: plots.spectrogram(torch.zeros(2, 2, 9), 8000),
        lambda: plots.spectrogram(torch.zeros(9, dtype=torch.complex64), 8000),
        lambda: plots.spectrogram([0.0], 8000),
        lambda: plots.spectrograms({}, 8000),
        lambda: plots.mask(torch.zeros(3), 8000),
        lambda: plots.mask(torch.full((3, 3), float("nan")), 8000),
        lambda: plots.curve([1, 2], {"a": [1]}, horizontal="", vertical=""),
        lambda: plots.curve([1], {"a": ["b"]}, horizontal="", vertical=""),
        lambda: plots.bars({}, horizontal=""),
        lambda: plots.bars({"a": (1, 2, 3)}, horizontal=""),
    ],
)
def test_bad_input_is_one_clear_error(call):
    with pytest.raises(InputError):
        call()


def test_silence_and_single_samples_can_be_drawn():
    _png(plots.waveforms(torch.zeros(1), 8000))
    _png(plots.spectrogram(torch.zeros(1), 8000))


def test_import_is_light():
    code = "import sys, lib.plots; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_style_changes_the_settings():
    with matplotlib.rc_context():
        settings = plots.style()
        assert matplotlib.rcParams["axes.spines.top"] is False
        assert settings["axes.prop_cycle"].by_key()["color"][0] == plots.COLORS["blue"]


@pytest.mark.parametrize(("count", "beside"), [(5, False), (6, True)])
def test_a_long_legend_stands_beside_the_lines(count, beside):
    lines = {f"network {number}": [number, number + 1] for number in range(count)}
    figure = plots.curve([0, 1], lines, horizontal="Epoch", vertical="Score (dB)")
    (axis,) = figure.axes
    figure.savefig(io.BytesIO())
    left = axis.get_legend().get_window_extent().x0
    assert (left >= axis.get_window_extent().x1) == beside
    assert axis.get_legend().get_window_extent().x1 <= figure.bbox.x1
