"""Wave-U-Net: lengths, context, pieces, the ways up, the difference output."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import noise
from torch.nn import functional

from lib.data import NoisySpeech
from lib.errors import InputError
from lib.losses import make_objective
from lib.metrics import si_sdr
from lib.models import WaveUNet
from lib.nn.wave_unet import UpSampling, valid_lengths, valid_output

odd = st.integers(0, 8).map(lambda half: 2 * half + 1)


def built(**sizes):
    torch.manual_seed(0)
    sizes = {"filters": 3, "depth": 3, "kernel_size": 5, "up_kernel_size": 3} | sizes
    return WaveUNet(**sizes).double().eval()


# sizes and lengths


@pytest.mark.parametrize(
    "variant, parameters", [("M2", 10_263_002), ("M3", 10_263_002), ("M5", 10_263_390 + 24 * 90)]
)
def test_variants_differ_by_what_they_add(variant, parameters):
    """A difference saves one output of 25 weights and a bias; 24 (2 + ... + 13) are learned."""
    with torch.device("meta"):
        model = WaveUNet.paper(variant)
    assert sum(weights.numel() for weights in model.parameters()) == parameters


def test_lengths_of_the_paper():
    with torch.device("meta"):
        model = WaveUNet.paper("M4")
        assert model.predict(torch.zeros(1, 2, 147_443)).shape == (1, 2, 2, 16_389)
    assert valid_lengths(16_384) == (147_443, 16_389)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 7), odd, odd)
def test_lengths_are_those_of_the_network(wanted, depth, kernel_size, up_kernel_size):
    """The shortest input, as the network itself finds it: one sample less gives too few."""
    sizes = depth, kernel_size, up_kernel_size
    needed, given = valid_lengths(wanted, *sizes)
    assert wanted <= given < wanted + 2**depth
    with torch.device("meta"):
        model = WaveUNet(["a", "b"], 1, 1, *sizes)
        assert model._answer(torch.zeros(1, 1, needed)).shape == (1, 2, 1, given)
    assert valid_output(needed, *sizes) == given
    for wrong in range(needed - min(3, 2**depth - 1), needed):
        with pytest.raises(InputError, match=f"more, got {wrong}; the next that fits is {needed}$"):
            valid_output(wrong, *sizes)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), odd, odd)
def test_reach_is_that_of_the_network(depth, kernel_size, up_kernel_size):
    """By gradients to each phase of an answer from inside of a long signal."""
    model = built(depth=depth, kernel_size=kernel_size, up_kernel_size=up_kernel_size)
    before = model.receptive_field + -model.receptive_field % model.stride
    mixture = noise(1, 1, 2 * before + model.stride, dtype=torch.float64).requires_grad_()
    estimates, reach, spans = model(mixture), [], []
    for place in range(before, before + model.stride):
        (slope,) = torch.autograd.grad(estimates[..., place].sum(), mixture, retain_graph=True)
        heard = slope[0, 0].nonzero()
        reach.append(int(heard.max()) - place)
        spans.append(int(heard.max() - heard.min()) + 1)
    assert (max(reach), max(spans)) == (model.lookahead, model.receptive_field)


# context and pieces


@pytest.mark.parametrize("upsampling", ["linear", "learned"])
@pytest.mark.parametrize("difference", [False, True])
def test_pieces_with_context_are_the_whole(upsampling, difference):
    """From multiples of the stride on; from elsewhere the decimation drops other samples."""
    model = built(upsampling=upsampling, difference=difference)
    mixture = noise(2, 1, 500, dtype=torch.float64)
    needed, given = valid_lengths(100, *model.sizes)
    context = (needed - given) // 2
    with torch.no_grad():
        whole = model(mixture)
        for start in range(200, 200 + 2 * model.stride):
            piece = model.predict(mixture[..., start - context : start - context + needed])
            same = torch.allclose(piece, whole[..., start : start + given], atol=1e-12, rtol=0)
            assert same == (start % model.stride == 0)


def test_padded_convolutions_differ_from_context_near_the_ends_only():
    model = built()
    other = WaveUNet(**model.config | {"padding": "same"}).double()
    other.load_state_dict(model.state_dict())
    mixture = noise(1, 1, 401, dtype=torch.float64)
    kept = 1  # half of the taps on the way up: with context, this sample is at the lowest rate
    with torch.no_grad():
        with_context, with_zeros = model(mixture)[..., kept:], other(mixture[..., kept:])
    inside = slice(model.receptive_field, -model.receptive_field)
    torch.testing.assert_close(with_context[..., inside], with_zeros[..., inside])
    assert not torch.allclose(with_context[..., :10], with_zeros[..., :10])
    assert not torch.allclose(with_context[..., -10:], with_zeros[..., -10:])


def test_excerpts_that_do_not_fit_are_refused():
    model = built()
    with pytest.raises(InputError, match="expected 77 samples or a multiple of 8 more, got 75"):
        model.predict(noise(1, 1, 75, dtype=torch.float64))
    with pytest.raises(InputError, match="the next that fits is 85"):
        model.predict(noise(1, 1, 78, dtype=torch.float64))
    with pytest.raises(InputError, match="which leaves context, got 'same'"):
        built(padding="same").predict(noise(1, 1, 81, dtype=torch.float64))


# parts


def test_the_network_is_the_one_of_the_paper():
    """Written out: filter, halve, filter, double, crop, concatenate, filter."""
    model = built(depth=2, upsampling="linear")
    mixture = noise(1, 1, 8 * 4 + 37, dtype=torch.float64)

    def filtered(layer, x):
        return functional.leaky_relu(functional.conv1d(x, layer.weight, layer.bias), 0.2)

    def doubled(x):
        return functional.interpolate(
            x, size=2 * x.shape[-1] - 1, mode="linear", align_corners=True
        )

    def cropped(x, like):
        cut = x.shape[-1] - like.shape[-1]
        assert cut % 2 == 0
        return x[..., cut // 2 : x.shape[-1] - cut // 2]

    with torch.no_grad():
        fine = filtered(model.down[0], mixture)
        coarse = filtered(model.down[1], fine[..., ::2])
        x = doubled(filtered(model.middle, coarse[..., ::2]))
        x = doubled(filtered(model.up[0], torch.cat([cropped(coarse, x), x], 1)))
        x = filtered(model.up[1], torch.cat([cropped(fine, x), x], 1))
        x = torch.cat([cropped(mixture, x), x], 1)
        expected = functional.conv1d(x, model.output.weight, model.output.bias).tanh()
        torch.testing.assert_close(model.predict(mixture)[:, :, 0], expected)
    assert [layer.out_channels for layer in model.down] == [3, 6]
    assert model.middle.out_channels == 9


def test_learned_samples_lie_between_their_neighbours():
    upsampling, features = UpSampling(2, learned=True), noise(1, 2, 5)
    torch.testing.assert_close(upsampling(features), UpSampling(2)(features))  # as built
    with torch.no_grad():
        upsampling.weight.copy_(torch.tensor([-1.0, 30.0]))
        up = upsampling(features)
    assert torch.equal(up[..., ::2], features)
    share = torch.tensor([-1.0, 30.0]).sigmoid()[:, None]
    expected = share * features[..., :-1] + (1 - share) * features[..., 1:]
    torch.testing.assert_close(up[..., 1::2], expected)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_difference_makes_the_sum_the_mixture(padding):
    model = built(channels=2, difference=True, sources=["a", "b", "c"], padding=padding)
    mixture = noise(2, 2, 333, dtype=torch.float64)
    with torch.no_grad():
        estimates = model(mixture)
        assert estimates.shape == (2, 3, 2, 333)
        torch.testing.assert_close(estimates.sum(1), mixture)
        direct = built(channels=2, sources=["a", "b", "c"], padding=padding)(mixture)
    assert not torch.allclose(direct.sum(1), mixture)


def test_channels_of_a_stereo_mixture_are_heard_together():
    model, mixture = built(channels=2), noise(1, 2, 200, dtype=torch.float64)
    with torch.no_grad():
        left = model(mixture)[:, :, 0]
        assert not torch.allclose(model(mixture * torch.tensor([[1.0], [0.0]]))[:, :, 0], left)
    with pytest.raises(InputError, match=r"expected 2 channels, got 1; .*expand\(-1, 2, -1\)"):
        model(mixture[:, :1])
    with pytest.raises(InputError, match="expected 2 channels, got 6; mix them down before"):
        model(mixture.repeat(1, 3, 1))


@pytest.mark.parametrize("activation, loudest", [("tanh", 1.0), ("linear", float("inf"))])
def test_the_answer_is_bounded_by_a_tanh_alone(activation, loudest):
    model = built(activation=activation)
    with torch.no_grad():
        peak = model(1e4 * noise(1, 1, 100, dtype=torch.float64)).abs().max()
    assert 0.99 < peak <= loudest
    assert (peak > 1) == (activation == "linear")


def test_the_smaller_presets_deviate_as_listed():
    with torch.device("meta"):
        for model in (WaveUNet.small(), WaveUNet.small("singing"), WaveUNet.tiny()):
            assert model.config["activation"] == "linear"
        assert WaveUNet.paper().config["activation"] == "tanh"
        speech, singing = WaveUNet.small(), WaveUNet.small("singing")
        for model in (speech, singing):
            assert 5e5 < sum(weights.numel() for weights in model.parameters()) < 2e6
    assert (speech.source_names, speech.sample_rate) == (("speech", "noise"), 8000)
    assert singing.source_names == ("vocals", "accompaniment")


def test_it_learns_one_mixture():
    torch.manual_seed(0)
    model = WaveUNet.tiny().train()
    item = NoisySpeech("train", items=1, seed=5, seconds=0.4, sample_rate=8000, kinds=["rain"])[0]
    mixture, sources = item.mixture[None], item.sources[None]
    objective = make_objective("waveform", loss="snr")
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(100):
        optimiser.zero_grad()
        objective(model, mixture, sources).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
    with torch.no_grad():
        estimates = model.eval()(mixture)
    gain = si_sdr(estimates, sources) - si_sdr(mixture[:, None].expand_as(sources), sources)
    assert gain.mean() > 8


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"padding": "full"}, "padding: expected valid or same, got 'full'"),
        ({"upsampling": "cubic"}, "upsampling: expected linear or learned"),
        ({"activation": "cube"}, "activation: expected one of"),
        ({"kernel_size": 4}, "kernel_size: expected an odd number, got 4"),
        ({"up_kernel_size": 0}, "up_kernel_size: expected an odd number"),
        ({"depth": 0}, "depth: expected at least 1"),
        ({"sources": "vocals"}, "sources: expected a list of different names, 1 or more"),
        ({"sources": ["one"], "difference": True}, "names, 2 or more, got"),
        ({"sources": ["a", "a"]}, "sources: expected a list of different names"),
    ],
)
def test_one_clear_error(sizes, words):
    with pytest.raises(InputError, match=words):
        WaveUNet(**sizes)


def test_unknown_presets_are_refused():
    with pytest.raises(InputError, match="variant: expected one of M1, M2, M3, M4, M5, got 'M7'"):
        WaveUNet.paper("M7")
    with pytest.raises(InputError, match="task: expected one of speech, singing, got 'music'"):
        WaveUNet.small("music")
    with pytest.raises(InputError, match="output: expected at least 1 sample, got 0"):
        valid_lengths(0)
