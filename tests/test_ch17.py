"""Chapter 17: what its text claims is true, of attention, of layers and of costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib.cost import cost
from lib.data import clips, speech
from lib.models import DPRNN, ConvTasNet, DPTNet, SepFormer, SuDoRMRF, sepformer
from lib.nn.attention import SelfAttention, TransformerLayer, positional_encoding
from lib.nn.dual_path import DualPath, chunk_padding, segment
from lib.nn.recurrent_transformer import RecurrentTransformerLayer
from lib.nn.tcn import DilatedBlock
from lib.published import published


def chunks(frames: int, chunk: int) -> int:
    return 2 * (sum(chunk_padding(frames, chunk)) + frames) // chunk - 1


# ------------------------------------------------------------------ attention


def test_attention_by_hand_is_that_of_lib():
    attention, frames = SelfAttention(channels=16, heads=4), torch.randn(1, 50, 16)
    queries, keys, values = attention.project(frames)[0].view(50, 3, 4, 4).permute(1, 2, 0, 3)
    weights = (queries @ keys.transpose(1, 2) / 4**0.5).softmax(-1)
    read = attention.output((weights @ values).transpose(0, 1).reshape(50, 16))
    assert torch.allclose(read, attention(frames)[0], atol=1e-6)


def test_inside_and_across_reach_every_frame():
    frames, chunk = 48, 8
    numbered = segment(torch.arange(1.0, frames + 1).view(1, 1, -1), chunk)[:, 0, :, 0].long()
    inside, across = torch.zeros(2, frames + 1, frames + 1)
    for path, groups in ((inside, numbered), (across, numbered.T)):
        for group in groups:
            path[group[:, None], group] = 1
    inside, across = inside[1:, 1:], across[1:, 1:]
    assert max(inside.mean(), across.mean()) < 0.3
    assert (across @ inside).gt(0).all()


@pytest.mark.parametrize("seconds", [1, 4, 60, 300])
def test_chunks_save_and_the_more_the_longer(seconds):
    def saved(seconds):
        frames = 1000 * seconds + 1
        count = chunks(frames, 250)
        return 4 * frames**2 / (2 * 250 * count * (250 + count))

    assert 1 < saved(seconds) < saved(2 * seconds)


@torch.no_grad()
def test_who_notices_that_frames_were_shuffled():
    frames, order = torch.randn(1, 50, 16), torch.randperm(50)
    plain, recurrent = TransformerLayer(16, 4, 32), RecurrentTransformerLayer(16, 4, 32)
    layers = (plain, lambda x: plain(x + positional_encoding(50, 16)), recurrent)
    blind = [
        torch.allclose(layer(frames[:, order]), layer(frames)[:, order], atol=1e-5)
        for layer in layers
    ]
    assert blind == [True, False, False]


# ------------------------------------------------------------------ the systems


def test_what_the_block_of_the_dual_path_is_made_of():
    kinds = (DilatedBlock, DualPath, nn.LSTM, SelfAttention)
    found = {}
    for system in (ConvTasNet, DPRNN, DPTNet, SepFormer):
        with torch.device("meta"):
            modules = list(system.paper().modules())
        found[system] = [sum(isinstance(one, kind) for one in modules) for kind in kinds]
    assert found[ConvTasNet] == [24, 0, 0, 0]
    assert found[DPRNN] == [0, 1, 12, 0]
    assert found[DPTNet] == [0, 1, 12, 12]
    assert found[SepFormer] == [0, 1, 0, 32]


@torch.no_grad()
def test_slices_change_nothing():
    stack = sepformer.Transformer(channels=16, layers=2, heads=4, hidden=32).eval()
    many = torch.randn(2000, 50, 16)
    assert torch.allclose(stack(many)[1999], stack(many[1999:])[0], atol=1e-5)


def test_ours_has_less_than_a_fiftieth_of_the_published_parameters():
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in model.parameters())
            for model in (SepFormer.small(), SepFormer.paper())
        ]
    assert 50 * sizes[0] < sizes[1]


# ------------------------------------------------------------------ costs and published figures


@pytest.fixture(scope="module")
def counts():
    systems = {}
    for system in (ConvTasNet, DPRNN, DPTNet, SuDoRMRF, SepFormer):
        with torch.device("meta"):
            systems[system] = cost(system.paper())
    return systems


def test_who_crowds_at_the_right(counts):
    work = {system: count.multiply_adds for system, count in counts.items()}
    assert work[SuDoRMRF] < work[ConvTasNet] <= 0.1 * work[SepFormer]
    for system in (DPRNN, DPTNet, SepFormer):
        assert 8 < work[system] / work[ConvTasNet] < 12
    assert work[SepFormer] == max(work.values())


def test_sepformer_needs_the_least_memory_of_three(counts):
    assert counts[SepFormer].memory < counts[DPRNN].memory < counts[DPTNet].memory


def test_the_uses_of_a_weight_of_dprnn(counts):
    assert counts[DPRNN].multiply_adds / counts[DPRNN].parameters > 10_000


def test_the_formula_of_a_long_file_is_the_count():
    """The cells of "Long files" leave out encoder, masks and the two ends of the masker."""
    frames, channels, chunk, hidden, layers = 4001, 256, 250, 1024, 16
    count = chunks(frames, chunk)
    folded = 2 * channels * chunk * count * (chunk + count)
    rest = 2 * chunk * count * (4 * channels**2 + 2 * channels * hidden)
    with torch.device("meta"):
        model = SepFormer.paper()
        blocks, ends = model.masker.dual_path.blocks, SepFormer(layers=0)
    assert sum(isinstance(one, SelfAttention) for one in blocks.modules()) == 2 * layers
    difference = 4 * (cost(model).multiply_adds - cost(ends).multiply_adds)
    assert difference == layers * (folded + rest)


def test_an_hour_is_nearly_all_attention():
    count = chunks(3_600_001, 250)
    across, inside, rest = 256 * count, 256 * 250, 4 * 256**2 + 2 * 256 * 1024
    assert across / (across + inside + rest) == pytest.approx(0.9, abs=0.01)


def test_the_printed_costs():
    printed = {
        (name, metric): published("-", metric, name).query("system == @name").value.iloc[0]
        for name in ("Conv-TasNet", "SepFormer")
        for metric in ("multiply-adds", "memory")
    }
    assert list(printed.values()) == [2.8, 1.1, 258, 35]


def test_the_published_scores():
    rows = published("WSJ0-2mix")
    rows = rows[rows.metric.isin(["SI-SNRi", "SI-SDRi"])].drop_duplicates("system")
    scores = rows.set_index("system").value
    names = ("BLSTM-TasNet", "Conv-TasNet-gLN", "SuDoRM-RF 1.0x", "DPRNN", "DPTNet", "SepFormer")
    assert scores[list(names)].tolist() == [13.2, 15.3, 17.02, 18.8, 20.2, 20.4]
    assert scores["SepFormer + dynamic mixing"] - scores["SepFormer"] == pytest.approx(1.9)
    assert scores["TF-GridNet"] > scores["SepFormer + dynamic mixing"]


# ------------------------------------------------------------------ data of the experiment


def test_recordings_are_long_enough_for_a_second_at_any_speed():
    table = clips("speech", "train")
    pair = [table[table.sex == sex].speaker.iloc[0] for sex in "FM"]
    mine = table[table.speaker.isin(pair)]
    assert mine.groupby("speaker").size().min() >= 50
    assert mine.duration_s.min() > 1.2
    assert speech("train", pair[0], 49, 8000).shape[0] == 1
