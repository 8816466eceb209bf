"""BS-RoFormer: turned queries and keys, bands that overlap, and the public package.

For the comparison install the package in an environment of its own
(``pip install torch BS-RoFormer librosa pytest hypothesis safetensors``) and run this file there.
Without it, its stored answers stand for it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import losses_on_a_tone
from peers import assert_same, by_rule, noise, signal, stored, stored_samples
from torch.nn import functional

from lib.errors import InputError
from lib.models import BandSplitRoFormer
from lib.models.band_split_roformer import BANDS, MEL_BANDS, mel_bands
from lib.nn.attention import attention_maps
from lib.nn.rotary import RootMeanSquareNorm, RotaryAttention, RotaryLayer, rotate

GOLDEN = Path(__file__).parent / "golden" / "band_split_roformer_peers.json"
SIZES = {"bands": [(2, 8), (5, 3), (34, 1)], "channels": 16, "heads": 2, "layers": 2}
SIZES |= {"n_fft": 128, "hop_length": 32, "sample_rate": 8000}
OURS = {
    "mono": lambda: BandSplitRoFormer(heard=1, **SIZES),
    "stereo": lambda: BandSplitRoFormer(**SIZES),
    "stems": lambda: BandSplitRoFormer(["vocals", "drums", "bass"], **SIZES),
}
every_peer = pytest.mark.parametrize("name", OURS)


# ---- places as angles


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(0, 7), st.integers(0, 7))
def test_products_of_turned_vectors_know_the_distance_only(seed, shift, first, second):
    query, key = noise(2, 6, seed=seed, dtype=torch.float64)
    queries, keys = (rotate(one.expand(20, -1)) for one in (query, key))
    at = queries[first] @ keys[second]
    torch.testing.assert_close(queries[first + shift] @ keys[second + shift], at)
    torch.testing.assert_close(queries.norm(dim=-1), query.norm().expand(20))


def test_the_first_pair_turns_fastest():
    turned = rotate(torch.tensor([1.0, 0.0]).repeat(4).expand(3, -1).double())
    angles = torch.view_as_complex(turned.unflatten(-1, (-1, 2)).contiguous()).angle()
    torch.testing.assert_close(angles[1], 10000.0 ** -(torch.arange(0, 8, 2) / 8).double())
    torch.testing.assert_close(angles[2], 2 * angles[1])
    with pytest.raises(InputError, match="an even number of them, got 3"):
        rotate(torch.zeros(4, 3))


def test_attention_hears_order():
    """Without turning, an order of keys means nothing."""
    torch.manual_seed(0)
    layer, x = RotaryAttention(8, 2).eval(), noise(1, 9, 8)
    order = torch.tensor([0, 3, 1, 2, 4, 8, 7, 6, 5])
    with torch.no_grad():
        assert not torch.allclose(layer(x)[:, 0], layer(x[:, order])[:, 0], atol=1e-3)
        scores = layer.weights(x)
        queries, keys, values = layer._queries_keys_values(x)
        gates = layer.gate(x).sigmoid()  # (B, T, H)
        read = (scores @ values).transpose(1, 2) * gates[..., None]
        torch.testing.assert_close(layer(x), layer.output(read.flatten(2)), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(layer(x, x), layer(x))  # of others, which are the same
    torch.testing.assert_close(scores.sum(-1), torch.ones(1, 2, 9))
    maps = attention_maps(RotaryLayer(8, 2, 32), x)
    assert maps["attention"].shape == (1, 2, 9, 9)


def test_norm_by_the_root_mean_square():
    torch.manual_seed(0)
    norm, x = RootMeanSquareNorm(6), 5 + noise(3, 4, 6)
    torch.nn.init.normal_(norm.weight)
    torch.testing.assert_close(norm(x), functional.rms_norm(x, (6,), norm.weight, 1e-12))
    assert (norm(torch.zeros(2, 6)) == 0).all()


# ---- bands


def test_published_bands():
    widths = [width for width, count in BANDS for _ in range(count)]
    assert len(widths) == 62
    assert sum(widths) == 1025


def test_mel_bands_cover_every_bin_and_overlap():
    bands = mel_bands(MEL_BANDS, 1025, 44100)
    assert len(bands) == 60
    counts = torch.zeros(1025)
    for start, end in bands:
        counts[start:end] += 1
    assert set(counts.tolist()) == {1.0, 2.0}
    centres = torch.tensor([(start + end - 1) / 2 for start, end in bands])
    assert (centres.diff() > 0).all()
    widths = [end - start for start, end in bands]
    assert widths[0] < widths[30] < widths[59]


@pytest.mark.parametrize("sample_rate, n_fft", [(44100, 2048), (16000, 1024), (2000, 512)])
def test_mel_bands_are_those_of_librosa(sample_rate, n_fft):
    filters = pytest.importorskip("librosa.filters")
    count = 40
    expected = torch.from_numpy(filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=count)) > 0
    expected[0, 0] = expected[-1, -1] = True  # no triangle reaches the ends
    bands = mel_bands(count, n_fft // 2 + 1, sample_rate)
    assert [row.nonzero()[[0, -1], 0].tolist() for row in expected] == [
        [start, end - 1] for start, end in bands
    ]


@torch.no_grad()
def test_masks_of_a_bin_in_two_bands_are_averaged():
    model = by_rule(BandSplitRoFormer(["a"], None, 1, "mel", 8, 2, 1, n_fft=2048, hop_length=512))
    masker, x = model.masker, torch.complex(*noise(2, 1, 1, 1025, 3))
    before = masker(x)
    start, end = mel_bands(MEL_BANDS, 1025, 44100)[30]
    bands = [(run, k) for run in masker.masks[0].last for k in range(len(run.weight))]
    run, k = bands[30]
    run.weight[k] = 0
    run.bias[k] = 0
    after = masker(x)
    changed = (before != after)[0, 0, 0, :, 0].nonzero()[:, 0].tolist()
    assert changed == [*range(start, end)]
    both = masker.shares[start:end] == 0.5
    assert both.any()
    assert (after[0, 0, 0, start:end, 0][~both] == 0).all()
    assert (after[0, 0, 0, start:end, 0][both] != 0).all()


# ---- the system


@torch.no_grad()
def test_the_level_of_a_mixture_does_not_matter():
    model, mixture = BandSplitRoFormer.tiny().eval(), noise(1, 1, 3000)
    torch.testing.assert_close(model(100 * mixture), 100 * model(mixture), atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_stereo_is_heard_together_and_mono_on_both_channels():
    model = by_rule(OURS["stereo"]())
    mono, stereo = noise(1, 1, 700), noise(1, 2, 700)
    both = model(mono.expand(-1, 2, -1))
    # the mean of masks
    torch.testing.assert_close(model(mono), both.mean(2, keepdim=True), atol=1e-5, rtol=1e-4)
    other = stereo * torch.tensor([[1.0], [3.0]])
    assert not torch.allclose(model(stereo)[:, :, 0], model(other)[:, :, 0], atol=1e-3)
    with pytest.raises(InputError, match="expected 1 or 2 channels, got 3"):
        model(noise(1, 3, 700))


@torch.no_grad()
def test_targets_share_the_transformers_and_the_residual_is_the_rest():
    model, mixture = BandSplitRoFormer.tiny().eval(), noise(2, 2, 3000)
    torch.testing.assert_close(model(mixture).sum(1), mixture, atol=1e-5, rtol=1e-4)
    model = OURS["stems"]()
    assert len(model.masker.masks) == 3
    before = model(mixture)
    model.masker.masks[1].hidden[0].weight.mul_(0.5)
    after = model(mixture)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_the_smaller_presets_deviate_as_listed():
    with torch.device("meta"):
        paper, small = BandSplitRoFormer.paper(), BandSplitRoFormer.small()
    assert (paper.config["heard"], small.config["heard"]) == (2, 1)
    assert (paper.config["residual"], small.config["residual"]) == (None, "accompaniment")
    assert 1e6 < sum(weights.numel() for weights in small.parameters()) < 2e6
    assert small.sample_rate == 16000


def test_a_step_towards_the_target_lowers_the_loss():
    torch.manual_seed(0)
    losses = losses_on_a_tone(BandSplitRoFormer.tiny())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: BandSplitRoFormer("vocals"), "targets: expected a list"),
        (lambda: BandSplitRoFormer(bands="bark"), "bands: expected mel, or .* got 'bark'"),
        (lambda: BandSplitRoFormer(bands=[(2, 24)]), "add up to 1025 bins"),
        (lambda: BandSplitRoFormer(channels=100, layers=1), "divides the 100 channels, got 8"),
        (lambda: mel_bands(60, 33, 8000), "bands: expected fewer than 60 mel bands"),
    ],
)
def test_one_clear_error(call, words):
    with pytest.raises(InputError, match=words):
        call()


# ---- the package


def package(ours):
    """The package's network with our weights, without what is newer than the paper."""
    module = pytest.importorskip("bs_roformer")
    config = ours.config
    theirs = module.BSRoformer(
        config["channels"],
        depth=config["layers"],
        stereo=config["heard"] == 2,
        num_stems=ours.sources,
        time_transformer_depth=1,
        freq_transformer_depth=1,
        freqs_per_bands=tuple(w for w, count in config["bands"] for _ in range(count)),
        dim_head=config["channels"] // config["heads"],
        heads=config["heads"],
        flash_attn=False,
        num_residual_streams=1,
        stft_n_fft=config["n_fft"],
        stft_win_length=config["n_fft"],
        stft_hop_length=config["hop_length"],
    )
    masker = ours.masker
    theirs.to(masker.norm.weight.dtype)
    newer = 0
    for name, weights in theirs.named_parameters():
        if "value_residual_mix" in name:  # a gate that stays shut
            newer += weights.numel()
            weights.data.fill_(-1e6 if name.endswith("bias") else 0.0)
        elif name.endswith("rotary_embed.freqs"):  # 1 / 10000^(2 i / D), in float32 there
            newer += weights.numel()
            pairs = torch.arange(0, 2 * len(weights), 2, dtype=weights.dtype)
            weights.data = 10000.0 ** -(pairs / (2 * len(weights)))
    counted = [sum(weights.numel() for weights in one.parameters()) for one in (theirs, ours)]
    assert counted[0] - newer == counted[1]

    def put(target, weight, bias=None):
        (target.weight if hasattr(target, "weight") else target.gamma).data = weight.clone()
        if bias is not None:
            target.bias.data = bias.clone()

    for pair, layer in zip(theirs.layers, masker.layers, strict=True):
        for transformer, own in zip(pair, (layer.time, layer.band), strict=True):
            attention, network = (one.branch for one in transformer.layers[0])
            put(attention.norm, own.attention_norm.weight)
            put(attention.to_qkv, own.attention.project.weight)
            put(attention.to_gates, own.attention.gate.weight, own.attention.gate.bias)
            put(attention.to_out[0], own.attention.output.weight)
            put(network.net[0], own.frame_norm.weight)
            put(network.net[1], own.widen.weight, own.widen.bias)
            put(network.net[4], own.narrow.weight, own.narrow.bias)
    put(theirs.final_norm, masker.norm.weight)
    places = [(run, k) for run in masker.split.bands for k in range(len(run[1].weight))]
    for target, ((norm, linear), k) in zip(theirs.band_split.to_features, places, strict=True):
        put(target[0], norm.weight[k, 0, 0])
        put(target[1], linear.weight[k].T, linear.bias[k, 0])
    for target, masks in zip(theirs.mask_estimators, masker.masks, strict=True):
        places = [(run, k) for run in masks.last for k in range(len(run.weight))]
        for band, (own, (run, k)) in enumerate(zip(target.to_freqs, places, strict=True)):
            put(own[0][0], masks.hidden[0].weight[band].T, masks.hidden[0].bias[band, 0])
            put(own[0][2], run.weight[k].T, run.bias[k, 0])
    return theirs.eval()


def mixture(ours, dtype=torch.float32):
    """In silence, which is its own mirror, and as long as some hops."""
    config = ours.config
    heard = signal(40 * config["hop_length"], dtype).expand(1, config["heard"], -1).clone()
    heard[:, -1] *= 0.5
    return functional.pad(heard, (config["n_fft"], config["n_fft"]))


def answer_of_package(ours, x):
    answer = package(ours)(x)
    return answer if ours.sources > 1 else answer[:, None]  # (B, S, C, T)


@every_peer
@torch.no_grad()
def test_same_as_the_package(name):
    ours = by_rule(OURS[name]())
    x = mixture(ours)
    assert_same(ours(x), answer_of_package(ours, x))


@every_peer
@torch.no_grad()
def test_stored_answers_are_the_packages(name):
    ours = by_rule(OURS[name]().double())
    answer = stored_samples(answer_of_package(ours, mixture(ours, torch.float64)).flatten(1, 2))
    torch.testing.assert_close(answer, stored(GOLDEN, name), atol=1e-7, rtol=1e-6)


@every_peer
@torch.no_grad()
def test_same_as_stored_answers_of_the_package(name):
    ours = by_rule(OURS[name]().double())
    answer = stored_samples(ours(mixture(ours, torch.float64)).flatten(1, 2))
    assert answer.std() > 0.01
    torch.testing.assert_close(answer, stored(GOLDEN, name), atol=1e-7, rtol=1e-6)
