"""Deep clustering: a network that gives each time-frequency point a place, and k-means there.

J. R. Hershey, Z. Chen, J. Le Roux and S. Watanabe, "Deep clustering: discriminative embeddings for
segmentation and separation", ICASSP 2016, arXiv:1508.04306.

The network maps every point of the mixture's spectrogram to a unit vector. It is trained so that
points dominated by the same speaker lie together and others apart; which speaker is "first" never
comes up. To separate, the vectors are clustered, and each cluster is a binary mask.

======  =======================  ==============================================
paper   argument                 meaning
======  =======================  ==============================================
K, D    ``dimensions``           of the embeddings (the course writes D)
N       (freq x frames)          time-frequency points
V       ``embeddings()``         ``(batch, N, D)``, rows of length 1
C       ``speakers``             clusters
======  =======================  ==============================================

Deviations:
    - The inputs are normalised by the statistics of the mixture at hand.
    - The network sees mixtures of any length at once, in training, too; the paper trains on 100
      frames.
    - ``paper()`` has dropout between the recurrent layers, which Y. Isik et al. ("Single-channel
      multi-speaker separation using deep clustering", Interspeech 2016) added; it changes no size.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from lib.models.base import SpectrogramSeparator
from lib.nn.embedding import EmbeddingNetwork, cluster_masks
from lib.stft import STFT


class ClusterMasks(nn.Module):
    """Binary masks from the clusters of the embeddings."""

    def __init__(self, network: EmbeddingNetwork, speakers: int):
        super().__init__()
        self.network, self.speakers = network, speakers

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, S, 1, F, K)."""
        return cluster_masks(self.network(spectrogram), self.speakers, spectrogram)


class DeepClustering(SpectrogramSeparator):
    """Masks for speakers in no particular order, from clusters of embeddings.

    Args:
        speakers: how many clusters to look for; training does not need it.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        window: of the STFT.
        layers: recurrent layers.
        hidden: their units, per direction.
        dimensions: of the embeddings.
        dropout: between recurrent layers.
        sample_rate: Hz.

    Example:
        >>> separator = DeepClustering.tiny()
        >>> separator(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
        >>> separator.embeddings(separator.encoder(torch.randn(1, 1, 640))).shape
        torch.Size([1, 1419, 20])
    """

    masker: ClusterMasks

    def __init__(
        self,
        speakers: int = 2,
        n_fft: int = 256,
        hop_length: int = 64,
        window: str = "sqrt_hann",
        layers: int = 2,
        hidden: int = 600,
        dimensions: int = 40,
        dropout: float = 0.5,
        sample_rate: int = 8000,
    ):
        names = [f"speaker_{index + 1}" for index in range(speakers)]
        super().__init__(STFT(n_fft, hop_length, window), sample_rate, names, any_order=True)
        network = EmbeddingNetwork(n_fft // 2 + 1, dimensions, layers, hidden, dropout)
        self.masker = ClusterMasks(network, speakers)

    @classmethod
    def paper(cls) -> Self:
        """Build the published network (2 layers of 600, D = 40): 18,355,560 parameters."""
        return cls()

    @classmethod
    def small(cls) -> Self:
        """Build the size of the shipped checkpoint ``deep-clustering-small``."""
        return cls(layers=2, hidden=256, dimensions=20, dropout=0)

    @classmethod
    def tiny(cls, dimensions: int = 20) -> Self:
        """Build a size for live training."""
        return cls(layers=1, hidden=64, dimensions=dimensions, dropout=0)

    def embeddings(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Embed the points of a complex spectrogram (B, C, F, K): (B, K * F, D)."""
        return self.masker.network(spectrogram)
