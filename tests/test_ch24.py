"""Chapter 24: what its exercises and its widget take for right is what lib does."""

from __future__ import annotations

import pytest
import torch

from lib.blending import blend_weights
from lib.checks.ch24 import STEMS, ablation, aligned
from lib.models import HybridDemucs

# ------------------------------------------------------------------ alignment


@pytest.mark.parametrize("make", [HybridDemucs, HybridDemucs.small, HybridDemucs.tiny])
@torch.no_grad()
def test_branches_meet_where_the_exercise_says(make):
    """Behind each layer of lib's networks there are as many bins and steps."""
    narrow = {"filters": 4, "norm_starts": 9, "recurrent_starts": 9}
    with torch.device("meta"):
        config = make().config
    model, found = HybridDemucs(**config | narrow).eval(), {"bins": [], "steps": []}
    for layer in model.encoder[: len(model.time_encoder)]:
        layer.register_forward_hook(lambda _, inputs, x: found["bins"].append(x.shape[2]))
    for layer in model.time_encoder:
        layer.register_forward_hook(lambda _, inputs, y: found["steps"].append(y.shape[-1]))
    for length in (1000, 20_011):
        for sizes in found.values():
            sizes.clear()
        model(torch.randn(1, model.channels, length))
        expected = aligned(length, model.stft.n_fft, 4)
        assert list(zip(*found.values(), strict=True)) == expected
        assert expected[-1] == (1, -(-length // model.stft.hop_length))


# ------------------------------------------------------------------ blends


def test_the_best_weight_of_two_is_that_of_lib():
    first, second, source = torch.randn(3, 1, 1, 500, dtype=torch.float64)
    closed = ((source - second) * (first - second)).sum() / (first - second).square().sum()
    weights = blend_weights(torch.stack([first, second]), source, total=1.0)
    torch.testing.assert_close(weights[:, 0], torch.stack([closed, 1 - closed]))


# ------------------------------------------------------------------ published


def test_the_mixer_helps_drums_most_and_bass_never():
    values = {(system, stem): value for system, stem, value in ablation()}
    systems = list(dict.fromkeys(system for system, _ in values))
    alone, with_demucs = (
        {stem: values[systems[b], stem] - values[systems[a], stem] for stem in STEMS}
        for a, b in ((0, 1), (2, 3))
    )
    assert round(alone["drums"], 2) == 0.55 == round(max(alone.values()), 2)
    assert round(alone["bass"], 2) == -0.32
    assert [stem for stem in STEMS if alone[stem] < 0] == ["bass"]
    assert [stem for stem in STEMS if with_demucs[stem] < 0] == ["bass"]
