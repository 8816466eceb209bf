"""Chapter 18: what its text claims is true, of sizes, matrices, up-samplers, fields and skips."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from lib.models import UNet
from lib.nn import convolution_matrix
from lib.nn.unet import Doubling, SpectrogramUNet
from lib.published import published


def count(model):
    return sum(p.numel() for p in model.parameters())


# ------------------------------------------------------------------ sizes


def test_the_middle_is_small_and_the_first_level_is_not():
    with torch.device("meta"):
        x, sizes = torch.zeros(1, 1, 128, 512), []
        entered = x.numel()
        for block in UNet.paper().masker.network.contractions:
            x = block(x)
            sizes.append(x.numel())
    assert sizes[0] == 4 * entered and 8 * sizes[-1] == entered
    assert sizes == [sizes[0] // 2**level for level in range(6)]


def test_parameters_that_the_text_names():
    with torch.device("meta"):
        one, two, without = UNet.paper(), UNet.paper(outputs=2), UNet.paper(skips=False)
    # a kernel for each channel that the last layer sees, and a bias
    assert count(two) - count(one) == 32 * 25 + 1 == 801
    assert count(one) == 9_823_313 and count(without) < count(one)


# ------------------------------------------------------------------ matrices


def test_the_shape_comes_back_and_the_values_do_not():
    generator = torch.Generator().manual_seed(0)
    kernel, image = (torch.randn(n, n, generator=generator, dtype=torch.float64) for n in (3, 4))
    matrix = convolution_matrix(kernel, image.shape)
    again = matrix.T @ matrix @ image.flatten()
    assert again.shape == image.flatten().shape
    assert torch.linalg.matrix_rank(matrix.T @ matrix) == 4
    assert functional.cosine_similarity(again, image.flatten(), dim=0) ** 2 < 0.9


@pytest.mark.parametrize(("points", "expected"), [(7, 7), (8, 7)])
def test_two_sizes_have_the_same_half(points, expected):
    ones = torch.ones(1, 1, 5)
    down = functional.conv1d(torch.ones(1, 1, points), ones, stride=2, padding=2)
    assert down.shape[-1] == 4
    up = functional.conv_transpose1d(down, ones, stride=2, padding=2)
    assert up.shape[-1] == expected
    more = functional.conv_transpose1d(down, ones, stride=2, padding=2, output_padding=1)
    assert torch.equal(more[..., :expected], up)  # it adds to the output, and changes nothing else


# ------------------------------------------------------------------ up-samplers


def upsampled(x, taps, kind):
    x, taps = x[None, None], taps[None, None]
    if kind == "transposed":
        return functional.conv_transpose1d(x, taps, stride=2)[0, 0, 8:-8]
    return functional.conv1d(functional.interpolate(x, scale_factor=2, mode=kind), taps)[0, 0, 8:-8]


@pytest.mark.parametrize("seed", range(5))
def test_a_constant_shows_the_two_classes_of_taps(seed):
    generator = torch.Generator().manual_seed(seed)
    taps, ones = torch.randn(5, generator=generator).double(), torch.ones(40).double()
    values = upsampled(ones, taps, "transposed")
    assert torch.allclose(values[0::2], taps[0::2].sum().expand_as(values[0::2]))
    assert torch.allclose(values[1::2], taps[1::2].sum().expand_as(values[1::2]))
    for kind in ("nearest", "linear"):
        assert torch.allclose(upsampled(ones, taps, kind), taps.sum())


def test_repeating_and_interpolating_are_one_filter_once_and_three_times():
    x = torch.randn(30, generator=torch.Generator().manual_seed(0)).double()
    between = torch.stack([x, torch.zeros_like(x)], 1).flatten()
    pair = torch.ones(2).double()
    three = functional.conv1d(pair[None, None], pair[None, None], padding=1)
    three = functional.conv1d(three, pair[None, None], padding=1)
    assert three.flatten().tolist() == [1, 3, 3, 1]
    for kind, taps in (("nearest", pair), ("linear", three.flatten() / 4)):
        wanted = functional.interpolate(x[None, None], scale_factor=2, mode=kind)[0, 0]
        half = len(taps) // 2
        found = functional.conv1d(between[None, None], taps[None, None], padding=half)[0, 0]
        assert torch.allclose(found[2:-3], wanted[2:-2])


@pytest.mark.parametrize(("kernel", "clean"), [(5, False), (4, True)])
@torch.no_grad()
def test_a_kernel_that_the_stride_divides_helps_equal_taps_only(kernel, clean):
    torch.manual_seed(0)
    layer = Doubling(8, 1, kernel)
    layer.bias.zero_()

    def spread():
        y = layer(torch.ones(1, 8, 16, 16))[0, 0, 8:24, 8:24]
        return float(y.std() / y.mean().abs())

    assert spread() > 0.05
    layer.weight.fill_(1.0)
    assert (spread() < 1e-6) == clean


# ------------------------------------------------------------------ what an output can see


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_receptive_field(depth):
    """Positive weights: no two paths cancel."""
    network, points = SpectrogramUNet(filters=1, depth=depth).eval(), 16 * 2**depth
    for weights in network.parameters():
        torch.nn.init.constant_(weights, 0.1)
    fields = []
    for place in range(points // 2, points // 2 + 2**depth):
        features = torch.zeros(1, points, points + 1, requires_grad=True)
        network(features)[0, 0, points // 2, place].backward()
        low = high = place
        for _ in range(depth):
            low, high = math.ceil((low - 2) / 2), (high + 2) // 2
        width = (high - low + 4) * 2**depth - 3
        fields.append(int(features.grad[0].abs().sum(1).gt(0).sum()))
        assert fields[-1] == width
    assert max(fields) == (7 if depth > 1 else 6) * 2**depth - 3
    assert fields[0] == 6 * 2**depth - 3


def test_a_place_of_the_published_network_sees_more_than_three_patches():
    assert 3 < (7 * 2**6 - 3) / 128 < 4


# ------------------------------------------------------------------ targets


@torch.no_grad()
def test_only_one_mask_and_the_rest_adds_up():
    torch.manual_seed(0)
    mixture = torch.randn(1, 1, 8000)
    errors = []
    for outputs in (1, 2):
        model = UNet.tiny(outputs=outputs, singing=True).eval()
        errors.append(float((mixture - model(mixture).sum(1)).square().mean()))
    assert errors[0] < 1e-10 and errors[1] > 1e-6


# ------------------------------------------------------------------ published numbers


def test_what_the_text_reads_in_the_published_ablation():
    rows = published("MUSDB18")
    rows = rows[rows.source_paper.str.contains("Cohen-Hadria")]
    rows = rows[rows.split_or_condition.str.endswith("training data: DA-F")]
    wide = rows.pivot_table("value", "system", "metric")
    wide.columns = [name[:3] for name in wide.columns]
    full, flat, direct = (
        wide.loc[next(name for name in wide.index if name.startswith(start))]
        for start in ("U-Net (full", "U-Net without skip", "U-Net without mask")
    )
    assert round(full.SDR - flat.SDR, 1) == 1.8 and round(full.SDR - direct.SDR, 1) == 1.0
    assert direct.SIR > max(full.SIR, flat.SIR) and direct.SAR < min(full.SAR, flat.SAR)
    assert not rows.verified.any()
    assert not published("MedleyDB", system="Jansson").verified.any()
