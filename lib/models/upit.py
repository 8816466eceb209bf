"""uPIT: a recurrent network that estimates one mask per speaker.

M. Kolbaek, D. Yu, Z.-H. Tan and J. Jensen, "Multitalker speech separation with utterance-level
permutation invariant training of deep recurrent neural networks", IEEE/ACM TASLP 25(10), 2017,
arXiv:1703.06284.

The network sees the magnitudes of the mixture and answers with one mask per speaker. Which output
belongs to which speaker is free: the loss of an utterance is that of its best assignment. As one
assignment holds for the whole utterance, each output learns to stay with its speaker.

======  ======================  =====================================
paper   argument                meaning
======  ======================  =====================================
S       ``speakers``            speakers in the mixture
N       ``n_fft // 2 + 1``      frequencies (129)
M(t,f)  ``activation``          of the masks, one per speaker
======  ======================  =====================================

Deviations:
    - The inputs are normalised by the statistics of the mixture at hand (not with ``causal``).
    - ``paper(causal=True)`` has 65,655,554 parameters, the count of three LSTM layers of 1792 and
      two masks of 129. Tables of later papers give 46.3 million for it, which is the count of the
      BLSTM.
    - One stage. The two-stage system of the paper (uPIT-BLSTM-ST) feeds a second network of the
      same kind with the first one's estimates.
    - ``small()`` and ``tiny()`` see the logarithm of the magnitudes and use a hop of 8 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import nn

from lib.errors import InputError
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.models.base import SpectrogramSeparator
from lib.nn.recurrent import read
from lib.nn.spectral import SpectralFeatures
from lib.stft import STFT

ACTIVATIONS = {
    "softmax": lambda logits: logits.softmax(1),  # the masks sum to one
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "tanh": torch.tanh,
}


class MaskNetwork(nn.Module):
    """Features, recurrent layers, one mask per source.

    Example:
        >>> network = MaskNetwork(bins=5, speakers=2, layers=1, hidden=4)
        >>> network(torch.randn(3, 1, 5, 7, dtype=torch.complex64)).shape
        torch.Size([3, 2, 1, 5, 7])
    """

    def __init__(
        self,
        bins: int,
        speakers: int = 2,
        layers: int = 3,
        hidden: int = 896,
        bidirectional: bool = True,
        activation: str = "relu",
        dropout: float = 0.0,
        log: bool = True,
    ):
        super().__init__()
        self.speakers, self.activation = speakers, activation
        self.features = SpectralFeatures(
            bins, log=log, relative=bidirectional, per_utterance=bidirectional
        )
        self.recurrent = nn.LSTM(
            bins,
            hidden,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.output = nn.Linear(hidden * (1 + bidirectional), speakers * bins)

    def forward(self, spectrogram: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, S, 1, F, K)."""
        hidden = read(self.recurrent, self.features(spectrogram), memory)  # (B, K, H)
        logits = at_least_float32(self.output(hidden))  # (B, K, S * F)
        logits = logits.unflatten(-1, (self.speakers, -1)).permute(0, 2, 3, 1)  # (B, S, F, K)
        return ACTIVATIONS[self.activation](logits)[:, :, None]  # (B, S, 1, F, K)


class UPIT(SpectrogramSeparator):
    """Masks for speakers in no particular order, from stacked (B)LSTMs.

    Args:
        speakers: how many.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        window: of the STFT.
        layers: recurrent layers.
        hidden: their units, per direction.
        causal: recurrent layers that read forwards only (uPIT-LSTM).
        activation: of the masks: ``softmax``, ``sigmoid``, ``relu`` or ``tanh``.
        dropout: between recurrent layers.
        log: see the logarithm of the magnitudes.
        sample_rate: Hz.

    Raises:
        InputError: for an unknown activation.

    Example:
        >>> estimates = UPIT.tiny()(torch.randn(1, 1, 4000))
        >>> estimates.shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: MaskNetwork

    def __init__(
        self,
        speakers: int = 2,
        n_fft: int = 256,
        hop_length: int = 128,
        window: str = "hann",
        layers: int = 3,
        hidden: int = 896,
        causal: bool = False,
        activation: str = "relu",
        dropout: float = 0.5,
        log: bool = False,
        sample_rate: int = 8000,
    ):
        if activation not in ACTIVATIONS:
            raise InputError(
                f"activation: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        names = [f"speaker_{index + 1}" for index in range(speakers)]
        super().__init__(STFT(n_fft, hop_length, window), sample_rate, names, any_order=True)
        bins = n_fft // 2 + 1
        self.masker = MaskNetwork(
            bins, speakers, layers, hidden, not causal, activation, dropout, log
        )
        if causal:
            # a sample lies in frames that reach up to n_fft - 2 samples further (the window's
            # first sample is zero)
            self.lookahead = n_fft - 2

    @classmethod
    def paper(cls, causal: bool = False, activation: str = "relu") -> Self:
        """Build uPIT-BLSTM (46,387,970 parameters), or uPIT-LSTM with ``causal``."""
        return cls(hidden=1792 if causal else 896, causal=causal, activation=activation)

    @classmethod
    def small(cls, speakers: int = 2) -> Self:
        """Build the size of the shipped checkpoint ``upit-blstm-small``."""
        return cls(
            speakers, hop_length=64, layers=2, hidden=256, activation="sigmoid", dropout=0, log=True
        )

    @classmethod
    def tiny(cls, speakers: int = 2, activation: str = "sigmoid") -> Self:
        """Build a size for live training."""
        return cls(
            speakers, hop_length=64, layers=1, hidden=64, activation=activation, dropout=0, log=True
        )

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set the statistics of the input features."""
        self.masker.features.calibrate(self.encoder(mixture) for mixture in mixtures)
