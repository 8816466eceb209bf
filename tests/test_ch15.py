"""Chapter 15: what its text claims is true, of blocks, norms and the published tables."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from lib.evaluation import bootstrap_interval
from lib.models import ConvTasNet
from lib.nn.norms import make_norm
from lib.nn.tcn import TCN, DilatedBlock, receptive_field
from lib.published import published
from lib.results import stored
from lib.separate import Streamer

# ------------------------------------------------------------------ the field


@pytest.mark.parametrize(
    ("taps", "blocks", "repeats"), [(3, 4, 1), (3, 4, 6), (3, 6, 4), (3, 7, 2), (5, 5, 2)]
)
@pytest.mark.parametrize("causal", [False, True])
def test_the_field_by_gradient_is_that_of_the_formula(taps, blocks, repeats, causal):
    torch.manual_seed(0)
    network = TCN(2, 3, 2, taps, blocks, repeats, norm="channel", causal=causal).double()
    frames = torch.randn(1, 2, 1501, dtype=torch.float64, requires_grad=True)
    place = 1200 if causal else 750
    network(frames)[0, :, place].sum().backward()
    reached = frames.grad.abs().sum(1)[0].gt(0).nonzero()[:, 0]
    assert len(reached) == receptive_field(taps, blocks, repeats)
    assert int(reached[-1] - reached[0]) + 1 == len(reached)  # none is left out
    assert not causal or int(reached[-1]) == place


def test_repeats_see_less_than_doubling():
    assert receptive_field(3, 4, 6) < receptive_field(3, 6, 4) < receptive_field(3, 8, 3) == 1531


# ------------------------------------------------------------------ blocks and norms


def test_what_a_separable_convolution_costs():
    hidden, bottleneck, taps = 512, 128, 3
    full = nn.Conv1d(hidden, hidden, taps, bias=False).weight.numel()
    deep = nn.Conv1d(hidden, hidden, taps, groups=hidden, bias=False).weight.numel()
    point = nn.Conv1d(hidden, bottleneck, 1, bias=False).weight.numel()
    assert (deep + point) / full == pytest.approx(1 / hidden + bottleneck / (hidden * taps))


def test_a_silent_residual_path_leaves_the_input():
    block = DilatedBlock(8, 16, 4, dilation=4)
    nn.init.zeros_(block.residual.weight)
    nn.init.zeros_(block.residual.bias)
    features = torch.randn(2, 8, 50)
    assert torch.equal(block(features)[0], features)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("global", set(range(9))), ("cumulative", set(range(5))), ("channel", {4})],
)
def test_the_frames_that_a_norm_reads(name, expected):
    features = torch.randn(1, 4, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    make_norm(name, 4)(features)[0, 0, 4].backward()
    assert set(features.grad[0].abs().amax(0).gt(1e-6).nonzero()[:, 0].tolist()) == expected


@torch.no_grad()
def test_the_channel_norm_makes_a_pause_as_loud_as_a_vowel():
    features = torch.randn(1, 64, 20, generator=torch.Generator().manual_seed(0))
    features[..., 10:] *= 0.01
    power = {
        name: make_norm(name, 64)(features).square().mean(1)[0] for name in ("channel", "global")
    }
    assert power["channel"][10:].mean() == pytest.approx(1, abs=1e-3)
    assert power["global"][10:].mean() < 1e-3


# ------------------------------------------------------------------ the phase


def test_unequal_weights_turn_the_phase_and_equal_ones_do_not():
    time = torch.arange(16, dtype=torch.float64) / 16 * 2 * torch.pi
    basis = torch.stack([time.cos(), time.sin()])
    features = basis @ torch.cos(time + torch.pi / 3) / 8
    for first, second in ((0.6, 0.6), (1.0, 0.3), (0.3, 1.0)):
        masked = torch.tensor([first, second], dtype=torch.float64) * features
        phase = torch.fft.rfft(masked @ basis)[1].angle()
        expected = torch.atan(torch.tensor(second / first * 3**0.5, dtype=torch.float64))
        assert torch.allclose(phase, expected)


# ------------------------------------------------------------------ causal, and silence


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    sizes = {"filters": 32, "bottleneck": 8, "hidden": 16, "skip": 8, "blocks": 3, "repeats": 1}
    return {causal: ConvTasNet(**sizes, causal=causal).double().eval() for causal in (False, True)}


@torch.no_grad()
def test_a_causal_network_waits_for_fifteen_samples_and_streams(networks):
    mixture, waits = torch.randn(1, 1, 400, dtype=torch.float64), []
    whole = networks[True](mixture)
    for place in range(200, 208):
        changed = mixture.clone()
        changed[..., place] += 1
        waits.append(place - int((networks[True](changed) != whole).any(1)[0, 0].nonzero()[0]))
    assert max(waits) == 15 > min(waits)
    stream = Streamer(networks[True])
    pieces = [stream.push(chunk) for chunk in mixture[0].split(37, -1)] + [stream.flush()]
    assert torch.allclose(torch.cat(pieces, -1), whole[0])


@torch.no_grad()
@pytest.mark.parametrize("causal", [False, True])
def test_silence_behind_reaches_the_speech_through_the_global_norm_only(networks, causal):
    mixture = torch.randn(1, 1, 2000, dtype=torch.float64)
    longer = torch.cat([mixture, torch.zeros(1, 1, 8000, dtype=torch.float64)], -1)
    early = slice(0, 1000)  # further from the silence than the convolutions see
    estimates = [networks[causal](one)[..., early] for one in (mixture, longer)]
    assert torch.allclose(*estimates) == causal


# ------------------------------------------------------------------ the published tables


def configurations() -> dict[str, dict[str, float]]:
    rows = published(system="Conv-TasNet [N=")
    return rows.pivot_table("value", "system", "metric").to_dict("index")


def test_sizes_and_fields_of_the_table_agree_with_a_count_but_for_one():
    wrong = []
    for name, row in configurations().items():
        filters, size, bottleneck, hidden, skip, taps, blocks, repeats = map(
            int, re.findall(r"=(\d+)", name)
        )
        with torch.device("meta"):
            model = ConvTasNet(2, filters, size, bottleneck, hidden, skip, taps, blocks, repeats)
        millions = sum(p.numel() for p in model.parameters()) / 1e6
        field = ((receptive_field(taps, blocks, repeats) - 1) * size / 2 + size) / 8000
        assert abs(field - row["receptive field"]) < 0.0051
        if abs(millions - row["parameters"]) > 0.051:
            wrong.append((row["parameters"], round(millions, 2)))
    assert len(configurations()) == 15 and wrong == [(2.4, 2.24)]
    unverified = published(system="Conv-TasNet [N=", verified=False)
    assert unverified["metric"].tolist() == ["parameters"]


def test_what_mattered_in_the_paper():
    score = {
        tuple(re.findall(r"=(\d+)", name)) + (name[-4:-1],): row["SI-SNRi"]
        for name, row in configurations().items()
    }
    small = [value for key, value in score.items() if key[5:8] == ("3", "7", "2")]
    assert len(small) == 9 and (min(small), max(small)) == (13.0, 13.5)
    rest = ("128", "512", "128", "3")
    best = {size: score["512", size, *rest, "8", "3", "gLN"] for size in ("40", "32", "16")}
    assert best == {"40": 14.5, "32": 14.7, "16": 15.3}
    assert score["512", "40", *rest, "4", "6", "gLN"] == 13.9
    loss = best["16"] - score["512", "16", *rest, "8", "3", "cLN"]
    assert loss == pytest.approx(4.7)


def test_the_claim_of_the_paper_and_music():
    rows = published("WSJ0-2mix", "SI-SNRi", verified=True)
    rows = rows[rows.source_paper.str.contains("Table IV")].set_index("system").value
    gaps = [rows["Conv-TasNet-gLN"] - rows[f"{kind} (oracle)"] for kind in ("IRM", "IBM", "WFM")]
    assert 3.2 > gaps[0] > gaps[1] > gaps[2] > 1.8
    sizes = published(metric="parameters", verified=True).drop_duplicates("system")
    sizes = sizes.set_index("system").value
    assert sizes["BLSTM-TasNet"] / sizes["Conv-TasNet-gLN"] > 4
    assert sizes["LSTM-TasNet"] / sizes["Conv-TasNet-cLN"] > 6
    music = published("MUSDB18", "SDR (cSDR, BSSEval v4)")
    music = music[music.split_or_condition == "test, all; extra training data: none"]
    music = music[music.source_paper.str.contains("1911.13254")].set_index("system").value
    order = [
        music.filter(like=name).iloc[0]
        for name in ("Wave-U-Net", "Open-Unmix", "Conv-Tasnet", "Demucs v2", "IRM oracle")
    ]
    assert order == sorted(order)


# ------------------------------------------------------------------ ours and the masks


def test_ours_passes_the_irm_for_a_woman_and_a_man_only():
    means = stored("two_speakers").pivot_table("si_sdr_i", ["item", "sexes"], "method")
    same = means.index.get_level_values("sexes").isin(["FF", "MM"])
    ours = means["conv-tasnet-small"]
    gaps = {kind: (ours - means[kind]).to_numpy() for kind in ("irm", "ibm", "wfm")}
    assert bootstrap_interval(gaps["irm"][~same], np.mean)[1] > 0
    for kind, gap in gaps.items():
        assert bootstrap_interval(gap[same], np.mean)[2] < 0, kind
        assert kind == "irm" or bootstrap_interval(gap, np.mean)[2] < 0, kind
    # where it is worse, it is much worse
    assert np.mean(gaps["irm"]) < 0 < np.median(gaps["irm"])
