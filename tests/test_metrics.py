"""The energy ratios, STOI and PESQ against their definitions and the reference packages."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InputError, MissingPackageError
from lib.metrics import (
    bss_eval,
    improvement,
    mos_lqo_to_pesq,
    pesq,
    pesq_to_mos_lqo,
    sd_sdr,
    si_decomposition,
    si_sdr,
    si_snr,
    snr,
    stoi,
    stoi_segment_correlation,
    usdr,
)
from lib.metrics.stoi import resample_to_10k

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def speech_like(*shape, seed=0):
    """Noise with a falling spectrum, in syllables and pauses."""
    signal = noise(*shape, seed=seed)
    spectrum = torch.fft.rfft(signal)
    signal = torch.fft.irfft(
        spectrum / (1 + torch.linspace(0, 60, spectrum.shape[-1]) ** 2), shape[-1]
    )
    gates = torch.rand(
        *shape[:-1], shape[-1] // 800 + 1, generator=torch.Generator().manual_seed(seed)
    )
    return signal * (gates > 0.4).repeat_interleave(800, -1)[..., : shape[-1]]


KINDS = {"random": noise, "speech-like": speech_like}
ENERGY_RATIOS = [snr, si_sdr, si_snr, sd_sdr]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_energy_ratios_equal_torchmetrics(kind, dtype, device):
    audio = pytest.importorskip("torchmetrics.functional.audio")
    reference = KINDS[kind](3, 2, 8000)
    estimate = (reference + 0.1 * reference.std() * noise(3, 2, 8000, seed=1) + 0.01).to(dtype)
    reference = reference.to(dtype)
    for ours, theirs in (
        (snr(estimate, reference), audio.signal_noise_ratio),
        (
            snr(estimate, reference, zero_mean=True),
            lambda e, r: audio.signal_noise_ratio(e, r, True),
        ),
        (si_sdr(estimate, reference), audio.scale_invariant_signal_distortion_ratio),
        (si_snr(estimate, reference), audio.scale_invariant_signal_noise_ratio),
    ):
        expected = theirs(estimate.double(), reference.double())
        assert ours.shape == (3, 2) and ours.dtype == dtype
        torch.testing.assert_close(ours.double(), expected, atol=1e-4, rtol=0)
    on_device = si_sdr(estimate.to(device), reference.to(device)).cpu()
    torch.testing.assert_close(on_device, si_sdr(estimate, reference), atol=1e-4, rtol=0)


@given(seed=st.integers(0, 10000), gain=st.floats(1e-3, 1e3), offset=st.floats(-3, 3))
def test_invariances(seed, gain, offset):
    estimate, reference = noise(2, 200, seed=seed)
    expected = si_sdr(estimate, reference).item()
    assert si_sdr(gain * estimate, reference).item() == pytest.approx(expected, abs=1e-7)
    assert si_sdr(-estimate, gain * reference).item() == pytest.approx(expected, abs=1e-7)
    moved = si_snr(estimate + offset, reference - 2 * offset).item()
    assert moved == pytest.approx(si_snr(estimate, reference).item(), abs=1e-7)
    assert sd_sdr(estimate, reference).item() <= expected + 1e-9
    rho = torch.corrcoef(torch.stack([estimate, reference]))[0, 1] ** 2
    assert si_snr(estimate, reference).item() == pytest.approx(
        10 * math.log10(rho / (1 - rho)), abs=1e-7
    )


def test_mean_removal_forgives_an_offset_and_the_projection_a_gain():
    reference = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64).repeat(100)
    estimate = reference + 0.3 * torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(100)
    assert si_sdr(7 * estimate, reference) == pytest.approx(si_sdr(estimate, reference).item())
    assert si_sdr(estimate + 0.5, reference) < si_sdr(estimate, reference) - 3
    assert si_snr(estimate + 0.5, reference) == pytest.approx(si_sdr(estimate, reference).item())
    assert si_snr(estimate + 0.5, reference, zero_mean=False) == si_sdr(estimate + 0.5, reference)


@given(seed=st.integers(0, 10000), sources=st.integers(1, 4))
def test_the_decomposition_adds_up(seed, sources):
    estimates, references = noise(2, sources, 60, seed=seed)
    scores = si_decomposition(estimates, references)
    power = [10 ** (-score / 10) for score in scores]
    torch.testing.assert_close(power[0], power[1] + power[2])
    torch.testing.assert_close(scores.si_sdr, si_sdr(estimates, references))
    # with one tap, version 3 makes the same projections; its SAR counts the interference as signal
    v3 = bss_eval(estimates, references, filter_length=1)
    torch.testing.assert_close(v3.sdr, scores.si_sdr)
    if sources > 1:
        torch.testing.assert_close(v3.sir, scores.si_sir)


def test_the_decomposition_survives_equal_and_silent_references():
    references = noise(3, 500)
    references[1] = references[0]
    references[2] = 0
    scores = si_decomposition(references + 0.1 * noise(3, 500, seed=1), references)
    assert torch.isfinite(scores.si_sar[:2]).all() and scores.si_sdr[2].isnan()
    assert (scores.si_sir[:2] > 200).all()
    with pytest.raises(InputError, match="sources, time"):
        si_decomposition(references[0], references[0])


@pytest.mark.parametrize("metric", ENERGY_RATIOS)
def test_silence_has_a_defined_result_and_spoils_no_batch(metric):
    reference, estimate = noise(4, 100), noise(4, 100, seed=1)
    reference[0] = 0
    estimate[1] = 0
    estimate[2] = reference[2]
    scores = metric(estimate.requires_grad_(), reference)
    assert scores[0].isnan()
    assert scores[1].item() == (pytest.approx(0) if metric is snr else -math.inf)
    assert scores[2] > 250
    assert torch.equal(scores[3], metric(estimate[3], reference[3]))
    scores[3].backward()
    assert torch.isfinite(estimate.grad).all() and estimate.grad[3].any()


def test_a_constant_is_silence_once_its_mean_is_gone():
    reference, constant = noise(1000), torch.full((1000,), 0.1, dtype=torch.float64)
    assert si_snr(reference, constant).isnan()
    assert si_snr(constant, reference) == -math.inf


@pytest.mark.parametrize("metric", ENERGY_RATIOS)
def test_energy_ratios_are_differentiable(metric):
    estimate, reference = (signal.requires_grad_() for signal in noise(2, 3, 6).unbind())
    assert torch.autograd.gradcheck(metric, (estimate, reference))


@pytest.mark.parametrize("metric", [*ENERGY_RATIOS, si_decomposition, bss_eval, usdr])
def test_metrics_refuse_what_they_cannot_compare(metric):
    good = torch.ones(2, 9)
    for estimate, message in (
        (np.ones((2, 9)), "torch.from_numpy"),
        (torch.ones(2, 8), "equal shapes"),
        (torch.ones(2, 9, dtype=torch.int64), "floating-point"),
        (torch.full((2, 9), math.nan), "finite"),
        (torch.ones(2, 0), "at least one sample"),
    ):
        with pytest.raises(InputError, match=message):
            metric(estimate, good)


def test_half_precision_is_scored_in_more():
    reference = noise(500)
    score = si_sdr((reference + 0.01).half(), reference.half())
    assert score.dtype == torch.float32 and torch.isfinite(score)


def test_improvement_over_the_mixture():
    references = noise(2, 3, 4000)
    mixture = references.sum(-2, keepdim=True)
    estimates = references + 0.1 * mixture
    found = improvement(si_sdr, estimates, mixture, references, zero_mean=True)
    expected = si_snr(estimates, references) - si_snr(mixture.expand(2, 3, -1), references)
    torch.testing.assert_close(found, expected)
    fields = improvement(bss_eval, estimates, mixture, references, filter_length=4)
    assert fields.sdr.shape == (2, 3) and (fields.sdr > 10).all()
    with pytest.raises(InputError, match="mixture: expected a shape that broadcasts"):
        improvement(snr, estimates, torch.ones(2, 4000), references)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("sample_rate", [8000, 10000, 16000, 22050, 44100])
@pytest.mark.parametrize("kind", KINDS)
def test_stoi_equals_pystoi(kind, sample_rate, extended):
    pystoi = pytest.importorskip("pystoi")
    reference = KINDS[kind](2, 2 * sample_rate + 7)
    estimate = reference + reference.std() * noise(*reference.shape, seed=1)
    expected = torch.tensor(
        [
            pystoi.stoi(r.numpy(), e.numpy(), sample_rate, extended)
            for e, r in zip(estimate, reference, strict=True)
        ]
    )
    found = stoi(estimate, reference, sample_rate, extended)
    torch.testing.assert_close(found, expected.double(), atol=1e-9, rtol=0)
    single = stoi(estimate.float(), reference.float(), sample_rate, extended)
    torch.testing.assert_close(single, expected.float(), atol=1e-6, rtol=0)


def test_the_resampler_is_octaves():
    utils = pytest.importorskip("pystoi.utils")
    for sample_rate in (8000, 11025, 16000, 48000):
        signal = noise(1501)
        expected = utils.resample_oct(signal.numpy(), 10000, sample_rate)
        np.testing.assert_allclose(resample_to_10k(signal, sample_rate), expected, atol=1e-12)


def test_stoi_is_no_probability():
    reference = torch.rand(15, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    opposite = stoi_segment_correlation(reference.amax(-1, keepdim=True) - reference, reference)
    assert (opposite < -0.5).all() and (opposite >= -1).all()
    assert stoi_segment_correlation(torch.ones(30), reference[0].float()) == pytest.approx(
        0, abs=1e-6
    )


def test_stoi_of_silence_and_of_too_little():
    reference = speech_like(3, 16000)
    estimate = reference.clone()
    reference[0], estimate[1] = 0, 0
    scores = stoi(estimate, reference, 16000)
    assert scores[0].isnan() and scores[1] == 0 and scores[2] == pytest.approx(1)
    assert stoi(noise(100), noise(100), 16000).isnan()
    assert stoi(noise(1), noise(1), 8000).isnan()
    with pytest.raises(InputError, match="sample_rate"):
        stoi(noise(100), noise(100), 0)


def test_stoi_has_gradients():
    reference = speech_like(8000)
    estimate = (reference + 0.3 * reference.std() * noise(8000, seed=1)).requires_grad_()
    stoi(estimate, reference, 10000).backward()
    assert torch.isfinite(estimate.grad).all()
    better = (estimate + 0.3 * estimate.grad / estimate.grad.norm()).detach()
    assert stoi(better, reference, 10000) > stoi(estimate, reference, 10000)


@pytest.mark.parametrize(("sample_rate", "mode"), [(8000, "nb"), (16000, "nb"), (16000, "wb")])
def test_pesq_is_the_packages(sample_rate, mode):
    package = pytest.importorskip("pesq")
    reference = speech_like(2, 2, 2 * sample_rate)
    estimate = reference + 0.3 * reference.std() * noise(*reference.shape, seed=1)
    found = pesq(estimate, reference, sample_rate, mode)
    assert found.shape == (2, 2)
    for index in np.ndindex(2, 2):
        clean, degraded = (s[index].float().numpy() for s in (reference, estimate))
        expected = package.pesq(sample_rate, clean, degraded, mode)
        assert found[index].item() == pytest.approx(expected)
    raw = pesq(estimate, reference, sample_rate, mode, raw=True)
    torch.testing.assert_close(pesq_to_mos_lqo(raw, mode), found)


def test_pesq_of_silence_and_nonsense(monkeypatch):
    pytest.importorskip("pesq")
    reference = speech_like(2, 16000)
    estimate = reference.clone()
    estimate[0] = 0
    scores = pesq(estimate, reference, 16000)
    assert scores[0].isnan() and scores[1] > 4.6
    for arguments, message in (
        ((44100,), "8000 or 16000"),
        ((8000, "wb"), "needs 16000"),
        ((16000, "swb"), "mode"),
    ):
        with pytest.raises(InputError, match=message):
            pesq(estimate, reference, *arguments)
    with pytest.raises(InputError, match="quarter of a second"):
        pesq(estimate[:, :100], reference[:, :100], 16000)
    monkeypatch.setitem(__import__("sys").modules, "pesq", None)
    with pytest.raises(MissingPackageError, match="pip install pesq"):
        pesq(estimate, reference, 16000)


def test_pesq_maps():
    raw = torch.tensor([-0.5, 4.5], dtype=torch.float64)
    assert pesq_to_mos_lqo(raw, "nb").tolist() == pytest.approx([1.017, 4.549], abs=5e-4)
    assert pesq_to_mos_lqo(raw, "wb").tolist() == pytest.approx([1.043, 4.644], abs=5e-4)
    for mode in ("nb", "wb"):
        torch.testing.assert_close(mos_lqo_to_pesq(pesq_to_mos_lqo(raw, mode), mode), raw)
    assert mos_lqo_to_pesq(0.5).isnan()
    with pytest.raises(InputError, match="mode"):
        pesq_to_mos_lqo(raw, "both")
