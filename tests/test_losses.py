"""Losses: their values by hand, their gradients, silence, levels, and the objectives."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lib import losses, masks
from lib.errors import InputError
from lib.losses import make_objective
from lib.losses.precision import full_precision
from lib.metrics import si_snr, snr
from lib.stft import STFT


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


WAVEFORM = [
    losses.si_snr_loss,
    losses.snr_loss,
    losses.l1_loss,
    losses.multi_resolution_stft_loss,
]


# ---- waveforms


@pytest.mark.parametrize("level_db", [-20, 0, 30])
def test_ratios_are_the_negative_metrics(level_db):
    reference = random(3, 2, 800)
    estimate = reference + 10 ** (-level_db / 20) * random(3, 2, 800, seed=1)
    expected = si_snr(estimate, reference)
    torch.testing.assert_close(
        losses.si_snr_loss(estimate, reference), -expected, atol=1e-3, rtol=0
    )
    expected = snr(estimate, reference)
    torch.testing.assert_close(losses.snr_loss(estimate, reference), -expected, atol=1e-3, rtol=0)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-4, 4).map(lambda power: 10.0**power),
    st.floats(-4, 4).map(lambda power: 10.0**power),
    st.booleans(),
    st.floats(-1, 1),
)
def test_si_snr_knows_no_scale_and_no_sign(estimate_scale, reference_scale, negative, offset):
    reference = random(500, dtype=torch.float32)
    estimate = reference + 0.1 * random(500, seed=1, dtype=torch.float32)
    base = losses.si_snr_loss(estimate, reference)
    scale = -estimate_scale if negative else estimate_scale
    scaled = losses.si_snr_loss(scale * (estimate + offset), reference_scale * reference)
    assert scaled.item() == pytest.approx(base.item(), abs=1e-2)


def test_mean_counts_only_if_asked():
    reference = random(500)
    assert losses.si_snr_loss(reference + 3, reference) < -60
    assert losses.si_snr_loss(reference + 3, reference, zero_mean=False) > 0


@pytest.mark.parametrize("loss", [losses.si_snr_loss, losses.snr_loss])
def test_soft_threshold_bounds_the_ratio_and_fades_the_gradient(loss):
    reference = random(1000)
    error = random(1000, seed=1)
    # at a ratio equal to the threshold, half of the floor is the threshold's
    at_limit = reference + 10 ** (-30 / 20) * error
    bounded, free = loss(at_limit, reference, max_db=30.0), loss(at_limit, reference)
    assert (bounded - free).item() == pytest.approx(3.0, abs=0.2)
    assert loss(reference, reference, max_db=30.0).item() == pytest.approx(-30.0, abs=0.01)

    def slope(distance_db, **options):
        scale = torch.tensor(10.0 ** (-distance_db / 20), dtype=torch.float64, requires_grad=True)
        loss(reference + scale * error, reference, **options).backward()
        return scale.grad.item()

    assert slope(50, max_db=30.0) < 0.05 * slope(50)
    assert slope(0, max_db=30.0) == pytest.approx(slope(0), rel=0.01)


@pytest.mark.parametrize("loss", WAVEFORM)
def test_gradients_of_waveform_losses(loss):
    estimate = random(2, 60).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda e: loss(e, random(2, 60, seed=1)), estimate, eps=1e-7, atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("loss", [losses.si_snr_loss, losses.snr_loss])
def test_gradients_of_pairs_with_an_offset_in_both_signals(loss):
    estimates = (random(2, 3, 1, 30) + 0.5).requires_grad_()
    references = (random(2, 1, 2, 30, seed=1) - 0.5).requires_grad_()
    assert torch.autograd.gradcheck(loss, (estimates, references), eps=1e-7, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("loss", [losses.si_snr_loss, losses.snr_loss])
def test_long_signals_are_added_up_whole(loss):
    time = 200_000  # more than are taken at once
    reference = random(2, time, dtype=torch.float32) + 0.1
    estimate = (reference + random(2, time, seed=1, dtype=torch.float32)).requires_grad_()
    metric = si_snr if loss is losses.si_snr_loss else snr
    exact = estimate.detach().double().requires_grad_()
    expected = -metric(exact, reference.double())
    found = loss(estimate, reference.double())  # of two types
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    (slope,) = torch.autograd.grad(found.sum(), estimate)
    (expected,) = torch.autograd.grad(expected.sum(), exact)
    torch.testing.assert_close(slope.double(), expected, atol=1e-9, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", WAVEFORM)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_silence_constants_and_levels_have_finite_losses_and_gradients(loss, scale, dtype):
    noise, other = scale * random(800, dtype=dtype), scale * random(800, seed=1, dtype=dtype)
    silence, constant = torch.zeros_like(noise), torch.full_like(noise, scale)
    signals = [noise, other, silence, constant, noise + constant]
    estimates = torch.stack([one for one in signals for _ in signals]).requires_grad_()
    references = torch.stack(signals).repeat(len(signals), 1)
    values = loss(estimates, references)
    values.sum().backward()
    assert values.isfinite().all()
    assert estimates.grad.isfinite().all()
    assert values.dtype == dtype


@pytest.mark.parametrize("loss", [losses.si_snr_loss, losses.snr_loss])
def test_a_silent_reference_is_worth_0_and_does_not_pull(loss):
    estimate = random(2, 500).requires_grad_()
    references = random(2, 500, seed=1)
    references[1] = 0
    values = loss(estimate, references)
    values.sum().backward()
    assert values[1] == 0
    assert estimate.grad[1].abs().max() == 0
    assert estimate.grad[0].abs().max() > 0


def test_the_silence_gate_has_a_level():
    estimate, reference = random(500), random(500, seed=1)
    assert losses.si_snr_loss(estimate, 1e-3 * reference) != 0
    assert losses.si_snr_loss(estimate, 1e-3 * reference, silence_db=-50.0) == 0
    assert losses.snr_loss(estimate, 1e-3 * reference, silence_db=-50.0) == 0


def test_a_silent_estimate_is_no_answer():
    reference = random(500)
    silence = torch.zeros(500, dtype=torch.float64, requires_grad=True)
    assert losses.si_snr_loss(silence, reference).item() == pytest.approx(80.0, abs=0.01)
    losses.snr_loss(silence, reference).backward()
    assert losses.snr_loss(silence, reference).item() == pytest.approx(0.0, abs=1e-6)
    # towards the reference
    assert (silence.grad * reference).sum() < 0


@pytest.mark.parametrize("loss", WAVEFORM)
def test_waveform_losses_in_half_precision_count_in_float32(loss):
    estimate, reference = random(2, 800, dtype=torch.float32), random(2, 800, seed=1).float()
    exact = loss(estimate.bfloat16().float(), reference)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(estimate.bfloat16(), reference)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact)


def test_full_precision_leaves_autocast():
    left, right = random(4, 4, dtype=torch.float32), random(4, 4, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert (left @ right).dtype == torch.bfloat16
        assert full_precision(torch.matmul)(left, right).dtype == torch.float32
        assert full_precision(torch.matmul)(left.half(), other=right).dtype == torch.float32
        assert (left @ right).dtype == torch.bfloat16


def test_multi_resolution_stft_by_torch_stft():
    """The same sum from ``torch.stft``."""
    estimate, reference = random(4096), random(4096, seed=1)
    expected = []
    for n_fft, hop, length in zip((512, 1024, 2048), (50, 120, 240), (240, 600, 1200), strict=True):
        window = torch.hann_window(length, dtype=torch.float64)
        # zeros beyond the ends; frame 0 is centred on the first sample
        padded = functional.pad(torch.stack([estimate, reference]), (n_fft // 2, 2 * n_fft))
        spectrograms = torch.stft(
            padded, n_fft, hop, length, window, center=False, return_complex=True
        )
        ours, truth = spectrograms.abs()[..., : STFT(n_fft, hop).frames(4096)]
        ours, truth = ours.clamp_min(1e-7**0.5), truth.clamp_min(1e-7**0.5)
        convergence = (truth - ours).norm() / truth.norm()
        expected.append(convergence + (truth.log() - ours.log()).abs().mean())
    found = losses.multi_resolution_stft_loss(estimate, reference)
    torch.testing.assert_close(found, torch.stack(expected).mean())
    with pytest.raises(InputError, match="equally many, got 1, 3, 3"):
        losses.multi_resolution_stft_loss(estimate, reference, n_fft=(512,))


# ---- spectrograms

SPECTRAL = [
    losses.magnitude_loss,
    losses.power_loss,
    losses.log_loss,
    losses.mask_approximation_loss,
]


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_spectral_losses_by_hand(distance):
    power = {"l1": 1, "l2": 2}[distance]
    estimate, reference = random(2, 5, 7).abs(), random(2, 5, 7, seed=1, dtype=torch.complex128)
    mixture = random(5, 7, seed=2, dtype=torch.complex128)
    truth = reference.abs()

    def mean(difference):
        return (difference.abs() ** power).mean((1, 2))

    expected = {
        "magnitude": mean(estimate - truth),
        "power": mean(estimate**2 - truth**2),
        "log": mean(torch.log((estimate + 1e-3) / (truth + 1e-3))),
        "psm": mean(estimate - truth * torch.cos(reference.angle() - mixture.angle())),
        "signal": mean(estimate * mixture.abs() - truth),
        "mask": mean(estimate - truth),
    }
    found = {
        "magnitude": losses.magnitude_loss(estimate, reference, distance),
        "power": losses.power_loss(estimate, reference, distance),
        "log": losses.log_loss(estimate, reference, distance),
        "psm": losses.phase_sensitive_loss(estimate, reference, mixture, distance),
        "signal": losses.signal_approximation_loss(estimate, reference, mixture, distance),
        "mask": losses.mask_approximation_loss(estimate, truth, distance),
    }
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["psm", "npsm", "tpsm"])
def test_phase_sensitive_target_is_the_mask_times_the_mixture(kind):
    sources = random(1, 2, 5, 7, dtype=torch.complex128)
    mixture = sources.sum(1)
    found = losses.phase_sensitive_magnitude(sources, mixture[:, None], kind)
    mask = {
        "psm": masks.phase_sensitive_mask(sources),
        "npsm": masks.nonnegative_phase_sensitive_mask(sources),
        "tpsm": masks.nonnegative_phase_sensitive_mask(sources, clip=1.0),
    }[kind]
    torch.testing.assert_close(found, mask * mixture.abs()[:, None])


def test_phase_sensitive_loss_is_the_complex_error_but_for_a_constant():
    reference, mixture = random(2, 5, 7, dtype=torch.complex128)
    error, constant = [], []
    for seed in (1, 2):
        magnitude = random(5, 7, seed=seed)
        estimate = magnitude * torch.sgn(mixture)
        error.append((estimate - reference).abs().square().mean())
        constant.append(error[-1] - losses.phase_sensitive_loss(magnitude, reference, mixture))
    assert error[0] != pytest.approx(error[1].item())
    assert constant[0].item() == pytest.approx(constant[1].item())


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("loss", SPECTRAL)
def test_gradients_of_spectral_losses(loss, distance):
    estimate = random(2, 4, 5).requires_grad_()
    reference = random(2, 4, 5, seed=1).abs()
    assert torch.autograd.gradcheck(lambda e: loss(e, reference, distance), estimate)
    silence = torch.zeros(4, 5, dtype=torch.complex64, requires_grad=True)
    if loss is not losses.mask_approximation_loss:
        loss(silence, torch.zeros(4, 5), distance).backward()
        assert torch.view_as_real(silence.grad).isfinite().all()


def test_gradients_of_masked_losses():
    reference, mixture = random(2, 4, 5, dtype=torch.complex128)
    mask = random(4, 5).requires_grad_()
    for loss in (losses.signal_approximation_loss, losses.phase_sensitive_loss):
        assert torch.autograd.gradcheck(lambda m, f=loss: f(m, reference, mixture), mask)


def test_l1_fits_the_median_and_l2_the_mean():
    """A target of 0 in two of three cases and of 1 in the third."""
    target = torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(3, 1, 1)
    guesses = torch.linspace(0, 1, 301)
    best = {}
    for distance in ("l1", "l2"):
        estimate = guesses[:, None, None, None].expand(-1, 3, 1, 1)
        values = losses.magnitude_loss(estimate, target.expand(estimate.shape), distance).mean(1)
        best[distance] = guesses[values.argmin()].item()
    assert best["l1"] == pytest.approx(0.0, abs=1e-3)
    assert best["l2"] == pytest.approx(1 / 3, abs=2e-3)


def test_spectral_losses_refuse_what_does_not_fit():
    with pytest.raises(InputError, match="^distance: expected one of l1, l2, got 'l3'"):
        losses.magnitude_loss(torch.zeros(2, 2), torch.zeros(2, 2), "l3")
    with pytest.raises(InputError, match="^estimate and reference"):
        losses.power_loss(torch.zeros(2, 2), torch.zeros(2, 3))
    with pytest.raises(InputError, match="^mixture: expected a complex"):
        losses.phase_sensitive_magnitude(torch.zeros(2, 2) * 1j, torch.zeros(2, 2))
    with pytest.raises(InputError, match="psm, npsm, tpsm, got 'irm'"):
        losses.phase_sensitive_magnitude(torch.zeros(2, 2), torch.zeros(2, 2), "irm")


@pytest.mark.parametrize("loss", [*WAVEFORM, *SPECTRAL])
def test_losses_broadcast(loss):
    estimates, references = random(2, 3, 1, 600, 4).abs(), random(2, 1, 2, 600, 4, seed=1).abs()
    if loss in WAVEFORM:
        estimates, references = estimates[..., 0], references[..., 0]
    shape = (2, 3, 2, *estimates.shape[3:])
    found = loss(estimates, references)
    torch.testing.assert_close(found, loss(estimates.expand(shape), references.expand(shape)))
    for bad in (references[0], references[..., :1]):
        with pytest.raises(InputError, match="expected equal shapes"):
            loss(estimates, bad)


# ---- consistency


@pytest.mark.parametrize("weights", ["uniform", "power"])
def test_projection_is_consistent_idempotent_and_differentiable(weights):
    mixture, estimates = random(2, 1, 30), random(2, 3, 1, 30, seed=1)
    estimates[0, 2] = 0
    once = losses.project_to_mixture(estimates, mixture, weights)
    torch.testing.assert_close(once.sum(1), mixture)
    torch.testing.assert_close(losses.project_to_mixture(once, mixture, weights), once)
    assert losses.mixture_consistency_penalty(once, mixture).max() < 1e-20
    assert (once[0, 2] == 0).all() == (weights == "power")
    silent = torch.zeros_like(estimates)
    torch.testing.assert_close(
        losses.project_to_mixture(silent, mixture, weights),
        mixture[:, None].expand(-1, 3, -1, -1) / 3,
    )
    assert torch.autograd.gradcheck(
        lambda e: losses.project_to_mixture(e, mixture[..., :5], weights),
        random(2, 3, 1, 5).requires_grad_(),
    )


def test_uniform_projection_is_the_least_change():
    mixture, estimates = random(1, 1, 30), random(1, 2, 1, 30, seed=1)
    uniform = (losses.project_to_mixture(estimates, mixture) - estimates).square().sum()
    by_power = (losses.project_to_mixture(estimates, mixture, "power") - estimates).square().sum()
    assert uniform < by_power


def test_consistency_penalty_knows_no_level():
    mixture, estimates = random(2, 2, 30), random(2, 3, 2, 30, seed=1)
    values = losses.mixture_consistency_penalty(estimates, mixture)
    residual = (mixture - estimates.sum(1)).square().sum((1, 2)) / mixture.square().sum((1, 2))
    torch.testing.assert_close(values, residual)
    louder = losses.mixture_consistency_penalty(100 * estimates, 100 * mixture)
    torch.testing.assert_close(louder, values)
    assert losses.mixture_consistency_penalty(0 * estimates, 0 * mixture).abs().max() == 0
    with pytest.raises(InputError, match="^estimates and mixture"):
        losses.mixture_consistency_penalty(estimates, mixture[:, :1])
    with pytest.raises(InputError, match="^weights"):
        losses.project_to_mixture(estimates, mixture, "phase")


# ---- deep clustering


def naive_deep_clustering(v, y, w):
    """With the N x N matrices."""
    affinity = v @ v.transpose(1, 2) - y @ y.transpose(1, 2)
    pairs = w[:, :, None] * w[:, None]
    return (pairs * affinity.square()).sum((1, 2)) / w.sum(1) ** 2


def clusters(points=200, dimensions=20, sources=3, batch=2):
    v = functional.normalize(random(batch, points, dimensions), dim=-1)
    owner = torch.randint(sources, (batch, points), generator=torch.Generator().manual_seed(1))
    return v, functional.one_hot(owner, sources).double()


@pytest.mark.parametrize("weighting", ["none", "active", "any"])
def test_deep_clustering_equals_the_naive_form(weighting):
    v, y = clusters()
    w = random(2, 200, seed=2).abs()
    w = {"none": None, "active": (w > 0.5).double(), "any": w}[weighting]
    found = losses.deep_clustering_loss(v, y, w)
    expected = naive_deep_clustering(v, y, torch.ones(2, 200).double() if w is None else w)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_deep_clustering_gradients_and_bounds():
    v, y = clusters(points=12, dimensions=3)
    w = random(2, 12, seed=2).abs()
    assert torch.autograd.gradcheck(
        lambda v, w: losses.deep_clustering_loss(v, y, w), (v.requires_grad_(), w.requires_grad_())
    )
    # a perfect embedding, whatever the order and rotation of the clusters, in float32
    y = clusters(points=5000, dimensions=3)[1].float()
    rotation = torch.linalg.qr(random(3, 3, seed=3))[0].float()
    perfect = losses.deep_clustering_loss(y @ rotation, y)
    assert (perfect >= 0).all()
    assert (perfect < 1e-5).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 4), st.integers(0, 999))
def test_deep_clustering_is_never_negative_nor_bound_to_an_order(points, dimensions, sources, seed):
    v = functional.normalize(random(1, points, dimensions, seed=seed).float(), dim=-1)
    owner = torch.randint(sources, (1, points), generator=torch.Generator().manual_seed(seed))
    y = functional.one_hot(owner, sources).float()
    loss = losses.deep_clustering_loss(v, y)
    assert loss >= 0
    shuffled = losses.deep_clustering_loss(v, y.flip(-1))
    torch.testing.assert_close(loss, shuffled)


def test_silent_points_do_not_count():
    v, y = clusters()
    w = torch.ones(2, 200).double()
    w[:, 100:] = 0
    whole = losses.deep_clustering_loss(v[:, :100], y[:, :100])
    v = v.clone()
    v[:, 100:] = 7.0
    torch.testing.assert_close(losses.deep_clustering_loss(v, y, w), whole)
    nothing = losses.deep_clustering_loss(v.requires_grad_(), y, 0 * w)
    nothing.sum().backward()
    assert (nothing == 0).all()
    assert v.grad.abs().max() == 0
    with pytest.raises(InputError, match="^embeddings, assignments, weights"):
        losses.deep_clustering_loss(v, y[:, 1:])


def test_deep_clustering_needs_no_matrix_of_pairs():
    """The naive form would need 2 x 40 GB here."""
    v = functional.normalize(torch.randn(1, 100_000, 4), dim=-1).requires_grad_()
    y = functional.one_hot(torch.arange(100_000)[None] % 2, 2).float()
    losses.deep_clustering_loss(v, y).sum().backward()
    assert v.grad.isfinite().all()


def test_points_are_counted_frame_by_frame():
    spectrogram = torch.zeros(1, 1, 3, 5)
    spectrogram[0, 0, 1, 4] = 1.0  # frequency 1, frame 4
    assert losses.active_points(spectrogram)[0].nonzero().item() == 4 * 3 + 1
    sources = torch.stack([0.5 * torch.ones(1, 1, 3, 5), spectrogram], 1)
    assert losses.dominant_source(sources)[0, :, 1].nonzero().item() == 4 * 3 + 1


def test_active_points_lie_40_db_below_the_loudest_and_no_further():
    levels = torch.tensor([0.0, -39.0, -41.0, -200.0])
    spectrogram = 1e-3 * 10 ** (levels / 20)[None, None, None]
    assert losses.active_points(spectrogram).tolist() == [[1, 1, 0, 0]]
    assert losses.active_points(spectrogram, silence_db=-45.0).tolist() == [[1, 1, 1, 0]]
    assert losses.active_points(0 * spectrogram).tolist() == [[0, 0, 0, 0]]


# ---- objectives


class Toy:
    """Answers with fixed masks in a fixed order; knows all that objectives ask for."""

    any_order = True

    def __init__(self, mask, order=(0, 1)):
        self.encoder = STFT(64, 16)
        self.mask, self.order = mask, list(order)

    def __call__(self, mixture):
        return self.decode(self.spectra(self.encoder(mixture)), mixture.shape[-1])

    def decode(self, spectra, length):
        return self.encoder.inverse(spectra, length)

    def masker(self, spectrogram):
        return self.mask[:, self.order]

    def spectra(self, spectrogram):
        return self.masker(spectrogram) * spectrogram[:, None]

    def magnitudes(self, spectrogram):
        return self.masker(spectrogram) * spectrogram.abs()[:, None]

    def embeddings(self, spectrogram):
        shares = self.mask.mean(2).permute(0, 3, 2, 1).flatten(1, 2)  # (B, K * F, S)
        return functional.normalize(shares[..., self.order], dim=-1)

    def heads(self, spectrogram):
        return self.embeddings(spectrogram), self.magnitudes(spectrogram)

    def attractor_magnitudes(self, spectrogram, assignments):
        points = spectrogram.shape[-1] * spectrogram.shape[-2]
        assert assignments.shape == (len(spectrogram), points, 2)
        assert 0 < assignments.sum(-1).mean() < 1  # silent points belong to nobody
        return self.mask * spectrogram.abs()[:, None]


@pytest.fixture
def pair():
    """Two tones: what a mask can separate; 2 items, the second with its sources swapped."""
    time = torch.arange(400)
    tones = torch.stack([torch.sin(0.3 * time), 0.7 * torch.sin(1.7 * time)])[:, None]
    sources = torch.stack([tones, tones.flip(0)])  # (B, S, C, T)
    return sources.sum(1), sources


def ideal(pair, kind="psm", **options):
    mask, _, _ = masks.OracleMask(kind, STFT(64, 16), **options).masks(*pair)
    return mask


def test_every_objective_gives_one_loss_per_item(pair):
    model = Toy(ideal(pair, "wfm").requires_grad_())
    for name in losses.OBJECTIVES:
        values = make_objective(name)(model, *pair)
        assert values.shape == (2,)
        assert values.dtype == torch.float32
        (gradient,) = torch.autograd.grad(values.sum(), model.mask)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0, name


PERMUTED = [
    ("waveform", {"loss": "si_snr"}),
    ("waveform", {"loss": "l1"}),
    ("spectrogram", {"target": "psm"}),
    ("spectrogram", {"scale": "log"}),
    ("spectrogram", {"scale": "power", "distance": "l2"}),
    ("mask", {"target": "ibm"}),
    ("mask", {"target": "am"}),
]


@pytest.mark.parametrize(("name", "options"), PERMUTED)
def test_with_permutation_the_order_of_outputs_means_nothing(pair, name, options):
    mask = ideal(pair, "irm")

    def value(order, permutation):
        objective = make_objective(name, **options, permutation=permutation)
        return objective(Toy(mask, order), *pair)

    torch.testing.assert_close(value((0, 1), "utterance"), value((1, 0), "utterance"))
    assert (value((0, 1), "none") < value((1, 0), "none")).all()
    torch.testing.assert_close(value((0, 1), "none"), value((0, 1), "utterance"))
    # not given, it follows the model
    torch.testing.assert_close(value((1, 0), None), value((1, 0), "utterance"))
    fixed = Toy(mask, (1, 0))
    fixed.any_order = False
    found = make_objective(name, **options)(fixed, *pair)
    torch.testing.assert_close(found, value((1, 0), "none"))


@pytest.mark.parametrize("stft_weight", [0.0, 0.1, 2.0])
def test_l1_stft_is_the_sum_of_its_terms_for_the_first_source(pair, stft_weight):
    """As it is in the authors' code: the STFT term is a mean over resolutions."""
    model, (mixture, sources) = Toy(ideal(pair, "irm")), pair
    found = make_objective("l1_stft", stft_weight=stft_weight)(model, mixture, sources)
    speech, target = model(mixture)[:, 0], sources[:, 0]
    spectral = losses.multi_resolution_stft_loss(speech, target)[:, 0]
    torch.testing.assert_close(found, (speech - target).abs().mean((1, 2)) + stft_weight * spectral)
    changed = torch.cat([sources[:, :1], 7 * sources[:, 1:]], 1)
    objective = make_objective("l1_stft", stft_weight=stft_weight)
    assert torch.equal(objective(model, mixture, changed), found)
    with pytest.raises(InputError, match="stft_weight: expected 0 or more, got -1"):
        make_objective("l1_stft", stft_weight=-1.0)


@pytest.mark.parametrize("name", ["spectrogram", "mask"])
def test_frame_level_assignments_forgive_swaps_between_frames(pair, name):
    mask = ideal(pair, "irm").clone()
    straight = make_objective(name, permutation="utterance")(Toy(mask), *pair)
    mask[..., ::2] = mask[..., ::2].flip(1)
    swapped = {
        level: make_objective(name, permutation=level)(Toy(mask), *pair)
        for level in ("frame", "utterance")
    }
    assert (swapped["frame"] <= straight + 1e-7).all()
    assert (swapped["utterance"] > 2 * straight).all()


TARGETS = ["magnitude", "psm", "npsm", "tpsm"]


@pytest.mark.parametrize("target", TARGETS)
def test_spectrogram_objective_is_0_for_the_ideal_mask(pair, target):
    kind = {"magnitude": "am", "tpsm": "npsm"}.get(target, target)
    options = {"clip": 1.0} if target == "tpsm" else {}
    perfect = Toy(ideal(pair, kind, **options), (1, 0))
    found = make_objective("spectrogram", target=target)(perfect, *pair)
    assert found.max() < 1e-5
    for other in TARGETS:
        if other != target:
            assert make_objective("spectrogram", target=other)(perfect, *pair).min() > 1e-5


@pytest.mark.parametrize("target", ["ibm", "irm", "wfm", "am", "psm", "npsm"])
def test_mask_objective_is_0_for_the_ideal_mask(pair, target):
    options = {"clip": 1.0} if target in ("am", "psm", "npsm") else {}
    perfect = Toy(ideal(pair, target, **options), (1, 0))
    assert make_objective("mask", target=target)(perfect, *pair).max() < 1e-10


def test_one_mask_serves_all_channels(pair):
    mixture, sources = (one.repeat_interleave(2, dim=-2) for one in pair)
    mono = Toy(ideal(pair, "irm"))
    found = make_objective("mask", target="irm")(mono, mixture, sources)
    torch.testing.assert_close(found, make_objective("mask", target="irm")(mono, *pair))


# but for l1, which has the unit of the signals
LEVEL_FREE = [one for one in PERMUTED if one[1] != {"loss": "l1"}]


@pytest.mark.parametrize(("name", "options"), [*LEVEL_FREE, ("chimera", {}), ("attractor", {})])
def test_objectives_weigh_loud_items_like_soft_ones(pair, name, options):
    model = Toy(ideal(pair, "irm"))
    base = make_objective(name, **options)(model, *pair)
    for scale in (1e-4, 1e4):
        scaled = make_objective(name, **options)(model, *(scale * one for one in pair))
        torch.testing.assert_close(scaled, base, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", sorted(losses.OBJECTIVES))
def test_objectives_survive_silence(pair, name):
    mixture, sources = (torch.zeros_like(one) for one in pair)
    mixture[0], sources[0] = pair[0][0], pair[1][0]
    model = Toy(ideal(pair, "irm").requires_grad_())
    model.attractor_magnitudes = lambda spectrogram, assignments: model.magnitudes(spectrogram)
    values = make_objective(name)(model, mixture, sources)
    (gradient,) = torch.autograd.grad(values.sum(), model.mask)
    assert values.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", sorted(losses.OBJECTIVES))
def test_objectives_under_autocast_count_in_float32(pair, name):
    model = Toy(ideal(pair, "irm"))
    exact = make_objective(name)(model, *pair)
    with torch.autocast("cpu", torch.bfloat16):
        found = make_objective(name)(model, *pair)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact)


def test_embeddings_of_the_dominant_source_are_perfect(pair):
    model = Toy(ideal(pair, "ibm"), (1, 0))
    assert make_objective("deep_clustering")(model, *pair).max() < 1e-6
    blind = Toy(torch.ones_like(model.mask))
    assert make_objective("deep_clustering")(blind, *pair).min() > 0.2


def test_chimera_is_the_weighted_sum_of_its_heads(pair):
    model = Toy(ideal(pair, "irm"), (1, 0))
    clustering = make_objective("deep_clustering")(model, *pair)
    inference = make_objective("spectrogram", target="tpsm")(model, *pair)
    for weight in (0.0, 0.3, 1.0):
        found = make_objective("chimera", embedding_weight=weight)(model, *pair)
        torch.testing.assert_close(found, weight * clustering + (1 - weight) * inference)


def test_unknown_names_options_and_values_name_the_allowed():
    with pytest.raises(InputError, match=r"^objective: .*attractor, chimera.*got 'wave'"):
        make_objective("wave")
    with pytest.raises(InputError, match=r"option of objective waveform: .*loss, permutation"):
        make_objective("waveform", pit=True)
    for name, objective in losses.OBJECTIVES.items():
        for field in dataclasses.fields(objective):
            if isinstance(field.default, (str, float)) or field.name == "permutation":
                with pytest.raises(InputError, match=rf"^{field.name}: .*got 'x'"):
                    make_objective(name, **{field.name: "x"})
    with pytest.raises(InputError, match="^scale"):
        make_objective("spectrogram", target="psm", scale="log")
    with pytest.raises(InputError, match="^embedding_weight"):
        make_objective("chimera", embedding_weight=math.nan)


def test_a_model_with_other_sources_is_refused(pair):
    mixture, sources = pair
    with pytest.raises(InputError, match=r"^sources: .*\(2, 2, 1, 400\), got \(2, 3, 1, 400\)"):
        make_objective("waveform", permutation="none")(
            lambda mixture: sources, mixture, torch.cat([sources, sources[:, :1]], 1)
        )


NEED_ESTIMATES_ONLY = {"l1_stft", "voice_and_noise", "waveform"}


@pytest.mark.parametrize("name", sorted(set(losses.OBJECTIVES) - NEED_ESTIMATES_ONLY))
def test_a_model_that_lacks_what_an_objective_compares_is_refused(pair, name):
    with pytest.raises(InputError, match="^objective: SimpleNamespace has no .*; take another"):
        make_objective(name)(SimpleNamespace(encoder=STFT(64, 16)), *pair)


def test_voice_and_noise_is_the_weighted_sum_of_its_terms(pair):
    mixture, sources = pair
    model = Toy(ideal(pair, "irm"))
    estimates = model(mixture)
    voice, noise = losses.si_snr_loss(estimates, sources)[..., 0].unbind(1)
    left = losses.mixture_consistency_penalty(estimates, mixture)
    found = make_objective("voice_and_noise", noise_weight=0.5, consistency=3.0)(model, *pair)
    torch.testing.assert_close(found, voice + 0.5 * noise + 3.0 * left)
    alone = make_objective("voice_and_noise", noise_weight=0.0, consistency=0.0)(model, *pair)
    torch.testing.assert_close(alone, voice)


def test_the_gate_leaves_out_a_silent_voice_and_the_level_is_held_by_the_sum(pair):
    mixture, sources = pair
    faint = torch.stack([1e-4 * sources[:, 0], mixture - 1e-4 * sources[:, 0]], 1)
    objective = make_objective("voice_and_noise", noise_weight=0.0, consistency=0.0)
    assert objective(lambda mixture: sources, mixture, faint).tolist() == [0.0, 0.0]
    louder = make_objective("voice_and_noise")
    exact, loud = louder(lambda _: sources, *pair), louder(lambda _: 1.5 * sources, *pair)
    torch.testing.assert_close(loud - exact, torch.full((2,), 10 * 0.25))


def test_a_margin_is_not_compared(pair):
    mixture, sources = pair
    wrong_ends = sources.clone()
    wrong_ends[..., :50] = wrong_ends[..., -50:] = 7.0
    found = make_objective("voice_and_noise", margin=50)(lambda _: wrong_ends, *pair)
    inner = (mixture[..., 50:-50], sources[..., 50:-50])
    expected = make_objective("voice_and_noise")(lambda _: inner[1], *inner)
    torch.testing.assert_close(found, expected)
    with pytest.raises(InputError, match="margin: expected less than half of the 400 samples"):
        make_objective("voice_and_noise", margin=200)(lambda _: sources, *pair)


def test_voice_and_noise_asks_for_two_sources(pair):
    mixture, sources = pair
    with pytest.raises(InputError, match="expected two, voice and noise"):
        make_objective("voice_and_noise")(lambda _: sources, mixture, sources[:, :1])
    with pytest.raises(InputError, match="noise_weight: expected 0 or more, got -1"):
        make_objective("voice_and_noise", noise_weight=-1.0)
