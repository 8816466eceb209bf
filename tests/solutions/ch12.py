"""Chapter 12: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch12

low_rank_loss, attractors, misi_step = ch12.low_rank_loss, ch12.my_attractors, ch12.misi_step


RIGHT = {
    "ch12.low_rank_loss": [
        low_rank_loss,
        lambda v, y, w: (
            low_rank_loss(v * w.sqrt()[:, None], y * w.sqrt()[:, None], torch.ones_like(w))
            * len(w) ** 2
            / w.sum() ** 2
        ),
    ],
    "ch12.attractors": [attractors],
    "ch12.misi_step": [misi_step],
}


def _naive(v, y, w):
    return (w[:, None] * w * (v @ v.T - y @ y.T) ** 2).sum() / w.sum() ** 2


def _ones(v, y, w):
    return low_rank_loss(v, y, torch.ones_like(w))


def _only_phase(estimates, magnitudes, mixture, stft):
    return stft.inverse(torch.polar(magnitudes, stft(estimates).angle()), mixture.shape[-1])


def _whole_share(estimates, magnitudes, mixture, stft):
    return _only_phase(estimates + mixture - estimates.sum(0), magnitudes, mixture, stft)


WRONG = {
    "ch12.low_rank_loss": [
        (_naive, "no matrix of 200 x 200"),
        (_ones, "Silent points count"),
        (lambda v, y, w: low_rank_loss(v, y, w) * w.sum() ** 2, "number of pairs"),
        (lambda v, y, w: low_rank_loss(v, y, w) + 0.1, "||V'WV||^2"),
        (
            lambda v, y, w: (
                low_rank_loss(v * w[:, None], y * w[:, None], torch.ones_like(w))
                * len(w) ** 2
                / w.sum() ** 2
            ),
            "Each weight counts once",
        ),
    ],
    "ch12.attractors": [
        (lambda v, y, w: attractors(v, y, torch.ones_like(w)), "Silent points move"),
        (
            lambda v, y, w: torch.nn.functional.normalize(attractors(v, y, w), dim=1),
            "inside the sphere",
        ),
        (lambda v, y, w: (y * w[:, None]).T @ v, "That is the sum"),
        (
            lambda v, y, w: (y * w[:, None]).T @ v / (y * w[:, None]).sum(0)[:, None],
            "0 / 0 is NaN",
        ),
        (lambda v, y, w: attractors(v, y, w).T, "expected shape"),
    ],
    "ch12.misi_step": [
        (_only_phase, "The mixture is not used"),
        (_whole_share, "divide by their number"),
        (lambda e, m, x, stft: e + (x - e.sum(0)) / len(e), "has lost the magnitudes"),
        (lambda e, m, x, stft: e, "1/S of what"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {name: [..., None, _not_written] for name in RIGHT}
