"""Chapter 8: what its text claims is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lib.checks.ch08 import SAMPLE_RATE, floor_scores, noisy_clip
from lib.classical import (
    musical_noise_index,
    noise_profile,
    spectral_subtraction,
    subtraction_gain,
    wiener_filter,
    wiener_gain,
)
from lib.data import NoisySpeech, TwoSpeakers, noise_kinds
from lib.errors import InputError
from lib.evaluation import bootstrap_interval
from lib.metrics import si_sdr, stoi
from lib.widgets import denoise_by_hand

DENOISERS = {"subtraction": spectral_subtraction, "wiener": wiener_filter}


def batch(dataset):
    items = list(dataset)
    mixtures = torch.stack([item.mixture[0] for item in items])
    return mixtures, torch.stack([item.sources[0, 0] for item in items]), items[0].sample_rate


# ------------------------------------------------------------------ what the chapter claims


@pytest.fixture(scope="module")
def stationary():
    kinds = noise_kinds(stationary=True)
    return batch(NoisySpeech("test", items=40, snr_db=0.0, kinds=kinds, seconds=3.0))


@pytest.mark.parametrize("name", DENOISERS)
def test_defaults_gain_more_than_3_db_in_stationary_noise(name, stationary):
    mixtures, voices, rate = stationary
    estimates = DENOISERS[name](mixtures, rate)
    gains = si_sdr(estimates, voices) - si_sdr(mixtures, voices)
    interval = bootstrap_interval(gains)
    assert interval.value > 3 and interval.low > 3
    # and intelligibility, as STOI sees it, stays where it was
    change = stoi(estimates, voices, rate) - stoi(mixtures, voices, rate)
    assert abs(float(change.median())) < 0.04


@pytest.mark.parametrize("name", DENOISERS)
@pytest.mark.parametrize("kind", ["keyboard", "babble"])
def test_no_gain_in_keyboard_and_babble(name, kind):
    mixtures, voices, rate = batch(NoisySpeech("test", 10, 2, snr_db=0.0, kinds=[kind], seconds=3))
    gains = si_sdr(DENOISERS[name](mixtures, rate), voices) - si_sdr(mixtures, voices)
    assert float(gains.median()) < 1.5


@pytest.mark.parametrize("name", DENOISERS)
def test_no_gain_for_two_voices(name):
    mixtures, voices, rate = batch(TwoSpeakers("test", 10, 2, 16000, 3.0, 0.0))
    gains = si_sdr(DENOISERS[name](mixtures, rate), voices) - si_sdr(mixtures, voices)
    assert float(gains.median()) < 0.5


def test_the_best_si_sdr_sings_and_the_default_floor_cures_it_cheaply():
    bare, index_bare = floor_scores(0.0)
    floored, index_floored = floor_scores(0.1)
    _, index_best = floor_scores(0.0, over_subtraction=1.5)
    assert 0 < bare - floored < 1
    assert index_bare > 2 and index_best > 1.5
    assert index_floored < 1


def test_memory_and_floor_together_calm_the_wiener_filter():
    clip, profile = noisy_clip()
    noise = clip.interference

    def index(**options):
        left = wiener_filter(noise, SAMPLE_RATE, noise_profile=profile, **options)
        return float(musical_noise_index(left, noise, SAMPLE_RATE))

    no_memory, memory_alone = index(alpha=0.0, floor_db=-10), index(floor_db=-40)
    both = index(floor_db=-10)
    assert both < 0.9
    assert no_memory > both + 0.3 and memory_alone > both + 1


def test_noise_exceeds_its_mean_with_the_probability_that_the_chapter_gives():
    noise = torch.randn(2, 100_000, generator=torch.Generator().manual_seed(0)).square().sum(0)
    gain = subtraction_gain(
        noise, noise.mean(), over_subtraction=2.0, floor=0.0, domain="magnitude"
    )
    assert float((gain > 0).float().mean()) == pytest.approx(math.exp(-4), abs=2e-3)
    gain = subtraction_gain(noise, noise.mean(), over_subtraction=2.0, floor=0.0, domain="power")
    assert float((gain > 0).float().mean()) == pytest.approx(math.exp(-2), abs=4e-3)


def test_wiener_without_memory_is_power_subtraction_squared():
    posterior = torch.logspace(-2, 3, 100).double()
    ones = torch.ones(1, dtype=torch.float64)
    subtraction = subtraction_gain(posterior, ones, over_subtraction=1.0, floor=0.0, domain="power")
    torch.testing.assert_close(wiener_gain((posterior - 1).clamp(min=0)), subtraction.square())


# ------------------------------------------------------------------ the widget


def test_the_widget_says_what_it_is_and_carries_both_clips():
    clip, _ = noisy_clip()
    panel = denoise_by_hand(clip.mixture, clip.target, SAMPLE_RATE)
    assert panel.config["n_fft"] == 512
    assert "3.5 s at 16000 Hz" in repr(panel)
    assert len(panel._repr_html_()) < 400_000


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.ones((2, 8000)) / 2, np.ones(8000) / 2, 8000), {}, "mixture: expected one channel"),
        ((np.ones(8000) / 2, np.zeros(8000), 8000), {}, "reference: expected a signal"),
        ((np.ones(8000) / 2, np.ones(7000) / 2, 8000), {}, "equal lengths, got 8000 and 7000"),
        ((np.ones(8000) / 2, np.ones(8000) / 2, 11025), {}, "8000 or 16000 Hz, got 11025"),
        ((np.ones(8000) / 2, np.ones(8000) / 2, 8000), {"stretch": (0.5, 0.51)}, "at least 0.064"),
        ((np.ones(8000) / 2, np.ones(8000) / 2, 8000), {"stretch": (0.5, 1.5)}, "within the 1.00"),
        ((np.ones(8000) / 2, np.ones(8000) / 2, 8000), {"over_subtraction": 9}, "0 to 6"),
        ((2 * np.ones(8000), np.ones(8000), 8000), {}, "within"),
    ],
)
def test_what_the_widget_cannot_take(arguments, options, message):
    with pytest.raises(InputError, match=message):
        denoise_by_hand(*arguments, **options)


def test_the_profile_needs_the_stretch_before_the_voice():
    clip, profile = noisy_clip()
    longer = noise_profile(clip.interference, SAMPLE_RATE)
    assert float((10 * torch.log10(profile / longer)).abs().median()) < 2
