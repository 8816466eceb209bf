"""Deep complex U-Net: a U-Net on the complex spectrogram, whose mask turns phases.

H.-S. Choi, J.-H. Kim, J. Huh, A. Kim, J.-W. Ha and K. Lee, "Phase-aware speech enhancement with
deep complex U-Net", ICLR 2019, arXiv:1903.03107.

A mask between 0 and 1 leaves the mixture's phase as it is. Here the spectrogram enters a U-Net as
complex numbers, every convolution multiplies complex numbers, and the mask that comes out is a
complex number too: it scales each bin and turns it. The tanh of its modulus is taken, so that no
bin is made louder than it was.

==================  ===================  ==========================================================
paper               argument             meaning
==================  ===================  ==========================================================
DCUnet-10, -16,     ``variant``          how many layers, down and up together
-20, Large-20
F_f, F_t; S_f, S_t  ``variant``          kernels and strides, over bins and over frames
C_i                 ``filters``          complex channels of the layers on the way down
UBD, BDSS, BDT      ``bound``            of the masks
1024, 256           ``n_fft``            samples of a frame; ``hop_length`` between frames
==================  ===================  ==========================================================

Deviations:
    - Sizes, padding, slopes of LeakyReLU (0.01) and the bias of the last layer are Asteroid's,
      whose network answers as ours does. The last biases of its two real layers are one complex
      bias here.
    - Batch normalisation treats real and imaginary parts each by themselves, as in Asteroid;
      ``norm="whitening"`` is that of complex networks.
    - Any number of frames and bins: both are filled up with zeros behind, and cropped at the end.
      Asteroid asks for fitting numbers.
    - The STFT is ``lib.stft.STFT``: its frames reach over the ends of the signal.
    - The noise is what the speech leaves of the mixture; the paper estimates speech alone.
    - Each channel of a mixture has a mask of its own.
    - ``arithmetic="real"`` takes the tie from the weights: real and imaginary parts are channels of
      a real network, with twice the weights in the convolutions.
    - ``small()`` and ``tiny()`` have frames of 32 ms and other ``filters``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.models.base import SpectrogramSeparator, estimate_names
from lib.nn.complex import (
    BOUNDS,
    ComplexConv2d,
    ComplexConvTranspose2d,
    CReLU,
    as_complex,
    as_pairs,
    bound_mask,
    cat_complex,
    make_complex_norm,
)
from lib.stft import STFT

ARITHMETICS = ("complex", "real")
_SLOPE = 0.01


class Layer(NamedTuple):
    """Kernel and stride over (bins, frames)."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]


_BINS, _FRAMES = Layer((7, 1), (1, 1)), Layer((1, 7), (1, 1))
_WIDE, _WIDE_FRAMES = Layer((7, 5), (2, 2)), Layer((7, 5), (2, 1))
_NARROW, _NARROW_FRAMES = Layer((5, 3), (2, 2)), Layer((5, 3), (2, 1))
_TWENTY = [_BINS, _FRAMES, _WIDE, _WIDE_FRAMES, *[_NARROW, _NARROW_FRAMES] * 3]
LAYERS = {
    "10": [_WIDE, _WIDE, _NARROW, _NARROW, _NARROW_FRAMES],
    "16": [_WIDE, _WIDE_FRAMES, _WIDE, _NARROW_FRAMES, *[_NARROW, _NARROW_FRAMES] * 2],
    "20": _TWENTY,
    "large-20": _TWENTY,
}
FILTERS = {
    "10": [32, 64, 64, 64, 64],
    "16": [32, 32, 64, 64, 64, 64, 64, 64],
    "20": [32, 32, 64, 64, 64, 64, 64, 64, 64, 90],
    "large-20": [45, 45, 90, 90, 90, 90, 90, 90, 90, 128],
}


class Block(nn.Module):
    """A convolution, a normalisation, and a leaky ReLU of both parts.

    Args:
        inputs: complex channels.
        outputs: complex channels.
        layer: kernel and stride.
        up: a transposed convolution.
        arithmetic: ``complex`` or ``real``.
        norm: ``parts`` or ``whitening``.

    Example:
        >>> block = Block(1, 4, LAYERS["10"][0])
        >>> block(torch.randn(3, 2, 17, 9)).shape
        torch.Size([3, 8, 9, 5])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        layer: Layer,
        up: bool = False,
        arithmetic: str = "complex",
        norm: str = "parts",
    ):
        super().__init__()
        self.convolution = make_convolution(inputs, outputs, layer, up, arithmetic, bias=False)
        self.norm = make_complex_norm(norm, outputs)
        self.activation = CReLU(_SLOPE)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map pairs (B, 2 C, F, K) to (B, 2 C', F', K')."""
        return self.activation(self.norm(self.convolution(features)))


def make_convolution(
    inputs: int, outputs: int, layer: Layer, up: bool, arithmetic: str, bias: bool = True
) -> nn.Module:
    """Build a convolution for pairs, or the transposed one that undoes its stride.

    Args:
        inputs: complex channels.
        outputs: complex channels.
        layer: kernel and stride; half a kernel of zeros stands around.
        up: the transposed one.
        arithmetic: ``complex``; or ``real``: parts are channels like any others.
        bias: add one.

    Example:
        >>> layer = make_convolution(3, 1, Layer((5, 3), (2, 1)), up=True, arithmetic="real")
        >>> layer(torch.randn(1, 6, 5, 4)).shape
        torch.Size([1, 2, 9, 4])
    """
    padding = tuple(size // 2 for size in layer.kernel_size)
    if arithmetic == "real":
        build, width = (nn.ConvTranspose2d if up else nn.Conv2d), 2
    else:
        build, width = (ComplexConvTranspose2d if up else ComplexConv2d), 1
    return build(width * inputs, width * outputs, *layer, padding, bias=bias)


class Masker(nn.Module):
    """A U-Net on pairs, from the spectrogram to complex masks.

    Args:
        outputs: masks.
        residual: one more mask, of what the others leave.
        layers: kernels and strides on the way down; the way up undoes them.
        down: complex channels on the way down.
        up: complex channels on the way up, but for the masks.
        arithmetic: ``complex`` or ``real``.
        norm: ``parts`` or ``whitening``.
        bound: of the masks.

    Example:
        >>> masker = Masker(1, True, LAYERS["10"][:2], down=[4, 6], up=[4])
        >>> masker(torch.randn(3, 1, 17, 9, dtype=torch.complex64)).shape
        torch.Size([3, 2, 1, 17, 9])
    """

    def __init__(
        self,
        outputs: int,
        residual: bool,
        layers: Sequence[Layer],
        down: Sequence[int],
        up: Sequence[int],
        arithmetic: str = "complex",
        norm: str = "parts",
        bound: str | None = "tanh",
    ):
        super().__init__()
        self.residual, self.bound = residual, bound
        # bins and frames must be multiples of these, and one more
        self.steps = [math.prod(layer.stride[axis] for layer in layers) for axis in (0, 1)]
        self.down = nn.ModuleList(
            Block(inputs, outputs, layer, False, arithmetic, norm)
            for inputs, outputs, layer in zip([1, *down], down, layers, strict=False)
        )
        beside = [0, *reversed(down[:-1])]  # the layers of the way down that come in again
        inputs = [wide + skip for wide, skip in zip([down[-1], *up], beside, strict=True)]
        back = list(reversed(layers))
        self.up = nn.ModuleList(
            Block(inputs[level], width, back[level], True, arithmetic, norm)
            for level, width in enumerate(up)
        )
        self.last = make_convolution(inputs[-1], outputs, back[-1], True, arithmetic)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to complex masks (B, S, C, F, K)."""
        mixtures, channels, bins, frames = spectrogram.shape
        x = as_pairs(spectrogram.flatten(0, 1)[:, None])  # (B * C, 2, F, K)
        missing = (-(frames - 1) % self.steps[1], -(bins - 1) % self.steps[0])
        x = functional.pad(x, (0, missing[0], 0, missing[1]))
        levels = []
        for block in self.down:
            x = block(x)
            levels.append(x)
        levels.pop()
        for block in self.up:
            x = cat_complex(block(x), levels.pop())
        masks = bound_mask(as_complex(self.last(x)[..., :bins, :frames]), self.bound)
        masks = masks.unflatten(0, (mixtures, channels)).transpose(1, 2)  # (B, S, C, F, K)
        if self.residual:
            masks = torch.cat([masks, 1 - masks.sum(1, keepdim=True)], 1)
        return masks


class DCUNet(SpectrogramSeparator):
    """Complex masks from a U-Net of complex convolutions.

    Args:
        variant: ``10``, ``16``, ``20`` or ``large-20``: kernels, strides and filters.
        filters: complex channels on the way down, instead of the variant's; mirrored on the way up.
        targets: what the network estimates, a mask each.
        residual: name of one more estimate, of what the targets leave of the mixture; None for
            none.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        arithmetic: ``complex``; ``real``: real and imaginary parts as channels of a real network.
        norm: batch normalisation of ``parts``, or ``whitening``.
        bound: of the masks: ``tanh``, ``sigmoid`` or None, see :func:`lib.nn.complex.bound_mask`.
        sample_rate: Hz.

    Raises:
        InputError: for an unknown variant, arithmetic, norm or bound, no targets, or filters that
            are not one for each layer.

    Example:
        >>> separator = DCUNet.tiny()
        >>> separator.source_names, separator(torch.randn(1, 1, 4000)).shape
        (('speech', 'noise'), torch.Size([1, 2, 1, 4000]))
    """

    masker: Masker

    def __init__(
        self,
        variant: str = "large-20",
        filters: Sequence[int] | None = None,
        targets: Sequence[str] = ("speech",),
        residual: str | None = "noise",
        n_fft: int = 1024,
        hop_length: int = 256,
        arithmetic: str = "complex",
        norm: str = "parts",
        bound: str | None = "tanh",
        sample_rate: int = 16000,
    ):
        if variant not in LAYERS:
            raise InputError(f"variant: expected one of {', '.join(LAYERS)}, got {variant!r}")
        if arithmetic not in ARITHMETICS:
            raise InputError(
                f"arithmetic: expected one of {', '.join(ARITHMETICS)}, got {arithmetic!r}"
            )
        if bound not in BOUNDS:
            raise InputError(f"bound: expected tanh, sigmoid or None, got {bound!r}")
        layers, down = LAYERS[variant], FILTERS[variant] if filters is None else [*filters]
        if len(down) != len(layers) or min(down) < 1:
            raise InputError(
                f"filters: expected {len(layers)} positive numbers for variant {variant!r}, "
                f"got {filters}"
            )
        names = estimate_names(targets, residual)
        super().__init__(STFT(n_fft, hop_length), sample_rate, names)
        up = down[-2::-1]
        if variant == "large-20" and filters is None:
            up = [90] * len(up)  # also in its last layers, which do not mirror the first
        self.masker = Masker(
            len(targets), residual is not None, layers, down, up, arithmetic, norm, bound
        )

    @classmethod
    def paper(cls, variant: str = "large-20", arithmetic: str = "complex") -> Self:
        """Build a published size.

        The variants have 1,421,890, 2,375,490, 3,527,850 and 7,662,304 parameters.
        """
        return cls(variant, arithmetic=arithmetic)

    @classmethod
    def small(cls, sample_rate: int = 16000, arithmetic: str = "complex") -> Self:
        """Build the size of the shipped checkpoint ``dcunet-small``.

        Args:
            sample_rate: Hz; frames take 32 ms at any rate.
            arithmetic: ``complex`` or ``real``.
        """
        return cls._speech([12, 24, 48, 64, 96], sample_rate, arithmetic)

    @classmethod
    def tiny(cls, sample_rate: int = 16000, arithmetic: str = "complex") -> Self:
        """Build a size for live training."""
        return cls._speech([4, 8, 16, 16, 16], sample_rate, arithmetic)

    @classmethod
    def _speech(cls, filters: list[int], sample_rate: int, arithmetic: str) -> Self:
        n_fft = round(0.032 * sample_rate / 2) * 2
        return cls(
            "10",
            filters,
            n_fft=n_fft,
            hop_length=n_fft // 4,
            arithmetic=arithmetic,
            sample_rate=sample_rate,
        )
