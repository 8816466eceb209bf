"""What it costs to separate a stream, in one run: ``make bench``.

Conv-TasNet at the size of the causal checkpoint, chunks of 20 ms, and the Demucs denoiser at the
published size, in chunks of one step (16 ms); one core. The real-time factor is the time for a
chunk over its length. What the course claims is asserted, by the fastest round: the
one that other processes disturbed least.
"""

import pytest
import torch

from lib.models import ConvTasNet, Denoiser
from lib.separate import Streamer


@pytest.fixture
def factor(benchmark, capsys):
    """The real-time factor of a model in chunks of so many seconds, at best."""

    def measure(model, seconds):
        streamer = Streamer(model.eval())
        chunk = torch.randn(1, round(seconds * model.sample_rate))
        estimates = benchmark.pedantic(streamer.push, (chunk,), rounds=300, warmup_rounds=30)
        assert estimates.shape == (model.sources, *chunk.shape)
        stats = benchmark.stats.stats
        with capsys.disabled():
            print(
                f"\nreal-time factor: {stats.min / seconds:.2f} at best, "
                f"{stats.median / seconds:.2f} in the median; latency {streamer.latency_ms:.1f} ms"
            )
        return stats.min / seconds

    return measure


@pytest.mark.benchmark(group="stream")
def test_conv_tasnet_small_is_faster_than_real_time(factor):
    torch.manual_seed(0)
    assert factor(ConvTasNet.small(causal=True), 0.02) < 0.3


@pytest.mark.benchmark(group="stream")
def test_the_published_denoiser_is_faster_than_real_time(factor):
    torch.manual_seed(0)
    assert factor(Denoiser.paper(), 0.016) < 1
