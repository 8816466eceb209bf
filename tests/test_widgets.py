"""The Python side of the widgets: what they accept, refuse and put into the page."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InputError
from lib.widgets import element, listen, show_source
from lib.widgets.element import Element, as_channels, encode_array, encode_audio, script
from lib.widgets.listen import loudness, matching_gains


def _decode(uri: str) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])), always_2d=True)


def _config(output: Element) -> dict:
    return json.loads(html.unescape(re.search(r'data-config="([^"]*)"', output._repr_html_())[1]))


# ------------------------------------------------------------------ the frame


def test_output_carries_config_fallback_and_scripts():
    config = {"title": "a \"quoted\" <b> & 'more' </script> é"}
    output = Element("unmix-quiz", config, ("quiz",), "fall <back>")
    text = output._repr_html_()
    assert _config(output) == config
    assert "<p>fall &lt;back&gt;</p></unmix-quiz>" in text
    assert text.index("window.Unmix = {") < text.index('define("unmix-quiz"')
    assert text.count("<script>") == text.count("</script>") == 1
    assert repr(output) == "fall <back>"


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": np.zeros(3)}, {"a": torch.zeros(1)}])
def test_config_that_json_cannot_hold_is_refused(bad):
    with pytest.raises(InputError, match="config: expected what JSON can hold"):
        Element("unmix-quiz", bad, ("quiz",), "")


def test_unknown_script_is_refused():
    with pytest.raises(InputError, match="nothing_here"):
        script("nothing_here")


def _scripts() -> list[str]:
    folder = element.importlib.resources.files("lib.widgets") / "js"
    return sorted(file.name[:-3] for file in folder.iterdir() if file.name.endswith(".js"))


@pytest.mark.parametrize("name", _scripts())
def test_scripts_are_self_contained(name):
    text = script(name)
    assert "</script" not in text.lower()
    assert not re.search(
        r"\bfetch\(|XMLHttpRequest|\bimport\b|\beval\(|https?://(?!www\.w3\.org)", text
    )


@pytest.mark.parametrize("name", _scripts())
@pytest.mark.skipif(shutil.which("node") is None, reason="no node to parse JavaScript with")
def test_stripped_scripts_are_still_javascript(name, tmp_path):
    file = tmp_path / f"{name}.js"
    file.write_text(script(name), encoding="utf-8")
    done = subprocess.run(
        ["node", "--check", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_names_are_functions_whatever_was_imported_first():
    code = (
        "import lib.widgets.listen, lib.widgets;"
        "from lib.widgets import listen, show_source;"
        "assert callable(listen) and callable(show_source) and callable(lib.widgets.listen)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_package_import_is_light():
    code = (
        "import sys, lib.widgets;"
        "heavy = {'scipy.signal', 'soundfile', 'IPython', 'matplotlib', 'pandas'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_widget_is_an_attribute_error():
    import lib.widgets

    with pytest.raises(AttributeError, match="theremin"):
        _ = lib.widgets.theremin


# ------------------------------------------------------------------ audio and arrays


@pytest.mark.parametrize("format", ["flac", "wav"])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossless_formats_keep_sixteen_bits(format, channels):
    generator = torch.Generator().manual_seed(1)
    signal = torch.rand(channels, 4000, generator=generator) * 2 - 1
    signal[:, 0], signal[:, 1] = 1.0, -1.0
    got, rate = _decode(encode_audio(signal, 16000, format))
    assert (rate, got.shape) == (16000, (4000, channels))
    assert np.abs(got.T - signal.numpy()).max() <= 2**-15 + 1e-7


@pytest.mark.parametrize("format", ["vorbis", "opus"])
def test_lossy_formats_sound_alike(format):
    signal = 0.5 * torch.sin(torch.arange(16000) * 0.2)
    got, rate = _decode(encode_audio(signal, 16000, format))
    assert rate == 16000
    assert abs(len(got) - 16000) <= 16
    assert np.std(got) == pytest.approx(float(signal.std()), rel=0.1)


def test_audio_that_cannot_be_encoded():
    with pytest.raises(InputError, match="within"):
        encode_audio(torch.full((10,), 1.1), 16000)
    with pytest.raises(InputError, match="format: expected one of flac"):
        encode_audio(torch.zeros(10), 16000, "mp4")
    with pytest.raises(InputError, match="use format='flac'"):
        encode_audio(torch.zeros(10), 44100, "opus")


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (torch.zeros(3, 100), r"shape \(time,\)"),
        (torch.zeros(2, 2, 100), r"shape \(time,\)"),
        (torch.zeros(1, 0), r"shape \(time,\)"),
        (torch.tensor([0.0, float("nan")]), "NaN"),
        (torch.tensor([0.0, float("inf")]), "NaN or infinity"),
        (torch.zeros(4, dtype=torch.complex64), "real numbers"),
        (np.zeros(4, dtype=np.int16), "floating-point"),
        (["a"], "real numbers"),
    ],
)
def test_signals_that_are_refused(signal, message):
    with pytest.raises(InputError, match=message):
        as_channels(signal)


def test_signals_that_are_taken():
    for signal in (torch.zeros(5), torch.zeros(1, 1, 5), np.zeros((1, 5), np.float32)):
        assert as_channels(signal).shape == (1, 5)
    assert as_channels(torch.zeros(2, 5, requires_grad=True, dtype=torch.bfloat16)).shape == (2, 5)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), max_size=20),
    dtype=st.sampled_from(["float32", "int8", "uint8"]),
)
def test_arrays_come_back_within_half_a_step(values, dtype):
    packed = encode_array(np.array(values), dtype)
    stored = np.frombuffer(base64.b64decode(packed["data"]), np.dtype(dtype).newbyteorder("<"))
    back = stored.astype(float) * packed["scale"] + packed["offset"]
    assert packed["shape"] == [len(values)]
    step = 1e-3 if dtype == "float32" else packed["scale"] / 2 * (1 + 1e-6)
    assert np.all(np.abs(back - values) <= step)


def test_arrays_that_are_refused():
    for bad in (torch.zeros(2, dtype=torch.complex64), np.array([np.nan]), np.array(["a"])):
        with pytest.raises(InputError, match="finite real numbers"):
            encode_array(bad)
    with pytest.raises(InputError, match="dtype"):
        encode_array(np.zeros(2), "int64")


# ------------------------------------------------------------------ loudness


def test_loudness_of_the_reference_tone():
    # EBU Tech 3341, case 1: a stereo sine of 1 kHz at -23 dBFS reads -23.0 LUFS
    time = np.arange(10 * 48000) / 48000
    tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * time)
    assert loudness(np.stack([tone, tone]), 48000) == pytest.approx(-23.0, abs=0.1)


def test_loudness_gates_silence():
    # EBU Tech 3341, case 3: quiet stretches around a tone are left out
    def tone(level: float, seconds: int) -> np.ndarray:
        time = np.arange(seconds * 48000) / 48000
        return 10 ** (level / 20) * np.sin(2 * np.pi * 1000 * time)

    signal = np.concatenate([tone(-36, 10), tone(-23, 60), tone(-36, 10)])
    assert loudness(np.stack([signal, signal]), 48000) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize(("rate", "tolerance"), [(8000, 0.25), (16000, 0.1), (44100, 0.02)])
def test_loudness_hardly_depends_on_the_rate(rate, tolerance):
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    high = 0.1 * np.sin(2 * np.pi * 440 * np.arange(2 * 48000) / 48000)
    assert loudness(tone[None], rate) == pytest.approx(loudness(high[None], 48000), abs=tolerance)


def test_silence_has_no_loudness():
    assert loudness(np.zeros((1, 16000)), 16000) == -np.inf
    assert loudness(np.zeros((1, 10)), 16000) == -np.inf


@settings(max_examples=25, deadline=None)
@given(
    levels=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=4),
    seconds=st.sampled_from([0.1, 1.0]),
    seed=st.integers(0, 1000),
)
def test_matched_tracks_are_equally_loud_and_never_clip(levels, seconds, seed):
    generator = np.random.default_rng(seed)
    length = int(seconds * 16000)
    signals = []
    for i, level in enumerate(levels):
        # spikier and spikier: a high crest factor is what forces the common target down
        noise = generator.standard_normal((1, length)) ** (2 * (i % 3) + 1)
        signals.append(level * noise / np.abs(noise).max())
    gains = matching_gains(signals, 16000)
    played = [s * 10 ** (g / 20) for s, g in zip(signals, gains, strict=True)]
    measured = [loudness(signal, 16000) for signal in played]
    assert max(measured) - min(measured) < 0.1
    assert max(np.abs(signal).max() for signal in played) <= 0.99 + 1e-9


def test_silent_track_keeps_its_level():
    tone = 0.5 * np.sin(np.arange(16000) * 0.3)[None]
    gains = matching_gains([tone, np.zeros((1, 16000))], 16000)
    assert gains[1] == 0.0
    assert gains[0] < 0


# ------------------------------------------------------------------ the panel


def test_samples_are_never_normalised_behind_the_readers_back():
    signal = 0.2 * torch.sin(torch.arange(8000) * 0.3)
    config = _config(listen({"a": signal, "b": 0.1 * signal}, 8000))
    assert config["notes"] == []
    for track, factor in zip(config["tracks"], (1, 0.1), strict=True):
        got, _ = _decode(track["source"])
        assert np.abs(got[:, 0] - factor * signal.numpy()).max() < 2**-15


def test_too_loud_tracks_are_lowered_together_and_the_panel_says_so():
    signal = torch.sin(torch.arange(8000) * 0.3)
    config = _config(listen({"loud": 2 * signal, "soft": 0.5 * signal}, 8000))
    (note,) = config["notes"]
    assert "“loud” exceeds full scale (peak 2.00)" in note
    assert "6.1 dB lower" in note
    loud, soft = (_decode(track["source"])[0] for track in config["tracks"])
    assert np.abs(loud).max() == pytest.approx(0.99, abs=1e-3)
    assert np.std(loud) / np.std(soft) == pytest.approx(4, rel=1e-3)


def test_start_is_the_mixture_where_there_is_one():
    silence = torch.zeros(100)
    assert _config(listen({"a": silence, "mixture": silence}, 8000))["start"] == 1
    assert _config(listen({"a": silence, "b": silence}, 8000))["start"] == 0
    assert _config(listen({"a": silence, "b": silence}, 8000, start="b"))["start"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, 8000), "at least one entry"),
        ((torch.zeros(10), 8000), "a dict of name to signal"),
        (({"a": torch.zeros(10), "b": torch.zeros(11)}, 8000), "a 10, b 11 samples"),
        (({"a": torch.tensor([float("nan")])}, 8000), r"tracks\['a'\]: expected finite"),
        (({"a": torch.zeros(10)}, 0), "sample_rate"),
    ],
)
def test_panels_that_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        listen(*arguments)


def test_options_that_are_refused():
    tracks = {"a": torch.zeros(10)}
    with pytest.raises(InputError, match="start: expected one of a"):
        listen(tracks, 8000, start="b")
    with pytest.raises(InputError, match="max_frequency"):
        listen(tracks, 8000, max_frequency=4001)


# ------------------------------------------------------------------ show_source


class _Example:
    """First line
    that goes on.

    Details.
    """

    def method(self):
        """Only a docstring.

        More.
        """


def test_show_source_shortens_docstrings():
    source = show_source(_Example)
    assert source.code == (
        'class _Example:\n    """First line that goes on."""\n\n'
        '    def method(self):\n        """Only a docstring."""'
    )
    compile(show_source(_Example, docstring="none").code, "example", "exec")
    assert "Details." in show_source(_Example, docstring="full").code


def test_show_source_names_file_and_line():
    source = show_source(loudness)
    text = source._repr_markdown_()
    assert text.startswith("*`lib/widgets/listen.py`, from line ")
    assert "```python\ndef loudness(" in text
    assert repr(source).startswith("# lib/widgets/listen.py, from line")


def test_show_source_takes_methods_and_modules():
    assert "_repr_html_" in show_source(Element._repr_html_).code
    assert "def listen(" in show_source(sys.modules["lib.widgets.listen"]).code


def test_show_source_refuses_what_has_none():
    with pytest.raises(InputError, match="written in Python"):
        show_source(len)
    with pytest.raises(InputError, match="docstring"):
        show_source(loudness, docstring="short")
