"""Chapter 22: what its text claims is true, of context, aliases, losses and the repaired table."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lib.checks.ch22 import printed_table
from lib.losses import mixture_consistency_penalty, project_to_mixture, si_snr_loss
from lib.models import WaveUNet
from lib.nn.wave_unet import UpSampling, valid_lengths
from lib.published import published

# ------------------------------------------------------------------ context


def test_what_goes_in_and_comes_out_differ_by_the_formula():
    for depth, down, up in ((1, 3, 1), (5, 15, 5), (8, 15, 5), (12, 15, 5)):
        needed, given = valid_lengths(5000, depth, down, up)
        assert needed - given == (down - 1) * (2 ** (depth + 1) - 1) + (up - 1) * (2**depth - 1)
        assert (given - up) % 2**depth == 0


def test_the_published_network_reads_nine_samples_for_one():
    needed, given = valid_lengths(16_384)
    assert round(needed / given) == 9
    assert 7 * 2**12 / 22_050 > 1  # zeros on each side at the lowest rate, in seconds
    assert 2.5 < 15 * 2**12 / 22_050 < 3
    assert 15 / 22_050 < 1e-3


@torch.no_grad()
def test_a_piece_is_answered_as_in_the_whole_only_with_its_context():
    torch.manual_seed(0)
    model = WaveUNet.tiny().double().eval()
    needed, given = valid_lengths(2000, *model.sizes)
    context = (needed - given) // 2
    start = -(-context // model.stride) * model.stride
    mixture = torch.randn(1, 1, 2 * start + 2 * needed, dtype=torch.float64)
    piece = slice(start, start + given)
    whole = model(mixture)[..., piece]
    around = mixture[..., start - context : start - context + needed]
    torch.testing.assert_close(model.predict(around), whole, atol=1e-12, rtol=0)
    error = (model(mixture[..., piece]) - whole)[0, 0, 0].square()
    inner = slice(context + model.stride, given - context - model.stride)
    assert error[inner].max() < 1e-20 < 1e-8 < error[:100].mean()


@torch.no_grad()
def test_only_a_whole_stride_leaves_the_answer_as_it_was():
    torch.manual_seed(0)
    model = WaveUNet.tiny().double().eval()
    mixture = torch.randn(1, 1, 4000, dtype=torch.float64)
    whole, inner = model(mixture), slice(1000, -1000)
    for shift in (1, 2, 8, model.stride):
        later = model(functional.pad(mixture, (shift, 0)))[..., shift:]
        same = torch.allclose(later[..., inner], whole[..., inner], atol=1e-12)
        assert same == (shift == model.stride)


# ------------------------------------------------------------------ resampling


def image_db(up, f):
    """The power of the image over that of the tone, by a whole number of their periods."""
    tone = torch.cos(2 * torch.pi * f * torch.arange(400, dtype=torch.float64))
    power = torch.fft.rfft(up(tone[None, None])[0, :, 20:740]).abs().square().mean(0)
    at = round(360 * f)
    return float(10 * (power[360 - at] / power[at] + 1e-30).log10())


@pytest.mark.parametrize("f", [1 / 36, 1 / 12, 1 / 4, 5 / 12])
def test_images_of_three_ways_to_double_a_rate(f):
    one = torch.ones(1, 1, 1).double()
    zeros = image_db(lambda x: functional.conv_transpose1d(x, one, stride=2), f)
    assert zeros == pytest.approx(0, abs=1e-6)
    assert image_db(UpSampling(1), f) == pytest.approx(40 * math.log10(math.tan(math.pi * f / 2)))


def test_a_constant_stays_one_in_the_interpolations_and_not_in_a_drawn_kernel():
    torch.manual_seed(0)
    drawn = torch.randn(1, 200, 5).double()
    learned = UpSampling(1, learned=True).double().requires_grad_(False)
    nn.init.normal_(learned.weight)
    assert image_db(UpSampling(1), 0.0) < -200
    assert image_db(learned, 0.0) < -200
    assert image_db(lambda x: functional.conv_transpose1d(x, drawn, stride=2), 0.0) > -10


@torch.no_grad()
@pytest.mark.parametrize("way", ["linear", "transposed"])
def test_the_answer_to_a_constant(way):
    torch.manual_seed(0)
    model = WaveUNet.tiny().double().eval()
    if way == "transposed":
        widths = [layer.in_channels - layer.out_channels for layer in model.up]
        model.upsample = nn.ModuleList(
            nn.ConvTranspose1d(width, width, 3, stride=2, padding=1).double() for width in widths
        )
    given = torch.full((1, 1, valid_lengths(1000, *model.sizes).input), 0.1).double()
    varies = float(model.predict(given)[0, 0, 0].var() / 0.01)
    assert varies < 1e-25 if way == "linear" else varies > 1e-6


# ------------------------------------------------------------------ the objective


def test_si_snr_only_lengthens_and_mse_grows_with_the_square_of_the_level():
    torch.manual_seed(22)
    voice, noise = torch.randn(2, 1, 1, 2000, dtype=torch.float64)
    estimate = voice + 0.5 * noise
    for size in (1.0, 100.0, 1e4):
        moved = estimate.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(si_snr_loss(moved, voice).sum(), moved)
        assert abs(functional.cosine_similarity(gradient.flatten(), estimate.flatten(), 0)) < 1e-9
        assert (estimate - size * gradient).norm() > estimate.norm()
    error = (estimate - voice).square().mean()
    assert (10 * estimate - 10 * voice).square().mean() == pytest.approx(float(100 * error))
    torch.testing.assert_close(si_snr_loss(10 * estimate, voice), si_snr_loss(estimate, voice))


def test_the_gate_and_the_two_ways_to_consistency():
    torch.manual_seed(0)
    voice, noise = torch.randn(2, 1, 1, 2000)
    silent = torch.zeros_like(voice)
    assert torch.isnan((voice * silent).sum() / silent.square().sum())
    assert not si_snr_loss(voice, silent, silence_db=-60).any()
    estimates = torch.stack([voice, 0.5 * noise], 1)
    mixture = voice + noise
    assert mixture_consistency_penalty(estimates, mixture) > 0.05
    projected = project_to_mixture(estimates, mixture)
    assert mixture_consistency_penalty(projected, mixture) < 1e-10


# ------------------------------------------------------------------ the published table


def sdr(rows):
    """The medians of SDR of some printed rows, by training data."""
    return {data: numbers[2] for _, data, *numbers in rows}


def test_what_the_text_reads_in_the_table():
    wave, spectrogram = sdr(printed_table()[:7]), sdr(printed_table()[7:12])
    assert 0 < wave["DA-F"] - spectrogram["DA-F"] < 1.72 / 7  # a seventh of the smaller MAD
    assert wave["DA-F"] - wave["DA"] > wave["DA"] - wave["no-DA"] > 0.5
    assert max(wave[one] - wave["no-DA"] for one in ("Stretch", "Env.", "Pitch")) < 0.2
    assert spectrogram["Pitch-F"] == spectrogram["DA-F"] > spectrogram["no-DA-F"] + 0.5
    without = {label: numbers for label, _, *numbers in printed_table()[13:]}
    others = [numbers for _, _, *numbers in printed_table()[7:12]]
    assert without["no-mask"][1] > max(sir for _, sir, _ in others)
    assert without["no-mask"][0] < min(sar for sar, _, _ in others)
    assert spectrogram["DA-F"] - without["no-skip"][2] > 1.5
    stems = published("MUSDB18", "SDR (cSDR, BSSEval v4)", "Wave-U-Net")
    assert stems.split_or_condition.iloc[-1].startswith("test, vocals")
    assert stems.value.iloc[-1] < wave["no-DA"] - 0.5


def test_the_labels_that_mislead():
    table = published("MUSDB18", "SDR (bss_eval, median)")
    table = table[table["source_paper"].str.contains("Cohen-Hadria")]
    best = table[table["split_or_condition"].str.endswith("all DA, full (DA-F)")].iloc[0]
    stollers = table[table["system"].str.contains("Stoller")].iloc[0]
    displaced, below = printed_table()[5:7]
    assert displaced[0] == "W [9]" and displaced[4] == best["value"] and best["std"] == 1.72
    assert (
        below[0] == "" and below[4] == stollers["value"] and "no DA" in stollers.split_or_condition
    )
    assert not table["verified"].any()  # the title of the figure says so
    assert printed_table()[12][0] == "U [8]"
    means = published("MedleyDB", system="Jansson")
    assert set(means["metric"]) == {"SAR (bss_eval, mean)", "SIR (bss_eval, mean)"}
