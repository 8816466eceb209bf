"""How much a notebook may compute: ``UNMIX_BUDGET`` = ``smoke``, ``cpu`` or ``gpu``."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from lib.errors import InputError


@dataclass(frozen=True)
class Budget:
    """What a budget allows.

    Attributes:
        name: ``smoke`` (tests: seconds a notebook), ``cpu`` (minutes on two cores) or ``gpu``.
        items: how many mixtures a table of results is made from.
        steps: how many updates a live training makes.
    """

    name: str
    items: int
    steps: int


_BUDGETS = {
    "smoke": Budget("smoke", items=4, steps=2),
    "cpu": Budget("cpu", items=30, steps=200),
    "gpu": Budget("gpu", items=100, steps=5000),
}


def budget() -> Budget:
    """Return the budget that the environment variable ``UNMIX_BUDGET`` names.

    Without it, it is ``gpu`` where torch sees a GPU, and ``cpu`` elsewhere.

    Raises:
        InputError: if the variable names no budget.

    Example:
        >>> budget().name in ("smoke", "cpu", "gpu")
        True
    """
    default = "gpu" if torch.cuda.is_available() else "cpu"
    name = os.environ.get("UNMIX_BUDGET") or default
    if name not in _BUDGETS:
        raise InputError(f"UNMIX_BUDGET: expected one of {', '.join(_BUDGETS)}, got {name!r}")
    return _BUDGETS[name]
