"""Band-Split RNN: bands of the paper, a loop over them, and the authors' code.

For the comparison with the authors' code put the folder of github.com/magronp/bsrnn, which keeps
it, on the path; without it, its stored answers stand for it.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from learning import losses_on_a_tone
from peers import assert_same, by_rule, noise, stored
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.models import BandSplitRNN
from lib.models.band_split_rnn import SCHEMES, TargetNetwork
from lib.nn.bands import BandLinear, BandMasks, BandNorm, BandSplit, band_widths, runs

GOLDEN = Path(__file__).parent / "golden" / "band_split_peers.json"
# vocals: 41, bass: 30, drums: 55 (section IV-A); V1 to V7: table I
BANDS = {"v1": 22, "v2": 19, "v3": 14, "v4": 23, "v5": 28, "v6": 26, "v7": 41}
BANDS |= {"vocals": 41, "other": 41, "bass": 30, "drums": 55}


def spectrum(*shape, seed=0, dtype=torch.float32):
    return torch.complex(*noise(2, *shape, seed=seed, dtype=dtype))


# ---- bands


@pytest.mark.parametrize("name", SCHEMES)
def test_published_bands_cover_every_bin_once(name):
    widths = band_widths(SCHEMES[name], 1025, 44100)
    assert len(widths) == BANDS[name]
    assert min(widths) > 0
    split = BandSplit(widths, channels=2, norm=lambda *sizes: nn.Identity())
    frame = noise(1, 1, 1025).requires_grad_()
    features = split(frame)
    owners = torch.zeros(1025)
    for band in range(len(widths)):
        (slope,) = torch.autograd.grad(features[band].sum(), frame, retain_graph=True)
        assert int((slope != 0).sum()) == widths[band]
        owners += (slope != 0)[0, 0]
    assert (owners == 1).all()


@pytest.mark.parametrize("name", SCHEMES)
def test_published_masks_answer_for_every_bin_once(name):
    widths = band_widths(SCHEMES[name], 1025, 44100)
    masks = BandMasks(widths, channels=2, hidden=3, layers=1)
    features = noise(len(widths), 1, 1, 2).requires_grad_()
    answer = masks(features)
    assert answer.shape == (1, 1, 1025)
    heard = [
        torch.autograd.grad(answer[0, 0, place], features, retain_graph=True)[0][:, 0, 0]
        .abs()
        .sum(-1)
        .nonzero()[:, 0]
        .tolist()
        for place in range(0, 1025, 3)
    ]
    owner = [[band] for band, width in enumerate(widths) for _ in range(width)]
    assert heard == owner[::3]


def test_bands_of_a_lower_rate_end_at_its_highest_bin():
    widths = band_widths(SCHEMES["drums"], 257, 8000)
    assert sum(widths) == 257
    assert widths[:20] == [3] * 20  # 50 Hz are 3.2 bins
    assert widths[-1] == 257 - 20 * 3 - 10 * 6 - 8 * 16 == 9  # the first of the bands of 500 Hz
    assert band_widths([(4000, 1)], 257, 8000) == [257]


def test_a_run_is_what_lies_side_by_side():
    assert runs(band_widths(SCHEMES["v7"], 1025, 44100)) == [
        (4, 10), (11, 12), (23, 8), (46, 8), (92, 2), (117, 1)
    ]  # fmt: skip
    assert runs([3, 3, 5, 3]) == [(3, 2), (5, 1), (3, 1)]


def test_a_band_has_weights_of_its_own():
    torch.manual_seed(0)
    layer, x = BandLinear(3, 4, 2), noise(3, 5, 7, 4)
    for band in range(3):
        expected = functional.linear(x[band], layer.weight[band].T, layer.bias[band, 0])
        torch.testing.assert_close(layer(x)[band], expected)


def test_norm_of_a_band_is_group_norm():
    torch.manual_seed(0)
    x = 5 + 3 * noise(3, 2, 7, 4)
    norm = BandNorm(3, 4)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    for band in range(3):
        gains = norm.weight[band, 0, 0], norm.bias[band, 0, 0]
        expected = functional.group_norm(x[band].transpose(1, 2), 1, *gains, norm.eps)
        torch.testing.assert_close(norm(x)[band], expected.transpose(1, 2), atol=1e-5, rtol=1e-5)
    across = BandNorm(1, 4, over=(0, 3))
    expected = functional.group_norm(x.permute(1, 2, 3, 0).flatten(0, 1), 1, eps=across.eps)
    expected = expected.unflatten(0, (2, 7)).permute(3, 0, 1, 2)
    torch.testing.assert_close(across(x), expected, atol=1e-5, rtol=1e-5)


# ---- the network


def small_network(dtype=torch.float64):
    """With bands of the vocals at a low resolution."""
    return by_rule(TargetNetwork(band_widths(SCHEMES["v7"], 257, 8000), 8, 16, 2).to(dtype))


def loop(network, spectrogram):
    """The network as one would write it down: band after band."""
    parts = torch.view_as_real(spectrogram.transpose(1, 2).contiguous()).flatten(2)  # (B, T, 2 F)
    weights = [
        (norm.weight[k], norm.bias[k], linear.weight[k], linear.bias[k])
        for norm, linear in network.split.bands
        for k in range(len(linear.weight))
    ]

    def normal(x, weight, bias):
        x = functional.group_norm(x.transpose(1, 2), 1, eps=torch.finfo(torch.float32).eps)
        return x.transpose(1, 2) * weight + bias

    features = []
    for part, (gain, offset, weight, bias) in zip(
        parts.split([2 * width for width in network.widths], -1), weights, strict=True
    ):
        features.append(normal(part, gain[0], offset[0]) @ weight + bias)  # (B, T, N)
    for block in network.sequence:
        for k, one in enumerate(features):
            along = normal(one, block.time_norm.weight[0, 0], block.time_norm.bias[0, 0])
            features[k] = one + block.time(along)
        frames = torch.stack(features, 2).flatten(0, 1)  # (B * T, K, N)
        across = block.band(
            normal(frames, block.band_norm.weight[0, 0], block.band_norm.bias[0, 0])
        )
        features = [*(frames + across).unflatten(0, parts.shape[:2]).unbind(2)]
    last = [
        (run.weight[k], run.bias[k]) for run in network.masks.last for k in range(len(run.bias))
    ]
    masks = []
    for k, one in enumerate(features):
        x = normal(one, network.norm.weight[k, 0], network.norm.bias[k, 0])
        for layer in network.masks.hidden:
            x = (x @ layer.weight[k] + layer.bias[k]).tanh()
        value, gate = (x @ last[k][0] + last[k][1]).chunk(2, -1)
        masks.append(torch.view_as_complex((value * gate.sigmoid()).unflatten(-1, (-1, 2))))
    return torch.cat(masks, -1).transpose(1, 2)


@torch.no_grad()
def test_same_as_a_loop_over_bands():
    network, x = small_network(), spectrum(2, 257, 9, dtype=torch.float64)
    expected = loop(network, x)
    assert expected.abs().std() > 0.01
    torch.testing.assert_close(network(x), expected, atol=1e-12, rtol=1e-9)


@torch.no_grad()
def test_the_level_of_a_mixture_does_not_matter():
    model, mixture = BandSplitRNN.tiny().eval(), noise(1, 1, 3000)
    torch.testing.assert_close(model(100 * mixture), 100 * model(mixture), atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_each_channel_is_separated_by_itself():
    model, mixture = BandSplitRNN.tiny().eval(), noise(2, 2, 3000)
    alone = torch.stack([model(mixture[:, [c]])[:, :, 0] for c in (0, 1)], 2)
    torch.testing.assert_close(model(mixture), alone, atol=1e-5, rtol=1e-4)


def test_each_target_has_its_own_bands_and_the_residual_is_the_rest():
    stems = ["vocals", "drums", "bass", "other"]
    with torch.device("meta"):
        model = BandSplitRNN(stems, channels=4, layers=1)
        counts = [len(network.widths) for network in model.masker.networks]
        assert counts == [BANDS[stem] for stem in stems]
        assert len(BandSplitRNN(["flute"], layers=1).masker.networks[0].widths) == 41
        everything = sum(
            weights.numel() for stem in stems for weights in BandSplitRNN.paper(stem).parameters()
        )
    assert everything == 146_655_904
    model, mixture = BandSplitRNN.tiny().eval(), noise(1, 2, 3000)
    torch.testing.assert_close(model(mixture).sum(1), mixture, atol=1e-5, rtol=1e-4)


def test_the_smaller_presets_deviate_as_listed():
    small, tiny = BandSplitRNN.small(), BandSplitRNN.tiny()
    assert (small.sample_rate, tiny.sample_rate) == (16000, 8000)
    for model in (small, tiny):
        assert model.source_names == ("vocals", "accompaniment")
        (network,) = model.masker.networks
        assert len(network.widths) < 30
    assert BandSplitRNN.small("bass").source_names == ("bass", "rest")
    assert 0.5e6 < sum(weights.numel() for weights in small.parameters()) < 1e6


def test_a_step_towards_the_target_lowers_the_loss():
    torch.manual_seed(0)
    losses = losses_on_a_tone(BandSplitRNN.tiny())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: BandSplitRNN("vocals"), "targets: expected a list"),
        (lambda: BandSplitRNN(bands="v8"), "bands: expected one of v1, .*got 'v8'"),
        (lambda: BandSplitRNN(bands=[(10, 3)]), "at least 21.5 Hz, .* got 10 Hz, 3"),
        (lambda: BandSplitRNN(bands=[(100, 0)]), "got 100 Hz, 0"),
    ],
)
def test_one_clear_error(call, words):
    with pytest.raises(InputError, match=words):
        call()


# ---- the authors' code


def authors(ours, target):
    """Their network with our weights; it takes and returns spectrograms in the place of signals."""
    stubs = {"models.pl_module": {"PLModule": lambda: None}, "helpers": {}}
    stubs["helpers.transforms"] = {"mySTFT": None, "myISTFT": None}

    class Module(nn.Module):
        def __init__(self, *args, eps, **options):
            super().__init__()
            self.eps = torch.finfo(torch.float32).eps  # theirs; the module of that folder says 1e-7

    stubs["models.pl_module"]["PLModule"] = Module
    for name in ("mySTFT", "myISTFT"):
        stubs["helpers.transforms"][name] = lambda **sizes: None
    for name, content in stubs.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    try:
        module = pytest.importorskip("models.bsrnn")
    finally:
        for name in stubs:
            del sys.modules[name]
    (network,) = ours.masker.networks
    theirs = module.BSRNN(
        None,
        None,
        target,
        ours.sample_rate,
        ours.encoder.n_fft,
        feature_dim=ours.config["channels"],
        num_repeat=ours.config["layers"],
    ).to(network.norm.weight.dtype)
    counted = [sum(weights.numel() for weights in one.parameters()) for one in (theirs, ours)]
    assert counted[0] == counted[1]

    def put(target, weight, bias):
        target.weight.data, target.bias.data = weight.clone(), bias.clone()

    def parts(rows):  # real parts of a band's bins before imaginary ones
        return torch.cat([rows[0::2], rows[1::2]])

    places = [(run, k) for run in network.split.bands for k in range(len(run[1].weight))]
    for band, ((norm, linear), k) in zip(theirs.BN, places, strict=True):
        put(band[0], parts(norm.weight[k, 0, 0]), parts(norm.bias[k, 0, 0]))
        put(band[1], parts(linear.weight[k]).T[..., None], linear.bias[k, 0])
    for target_block, block in zip(theirs.separator, network.sequence, strict=True):
        for path, norm, own in (
            (target_block.band_rnn, block.time_norm, block.time),
            (target_block.band_comm, block.band_norm, block.band),
        ):
            put(path.norm, norm.weight[0, 0, 0], norm.bias[0, 0, 0])
            path.rnn.load_state_dict(own.recurrent.state_dict())
            path.proj.load_state_dict(own.output.state_dict())
    places = [(run, k) for run in network.masks.last for k in range(len(run.weight))]
    for band, (mask, (run, k)) in enumerate(zip(theirs.mask, places, strict=True)):
        put(mask[0], network.norm.weight[band, 0, 0], network.norm.bias[band, 0, 0])
        for layer, own in zip((mask[1], mask[3]), network.masks.hidden, strict=True):
            put(layer, own.weight[band].T[..., None], own.bias[band, 0])
        value, gate = run.weight[k].T.chunk(2)
        weight = torch.cat([parts(value), parts(gate)])
        value, gate = run.bias[k, 0].chunk(2)
        put(mask[5], weight[..., None], torch.cat([parts(value), parts(gate)]))
    theirs.stft = lambda x: x.unflatten(1, (ours.encoder.n_fft // 2 + 1, -1))
    theirs.istft = lambda x, length: x.real
    return theirs.eval()


def estimate_of_authors(theirs, spectrogram):
    """Their estimate (B, C, F, T) for a spectrogram of the mixture."""
    return theirs(spectrogram.flatten(2))["stfts"][:, 0]


def ours(target, dtype=torch.float64):
    return by_rule(BandSplitRNN([target], channels=8, layers=2).to(dtype))


TARGETS = ["vocals", "bass", "drums"]


@pytest.mark.parametrize("target", TARGETS)
@torch.no_grad()
def test_same_as_the_authors(target):
    model, x = ours(target, torch.float32), spectrum(2, 2, 1025, 11)
    assert_same((model.masker(x)[:, 0] * x), estimate_of_authors(authors(model, target), x))


def stored_points(estimate):
    """20 complex points of an estimate."""
    points = estimate.flatten()
    places = torch.linspace(0, len(points) - 1, 20, dtype=torch.float64).round().long()
    return torch.view_as_real(points[places])


@pytest.mark.parametrize("target", TARGETS)
@torch.no_grad()
def test_stored_answers_are_the_authors(target):
    model, x = ours(target), spectrum(1, 1, 1025, 11, dtype=torch.float64)
    answer = stored_points(estimate_of_authors(authors(model, target), x))
    torch.testing.assert_close(answer, stored(GOLDEN, target), atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@torch.no_grad()
def test_same_as_stored_answers_of_the_authors(target):
    model, x = ours(target), spectrum(1, 1, 1025, 11, dtype=torch.float64)
    answer = stored_points(model.masker(x)[:, 0] * x)
    assert answer.std() > 0.01
    torch.testing.assert_close(answer, stored(GOLDEN, target), atol=1e-7, rtol=1e-6)
