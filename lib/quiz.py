"""Quizzes: questions in YAML, shown with feedback for every answer, with no kernel needed.

One file per chapter, ``lib/quizzes/NN.yml``::

    title: Mixtures and tasks
    questions:
      - question: Two signals of equal power are added. What is the SNR?
        answers:
          - {text: 0 dB, correct: true, feedback: "Equal powers: 10 log<sub>10</sub> 1 = 0."}
          - {text: 3 dB, correct: false, feedback: "That is the level of the sum."}
      - question: How many dB is a factor of 10 in amplitude?
        numeric:
          value: 20
          tolerance: 0.1
          unit: dB
          feedback_right: "20 log<sub>10</sub> 10 = 20."
          feedback_wrong: "Amplitudes take 20 log<sub>10</sub>."

One correct answer makes radio buttons, several make check boxes. Texts may use ``<i> <b> <em>
<strong> <code> <sub> <sup>``; everything else is shown as it is typed. Formulas are written in
Unicode and these tags.
"""

from __future__ import annotations

import html
import importlib.resources
import math
import re
from typing import Any

from lib.errors import InputError, require_package
from lib.widgets.element import Element

_TAGS = "i b em strong code sub sup".split()
_TAG = re.compile(rf"&lt;(/?)({'|'.join(_TAGS)})&gt;")
_NUMERIC = {"value", "tolerance", "unit", "feedback_right", "feedback_wrong"}


def quiz(chapter: str) -> Element:
    """The quiz of a chapter as an interactive output.

    Args:
        chapter: its number as in the file name, for example ``"01"``.

    Raises:
        InputError: if there is no such quiz, or its file breaks the schema.

    Example:
        >>> quiz("99")
        Traceback (most recent call last):
        ...
        lib.errors.InputError: chapter: expected the number of a quiz, got '99'; ...
    """
    folder = importlib.resources.files("lib") / "quizzes"
    known = sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".yml"))
    if chapter not in known:
        raise InputError(
            f"chapter: expected the number of a quiz, got {chapter!r}; "
            f"there are: {', '.join(known) or 'none'}"
        )
    yaml = require_package("yaml", "quizzes", "pyyaml")
    text = (folder / f"{chapter}.yml").read_text(encoding="utf-8")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"quizzes/{chapter}.yml: expected YAML, got {error}") from error
    return show(document, f"quizzes/{chapter}.yml")


def show(document: dict[str, Any], name: str = "quiz") -> Element:
    """A quiz from the content of its file.

    Args:
        document: ``{"title": ..., "questions": [...]}`` as in the module's description.
        name: what to call it in an error.

    Raises:
        InputError: if it breaks the schema; the message names the question.

    Example:
        >>> answers = [
        ...     {"text": "yes", "correct": True, "feedback": "It does."},
        ...     {"text": "no", "correct": False, "feedback": "Look again."},
        ... ]
        >>> show({"title": "One", "questions": [{"question": "Does it?", "answers": answers}]})
        Quiz “One”: 1 question. Run this cell to answer.
    """
    _require(isinstance(document, dict), name, "a mapping with title and questions", document)
    _only(document, {"title", "questions"}, name)
    questions = document.get("questions")
    _require(isinstance(questions, list) and questions, name, "a list of questions", questions)
    title = _text(document, "title", name)
    config = {
        "title": f"Quiz: {title}",
        "questions": [_question(q, f"{name}, question {i}") for i, q in enumerate(questions, 1)],
    }
    plural = "" if len(questions) == 1 else "s"
    fallback = (
        f"Quiz “{document['title']}”: {len(questions)} question{plural}. Run this cell to answer."
    )
    return Element("unmix-quiz", config, ("quiz",), fallback)


def _question(question: Any, name: str) -> dict[str, Any]:
    _require(isinstance(question, dict), name, "a mapping", question)
    _only(question, {"question", "answers", "numeric"}, name)
    kinds = [kind for kind in ("answers", "numeric") if kind in question]
    _require(len(kinds) == 1, name, "either answers or numeric", kinds or "neither")
    shown = {"question": _text(question, "question", name)}
    if "numeric" in question:
        return shown | {"numeric": _numeric(question["numeric"], name)}
    answers = question["answers"]
    _require(isinstance(answers, list) and len(answers) > 1, name, "two answers or more", answers)
    shown["answers"] = [_answer(a, f"{name}, answer {i}") for i, a in enumerate(answers, 1)]
    texts = [answer["text"] for answer in shown["answers"]]
    _require(len(set(texts)) == len(texts), name, "different answers", texts)
    correct = sum(answer["correct"] for answer in shown["answers"])
    _require(correct > 0, name, "at least one correct answer", "none")
    return shown | {"multiple": correct > 1}


def _answer(answer: Any, name: str) -> dict[str, Any]:
    _require(isinstance(answer, dict), name, "a mapping", answer)
    _only(answer, {"text", "correct", "feedback"}, name)
    correct = answer.get("correct")
    _require(isinstance(correct, bool), name, "correct: true or false", correct)
    return {
        "text": _text(answer, "text", name),
        "correct": correct,
        "feedback": _text(answer, "feedback", name),
    }


def _numeric(numeric: Any, name: str) -> dict[str, Any]:
    _require(isinstance(numeric, dict), name, "numeric to be a mapping", numeric)
    _only(numeric, _NUMERIC, name)
    numbers = {}
    for key in ("value", "tolerance"):
        number = numeric.get(key)
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        _require(is_number and math.isfinite(number), name, f"a finite number as {key}", number)
        numbers[key] = number
    _require(numbers["tolerance"] > 0, name, "a positive tolerance", numbers["tolerance"])
    return numbers | {
        "unit": _text(numeric, "unit", name) if "unit" in numeric else "",
        "feedback_right": _text(numeric, "feedback_right", name),
        "feedback_wrong": _text(numeric, "feedback_wrong", name),
    }


def _text(mapping: dict[str, Any], key: str, name: str) -> str:
    """A required text as safe HTML: everything escaped but balanced tags of the short list."""
    value = mapping.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # YAML reads an answer like 3 as a number
    _require(isinstance(value, str) and value.strip(), name, f"a text as {key}", value)
    safe = _TAG.sub(r"<\1\2>", html.escape(value.strip(), quote=False))
    open_tags: list[str] = []
    for closing, tag in re.findall(rf"<(/?)({'|'.join(_TAGS)})>", safe):
        if not closing:
            open_tags.append(tag)
        else:
            balanced = bool(open_tags) and open_tags.pop() == tag
            _require(balanced, name, f"balanced tags in {key}", value)
    _require(not open_tags, name, f"balanced tags in {key}", value)
    return safe


def _only(mapping: dict[str, Any], allowed: set[str], name: str) -> None:
    unknown = sorted(str(key) for key in set(mapping) - allowed)
    _require(not unknown, name, f"only {', '.join(sorted(allowed))}", ", ".join(unknown))


def _require(condition: Any, name: str, expected: str, got: Any) -> None:
    if not condition:
        raise InputError(f"{name}: expected {expected}, got {got!r}; mend it in the YAML file")
