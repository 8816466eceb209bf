"""What a training minimises: ``objective(model, mixture, sources) -> loss (batch,)``.

An objective runs the model and compares what comes out with the sources; :func:`make_objective`
builds one by name, as recipes do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lib.errors import InputError
from lib.losses.pit import pairwise, pit
from lib.losses.waveform import l1_loss, si_snr_loss, snr_loss

_WAVEFORM_LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "l1": l1_loss,
    "si_snr": si_snr_loss,
    "snr": snr_loss,
}


@dataclasses.dataclass
class Waveform:
    """Compare estimated waveforms with the sources.

    Args:
        loss: ``si_snr``, ``snr`` or ``l1``.
        permutation: ``none`` compares in order, ``utterance`` in the best order; if not given, the
            latter where the model's sources are of one type (``model.any_order``).

    Example:
        >>> mixture = torch.randn(3, 1, 100, generator=torch.Generator().manual_seed(0))
        >>> sources = torch.stack([mixture, -mixture], 1)
        >>> Waveform("l1", "utterance")(lambda mixture: sources.flip(1), mixture, sources)
        tensor([0., 0., 0.])
    """

    loss: str = "si_snr"
    permutation: str | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        _choose(self.loss, _WAVEFORM_LOSSES, "loss")
        _choose(self.permutation, (None, "none", "utterance"), "permutation")

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        level = _permutation(self.permutation, model)
        return _compare(_WAVEFORM_LOSSES[self.loss], model(mixture), sources, level)


OBJECTIVES: dict[str, type] = {
    "waveform": Waveform,
}


def make_objective(name: str, **options: Any) -> Callable[..., torch.Tensor]:
    """Build an objective by name.

    Args:
        name: a key of :data:`OBJECTIVES`.
        **options: of that objective.

    Returns:
        A callable ``(model, mixture (B, C, T), sources (B, S, C, T)) -> loss (B,)``.

    Raises:
        InputError: for an unknown name, option or value, naming the allowed ones.

    Example:
        >>> make_objective("waveform", loss="si_snr", permutation="utterance")
        Waveform(loss='si_snr', permutation='utterance')
    """
    objective = OBJECTIVES[_choose(name, OBJECTIVES, "objective")]
    allowed = [field.name for field in dataclasses.fields(objective)]
    for option in options:
        _choose(option, allowed, f"option of objective {name}")
    return objective(**options)


def _choose(value: Any, allowed: Any, name: str) -> Any:
    if value not in allowed:
        known = ", ".join(one for one in allowed if one is not None)
        raise InputError(f"{name}: expected one of {known}; got {value!r}")
    return value


def _permutation(permutation: str | None, model: nn.Module) -> str:
    if permutation is None:
        return "utterance" if model.any_order else "none"
    return permutation


def _compare(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    estimates: torch.Tensor,
    references: torch.Tensor,
    permutation: str,
) -> torch.Tensor:
    """Average ``loss`` over sources in order, or in the best order: ``(batch,)``."""
    if estimates.shape != references.shape:
        raise InputError(
            "sources: expected the shape of the model's estimates "
            f"{tuple(estimates.shape)}, got {tuple(references.shape)}"
        )
    if permutation == "none":
        return loss(estimates, references).flatten(1).mean(1)
    return pit(pairwise(loss, estimates, references))[0]
