import math
import os
import struct

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.audio import Writer, info, read, read_blocks, resample, write
from lib.errors import InputError


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) / 8


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.endswith(".part")]


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_wav_round_trip_is_exact(tmp_path, channels):
    waveform = 4 * noise(channels, 1001)
    write(tmp_path / "a.wav", waveform, 22050)
    found, rate = read(tmp_path / "a.wav")
    assert rate == 22050 and torch.equal(found, waveform)
    assert found.is_contiguous() and found.dtype == torch.float32
    assert info(tmp_path / "a.wav").subtype == "FLOAT" and not leftovers(tmp_path)


def test_flac_round_trip_is_exact_to_24_bits(tmp_path):
    waveform = noise(2, 1001).clamp(-1, 1)
    write(str(tmp_path / "a.FLAC"), waveform.double(), 44100)
    assert (read(str(tmp_path / "a.FLAC"))[0] - waveform).abs().max() < 2**-23
    with pytest.raises(InputError, match="within"):
        write(tmp_path / "b.flac", 100 * waveform, 44100)
    assert os.listdir(tmp_path) == ["a.FLAC"]


@pytest.mark.parametrize(
    "channels, rate, time", [(2, 44100, 30_011), (1, 8000, 8001), (1, 16000, 1)]
)
def test_mp3_comes_back_in_its_place(tmp_path, channels, rate, time):
    """In its length, and no sample later: below the band's edge little else is lost."""
    tones = torch.arange(1, 1 + channels)[:, None] * 2 * torch.pi * 220
    waveform = 1.5 * torch.sin(tones * torch.arange(time) / rate)  # louder than players play
    write(tmp_path / "a.mp3", waveform, rate)
    found, found_rate = read(tmp_path / "a.mp3")
    assert found_rate == rate and found.shape == waveform.shape
    inner = slice(1500, -1500)
    for lag in (-1, 1):
        error = (found - waveform)[:, inner].square().sum()
        assert error <= (found - waveform.roll(lag, -1))[:, inner].square().sum() / 10
    assert info(tmp_path / "a.mp3").format == "MP3" and not leftovers(tmp_path)


def test_a_libsndfile_that_cannot_write_mp3_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile, "check_format", lambda *_: False)
    with pytest.raises(InputError, match="expected libsndfile 1.1 or newer, .* write .flac"):
        write(tmp_path / "a.mp3", noise(1, 99), 8000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["ogg", "mp3", "flac", "wav"])
def test_reads_what_the_course_promises(tmp_path, kind):
    path = tmp_path / f"tone.{kind}"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    soundfile.write(path, np.stack([tone, -tone], -1), 44100)
    waveform, rate = read(path)
    assert rate == 44100 and waveform.shape[0] == 2 and abs(waveform.shape[1] - 44100) < 3000
    assert info(path).seconds == pytest.approx(1.0, abs=0.1)
    mono, rate = read(path, sample_rate=16000, mono=True)
    assert rate == 16000 and mono.shape[0] == 1 and mono.abs().max() < 0.05
    joined = torch.cat([block for block, _ in read_blocks(path, 9999)], -1)
    assert torch.equal(joined, waveform)


def test_reading_resamples(tmp_path):
    write(tmp_path / "a.wav", noise(1, 4410), 44100)
    waveform, rate = read(tmp_path / "a.wav", sample_rate=16000)
    assert rate == 16000 and waveform.shape == (1, 1600)
    with pytest.raises(InputError, match="sample_rate"):
        read(tmp_path / "a.wav", sample_rate=0)


@given(time=st.integers(1, 300), block=st.integers(1, 80), overlap=st.integers(0, 79))
def test_blocks_cover_the_file_once(tmp_path_factory, time, block, overlap):
    overlap = min(overlap, block - 1)
    path = tmp_path_factory.getbasetemp() / "blocks.wav"
    waveform = noise(2, time)
    write(path, waveform, 8000, force=True)
    end = 0
    for piece, start in read_blocks(path, block, overlap):
        assert piece.shape[-1] <= block and start == max(0, end - overlap)
        assert torch.equal(piece, waveform[:, start : start + piece.shape[-1]])
        assert start + piece.shape[-1] > end
        end = start + piece.shape[-1]
    assert end == time


def test_block_arguments_are_checked_at_once(tmp_path):
    with pytest.raises(InputError, match="overlap"):
        read_blocks(tmp_path / "no.wav", 10, 10)
    with pytest.raises(InputError, match="nothing there"):
        read_blocks(tmp_path / "no.wav", 10)


def test_bad_files_are_told_apart(tmp_path):
    write(tmp_path / "good.wav", noise(1, 1000), 8000)
    whole = (tmp_path / "good.wav").read_bytes()
    (tmp_path / "truncated.wav").write_bytes(whole[:-400])
    (tmp_path / "header.wav").write_bytes(whole[:20])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("This is no sound.\n" * 9, encoding="utf-8")
    (tmp_path / "unknown.xyz").write_bytes(bytes(range(256)) * 9)
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), 8000)
    broken = np.zeros(3000, dtype=np.float32)
    for value, name in ((np.nan, "nan"), (np.inf, "inf")):
        broken[2500] = value
        soundfile.write(tmp_path / f"{name}.wav", broken, 8000, subtype="FLOAT")
    for name, message in {
        "missing.wav": "nothing there",
        ".": "directory",
        "empty.wav": "empty file",
        "text.wav": "something else",
        "unknown.xyz": "something else",
        "header.wav": "got",
        "truncated.wav": "truncated",
        "none.wav": "at least one sample",
        "nan.wav": "at sample 2500",
        "inf.wav": "at sample 2500",
    }.items():
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


@pytest.mark.parametrize("kind", ["flac", "ogg"])
def test_truncated_compressed_files_do_not_pass_as_whole(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, noise(1, 48000)[0].numpy(), 48000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    try:
        waveform, _ = read(path)
    except InputError:
        return
    # an ogg header does not say how long the file is: what is there is what one gets
    assert kind == "ogg" and waveform.shape[-1] < 48000


def test_a_wav_that_was_streamed_is_no_truncated_one(tmp_path):
    write(tmp_path / "a.wav", noise(1, 100), 8000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    position = data.index(b"data") + 4
    data[position : position + 4] = struct.pack("<I", 0xFFFFFFFF)
    (tmp_path / "stream.wav").write_bytes(data)
    assert read(tmp_path / "stream.wav")[0].shape[-1] == 100


def test_never_overwrites_without_force(tmp_path):
    path = tmp_path / "a.wav"
    write(path, noise(1, 10), 8000)
    before = path.read_bytes()
    with pytest.raises(InputError, match="--force"):
        write(path, noise(1, 20), 8000)
    assert path.read_bytes() == before
    write(path, noise(1, 20), 8000, force=True)
    assert info(path).frames == 20


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.wav"
    write(path, noise(1, 10), 8000)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), Writer(path, 8000, 1, force=True) as writer:
        writer.write(noise(1, 99))
        raise RuntimeError
    with pytest.raises(InputError, match="1 channels"), Writer(path, 8000, 1, force=True) as writer:
        writer.write(noise(2, 99))
    with pytest.raises(InputError, match="at least one sample"):
        Writer(path, 8000, 1, force=True).__enter__().__exit__(None, None, None)
    assert path.read_bytes() == before and not leftovers(tmp_path)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(InputError, match="free name"), Writer(path, 8000, 1) as writer:
        writer.write(noise(1, 9))
        path.write_bytes(b"mine")
    assert path.read_bytes() == b"mine" and not leftovers(tmp_path)


def test_unwritable_outputs(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "folder.wav").mkdir()
    waveform = noise(1, 9)
    for name, message in {
        "no/such/folder/a.wav": "existing directory",
        "file/a.wav": "existing directory",
        "folder.wav": "got a directory",
        "a.ogg": ".wav, .flac or .mp3",
        "a": "no suffix",
    }.items():
        with pytest.raises(InputError, match=message):
            write(tmp_path / name, waveform, 8000)
    with pytest.raises(InputError, match="sample_rate"):
        write(tmp_path / "a.wav", waveform, 0)
    for channels, rate in ((9, 8000), (1, 1_000_000)):
        with pytest.raises(InputError, match="which is what FLAC holds"):
            write(tmp_path / "a.flac", noise(channels, 9), rate)
    for channels, rate in ((6, 44100), (1, 96000)):
        with pytest.raises(InputError, match="which is what MP3 holds, got"):
            write(tmp_path / "a.mp3", noise(channels, 9), rate)
    with pytest.raises(InputError, match="can be written"):
        write(tmp_path / "a.wav", noise(2000, 9), 8000)  # libsndfile writes 1024 channels
    with pytest.raises(InputError, match="finite"):
        write(tmp_path / "a.wav", waveform / 0, 8000)
    with pytest.raises(InputError, match="2 dimensions"):
        write(tmp_path / "a.wav", waveform[None], 8000)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.wav"]


@pytest.mark.skipif(os.name == "nt", reason="Windows limits the whole path to 260 characters")
def test_a_name_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / f"{'a' * 251}.wav"
    write(path, noise(1, 9), 8000)
    assert info(path).frames == 9


RATES = [8000, 10000, 16000, 22050, 44100, 48000]


@given(time=st.integers(1, 3000), from_rate=st.sampled_from(RATES), to_rate=st.sampled_from(RATES))
def test_resampled_length(time, from_rate, to_rate):
    found = resample(torch.zeros(2, time), from_rate, to_rate)
    assert found.shape == (2, -(-time * to_rate // from_rate))


@pytest.mark.parametrize("time", [1000003, 441 * 2267 + 1, 2**24 + 1])
def test_resampled_length_of_long_signals(time):
    assert resample(torch.zeros(time), 441, 16).shape[-1] == -(-time * 16 // 441)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 16000), (16000, 44100), (8000, 16000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tone_stays_the_tone(from_rate, to_rate, dtype):
    def tone(rate):
        return torch.sin(2 * torch.pi * 1000 * torch.arange(rate, dtype=torch.float64) / rate)

    found = resample(tone(from_rate).to(dtype).expand(2, 1, -1), from_rate, to_rate)
    assert found.dtype == dtype
    error = (found[1, 0] - tone(to_rate))[to_rate // 10 : -to_rate // 10].abs().max()
    assert error < (1e-5 if dtype == torch.float32 else 1e-6)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    time = torch.arange(48000, dtype=torch.float64) / 48000
    found = resample(torch.sin(2 * torch.pi * 9000 * time), 48000, 16000)
    assert found[1000:-1000].abs().max() < 1e-5


def test_equal_rates_are_the_identity_and_gradients_flow():
    waveform = noise(2, 30, dtype=torch.float64).requires_grad_()
    assert resample(waveform, 44100, 44100) is waveform
    assert torch.autograd.gradcheck(lambda w: resample(w, 3, 2), (waveform,))
    assert resample(waveform.detach().half(), 2, 1).dtype == torch.float16


def test_bad_rates():
    odd = ((1, math.nan), (math.inf, 1), ("16000", 1), (None, 1), (True, 1))
    for rates in ((0, 1), (8000, 1.5), (44100, -1), *odd):
        with pytest.raises(InputError, match="positive integer"):
            resample(torch.zeros(9), *rates)
    with pytest.raises(InputError, match="common divisor"):
        resample(torch.zeros(9), 44101, 48000)
    with pytest.raises(InputError, match="torch.from_numpy"):
        resample(np.zeros(9), 2, 1)
