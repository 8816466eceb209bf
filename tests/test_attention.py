"""Attention against the formula written out and against torch's own layers."""

import math

import pytest
import torch
from torch import nn

from lib.errors import InputError
from lib.nn.attention import (
    SelfAttention,
    TransformerLayer,
    attention_maps,
    positional_encoding,
)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def written_out(attention, frames):
    """Weights and output of attention, head by head, as the formula of the docstring says."""
    channels, width = frames.shape[-1], frames.shape[-1] // attention.heads
    projections = attention.project(frames).split(channels, -1)  # queries, keys, values
    weights, read = [], []
    for head in range(attention.heads):
        q, k, v = (p[..., head * width : (head + 1) * width] for p in projections)
        scores = torch.exp(torch.einsum("btc,buc->btu", q, k) / math.sqrt(width))
        weights.append(scores / scores.sum(-1, keepdim=True))
        read.append(torch.einsum("btu,buc->btc", weights[-1], v))
    return torch.stack(weights, 1), attention.output(torch.cat(read, -1))


@pytest.mark.parametrize("channels, heads", [(8, 1), (8, 2), (12, 4), (6, 6)])
def test_attention_equals_its_formula(channels, heads):
    torch.manual_seed(0)
    attention = SelfAttention(channels, heads).double()
    frames = 2 * noise(3, 7, channels)
    weights, output = written_out(attention, frames)
    torch.testing.assert_close(attention(frames), output, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(attention.weights(frames), weights, atol=1e-12, rtol=1e-12)


def test_a_layer_equals_that_of_torch():
    torch.manual_seed(0)
    ours = TransformerLayer(channels=16, heads=4, hidden=24).double()
    peer = nn.TransformerEncoderLayer(
        16, 4, 24, dropout=0.0, layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).double()
    ours.attention.project.weight.data = peer.self_attn.in_proj_weight.data
    ours.attention.project.bias.data = peer.self_attn.in_proj_bias.data
    pairs = {
        "attention.output": "self_attn.out_proj",
        "attention_norm": "norm1",
        "frame_norm": "norm2",
        "widen": "linear1",
        "narrow": "linear2",
    }
    for name, theirs in pairs.items():
        ours.get_submodule(name).load_state_dict(peer.get_submodule(theirs).state_dict())
    frames = noise(2, 9, 16)
    torch.testing.assert_close(ours(frames), peer(frames), atol=1e-12, rtol=1e-12)


def test_attention_does_not_know_the_order_until_it_is_written_into_the_frames():
    torch.manual_seed(0)
    attention, frames = SelfAttention(8, 2).double(), noise(1, 6, 8)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(attention(frames[:, order]), attention(frames)[:, order])
    places = positional_encoding(6, 8, dtype=torch.float64)
    there, back = attention(frames[:, order] + places), attention(frames + places)[:, order]
    assert (there - back).abs().max() > 1e-2


def test_places_as_in_the_paper():
    encoding = positional_encoding(5000, 6, dtype=torch.float64)
    for place in (0, 1, 17, 4999):
        for pair in range(3):
            angle = place / 10000 ** (2 * pair / 6)
            expected = torch.tensor([math.sin(angle), math.cos(angle)], dtype=torch.float64)
            torch.testing.assert_close(encoding[place, 2 * pair : 2 * pair + 2], expected)


def test_places_have_no_last_one():
    """And single precision still tells them apart, ten times further than an hour of chunks."""
    encoding = positional_encoding(300_000, 16)
    exact = positional_encoding(300_000, 16, dtype=torch.float64)
    assert (encoding - exact).abs().max() < 0.05
    assert (encoding[1:] - encoding[:-1]).norm(dim=1).min() > 0.5


def test_dropout_ends_with_training():
    layer, frames = TransformerLayer(8, 2, 16, dropout=0.5).double(), noise(2, 9, 8)
    assert not torch.equal(layer(frames), layer(frames))
    layer.eval()
    assert torch.equal(layer(frames), layer(frames))


def test_maps_are_those_of_the_layers_and_leave_no_trace():
    torch.manual_seed(0)
    model = nn.Sequential(TransformerLayer(8, 2, 16), TransformerLayer(8, 4, 16)).double()
    frames = noise(2, 9, 8)
    maps = attention_maps(model, frames)
    assert {name: tuple(weights.shape) for name, weights in maps.items()} == {
        "0.attention": (2, 2, 9, 9),
        "1.attention": (2, 4, 9, 9),
    }
    second = model[1].attention_norm(model[0](frames))
    assert torch.equal(maps["1.attention"], model[1].attention.weights(second))
    with pytest.raises(RuntimeError):
        attention_maps(model, noise(2, 9, 7))
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("heads", [0, 3, 16])
def test_heads_divide_channels(heads):
    with pytest.raises(InputError, match=f"heads: .* the 8 channels, got {heads}"):
        SelfAttention(8, heads)


@pytest.mark.parametrize("channels", [0, 5])
def test_sines_come_with_cosines(channels):
    with pytest.raises(InputError, match=f"channels: expected an even number.*got {channels}"):
        positional_encoding(3, channels)


def test_models_without_attention_have_no_maps():
    with pytest.raises(InputError, match="SelfAttention, got Linear"):
        attention_maps(nn.Linear(2, 2), torch.zeros(1, 2))
