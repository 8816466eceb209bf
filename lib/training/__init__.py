"""Training: from a recipe to a checkpoint.

=============  ====================================================================
``recipes``    what a training is made of, in YAML; checked before anything starts
``data``       mixtures drawn anew in each epoch, from the seed and the epoch
``task``       one update and one validation: model, objective, optimiser, schedule
``engine``     :func:`train`: the loop, checkpoints, resuming, the model at the end
``live``       :func:`train_live`: a short training in a notebook with a live curve
``sweeps``     :func:`sweep`: a search over the numbers of a recipe
``budget``     how much a notebook may compute
=============  ====================================================================

The loop itself is that of PyTorch Lightning, which is loaded when the first training starts.
"""

from typing import Any

from lib.training.budget import Budget, budget
from lib.training.recipes import load_recipe, recipe_names

_LAZY = {
    "MixtureData": "data",
    "SeparationTask": "task",
    "sweep": "sweeps",
    "train": "engine",
    "train_live": "live",
}

__all__ = ["Budget", "budget", "load_recipe", "recipe_names", *_LAZY]


def __getattr__(name: str) -> Any:
    """Load what needs Lightning when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
