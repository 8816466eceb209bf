"""What it costs to separate a stream, in one run: ``make bench``.

Conv-TasNet at the size of the causal checkpoint, chunks of 20 ms, one core. The real-time factor is
the time for a chunk over its length. What the course claims is asserted, by the fastest round: the
one that other processes disturbed least.
"""

import pytest
import torch

from lib.models import ConvTasNet
from lib.separate import Streamer

SECONDS = 0.02


@pytest.mark.benchmark(group="stream, chunks of 20 ms")
def test_conv_tasnet_small_is_faster_than_real_time(benchmark, capsys):
    torch.manual_seed(0)
    model = ConvTasNet.small(causal=True).eval()
    streamer = Streamer(model)
    chunk = torch.randn(1, round(SECONDS * model.sample_rate))
    estimates = benchmark.pedantic(streamer.push, (chunk,), rounds=300, warmup_rounds=30)
    assert estimates.shape == (model.sources, *chunk.shape)
    stats = benchmark.stats.stats
    with capsys.disabled():
        print(
            f"\nreal-time factor: {stats.min / SECONDS:.2f} at best, "
            f"{stats.median / SECONDS:.2f} in the median; latency {streamer.latency_ms:.1f} ms"
        )
    assert stats.min / SECONDS < 0.3
