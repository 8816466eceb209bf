"""Songs: some stems and what they leave, sums, seams, channels, formats, hours."""

import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_separate import Renumbering, random_waveform

from lib import audio
from lib.data import Songs
from lib.errors import InputError
from lib.models import BandSplitRNN, Denoiser, HTDemucs, OpenUnmix, Separator
from lib.separate import output_names, separate, separate_file

STEMS = ("drums", "bass", "other", "vocals")


class Parts:
    """A model whose stems are shares of the mixture, which leave a tenth of it."""

    source_names = STEMS
    shares = torch.tensor([0.1, 0.2, 0.2, 0.4])[:, None, None]

    def __init__(self, channels=None, sample_rate=None):
        self.channels, self.sample_rate = channels, sample_rate

    def __call__(self, mixture):
        self.shape = mixture.shape
        return self.shares * mixture[:, None]


# stems and what they leave


def test_names_of_outputs():
    model = Parts()
    assert output_names(model) == STEMS
    assert output_names(model, ["vocals"]) == ("vocals", "accompaniment")
    assert output_names(model, ["vocals", "drums"]) == ("vocals", "drums", "accompaniment")
    assert output_names(model, STEMS[::-1]) == STEMS[::-1]
    model.source_names = ("vocals", "accompaniment")
    assert output_names(model, ["vocals"]) == ("vocals", "accompaniment")
    assert output_names(model, ["accompaniment"]) == ("accompaniment",)


@pytest.mark.parametrize(
    "stems, got",
    [
        (["piano"], "piano"),
        ([], "none"),
        (["vocals", "vocals"], "vocals, vocals"),
        ("ba", "b, a"),
    ],
)
def test_stems_that_are_not_there_are_one_error_that_lists_those_that_are(tmp_path, stems, got):
    message = f"stems: expected some of drums, bass, other, vocals, got {got}"
    with pytest.raises(InputError, match=message):
        separate(Parts(), random_waveform(100), 10, stems=stems)
    audio.write(tmp_path / "song.wav", random_waveform(100), 10)
    with pytest.raises(InputError, match=message):
        separate_file(Parts(), tmp_path / "song.wav", [tmp_path / "a.wav"], stems=stems)
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]
    with pytest.raises(InputError, match="expected some of a model that names them"):
        separate(lambda mixture: mixture[:, None], random_waveform(100), 10, stems=["vocals"])


@settings(max_examples=30)
@given(
    time=st.integers(1, 700),
    block=st.integers(1, 200),
    fraction=st.floats(0, 0.5),
    stems=st.permutations(STEMS).flatmap(
        lambda names: st.integers(1, 4).map(lambda count: names[:count])
    ),
    sum_to_mixture=st.booleans(),
)
def test_stems_and_what_they_leave_at_every_length_and_block(
    time, block, fraction, stems, sum_to_mixture
):
    waveform = random_waveform(time)
    options = {"block_seconds": block / 10, "overlap_seconds": fraction * block / 10}
    options |= {"stems": stems, "sum_to_mixture": sum_to_mixture, "progress": False}
    estimates = separate(Parts(), waveform, 10, **options)
    for stem, estimate in zip(stems, estimates, strict=False):
        share = Parts.shares[STEMS.index(stem)] + sum_to_mixture * 0.1 / 4
        torch.testing.assert_close(estimate, share * waveform)
    complete = sum_to_mixture or len(stems) < len(STEMS)
    assert len(estimates) == len(stems) + (len(stems) < len(STEMS))
    torch.testing.assert_close(estimates.sum(0), waveform if complete else 0.9 * waveform)


@pytest.mark.parametrize("options", [{"stems": ["vocals"]}, {"sum_to_mixture": True}])
def test_what_a_model_of_a_lower_rate_does_not_hear_is_not_lost(options):
    time = torch.arange(2 * 16000) / 16000
    high = 0.5 * torch.sin(2 * torch.pi * 6000 * time)[None]
    mixture = high + 0.5 * torch.sin(2 * torch.pi * 440 * time)
    estimates = separate(Parts(sample_rate=8000), mixture, 16000, progress=False, **options)
    torch.testing.assert_close(estimates.sum(0), mixture, atol=1e-6, rtol=0)
    inner = slice(2000, -2000)
    share = (estimates[-1] * high)[:, inner].mean() / high[:, inner].square().mean()
    assert share == pytest.approx(1.0 if "stems" in options else 0.25, abs=0.01)


def test_a_speaker_is_chosen_after_the_order_is_found():
    model, waveform = Renumbering(any_order=True), random_waveform(1000)
    model.source_names = ("speaker_1", "speaker_2")
    options = {"block_seconds": 20, "overlap_seconds": 4, "progress": False}
    estimates = separate(model, waveform, 10, stems=["speaker_2"], **options)
    expected = torch.stack([waveform.clamp_max(0), waveform.clamp_min(0)])
    torch.testing.assert_close(estimates, expected)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_a_song_to_files(tmp_path, suffix):
    time = torch.arange(8 * 8000) / 8000
    waveform = 0.5 * torch.sin(2 * torch.pi * torch.tensor([[220.0], [330.0]]) * time)
    audio.write(tmp_path / "song.wav", waveform, 8000)
    options = {"block_seconds": 3, "overlap_seconds": 1, "progress": False}
    options |= {"stems": ["vocals", "bass"], "sum_to_mixture": True}
    outputs = [tmp_path / f"{name}.{suffix}" for name in ("vocals", "bass", "accompaniment")]
    separate_file(Parts(), tmp_path / "song.wav", outputs, gain_db=-6, **options)
    expected = 10 ** (-6 / 20) * separate(Parts(), waveform, 8000, **options)
    found = torch.stack([audio.read(output)[0] for output in outputs])
    tolerance = {"wav": 1e-7, "flac": 2**-22, "mp3": 0.02}[suffix]
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(found.sum(0), 10 ** (-6 / 20) * waveform, atol=3 * tolerance, rtol=0)


def test_stems_that_are_too_loud_for_flac_say_how_to_write_them(tmp_path):
    def loud(mixture):
        return torch.stack([2 * mixture, -mixture], 1)

    audio.write(tmp_path / "song.wav", random_waveform(3000), 100)
    outputs = [tmp_path / "a.flac", tmp_path / "b.flac"]
    with pytest.raises(InputError, match=r"peak of 1\..* one gain first \(--gain-db\)"):
        separate_file(loud, tmp_path / "song.wav", outputs, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]
    separate_file(loud, tmp_path / "song.wav", outputs, gain_db=-12, progress=False)
    assert audio.read(outputs[0])[0].abs().max() < 0.5


def test_room_is_asked_for_by_format(tmp_path, monkeypatch):
    """16,000 seconds of stereo at 8 kHz: 1024 MB, at most 793.6 MB, 640 MB."""
    header = audio.AudioInfo(8000, 2, 128_000_000, "MP3", "MPEG_LAYER_III")
    monkeypatch.setattr("lib.separate.info", lambda _: header)
    monkeypatch.setattr("lib.separate.shutil.disk_usage", lambda _: type("Disk", (), {"free": 1}))
    for suffix, megabytes in {"wav": 1024, "flac": 793.6, "mp3": 640}.items():
        with pytest.raises(InputError, match=f"expected {2 * megabytes:.0f} MB of free disk"):
            outputs = [tmp_path / f"{name}.{suffix}" for name in ("vocals", "accompaniment")]
            separate_file(Parts(), "song.mp3", outputs, stems=["vocals"])


# channels


def test_one_channel_is_given_to_all_of_a_model():
    class Sides(Parts):
        def __call__(self, mixture):
            assert mixture.shape[1] == 2
            return torch.stack([mixture * torch.tensor([[1.0], [0.5]]), -mixture], 1)

    waveform = random_waveform(300, channels=1)
    estimates = separate(Sides(2), waveform, 10, progress=False)
    torch.testing.assert_close(estimates, torch.stack([0.75 * waveform, -waveform]))
    stereo = random_waveform(300)
    estimates = separate(Sides(2), stereo, 10, per_channel=True, progress=False)
    torch.testing.assert_close(estimates, torch.stack([0.75 * stereo, -stereo]))
    torch.testing.assert_close(
        separate(Sides(2), stereo, 10, progress=False)[0], stereo * torch.tensor([[1.0], [0.5]])
    )


def test_a_mono_model_of_fixed_sources_hears_the_channels_one_by_one():
    """Two channels of one source belong together, where the order is fixed; else, it asks."""
    model, stereo = Parts(channels=1), random_waveform(300)
    expected = separate(model, stereo, 10, per_channel=True, progress=False)
    torch.testing.assert_close(separate(model, stereo, 10, progress=False), expected)
    with pytest.raises(InputError, match="a mixture of 1 channel, .* got 2"):
        separate(model, stereo, 10, per_channel=False, progress=False)
    model.any_order = True
    with pytest.raises(InputError, match="a mixture of 1 channel, .* got 2"):
        separate(model, stereo, 10, progress=False)


def test_surround_sound_into_a_stereo_model(tmp_path):
    surround, model = random_waveform(300, channels=6), Parts(channels=2)
    audio.write(tmp_path / "film.wav", surround, 10)
    outputs = [tmp_path / f"{name}.wav" for name in STEMS]
    message = "a mixture of 1 or 2 channels, .* got 6; .*--per-channel.*, or mix them down before"
    with pytest.raises(InputError, match=message):
        separate_file(model, tmp_path / "film.wav", outputs)
    assert [path.name for path in tmp_path.iterdir()] == ["film.wav"]
    separate_file(model, tmp_path / "film.wav", outputs, per_channel=True, progress=False)
    torch.testing.assert_close(audio.read(outputs[3])[0], 0.4 * surround)


# seams


def seams(model, waveform, rate, overlap_seconds):
    """What blocks of 2 s change of the answer to the whole: at the seams, over elsewhere.

    A click is a sudden change: the second difference within two samples of where a fade begins or
    ends. Errors are compared within 20 ms of there. Both are root mean squares.
    """
    seconds = waveform.shape[-1] / rate
    whole = separate(
        model, waveform, rate, block_seconds=seconds, overlap_seconds=0, progress=False
    )
    options = {"block_seconds": 2.0, "overlap_seconds": overlap_seconds, "progress": False}
    change = separate(model, waveform, rate, **options) - whole
    time, overlap = torch.arange(waveform.shape[-1]), round(overlap_seconds * rate)
    fades = torch.arange(2 * rate - overlap, len(time) - overlap, 2 * rate - overlap)
    distance = (time[:, None] - torch.cat([fades, fades + overlap])).abs().amin(1)

    def there_over_elsewhere(signal, near):
        power = signal.square().mean((0, 1))
        return (power[near].mean() / power[~near].mean()).sqrt().item()

    return (
        there_over_elsewhere(change.diff(n=2), distance[1:-1] <= 2),
        there_over_elsewhere(change, distance <= 0.02 * rate),
    )


def trained_on_singing():
    """A network that ships, and a song that it did not learn from."""
    model = Separator.from_pretrained("wave-unet-small")
    song = Songs("test", seconds=6.0, sample_rate=model.sample_rate)[0].mixture
    return model, song.mean(0, True)


def untrained(system):
    """A network with random weights, and low tones, in which nothing is sudden."""
    model = system.tiny().eval()
    time = torch.arange(6 * model.sample_rate) / model.sample_rate
    tones = torch.sin(2 * torch.pi * 110 * time) + torch.sin(2 * torch.pi * 167 * time + 1) / 2
    return model, 0.3 * tones.repeat(model.channels or 1, 1)


@pytest.mark.parametrize(
    "made",
    [trained_on_singing, *(BandSplitRNN, Denoiser, HTDemucs, OpenUnmix)],
    ids=lambda m: m.__name__,
)
def test_seams_do_not_click_and_are_as_near_to_the_whole_as_all_else(made):
    model, waveform = made() if made is trained_on_singing else untrained(made)
    click, error = seams(model, waveform, model.sample_rate, overlap_seconds=0.5)
    assert click < 2.5 and error < 1.6
    click, error = seams(model, waveform, model.sample_rate, overlap_seconds=0)
    assert click > 5 and error > 2.5  # what the overlap takes away


# hours


def silent_hours(path, hours, rate):
    """A recording that takes no room on most disks: a header, and a hole."""
    size = 2 * hours * 3600 * rate
    header = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    with path.open("wb") as file:
        file.write(header + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)


def test_three_hours_take_no_more_memory_than_a_block(tmp_path):
    """The mixture alone would be 86 MB, with its stems 259 MB."""
    psutil = pytest.importorskip("psutil")
    silent_hours(tmp_path / "opera.wav", 3, rate=2000)
    process, levels = psutil.Process(), []

    class Watched(Parts):
        def __call__(self, mixture):
            levels.append(process.memory_info().rss)
            return super().__call__(mixture)

    outputs = [tmp_path / "vocals.flac", tmp_path / "accompaniment.flac"]
    options = {"stems": ["vocals"], "sum_to_mixture": True, "progress": False}
    separate_file(Watched(), tmp_path / "opera.wav", outputs, **options)
    assert len(levels) == 831
    assert max(levels) - levels[10] < 20e6
    assert audio.info(outputs[1]).seconds == 3 * 3600
