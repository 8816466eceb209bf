"""The metrics against the reference packages on the sample pack: real band limits, real pauses."""

from pathlib import Path

import pytest
import torch

import lib
from lib.audio import read
from lib.metrics import bss_eval, si_sdr, si_snr, snr, stoi
from lib.mixing import mix_at_snr

SPEECH = sorted((Path(lib.__file__).parent / "data" / "pack" / "speech").glob("*.ogg"))


@pytest.fixture(scope="module", params=[8000, 16000])
def signals(request):
    """Return estimates with leakage and noise, and the two speakers, 3 s at 8 or 16 kHz."""
    rate = request.param
    speakers = []
    for path in (SPEECH[0], SPEECH[-1]):
        waveform, _ = read(path, sample_rate=rate, mono=True)
        speakers.append(waveform[0, rate : 4 * rate].double())
    first, second = mix_at_snr(*speakers, snr_db=2.0)[1:]
    references = torch.stack([first, second])
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(references.shape, generator=generator, dtype=torch.float64)
    estimates = references + 0.2 * references.flip(0) + 0.05 * references.std() * noise
    return estimates, references, rate


def test_the_pack_is_there():
    assert len(SPEECH) >= 2


def test_energy_ratios(signals):
    audio = pytest.importorskip("torchmetrics.functional.audio")
    estimates, references, _ = signals
    for ours, theirs in (
        (snr, audio.signal_noise_ratio),
        (si_sdr, audio.scale_invariant_signal_distortion_ratio),
        (si_snr, audio.scale_invariant_signal_noise_ratio),
    ):
        expected = theirs(estimates, references)
        for dtype in (torch.float32, torch.float64):
            found = ours(estimates.to(dtype), references.to(dtype)).double()
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_bss_eval(signals):
    separation = pytest.importorskip("mir_eval.separation")
    estimates, references, _ = signals
    expected = separation.bss_eval_sources(references.numpy(), estimates.numpy(), False)[:3]
    for dtype in (torch.float32, torch.float64):
        found = bss_eval(estimates.to(dtype), references.to(dtype))
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours.double(), torch.from_numpy(theirs), atol=1e-4, rtol=0)


@pytest.mark.parametrize("extended", [False, True])
def test_stoi(signals, extended):
    pystoi = pytest.importorskip("pystoi")
    estimates, references, rate = signals
    expected = torch.tensor(
        [
            pystoi.stoi(reference.numpy(), estimate.numpy(), rate, extended)
            for estimate, reference in zip(estimates, references, strict=True)
        ]
    ).double()
    for dtype in (torch.float32, torch.float64):
        found = stoi(estimates.to(dtype), references.to(dtype), rate, extended)
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)
