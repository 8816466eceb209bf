"""What permutation invariant training costs, in one run: ``make bench``.

``pytest tests/bench_losses.py --benchmark-only --benchmark-group-by=group``. Asteroid stands beside
the others where ``asteroid.losses`` can be imported. What the course claims is asserted, by the
fastest round of each: the one that other processes disturbed least. On a busy machine
``--benchmark-timer=time.process_time`` counts the time on the processor alone.
"""

import itertools
import warnings

import pytest
import torch

from lib.losses import pairwise, pit, si_snr_loss

BATCH, SECONDS, SAMPLE_RATE = 32, 1, 8000
# peers that convert lists of arrays are told so at every call
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def torchmetrics_pit():
    return pytest.importorskip("torchmetrics.functional.audio.pit")


def asteroid_losses():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("asteroid.losses", exc_type=ImportError)


FASTEST: dict[str, float] = {}  # of this library, by group, in seconds


def note(benchmark):
    """Keep the library's time, which stands first in its group."""
    FASTEST[benchmark.group] = benchmark.stats.stats.min


def beaten(benchmark, times=1):
    """Require that the library was so many times as fast."""
    if benchmark.group not in FASTEST:
        pytest.skip("needs the library's time of the same run")
    assert FASTEST[benchmark.group] * times <= benchmark.stats.stats.min


# ---- the assignment of 8 sources: 8! = 40320 orders

MANY = f"assign 8 sources, batch {BATCH}"


@pytest.fixture
def costs():
    return torch.randn(BATCH, 8, 8, generator=torch.Generator().manual_seed(0))


def loop_over_permutations(costs):
    """The definition: every order in turn, for the whole batch."""
    references = torch.arange(costs.shape[2])
    best = torch.full((len(costs),), torch.inf)
    for order in itertools.permutations(range(costs.shape[1])):
        best = torch.minimum(best, costs[:, order, references].mean(1))
    return best


@pytest.mark.benchmark(group=MANY)
def test_assign_lib(benchmark, costs):
    loss, _ = benchmark.pedantic(pit, (costs,), rounds=100, warmup_rounds=5)
    note(benchmark)
    assert loss.isfinite().all()


@pytest.mark.benchmark(group=MANY)
def test_assign_lib_enumeration(benchmark, costs):
    loss, _ = benchmark.pedantic(pit, (costs, "enumeration"), rounds=5, warmup_rounds=1)
    beaten(benchmark, times=500)
    torch.testing.assert_close(loss, pit(costs)[0])


@pytest.mark.benchmark(group=MANY)
def test_assign_torchmetrics_enumeration(benchmark, costs):
    search = torchmetrics_pit()._find_best_perm_by_exhaustive_method
    loss, _ = benchmark.pedantic(search, (costs.mT, torch.min), rounds=5, warmup_rounds=1)
    beaten(benchmark, times=500)
    torch.testing.assert_close(loss, pit(costs)[0])


@pytest.mark.benchmark(group=MANY)
def test_assign_asteroid_enumeration(benchmark, costs):
    search = asteroid_losses().PITLossWrapper.find_best_perm_factorial
    loss, _ = benchmark.pedantic(search, (costs,), rounds=5, warmup_rounds=1)
    beaten(benchmark, times=500)
    torch.testing.assert_close(loss, pit(costs)[0])


@pytest.mark.benchmark(group=MANY)
def test_assign_loop_over_permutations(benchmark, costs):
    loss = benchmark.pedantic(loop_over_permutations, (costs,), rounds=3)
    beaten(benchmark, times=500)
    torch.testing.assert_close(loss, pit(costs)[0])


# ---- a training step's loss: SI-SNR of every pair, the assignment, and the gradient


@pytest.fixture(params=[2, 3, 4])
def signals(request, benchmark):
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, request.param, SECONDS * SAMPLE_RATE)
    references = torch.randn(*shape, generator=generator)
    estimates = references.flip(1) + 0.5 * torch.randn(*shape, generator=generator)
    benchmark.group = f"SI-SNR with PIT and gradient, {request.param} sources, batch {BATCH}"
    return estimates.requires_grad_(), references


def lib_loss(estimates, references):
    return pit(pairwise(si_snr_loss, estimates, references))[0].mean()


def compare(benchmark, loss, signals):
    """Time loss and gradient; hold both to the library's."""
    estimates, references = signals

    def step():
        estimates.grad = None
        value = loss(estimates, references)
        value.backward()
        return value.detach()

    found = benchmark.pedantic(step, rounds=30, warmup_rounds=3)
    torch.testing.assert_close(found, lib_loss(*signals).detach(), atol=1e-2, rtol=0)


def test_step_lib(benchmark, signals):
    compare(benchmark, lib_loss, signals)
    note(benchmark)


def test_step_torchmetrics(benchmark, signals):
    functional = pytest.importorskip("torchmetrics.functional.audio")

    def loss(estimates, references):
        metric = functional.scale_invariant_signal_noise_ratio
        return -functional.permutation_invariant_training(estimates, references, metric)[0].mean()

    compare(benchmark, loss, signals)
    beaten(benchmark)


def test_step_asteroid(benchmark, signals):
    asteroid = asteroid_losses()
    compare(benchmark, asteroid.PITLossWrapper(asteroid.pairwise_neg_sisdr), signals)
    beaten(benchmark)
