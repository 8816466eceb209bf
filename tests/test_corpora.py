"""Real corpora: small folders of the same layout, read as the pack's data sets are."""

from __future__ import annotations

import subprocess

import pytest
import torch

import lib.data as data
from lib.audio import read, write
from lib.data.folders import FolderSpeech, FSDDSpeech, LibriSpeechSpeech, speaker_split
from lib.errors import DataError, InputError


def sound(seconds, rate, seed, channels=1):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(channels, round(seconds * rate), generator=generator)


def put(path, waveform, rate):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, waveform, rate)


def mix_folder(root, splits, sources=("s1", "s2"), seconds=0.5):
    """Three files per split in LibriMix's or WHAM!'s layout."""
    for number, split in enumerate(splits):
        for name in ("c.wav", "a.wav", "b.wav"):
            folder = root / "wav8k" / "min" / split
            seed = 100 * number + ord(name[0])
            parts = [sound(seconds, 8000, seed + 7 * k) for k in range(len(sources) + 1)]
            for part, source in zip(parts, (*sources, "noise"), strict=True):
                put(folder / source / name, part, 8000)
            put(folder / "mix_clean" / name, sum(parts[:-1]), 8000)
            put(folder / "mix_both" / name, sum(parts), 8000)
            put(folder / "mix_single" / name, parts[0] + parts[-1], 8000)
    return root


@pytest.mark.parametrize(
    ("kind", "splits"),
    [(data.LibriMix, ("train-100", "dev", "test")), (data.WHAM, ("tr", "cv", "tt"))],
)
def test_mixtures_of_two_speakers(tmp_path, kind, splits):
    mix_folder(tmp_path, splits)
    for split in ("train", "val", "test"):
        items = kind(tmp_path, split)
        assert len(items) == 3
        assert items.source_names == ("speaker_1", "speaker_2")
        assert [item.meta["clip"] for item in items] == ["a.wav", "b.wav", "c.wav"]
        assert items[0].sources.shape == (2, 1, 4000)
        assert torch.allclose(items[0].mixture, items[0].sources.sum(0), atol=1e-6)
        folder = tmp_path / "wav8k" / "min" / splits[("train", "val", "test").index(split)]
        assert torch.equal(items[1].sources[1], read(folder / "s2" / "b.wav")[0])
    noisy = kind(tmp_path, "test", mixture="mix_both")[0]
    assert not torch.allclose(noisy.mixture, noisy.sources.sum(0), atol=1e-2)
    single = kind(tmp_path, "test", mixture="mix_single")
    assert single.source_names == ("speech", "noise")
    assert torch.allclose(single[0].mixture, single[0].sources.sum(0), atol=1e-6)


def test_three_speakers_are_found_by_their_folder(tmp_path):
    mix_folder(tmp_path, ["test"], sources=("s1", "s2", "s3"))
    assert data.LibriMix(tmp_path)[0].sources.shape == (3, 1, 4000)


def test_drawn_excerpts_depend_on_seed_and_index_and_are_cut_or_padded(tmp_path):
    mix_folder(tmp_path, ["train-100"])
    items = data.LibriMix(tmp_path, "train", items=20, seed=3, seconds=0.2)
    again = data.LibriMix(tmp_path, "train", items=5, seed=3, seconds=0.2)
    assert len(items) == 20
    assert torch.equal(items[4].mixture, again[4].mixture)
    assert len({(item.meta["clip"], item.meta["start"]) for item in items}) > 10
    assert items[0].sources.shape == (2, 1, 1600)
    start = round(items[4].meta["start"] * 8000)
    whole, _ = read(tmp_path / "wav8k/min/train-100/mix_clean" / items[4].meta["clip"])
    assert torch.equal(items[4].mixture, whole[:, start : start + 1600])
    padded = data.LibriMix(tmp_path, "train", seconds=1.0)[0]
    assert padded.mixture.shape == (1, 8000)
    assert not padded.mixture[:, 4000:].any()


def voicebank(root):
    for part, speakers in (("trainset_28spk", ("p226", "p287", "p300")), ("testset", ("p232",))):
        for seed, speaker in enumerate(speakers):
            clean, noise = sound(0.2, 48000, seed), sound(0.2, 48000, 50 + seed)
            put(root / f"clean_{part}_wav" / f"{speaker}_001.wav", clean, 48000)
            put(root / f"noisy_{part}_wav" / f"{speaker}_001.wav", clean + noise, 48000)
    return root


def test_voicebank_splits_by_speaker_and_noise_is_the_difference(tmp_path):
    voicebank(tmp_path)
    names = {
        split: [item.meta["clip"][:4] for item in data.VoiceBankDemand(tmp_path, split)]
        for split in ("train", "val", "test")
    }
    assert names == {"train": ["p300"], "val": ["p226", "p287"], "test": ["p232"]}
    item = data.VoiceBankDemand(tmp_path, sample_rate=48000)[0]
    assert torch.allclose(item.sources[1], sound(0.2, 48000, 50), atol=1e-6)
    slow = data.VoiceBankDemand(tmp_path)[0]
    assert slow.sample_rate == 16000
    assert slow.sources.shape == (2, 1, 3200)
    assert torch.allclose(slow.mixture, slow.sources.sum(0), atol=1e-6)


def musdb(root, songs=("A Song", "Leaf - Summerghost", "Last")):
    for seed, name in enumerate(songs):
        folder = root / ("test" if name == "Last" else "train") / name
        for place, stem in enumerate(("drums", "bass", "other", "vocals")):
            put(folder / f"{stem}.wav", sound(1.0, 8000, 10 * seed + place, 2), 8000)
    return root


def test_musdb_reads_whole_songs_and_excerpts_of_remixes(tmp_path):
    musdb(tmp_path)
    whole = data.MUSDB18(tmp_path, "train", sample_rate=8000)
    assert [item.meta["song"] for item in whole] == ["A Song"]
    assert data.MUSDB18(tmp_path, "val", sample_rate=8000)[0].meta["song"] == "Leaf - Summerghost"
    assert whole[0].sources.shape == (4, 2, 8000)
    assert torch.equal(whole[0].mixture, whole[0].sources.sum(0))
    drawn = data.MUSDB18(
        tmp_path, "test", seconds=0.25, items=3, sample_rate=8000, remix=True, target="vocals"
    )
    assert drawn[0].sources.shape == (2, 2, 2000)
    assert not torch.equal(drawn[0].mixture, drawn[1].mixture)


def test_songs_of_a_folder_have_the_interface_of_the_packs(tmp_path):
    for place, stem in enumerate(("drums", "bass", "other", "vocals")):
        put(tmp_path / "train" / "One" / f"{stem}.flac", sound(1.0, 8000, place, 1), 8000)
    options = {"corpus": "folders", "folder": str(tmp_path), "sample_rate": 8000}
    (whole,) = data.Songs("train", **options)
    stored, _ = read(tmp_path / "train" / "One" / "bass.flac")
    torch.testing.assert_close(whole.sources[1] / whole.meta["gain"], stored)
    drawn = data.Songs("train", seconds=0.5, items=2, target="vocals", **options)
    assert drawn[1].sources.shape == (2, 1, 4000)
    (tmp_path / "train" / "One" / "bass.flac").unlink()
    with pytest.raises(DataError, match="bass.*: expected an audio file, got nothing there"):
        data.Songs("train", **options)
    with pytest.raises(DataError, match="expected folders SONG with drums, .*, got no song"):
        data.Songs("val", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corpus": "folders"}, "folder: expected a path with corpus='folders', got None"),
        ({"folder": "songs"}, "folder: expected None with corpus='pack', got 'songs'"),
        ({"corpus": "fsdd"}, "corpus: expected one of"),
    ],
)
def test_which_songs(options, message):
    with pytest.raises(InputError, match=message):
        data.Songs("train", **options)


def test_stem_mp4_is_refused_in_one_line(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "A Song.stem.mp4").write_bytes(b"1")
    with pytest.raises(DataError, match="take MUSDB18-HQ, or decode them with ffmpeg"):
        data.MUSDB18(tmp_path, "train")


def speakers_in(root, names, rate=16000, suffix="wav", count=2, seconds=0.5):
    for place, name in enumerate(names):
        for number in range(count):
            clip = root / name / f"{number}.{suffix}"
            put(clip, sound(seconds, rate, 10 * place + number), rate)
    return root


def test_speakers_are_divided_once_and_no_speaker_is_in_two_splits():
    names = [f"s{number:02d}" for number in range(30)]
    parts = [set(speaker_split(names, split, seed=3)) for split in ("train", "val", "test")]
    assert set.union(*parts) == set(names)
    assert sum(map(len, parts)) == 30
    assert [len(part) for part in parts] == [24, 3, 3]
    assert set(speaker_split(names[::-1], "val", seed=3)) == parts[1]
    assert set(speaker_split(names, "val", seed=4)) != parts[1]


def test_one_folder_per_speaker(tmp_path):
    speakers_in(tmp_path, "abcdefgh")
    (tmp_path / ".hidden").mkdir()
    sets = {s: data.TwoSpeakers(s, 6, corpus="folders", folder=tmp_path) for s in data_splits()}
    seen = {s: {n for item in items for n in item.meta["speakers"]} for s, items in sets.items()}
    assert not seen["train"] & seen["val"]
    assert not (seen["train"] | seen["val"]) & seen["test"]
    item = sets["train"][0]
    assert item.sources.shape == (2, 1, 4000)
    assert torch.equal(item.mixture, item.sources.sum(0))
    options = {"speed_range": (0.9, 1.1), "reverb": "dry", "noise_snr_db": 5.0}
    changed = data.TwoSpeakers(
        "train", 6, corpus="folders", folder=tmp_path, seconds=0.25, **options
    )
    assert changed[0].sources.shape == (2, 1, 2000)
    noisy = data.NoisySpeech("train", 2, corpus="folders", folder=tmp_path, seconds=0.25)
    assert noisy[0].meta["clip"].endswith(".wav")


def data_splits():
    return ("train", "val", "test")


def test_folders_of_splits_are_taken_as_they_are(tmp_path):
    for split, names in (("train", "abc"), ("val", "de"), ("test", "fg")):
        speakers_in(tmp_path / split, names)
    assert FolderSpeech(tmp_path, "val").speakers == ["d", "e"]
    assert (
        data.ThreeSpeakers("train", 1, corpus="folders", folder=tmp_path)[0].sources.shape[0] == 3
    )
    with pytest.raises(DataError, match="expected at least 3 speakers in val, got 2"):
        data.ThreeSpeakers("val", 1, corpus="folders", folder=tmp_path)
    (tmp_path / "val").rename(tmp_path / "dev")
    with pytest.raises(DataError, match="expected a folder val beside train and test"):
        FolderSpeech(tmp_path, "val")


def test_too_few_speakers_name_their_folder(tmp_path):
    speakers_in(tmp_path, "abc")
    with pytest.raises(DataError, match=f"{tmp_path.name}: expected at least 6 speakers.*got 3"):
        data.TwoSpeakers("train", corpus="folders", folder=tmp_path)


def test_librispeech(tmp_path):
    for part, readers in (("train-clean-100", ("19", "26")), ("dev-clean", ("84", "174"))):
        for reader in readers:
            for number in range(2):
                name = f"{reader}-198-{number:04d}.flac"
                path = tmp_path / "LibriSpeech" / part / reader / "198" / name
                put(path, sound(0.4, 16000, int(reader) + number), 16000)
    (tmp_path / "LibriSpeech" / "train-clean-100" / ".DS_Store").touch()  # no speaker
    source = LibriSpeechSpeech(tmp_path, "train")
    assert source.speakers == ["train-clean-100/19", "train-clean-100/26"]
    inner = tmp_path / "LibriSpeech"
    items = data.TwoSpeakers("val", 3, corpus="librispeech", folder=inner, sample_rate=16000)
    assert items[0].sources.shape == (2, 1, 6400)
    assert all(clip.endswith(".flac") for clip in items[0].meta["clips"])
    with pytest.raises(DataError, match="expected the folder test-clean.*librispeech-test-clean"):
        LibriSpeechSpeech(tmp_path, "test")


def test_fsdd(tmp_path):
    for place, speaker in enumerate(("george", "jackson", "lucas", "nicolas", "theo", "yweweler")):
        for digit in range(2):
            path = tmp_path / "recordings" / f"{digit}_{speaker}_0.wav"
            put(path, sound(0.3, 8000, place * 2 + digit), 8000)
    splits = [FSDDSpeech(tmp_path, split).speakers for split in data_splits()]
    assert sorted(sum(splits, [])) == "george jackson lucas nicolas theo yweweler".split()
    item = data.TwoSpeakers("test", 2, corpus="fsdd", folder=tmp_path / "recordings")[1]
    assert set(item.meta["speakers"]) == set(splits[2])


def test_long_files_are_read_in_part(tmp_path, monkeypatch):
    from lib.data import folders

    speakers_in(tmp_path, "abcdef", seconds=8.0, count=1)
    asked = []
    original = folders.read_excerpt
    monkeypatch.setattr(folders, "read_excerpt", lambda *a: asked.append(a[3]) or original(*a))
    for item in data.TwoSpeakers("train", 5, corpus="folders", folder=tmp_path, seconds=1.0):
        assert item.mixture.shape == (1, 8000)
    assert max(asked) == 16000  # a second of the eight, in the file's rate


def test_a_silent_stretch_is_left_for_another_place(tmp_path):
    silent_end = torch.cat([sound(0.5, 16000, 1), torch.zeros(1, 8 * 16000)], dim=-1)
    for name in "abcdef":
        put(tmp_path / name / "1.wav", silent_end, 16000)
    for item in data.TwoSpeakers("train", 5, corpus="folders", folder=tmp_path, seconds=0.25):
        assert (item.sources.abs().amax(-1) > 0).all()
    for name in "abcdef":
        write(tmp_path / name / "1.wav", torch.zeros(1, 8000), 16000, force=True)
    with pytest.raises(DataError, match="expected speech, got silence"):
        data.TwoSpeakers("train", 5, corpus="folders", folder=tmp_path)[0]


@pytest.mark.parametrize("kind", [data.LibriMix, data.WHAM, data.VoiceBankDemand, data.MUSDB18])
def test_a_missing_corpus_is_one_line_that_says_how_to_get_it(tmp_path, kind):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match="expected .*download.py") as caught:
            kind(folder, "test")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("corpus", ["folders", "librispeech", "fsdd"])
def test_missing_speech_and_too_few_speakers(tmp_path, corpus):
    with pytest.raises(DataError, match="nowhere: expected a folder with"):
        data.TwoSpeakers(corpus=corpus, folder=tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected the folder|expected at least 6"):
        data.TwoSpeakers(corpus=corpus, folder=tmp_path)


def test_a_speaker_without_files(tmp_path):
    speakers_in(tmp_path, "abcdef")
    for path in tmp_path.glob("*/*.wav"):
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(DataError, match="expected sound files .* of a speaker, got none"):
        data.TwoSpeakers("train", corpus="folders", folder=tmp_path)[0]


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_damaged_files_of_a_corpus(tmp_path):
    root = mix_folder(tmp_path, ["test"]) / "wav8k" / "min" / "test"
    cut(root / "s2" / "a.wav")
    with pytest.raises(DataError, match=r"s2.a\.wav: expected .*truncated"):
        data.LibriMix(tmp_path)[0]
    (root / "s2" / "b.wav").unlink()
    with pytest.raises(DataError, match=r"s2.b\.wav: expected the partner of"):
        data.LibriMix(tmp_path)[1]
    write(root / "s1" / "c.wav", sound(0.5, 16000, 1), 16000, force=True)
    with pytest.raises(DataError, match="files of one rate.*8000 Hz x 1, 16000 Hz x 1"):
        data.LibriMix(tmp_path)[2]


def test_a_truncated_flac_and_a_rate_that_is_too_low(tmp_path):
    speakers_in(tmp_path, "abcdef", suffix="flac", count=1)
    with pytest.raises(DataError, match="expected at least 44100 Hz, got 16000"):
        data.TwoSpeakers("train", corpus="folders", folder=tmp_path, sample_rate=44100)[0]
    for path in tmp_path.glob("*/*.flac"):
        cut(path)
    with pytest.raises(DataError, match="truncated|decoded"):
        data.TwoSpeakers("train", corpus="folders", folder=tmp_path)[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda path: data.LibriMix(path, sample_rate=44100), "expected 8000 or 16000"),
        (lambda path: data.LibriMix(path, mixture="mix"), "mixture: expected one of mix_clean"),
        (lambda path: data.LibriMix(path, "dev"), "split: expected one of train"),
        (lambda path: data.VoiceBankDemand(path, "dev"), "split: expected one of train"),
        (lambda path: data.MUSDB18(path, "dev"), "split: expected one of train"),
        (lambda path: data.VoiceBankDemand(path, seconds=0), "seconds: expected"),
        (lambda path: data.VoiceBankDemand(path, seconds="long"), "seconds: expected"),
        (lambda path: data.VoiceBankDemand(path, seconds=1e-5), "one sample"),
        (lambda path: data.VoiceBankDemand(3), "folder: expected a path, got 3"),
    ],
)
def test_one_clear_error(tmp_path, call, words):
    with pytest.raises(InputError, match=words):
        call(voicebank(tmp_path))


def corpora(root):
    """Each corpus in its layout, and the recipe's data section for it."""
    mix_folder(root / "librimix", ("train-100", "dev", "test"))
    mix_folder(root / "libri3mix", ("train-100", "dev", "test"), sources=("s1", "s2", "s3"))
    mix_folder(root / "wham", ("tr", "cv", "tt"))
    voicebank(root / "voicebank")
    musdb(root / "musdb")
    speakers_in(root / "folders", "abcdef")
    two = ("UPIT", {})
    yield two, {"name": "librimix", "folder": "librimix"}
    yield ("UPIT", {"speakers": 3}), {"name": "librimix", "folder": "libri3mix"}
    yield two, {"name": "wham", "folder": "wham", "mixture": "mix_both"}
    yield (
        ("CDAE", {"sources": ["speech", "noise"], "sample_rate": 8000}),
        {"name": "voicebank_demand", "folder": "voicebank"},
    )
    yield two, {"name": "two_speakers", "corpus": "folders", "folder": "folders"}
    target = {"name": "musdb18", "folder": "musdb", "target": "vocals", "mono": True}
    yield ("CDAE", {"sources": ["vocals", "rest"], "sample_rate": 8000}), target


def test_a_recipe_takes_each_corpus_and_workers_that_are_spawned_can_have_it(tmp_path):
    import pickle

    from lib.training import MixtureData, load_recipe
    from lib.training.recipes import build_model

    for (system, options), section in corpora(tmp_path):
        section["folder"] = str(tmp_path / section["folder"])
        recipe = load_recipe(
            {
                "system": {"name": system, "preset": "tiny", **options},
                "data": {"seconds": 0.2, "batch_size": 2, "val_items": 2, **section},
                "objective": {"name": "waveform"},
            }
        )
        model = build_model(recipe)
        made = MixtureData.from_recipe(recipe, model)
        batch = made.batch(0, 0)
        assert batch.sources.shape == (2, model.sources, 1, 1600)
        assert torch.isfinite(model(batch.mixture)).all()
        for items in (made.train_items, made.val_items):
            again = pickle.loads(pickle.dumps(items))
            assert torch.equal(again[1].mixture, items[1].mixture)


def test_items_are_the_same_in_another_process(tmp_path):
    import sys

    speakers_in(tmp_path, "abcdef")
    code = (
        "import lib.data as d, sys;"
        f"i = d.TwoSpeakers('train', 3, corpus='folders', folder={str(tmp_path)!r})[2];"
        "print(i.meta['clips'], float(i.mixture.double().square().sum()))"
    )
    item = data.TwoSpeakers("train", 3, corpus="folders", folder=tmp_path)[2]
    told = f"{item.meta['clips']} {float(item.mixture.double().square().sum())}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == told, run.stderr
