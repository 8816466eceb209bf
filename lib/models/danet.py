"""DANet: embeddings, an attractor for each speaker, and masks by closeness to the attractors.

Z. Chen, Y. Luo and N. Mesgarani, "Deep attractor network for single-microphone speaker separation",
ICASSP 2017, arXiv:1611.08930. With ``anchors``: ADANet, Y. Luo, Z. Chen and N. Mesgarani,
"Speaker-independent speech separation with deep attractor network", IEEE/ACM TASLP 26(4), 2018,
arXiv:1707.03634.

As in deep clustering, every time-frequency point gets an embedding. The mean embedding of a
speaker's points is its attractor, and the mask of a point follows from its inner products with the
attractors, so the error of the masks itself can be minimised. Training takes the attractors from
the true assignments; at test time they are unknown: DANet asks k-means, ADANet chooses among
learned anchors, in training, too.

======  ================  ====================================================
paper   argument          meaning
======  ================  ====================================================
K       ``dimensions``    of the embeddings
A       (in the code)     attractors ``(batch, sources, D)``
C       ``speakers``      speakers in the mixture
N       ``anchors``       learned points from which ADANet starts; 0 for DANet
======  ================  ====================================================

Deviations:
    - The inputs are normalised by the statistics of the mixture at hand.
    - Embeddings have unit length here, as in deep clustering, and the inner products are
      multiplied by ``sharpness`` before the softmax or sigmoid, which could else not reach 0 or 1.
"""

from __future__ import annotations

import itertools
from typing import Self

import torch
from torch import nn

from lib.errors import InputError
from lib.losses.clustering import active_points
from lib.models.base import SpectrogramSeparator
from lib.nn.embedding import (
    EmbeddingNetwork,
    attractors,
    kmeans,
    masks_from_assignments,
)
from lib.stft import STFT

ACTIVATIONS = {
    "softmax": lambda closeness: closeness.softmax(-1),  # the masks sum to one
    "sigmoid": torch.sigmoid,
}


class AttractorMasks(nn.Module):
    """Masks by inner products with attractors."""

    def __init__(
        self,
        network: EmbeddingNetwork,
        speakers: int,
        anchors: int,
        sharpness: float,
        activation: str,
    ):
        super().__init__()
        self.activation = activation
        self.network, self.speakers, self.sharpness = network, speakers, sharpness
        self.anchors = None
        if anchors:
            self.anchors = nn.Parameter(torch.randn(anchors, network.dimensions))

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, S, 1, F, K)."""
        embeddings, weights = self.network(spectrogram), active_points(spectrogram)
        if self.anchors is None:
            centres, _ = kmeans(embeddings, self.speakers, weights)
        else:
            centres = self.anchored(embeddings, weights)
        return self.masks(embeddings, centres, spectrogram)

    def masks(
        self, embeddings: torch.Tensor, centres: torch.Tensor, spectrogram: torch.Tensor
    ) -> torch.Tensor:
        """Weigh points by attractors (B, S, D): masks (B, S, 1, F, K)."""
        closeness = self.sharpness * embeddings @ centres.transpose(1, 2)  # (B, N, S)
        return masks_from_assignments(
            ACTIVATIONS[self.activation](closeness), spectrogram.shape[-2]
        )

    def anchored(self, embeddings: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the attractors of the best subset of anchors, (B, S, D).

        Every subset of as many anchors as speakers divides the points by closeness and gives
        attractors; the subset whose closest pair of attractors is least alike is kept (section
        III-B).
        """
        count = len(self.anchors)
        candidates = []
        for subset in itertools.combinations(range(count), self.speakers):
            closeness = embeddings @ self.anchors[list(subset)].T  # (B, N, S)
            candidates.append(attractors(embeddings, closeness.softmax(-1), weights))
        stacked = torch.stack(candidates, 1)  # (B, subsets, S, D)
        alike = stacked @ stacked.transpose(2, 3)  # (B, subsets, S, S)
        itself = torch.eye(self.speakers, dtype=torch.bool, device=alike.device)
        worst = alike.masked_fill(itself, -torch.inf).amax((2, 3))  # (B, subsets)
        return stacked[torch.arange(len(stacked)), worst.argmin(1)]


class DANet(SpectrogramSeparator):
    """Masks for speakers in no particular order, from attractors in an embedding space.

    Args:
        speakers: how many.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        window: of the STFT.
        layers: recurrent layers.
        hidden: their units, per direction.
        dimensions: of the embeddings.
        anchors: of ADANet, at least as many as speakers; 0 for DANet.
        sharpness: factor of the inner products.
        dropout: between recurrent layers.
        sample_rate: Hz.
        activation: of the masks: ``softmax`` or ``sigmoid``.

    Raises:
        InputError: for fewer anchors than speakers, or an unknown activation.

    Example:
        >>> DANet.tiny(anchors=4)(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: AttractorMasks

    def __init__(
        self,
        speakers: int = 2,
        n_fft: int = 256,
        hop_length: int = 64,
        window: str = "sqrt_hann",
        layers: int = 4,
        hidden: int = 300,
        dimensions: int = 20,
        anchors: int = 0,
        sharpness: float = 5.0,
        dropout: float = 0.5,
        sample_rate: int = 8000,
        activation: str = "softmax",
    ):
        if activation not in ACTIVATIONS:
            raise InputError(
                f"activation: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        if anchors and anchors < speakers:
            raise InputError(f"anchors: expected 0, or at least {speakers}, got {anchors}")
        names = [f"speaker_{index + 1}" for index in range(speakers)]
        super().__init__(STFT(n_fft, hop_length, window), sample_rate, names, any_order=True)
        network = EmbeddingNetwork(n_fft // 2 + 1, dimensions, layers, hidden, dropout)
        self.masker = AttractorMasks(network, speakers, anchors, sharpness, activation)

    @classmethod
    def paper(cls, anchors: int = 0) -> Self:
        """Build DANet with 4 BLSTM layers of 600 (300 per direction) and D = 20.

        9,079,380 parameters, and 20 more for each anchor of ADANet; later papers print 9.1 million
        for both.
        """
        return cls(anchors=anchors)

    @classmethod
    def small(cls, anchors: int = 0) -> Self:
        """Build a size that a CPU trains in an hour."""
        return cls(layers=2, hidden=256, anchors=anchors, dropout=0)

    @classmethod
    def tiny(cls, anchors: int = 0) -> Self:
        """Build a size for live training."""
        return cls(layers=1, hidden=64, anchors=anchors, dropout=0)

    def embeddings(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Embed the points of a complex spectrogram (B, C, F, K): (B, K * F, D)."""
        return self.masker.network(spectrogram)

    def attractor_magnitudes(
        self, spectrogram: torch.Tensor, assignments: torch.Tensor
    ) -> torch.Tensor:
        """Estimate magnitudes with attractors from the true assignments.

        Args:
            spectrogram: of the mixture, complex ``(batch, channels, freq, frames)``.
            assignments: which speaker dominates each active point, ``(batch, points, speakers)``;
                0 for silent points.

        Returns:
            ``(batch, speakers, channels, freq, frames)``, in the order of the assignments.
        """
        embeddings = self.embeddings(spectrogram)
        centres = attractors(embeddings, assignments)
        return self.masker.masks(embeddings, centres, spectrogram) * spectrogram.abs()[:, None]
