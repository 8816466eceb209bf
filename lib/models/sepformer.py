"""SepFormer: transformers inside of chunks and across them, and nothing recurrent.

C. Subakan, M. Ravanelli, S. Cornell, M. Bronzi and J. Zhong, "Attention is all you need in speech
separation", ICASSP 2021, arXiv:2010.13154.

The features of a learned, rectified encoder are cut into chunks that overlap by half. A stack of
transformer layers lets the frames of a chunk read each other, a second stack lets frames at the
same place of all chunks read each other, and so on by turns. All frames are worked on at once,
where DPRNN goes from step to step.

======  =====================  =======================================================
paper   argument               meaning
======  =====================  =======================================================
Ns      ``speakers``           speakers in the mixture
F       ``filters``            filters of the encoder
\\       ``kernel_size``        samples of a frame
F       ``channels``           channels of the transformers
C       ``chunk``              frames of a chunk
K       ``layers``             transformer layers of a stack
N       ``repeats``            pairs of stacks: inside of chunks, across chunks
\\       ``heads``              of the attention
\\       ``hidden``             of the network for each frame
======  =====================  =======================================================

Deviations:
    - Places have no table: SpeechBrain's ends at 2,500 chunks, with 8 kHz after 312 seconds.
    - Without gradients the sequences of a path go through its layers in slices, so that a whole
      file needs memory for a few copies of its features. The result is the same.
    - Speakers are spread after the overlap-add instead of before it, which is the same for half of
      the work (see :class:`lib.nn.dual_path.GatedMasks`).
    - The signal is padded with half a frame of zeros before it and to a whole frame behind it.
      SpeechBrain pads nothing, and puts zeros where the last frame ends early.
    - No dropout, as in SpeechBrain's recipes; its class drops a tenth if nothing else is said.
    - ``small()`` and ``tiny()`` have frames of 4 ms, shorter chunks, and fewer channels in the
      transformers than filters.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from lib.filterbanks import make_filterbank
from lib.framing import Memory
from lib.models.base import TimeDomainSeparator
from lib.nn.attention import TransformerLayer, positional_encoding
from lib.nn.dual_path import DualPath, DualPathBlock, GatedMasks
from lib.nn.eager import exporting
from lib.nn.norms import make_norm

_SLICE = 2**13  # frames that are worked on at once: enough to keep a processor busy


class Transformer(nn.Module):
    """Places, transformer layers, a last norm.

    Args:
        channels: of input and output, even.
        layers: how many.
        heads: of the attention.
        hidden: of the network for each frame.
        dropout: of what the layers add.

    Raises:
        InputError: for an odd number of channels, or heads that do not divide them.

    Example:
        >>> Transformer(channels=8, layers=2, heads=2, hidden=32)(torch.randn(3, 50, 8)).shape
        torch.Size([3, 50, 8])
    """

    def __init__(self, channels: int, layers: int, heads: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        positional_encoding(0, channels)  # refuses what cannot be
        self.layers = nn.Sequential(
            *(TransformerLayer(channels, heads, hidden, dropout) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """Map sequences (B, T, C) to (B, T, C); without gradients in slices of some sequences."""
        batch, steps, channels = sequences.shape
        places = positional_encoding(steps, channels, sequences.device, sequences.dtype)  # (T, C)
        if torch.is_grad_enabled() or exporting() or batch * steps <= _SLICE:
            return self.norm(self.layers(sequences + places))
        result = torch.empty_like(sequences)
        size = max(1, _SLICE // steps)
        for some, seen in zip(sequences.split(size), result.split(size), strict=True):
            seen.copy_(self.norm(self.layers(some + places)))
        return result


class Masker(nn.Module):
    """Normalise, narrow, pass the dual path, and weight each feature once per speaker.

    Example:
        >>> masker = Masker(32, 2, channels=8, chunk=10, layers=1, repeats=1, heads=2, hidden=16)
        >>> masker(torch.randn(3, 32, 50)).shape
        torch.Size([3, 2, 32, 50])
    """

    def __init__(
        self,
        filters: int,
        speakers: int,
        channels: int,
        chunk: int,
        layers: int,
        repeats: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
        activation: str = "relu",
    ):
        super().__init__()
        self.norm = make_norm("global", filters)
        self.bottleneck = nn.Conv1d(filters, channels, 1, bias=False)

        def stack() -> Transformer:
            return Transformer(channels, layers, heads, hidden, dropout)

        blocks = (DualPathBlock(stack(), stack(), channels) for _ in range(repeats))
        self.dual_path = DualPath(blocks, chunk)
        self.masks = GatedMasks(channels, filters, speakers, activation)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, N, K) to masks (B, S, N, K)."""
        narrow = self.bottleneck(self.norm(features, memory))  # (B, C, K)
        return self.masks(self.dual_path(narrow, memory))


class SepFormer(TimeDomainSeparator):
    """Masks for speakers in no particular order, from transformers on two paths.

    Args:
        speakers: how many.
        filters: of the encoder.
        kernel_size: samples of a frame; frames overlap by half.
        channels: of the transformers, even.
        chunk: frames of a chunk, even.
        layers: of a stack.
        repeats: pairs of stacks.
        heads: of the attention; they share the channels evenly.
        hidden: of the network for each frame.
        dropout: in the layers.
        activation: of the masks: ``relu`` or ``sigmoid``.
        sample_rate: Hz.
        bank: of filters, see :func:`lib.filterbanks.make_filterbank`.

    Raises:
        InputError: for an unknown activation or bank, or sizes that cannot be.

    Example:
        >>> estimates = SepFormer.tiny()(torch.randn(1, 1, 4000))
        >>> estimates.shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: Masker

    def __init__(
        self,
        speakers: int = 2,
        filters: int = 256,
        kernel_size: int = 16,
        channels: int = 256,
        chunk: int = 250,
        layers: int = 8,
        repeats: int = 2,
        heads: int = 8,
        hidden: int = 1024,
        dropout: float = 0.0,
        activation: str = "relu",
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
            chunk,
            layers,
            repeats,
            heads,
            hidden,
            dropout,
            activation,
        )

    @classmethod
    def paper(cls, speakers: int = 2) -> Self:
        """Build the published size (25,679,361 parameters; 25,745,153 for three speakers)."""
        return cls(speakers)

    @classmethod
    def small(cls, speakers: int = 2) -> Self:
        """Build the size of the shipped checkpoint ``sepformer-small``."""
        return cls(
            speakers,
            filters=256,
            kernel_size=32,
            channels=64,
            chunk=50,
            layers=2,
            repeats=2,
            heads=4,
            hidden=128,
        )

    @classmethod
    def tiny(cls, speakers: int = 2) -> Self:
        """Build a size for live training."""
        return cls(
            speakers,
            filters=128,
            kernel_size=32,
            channels=32,
            chunk=40,
            layers=1,
            repeats=1,
            heads=4,
            hidden=64,
        )
