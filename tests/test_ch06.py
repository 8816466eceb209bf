"""Chapter 6: what its text claims is true."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
import torch
from solutions import ch06 as solutions

from lib import checks
from lib.data import load, noise, room
from lib.errors import InputError
from lib.evaluation import bootstrap_interval
from lib.metrics import pesq_to_mos_lqo, si_sdr, stoi, stoi_segment_correlation
from lib.metrics.stoi import remove_silent_frames, resample_to_10k, third_octave_bands
from lib.widgets.guess_the_score import distortions, guess_the_score, low_pass, noise_vocoder
from lib.widgets.listen import loudness

RATE = 16000


@pytest.fixture(scope="module")
def speech() -> torch.Tensor:
    return load("f09_001", RATE)[0][0].double()


@pytest.fixture(scope="module")
def spoilt(speech) -> dict[str, torch.Tensor]:
    pink = noise("pink", seconds=len(speech) / RATE)[0].double()
    return distortions(speech, pink, room(3)[0, 0].double(), RATE)


# ------------------------------------------------------------------ exercises


@pytest.mark.parametrize("seed", range(12))
def test_the_tolerance_fits_the_draws_of_any_seed(seed):
    def answer(first, second):
        rows = np.random.default_rng(seed).integers(50, size=(2000, 50))
        p = solutions._two_sided(np.median((first - second)[rows], axis=1))
        return p, solutions._verdict(p, np.median(first - second))

    result = checks.check("ch06.better_system", answer)
    assert result, result.message


def test_the_reference_solution_is_pystoi(speech, spoilt):
    pystoi = pytest.importorskip("pystoi")
    estimate = spoilt["pink noise, 5 dB"]
    pair = [resample_to_10k(signal, RATE) for signal in (estimate, speech)]
    y, x = (third_octave_bands(s).unfold(-1, 30, 1) for s in remove_silent_frames(*pair))
    ours = solutions.stoi_segment(y, x).mean()
    theirs = pystoi.stoi(speech.numpy(), estimate.numpy(), RATE)
    assert float(ours) == pytest.approx(theirs, abs=1e-6)


# ------------------------------------------------------------------ what the chapter claims


def test_the_ranges_of_pesq():
    ends = torch.tensor([-0.5, 4.5], dtype=torch.float64)
    for mode, expected in (("nb", (1.017, 4.549)), ("wb", (1.043, 4.644))):
        torch.testing.assert_close(
            pesq_to_mos_lqo(ends, mode), torch.tensor(expected).double(), atol=5e-4, rtol=0
        )


def test_a_vocoder_keeps_the_words_and_low_pass_keeps_the_energy():
    reference = load("f09_048", RATE)[0][0].double()
    muffled, vocoded = low_pass(reference, RATE, 500), noise_vocoder(reference, RATE)
    assert si_sdr(muffled, reference) > si_sdr(vocoded, reference) + 20
    assert stoi(vocoded, reference, RATE) > stoi(muffled, reference, RATE) + 0.15


def test_stoi_is_below_zero_for_opposite_envelopes_and_above_for_unrelated_noise(speech):
    hiss = noise("hiss", seconds=len(speech) / RATE)[0].double()
    breath = 0.5 + 0.5 * torch.sin(2 * torch.pi * 4 * torch.arange(len(hiss)) / RATE)
    assert stoi((1 - breath) * hiss, breath * hiss, RATE) < -0.3
    assert 0.2 < stoi(hiss, speech, RATE) < 0.5
    assert stoi(-3 * speech, speech, RATE) == pytest.approx(1.0)


def test_the_clip_is_what_lifts_unrelated_noise(speech):
    hiss = noise("hiss", seconds=len(speech) / RATE)[0].double()
    pair = remove_silent_frames(*(resample_to_10k(s, RATE) for s in (hiss, speech)))
    y, x = (third_octave_bands(s).unfold(-1, 30, 1) for s in pair)
    assert stoi_segment_correlation(y, x).mean() > 0.2
    y, x = (s - s.mean(-1, keepdim=True) for s in (y, x))
    assert torch.nn.functional.cosine_similarity(y, x, dim=-1).mean().abs() < 0.1


def test_a_delay_ruins_stoi_but_a_hum_does_not(speech):
    late = torch.nn.functional.pad(speech, (RATE // 10, 0))[: len(speech)]
    assert stoi(late, speech, RATE) < 0.2
    hum = torch.sin(2 * torch.pi * 50 * torch.arange(len(speech)) / RATE)
    assert stoi(speech + speech.std() * hum, speech, RATE) > 0.99


def test_metrics_disagree_about_the_eight_clips(speech, spoilt):
    ranks = [
        torch.stack([metric(clip) for clip in spoilt.values()]).argsort().argsort()
        for metric in (lambda c: si_sdr(c, speech), lambda c: stoi(c, speech, RATE))
    ]
    assert torch.corrcoef(torch.stack(ranks).double())[0, 1] < 0.3


def test_one_outlier_moves_the_mean_but_not_the_median():
    scores = np.random.default_rng(0).normal(5, 2, 50)
    spoiled = np.append(scores[1:], -60.0)
    assert abs(np.mean(spoiled) - np.mean(scores)) > 1
    assert abs(np.median(spoiled) - np.median(scores)) < 0.3
    assert bootstrap_interval(spoiled).low > 3


# ------------------------------------------------------------------ the widget


def test_the_eight_distortions(speech, spoilt):
    assert len(spoilt) == 8
    for name, clip in spoilt.items():
        assert clip.shape == speech.shape and clip.isfinite().all(), name
        assert 0 < clip.abs().max() <= 1, name
    assert torch.equal(spoilt["10 ms late"][160:], speech[:-160])
    frequency = torch.fft.rfftfreq(len(speech), 1 / RATE)
    above = torch.fft.rfft(spoilt["below 500 Hz"])[frequency > 501].abs().max()
    assert above < 1e-9


def test_the_vocoder_keeps_the_envelope_of_each_band_and_nothing_else(speech):
    vocoded = noise_vocoder(speech, RATE)
    assert abs(si_sdr(vocoded, speech)) > 15
    powers = [s.square().mean() for s in (vocoded, speech)]
    assert abs(10 * torch.log10(powers[0] / powers[1])) < 1.5
    assert not torch.equal(vocoded, noise_vocoder(speech, RATE, seed=1))
    assert torch.equal(vocoded, noise_vocoder(speech, RATE))


def test_stored_clips_play_as_they_were_or_equally_loud(speech, spoilt):
    scores = {"STOI": dict.fromkeys(spoilt, 0.5)}
    config = guess_the_score(spoilt, speech, scores, RATE).config
    levels = []
    signals = {"reference": speech, **spoilt}
    for track, signal in zip(
        [config["reference"], *config["clips"]], signals.values(), strict=True
    ):
        raw = base64.b64decode(track["source"].partition(",")[2])
        stored, rate = soundfile.read(io.BytesIO(raw))
        assert rate == RATE
        original = torch.from_numpy(stored) * 10 ** (track["original_db"] / 20)
        torch.testing.assert_close(original, signal, atol=2e-4, rtol=0)
        matched = stored * 10 ** (track["matched_db"] / 20)
        assert np.abs(matched).max() <= 1
        levels.append(loudness(matched[None], RATE))
    assert np.ptp(levels) < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clips": {"a": torch.ones(8), "b": torch.ones(8)}}, "clips: expected a dict of 3 to 8"),
        ({"clips": torch.ones(3, 8)}, "got Tensor"),
        ({"reference": torch.ones(9)}, "expected the reference's 9 samples"),
        ({"reference": torch.zeros(8)}, "reference: expected a signal, got silence"),
        ({"reference": torch.ones(2, 8)}, "expected one channel, got 2"),
        ({"scores": {}}, "at least one metric"),
        ({"scores": {"STOI": {"a": 1.0}}}, "expected a value for each clip"),
        ({"scores": {"SI-SDR": dict.fromkeys("abc", float("inf"))}}, "expected finite numbers"),
    ],
)
def test_what_the_panel_cannot_take(change, message):
    arguments = {
        "clips": {name: torch.ones(8) for name in "abc"},
        "reference": torch.ones(8),
        "scores": {"STOI": dict.fromkeys("abc", 0.5)},
        "sample_rate": 8000,
    }
    with pytest.raises(InputError, match=message):
        guess_the_score(**(arguments | change))
