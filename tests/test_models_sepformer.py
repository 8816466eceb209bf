"""SepFormer against SpeechBrain's, in full and by stored answers, and what is its own.

SpeechBrain is in the optional group ``peers`` (``pip install -e .[torch,peers]``, in an environment
of its own). Where it is not installed, its stored answers stand in.
"""

from pathlib import Path

import pytest
import torch
from peers import (
    assert_same,
    by_rule,
    noise,
    signal,
    speechbrain_sepformer,
    stored,
    stored_samples,
)
from torch.nn.functional import pad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lib.errors import InputError
from lib.models import SepFormer, sepformer
from lib.models.official.speechbrain import from_speechbrain
from lib.models.sepformer import Masker, Transformer
from lib.nn.attention import attention_maps

GOLDEN = Path(__file__).parent / "golden" / "sepformer_peers.json"
SIZES = {"filters": 16, "channels": 16, "chunk": 10, "layers": 2, "heads": 4, "hidden": 24}
# of SpeechBrain's class, in our terms
OURS = {
    "two speakers": lambda: SepFormer(**SIZES),
    "three speakers": lambda: SepFormer(3, **SIZES | {"layers": 1}, repeats=3),
    "frames of 4 ms": lambda: SepFormer(**SIZES | {"heads": 1, "chunk": 6}, kernel_size=32),
}
peers = pytest.mark.parametrize("name", OURS)


# SpeechBrain


def speechbrain(config):
    """SpeechBrain's class in the sizes of a system, with random weights."""
    assert config["channels"] == config["filters"]
    return speechbrain_sepformer(config).eval()


@torch.no_grad()
def with_weights_of(ours, theirs):
    """Hand our weights to the peer."""
    weights = ours.state_dict()
    theirs.to(next(ours.parameters()).dtype)
    assert from_speechbrain(theirs.state_dict()).keys() == weights.keys()
    for name, values in theirs.state_dict().items():
        for renamed in from_speechbrain({name: values}):
            values.copy_(weights[renamed].view_as(values))
    return theirs


def through(theirs, ours, mixture):
    """Run the peer, which does not pad, on a mixture that is padded as ours: (B, S, T)."""
    before, behind = ours.encoder.padding(mixture.shape[-1])
    estimates = theirs(pad(mixture[:, 0], (before, behind)))  # (B, T', S)
    return estimates.transpose(1, 2)[..., before : before + mixture.shape[-1]]


@peers
@pytest.mark.parametrize("time", [17, 997, 2000, 2001])
@torch.no_grad()
def test_same_as_speechbrain(name, time):
    ours = by_rule(OURS[name]())
    theirs = with_weights_of(ours, speechbrain(ours.config))
    mixture = noise(3, 1, time)
    assert_same(ours(mixture)[:, :, 0], through(theirs, ours, mixture))


@peers
def test_masks_and_gradients_as_speechbrains(name):
    """In training, with the weights that it draws: the same function of the same parameters."""
    ours = OURS[name]().train()
    theirs = speechbrain(ours.config).train()
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, torch.nn.MultiheadAttention):
            assert module.dropout == 0.1  # ours has none unless asked for
            module.dropout = 0.0
    ours.load_state_dict(from_speechbrain(theirs.state_dict()))
    features = noise(2, ours.encoder.filters, 123).relu()
    masks, expected = ours.masker(features), theirs.masknet(features).transpose(0, 1)
    assert_same(masks, expected)
    for answer in (masks, expected):
        answer.square().sum().backward()
    gradients = {name: weights.grad for name, weights in theirs.masknet.named_parameters("masknet")}
    gradients = from_speechbrain(gradients)
    assert len(gradients) == len(list(ours.masker.parameters()))
    for name, gradient in gradients.items():
        found = ours.get_parameter(name).grad
        torch.testing.assert_close(found, gradient, atol=1e-4 * float(gradient.norm()), rtol=1e-4)


@peers
@torch.no_grad()
def test_stored_answers_are_speechbrains(name):
    ours = by_rule(OURS[name]().double())
    theirs = with_weights_of(ours, speechbrain(ours.config))
    answer = stored_samples(through(theirs, ours, signal(997, torch.float64)))
    torch.testing.assert_close(answer, stored(GOLDEN, name), atol=1e-7, rtol=1e-5)


@peers
@torch.no_grad()
def test_same_as_speechbrains_stored_answers(name):
    answer = stored_samples(by_rule(OURS[name]())(signal(997))[:, :, 0])
    assert_same(answer, stored(GOLDEN, name).float())


@torch.no_grad()
def test_speechbrain_leaves_the_end_silent():
    """The paddings differ: as they come, the answers do not agree."""
    ours = by_rule(SepFormer(**SIZES))
    theirs = with_weights_of(ours, speechbrain(ours.config))
    mixture = noise(1, 1, 997)
    answer, expected = ours(mixture)[:, :, 0], theirs(mixture[:, 0]).transpose(1, 2)
    assert not expected[..., -5:].any()  # 992 samples are whole frames
    assert (answer[..., -5:] != 0).all()
    apart = (answer - expected).abs()[..., 100:900]  # chunks begin elsewhere: also within
    assert apart.max() > 1e-3 * expected.abs().max()


@torch.no_grad()
def test_places_end_in_speechbrain_and_not_here():
    sizes = SIZES | {"chunk": 2, "layers": 1, "repeats": 1}
    ours = by_rule(SepFormer(**sizes))
    theirs = with_weights_of(ours, speechbrain(ours.config))
    features = noise(1, 16, 2510).relu()
    assert_same(ours.masker(features[..., :2490]), theirs.masknet(features[..., :2490])[:, 0][None])
    with pytest.raises(RuntimeError, match="2500"):
        theirs.masknet(features)
    assert torch.isfinite(ours.masker(features)).all()


# what is ours


@pytest.mark.parametrize("frames", [12, 57, 100])  # frames at once
@pytest.mark.parametrize("across", [False, True])
def test_slices_change_nothing(monkeypatch, frames, across):
    transformer = by_rule(Transformer(channels=8, layers=2, heads=2, hidden=12).double())
    sequences = noise(9, 12, 8, dtype=torch.float64)
    sequences = sequences.transpose(0, 1) if across else sequences  # a view, as the blocks pass it
    whole = transformer(sequences)
    monkeypatch.setattr(sepformer, "_SLICE", frames)
    assert torch.equal(transformer(sequences), whole)  # in training
    with torch.no_grad():
        torch.testing.assert_close(transformer(sequences), whole, atol=1e-13, rtol=0)


class Largest(TorchDispatchMode):
    """Note the size of the largest tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.numbers = max(self.numbers, *sizes, 0)
        return result


def test_a_long_file_needs_no_tensor_larger_than_its_chunks(monkeypatch):
    monkeypatch.setattr(sepformer, "_SLICE", 100)
    model, mixture = SepFormer(**SIZES | {"hidden": 128}), noise(1, 1, 40000)
    chunks = 2 * (model.encoder.frames(40000) + 20) * 16  # numbers in all chunks, or less
    with Largest() as in_training:
        model(mixture)
    assert in_training.numbers > 3 * chunks
    with Largest() as largest, torch.no_grad():
        model(mixture)
    assert largest.numbers <= chunks


@torch.no_grad()
def test_maps_show_both_paths():
    model = SepFormer(**SIZES, repeats=1)
    maps = attention_maps(model, noise(1, 1, 800))
    layers = ["intra.layers.0", "intra.layers.1", "inter.layers.0", "inter.layers.1"]
    assert list(maps) == [f"masker.dual_path.blocks.0.{layer}.attention" for layer in layers]
    shapes = {tuple(weights.shape) for weights in maps.values()}
    chunks = 22  # of 101 frames
    assert shapes == {(chunks, 4, 10, 10), (10, 4, chunks, chunks)}
    for weights in maps.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_a_frame_reads_its_chunks_at_once_and_all_others_by_the_second_path():
    """Change a frame: without the path across, only its two chunks notice."""
    masker = by_rule(Masker(8, 2, 8, chunk=10, layers=1, repeats=1, heads=2, hidden=8).double())
    block = masker.dual_path.blocks[0]
    chunks = noise(7, 1, 10, 8, dtype=torch.float64)
    changed = chunks.clone()
    # no shift of all channels by the same, which the norms take away
    changed[3, 0, 4] = noise(8, seed=1, dtype=torch.float64)
    with torch.no_grad():
        inside = block.intra(chunks[:, 0]) != block.intra(changed[:, 0])  # (S, K, N)
        both = block(chunks) != block(changed)
    assert inside.any(2).all(1).tolist() == [number == 3 for number in range(7)]
    assert not inside[[0, 1, 2, 4, 5, 6]].any()
    assert both.any(-1).all()


def test_no_stream():
    masker = Masker(8, 2, 8, chunk=10, layers=1, repeats=1, heads=2, hidden=8)
    with pytest.raises(InputError, match="stream: expected causal"):
        masker(torch.zeros(1, 8, 20), {})


def test_dropout_ends_with_training():
    model, mixture = SepFormer(**SIZES, dropout=0.5), noise(1, 1, 500)
    assert not torch.equal(model(mixture), model(mixture))
    model.eval()
    assert torch.equal(model(mixture), model(mixture))


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"heads": 3}, "heads: .* divides the 16 channels, got 3"),
        ({"chunk": 9}, "chunk: expected an even number"),
        ({"channels": 15, "heads": 1}, "channels: expected an even number"),
        ({"activation": "rely"}, "activation: expected one of"),
    ],
)
def test_sizes_that_cannot_be(sizes, message):
    with pytest.raises(InputError, match=message):
        SepFormer(**SIZES | sizes)


def test_the_smaller_presets_deviate_as_listed():
    with torch.device("meta"):
        paper = SepFormer.paper().config
        assert paper["channels"] == paper["filters"] and paper["kernel_size"] == 16
        assert paper["dropout"] == 0 and paper["activation"] == "relu"
        for preset in (SepFormer.small, SepFormer.tiny):
            config = preset().config
            assert config["kernel_size"] == 32 and config["channels"] < config["filters"]
            assert config["chunk"] < paper["chunk"]
