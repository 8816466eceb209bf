"""Assignments: against brute force, against another implementation, and what gradients see."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.audio import permutation_invariant_training

from lib.errors import InputError
from lib.losses import l1_loss, pairwise, pit, si_snr_loss, snr_loss
from lib.metrics import si_snr, snr

METHODS = ["enumeration", "hungarian"]


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def brute_force(costs):
    """One item (E, R), in pure Python."""
    estimates, references = costs.shape
    values = costs.tolist()
    choices = itertools.permutations(range(estimates), references)
    totals = {c: sum(values[e][r] for r, e in enumerate(c)) / references for c in choices}
    best = min(totals, key=totals.get)
    return totals[best], list(best)


@pytest.mark.parametrize("method", [*METHODS, None])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (4, 2), (5, 3)])
def test_equals_brute_force(shape, method):
    costs = random(20, *shape)
    loss, permutation = pit(costs, method)
    for item, found, order in zip(costs, loss.tolist(), permutation.tolist(), strict=True):
        expected = brute_force(item)
        assert found == pytest.approx(expected[0], abs=1e-12)
        assert order == expected[1]


@pytest.mark.parametrize("speakers", [2, 3, 4])
def test_agrees_with_torchmetrics(speakers):
    estimates, references = random(6, speakers, 400), random(6, speakers, 400, seed=1)
    estimates = estimates + references.flip(1)
    expected = permutation_invariant_training(
        estimates, references, si_snr_loss, mode="speaker-wise", eval_func="min"
    )
    found = pit(pairwise(si_snr_loss, estimates, references))
    torch.testing.assert_close(found[0], expected[0], atol=1e-12, rtol=0)
    assert (found[1] == expected[1]).all()


def test_methods_agree_where_the_default_changes():
    costs = random(5, 7, 7)
    by_enumeration, by_hungarian = (pit(costs, method) for method in METHODS)
    torch.testing.assert_close(by_enumeration, by_hungarian)
    assert (pit(costs)[1] == by_hungarian[1]).all()


def test_permutation_reorders_the_estimates():
    references = random(4, 3, 2, 50)
    order = torch.tensor([2, 0, 1])
    loss, permutation = pit(pairwise(l1_loss, references[:, order], references))
    assert loss.abs().max() == 0
    reordered = references[:, order][torch.arange(4)[:, None], permutation]
    assert (reordered == references).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(0, 1000), st.sampled_from([*METHODS, None]))
def test_order_of_outputs_does_not_matter(sources, seed, method):
    costs = random(3, sources, sources, seed=seed)
    order = torch.randperm(sources, generator=torch.Generator().manual_seed(seed))
    loss, permutation = pit(costs, method)
    shuffled, found = pit(costs[:, order], method)
    torch.testing.assert_close(loss, shuffled)
    assert (order[found] == permutation).all()
    # no worse than the order as it came, nor than a rotation of it
    for shift in range(sources):
        rows = torch.arange(sources).roll(shift)
        fixed = costs[:, rows, torch.arange(sources)].mean(1)
        assert (loss <= fixed + 1e-12).all()


@pytest.mark.parametrize("method", METHODS)
def test_gradients_flow_through_the_chosen_pairs(method):
    costs = random(4, 3, 3).requires_grad_()
    loss, permutation = pit(costs, method)
    loss.sum().backward()
    expected = torch.zeros(4, 3, 3, dtype=torch.float64)
    expected.scatter_(1, permutation[:, None], 1 / 3)
    torch.testing.assert_close(costs.grad, expected)
    assert torch.autograd.gradcheck(lambda c: pit(c, method)[0], costs.detach().requires_grad_())


def test_each_frame_may_choose_for_itself():
    """Frames as items: the best of every frame is at most the best of the utterance."""
    references = random(1, 2, 30, 8).abs()  # (B, S, frames, freq)
    swapped = torch.arange(30) % 2 == 0
    estimates = torch.where(swapped[:, None], references.flip(1), references)
    losses = (estimates[:, :, None] - references[:, None]).abs().mean(-1)  # (B, E, R, frames)
    by_frame, order = pit(losses[0].permute(2, 0, 1))
    assert by_frame.max() == 0
    assert ((order[:, 0] == 1) == swapped).all()
    assert pit(losses.mean(-1))[0] > 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_precision_is_kept(dtype, method):
    loss, permutation = pit(random(2, 3, 3).to(dtype), method)
    assert loss.dtype == dtype
    assert permutation.dtype == torch.int64


@pytest.mark.parametrize("method", METHODS)
def test_no_items(method):
    loss, permutation = pit(torch.zeros(0, 3, 2), method)
    assert loss.shape == (0,)
    assert permutation.shape == (0, 2)


def test_training_after_validation():
    """What inference mode has cached must not forbid gradients."""
    with torch.inference_mode():
        pit(torch.zeros(1, 4, 3))
    costs = random(2, 4, 3).requires_grad_()
    pit(costs)[0].sum().backward()
    assert costs.grad.sum().item() == pytest.approx(2.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", METHODS)
def test_on_a_gpu(method):
    costs = random(8, 5, 5)
    loss, permutation = pit(costs.cuda(), method)
    assert loss.is_cuda
    assert permutation.is_cuda
    torch.testing.assert_close((loss.cpu(), permutation.cpu()), pit(costs, method))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_losses_that_are_no_numbers_are_refused_by_item(bad):
    costs = torch.zeros(4, 2, 2)
    costs[1, 0, 1] = costs[3, 1, 1] = bad
    with pytest.raises(InputError, match=r"^pairwise: .*items \[1, 3\]"):
        pit(costs)


def test_finite_losses_may_have_an_infinite_sum():
    loss, _ = pit(torch.full((9, 1, 1), 2e38))
    assert loss.isfinite().all()


def test_bad_input():
    with pytest.raises(InputError, match="an estimate for every reference"):
        pit(torch.zeros(1, 2, 3))
    with pytest.raises(InputError, match="^pairwise"):
        pit(torch.zeros(2, 2))
    with pytest.raises(InputError, match="enumeration, hungarian, got 'greedy'"):
        pit(torch.zeros(1, 2, 2), "greedy")
    with pytest.raises(InputError, match="'hungarian' for 12 estimates"):
        pit(torch.zeros(1, 12, 12), "enumeration")
    with pytest.raises(InputError, match="^estimates and references"):
        pairwise(l1_loss, torch.zeros(1, 2, 5), torch.zeros(1, 2, 6))


def test_pairwise_is_a_table_of_single_losses():
    estimates, references = random(2, 3, 2, 40), random(2, 2, 2, 40, seed=1)
    table = pairwise(si_snr_loss, estimates, references)
    assert table.shape == (2, 3, 2)
    for e, r in itertools.product(range(3), range(2)):
        single = si_snr_loss(estimates[:, e], references[:, r]).mean(-1)  # over channels
        torch.testing.assert_close(table[:, e, r], single)


def test_pairwise_of_functions_that_want_equal_shapes():
    estimates, references = random(2, 3, 1, 40), random(2, 2, 1, 40, seed=1)
    for metric, loss in ((si_snr, si_snr_loss), (snr, snr_loss)):
        found = pairwise(metric, estimates, references)
        expected = -pairwise(loss, estimates, references)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
