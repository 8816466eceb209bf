"""Convolution as a matrix against PyTorch's convolutions, forwards and transposed."""

import pytest
import torch
from torch.nn import functional

from lib.errors import InputError
from lib.nn import convolution_matrix


@pytest.mark.parametrize("seed", range(20))
def test_an_image_of_16_points(seed):
    generator = torch.Generator().manual_seed(seed)
    kernel, image, spread = (
        torch.randn(size, size, generator=generator, dtype=torch.float64) for size in (3, 4, 2)
    )
    matrix = convolution_matrix(kernel, (4, 4))
    assert matrix.shape == (4, 16)
    wanted = functional.conv2d(image[None, None], kernel[None, None])
    torch.testing.assert_close(matrix @ image.flatten(), wanted.flatten())
    wanted = functional.conv_transpose2d(spread[None, None], kernel[None, None])
    torch.testing.assert_close(matrix.T @ spread.flatten(), wanted.flatten())


@pytest.mark.parametrize(
    "taps, shape, stride, padding",
    [
        ((3, 3), (4, 4), 1, 0),
        ((3, 3), (5, 5), 2, 1),
        ((5, 5), (8, 6), 2, 2),  # an output that does not reach the end of the input
        ((2, 3), (5, 7), (1, 2), (0, 1)),
        ((1, 1), (3, 2), 2, 0),
        ((4, 2), (2, 2), 1, (1, 0)),  # taller than the image, not than the padded one
        ((3,), (8,), 1, 1),
        ((4,), (9,), 3, 2),
        ((1,), (1,), 1, 0),
        ((2, 2, 2), (3, 4, 3), 1, (1, 0, 1)),
    ],
)
def test_any_kernel_stride_and_padding(taps, shape, stride, padding):
    generator = torch.Generator().manual_seed(0)
    kernel, image = (
        torch.randn(size, generator=generator, dtype=torch.float64) for size in (taps, shape)
    )
    matrix = convolution_matrix(kernel, shape, stride, padding)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(taps) - 1]
    transposed = (
        functional.conv_transpose1d,
        functional.conv_transpose2d,
        functional.conv_transpose3d,
    )[len(taps) - 1]
    wanted = convolve(image[None, None], kernel[None, None], stride=stride, padding=padding)
    torch.testing.assert_close(matrix @ image.flatten(), wanted.flatten())
    spread = torch.randn(wanted.shape, generator=generator, dtype=torch.float64)
    strides, paddings = (torch.as_tensor(value).expand(len(taps)) for value in (stride, padding))
    reached = (torch.tensor(wanted.shape[2:]) - 1) * strides - 2 * paddings + torch.tensor(taps)
    missing = (torch.tensor(shape) - reached).tolist()  # which is what output_padding is for
    wanted = transposed(
        spread, kernel[None, None], stride=stride, padding=padding, output_padding=missing
    )
    torch.testing.assert_close(matrix.T @ spread.flatten(), wanted.flatten())


def test_rows_by_hand():
    kernel = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert convolution_matrix(kernel, (2, 3)).tolist() == [[1, 2, 0, 3, 4, 0], [0, 1, 2, 0, 3, 4]]
    assert convolution_matrix(kernel, (2, 2), stride=2, padding=1).tolist() == [
        [4, 0, 0, 0],
        [0, 3, 0, 0],
        [0, 0, 2, 0],
        [0, 0, 0, 1],
    ]


def test_the_kernel_gets_a_gradient():
    kernel = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: convolution_matrix(k, (3, 4), 2, 1), kernel)


@pytest.mark.parametrize(
    "taps, shape, options, message",
    [
        ((3, 3), (4,), {}, r"expected as many axes, none of them empty, got \(3, 3\) and \(4,\)"),
        ((), (), {}, "as many axes"),
        ((0,), (4,), {}, "none of them empty"),
        ((3,), (0,), {}, "none of them empty"),
        ((3,), (4,), {"stride": 0}, "stride: expected 1 or more"),
        ((3,), (4,), {"stride": (1, 1)}, r"one number or 1, got \(1, 1\)"),
        ((3,), (4,), {"padding": -1}, "padding: expected 0 or more"),
        ((3, 3), (4, 2), {}, r"at most the padded shape \(4, 2\), got \(3, 3\)"),
    ],
)
def test_sizes_that_cannot_be_are_refused(taps, shape, options, message):
    with pytest.raises(InputError, match=message):
        convolution_matrix(torch.ones(taps), shape, **options)
