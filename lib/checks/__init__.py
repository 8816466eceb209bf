"""Immediate checks of exercises: ``check("ch01.mix_at_snr", my_function)``.

A check calls the reader's answer on random inputs that are the same each time and prints one
friendly line. Checks of a chapter live in ``lib/checks/chNN.py``::

    @exercise("ch01.mix_at_snr")
    def mix_at_snr(answer):
        generator = torch.Generator().manual_seed(1)
        target, noise = torch.randn(2, 800, generator=generator)
        got = answer(target, noise, 5.0)
        close(snr(got, target), 5.0, "the SNR of the mixture", hint="Which one do you scale?")
        return "3 random mixtures"

``answer`` is what the reader wrote: a function, or a value such as a number. The text that the
check returns is shown beside the tick.
"""

from __future__ import annotations

import difflib
import importlib
import random
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.errors import InputError

PASSED, FAILED, OPEN = "passed", "failed", "not attempted yet"

_MARKS = {PASSED: "✓", FAILED: "✗", OPEN: "·"}
_REGISTRY: dict[str, Callable[[Any], str | None]] = {}


class CheckFailed(Exception):
    """An answer is not right; the text says what was expected and what came."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotAttempted(Exception):
    """There is no answer yet."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check: true when the answer passed.

    Attributes:
        name: the exercise, for example ``"ch01.mix_at_snr"``.
        status: ``"passed"``, ``"failed"`` or ``"not attempted yet"``.
        message: the line that was printed.
    """

    name: str
    status: str
    message: str

    def __bool__(self) -> bool:
        return self.status == PASSED

    def _ipython_display_(self) -> None:
        """Nothing: the line has been printed already."""


def exercise(name: str) -> Callable:
    """Register the decorated function as the check of an exercise.

    Args:
        name: ``"chNN.exercise"``; the part before the dot names the file.

    Raises:
        InputError: for another form of name, or one that is taken.

    Example:
        >>> @exercise("example.one")
        ... def one(answer):
        ...     equal(answer, 1, "the number")
        >>> bool(check("example.one", 1))
        ✓ example.one: right
        True
    """
    if not re.fullmatch(r"\w+\.\w+", name):
        raise InputError(f"name: expected the form 'ch01.mix_at_snr', got {name!r}")

    def register(function: Callable[[Any], str | None]) -> Callable:
        known = _REGISTRY.get(name)
        if known is not None and known.__qualname__ != function.__qualname__:
            raise InputError(f"name: expected a new name, got {name!r}, which is registered")
        _REGISTRY[name] = function
        return function

    return register


def check(name: str, answer: Any) -> CheckResult:
    """Check an answer, print one line, and never raise for anything that is in the answer.

    Args:
        name: the exercise, for example ``"ch01.mix_at_snr"``.
        answer: the reader's function or value; ``...``, ``None`` or a function that raises
            ``NotImplementedError`` or returns nothing counts as not attempted yet.

    Returns:
        A result that is true when the answer passed.

    Raises:
        InputError: if there is no such exercise.

    Example:
        >>> @exercise("example.double")
        ... def double(answer):
        ...     close(answer(3.0), 6.0, "double(3)", hint="Multiply by two.")
        >>> bool(check("example.double", lambda number: 2 * number))
        ✓ example.double: right
        True
        >>> bool(check("example.double", lambda number: number + 2))
        ✗ example.double: double(3): expected 6, got 5. Hint: Multiply by two.
        False
        >>> bool(check("example.double", ...))
        · example.double: not attempted yet
        False
    """
    function = _find(name)
    status, text = _run(function, answer)
    message = f"{_MARKS[status]} {name}: {text}"
    print(message)
    return CheckResult(name, status, message)


def names(chapter: str) -> list[str]:
    """The exercises of a chapter, in the order of its file.

    Args:
        chapter: for example ``"ch01"``.

    Raises:
        InputError: if there are no checks of that chapter.

    Example:
        >>> "ch01.mix_at_snr" in names("ch01")
        True
    """
    _load(chapter)
    return [name for name in _REGISTRY if name.startswith(f"{chapter}.")]


def close(
    actual: Any,
    expected: Any,
    what: str,
    *,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    hint: str = "",
) -> None:
    """Fail the check unless two numbers, arrays or tensors have equal shapes and close values.

    Args:
        actual: what the answer gave; ``None`` and ``...`` count as not attempted.
        expected: what is right.
        what: names the quantity in the message, with its unit.
        atol: absolute tolerance.
        rtol: tolerance relative to ``expected``.
        hint: added to the message.

    Raises:
        CheckFailed: if they differ.
        NotAttempted: if there is no answer.

    Example:
        >>> close(torch.tensor([1.0, 2.5]), [1.0, 2.0], "the levels in dB")
        Traceback (most recent call last):
        ...
        lib.checks.CheckFailed: the levels in dB: expected 2, got 2.5 at index [1] (1 of 2 differ)
    """
    got, right = _as_array(actual, what, hint), _as_array(expected, what, hint)
    if got.shape != right.shape:
        raise CheckFailed(f"{what}: expected shape {right.shape}, got {got.shape}", hint)
    if np.isnan(got).any() and not np.isnan(right).any():
        raise CheckFailed(f"{what}: expected finite values, got NaN", hint)
    wrong = ~np.isclose(got, right, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f" at index {list(first)} ({int(wrong.sum())} of {wrong.size} differ)" if first else ""
    raise CheckFailed(
        f"{what}: expected {_number(right[first])}, got {_number(got[first])}{place}", hint
    )


def equal(actual: Any, expected: Any, what: str, *, hint: str = "") -> None:
    """Fail the check unless two plain values (texts, lists, sets, shapes) are equal.

    Args:
        actual: what the answer gave; ``None`` and ``...`` count as not attempted.
        expected: what is right.
        what: names the value in the message.
        hint: added to the message.

    Raises:
        CheckFailed: if they differ.
        NotAttempted: if there is no answer.

    Example:
        >>> equal((2, 800), (2, 400), "the shape")
        Traceback (most recent call last):
        ...
        lib.checks.CheckFailed: the shape: expected (2, 400), got (2, 800)
    """
    _require_answer(actual)
    if actual != expected:
        raise CheckFailed(f"{what}: expected {expected!r}, got {actual!r}", hint)


def holds(condition: Any, what: str, *, hint: str = "") -> None:
    """Fail the check unless a condition is true.

    Args:
        condition: anything that is true or false.
        what: says what was expected.
        hint: added to the message.

    Raises:
        CheckFailed: if the condition is false.

    Example:
        >>> holds(1 > 2, "expected a larger number")
        Traceback (most recent call last):
        ...
        lib.checks.CheckFailed: expected a larger number
    """
    if not bool(condition):
        raise CheckFailed(what, hint)


def raises(
    function: Callable[[], Any], what: str, *, error: type[Exception] = ValueError, hint: str = ""
) -> None:
    """Fail the check unless calling a function raises an error of the given type.

    Args:
        function: called without arguments.
        what: names the call in the message.
        error: the type that is right.
        hint: added to the message.

    Raises:
        CheckFailed: if nothing or something else was raised.
        NotAttempted: if it raised ``NotImplementedError``.

    Example:
        >>> raises(lambda: int("1"), "a text")
        Traceback (most recent call last):
        ...
        lib.checks.CheckFailed: a text: expected ValueError, got no error
    """
    try:
        function()
    except NotImplementedError as caught:
        raise NotAttempted from caught
    except error:
        return
    except Exception as caught:
        got = type(caught).__name__
        raise CheckFailed(f"{what}: expected {error.__name__}, got {got}: {caught}", hint) from None
    raise CheckFailed(f"{what}: expected {error.__name__}, got no error", hint)


def _find(name: str) -> Callable[[Any], str | None]:
    if name not in _REGISTRY:
        chapter = name.partition(".")[0]
        _load(chapter)
    if name not in _REGISTRY:
        close_names = difflib.get_close_matches(name, _REGISTRY, n=3)
        known = close_names or names(chapter)
        raise InputError(f"name: expected an exercise, got {name!r}; did you mean {known}?")
    return _REGISTRY[name]


def _load(chapter: str) -> None:
    here = Path(__file__).parent
    known = sorted(file.stem for file in here.glob("ch*.py"))
    if chapter not in known:
        raise InputError(
            f"name: expected an exercise such as 'ch01.mix_at_snr', got chapter {chapter!r}; "
            f"there are: {', '.join(known) or 'none'}"
        )
    importlib.import_module(f"{__name__}.{chapter}")


def _run(function: Callable[[Any], str | None], answer: Any) -> tuple[str, str]:
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        # the reader's own random numbers stay as they were, and every run draws the same
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            np.random.seed(0)
            random.seed(0)
            _require_answer(answer)
            detail = function(answer)
    except (NotAttempted, NotImplementedError):
        return OPEN, OPEN
    except CheckFailed as failure:
        return FAILED, _sentence(str(failure), failure.hint)
    except Exception as error:
        return FAILED, _sentence(
            f"it stopped with {_describe(error, function)}", "Read the error's last line."
        )
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
    return PASSED, f"right ({detail})" if detail else "right"


def _sentence(message: str, hint: str) -> str:
    return f"{message.rstrip('.')}. Hint: {hint}" if hint else message


def _describe(error: Exception, function: Callable) -> str:
    here = str(Path(__file__).parent)
    # the reader's own line: the first frame below the check, before it enters a library
    frames = traceback.extract_tb(error.__traceback__)
    own = next(
        (f for f in frames if not f.filename.startswith(here) and f.name != function.__name__), None
    )
    place = f" (line {own.lineno} of {own.name})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


def _require_answer(value: Any) -> None:
    if value is None or value is ...:
        raise NotAttempted


def _as_array(value: Any, what: str, hint: str) -> np.ndarray:
    _require_answer(value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise CheckFailed(f"{what}: expected numbers, got {type(value).__name__}", hint) from error
    if array.dtype.kind not in "biufc":
        raise CheckFailed(f"{what}: expected numbers, got {type(value).__name__}", hint)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _number(value: Any) -> str:
    return f"{value:.6g}" if not np.iscomplexobj(value) else f"{complex(value):.4g}"
