"""U-Nets on spectrograms: their blocks, what skips carry, and where they leave their papers."""

import pytest
import torch
from peers import by_rule, noise
from torch.nn import functional

from lib.data import NoisySpeech
from lib.errors import InputError
from lib.losses import make_objective
from lib.metrics import si_sdr
from lib.models import UNet
from lib.nn.unet import Doubling, Halving, SpectrogramUNet

# blocks

SIZES = [(5, None, 2), (5, 1, 1), (4, None, 1), (3, None, 1), (2, None, 0), (6, 0, 0), (5, 0, 0)]


@pytest.mark.parametrize("kernel_size, before, expected", SIZES)
@pytest.mark.parametrize("rows, columns", [(2, 2), (4, 10), (6, 32)])
def test_halving_is_a_convolution_of_an_input_padded_before_and_behind(
    kernel_size, before, expected, rows, columns
):
    torch.manual_seed(0)
    halving, features = Halving(3, 4, kernel_size, before), noise(2, 3, rows, columns)
    behind = kernel_size - 2 - expected
    padded = functional.pad(features, (expected, behind, expected, behind))
    wanted = functional.conv2d(padded, halving.weight, halving.bias, stride=2)
    assert wanted.shape == (2, 4, rows // 2, columns // 2)
    torch.testing.assert_close(halving(features), wanted)


@pytest.mark.parametrize("kernel_size, before, expected", SIZES)
def test_doubling_is_the_way_back_of_halving(kernel_size, before, expected):
    """Its matrix is the transpose: <halved x, y> = <x, doubled y>."""
    halving = Halving(3, 4, kernel_size, before).double()
    doubling = Doubling(4, 3, kernel_size, before).double()
    doubling.weight.data = halving.weight.data
    for module in (halving, doubling):
        torch.nn.init.zeros_(module.bias)
    x, y = noise(1, 3, 8, 12, dtype=torch.float64), noise(1, 4, 4, 6, seed=1, dtype=torch.float64)
    assert doubling(y).shape == x.shape
    torch.testing.assert_close((halving(x) * y).sum(), (x * doubling(y)).sum())


def with_digits(layer, before):
    """Write 1, 10, 100, ... in the row of the kernel that meets the first row of the image."""
    with torch.no_grad():
        torch.nn.init.zeros_(layer.bias)
        torch.nn.init.zeros_(layer.weight)[0, 0, before] = 10.0 ** torch.arange(5)
    return layer


@pytest.mark.parametrize(
    "before, expected",
    [
        (1, [43210.0, 432.0]),  # as TensorFlow pads: 0 | 1 2 3 4 | 0 0
        (2, [32100.0, 4321.0]),  # as PyTorch pads: 0 0 | 1 2 3 4 | 0
    ],
)
def test_padding_by_hand(before, expected):
    image = torch.tensor([[[[1.0, 2.0, 3.0, 4.0], [0.0] * 4]]])
    assert with_digits(Halving(1, 1, 5, before), before)(image).tolist() == [[[expected]]]


@pytest.mark.parametrize(
    "before, expected",
    [  # of 1, 10, 100 + 2, 1000 + 20, 10000 + 200, 2000, 20000
        (1, [10.0, 102.0, 1020.0, 10200.0]),  # what TensorFlow keeps
        (2, [102.0, 1020.0, 10200.0, 2000.0]),  # what PyTorch keeps
    ],
)
def test_cropping_by_hand(before, expected):
    image = torch.tensor([[[[1.0, 2.0]]]])
    doubled = with_digits(Doubling(1, 1, 5, before), before)(image)
    assert doubled.tolist() == [[[expected, [0.0] * 4]]]


@pytest.mark.parametrize("block", [Halving, Doubling])
@pytest.mark.parametrize("kernel_size, before", [(1, None), (5, 3), (5, -1)])
def test_padding_that_cannot_be_is_refused(block, kernel_size, before):
    with pytest.raises(InputError, match="expected"):
        block(1, 1, kernel_size, before)


# the network


def written_out(network, features, skips):
    """The network in plain functions, for one padded item (1, K, F)."""

    def normed(x, norm):
        statistics = norm.running_mean, norm.running_var
        return functional.batch_norm(x, *statistics, norm.weight, norm.bias, eps=1e-5)

    x, levels = features[:, None], []
    for block in network.contractions:
        x = functional.conv2d(x, block.halving.weight, block.halving.bias, stride=2, padding=2)
        x = functional.leaky_relu(normed(x, block.norm), 0.2)
        levels.append(x)
    for number, block in enumerate(network.expansions):
        options = {"stride": 2, "padding": 2, "output_padding": 1}
        x = functional.conv_transpose2d(x, block.doubling.weight, block.doubling.bias, **options)
        x = functional.relu(normed(x, block.norm))
        if skips:
            x = torch.cat([x, levels[-2 - number]], 1)
    last = network.last
    return functional.conv_transpose2d(x, last.weight, last.bias, 2, 2, 1).mT


@pytest.mark.parametrize("skips", [True, False])
def test_network_in_plain_functions(skips):
    network = by_rule(SpectrogramUNet(2, filters=3, depth=4, skips=skips))
    features = noise(1, 32, 49)
    with torch.no_grad():
        found, wanted = network(features), written_out(network, features[..., :48], skips)
    assert wanted.std() > 0.01
    torch.testing.assert_close(found[:, :, :48], wanted, atol=1e-5, rtol=1e-5)
    # the highest frequency has the answer of its neighbour
    assert torch.equal(found[:, :, 48], found[:, :, 47])


@pytest.mark.parametrize("frames", [1, 7, 31])
def test_network_pads_at_the_end_and_crops(frames):
    network = by_rule(SpectrogramUNet(filters=3, depth=3))
    features = noise(2, frames, 22)
    padded = functional.pad(features[..., :21], (0, 4, 0, -frames % 8))
    with torch.no_grad():
        wanted = network(padded)[:, :, :21, :frames]
        torch.testing.assert_close(network(features)[:, :, :21], wanted)


def test_without_skips_everything_passes_the_middle():
    variation = {}
    for skips in (True, False):
        network = by_rule(SpectrogramUNet(filters=3, depth=3, skips=skips))
        middle = network.contractions[-1].norm
        torch.nn.init.zeros_(middle.weight)  # nothing of the picture comes through
        with torch.no_grad():
            first, second = network(noise(2, 16, 17))
        variation[skips] = (first - second).abs().max()
    assert variation[True] > 0.01
    assert variation[False] == 0


def test_a_skip_costs_the_parameters_of_the_channels_beside():
    with torch.device("meta"):
        counts = [
            sum(weights.numel() for weights in UNet.paper(skips=skips).parameters())
            for skips in (True, False)
        ]
    # each expansion but the first, and the last layer, has 25 more weights per pair of channels
    pairs = [(256, 128), (128, 64), (64, 32), (32, 16), (16, 1)]
    assert counts[0] - counts[1] == 25 * sum(beside * outputs for beside, outputs in pairs)


def test_dropout_in_the_first_three_expansions_only():
    network = SpectrogramUNet(filters=2, depth=6, dropout=0.5)
    assert [block.dropout.p for block in network.expansions] == [0.5, 0.5, 0.5, 0.0, 0.0]


@pytest.mark.parametrize("option", ["outputs", "filters", "depth"])
def test_a_network_of_nothing_is_refused(option):
    with pytest.raises(InputError, match=f"{option}: expected at least 1, got 0"):
        SpectrogramUNet(**{option: 0})


# U-Net


def test_one_output_leaves_the_rest_and_two_are_on_their_own():
    torch.manual_seed(0)
    mixture = noise(2, 1, 3000)
    for outputs in (1, 2):
        model = UNet.tiny(outputs).eval()
        assert model.source_names == ("speech", "noise")
        with torch.no_grad():
            total = model(mixture).sum(1)
        assert torch.allclose(total, mixture, atol=1e-5) == (outputs == 1)
    with torch.device("meta"):
        assert UNet.paper().source_names == ("vocals", "accompaniment")
        assert UNet.small(singing=True).source_names == ("vocals", "accompaniment")


@pytest.mark.parametrize("direct", [False, True])
def test_levels_are_relative_to_the_mixture(direct):
    model, mixture = UNet.tiny(direct=direct).eval(), noise(2, 2, 3000)
    model.calibrate([noise(1, 3000, seed=1)])
    with torch.no_grad():
        torch.testing.assert_close(model(1000 * mixture), 1000 * model(mixture), rtol=1e-3, atol=1)


def test_answers_as_magnitudes_pass_the_mixture():
    """A mask cannot put energy where the mixture has little."""
    model = UNet.tiny(direct=True).eval()
    model.calibrate([noise(1, 3000, seed=1)])
    torch.nn.init.zeros_(model.masker.network.last.weight)
    torch.nn.init.constant_(model.masker.network.last.bias, 0.5413)  # whose softplus is 1
    spectrogram = model.encoder(noise(1, 1, 3000))
    with torch.no_grad():
        answer = model.magnitudes(spectrogram)[:, 0]
    level = spectrogram.abs().square().mean().sqrt()
    typical = model.masker.features.mean.exp()[:, None] * level
    torch.testing.assert_close(answer, typical.expand_as(answer), atol=1e-4, rtol=1e-4)
    assert (answer > 2 * spectrogram.abs()).any()


@pytest.mark.parametrize(
    "preset, options",
    [
        (UNet.paper, {"log": False, "dropout": 0.5, "hop_length": 768, "sample_rate": 8192}),
        (UNet.small, {"log": True, "dropout": 0.0, "depth": 5, "sample_rate": 8000}),
        (UNet.tiny, {"log": True, "dropout": 0.0, "depth": 4, "sample_rate": 8000}),
    ],
)
def test_presets(preset, options):
    with torch.device("meta"):
        assert options.items() <= preset().config.items()


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="outputs: expected 1 or 2, got 3"):
        UNet.tiny(outputs=3)
    with pytest.raises(InputError, match="targets: expected a list of different names"):
        UNet(["speech"], "speech")
    with pytest.raises(InputError, match="targets: expected a list of different names"):
        UNet([])


def gain_after_learning(model, steps=60):
    """Overfit two mixtures and say by how much the speech has improved."""
    torch.manual_seed(0)
    data = NoisySpeech("train", items=2, seed=3, seconds=1.0, sample_rate=model.sample_rate)
    mixture = torch.stack([item.mixture for item in data])
    sources = torch.stack([item.sources for item in data])
    model.calibrate(mixture)
    objective = make_objective("waveform", loss="snr")
    optimiser = torch.optim.Adam(model.train().parameters(), 4e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        objective(model, mixture, sources).mean().backward()
        optimiser.step()
    with torch.no_grad():
        estimates = model.eval()(mixture)
    before = si_sdr(mixture[:, None].expand_as(sources), sources)
    return float((si_sdr(estimates, sources) - before).mean())


@pytest.mark.parametrize("options", [{}, {"skips": False}, {"direct": True}])
def test_learns_two_mixtures(options):
    torch.manual_seed(1)
    assert gain_after_learning(UNet.tiny(**options), steps=40) > 9
