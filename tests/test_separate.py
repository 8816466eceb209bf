"""Long recordings: alignment to the sample, seams, rates, bounded memory, nothing half written."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import audio
from lib.classical import as_separator
from lib.data import TwoSpeakers
from lib.errors import InputError
from lib.models import UPIT, ConvTasNet, Separator
from lib.separate import separate, separate_file


def identity(mixture):
    return mixture[:, None]


def random_waveform(time, channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(channels, time, generator=generator) - 1) * 0.9


@settings(max_examples=60, deadline=None)
@given(
    time=st.integers(1, 700),
    block=st.integers(1, 200),
    fraction=st.floats(0, 0.5),
    channels=st.integers(1, 2),
)
def test_identity_is_exact_for_every_length_and_block(time, block, fraction, channels):
    waveform = random_waveform(time, channels)
    estimates = separate(
        identity,
        waveform,
        10,
        block_seconds=block / 10,
        overlap_seconds=fraction * block / 10,
        progress=False,
    )
    assert torch.equal(estimates[0], waveform)


def test_blocks_have_full_length_and_overlap():
    seen = []

    def model(mixture):
        seen.append(mixture[0, 0])
        return mixture[:, None]

    waveform = torch.arange(250.0)[None]
    separate(model, waveform, 10, block_seconds=10, overlap_seconds=2, progress=False)
    assert [(int(block[0]), int(block[-1])) for block in seen] == [(0, 99), (80, 179), (150, 249)]


def test_blocks_are_as_long_as_what_a_model_learned_from():
    seen = []

    class Model:
        segment = 7.0

        def __call__(self, mixture):
            seen.append(mixture.shape[-1])
            return mixture[:, None]

    waveform = random_waveform(200, channels=1)
    separate(Model(), waveform, 10, progress=False)
    assert seen == [70] * 4
    Model.segment = 3.0  # less than the cross-fades need
    separate(Model(), waveform[:, :40], 10, progress=False)
    separate(Model(), waveform, 10, block_seconds=20, progress=False)
    assert seen[4:] == [40, 200]


def test_seams_fade():
    def loud_at_first(mixture, calls=[]):  # noqa: B006 - counts its calls
        calls.append(1)
        return torch.full_like(mixture, float(len(calls) == 1))[:, None]

    estimate = separate(
        loud_at_first, torch.zeros(1, 150), 10, block_seconds=10, overlap_seconds=4, progress=False
    )[0, 0]
    assert (estimate[:60] == 1).all() and (estimate[100:] == 0).all()
    steps = estimate[59:101].diff()
    assert (steps < 0).all() and steps.abs().max() < 0.03


class Renumbering:
    """Halves the mixture by sign; numbers the halves otherwise in every second block."""

    def __init__(self, any_order):
        self.any_order, self.calls = any_order, 0

    def __call__(self, mixture):
        self.calls += 1
        halves = torch.stack([mixture.clamp_min(0), mixture.clamp_max(0)], 1)
        return halves.flip(1) if self.calls % 2 == 0 else halves


@pytest.mark.parametrize("any_order", [True, False])
def test_sources_without_order_are_continued_over_the_seams(any_order):
    waveform = random_waveform(1000)
    estimates = separate(
        Renumbering(any_order), waveform, 10, block_seconds=20, overlap_seconds=4, progress=False
    )
    kept = torch.equal(estimates, torch.stack([waveform.clamp_min(0), waveform.clamp_max(0)]))
    assert kept == any_order


def test_the_speakers_of_a_trained_network_are_continued():
    """It is made to swap in every second block, which must not be heard."""
    model = Separator.from_pretrained("upit-blstm-small")
    mixture = TwoSpeakers("test", items=60, seed=0, seconds=5.0, sample_rate=8000)[5].mixture
    options = {"block_seconds": 2.0, "overlap_seconds": 1.0, "progress": False}

    class Swapping:
        any_order, calls = True, 0

        def __call__(self, block):
            self.calls += 1
            with torch.no_grad():
                return model(block).flip(1) if self.calls % 2 == 0 else model(block)

    estimates = separate(Swapping(), mixture, 8000, **options)
    torch.testing.assert_close(estimates, separate(model, mixture, 8000, **options))
    plain = Swapping()
    plain.any_order = False
    assert not torch.allclose(estimates, separate(plain, mixture, 8000, **options), atol=1e-2)


def test_the_order_of_many_sources_is_found_quickly():
    """12 sources have 479 million orders."""

    class Shuffled:
        any_order = True
        calls = 0

        def __call__(self, mixture):
            self.calls += 1
            parts = torch.stack([mixture * (mixture * 12).floor().eq(n) for n in range(12)], 1)
            generator = torch.Generator().manual_seed(self.calls)
            return parts[:, torch.randperm(12, generator=generator)]

    waveform = torch.rand(1, 4000, generator=torch.Generator().manual_seed(0))
    start = time.monotonic()
    estimates = separate(
        Shuffled(), waveform, 100, block_seconds=10, overlap_seconds=2, progress=False
    )
    assert time.monotonic() - start < 30
    assert torch.equal(estimates.sum(0), waveform)
    levels = [one[one > 0] for one in estimates]
    assert all(level.max() - level.min() < 1 / 12 for level in levels)


@pytest.mark.parametrize("system", [ConvTasNet.tiny, UPIT.tiny])
@pytest.mark.parametrize("samples", [1, 3, 31])
@pytest.mark.parametrize("rate", [8000, 11025])
def test_less_than_a_window_is_separated(system, samples, rate):
    estimates = separate(system(), random_waveform(samples, 1), rate, progress=False)
    assert estimates.shape == (2, 1, samples)
    assert torch.isfinite(estimates).all()


def test_a_model_for_one_channel_refuses_two_and_says_what_to_do(tmp_path):
    model, stereo = ConvTasNet.tiny(), random_waveform(900)
    message = "a mixture of 1 channel, which is what ConvTasNet separates, got 2; .*per_channel"
    with pytest.raises(InputError, match=message):
        separate(model, stereo, 8000)
    audio.write(tmp_path / "stereo.wav", stereo, 8000)
    outputs = [tmp_path / "a.wav", tmp_path / "b.wav"]
    with pytest.raises(InputError, match=message):
        separate_file(model, tmp_path / "stereo.wav", outputs)
    separate_file(model, tmp_path / "stereo.wav", outputs, per_channel=True, progress=False)
    expected = separate(model, stereo, 8000, per_channel=True, progress=False)
    assert expected.shape == (2, 2, 900)
    for output, estimate in zip(outputs, expected, strict=True):
        torch.testing.assert_close(audio.read(output)[0], estimate)


@pytest.mark.parametrize("any_order", [True, False])
def test_the_channels_of_a_source_stay_together(any_order):
    """Channel by channel, the model numbers the second channel's sources the other way round."""

    class Model:
        channels = 1

        def __call__(self, mixture):
            assert mixture.shape[:2] == (2, 1)
            parts = torch.stack([mixture.clamp_min(0), mixture.clamp_max(0)], 1)
            return torch.stack([parts[0], parts[1].flip(0)])

    model = Model()
    model.any_order = any_order
    loud = torch.rand(40, generator=torch.Generator().manual_seed(0)).repeat_interleave(100)
    waveform = random_waveform(4000, 1) * torch.where(torch.arange(4000) % 2 == 0, loud, 1 - loud)
    waveform = torch.where(torch.arange(4000) % 2 == 0, 1, -1) * waveform.abs()
    stereo = torch.cat([waveform, 0.5 * waveform.roll(8)])
    estimates = separate(model, stereo, 1000, per_channel=True, progress=False)
    together = bool((estimates[0] >= 0).all() and (estimates[1] <= 0).all())
    assert together == any_order


@pytest.mark.parametrize("shifts", [1, 2, 4])
def test_shifts_are_spread_over_half_a_second_and_taken_back(shifts):
    """A model that answers with the number of each sample of what it is given."""
    seen = []

    def count(mixture):
        seen.append(mixture)
        return torch.arange(mixture.shape[-1]).expand(mixture.shape).float()[:, None]

    waveform = random_waveform(90, channels=1)
    estimates = separate(count, waveform, 100, shifts=shifts, progress=False)
    later = [round(50 * number / shifts) for number in range(shifts)]
    assert [block.shape[-1] for block in seen] == [90 + more for more in later]
    for block, more in zip(seen, later, strict=True):
        assert not block[..., :more].any()
        assert torch.equal(block[0, :, more:], waveform)
    expected = torch.arange(90) + sum(later) / shifts  # silence came first
    torch.testing.assert_close(estimates[0, 0], expected)


def test_shifts_even_out_what_depends_on_where_blocks_begin(tmp_path):
    """Decimation: what a system says of a sample depends on its place in the grid."""

    def grid(mixture):
        return (mixture * (torch.arange(mixture.shape[-1]) % 4 == 0))[:, None]

    waveform = torch.ones(1, 400)
    alone = separate(grid, waveform, 22, progress=False)
    together = separate(grid, waveform, 22, shifts=4, progress=False)  # later by 0, 3, 6 and 8
    assert alone.std() > 2 * together.std()
    audio.write(tmp_path / "ones.wav", waveform, 22)
    separate_file(
        grid, tmp_path / "ones.wav", [tmp_path / "one.wav"], shifts=4, force=True, progress=False
    )
    torch.testing.assert_close(audio.read(tmp_path / "one.wav")[0], together[0])


def test_shifted_answers_without_order_are_matched():
    model, waveform = Renumbering(any_order=True), random_waveform(80, channels=1)
    estimates = separate(model, waveform, 100, shifts=2, progress=False)
    expected = torch.stack([waveform.clamp_min(0), waveform.clamp_max(0)])
    torch.testing.assert_close(estimates, expected)
    with pytest.raises(InputError, match="shifts: expected at least 1, got 0"):
        separate(identity, waveform, 100, shifts=0)


def test_a_model_gets_its_own_sample_rate():
    class Model:
        sample_rate = 16000

        def __call__(self, mixture):
            self.lengths = [*getattr(self, "lengths", []), mixture.shape[-1]]
            return mixture[:, None]

    model = Model()
    time = torch.arange(3 * 44100) / 44100
    tone = torch.sin(2 * torch.pi * 440 * time)[None]
    estimate = separate(model, tone, 44100, block_seconds=1, overlap_seconds=0.2, progress=False)
    assert set(model.lengths) == {16000}
    assert estimate.shape == (1, *tone.shape)
    # aligned to the sample: a shift of one sample would cost -24 dB
    inner = slice(2000, -2000)
    assert (estimate[0] - tone)[:, inner].abs().max() < 1e-3


def test_a_module_is_run_in_eval_mode_and_left_as_it_was():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))
            self.modes = []

        def forward(self, mixture):
            self.modes.append(self.training)
            return (mixture * self.scale)[:, None]

    model = Model()
    estimates = separate(model, random_waveform(100), 10, progress=False)
    assert model.modes == [False] and model.training
    assert not estimates.requires_grad


def test_the_progress_bar_ends_at_its_end(capfd):
    separate(identity, random_waveform(1000), 10, block_seconds=20, progress=True)
    assert "100%" in capfd.readouterr().err


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_file_to_files(tmp_path, suffix, channels):
    waveform = random_waveform(50_000, channels)
    audio.write(tmp_path / "mixture.wav", waveform, 8000)
    outputs = [tmp_path / f"{name}{suffix}" for name in ("speech", "noise")]
    model = as_separator("identity", 8000)
    options = {"block_seconds": 2, "overlap_seconds": 0.5, "progress": False}
    assert separate_file(model, tmp_path / "mixture.wav", outputs, **options) == outputs
    speech, rate = audio.read(outputs[0])
    assert rate == 8000
    if suffix == ".wav":
        assert torch.equal(speech, waveform)
    else:
        assert (speech - waveform).abs().max() < 2**-22
    assert torch.equal(audio.read(outputs[1])[0], torch.zeros_like(waveform))


def test_file_and_tensor_agree(tmp_path):
    waveform = random_waveform(20_000, 1)
    audio.write(tmp_path / "mixture.wav", waveform, 8000)
    options = {"block_seconds": 1, "overlap_seconds": 0.25, "progress": False}
    model = as_separator("wiener", 8000)
    outputs = [tmp_path / "speech.wav", tmp_path / "noise.wav"]
    separate_file(model, tmp_path / "mixture.wav", outputs, **options)
    expected = separate(model, waveform, 8000, **options)
    for output, estimate in zip(outputs, expected, strict=True):
        torch.testing.assert_close(audio.read(output)[0], estimate)


def fails_in_the_third_block(mixture, calls=[]):  # noqa: B006 - counts its calls
    calls.append(1)
    if len(calls) == 3:
        raise KeyboardInterrupt
    return mixture[:, None]


def test_nothing_is_left_if_it_is_interrupted(tmp_path):
    audio.write(tmp_path / "mixture.wav", random_waveform(1000), 10)
    with pytest.raises(KeyboardInterrupt):
        separate_file(
            fails_in_the_third_block,
            tmp_path / "mixture.wav",
            [tmp_path / "same.wav"],
            progress=False,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["mixture.wav"]


def test_nothing_is_left_if_the_last_writer_fails(tmp_path, monkeypatch):
    audio.write(tmp_path / "mixture.wav", random_waveform(100), 10)
    real = audio.Writer.__exit__

    def failing(self, *details):
        if "speech" in self.path.name and details[0] is None:
            real(self, InputError, InputError("disk full"), None)
            raise InputError("disk full")
        return real(self, *details)

    monkeypatch.setattr(audio.Writer, "__exit__", failing)
    with pytest.raises(InputError, match="disk full"):
        separate_file(
            as_separator("identity", 10),
            tmp_path / "mixture.wav",
            [tmp_path / "speech.wav", tmp_path / "noise.wav"],
            progress=False,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["mixture.wav"]


def test_wrong_input_gives_one_clear_error(tmp_path, monkeypatch):
    waveform = random_waveform(100)
    path = tmp_path / "mixture.wav"
    audio.write(path, waveform, 10)
    with pytest.raises(InputError, match="2 dimensions"):
        separate(identity, waveform[0], 10)
    with pytest.raises(InputError, match="sample_rate"):
        separate(identity, waveform, 0)
    with pytest.raises(InputError, match="half a block"):
        separate(identity, waveform, 10, block_seconds=1, overlap_seconds=0.6)
    with pytest.raises(InputError, match="model: expected estimates"):
        separate(lambda mixture: mixture, waveform, 10, progress=False)
    with pytest.raises(InputError, match="one per source"):
        separate_file(identity, path, [tmp_path / "a.wav", tmp_path / "b.wav"], progress=False)
    with pytest.raises(InputError, match="different paths"):
        separate_file(identity, path, [])
    with pytest.raises(InputError, match="the input itself"):
        separate_file(identity, path, [path], force=True)
    (tmp_path / "there.wav").write_bytes(b"mine")
    with pytest.raises(InputError, match="force"):
        separate_file(identity, path, [tmp_path / "there.wav"])
    monkeypatch.setattr("lib.separate.shutil.disk_usage", lambda _: type("Disk", (), {"free": 10}))
    with pytest.raises(InputError, match="free disk"):
        separate_file(identity, path, [tmp_path / "same.wav"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mixture.wav", "there.wav"]
    assert (tmp_path / "there.wav").read_bytes() == b"mine"


def test_more_outputs_than_sources_are_refused_before_any_work(tmp_path):
    audio.write(tmp_path / "mixture.wav", random_waveform(100, 1), 8000)
    outputs = [tmp_path / f"{name}.wav" for name in "abc"]
    with pytest.raises(InputError, match="expected 2 paths, .* got 3; .*made for it"):
        separate_file(ConvTasNet.tiny(), tmp_path / "mixture.wav", outputs)
    assert [path.name for path in tmp_path.iterdir()] == ["mixture.wav"]


def five_hours(monkeypatch, channels, rate):
    """Put a synthetic recording in the place of a file; return what reads and writes it."""
    frames, live = 5 * 3600 * rate, SimpleNamespace(written=0, read=0)

    def blocks(path, block_frames, overlap):
        start = 0
        while True:
            block = torch.full((channels, min(block_frames, frames - start)), 0.25)
            live.read = max(live.read, block.numel())
            yield block, start
            if start + block_frames >= frames:
                return
            start += block_frames - overlap

    monkeypatch.setattr(
        "lib.separate.info",
        lambda _: SimpleNamespace(sample_rate=rate, channels=channels, frames=frames),
    )
    monkeypatch.setattr("lib.separate.read_blocks", blocks)

    def write(self, block):
        live.written += block.numel()

    monkeypatch.setattr(audio.Writer, "write", write)
    monkeypatch.setattr(audio.Writer, "__enter__", lambda self: self)
    monkeypatch.setattr(audio.Writer, "__exit__", lambda self, *_: None)
    monkeypatch.setattr("lib.separate.shutil.disk_usage", lambda _: SimpleNamespace(free=10**12))
    return live, frames


def test_five_hours_take_no_more_memory_than_a_block(tmp_path, monkeypatch):
    """The signal alone would be 576 MB."""
    psutil = pytest.importorskip("psutil")
    live, frames = five_hours(monkeypatch, 1, 8000)
    process, levels = psutil.Process(), []

    def model(mixture):
        levels.append(process.memory_info().rss)
        return mixture[:, None]

    separate_file(model, "lecture.wav", [tmp_path / "same.wav"], progress=False)
    assert live.written == frames
    assert live.read == 15 * 8000
    assert max(levels) - levels[10] < 30e6


def test_five_hours_of_stereo_do_not_fit_a_wav_file_which_is_said_at_once(tmp_path, monkeypatch):
    five_hours(monkeypatch, 2, 44100)
    with pytest.raises(InputError, match=r"at most 4 GB, .* got 6.4 GB; write .flac"):
        separate_file(identity, "concert.flac", [tmp_path / "same.wav"], progress=False)


_MEASURE = """
import json, sys, psutil, torch
from pathlib import Path
from lib.audio import Writer
from lib.classical import as_separator
from lib.separate import separate_file

folder, seconds = Path(sys.argv[1]), int(sys.argv[2])
block = torch.rand(2, 44100, generator=torch.Generator().manual_seed(0)) - 0.5
with Writer(folder / "long.wav", 44100, 2) as writer:
    for _ in range(seconds):
        writer.write(block)
highest = 0
model = as_separator("identity", 44100)
def watched(mixture):
    global highest
    highest = max(highest, psutil.Process().memory_info().rss)
    return model(mixture)
separate_file(watched, folder / "long.wav", [folder / "a.wav", folder / "b.wav"], progress=False)
print(json.dumps(highest))
"""


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Ten minutes of stereo at 44.1 kHz are 212 MB; with both outputs, 635 MB."""
    pytest.importorskip("psutil")

    def peak(seconds):
        command = [sys.executable, "-c", _MEASURE, str(tmp_path), str(seconds)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        for path in tmp_path.iterdir():
            path.unlink()
        return json.loads(result.stdout)

    assert peak(240) - peak(60) < 40e6  # the difference of the signals alone is 190 MB
