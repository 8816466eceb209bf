"""A course folder, and what an instructor does with it, over nbgrader's converters and gradebook.

The folder is nbgrader's own layout, so its other tools work there as well::

    roster.csv        the class: a column ``id``; ``last_name``, ``first_name``, ``email`` if wanted
    gradebook.db      nbgrader's, sqlite
    source/           the assignments as they were released, with their solutions
    release/          what to hand out
    collected/        what came back, byte for byte
    submitted/        the same, rebuilt on the release
    autograded/       the same, run
    feedback/         a page for each student and assignment
    hand/             tables to fill in for what is graded by hand, and the rubrics
    export/           grades and statistics
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import secrets
import stat
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
import pandas as pd
from nbformat import NotebookNode

from lib.course import intake
from lib.course.assignments import (
    HIDDEN_TESTS,
    SOLUTION,
    STUBS,
    answered,
    first_error,
    grade_id,
    kind,
    leaks,
    parse,
    parts,
    released,
    repaired,
    resembles,
    scores,
    with_tests,
)
from lib.course.pages import offline, with_formulas
from lib.course.sandbox import Cell, Limits, execute
from lib.errors import CourseError, DataError, InputError, require_package

REPOSITORY = Path(__file__).resolve().parents[2]
EXERCISES = REPOSITORY / "notebooks" / "exercises"
_COURSE = "default_course"  # nbgrader's, where it keeps one course in a gradebook
_PERSON = ("last_name", "first_name", "email")
_TABLE = ("student", "cell", "points", "answer", "score", "comment")


@dataclass
class Report:
    """What was done for one student, and what somebody should look at.

    Attributes:
        student: the id.
        score: points so far, or None if nothing was graded.
        points: the most.
        done: lines on what was mended.
        doubtful: lines on what is lost, or not clear.
    """

    student: str
    score: float | None = None
    points: float | None = None
    done: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)


class Course:
    """A class and its assignments, in a folder.

    Args:
        folder: of the course; made if there is none.
        exercises: where the assignments' sources lie, one folder each; default: the book's own.
        limits: what grading one submission may take.

    Raises:
        MissingPackageError: without nbgrader.

    Example:
        >>> Course("my-course").roster()
        Traceback (most recent call last):
        ...
        lib.errors.InputError: .../roster.csv: expected a table with a column id, got none (...)
    """

    def __init__(
        self,
        folder: str | Path,
        exercises: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        require_package("nbgrader", "the course kit")
        self.folder = Path(os.path.realpath(folder))
        self.exercises = Path(exercises or EXERCISES)
        secret = (self.folder, self.exercises, REPOSITORY / "notebooks", REPOSITORY / "tests")
        self.limits = replace(limits or Limits(), secret=secret)
        #: which limits held when a submission was run here last
        self.fences: dict[str, bool] = {}

    # -------------------------------------------------------------- what there is

    def available(self) -> list[str]:
        """The names of all assignments that can be released."""
        return sorted(path.stem for path in self.exercises.glob("*/*.ipynb"))

    def full_name(self, name: str, of: Sequence[str] | None = None) -> str:
        """The name of an assignment from itself or its number.

        Args:
            name: such as ``"09_ideal_masks"``, ``"09"`` or ``"9"``.
            of: the names to choose from; default: those that were released.

        Raises:
            InputError: if there is none.
        """
        if of is None:
            of = sorted(path.stem for path in self.folder.glob("release/*/*.ipynb"))
        found = [one for one in of if name in (one, one[:2], one[:2].lstrip("0"))]
        if len(found) != 1:
            known = ", ".join(of) or "none so far"
            raise InputError(f"assignment: expected one of these ({known}), got {name!r}")
        return found[0]

    def roster(self) -> pd.DataFrame:
        """The class, by id.

        Raises:
            InputError: without a roster, or with an id that is used twice or is no plain word.
        """
        path = self.folder / "roster.csv"
        table = _table(path, ["id"])
        ids = [one.strip() for one in table["id"]]
        odd = [one for one in ids if not re.fullmatch(r"\w[\w.@-]*", one, flags=re.ASCII)]
        twice = [one for one in ids if [i.lower() for i in ids].count(one.lower()) > 1]
        if odd or twice:
            raise InputError(
                f"{path}: expected ids of letters, digits, and . _ @ -, each once; "
                f"got {(odd or twice)[0]!r}"
            )
        return table.assign(id=ids, **{one: table.get(one, "") for one in _PERSON}).set_index("id")

    # -------------------------------------------------------------- handing out

    def release(self, name: str) -> Path:
        """Make what students get, and refuse to if anything of a solution is left in it.

        The source and the release are both graded first: all points and none are expected.

        Returns:
            The notebook to hand out.

        Raises:
            InputError: if a line of a solution leaks, the source does not earn all points, or the
                release earns any. Nothing is released then.
        """
        path = self.exercises / name / f"{name}.ipynb"
        source = parse(path.read_bytes(), path.name)
        release = released(source)
        if found := leaks(source, release):
            raise InputError(
                f"{name}: expected a release without solutions, got a line of one: {found[0]!r}"
            )
        for notebook, what, share in ((source, "solution", 1), (release, "release", 0)):
            graded = self._run(with_tests(repaired(release, notebook)[0], source), source)
            for test, (got, most) in scores(graded).items():
                if got != share * most:
                    reason = first_error(graded) if share else "nothing was left to do"
                    raise InputError(
                        f"{name}: expected {share * most:g} points for {test} of the {what}, "
                        f"got {got:g}; {reason}"
                    )
        copy = self._notebook("source", name)
        before = copy.read_bytes() if copy.is_file() else None
        _write(copy, path.read_bytes())
        try:
            with self._gradebook(make=True):
                pass
            self._convert("GenerateAssignment", name)
        except BaseException:
            copy.unlink() if before is None else _write(copy, before)
            raise
        return self._notebook("release", name)

    # -------------------------------------------------------------- taking back

    def collect(self, name: str, place: Path, force: bool = False) -> tuple[list[str], list[str]]:
        """Take what a class handed in, byte for byte, each to its student.

        Args:
            name: of the assignment.
            place: a folder, a zip, or one notebook.
            force: replace what was collected before and differs.

        Returns:
            The ids whose notebook was taken, and a line for everything that was not.

        Raises:
            InputError: if nothing was released, or there is no roster or no such place.
        """
        release, students = self._release(name), list(self.roster().index)
        found, left = intake.notebooks(Path(place))
        theirs: dict[str, dict[bytes, str]] = {}
        for path, data in found.items():
            owners = intake.owner(path, students)
            if len(owners) != 1:
                who = "nobody on the roster" if not owners else " and ".join(owners)
                left.append(f"{path}: belongs to {who}")
                continue
            try:
                alike = resembles(release, parse(data, path))
            except InputError as error:
                left.append(f"{error} ({owners[0]})")
                continue
            if alike:
                theirs.setdefault(owners[0], {})[data] = path
            else:
                left.append(f"{path}: nothing in it is of {name} ({owners[0]})")
        taken = []
        for student, versions in sorted(theirs.items()):
            target = self._notebook("collected", name, student)
            known = target.read_bytes() if target.is_file() else None
            if len(versions) > 1:
                paths = ", ".join(sorted(versions.values()))
                left.append(f"{paths}: {len(versions)} versions by {student}, none was taken")
            elif known is not None and known not in versions and not force:
                path = next(iter(versions.values()))
                left.append(f"{path}: {student} handed in another before; --force replaces it")
            else:
                _write(target, next(iter(versions)), read_only=True)
                taken.append(student)
        return taken, left

    def check(self, name: str, students: Sequence[str] | None = None) -> list[Report]:
        """Rebuild each submission on the release, so that grading finds every cell.

        Args:
            name: of the assignment.
            students: some ids; default: all that handed in.

        Returns:
            A report for each student: what was mended, and what is lost or in doubt.

        Raises:
            InputError: if nothing was collected, or not from one of these students.
        """
        release, reports = self._release(name), []
        students = students or self.collected(name)
        if not students:
            raise InputError(f"{name}: expected notebooks that were collected, got none")
        for student in students:
            path = self._notebook("collected", name, student)
            if not path.is_file():
                raise InputError(f"{student}: expected a notebook of {name}, got none; collect it")
            submission = parse(path.read_bytes(), path.name)
            notebook, done, doubtful = repaired(release, submission)
            data = nbformat.writes(notebook).encode()
            _write(self._notebook("submitted", name, student), data, read_only=True)
            reports.append(Report(student, done=done, doubtful=doubtful))
        return reports

    def collected(self, name: str) -> list[str]:
        """The ids of those who handed in."""
        found = self.folder.glob(f"collected/*/{name}/{name}.ipynb")
        return sorted(path.parts[-3] for path in found)

    # -------------------------------------------------------------- grading

    def grade(self, name: str, students: Sequence[str] | None = None) -> Iterator[Report]:
        """Check and run submissions, and enter their points into the gradebook.

        Args:
            name: of the assignment.
            students: some ids; default: all that handed in.

        Yields:
            A report for each student, as soon as it is there.

        Raises:
            InputError: if nothing was collected.
        """
        roster = self.roster()
        for report in self.check(name, students):
            with self._gradebook() as gradebook:
                # who has left the class since then has no name any more
                person = roster.reindex([report.student], fill_value="").iloc[0][list(_PERSON)]
                gradebook.update_or_create_student(report.student, **person.to_dict())
            try:
                self._convert("Autograde", name, report.student)
            except CourseError as error:
                report.doubtful.append(f"it was not graded: {error}")
            else:
                with self._gradebook() as gradebook:
                    submission = gradebook.find_submission(name, report.student)
                    report.score, report.points = submission.score, submission.max_score
            yield report

    def answers(self, name: str) -> tuple[Path, int]:
        """Write the table of the answers that somebody has to read, and their rubrics beside it.

        What is filled in already stays, whether it was entered or not.

        Returns:
            The table, and how many answers wait for points.
        """
        rows, path, waiting = [], self.folder / "hand" / f"{name}.csv", 0
        answers = [cell for cell in self._source(name).cells if kind(cell) == "answer"]
        filled = {}
        if path.is_file():
            old = _table(path, _TABLE)
            filled = {(row.student, row.cell): (row.score, row.comment) for row in old.itertuples()}
        with self._gradebook() as gradebook:
            for submission in gradebook.assignment_submissions(name):
                student = submission.student.id
                notebook = self._notebook("submitted", name, student)
                written = {grade_id(c): c.source for c in parse(notebook.read_bytes(), name).cells}
                for cell in answers:
                    grade = gradebook.find_grade(grade_id(cell), name, name, student)
                    if not grade.needs_manual_grade and grade.manual_score is None:
                        continue  # left empty: no points
                    comment = gradebook.find_comment(grade_id(cell), name, name, student)
                    known = "" if grade.manual_score is None else f"{grade.manual_score:g}"
                    score, text = filled.get((student, grade_id(cell)), ("", ""))
                    row = (student, grade_id(cell), f"{grade.max_score:g}", written[grade_id(cell)])
                    rows.append((*row, score or known, text or comment.manual_comment or ""))
                    waiting += grade.needs_manual_grade
        table = pd.DataFrame(rows, columns=_TABLE)
        rubrics = [f"# {grade_id(c)}\n\n{parts(c.source, SOLUTION)[1]}\n" for c in answers]
        _write(path.with_suffix(".md"), "\n".join(rubrics).encode())
        # a text that begins like a formula is one to a spreadsheet, and this text is a stranger's
        table["answer"] = table["answer"].str.replace(r"^(?=[=+@\-\t\r])", "'", regex=True)
        _write(path, table.to_csv(index=False, lineterminator="\n").encode("utf-8-sig"))
        return path, waiting

    def enter(self, name: str, path: Path) -> int:
        """Enter the points and comments of a table that was filled in by hand: all rows or none.

        Args:
            name: of the assignment.
            path: the table; rows without a score are left for later.

        Returns:
            How many answers have their points now.

        Raises:
            InputError: for a row that fits no answer, or points that there are not.
        """
        from nbgrader.api import MissingEntry

        entered = 0
        with self._gradebook() as gradebook:
            for number, row in enumerate(_table(path, _TABLE).itertuples(), 1):
                if not row.score.strip():
                    continue
                try:
                    grade = gradebook.find_grade(row.cell, name, name, row.student)
                    score = float(row.score.replace(",", "."))
                    fits = 0 <= score <= grade.max_score
                except (MissingEntry, ValueError):
                    fits = False
                if not fits:
                    gradebook.db.rollback()
                    raise InputError(
                        f"{path}, row {number}: expected points for an answer that was handed "
                        f"in, got {row.score!r} for {row.cell!r} of {row.student!r}; nothing was "
                        "entered"
                    )
                grade.manual_score, grade.needs_manual_grade = score, False
                comment = gradebook.find_comment(row.cell, name, name, row.student)
                comment.manual_comment = row.comment.strip() or None
                entered += 1
            gradebook.db.commit()
        return entered

    def feedback(self, name: str) -> list[Path]:
        """Write a page for each student whose submission was graded.

        Returns:
            The pages.

        Raises:
            InputError: if nothing was graded.
        """
        graded = sorted(self.folder.glob(f"autograded/*/{name}/{name}.ipynb"))
        if not graded:
            raise InputError(f"{name}: expected submissions that were graded, got none")
        students = [path.parts[-3] for path in graded]
        paths = [self._notebook("feedback", name, student, ".html") for student in students]
        for student, path in zip(students, paths, strict=True):
            self._convert("GenerateFeedback", name, student)
            _write(path, offline(path.read_text(encoding="utf-8")).encode())
        return paths

    # -------------------------------------------------------------- numbers

    def export(self) -> tuple[Path, Path]:
        """Write the grades, a row for each of the class, and the statistics of each exercise.

        Returns:
            Two tables: for the learning platform, and for yourself.
        """
        roster, rows = self.roster()[list(_PERSON)], []
        with self._gradebook() as gradebook:
            left = {student.id for student in gradebook.students} - {*roster.index}
            grades = roster.reindex([*roster.index, *sorted(left)], fill_value="")
            for assignment in gradebook.assignments:
                submissions = {one.student.id: one for one in assignment.submissions}
                grades[assignment.name] = [
                    submissions[one].score if one in submissions else None for one in grades.index
                ]
                waiting = [one for one, got in submissions.items() if got.needs_manual_grade]
                grades[f"{assignment.name}, to grade by hand"] = [
                    "yes" if one in waiting else "" for one in grades.index
                ]
                for notebook in assignment.notebooks:
                    rows += [_statistics(assignment.name, cell) for cell in notebook.grade_cells]
        paths = self.folder / "export" / "grades.csv", self.folder / "export" / "statistics.csv"
        for path, table in zip(paths, (grades.reset_index(), pd.DataFrame(rows)), strict=True):
            _write(path, table.to_csv(index=False, lineterminator="\n").encode("utf-8-sig"))
        return paths

    # -------------------------------------------------------------- inside

    def _notebook(self, step: str, name: str, student: str = ".", suffix: str = ".ipynb") -> Path:
        return self.folder / step / student / name / f"{name}{suffix}"

    def _release(self, name: str) -> NotebookNode:
        path = self._notebook("release", name)
        if not path.is_file():
            raise InputError(f"{name}: expected an assignment that was released, got none")
        return parse(path.read_bytes(), path.name)

    def _source(self, name: str) -> NotebookNode:
        path = self._notebook("source", name)
        return parse(path.read_bytes(), path.name)

    def _seed(self) -> int:
        """What random inputs are drawn from: one number a course, which nobody outside knows."""
        path = self.folder / "seed"
        if not path.is_file():
            _write(path, str(secrets.randbits(31)).encode())
        return int(path.read_text())

    def _run(self, notebook: NotebookNode, source: NotebookNode) -> NotebookNode:
        """Run a notebook's code behind the fences, and put what came into its outputs."""
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        cells = [Cell(*parts(cell.source, HIDDEN_TESTS), kind(cell) == "test") for cell in code]
        outputs, self.fences = execute(cells, answered(source), self.limits, self._seed())
        for cell, these in zip(code, outputs, strict=True):
            cell.outputs = [nbformat.from_dict(one) for one in these]
        return notebook

    @contextlib.contextmanager
    def _gradebook(self, make: bool = False) -> Iterator:
        from nbgrader.api import Gradebook

        if not make and not (self.folder / "gradebook.db").is_file():
            raise InputError(f"{self.folder}: expected a course with a release, got none")
        path = os.environ.get("PATH", "")
        # a new gradebook asks alembic for its version, and finds it as a command
        os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), path])
        try:
            gradebook = Gradebook(self._address(), _COURSE)
        finally:
            os.environ["PATH"] = path
        with gradebook:
            yield gradebook

    def _address(self) -> str:
        return f"sqlite:///{(self.folder / 'gradebook.db').as_posix()}"

    def _convert(self, converter: str, name: str, student: str = ".") -> None:
        """One of nbgrader's converters, for one assignment of one student."""
        from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
        from nbgrader import converters, preprocessors
        from nbgrader.coursedir import CourseDirectory
        from traitlets.config import Config

        config = Config()
        config.CourseDirectory.update(
            root=str(self.folder),
            course_id=_COURSE,
            db_url=self._address(),
            assignment_id=name,
            student_id=student,
        )
        config.ClearSolutions.update(STUBS)
        config.ClearHiddenTests.enforce_metadata = False  # students may have copied a mark
        course = CourseDirectory(config=config)
        made = getattr(converters, converter)(coursedir=course, config=config, force=True)
        if converter == "Autograde":
            source = self._source(name)
            first, last = ["ClearOutput", "OverwriteCells", "CheckCellMetadata"], ["SaveAutoGrades"]
            made.sanitize_preprocessors = [getattr(preprocessors, one) for one in first]
            made.autograde_preprocessors = [
                lambda notebook, resources: (self._run(notebook, source), resources),
                *(getattr(preprocessors, one) for one in last),
            ]
        if converter == "GenerateFeedback":
            made.preprocessors = [
                preprocessors.ClearHiddenTests,
                preprocessors.GetGrades,
                lambda notebook, resources: (with_formulas(notebook), resources),
                CSSHTMLHeaderPreprocessor,
            ]
        with _quiet(made.log) as complaints:
            try:
                made.start()
            except converters.base.NbGraderException as error:
                reason = (complaints or [str(error)])[-1]
                raise DataError(f"{name}, {student}: {reason}") from error


# ------------------------------------------------------------------ helpers


@contextlib.contextmanager
def _quiet(log: logging.Logger) -> Iterator[list[str]]:
    """Keep nbgrader's lines to itself, and for us the last line of what went wrong."""
    complaints: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage().strip()
            if text.startswith("Traceback"):
                complaints.append(text.rpartition("\n")[2])

    handler, handlers, propagates = Keep(), log.handlers, log.propagate
    log.handlers, log.propagate = [handler], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sqlalchemy's, about nbgrader
            yield complaints
    finally:
        log.handlers, log.propagate = handlers, propagates


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table of texts, with commas or, as some spreadsheets write it, semicolons."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        separator = ";" if head.count(";") > head.count(",") else ","
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        text = f"{path}: expected a table with a column {columns[0]}, got none ({error})"
        raise InputError(text) from None
    if missing := [one for one in columns if one not in table]:
        raise InputError(f"{path}: expected a column {missing[0]}, got {', '.join(table)}")
    return table


def _write(path: Path, data: bytes, read_only: bool = False) -> None:
    """Write through a temporary sibling, so that a file is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    if path.exists():
        path.chmod(stat.S_IREAD | stat.S_IWRITE)  # Windows replaces no file that is read-only
    os.replace(temporary, path)
    if read_only:
        path.chmod(stat.S_IREAD)


def _statistics(assignment: str, cell: object) -> dict[str, object]:
    """How a class did in one exercise."""
    grades = [grade for grade in cell.grades if not grade.needs_manual_grade]
    got = pd.Series([grade.score for grade in grades], dtype=float)
    return {
        "assignment": assignment,
        "exercise": cell.name,
        "points": cell.max_score,
        "graded": len(got),
        "to grade by hand": len(cell.grades) - len(got),
        "mean": round(got.mean(), 3),
        "all points": int((got == cell.max_score).sum()),
        "none": int((got == 0).sum()),
    }
