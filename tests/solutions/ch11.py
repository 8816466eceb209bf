"""Chapter 11: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from worked import ch11

from lib.data import NoisySpeech
from lib.losses import make_objective
from lib.models import OpenUnmix
from lib.training.live import train_live

best_constants, signal_approximation = ch11.best_constants, ch11.my_loss


def _network(hidden: int = 92) -> OpenUnmix:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return OpenUnmix(
            ["speech"],
            "noise",
            channels=1,
            n_fft=256,
            hop_length=128,
            bandwidth=None,
            hidden=hidden,
            layers=1,
            activation="sigmoid",
            log=True,
            dropout=0.0,
            sample_rate=8000,
        )


class Trained(nn.Module):
    """A small network that learns when it is called first: importing this file stays cheap."""

    def __init__(self):
        super().__init__()
        self.network, self.learned = _network(), False

    def forward(self, mixture):
        if not self.learned:
            items = list(
                NoisySpeech("train", 64, 0, 8000, (-3, 3), ["keyboard", "cafe"], seconds=2.0)
            )
            objective = make_objective("spectrogram", distance="l2")
            with torch.enable_grad():
                train_live(self.network, items, objective, 150, learning_rate=3e-3, batch_size=8)
            self.learned = True
        return self.network(mixture)


class Swapped(nn.Module):
    """The noise first."""

    def __init__(self, separator: nn.Module):
        super().__init__()
        self.separator = separator

    def forward(self, mixture):
        return self.separator(mixture).flip(1)


class Same(nn.Module):
    """The mixture as it is, from a network with one parameter."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, mixture):
        return self.gain * mixture[:, None]


class Flat(Same):
    def forward(self, mixture):
        return mixture


_trained = Trained()
RIGHT = {
    "ch11.best_constants": [
        best_constants,
        lambda values: [float(np.median(values)), float(np.mean(values.numpy()))],
    ],
    "ch11.signal_approximation": [signal_approximation],
    "ch11.separator": [_trained],
}


def _mask_approximation(mask, reference, mixture):
    return (mask - reference.abs() / mixture.abs()).square().mean()


WRONG = {
    "ch11.best_constants": [
        (lambda values: (values.mean(), values.median()), "L1 first"),
        (lambda values: (values.mean(), values.mean()), "count"),
        (lambda values: values.median(), "expected shape (2,)"),
    ],
    "ch11.signal_approximation": [
        (_mask_approximation, "mask approximation still"),
        (lambda m, s, x: (m * x - s).abs().square().mean(), "the phases are part"),
        (lambda m, s, x: (m * x.abs() - s.abs()).square().sum(), "not the sum"),
        (lambda m, s, x: (m * x.abs() - s.abs()).abs().mean(), "L1 form"),
        (lambda m, s, x: signal_approximation(m, s, x) + 0.1, "averaged over all points"),
        (lambda m, s, x: signal_approximation(m.detach(), s, x), "with a gradient"),
        (
            lambda m, s, x: signal_approximation(m.detach(), s, x) + 0 * m.sum(),
            "its gradient: expected",
        ),
    ],
    "ch11.separator": [
        (lambda mixture: mixture[:, None], "expected a network"),
        (_network(hidden=256), "the parameters"),
        (Flat(), "the estimates: expected shape"),
        (Same(), "more than 5 dB, got 0.0 dB"),
        (Swapped(_trained), "the speech must come first"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch11.best_constants": [..., None, _not_written],
    "ch11.signal_approximation": [..., None, _not_written],
    "ch11.separator": [..., None],
}
