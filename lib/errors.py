"""The errors of the course, and the checks that raise them.

Every message says what was expected, what came, and what to do about it. The command line turns
any :class:`CourseError` into one line and exit code 2.
"""

from __future__ import annotations

import importlib
import numbers
from types import ModuleType

import torch


class CourseError(Exception):
    """Base of every error that a user can cause and mend."""


class InputError(CourseError, ValueError):
    """An argument, a signal or a file is not what the function needs."""


class DataError(CourseError, RuntimeError):
    """Course data is missing, damaged or out of reach."""


class MissingPackageError(CourseError, ImportError):
    """An optional package is not installed."""


def require_package(module: str, purpose: str, package: str | None = None) -> ModuleType:
    """Import an optional package, or say in one line what to install.

    Args:
        module: name to import, for example ``"pesq"``.
        purpose: what needs it, for example ``"the PESQ metric"``.
        package: name on the package index where it differs from the top-level module.

    Raises:
        MissingPackageError: if the package cannot be imported.

    Example:
        >>> require_package("math", "this example").sqrt(4.0)
        2.0
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module.partition(".")[0]
        raise MissingPackageError(
            f"{purpose} needs the package {package!r}, which cannot be imported ({error}); "
            f"install it with: pip install {package}"
        ) from error


def check_signal(signal: torch.Tensor, name: str, *, ndim: int | None = None) -> None:
    """Require a non-empty, finite, floating-point tensor ``(..., time)``.

    Args:
        signal: what the caller passed.
        name: its name in the caller's signature.
        ndim: exact number of dimensions, if the caller needs one.

    Raises:
        InputError: if the tensor is of another type, empty, of other dimensions, NaN or infinite.

    Example:
        >>> check_signal(torch.zeros(2, 0), "mixture")
        Traceback (most recent call last):
        ...
        lib.errors.InputError: mixture: expected at least one sample, got shape (2, 0)
    """
    if not isinstance(signal, torch.Tensor):
        raise InputError(
            f"{name}: expected a torch.Tensor, got {type(signal).__module__}."
            f"{type(signal).__qualname__}; convert it with torch.from_numpy or torch.as_tensor"
        )
    if not signal.is_floating_point():
        raise InputError(
            f"{name}: expected a floating-point tensor, got {signal.dtype}; call .float() on it"
        )
    if signal.ndim == 0 or (ndim is not None and signal.ndim != ndim):
        expected = "at least 1 dimension" if ndim is None else f"{ndim} dimensions"
        raise InputError(f"{name}: expected {expected}, got shape {tuple(signal.shape)}")
    if signal.numel() == 0:
        raise InputError(f"{name}: expected at least one sample, got shape {tuple(signal.shape)}")
    # on the meta device, where costs are counted, there are no values to look at
    if not signal.is_meta and not torch.isfinite(signal).all():
        raise InputError(
            f"{name}: expected finite samples, got NaN or infinity; look at its source"
        )


def check_rate(sample_rate: int, name: str = "sample_rate") -> int:
    """Require a sample rate: a positive whole number of Hz.

    Args:
        sample_rate: what the caller passed.
        name: its name in the caller's signature.

    Returns:
        The rate as ``int``.

    Raises:
        InputError: for anything else.

    Example:
        >>> check_rate(16000.0)
        16000
    """
    is_number = isinstance(sample_rate, numbers.Real) and not isinstance(sample_rate, bool)
    # a remainder of nan or infinity is nan
    if not (is_number and sample_rate >= 1 and sample_rate % 1 == 0):
        raise InputError(f"{name}: expected a positive integer in Hz, got {sample_rate!r}")
    return int(sample_rate)


def check_same_shape(first: torch.Tensor, second: torch.Tensor, names: tuple[str, str]) -> None:
    """Require two signals of equal shape.

    Args:
        first: a tensor.
        second: another.
        names: theirs in the caller's signature.

    Raises:
        InputError: if the shapes differ.

    Example:
        >>> check_same_shape(torch.zeros(3), torch.zeros(4), ("estimate", "reference"))
        Traceback (most recent call last):
        ...
        lib.errors.InputError: estimate and reference: expected equal shapes, got (3,) and (4,)
    """
    if first.shape != second.shape:
        raise InputError(
            f"{names[0]} and {names[1]}: expected equal shapes, "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )
