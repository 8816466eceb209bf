"""DPRNN: a recurrent network that folds a long sequence, and reads it inside and across the folds.

Y. Luo, Z. Chen and T. Yoshioka, "Dual-path RNN: efficient long sequence modeling for time-domain
single-channel speech separation", ICASSP 2020, arXiv:1910.06379.

With frames of 2 samples, four seconds are 32,000 frames: more than a recurrent network remembers.
Cut into 256 chunks of 250 frames, they are read by one network along each chunk and by another
along the chunks, in turns, so that no network takes more than 256 steps. Two chunks cover each
frame; their sum, gated, gives the masks.

======  =====================  =====================================================
paper   argument               meaning
======  =====================  =====================================================
C       ``speakers``           speakers in the mixture
\\       ``filters``            filters of the encoder
W       ``kernel_size``        samples of a frame; frames overlap by half
N       ``channels``           features of a frame between blocks
H       ``hidden``             units of an LSTM, per direction
B       ``blocks``             pairs of LSTMs, inside of chunks and across them
K       ``chunk``              frames of a chunk; chunks overlap by half
P       ``chunk // 2``         frames between chunks
gLN     ``norm``               ``global``; ``cumulative`` or ``channel`` if causal
======  =====================  =====================================================

Deviations:
    - The gate and the widening behind the overlap-add are not in the paper. They are in the
      authors' code, in Asteroid and in SpeechBrain. ``paper()`` has Asteroid's 2,608,065
      parameters (its ``bn_chan=64``; it builds 128 if not told) and sigmoid masks.
    - Asteroid surrounds the frames by chunks that hold only zeros, which its networks read as well:
      ``padding="full"``. Away from the ends the answers agree, at the ends they do not.
    - A frame is the sum of two chunks, twice what one chunk says, as in Asteroid and SpeechBrain.
    - Chunks are added up before they are spread over the speakers, not after: the same numbers, on
      half the frames.
    - ``causal`` makes the path across chunks one-way (1,962,945 parameters in ``paper()``). Inside
      of a chunk the network reads both ways: it looks ahead by a chunk.
    - ``small()`` and ``tiny()`` have frames of 4 ms and rectified masks.
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
from lib.nn.recurrent import read


class RecurrentPath(nn.Module):
    """An LSTM and a linear layer that narrows what it says.

    Example:
        >>> RecurrentPath(channels=8, hidden=16)(torch.randn(3, 50, 8)).shape
        torch.Size([3, 50, 8])
    """

    def __init__(self, channels: int, hidden: int, bidirectional: bool = True):
        super().__init__()
        self.recurrent = nn.LSTM(channels, hidden, bidirectional=bidirectional)
        self.output = nn.Linear((1 + bidirectional) * hidden, channels)

    def forward(self, sequences: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map sequences (A, T, N) to (A, T, N)."""
        # steps first: an LSTM works through them in this order, and so does the memory
        hidden = read(self.recurrent, sequences.transpose(0, 1), memory)  # (T, A, directions * H)
        return self.output(hidden).transpose(0, 1)


class Masker(nn.Module):
    """Normalise, narrow, read both ways, and weight each feature once per speaker.

    Example:
        >>> masker = Masker(filters=32, speakers=2, channels=8, hidden=16, blocks=1, chunk=10)
        >>> masker(torch.randn(3, 32, 50)).shape
        torch.Size([3, 2, 32, 50])
    """

    def __init__(
        self,
        filters: int,
        speakers: int,
        channels: int = 64,
        hidden: int = 128,
        blocks: int = 6,
        chunk: int = 250,
        causal: bool = False,
        norm: str = "global",
        activation: str = "sigmoid",
        padding: str = "even",
    ):
        super().__init__()
        self.norm = make_norm(norm, filters)
        self.bottleneck = nn.Conv1d(filters, channels, 1)
        pairs = (
            DualPathBlock(
                RecurrentPath(channels, hidden),
                RecurrentPath(channels, hidden, bidirectional=not causal),
                channels,
                norm,
            )
            for _ in range(blocks)
        )
        self.dual_path = DualPath(pairs, chunk, padding)
        self.masks = GatedMasks(channels, filters, speakers, activation)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, N, K) to masks (B, S, N, K), of a stream to those that are ready."""
        narrow = self.bottleneck(self.norm(features, memory))  # (B, channels, K)
        return self.masks(self.dual_path(narrow, memory))


class DPRNN(TimeDomainSeparator):
    """Masks for speakers in no particular order, from recurrent networks on two paths.

    Args:
        speakers: how many.
        filters: of the encoder.
        kernel_size: samples of a frame; frames overlap by half.
        channels: between blocks.
        hidden: units of an LSTM, per direction.
        blocks: pairs of LSTMs.
        chunk: frames of a chunk, even.
        causal: hear no later chunk than the two that a frame lies in.
        norm: ``global``, ``channel`` or ``cumulative``; None: cumulative if causal, else global.
        activation: of the masks: ``sigmoid`` or ``relu``.
        padding: of the sequence of chunks: ``even`` or ``full``, see
            :func:`lib.nn.dual_path.chunk_padding`.
        sample_rate: Hz.
        bank: of filters, see :func:`lib.filterbanks.make_filterbank`.

    Raises:
        InputError: for an unknown norm, activation, padding or bank, or sizes that cannot be.

    Example:
        >>> estimates = DPRNN.tiny()(torch.randn(1, 1, 4000))
        >>> estimates.shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: Masker

    def __init__(
        self,
        speakers: int = 2,
        filters: int = 64,
        kernel_size: int = 2,
        channels: int = 64,
        hidden: int = 128,
        blocks: int = 6,
        chunk: int = 250,
        causal: bool = False,
        norm: str | None = None,
        activation: str = "sigmoid",
        padding: str = "even",
        sample_rate: int = 8000,
        bank: str = "free",
    ):
        encoder = make_filterbank(bank, filters, kernel_size, sample_rate=sample_rate)
        super().__init__(encoder, sample_rate, speakers)
        norm = norm or ("cumulative" if causal else "global")
        self.masker = Masker(
            filters,
            speakers,
            channels,
            hidden,
            blocks,
            chunk,
            causal,
            norm,
            activation,
            padding,
        )
        if causal and norm != "global":
            # from the first frame of half a chunk to the end of the last frame of the next half
            self.lookahead = (chunk - 1) * self.encoder.stride + kernel_size - 1

    @classmethod
    def paper(cls, causal: bool = False) -> Self:
        """Build the published size (2,608,065 parameters; 1,962,945 if ``causal``)."""
        return cls(causal=causal)

    @classmethod
    def small(cls, speakers: int = 2, causal: bool = False) -> Self:
        """Build the size of the shipped checkpoint ``dprnn-small``."""
        return cls(
            speakers,
            filters=128,
            kernel_size=32,
            channels=64,
            hidden=64,
            blocks=3,
            chunk=44,
            causal=causal,
            activation="relu",
        )

    @classmethod
    def tiny(cls, speakers: int = 2, causal: bool = False) -> Self:
        """Build a size for live training."""
        return cls(
            speakers,
            filters=64,
            kernel_size=32,
            channels=32,
            hidden=32,
            blocks=1,
            chunk=32,
            causal=causal,
            activation="relu",
        )
