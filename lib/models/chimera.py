"""Chimera++: one recurrent body with two heads, embeddings and masks.

Z.-Q. Wang, J. Le Roux and J. R. Hershey, "Alternative objective functions for deep clustering",
ICASSP 2018; the two heads: Y. Luo, Z. Chen, J. R. Hershey, J. Le Roux and N. Mesgarani, "Deep
clustering and conventional networks for music separation: stronger together", ICASSP 2017,
arXiv:1611.06265.

Deep clustering learns well but answers with binary masks; a mask network answers directly but is
harder to train. Here both share the recurrent layers: the embedding head shapes them, the mask head
is what separates.

=====  =================  =====================================================
paper  argument           meaning
=====  =================  =====================================================
D      ``dimensions``     of the embeddings
alpha  (the objective)    weight of the embedding loss, ``embedding_weight``
=====  =================  =====================================================

Deviations:
    - The inputs are normalised by the statistics of the mixture at hand.
    - The masks are sigmoids, between 0 and 1.
    - The embedding loss of the objective is that of deep clustering; the paper gets its best scores
      with another, of whitened embeddings.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from lib.losses.precision import at_least_float32
from lib.models.base import SpectrogramSeparator
from lib.nn.embedding import EmbeddingNetwork, cluster_masks
from lib.nn.misi import misi
from lib.stft import STFT


class TwoHeads(nn.Module):
    """An embedding network with a second head for masks."""

    def __init__(
        self, network: EmbeddingNetwork, bins: int, hidden: int, speakers: int, clusters: bool
    ):
        super().__init__()
        self.clusters = clusters
        self.network, self.speakers = network, speakers
        self.mask_output = nn.Linear(2 * hidden, speakers * bins)

    def mask_head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map hidden states (B, K, H) to masks (B, S, 1, F, K)."""
        logits = at_least_float32(self.mask_output(hidden)).unflatten(-1, (self.speakers, -1))
        return torch.sigmoid(logits).permute(0, 2, 3, 1)[:, :, None]

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, S, 1, F, K)."""
        if self.clusters:
            return cluster_masks(self.network(spectrogram), self.speakers, spectrogram)
        return self.mask_head(self.network.body(spectrogram))


class Chimera(SpectrogramSeparator):
    """Masks for speakers in no particular order, learned together with embeddings.

    Args:
        speakers: how many.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        window: of the STFT.
        layers: recurrent layers.
        hidden: their units, per direction.
        dimensions: of the embeddings.
        misi_iterations: phase iterations after the masks, see :func:`lib.nn.misi.misi`.
        dropout: between recurrent layers.
        sample_rate: Hz.
        clusters: separate by k-means of the embeddings, not by the mask head.

    Example:
        >>> separator = Chimera.tiny()
        >>> embeddings, magnitudes = separator.heads(separator.encoder(torch.randn(1, 1, 640)))
        >>> embeddings.shape, magnitudes.shape
        (torch.Size([1, 1419, 20]), torch.Size([1, 2, 1, 129, 11]))
    """

    masker: TwoHeads

    def __init__(
        self,
        speakers: int = 2,
        n_fft: int = 256,
        hop_length: int = 64,
        window: str = "sqrt_hann",
        layers: int = 4,
        hidden: int = 600,
        dimensions: int = 20,
        misi_iterations: int = 0,
        dropout: float = 0.3,
        sample_rate: int = 8000,
        clusters: bool = False,
    ):
        names = [f"speaker_{index + 1}" for index in range(speakers)]
        super().__init__(STFT(n_fft, hop_length, window), sample_rate, names, any_order=True)
        bins = n_fft // 2 + 1
        network = EmbeddingNetwork(bins, dimensions, layers, hidden, dropout)
        self.masker = TwoHeads(network, bins, hidden, speakers, clusters)
        self.misi_iterations = misi_iterations

    @classmethod
    def paper(cls, misi_iterations: int = 0) -> Self:
        """Build the published network: 4 BLSTM layers of 600 per direction, D = 20.

        32,866,038 parameters; later papers print 32.9 million.
        """
        return cls(misi_iterations=misi_iterations)

    @classmethod
    def small(cls, misi_iterations: int = 0) -> Self:
        """Build a size that a CPU trains in an hour."""
        return cls(layers=2, hidden=256, misi_iterations=misi_iterations, dropout=0)

    @classmethod
    def tiny(cls, misi_iterations: int = 0) -> Self:
        """Build a size for live training."""
        return cls(layers=1, hidden=64, misi_iterations=misi_iterations, dropout=0)

    def embeddings(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Embed the points of a complex spectrogram (B, C, F, K): (B, K * F, D)."""
        return self.masker.network(spectrogram)

    def heads(self, spectrogram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run both heads on one pass of the body.

        Args:
            spectrogram: of the mixture, complex ``(batch, channels, freq, frames)``.

        Returns:
            embeddings ``(batch, points, D)`` and magnitudes ``(batch, speakers, channels, freq,
            frames)``.
        """
        hidden = self.masker.network.body(spectrogram)
        masks = self.masker.mask_head(hidden)
        return self.masker.network.head(hidden), masks * spectrogram.abs()[:, None]

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`lib.models.base.Separator.forward`."""
        if not self.misi_iterations:
            return super().forward(mixture)
        magnitudes = self.magnitudes(self.encoder(mixture))
        return misi(magnitudes, mixture, self.encoder, self.misi_iterations)
