"""What separating with the hybrids of Demucs costs, in one run: ``make bench``.

torchaudio's class, and the authors' package where it can be imported, in the published sizes, take
turns with ours on stereo noise, on one core; the time on the processor counts. That ours is at
least as fast is asserted. What makes the difference are frequencies that are worked on in groups,
so that the residual branches stay in the cache, and statistics in whole passes.
"""

import statistics
import time

import pytest
import torch

from lib.models import HTDemucs, HybridDemucs

SECONDS = 7.8  # of the segments that HT Demucs was trained on


@pytest.fixture
def race(benchmark, capsys):
    """Let two models separate in turns; require that the first takes no longer."""

    def run(ours, theirs, rounds=4):
        mixture = torch.randn(1, 2, int(SECONDS * ours.sample_rate))
        times = {ours.eval(): [], theirs.eval(): []}

        @torch.no_grad()
        def turn():
            for model, spent in times.items():
                start = time.process_time()
                model(mixture)
                spent.append(time.process_time() - start)

        benchmark.pedantic(turn, rounds=rounds, warmup_rounds=1)
        mine, other = (statistics.median(spent[1:]) for spent in times.values())
        with capsys.disabled():
            print(
                f"\n{type(ours).__name__}, {SECONDS} s: {mine:.2f} s; "
                f"{type(theirs).__module__}: {other:.2f} s ({other / mine:.2f} times)"
            )
        assert mine <= other

    torch.manual_seed(0)
    return run


@pytest.mark.parametrize("module", ["torchaudio.models", "demucs.hdemucs"])
def test_hybrid_demucs(race, module):
    theirs = pytest.importorskip(module).HDemucs
    ours = HybridDemucs.paper()
    race(ours, theirs(list(ours.source_names)))


def test_ht_demucs(race):
    theirs = pytest.importorskip("demucs.htdemucs").HTDemucs
    ours = HTDemucs.paper()
    options = {"dconv_mode": 3, "bottom_channels": 512, "use_train_segment": False}
    race(ours, theirs(list(ours.source_names), **options))
