"""DPTNet: DPRNN's two paths with attention in them, and LSTMs that tell the frames' order.

J. Chen, Q. Mao and D. Liu, "Dual-path transformer network: Direct context-aware modeling for
end-to-end monaural speech separation", Interspeech 2020, arXiv:2007.13975.

An LSTM passes what it hears from frame to frame; attention lets each frame read any other at once.
DPTNet reads the chunks of DPRNN by transformers, along each chunk and along the chunks. In place of
positions that are added to the features, a two-way LSTM opens the part that follows the attention.

======  =====================  =====================================================
paper   argument               meaning
======  =====================  =====================================================
\\       ``speakers``           speakers in the mixture
N       ``filters``            filters of the encoder
L       ``kernel_size``        samples of a frame; frames overlap by half
\\       ``channels``           features of a frame between blocks
h       ``heads``              of the attention
\\       ``hidden``             units of an LSTM, per direction
B       ``blocks``             pairs of layers, inside of chunks and across them
K       ``chunk``              frames of a chunk; chunks overlap by half
\\       ``norm``               of a layer: ``channel``; ``global`` as in Asteroid
======  =====================  =====================================================

Deviations:
    - ``paper()`` has the sizes of the authors' code: 2,834,945 parameters, where the paper counts
      2.69 million. 256 filters are narrowed to 64 channels, and each of 6 blocks has one layer
      along chunks and one across them. The norms add 1e-8 to variances, not 1e-5.
    - Asteroid has no ``channels`` (None: the encoder's features are read as they are), norms over
      all frames of a sequence, the mean of two chunks, and pads as ``padding="full"`` does. Its
      weights fit when those that spread over the speakers are halved.
    - Chunks are added up before they are spread over the speakers, not after: the same numbers, on
      half the frames.
    - ``small()`` and ``tiny()`` have frames of 4 ms.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from lib.filterbanks import make_filterbank
from lib.framing import Memory
from lib.models.base import TimeDomainSeparator
from lib.nn.dual_path import DualPath, DualPathBlock, GatedMasks
from lib.nn.norms import make_norm
from lib.nn.recurrent_transformer import RecurrentTransformerLayer


class Masker(nn.Module):
    """Normalise, narrow, read by attention, and weight each feature once per speaker.

    Example:
        >>> masker = Masker(filters=32, speakers=2, channels=8, hidden=16, blocks=1, chunk=10)
        >>> masker(torch.randn(3, 32, 50)).shape
        torch.Size([3, 2, 32, 50])
    """

    def __init__(
        self,
        filters: int,
        speakers: int,
        channels: int | None = 64,
        hidden: int = 128,
        heads: int = 4,
        blocks: int = 6,
        chunk: int = 250,
        norm: str = "channel",
        dropout: float = 0.0,
        activation: str = "relu",
        padding: str = "even",
    ):
        super().__init__()
        self.norm = make_norm("global", filters)
        self.bottleneck = nn.Conv1d(filters, channels, 1, bias=False) if channels else None
        layer = (channels or filters, heads, hidden, dropout, norm)
        pairs = (
            DualPathBlock(
                RecurrentTransformerLayer(*layer), RecurrentTransformerLayer(*layer), norm=None
            )
            for _ in range(blocks)
        )
        self.dual_path = DualPath(pairs, chunk, padding)
        self.masks = GatedMasks(
            channels or filters, filters if channels else None, speakers, activation
        )

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, N, K) to masks (B, S, N, K)."""
        features = self.norm(features, memory)
        if self.bottleneck is not None:
            features = self.bottleneck(features)  # (B, channels, K)
        return self.masks(self.dual_path(features, memory))


class DPTNet(TimeDomainSeparator):
    """Masks for speakers in no particular order, from recurrent transformers on two paths.

    Args:
        speakers: how many.
        filters: of the encoder, whose features are rectified.
        kernel_size: samples of a frame; frames overlap by half.
        channels: between blocks; None: those of the encoder.
        hidden: units of an LSTM, per direction.
        heads: of the attention, a divisor of the channels.
        blocks: pairs of layers.
        chunk: frames of a chunk, even.
        norm: of a layer: ``channel`` (of each frame) or ``global`` (of each sequence).
        dropout: inside of the layers.
        activation: of the masks: ``relu`` or ``sigmoid``.
        padding: of the sequence of chunks: ``even`` or ``full``, see
            :func:`lib.nn.dual_path.chunk_padding`.
        sample_rate: Hz.
        bank: of filters, see :func:`lib.filterbanks.make_filterbank`.

    Raises:
        InputError: for an unknown norm, activation, padding or bank, or sizes that cannot be.

    Example:
        >>> estimates = DPTNet.tiny()(torch.randn(1, 1, 4000))
        >>> estimates.shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: Masker

    def __init__(
        self,
        speakers: int = 2,
        filters: int = 256,
        kernel_size: int = 2,
        channels: int | None = 64,
        hidden: int = 128,
        heads: int = 4,
        blocks: int = 6,
        chunk: int = 250,
        norm: str = "channel",
        dropout: float = 0.0,
        activation: str = "relu",
        padding: str = "even",
        sample_rate: int = 8000,
        bank: str = "free",
    ):
        encoder = make_filterbank(
            bank, filters, kernel_size, rectified=True, sample_rate=sample_rate
        )
        super().__init__(encoder, sample_rate, speakers)
        self.masker = Masker(
            filters,
            speakers,
            channels,
            hidden,
            heads,
            blocks,
            chunk,
            norm,
            dropout,
            activation,
            padding,
        )

    @classmethod
    def paper(cls) -> Self:
        """Build the size of the authors' code (2,834,945 parameters)."""
        return cls()

    @classmethod
    def small(cls, speakers: int = 2) -> Self:
        """Build a size for a few minutes on one core."""
        return cls(
            speakers, filters=128, kernel_size=32, channels=64, hidden=64, blocks=3, chunk=44
        )

    @classmethod
    def tiny(cls, speakers: int = 2) -> Self:
        """Build a size for live training."""
        return cls(speakers, filters=64, kernel_size=32, channels=32, hidden=32, blocks=1, chunk=32)
