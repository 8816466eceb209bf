"""HT Demucs: against its authors' class, what it keeps to itself, and the transformer's parts.

The authors' package is in the optional group ``peers``; without it its stored answers stand in.
"""

import copy
import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from learning import gain_on_one_song
from peers import assert_same, by_rule, noise, stereo, stored, stored_samples, with_weights_of

from lib.errors import InputError
from lib.models import HTDemucs
from lib.models.official.demucs import from_demucs
from lib.nn.attention import SelfAttention, attention_maps
from lib.nn.cross_transformer import (
    CrossTransformer,
    JointNorm,
    ScaledLayer,
    places_of_points,
    places_of_samples,
)

GOLDEN = Path(__file__).parent / "golden" / "demucs_peers.json"

SIZES = {"sources": [*"abc"], "filters": 4, "depth": 3, "n_fft": 512, "compression": 2}
SIZES |= {"bottleneck": 24, "layers": 4, "heads": 2, "sample_rate": 8000}
OURS = {
    "ht": lambda: HTDemucs(**SIZES),
    "ht-segment": lambda: HTDemucs(**SIZES, segment=1.1),
    "ht-plain": lambda: HTDemucs(
        **SIZES | {"channels": 1, "bottleneck": None, "decoder_branches": False, "expansion": 3}
    ),
}
every_peer = pytest.mark.parametrize("name", OURS)


def built(**sizes):
    torch.manual_seed(0)
    return HTDemucs(**{"channels": 1} | SIZES | sizes).eval()


def count(model):
    return sum(weights.numel() for weights in model.parameters())


# the authors' class


def authors(ours):
    """The authors' class, with our weights."""
    config = ours.config
    peer = pytest.importorskip("demucs.htdemucs").HTDemucs(
        sources=list(config["sources"]),
        audio_channels=config["channels"],
        channels=config["filters"],
        depth=config["depth"],
        nfft=config["n_fft"],
        dconv_comp=config["compression"],
        dconv_mode=3 if config["decoder_branches"] else 1,
        bottom_channels=config["bottleneck"] or 0,
        t_layers=config["layers"],
        t_heads=config["heads"],
        t_hidden_scale=config["expansion"],
        samplerate=config["sample_rate"],
        segment=Fraction(config["segment"] or 10).limit_denominator(100),
        use_train_segment=config["segment"] is not None,
    )
    return with_weights_of(ours, peer, from_demucs)


@every_peer
@pytest.mark.parametrize("time", [2, 17, 997, 5001])
@torch.no_grad()
def test_same_as_the_authors_class(name, time):
    ours = by_rule(OURS[name]())
    mixture = noise(2, ours.channels, time)
    assert_same(ours(mixture), authors(ours)(mixture))


@every_peer
@torch.no_grad()
def test_stored_answers_are_the_authors(name):
    answer = stored_samples(peer_answer(name))
    torch.testing.assert_close(answer, stored(GOLDEN, name), atol=1e-6, rtol=1e-5)


def peer_answer(name):
    ours = by_rule(OURS[name]().double())
    return authors(ours)(stereo(ours, torch.float64)).flatten(1, 2)


@every_peer
@torch.no_grad()
def test_same_as_the_authors_stored_answers(name):
    ours = by_rule(OURS[name]())
    answer = stored_samples(ours(stereo(ours)).flatten(1, 2))
    assert_same(answer, stored(GOLDEN, name).float())


@torch.no_grad()
def test_same_as_the_authors_class_in_the_released_size():
    torch.manual_seed(0)
    ours = HTDemucs.paper().eval()
    mixture = noise(1, 2, 20_000)
    assert_same(ours(mixture), authors(ours)(mixture))


def test_the_authors_class_takes_the_last_training_mixture_for_its_segment():
    """And ours stays as it is."""
    ours = built(segment=1.1)
    peer = authors(ours)
    long, short = noise(1, 1, 9001), noise(1, 1, 800)
    peer.train()(short)
    with pytest.raises(RuntimeError):
        peer.eval()(long)
    before = copy.deepcopy({key: value for key, value in vars(ours).items() if key[0] != "_"})
    with torch.no_grad():
        expected = ours(long)
        ours.train()(short)
        assert {key: value for key, value in vars(ours).items() if key[0] != "_"} == before | {
            "training": True
        }
        assert torch.equal(ours.eval()(long), expected)


# segments


@torch.no_grad()
def test_short_mixtures_are_heard_with_silence_behind_them_in_evaluation_only():
    model, plain, mixture = built(segment=0.5), built(), noise(1, 1, 1000)
    padded = torch.cat([mixture, torch.zeros(1, 1, 3000)], -1)
    torch.testing.assert_close(model(mixture), plain(padded)[..., :1000])
    assert torch.equal(model.train()(mixture), plain(mixture))
    model.eval()
    for time in (4000, 4001, 9000):  # as long as the segment, and longer
        assert torch.equal(model(noise(1, 1, time)), plain(noise(1, 1, time)))


# the transformer


@pytest.mark.parametrize("cross", [False, True])
@torch.no_grad()
def test_attention_is_that_of_torch(cross):
    torch.manual_seed(0)
    ours, theirs = SelfAttention(12, 3), torch.nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.in_proj_weight.copy_(ours.project.weight)
    theirs.in_proj_bias.copy_(ours.project.bias.normal_())
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    frames = noise(2, 7, 12)
    other = noise(2, 11, 12, seed=1) if cross else frames
    expected, weights = theirs(frames, other, other, average_attn_weights=False)
    given = (frames, other) if cross else (frames,)
    torch.testing.assert_close(ours(*given), expected)
    torch.testing.assert_close(ours.weights(*given), weights)


def test_places_of_points():
    """Sines and cosines in turn; of the frame in the first half, of the frequency in the other."""
    places = places_of_points(bins=3, frames=5, channels=12, like=torch.zeros(1)).view(5, 3, 12)
    for frame in range(5):
        for bin in range(3):
            for half, place in ((0, frame), (6, bin)):
                for number in range(3):
                    angle = place / 10000 ** (2 * number / 6)
                    pair = places[frame, bin, half + 2 * number : half + 2 * number + 2]
                    torch.testing.assert_close(
                        pair, torch.tensor([math.sin(angle), math.cos(angle)])
                    )


def test_places_of_samples():
    """All cosines, then all sines; the last of 10000 radians."""
    places = places_of_samples(6, 8, like=torch.zeros(1, dtype=torch.float64))
    for time in range(6):
        for number in range(4):
            angle = time / 10000 ** (number / 3)
            assert math.isclose(places[time, number], math.cos(angle), abs_tol=1e-9)
            assert math.isclose(places[time, 4 + number], math.sin(angle), abs_tol=1e-9)


@torch.no_grad()
def test_the_joint_norm_is_a_group_norm_over_all():
    norm = by_rule(JointNorm(6))
    frames = 3 + noise(2, 50, 6) * torch.tensor([1.0, 20.0])[:, None, None]
    expected = torch.nn.GroupNorm.forward(norm, frames.mT).mT
    torch.testing.assert_close(norm(frames), expected)


@torch.no_grad()
def test_a_layer_by_its_formula():
    torch.manual_seed(0)
    layer = by_rule(ScaledLayer(8, 2, 24, cross=True))
    frames, other = noise(2, 7, 8), noise(2, 9, 8, seed=1)
    read = layer.attention(layer.attention_norm(frames), layer.other_norm(other))
    x = frames + layer.attention_scale * read
    hidden = torch.nn.functional.gelu(layer.widen(layer.frame_norm(x)))
    expected = layer.norm(x + layer.frame_scale * layer.narrow(hidden))
    torch.testing.assert_close(layer(frames, other), expected)


@torch.no_grad()
def test_a_new_layer_does_next_to_nothing():
    """LayerScale: what it adds begins at 1e-4."""
    torch.manual_seed(0)
    frames, other = noise(2, 60, 16), noise(2, 30, 16, seed=1)
    for cross in (False, True):
        layer = ScaledLayer(16, 2, 32, cross)
        torch.testing.assert_close(layer(frames, other), layer.norm(frames), atol=1e-3, rtol=0)
        assert not torch.equal(layer(frames, other), layer.norm(frames))


@torch.no_grad()
def test_domains_hear_each_other_from_the_second_layer_on():
    torch.manual_seed(0)
    points, samples = noise(1, 8, 3, 5), noise(1, 8, 20, seed=1)
    for layers in (1, 2):
        transformer = by_rule(CrossTransformer(8, layers, 2, 16))
        x, y = transformer(points, samples)
        x_other, _ = transformer(points, 2 + samples.flip(-1))
        _, y_other = transformer(points.flip(-1), samples)
        assert torch.equal(x, x_other) == torch.equal(y, y_other) == (layers == 1)


def test_who_reads_whom():
    model = built()
    maps = attention_maps(model, noise(1, 1, 1000))
    points, frames = 4 * 8, 16  # bins by hops of 128 samples; a 64th of the samples
    shapes = {name: tuple(weights.shape[2:]) for name, weights in maps.items()}
    assert shapes["transformer.layers.0.attention"] == (points, points)
    assert shapes["transformer.layers.1.attention"] == (points, frames)
    assert shapes["transformer.time_layers.1.attention"] == (frames, points)
    assert shapes["transformer.time_layers.2.attention"] == (frames, frames)
    assert all(torch.allclose(weights.sum(-1), torch.ones(1)) for weights in maps.values())


def test_dropout_ends_with_training():
    model, mixture = built(dropout=0.5), noise(1, 1, 1000)
    model.train()
    assert not torch.equal(model(mixture), model(mixture))
    model.eval()
    assert torch.equal(model(mixture), model(mixture))


# sizes


def test_published_sizes():
    """What the released weights have beyond the authors' class as it is by default."""
    with torch.device("meta"):
        paper = HTDemucs.paper()
        assert count(HTDemucs(decoder_branches=False, bottleneck=None)) == 26_899_536
        assert count(HTDemucs(decoder_branches=False)) == 41_473_616
        small, tiny = HTDemucs.small(), HTDemucs.tiny()
    assert 1e6 < count(small) < 1.5e6
    for model in (small, tiny):
        assert model.config["layers"] < paper.config["layers"]
        assert model.config["n_fft"] < paper.config["n_fft"]
        assert model.sample_rate < paper.sample_rate
        assert not model.config["decoder_branches"]
        assert any(layer.other_norm is not None for layer in model.transformer.layers)


def test_it_learns_one_mixture():
    torch.manual_seed(0)
    assert gain_on_one_song(HTDemucs.tiny(), 90) > 8


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"depth": 5}, "depth: expected fewer layers than lead to one bin, got 5"),
        ({"heads": 5}, "heads: expected a number that divides the 512 channels, got 5"),
        ({"bottleneck": 6, "heads": 2}, "channels: expected a multiple of 4, got 6"),
        ({"segment": 0.0}, "segment: expected a positive number of seconds, got 0.0"),
        ({"n_fft": 1000}, "n_fft: expected one that leaves"),
        ({"filters": 4}, "compression: expected at most the 4 channels .* got 8"),
        ({"sources": []}, "sources: expected a list of different names"),
    ],
)
def test_one_clear_error(sizes, words):
    with pytest.raises(InputError, match=words), torch.device("meta"):
        HTDemucs(**sizes)
