"""Timings that the course claims, in one run: ``make bench``. Not collected by ``make test``."""

import os

import pytest
import torch

from lib.metrics import bss_eval

SAMPLE_RATE, SECONDS, SOURCES = 8000, 10, 4
THREADS = sorted({1, min(2, os.cpu_count() or 1)})


@pytest.fixture(params=THREADS, ids=lambda threads: f"{threads}-thread")
def signals(request):
    """Return estimates with leakage and noise, and their sources; both sides get the threads."""
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    generator = torch.Generator().manual_seed(0)
    shape = (SOURCES, SAMPLE_RATE * SECONDS)
    references = torch.randn(*shape, generator=generator, dtype=torch.float64)
    leak = 0.2 * references.sum(0, keepdim=True)
    estimates = references + leak + 0.1 * torch.randn(*shape, generator=generator)
    with limits(request.param):
        yield estimates, references
    torch.set_num_threads(before)


@pytest.mark.benchmark(group="bss_eval, 512 taps, 4 sources of 10 s at 8 kHz")
def test_lib(benchmark, signals):
    estimates, references = signals
    scores = benchmark.pedantic(bss_eval, (estimates, references), rounds=5, warmup_rounds=1)
    assert torch.isfinite(scores.sdr).all()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.benchmark(group="bss_eval, 512 taps, 4 sources of 10 s at 8 kHz")
def test_mir_eval(benchmark, signals):
    separation = pytest.importorskip("mir_eval.separation")
    estimates, references = signals
    expected = benchmark.pedantic(
        separation.bss_eval_sources,
        (references.numpy(), estimates.numpy()),
        {"compute_permutation": False},
        rounds=5,
        warmup_rounds=1,
    )
    # the same work: the numbers are equal
    for ours, theirs in zip(bss_eval(estimates, references), expected, strict=False):
        torch.testing.assert_close(ours, torch.from_numpy(theirs), atol=1e-4, rtol=0)
