"""Live denoising: a file or a microphone, block by block; what comes out, and how late."""

import signal
import sys
import time
import types

import numpy as np
import pytest
import torch
from test_cli import refused

from lib import audio, cli, live
from lib.errors import InputError, MissingPackageError
from lib.live import Meter, listen, simulate
from lib.models import ConvTasNet, DeepRNN, Denoiser, Separator
from lib.separate import separate

RATE = 16_000


def noise(time, channels=1, seed=0):
    return torch.randn(channels, time, generator=torch.Generator().manual_seed(seed)) / 9


@pytest.fixture
def checkpoint(tmp_path):
    """A denoiser, untrained."""
    Denoiser.tiny().save(tmp_path / "denoiser")
    return tmp_path / "denoiser"


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves on by the next of these seconds each time that one looks a second time."""
    durations, now = [], [100.0, 0]

    def look():
        now[1] += 1
        if now[1] % 2 == 0:
            now[0] += durations.pop(0)
        return now[0]

    monkeypatch.setattr(live, "time", types.SimpleNamespace(perf_counter=look))
    return durations


def command(*arguments):
    return cli.main(["live", *map(str, arguments), "--quiet"])


# what comes out


@pytest.mark.parametrize("block_ms", [5, 16, 37.5, 1000])
@pytest.mark.parametrize("time", [1, 160, 9999])
def test_what_is_written_is_what_the_whole_recording_gives(tmp_path, block_ms, time):
    model, mixture = Denoiser.tiny().eval(), noise(time)
    audio.write(tmp_path / "noisy.wav", mixture, RATE)
    with torch.no_grad():
        expected = model(mixture[None])[0]
    for place, stem in enumerate(model.source_names):
        out = tmp_path / f"{stem}.wav"
        meter = simulate(
            model, tmp_path / "noisy.wav", out, stem=stem, block_ms=block_ms, progress=False
        )
        torch.testing.assert_close(audio.read(out)[0], expected[place], atol=1e-5, rtol=0)
        assert meter.blocks == -(-time // round(block_ms * 16))
        assert meter.heard == pytest.approx(time / RATE)


@pytest.mark.parametrize(
    ("name", "options", "place"),
    [
        ("denoiser-small", [], 0),  # the default
        (
            "conv-tasnet-causal-small",
            ["--method", "conv-tasnet-causal-small", "--stem", "speaker_2"],
            1,
        ),
    ],
)
def test_networks_that_ship_say_live_what_they_say_offline(tmp_path, name, options, place):
    model, mixture = Separator.from_pretrained(name), noise(12_000)
    audio.write(tmp_path / "noisy.wav", mixture, model.sample_rate)
    files = ["--input", tmp_path / "noisy.wav", "--out", tmp_path / "out.wav"]
    assert command("--simulate", *files, *options) == 0
    expected = separate(model, mixture, model.sample_rate, progress=False)[place]  # in one block
    torch.testing.assert_close(audio.read(tmp_path / "out.wav")[0], expected, atol=1e-5, rtol=0)


def test_channels_of_a_file(tmp_path):
    model = DeepRNN.tiny().eval()
    mixture = noise(5000, channels=2)
    audio.write(tmp_path / "stereo.wav", mixture, model.sample_rate)
    simulate(model, tmp_path / "stereo.wav", tmp_path / "out.wav", progress=False)
    with torch.no_grad():
        expected = model(mixture[None])[0, 0]
    torch.testing.assert_close(audio.read(tmp_path / "out.wav")[0], expected, atol=1e-5, rtol=0)


# how late


def test_the_meter_counts_what_computing_takes(tmp_path, clock):
    """Five blocks of 20 ms, one of 10; the second takes too long."""
    model = ConvTasNet.tiny(causal=True)
    audio.write(tmp_path / "a.wav", noise(880), 8000)
    clock += [0.002, 0.03, 0.004, 0.004, 0.004, 0.004]
    meter = simulate(model, tmp_path / "a.wav", block_ms=20, progress=False)
    assert not clock
    assert (meter.blocks, meter.late) == (6, 1)
    assert meter.lookahead == model.lookahead / 8000 and meter.block == 0.02
    assert meter.slowest == pytest.approx(0.03)
    assert meter.real_time_factor == pytest.approx(0.048 / 0.11)
    assert meter.latency == pytest.approx(model.lookahead / 8000 + 0.02 + 0.008)


def test_what_the_meter_says():
    meter = Meter(0.0477, 0.016)
    assert meter.real_time_factor == 0
    meter.note(0.004, 0.016)
    meter.note(0.006, 0.016, dropout=True)
    line = "latency 68.7 ms, real-time factor 0.31, 1 of 2 blocks late"
    assert meter.line == line
    assert str(meter) == (
        f"{line}\n0.0 s; of the latency: look-ahead 47.7, block 16.0, computing 5.0 ms; "
        "the slowest block took 6.0 ms"
    )
    meter.devices = 0.03
    assert "latency 98.7 ms" in str(meter) and "computing 5.0, devices 30.0 ms" in str(meter)


def test_the_first_sample_is_computed_before_the_clock_runs(tmp_path, monkeypatch):
    """Warm-up is no part of the stream."""
    model, heard = Denoiser.tiny(), []
    audio.write(tmp_path / "a.wav", noise(2000), RATE)
    advance, note = Denoiser.advance, Meter.note
    monkeypatch.setattr(
        Denoiser, "advance", lambda self, *given: heard.append("advance") or advance(self, *given)
    )
    monkeypatch.setattr(
        Meter, "note", lambda self, *given: heard.append("note") or note(self, *given)
    )
    simulate(model, tmp_path / "a.wav", progress=False)
    before = heard.index("note") - 1
    assert before * 256 > model.lookahead
    assert heard[before:] == ["advance", "note"] * 8 + ["advance"]


def test_the_command_prints_the_meter(checkpoint, tmp_path, capsys):
    audio.write(tmp_path / "noisy.wav", noise(8000), RATE)
    arguments = ["live", "--method", str(checkpoint), "--input", str(tmp_path / "noisy.wav")]
    arguments += ["--simulate", "--out", str(tmp_path / "speech.flac")]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("latency ") and "of 32 blocks late" in printed.out
    assert "look-ahead 9.2, block 16.0, computing" in printed.out
    assert str(tmp_path / "speech.flac") in printed.out
    assert "\rlatency " in printed.err and printed.err.endswith("\n")
    assert audio.info(tmp_path / "speech.flac").frames == 8000
    assert cli.main([*arguments, "--force", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


# the microphone


class PortAudioError(Exception):
    """As in sounddevice."""


class Devices:
    """A sounddevice.Stream that hears a recording, and then Ctrl-C."""

    latency = (0.01, 0.02)

    def __init__(self, sound, fails_after=None, **options):
        self.sound, self.fails_after, self.options = sound, fails_after, options
        self.played, self.place, self.state = [], 0, "closed"

    def __enter__(self):
        self.state = "open"
        return self

    def __exit__(self, *_):
        self.state = "closed"

    def read(self, samples):
        assert self.state == "open"
        if self.fails_after is not None and self.place >= self.fails_after:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        block = self.sound[:, self.place : self.place + samples]
        self.place += samples
        if self.place >= self.sound.shape[-1]:
            signal.raise_signal(signal.SIGINT)
        return np.ascontiguousarray(block.T.numpy()), self.place == 3 * samples

    def write(self, samples):
        assert samples.dtype == np.float32 and samples.flags.c_contiguous
        self.played.append(torch.from_numpy(samples.T.copy()))
        return False


@pytest.fixture
def sounddevice(monkeypatch):
    """Devices in the place of those of this machine; as many loudspeakers as told."""

    def install(sound, speakers=8, kind=Devices, **options):
        made = []

        def stream(**given):
            made.append(kind(sound, **options, **given))
            return made[0]

        module = types.SimpleNamespace(
            PortAudioError=PortAudioError,
            query_devices=lambda kind: {"max_output_channels": speakers},
            Stream=stream,
        )
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        return made

    return install


@pytest.mark.parametrize("speakers", [1, 2, 8])
def test_the_microphone_is_played_and_written_until_ctrl_c(
    checkpoint, tmp_path, capsys, sounddevice, speakers
):
    sound = noise(20 * 256)
    made = sounddevice(sound, speakers)
    before = signal.getsignal(signal.SIGINT)
    assert command("--method", checkpoint, "--out", tmp_path / "speech.wav") == 0
    assert signal.getsignal(signal.SIGINT) is before
    model, (devices,) = Separator.from_pretrained(checkpoint), made
    with torch.no_grad():
        expected = model(sound[None])[0, 0]
    torch.testing.assert_close(audio.read(tmp_path / "speech.wav")[0], expected, atol=1e-5, rtol=0)
    played = torch.cat(devices.played, -1)
    assert len(played) == min(speakers, 2) and devices.state == "closed"
    late = torch.nn.functional.pad(expected, (model.lookahead, 0))
    torch.testing.assert_close(played, late.expand(len(played), -1), atol=1e-5, rtol=0)
    assert devices.options == {
        "samplerate": RATE,
        "channels": (1, min(speakers, 2)),
        "dtype": "float32",
        "latency": 0.032,
    }
    printed = capsys.readouterr().out
    assert "of 20 blocks late" in printed and "devices 30.0 ms" in printed


def test_there_is_always_something_to_play(sounddevice):
    """Whatever was heard is outweighed by what was played, from the first block on."""
    balance = []

    class Watched(Devices):
        def read(self, samples):
            balance.append(sum(block.shape[-1] for block in self.played) - self.place)
            return super().read(samples)

    sounddevice(noise(30 * 256), kind=Watched)
    listen(Denoiser.tiny(), progress=False)
    assert len(balance) == 30 and min(balance) >= 0


def test_a_lost_block_is_counted(sounddevice, clock):
    sounddevice(noise(4 * 256))
    clock += [0.001] * 4
    meter = listen(Denoiser.tiny(), progress=False)
    assert (meter.blocks, meter.late, meter.devices) == (4, 1, pytest.approx(0.03))


def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing(checkpoint, tmp_path, sounddevice, capsys):
    class Stalled(Devices):
        def read(self, samples):
            while True:  # Python handles a signal a little later, and two at once as one
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.01)

    made = sounddevice(noise(9), kind=Stalled)
    assert command("--method", checkpoint, "--out", tmp_path / "out.wav") == 130
    assert [path.name for path in tmp_path.iterdir()] == ["denoiser"]
    assert made[0].state == "closed"


def test_a_microphone_that_is_pulled_out(checkpoint, tmp_path, sounddevice, capsys):
    made = sounddevice(noise(9000), fails_after=2000)
    status = command("--method", checkpoint, "--out", tmp_path / "out.wav")
    refused(capsys, status, "devices that take 16000 Hz", "Device unavailable", "--simulate")
    assert [path.name for path in tmp_path.iterdir()] == ["denoiser"]
    assert made[0].state == "closed"


@pytest.mark.parametrize("where", ["query_devices", "Stream"])
def test_a_microphone_that_is_not_there(checkpoint, tmp_path, sounddevice, capsys, where):
    sounddevice(noise(900))

    def nothing(**_):
        raise PortAudioError("Error querying device -1")

    setattr(sys.modules["sounddevice"], where, nothing)
    status = command("--method", checkpoint, "--out", tmp_path / "out.wav")
    refused(capsys, status, "microphone and loudspeaker: expected devices", "device -1")
    assert [path.name for path in tmp_path.iterdir()] == ["denoiser"]


def test_without_sounddevice_or_what_it_stands_on(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    refused(capsys, command("--method", checkpoint), "pip install sounddevice")
    monkeypatch.delitem(sys.modules, "sounddevice")
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    refused(capsys, command("--method", checkpoint), "PortAudio library not found", "apt-get")
    with pytest.raises(MissingPackageError):
        listen(Denoiser.tiny())


# bad input


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--simulate"], ["--input and --simulate: expected both"]),
        (["--input", "noisy.wav"], ["--input and --simulate: expected both"]),
        (["--method", "wiener"], ["expected a causal network", "'wiener'"]),
        (["--method", "irm"], ["expected a causal network", "'irm'"]),
        (["--method", "magic"], ["--method: expected", "'magic'"]),
        (["--method", "conv-tasnet-small"], ["expected a causal system", "got ConvTasNet"]),
        (["--method", "denoiser", "--stem", "music"], ["one of speech, noise, got 'music'"]),
        (["--method", "denoiser", "--block-ms", "0"], ["block_ms: expected 1 to 1000, got 0.0"]),
        (["--method", "denoiser", "--block-ms", "nan"], ["block_ms", "nan"]),
        (["--method", "denoiser", "--out", "out.ogg"], [".wav, .flac or .mp3", "'.ogg'"]),
        (["--method", "denoiser", "--out", "noisy.wav"], ["--force"]),
    ],
)
def test_bad_options_are_one_line(checkpoint, tmp_path, capsys, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    audio.write("noisy.wav", noise(900), RATE)
    refused(capsys, command(*arguments), *parts)
    assert {path.name for path in tmp_path.iterdir()} == {"denoiser", "noisy.wav"}


@pytest.mark.parametrize(
    ("name", "channels", "rate", "part"),
    [
        ("fast.wav", 1, 44_100, "expected 16000 Hz, at which Denoiser works, got 44100 Hz"),
        ("stereo.wav", 2, RATE, "channels: expected 1, got 2"),
        ("missing.wav", 0, RATE, "nothing there"),
    ],
)
def test_files_that_do_not_fit(checkpoint, tmp_path, capsys, name, channels, rate, part):
    if channels:
        audio.write(tmp_path / name, noise(900, channels), rate)
    arguments = ["--method", checkpoint, "--simulate", "--input", tmp_path / name]
    refused(capsys, command(*arguments, "--out", tmp_path / "out.wav"), part)
    assert not (tmp_path / "out.wav").exists()


def test_an_interrupted_simulation_leaves_nothing(checkpoint, tmp_path, capsys, monkeypatch):
    audio.write(tmp_path / "noisy.wav", noise(9000), RATE)
    note = Meter.note

    def interrupt(self, *given):
        note(self, *given)
        if self.blocks == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Meter, "note", interrupt)
    arguments = ["--method", checkpoint, "--simulate", "--input", tmp_path / "noisy.wav"]
    assert command(*arguments, "--out", tmp_path / "out.wav") == 130
    assert {path.name for path in tmp_path.iterdir()} == {"denoiser", "noisy.wav"}


def test_the_input_is_not_overwritten(tmp_path):
    audio.write(tmp_path / "noisy.wav", noise(900), RATE)
    with pytest.raises(InputError, match="the input itself"):
        simulate(Denoiser.tiny(), tmp_path / "noisy.wav", tmp_path / "noisy.wav", force=True)
    assert audio.info(tmp_path / "noisy.wav").frames == 900
