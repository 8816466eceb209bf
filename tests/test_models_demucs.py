"""Demucs: against its authors' class of 2021, lengths, resampling, the shift trick, its parts.

That class is in version 2 of the authors' package, which asks for a package that need not be there:
``pip install --no-deps demucs==2.0.3 julius`` and an empty ``diffq`` with two classes. Without it
its stored answers stand in.
"""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import gain_on_one_song
from peers import assert_same, by_rule, noise, stereo, stored, stored_samples, with_weights_of
from torch.nn import functional

from lib.errors import InputError
from lib.models import Demucs
from lib.models.official.demucs import from_demucs_v2
from lib.nn.interpolation import change_rate
from lib.separate import separate

GOLDEN = Path(__file__).parent / "golden" / "demucs_peers.json"

SIZES = {"sources": [*"abc"], "filters": 4, "depth": 3, "sample_rate": 8000}
OURS = {
    "v2": lambda: Demucs(**SIZES),
    "v2-normalized": lambda: Demucs(**SIZES, channels=1, normalize=True),
    "v2-sizes": lambda: Demucs(
        **SIZES, kernel_size=7, stride=3, context=1, layers=1, resampling=False
    ),
}
every_peer = pytest.mark.parametrize("name", OURS)


def built(**sizes):
    torch.manual_seed(0)
    return Demucs(**{"channels": 1, "resampling": False} | SIZES | sizes).double().eval()


def count(model):
    return sum(weights.numel() for weights in model.parameters())


# the authors' class


def authors(ours):
    """The authors' class, with our weights, and how they apply it."""
    config = ours.config
    peer = pytest.importorskip("demucs.model").Demucs(
        list(config["sources"]),
        audio_channels=config["channels"],
        channels=config["filters"],
        depth=config["depth"],
        kernel_size=config["kernel_size"],
        stride=config["stride"],
        context=config["context"],
        lstm_layers=config["layers"],
        resample=config["resampling"],
        normalize=config["normalize"],
    )
    return with_weights_of(ours, peer, from_demucs_v2)


def applied(peer, mixture):
    """In full length."""
    apply = pytest.importorskip("demucs.utils").apply_model
    return torch.stack([apply(peer, one) for one in mixture])


@every_peer
@pytest.mark.parametrize("time", [1, 17, 997, 4001])
@torch.no_grad()
def test_same_as_the_authors_class(name, time):
    ours = by_rule(OURS[name]())
    if ours.normalize and time == 1:
        return  # of one sample they have no standard deviation
    mixture = noise(2, ours.channels, time)
    peer = authors(ours)
    assert_same(ours(mixture), applied(peer, mixture))
    assert ours.valid_length(time) == peer.valid_length(time)


@every_peer
@torch.no_grad()
def test_stored_answers_are_the_authors(name):
    answer = stored_samples(peer_answer(name))
    torch.testing.assert_close(answer, stored(GOLDEN, name), atol=1e-6, rtol=1e-5)


def peer_answer(name):
    ours = by_rule(OURS[name]().double())
    return applied(authors(ours), stereo(ours, torch.float64)).flatten(1, 2)


@every_peer
@torch.no_grad()
def test_same_as_the_authors_stored_answers(name):
    ours = by_rule(OURS[name]())
    answer = stored_samples(ours(stereo(ours)).flatten(1, 2))
    assert_same(answer, stored(GOLDEN, name).float())


# lengths


def test_the_answer_is_shorter_than_what_is_heard():
    """Of 10 s, as published: 447,146 samples go in, 441,686 come out, 441,000 are wanted."""
    with torch.device("meta"):
        model = Demucs.paper()
        assert model.valid_length(441_000) == 447_146
        assert model.answered_length(447_146) == 441_686
        assert model(torch.zeros(1, 2, 30_000)).shape == (1, 4, 2, 30_000)


def test_without_context_lengths_are_equal():
    with torch.device("meta"):
        model = Demucs(context=1)
    assert model.valid_length(44_100) == model.answered_length(model.valid_length(44_100)) == 45_738


@settings(max_examples=40)
@given(
    st.integers(1, 1000),
    st.integers(1, 3),
    st.sampled_from([(8, 4), (7, 3), (4, 4), (5, 2)]),
    st.sampled_from([1, 3, 5]),
    st.booleans(),
)
def test_lengths_are_those_of_the_network(time, depth, frame, context, resampling):
    """No frame is left over, and the answer holds what is wanted."""
    with torch.no_grad():
        sizes = {"filters": 1, "depth": depth, "kernel_size": frame[0], "stride": frame[1]}
        model = Demucs(["a"], 1, **sizes, context=context, resampling=resampling)
        length = model.valid_length(time)
        answer = model.answer(torch.zeros(1, 1, length))
    assert answer.shape[-1] == model.answered_length(length) >= time
    assert model.valid_length(max(1, time - 1)) <= length
    if context == 1 and not resampling:
        assert answer.shape[-1] == length


@torch.no_grad()
def test_silence_is_put_around_the_mixture_alike():
    model, mixture = built(), noise(1, 1, 600, dtype=torch.float64)
    length = model.valid_length(600)
    before = (length - 600) // 2
    padded = functional.pad(mixture, (before, length - 600 - before))
    answer = model.answer(padded)
    cut = (answer.shape[-1] - 600) // 2
    assert torch.equal(model(mixture), answer[..., cut : cut + 600])


# parts


@pytest.mark.parametrize("old, new", [(1, 2), (2, 1), (2, 3)])
@settings(max_examples=15)
@given(st.floats(0.01, 0.4))
def test_another_rate(old, new, frequency):
    """In cycles per sample of the lower rate; constants stay what they are, to the ends."""
    low = min(old, new)
    before, after = (torch.arange(600, dtype=torch.float64) * low / rate for rate in (old, new))
    tones = [torch.sin(2 * torch.pi * frequency * times)[None, None] for times in (before, after)]
    changed = change_rate(tones[0], old, new)
    assert changed.shape[-1] == 600 * new // old
    inside = slice(90, min(600, changed.shape[-1]) - 90)
    torch.testing.assert_close(changed[..., inside], tones[1][..., inside], atol=3e-3, rtol=0)
    ones = torch.ones(2, 3, 77)
    torch.testing.assert_close(change_rate(ones, old, new), torch.ones(2, 3, 77 * new // old))


@torch.no_grad()
def test_the_network_is_the_one_of_the_paper():
    """Written out for two levels: gates, trimmed skips, no zeros anywhere."""
    model = built(depth=2)
    mixture = noise(1, 1, model.valid_length(90), dtype=torch.float64)

    def gated(x, layer):
        x = functional.conv1d(x, layer.weight, layer.bias)
        return x[:, : x.shape[1] // 2] * x[:, x.shape[1] // 2 :].sigmoid()

    def trimmed(x, like):
        missing = x.shape[-1] - like.shape[-1]
        return x[..., missing // 2 : x.shape[-1] - (missing - missing // 2)]

    x, skips = mixture / (1 + 1e-5), []
    for block in model.down:
        x = functional.conv1d(x, block.convolution.weight, block.convolution.bias, 4).relu()
        x = gated(x, block.rewrite)
        skips.append(x)
    x = model.linear(model.lstm(x.mT)[0]).mT
    for number, block in enumerate(model.up):
        assert block.rewrite.kernel_size == (3,)
        x = gated(x + trimmed(skips.pop(), x), block.rewrite)
        x = functional.conv_transpose1d(x, block.convolution.weight, block.convolution.bias, 4)
        x = x if number else x.relu()
    torch.testing.assert_close(model.answer(mixture)[:, :, 0], x)


@torch.no_grad()
def test_levels_matter_unless_they_are_normalised():
    mixture = noise(1, 1, 600, dtype=torch.float64)
    plain, normalised = built(), built(normalize=True)
    torch.testing.assert_close(
        normalised(100 * mixture), 100 * normalised(mixture), rtol=1e-3, atol=1e-3
    )
    assert not torch.allclose(plain(100 * mixture), 100 * plain(mixture), rtol=0.1)
    assert torch.isfinite(normalised(mixture[..., :1])).all()


def test_the_first_weights_are_brought_near_to_the_reference():
    """Half the way, in dB."""
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = torch.nn.Conv1d(64, 128, 1).weight.std()
    for reference in (0.1, 0.4):
        weights = built(filters=16, depth=3, rescale_to=reference).down[-1].rewrite.weight
        expected = (drawn * reference).sqrt()
        torch.testing.assert_close(weights.std().float(), expected, rtol=0.02, atol=0)


@torch.no_grad()
def test_shifted_mixtures_are_answered_otherwise_and_their_mean_varies_less():
    """What the shift trick is for: 64 samples a frame, and each phase has its own answer."""
    model, mixture = built().float(), noise(1, 2000)
    answers = []
    for shifts in (1, 8):
        moved = [functional.pad(mixture, (by, 0)) for by in range(0, 64, 16)]
        answers.append(
            torch.stack(
                [
                    separate(model, one, 8000, shifts=shifts, progress=False)[..., -1500:-500]
                    for one in moved
                ]
            )
        )
    alone, mean = (answer.std(0).mean() for answer in answers)
    assert mean < 0.7 * alone


# sizes


def test_published_and_smaller_sizes():
    with torch.device("meta"):
        assert count(Demucs.paper(100)) == 648_548_208  # of version 1
        small, tiny = Demucs.small(), Demucs.tiny()
    assert 1.5e6 < count(small) < 2.5e6
    for model in (small, tiny):
        assert not model.config["resampling"] and model.config["depth"] < 6
    assert small.source_names == ("drums", "bass", "other", "vocals")
    assert math.isclose(small.sample_rate / 4**4, 62.5)  # frames a second


def test_it_learns_one_mixture():
    torch.manual_seed(0)
    assert gain_on_one_song(Demucs.tiny(), 250) > 8


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"sources": "vocals"}, "sources: expected a list of different names, got 'vocals'"),
        ({"context": 2}, "context: expected an odd number, got 2"),
        ({"stride": 9}, "stride: expected 1 to kernel_size=8, got 9"),
        ({"depth": 0}, "depth: expected at least 1, got 0"),
        ({"filters": 0}, "filters: expected at least 1, got 0"),
        ({"layers": 0}, "layers: expected at least 1, got 0"),
    ],
)
def test_one_clear_error(sizes, words):
    with pytest.raises(InputError, match=words), torch.device("meta"):
        Demucs(**sizes)


def test_mono_is_refused_by_a_stereo_model():
    with pytest.raises(InputError, match="expected 2 channels, got 1"):
        Demucs(**SIZES)(noise(1, 1, 100))
