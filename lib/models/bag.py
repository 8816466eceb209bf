"""A bag: several systems of the same sources, whose estimates are blended source by source.

A. Defossez, "Hybrid spectrogram and waveform source separation", MDX workshop at ISMIR 2021: the
published results are those of bags. Weights of 1 and 0 take each source from the member that was
trained for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from lib.errors import InputError
from lib.models.base import Separator

__all__ = ["Bag"]


class Bag(Separator):
    """The weighted mean of what its members say.

    Args:
        members: for each the name of its class in :mod:`lib.models` (``system``) and the arguments
            of its constructor (``config``), as in checkpoints.
        weights: of each member, one number per source; the same for all if not given.

    Raises:
        InputError: for no members, members of different sources, rates or channels, or weights that
            leave a source out.

    Example:
        >>> member = {"system": "HybridDemucs", "config": {"filters": 4, "compression": 1}}
        >>> bag = Bag([member, member], weights=[[1, 1, 1, 0], [0, 0, 0, 1]])
        >>> bag.source_names, len(bag.members)
        (('drums', 'bass', 'other', 'vocals'), 2)
    """

    def __init__(
        self, members: Sequence[dict[str, Any]], weights: Sequence[Sequence[float]] | None = None
    ):
        from lib import models

        super().__init__()
        if not members:
            raise InputError("members: expected at least one, got none")
        for member in members:
            system = getattr(models, member["system"], None)
            if not (isinstance(system, type) and issubclass(system, Separator)):
                raise InputError(f"members: expected systems, got {member['system']!r}")
        self.members = nn.ModuleList(
            getattr(models, member["system"])(**member["config"]) for member in members
        )
        first = self.members[0]
        for name in ("source_names", "sample_rate", "channels"):
            known = [getattr(member, name) for member in self.members]
            if any(value != known[0] for value in known):
                raise InputError(f"members: expected the same {name}, got {known}")
            setattr(self, name, known[0])
        self.segment = getattr(first, "segment", None)  # in seconds, of what members learned from
        rows = [[1.0] * first.sources] * len(members) if weights is None else weights
        fits = [len(row) for row in rows] == [first.sources] * len(members)
        if not fits or any(
            min(column) < 0 or sum(column) == 0 for column in zip(*rows, strict=True)
        ):
            raise InputError(
                f"weights: expected {first.sources} numbers for each of {len(members)} members, "
                f"none below 0, and for each source one above, got {weights}"
            )
        totals = [sum(column) for column in zip(*rows, strict=True)]
        self.shares = [
            [weight / total for weight, total in zip(row, totals, strict=True)] for row in rows
        ]

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`lib.models.base.Separator.forward`."""
        shares = torch.tensor(self.shares, dtype=mixture.dtype, device=mixture.device)  # (M, S)
        estimates = [member(mixture) for member in self.members]
        return torch.einsum("ms,mbsct->bsct", shares, torch.stack(estimates))
