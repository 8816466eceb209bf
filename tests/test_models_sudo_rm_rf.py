"""SuDoRM-RF: its size, its shortcut to the masks, and the same network elsewhere."""

import json
from pathlib import Path

import pytest
import torch
from peers import by_rule, noise, signal
from torch.nn import functional

from lib.errors import InputError
from lib.models import SuDoRMRF
from lib.nn.u_conv import UConvBlock
from lib.published import published

GOLDEN = Path(__file__).parent / "golden" / "sudo_rm_rf.json"
SIZES = {"filters": 24, "kernel_size": 21, "bottleneck": 8, "hidden": 24, "blocks": 2, "depth": 3}
# Asteroid pads to a multiple of 40 samples at this depth and begins one sample later: at these
# lengths both see the same frames
LENGTHS = [29, 389, 1989]


# sizes


@pytest.mark.parametrize("name, blocks", [("1.0x", 16), ("0.5x", 8), ("0.25x", 4)])
def test_the_published_count_is_ours_and_what_the_authors_add(name, blocks):
    with torch.device("meta"):
        model = SuDoRMRF.paper(blocks)
    ours = sum(weights.numel() for weights in model.parameters())
    decoder = 512 * 21  # theirs has one for each of two speakers
    biases = 512 + 2  # of the encoder, and of a decoder for each speaker
    unused = 2 * 512  # a normalisation that nothing reads
    row = published(system=f"SuDoRM-RF {name}", metric="parameters").iloc[0]
    assert (ours + decoder + biases + unused) / 1e6 == pytest.approx(float(row.value), abs=0.006)
    if blocks == 16:
        assert ours + decoder + biases + unused == 2_662_022


# blocks


@pytest.mark.parametrize("frames", [1, 2, 3, 16, 33])
def test_a_block_adds_what_it_sees_at_every_rate(frames):
    """Against the formula written out; any number of frames, also odd ones on the way down."""
    torch.manual_seed(0)
    block, features = by_rule(UConvBlock(4, 6, depth=4)), noise(2, 4, frames)

    def normed(x, norm):
        return functional.group_norm(x, 1, norm.weight, norm.bias, eps=1e-8)

    with torch.no_grad():
        x = block.widen_activation(normed(block.widen(features), block.widen_norm))
        seen = []
        for convolution, norm in zip(block.levels, block.level_norms, strict=True):
            x = normed(convolution(x), norm)
            seen.append(x)
        assert [level.shape[-1] for level in seen] == [-(-frames // 2**q) for q in range(4)]
        frame = torch.arange(frames)
        # frame k finds the one of level q that it lies in
        total = sum(level[..., frame // 2**q] for q, level in enumerate(seen))
        total = block.sum_activation(normed(total, block.sum_norm))
        out = normed(block.narrow(total), block.narrow_norm) + features
        out = block.output_activation(normed(out, block.output_norm))
        torch.testing.assert_close(block(features), out, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("filters", [7, 8])
def test_masks_by_one_matrix_equal_both_layers_in_a_row(filters):
    torch.manual_seed(0)
    masker = SuDoRMRF(3, filters, 16, 4, 6, blocks=1, depth=2).masker
    x = noise(2, 4, 5)
    weight, bias = masker.output()
    found = functional.conv1d(x, weight[..., None], bias).unflatten(1, (3, filters))
    image = functional.pad(masker.widen(x)[:, None], (0, 0, (filters + 1) // 2, filters // 2))
    kernel = masker.across.weight[..., None]  # (S, 1, N + 1, 1)
    expected = functional.conv2d(image, kernel, masker.across.bias)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_paper_masks_share_the_features_out():
    model = SuDoRMRF(3, 8, 16, 4, 6, blocks=1, depth=2)
    features = model.encoder(noise(1, 1, 100))
    assert features.min() == 0  # the encoder is rectified
    masks = model.masker(features)
    torch.testing.assert_close(masks.sum(1), torch.ones_like(masks[:, 0]))


def test_it_refuses_to_stream():
    model = SuDoRMRF.tiny()
    assert model.lookahead is None and model.receptive_field is None
    with pytest.raises(InputError, match="expected causal norms"):
        model.masker(noise(1, 128, 10), {})


@pytest.mark.parametrize("bank", ["stft", "sinc", "gammatone", "analytic"])
def test_with_other_banks(bank):
    estimates = SuDoRMRF.tiny(bank=bank)(noise(1, 1, 999))
    assert estimates.shape == (1, 2, 1, 999) and torch.isfinite(estimates).all()


def test_a_block_without_levels_is_refused():
    with pytest.raises(InputError, match="depth: expected at least 1, got 0"):
        SuDoRMRF(**SIZES | {"depth": 0})


def test_the_smaller_presets_deviate_as_listed():
    for preset in (SuDoRMRF.small(), SuDoRMRF.tiny()):
        assert preset.encoder.kernel_size == 32  # 4 ms
        assert preset.config["activation"] == "relu"


# elsewhere


def peer(model):
    """Asteroid's network with the weights of ours."""
    models = pytest.importorskip("asteroid.models")
    names = {"bn_chan": "bottleneck", "num_blocks": "blocks", "upsampling_depth": "depth"}
    sizes = {theirs: SIZES[ours] for theirs, ours in names.items()}
    network = models.SuDORMRFNet(2, n_filters=24, kernel_size=21, sample_rate=8000, **sizes)
    masker, ours = network.masker, model.masker

    network.encoder.filterbank._filters.data = model.encoder.encoder_filters.data
    network.decoder.filterbank._filters.data = model.encoder.decoder_filters.data
    pairs = [(masker.ln, ours.norm), (masker.l1, ours.bottleneck)]
    pairs += [(masker.reshape_before_masks, ours.widen), (masker.m, ours.across)]
    for theirs, block in zip(masker.sm, ours.blocks, strict=True):
        first, last = theirs.proj_1x1, theirs.conv_1x1_exp
        pairs += [(first.conv, block.widen), (first.norm, block.widen_norm)]
        pairs += [(first.act, block.widen_activation)]
        for level, convolution, norm in zip(
            theirs.spp_dw, block.levels, block.level_norms, strict=True
        ):
            pairs += [(level.conv, convolution), (level.norm, norm)]
        pairs += [(theirs.final_norm.norm, block.sum_norm)]
        pairs += [(theirs.final_norm.act, block.sum_activation)]
        pairs += [(last.conv, block.narrow), (last.norm, block.narrow_norm)]
        pairs += [(theirs.module_act.norm, block.output_norm)]
        pairs += [(theirs.module_act.act, block.output_activation)]
    for target, source in pairs:
        for name, weights in source.named_parameters():
            held = getattr(target, name)
            held.data = weights.data.reshape(held.shape)
    counted = [sum(weights.numel() for weights in one.parameters()) for one in (network, model)]
    assert counted[0] == counted[1]
    return network.eval()


def as_theirs(network, mixture):
    """Run a peer on frames that begin where ours do."""
    with torch.no_grad():
        return network(functional.pad(mixture, (1, 0)))[..., None, 1:]


@pytest.mark.parametrize("time", LENGTHS)
def test_as_asteroids(time):
    model = by_rule(SuDoRMRF(**SIZES))
    theirs = as_theirs(peer(model), signal(time))
    with torch.no_grad():
        ours = model(signal(time))
    level = theirs.abs().max()
    assert level > 0.01
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(level), rtol=0)


def test_where_asteroid_pads_by_more_frames_the_statistics_move():
    model = by_rule(SuDoRMRF(**SIZES))
    with torch.no_grad():
        ours = model(signal(370))  # 39 frames of our own, 40 of theirs
    difference = (ours - as_theirs(peer(model), signal(370))).abs().max() / ours.abs().max()
    assert 1e-5 < difference < 0.1


def test_estimates_are_as_stored():
    """Asteroid's estimates, which the test above compares where it is installed."""
    stored = torch.tensor(json.loads(GOLDEN.read_text()))
    model = by_rule(SuDoRMRF(**SIZES))
    with torch.no_grad():
        found = model(signal(389)).flatten()[::29]
    atol = 1e-5 * float(stored.abs().max())
    torch.testing.assert_close(found, stored, atol=atol, rtol=0)
