"""Spleeter: what its networks claim, how claims share a mixture, and the published code."""

import importlib
import sys
import types
from pathlib import Path

import pytest
import torch
from peers import assert_same, by_rule, noise, signal, stored
from torch.nn import functional

from lib.errors import InputError
from lib.losses import make_objective
from lib.models import Spleeter
from lib.models.spleeter import Masker, StemNetwork

GOLDEN = Path(__file__).parent / "golden" / "spleeter_peers.json"
SIZES = {"n_fft": 256, "hop_length": 64, "bandwidth": 2000, "filters": 2, "sample_rate": 8000}


# the networks


def network_by_rule(**options):
    """A network whose statistics are of a size at which the 1e-3 of Keras shows."""
    network = by_rule(StemNetwork(**options))
    with torch.no_grad():
        for index, norm in enumerate([*network.down_norms, *network.up_norms]):
            steps = torch.arange(norm.num_features) + index
            norm.running_mean.copy_(0.1 * steps.sin())
            norm.running_var.copy_(0.1 + 0.03 * steps.cos())
    return network


def same(length, kernel_size, stride):
    """Zeros before and behind that TensorFlow's "same" adds."""
    total = max(0, (-(-length // stride) - 1) * stride + kernel_size - length)
    return total // 2, total - total // 2


@pytest.mark.parametrize("elu", [False, True])
def test_network_in_plain_functions(elu):
    """As the published code has it: skips before the normalisation, activation before it."""
    network = network_by_rule(channels=2, filters=2, depth=3, elu=elu)
    down = functional.elu if elu else lambda x: torch.where(x > 0, x, 0.2 * x)
    up = functional.elu if elu else functional.relu

    def normed(x, norm):
        scale, shift, mean, variance = (
            part[:, None, None]
            for part in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        )
        return scale * (x - mean) / (variance + 1e-3).sqrt() + shift

    x = features = noise(2, 2, 16, 24).abs()
    with torch.no_grad():
        skips = []
        for layer, norm in zip(network.halvings, [*network.down_norms, None], strict=True):
            sides = same(x.shape[-1], 5, 2), same(x.shape[-2], 5, 2)
            assert sides == ((1, 2), (1, 2))
            x = functional.conv2d(functional.pad(x, sum(sides, ())), layer.weight, layer.bias, 2)
            skips.append(x)
            x = down(normed(x, norm)) if norm else x
        for layer, norm in zip(network.doublings, network.up_norms, strict=True):
            skips.pop()
            rows, columns = (2 * length for length in x.shape[-2:])
            whole = functional.conv_transpose2d(x, layer.weight, layer.bias, 2)
            x = normed(up(whole[..., 1 : 1 + rows, 1 : 1 + columns]), norm)
            x = torch.cat([skips[-1], x], 1) if skips else x
        x = functional.pad(x, (3, 3, 3, 3))
        wanted = functional.conv2d(x, network.last.weight, network.last.bias, dilation=2)
        found = network(features)
    assert wanted.std() > 0.01
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_the_middle_has_no_normalisation():
    """The published one is stored and never read: 1,024 parameters."""
    with torch.device("meta"):
        network = StemNetwork()
    assert sum(weights.numel() for weights in network.parameters()) == 9_822_725 == 9_823_749 - 1024
    assert [norm.num_features for norm in network.down_norms] == [16, 32, 64, 128, 256]
    assert {norm.eps for norm in [*network.down_norms, *network.up_norms]} == {1e-3}


def test_dropout_in_the_first_three_layers_on_the_way_up():
    calls = []
    network = StemNetwork(filters=2, depth=6)
    network.dropout.register_forward_hook(lambda layer, x, y: calls.append(y.shape[1]))
    network(noise(1, 2, 64, 64))
    assert calls == [32, 16, 8]


def test_the_network_pads_at_its_end_and_crops():
    network, features = network_by_rule(channels=1, filters=2, depth=3), noise(1, 1, 13, 21)
    with torch.no_grad():
        wanted = network(functional.pad(features, (0, 3, 0, 3)))[..., :13, :21]
        torch.testing.assert_close(network(features), wanted)


# masks


def masker(stems, **options):
    torch.manual_seed(0)
    return Masker(stems, bins=33, seen_bins=20, filters=2, depth=2, **options).eval()


@pytest.mark.parametrize("stems", [2, 5])
@pytest.mark.parametrize("extension", ["zeros", "average"])
def test_masks_are_ratios_of_powers(stems, extension):
    network = masker(stems, extension=extension)
    spectrogram = noise(2, 2, 33, 9) + 1j * noise(2, 2, 33, 9, seed=1)
    with torch.no_grad():
        own = network.claims(spectrogram.abs()[:, :, :20])
        masks = network(spectrogram)
    assert own.std() > 1e-3
    assert torch.allclose(own.sum(1), torch.ones(())) == (stems == 5)  # by softmax
    torch.testing.assert_close(masks[:, :, :, :20], own**2 / (own**2).sum(1, keepdim=True))
    above = masks[:, :, :, :20].mean(3, keepdim=True) if extension == "average" else 0 * masks
    torch.testing.assert_close(masks[:, :, :, 20:], above[:, :, :, :1].expand(-1, -1, -1, 13, -1))


def test_silence_is_shared_alike():
    with torch.no_grad():
        masks = masker(4)(torch.zeros(1, 2, 33, 5, dtype=torch.complex64))
    torch.testing.assert_close(masks[:, :, :, :20], torch.full((1, 4, 2, 20, 5), 0.25))


def test_elus_and_softmax_come_with_the_number_of_stems():
    with torch.device("meta"):
        models = [Spleeter.paper(stems) for stems in (2, 4, 5)]
    activations = [model.masker.networks[0].up for model in models]
    assert activations == [torch.relu, functional.elu, functional.elu]
    assert [model.masker.softmax for model in models] == [False, False, True]
    assert models[2].source_names == ("vocals", "piano", "drums", "bass", "other")


def test_the_band_of_the_published_networks():
    with torch.device("meta"):
        assert [Spleeter.paper(2, band).masker.seen_bins for band in (11025, 16537.5)] == [
            1024,
            1536,
        ]
        assert Spleeter.tiny().masker.seen_bins == 256  # all but the highest


def test_stereo_mono_and_other_mixtures():
    torch.manual_seed(0)
    model, mono = Spleeter(**SIZES, depth=3).eval(), noise(1, 1, 2000)
    assert model.channels is None
    with torch.no_grad():
        both = model(mono.expand(-1, 2, -1))
        torch.testing.assert_close(model(mono), both.mean(2, keepdim=True), atol=1e-5, rtol=1e-4)
        assert (both[:, :, 0] - both[:, :, 1]).abs().max() > 1e-3
        assert model(noise(1, 2, 2000)).shape == (1, 2, 2, 2000)
    with pytest.raises(InputError, match="expected 1 or 2 channels, got 3"):
        model(noise(1, 3, 2000))


def test_training_compares_claims_not_shares():
    """One network's claims, and so its loss, do not depend on the other networks."""
    model, mixture = Spleeter.tiny(), noise(1, 1, 2000)
    loss = make_objective("spectrogram", distance="l1")(model, mixture, noise(1, 2, 1, 2000))
    loss.sum().backward()
    assert all(weights.grad is not None for weights in model.parameters())
    spectrogram = model.encoder(mixture)
    model.zero_grad()
    model.magnitudes(spectrogram)[:, 0].sum().backward()
    assert model.masker.networks[0].last.weight.grad.abs().max() > 0
    assert not model.masker.networks[1].last.weight.grad.any()


def test_small_and_tiny_hear_one_channel_relative_to_the_mixture():
    for preset in (Spleeter.small, Spleeter.tiny):
        with torch.device("meta"):
            config = preset().config
        assert config["log"] and config["channels"] == 1 and config["sources"][0] == "speech"
    model, mixture = Spleeter.tiny().eval(), noise(1, 2, 2000)
    with torch.no_grad():
        torch.testing.assert_close(model(100 * mixture), 100 * model(mixture), atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sources": ["vocals"]}, "two or more different names"),
        ({"sources": ["vocals", "vocals"]}, "two or more different names"),
        ({"extension": "ones"}, "one of zeros, average, got 'ones'"),
        ({"bandwidth": 10}, "bandwidth: expected at least 31.25 Hz, got 10"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Spleeter(**SIZES | options)
    with pytest.raises(InputError, match="stems: expected one of 2, 4, 5, got 3"):
        Spleeter.paper(3)


# the published code


def published():
    """Spleeter's functions, which import a module that TensorFlow no longer has."""
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    pytest.importorskip("spleeter")
    missing = types.ModuleType("tensorflow.compat.v1.keras.initializers")
    missing.he_uniform = keras.initializers.HeUniform
    for name in ("tensorflow.compat.v1.keras", missing.__name__):
        sys.modules.setdefault(name, missing)
    return importlib.import_module("spleeter.model"), importlib.import_module(
        "spleeter.model.functions.unet"
    )


def peer(network, elu, shape):
    """The published network of one stem with the weights of ours, up to its logits."""
    import keras

    _, functions = published()
    inputs = keras.Input((*shape, 2))
    params = {"conv_n_filters": [2 * 2**level for level in range(6)]}
    params |= dict.fromkeys(("conv_activation", "deconv_activation"), "ELU") if elu else {}
    outputs = functions.apply_unet(inputs, params=params, output_mask_logit=True)
    model = keras.Model(inputs, outputs)
    convolutions = [*network.halvings, network.last]
    kinds = {
        keras.layers.Conv2D: [
            [layer.weight.permute(2, 3, 1, 0), layer.bias] for layer in convolutions
        ],
        keras.layers.Conv2DTranspose: [
            [layer.weight.permute(2, 3, 1, 0), layer.bias] for layer in network.doublings
        ],
        keras.layers.BatchNormalization: [
            [norm.weight, norm.bias, norm.running_mean, norm.running_var]
            for norm in [*network.down_norms, *network.up_norms]
        ],
    }
    for kind, weights in kinds.items():
        layers = [layer for layer in model.layers if type(layer) is kind]
        for layer, values in zip(layers, weights, strict=True):
            layer.set_weights([value.detach().numpy() for value in values])
    return model


def setting(stems):
    """A separator with weights by rule, and the spectrogram of a signal (1, 2, 129, 128)."""
    names = ["one", "two", "three", "four", "five"][:stems]
    model = Spleeter(names, **SIZES, extension="average").eval()
    for index, network in enumerate(model.masker.networks):
        by_hand = network_by_rule(channels=2, filters=2, depth=6, elu=stems > 2)
        by_hand.last.bias.data += 0.3 * index
        network.load_state_dict(by_hand.state_dict())
    left = signal(64 * 127)
    return model, model.encoder(torch.cat([left, 0.5 * left.flip(-1)], 1))


@pytest.mark.parametrize("stems", [2, 4, 5])
def test_as_the_published_code(stems):
    package, _ = published()
    import numpy
    import tensorflow

    model, spectrogram = setting(stems)
    frames = spectrogram[0].permute(2, 1, 0)  # (T, F, C)
    magnitudes = frames.abs()[None, :, : model.masker.seen_bins].numpy()
    logits = [
        peer(network, stems > 2, magnitudes.shape[1:3])(magnitudes)
        for network in model.masker.networks
    ]
    own = tensorflow.sigmoid(logits) if stems < 5 else tensorflow.nn.softmax(logits, axis=0)
    names = [f"{name}_spectrogram" for name in model.source_names]
    params = {"mix_name": "mix", "instrument_list": model.source_names, "n_channels": 2}
    params |= {
        "T": frames.shape[0],
        "F": model.masker.seen_bins,
        "frame_length": 256,
        "frame_step": 64,
    }
    params |= {"separation_exponent": 2, "mask_extension": "average"}
    builder = package.EstimatorSpecBuilder({"mix_stft": frames.numpy()}, params)
    builder._model_outputs = {
        name: mask * magnitudes for name, mask in zip(names, own, strict=True)
    }
    masks = numpy.stack([builder.masks[name].numpy() for name in model.source_names])
    theirs = torch.from_numpy(masks).permute(0, 3, 2, 1)  # (S, C, F, T)
    with torch.no_grad():
        assert_same(model.masker(spectrogram)[0], theirs)


@pytest.mark.parametrize("stems", [2, 4, 5])
def test_masks_are_as_stored(stems):
    """Those of the published code, which the test above compares where it is installed."""
    model, spectrogram = setting(stems)
    with torch.no_grad():
        found = model.masker(spectrogram).flatten()[::1009]
    theirs = stored(GOLDEN, f"{stems} stems").float()
    assert theirs.std() > 0.01
    assert_same(found, theirs)
