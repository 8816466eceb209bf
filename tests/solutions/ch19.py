"""Chapter 19: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from torch import nn
from worked import ch19

from lib.metrics import si_sdr

find_condition, FiLM = ch19.find_condition, ch19.FiLM


def _score(separate, mixture, drums, conditions):
    estimates = separate(mixture, conditions)
    return si_sdr(estimates, drums.expand_as(estimates))[:, 0]


def _by_lot(separate, mixture, drums):
    drawn = 2 * torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    return drawn[_score(separate, mixture, drums, drawn).argmax()].tolist()


def _best_one_hot(separate, mixture, drums):
    one_hot = torch.eye(4)
    return one_hot[_score(separate, mixture, drums, one_hot).argmax()]


def _best_corner(separate, mixture, drums):
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)[1:]
    corners = corners[corners.sum(1) > 1]
    return corners[_score(separate, mixture, drums, corners).argmax()]


def _few_steps(separate, mixture, drums):
    return 0.01 * find_condition(separate, mixture, drums)


def _estimate(separate, mixture, drums):
    return separate(mixture, find_condition(separate, mixture, drums)[None])[0]


def _without_batch(separate, mixture, drums):
    return separate(mixture, torch.zeros(4))


class _FromOneLayer(nn.Module):
    def __init__(self, conditions, channels):
        super().__init__()
        self.layer = nn.Linear(conditions, 2 * channels)
        nn.init.zeros_(self.layer.bias)

    def forward(self, features, condition):
        numbers = self.layer(condition).view(*condition.shape[:1], -1, *[1] * (features.ndim - 2))
        gamma, beta = numbers.chunk(2, 1)
        return (1 + gamma) * features + beta


class _PlanesOnly(FiLM):
    def forward(self, features, condition):
        gamma, beta = self.gamma(condition), self.beta(condition)
        return gamma[..., None, None] * features + beta[..., None, None]


class _OneForAll(FiLM):
    def numbers(self, features, condition):
        return tuple(
            one.mean(1, keepdim=True).expand_as(one) for one in super().numbers(features, condition)
        )


class _Bent(FiLM):
    def forward(self, features, condition):
        changed = super().forward(features, condition)
        return changed + 0.1 * (changed.sin() - features.sin())


class _NoShift(FiLM):
    def forward(self, features, condition):
        return self.numbers(features, condition)[0] * features


class _Detached(FiLM):
    def forward(self, features, condition):
        return super().forward(features, condition.detach())


class _Unused(FiLM):
    def __init__(self, conditions, channels):
        super().__init__(conditions, channels)
        self.spare = nn.Linear(channels, channels)


class _MeanCondition(FiLM):
    def forward(self, features, condition):
        scale = 1 + 0.1 * condition.mean()
        return super().forward(features, condition * scale)


RIGHT = {
    "ch19.per_song": [ch19.best_per_song, ["conv-tasnet", 0.39]],
    "ch19.find_condition": [find_condition, _by_lot],
    "ch19.film": [ch19.new_film, _FromOneLayer],
}

WRONG = {
    "ch19.per_song": [
        (("D3Net", 0.0447), "gains most in all"),
        (("Demucs", 0.34), "does not gain most per song"),
        (("MMDenseLSTM", 0.1), "with and without extra data"),
        (("Conv-TasNet", 0.0039), "per 100 songs"),
        (("Conv-TasNet", 0.236), "the extra songs only"),
        (("Conv-TasNet", 0.59), "the gain in all"),
        (("Conv-TasNet", "0.39"), "expected numbers"),
        (0.39, "a pair"),
    ],
    "ch19.find_condition": [
        (_best_one_hot, "Look between them"),
        (_best_corner, "negative numbers"),
        (_few_steps, "Go on"),
        (_estimate, "not the estimate"),
        (_without_batch, "expected conditions of shape"),
    ],
    "ch19.film": [
        (lambda n, c: FiLM(n, c, first_scale=0.0), "Scales begin at 1"),
        (_PlanesOnly, "expected the same shape"),
        (_OneForAll, "as many outputs"),
        (_Bent, "FiLM is affine"),
        (_NoShift, "expected a shift for each channel"),
        (_Detached, "gradient for the condition"),
        (_Unused, "gradient for spare"),
        (_MeanCondition, "each item of the batch for itself"),
        (lambda n, c: torch.zeros(1), "expected an nn.Module"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch19.per_song": [..., None, (..., ...), (None, 0.1)],
    "ch19.find_condition": [..., None, _not_written, lambda *arguments: None],
    "ch19.film": [..., None, _not_written, lambda conditions, channels: None],
}
