"""lib.data: what a reader asks for, what comes back, and one clear error for what is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lib.data as data
from lib.errors import DataError, InputError


@pytest.fixture
def copied_pack(tmp_path, monkeypatch):
    """A pack of the same manifest and a few of the files, for tests that damage it."""
    source, folder = data.pack_folder(), tmp_path / "pack"
    for path in ("manifest.csv", "noise/rain_test.ogg", "rooms/room_test_00.flac"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, folder / path)
    monkeypatch.setenv("UNMIX_PACK", str(folder))
    return folder


def test_import_is_light():
    code = "import sys, lib.data; print([m for m in ('pandas', 'torchaudio') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "[]", printed.stderr


def test_manifest_is_a_copy():
    table = data.manifest()
    table["clip"] = "changed"
    assert "changed" not in set(data.manifest()["clip"])


def test_clips_filters_by_all_conditions():
    table = data.clips("speech", "test", sex="F", speaker=["f09", "m09"])
    assert set(table["speaker"]) == {"f09"}
    assert data.clips("noise", stationary=True)["noise"].nunique() == 5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: data.clips("music"), "kind: expected one of speech"),
        (lambda: data.clips("speech", "dev"), "split: expected one of train, val, test"),
        (lambda: data.clips(speeker="m01"), "column: expected one of clip"),
        (lambda: data.clips(speaker="m99"), "got 'm99'"),
        (lambda: data.load("nothing"), "got 'nothing'"),
        (lambda: data.speech("dev"), "split: expected"),
        (lambda: data.speech("test", speaker="m01"), "in split 'train'"),
        (lambda: data.speech(index=10**6), "index: expected 0 to"),
        (lambda: data.noise("violin"), "kind: expected one of pink"),
        (lambda: data.noise("rain", seconds=11), "expected 1 to 160000 samples"),
        (lambda: data.noise("rain", seconds=0), "expected 1 to"),
        (lambda: data.song("unknown"), "got 'unknown'"),
        (lambda: data.song(index=2), "index: expected 0 to 1"),
        (lambda: data.song(seconds=100), "expected a stretch within"),
        (lambda: data.song(start=-1), "expected a stretch within"),
        (lambda: data.room(24), "index: expected 0 to 3"),
        (lambda: data.TwoSpeakers("dev"), "split: expected"),
        (lambda: data.TwoSpeakers(items=0), "items: expected"),
        (lambda: data.TwoSpeakers(seed=-1), "seed: expected"),
        (lambda: data.TwoSpeakers(sample_rate=0), "sample_rate: expected"),
        (lambda: data.TwoSpeakers(sample_rate=8000.5), "sample_rate: expected"),
        (lambda: data.TwoSpeakers(seconds=-1), "seconds: expected"),
        (lambda: data.TwoSpeakers(seconds=float("inf")), "seconds: expected"),
        (lambda: data.TwoSpeakers(snr_range_db=(3, 1)), "snr_range_db: expected"),
        (lambda: data.TwoSpeakers(snr_range_db=(1, 2, 3)), "snr_range_db: expected"),
        (lambda: data.TwoSpeakers(length="mean"), "length: expected one of min, max"),
        (lambda: data.NoisySpeech(kinds=["violin"]), "kinds: expected one of"),
        (lambda: data.NoisySpeech(kinds="rain"), "expected a list"),
        (lambda: data.NoisySpeech(kinds=[]), "at least one kind"),
        (lambda: data.NoisySpeech(snr_db=float("nan")), "snr_db: expected"),
        (lambda: data.NoisySpeech("test", seconds=20), "at most the noise's 10.0 s"),
    ],
)
def test_one_clear_error(call, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        call()


def test_index_error_ends_a_loop():
    items = data.TwoSpeakers(items=2, seconds=0.5)
    with pytest.raises(IndexError):
        items[2]
    assert len(list(items)) == 2
    assert items[-1].name == items[1].name


def test_missing_pack(tmp_path, monkeypatch):
    monkeypatch.setenv("UNMIX_PACK", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="found no manifest.csv"):
        data.manifest()
    with pytest.raises(DataError):
        data.verify()


@pytest.mark.parametrize("text", ["", "clip,kind\na,b\n", "clip\x00\xff", "not,a\nmanifest"])
def test_damaged_manifest(copied_pack, text):
    (copied_pack / "manifest.csv").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="expected the pack's manifest"):
        data.manifest()


def test_damaged_and_missing_files(copied_pack):
    assert data.load("rain_test")[0].shape == (1, 160000)
    flac = copied_pack / "rooms" / "room_test_00.flac"
    content = bytearray(flac.read_bytes())
    content[len(content) // 2] ^= 1
    flac.write_bytes(content)
    with pytest.raises(DataError, match="the file is damaged; install"):
        data.room(0)
    with pytest.raises(DataError, match="expected a file of the pack"):
        data.speech()
    table = data.verify().set_index("path")
    assert table.loc["noise/rain_test.ogg", "ok"]
    assert table.loc["rooms/room_test_00.flac", "wrong"] == "damaged"
    assert table.loc["speech/m01.ogg", "wrong"] == "missing"
    assert "MB" in data.card()  # a card can still be written


def test_load_gives_copies_and_resamples():
    first, rate = data.load("m09_000")
    kept = first.clone()
    first.zero_()
    assert torch.equal(data.load("m09_000")[0], kept)
    slow, slow_rate = data.load("m09_000", 8000)
    assert (rate, slow_rate) == (16000, 8000)
    assert slow.shape[-1] == pytest.approx(kept.shape[-1] / 2, abs=1)
    slow.zero_()
    assert data.load("m09_000", 8000)[0].abs().max() > 0


def test_cache_stays_bounded():
    from lib.data import catalogue

    small = catalogue._Cache(4000)
    for number in range(10):
        small.get((number,), lambda: torch.zeros(400))
    assert small.size <= 4000
    assert list(small.kept) == [(8,), (9,)]


def test_speech_goes_round_the_speakers():
    first = [data.speech("test", index=index) for index in range(4)]
    for waveform, clip in zip(first, ("f09_000", "m09_000", "f10_000", "m10_000"), strict=True):
        assert torch.equal(waveform, data.load(clip)[0])
    assert torch.equal(data.speech("train", "m01", 3), data.load("m01_003")[0])
    assert torch.equal(data.speech(None, "m01", 3), data.load("m01_003")[0])


def test_noise_stretch_depends_on_seed():
    one = data.noise("wind", seconds=1.0, seed=1)
    assert one.shape == (1, 16000)
    assert torch.equal(one, data.noise("wind", seconds=1.0, seed=1))
    assert not torch.equal(one, data.noise("wind", seconds=1.0, seed=2))
    kinds = data.noise_kinds()
    assert sorted(kinds) == sorted(data.noise_kinds(True) + data.noise_kinds(False))


def test_song_is_the_sum_of_its_stems():
    song = data.song("night_ferry", start=4.0, seconds=3.0)
    assert song.sample_rate == 44100
    assert list(song.stems) == ["drums", "bass", "other", "vocals"]
    assert torch.equal(song.mixture, torch.stack(list(song.stems.values())).sum(0))
    assert song.mixture.shape == (2, 132300)
    item = data.Songs("test", seconds=1.0)[0]
    assert torch.equal(item.mixture, item.sources.sum(0))
    assert data.Songs.source_names == tuple(song.stems)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_no_stem_carries_an_offset(split):
    for item in data.Songs(split):
        assert item.sources.mean(-1).abs().max() < 1e-3, item.meta["song"]


def test_room_keeps_source_and_microphone_order():
    responses = data.room(1, "train")
    flat, _ = data.load("room_train_01")
    assert responses.shape[:2] == (2, 2)
    assert torch.equal(responses[1, 0], flat[2])


SETS = [
    lambda **more: data.TwoSpeakers("test", 50, seconds=1.0, **more),
    lambda **more: data.TwoSpeakers("val", 50, length="max", **more),
    lambda **more: data.NoisySpeech("test", 50, snr_db=(-5, 5), **more),
]


@pytest.mark.parametrize("make", SETS)
@settings(max_examples=12, deadline=None)
@given(index=st.integers(0, 49), seed=st.integers(0, 2**31))
def test_items_are_exact_and_bounded(make, index, seed):
    items = make(seed=seed)
    item = items[index]
    again = make(seed=seed)[index]
    assert torch.equal(item.mixture, again.mixture)
    assert item.meta == again.meta
    assert torch.equal(item.mixture, item.sources.sum(0))
    assert item.mixture.dtype == torch.float32
    assert item.sources.shape == (len(items.source_names), 1, item.mixture.shape[-1])
    assert max(item.mixture.abs().max(), item.sources.abs().max()) <= 0.9 + 1e-6
    assert (item.sources.square().mean(-1) > 1e-8).all()


def test_items_do_not_depend_on_the_number_of_items_or_on_order():
    short, long = data.NoisySpeech("val", 3), data.NoisySpeech("val", 300)
    last = long[2]
    assert torch.equal(last.mixture, short[2].mixture)
    assert not torch.equal(last.mixture[:, :1000], long[3].mixture[:, :1000])


def test_two_speakers_are_two_and_at_the_drawn_level():
    for item in data.TwoSpeakers("val", 12, seed=3):
        assert len(set(item.meta["speakers"])) == 2
        power = item.sources.double().square().mean(-1)[:, 0]
        measured = float(10 * torch.log10(power[0] / power[1]))
        assert measured == pytest.approx(item.meta["snr_db"], abs=1e-4)
        assert -5.0 <= measured <= 5.0


def test_min_and_max_lengths():
    shorter, longer = data.TwoSpeakers(items=4), data.TwoSpeakers(items=4, length="max")
    for one, two in zip(shorter, longer, strict=True):
        assert one.meta["clips"] == two.meta["clips"]
        lengths = [data.load(clip, 8000)[0].shape[-1] for clip in one.meta["clips"]]
        assert one.mixture.shape[-1] == min(lengths)
        assert two.mixture.shape[-1] == max(lengths)


def test_noisy_speech_has_the_snr_and_takes_kinds_in_turn():
    items = data.NoisySpeech("test", 6, snr_db=3.0, kinds=["rain", "babble"], seconds=2.0)
    assert [item.meta["noise"] for item in items] == ["rain", "babble"] * 3
    assert [item.meta["stationary"] for item in items] == [True, False] * 3
    for item in items:
        power = item.sources.double().square().mean(-1)[:, 0]
        assert float(10 * torch.log10(power[0] / power[1])) == pytest.approx(3.0, abs=1e-4)


def test_items_stay_in_their_split():
    for split in ("train", "val", "test"):
        own = set(data.clips(split=split)["clip"])
        for item in data.TwoSpeakers(split, 20, seconds=0.5):
            assert set(item.meta["clips"]) <= own
        assert {item.meta["clip"] for item in data.NoisySpeech(split, 20, seconds=0.5)} <= own


def test_bit_identical_in_another_process():
    code = (
        "import hashlib, lib.data as d;"
        "a = d.TwoSpeakers('test', 3, seed=5)[2]; b = d.NoisySpeech('test', 3, seed=5)[1];"
        "print(hashlib.sha256(a.mixture.numpy().tobytes() + b.mixture.numpy().tobytes())"
        ".hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert len(runs[0].strip()) == 64
    assert runs[0] == runs[1]


@pytest.mark.parametrize("place", ["random", "speech"])
def test_chunks_are_parts_of_their_clips(place):
    whole = data.NoisyClips("val", items=6, seconds=8.0)
    chunks = data.NoisyClips("val", items=6, seconds=8.0, chunk=1.0, place=place)
    for clip, chunk in zip(whole, chunks, strict=True):
        start = round(chunk.meta["start"] * 8000)
        part = clip.sources[..., start : start + 8000] / clip.meta["gain"]
        torch.testing.assert_close(chunk.sources / chunk.meta["gain"], part)
        if place == "speech":
            mean = clip.sources[0].square().mean() / clip.meta["gain"] ** 2
            assert part[0].square().mean() >= 0.49 * mean


def test_clips_have_the_snr_pauses_and_one_speaker():
    item = data.NoisyClips("test", items=3, snr_db=-8.0)[2]
    voice, noise = item.sources.double()
    assert voice.shape == (1, 80_000)
    assert 10 * torch.log10(voice.square().sum() / noise.square().sum()) == pytest.approx(
        -8, abs=0.01
    )
    powers = voice[0].unfold(0, 800, 800).square().mean(1)
    assert 0.05 < (powers < 1e-4 * powers.mean()).double().mean() < 0.6


def test_a_chunk_in_a_place_without_speech_exists_only_at_random():
    def quietest(place):
        chunks = data.NoisyClips("val", items=40, chunk=0.5, place=place)
        return min(float(chunk.sources[0].square().mean()) for chunk in chunks)

    assert quietest("random") < 1e-7 < 1e-5 < quietest("speech")
