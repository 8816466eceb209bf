"""What training and separating cost, against named peers in one run: ``make bench``.

``pytest tests/bench_models.py --benchmark-only``. torchaudio, Asteroid and SpeechBrain stand beside
this library where they can be imported. A pair of models takes turns, so that other processes
disturb both alike. With one thread the time on the processor counts. A table of medians and ratios
stands in the output of each test; that this library is at least as fast is asserted.

What made the difference to Conv-TasNet (with gradients, one thread, 512 channels of 4001 frames,
AMD EPYC with AVX-512):

- 1x1 convolutions with oneDNN in place of BLAS, two of them as one: from 57 ms a block to 31 ms.
- Dilated convolutions in rows, for which oneDNN has a kernel: from 16 ms each to 9 ms.
- The gradient of PReLU in whole passes over the features: from 10 ms each to 5 ms.
- GroupNorm as the global norm on processors: from 10 ms each to 2 ms. torchaudio does this, too.
"""

import statistics
import subprocess
import sys
import time
import warnings
from importlib.metadata import version

import pytest
import torch
from test_models_band_split import loop, spectrum

from lib.models.band_split_rnn import BandSplitRNN
from lib.models.conv_tasnet import ConvTasNet
from lib.models.dccrn import DCCRN
from lib.models.dcunet import DCUNet
from lib.models.dprnn import DPRNN
from lib.models.sepformer import SepFormer

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the peers


def peer(module):
    """Import what need not be installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(module, exc_type=ImportError)


@pytest.fixture(params=[1, 2], ids=["one-thread", "two-threads"])
def clock(request):
    """Set the number of threads; what to read the time from."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield time.process_time if request.param == 1 else time.perf_counter
    torch.set_num_threads(before)


@pytest.fixture
def race(benchmark, clock, capsys):
    """Let two models train in turns on noise; require that the first takes no longer."""

    def run(ours, theirs, package, batch, seconds, rounds=5):
        torch.manual_seed(0)
        mixture = torch.randn(batch, 1, int(seconds * ours.sample_rate))
        times = {ours: [], theirs: []}

        def turn():
            for model, spent in times.items():
                model.zero_grad()
                start = clock()
                flat = package == "speechbrain" and model is theirs  # it takes (B, T)
                estimates = model(mixture[:, 0] if flat else mixture)
                estimates.square().mean().backward()
                spent.append(clock() - start)

        benchmark.pedantic(turn, rounds=rounds, warmup_rounds=1)
        mine, other = (statistics.median(spent[1:]) for spent in times.values())
        benchmark.extra_info["ratio"] = other / mine
        with capsys.disabled():
            print(
                f"\n{type(ours).__name__}, {batch} x {seconds} s, {torch.get_num_threads()} "
                f"thread(s): {mine:.2f} s; {package} {version(package)}: {other:.2f} s "
                f"({other / mine:.2f} times)"
            )
        assert mine <= other

    return run


@pytest.mark.parametrize("batch, seconds", [(1, 4), (4, 2)])
def test_conv_tasnet_torchaudio(race, batch, seconds):
    theirs = peer("torchaudio.models").ConvTasNet()
    race(ConvTasNet.paper(last_residual=False), theirs, "torchaudio", batch, seconds)


@pytest.mark.parametrize("batch, seconds", [(1, 4), (4, 2)])
def test_conv_tasnet_asteroid(race, batch, seconds):
    theirs = peer("asteroid.models").ConvTasNet(n_src=2)
    race(ConvTasNet.paper(), theirs, "asteroid", batch, seconds)


def test_dprnn_asteroid(race):
    ours = DPRNN(kernel_size=16, chunk=100)
    theirs = peer("asteroid.models").DPRNNTasNet(
        n_src=2, n_filters=64, kernel_size=16, stride=8, bn_chan=64, hid_size=128, chunk_size=100
    )
    race(ours, theirs, "asteroid", batch=1, seconds=2, rounds=3)


def test_sepformer_speechbrain(race):
    theirs = peer("speechbrain.lobes.models.dual_path").SepformerWrapper()
    race(SepFormer.paper(), theirs, "speechbrain", batch=1, seconds=1, rounds=3)


@pytest.mark.parametrize("variant", ["10", "16"])
def test_dcunet_asteroid(race, variant):
    models = peer("asteroid.models")
    theirs = models.DCUNet(f"DCUNet-{variant}", fix_length_mode="pad")
    race(DCUNet(variant), theirs, "asteroid", batch=2, seconds=2, rounds=3)


def test_dccrn_asteroid(race, monkeypatch):
    models, recurrent = peer("asteroid.models"), peer("asteroid.masknn.recurrent")
    build = recurrent.DCCRMaskNetRNN
    # it hands PyTorch a number of NumPy's, which an LSTM refuses
    monkeypatch.setattr(recurrent, "DCCRMaskNetRNN", lambda size: build(int(size)))
    theirs = models.DCCRNet("DCCRN-CL")
    race(DCCRN.paper("CL"), theirs, "asteroid", batch=2, seconds=2, rounds=3)


# ---- a song; without peers

SONG = """
import resource, time, torch
from lib.models import Separator
from lib.separate import separate
torch.set_num_threads(2)
model = Separator.from_pretrained("unet-singing-small")
song = torch.randn(2, 240 * 44100)
start = time.perf_counter()
separate(model, song, 44100, progress=False)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_unet_on_a_song(benchmark, capsys):
    """Four minutes, stereo, 44.1 kHz: resampling, separation and the estimates in memory."""
    command = [sys.executable, "-W", "ignore", "-c", SONG]

    def separate():
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, kibibytes = map(float, result.stdout.split())
        return seconds / 240, kibibytes / 2**20

    factor, peak = benchmark.pedantic(separate, rounds=1)
    with capsys.disabled():
        print(f"\nU-Net, small, four minutes: {factor:.3f} of real time, peak {peak:.2f} GiB")
    assert factor < 0.25 and peak < 2


# ---- memory for 60 s; without gradients it does not grow with the layers, so that one must do

PEAK = """
import resource, sys, torch
import lib  # so that torchaudio loads, which SpeechBrain imports
torch.set_num_threads(1)
if sys.argv[1] == "lib":
    from lib.models.sepformer import SepFormer
    model, mixture = SepFormer(layers=1), torch.randn(1, 1, 60 * 8000)
else:
    from speechbrain.lobes.models.dual_path import SepformerWrapper
    model, mixture = SepformerWrapper(intra_numlayers=1, inter_numlayers=1), torch.randn(1, 480000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with torch.no_grad():
    model.eval()(mixture)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_of_sepformer(benchmark, capsys):
    peer("speechbrain.lobes.models.dual_path")
    peaks = {}

    def measure():
        for side in ("lib", "speechbrain"):
            command = [sys.executable, "-W", "ignore", "-c", PEAK, side]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks[side] = int(result.stdout.split()[-1]) / 2**20  # KiB to GiB

    benchmark.pedantic(measure, rounds=1)
    with capsys.disabled():
        print(
            f"\nSepFormer, 60 s, peak: {peaks['lib']:.2f} GiB; "
            f"speechbrain {version('speechbrain')}: {peaks['speechbrain']:.2f} GiB"
        )
    assert 2 * peaks["lib"] <= peaks["speechbrain"]


# ---- bands of one width at once


@torch.no_grad()
def test_band_split_rnn_loop(benchmark, capsys):
    """In its published size on a second, at least twice as fast as a loop over its 41 bands."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    (network,) = BandSplitRNN.paper().eval().masker.networks
    mixture = spectrum(1, 1025, 87)
    times = {"at once": [], "loop": []}

    def turn():
        for name, run in (("at once", network), ("loop", lambda x: loop(network, x))):
            start = time.process_time()
            run(mixture)
            times[name].append(time.process_time() - start)

    benchmark.pedantic(turn, rounds=3, warmup_rounds=1)
    mine, other = (statistics.median(spent[1:]) for spent in times.values())
    with capsys.disabled():
        print(f"\nBand-Split RNN, 1 s: {mine:.2f} s; band by band: {other:.2f} s")
    assert 2 * mine <= other
