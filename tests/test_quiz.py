"""Quizzes: the schema, its errors, and every quiz file of the course."""

from __future__ import annotations

import copy
import importlib.resources
import pathlib

import pytest

from lib.errors import InputError
from lib.quiz import quiz, show

GOOD = {
    "title": "Levels",
    "questions": [
        {
            "question": "What is 10 log<sub>10</sub> 1?",
            "answers": [
                {"text": 0, "correct": True, "feedback": "Yes."},
                {"text": 1, "correct": False, "feedback": "No."},
            ],
        },
        {
            "question": "And 20 log 10?",
            "numeric": {
                "value": 20,
                "tolerance": 0.1,
                "feedback_right": "Yes.",
                "feedback_wrong": "No.",
            },
        },
    ],
}

_FILES = sorted(
    file.name[:-4]
    for file in (importlib.resources.files("lib") / "quizzes").iterdir()
    if file.name.endswith(".yml")
)


def test_every_chapter_has_a_quiz():
    notebooks = pathlib.Path(__file__).parents[1] / "notebooks"
    assert _FILES == sorted(path.name[:2] for path in notebooks.glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("chapter", _FILES)
def test_every_quiz_file_is_valid(chapter):
    questions = quiz(chapter).config["questions"]
    assert 3 <= len(questions) <= 5
    for question in questions:  # what asks for all has check boxes
        assert "Tick all" not in question["question"] or question["multiple"]


def _changed(*path_and_value):
    *path, key, value = path_and_value
    document = copy.deepcopy(GOOD)
    place = document
    for step in path:
        place = place[step]
    if value is KeyError:
        del place[key]
    else:
        place[key] = value
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "quiz: expected a mapping"),
        (_changed("title", KeyError), "a text as title"),
        (_changed("extra", 1), "only questions, title, got 'extra'"),
        (_changed("questions", []), "a list of questions"),
        (_changed("questions", 0, "question", " "), "question 1: expected a text as question"),
        (_changed("questions", 0, "numeric", {}), "either answers or numeric"),
        (_changed("questions", 1, "numeric", KeyError), "either answers or numeric"),
        (_changed("questions", 0, "answers", 0, "correct", False), "at least one correct"),
        (_changed("questions", 0, "answers", 0, "correct", "yes"), "correct: true or false"),
        (_changed("questions", 0, "answers", 1, "feedback", KeyError), "answer 2: .*feedback"),
        (_changed("questions", 0, "answers", 1, "text", 0), "different answers"),
        (_changed("questions", 0, "answers", [GOOD]), "two answers or more"),
        (_changed("questions", 0, "question", "<i>open"), "balanced tags"),
        (_changed("questions", 0, "question", "<i><b>x</i></b>"), "balanced tags"),
        (_changed("questions", 1, "numeric", "tolerance", 0), "positive tolerance"),
        (_changed("questions", 1, "numeric", "value", "20"), "a finite number as value"),
        (_changed("questions", 1, "numeric", "value", float("nan")), "a finite number as value"),
        (_changed("questions", 1, "numeric", "hint", "x"), "question 2: expected only"),
    ],
)
def test_schema_errors_say_where_and_what(document, message):
    with pytest.raises(InputError, match=message):
        show(document)


def test_several_correct_answers_make_check_boxes():
    assert show(GOOD).config["questions"][0]["multiple"] is False
    both = _changed("questions", 0, "answers", 1, "correct", True)
    assert show(both).config["questions"][0]["multiple"] is True


def test_html_is_escaped_but_for_the_short_list():
    text = '<i>a</i> < b & <script>alert("1")</script> <img src=x> <i onclick=x>'
    document = _changed("questions", 0, "question", text)
    assert show(document).config["questions"][0]["question"] == (
        '<i>a</i> &lt; b &amp; &lt;script&gt;alert("1")&lt;/script&gt; &lt;img src=x&gt; '
        "&lt;i onclick=x&gt;"
    )


@pytest.mark.parametrize("chapter", ["99", "../01", 1, None])
def test_unknown_chapters(chapter):
    with pytest.raises(InputError, match="expected the number of a quiz"):
        quiz(chapter)
