"""Embeddings of time-frequency points: the network that makes them, k-means, attractors.

Points are counted frame by frame: point ``k * freq + f`` is frame k, frequency f.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.losses.clustering import active_points
from lib.losses.precision import at_least_float32, full_precision
from lib.nn.spectral import SpectralFeatures

_RESTARTS = 4
_ITERATIONS = 30
_SMALLEST_WEIGHT = 1e-8


class EmbeddingNetwork(nn.Module):
    """Features, recurrent layers, one unit vector per time-frequency point.

    Args:
        bins: frequencies.
        dimensions: of the embeddings.
        layers: recurrent layers.
        hidden: their units, per direction.
        dropout: between recurrent layers.

    Example:
        >>> network = EmbeddingNetwork(bins=5, dimensions=3, layers=1, hidden=4)
        >>> embeddings = network(torch.randn(2, 1, 5, 7, dtype=torch.complex64))
        >>> embeddings.shape, bool(torch.allclose(embeddings.norm(dim=-1), torch.ones(2, 35)))
        (torch.Size([2, 35, 3]), True)
    """

    def __init__(self, bins: int, dimensions: int, layers: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.dimensions = dimensions
        self.features = SpectralFeatures(bins, per_utterance=True)
        self.recurrent = nn.LSTM(
            bins,
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.output = nn.Linear(2 * hidden, bins * dimensions)

    def body(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to hidden states (B, K, H)."""
        return self.recurrent(self.features(spectrogram))[0]

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map hidden states (B, K, H) to embeddings (B, K * F, D) of length 1."""
        raw = torch.tanh(at_least_float32(self.output(hidden)))  # (B, K, F * D)
        raw = raw.unflatten(-1, (-1, self.dimensions)).flatten(1, 2)  # (B, K * F, D)
        return functional.normalize(raw, dim=-1)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to embeddings (B, K * F, D)."""
        return self.head(self.body(spectrogram))


def attractors(
    embeddings: torch.Tensor, assignments: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the weighted mean embedding of each source.

    Args:
        embeddings: V, ``(batch, points, D)``.
        assignments: Y, ``(batch, points, sources)``, one-hot or shares.
        weights: w, ``(batch, points)``; 1 if not given.

    Returns:
        ``(batch, sources, D)``: ``A_s = sum_i w_i y_is v_i / sum_i w_i y_is``; 0 for a source
        without points.

    Source: Z. Chen, Y. Luo and N. Mesgarani, "Deep attractor network for single-microphone speaker
    separation", ICASSP 2017, eq. 3.

    Example:
        >>> embeddings = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.5]]])
        >>> attractors(embeddings, torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]]))
        tensor([[[1.0000, 0.0000],
                 [0.0000, 0.7500]]])
    """
    if weights is not None:
        assignments = assignments * weights[..., None]
    total = assignments.sum(1)[..., None].clamp_min(_SMALLEST_WEIGHT)  # (B, S, 1)
    return assignments.transpose(1, 2) @ embeddings / total


@torch.no_grad()
@full_precision
def kmeans(
    points: torch.Tensor, clusters: int, weights: torch.Tensor | None = None, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cluster points around as many centres, the best of a few k-means++ starts.

    Args:
        points: ``(batch, points, D)``.
        clusters: how many.
        weights: ``(batch, points)``, at least 0: points of weight 0 do not move the centres, but
            are assigned like the others; 1 if not given.
        seed: of the starts.

    Returns:
        centres ``(batch, clusters, D)`` and the nearest centre of each point ``(batch, points)``.

    Raises:
        InputError: for less than one cluster, or weights of another shape.

    Source: D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA
    2007.

    Example:
        >>> points = torch.tensor([[[0.0], [0.1], [5.0], [5.1]]])
        >>> centres, nearest = kmeans(points, 2)
        >>> centres.sort(1).values.flatten().tolist(), bool(nearest[0, 0] == nearest[0, 1])
        ([0.05000000074505806, 5.050000190734863], True)
    """
    if clusters < 1:
        raise InputError(f"clusters: expected at least 1, got {clusters}")
    weights = points.new_ones(points.shape[:2]) if weights is None else weights
    if weights.shape != points.shape[:2]:
        raise InputError(f"weights: expected {tuple(points.shape[:2])}, got {tuple(weights.shape)}")
    generator = torch.Generator().manual_seed(seed)
    best = None
    for _ in range(_RESTARTS):
        centres = _first_centres(points, clusters, weights, generator)
        for _ in range(_ITERATIONS):
            nearest = functional.one_hot(_distances(points, centres).argmin(-1), clusters)
            share = nearest.to(points.dtype) * weights[..., None]  # (B, N, C)
            filled = (share.sum(1) > 0)[..., None]  # a centre without points stays where it is
            moved = torch.where(filled, attractors(points, share), centres)
            if torch.equal(moved, centres):
                break
            centres = moved
        cost = (_distances(points, centres).amin(-1) * weights).sum(1)  # (B,)
        if best is None:
            best = (cost, centres)
        else:
            better = (cost < best[0])[:, None, None]
            best = (torch.minimum(cost, best[0]), torch.where(better, centres, best[1]))
    return best[1], _distances(points, best[1]).argmin(-1)


def masks_from_assignments(assignments: torch.Tensor, bins: int) -> torch.Tensor:
    """Arrange what belongs to whom, point by point, as masks.

    With the true assignments these are the ideal binary masks; with those of k-means, what deep
    clustering answers.

    Args:
        assignments: ``(batch, points, sources)``, one-hot or shares.
        bins: frequencies, that is points of a frame.

    Returns:
        ``(batch, sources, 1, freq, frames)``.

    Example:
        >>> assignments = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]])
        >>> masks_from_assignments(assignments, bins=2)[0, 1, 0]
        tensor([[0., 0.],
                [1., 0.]])
    """
    return assignments.unflatten(1, (-1, bins)).permute(0, 3, 2, 1)[:, :, None]


def cluster_masks(
    embeddings: torch.Tensor, clusters: int, spectrogram: torch.Tensor
) -> torch.Tensor:
    """Cluster the embeddings of a mixture and make a binary mask of each cluster.

    Points more than 40 dB below the loudest one do not place the clusters.

    Args:
        embeddings: ``(batch, frames * freq, D)``.
        clusters: how many.
        spectrogram: of the mixture, complex ``(batch, channels, freq, frames)``.

    Returns:
        ``(batch, clusters, 1, freq, frames)``.

    Example:
        >>> embeddings = torch.eye(2).repeat(1, 3, 1)  # even frequencies apart from odd ones
        >>> masks = cluster_masks(embeddings, 2, torch.ones(1, 1, 2, 3, dtype=torch.complex64))
        >>> masks.shape, masks.sum(1).unique(), masks[0, 0, 0].std(1)
        (torch.Size([1, 2, 1, 2, 3]), tensor([1.]), tensor([0., 0.]))
    """
    _, nearest = kmeans(embeddings, clusters, active_points(spectrogram))  # (B, N)
    assignments = functional.one_hot(nearest, clusters).to(embeddings.dtype)  # (B, N, S)
    return masks_from_assignments(assignments, spectrogram.shape[-2])


def _distances(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared distances (B, N, C), without a tensor of N x C x D."""
    return (
        points.square().sum(-1)[..., None]
        - 2 * points @ centres.transpose(1, 2)
        + centres.square().sum(-1)[:, None]
    ).clamp_min(0.0)


def _first_centres(
    points: torch.Tensor, clusters: int, weights: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Draw k-means++ centres: each far from those before, with a chance that grows with both."""
    chance, centres = weights, []
    for _ in range(clusters):
        # drawn on the CPU, so that a seed means the same on every device (mps has no float64)
        odds = chance.cpu().double() + 1e-12  # silent items draw anything
        drawn = torch.rand(1, generator=generator, dtype=odds.dtype)  # the same for every item
        share = odds.cumsum(1) / odds.sum(1, keepdim=True)  # (B, N)
        place = torch.searchsorted(share, drawn.expand(len(share), 1).contiguous())
        place = place.clamp_max(points.shape[1] - 1)[..., None].to(points.device)
        centres.append(points.gather(1, place.expand(-1, -1, points.shape[-1])))  # (B, 1, D)
        chance = weights * _distances(points, torch.cat(centres, 1)).amin(-1)
    return torch.cat(centres, 1)
