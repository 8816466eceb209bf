"""Layers for complex features, kept as pairs of reals.

Features ``(batch, 2 C, ...)`` hold C complex channels: first the C real parts, then the C imaginary
parts. Pairs run in half precision and through the kernels of real layers, which complex data types
do not.

With ``W = A + iB`` and ``h = x + iy``, complex multiplication is ``W h = (A x - B y) + i(B x +
A y)``: a real layer twice as wide, whose weights are tied::

    real part       |  A  -B |   | x |
    imaginary part  |  B   A |   | y |

A real layer of that width without the tie ("complex as channels") has twice the weights.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.nn.recurrent import read

__all__ = [
    "BOUNDS",
    "NORMS",
    "CReLU",
    "ComplexBatchNorm",
    "ComplexConv2d",
    "ComplexConvTranspose2d",
    "ComplexLSTM",
    "PartsBatchNorm",
    "as_complex",
    "as_pairs",
    "bound_mask",
    "cat_complex",
    "make_complex_norm",
]

BOUNDS = ("tanh", "sigmoid", None)
_SMALLEST_MODULUS = 1e-6


def as_pairs(features: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """Write complex features as pairs of reals.

    Args:
        features: complex ``(batch, C, ...)``.
        dim: the axis of the channels.

    Returns:
        Real ``(batch, 2 C, ...)``: real parts, then imaginary parts.

    Example:
        >>> as_pairs(torch.tensor([[1 + 2j, 3 + 4j]]))
        tensor([[1., 3., 2., 4.]])
    """
    return torch.cat([features.real, features.imag], dim)


def as_complex(pairs: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """Undo :func:`as_pairs`; half precision becomes complex64.

    Args:
        pairs: real ``(batch, 2 C, ...)``.
        dim: the axis of the channels.

    Example:
        >>> as_complex(torch.tensor([[1.0, 3.0, 2.0, 4.0]]))
        tensor([[1.+2.j, 3.+4.j]])
    """
    return torch.complex(*at_least_float32(pairs).chunk(2, dim))


def cat_complex(*features: torch.Tensor) -> torch.Tensor:
    """Put complex channels one behind the other.

    Args:
        features: pairs, each ``(batch, 2 C, ...)`` with a C of its own.

    Returns:
        Pairs with as many channels as all together.

    Example:
        >>> cat_complex(torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5, 6]]))
        tensor([[1, 3, 4, 2, 5, 6]])
    """
    parts = [one.chunk(2, 1) for one in features]
    return torch.cat([real for real, _ in parts] + [imaginary for _, imaginary in parts], 1)


class ComplexConv2d(nn.Conv2d):
    """Complex convolution: four real ones, in one call.

    ``weight`` holds A above B, ``bias`` its real parts before its imaginary parts.

    Args:
        inputs: complex channels.
        outputs: complex channels.
        kernel_size: of both axes, or of each.
        stride: the same.
        padding: the same; zeros around.
        bias: a complex number for each output.

    Source: Trabelsi et al., "Deep complex networks", ICLR 2018, arXiv:1705.09792, eq. 1.

    Example:
        >>> layer = ComplexConv2d(1, 4, kernel_size=3, padding=1)
        >>> layer(torch.randn(2, 2, 5, 7)).shape
        torch.Size([2, 8, 5, 7])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
    ):
        super().__init__(inputs, 2 * outputs, kernel_size, stride, padding, bias=bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map pairs (B, 2 C, F, K) to (B, 2 C', F', K')."""
        real, imaginary = self.weight.chunk(2)  # (C', C, *kernel)
        tied = torch.cat([self.weight, torch.cat([-imaginary, real])], 1)  # (2 C', 2 C, *kernel)
        return functional.conv2d(features, tied, self.bias, self.stride, self.padding)


class ComplexConvTranspose2d(nn.ConvTranspose2d):
    """Complex transposed convolution: four real ones, in one call.

    ``weight`` holds A beside B.

    Args:
        inputs: complex channels.
        outputs: complex channels.
        kernel_size: of both axes, or of each.
        stride: the same.
        padding: the same; points taken away around.
        output_padding: the same; points more at the end.
        bias: a complex number for each output.

    Source: Trabelsi et al., "Deep complex networks", ICLR 2018, arXiv:1705.09792, eq. 1.

    Example:
        >>> layer = ComplexConvTranspose2d(4, 1, kernel_size=3, stride=2, padding=1)
        >>> layer(torch.randn(2, 8, 5, 7)).shape
        torch.Size([2, 2, 9, 13])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        bias: bool = True,
    ):
        super().__init__(
            inputs, 2 * outputs, kernel_size, stride, padding, output_padding, bias=bias
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map pairs (B, 2 C, F, K) to (B, 2 C', F', K')."""
        real, imaginary = self.weight.chunk(2, 1)  # (C, C', *kernel)
        tied = torch.cat([self.weight, torch.cat([-imaginary, real], 1)])  # (2 C, 2 C', *kernel)
        return functional.conv_transpose2d(
            features, tied, self.bias, self.stride, self.padding, self.output_padding
        )


class PartsBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of real parts and of imaginary parts, each by itself.

    Args:
        channels: complex.

    Example:
        >>> normed = PartsBatchNorm(3)(5 + 2 * torch.randn(4, 6, 8, 8))
        >>> bool(normed.mean((0, 2, 3)).abs().max() < 1e-5)
        True
    """

    def __init__(self, channels: int):
        super().__init__(2 * channels)


class ComplexBatchNorm(nn.Module):
    """Batch normalisation that whitens: real and imaginary part become uncorrelated.

    A channel is a cloud of points in the complex plane. Normalising each part by itself leaves an
    oblique ellipse oblique; multiplying by the inverse square root of the covariance of both parts
    makes it a disc. A learned symmetric matrix and a complex offset follow.

    The running covariance is biased (divided by the number of points), as in the authors' code.

    Args:
        channels: complex.
        eps: added to the variances.
        momentum: share of the running statistics that a batch replaces.

    Source: Trabelsi et al., "Deep complex networks", ICLR 2018, arXiv:1705.09792, section 3.5.

    Example:
        >>> oblique = torch.randn(64, 1, 8, 8)
        >>> pairs = torch.cat([oblique, oblique + 0.1 * torch.randn(64, 1, 8, 8)], 1)
        >>> normed = ComplexBatchNorm(1)(pairs).transpose(0, 1).flatten(1)
        >>> bool((torch.cov(normed) - torch.eye(2) / 2).abs().max() < 0.01)
        True
    """

    mean: torch.Tensor
    covariance: torch.Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        # of real parts, of imaginary parts, and across: with 1/sqrt(2) a point's modulus is 1
        start = torch.tensor([0.5, 0.5, 0.0]).sqrt()[:, None]  # (3, 1)
        self.weight = nn.Parameter(start.repeat(1, channels))  # (3, C)
        self.bias = nn.Parameter(torch.zeros(2, channels))
        self.register_buffer("mean", torch.zeros(2, channels))
        self.register_buffer("covariance", start.repeat(1, channels))  # (3, C)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise pairs (B, 2 C, ...)."""
        x = at_least_float32(features).unflatten(1, (2, -1))  # (B, 2, C, ...)
        others = (0, *range(3, x.ndim))  # all axes but those of parts and channels
        mean, covariance = self.mean, self.covariance
        if self.training:
            variance, mean = torch.var_mean(x, others, correction=0)  # (2, C)
            real, imaginary = (x - mean.view(1, *x.shape[1:3], *[1] * (x.ndim - 3))).unbind(1)
            across = (real * imaginary).mean((0, *range(2, real.ndim)))  # (C,)
            covariance = torch.cat([variance, across[None]])  # (3, C)
            with torch.no_grad():
                self.mean.lerp_(mean.to(self.mean), self.momentum)
                self.covariance.lerp_(covariance.to(self.covariance), self.momentum)
        matrix = self._matrix(covariance)  # (2, 2, C)
        offset = self.bias - (matrix * mean).sum(1)  # (2, C)
        shape = (-1, *[1] * (x.ndim - 3))
        (rr, ri), (ir, ii) = (row.unflatten(-1, shape) for row in matrix)
        real, imaginary = x.unbind(1)  # (B, C, ...)
        return torch.cat(
            [
                rr * real + ri * imaginary + offset[0].view(shape),
                ir * real + ii * imaginary + offset[1].view(shape),
            ],
            1,
        )

    def _matrix(self, covariance: torch.Tensor) -> torch.Tensor:
        """Weight times inverse square root of covariances (3, C): matrices (2, 2, C)."""
        rr, ii, ri = covariance
        rr, ii = rr + self.eps, ii + self.eps
        # for 2 x 2 matrices V^(-1/2) = (adj V + s 1) / (s t): s^2 = det V, t^2 = trace V + 2 s
        s = (rr * ii - ri.square()).clamp_min(self.eps**2).sqrt()
        scale = 1 / (s * (rr + ii + 2 * s).sqrt())
        inverse = torch.stack([ii + s, -ri, -ri, rr + s]).unflatten(0, (2, 2)) * scale
        weight = self.weight[[0, 2, 2, 1]].unflatten(0, (2, 2))
        return torch.einsum("ijc,jkc->ikc", weight, inverse)


NORMS = {"parts": PartsBatchNorm, "whitening": ComplexBatchNorm}


def make_complex_norm(name: str, channels: int) -> nn.Module:
    """Build a normalisation of pairs by its name.

    Args:
        name: ``parts`` or ``whitening``.
        channels: complex.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> type(make_complex_norm("whitening", 8)).__name__
        'ComplexBatchNorm'
    """
    if name not in NORMS:
        raise InputError(f"norm: expected one of {', '.join(NORMS)}, got {name!r}")
    return NORMS[name](channels)


class CReLU(nn.Module):
    """ReLU of the real part and of the imaginary part, on pairs or complex numbers.

    It keeps the first quadrant of the plane and folds the others onto its edges, so it changes
    phases.

    Args:
        slope: below zero; above 0 it is a complex LeakyReLU.

    Source: Trabelsi et al., "Deep complex networks", ICLR 2018, arXiv:1705.09792, section 3.4.

    Example:
        >>> CReLU(slope=0.5)(torch.tensor([1 - 2j, -4 + 3j]))
        tensor([ 1.-1.j, -2.+3.j])
    """

    def __init__(self, slope: float = 0.0):
        super().__init__()
        self.slope = slope

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Rectify features of any shape."""
        if features.is_complex():
            return torch.view_as_complex(self(torch.view_as_real(features)))
        return functional.leaky_relu(features, self.slope)


class ComplexLSTM(nn.Module):
    """One layer of two real LSTMs, combined like the parts of a complex product.

    With LSTMs A and B, ``x + iy`` becomes ``A(x) - B(y) + i(B(x) + A(y))``. An LSTM is not linear,
    so this imitates complex arithmetic and is none.

    Args:
        inputs: complex features.
        hidden: complex units.

    Source: Hu et al., "DCCRN", Interspeech 2020, arXiv:2008.00264, eq. 4 to 6.

    Example:
        >>> ComplexLSTM(3, 4)(torch.randn(2, 10, 6)).shape
        torch.Size([2, 10, 8])
    """

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.real = nn.LSTM(inputs, hidden, batch_first=True)
        self.imaginary = nn.LSTM(inputs, hidden, batch_first=True)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map pairs (B, K, 2 N) to (B, K, 2 H).

        Args:
            features: ``(batch, frames, pairs)``.
            memory: of a stream.
        """
        both = torch.cat(features.chunk(2, -1))  # (2 B, K, N): each LSTM reads both parts
        ax, ay = read(self.real, both, memory).chunk(2)  # (B, K, H)
        bx, by = read(self.imaginary, both, memory).chunk(2)
        return torch.cat([ax - by, bx + ay], -1)


def bound_mask(mask: torch.Tensor, bound: str | None = "tanh") -> torch.Tensor:
    """Keep a complex mask within bounds, so that a network cannot shout.

    Args:
        mask: complex, of any shape.
        bound: ``tanh``: the modulus becomes its tanh, the angle stays (bounded tanh, BDT).
            ``sigmoid``: real part and imaginary part become their sigmoids, so that the angle
            lies within a quarter turn (BDSS, as Asteroid computes it). None: nothing changes
            (unbounded, UBD).

    Returns:
        Complex, of the shape of ``mask``; its gradients are finite, also where it is 0.

    Raises:
        InputError: for an unknown bound.

    Source: Choi et al., "Phase-aware speech enhancement with deep complex U-Net", ICLR 2019,
    arXiv:1903.03107, section 3.2.

    Example:
        >>> bound_mask(torch.tensor([0j, 300j]))
        tensor([0.+0.j, 0.+1.j])
    """
    if bound not in BOUNDS:
        raise InputError(f"bound: expected tanh, sigmoid or None, got {bound!r}")
    if bound is None:
        return mask
    if bound == "sigmoid":
        return torch.complex(mask.real.sigmoid(), mask.imag.sigmoid())
    modulus = mask.abs().clamp_min(_SMALLEST_MODULUS)
    return mask * (modulus.tanh() / modulus)
