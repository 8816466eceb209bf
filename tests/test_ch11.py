"""Chapter 11: what its text claims is true on the pack."""

from __future__ import annotations

import pytest
import torch

from lib.classical import wiener_filter
from lib.data import NoisySpeech
from lib.losses import (
    make_objective,
    phase_sensitive_loss,
    phase_sensitive_magnitude,
    signal_approximation_loss,
)
from lib.metrics import bss_eval, si_sdr
from lib.models import CDAE, DeepRNN, Separator
from lib.models.deep_rnn import soft_mask_layer
from lib.stft import STFT
from lib.training.live import train_live

RATE, STEPS = 8000, 100


def _drawn(split: str, items: int) -> list:
    return list(NoisySpeech(split, items, 0, RATE, (-3.0, 3.0), ["siren", "wind"], seconds=2.0))


@pytest.fixture(scope="module")
def data():
    """Mixtures to learn from; test mixtures (B, 1, T) and their sources (B, 2, 1, T)."""
    test = _drawn("test", 12)
    stacked = [torch.stack([getattr(i, name) for i in test]) for name in ("mixture", "sources")]
    return _drawn("train", 64), *stacked


def _learn(model, items, **options) -> None:
    objective = make_objective("spectrogram", **options)
    train_live(model, items, objective, STEPS, learning_rate=2e-3, batch_size=8)


def _gain(estimates, mixtures, sources) -> torch.Tensor:
    voices = sources[:, 0]
    return (si_sdr(estimates[:, 0], voices) - si_sdr(mixtures, voices)).mean()


@pytest.fixture(scope="module")
def by_loss(data):
    """Estimates of one small network, trained with three losses."""
    items, mixtures, _ = data
    estimates = {}
    for name, options in {
        "l1": {"distance": "l1"},
        "l2": {"distance": "l2"},
        "power": {"distance": "l2", "scale": "power"},
    }.items():
        torch.manual_seed(0)
        model = DeepRNN(["speech", "noise"], 256, 128, 5, 2, 128, 0, True, RATE)
        _learn(model, items, **options)
        with torch.no_grad():
            estimates[name] = model(mixtures)
    return estimates


def test_l1_leaves_the_least_noise_and_powers_the_most(data, by_loss):
    _, mixtures, sources = data
    parts = {n: bss_eval(e[:, :, 0], sources[:, :, 0]) for n, e in by_loss.items()}
    sir = {name: float(part.sir[:, 0].mean()) for name, part in parts.items()}
    sar = {name: float(part.sar[:, 0].mean()) for name, part in parts.items()}
    assert sir["l1"] > sir["l2"] + 1 > sir["power"] + 2
    assert sar["l1"] < sar["power"]


def test_a_network_of_seconds_beats_the_wiener_filter_on_its_noises(data, by_loss):
    _, mixtures, sources = data
    filtered = wiener_filter(mixtures, RATE)[:, None]
    assert _gain(by_loss["l1"], mixtures, sources) > _gain(filtered, mixtures, sources) + 1


def test_a_mask_beats_the_spectrogram_from_the_same_network(data):
    class Masked(CDAE):
        def magnitudes(self, spectrogram):
            return soft_mask_layer(self.masker(spectrogram)) * spectrogram.abs()[:, None]

    items, mixtures, sources = data
    gains = []
    for kind in (CDAE, Masked):
        torch.manual_seed(0)
        model = kind(["speech", "noise"], 256, 128, [4, 6, 8], [(3, 2), (1, 2)], True, RATE)
        _learn(model, items, distance="l2")
        with torch.no_grad():
            gains.append(_gain(model(mixtures), mixtures, sources))
    assert gains[1] > gains[0] + 2


def test_the_shipped_network_beats_the_wiener_filter_and_falters_on_voices():
    shipped = Separator.from_pretrained("open-unmix-speech-small")
    gains = {"network": [], "Wiener": []}
    items = list(NoisySpeech("test", 20, 11, 16000, 0.0, seconds=3.0))
    for item in items:
        mixture, voice = item.mixture, item.sources[0]
        floor = si_sdr(mixture, voice)
        with torch.no_grad():
            gains["network"].append(si_sdr(shipped(mixture[None])[0, 0], voice) - floor)
        gains["Wiener"].append(si_sdr(wiener_filter(mixture, 16000), voice) - floor)
    network, wiener = (torch.stack(values) for values in gains.values())
    assert network.mean() > wiener.mean() + 3
    voices = torch.tensor([item.meta["noise"] in ("babble", "cafe") for item in items])
    assert network[voices].max() < network[~voices].median()


def test_phase_sensitive_error_is_the_complex_error_but_for_a_constant(data):
    _, mixtures, sources = data
    stft = STFT(256, 128)
    mixture, source = stft(mixtures[:2]), stft(sources[:2, 0])
    target = phase_sensitive_magnitude(source, mixture)
    constant = (source.abs().square() - target.square()).mean((-2, -1))
    for value in (0.0, 0.4, 1.3):
        mask = torch.full(mixture.shape, value)
        error = (mask * mixture - source).abs().square().mean((-2, -1))
        ours = phase_sensitive_loss(mask * mixture.abs(), source, mixture)
        torch.testing.assert_close(error, ours + constant, rtol=1e-4, atol=1e-6)


def test_silence_counts_in_the_mask_and_not_in_the_signal(data):
    _, mixtures, sources = data
    stft = STFT(256, 128)
    mixture, source = stft(mixtures[:2]), stft(sources[:2, 0])
    soft = mixture.abs() < mixture.abs().flatten(1).amax(1)[:, None, None, None] / 100
    assert soft.float().mean() > 0.3
    right = (source.abs() / mixture.abs().clamp_min(1e-9)).clamp(max=1)
    wrong = torch.where(soft, 1 - right, right)
    cost = [signal_approximation_loss(mask, source, mixture) for mask in (right, wrong)]
    scale = signal_approximation_loss(1 - right, source, mixture)
    assert ((cost[1] - cost[0]) < 0.02 * scale).all()
