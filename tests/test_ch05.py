"""Chapter 5: what its text claims is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from solutions import ch05 as solutions

from lib.errors import InputError
from lib.metrics import bss_eval, bss_eval_v4, sd_sdr, si_decomposition, si_sdr, si_snr, snr
from lib.published import published
from lib.widgets.projection_triangle import orthogonal_axes, projection_triangle


def pair(time: int = 4000, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, time, generator=generator, dtype=torch.float64)


# ------------------------------------------------------------------ exercises


def test_the_reference_solution_is_mir_eval():
    separation = pytest.importorskip("mir_eval.separation")
    references = pair(1500)
    estimate = references[0] + 0.2 * references[1].roll(2) + 0.1 * pair(1500, seed=1)[0]
    estimates = torch.stack([estimate, references[1]])
    sdr, sir, sar, _ = separation.bss_eval_sources(
        references.numpy(), estimates.numpy(), compute_permutation=False
    )
    ours = solutions.bss_eval(estimate, references, 512)
    np.testing.assert_allclose(ours, (sdr[0], sir[0], sar[0]), atol=1e-3)


# ------------------------------------------------------------------ what the chapter claims


def test_removing_the_mean_is_not_what_makes_it_scale_invariant():
    reference, noise = pair()
    estimate = reference + 0.3 * noise
    for zero_mean in (False, True):
        scores = [si_sdr(gain * estimate, reference, zero_mean=zero_mean) for gain in (1, 7, -0.1)]
        torch.testing.assert_close(torch.stack(scores), scores[0].expand(3))
    assert (si_sdr(estimate + 0.2, reference) - si_sdr(estimate, reference)).abs() > 0.1
    torch.testing.assert_close(si_snr(estimate + 0.2, reference), si_snr(estimate, reference))


def test_an_equaliser_costs_v3_nothing_and_v4_everything():
    generator = torch.Generator().manual_seed(0)
    references = torch.randn(2, 40000, generator=generator, dtype=torch.float64)
    taps = torch.tensor([1, 0, 0, 0.8, 0, -0.6], dtype=torch.float64)
    filtered = torch.nn.functional.conv1d(
        torch.nn.functional.pad(references[:, None], (5, 0)), taps.flip(0)[None, None]
    )[:, 0]
    assert bss_eval(filtered, references, 512).sdr.min() > 40
    # the exact values without noise of its own: power of the error is 0.64 + 0.36 = 1
    assert snr(filtered, references).abs().max() < 0.2
    images = bss_eval_v4(filtered[:, None], references[:, None], 8000, window=math.inf)
    torch.testing.assert_close(images.sdr[:, 0], snr(filtered, references))


@given(st.floats(-20, 60), st.floats(-20, 60))
def test_vincents_sar_adds_a_product_to_the_identity(sir_db, sar_db):
    """With SAR = |target + interference|^2 / |artifacts|^2: 1/SDR = 1/SIR + 1/SAR + 1/(SIR SAR)."""
    target, (interference, artifact) = 1.0, (10 ** (-sir_db / 20), None)
    artifact = math.sqrt((target + interference**2) * 10 ** (-sar_db / 10))
    references = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]], dtype=torch.float64)
    estimates = torch.tensor([[target, interference, artifact], [0, 1.0, 0]], dtype=torch.float64)
    sdr, sir, sar = (score[0] for score in bss_eval(estimates, references, 1))
    assert float(sir) == pytest.approx(sir_db, abs=1e-6)
    assert float(sar) == pytest.approx(sar_db, abs=1e-6)
    inverse = [10 ** (-float(score) / 10) for score in (sdr, sir, sar)]
    assert inverse[0] == pytest.approx(inverse[1] + inverse[2] + inverse[1] * inverse[2])
    parts = si_decomposition(estimates, references)
    assert float(parts.si_sdr[0]) == pytest.approx(
        solutions.sdr_from_parts(float(parts.si_sir[0]), float(parts.si_sar[0]))
    )


def test_the_lectures_demo_numbers_keep_the_rule_to_rounding():
    sdr, sir, sar = (
        published(metric=f"{name} (bss_eval)").value.tolist() for name in ("SDR", "SIR", "SAR")
    )
    assert len(sdr) == len(sir) == len(sar) == 7
    for printed, *parts in zip(sdr, sir, sar, strict=True):
        # each printed number stands for all that round to it
        low, high = (solutions.sdr_from_parts(*(p + half for p in parts)) for half in (-0.5, 0.5))
        assert low <= printed + 0.5 and printed - 0.5 <= high


# ------------------------------------------------------------------ the widget


def test_the_axes_are_orthogonal_and_never_clip():
    target, interference = pair(8000)
    axes = torch.stack(orthogonal_axes(target, 3 * interference + 0.4 * target, 8000))
    gram = axes @ axes.T
    torch.testing.assert_close(gram / gram[0, 0], torch.eye(3, dtype=torch.float64))
    assert (torch.tensor([1.7, 1.1, 1.1]).double() @ axes.abs()).max() <= 1


@given(st.floats(-1, 1.2), st.floats(-1, 1), st.floats(0.01, 1))
def test_the_coordinates_are_what_the_metrics_measure(target, interference, artifact):
    axes = torch.stack(orthogonal_axes(*pair(1000), 8000))
    estimate = torch.tensor([target, interference, artifact], dtype=axes.dtype) @ axes
    error = (target - 1) ** 2 + interference**2 + artifact**2
    assert float(snr(estimate, axes[0])) == pytest.approx(-10 * math.log10(error), abs=1e-6)
    if abs(target) > 1e-3:
        expected = 10 * math.log10(target**2 / (interference**2 + artifact**2))
        assert float(si_sdr(estimate, axes[0])) == pytest.approx(expected, abs=1e-6)
        expected = 10 * math.log10(target**2 / error)
        assert float(sd_sdr(estimate, axes[0])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(2, 800), torch.ones(800)), "target: expected 1 dimensions"),
        ((torch.zeros(800), torch.ones(800)), "target: expected a signal, got silence"),
        ((torch.ones(800), torch.ones(900)), "target and interference"),
        ((torch.ones(800), -2 * torch.ones(800)), "other than the target"),
    ],
)
def test_what_the_triangle_cannot_take(arguments, message):
    with pytest.raises(InputError, match=message):
        projection_triangle(*arguments, 8000)


def test_the_triangle_starts_inside_its_picture():
    with pytest.raises(InputError, match="start: expected"):
        projection_triangle(*pair(800), 8000, start=(3.0, 0.0, 0.0))
