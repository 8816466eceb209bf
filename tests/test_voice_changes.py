"""Pitch, duration and formants of voices: what changes and what stays, alone and in data sets."""

import pytest
import torch

import lib.data as data
from lib.data.augmentation import Augmentation
from lib.data.voice import RANGES, VoiceChanges, shift_pitch, stretch_time, warp_envelope
from lib.errors import InputError
from lib.training.recipes import load_recipe

RATE = 8000
TIME = torch.arange(2 * RATE) / RATE
HARMONICS = torch.arange(1, 20)
F0 = 150.0


def strongest(waveform):
    """The frequency of the highest peak, to half a hertz."""
    window = torch.hann_window(waveform.shape[-1])
    spectrum = torch.fft.rfft(waveform[0] * window, 2 * RATE).abs()
    return float(spectrum.argmax()) / 2


def vowel(formant=1000.0):
    """Harmonics of 150 Hz under one formant."""
    frequencies = F0 * HARMONICS
    levels = torch.exp(-0.5 * ((frequencies - formant) / 150) ** 2) + 0.03
    return (levels[:, None] * torch.sin(2 * torch.pi * frequencies[:, None] * TIME)).sum(0)[None]


def centre(waveform):
    """Harmonics of 150 Hz, and where their energy lies."""
    spectrum = torch.fft.rfft(waveform[0] * torch.hann_window(waveform.shape[-1])).abs().square()
    levels = spectrum[(2 * F0 * HARMONICS).long()]  # bins of half a hertz
    return levels.sum() / spectrum.sum(), float((levels * F0 * HARMONICS).sum() / levels.sum())


@pytest.mark.parametrize("semitones", [-12.0, -2.37, -0.08, 0.0, 1.1, 7.0, 12.0])
def test_pitch_moves_by_the_ratio_and_length_stays(semitones):
    tone = torch.sin(2 * torch.pi * 440 * TIME)[None].expand(2, -1)
    shifted = shift_pitch(tone, semitones, RATE)
    assert shifted.shape == tone.shape
    assert strongest(shifted) == pytest.approx(440 * 2 ** (semitones / 12), abs=0.5)


@pytest.mark.parametrize("factor", [0.5, 0.93, 1.0, 1.2, 2.0])
def test_a_stretch_changes_the_length_and_not_the_pitch(factor):
    tone = torch.sin(2 * torch.pi * 440 * TIME)[None]
    bursts = tone * (TIME % 0.5 < 0.25)
    assert strongest(stretch_time(tone, factor, RATE)) == pytest.approx(440, abs=0.5)
    stretched = stretch_time(bursts, factor, RATE)
    assert stretched.shape == (1, round(2 * RATE * factor))
    # a burst begins every half second, now every half factor
    for number in range(4):
        burst, pause = (round((number / 2 + at) * factor * RATE) for at in (0.125, 0.375))
        near = round(0.05 * factor * RATE)
        powers = [float(stretched[0, p - near : p + near].square().mean()) for p in (burst, pause)]
        assert powers[0] > 30 * powers[1]


def test_nothing_is_changed_by_nothing():
    voice = vowel()
    torch.testing.assert_close(stretch_time(voice, 1.0, RATE), voice, atol=2e-3, rtol=0)
    torch.testing.assert_close(shift_pitch(voice, 0.0, RATE), voice, atol=2e-3, rtol=0)
    torch.testing.assert_close(warp_envelope(voice, 1.0, RATE), voice, atol=1e-4, rtol=0)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_an_envelope_moves_and_the_harmonics_stay(factor):
    before, after = vowel(), warp_envelope(vowel(), factor, RATE)
    assert after.shape == before.shape
    share, middle = centre(after)
    assert share > 0.9 * centre(before)[0]  # all of it is at multiples of 150 Hz still
    assert middle == pytest.approx(factor * centre(before)[1], rel=0.05)


@pytest.mark.parametrize("time", [1, 17, 1000])
def test_short_ones_and_silence_stay_finite(time):
    for waveform in (torch.zeros(1, time), torch.ones(2, time)):
        for change, amount in ((shift_pitch, 3.0), (stretch_time, 1.3), (warp_envelope, 1.3)):
            assert torch.isfinite(change(waveform, amount, RATE)).all()
    assert not warp_envelope(torch.zeros(1, time), 1.3, RATE).any()


# in data sets

ALL = {"pitch_semitones": [-2, 2], "stretch_range": [0.9, 1.2], "envelope_range": [0.9, 1.1]}


def drawn(kind, **options):
    common = {"items": 4, "seed": 3, "sample_rate": RATE, "seconds": 1.0}
    return kind("train", **common | options)


@pytest.mark.parametrize("kind", [data.TwoSpeakers, data.NoisySpeech])
def test_voices_change_by_what_was_drawn(kind):
    plain, changed, again = drawn(kind)[1], drawn(kind, **ALL)[1], drawn(kind, **ALL)[1]
    assert torch.equal(changed.mixture, again.mixture)
    assert changed.sources.shape == plain.sources.shape
    assert changed.meta["snr_db"] == plain.meta["snr_db"]
    voices = len(changed.meta["changes"])
    assert voices == (2 if kind is data.TwoSpeakers else 1)
    for change, old, new in zip(
        changed.meta["changes"], plain.sources, changed.sources, strict=False
    ):
        assert -2 <= change["pitch_semitones"] <= 2
        assert 0.9 <= change["stretch"] <= 1.2
        assert 0.9 <= change["envelope"] <= 1.1
        assert not torch.allclose(old / plain.meta["gain"], new / changed.meta["gain"], atol=1e-3)
    # noise is a source, too, but no voice
    if kind is data.NoisySpeech:
        one, other = plain.sources[1], changed.sources[1]
        assert torch.nn.functional.cosine_similarity(one, other).item() == pytest.approx(1)


def test_an_option_does_not_change_what_another_draws():
    alone = drawn(data.TwoSpeakers, pitch_semitones=(-2, 2))[2].meta["changes"]
    together = drawn(data.TwoSpeakers, speed_range=(0.9, 1.1), **ALL)[2].meta["changes"]
    assert [one["pitch_semitones"] for one in alone] == [one["pitch_semitones"] for one in together]


def test_a_shorter_voice_is_read_longer():
    options = {"speed_range": (0.9, 1.1), "stretch_range": (0.5, 1.0)}
    assert Augmentation("train", RATE, **options).shortens == pytest.approx(2.2)


def test_stems_of_a_song_change_together_and_only_vocals_get_other_formants():
    plain = drawn(data.Songs)[0]
    pitched = drawn(data.Songs, pitch_semitones=(2, 2), stretch_range=(1.1, 1.1))[0]
    formants = drawn(data.Songs, envelope_range=(1.2, 1.2))[0]
    assert pitched.meta["changes"] == {"pitch_semitones": 2.0, "stretch": 1.1}
    assert pitched.meta["song"] == formants.meta["song"] == plain.meta["song"]
    assert pitched.sources.shape == plain.sources.shape
    assert torch.equal(pitched.mixture, pitched.sources.sum(0))
    for stem, name in enumerate(data.Songs.source_names):
        old, new = plain.sources[stem] / plain.meta["gain"], formants.sources[stem]
        same = torch.allclose(old, new / formants.meta["gain"], atol=1e-6)
        assert same == (name != "vocals" or not old.any())
        if old.any():
            assert not torch.allclose(old, pitched.sources[stem] / pitched.meta["gain"], atol=1e-3)


def test_whole_songs_are_stretched_too():
    whole = data.Songs("test", sample_rate=8000, stretch_range=1.1)[0]
    plain = data.Songs("test", sample_rate=8000)[0]
    assert whole.mixture.shape[-1] == pytest.approx(1.1 * plain.mixture.shape[-1], abs=2)


def test_recipes_take_ranges():
    recipe = load_recipe(
        "upit-blstm-small", {"augment.pitch_semitones": [-2, 2], "augment.stretch_range": [0.9, 1]}
    )
    assert recipe["augment"]["pitch_semitones"] == [-2, 2]


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: drawn(data.TwoSpeakers, pitch_semitones=(-13, 0)),
            "pitch_semitones: expected -12",
        ),
        (lambda: drawn(data.TwoSpeakers, stretch_range="long"), r"\(low, high\) in times"),
        (lambda: drawn(data.Songs, envelope_range=(0.1, 1)), "envelope_range: expected 0.5 to 2"),
        (lambda: drawn(data.Songs, seconds=12.0, stretch_range=0.5), "for which 24.00 s are read"),
        (lambda: shift_pitch(torch.zeros(1, 9), 13.0, RATE), "semitones: expected -12 to 12"),
        (lambda: stretch_time(torch.zeros(1, 9), 3.0, RATE), "factor: expected 0.5 to 2, got 3"),
        (lambda: warp_envelope(torch.zeros(1, 9), 0.0, RATE), "factor: expected 0.5 to 2"),
    ],
)
def test_one_clear_error(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_without_options_nothing_is_drawn():
    changes = VoiceChanges(RATE, **dict.fromkeys(RANGES))
    assert changes.draw(None, 2) == [{}, {}]
    voice = vowel()
    assert changes.apply(voice, {}) is voice
