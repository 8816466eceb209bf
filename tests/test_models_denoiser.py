"""Demucs denoiser: against its authors' class, streams, how far it looks, levels, its parts.

The authors' package pins old versions: ``pip install --no-deps denoiser==0.1.5 julius``. Without it
its stored answers stand in.
"""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import assert_same, by_rule, noise, signal, stored, stored_samples, with_weights_of
from test_streaming import cut, stream, whole
from torch.nn import functional

from lib.data import NoisySpeech
from lib.errors import InputError
from lib.losses import make_objective
from lib.metrics import si_sdr
from lib.models import Denoiser
from lib.models.official.denoiser import from_denoiser
from lib.nn.demucs import StridedConv, StridedTranspose, Up, rescale
from lib.nn.interpolation import DoubleRate, HalveRate
from lib.separate import Streamer

GOLDEN = Path(__file__).parent / "golden" / "demucs_peers.json"

PLAIN = {"hidden": 6, "depth": 3, "normalize": "utterance", "residual": None}
OURS = {
    "denoiser": lambda: Denoiser(**PLAIN),
    "denoiser-once": lambda: Denoiser(**PLAIN | {"resampling": 1, "normalize": None}),
    "denoiser-blstm": lambda: Denoiser(**PLAIN, stride=2, resampling=2, causal=False),
    "denoiser-sizes": lambda: Denoiser(**PLAIN | {"kernel_size": 7, "stride": 3, "resampling": 1}),
}
every_peer = pytest.mark.parametrize("name", OURS)


def built(**sizes):
    torch.manual_seed(0)
    return Denoiser(**{"hidden": 4, "depth": 3, "resampling": 1} | sizes).eval()


def count(model):
    return sum(weights.numel() for weights in model.parameters())


# the authors' class


def authors(ours):
    """Their class, with our weights."""
    config = ours.config
    peer = pytest.importorskip("denoiser.demucs").Demucs(
        hidden=config["hidden"],
        depth=config["depth"],
        kernel_size=config["kernel_size"],
        stride=config["stride"],
        causal=config["causal"],
        resample=config["resampling"],
        normalize=config["normalize"] is not None,
    )
    return with_weights_of(ours, peer, from_denoiser)


@every_peer
@pytest.mark.parametrize("time", [2, 17, 997, 4001])
@torch.no_grad()
def test_same_as_the_authors_class(name, time):
    ours, mixture = by_rule(OURS[name]()), noise(3, 1, time)
    assert_same(ours(mixture)[:, 0], authors(ours)(mixture))


@every_peer
@torch.no_grad()
def test_stored_answers_are_the_authors(name):
    ours = by_rule(OURS[name]().double())
    answer = stored_samples(authors(ours)(signal(997, torch.float64)))
    torch.testing.assert_close(answer, stored(GOLDEN, name), atol=1e-6, rtol=1e-5)


@every_peer
@torch.no_grad()
def test_same_as_the_authors_stored_answers(name):
    answer = stored_samples(by_rule(OURS[name]())(signal(997))[:, :, 0])
    assert_same(answer, stored(GOLDEN, name).float())


@torch.no_grad()
def test_same_as_the_authors_class_in_the_published_size():
    torch.manual_seed(0)
    ours = Denoiser(normalize="utterance").eval()
    mixture = noise(1, 1, 3000)
    assert_same(ours(mixture)[:, :1, 0], authors(ours)(mixture))


@pytest.fixture
def double_precision():
    """The authors' streamer builds its buffers in the default precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("resampling", [1, 4])
@torch.no_grad()
def test_the_authors_streamer_differs_from_their_network(double_precision, resampling):
    """Where it interpolates; and at the end in its newest version, which forgets what it heard."""
    module, mixture = pytest.importorskip("denoiser.demucs"), signal(3000, torch.float64)[0]
    ours = by_rule(built(resampling=resampling, depth=4, normalize=None, residual=None).double())
    expected, errors = whole(ours, mixture)[:, 0], {}
    level = float(expected.abs().max())
    streamed = stream(Streamer(ours), mixture, [777])[:, 0]
    torch.testing.assert_close(streamed, expected, atol=1e-12 * level, rtol=0)
    for forgets in (False, True):
        peer = module.DemucsStreamer(authors(ours))
        pieces = [peer.feed(mixture)]
        if forgets:
            peer.lstm_state = peer.conv_state = None
        errors[forgets] = (torch.cat([*pieces, peer.flush()], -1) - expected).abs() / level
        body = errors[forgets][..., 300 : pieces[0].shape[-1]].max()
        assert body < 1e-12 if resampling == 1 else 1e-3 < body < 1e-1
    assert peer.total_length < ours.lookahead or resampling == 1
    assert errors[True].max() > 3 * errors[False].max()


# streams


@pytest.mark.parametrize("resampling", [1, 2, 4])
@pytest.mark.parametrize("normalize", [None, "running"])
def test_a_stream_gives_the_whole_to_1e_6(resampling, normalize):
    """Interpolation included, and to the last sample."""
    model = built(resampling=resampling, normalize=normalize)

    @settings(max_examples=6)
    @given(st.integers(1, 1500), st.lists(st.integers(1, 800), min_size=1, max_size=3))
    def check(time, sizes):
        mixture = noise(1, time, seed=time)
        estimates = stream(Streamer(model), mixture, sizes)
        torch.testing.assert_close(estimates, whole(model, mixture), atol=1e-6, rtol=0)

    check()


def test_a_stream_that_ends_with_a_full_frame_waits_for_nothing():
    """Then there are no zeros to add, and what the layers still hold comes out all the same."""
    model = built(normalize=None)
    for frames in (1, 2, 3):
        time = model.frame + (frames - 1) * model.stride
        assert model.valid_length(time) == time
        mixture = noise(1, time)
        streamer = Streamer(model)
        first = streamer.push(mixture)
        assert first.shape[-1] == frames * model.stride
        estimates = torch.cat([first, streamer.flush()], -1)
        torch.testing.assert_close(estimates, whole(model, mixture), atol=1e-6, rtol=0)


@pytest.mark.parametrize("resampling, lookahead", [(1, 147), (2, 184), (4, 203)])
def test_a_sample_comes_out_when_what_it_needs_is_there(resampling, lookahead):
    """At every phase; with interpolation too, whose far neighbours are too faint to be seen."""
    model = built(resampling=resampling)
    assert model.lookahead == lookahead
    streamer, returned, waits = Streamer(model), 0, []
    for received in range(1, 2 * lookahead + 200):
        returned += streamer.push(noise(1, 1)).shape[-1]
        waits.append(received - returned)
    assert max(waits) == lookahead


@pytest.mark.parametrize("sizes", [{}, {"resampling": 2, "depth": 2}, {"kernel_size": 6}])
def test_the_lookahead_is_what_gradients_reach(sizes):
    """Which see what is 1e-12 of the level; no sample before needs more, one needs all."""
    model = built(normalize=None, hidden=8, **sizes).double()
    time = 3 * model.lookahead + model.stride
    mixture = noise(1, 1, time, dtype=torch.float64).requires_grad_()
    speech, reach = model(mixture)[0, 0, 0], []
    for place in range(model.lookahead, model.lookahead + model.stride):
        (slope,) = torch.autograd.grad(speech[place], mixture, retain_graph=True)
        reach.append(int(slope[0, 0].nonzero().max()) - place)
    assert max(reach) == model.lookahead


def test_look_ahead_and_frames_of_the_published_sizes():
    with torch.device("meta"):
        model, other = Denoiser.paper(), Denoiser.paper(hidden=64, causal=False)
    assert (model.frame, model.stride, model.lookahead) == (597, 256, 763)
    # the frame but for a quarter of a sample, and 56 neighbours at 16 and at 32 kHz, back and forth
    assert model.lookahead - (model.frame - 1) == 56 + 28 + 28 + 56 - 1
    assert other.lookahead is None and not other.is_causal
    assert Denoiser.small().lookahead / 16000 < 0.038


@torch.no_grad()
def test_in_single_precision_less_of_the_look_ahead_can_be_seen():
    """The frame, less or more: the paper's figure."""
    torch.manual_seed(0)
    model = Denoiser(hidden=4, normalize=None).eval()
    mixture = noise(1, 1, 3000)
    before, seen = model(mixture), 0
    for place in range(1500, 1500 + model.stride, 5):
        changed = mixture.clone()
        changed[..., place] += 1.0
        seen = max(seen, place - int((model(changed) != before)[0, 0, 0].nonzero().min()))
    assert 500 < seen < 640


def test_what_cannot_stream_says_so():
    with pytest.raises(InputError, match="expected a causal system .* got Denoiser"):
        Streamer(built(normalize="utterance"))
    with pytest.raises(InputError, match="read forwards, got a bidirectional LSTM"):
        built(causal=False).network(noise(1, 1, 400), {})
    with pytest.raises(InputError, match="stream: expected a context of one frame, got 3"):
        Up(4, 2, 8, 4, last=False, context=3)(noise(1, 4, 5), noise(1, 4, 5), {})


# levels


@torch.no_grad()
def test_the_level_is_given_back():
    """Up to the floor, a louder mixture has louder estimates, and sees the same network."""
    mixture = noise(1, 1, 2000)
    for normalize in ("running", "utterance"):
        model = built(normalize=normalize)
        model.floor = 0.0
        torch.testing.assert_close(model(100 * mixture), 100 * model(mixture), atol=1e-3, rtol=1e-3)
    plain = built(normalize=None)
    assert not torch.allclose(plain(100 * mixture), 100 * plain(mixture), rtol=0.1)


@torch.no_grad()
def test_the_running_level_is_that_of_what_was():
    model, mixture = built(normalize="running"), noise(1, 1, 500)
    level = model._level(mixture)
    expected = [mixture[..., : place + 1].square().mean().sqrt() for place in range(500)]
    torch.testing.assert_close(level[0, 0], torch.stack(expected))
    torch.testing.assert_close(
        built(normalize="utterance")._level(mixture)[..., 0], mixture.std(-1, correction=1)
    )


@torch.no_grad()
def test_the_noise_is_what_the_speech_leaves():
    model, mixture = built(), noise(2, 1, 700)
    torch.testing.assert_close(model(mixture).sum(1), mixture)
    alone = Denoiser(**model.config | {"residual": None}).eval()
    alone.load_state_dict(model.state_dict())
    assert alone.source_names == ("speech",)
    torch.testing.assert_close(alone(mixture), model(mixture)[:, :1])


# parts


@pytest.mark.parametrize("size, hop", [(8, 4), (7, 3), (5, 5), (3, 1), (6, 4)])
@settings(max_examples=15)
@given(st.integers(1, 60), st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_strided_layers_stream_at_every_hop(size, hop, frames, sizes):
    if not any(sizes):
        return
    torch.manual_seed(0)
    down, up = StridedConv(2, 3, size, hop).double(), StridedTranspose(3, 2, size, hop).double()
    signals = noise(2, 2, (frames - 1) * hop + size, dtype=torch.float64)
    with torch.no_grad():
        expected, memory, coarse, fine = down(signals), {}, [], []
        for piece in cut(signals, sizes):
            coarse.append(down(piece, memory))
            fine.append(up(coarse[-1], memory))
        fine.append(up(coarse[-1][..., :0], memory | {"end": True}))
        torch.testing.assert_close(torch.cat(coarse, -1), expected)
        torch.testing.assert_close(torch.cat(fine, -1), up(expected))


@pytest.mark.parametrize("kind", [DoubleRate, HalveRate])
@settings(max_examples=25)
@given(st.integers(1, 200), st.lists(st.integers(0, 90), min_size=1, max_size=5))
def test_interpolation_streams(kind, time, sizes):
    if not any(sizes):
        return
    layer, waveform, memory = kind(zeros=9), noise(1, 1, time, dtype=torch.float64), {}
    pieces = [layer(piece, memory) for piece in cut(waveform, sizes)]
    pieces.append(layer(waveform[..., :0], memory | {"end": True}))
    torch.testing.assert_close(torch.cat(pieces, -1), layer(waveform))


def tone(frequency, time):
    """In cycles per sample."""
    return torch.sin(2 * torch.pi * frequency * torch.arange(time, dtype=torch.float64))[None, None]


@settings(max_examples=20)
@given(st.floats(0.02, 0.47))
def test_twice_the_rate_and_half_of_it(frequency):
    """Away from the ends: a tone stays the tone; above the lower band it goes."""
    slow, fast, above = tone(frequency, 600), tone(frequency / 2, 1200), tone(0.75, 1200)
    for found, expected in (
        (DoubleRate()(slow), fast),
        (HalveRate()(fast), slow),
        (HalveRate()(tone(0.26 + frequency / 2, 1200)), 0 * slow),
        (HalveRate()(above), 0 * slow),
    ):
        inside = slice(150, -150)
        torch.testing.assert_close(found[..., inside], expected[..., inside], atol=2e-3, rtol=0)


def test_first_weights_are_brought_nearer_to_one_size():
    def spread(model):
        sizes = [layer.weight.std() for layer in model.modules() if hasattr(layer, "kernel_size")]
        return max(sizes) / min(sizes)

    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv1d(1, 64, 8), torch.nn.Conv2d(512, 512, (3, 3)))
    before = spread(layers)
    bias = layers[0].bias.clone()
    scale = (layers[0].weight.std() / 0.2).sqrt()
    rescale(layers, 0.2)
    torch.testing.assert_close(spread(layers), before**0.5)
    torch.testing.assert_close(layers[0].bias, bias / scale)
    deviations = [block.rewrite.weight.std() for block in built(depth=6).network.down]
    assert deviations[-1] > 0.05  # drawn with 0.03


def test_it_learns_one_mixture():
    torch.manual_seed(0)
    model = Denoiser.tiny().train()
    item = NoisySpeech("train", items=1, seed=5, seconds=0.4, sample_rate=16000, kinds=["rain"])[0]
    mixture, sources = item.mixture[None], item.sources[None]
    objective = make_objective("l1_stft")
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(120):
        optimiser.zero_grad()
        objective(model, mixture, sources).mean().backward()
        optimiser.step()
    with torch.no_grad():
        estimates = model.eval()(mixture)
    gain = si_sdr(estimates, sources) - si_sdr(mixture[:, None].expand_as(sources), sources)
    assert gain.mean() > 8


@torch.no_grad()
def test_the_network_is_the_one_of_the_paper():
    """Written out, without interpolation."""
    model = built(depth=2, normalize=None, residual=None).double()
    network, mixture = model.network, noise(1, 1, 36 + 16 * 9, dtype=torch.float64)
    x, skips = mixture, []
    for block in network.down:
        x = functional.conv1d(x, block.convolution.weight, block.convolution.bias, 4).relu()
        x = functional.conv1d(x, block.rewrite.weight, block.rewrite.bias)
        x = x[:, : x.shape[1] // 2] * x[:, x.shape[1] // 2 :].sigmoid()
        skips.append(x)
    x = network.lstm(x.mT)[0].mT
    for number, block in enumerate(network.up):
        x = functional.conv1d(x + skips.pop(), block.rewrite.weight, block.rewrite.bias)
        x = x[:, : x.shape[1] // 2] * x[:, x.shape[1] // 2 :].sigmoid()
        x = functional.conv_transpose1d(x, block.convolution.weight, block.convolution.bias, 4)
        x = x if number else x.relu()
    torch.testing.assert_close(model(mixture)[:, 0], x)


def test_presets():
    with torch.device("meta"):
        small, tiny = Denoiser.small(), Denoiser.tiny()
        assert 1e6 < count(small) < 1.5e6
        for model in (small, tiny):
            assert model.config["resampling"] == 1 and model.config["depth"] < 5
            assert model.config["normalize"] == "running" and model.is_causal
    assert small.source_names == ("speech", "noise") and small.sample_rate == 16000


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"normalize": "peak"}, "normalize: expected running, utterance or None, got 'peak'"),
        ({"resampling": 3}, "resampling: expected 1, 2 or 4, a divisor of stride.*got 3"),
        ({"resampling": 4, "stride": 3}, r"stride\*\*depth=243, got 4"),
        ({"stride": 9}, "stride: expected 1 to kernel_size=8, got 9"),
        ({"depth": 0}, "hidden, depth, layers: expected at least 1, got 48, 0, 2"),
    ],
)
def test_one_clear_error(sizes, words):
    with pytest.raises(InputError, match=words):
        Denoiser(**sizes)
