"""Chapter 9: what its text claims is true on the pack."""

from __future__ import annotations

import pytest
import torch

from lib import masks
from lib.data import TwoSpeakers
from lib.errors import InputError
from lib.masks import OracleMask
from lib.metrics import si_sdr
from lib.published import published
from lib.stft import STFT
from lib.widgets.mask_painter import mask_painter

# ------------------------------------------------------------------ what the chapter claims


@pytest.fixture(scope="module")
def pack():
    drawn = list(TwoSpeakers("test", items=30, seed=9, seconds=3.5))
    return torch.stack([d.mixture for d in drawn]), torch.stack([d.sources for d in drawn])


def gain(kind, batch, n_fft=256, **options) -> float:
    """Mean SI-SDRi in dB."""
    mixture, sources = batch
    estimates = OracleMask(kind, STFT(n_fft, n_fft // 4), **options)(mixture, sources)
    floor = si_sdr(mixture[:, None].expand_as(sources), sources)
    return float((si_sdr(estimates, sources) - floor).mean())


def test_the_order_of_the_literature_within_3_db_of_its_values(pack):
    rows = published("WSJ0-2mix", "SI-SNRi", "(oracle)", verified=True)
    rows = rows[rows.source_paper.str.contains("Conv-TasNet")].set_index("system").value
    ours = {kind: gain(kind, pack) for kind in ("irm", "ibm", "wfm", "psm")}
    assert ours["irm"] + 0.3 < ours["ibm"] < ours["wfm"] - 0.1
    assert ours["psm"] > ours["wfm"] + 1
    for kind in ("irm", "ibm", "wfm"):
        assert abs(ours[kind] - rows[f"{kind.upper()} (oracle)"]) < 3


def test_the_complex_mask_restores_the_sources_and_its_bounds_cost(pack):
    few = pack[0][:4], pack[1][:4]
    scores = [gain("cirm", few, **({"bound": b} if b else {})) for b in (1.0, 2.0, 10.0, None)]
    assert scores == sorted(scores)
    mixture, sources = few
    assert si_sdr(OracleMask("cirm", STFT(256, 64))(mixture, sources), sources).min() > 60
    assert scores[-2] < 60


def test_the_phase_tax(pack):
    few = pack[0][:4], pack[1][:4]
    now = {kind: gain(kind, few) for kind in ("irm", "ibm", "wfm", "am", "psm")}
    true = {kind: gain(kind, few, true_phase=True) for kind in now}
    tax = {kind: true[kind] - now[kind] for kind in now}
    assert min(tax, key=tax.get) == "ibm" and max(tax, key=tax.get) == "am"
    assert true["am"] > 60 and abs(now["am"] - now["irm"]) < 0.5
    assert max(now, key=now.get) == "psm" and true["psm"] < 30


def test_oracles_move_with_the_window_and_keep_their_order(pack):
    few = pack[0][:4], pack[1][:4]
    for n_fft in (64, 256, 1024):
        scores = [gain(kind, few, n_fft) for kind in ("irm", "ibm", "wfm", "psm")]
        assert scores == sorted(scores)
    assert gain("irm", few, 512) > gain("irm", few, 64) + 3


def test_a_sum_of_one_does_not_give_the_magnitudes_back():
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(2, 1000, 1, generator=generator, dtype=torch.complex128)
    irm = masks.ideal_ratio_mask(sources)
    torch.testing.assert_close(irm.sum(0), torch.ones(1000, 1, dtype=torch.float64))
    error = irm * sources.sum(0).abs() - sources.abs()
    assert error.abs().mean() / sources.abs().mean() > 0.2


# ------------------------------------------------------------------ the widget


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ({"one": torch.zeros(800)}, {}, "at least two signals"),
        ([torch.zeros(800)] * 2, {}, "expected a dict"),
        ({"a": torch.zeros(800), "b": torch.zeros(900)}, {}, "of one length"),
        ({"a": torch.zeros(2, 800), "b": torch.zeros(2, 800)}, {}, "mono"),
        ({"a": torch.ones(800), "b": torch.ones(800)}, {}, "got a peak of 2"),
        ({"a": torch.zeros(800), "b": torch.zeros(800)}, {"n_fft": 300}, "power of two"),
        ({"a": torch.zeros(800), "b": torch.zeros(800)}, {"hop_length": 200}, "at most half"),
    ],
)
def test_what_the_painter_cannot_take(sources, options, message):
    with pytest.raises(InputError, match=message):
        mask_painter(sources, 8000, **options)
