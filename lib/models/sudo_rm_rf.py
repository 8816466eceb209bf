"""SuDoRM-RF: successive downsampling and resampling of multi-resolution features.

E. Tzinis, Z. Wang and P. Smaragdis, "Sudo rm -rf: Efficient networks for universal audio source
separation", MLSP 2020, arXiv:2007.06833.

The frame of Conv-TasNet with other blocks inside. Each block looks at the sequence at five rates,
every one half of the one before, and adds the views up. Wide context so costs little, and nothing
is dilated or recurrent.

======  =====================  =======================================================
paper   argument               meaning
======  =====================  =======================================================
N       ``speakers``           speakers in the mixture
C_E     ``filters``            filters of the encoder
K_E     ``kernel_size``        samples of a frame
C       ``bottleneck``         channels between blocks
C_U     ``hidden``             channels inside of a block
B       ``blocks``             U-ConvBlocks
Q + 1   ``depth``              rates in a block, the full one among them
======  =====================  =======================================================

Deviations:
    - This is the network of the MLSP paper (softmax masks, blocks that end with a normalisation),
      not the improved one that its authors published later.
    - ``paper()`` has 2,649,732 parameters. The authors' code has 2,662,022, the 2.66 million of
      the paper: a decoder for each speaker (10,752 more), biases of encoder and decoders (514) and
      a normalisation that is never used (1,024). As in Asteroid, there is one decoder here.
    - The signal is padded to the next whole frame. The authors' code pads to a multiple of 160
      samples, which moves the statistics of the normalisations by frames of zeros.
    - The two linear layers before the masks, the second a convolution across the filters, are
      multiplied out before they meet the frames. The masks are the same.
    - ``small()`` and ``tiny()`` have frames of 4 ms and rectified masks.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.filterbanks import make_filterbank
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.models.base import TimeDomainSeparator
from lib.nn.activations import make_activation
from lib.nn.norms import make_norm
from lib.nn.u_conv import UConvBlock


class Masker(nn.Module):
    """Normalise, narrow, pass the U-ConvBlocks, and weight each feature once per speaker.

    Example:
        >>> masker = Masker(filters=32, speakers=2, bottleneck=8, hidden=16, blocks=2, depth=3)
        >>> masker(torch.randn(3, 32, 50)).shape
        torch.Size([3, 2, 32, 50])
    """

    def __init__(
        self,
        filters: int,
        speakers: int,
        bottleneck: int = 128,
        hidden: int = 512,
        blocks: int = 16,
        depth: int = 5,
        activation: str = "softmax",
    ):
        super().__init__()
        self.speakers = speakers
        self.norm = make_norm("global", filters)
        self.bottleneck = nn.Conv1d(filters, bottleneck, 1)
        self.blocks = nn.ModuleList(UConvBlock(bottleneck, hidden, depth) for _ in range(blocks))
        self.widen = nn.Conv1d(bottleneck, filters, 1)
        self.across = nn.Conv1d(1, speakers, filters + 1)  # over the filters of a frame
        self.mask_activation = make_activation(activation)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, N, K) to masks (B, S, N, K)."""
        x = self.bottleneck(self.norm(features, memory))  # (B, C, K)
        for block in self.blocks:
            x = block(x, memory)
        weight, bias = self.output()
        logits = functional.conv1d(x, weight[..., None], bias)  # (B, S * N, K)
        logits = at_least_float32(logits).unflatten(1, (self.speakers, -1))  # (B, S, N, K)
        return self.mask_activation(logits)

    def output(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Multiply ``widen`` and ``across`` out: a matrix (S * N, C) and a bias (S * N,)."""
        columns = torch.cat([self.widen.weight[..., 0], self.widen.bias[:, None]], 1)  # (N, C + 1)
        filters = len(columns)
        before = (filters + 1) // 2
        columns = functional.pad(columns.T[:, None], (before, filters - before))  # (C + 1, 1, 2N)
        matrix = functional.conv1d(columns, self.across.weight)  # (C + 1, S, N)
        matrix = matrix.flatten(1).T  # (S * N, C + 1)
        return matrix[:, :-1], matrix[:, -1] + self.across.bias.repeat_interleave(filters)


class SuDoRMRF(TimeDomainSeparator):
    """Masks for speakers in no particular order, from a network of U-ConvBlocks.

    Its normalisations hear the whole mixture: it is not causal and cannot stream.

    Args:
        speakers: how many.
        filters: of the encoder.
        kernel_size: samples of a frame; frames overlap by half.
        bottleneck: channels between blocks.
        hidden: channels inside of a block.
        blocks: how many.
        depth: rates in a block.
        activation: of the masks: ``softmax``, ``sigmoid`` or ``relu``.
        sample_rate: Hz.
        bank: of filters, see :func:`lib.filterbanks.make_filterbank`.

    Raises:
        InputError: for an unknown activation or bank, or sizes that cannot be.

    Example:
        >>> estimates = SuDoRMRF.tiny()(torch.randn(1, 1, 4000))
        >>> estimates.shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: Masker

    def __init__(
        self,
        speakers: int = 2,
        filters: int = 512,
        kernel_size: int = 21,
        bottleneck: int = 128,
        hidden: int = 512,
        blocks: int = 16,
        depth: int = 5,
        activation: str = "softmax",
        sample_rate: int = 8000,
        bank: str = "free",
    ):
        encoder = make_filterbank(
            bank, filters, kernel_size, rectified=True, sample_rate=sample_rate
        )
        super().__init__(encoder, sample_rate, speakers)
        self.masker = Masker(filters, speakers, bottleneck, hidden, blocks, depth, activation)

    @classmethod
    def paper(cls, blocks: int = 16) -> Self:
        """Build the published size, 1.0x (2,649,732 parameters); 0.5x and 0.25x: 8 and 4 blocks."""
        return cls(blocks=blocks)

    @classmethod
    def small(cls, speakers: int = 2, bank: str = "free") -> Self:
        """Build the size of the recipe ``sudo-rm-rf-small``."""
        return cls(
            speakers,
            filters=256,
            kernel_size=32,
            hidden=256,
            blocks=8,
            activation="relu",
            bank=bank,
        )

    @classmethod
    def tiny(cls, speakers: int = 2, bank: str = "free") -> Self:
        """Build a size for live training."""
        return cls(
            speakers,
            filters=128,
            kernel_size=32,
            bottleneck=32,
            hidden=64,
            blocks=4,
            depth=4,
            activation="relu",
            bank=bank,
        )
