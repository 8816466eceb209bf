"""Complex layers against complex arithmetic, and complex networks against their peers.

Asteroid pins other versions than the course: install it into an environment of its own
(``pip install -e .[torch,peers]``) and run this file there. Without it, its stored answers stand
in.
"""

from pathlib import Path

import pytest
import torch
from peers import assert_same, by_rule, noise, stored
from torch import nn
from torch.nn import functional

import lib  # noqa: F401 - lets torchaudio load
from lib.data import TwoSpeakers
from lib.errors import InputError
from lib.losses import make_objective
from lib.masks import OracleMask
from lib.metrics import si_sdr
from lib.models import DCCRN, DCUNet
from lib.models.dcunet import FILTERS, LAYERS
from lib.nn.complex import (
    ComplexBatchNorm,
    ComplexConv2d,
    ComplexConvTranspose2d,
    ComplexLSTM,
    CReLU,
    PartsBatchNorm,
    as_complex,
    as_pairs,
    bound_mask,
    cat_complex,
)
from lib.separate import Streamer

GOLDEN = Path(__file__).parent / "golden" / "complex_peers.json"


def complex_noise(*shape, seed=0, dtype=torch.float64):
    return torch.complex(*noise(2, *shape, seed=seed, dtype=dtype))


def stored_masks(masks):
    """Real and imaginary parts of 20 of the numbers of complex masks."""
    masks = masks.flatten()
    places = torch.linspace(0, len(masks) - 1, 20, dtype=torch.float64).round().long()
    return torch.view_as_real(masks[places])


# layers


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("up", [False, True])
def test_convolutions_are_complex_arithmetic(dtype, tolerance, bias, up):
    """Against PyTorch's own complex convolutions, and their gradients."""
    torch.manual_seed(0)
    build = ComplexConvTranspose2d if up else ComplexConv2d
    layer = build(3, 4, (5, 3), (2, 1), (2, 1), bias=bias).to(dtype)
    signal = complex_noise(2, 3, 9, 7, dtype=dtype).requires_grad_()
    weight = torch.complex(*layer.weight.chunk(2, 1 if up else 0))
    offset = torch.complex(*layer.bias.chunk(2)) if bias else None
    convolve = functional.conv_transpose2d if up else functional.conv2d
    expected = convolve(signal, weight, offset, (2, 1), (2, 1))
    found = as_complex(layer(as_pairs(signal)))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    wanted = [signal, *layer.parameters()]
    slopes = [torch.autograd.grad(x.abs().square().sum(), wanted) for x in (found, expected)]
    for ours, theirs in zip(*slopes, strict=True):
        level = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, atol=tolerance * level, rtol=0)


def test_a_transposed_convolution_with_points_more_at_the_end():
    layer = ComplexConvTranspose2d(2, 1, (5, 2), (2, 1), (2, 0), (1, 0)).double()
    assert layer(noise(1, 4, 4, 6, dtype=torch.float64)).shape == (1, 2, 8, 7)


def test_complex_numbers_as_channels_with_tied_weights_are_complex():
    layer = ComplexConv2d(3, 4, 3)
    a, b = layer.weight.detach().chunk(2)
    tied = nn.Conv2d(6, 8, 3)
    tied.weight.data = torch.cat([torch.cat([a, -b], 1), torch.cat([b, a], 1)])
    tied.bias = layer.bias
    pairs = noise(2, 6, 5, 5)
    torch.testing.assert_close(layer(pairs), tied(pairs), atol=1e-6, rtol=0)


def test_pairs_and_complex_numbers():
    first, second = complex_noise(2, 3, 4), complex_noise(2, 1, 4, seed=1)
    assert torch.equal(as_complex(as_pairs(first)), first)
    both = cat_complex(as_pairs(first), as_pairs(second))
    assert torch.equal(as_complex(both), torch.cat([first, second], 1))
    assert as_complex(torch.ones(1, 2, dtype=torch.bfloat16)).dtype == torch.complex64


def oblique(*shape):
    """Points of an ellipse off the middle, as pairs."""
    x, y = noise(2, *shape, dtype=torch.float64)
    return torch.cat([3 * x + 5, 2 * x - 0.5 * y - 1], 1)


def test_whitening_is_the_inverse_root_of_the_covariance():
    """Against eigenvalues of each channel's covariance."""
    norm = ComplexBatchNorm(2, eps=0.0).double().train()
    with torch.no_grad():
        norm.weight.copy_(noise(3, 2, seed=2))
        norm.bias.copy_(noise(2, 2, seed=3))
    pairs = oblique(6, 2, 5, 4)
    found = norm(pairs).unflatten(1, (2, 2))
    points = pairs.unflatten(1, (2, 2)).permute(2, 1, 0, 3, 4).flatten(2)  # (C, 2, points)
    for channel in range(2):
        cloud = points[channel] - points[channel].mean(1, keepdim=True)
        values, vectors = torch.linalg.eigh(cloud @ cloud.T / cloud.shape[1])
        white = vectors @ torch.diag(values**-0.5) @ vectors.T @ cloud
        rr, ii, ri = norm.weight[:, channel]
        expected = torch.stack([rr, ri, ri, ii]).view(2, 2) @ white + norm.bias[:, channel, None]
        ours = found[:, :, channel].transpose(0, 1).flatten(1)
        torch.testing.assert_close(ours, expected)


def test_a_whitened_channel_is_a_disc_of_modulus_one():
    pairs = ComplexBatchNorm(3).double()(oblique(50, 3, 8, 8))
    points = as_complex(pairs).transpose(0, 1).flatten(1)
    power = points.abs().square().mean(1)
    torch.testing.assert_close(power, torch.ones_like(power), rtol=1e-4, atol=0)
    assert points.square().mean(1).abs().max() < 1e-4  # as wide in every direction
    by_parts = as_complex(PartsBatchNorm(3).double()(oblique(50, 3, 8, 8)))
    assert by_parts.square().mean((0, 2, 3)).abs().min() > 1.5  # oblique as it was


def test_whitening_remembers_what_it_saw():
    norm, pairs = ComplexBatchNorm(2, momentum=1.0).double(), oblique(10, 2, 6, 6)
    in_training = norm(pairs)
    torch.testing.assert_close(norm.eval()(pairs), in_training)
    assert not torch.equal(ComplexBatchNorm(2).double().eval()(pairs), in_training)
    assert torch.isfinite(ComplexBatchNorm(2).train()(torch.zeros(2, 4, 3, 3))).all()


def test_rectified_and_leaky_parts():
    points = complex_noise(2, 3, 4)
    for slope in (0.0, 0.01):
        found = CReLU(slope)(points)
        for part, expected in ((found.real, points.real), (found.imag, points.imag)):
            torch.testing.assert_close(part, functional.leaky_relu(expected, slope))
        assert torch.equal(as_complex(CReLU(slope)(as_pairs(points))), found)


def test_a_complex_lstm_is_two_lstms_that_read_both_parts():
    torch.manual_seed(0)
    layer, pairs, memory = ComplexLSTM(3, 4), noise(2, 10, 6), {}
    x, y = pairs[..., :3], pairs[..., 3:]
    expected = torch.cat(
        [
            layer.real(x)[0] - layer.imaginary(y)[0],
            layer.imaginary(x)[0] + layer.real(y)[0],
        ],
        -1,
    )
    torch.testing.assert_close(layer(pairs), expected, atol=1e-6, rtol=0)
    pieces = [layer(piece, memory) for piece in pairs.split(4, 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), expected, atol=1e-6, rtol=0)


# masks


def test_bounds_of_masks():
    masks = 3 * complex_noise(100)
    assert bound_mask(masks, None) is masks
    bounded = bound_mask(masks, "tanh")
    torch.testing.assert_close(bounded.abs(), masks.abs().tanh())
    torch.testing.assert_close(bounded.angle(), masks.angle())
    quarter = bound_mask(masks, "sigmoid")
    torch.testing.assert_close(quarter.real, masks.real.sigmoid())
    torch.testing.assert_close(quarter.imag, masks.imag.sigmoid())
    with pytest.raises(InputError, match="bound: expected tanh, sigmoid or None, got 'clip'"):
        bound_mask(masks, "clip")


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e4])
def test_bounded_masks_have_finite_gradients(value):
    mask = torch.full((3,), value, dtype=torch.complex64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.view_as_real(bound_mask(mask)).sum(), mask)
    assert torch.isfinite(torch.view_as_real(slope)).all()
    if value < 1:
        torch.testing.assert_close(slope, torch.full_like(slope, 1 + 1j))  # tanh starts with 1


# DCUNet


def test_arithmetics_are_one_network_where_weights_are_tied():
    """And half of the weights of the convolutions is what the tie saves."""
    sizes = {"variant": "10", "filters": [2, 3, 4, 4, 5], "n_fft": 64, "hop_length": 16}
    ours = by_rule(DCUNet(**sizes).double())
    free = DCUNet(**sizes, arithmetic="real").double().eval()
    weights = ours.state_dict()
    for name, module in ours.masker.named_modules():
        if isinstance(module, (ComplexConv2d, ComplexConvTranspose2d)):
            axis = int(isinstance(module, ComplexConvTranspose2d))
            a, b = module.weight.data.chunk(2, axis)
            blocks = [torch.cat([a, b], axis), torch.cat([-b, a], axis)]
            weights[f"masker.{name}.weight"] = torch.cat(blocks, 1 - axis)
    free.load_state_dict(weights)
    mixture = noise(2, 1, 700, dtype=torch.float64)
    torch.testing.assert_close(free(mixture), ours(mixture), atol=1e-10, rtol=0)
    convolutions = [
        sum(weight.numel() for weight in model.parameters() if weight.ndim == 4)
        for model in (ours, free)
    ]
    assert convolutions[1] == 2 * convolutions[0]


@pytest.mark.parametrize("n_fft, time", [(62, 1), (64, 500), (60, 333)])
def test_any_number_of_bins_and_frames(n_fft, time):
    model = DCUNet("20", [2] * 10, n_fft=n_fft, hop_length=16).eval()
    assert model(noise(1, 2, time)).shape == (1, 2, 2, time)


def test_estimates_share_the_mixture_and_turn_its_phase():
    torch.manual_seed(0)
    model, mixture = DCUNet.tiny().eval(), noise(1, 1, 4000)
    torch.testing.assert_close(model(mixture).sum(1), mixture, atol=1e-5, rtol=0)
    masks = model.masker(model.encoder(mixture))
    assert masks[:, 0].abs().max() < 1 + 1e-6
    assert masks[:, 0].angle().abs().max() > 0.5
    assert model.magnitudes(model.encoder(mixture)).dtype == torch.float32
    names = DCUNet.tiny().source_names
    assert DCUNet("10", [2] * 5, ["a", "b"], None).source_names == ("a", "b") != names


@pytest.mark.parametrize("sample_rate, n_fft", [(16000, 512), (8000, 256)])
def test_the_smaller_presets_of_dcunet_have_frames_of_32_ms(sample_rate, n_fft):
    with torch.device("meta"):
        for preset in (DCUNet.small, DCUNet.tiny):
            config = preset(sample_rate).config
            assert (config["n_fft"], config["sample_rate"]) == (n_fft, sample_rate)
            assert config["filters"] != FILTERS[config["variant"]]
        assert 5e5 < sum(weights.numel() for weights in DCUNet.small().parameters()) < 1.5e6


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"variant": "30"}, "variant: expected one of 10, 16, 20, large-20, got '30'"),
        ({"arithmetic": "quaternion"}, "arithmetic: expected one of complex, real, got 'quat"),
        ({"norm": "group"}, "norm: expected one of parts, whitening, got 'group'"),
        ({"bound": "clip"}, "bound: expected tanh, sigmoid or None, got 'clip'"),
        ({"filters": [4, 4]}, "filters: expected 5 positive numbers for variant '10', got"),
        ({"filters": [4, 4, 4, 4, 0]}, "filters: expected 5 positive numbers"),
        ({"targets": "speech"}, "targets: expected a list of different names, got 'speech'"),
        ({"targets": ["noise"]}, "targets: expected a list of different names"),
        ({"targets": []}, "targets: expected a list of different names"),
    ],
)
def test_bad_arguments_of_dcunet(arguments, message):
    with pytest.raises(InputError, match=message):
        DCUNet(**{"variant": "10"} | arguments)


def to_asteroid(target, source):
    """Hand a complex layer, or a normalisation of parts, to Asteroid's pair of real ones."""
    axis = int(isinstance(source, ComplexConvTranspose2d))
    for name, weights in source.named_parameters():
        first, second = weights.data.chunk(2, axis if name == "weight" else 0)
        if name == "bias" and target.re_module.bias is None:
            continue
        if name == "bias" and not isinstance(source, PartsBatchNorm):
            # real part b_r - b_i, imaginary part b_r + b_i
            first, second = (first + second) / 2, (second - first) / 2
        getattr(target.re_module, name).data = first.clone()
        getattr(target.im_module, name).data = second.clone()


def asteroid_unet(variant, ours):
    """Asteroid's network with the weights of ours."""
    convolutional = pytest.importorskip("asteroid.masknn.convolutional")
    names = {"large-20": "Large-DCUNet-20"}
    theirs = convolutional.DCUMaskNet.default_architecture(
        names.get(variant, f"DCUNet-{variant}"), fix_length_mode="pad"
    )
    pairs = list(zip(theirs.encoders, ours.down, strict=True))
    pairs += zip(theirs.decoders, ours.up, strict=True)
    for target, source in pairs:
        layer = target.conv if hasattr(target, "conv") else target.deconv
        to_asteroid(layer, source.convolution)
        to_asteroid(target.norm, source.norm)
    to_asteroid(theirs.output_layer[0], ours.last)
    counted = [sum(weights.numel() for weights in one.parameters()) for one in (theirs, ours)]
    assert counted[0] == counted[1]
    return theirs.to(ours.last.weight.dtype).eval()


def published(variant, dtype=torch.float32):
    masker = by_rule(DCUNet(variant, residual=None).masker.to(dtype))
    masker.last.weight.data *= 0.2  # masks that the tanh bends rather than clips
    return masker


@pytest.mark.parametrize("variant", LAYERS)
@torch.no_grad()
def test_same_as_asteroids_dcunet(variant):
    ours = published(variant)
    spectrogram = complex_noise(1, 257, 18, dtype=torch.float32)
    assert_same(ours(spectrogram[:, None])[0], asteroid_unet(variant, ours)(spectrogram))


@pytest.mark.parametrize("variant", LAYERS)
@torch.no_grad()
def test_stored_answers_are_asteroids_dcunet(variant):
    ours = published(variant, torch.float64)
    answer = asteroid_unet(variant, ours)(complex_noise(1, 257, 17))
    torch.testing.assert_close(
        stored_masks(answer), stored(GOLDEN, f"DCUNet-{variant}"), atol=2e-6, rtol=0
    )


@pytest.mark.parametrize("variant", LAYERS)
@torch.no_grad()
def test_same_as_stored_answers_of_asteroids_dcunet(variant):
    answer = published(variant, torch.float64)(complex_noise(1, 257, 17)[:, None])
    torch.testing.assert_close(
        stored_masks(answer), stored(GOLDEN, f"DCUNet-{variant}"), atol=2e-6, rtol=0
    )


# DCCRN


def test_the_published_look_ahead_lacks_the_frame():
    """Six frames of hop, and the rest of the last of them, but for a first sample of zero."""
    torch.manual_seed(0)
    model = DCCRN([2] * 6, 4).double().eval()
    assert DCCRN.paper().lookahead == model.lookahead == 6 * 100 + 400 - 2
    mixture = noise(1, 1, 2400, dtype=torch.float64)
    with torch.no_grad():
        before, reach = model(mixture), []
        for place in (1199, 1200, 1201):  # frames begin at multiples of 100
            changed = mixture.clone()
            changed[..., place] += 1.0
            different = (model(changed) != before)[0, 0, 0].nonzero()
            reach.append(place - int(different.min()))
    assert max(reach) == model.lookahead and min(reach) < model.lookahead


def test_frames_are_padded_behind():
    model, time = DCCRN([2, 2], 4), 777
    assert model.encoder(noise(1, 1, time)).shape == (1, 1, 257, 9)
    assert model.masker.missing == 0 and DCCRN([2] * 3, 4, n_fft=500).masker.missing == 6
    for n_fft, win_length in ((500, 400), (34, 20)):
        odd = DCCRN([2] * 3, 4, n_fft=n_fft, win_length=win_length, hop_length=10).eval()
        assert odd(noise(1, 2, time)).shape == (1, 2, 2, time)


def test_the_lowest_frequency_is_left_to_the_residual():
    masks = DCCRN.tiny().eval().masker(complex_noise(1, 1, 257, 5, dtype=torch.float32))
    assert not masks[:, 0, :, 0].any()


def test_channels_stream_with_masks_of_their_own():
    model, mixture = DCCRN.tiny().eval(), noise(2, 3000)
    streamer = Streamer(model, channels=2)
    pieces = [streamer.push(piece) for piece in mixture.split(700, -1)]
    with torch.no_grad():
        expected = model(mixture[None])[0]
    estimates = torch.cat([*pieces, streamer.flush()], -1)
    torch.testing.assert_close(estimates, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sample_rate, win_length, n_fft", [(16000, 400, 512), (8000, 200, 256)])
def test_the_smaller_presets_of_dccrn_deviate_as_listed(sample_rate, win_length, n_fft):
    with torch.device("meta"):
        paper, small, tiny = DCCRN.paper(), DCCRN.small(sample_rate), DCCRN.tiny(sample_rate)
    for preset in (small, tiny):
        assert preset.encoder.win_length == win_length == 2 * preset.encoder.hop_length
        assert preset.encoder.n_fft == n_fft
        assert len(preset.config["filters"]) < len(paper.config["filters"])
    if sample_rate == 16000:
        assert 5e5 < sum(weights.numel() for weights in small.parameters()) < 1.5e6


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"recurrent": "gru"}, "recurrent: expected one of complex, real, got 'gru'"),
        ({"bound": "clip"}, "bound: expected tanh, sigmoid or None, got 'clip'"),
        ({"norm": "group"}, "norm: expected one of parts, whitening, got 'group'"),
        ({"filters": []}, "filters: expected positive numbers"),
        ({"filters": [4, 0]}, "filters: expected positive numbers"),
        ({"hidden": 5}, "hidden: expected an even number, got 5"),
        ({"kernel_size": 4}, "kernel_size: expected an odd number, got 4"),
        ({"targets": ["noise"]}, "targets: expected a list of different names"),
        ({"win_length": 600}, "win_length: expected an integer from 1 to n_fft=512, got 600"),
    ],
)
def test_bad_arguments_of_dccrn(arguments, message):
    with pytest.raises(InputError, match=message):
        DCCRN(**arguments)
    with pytest.raises(InputError, match="variant: expected one of CL, E, got 'C'"):
        DCCRN.paper("C")


@pytest.mark.parametrize("build", [DCUNet.tiny, DCCRN.tiny])
def test_learns_the_phase_of_one_mixture(build):
    """More than the ideal ratio mask reaches, which keeps the mixture's phase."""
    torch.manual_seed(0)
    model = build(8000).train()
    item = TwoSpeakers("train", items=4, seed=5, seconds=0.8)[1]
    mixture, sources = item.mixture[None], item.sources[None]
    objective = make_objective("waveform", loss="snr")
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        objective(model, mixture, sources).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
    with torch.no_grad():
        reached = si_sdr(model(mixture)[0], item.sources).mean()
    ideal = OracleMask("irm", model.encoder)(mixture, sources)[0]
    assert reached > si_sdr(ideal, item.sources).mean()


def network(variant="CL", norm="parts", dtype=torch.float64):
    """The published network with weights by rule, in which levels are kept."""
    config = DCCRN.paper(variant).config | {"residual": None, "norm": norm}
    masker = by_rule(DCCRN(**config).masker.to(dtype))
    masker.up[-1].convolution.weight.data *= 0.2
    return masker


def authors(ours, variant, norm):
    """The authors' network (huyanxin/DeepComplexCRN; its folder on the path), with our weights."""
    module = pytest.importorskip("dc_crn")
    kernels = {"CL": [32, 64, 128, 256, 256, 256], "E": [32, 64, 128, 128, 256, 256]}
    theirs = module.DCCRN(
        rnn_units=256,
        use_clstm=variant == "CL",
        use_cbn=norm == "whitening",
        kernel_num=kernels[variant],
        win_type="hann",
    ).to(ours.up[-1].convolution.weight.dtype)

    def convolution(target, source):
        axis = int(isinstance(source, ComplexConvTranspose2d))
        a, b = source.weight.data.chunk(2, axis)
        re, im = source.bias.data.chunk(2)
        for layer, weight, bias in (
            (target.real_conv, a, (re + im) / 2),
            (target.imag_conv, b, (im - re) / 2),
        ):
            layer.weight.data, layer.bias.data = weight.clone(), bias.clone()

    def finish(target, norm_, activation):
        if norm == "whitening":
            for name, value in zip(("Wrr", "Wii", "Wri"), norm_.weight.data, strict=True):
                getattr(target[1], name).data = value.clone()
            for name, value in zip(("Br", "Bi"), norm_.bias.data, strict=True):
                getattr(target[1], name).data = value.clone()
            for name, value in zip(("RVrr", "RVii", "RVri"), norm_.covariance, strict=True):
                getattr(target[1], name).data = value.clone()
        else:
            target[1].load_state_dict(norm_.state_dict())
        target[2].load_state_dict(activation.state_dict())

    for target, source in zip(theirs.encoder, ours.down, strict=True):
        convolution(target[0], source.convolution)
        finish(target, source.norm, source.activation)
    for target, source in zip(theirs.decoder, ours.up, strict=True):
        convolution(target[0], source.convolution)
        if len(target) > 1:
            finish(target, *source.finish)
    recurrence = ours.recurrence
    if variant == "CL":
        for target, source in zip(theirs.enhance, recurrence.layers, strict=True):
            target.real_lstm.load_state_dict(source.real.state_dict())
            target.imag_lstm.load_state_dict(source.imaginary.state_dict())
        theirs.enhance[-1].r_trans.load_state_dict(recurrence.outputs[0].state_dict())
        theirs.enhance[-1].i_trans.load_state_dict(recurrence.outputs[1].state_dict())
    else:
        theirs.enhance.load_state_dict(recurrence.layers[0].state_dict())
        theirs.tranform.load_state_dict(recurrence.outputs[0].state_dict())
    counted = [sum(weights.numel() for weights in one.parameters()) for one in (theirs, ours)]
    assert counted[0] == counted[1]
    return theirs.eval()


def estimate_of_authors(theirs, spectrogram):
    """Their spectrogram of the speech, for ours of the mixture (1, F, K)."""
    theirs.stft = nn.Identity()
    theirs.istft = nn.ReLU()  # whose answer is not asked for
    estimate, _ = theirs(as_pairs(spectrogram))
    return as_complex(estimate)


AUTHORS = [("CL", "parts"), ("E", "parts"), ("CL", "whitening")]
every_network = pytest.mark.parametrize("variant, norm", AUTHORS)


@every_network
@torch.no_grad()
def test_stored_answers_are_the_authors_dccrn(variant, norm):
    spectrogram = 10 * complex_noise(1, 257, 20)  # they add 1e-8 to its power
    answer = estimate_of_authors(authors(network(variant, norm), variant, norm), spectrogram)
    torch.testing.assert_close(
        stored_masks(answer), stored(GOLDEN, f"DCCRN-{variant}-{norm}"), atol=1e-6, rtol=0
    )


@every_network
@torch.no_grad()
def test_same_as_stored_answers_of_the_authors_dccrn(variant, norm):
    spectrogram = 10 * complex_noise(1, 257, 20)
    masks = network(variant, norm)(spectrogram[:, None])
    torch.testing.assert_close(
        stored_masks(masks * spectrogram),
        stored(GOLDEN, f"DCCRN-{variant}-{norm}"),
        atol=1e-6,
        rtol=0,
    )


def asteroid_dccrn(ours, monkeypatch):
    """Asteroid's network, with what it has of our weights."""
    recurrent = pytest.importorskip("asteroid.masknn.recurrent")
    build = recurrent.DCCRMaskNetRNN
    # it hands PyTorch a number of NumPy's, which an LSTM refuses
    monkeypatch.setattr(recurrent, "DCCRMaskNetRNN", lambda size: build(int(size)))
    theirs = recurrent.DCCRMaskNet.default_architecture("DCCRN-CL", n_freqs=256).double()

    def finish(target, norm, activation):
        to_asteroid(target.norm, norm)
        for part in (target.activation.re_module, target.activation.im_module):
            part.load_state_dict(activation.state_dict())

    for target, source in zip(theirs.encoders[:-1], ours.down, strict=True):
        to_asteroid(target.conv, source.convolution)
        finish(target, source.norm, source.activation)
    for target, source in zip(theirs.decoders[1:], ours.up[:-1], strict=True):
        to_asteroid(target.deconv, source.convolution)
        finish(target, *source.finish)
    to_asteroid(theirs.output_layer[0], ours.up[-1].convolution)
    recurrence = theirs.encoders[-1]
    for target, source in zip(recurrence.rnn.rnns, ours.recurrence.layers, strict=True):
        target.re_module.rnn.load_state_dict(source.real.state_dict())
        target.im_module.rnn.load_state_dict(source.imaginary.state_dict())
    first, second = ours.recurrence.outputs
    real, imaginary = recurrence.linear.re_module, recurrence.linear.im_module
    real.weight.data, imaginary.weight.data = first.weight.data, torch.zeros_like(first.weight)
    real.bias.data = (first.bias.data + second.bias.data) / 2
    imaginary.bias.data = (second.bias.data - first.bias.data) / 2
    return theirs.eval()


@torch.no_grad()
def test_same_as_asteroids_dccrn_where_they_agree(monkeypatch):
    """Behind the first six frames, if the LSTM forgets and one matrix serves both parts."""
    ours = network()
    for layer in ours.recurrence.layers:
        for lstm in (layer.real, layer.imaginary):
            lstm.weight_hh_l0.zero_()
            lstm.bias_ih_l0.chunk(4)[1].fill_(-1e4)  # the gate that forgets
    first, second = ours.recurrence.outputs
    second.weight.copy_(first.weight)
    for block in [*ours.down, *ours.up[:-1]]:
        block.convolution.bias.zero_()  # Asteroid has none before a normalisation
    theirs = asteroid_dccrn(ours, monkeypatch)
    spectrogram = complex_noise(1, 257, 20)
    error = (ours(spectrogram[:, None])[0, :, 0, 1:] - theirs(spectrogram[:, 1:])[0]).abs()
    assert error[..., 6:].max() < 1e-5 < error[..., :6].max()
