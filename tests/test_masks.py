"""Ideal masks: sums, ranges, ties, bounds, silence, and what the complex mask restores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import masks
from lib.errors import InputError

ALL = {
    "ibm": masks.ideal_binary_mask,
    "irm": masks.ideal_ratio_mask,
    "wfm": masks.wiener_like_mask,
    "am": masks.ideal_amplitude_mask,
    "psm": masks.phase_sensitive_mask,
    "npsm": masks.nonnegative_phase_sensitive_mask,
    "cirm": masks.complex_ideal_ratio_mask,
}
SUM_TO_ONE = ("ibm", "irm", "wfm", "psm", "cirm")


def random_sources(seed, sources=2, batch=(), dtype=torch.complex128):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, sources, 9, 7, dtype=dtype, generator=generator)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 4), name=st.sampled_from(SUM_TO_ONE))
def test_five_masks_sum_to_one(seed, count, name):
    total = ALL[name](random_sources(seed, count)).sum(-3)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["am", "npsm"])
def test_amplitude_and_nonnegative_masks_sum_to_more_than_one(name):
    total = ALL[name](random_sources(0)).sum(-3)
    assert (total >= 1 - 1e-9).all()
    assert total.mean() > 1.1


def test_values_by_hand():
    sources = torch.tensor([3 + 0j, 1j]).reshape(2, 1, 1)
    expected = {
        "ibm": [1.0, 0.0],
        "irm": [0.75, 0.25],
        "wfm": [0.9, 0.1],
        "am": [3 / 10**0.5, 1 / 10**0.5],
        "psm": [0.9, 0.1],
        "npsm": [0.9, 0.1],
        "cirm": [0.9 - 0.3j, 0.1 + 0.3j],
    }
    for name, values in expected.items():
        torch.testing.assert_close(ALL[name](sources).flatten(), torch.tensor(values), msg=name)
    twin = masks.ideal_ratio_mask(sources, kind="power_sqrt").flatten()
    torch.testing.assert_close(twin, torch.tensor([0.9**0.5, 0.1**0.5]))


def test_enhancement_irm_with_beta_one_is_the_wiener_like_mask():
    sources = random_sources(1)
    with pytest.raises(InputError, match="beta"):
        masks.ideal_ratio_mask(sources, kind="power_sqrt", beta=-1.0)
    twin = masks.ideal_ratio_mask(sources, kind="power_sqrt", beta=1.0)
    torch.testing.assert_close(twin, masks.wiener_like_mask(sources))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dim", [0, 1, -1, -4])
def test_any_axis_may_hold_the_sources(name, dim):
    sources = random_sources(2, sources=3, batch=(2,))
    expected = ALL[name](sources)
    moved = ALL[name](sources.movedim(-3, dim).contiguous(), dim)
    torch.testing.assert_close(moved.movedim(dim, -3), expected)


@pytest.mark.parametrize("name", ALL)
def test_batch_items_do_not_meet(name):
    sources = random_sources(3, batch=(4,))
    together = ALL[name](sources)
    torch.testing.assert_close(together[2], ALL[name](sources[2]))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e8])
def test_masks_do_not_depend_on_the_scale(scale, dtype):
    sources = random_sources(4).to(dtype)
    for name, function in ALL.items():
        torch.testing.assert_close(
            function(sources * scale), function(sources), rtol=1e-3, atol=1e-3, msg=name
        )


@pytest.mark.parametrize("name", ALL)
def test_silence_has_a_defined_mask(name):
    mask = ALL[name](torch.zeros(2, 3, 4, dtype=torch.complex64))
    expected = {"ibm": [1.0, 0.0], "irm": [0.5, 0.5], "wfm": [0.5, 0.5]}.get(name, [0.0, 0.0])
    assert mask[:, 0, 0].tolist() == expected


@pytest.mark.parametrize("name", ["am", "psm", "npsm", "cirm"])
def test_cancelling_sources_give_zero_not_infinity(name):
    sources = torch.stack([torch.ones(2, 2), -torch.ones(2, 2)]).to(torch.complex64)
    assert (ALL[name](sources) == 0).all()


def test_ties_go_to_the_first_or_to_nobody():
    sources = torch.ones(3, 2, 2)
    assert masks.ideal_binary_mask(sources)[:, 0, 0].tolist() == [1, 0, 0]
    assert masks.ideal_binary_mask(sources, ties="none").sum() == 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), criterion=st.floats(-15, 15))
def test_local_criterion_is_a_threshold_on_the_local_snr(seed, criterion):
    sources = random_sources(seed)
    target = masks.ideal_binary_mask(sources, local_criterion_db=criterion, ties="none")[0]
    local_snr = 20 * torch.log10(sources[0].abs() / sources[1].abs())
    clear = (local_snr - criterion).abs() > 1e-9
    assert torch.equal(target[clear], (local_snr > criterion).double()[clear])


def test_with_three_sources_the_loudest_wins():
    sources = random_sources(5, sources=3)
    first = masks.ideal_binary_mask(sources)
    strict = masks.ideal_binary_mask(sources, ties="none")
    torch.testing.assert_close(first, strict)
    assert torch.equal(first.argmax(-3), sources.abs().argmax(-3))


def test_clips_and_bounds_hold():
    sources = random_sources(6, batch=(20,))
    assert masks.ideal_amplitude_mask(sources).max() > 2
    assert masks.ideal_amplitude_mask(sources, clip=2.0).max() == 2
    assert masks.phase_sensitive_mask(sources, clip=1.0).abs().max() == 1
    truncated = masks.nonnegative_phase_sensitive_mask(sources, clip=1.0)
    assert truncated.min() == 0 and truncated.max() == 1
    exact = masks.complex_ideal_ratio_mask(sources)
    short = masks.complex_ideal_ratio_mask(sources, bound=1.5)
    assert exact.abs().max() > 2
    assert short.abs().max() < 1.5 + 1e-9
    torch.testing.assert_close(torch.sgn(short), torch.sgn(exact))
    within = exact.abs() < 1.5
    torch.testing.assert_close(short[within], exact[within])


def test_tanh_bound_is_williamsons_and_can_be_undone():
    sources = random_sources(7)
    exact = masks.complex_ideal_ratio_mask(sources)
    compressed = masks.complex_ideal_ratio_mask(sources, bound=10.0, bound_kind="tanh")
    rate = torch.exp(-0.1 * exact.real)
    torch.testing.assert_close(compressed.real, 10 * (1 - rate) / (1 + rate))
    torch.testing.assert_close(masks.expand_complex_mask(compressed), exact)


def test_a_given_mixture_may_hold_more_than_the_sources():
    sources = random_sources(8)
    noise = random_sources(9, sources=1)[0]
    mixture = sources.sum(0) + noise
    mask = masks.complex_ideal_ratio_mask(sources, mixture=mixture)
    torch.testing.assert_close(masks.apply(mask, mixture), sources)


def test_phase_sensitive_mask_is_the_best_real_mask():
    sources = random_sources(10)
    mixture = sources.sum(0)
    errors = {
        name: (masks.apply(ALL[name](sources), mixture) - sources).abs().square().sum()
        for name in ("ibm", "irm", "wfm", "am", "psm", "npsm")
    }
    assert min(errors, key=errors.get) == "psm"


def test_masks_are_differentiable():
    for name in ("irm", "wfm", "am", "psm", "npsm", "cirm"):
        sources = random_sources(11)
        sources[:, 0, 0] = 0
        sources.requires_grad_()
        ALL[name](sources).abs().square().sum().backward()
        assert torch.isfinite(torch.view_as_real(sources.grad)).all(), name


def test_apply_takes_one_mask_or_one_per_source():
    mixture = random_sources(12, sources=2)  # here: (channels, freq, frames)
    single = torch.rand(2, 9, 7, dtype=torch.float64)
    torch.testing.assert_close(masks.apply(single, mixture), single * mixture)
    several = torch.rand(3, 2, 9, 7, dtype=torch.float64)
    applied = masks.apply(several, mixture, dim=0)
    torch.testing.assert_close(applied[1], several[1] * mixture)


@pytest.mark.parametrize("name", ALL)
def test_wrong_input_gives_one_clear_error(name):
    function = ALL[name]
    with pytest.raises(InputError, match="torch.from_numpy"):
        function(random_sources(0).numpy())
    with pytest.raises(InputError, match="freq, frames"):
        function(random_sources(0)[0])
    with pytest.raises(InputError, match="dim: expected"):
        function(random_sources(0), 3)
    with pytest.raises(InputError, match="NaN"):
        function(random_sources(0) * float("nan"))
    if name in ("am", "psm", "npsm", "cirm"):
        with pytest.raises(InputError, match="complex"):
            function(random_sources(0).abs())
        with pytest.raises(InputError, match="mixture: expected the shape"):
            function(random_sources(0), mixture=random_sources(0)[0, :5])


def test_unknown_options_are_named():
    sources = random_sources(0)
    with pytest.raises(InputError, match="'first' or 'none'"):
        masks.ideal_binary_mask(sources, ties="coin")
    with pytest.raises(InputError, match="power_sqrt"):
        masks.ideal_ratio_mask(sources, kind="power")
    with pytest.raises(InputError, match="modulus"):
        masks.complex_ideal_ratio_mask(sources, bound_kind="square")
    with pytest.raises(InputError, match="above 0"):
        masks.ideal_amplitude_mask(sources, clip=0.0)
    with pytest.raises(InputError, match="with or without an axis of sources"):
        masks.apply(torch.ones(2, 9, 6), sources[0])


def oracle(kind, sources, **options):
    from lib.stft import STFT

    separator = masks.OracleMask(kind, STFT(256, 64), **options)
    return separator(sources.sum(1), sources)


def random_signals(seed=0, time=3001):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 1, time, generator=generator)


@pytest.mark.parametrize("time", [1, 15, 257, 3001])
def test_unbounded_complex_oracle_restores_the_sources_beyond_60_db(time):
    sources = random_signals(time=time)
    error = oracle("cirm", sources) - sources
    reconstruction = 10 * torch.log10(sources.square().sum(-1) / error.square().sum(-1))
    assert reconstruction.min() > 60


@pytest.mark.parametrize("kind", masks.OracleMask.KINDS)
def test_true_phase_beats_mixture_phase(kind):
    sources = random_signals()

    def error(**options):
        return (oracle(kind, sources, **options) - sources).square().mean()

    assert oracle(kind, sources).shape == sources.shape
    if kind == "cirm":
        assert error() < 1e-8
    elif kind not in ("psm", "npsm"):  # these two already allow for the wrong phase
        assert error(true_phase=True) < error()


def test_amplitude_mask_with_true_phase_is_exact():
    sources = random_signals()
    torch.testing.assert_close(oracle("am", sources, true_phase=True), sources, rtol=0, atol=1e-3)


def test_oracle_checks_its_input():
    with pytest.raises(InputError, match="expected one of ibm"):
        masks.OracleMask("best", None)
    with pytest.raises(InputError, match="mixture and sources"):
        oracle("ibm", random_signals()[:, :, 0])
