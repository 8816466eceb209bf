"""The blocks of convolutional networks against PyTorch's plain ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from lib.nn.activations import PReLU
from lib.nn.convolutions import DilatedDepthwise, Pointwise, pointwise
from lib.nn.norms import CumulativeLayerNorm, GlobalLayerNorm
from lib.nn.tcn import TCN, DilatedBlock


def assert_same(found, wanted, *inputs, dtype=torch.float64):
    """Compare the outputs of two modules with the same parameters, and all gradients."""
    found, wanted = found.to(dtype), wanted.to(dtype)
    found.load_state_dict(wanted.state_dict())
    results = []
    for module in (found, wanted):
        module.zero_grad()
        copies = [x.to(dtype).clone().requires_grad_() for x in inputs]
        output = module(*copies)
        output.backward(torch.linspace(-1, 2, output.numel(), dtype=dtype).view_as(output))
        results.append([output, *(p.grad for p in [*copies, *module.parameters()])])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("frames", [3, 500])  # below and above the size where the kernel changes
def test_pointwise_is_a_convolution_with_one_tap(frames):
    assert_same(Pointwise(64, 6), nn.Conv1d(64, 6, 1), torch.randn(2, 64, frames))


def test_pointwise_of_several_layers():
    first, second, features = Pointwise(8, 3), Pointwise(8, 5), torch.randn(2, 8, 50)
    parts = pointwise(features, first, second)
    torch.testing.assert_close(parts, (first(features), second(features)))


@pytest.mark.parametrize("dilation", [1, 2, 5, 64])
@pytest.mark.parametrize("frames", [1, 20, 101])
@pytest.mark.parametrize("taps", [2, 3])
def test_depthwise_is_a_dilated_convolution(taps, frames, dilation):
    found = DilatedDepthwise(4, taps, dilation)
    wanted = nn.Conv1d(4, 4, taps, dilation=dilation, groups=4)
    context = (taps - 1) * dilation
    assert_same(found, wanted, torch.randn(2, 4, frames + context))
    features = torch.randn(2, 4, frames)
    padded = functional.pad(features, (context, 0))
    torch.testing.assert_close(found(features.double(), (context, 0)), found(padded.double()))


@pytest.mark.parametrize("shape", [(3,), (2, 4, 7), (2, 4, 3, 5)])
@pytest.mark.parametrize("slope", [0.25, 0.0, -0.5, 1.5])
def test_prelu(shape, slope):
    plain = nn.PReLU(init=slope)
    features = torch.randn(*shape)
    features.view(-1)[0] = 0.0
    assert_same(PReLU(), plain, features)
    assert_same(PReLU(), plain, features.mT if features.ndim > 1 else features)  # not contiguous


def test_gradient_of_prelu():
    features = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    activation = PReLU().double()
    parameters = (features, activation.weight)
    call = lambda x, slope: torch.func.functional_call(activation, {"weight": slope}, x)  # noqa: E731
    assert torch.autograd.gradcheck(call, parameters)
    assert torch.autograd.gradgradcheck(call, parameters)


def test_gradient_of_prelu_adds_up_where_it_is_used_twice():
    activation, plain = PReLU(), nn.PReLU()
    features = torch.randn(2, 3, 5)
    for module in (activation, plain):
        (module(features) * module(-features)).sum().backward()
    torch.testing.assert_close(activation.weight.grad, plain.weight.grad)


def test_slope_of_prelu_in_single_precision():
    features, gradient = torch.randn(2, 4, 256, 1000)
    activation = PReLU()
    activation(features).backward(gradient)
    exact = (gradient.double() * features.double().clamp(max=0)).sum()
    assert abs(activation.weight.grad - exact) < 1e-6 * (gradient * features).abs().sum()


@pytest.mark.parametrize("shape", [(2, 4, 50), (2, 4, 5, 7), (1, 1, 1)])
def test_global_norm_is_one_in_all_its_forms(shape, monkeypatch):
    norm = GlobalLayerNorm(shape[1]).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    features = 3 + torch.randn(*shape, dtype=torch.float64)
    found = norm(features)
    monkeypatch.setattr("lib.nn.norms.eager_on_cpu", lambda features: False)
    torch.testing.assert_close(found, norm(features))


def test_cumulative_norm_where_there_is_no_float64(on_mps, monkeypatch):
    norm, features = CumulativeLayerNorm(4), torch.randn(2, 4, 50)
    expected, arange = norm(features), torch.arange
    # no such device is here
    monkeypatch.setattr(torch, "arange", lambda *ends, dtype, device: arange(*ends, dtype=dtype))
    found = norm(on_mps(features)).cpu()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_exported_block_is_written_plainly():
    """Means over one axis and then the other, no folding, no dilation where there is one tap."""
    block = DilatedBlock(32, 64, 8, dilation=4).eval()
    features = torch.randn(1, 32, 1000)
    program = torch.export.export(block, (features,))
    torch.testing.assert_close(program.module()(features), block(features))
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    names = [str(node.target) for node in calls]
    assert names.count("aten.mean.dim") == 8 and "aten.group_norm.default" not in names
    assert "aten.conv2d.default" not in names
    dilations = [
        node.args[5] for node in calls if "conv1d" in str(node.target) and len(node.args) > 5
    ]
    assert dilations == [[4]]


def test_exported_network_takes_any_number_of_frames():
    network = TCN(32, 64, 8, blocks=3, repeats=1).eval()
    frames = {"features": {2: torch.export.Dim("frames", min=2)}}
    with torch.no_grad():
        program = torch.export.export(network, (torch.randn(1, 32, 300),), dynamic_shapes=frames)
        for length in (50, 400, 1000):
            features = torch.randn(1, 32, length)
            torch.testing.assert_close(program.module()(features), network(features))


@pytest.mark.parametrize("norm", ["global", "channel", "cumulative"])
def test_network_in_half_precision(norm):
    network = TCN(16, 32, 8, blocks=3, repeats=1, norm=norm)
    features = torch.randn(2, 16, 1000)
    exact = network(features)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(features)
    rough.float().square().mean().backward()
    assert (rough - exact).norm() < 0.03 * exact.norm()
    for parameter in network.parameters():
        assert parameter.grad is None or parameter.grad.dtype == torch.float32
        assert parameter.grad is None or parameter.grad.isfinite().all()


def test_compiled_network():
    network = TCN(8, 16, 4, blocks=3, repeats=1)
    features = torch.randn(2, 8, 300)
    results = []
    for run in (network, torch.compile(network, backend="aot_eager", fullgraph=True)):
        network.zero_grad()
        output = run(features)
        output.square().sum().backward()
        results.append([output, *(p.grad.clone() for p in network.parameters())])
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)
