"""More speakers, augmentation and remixes: what they do, and that they leave old items alone."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

import lib.data as data
from lib.data.augmentation import change_speed, direct_part
from lib.errors import InputError
from lib.mixing import level_db

# draws and some samples of items that stored results stand on, from before there were any options
OLD = {
    "two": (
        lambda: data.TwoSpeakers("test", 3, seed=2024, seconds=4.0),
        "d77898f004ee7d8b",
        [-0.0414752, -0.0292443, -0.041715, -0.0604795, -0.0529274, -0.0701954, 0.0071792],
    ),
    "noisy": (
        lambda: data.NoisySpeech("test", 3, seed=5),
        "90ccd88520134a57",
        [-0.0345458, -0.1000368, -0.090652, 0.0096334, -0.088063, -0.09004, 0.0084643],
    ),
    "songs": (
        lambda: data.Songs("test", seconds=1.0),
        "5866ae4bede77850",
        [-0.0001208, 0.0754207, -0.1500838, -0.0023779, 0.1799525, 0.0808957, -0.0238039],
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_old_items_stay_as_they_were(name):
    make, draws, samples = OLD[name]
    items = list(make())
    told = json.dumps([item.meta for item in items], sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == draws
    mixture = items[1].mixture[0]
    kept = mixture[:: len(mixture) // 8][:7]
    # not hashed: another build of libsndfile or torch may round a sample otherwise
    assert torch.allclose(kept, torch.tensor(samples), atol=1e-6)
    assert torch.equal(items[1].mixture, items[1].sources.sum(0))


def pair(**options):
    """The same item without and with options."""
    kind = options.pop("kind", data.TwoSpeakers)
    common = {"items": 8, "seed": 4, "sample_rate": 8000} | options.pop("common", {})
    return kind("train", **common)[3], kind("train", **common, **options)[3]


ALL = {
    "speed_range": (0.9, 1.1),
    "max_offset": 1.0,
    "reverb": "reverberant",
    "noise_snr_db": (0.0, 5.0),
    "gain_range_db": (-6.0, 6.0),
}


@pytest.mark.parametrize("length", [{"seconds": 2.0}, {"length": "min"}, {"length": "max"}])
def test_all_options_together_are_deterministic_bounded_and_draw_the_same_clips(length):
    plain, changed = pair(common=length, **ALL)
    _, again = pair(common=length, **ALL)
    assert torch.equal(changed.mixture, again.mixture)
    assert changed.meta == again.meta
    assert {"speeds", "offsets", "room", "noise", "noise_snr_db"} <= set(changed.meta)
    for key in ("speakers", "clips", "snr_db"):
        assert changed.meta[key] == plain.meta[key]
    assert changed.sources.shape[:2] == (2, 1)
    assert max(changed.mixture.abs().max(), changed.sources.abs().max()) <= 0.9 + 1e-6
    assert torch.isfinite(changed.mixture).all()


def test_an_option_does_not_change_what_another_draws():
    _, alone = pair(common={"seconds": 2.0}, speed_range=(0.9, 1.1))
    _, together = pair(common={"seconds": 2.0}, **ALL)
    assert alone.meta["speeds"] == together.meta["speeds"]


def test_three_speakers_are_three_at_their_levels():
    for item in data.ThreeSpeakers("train", 6, seed=1, sample_rate=16000):
        assert len(set(item.meta["speakers"])) == 3
        assert item.sources.shape[:2] == (3, 1)
        assert torch.equal(item.mixture, item.sources.sum(0))
        levels = level_db(item.sources[:, 0])
        assert (levels[0] - levels[1:]).tolist() == pytest.approx(item.meta["snr_db"], abs=1e-3)


def test_speed_changes_length_and_pitch():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000)[None]
    fast = change_speed(tone, 1.25)
    assert fast.shape == (1, 6400)
    assert torch.fft.rfft(fast[0, :6400]).abs().argmax() == 1000  # 1250 Hz in bins of 1.25 Hz
    plain, changed = pair(common={"length": "max"}, speed_range=2.0)
    assert changed.mixture.shape[-1] == pytest.approx(plain.mixture.shape[-1] / 2, abs=1)


def test_offsets_leave_silence_before_a_speaker():
    starts = []
    for item in data.TwoSpeakers("train", 8, seconds=3.0, max_offset=1.5):
        waits = [round(offset * 8000) for offset in item.meta["offsets"]]
        assert min(waits) == 0
        for source, wait in zip(item.sources[:, 0], waits, strict=True):
            assert not source[:wait].any()
            assert source[wait : wait + 800].any()
        starts.append(max(waits))
    assert max(starts) > 2000


def test_reverberant_sources_add_up_and_dry_ones_are_their_direct_sound():
    common = {"seconds": 2.0}
    _, heard = pair(common=common, reverb="reverberant")
    _, dry = pair(common=common, reverb="dry")
    assert torch.equal(heard.mixture, heard.sources.sum(0))
    gains = heard.meta["gain"], dry.meta["gain"]
    assert torch.allclose(heard.mixture / gains[0], dry.mixture / gains[1], atol=1e-6)
    tails = heard.sources / gains[0] - dry.sources / gains[1]
    assert (level_db(tails) < level_db(heard.sources / gains[0])).all()
    for one, other in zip(heard.sources[:, 0], dry.sources[:, 0], strict=True):
        wet, direct = (torch.fft.rfft(signal, 2 * len(signal)) for signal in (one, other))
        power = direct.abs().square()
        response = torch.fft.irfft(wet * direct.conj() / (power + 1e-3 * power.max()))
        assert response.argmax() == 0  # aligned, yet not the same
        assert torch.nn.functional.cosine_similarity(one, other, 0) < 0.999


def test_direct_part_keeps_the_strongest_tap_of_each_response():
    responses = data.room(2, "train", 8000)
    direct = direct_part(responses, 8000)
    assert torch.equal(direct.abs().amax(-1), responses.abs().amax(-1))
    assert (direct.square().sum(-1) < responses.square().sum(-1)).all()


def test_noise_lies_below_the_louder_speaker():
    _, item = pair(common={"seconds": 2.0}, noise_snr_db=3.0, noise_kinds=["rain"])
    noise = item.mixture - item.sources.sum(0)
    louder = level_db(item.sources[:, 0]).max()
    assert float(louder - level_db(noise[0])) == pytest.approx(3.0, abs=0.01)
    assert item.meta["noise"] == "rain"


def test_gains_move_the_whole_item():
    plain, changed = pair(common={"seconds": 2.0}, gain_range_db=-20.0)
    assert torch.allclose(changed.sources, plain.sources / plain.meta["gain"] * 0.1, atol=1e-6)


@pytest.mark.parametrize("sample_rate", [8000, 16000])
def test_noisy_speech_with_options(sample_rate):
    common = {"sample_rate": sample_rate, "seconds": 3.0, "snr_db": (-5, 5)}
    options = {"speed_range": (0.9, 1.1), "gain_range_db": (-9.0, 0.0)}
    plain, changed = pair(kind=data.NoisySpeech, common=common, **options)
    assert plain.meta["clip"] == changed.meta["clip"]
    assert changed.mixture.shape == (1, 3 * sample_rate)
    assert torch.equal(changed.mixture, changed.sources.sum(0))
    _, dry = pair(kind=data.NoisySpeech, common=common, reverb="dry")
    _, wet = pair(kind=data.NoisySpeech, common=common, reverb="reverberant")
    gains = dry.meta["gain"], wet.meta["gain"]
    assert torch.allclose(dry.mixture / gains[0], wet.mixture / gains[1], atol=1e-6)
    assert not torch.equal(dry.sources[0], wet.sources[0])
    # the SNR counts all of the speech that is heard
    levels = level_db(wet.sources[:, 0])
    assert float(levels[0] - levels[1]) == pytest.approx(wet.meta["snr_db"], abs=1e-3)


def songs(**options):
    return data.Songs("train", 1.0, items=6, seed=2, sample_rate=8000, **options)


def test_drawn_songs_depend_on_seed_and_index():
    items = list(songs())
    assert torch.equal(items[4].sources, songs()[4].sources)
    assert len({item.meta["song"] for item in items}) > 1
    assert not torch.equal(items[0].sources, items[1].sources)
    assert data.Songs("train", 1.0, items=6, seed=3)[0].meta != items[0].meta


def test_swap_flip_and_gains_change_stems_and_nothing_else():
    # undo the gain that peaks ask for
    def raw(item):
        return item.sources / item.meta["gain"]

    for plain, swapped, flipped, loud in zip(
        songs(), songs(swap=True), songs(flip=True), songs(gain_range_db=(-12, 0)), strict=True
    ):
        for stem in range(4):
            before = raw(plain)[stem]
            one, two, three = (raw(item)[stem] for item in (swapped, flipped, loud))
            assert torch.allclose(one, before) or torch.allclose(one, before.flip(0))
            assert torch.allclose(two, before) or torch.allclose(two, -before)
            if before.any():
                change = float(level_db(three.flatten()) - level_db(before.flatten()))
                assert -12.01 <= change <= 0.01
    different = [
        any(not torch.allclose(raw(a)[s], raw(b)[s]) for a, b in zip(songs(), other, strict=True))
        for other in (songs(swap=True), songs(flip=True))
        for s in range(4)
    ]
    assert sum(different) >= 6


def test_remix_takes_stems_from_several_songs():
    names = [set(item.meta["songs"].values()) for item in songs(remix=True)]
    assert max(len(few) for few in names) > 1


def test_a_target_and_the_rest():
    four, two = songs(mono=True), songs(mono=True, target="vocals")
    assert two.source_names == ("vocals", "accompaniment")
    item, parts = four[1], two[1]
    assert parts.sources.shape == (2, 1, 8000)
    assert torch.allclose(
        parts.sources[0] / parts.meta["gain"], item.sources[3] / item.meta["gain"]
    )
    assert torch.allclose(
        parts.mixture / parts.meta["gain"], item.mixture / item.meta["gain"], atol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: data.TwoSpeakers(sped=1), "option: expected one of speed_range"),
        (lambda: data.TwoSpeakers(speed_range=(0.1, 1)), "speeds from 0.5 to 2"),
        (lambda: data.TwoSpeakers(speed_range="fast"), "speed_range: expected a number"),
        (lambda: data.TwoSpeakers(max_offset=-1), "max_offset: expected seconds"),
        (lambda: data.TwoSpeakers(reverb="wet"), "reverb: expected one of reverberant, dry"),
        (lambda: data.ThreeSpeakers(reverb="dry"), "at most two speakers"),
        (lambda: data.TwoSpeakers(noise_kinds=["rain"]), "expected noise_snr_db beside it"),
        (lambda: data.TwoSpeakers(noise_snr_db=0, noise_kinds=["x"]), "kinds: expected one of"),
        (lambda: data.TwoSpeakers(gain_range_db=(3, 1)), "gain_range_db: expected"),
        (lambda: data.NoisySpeech(max_offset=1.0), "option: expected one of speed_range, "),
        (lambda: data.TwoSpeakers(corpus="fsdd"), "folder: expected one beside corpus"),
        (lambda: data.TwoSpeakers(corpus="timit"), "corpus: expected one of pack, folders"),
        (lambda: data.Songs(items=3), "seconds: expected the length"),
        (lambda: data.Songs(remix=True), "remix: expected a number of items"),
        (lambda: data.Songs(seconds=100), "expected a stretch within"),
        (lambda: data.Songs(seconds=1.0, target="violin"), "target: expected one of drums"),
    ],
)
def test_one_clear_error(call, words):
    with pytest.raises(InputError, match=words):
        call()
