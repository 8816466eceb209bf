"""Costs: counts that agree with arithmetic, on any device, and a clock that runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.cost import cost, real_time_factor
from lib.errors import InputError
from lib.models import DPRNN, UPIT, ConvTasNet, DPTNet, SuDoRMRF, TasNet
from lib.models.sepformer import SepFormer
from lib.nn.attention import SelfAttention

SYSTEMS = (TasNet, ConvTasNet, DPRNN, DPTNet, SuDoRMRF, SepFormer)


class Wrapped(nn.Module):
    """Layers that read ten numbers at a time, as a separator of 100 Hz."""

    sample_rate, channels = 100, 1

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, mixture):
        outputs = self.layers(mixture.view(-1, 1, 10).transpose(0, 1))
        return outputs[0] if isinstance(outputs, tuple) else outputs


def wrapped(layers, device):
    return Wrapped(layers.to(device))


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("gradients", [False, True])
def test_layers_by_arithmetic(device, gradients):
    steps = 40  # ten numbers at a time, of 4 s at 100 Hz

    def per_step(layers):
        count = cost(wrapped(layers, device), gradients=gradients)
        return count.multiply_adds * 4 / steps

    assert per_step(nn.Linear(10, 7)) == 70
    # four gates, from the input and from the state; a second layer reads both directions
    assert per_step(nn.LSTM(10, 6, batch_first=True)) == 4 * 6 * (10 + 6)
    both = nn.LSTM(10, 6, num_layers=2, batch_first=True, bidirectional=True)
    assert per_step(both) == 2 * 4 * 6 * (10 + 6) + 2 * 4 * 6 * (12 + 6)
    # projections, then each frame with each, twice
    assert per_step(SelfAttention(10, 2)) == 10 * 40 + 2 * steps * 10


def test_torch_counts_the_same_where_it_counts():
    mixture = torch.randn(1, 1, 2000, device="meta")
    for system in (ConvTasNet, SepFormer):
        with torch.device("meta"):
            model = system.tiny().eval()
        with FlopCounterMode(display=False) as counter:
            model(mixture)
        ours = cost(model, 0.25).multiply_adds * 0.25
        assert ours == counter.get_total_flops() / 2


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_model_without_numbers_costs_the_same(system):
    model = system.tiny().eval()
    real, counted = cost(model, 0.5), cost(model.to("meta"), 0.5)
    assert counted.parameters == real.parameters
    assert counted.multiply_adds == real.multiply_adds
    # kernels differ in the copies that they keep
    assert counted.memory == pytest.approx(real.memory, rel=0.35)


def test_memory_is_that_of_the_input_and_two_neighbours():
    layers = nn.Sequential(nn.Linear(10, 50), nn.Linear(50, 20), nn.Linear(20, 1))
    count = cost(wrapped(layers, "meta"))
    # 40 steps: the input stays, and what the middle layer reads and writes
    assert count.memory * 4 == 4 * 40 * (10 + 50 + 20)
    assert cost(wrapped(layers, "meta"), gradients=True).memory > count.memory


def test_the_published_sizes():
    """Figures of chapter 17."""
    gigas = {}
    for system in SYSTEMS[1:]:
        with torch.device("meta"):
            gigas[system] = round(cost(system.paper()).multiply_adds / 1e9, 1)
    assert gigas[SuDoRMRF] < gigas[ConvTasNet] < gigas[DPRNN] < gigas[DPTNet] < gigas[SepFormer]
    assert gigas[ConvTasNet] == 5.0 and gigas[SepFormer] == 59.0


def test_a_spectrogram_system_and_what_changes_nothing():
    model = UPIT.tiny().eval()
    weights = [parameter.clone() for parameter in model.parameters()]
    count = cost(model, 0.5, gradients=True)
    assert count.parameters == sum(weight.numel() for weight in weights)
    assert all(map(torch.equal, model.parameters(), weights))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_clock():
    model = ConvTasNet.tiny()
    assert 0 < real_time_factor(model, 0.2, repeats=1) < 100
    with pytest.raises(InputError, match="repeats: expected 1 or more, got 0"):
        real_time_factor(model, repeats=0)
    for seconds in (0, -1.0, float("nan"), 1e-9):
        with pytest.raises(InputError, match="seconds: expected at least one sample"):
            cost(model, seconds)
