"""DPRNN and DPTNet against Asteroid, at the ends and away from them; look-ahead; streams."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peers import assert_same, by_rule, noise, signal, stored, stored_samples, through

from lib.errors import InputError
from lib.models import DPRNN, DPTNet
from lib.models.official.asteroid import from_asteroid
from lib.nn.recurrent_transformer import RecurrentTransformerLayer
from lib.separate import Streamer

GOLDEN = Path(__file__).parent / "golden" / "dual_path_peers.json"

RNN = {"filters": 16, "kernel_size": 16, "channels": 12, "hidden": 9, "blocks": 2, "chunk": 10}
DPT = {"filters": 16, "kernel_size": 16, "channels": None, "hidden": 9, "blocks": 2, "chunk": 10}
# what Asteroid's classes are called in our terms
OURS = {
    "DPRNNTasNet": lambda padding="full": DPRNN(**RNN, padding=padding),
    "DPRNNTasNet-relu": lambda padding="full": DPRNN(3, **RNN, padding=padding, activation="relu"),
    "DPRNNTasNet-causal": lambda padding="full": DPRNN(
        **RNN, padding=padding, causal=True, norm="channel"
    ),
    "DPTNet": lambda padding="full": DPTNet(**DPT, padding=padding, norm="global"),
    "DPTNet-channel": lambda padding="full": DPTNet(3, **DPT, padding=padding),
}
peers = pytest.mark.parametrize("name", OURS)


# Asteroid


def asteroid(ours):
    """The peer of a system, with its weights."""
    models = pytest.importorskip("asteroid.models")
    config = ours.config
    sizes = {
        "n_filters": config["filters"],
        "kernel_size": config["kernel_size"],
        "stride": ours.encoder.stride,
        "chunk_size": config["chunk"],
        "n_repeats": config["blocks"],
        "mask_act": config["activation"],
        "norm_type": "cLN" if config["norm"] == "channel" else "gLN",
    }
    if isinstance(ours, DPRNN):
        peer = models.DPRNNTasNet(
            ours.sources,
            bn_chan=config["channels"],
            hid_size=config["hidden"],
            bidirectional=not config["causal"],
            **sizes,
        )
    else:
        peer = models.DPTNet(ours.sources, ff_hid=config["hidden"], **sizes)
        # of all frames, as the authors'; there it is of the kind of the other norms
        peer.masker.in_norm = asteroid_norms().GlobLN(config["filters"])
    mine, weights = ours.state_dict(), {}
    for theirs, value in peer.state_dict().items():
        (name,) = from_asteroid({theirs: value})
        weights[theirs] = mine.pop(name).reshape(value.shape)
        if isinstance(ours, DPTNet) and ".first_out.1" in theirs:
            weights[theirs] = 2 * weights[theirs]  # it takes the mean of two chunks, not the sum
    assert not mine
    peer.to(ours.encoder.encoder_filters.dtype).load_state_dict(weights)
    return peer.eval()


def asteroid_norms():
    from asteroid.masknn import norms

    return norms


@peers
@pytest.mark.parametrize("time", [1, 17, 997, 4000])
@torch.no_grad()
def test_same_as_asteroid(name, time):
    ours = by_rule(OURS[name]())
    mixture = noise(3, 1, time)
    assert_same(ours(mixture)[:, :, 0], through(asteroid(ours), ours, mixture))


@peers
@torch.no_grad()
def test_stored_answers_are_asteroids(name):
    ours = by_rule(OURS[name]().double())
    answer = stored_samples(through(asteroid(ours), ours, signal(997, torch.float64)))
    torch.testing.assert_close(answer, stored(GOLDEN, name), atol=1e-8, rtol=1e-6)


@peers
@torch.no_grad()
def test_same_as_asteroids_stored_answers(name):
    answer = stored_samples(by_rule(OURS[name]())(signal(997))[:, :, 0])
    assert_same(answer, stored(GOLDEN, name).float())


@torch.no_grad()
def test_asteroids_paper_size_is_ours():
    torch.manual_seed(0)
    ours = DPRNN(padding="full").eval()
    mixture = noise(1, 1, 300)
    answer, theirs = ours(mixture)[:, :, 0], through(asteroid(ours), ours, mixture)
    torch.testing.assert_close(answer, theirs, atol=1e-5, rtol=0)
    assert theirs.abs().max() > 0.01


# the ends of the sequence of chunks


def distances(name, time=4000):
    """How far apart the answers of the two paddings are, sample by sample, over the level."""
    torch.manual_seed(0)
    ours, other = OURS[name]("even").double().eval(), OURS[name]("full").double().eval()
    other.load_state_dict(ours.state_dict())
    mixture = noise(1, 1, time, dtype=torch.float64)
    even, full = ours(mixture), other(mixture)
    return ((even - full).abs() / full.abs().max()).amax((0, 1, 2))


@torch.no_grad()
def test_chunks_of_zeros_are_heard_at_the_ends():
    """Where the path across chunks forgets, and no norm is over everything: 1e-8 in the middle."""
    difference = distances("DPRNNTasNet-causal")
    assert difference[:80].max() > 1e-4
    assert difference[2000:].max() < 1e-2 * difference[:80].max()


@pytest.mark.parametrize("name", ["DPRNNTasNet", "DPTNet"])
@torch.no_grad()
def test_chunks_of_zeros_move_what_is_over_everything(name):
    """Norms of all chunks, and attention across them, carry the difference everywhere."""
    difference = distances(name)
    assert difference[2000] > 0
    assert difference.max() < 0.5


# streams and look-ahead


def causal(**changed):
    torch.manual_seed(0)
    sizes = {"filters": 16, "kernel_size": 8, "channels": 12, "hidden": 9, "blocks": 2, "chunk": 10}
    return DPRNN(**sizes | {"causal": True} | changed).eval()


def reach(model, place, time=400):
    """How far before a changed sample the output changes: exactly, in float64."""
    mixture = noise(1, 1, time, dtype=torch.float64)
    changed = mixture.clone()
    changed[..., place] += 1.0
    different = (model(changed) != model(mixture)).any(0).any(0).any(0).nonzero()
    return place - int(different.min())


@pytest.mark.parametrize(
    "changed",
    [{}, {"norm": "channel"}, {"padding": "full"}, {"kernel_size": 2, "chunk": 30}, {"blocks": 1}],
)
@torch.no_grad()
def test_lookahead_is_that_of_the_worst_place_in_a_chunk(changed):
    """A sample at the end of a chunk's second half changes the first half's first frame."""
    model = causal(**changed).double()
    stride, chunk = model.encoder.stride, model.config["chunk"]
    reaches = {reach(model, 200 + phase) for phase in range(stride * chunk // 2)}
    assert max(reaches) == model.lookahead == (chunk - 1) * stride + 2 * stride - 1
    assert min(reaches) < model.lookahead - stride * chunk // 4  # one place alone tells too little


def test_lookahead_of_the_published_size():
    """250 frames of 1 sample: 31 ms."""
    with torch.device("meta"):
        assert DPRNN.paper(causal=True).lookahead == 250
        assert DPRNN.paper().lookahead is None
        assert DPRNN(causal=True, norm="global").lookahead is None


@pytest.mark.parametrize("changed", [{}, {"norm": "channel"}, {"padding": "full"}])
@pytest.mark.parametrize("time", [1, 100, 997])
@torch.no_grad()
def test_a_stream_gives_what_the_whole_gives(changed, time):
    model, mixture = causal(**changed), noise(1, time)
    whole = model(mixture[None])[0]
    for length in (7, 33, 160, 2000):
        streamer = Streamer(model)
        pieces = [streamer.push(piece) for piece in mixture.split(length, -1)]
        answer = torch.cat([*pieces, streamer.flush()], -1)
        torch.testing.assert_close(answer, whole, atol=1e-5, rtol=0)


def test_the_small_causal_system_streams():
    torch.manual_seed(0)
    model, mixture = DPRNN.small(causal=True).eval(), noise(1, 8000)
    streamer = Streamer(model)
    pieces = [streamer.push(piece) for piece in mixture.split(1000, -1)]
    with torch.no_grad():
        whole = model(mixture[None])[0]
    answer = torch.cat([*pieces, streamer.flush()], -1)
    torch.testing.assert_close(answer, whole, atol=1e-5, rtol=0)


def test_attention_does_not_stream():
    with pytest.raises(InputError, match="expected a causal system that advances piece by piece"):
        Streamer(DPTNet.tiny())
    layer = DPTNet.tiny().masker.dual_path.blocks[0].inter
    with pytest.raises(InputError, match="stream: expected a causal system, got attention"):
        layer(noise(2, 5, 32), {})
    with pytest.raises(InputError, match="stream: expected causal norms"):
        DPTNet.tiny().masker(noise(1, 64, 20), {})


# DPTNet's layer


@torch.no_grad()
def test_the_order_of_the_frames_reaches_a_layer_through_its_lstm_only():
    torch.manual_seed(0)
    layer = RecurrentTransformerLayer(channels=8, heads=2, hidden=16)
    frames, order = noise(3, 20, 8), torch.arange(19, -1, -1)
    assert not torch.allclose(layer(frames[:, order]), layer(frames)[:, order], atol=1e-3)
    layer.output.weight.zero_()
    torch.testing.assert_close(layer(frames[:, order]), layer(frames)[:, order])


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(InputError, match="heads: expected a number that divides the 64 channels"):
        DPTNet(heads=5)


def test_the_smaller_presets_deviate_as_listed():
    for system in (DPRNN, DPTNet):
        for preset in (system.small(), system.tiny()):
            assert preset.encoder.kernel_size == 32  # 4 ms
            assert preset.config["activation"] == "relu"
    assert DPRNN.paper().config["activation"] == "sigmoid"
