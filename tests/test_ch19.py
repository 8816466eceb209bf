"""Chapter 19: what its text claims is true, of sizes, masks, FiLM, dense blocks and the table."""

from __future__ import annotations

import pytest
import torch

from lib.checks import ch19
from lib.metrics import si_sdr
from lib.models import ConditionedUNet, D3Net, Spleeter, UNet
from lib.nn.dense import D2Block
from lib.nn.film import film
from lib.published import published

STEMS = ["vocals", "drums", "bass", "other"]


def size(model):
    return sum(p.numel() for p in model.parameters())


# ------------------------------------------------------------------ sizes


def test_one_network_for_four_stems_is_a_quarter_of_four():
    with torch.device("meta"):
        one, heads = size(UNet.paper()), size(UNet(STEMS, residual=None))
        simple, each = (size(ConditionedUNet.paper(kind)) for kind in (False, True))
        assert 0 < heads - one < 0.001 * one
        assert 0 < simple - one < 0.01 * one
        assert 0.2 * one < each - one < 0.3 * one
        assert abs(size(Spleeter.paper(4)) - 4 * one) < 0.001 * one
        assert size(D3Net.paper()) < one / 3


def test_how_many_numbers_a_condition_sets():
    with torch.device("meta"):
        sizes = [ConditionedUNet.paper(each).masker.control.sizes for each in (False, True)]
        widths = UNet.paper().masker.network.widths
    assert [sum(one) for one in sizes] == [6, 1008]
    assert sizes[1] == widths == [16, 32, 64, 128, 256, 512]


# ------------------------------------------------------------------ Spleeter


@pytest.mark.parametrize(("extension", "above"), [("zeros", 0.0), ("average", 1.0)])
def test_who_gets_what_lies_above_11_khz(extension, above):
    torch.manual_seed(0)
    sizes = {"n_fft": 1024, "hop_length": 512, "filters": 2, "depth": 3}
    model = Spleeter(STEMS, **sizes, extension=extension).eval()
    with torch.no_grad():
        total = model.masker(model.encoder(torch.randn(1, 2, 22050))).sum(1)
    seen = model.masker.seen_bins
    assert seen == 256
    assert torch.allclose(total[:, :, :seen], torch.tensor(1.0), atol=1e-4)
    assert torch.allclose(total[:, :, seen:], torch.tensor(above), atol=1e-4)


def test_two_claims_and_their_shares():
    claims = torch.tensor([0.9, 0.3]).square()
    assert torch.allclose(claims / claims.sum(), torch.tensor([0.9, 0.1]))


# ------------------------------------------------------------------ FiLM, generated weights


def test_film_is_a_generated_diagonal_convolution():
    torch.manual_seed(0)
    x, gamma, beta = torch.randn(2, 5, 4, 3), torch.randn(2, 5), torch.randn(2, 5)
    kernels = torch.diag_embed(gamma)[..., None, None]
    convolved = [
        torch.nn.functional.conv2d(x[item : item + 1], kernels[item], beta[item])
        for item in range(2)
    ]
    assert torch.allclose(torch.cat(convolved), film(x, gamma, beta), atol=1e-6)


# ------------------------------------------------------------------ dense blocks


@pytest.mark.parametrize("layers", [2, 4, 6])
def test_dilations_of_the_sender_double_the_reach(layers):
    for multidilated, expected in ((True, 2 ** (layers + 1) - 1), (False, 2 * layers + 1)):
        torch.manual_seed(0)
        block = D2Block(1, 4, layers, multidilated).double().eval()
        pictures = torch.randn(20, 1, 3, 257, dtype=torch.float64, requires_grad=True)
        block(pictures)[:, :, 1, 128].sum().backward()
        assert int(pictures.grad.abs().sum((0, 1, 2)).gt(0).sum()) == expected


def test_the_input_is_sent_to_all_layers_without_gaps():
    """Of a block's convolutions the first, which hears the input, is the one without dilation."""
    block = D2Block(1, 4, 4)
    assert [step[2].dilation[0] for step in block.steps] == [1, 2, 4, 8]
    assert block.steps[0][2].out_channels == 4 * 4


# ------------------------------------------------------------------ the published table


def table():
    rows = published("MUSDB18", "SDR (cSDR, BSSEval v4)")
    rows = rows[rows.source_paper.str.contains("comparison table on MusDB")]
    return rows[rows.split_or_condition.str.startswith("test, all; extra training data")]


def test_what_the_text_reads_in_the_table():
    rows = table()
    rows = rows[~rows.system.str.contains("oracle|uncertain")]
    without = rows[rows.split_or_condition.str.endswith("none")].value
    assert 3.0 < without.max() - without.min() < 3.1
    spleeter = rows[rows.system.str.contains("Spleeter")].value.item()
    d3net = rows[rows.system == "D3Net"].value
    assert spleeter < d3net.min()
    gains = ch19._gains()
    assert sorted(songs for _, songs in gains.values()) == [150, 150, 1500]
    assert all(0.5 < gain < 0.7 for gain, _ in gains.values())
    assert not any("MMDense" in system for system in gains)


def test_the_row_that_is_left_out_copies_another():
    rows = published("MUSDB18", "SDR (cSDR, BSSEval v4)")
    left_out = rows[rows.system.str.contains("uncertain")]
    d3net = rows[(rows.system == "D3Net") & rows.split_or_condition.str.endswith("data: none")]
    assert sorted(left_out.value) == sorted(d3net.value) and len(d3net) == 5
    assert not left_out.verified.any()


# ------------------------------------------------------------------ the exercise


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_a_black_box_has_a_right_condition_and_no_one_hot_one(seed):
    separate, mixture, drums, place, codes = ch19.black_box(seed)

    def score(conditions):
        estimates = separate(mixture, conditions)
        return si_sdr(estimates, drums.expand_as(estimates))[:, 0]

    assert score(codes)[place] > ch19._ENOUGH + 3
    assert score(torch.eye(4)).max() < ch19._ENOUGH - 5
    assert torch.allclose(codes @ codes.T, torch.eye(4))
