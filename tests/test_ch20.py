"""Chapter 20: what its text claims of phases, bounds, complex layers and tables is true."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from lib.data import NoisySpeech
from lib.masks import OracleMask, complex_ideal_ratio_mask
from lib.metrics import si_sdr
from lib.models import DCCRN, DCUNet
from lib.nn.complex import ComplexConv2d, CReLU, as_complex, as_pairs, bound_mask
from lib.published import published
from lib.stft import STFT

transform = STFT(512, 128)


@pytest.fixture(scope="module")
def batches():
    """Two mixtures at each of three levels: (mixtures, sources)."""
    drawn = {}
    for snr_db in (-10.0, 0.0, 10.0):
        few = list(NoisySpeech("test", items=2, seed=20, snr_db=snr_db, seconds=2.0))
        drawn[snr_db] = tuple(
            torch.stack([getattr(one, key) for one in few]) for key in ("mixture", "sources")
        )
    return drawn


def score(kind, batch, **options):
    estimates = OracleMask(kind, transform, **options)(*batch)[:, 0]
    return float(si_sdr(estimates, batch[1][:, 0]).mean())


# ------------------------------------------------------------------ the phase


def test_the_phase_of_a_loud_source_is_bounded_and_that_of_a_faint_one_is_not():
    speech, turn = torch.randn(2, 20_000, dtype=torch.complex128)
    turn = turn / turn.abs()
    for ratio in (0.1, 0.5, 0.9):
        mixture = speech + ratio * speech.abs() * turn
        error = torch.angle(mixture * speech.conj()).abs()
        bound = torch.asin(torch.tensor(ratio, dtype=torch.float64))
        assert 0.99 * bound < error.max() <= bound + 1e-9
    faint = torch.angle((speech + 100 * speech.abs() * turn) * speech.conj()).abs()
    assert torch.rad2deg(faint.median()) == pytest.approx(90, abs=3)


def test_turning_pays_at_every_level_and_bounds_cost(batches):
    for batch in batches.values():
        stick, disc = score("npsm", batch, clip=1.0), score("cirm", batch, bound=1.0)
        assert stick + 1 < disc < score("cirm", batch, bound=2.0) < score("cirm", batch, bound=10.0)
    falling = [score("cirm", batches[snr_db], bound=1.0) for snr_db in (10.0, 0.0, -10.0)]
    assert falling == sorted(falling, reverse=True)


def test_a_shortened_complex_mask_is_a_cut_length_with_the_true_phase(batches):
    mixtures, sources = batches[0.0]
    exact = OracleMask("am", transform, clip=1.0, true_phase=True)(mixtures, sources)
    shortened = OracleMask("cirm", transform, bound=1.0)(mixtures, sources)
    torch.testing.assert_close(shortened, exact, atol=1e-4, rtol=0)


def test_more_directions_are_worth_more(batches):
    mixtures, sources = batches[0.0]
    x, s = transform(mixtures[:, 0]), transform(sources[:, 0, 0])
    scores = []
    for directions in (1, 4, 8, 16):
        step = 2 * torch.pi / directions
        turn = (torch.angle(s * x.conj()) / step).round() * step
        estimates = transform.inverse(torch.polar(s.abs(), x.angle() + turn), mixtures.shape[-1])
        scores.append(float(si_sdr(estimates, sources[:, 0, 0]).mean()))
    assert scores[1] > scores[0] + 4
    for fewer, more in zip(scores[1:], scores[2:], strict=False):
        assert 2.5 < more - fewer < 6  # six would be half the error in every bin


def test_a_bound_of_one_costs_much_of_the_speech_and_one_of_two_little(batches):
    for batch in batches.values():
        speech, noise = transform(batch[1])[:, :, 0].unbind(1)
        modulus, energy = (speech / (speech + noise)).abs(), speech.abs().square()
        shares = [float(energy[modulus > bound].sum() / energy.sum()) for bound in (1, 2)]
        assert 0.25 < shares[0] < 0.6 and shares[1] < 0.1


def test_a_shift_of_one_sample_turns_a_quarter_circle_at_4_khz():
    time = torch.arange(4096, dtype=torch.float64) / 16_000
    tone = torch.sin(2 * torch.pi * 4000 * time)
    one, other = STFT(512, 128).double()(torch.stack([tone, tone.roll(1)]))[:, 128, 10:20]
    turned = torch.rad2deg(torch.angle(one * other.conj()))
    torch.testing.assert_close(turned, torch.full_like(turned, 90), atol=0.5, rtol=0)


# ------------------------------------------------------------------ bounds


def test_the_square_of_two_sigmoids_turns_left_only():
    outputs = 5 * torch.randn(1000, dtype=torch.complex128)
    masks = bound_mask(outputs, "sigmoid")
    angles = torch.rad2deg(masks.angle())
    assert angles.min() > 0 and angles.max() < 90
    assert (bound_mask(outputs, "tanh").angle() - outputs.angle()).abs().max() < 1e-9


def slopes(bound, output):
    """Singular values of the map from a network's output to the mask, largest first."""
    parts = torch.view_as_real(torch.tensor(output, dtype=torch.complex128))

    def mask_of(pair):
        return torch.view_as_real(bound_mask(torch.view_as_complex(pair), bound))

    return torch.linalg.svdvals(torch.autograd.functional.jacobian(mask_of, parts))


def test_behind_the_disc_a_wrong_mask_turns_but_does_not_soften():
    output = torch.tensor(-6.4 + 4.8j, dtype=torch.complex128, requires_grad=True)
    for _ in range(400):
        loss = (bound_mask(output) - (0.6 + 0.6j)).abs().square()
        output = (output - 0.3 * torch.autograd.grad(loss, output)[0]).detach().requires_grad_()
    mask = bound_mask(output.detach())
    assert torch.rad2deg(mask.angle()) == pytest.approx(45, abs=10)
    assert mask.abs() > 0.999


@pytest.mark.parametrize("modulus", [0.5, 2.0, 8.0])
def test_behind_the_disc_the_length_dies_and_the_angle_fades(modulus):
    around, outwards = slopes("tanh", modulus * (0.6 - 0.8j))
    r = torch.tensor(modulus, dtype=torch.float64)
    torch.testing.assert_close(around, r.tanh() / r)
    torch.testing.assert_close(outwards, 1 - r.tanh() ** 2, atol=1e-12, rtol=1e-6)


def test_at_zero_the_slope_is_one_and_that_of_an_angle_taken_apart_is_none():
    torch.testing.assert_close(slopes("tanh", 0j), torch.ones(2, dtype=torch.float64))
    output = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    modulus, angle = output.square().sum().sqrt(), torch.atan2(output[1], output[0])
    (slope,) = torch.autograd.grad(torch.tanh(modulus) * torch.cos(angle), output)
    assert not torch.isfinite(slope).all()


# ------------------------------------------------------------------ complex layers


@torch.no_grad()
def test_complex_layers_commute_with_a_turn_and_crelu_does_not():
    layer = ComplexConv2d(2, 3, 3, bias=False).double()
    free = nn.Conv2d(4, 6, 3, bias=False).double()
    signal = torch.randn(1, 2, 9, 9, dtype=torch.complex128)
    turn = torch.polar(*torch.tensor([1.0, 0.7], dtype=torch.float64))
    missed = {}
    for name, part in (
        ("complex", lambda z: as_complex(layer(as_pairs(z)))),
        ("real", lambda z: as_complex(free(as_pairs(z)))),
        ("crelu", CReLU()),
        ("bound", bound_mask),
    ):
        once, then = part(turn * signal), turn * part(signal)
        missed[name] = float((once - then).abs().square().mean() / then.abs().square().mean())
    assert max(missed["complex"], missed["bound"]) < 1e-20
    assert min(missed["real"], missed["crelu"]) > 0.05


def test_the_tie_halves_the_weights_of_convolutions():
    complex_one, free = ComplexConv2d(8, 16, 3, bias=False), nn.Conv2d(16, 32, 3, bias=False)
    assert 2 * complex_one.weight.numel() == free.weight.numel()
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in DCUNet.paper("20", arithmetic).parameters())
            for arithmetic in ("complex", "real")
        ]
    assert 1.95 < sizes[1] / sizes[0] < 2


def test_the_three_rivals_are_of_nearly_one_size():
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in DCUNet("10", filters, arithmetic=arithmetic).parameters())
            for filters, arithmetic in (
                ([4, 8, 16, 16, 16], "complex"),
                ([3, 5, 11, 12, 12], "real"),
            )
        ]
    assert sizes[1] / sizes[0] == pytest.approx(1, abs=0.05)


def test_four_real_convolutions():
    x, y, a, b = torch.randn(4, 1, 1, 5, 5, dtype=torch.float64)
    a, b = a[..., :3, :3], b[..., :3, :3]
    whole = functional.conv2d(torch.complex(x, y), torch.complex(a, b))
    real = functional.conv2d(x, a) - functional.conv2d(y, b)
    imaginary = functional.conv2d(x, b) + functional.conv2d(y, a)
    torch.testing.assert_close(torch.complex(real, imaginary), whole)


def test_masks_of_all_sources_sum_to_one():
    masks = complex_ideal_ratio_mask(torch.randn(2, 9, 8, dtype=torch.complex128))
    torch.testing.assert_close(masks.sum(0), torch.ones(9, 8, dtype=torch.complex128))


# ------------------------------------------------------------------ the published tables


def test_the_published_look_ahead_is_six_hops():
    rows = published("DNS Challenge 2020", "look-ahead", "DCCRN-")
    assert set(rows.value) == {6 * 100 / 16}
    assert DCCRN.paper().lookahead / 16 > 62


def pesq(system, condition):
    rows = published("DNS Challenge 2020 synthetic test set", "PESQ (narrow-band)", system)
    return float(rows[rows.split_or_condition == condition].value.iloc[0])


def test_what_the_text_reads_in_the_table_of_the_challenge():
    dry = [pesq(name, "no reverb") for name in ("DCUNET", "DCCRN-E [", "DCCRN-CL [")]
    assert max(dry) - min(dry) < 0.05
    rooms = {
        name: pesq(name, "with reverb")
        for name in ("Noisy", "NSNet", "DCUNET", "DCCRN-E [", "DCCRN-E-Aug", "DCCRN-CL [")
    }
    assert rooms["DCUNET"] < rooms["DCCRN-E ["] - 0.2
    assert rooms["DCCRN-E-Aug"] > rooms["DCCRN-CL ["] > rooms["DCCRN-E ["]


def test_what_the_text_reads_in_the_table_of_music():
    rows = published(metric="cSDR", verified=True)
    rows = rows[rows.source_paper.str.contains("Band-split")]
    gained = {}
    for stem in ("vocals", "drums", "bass", "other", "all"):
        part = rows[rows.split_or_condition == f"test, {stem}; MUSDB only"]
        value = part.drop_duplicates("system").set_index("system").value
        gained[stem] = value["CWS-PResUNet"] - value["ResUNetDecouple+"]
    assert max(abs(gained["vocals"]), abs(gained["all"])) < 0.1
    assert 0.4 < gained["other"] < 0.7
    assert -0.3 < gained["drums"] < 0 and -0.3 < gained["bass"] < 0
