"""Checkpoints: a folder with a configuration, weights and a card; nothing is ever unpickled.

::

    config.json           the system, the arguments of its constructor, the hash of the weights
    weights.safetensors   parameters and buffers
    card.json             data, recipe, seed, curve, hours, machine, scores, licence

Those that come with the course lie in ``lib/models/pretrained/NAME``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lib.errors import CourseError, DataError, InputError, require_package

if TYPE_CHECKING:
    from lib.models.base import Separator

__all__ = ["card", "load", "save", "shipped"]

PRETRAINED = Path(__file__).resolve().parent / "pretrained"
FORMAT = 1
FILES = ("config.json", "weights.safetensors", "card.json")
DTYPES = {"float32": torch.float32, "float16": torch.float16}


def shipped() -> list[str]:
    """List the checkpoints that come with the course.

    Example:
        >>> "upit-blstm-small" in shipped()
        True
    """
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def save(
    model: Separator,
    folder: str | Path,
    card: dict[str, Any] | None = None,
    dtype: str = "float32",
) -> Path:
    """Write a separator to a folder, which appears whole or not at all.

    Args:
        model: the separator.
        folder: its place; a checkpoint that is there is replaced.
        card: what a user should know: JSON values.
        dtype: of the weights: ``float32``, or ``float16`` for half the size.

    Returns:
        The folder.

    Raises:
        InputError: for an unknown dtype, weights that are not finite or too large for it, or a
            folder that holds something else.

    Example:
        >>> import tempfile
        >>> from lib.models import UPIT, Separator
        >>> folder = save(UPIT.tiny(), Path(tempfile.mkdtemp()) / "first", {"seed": 0})
        >>> sorted(path.name for path in folder.iterdir())
        ['card.json', 'config.json', 'weights.safetensors']
        >>> type(Separator.from_pretrained(folder)).__name__
        'UPIT'
    """
    safetensors = require_package("safetensors.torch", "checkpoints", "safetensors")
    if dtype not in DTYPES:
        raise InputError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    folder = Path(folder)
    if folder.exists() and (
        not folder.is_dir() or {path.name for path in folder.iterdir()} - set(FILES)
    ):
        raise InputError(f"{folder}: expected a free name or a checkpoint, got something else")
    weights = {}
    for key, value in model.state_dict().items():
        kind = DTYPES[dtype] if value.is_floating_point() else value.dtype  # counters stay integers
        if value.is_floating_point() and value.numel():
            largest = value.abs().max().item()
            if not largest <= torch.finfo(kind).max:
                raise InputError(f"{key}: expected finite weights that fit {dtype}, got {largest}")
        weights[key] = value.detach().cpu().to(kind).contiguous()
    data = safetensors.save(weights)
    config = {
        "format": FORMAT,
        "system": type(model).__name__,
        "config": model.config,
        "dtype": dtype,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    part.mkdir()
    try:
        (part / FILES[0]).write_text(_json(config), encoding="utf-8", newline="\n")
        (part / FILES[1]).write_bytes(data)
        (part / FILES[2]).write_text(_json(card or {}), encoding="utf-8", newline="\n")
        _put(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _put(part: Path, folder: Path) -> None:
    """Move a folder to its place; what was there goes only when the new one is in its place."""
    if not folder.exists():
        part.rename(folder)
        return
    old = part.with_suffix(".old")
    folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def load(name_or_path: str | Path) -> Separator:
    """Load a checkpoint.

    Args:
        name_or_path: one of :func:`shipped`, a folder, or the name of official weights such as
            ``openunmix/umxhq``, which are fetched at the first time.

    Returns:
        The separator in float32, in evaluation mode.

    Raises:
        InputError: if there is none of this name, or it needs another version of the course.
        DataError: if it is damaged, or cannot be fetched.

    Example:
        >>> load("upit-blstm-large")
        Traceback (most recent call last):
        ...
        lib.errors.InputError: checkpoint: expected a folder with ... got 'upit-blstm-large'
    """
    folder = _folder(name_or_path)
    if folder is None:
        from lib.models import official

        if str(name_or_path) in official.names():
            return official.load(str(name_or_path))
        raise InputError(
            f"checkpoint: expected a folder with {FILES[0]}, one of {', '.join(shipped())}, or "
            f"official weights: {', '.join(official.names())}; got {str(name_or_path)!r}"
        )
    config = _read(folder / FILES[0])
    model = _build(config, folder)
    data = _bytes(folder / FILES[1])
    if hashlib.sha256(data).hexdigest() != config.get("sha256"):
        raise DataError(
            f"{folder / FILES[1]}: expected the hash that {FILES[0]} names, got another: the file "
            "is damaged or belongs to another checkpoint; fetch or train it again"
        )
    safetensors = require_package("safetensors.torch", "checkpoints", "safetensors")
    from safetensors import SafetensorError

    try:
        weights = {key: value.float() for key, value in safetensors.load(data).items()}
        model.load_state_dict(weights)
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{folder}: expected the weights of {config['system']}, got others ({reason})"
        ) from error
    return model.eval()


def card(name_or_path: str | Path) -> dict[str, Any]:
    """Read what a checkpoint says about itself.

    Args:
        name_or_path: one of :func:`shipped`, or a folder.

    Raises:
        InputError: if there is none of this name.
        DataError: if the card is damaged.

    Example:
        >>> card("upit-blstm-small")["recipe"]["system"]["name"]
        'UPIT'
    """
    folder = _folder(name_or_path)
    if folder is None:
        raise InputError(
            f"checkpoint: expected a folder with {FILES[0]} or one of {', '.join(shipped())}, "
            f"got {str(name_or_path)!r}"
        )
    return _read(folder / FILES[2])


def _folder(name_or_path: str | Path) -> Path | None:
    if isinstance(name_or_path, str) and name_or_path in shipped():
        return PRETRAINED / name_or_path
    path = Path(name_or_path)
    return path if (path / FILES[0]).is_file() else None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a file of a checkpoint, got: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_bytes(path).decode("utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__}")
    except ValueError as error:
        raise DataError(f"{path}: expected a JSON object, got: {error}") from error
    return values


def _build(config: dict[str, Any], folder: Path) -> Separator:
    import lib.models
    from lib.models.base import Separator

    if config.get("format") != FORMAT:
        raise InputError(
            f"{folder}: expected a checkpoint of format {FORMAT}, got {config.get('format')!r}; "
            "install a version of the course that knows it"
        )
    name = config.get("system")
    system = getattr(lib.models, name, None) if name in lib.models.__all__ else None
    if not (isinstance(system, type) and issubclass(system, Separator)):
        raise InputError(f"{folder}: expected a system of the course, got {name!r}")
    try:
        return system(**config.get("config", {}))
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, CourseError):
            raise
        raise InputError(f"{folder}: {name} refuses its configuration: {error}") from error
