"""Chapter 16: what its text claims is true, of folds, streams, rivals and the published tables."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib.data import TwoSpeakers
from lib.filterbanks import FreeFilterbank
from lib.losses import si_snr_loss
from lib.masks import OracleMask
from lib.metrics import si_sdr
from lib.models import DPRNN, ConvTasNet, SuDoRMRF
from lib.models.dprnn import RecurrentPath
from lib.nn.dual_path import DualPath, DualPathBlock, segment
from lib.nn.u_conv import UConvBlock
from lib.published import published
from lib.separate import Streamer
from lib.stft import STFT

# ------------------------------------------------------------------ the fold


@pytest.mark.parametrize(("window", "chunk", "frames"), [(16, 100, 4001), (2, 250, 32_001)])
def test_the_published_chunks_are_near_the_square_root(window, chunk, frames):
    assert FreeFilterbank(1, window).frames(4 * 8000) == frames
    best = min(len(segment(torch.zeros(1, 1, frames), k)) + k for k in range(2, 600, 2))
    assert len(segment(torch.zeros(1, 1, frames), chunk)) + chunk < 1.03 * best
    root = 2 * round((2 * frames) ** 0.5 / 2)
    assert len(segment(torch.zeros(1, 1, frames), root)) + root <= best + 2


def influence(network, frames=1024, channels=16):
    """Of each frame on the last one, by distance, relative to its own."""
    x = torch.randn(1, frames, channels, dtype=torch.float64, requires_grad=True)
    network(x)[0, -1, 0].backward()
    strength = x.grad[0].norm(dim=1).flip(0)
    return strength / strength[0]


def test_an_untrained_blstm_forgets_by_frames_and_a_dual_path_by_chunks():
    torch.manual_seed(0)
    flat = influence(RecurrentPath(16, 32).double())
    block = DualPathBlock(RecurrentPath(16, 32), RecurrentPath(16, 32), 16, "channel")
    folded = DualPath([block], 46).double()
    path = influence(lambda x: folded(x.mT).mT)
    assert flat[100] < 1e-20 < 1e-8 < path[100:110].max()
    assert path[23 * 10 : 23 * 11].max() > 1e-20  # ten chunks back


@pytest.mark.parametrize(
    ("inside", "across", "expected"),
    [(True, None, 10), (None, True, 6), (True, True, 60), (True, False, 40)],
)
def test_what_a_frame_hears(inside, across, expected):
    paths = (
        nn.Identity() if both is None else RecurrentPath(8, 8, bidirectional=both)
        for both in (inside, across)
    )
    block = DualPathBlock(*paths, 8, "channel").double()
    chunks = torch.randn(6, 1, 10, 8, dtype=torch.float64, requires_grad=True)
    block(chunks)[3, 0, 5, 0].backward()
    assert int(chunks.grad.abs().sum((1, 3)).gt(0).sum()) == expected


def kept(network, x):
    """Bytes that wait for the gradient."""
    sizes = []

    def note(tensor):
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(x)
    return sum(sizes)


def test_the_fold_keeps_more_and_waits_less():
    for frames in (500, 2000):
        chunk = 2 * round((2 * frames) ** 0.5 / 2)
        flat = nn.Sequential(RecurrentPath(32, 32), RecurrentPath(32, 32))
        dual = DualPath([DualPathBlock(RecurrentPath(32, 32), RecurrentPath(32, 32), 32)], chunk)
        x = torch.randn(1, frames, 32, requires_grad=True)
        assert 2 * kept(flat, x) < kept(lambda one: dual(one.mT), x) < 6 * kept(flat, x)  # noqa: B023
        walk = chunk + len(segment(x.mT, chunk))
        assert walk < 1.1 * 2 * (2 * frames) ** 0.5 < 2 * frames / 5


def test_the_size_does_not_depend_on_the_chunk():
    with torch.device("meta"):
        sizes = {sum(p.numel() for p in DPRNN(chunk=k).parameters()) for k in (100, 250, 500)}
    assert sizes == {2_608_065}


# ------------------------------------------------------------------ streams


@torch.no_grad()
def test_the_causal_network_waits_for_a_chunk_and_streams():
    torch.manual_seed(0)
    sizes = {"filters": 16, "kernel_size": 4, "channels": 8, "hidden": 8, "blocks": 2, "chunk": 10}
    model = DPRNN(**sizes, causal=True).double().eval()
    mixture, waits = torch.randn(1, 1, 300, dtype=torch.float64), []
    whole = model(mixture)
    for place in range(150, 160):
        changed = mixture.clone()
        changed[..., place] += 1
        waits.append(place - int((model(changed) != whole).any(1)[0, 0].nonzero()[0]))
    assert max(waits) == model.lookahead == 9 * 2 + 3
    stream = Streamer(model)
    pieces = [stream.push(part) for part in mixture[0].split(37, -1)] + [stream.flush()]
    assert torch.allclose(torch.cat(pieces, -1), whole[0])


def test_what_live_networks_wait_for():
    with torch.device("meta"):
        short, long = DPRNN.paper(causal=True), DPRNN(kernel_size=16, chunk=100, causal=True)
        assert (short.lookahead, long.lookahead) == (250, 807)
        assert ConvTasNet.paper(causal=True).lookahead == 15
        assert DPRNN.paper().lookahead is None


# ------------------------------------------------------------------ the rivals


def step_one(bank, mixtures, sources):
    features = bank(sources.flatten(0, 1)).unflatten(0, sources.shape[:2])
    masks = features / features.sum(1, keepdim=True).clamp_min(1e-8)
    return bank.inverse(masks * bank(mixtures)[:, None], mixtures.shape[-1])


def test_ideal_masks_of_learned_features_pass_the_ideal_ratio_mask():
    """A short training: of other speakers than those that are tested."""
    train, test = (
        TwoSpeakers(part, items=count, seed=16, seconds=1.0, sample_rate=8000)
        for part, count in (("train", 64), ("test", 12))
    )
    data, held = (
        tuple(torch.stack([getattr(one, k) for one in part]) for k in ("mixture", "sources"))
        for part in (list(train), list(test))
    )
    torch.manual_seed(0)
    bank = FreeFilterbank(128, 16, rectified=True)
    optimiser = torch.optim.Adam(bank.parameters(), 1e-2)
    before = si_sdr(step_one(bank, *held), held[1]).mean()
    for step in range(100):
        part = slice(4 * (step % 16), 4 * (step % 16) + 4)
        loss = si_snr_loss(step_one(bank, data[0][part], data[1][part]), data[1][part]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = si_sdr(step_one(bank, *held), held[1]).mean()
    ratio = si_sdr(OracleMask("irm", STFT(256, 64))(*held), held[1]).mean()
    assert before < ratio < after - 0.4


def test_the_levels_of_a_block_cost_less_than_two():
    block, seen = UConvBlock(8, 16, depth=5), []
    for level in block.levels:
        level.register_forward_hook(lambda module, taken, given: seen.append(given.shape[-1]))
    block(torch.randn(1, 8, 1000))
    assert seen == [1000, 500, 250, 125, 63]


def test_six_pairs_of_mulcat_have_the_published_size():
    """Two BLSTMs with linear layers, and one layer that narrows, inside and across."""
    one = 2 * sum(p.numel() for p in RecurrentPath(128, 128).parameters())
    one += sum(p.numel() for p in nn.Linear(256, 128).parameters())
    rows = published(metric="parameters", system="VSUNOS")
    assert round(12 * one / 1e6, 1) == rows.value.iloc[0] == 7.5


# ------------------------------------------------------------------ the published tables


def value(system, metric, dataset=None):
    rows = published(dataset, metric, system)
    return float(rows.value.iloc[0])


def test_the_copied_number_is_not_that_of_its_paper():
    copied = published("WSJ0-2mix", "SI-SNRi", "sudo rm -rf").iloc[0]
    assert copied.value == 18.9 and not copied.verified
    for blocks, name in ((16, "1.0x"), (8, "0.5x"), (4, "0.25x")):
        with torch.device("meta"):
            size = sum(p.numel() for p in SuDoRMRF.paper(blocks).parameters()) / 1e6
        assert abs(value(f"SuDoRM-RF {name}", "parameters") - size) < 0.02
    assert value("SuDoRM-RF 1.0x", "SI-SDRi", "WSJ0-2mix") == 17.02
    lost = 15.3 - value("SuDoRM-RF 0.25x", "SI-SDRi", "WSJ0-2mix")
    assert 1.5 < lost < 2.5
    assert 5.5 < 5.1 / value("SuDoRM-RF 0.25x", "parameters") < 7


def copied_table():
    rows = published()
    source = rows.source_paper
    rows = rows[source.str.contains("SepFormer") & source.str.contains("Table 1")]
    return rows.pivot_table("value", "system", "metric")


def test_what_the_text_reads_in_the_copied_table():
    table = copied_table()
    table = table[table.index.str.match("Conv-TasNet|Two-Step|DPRNN|VSUNOS|Wavesplit")]
    above = table[table["SI-SNRi"] > 18]
    below = table[table["SI-SNRi"] < 18]
    assert above["encoder stride"].max() <= 2 and below["encoder stride"].min() >= 8
    table = copied_table()
    furca, fold = table.loc["FurcaNeXt"], table.loc["DPRNN"]
    assert 19 < furca["parameters"] / fold["parameters"] < 21
    assert abs(furca["SDRi"] - fold["SDRi"]) < 1
    assert 2.5 < furca["SDRi"] - table.loc["Conv-TasNet", "SDRi"] < 3.5
    assert fold["SI-SNRi"] - table.loc["Conv-TasNet", "SI-SNRi"] == pytest.approx(3.5)
    assert table["SI-SNRi"].drop("SepFormer + dynamic mixing").idxmax().startswith("Wavesplit")
