"""The exercises of every chapter: their checks tell right from wrong, and say why.

``tests/solutions/chNN.py`` holds for each exercise ``RIGHT = {name: [answer, ...]}``, which must
pass, ``WRONG = {name: [(answer, part of the message), ...]}``, which must fail and say why, and
``OPEN = {name: [answer, ...]}``, which count as not attempted.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import lib.checks
from lib.checks import FAILED, OPEN, check, names

CHAPTERS = sorted(file.stem for file in Path(lib.checks.__file__).parent.glob("ch*.py"))
SOLUTIONS = {chapter: importlib.import_module(f"solutions.{chapter}") for chapter in CHAPTERS}


def cases(kind: str) -> list[tuple]:
    """Each answer of one kind, with the name of its exercise."""
    tables = [getattr(solutions, kind) for solutions in SOLUTIONS.values()]
    return [(name, answer) for table in tables for name in table for answer in table[name]]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_exercise_has_right_wrong_and_open_answers(chapter):
    exercises, solutions = set(names(chapter)), SOLUTIONS[chapter]
    assert exercises
    assert exercises == set(solutions.RIGHT) == set(solutions.WRONG) == set(solutions.OPEN)
    assert all(solutions.RIGHT[name] and solutions.WRONG[name] for name in exercises)


@pytest.mark.parametrize(("name", "answer"), cases("RIGHT"))
def test_the_right_answer_is_accepted(name, answer):
    result = check(name, answer)
    assert result, result.message


@pytest.mark.parametrize(("name", "case"), cases("WRONG"))
def test_a_wrong_answer_is_rejected_and_told_why(name, case):
    answer, reason = case
    result = check(name, answer)
    assert result.status == FAILED, result.message
    assert reason in result.message


@pytest.mark.parametrize(("name", "answer"), cases("OPEN"))
def test_an_open_answer_is_not_attempted(name, answer):
    assert check(name, answer).status == OPEN
    assert check(name, ...).status == check(name, None).status == OPEN
