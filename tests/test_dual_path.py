"""Chunks and their sum, the two paths, their order, streams."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.models.dprnn import RecurrentPath
from lib.nn.dual_path import DualPath, DualPathBlock, GatedMasks, chunk_padding, merge, segment
from lib.nn.norms import CumulativeLayerNorm, GlobalLayerNorm

RULES = ["even", "full"]


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sizes(count):
    """Random lengths and chunks, those that fit exactly among them."""
    draw = random.Random(0)
    drawn = [(draw.randint(1, 400), 2 * draw.randint(1, 60)) for _ in range(count - 3)]
    return [(1, 2), (100, 100), (150, 100), *drawn]


@pytest.mark.parametrize("padding", RULES)
def test_chunks_add_up_to_twice_the_frames(padding):
    for frames, chunk in sizes(50):
        features = noise(2, 3, frames, seed=frames)
        again = merge(segment(features, chunk, padding), frames, padding)
        assert torch.equal(again, 2 * features), (frames, chunk)


@pytest.mark.parametrize("padding", RULES)
def test_chunks_are_windows_half_a_chunk_apart(padding):
    for frames, chunk in sizes(20):
        features = noise(2, 3, frames)
        padded = functional.pad(features, chunk_padding(frames, chunk, padding))
        windows = padded.unfold(-1, chunk, chunk // 2)  # (B, N, S, K)
        assert torch.equal(segment(features, chunk, padding), windows.permute(2, 0, 3, 1))


def test_the_rules_are_those_of_the_peers():
    """As many chunks as measured with both toolkits, and as their formulas say for any length."""
    assert len(segment(noise(1, 1, 1000), 100)) == 22  # SpeechBrain
    assert len(segment(noise(1, 1, 1000), 100, "full")) == 23  # Asteroid
    for frames, chunk in sizes(50):
        assert len(segment(noise(1, 1, frames), chunk)) % 2 == 0
        features = noise(1, 1, frames)
        asteroid = functional.unfold(
            features[..., None], (chunk, 1), padding=(chunk, 0), stride=(chunk // 2, 1)
        )
        assert torch.equal(segment(features, chunk, "full")[:, 0, :, 0].T, asteroid[0])


def test_what_cannot_be_cut_is_refused():
    for chunk in (0, 7):
        with pytest.raises(InputError, match=f"chunk: expected an even .* got {chunk}"):
            DualPath([], chunk)
    with pytest.raises(InputError, match="padding: expected even or full, got 'none'"):
        segment(noise(1, 1, 5), 4, "none")


def test_norms_need_channels():
    with pytest.raises(InputError, match="channels: expected at least 1, got 0"):
        DualPathBlock(nn.Identity(), nn.Identity())


class Witness(nn.Module):
    """Notes what it is given."""

    def forward(self, sequences, memory=None):
        self.seen = sequences
        return sequences


def test_one_module_reads_along_chunks_and_the_other_across_them():
    block = DualPathBlock(Witness(), Witness(), norm=None)
    places = torch.arange(1.0, 41.0)  # the number of each frame, from 1
    block(segment(torch.stack([places, -places])[:, None], chunk=10))  # B = 2, N = 1
    intra, inter = block.intra.seen[..., 0], block.inter.seen[..., 0]
    assert intra.shape == (10 * 2, 10)
    assert intra[2].tolist() == list(range(1, 11))  # second chunk of the first item
    assert intra[3].tolist() == [-place for place in range(1, 11)]
    assert inter.shape == (2 * 10, 10)
    assert inter[0].tolist() == [0, *range(1, 40, 5), 0]  # the first place of each chunk
    assert inter[10].tolist() == [0, *range(-1, -40, -5), 0]


def test_both_paths_are_views():
    """Nothing is copied on the way into a path: one gradient step less to wait for."""
    block, chunks = DualPathBlock(Witness(), Witness(), norm=None), noise(4, 2, 10, 3)
    block(chunks)
    assert block.intra.seen.data_ptr() == block.inter.seen.data_ptr() == chunks.data_ptr()


def test_with_a_norm_a_path_adds_to_its_input():
    block = DualPathBlock(nn.Linear(3, 3), nn.Linear(3, 3), channels=3)
    chunks = noise(4, 2, 10, 3)
    inside = chunks + normed(block.intra(chunks))
    expected = inside + normed(block.inter(inside))
    torch.testing.assert_close(block(chunks), expected)


def normed(chunks):
    """All chunks of an item to mean 0 and variance 1."""
    variance, mean = torch.var_mean(chunks, (0, 2, 3), correction=0, keepdim=True)
    return (chunks - mean) / variance.sqrt()


def test_no_blocks_at_all_rectify_and_double():
    features = noise(2, 3, 50)
    expected = 2 * functional.prelu(features, torch.tensor([0.25]))
    assert torch.equal(DualPath([], 8)(features), expected)


def test_masks_are_those_of_chunks_spread_before_they_are_added():
    """The papers' order: spread each chunk over the speakers, then overlap and add."""
    torch.manual_seed(0)
    masks = GatedMasks(channels=6, filters=5, speakers=3, activation="relu")
    chunks = segment(noise(2, 6, 50), 8)
    spread = functional.linear(chunks, masks.spread.weight[..., 0], masks.spread.bias)
    each = merge(spread, 50).unflatten(1, (3, 6)).flatten(0, 1)
    gated = torch.tanh(masks.output(each)) * torch.sigmoid(masks.gate(each))
    expected = masks.widen(gated).unflatten(0, (2, 3)).relu()
    torch.testing.assert_close(masks(merge(chunks, 50)), expected)


def test_the_cumulative_norm_of_chunks_counts_whole_chunks():
    norm, features = CumulativeLayerNorm(3).double(), 2 + noise(2, 3, 4, 5, dtype=torch.float64)
    for place in range(4):
        variance, mean = torch.var_mean(features[:, :, : place + 1], (1, 2, 3), correction=0)
        expected = (features[:, :, place] - mean.view(2, 1, 1)) / variance.sqrt().view(2, 1, 1)
        torch.testing.assert_close(norm(features)[:, :, place], expected, atol=1e-7, rtol=0)


def causal_path(padding="even", norm="cumulative"):
    torch.manual_seed(0)
    blocks = [
        DualPathBlock(RecurrentPath(6, 7), RecurrentPath(6, 7, bidirectional=False), 6, norm)
        for _ in range(2)
    ]
    return DualPath(blocks, 8, padding)


def stream(path, features, lengths):
    memory, pieces = {}, features.split(lengths, -1)
    for number, piece in enumerate(pieces):
        if number == len(pieces) - 1:
            memory["end"] = True
        yield path(piece, memory)


@pytest.mark.parametrize("padding", RULES)
@pytest.mark.parametrize("frames", [1, 3, 4, 5, 8, 9, 40, 61])
@torch.no_grad()
def test_a_stream_gives_what_the_whole_gives(padding, frames):
    path, features = causal_path(padding), noise(2, 6, frames)
    whole = path(features)
    for length in (1, 2, 3, 7, 40, 100):
        answer = torch.cat(list(stream(path, features, length)), -1)
        torch.testing.assert_close(answer, whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_frame_comes_out_when_its_later_chunk_is_complete():
    """With chunks of 8: 4 frames when the 8th is there, 4 more with every 4 that follow."""
    path = causal_path()
    counts = [piece.shape[-1] for piece in stream(path, noise(1, 6, 18), 1)]
    assert counts == [0] * 7 + [4, 0, 0, 0] * 2 + [4, 0, 6]


@torch.no_grad()
def test_what_a_stream_keeps_does_not_grow():
    path, memory, kept = causal_path(), {}, []
    for _ in range(20):
        path(noise(1, 6, 13), memory)
        held = [t for value in memory.values() for t in value if isinstance(t, torch.Tensor)]
        kept.append(sum(t.untyped_storage().nbytes() for t in held))
    assert max(kept[10:]) <= max(kept[2:10])


def test_only_causal_blocks_stream():
    two_way = RecurrentPath(6, 7)
    path = DualPath([DualPathBlock(two_way, two_way, 6, "cumulative")], 8)
    with pytest.raises(InputError, match="stream: expected layers that read forwards"):
        path(noise(1, 6, 20), {})
    with pytest.raises(InputError, match="stream: expected causal norms, got GlobalLayerNorm"):
        causal_path(norm="global")(noise(1, 6, 20), {})
    assert isinstance(causal_path(norm="global").blocks[0].intra_norm, GlobalLayerNorm)
