"""What a publisher's module says about weights, and how files of weights are read."""

from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lib.errors import DataError
from lib.models.base import Separator

__all__ = ["File", "Release", "Weights", "give_weights", "rename"]

Weights = dict[str, torch.Tensor]


class File(NamedTuple):
    """A file of a release."""

    url: str
    path: str  # in the cache folder
    sha256: str | None  # whole or its beginning; None where the publisher states none


class Release(NamedTuple):
    """Published weights: where they are, what they are for, what one may do with them."""

    page: str  # to read about them
    files: dict[str, File]  # by the part of the system
    system: type[Separator]
    options: dict[str, Any]  # of its constructor
    convert: Callable[[dict[str, Any]], Weights]  # what the files hold -> state of the system
    licence: str
    data: str  # what they learned from
    bytes_per_weight: int = 4


# Files of 2020 hold scores as numbers of numpy, those of Demucs their class and the length of its
# segment as a fraction: names that are not on PyTorch's list of what may be built. Nobody needs
# them: empty classes stand in for what the files name.
_NOTHING = {"__init__": lambda *_: None, "__setstate__": lambda *_: None}
_STAND_INS = [
    type(name, (), {"__module__": module, **_NOTHING})
    for module, name in [
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("demucs.hdemucs", "HDemucs"),
        ("demucs.htdemucs", "HTDemucs"),
        ("fractions", "Fraction"),
    ]
]


def _read(path: Path) -> Any:
    """Read tensors, numbers, text and containers; anything else is refused, and nothing is run."""
    allow = getattr(torch.serialization, "safe_globals", contextlib.nullcontext)  # PyTorch 2.4
    with allow(_STAND_INS):
        return torch.load(path, map_location="cpu", weights_only=True)


def give_weights(model: Separator, release: Release, paths: Mapping[str, Path]) -> None:
    """Read the files of a release into a model that was built with its options.

    Args:
        model: gets the weights; what else the files hold, such as windows, is left out.
        release: says how to convert them.
        paths: of the files, by part.

    Raises:
        DataError: if the files hold something else.

    Example:
        >>> import tempfile
        >>> from lib.models import UPIT
        >>> model, path = UPIT.tiny(), Path(tempfile.mkdtemp(), "weights.pth")
        >>> torch.save(UPIT.tiny().state_dict(), path)
        >>> release = Release("", {}, UPIT, {}, lambda files: files["all"], "MIT", "nothing")
        >>> give_weights(model, release, {"all": path})
    """
    try:
        found = release.convert({part: _read(path) for part, path in paths.items()})
        model.load_state_dict({name: found[name] for name in model.state_dict()})
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{', '.join(map(str, paths.values()))}: expected the weights of "
            f"{type(model).__name__}, got something else ({reason}); delete and try again"
        ) from error


def rename(weights: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> Weights:
    """Give weights of a peer the names that they have here.

    Convolutions over two axes with a kernel of one place become such over one axis.

    Args:
        weights: a peer's ``state_dict()``.
        names: patterns in the peer's names, and what is here in their place, applied in order.

    Example:
        >>> rename({"net.0.gamma": torch.zeros(1)}, {"^net": "layers", "gamma$": "weight"})
        {'layers.0.weight': tensor([0.])}
    """
    renamed = {}
    for name, values in weights.items():
        for theirs, ours in names.items():
            name = re.sub(theirs, ours, name)
        renamed[name] = values.flatten(2) if values.shape[2:] == (1, 1) else values
    return renamed
