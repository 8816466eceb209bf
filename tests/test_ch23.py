"""Chapter 23: what its text claims is true, of gates, first weights, shifts, losses, the table."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from lib.data import speech
from lib.losses import l1_loss, multi_resolution_stft_loss
from lib.models import Demucs, Denoiser
from lib.nn.demucs import RunningLevel
from lib.published import published
from lib.stft import STFT

# ------------------------------------------------------------------ gates and first weights


def test_an_open_gate_is_a_straight_line_where_a_tangent_is_flat():
    a, b = torch.tensor(4.0, requires_grad=True), torch.tensor(6.0)
    (glu,) = torch.autograd.grad(functional.glu(torch.stack([a, b]), 0)[0], a)
    (gated,) = torch.autograd.grad(a.tanh() * b.sigmoid(), a)
    assert glu > 0.99 and gated < 0.002
    assert functional.glu(torch.tensor([4.0, 0.0]), 0) == 2.0  # not yet learned: half open


def test_pytorch_draws_weights_the_smaller_the_more_meet():
    torch.manual_seed(0)
    for inputs, size in ((4, 8), (64, 8), (256, 1)):
        spread = nn.Conv1d(inputs, 512, size).weight.std()
        assert spread.item() == pytest.approx((3 * inputs * size) ** -0.5, rel=0.02)


def test_rescaled_weights_let_more_of_a_signal_through():
    """Each level costs less than the one before; without, each costs about the same."""
    levels, slopes = {}, {}
    for rescaled in (True, False):
        torch.manual_seed(23)
        model, seen = Demucs(filters=16, resampling=False), []
        for layer in () if rescaled else model.modules():
            if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
                layer.reset_parameters()
        for block in model.down:
            block.register_forward_hook(lambda block, taken, given, seen=seen: seen.append(given))
        (model(torch.randn(1, 2, 11_025)) - torch.randn(1, 1, 2, 11_025)).abs().mean().backward()
        levels[rescaled] = torch.stack([10 * one.var(-1).mean().log10() for one in seen]).detach()
        norms = torch.stack([block.convolution.weight.grad.norm() for block in model.down])
        slopes[rescaled] = 20 * (norms[5] / norms[0]).log10()
    costs = -levels[True].diff()
    assert (costs.diff() < 0).all()
    assert ((-levels[False].diff() - 18).abs() < 4).all()
    assert levels[True][5] > levels[False][5] + 30
    assert slopes[True] > slopes[False] + 40


# ------------------------------------------------------------------ frames and look-ahead


def test_what_a_value_of_the_middle_covers():
    assert Demucs(filters=1, context=1).valid_length(1) / 44.1 == pytest.approx(108.3, abs=0.1)
    assert Denoiser(hidden=1).frame == 597
    reach = [8]
    for _ in range(4):
        reach.append((reach[-1] - 1) * 4 + 8)
    assert reach == [8, 36, 148, 596, 2388] and reach[-1] == 4 * 597


def test_hardly_anything_behind_its_frame_counts_for_an_output():
    torch.manual_seed(0)
    model = Denoiser(hidden=6, normalize=None).double().eval()
    mixture = torch.randn(1, 1, 1400, dtype=torch.float64, requires_grad=True)
    answer, reach = model(mixture)[0, 0, 0], []
    for place in (256, 429, 510):  # the first of a step, the worst, one of the last
        slope = torch.autograd.grad(answer[place], mixture, retain_graph=True)[0][0, 0].abs()
        reach.append(int(slope.nonzero().max()) - place)
        assert slope[256 + model.frame :].sum() < 1e-7 * slope.sum()
    assert max(reach) == model.lookahead == 763


def test_a_loud_start_raises_the_level_for_long():
    slam, rest = torch.full((1, 1, 1000), 100.0), torch.ones(1, 1, 99_000)
    level = RunningLevel()(torch.cat([slam, rest], -1))[0, 0]
    for seconds in (10, 50, 100):  # of 1000 samples
        assert float(level[1000 * seconds - 1]) == pytest.approx(100 / seconds**0.5, rel=0.01)


# ------------------------------------------------------------------ shifts and losses


def test_what_the_mean_of_correlated_errors_keeps():
    torch.manual_seed(0)
    rho, count = 0.7, 16
    common, own = torch.randn(100_000), torch.randn(count, 100_000)
    errors = rho**0.5 * common + (1 - rho) ** 0.5 * own
    for n in (1, 2, 4, 16):
        power = float(errors[:n].mean(0).square().mean())
        assert power == pytest.approx(rho + (1 - rho) / n, rel=0.02)


def test_each_loss_hears_what_the_other_misses():
    said, stft = speech("test", sample_rate=16000)[:, :48000], STFT(1024, 256)
    hiss = said.std() * torch.randn(said.shape, generator=torch.Generator().manual_seed(23))
    low = stft(said)
    low[:, 256:] = 0

    def losses(estimate):
        """Relative to those of silence."""
        return [
            float(loss(estimate, said) / loss(0 * said, said))
            for loss in (l1_loss, multi_resolution_stft_loss)
        ]

    waveform, spectral = losses(-said)
    assert waveform == pytest.approx(2) and spectral == pytest.approx(0, abs=1e-6)
    waveform, spectral = losses(said.roll(3, -1))
    assert waveform > 0.4 and spectral < 0.02
    for soft in (said + hiss / 100, stft.inverse(low, said.shape[-1])):
        waveform, spectral = losses(soft)
        assert waveform < 0.05 and spectral > 0.1


# ------------------------------------------------------------------ sizes and the table


def test_the_size_that_a_paper_on_speech_prints_is_that_of_80_channels():
    (printed,) = published(metric="parameters", system="Demucs v1", verified=True).value
    with torch.device("meta"):
        model = Demucs(["a", "b"], channels=1, filters=80)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(printed, abs=0.005)


@pytest.fixture
def table():
    """The table of the music paper: SDR by extra songs and system, and stem."""
    rows = published("MUSDB18", "SDR (cSDR, BSSEval v4)")
    rows = rows[rows.source_paper.str.contains("comparison table on MusDB")]
    parts = rows.split_or_condition.str.extract(r"test, (?P<stem>\w+); .*: (?P<extra>.*)")
    rows = rows.assign(**parts, name=rows.system.str.split(" (", regex=False).str[0])
    return rows.pivot_table("value", ["extra", "name"], "stem", sort=False)


def test_two_rows_are_twins_and_all_means_fit(table):
    assert list(table[table.duplicated(keep=False)].index) == [
        ("none", "D3Net"),
        ("~2.5k tracks", "TasNet with extra data"),
    ]
    means = table.drop(columns="all").mean(axis=1)
    assert (means - table["all"]).abs().max() < 0.01


def test_who_leads(table):
    ours = table.loc["none"].drop(index="IRM oracle")
    assert dict(ours.idxmax()) == {
        "all": "Demucs v2",
        "bass": "Demucs v2",
        "drums": "D3Net",
        "other": "D3Net",
        "vocals": "D3Net",
    }
    oracle = table.loc["none", "IRM oracle"]
    rivals = table.drop(index=[("none", "IRM oracle")])
    above = rivals.gt(oracle).stack()
    assert list(above[above].index) == [("150 tracks", "Demucs v2", "bass")]


def test_version_two_gained_what_150_songs_had_brought(table):
    first = published("MUSDB18", "SDR (cSDR, BSSEval v4)", "Demucs v1").value
    assert list(first) == [5.6, 6.3]
    assert round(table.loc[("none", "Demucs v2"), "all"], 1) == 6.3


def test_listeners_and_sdr_do_not_agree():
    quality = published("MUSDB18", "MOS quality").set_index("system").value
    rival = "Conv-Tasnet (Défossez et al. adaptation)"
    assert quality["Demucs v1"] > quality[rival]
    sdr = published("MUSDB18", "SDR (cSDR, BSSEval v4)", rival)
    assert sdr.value.iloc[0] > 5.6
