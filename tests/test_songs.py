"""Songs to train on: where a stem is heard, stems left out, recordings without stems."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import data
from lib.audio import write
from lib.data.activity import salient_segments
from lib.data.songs import STEMS
from lib.errors import DataError, InputError
from lib.training.data import MixtureData, collate

RATE = 1000


def tone(seconds, level=0.5):
    return level * torch.sin(torch.arange(seconds * RATE) / 2)


def recording(*levels, seconds=3):
    """Stretches of so many seconds at these levels, stereo."""
    return torch.cat([tone(seconds, level) for level in levels]).expand(2, -1)


@pytest.fixture
def folder(tmp_path):
    """Two songs: in the first the vocals are heard in the middle, in the second never."""
    for song, vocals in (("one", (0, 0, 0.5, 0.5, 0, 0)), ("two", (0,) * 6)):
        (tmp_path / "train" / song).mkdir(parents=True)
        for stem in STEMS:
            levels = vocals if stem == "vocals" else (0.3,) * 6
            write(tmp_path / "train" / song / f"{stem}.wav", recording(*levels), RATE)
    return tmp_path


def songs(folder, **options):
    options = {"seconds": 2.0, "items": 12, "sample_rate": RATE, "remix": True} | options
    return data.Songs("train", corpus="folders", folder=str(folder), **options)


# ---- where something is heard


def test_segments_overlap_by_half_and_silence_is_left_out():
    # segments of 6 s: 3 + 3, one of two heard is half of the chunks, and that is not enough
    assert salient_segments(recording(0, 0, 0.5, 0.5, 0, 0), RATE) == [2 * 3 * RATE]
    assert salient_segments(recording(0, 0.5, 0.5, 0.5, 0), RATE) == [3 * RATE, 6 * RATE]
    assert salient_segments(recording(0, 0, 0), RATE) == []
    assert salient_segments(recording(0.5), RATE) == []  # shorter than a segment


def test_the_threshold_is_the_recordings_quantile_or_a_floor():
    # everything is above the floor: but the softest 15 % of the chunks are below the quantile
    soft = salient_segments(recording(*[0.01] * 2, *[0.5] * 18), RATE)
    assert soft == [3 * RATE * place for place in range(1 + 1, 19)]
    # a tone of level 0.00141 has the root of the mean square 0.001
    for level, heard in ((0.00138, []), (0.00145, [0, 3 * RATE])):
        ramp = torch.linspace(1.0, 1.001, 9 * RATE)  # so that no chunks are equal
        assert salient_segments(recording(*[level] * 3) * ramp, RATE) == heard


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(10, 40))
def test_segments_by_the_definition(seed, count):
    """Chunk by chunk, as the paper says it."""
    draw = np.random.default_rng(seed)
    levels = draw.choice([0.0, 0.0005, 0.002, 0.3], size=count)
    sound = torch.from_numpy(np.repeat(levels, 5) * draw.standard_normal(5 * count))
    segments, energies, chunks = {}, [], []
    for first in range(0, 5 * count - 50 + 1, 25):  # of ten chunks of five samples
        pieces = sound[first : first + 50].split(5)
        segments[first] = [float(piece.square().mean().sqrt()) for piece in pieces]
        chunks += segments[first]
    if segments:
        threshold = max(float(np.quantile(chunks, 0.15)), 1e-3)
        energies = [first for first, own in segments.items() if sum(e > threshold for e in own) > 5]
    assert salient_segments(sound[None].float(), 10, 5.0) == energies


def test_stems_are_drawn_where_they_are_heard(folder):
    for item in songs(folder, salient=6.0):
        assert item.meta["songs"]["vocals"] == "one"
        assert item.sources.shape == (4, 2, 2 * RATE)
        for source in item.sources:
            assert source.square().mean() > 1e-3
    everywhere = songs(folder)
    assert min(float(item.sources[STEMS.index("vocals")].abs().max()) for item in everywhere) == 0
    first = songs(folder, salient=6.0)[3]
    assert torch.equal(first.sources, songs(folder, salient=6.0)[3].sources)
    starts = {round(float(item.sources[0, 0, 0]), 3) for item in songs(folder, salient=6.0)}
    assert len(starts) > 6  # different places


def test_a_stem_that_is_never_heard_is_an_error(folder):
    (folder / "train" / "one" / "vocals.wav").unlink()
    write(folder / "train" / "one" / "vocals.wav", recording(*[0] * 6), RATE)
    with pytest.raises(DataError, match="vocals: expected a segment of 6.0 s .* got none in 2"):
        songs(folder, salient=6.0)[0]


def test_the_packs_songs_have_segments():
    item = data.Songs("train", 2.0, items=3, sample_rate=8000, remix=True, salient=4.0)[1]
    assert (item.sources.square().mean((1, 2)) > 1e-6).all()


# ---- stems left out


def test_stems_are_left_out_at_random(folder):
    plain, some = songs(folder, salient=6.0), songs(folder, salient=6.0, silence=0.3)
    left_out = torch.stack([(item.sources == 0).all(-1).all(-1) for item in some])  # (items, 4)
    assert 0.1 < left_out.double().mean() < 0.5
    for one, other in zip(plain, some, strict=True):
        heard = ~(other.sources == 0).all(-1).all(-1)
        gains = other.meta["gain"] / one.meta["gain"]
        torch.testing.assert_close(gains * one.sources[heard], other.sources[heard])
        torch.testing.assert_close(other.sources.sum(0), other.mixture)
    assert not songs(folder, silence=1.0)[0].mixture.any()


# ---- recordings of which nobody has the sources


@pytest.fixture
def recordings(tmp_path):
    root = tmp_path / "unlabelled"
    (root / "album").mkdir(parents=True)
    write(root / "album" / "song.wav", recording(0, 0, 0.4, 0.4), RATE)
    write(root / "short.wav", tone(7, level=1.0)[None], RATE)  # mono
    return root


def test_some_items_have_unknown_sources(folder, recordings):
    items = [*songs(folder, unlabelled=str(recordings), target="vocals", items=40)]
    unknown = [item for item in items if item.sources.isnan().all()]
    known = [item for item in items if item.sources.isfinite().all()]
    assert len(unknown) + len(known) == 40
    assert 10 < len(unknown) < 30
    for item in unknown:
        assert item.mixture.shape == (2, 2 * RATE)
        assert item.sources.shape == (2, 2, 2 * RATE)
        assert item.mixture.isfinite().all()
        assert item.mixture.abs().max() <= 0.9
    assert {item.meta["recording"] for item in unknown} == {"album/song.wav", "short.wav"}
    # the others are what they are without recordings
    for item, plain in zip(items, songs(folder, target="vocals", items=40), strict=True):
        assert item.sources.isnan().any() or torch.equal(item.sources, plain.sources)


def test_recordings_are_heard_where_there_is_something(folder, recordings):
    options = {"unlabelled": str(recordings), "unlabelled_share": 1, "mono": True}
    for item in songs(folder, salient=6.0, **options):
        assert item.mixture.shape == (1, 2 * RATE)
        assert item.mixture.square().mean() > 1e-3
    silent = [not item.mixture.any() for item in songs(folder, items=40, **options)]
    assert any(silent)


def test_unknown_sources_stay_unknown_in_batches(folder, recordings):
    set_ = songs(folder, unlabelled=str(recordings), items=20)
    batches = MixtureData(set_, None, batch_size=20, source_names=("vocals", "accompaniment"))
    batch = batches.batch(0, 0)
    assert batch.sources.shape == (20, 2, 2, 2 * RATE)
    unknown = batch.sources.isnan().flatten(1)
    assert (unknown.all(1) | ~unknown.any(1)).all()
    assert 0 < unknown.all(1).sum() < 20
    assert collate([set_[0]]).mixture.isfinite().all()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"salient": 1.0}, "salient: expected remix and segments of at least the 2.00 s"),
        ({"salient": 6.0, "remix": False}, "got remix False and 6.0 s"),
        ({"salient": -1.0}, "seconds: expected a positive number"),
        ({"silence": 2}, "silence: expected a share from 0 to 1, got 2"),
        ({"unlabelled_share": "half"}, "unlabelled_share: expected a share from 0 to 1"),
    ],
)
def test_bad_options_are_refused(folder, options, words):
    with pytest.raises(InputError, match=words):
        songs(folder, **options)


def test_a_folder_without_recordings_is_refused(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected recordings .* got none"):
        songs(folder, unlabelled=str(tmp_path / "empty"))
    with pytest.raises(DataError, match="expected a folder with recordings, got nothing there"):
        songs(folder, unlabelled=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="unlabelled: expected a number of items"):
        data.Songs("train", corpus="folders", folder=str(folder), sample_rate=RATE, unlabelled="x")
    (tmp_path / "many").mkdir()
    write(tmp_path / "many" / "film.wav", tone(7).expand(6, -1), RATE)
    items = songs(folder, unlabelled=str(tmp_path / "many"), unlabelled_share=1.0)
    with pytest.raises(DataError, match="film.wav: expected one channel or two, got 6"):
        items[0]


def test_segments_that_are_too_short_are_refused():
    with pytest.raises(InputError, match="expected at least 0.01 s, a sample for each of 10"):
        salient_segments(recording(0.5), RATE, 0.005)
