"""D3Net: dense blocks against the convolution of the paper, dilations, bands, size."""

import pytest
import torch
from peers import noise
from torch.nn import functional

from lib.errors import InputError
from lib.models import D3Net
from lib.nn.dense import D2Block, D3Block, DenseUNet


def built(module):
    """With statistics and gains of normalisations that differ from those of a new one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                for values in (part.running_mean, part.bias):
                    values.copy_(torch.randn(len(values), generator=generator))
                for values in (part.running_var, part.weight):
                    values.copy_(0.5 + torch.rand(len(values), generator=generator))
    return module.double().eval()


@pytest.mark.parametrize("multidilated", [True, False])
def test_a_layer_hears_each_layer_before_it_at_its_own_dilation(multidilated):
    """Written per receiver, as in the paper: a sum over the layers that it hears."""
    torch.manual_seed(0)
    block = built(D2Block(3, growth=2, layers=4, multidilated=multidilated))
    x = noise(2, 3, 12, 17, dtype=torch.float64)
    heard = []  # what each sender says, normalised and rectified
    for receiver in range(4):
        total = 0
        for sender, layer in enumerate(block.steps[: receiver + 1]):
            if sender == len(heard):
                norm, relu, _ = layer
                heard.append(relu(norm(x)))
            convolution, dilation = layer[2], 2**sender if multidilated else 1
            # a sender's channels are ordered by receiver, itself the first
            own = slice(2 * (receiver - sender), 2 * (receiver - sender) + 2)
            total = total + functional.conv2d(
                heard[sender],
                convolution.weight[own],
                convolution.bias[own],
                padding=dilation,
                dilation=dilation,
            )
        x = total
    torch.testing.assert_close(block(noise(2, 3, 12, 17, dtype=torch.float64)), x)


@pytest.mark.parametrize("multidilated, reach", [(True, 1 + 2 + 4 + 8), (False, 4)])
def test_dilations_make_the_field_grow_fast_and_without_gaps(multidilated, reach):
    torch.manual_seed(0)
    block = built(D2Block(1, growth=2, layers=4, multidilated=multidilated))
    x = noise(32, 1, 41, 41, dtype=torch.float64).requires_grad_()  # no rectifier mutes all
    (slope,) = torch.autograd.grad(block(x)[:, :, 20, 20].sum(), x)
    seen = slope.abs().sum((0, 1, 3)).nonzero()[:, 0]
    assert seen.tolist() == list(range(20 - reach, 20 + reach + 1))


def test_blocks_are_nested_in_the_same_way():
    torch.manual_seed(0)
    block, x = built(D3Block(3, growth=2, layers=2, blocks=3)), noise(1, 3, 8, 8).double()
    one, two, three = block.steps
    assert [step.growth for step in block.steps] == [6, 4, 2]
    own, to_second, to_third = one(x).split(2, 1)
    more = two(own).split(2, 1)
    # the second sends to the third; the last one's part comes out
    expected = three(to_second + more[0])
    torch.testing.assert_close(block(x), to_third + more[1] + expected)


@pytest.mark.parametrize("frames, bins", [(1, 1), (7, 21), (16, 8)])
def test_a_u_net_takes_any_size(frames, bins):
    network = built(DenseUNet(1, 4, [2, 3, 4, 3, 2], [2] * 5, [1] * 5))
    assert network(noise(1, 1, frames, bins).double()).shape == (1, 2, frames, bins)
    assert [norm.num_features for norm, _ in network.doublings] == [4, 3]


def test_the_size_of_the_paper_is_the_sum_of_its_parts():
    """Bands, whole, the layer that makes bands alike, last block, gate; four per bin."""
    with torch.device("meta"):
        network = D3Net.paper().masker.targets["vocals"]
    counts = {
        name: sum(weights.numel() for weights in part.parameters())
        for name, part in network.named_children()
    }
    assert counts["bands"] == 1_332_178
    assert counts["full"] == 1_614_993
    assert counts["widen"] == 2 * 2 + 2 * 16 + 16  # the upper band has 2 channels, the lower 16
    assert sum(counts.values()) + 4 * 1600 == 2_966_509
    assert network.bandwidth == 1600


def test_each_band_sees_its_own_and_the_whole_sees_all():
    torch.manual_seed(0)
    network = built(D3Net.tiny().masker.targets["speech"])
    seen = []
    for band in [*network.bands, network.full]:
        band.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[-1]))
    network(noise(1, 1, 257, 9).double().abs())
    assert seen == [64, 193, 257]


def test_above_its_band_a_mask_is_one():
    sizes = {"filters": 2, "growth": [2, 2, 2], "layers": [1, 1, 1], "blocks": [1, 1, 1]}
    bands = [sizes | {"to": 8}, sizes | {"to": 20}]
    model = D3Net(["vocals"], None, 2, 64, 16, bands, sizes).eval()
    masks = model.masker(model.encoder(noise(1, 2, 300)))
    assert masks.shape[1:4] == (1, 2, 33)
    assert (masks[..., 20:, :] == 1).all()
    assert not (masks[..., :20, :] == 1).any()


def test_each_target_has_a_network_and_the_residual_is_the_rest():
    sizes = {"filters": 2, "growth": [2, 2, 2], "layers": [1, 1, 1], "blocks": [1, 1, 1]}
    model = D3Net(["vocals", "drums"], "rest", 1, 64, 16, [sizes | {"to": 33}], sizes).eval()
    assert model.source_names == ("vocals", "drums", "rest")
    mixture = noise(1, 2, 300)
    with torch.no_grad():
        estimates = model(mixture)
        torch.testing.assert_close(estimates.sum(1), mixture, atol=1e-5, rtol=1e-4)
        before = estimates[:, 0]
        for weights in model.masker.targets["drums"].parameters():
            weights.mul_(0.5)
        again = model(mixture)
    assert torch.equal(again[:, 0], before)
    assert not torch.allclose(again[:, 1], estimates[:, 1])


def test_the_smaller_presets_deviate_as_listed():
    with torch.device("meta"):
        paper, speech, singing = D3Net.paper(), D3Net.small(), D3Net.small("singing")
        assert (paper.config["activation"], paper.config["log"]) == ("relu", False)
        for model in (speech, singing, D3Net.tiny()):
            assert (model.config["activation"], model.config["log"]) == ("sigmoid", True)
            assert model.config["channels"] == 1
    for model in (speech, singing):
        assert 5e5 < sum(weights.numel() for weights in model.parameters()) < 2e6
    assert singing.source_names == ("vocals", "accompaniment")


def test_a_step_towards_the_target_lowers_the_loss():
    torch.manual_seed(0)
    model, sources = D3Net.tiny().train(), noise(2, 2, 1, 4000)
    sources[:, 0] = torch.sin(0.3 * torch.arange(4000))
    mixture = sources.sum(1)
    model.calibrate(mixture)
    optimiser, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(25):
        loss = (model(mixture) - sources).square().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: D3Net("vocals"), "targets: expected a list"),
        (lambda: D3Net(activation="tanh"), "activation: expected one of relu, sigmoid"),
        (lambda: D3Net(n_fft=512, hop_length=128), "bands: expected rising ends up to 257 bins"),
        (lambda: D3Net.small("music"), "task: expected one of speech, singing, got 'music'"),
        (lambda: D3Net.tiny().masker(torch.zeros(1, 1, 257, 3).cfloat(), {}), "causal network"),
    ],
)
def test_one_clear_error(call, words):
    with pytest.raises(InputError, match=words):
        call()
