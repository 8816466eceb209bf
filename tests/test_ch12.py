"""Chapter 12: what its text claims is true on the pack; what its widget refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lib.data import TwoSpeakers
from lib.errors import InputError
from lib.losses import active_points, deep_clustering_loss, dominant_source
from lib.masks import OracleMask
from lib.metrics import si_sdr
from lib.nn.misi import misi
from lib.stft import STFT
from lib.widgets.embedding_sphere import embedding_sphere

# ------------------------------------------------------------------ what the chapter claims


@pytest.fixture(scope="module")
def pack():
    drawn = list(TwoSpeakers("test", items=4, seed=12, seconds=2.0))
    return torch.stack([d.mixture for d in drawn]), torch.stack([d.sources for d in drawn])


def test_silent_bins_are_many_and_would_rule_the_loss(pack):
    mixture, sources = pack
    stft = STFT(256, 64, "sqrt_hann")
    spectrogram, owners = stft(mixture), dominant_source(stft(sources))
    weights = active_points(spectrogram)
    power = spectrogram.abs().square().mean(1).transpose(1, 2).flatten(1)
    silent = weights == 0
    assert silent.float().mean() > 0.5
    assert (power * silent).sum() < 0.02 * power.sum()
    perfect = torch.where(silent[..., None], torch.tensor([1.0, 0.0]), owners)
    assert deep_clustering_loss(perfect, owners, weights).max() < 1e-6
    assert deep_clustering_loss(perfect, owners).mean() > 0.3


def test_misi_helps_soft_masks_and_not_binary_ones(pack):
    mixture, sources = pack
    stft = STFT(256, 64, "sqrt_hann")
    spectrogram, spectra = stft(mixture), stft(sources)
    gained = {}
    for kind in ("true", "wfm", "ibm"):
        mask = 1 if kind == "true" else OracleMask.KINDS[kind](spectra, 1, spectrogram)
        magnitudes = spectra.abs() if kind == "true" else mask * spectrogram.abs()[:, None]
        before, after = (si_sdr(misi(magnitudes, mixture, stft, n), sources).mean() for n in (0, 5))
        gained[kind] = float(after - before)
    assert gained["true"] > 5 and 0.3 < gained["wfm"] < 3 and -1 < gained["ibm"] < 0.1


# ------------------------------------------------------------------ the widget


def _points(count: int = 12):
    generator = torch.Generator().manual_seed(0)
    embeddings = functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    return embeddings, torch.arange(count) % 2, torch.ones(count, dtype=torch.bool)


def test_owners_are_letters_and_silence_a_dash():
    embeddings, owners, active = _points()
    active[3] = False
    panel = embedding_sphere(embeddings, owners, active, bins=4)
    assert panel.config["owners"] == "aba-abababab"
    assert panel.config["points"]["shape"] == [12, 3]


def test_silent_points_may_have_any_length():
    embeddings, owners, active = _points()
    embeddings[0], active[0] = 0, False
    embedding_sphere(embeddings, owners, active, bins=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": torch.zeros(12, 2)}, "rows of 3"),
        ({"embeddings": torch.full((12, 3), 0.1)}, "unit norm"),
        ({"owners": torch.zeros(11, dtype=torch.long)}, "owners, active, bins"),
        ({"owners": torch.full((12,), 2)}, "owners: expected indices from 0 to 1"),
        ({"active": torch.zeros(12)}, "at least 2 points"),
        ({"bins": 5}, "divisor of 12"),
        ({"names": ("alone",)}, "2 to 4 each"),
        ({"clusters": 5}, "2 to 4 each"),
    ],
)
def test_what_the_sphere_refuses(change, message):
    embeddings, owners, active = _points()
    good = {"embeddings": embeddings, "owners": owners, "active": active, "bins": 4}
    with pytest.raises(InputError, match=message):
        embedding_sphere(**(good | change))
