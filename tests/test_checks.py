"""The checks of exercises: how an answer is judged, and what the reader is told."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from lib.checks import (
    CheckFailed,
    NotAttempted,
    check,
    close,
    equal,
    exercise,
    holds,
    raises,
)
from lib.errors import InputError


@exercise("test.double")
def _double(answer):
    number = torch.randn(3)
    close(answer(number), 2 * number, "double(number)", hint="Multiply by two.")
    return "3 random numbers"


@exercise("test.number")
def _number(answer):
    close(answer, 6.02, "the answer in dB", atol=0.01)


def test_right_answer(capsys):
    result = check("test.double", lambda number: number + number)
    assert result
    assert result.status == "passed"
    assert capsys.readouterr().out == "✓ test.double: right (3 random numbers)\n"


def test_wrong_answer_says_what_was_expected_and_gives_the_hint(capsys):
    assert not check("test.number", 3.01)
    line = "✗ test.number: the answer in dB: expected 6.02, got 3.01\n"
    assert capsys.readouterr().out == line
    result = check("test.double", lambda number: number)
    assert not result
    assert result.message.endswith("Hint: Multiply by two.")


def _unwritten(number):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [..., None, _unwritten, lambda number: None, lambda number: ...])
def test_no_answer_yet(answer, capsys):
    result = check("test.double", answer)
    assert not result
    assert result.status == "not attempted yet"
    assert capsys.readouterr().out == "· test.double: not attempted yet\n"


@pytest.mark.parametrize(
    "answer",
    [3, "text", lambda: 1, lambda number: 1 / 0, lambda number: "a", lambda number: [[1], 2]],
)
def test_answers_that_break_are_caught(answer):
    result = check("test.double", answer)
    assert result.status == "failed"


def test_an_error_names_its_line():
    def broken(number):
        return number.nothing()

    message = check("test.double", broken).message
    assert "AttributeError" in message
    assert f"line {broken.__code__.co_firstlineno + 1} of broken" in message


def test_checks_draw_the_same_and_leave_the_readers_random_numbers_alone():
    seen = []

    def spy(number):
        seen.append(number.clone())
        np.random.rand()
        random.random()
        return 2 * number

    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    check("test.double", spy)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    check("test.double", spy)
    assert torch.equal(seen[0], seen[1])


def test_result_is_not_shown_twice():
    assert check("test.number", 6.02)._ipython_display_() is None


@pytest.mark.parametrize("name", ["ch99.nothing", "nothing", "../x.y", "test.doubel"])
def test_unknown_exercises(name):
    with pytest.raises(InputError):
        check(name, ...)


def test_bad_registrations():
    with pytest.raises(InputError, match="form"):
        exercise("nodot")
    with pytest.raises(InputError, match="registered"):
        exercise("test.double")(lambda answer: None)


# ------------------------------------------------------------------ assertions


def test_close_compares_values_and_shapes():
    close(torch.ones(2), np.ones(2), "ones")
    close(1 + 1e-7, 1, "one")
    close(torch.tensor([1j]), [1j], "complex")
    close(float("inf"), float("inf"), "infinity")
    for actual, expected, message in [
        (torch.ones(2), torch.ones(3), r"expected shape \(3,\), got \(2,\)"),
        (float("nan"), 1.0, "finite"),
        ([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], r"expected 3, got 4 at index \[2\] \(1 of 3 differ\)"),
        ("word", 1.0, "expected numbers, got str"),
    ]:
        with pytest.raises(CheckFailed, match=message):
            close(actual, expected, "it")
    with pytest.raises(NotAttempted):
        close(None, 1.0, "it")


def test_other_assertions():
    equal([1], [1], "list")
    holds(True, "truth")
    raises(lambda: int("a"), "a letter")
    with pytest.raises(CheckFailed, match=r"expected \[1\], got \[2\]"):
        equal([2], [1], "list")
    with pytest.raises(CheckFailed, match="truth"):
        holds(torch.tensor(False), "truth")
    with pytest.raises(CheckFailed, match="got no error"):
        raises(lambda: 1, "nothing")
    with pytest.raises(CheckFailed, match="expected ValueError, got KeyError"):
        raises(lambda: {}["a"], "a key")
    with pytest.raises(NotAttempted):
        raises(lambda: _unwritten(1), "nothing")
