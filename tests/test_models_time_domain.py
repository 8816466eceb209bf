"""Time-domain systems against their peers, in full and by stored answers, and what is their own.

Asteroid pins other versions than the course: install it into an environment of its own
(``pip install -e .[torch,peers]``) and run this file there. Without it, its stored answers stand
in.
"""

from pathlib import Path

import pytest
import torch
from peers import (
    assert_same,
    by_rule,
    noise,
    signal,
    stored,
    stored_samples,
    through,
    with_weights_of,
)

import lib  # noqa: F401 - lets torchaudio load
from lib.errors import InputError
from lib.filterbanks import GatedFilterbank
from lib.models import ConvTasNet, TasNet
from lib.models.official.asteroid import from_asteroid
from lib.models.official.torchaudio import from_torchaudio
from lib.nn.norms import ChannelLayerNorm

GOLDEN = Path(__file__).parent / "golden" / "time_domain_peers.json"
LENGTHS = [17, 997, 8000, 8001]

CONV = {"filters": 24, "bottleneck": 12, "hidden": 20, "skip": 14, "blocks": 3, "repeats": 2}
LSTM = {"variant": "2018-b", "filters": 24, "layers": 4, "hidden": 10, "skip": False}
# what Asteroid's classes are called in our terms
OURS = {
    "LSTMTasNet": lambda: TasNet(**LSTM),
    "LSTMTasNet-causal": lambda: TasNet(**LSTM, causal=True),
    "LSTMTasNet-apart": lambda: TasNet(**LSTM, stride=40),
    "ConvTasNet-gLN": lambda: ConvTasNet(**CONV),
    "ConvTasNet-cgLN": lambda: ConvTasNet(**CONV, causal=True),
    "ConvTasNet-cLN": lambda: ConvTasNet(**CONV, causal=True, norm="channel", taps=5),
}
peers = pytest.mark.parametrize("name", OURS)


# Asteroid


def asteroid(ours):
    """The peer of a system, with its weights."""
    models = pytest.importorskip("asteroid.models")
    config = ours.config
    sizes = {"n_filters": config["filters"]}
    sizes |= {name: getattr(ours.encoder, name) for name in ("kernel_size", "stride")}
    if isinstance(ours, TasNet):
        peer = models.LSTMTasNet(
            2,
            n_layers=config["layers"],
            hid_size=config["hidden"],
            mask_act="sigmoid",  # its softmax runs over time
            bidirectional=not config["causal"],
            **sizes,
        )
    else:
        overall = "cgLN" if config["causal"] else "gLN"
        peer = models.ConvTasNet(
            2,
            n_blocks=config["blocks"],
            n_repeats=config["repeats"],
            bn_chan=config["bottleneck"],
            hid_chan=config["hidden"],
            skip_chan=config["skip"],
            conv_kernel_size=config["taps"],
            norm_type="cLN" if config["norm"] == "channel" else overall,
            causal=config["causal"],
            **sizes,
        )
        return with_weights_of(ours, peer, from_asteroid)
    # in the same order but for the banks; there is a second name for the filters that do not gate
    weights = ours.state_dict()
    encoder = weights.pop("encoder.encoder_filters")
    decoder = weights.pop("encoder.decoder_filters")
    values = [encoder, encoder, *weights.values(), decoder]
    peer.to(encoder.dtype).load_state_dict(dict(zip(peer.state_dict(), values, strict=True)))
    return peer.eval()


@peers
@pytest.mark.parametrize("time", LENGTHS)
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


@pytest.mark.parametrize("name", ["LSTMTasNet", "ConvTasNet-gLN", "ConvTasNet-cgLN"])
@torch.no_grad()
def test_without_our_padding_asteroid_says_something_else(name):
    """It drops what does not fill a frame and sets the end to zero; the first frames differ too."""
    ours = by_rule(OURS[name]())
    peer, mixture = asteroid(ours), noise(1, 1, 8001)
    plain, expected = peer(mixture), ours(mixture)[:, :, 0]
    assert not plain[..., -1].any()
    assert expected[..., -1].all()
    level = expected.abs().max()
    assert (plain - expected)[..., :16].abs().max() > 0.01 * level


@torch.no_grad()
def test_frames_side_by_side_need_no_padding():
    """Only then the two agree as they are, on whole frames."""
    ours = by_rule(OURS["LSTMTasNet-apart"]())
    mixture = noise(2, 1, 4000)
    assert ours.encoder.padding(4000) == (0, 0)
    assert_same(ours(mixture)[:, :, 0], asteroid(ours)(mixture))


# torchaudio


def torchaudio(ours):
    """The peer of a Conv-TasNet without the last residual, with its weights."""
    from torchaudio.models import ConvTasNet as Peer

    config = ours.config
    peer = Peer(
        config["speakers"],
        config["kernel_size"],
        config["filters"],
        config["taps"],
        config["bottleneck"],
        config["hidden"],
        config["blocks"],
        config["repeats"],
        config["activation"],
    )
    return with_weights_of(ours, peer, from_torchaudio)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("time", [1, *LENGTHS])
@torch.no_grad()
def test_same_as_torchaudio(activation, time):
    """End to end, with no padding of ours: the rules agree."""
    sizes = CONV | {"skip": CONV["bottleneck"], "activation": activation, "last_residual": False}
    ours = by_rule(ConvTasNet(3, **sizes))
    mixture = 0.1 + noise(2, 1, time)
    assert_same(ours(mixture)[:, :, 0], torchaudio(ours)(mixture))


@torch.no_grad()
def test_same_as_torchaudio_in_the_published_size():
    torch.manual_seed(0)
    ours = ConvTasNet.paper(last_residual=False).eval()
    mixture = noise(1, 1, 4001)
    theirs = torchaudio(ours)(mixture)
    torch.testing.assert_close(ours(mixture)[:, :, 0], theirs, atol=1e-5, rtol=0)
    assert theirs.abs().max() > 0.01


# Conv-TasNet


@torch.no_grad()
def test_the_last_residual_is_dead():
    ours = by_rule(ConvTasNet(**CONV))
    dead = ours.masker.tcn.blocks[-1].residual
    mixture = noise(1, 1, 500)
    answer = ours(mixture)
    without = ConvTasNet(**CONV, last_residual=False).eval()
    missing, unexpected = without.load_state_dict(ours.state_dict(), strict=False)
    assert not missing
    assert unexpected == [f"masker.tcn.blocks.5.residual.{name}" for name in ("weight", "bias")]
    assert torch.equal(without(mixture), answer)
    dead.weight.fill_(torch.nan)
    assert torch.equal(ours(mixture), answer)
    ours.masker.tcn.blocks[-2].residual.weight.zero_()
    assert not torch.equal(ours(mixture), answer)


def reach(model, place, time=600):
    """How far before a changed sample the output changes: exactly, in float64."""
    mixture = noise(1, 1, time, dtype=torch.float64)
    changed = mixture.clone()
    changed[..., place] += 1.0
    different = (model(changed) != model(mixture)).any(0).any(0).any(0).nonzero()
    return place - int(different.min())


@pytest.mark.parametrize(
    "build, expected",
    [
        (lambda: ConvTasNet(**CONV, causal=True), set(range(8, 16))),
        (lambda: ConvTasNet(**CONV, causal=True, norm="channel"), set(range(8, 16))),
        (lambda: TasNet(**LSTM, causal=True), set(range(20, 40))),
        (lambda: TasNet(filters=24, hidden=10, causal=True), set(range(40))),
    ],
)
@torch.no_grad()
def test_lookahead_depends_on_where_in_a_frame_a_sample_lies(build, expected):
    """One sample alone tells too little: with 2 ms of frames, between 8 samples and 15."""
    torch.manual_seed(0)
    model = build().double().eval()
    hop = model.encoder.stride
    assert {reach(model, 300 + phase) for phase in range(hop)} == expected
    assert model.lookahead == max(expected) == model.encoder.kernel_size - 1


@pytest.mark.parametrize("kernel_size", [1, 2, 16, 21])
@torch.no_grad()
def test_receptive_field_with_frames_of_any_size(kernel_size):
    """The longest stretch of the output that hears a sample."""
    torch.manual_seed(0)
    model = ConvTasNet(**CONV, kernel_size=kernel_size, norm="channel").double().eval()
    mixture, stretches = noise(1, 1, 800, dtype=torch.float64), set()
    for phase in range(model.encoder.stride):
        changed = mixture.clone()
        changed[..., 400 + phase] += 1.0
        heard = (model(changed) != model(mixture)).any(0).any(0).any(0).nonzero()
        stretches.add(int(heard.max() - heard.min()) + 1)
    assert max(stretches) == model.receptive_field


@torch.no_grad()
def test_asteroid_looks_as_far_ahead():
    ours = by_rule(OURS["ConvTasNet-cgLN"]().double())
    peer = asteroid(ours)
    reaches = {reach(lambda mixture: peer(mixture)[:, :, None], 300 + phase) for phase in range(8)}
    assert max(reaches) == 15


@pytest.mark.parametrize("causal", [False, True])
def test_gln_looks_at_everything_even_where_convolutions_are_causal(causal):
    torch.manual_seed(0)
    model = ConvTasNet(**CONV, causal=causal, norm="global").double().eval()
    with torch.no_grad():
        assert model.lookahead is None
        assert reach(model, 500) > 400


# TasNet


@torch.no_grad()
def test_the_first_variant_is_what_the_paper_writes():
    """Frames of unit norm, a gate, a norm per frame, shares of the features, the norms put back."""
    model = by_rule(TasNet(filters=24, layers=2, hidden=10))
    bank, mixture = model.encoder, noise(1, 1, 400)
    frames = mixture[0, 0].unfold(0, 40, 40)  # (K, L)
    norms = frames.norm(dim=1, keepdim=True)
    unit = frames / norms
    gate = torch.sigmoid(unit @ bank.gate_filters[:, 0].T)
    weights = gate * torch.relu(unit @ bank.encoder_filters[:, 0].T)  # (K, N)
    masks = model.masker(weights.T[None])[0]  # (S, N, K)
    torch.testing.assert_close(masks.sum(0), torch.ones_like(masks[0]))
    expected = ((weights.T * masks).mT @ bank.decoder_filters[:, 0] * norms).flatten(1)
    assert_same(model(mixture)[0, :, 0], expected)


@torch.no_grad()
def test_the_level_of_a_frame_does_not_change_masks_in_the_first_variant_only():
    mixture = noise(1, 1, 400)
    louder = mixture * torch.logspace(-4, 4, 10).repeat_interleave(40)
    for variant, same in [("2018-a", True), ("2018-b", False)]:
        model = by_rule(TasNet(variant=variant, filters=24, stride=40, layers=2, hidden=10))
        masks, others = (model.masker(model.encoder(each)) for each in (mixture, louder))
        assert torch.allclose(masks, others, atol=1e-4) == same


def test_variants_are_named_apart():
    first, second = TasNet.paper(), TasNet.paper(variant="2018-b")
    assert (first.encoder.kernel_size, first.encoder.stride) == (40, 40)
    assert (second.encoder.kernel_size, second.encoder.stride) == (40, 20)
    assert first.encoder.normalised and not second.encoder.normalised
    assert isinstance(first.masker.mask_activation, torch.nn.Softmax)
    assert isinstance(second.masker.mask_activation, torch.nn.Sigmoid)
    assert isinstance(first.masker.norm, ChannelLayerNorm)
    with pytest.raises(InputError, match="variant: expected one of 2018-a, 2018-b, got '2018'"):
        TasNet(variant="2018")


def test_no_number_of_filters_gives_both_published_counts():
    def count(filters, causal):
        with torch.device("meta"):
            model = TasNet(filters=filters, hidden=1000 if causal else 500, causal=causal)
        return sum(weights.numel() for weights in model.parameters()) / 1e6

    both = [round(count(filters, True), 1) == 32.0 for filters in range(500, 700)]
    assert any(both)
    assert not any(
        fits and round(count(filters, False), 1) == 23.6
        for filters, fits in zip(range(500, 700), both, strict=True)
    )
    assert any(round(count(filters, False), 1) == 23.6 for filters in range(500, 700))


@torch.no_grad()
def test_what_the_second_layer_says_is_added_to_the_fourth():
    model = by_rule(TasNet(filters=24, layers=5, hidden=10)).masker
    features = noise(2, 24, 30).relu()
    hidden, outputs = model.norm(features).mT, []
    for number, layer in enumerate(model.recurrent):
        hidden = layer(hidden)[0] + (outputs[1] if number == 3 else 0)
        outputs.append(hidden)
    masks = model.output(hidden).unflatten(-1, (2, 24)).softmax(2)  # (B, K, S, N)
    torch.testing.assert_close(model(features), masks.permute(0, 2, 3, 1))
    model.skip = False
    assert not torch.allclose(model(features), masks.permute(0, 2, 3, 1), atol=1e-3)


@pytest.mark.parametrize("variant", ["2018-a", "2018-b"])
@torch.no_grad()
def test_a_stream_of_features_gets_the_masks_of_the_whole(variant):
    masker = by_rule(TasNet(variant=variant, filters=24, hidden=10, causal=True)).masker
    features, memory = noise(2, 24, 50).relu(), {}
    pieces = [masker(piece, memory) for piece in features.split([1, 7, 20, 22], -1)]
    torch.testing.assert_close(torch.cat(pieces, -1), masker(features), atol=1e-6, rtol=1e-5)
    assert not torch.allclose(masker(features[..., 28:]), pieces[-1], atol=1e-3)


def test_a_blstm_does_not_stream():
    masker = TasNet(filters=8, layers=1, hidden=4).masker
    with pytest.raises(InputError, match="stream: expected layers that read forwards"):
        masker(noise(1, 8, 5), {})


def test_a_gated_bank_answers_silence_with_silence():
    bank = GatedFilterbank(16, 40, stride=40)
    features = bank(torch.zeros(1, 1, 400))
    assert not features.any()
    features.sum().backward()
    assert all(torch.isfinite(weights.grad).all() for weights in (bank.gate_filters,))


def test_frames_side_by_side_are_not_taken_for_a_stride_of_nothing():
    with pytest.raises(InputError, match="a stride from 1 to kernel_size, got 500, 40, 0"):
        TasNet(stride=0)


@pytest.mark.parametrize("sizes", [{"blocks": 0}, {"repeats": 0}])
def test_a_network_without_blocks_is_refused(sizes):
    with pytest.raises(InputError, match="blocks, repeats: expected at least one of each"):
        ConvTasNet(**CONV | sizes)


@pytest.mark.parametrize("system", [ConvTasNet, TasNet])
def test_no_speakers_are_refused(system):
    with pytest.raises(InputError, match="speakers: expected at least 1, got 0"):
        system(speakers=0)


def test_the_smaller_conv_tasnets_deviate_as_listed():
    for preset in (ConvTasNet.small(), ConvTasNet.tiny()):
        assert preset.encoder.kernel_size == 32  # 4 ms
        assert preset.config["activation"] == "relu"
    assert ConvTasNet.paper().config["activation"] == "sigmoid"


def test_the_smaller_presets_deviate_as_listed():
    for preset in (TasNet.small(), TasNet.tiny()):
        assert preset.config["variant"] == "2018-b"
        assert preset.config["activation"] == "relu"
        assert preset.config["layers"] < TasNet.paper().config["layers"]
        assert preset.encoder.kernel_size > TasNet.paper().encoder.kernel_size
