"""Conv-TasNet: a learned transform and a temporal convolutional network that masks it.

Y. Luo and N. Mesgarani, "Conv-TasNet: Surpassing ideal time-frequency magnitude masking for speech
separation", IEEE/ACM TASLP 27(8), 2019, arXiv:1809.07454.

A linear encoder turns frames of 2 ms into 512 features. Stacks of dilated convolutions look at one
and a half seconds around each frame and weight its features once per speaker. A linear decoder
adds the weighted frames up to waveforms.

======  =====================  =======================================================
paper   argument               meaning
======  =====================  =======================================================
C       ``speakers``           speakers in the mixture
N       ``filters``            filters of the encoder
L       ``kernel_size``        samples of a frame
B       ``bottleneck``         channels between blocks
H       ``hidden``             channels inside of a block
Sc      ``skip``               channels of the skip paths
P       ``taps``               taps of the dilated convolutions
X       ``blocks``             blocks of a stack, with dilations 1, 2, 4 ...
R       ``repeats``            stacks
gLN     ``norm``               ``global``, or ``cumulative`` (the paper's cLN, if causal)
======  =====================  =======================================================

Deviations:
    - ``paper()`` has 5,050,545 parameters like the authors' code, where the last block keeps a
      residual path that nothing reads; ``last_residual=False`` leaves its 65,664 out (4,984,881).
    - The signal is padded to the next whole frame. The authors' code pads to an even number of
      frames, which moves the statistics of gLN by a frame of zeros.
    - ``small()`` and ``tiny()`` have frames of 4 ms and rectified masks.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from lib.errors import InputError
from lib.filterbanks import make_filterbank
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.models.base import TimeDomainSeparator
from lib.nn.activations import PReLU, make_activation
from lib.nn.convolutions import Pointwise
from lib.nn.norms import make_norm
from lib.nn.tcn import TCN, receptive_field


class Masker(nn.Module):
    """Normalise, narrow, look around, and weight each feature once per speaker.

    Example:
        >>> masker = Masker(filters=32, speakers=2, bottleneck=8, hidden=16, skip=8, blocks=2)
        >>> masker(torch.randn(3, 32, 50)).shape
        torch.Size([3, 2, 32, 50])
    """

    def __init__(
        self,
        filters: int,
        speakers: int,
        bottleneck: int = 128,
        hidden: int = 512,
        skip: int = 128,
        taps: int = 3,
        blocks: int = 8,
        repeats: int = 3,
        norm: str = "global",
        causal: bool = False,
        activation: str = "sigmoid",
        last_residual: bool = True,
    ):
        super().__init__()
        self.speakers = speakers
        self.norm = make_norm(norm, filters)
        self.bottleneck = Pointwise(filters, bottleneck)
        self.tcn = TCN(bottleneck, hidden, skip, taps, blocks, repeats, norm, causal, last_residual)
        self.output_activation = PReLU()
        self.output = Pointwise(skip, speakers * filters)
        self.mask_activation = make_activation(activation)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, N, K) to masks (B, S, N, K)."""
        narrow = self.bottleneck(self.norm(features, memory))  # (B, B', K)
        seen = self.tcn(narrow, memory)  # (B, Sc, K)
        logits = self.output(self.output_activation(seen))  # (B, S * N, K)
        logits = at_least_float32(logits).unflatten(1, (self.speakers, -1))  # (B, S, N, K)
        return self.mask_activation(logits)


class ConvTasNet(TimeDomainSeparator):
    """Masks for speakers in no particular order, from a temporal convolutional network.

    Args:
        speakers: how many.
        filters: of the encoder.
        kernel_size: samples of a frame; frames overlap by half.
        bottleneck: channels between blocks.
        hidden: channels inside of a block.
        skip: channels of the skip paths.
        taps: of the dilated convolutions; odd, unless ``causal``.
        blocks: of a stack.
        repeats: stacks.
        causal: look at no later frame.
        norm: ``global``, ``channel`` or ``cumulative``; None: cumulative if causal, else global.
        activation: of the masks: ``sigmoid`` or ``relu``.
        last_residual: keep the last block's residual path, which nothing reads.
        sample_rate: Hz.
        bank: of filters, see :func:`lib.filterbanks.make_filterbank`.

    Raises:
        InputError: for an unknown norm, activation or bank, or sizes that cannot be.

    Example:
        >>> estimates = ConvTasNet.tiny()(torch.randn(1, 1, 4000))
        >>> estimates.shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: Masker

    def __init__(
        self,
        speakers: int = 2,
        filters: int = 512,
        kernel_size: int = 16,
        bottleneck: int = 128,
        hidden: int = 512,
        skip: int = 128,
        taps: int = 3,
        blocks: int = 8,
        repeats: int = 3,
        causal: bool = False,
        norm: str | None = None,
        activation: str = "sigmoid",
        last_residual: bool = True,
        sample_rate: int = 8000,
        bank: str = "free",
    ):
        if not causal and taps % 2 == 0:
            raise InputError(f"taps: expected an odd number unless causal, got {taps}")
        encoder = make_filterbank(bank, filters, kernel_size, sample_rate=sample_rate)
        super().__init__(encoder, sample_rate, speakers)
        norm = norm or ("cumulative" if causal else "global")
        self.masker = Masker(
            filters,
            speakers,
            bottleneck,
            hidden,
            skip,
            taps,
            blocks,
            repeats,
            norm,
            causal,
            activation,
            last_residual,
        )
        # what the norms see comes on top: everything before with cumulative, everything with global
        if norm == "channel":
            # a sample lies in two frames, some in three where kernel_size is odd
            frames = receptive_field(taps, blocks, repeats) + -(-kernel_size // encoder.stride) - 1
            self.receptive_field = (frames - 1) * encoder.stride + kernel_size
        if causal and norm != "global":
            self.lookahead = kernel_size - 1

    @classmethod
    def paper(cls, causal: bool = False, last_residual: bool = True) -> Self:
        """Build the published size (5,050,545 parameters; 4,984,881 without ``last_residual``)."""
        return cls(causal=causal, last_residual=last_residual)

    @classmethod
    def small(cls, speakers: int = 2, causal: bool = False, bank: str = "free") -> Self:
        """Build the size of the shipped checkpoints ``conv-tasnet-*``."""
        return cls(
            speakers,
            filters=256,
            kernel_size=32,
            bottleneck=128,
            hidden=256,
            skip=128,
            blocks=7,
            repeats=2,
            causal=causal,
            activation="relu",
            last_residual=False,
            bank=bank,
        )

    @classmethod
    def tiny(cls, speakers: int = 2, causal: bool = False, bank: str = "free") -> Self:
        """Build a size for live training."""
        return cls(
            speakers,
            filters=128,
            kernel_size=32,
            bottleneck=32,
            hidden=64,
            skip=32,
            blocks=5,
            repeats=1,
            causal=causal,
            activation="relu",
            last_residual=False,
            bank=bank,
        )
