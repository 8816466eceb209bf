"""FiLM and the conditioned U-Net: what a condition changes, and what conditions may be."""

import pytest
import torch
from peers import by_rule, noise
from test_models_unet import gain_after_learning
from torch import nn

from lib.errors import InputError
from lib.models import ConditionedUNet, UNet
from lib.nn.film import Control, film

# FiLM


@pytest.mark.parametrize("channels", [1, 3])
def test_film_scales_and_shifts_each_channel(channels):
    features, gamma, beta = noise(2, 3, 4, 5), noise(2, channels, seed=1), noise(2, channels)
    found = film(features, gamma, beta)
    assert found.shape == features.shape
    for item in range(2):
        for channel in range(3):
            scale, shift = (one[item, channel if channels > 1 else 0] for one in (gamma, beta))
            torch.testing.assert_close(
                found[item, channel], scale * features[item, channel] + shift
            )


def test_film_has_gradients():
    inputs = [
        noise(*shape, seed=seed, dtype=torch.float64).requires_grad_()
        for seed, shape in enumerate([(2, 3, 4), (2, 3), (2, 3)])
    ]
    assert torch.autograd.gradcheck(film, inputs)


@pytest.mark.parametrize("gamma, beta", [((2, 2), (2, 2)), ((1, 3), (1, 3)), ((2, 3), (2, 1))])
def test_film_refuses_other_shapes(gamma, beta):
    with pytest.raises(InputError, match=r"expected \(2, 3\) or \(2, 1\)"):
        film(noise(2, 3, 4), noise(*gamma), noise(*beta))


@pytest.mark.parametrize("each", [False, True])
def test_control_in_plain_functions(each):
    control = by_rule(Control(3, [2, 4], hidden=[5, 6, 7], each=each))
    condition = noise(4, 3)
    with torch.no_grad():
        x = condition
        for number in range(3):
            layers = [layer for layer in control.layers if isinstance(layer, nn.Linear)]
            x = (x @ layers[number].weight.T + layers[number].bias).relu()
            if number:  # the first layer has no normalisation
                norms = [layer for layer in control.layers if isinstance(layer, nn.BatchNorm1d)]
                norm = norms[number - 1]
                x = x / (1 + norm.eps) ** 0.5 * norm.weight + norm.bias
        gammas = x @ control.gamma.weight.T + control.gamma.bias
        betas = x @ control.beta.weight.T + control.beta.bias
        found = control(condition)
    widths = [2, 4] if each else [1, 1]
    assert [gamma.shape[1] for gamma, _ in found] == widths
    torch.testing.assert_close(torch.cat([gamma for gamma, _ in found], 1), gammas)
    torch.testing.assert_close(torch.cat([beta for _, beta in found], 1), betas)


def test_dropout_of_control_begins_at_the_second_layer():
    kinds = [type(layer).__name__ for layer in Control(4, [16]).layers]
    assert kinds == ["Linear", "ReLU"] + 2 * ["Linear", "ReLU", "Dropout", "BatchNorm1d"]


def test_scales_begin_near_one():
    torch.manual_seed(0)
    control = Control(4, [16] * 6, each=True).eval()
    for gamma, beta in control(torch.eye(4)):
        assert (gamma - 1).abs().max() < 0.5
        assert beta.abs().max() < 0.5


def test_control_refuses_what_it_cannot_take():
    with pytest.raises(InputError, match=r"expected a shape \(batch, 4\), got \(2, 3\)"):
        Control(4, [16])(torch.zeros(2, 3))
    with pytest.raises(InputError, match="expected at least one of each"):
        Control(4, [16], hidden=[])


# the network


@pytest.mark.parametrize("each, size", [(False, 6), (True, 1008)])
def test_the_published_count_is_the_plain_network_and_its_control(each, size):
    with torch.device("meta"):
        plain, model = UNet.paper(), ConditionedUNet.paper(each)
    hidden = [16, 256, 1024] if each else [16, 64, 256]
    control = sum(a * b + b for a, b in zip([4, *hidden], hidden, strict=False))
    control += 2 * sum(hidden[1:]) + 2 * (hidden[-1] * size + size)
    counts = [sum(weights.numel() for weights in one.parameters()) for one in (plain, model)]
    assert counts[1] - counts[0] == control
    assert sum(model.masker.control.sizes) == size


def model_by_rule(each=True):
    return by_rule(ConditionedUNet([*"abc"], 64, 16, 2, 3, each, [4, 6]))


@pytest.mark.parametrize("each", [False, True])
def test_with_scales_of_one_it_is_a_plain_network(each):
    model = model_by_rule(each)
    for layer in (model.masker.control.gamma, model.masker.control.beta):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, float(layer is model.masker.control.gamma))
    spectrogram = model.encoder(noise(2, 1, 500))
    with torch.no_grad():
        masks = model.masker(spectrogram)
        plain = model.masker.network(model.masker.features(spectrogram)).sigmoid()
    torch.testing.assert_close(masks, plain[:, None].expand_as(masks))


def test_film_stands_between_normalisation_and_activation():
    model = model_by_rule()
    block = model.masker.network.contractions[0]
    features, gamma, beta = noise(2, 1, 8, 8), noise(2, 2, seed=1), noise(2, 2, seed=2)
    with torch.no_grad():
        normed = block.norm(block.halving(features))
        wanted = gamma[..., None, None] * normed + beta[..., None, None]
        wanted = torch.where(wanted > 0, wanted, 0.2 * wanted)
        torch.testing.assert_close(block(features, (gamma, beta)), wanted)


def test_all_conditions_in_a_batch_are_each_alone():
    model, mixture = model_by_rule(), noise(2, 1, 700)
    with torch.no_grad():
        together = model(mixture)
        torch.testing.assert_close(model(mixture, torch.eye(3)), together)
        for place, one_hot in enumerate(torch.eye(3)):
            alone = model(mixture, one_hot[None])
            torch.testing.assert_close(alone, together[:, place : place + 1], atol=1e-5, rtol=1e-4)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-3


def test_any_vector_may_be_asked_for_and_another_for_each_item():
    model, mixture = model_by_rule(), noise(2, 1, 700)
    conditions = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        estimates = model(mixture, conditions)
        assert estimates.shape == (2, 5, 1, 700)
        for item in range(2):
            alone = model(mixture[item : item + 1], conditions[item])[0]
            torch.testing.assert_close(estimates[item], alone, atol=1e-5, rtol=1e-4)
        # from one stem to another without a jump
        weights = torch.linspace(0, 1, 101)[:, None]
        path = weights * torch.eye(3)[1] + (1 - weights) * torch.eye(3)[0]
        steps = model(mixture[:1], path)[0].diff(dim=0).flatten(1).norm(dim=1)
    assert (steps > 0).all()
    assert steps.max() < 0.2 * steps.sum()


@pytest.mark.parametrize("shape", [(3,), (2, 4), (3, 1, 3), (1, 1, 1, 3)])
def test_conditions_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"conditions: expected a shape \(any, 3\) or \(2, any, 3"):
        model_by_rule()(noise(2, 1, 500), torch.zeros(shape))


def test_bad_arguments_are_refused():
    for names in (["one"], ["one", "one"], "two"):
        with pytest.raises(InputError, match="sources: expected two or more different names"):
            ConditionedUNet(names)


def test_presets():
    with torch.device("meta"):
        assert (
            ConditionedUNet.small(stems=True).source_names == ConditionedUNet.paper().source_names
        )
        for preset in (ConditionedUNet.small, ConditionedUNet.tiny):
            assert {
                "log": True,
                "dropout": 0.0,
                "sample_rate": 8000,
            }.items() <= preset().config.items()
        assert ConditionedUNet.paper().config["dropout"] == 0.5


def test_learns_both_sources_of_two_mixtures():
    torch.manual_seed(1)
    assert gain_after_learning(ConditionedUNet.tiny(), steps=40) > 5
