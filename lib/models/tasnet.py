"""TasNet: a learned, non-negative transform in place of the STFT, and LSTMs that mask it.

2018-a: Y. Luo and N. Mesgarani, "TasNet: Time-domain audio separation network for real-time,
single-channel speech separation", ICASSP, 2018, arXiv:1711.00541.
2018-b: Y. Luo and N. Mesgarani, "Real-time single-channel dereverberation and separation with
time-domain audio separation network", Interspeech, 2018.

A gated encoder turns frames of 5 ms into 500 features that are never negative. Four layers of LSTMs
follow the features through time and weight each of them once per speaker. A linear decoder adds the
weighted features up to waveforms: phase is never taken apart, and no frame is longer than 5 ms.

======  =====================  =================================================================
paper   argument               meaning
======  =====================  =================================================================
C       ``speakers``           speakers in the mixture
N       ``filters``            filters of the encoder
L       ``kernel_size``        samples of a frame
\\       ``variant``            ``2018-a``: frames side by side, of unit norm, each normalised by
                               itself; masks are shares (softmax). ``2018-b``: frames overlap by
                               half, a gLN (causal: cLN) sees their level; masks are sigmoids
\\       ``hidden``             units of an LSTM per direction (500; causal: 1000)
======  =====================  =================================================================

Deviations:
    - ``paper()`` has 23,094,000 parameters, ``paper(causal=True)`` 31,094,000, both variants alike.
      The Conv-TasNet paper prints 23.6 and 32.0 million for its TasNets and does not say what they
      are made of; no number of filters gives both.
    - ``2018-b`` has the gates, overlap, norms and masks of Asteroid's ``LSTMTasNet``, which follows
      the second paper. That one has no skip connection: ``skip=False`` gives the same outputs.
    - Features keep the level of their frames (see ``GatedFilterbank``). With ``2018-a`` a norm per
      frame takes it from what the LSTMs see, so masks do not depend on the level of a frame.
    - ``small()`` and ``tiny()`` are of the kind ``2018-b`` with longer frames, fewer layers
      and rectified masks.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from lib.errors import InputError
from lib.filterbanks import GatedFilterbank, make_filterbank
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.models.base import TimeDomainSeparator
from lib.nn.activations import make_activation
from lib.nn.norms import ChannelLayerNorm, make_norm
from lib.nn.recurrent import read

VARIANTS = ("2018-a", "2018-b")


class RecurrentMasker(nn.Module):
    """Normalise, read forwards (and backwards), and weight each feature once per speaker.

    Example:
        >>> masker = RecurrentMasker(filters=16, speakers=2, layers=2, hidden=8)
        >>> masker(torch.randn(3, 16, 50)).shape
        torch.Size([3, 2, 16, 50])
    """

    def __init__(
        self,
        filters: int,
        speakers: int,
        layers: int = 4,
        hidden: int = 500,
        skip: bool = True,
        dropout: float = 0.0,
        causal: bool = False,
        norm: str = "channel",
        activation: str = "softmax",
    ):
        super().__init__()
        self.speakers, self.skip = speakers, skip
        # frames may be faint, and their level must not matter: next to nothing is added to it
        self.norm = (
            ChannelLayerNorm(filters, eps=1e-16) if norm == "channel" else make_norm(norm, filters)
        )
        width = hidden if causal else 2 * hidden
        self.recurrent = nn.ModuleList(
            nn.LSTM(width if layer else filters, hidden, batch_first=True, bidirectional=not causal)
            for layer in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, speakers * filters)
        self.mask_activation = make_activation(activation)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, N, K) to masks (B, S, N, K)."""
        hidden = self.norm(features, memory).transpose(1, 2)  # (B, K, N)
        before = None
        for number, layer in enumerate(self.recurrent, start=1):
            hidden = self.dropout(hidden) if number > 1 else hidden
            hidden = read(layer, hidden, memory)  # (B, K, directions * H)
            if self.skip and number % 2 == 0:  # from the second layer to the fourth, and so on
                hidden = hidden if before is None else hidden + before
                before = hidden
        logits = at_least_float32(self.output(hidden)).transpose(1, 2)  # (B, S * N, K)
        return self.mask_activation(logits.unflatten(1, (self.speakers, -1)))  # (B, S, N, K)


class TasNet(TimeDomainSeparator):
    """Masks for speakers in no particular order, from (B)LSTMs over a gated transform.

    Args:
        speakers: how many.
        variant: ``2018-a`` or ``2018-b``: decides what is left None below.
        filters: of the encoder.
        kernel_size: samples of a frame.
        stride: samples between frames; None: ``kernel_size`` (a), or half of it (b).
        layers: recurrent layers.
        hidden: their units, per direction.
        skip: add the output of the second layer to that of the fourth, and so on.
        dropout: between recurrent layers.
        causal: LSTMs that read forwards only.
        norm: ``global``, ``channel`` or ``cumulative``; None: channel (a), cumulative (b, causal),
            or global (b).
        activation: of the masks; None: ``softmax`` (a) or ``sigmoid`` (b).
        sample_rate: Hz.
        bank: of filters: ``gated``, the published one, or one of
            :func:`lib.filterbanks.make_filterbank`, rectified.

    Raises:
        InputError: for an unknown variant, norm, activation or bank, or sizes that cannot be.

    Example:
        >>> estimates = TasNet.tiny()(torch.randn(1, 1, 4000))
        >>> estimates.shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: RecurrentMasker

    def __init__(
        self,
        speakers: int = 2,
        variant: str = "2018-a",
        filters: int = 500,
        kernel_size: int = 40,
        stride: int | None = None,
        layers: int = 4,
        hidden: int = 500,
        skip: bool = True,
        dropout: float = 0.0,
        causal: bool = False,
        norm: str | None = None,
        activation: str | None = None,
        sample_rate: int = 8000,
        bank: str = "gated",
    ):
        if variant not in VARIANTS:
            raise InputError(f"variant: expected one of {', '.join(VARIANTS)}, got {variant!r}")
        first = variant == "2018-a"
        if first:
            stride, norm = kernel_size if stride is None else stride, norm or "channel"
        encoder = (
            GatedFilterbank(filters, kernel_size, stride, normalised=first)
            if bank == "gated"
            else make_filterbank(bank, filters, kernel_size, stride, True, sample_rate)
        )
        super().__init__(encoder, sample_rate, speakers)
        norm = norm or ("cumulative" if causal else "global")
        activation = activation or ("softmax" if first else "sigmoid")
        self.masker = RecurrentMasker(
            filters, speakers, layers, hidden, skip, dropout, causal, norm, activation
        )
        if causal and norm != "global":
            self.lookahead = kernel_size - 1

    @classmethod
    def paper(cls, causal: bool = False, variant: str = "2018-a") -> Self:
        """Build TasNet-BLSTM (23,094,000 parameters), or TasNet-LSTM with ``causal``."""
        return cls(variant=variant, hidden=1000 if causal else 500, causal=causal)

    @classmethod
    def small(cls, speakers: int = 2, causal: bool = False) -> Self:
        """Build the size of the shipped checkpoint ``tasnet-small``."""
        return cls(
            speakers,
            "2018-b",
            filters=256,
            kernel_size=64,
            layers=3,
            hidden=192,
            causal=causal,
            activation="relu",
        )

    @classmethod
    def tiny(cls, speakers: int = 2, causal: bool = False) -> Self:
        """Build a size for live training."""
        return cls(
            speakers,
            "2018-b",
            filters=128,
            kernel_size=128,
            layers=1,
            hidden=64,
            causal=causal,
            activation="relu",
        )
