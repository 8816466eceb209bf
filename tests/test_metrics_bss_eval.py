"""BSS Eval: version 3 against mir_eval, version 4 against values that museval 0.4.1 gave."""

import math
from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InputError
from lib.metrics import bss_eval, bss_eval_v4, csdr, si_sdr, snr, usdr

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def speech_like(*shape, seed=0):
    """Noise through two resonances (18 dB and more per octave beyond), in syllables and pauses."""
    spectrum = torch.fft.rfft(noise(*shape, seed=seed))
    frequency = torch.linspace(0, 1, spectrum.shape[-1])
    shape_of_voice = 1 / (1 + (frequency / 0.05) ** 2) + 0.1 / (1 + ((frequency - 0.3) / 0.02) ** 2)
    signal = torch.fft.irfft(spectrum * shape_of_voice**2, shape[-1])
    gates = np.random.default_rng(seed).random((*shape[:-1], shape[-1] // 800 + 1)) > 0.4
    return signal * torch.from_numpy(gates).repeat_interleave(800, -1)[..., : shape[-1]]


def estimates_of(references, leak=0.3, artifacts=0.1):
    mixture = references.sum(0, keepdim=True)
    return (
        references
        + leak * mixture
        + artifacts * references.std() * noise(*references.shape, seed=99)
    )


KINDS = {"random": noise, "speech-like": speech_like}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("sources", "time"), [(1, 4000), (2, 16000), (4, 12001)])
def test_version_3_equals_mir_eval(kind, sources, time, device):
    separation = pytest.importorskip("mir_eval.separation")
    references = KINDS[kind](sources, time)
    estimates = estimates_of(references, artifacts=0.02)
    expected = separation.bss_eval_sources(references.numpy(), estimates.numpy(), False)[:3]
    for dtype in (torch.float64, torch.float32):
        found = bss_eval(estimates.to(device, dtype), references.to(device, dtype))
        for name, ours, theirs in zip(found._fields, found, expected, strict=True):
            if sources == 1 and name == "sir":  # nothing else is there to interfere
                assert (ours > 200).all()
                continue
            assert ours.dtype == dtype
            torch.testing.assert_close(
                ours.cpu().double(), torch.from_numpy(theirs), atol=1e-4, rtol=0
            )


@pytest.mark.parametrize("filter_length", [1, 8])
def test_version_3_is_a_least_squares_fit(filter_length):
    references = noise(3, 400)
    estimates = estimates_of(references)
    time = 400 + filter_length - 1
    copies = np.zeros((3, filter_length, time))
    for source in range(3):
        for delay in range(filter_length):
            copies[source, delay, delay : delay + 400] = references[source]
    heard = np.pad(estimates.numpy(), ((0, 0), (0, filter_length - 1)))
    found = bss_eval(estimates, references, filter_length)

    def project(basis, signal):
        return basis.T @ np.linalg.lstsq(basis.T, signal, rcond=None)[0]

    for source in range(3):
        target = project(copies[source], heard[source])
        explained = project(copies.reshape(-1, time), heard[source])
        for ours, signal, error in (
            (found.sdr, target, heard[source] - target),
            (found.sir, target, explained - target),
            (found.sar, explained, heard[source] - explained),
        ):
            ratio = 10 * np.log10((signal**2).sum() / (error**2).sum())
            assert ours[source].item() == pytest.approx(ratio, abs=1e-8)


@given(seed=st.integers(0, 1000), gain=st.floats(1e-3, 1e3), delay=st.integers(0, 7))
def test_gain_and_delay_are_forgiven(seed, gain, delay):
    references = noise(2, 300, seed=seed)
    references[:, -10:] = 0
    estimates = references + 0.1 * noise(2, 300, seed=seed + 1)
    estimates[:, -10:] = 0
    expected = bss_eval(estimates, references, 8)
    torch.testing.assert_close(bss_eval(gain * estimates, references, 8), expected)
    torch.testing.assert_close(bss_eval(estimates, -gain * references, 8), expected)
    moved = bss_eval(references.roll(delay, -1), references, 8)
    assert (moved.sdr > 200).all()


def test_one_tap_is_si_sdr():
    references = noise(5, 2, 3, 200)
    estimates = references + 0.5 * noise(5, 2, 3, 200, seed=1)
    torch.testing.assert_close(
        bss_eval(estimates, references, 1).sdr, si_sdr(estimates, references)
    )


def test_batches_equal_single_items_across_chunks(monkeypatch):
    module = import_module("lib.metrics.bss_eval")  # lib.metrics.bss_eval itself is the function
    monkeypatch.setattr(module, "_GRAM_ENTRIES", 2 * (2 * 16) ** 2)
    references = noise(3, 3, 2, 600)
    estimates = references + 0.3 * references.flip(-2) + 0.1 * noise(3, 3, 2, 600, seed=1)
    found = bss_eval(estimates, references, filter_length=16)
    assert found.sar.shape == (3, 3, 2)
    for index in np.ndindex(3, 3):
        single = bss_eval(estimates[index], references[index], filter_length=16)
        torch.testing.assert_close(torch.stack(found)[:, *index], torch.stack(single))


def test_correlated_references_are_solved_densely():
    references = noise(2, 2000)
    references[1] = 0.999 * references[0] + 0.001 * references[1]
    estimates = references + 0.1 * noise(2, 2000, seed=5)
    found = bss_eval(estimates, references, 16)
    copies = np.stack([np.pad(r.numpy(), (d, 15 - d)) for r in references for d in range(16)])
    for source in range(2):
        heard = np.pad(estimates[source].numpy(), (0, 15))
        explained = copies.T @ np.linalg.lstsq(copies.T, heard, rcond=None)[0]
        ratio = 10 * np.log10((explained**2).sum() / ((heard - explained) ** 2).sum())
        assert found.sar[source].item() == pytest.approx(ratio, abs=1e-4)
    references[1] = references[0]
    equal = bss_eval(estimates, references, 16)
    assert torch.isfinite(equal.sdr).all() and torch.isfinite(equal.sar).all()


def test_silence_has_a_defined_result_and_spoils_no_batch():
    references = noise(2, 3, 900)
    estimates = references + 0.2 * references.flip(-2) + 0.1 * noise(2, 3, 900, seed=1)
    expected = bss_eval(estimates[1], references[1], 8)
    pair = bss_eval(estimates[0, :2], references[0, :2], 8)
    references[0, 2] = 0
    estimates[0, 1] = 0
    found = bss_eval(estimates, references, 8)
    for score, whole, two in zip(found, expected, pair, strict=True):
        assert score[0, 2].isnan() and score[0, 1] == -math.inf
        torch.testing.assert_close(score[1], whole)
        torch.testing.assert_close(score[0, 0], two[0])


def test_a_perfect_estimate_scores_some_hundred_db():
    references = noise(2, 1000)
    for score in bss_eval(references, references, 4):
        assert (score > 200).all()


def test_the_51_db_example():
    """A short equaliser: version 3 hears nothing, version 4, SNR and SI-SDR hear almost only it."""
    reference = noise(32000)
    taps = np.array([1, 0, 0, 0.8, 0, -0.6])
    estimate = torch.from_numpy(np.convolve(reference.numpy(), taps)[:32000])
    v3 = bss_eval(estimate[None], reference[None]).sdr.item()
    v4 = bss_eval_v4(estimate[None, None], reference[None, None], 16000, window=math.inf).sdr.item()
    assert round(v3, 1) == 51.4
    assert round(v4, 2) == 0.02
    assert round(snr(estimate, reference).item(), 2) == 0.02
    assert round(si_sdr(estimate, reference).item(), 2) == 0.14
    # what is left of v3 is the convolution's tail, which the excerpt cuts: the filter is forgiven
    assert bss_eval(estimate[None], reference[None], 3).sdr < 5


# bss_eval(references, estimates, window=1000, hop=500, filters_len=taps) of museval 0.4.1
MUSEVAL = {
    1: [
        [
            [4.97518, 4.97946, 5.29942, 5.199, 5.24861],
            [6.36694, 6.32483, 6.19521, 6.13934, 6.01598],
            [5.15402, 5.23602, 5.29604, 5.23874, 5.14429],
        ],
        [
            [10.40654, 10.40515, 10.37348, 10.36597, 10.37373],
            [10.32443, 10.32177, 10.32424, 10.31911, 10.32411],
            [10.50345, 10.50107, 10.50079, 10.50177, 10.50018],
        ],
        [
            [8.98288, 9.02763, 9.30912, 9.25732, 9.32549],
            [10.97253, 10.95144, 10.85559, 10.74211, 10.54778],
            [9.1201, 9.16992, 9.18974, 9.20109, 9.22179],
        ],
        [
            [22.62552, 22.50722, 22.65531, 22.74826, 22.92313],
            [23.92016, 23.8116, 23.835, 23.73923, 23.31052],
            [22.96965, 22.87471, 22.67118, 22.8257, 22.87822],
        ],
    ],
    32: [
        [
            [4.97518, 4.97946, 5.29942, 5.199, 5.24861],
            [6.36694, 6.32483, 6.19521, 6.13934, 6.01598],
            [5.15402, 5.23602, 5.29604, 5.23874, 5.14429],
        ],
        [
            [10.23004, 10.21678, 10.21057, 10.18703, 10.2309],
            [10.16509, 10.20978, 10.24683, 10.2364, 10.23182],
            [10.26476, 10.25755, 10.29631, 10.29996, 10.31529],
        ],
        [
            [9.03903, 9.08383, 9.37312, 9.33462, 9.36442],
            [11.02701, 10.97172, 10.89395, 10.82961, 10.64471],
            [9.21756, 9.25293, 9.30754, 9.33282, 9.27166],
        ],
        [
            [22.95786, 22.85141, 23.01767, 23.12273, 23.28801],
            [24.19842, 24.09826, 24.0521, 23.99528, 23.60941],
            [23.20379, 23.15682, 22.96055, 23.06155, 23.03018],
        ],
    ],
}


def signals():
    references = noise(3, 2, 3200)
    references[1, 0] += 0.7 * references[1, 1]  # a stereo image
    estimates = references + 0.3 * references.sum(0) + 0.1 * noise(3, 2, 3200, seed=1)
    return estimates, references


@pytest.mark.parametrize("taps", MUSEVAL)
def test_version_4_equals_museval(taps):
    estimates, references = signals()
    expected = torch.tensor(MUSEVAL[taps], dtype=torch.float64)
    found = bss_eval_v4(estimates, references, 1000, window=1.0, hop=0.5, filter_length=taps)
    torch.testing.assert_close(torch.stack(found), expected, atol=1e-4, rtol=0)
    single = bss_eval_v4(
        estimates.float()[None], references.float()[None], 1000, hop=0.5, filter_length=taps
    )
    torch.testing.assert_close(torch.stack(single)[:, 0].double(), expected, atol=2e-4, rtol=0)


def test_version_4_sdr_is_the_snr_of_each_window():
    estimates, references = signals()
    found = bss_eval_v4(estimates, references, 1000, filter_length=4)
    assert found.sdr.shape == (3, 3)  # the last incomplete window is dropped
    for window in range(3):
        part = slice(1000 * window, 1000 * (window + 1))
        expected = snr(estimates[..., part].flatten(-2), references[..., part].flatten(-2))
        torch.testing.assert_close(found.sdr[:, window], expected)


@pytest.mark.parametrize("windows", [1, 2, 3, 6])
def test_csdr_is_the_median_of_version_4(windows):
    estimates, references = (signal[..., : 500 * windows] for signal in signals())
    references = references.clone()
    if windows > 2:
        references[2, :, 500:1000] = 0
    sdr = bss_eval_v4(estimates, references, 1000, window=0.5, hop=0.5, filter_length=2).sdr
    found = csdr(estimates, references, 1000, window=0.5, hop=0.5)
    np.testing.assert_allclose(found, np.nanmedian(sdr, axis=-1))
    assert csdr(estimates, 0 * references, 1000).isnan().all()


def test_a_silent_window_is_nan_for_all_sources():
    estimates, references = signals()
    estimates[1, :, 1000:2000] = 0
    found = bss_eval_v4(estimates, references, 1000, filter_length=4)
    for score in found:
        assert score[:, 1].isnan().all() and torch.isfinite(score[:, [0, 2]]).all()


def test_usdr_has_an_epsilon():
    reference = noise(4, 2, 1000)
    estimate = reference + 0.1 * noise(4, 2, 1000, seed=1)
    torch.testing.assert_close(
        usdr(estimate, reference), snr(estimate.flatten(-2), reference.flatten(-2))
    )
    silent = torch.zeros(1, 10)
    assert usdr(silent, silent) == 0
    assert usdr(torch.ones(1, 10), silent).item() == pytest.approx(-80, abs=1e-3)
    assert usdr(torch.ones(1, 10), torch.ones(1, 10)).item() == pytest.approx(80, abs=1e-3)
    with pytest.raises(InputError, match="channels"):
        usdr(torch.ones(10), torch.ones(10))


@pytest.mark.parametrize("filter_length", [0, -1, 2.5])
def test_bad_arguments(filter_length):
    good = noise(2, 2, 100)
    with pytest.raises(InputError, match="filter_length"):
        bss_eval(good, good, filter_length)
    with pytest.raises(InputError, match="sources, channels, time"):
        bss_eval_v4(good[0], good[0], 100)
    with pytest.raises(InputError, match="sources, time"):
        bss_eval(good[0, 0], good[0, 0])
    with pytest.raises(InputError, match="positive numbers"):
        bss_eval_v4(good, good, 100, hop=0.0)
