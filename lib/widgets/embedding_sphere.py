"""The embedding sphere: turn learned embeddings, and be the k-means that parts them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lib.errors import InputError
from lib.widgets.element import Element, encode_array

_MOST_SOURCES = 4
_MOST_POINTS = 40_000
_SILENT = 255


def embedding_sphere(
    embeddings: torch.Tensor,
    owners: torch.Tensor,
    active: torch.Tensor,
    bins: int,
    names: Sequence[str] = ("speaker 1", "speaker 2"),
    title: str = "Embedding sphere",
    *,
    clusters: int = 2,
    seed: int = 0,
) -> Element:
    """A panel in which the reader turns a sphere of embeddings and places the centres of k-means.

    Each dot is an active time-frequency point, coloured by the source that owns it, or by the
    nearest centre. Centres can be dragged, moved with the arrow keys, or moved by k-means one step
    at a time; beside the sphere the clusters appear as masks over time and frequency. The page
    computes all of it itself.

    Args:
        embeddings: ``(points, 3)``, unit-norm rows, frame by frame: point ``k * bins + f`` is frame
            k, frequency f.
        owners: ``(points,)``, the index of the source that owns each point.
        active: ``(points,)``, true where the point is loud enough to count.
        bins: frequencies of a frame.
        names: of the sources, two to four.
        title: heading of the panel.
        clusters: centres at the beginning, 2 to 4.
        seed: of the points on which the centres start.

    Returns:
        An HTML output.

    Raises:
        InputError: for embeddings that are not 3-D or not of unit norm, shapes that do not fit,
            an owner without a name, too few active points or more than 40,000 points.

    Example:
        >>> embeddings = torch.eye(3)[[0, 1, 0, 1]]
        >>> owners, active = torch.tensor([0, 1, 0, 1]), torch.ones(4, dtype=torch.bool)
        >>> embedding_sphere(embeddings, owners, active, bins=2)
        Embedding sphere: speaker 1, speaker 2 (4 points). Run this cell to turn it.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] != 3 or len(embeddings) > _MOST_POINTS:
        raise InputError(
            f"embeddings: expected at most {_MOST_POINTS} rows of 3, got "
            f"{tuple(embeddings.shape)}; take a network with dimensions=3 and a short excerpt"
        )
    count = len(embeddings)
    if owners.shape != (count,) or active.shape != (count,) or bins < 1 or count % bins:
        raise InputError(
            f"owners, active, bins: expected ({count},), ({count},) and a divisor of {count}, got "
            f"{tuple(owners.shape)}, {tuple(active.shape)} and {bins}"
        )
    active = active.bool()
    norms = embeddings[active].norm(dim=1)
    if not torch.allclose(norms, torch.ones_like(norms), atol=1e-3):
        raise InputError("embeddings: expected rows of unit norm; divide each by its length")
    sources = range(2, _MOST_SOURCES + 1)
    if len(names) not in sources or clusters not in sources:
        raise InputError(
            f"names, clusters: expected 2 to {_MOST_SOURCES} each, got {len(names)} and {clusters}"
        )
    if int(active.sum()) < clusters:
        raise InputError(f"active: expected at least {clusters} points, got {int(active.sum())}")
    if not bool(((owners >= 0) & (owners < len(names))).all()):
        raise InputError(
            f"owners: expected indices from 0 to {len(names) - 1}, one for each of {list(names)}"
        )
    owned = torch.where(active, owners, _SILENT).to(torch.uint8).tolist()
    config = {
        "title": title,
        "names": [str(name) for name in names],
        "bins": int(bins),
        "points": encode_array(embeddings, "int8"),
        # as text, one letter a point: a for the first source, - for silence
        "owners": "".join("-" if owner == _SILENT else "abcd"[owner] for owner in owned),
        "clusters": int(clusters),
        "seed": int(seed),
    }
    fallback = (
        f"{title}: {', '.join(config['names'])} ({int(active.sum()):,} points). "
        "Run this cell to turn it."
    )
    return Element("unmix-embedding-sphere", config, ("embedding_sphere",), fallback)
