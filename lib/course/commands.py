"""``python -m lib course``: the steps from an assignment to grades, one command each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib.course.kit import Course

_NOT_IN_FORCE = {
    "memory": "a submission can take all memory of this machine",
    "files": "only Python code is kept from your files, not compiled code",
    "calls": "only Python code is kept from the network and from other programs",
}


def add_steps(parser: argparse.ArgumentParser) -> None:
    """Add every step to the parser of ``course``.

    Args:
        parser: takes the steps as its own commands.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_steps(parser)
        >>> parser.parse_args(["export", "--course", "spring"]).course
        PosixPath('spring')
    """
    steps = parser.add_subparsers(title="steps", required=True, metavar="STEP")

    def step(run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = steps.add_parser(run.__name__.strip("_"), help=text, description=text)
        added.add_argument("--course", type=Path, required=True, metavar="DIR", help="its folder")
        added.set_defaults(run=run)
        return added

    name = {"metavar": "NAME", "help": "an assignment, such as 16_dprnn, or its number"}
    only = {"nargs": "+", "metavar": "ID", "help": "only these students"}

    release = step(_release, "make the notebooks to hand out, without solutions")
    release.add_argument("names", nargs="+", metavar="NAME", help=name["help"] + "; or all")
    release.add_argument("--exercises", type=Path, metavar="DIR", help="default: the book's own")

    collect = step(_collect, "take what a class handed in; their ids stand in roster.csv")
    collect.add_argument("name", **name)
    collect.add_argument("place", type=Path, help="a folder or zip from any platform")
    collect.add_argument("--force", action="store_true", help="replace what was collected before")

    check = step(_check, "find each answer again, also where a notebook lost its marks")
    check.add_argument("name", **name)
    check.add_argument("--students", **only)

    grade = step(_grade, "check, run and mark submissions; then take points given by hand")
    grade.add_argument("name", **name)
    grade.add_argument("--students", **only)
    grade.add_argument("--seconds", type=float, default=120.0, help="for one cell; default 120")
    grade.add_argument("--memory", type=float, default=2.0, help="in GB; default 2")
    grade.add_argument(
        "--hand", type=Path, metavar="CSV", help="enter this table of points instead of running"
    )

    feedback = step(_feedback, "write a page for each student")
    feedback.add_argument("name", **name)

    step(_export, "write grades for the platform, and statistics of each exercise")
    _add_listening(steps)


def _add_listening(steps: argparse._SubParsersAction) -> None:
    """Add the one step that needs no course folder."""
    text = "merge the files of a listening test into a report"
    listening = steps.add_parser("listening", help=text, description=text)
    listening.add_argument("folder", type=Path, help="with the JSON files of the listeners")
    listening.add_argument("--out", type=Path, metavar="DIR", help="default: FOLDER-report")
    listening.add_argument("--force", action="store_true", help="replace a report that exists")
    listening.set_defaults(run=_listening)


def _listening(options: argparse.Namespace) -> int:
    from lib.course.listening_report import report

    for path in report(options.folder, options.out, force=options.force):
        print(path)
    return 0


def _course(options: argparse.Namespace) -> Course:
    from lib.course.kit import Course
    from lib.course.sandbox import Limits

    limits = Limits()
    if "seconds" in options:
        limits = Limits(options.seconds, int(options.memory * 2**30))
    return Course(options.course, getattr(options, "exercises", None), limits)


def _release(options: argparse.Namespace) -> int:
    course = _course(options)
    known = course.available()
    names = known if options.names == ["all"] else options.names
    for name in [course.full_name(name, known) for name in names]:
        print(course.release(name))
    return 0


def _collect(options: argparse.Namespace) -> int:
    course = _course(options)
    name = course.full_name(options.name)
    taken, left = course.collect(name, options.place, options.force)
    missing = sorted({*course.roster().index} - {*course.collected(name)})
    print(f"{name}: took {len(taken)} notebooks")
    _tell("NOT TAKEN", left)
    _tell("nothing so far from", missing)
    return 1 if left else 0


def _check(options: argparse.Namespace) -> int:
    course = _course(options)
    reports = course.check(course.full_name(options.name), options.students)
    for report in reports:
        _tell(f"{report.student}: mended", report.done)
        _tell(f"{report.student}: LOOK AT", report.doubtful)
    doubtful = sum(bool(report.doubtful) for report in reports)
    print(f"{len(reports)} notebooks can be graded; {doubtful} should be looked at")
    return 1 if doubtful else 0


def _grade(options: argparse.Namespace) -> int:
    course = _course(options)
    name = course.full_name(options.name)
    if options.hand:
        print(f"{course.enter(name, options.hand)} answers have their points")
        return 0
    doubtful = 0
    for report in course.grade(name, options.students):
        score = "-" if report.score is None else f"{report.score:g} of {report.points:g}"
        print(f"{report.student}: {score}", flush=True)
        _tell("mended", report.done)
        _tell("LOOK AT", report.doubtful)
        doubtful += bool(report.doubtful)
    _tell("NOTE", [text for limit, text in _NOT_IN_FORCE.items() if not course.fences.get(limit)])
    table, waiting = course.answers(name)
    if waiting:
        print(f"{waiting} answers to grade by hand: fill in the table, then grade {name} --hand")
        print(table)
    return 1 if doubtful else 0


def _feedback(options: argparse.Namespace) -> int:
    course = _course(options)
    name = course.full_name(options.name)
    for page in course.feedback(name):
        print(page)
    table, waiting = course.answers(name)
    if waiting:
        _tell("NOTE", [f"{waiting} answers have no points yet, and none in these pages: {table}"])
    return 0


def _export(options: argparse.Namespace) -> int:
    for path in _course(options).export():
        print(path)
    return 0


def _tell(what: str, lines: Iterable[str]) -> None:
    for line in lines:  # strangers name files, and a terminal obeys some letters
        print(f"  {what}: {''.join(one if one.isprintable() else '?' for one in line)}")
