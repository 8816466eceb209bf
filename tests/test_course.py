"""The course kit: from a source to grades and feedback, whatever a submission does on the way."""

from __future__ import annotations

import csv
import hashlib
import importlib
import inspect
import io
import json
import os
import re
import shutil
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import pytest
import worked

from lib import cli
from lib.course import intake, sandbox
from lib.course.assignments import checked, grade_id, kind, parse, released
from lib.course.pages import offline, with_formulas
from lib.course.sandbox import Cell, Limits, execute
from lib.errors import DataError, InputError
from tools import assignments as tool
from tools.notebooks import read

pytest.importorskip("nbgrader")

from lib.course.kit import Course  # noqa: E402  (not before nbgrader)

SOURCES = {path.stem: read(path) for path in tool.assignments()}
NAME = "16_dprnn"
LIMITED = sys.platform == "linux"  # where memory is limited


# ------------------------------------------------------------------ submissions


def solved(name):
    """All right: the worked solutions in the cells of the release, and something written."""
    notebook, source = released(SOURCES[name]), SOURCES[name]
    for cell, full in zip(notebook.cells, source.cells, strict=True):
        if kind(cell) == "solution":
            cell.source = re.sub(r"^### (BEGIN|END) SOLUTION$", "", full.source, flags=re.M)
        elif kind(cell) == "answer":
            cell.source += "\n\nThe second voice is heard at 1.5 s."
    return notebook


def wrong(name):
    """All wrong: each exercise gets the first wrong answer that is kept for its check."""
    notebook, chapter = solved(name), f"ch{name[:2]}"
    solutions = importlib.import_module(f"solutions.{chapter}")
    text = inspect.getsource(solutions).replace("from __future__ import annotations", "")
    kept = f"import types\n{chapter} = types.SimpleNamespace(**globals())\n"
    code = getattr(worked, chapter).source()  # what the text needed when it was imported
    code += "\n\n" + text.replace(f"from worked import {chapter}\n", kept)
    for cell in notebook.cells:
        if kind(cell) == "test":
            exercise, names = checked(cell)
            answers = [answer for answer, _ in solutions.WRONG[exercise]]
            forms = [isinstance(one, (tuple, list)) and len(one) == len(names) for one in answers]
            number = 0 if len(names) == 1 else forms.index(True)
            code += f"\n{', '.join(names)} = WRONG[{exercise!r}][{number}][0]"
    for cell in reversed(notebook.cells):  # the first of them is the last here
        if kind(cell) == "solution":
            cell.source, first = "pass", cell
    first.source = code
    return notebook


def changed(name, old_code):
    """All right but for the first exercise, whose cell is this code."""
    notebook = solved(name)
    next(cell for cell in notebook.cells if kind(cell) == "solution").source = old_code
    return notebook


def stripped(name):
    notebook = solved(name)
    for cell in notebook.cells:
        cell.metadata, cell.id = nbformat.from_dict({}), nbformat.v4.new_raw_cell().id
    return notebook


def doubled(name):
    notebook = solved(name)
    for place in range(len(notebook.cells) - 1, -1, -1):
        if kind(notebook.cells[place]) != "given":
            copy = nbformat.from_dict(notebook.cells[place])
            copy.id = nbformat.v4.new_raw_cell().id
            notebook.cells.insert(place, copy)
    return notebook


FORGERY = """
import builtins, random, sys, torch
import lib.checks, lib.checks.ch16
passed = lib.checks.CheckResult("ch16.fold", "passed", "fine")
lib.checks.check = lambda *arguments: passed
lib.checks.CheckResult.__bool__ = lambda self: True
lib.checks._REGISTRY = dict.fromkeys(lib.checks._REGISTRY, lambda answer: "fine")
builtins.isinstance = lambda *arguments: True
torch.equal = torch.allclose = lambda *arguments, **keywords: True
class Yes(torch.Tensor):
    __eq__ = __ne__ = __le__ = __ge__ = lambda self, other: True
    __torch_function__ = classmethod(lambda *arguments: True)
best_chunk = fold = unfold = one_way_block = lambda *arguments: Yes()
"""

VANDALISM = """
import ctypes, mmap, os, pathlib, shutil, signal, socket, subprocess, sqlite3, sys, torch
import cffi, soundfile
root = pathlib.Path({root!r})
files = {files!r}
attacks = [lambda: shutil.rmtree(root), lambda: os.system(f"rm -rf {{root}}"),
           lambda: subprocess.run(["rm", "-rf", root]), lambda: os.rename(root, root / ".." / "x"),
           lambda: socket.create_connection(("127.0.0.1", 9)), lambda: os.kill(os.getppid(), 9),
           lambda: ctypes.CDLL(None).system(b"rm -rf " + str(root).encode())]
attacks += [os.fork] if hasattr(os, "fork") else []
if sys.platform == "linux":  # past Python's own doors
    import _posixsubprocess
    ffi = cffi.FFI()
    ffi.cdef("int kill(int, int); int fork(void); int execvp(char *, char **); long syscall(long);")
    c, two, word = ffi.dlopen(None), os.pipe(), [b"/bin/true"]

    def compiled(call, *given):
        if call(*given) < 0:
            raise OSError

    attacks += [lambda: compiled(c.kill, os.getppid(), 0), lambda: compiled(c.fork),
                lambda: compiled(c.execvp, ffi.new("char[]", word[0]), ffi.NULL),
                lambda: signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0),
                lambda: _posixsubprocess.fork_exec(word, word, True, (), None, None, -1, -1, -1, -1,
                                                   -1, -1, *two, False, False, 0, None, None, None,
                                                   -1, None, False),
                lambda: mmap.mmap(-1, 2**20), lambda: os.memfd_create("x"),
                lambda: open(f"/proc/{{os.getppid()}}/environ").read(1),
                lambda: os.listdir(root), lambda: os.listdir("/dev")]
for file in map(pathlib.Path, files):
    attacks += [file.unlink, file.read_bytes, lambda file=file: file.write_text("x"),
                lambda file=file: os.chmod(file, 0o777), lambda file=file: os.truncate(file, 0),
                lambda file=file: os.symlink(file, "link") or open("link", "a"),
                lambda file=file: sqlite3.connect(file).execute("drop table grade")]
    if os.name == "posix":  # compiled code, which only a kernel holds back
        attacks += [lambda file=file: torch.save({{}}, file),
                    lambda file=file: soundfile.write(file, [0.0], 8000, format="WAV")]
done = []
for attack in attacks:
    try:
        attack()
        done.append(attack)
    except BaseException:
        pass
shutil.rmtree(os.getcwd(), ignore_errors=True)
print("DONE", len(done), done)
"""

HARMED = {  # what stands in the first exercise's cell; the other exercises keep their points
    "syntax": "def best_chunk(frames:\n    return 8",
    "loop": "while True:\n    pass",
    "memory": "hoard = []\nwhile True:\n    hoard.append(bytearray(10**8))",
    "exit": "import os\nos._exit(0)",
}


def harmful(name, course):
    """Right in the first exercise, with harm in each of the ways around it."""
    notebook, exercise = solved(name), 0
    for cell in notebook.cells:
        if kind(cell) == "solution" and exercise:
            cell.source = HARMED["syntax"] if exercise == 1 else "pass"
        exercise += kind(cell) == "test"
    code = VANDALISM.format(root=str(course), files=[str(course / "gradebook.db")])
    harm = [code, *([HARMED["memory"]] if LIMITED else []), HARMED["loop"]]
    first, *last = map(nbformat.v4.new_code_cell, harm)
    notebook.cells = [*notebook.cells[:2], first, *notebook.cells[2:], *last]
    return notebook


# ------------------------------------------------------------------ a class


def folder(path, students):
    path.mkdir(exist_ok=True)
    with (path / "roster.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["id", "last_name"], *([s, f"L. {s}"] for s in students)])
    return path


def archive(path, notebooks):
    """A zip as a learning platform makes it."""
    with zipfile.ZipFile(path, "w") as made:
        for student, notebook in notebooks.items():
            name = f"Ray, Bob_{student}_assignsubmission_file/my work.ipynb"
            made.writestr(name, nbformat.writes(notebook))
    return path


def digest(path):
    """What is in a folder, file by file."""
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def most(name):
    """All points of the tests, and those of the first one."""
    points = [c.metadata.nbgrader.points for c in SOURCES[name].cells if kind(c) == "test"]
    return sum(points), points[0]


def run(*arguments):
    return cli.main(["course", *map(str, arguments)])


def grades(course):
    text = (course / "export" / "grades.csv").read_text(encoding="utf-8-sig")
    return {row["id"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """One class, which gets every assignment."""
    students = ["right", "wrong", "blank", "harmful", "stripped", "doubled", "absent"]
    return folder(tmp_path_factory.mktemp("class") / "course", students)


@pytest.mark.parametrize("name", SOURCES)
def test_round_trip(name, classroom, tmp_path, capsys):
    course = classroom
    # the release refuses a source without all points, and a release with any
    assert run("release", name, "--course", course) == 0
    blank = parse((course / "release" / name / f"{name}.ipynb").read_bytes(), name)
    handed_in = {"right": solved(name), "wrong": wrong(name), "blank": blank}
    handed_in |= {"stripped": stripped(name), "doubled": doubled(name)}
    handed_in |= {"harmful": harmful(name, course)}
    place = archive(tmp_path / "class.zip", handed_in)
    assert run("collect", name, place, "--course", course) == 0
    assert "nothing so far from: absent" in capsys.readouterr().out

    # what was repaired is, letter for letter, what gets all points below
    assert run("check", name, "--course", course) == 0
    printed = capsys.readouterr().out
    assert "stripped: mended" in printed and "doubled: mended" in printed
    cells = {}
    for student in ("right", "stripped", "doubled"):
        file = course / f"submitted/{student}/{name}/{name}.ipynb"
        notebook = parse(file.read_bytes(), name)
        cells[student] = [(c.cell_type, c.source, c.metadata) for c in notebook.cells]
    assert cells["stripped"] == cells["right"] == cells["doubled"]

    grade = ("grade", name, "--course", course, "--students")
    started = time.monotonic()
    assert run(*grade, "blank", "--seconds", 200) == 0
    usual = time.monotonic() - started
    assert run(*grade, "right", "wrong", "--seconds", 200) == 0
    printed = capsys.readouterr().out
    assert "2 answers to grade by hand" in printed and "LOOK AT" not in printed
    before = digest(course)
    assert run(*grade, "harmful", "--seconds", 3 + usual, "--memory", 1) == 0
    after = digest(course)
    changing = ("gradebook.db", "hand/", "submitted/harmful/")
    kept = {file: before[file] for file in before if not file.startswith(changing)}
    assert {file: after.get(file) for file in kept} == kept

    assert run("feedback", name, "--course", course) == run("export", "--course", course) == 0
    assert "3 answers have no points yet" in capsys.readouterr().out
    points = {student: row[name] for student, row in grades(course).items()}
    everything, first = most(name)
    expected = {"right": everything, "wrong": 0, "blank": 0, "harmful": first}
    none = dict.fromkeys(("stripped", "doubled", "absent"), "")
    assert points == {student: f"{got:.1f}" for student, got in expected.items()} | none
    # wrong, and not only broken
    assert errors(course, "wrong", name) <= {"AssertionError", "CheckFailed", "NotAttempted"}
    names = {"SyntaxError", "Stopped"} | ({"MemoryError"} if LIMITED else set())
    assert names <= errors(course, "harmful", name)
    for student in expected:
        html = (course / f"feedback/{student}/{name}/{name}.html").read_text(encoding="utf-8")
        assert "default-src 'none'" in html and "HIDDEN TESTS" not in html
        assert not re.search(r'(?:src|href)="(?:https?:)?//(?!github|colab)', html)


def errors(course, student, name):
    """The names of all errors in a submission that was graded."""
    page = parse((course / f"autograded/{student}/{name}/{name}.ipynb").read_bytes(), name)
    return {o.ename for cell in page.cells for o in cell.get("outputs", []) if "ename" in o}


@pytest.fixture(scope="module")
def harmed(tmp_path_factory):
    """A class in which almost everybody does harm, graded, with what was there before."""
    root = tmp_path_factory.mktemp("harmed")
    students = ["right", "blank", "forger", "vandal", "stripped", "doubled", "late", *HARMED]
    place = folder(root / "course", students)
    course = Course(place, limits=Limits(seconds=20))
    course.release(NAME)
    handed_in = {"right": solved(NAME), "blank": released(SOURCES[NAME])}
    handed_in |= {"stripped": stripped(NAME), "doubled": doubled(NAME)}
    handed_in |= {kind: changed(NAME, code) for kind, code in HARMED.items()}
    if not LIMITED:
        del handed_in["memory"]
    forger, vandal = changed(NAME, FORGERY), solved(NAME)
    for cell in forger.cells[7:]:
        if kind(cell) == "solution":
            cell.source = "pass"
    files = [*digest(place), f"collected/right/{NAME}/{NAME}.ipynb", "gradebook.db"]
    code = VANDALISM.format(root=str(place), files=[str(place / file) for file in files])
    vandal.cells.insert(2, nbformat.v4.new_code_cell(code))
    handed_in |= {"forger": forger, "vandal": vandal}
    taken, left = course.collect(NAME, archive(root / "class.zip", handed_in))
    assert taken == sorted(handed_in) and left == []
    first = {report.student: report for report in course.grade(NAME, ["right"])}
    before = digest(place)
    rest = [student for student in taken if student != "right"]
    reports = {report.student: report for report in course.grade(NAME, rest)}
    course.feedback(NAME)
    return course, first | reports, before


@pytest.mark.parametrize("student", ["right", "stripped", "doubled", "vandal"])
def test_right_answers_get_all_points(harmed, student):
    _, reports, _ = harmed
    assert reports[student].score == most(NAME)[0], reports[student]


@pytest.mark.parametrize("student", ["blank", "forger"])
def test_no_answer_and_no_forgery_gets_any(harmed, student):
    _, reports, _ = harmed
    assert reports[student].score == 0, reports[student]


@pytest.mark.parametrize("student", HARMED)
def test_one_harmful_cell_costs_its_own_points_only(harmed, student):
    _, reports, _ = harmed
    if student not in reports:
        pytest.skip("this system does not limit memory")
    everything, first = most(NAME)
    assert reports[student].score == everything - first, reports[student]


def test_what_was_mended_is_reported(harmed):
    _, reports, _ = harmed
    assert len(reports["stripped"].done) >= 4 and len(reports["doubled"].done) >= 4
    assert not any(report.doubtful for report in reports.values())


def test_nobody_changes_what_is_not_theirs(harmed):
    course, _, before = harmed
    if os.name == "posix" and not (course.fences["files"] and course.fences["calls"]):
        pytest.skip("this kernel holds no compiled code back")
    own = ("autograded/right/", "collected/", "release/", "roster", "seed", "source/")
    after = digest(course.folder)
    kept = [file for file in before if file.startswith(own)]
    assert len(kept) > 10
    assert {file: after.get(file) for file in kept} == {file: before[file] for file in kept}
    page = (course.folder / f"autograded/vandal/{NAME}/{NAME}.ipynb").read_text(encoding="utf-8")
    assert "DONE 0 []" in page


def test_the_gradebook_holds_who_was_graded_and_feedback_is_there(harmed):
    course, reports, _ = harmed
    _, statistics = course.export()
    rows = list(csv.DictReader(io.StringIO(statistics.read_text(encoding="utf-8-sig"))))
    assert [int(row["graded"]) for row in rows[:3]] == [len(reports)] * 3
    pages = course.folder.glob(f"feedback/*/{NAME}/{NAME}.html")
    assert {page.parts[-3] for page in pages} == set(reports)


def test_points_by_hand_are_entered_all_or_none(harmed, capsys):
    course, reports, _ = harmed
    table, waiting = course.answers(NAME)
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"))))
    assert waiting == len(rows) == len(reports) - 1  # nothing to read where nothing was written
    assert "other voice" in table.with_suffix(".md").read_text(encoding="utf-8")

    def fill(score, comment=""):
        rows[0].update(student="right", score=score, comment=comment)
        with table.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows[:1])

    grade = ("grade", NAME, "--course", course.folder, "--hand", table)
    for bad in ("5", "-1", "nan", "many"):
        fill(bad)
        assert run(*grade) == 2
        assert "nothing was entered" in capsys.readouterr().err
    fill("3,5", "Which second?")
    assert run(*grade) == 0
    course.answers(NAME)
    course.feedback(NAME)
    course.export()
    row = grades(course.folder)["right"]
    assert row[NAME] == f"{most(NAME)[0] + 3.5:.1f}"
    assert row[f"{NAME}, to grade by hand"] == ""
    page = course.folder / f"feedback/right/{NAME}/{NAME}.html"
    assert "Which second?" in page.read_text(encoding="utf-8")


# ------------------------------------------------------------------ taking back


@pytest.fixture
def empty(tmp_path):
    """A course with a release that was not made by running it, since this is about files."""
    place = folder(tmp_path / "course", ["s1", "s12", "ann-lee", "Ann"])
    path = place / "release" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(nbformat.writes(released(SOURCES[NAME])), encoding="utf-8")
    return Course(place)


def test_each_notebook_goes_to_its_student_and_the_rest_is_said_aloud(empty, tmp_path):
    work = {student: changed(NAME, f"# by {student}") for student in ("s1", "s12", "ann-lee")}
    place = tmp_path / "handed in"
    (place / "S12 late").mkdir(parents=True)
    (place / "s1.ipynb").write_text(nbformat.writes(work["s1"]), encoding="utf-8")
    (place / "S12 late" / "final (2).ipynb").write_text(
        nbformat.writes(work["s12"]), encoding="utf-8"
    )
    archive(place / "others.zip", {"ann-lee": work["ann-lee"]})
    (place / "s13.ipynb").write_text(nbformat.writes(work["s1"]), encoding="utf-8")
    (place / "s1 and s12.ipynb").write_text(nbformat.writes(work["s1"]), encoding="utf-8")
    (place / "Ann.ipynb").write_text("no notebook", encoding="utf-8")
    (place / "Ann.pdf").write_text("a report", encoding="utf-8")
    (place / "Ann 9.ipynb").write_bytes(tool.chapter_of("09_ideal_masks").read_bytes())
    taken, left = empty.collect(NAME, place)
    assert taken == ["ann-lee", "s1", "s12"]
    for student, notebook in work.items():
        path = empty.folder / f"collected/{student}/{NAME}/{NAME}.ipynb"
        assert path.read_text(encoding="utf-8") == nbformat.writes(notebook)
    reasons = ("nobody on", "s1 and s12", "expected a notebook", "not a notebook", "nothing in it")
    assert len(left) == len(reasons)
    assert all(any(reason in line for line in left) for reason in reasons)


def test_nothing_that_was_collected_is_replaced_by_accident(empty, tmp_path):
    place = tmp_path / "s1.ipynb"
    for text in ("# first", "# second"):
        place.write_text(nbformat.writes(changed(NAME, text)), encoding="utf-8")
        taken, left = empty.collect(NAME, place)
    assert taken == [] and "--force" in left[0]
    assert empty.collect(NAME, place, force=True) == (["s1"], [])
    path = empty.folder / f"collected/s1/{NAME}/{NAME}.ipynb"
    assert "# second" in path.read_text(encoding="utf-8")
    both = tmp_path / "both"
    both.mkdir()
    for number, text in enumerate(("# third", "# fourth")):
        (both / f"s12_{number}.ipynb").write_text(
            nbformat.writes(changed(NAME, text)), encoding="utf-8"
        )
    taken, left = empty.collect(NAME, both)
    assert taken == [] and "2 versions by s12" in left[0]


def damaged():
    """A zip whose list is fine and whose content is not."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("damaged.ipynb", "x" * 1000)
    data = stream.getvalue()
    return data.replace(data[43:50], b"\xff" * 7)


def test_an_archive_cannot_write_or_swell(tmp_path, monkeypatch):
    notebook = nbformat.writes(nbformat.v4.new_notebook())
    place, inside = tmp_path / "class.zip", io.BytesIO()
    with zipfile.ZipFile(inside, "w") as made:
        made.writestr("s1.ipynb", notebook)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as made:
        for path in ("../../s1.ipynb", "/etc/s1.ipynb", "C:\\s1.ipynb", "a/../s1.ipynb"):
            made.writestr(path, notebook)
        made.writestr("huge.ipynb", b" " * 21_000_000)
        made.writestr("work_s1.zip", inside.getvalue())
        made.writestr("broken.zip", b"no zip")
        made.writestr("damaged.zip", damaged())
        made.writestr("__MACOSX/._s1.ipynb", b"")
    before = {path for path in tmp_path.rglob("*")}
    found, left = intake.notebooks(place)
    assert len(found) == 5 and {path for path in tmp_path.rglob("*")} == before
    assert sorted(line.partition(":")[0].rpartition("/")[2] for line in left) == [
        "broken.zip",
        "damaged.ipynb",
        "huge.ipynb",
    ]
    monkeypatch.setattr(intake, "_MOST_IN_ZIP", 0)  # one student's cannot hold up the others
    found, left = intake.notebooks(place)
    assert len(found) == 4 and sum("at most 0 files" in line for line in left) == 2
    monkeypatch.setattr(intake, "_MOST_FILES", 3)
    with pytest.raises(InputError, match="at most 3 files"):
        intake.notebooks(place)
    (tmp_path / "fake.zip").write_text("no zip", encoding="utf-8")
    with pytest.raises(InputError, match="expected a zip"):
        intake.notebooks(tmp_path / "fake.zip")


def test_a_terminal_obeys_no_file_name(empty, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as made:
        made.writestr("s1\x1b[2J\n  s1: 11 of 11.txt", "")
    assert run("collect", NAME, tmp_path / "class.zip", "--course", empty.folder) == 1
    printed = capsys.readouterr().out
    assert "s1?[2J?  s1: 11 of 11.txt: not a notebook" in printed


def test_a_number_is_enough(empty):
    of = ["01_mixtures_and_tasks", "09_ideal_masks", "16_dprnn", "16_mine"]
    assert {empty.full_name(name, of) for name in ("9", "09", "09_ideal_masks")} == {of[1]}
    assert empty.full_name("16") == NAME
    for name in ("", "0", "16", "6"):
        with pytest.raises(InputError, match="expected one of these"):
            empty.full_name(name, of)


def test_tables_of_a_spreadsheet_are_read(empty):
    text = "\ufeffid;last_name;group\r\n s1 ;Lee, Ann;3\r\n007;O'Ray;4\r\n"
    (empty.folder / "roster.csv").write_text(text, encoding="utf-8", newline="")
    roster = empty.roster()
    assert [*roster.index] == ["s1", "007"] and roster.loc["s1", "last_name"] == "Lee, Ann"
    assert roster.loc["007", "email"] == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\nAnn", "a column id"),
        ("id\ns1\nS1", "each once"),
        ("id\n../s1", "ids of letters"),
        ("id\n.s1", "ids of letters"),
    ],
)
def test_a_roster_that_cannot_be_meant_is_refused(empty, text, words):
    (empty.folder / "roster.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        empty.roster()


# ------------------------------------------------------------------ bad input, and what is refused


def leaky(tmp_path, change):
    """Sources of which one was changed."""
    path = tmp_path / "exercises" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    notebook = nbformat.from_dict(SOURCES[NAME])
    change({grade_id(cell): cell for cell in notebook.cells})
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return Course(folder(tmp_path / "course", ["s1"]), path.parents[1])


def test_a_release_with_a_line_of_a_solution_is_refused(tmp_path):
    line = "    return 2 * round((2 * frames) ** 0.5 / 2)"

    def hint(cells):
        cells["ch16_exercises"].source += f"\n\n{line}"

    course = leaky(tmp_path, hint)
    with pytest.raises(InputError, match="got a line of one"):
        course.release(NAME)
    assert list(course.folder.iterdir()) == [course.folder / "roster.csv"]


def test_a_release_that_earns_points_is_refused(tmp_path):
    def forget_marks(cells):
        cell = cells["ch16_best_chunk"]
        cell.source = re.sub(r"### (BEGIN|END) SOLUTION\n?", "", cell.source)
        cell.source += "\n### BEGIN SOLUTION\npass\n### END SOLUTION"

    course = leaky(tmp_path, forget_marks)
    with pytest.raises(InputError, match="expected 0 points for ch16_best_chunk_test"):
        course.release(NAME)
    assert not (course.folder / "release").exists() and not (course.folder / "source").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["release", "no_such"], "expected one of these (01_mixtures"),
        (["collect", NAME, "no-such-place"], "none so far"),
        (["check", NAME], "none so far"),
        (["grade", NAME], "none so far"),
        (["feedback", NAME], "none so far"),
        (["export"], "a course with a release"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, arguments, words):
    course = folder(tmp_path / "course", ["s1"])
    before = digest(course)
    assert run(*arguments, "--course", course) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1 and words in printed
    assert digest(course) == before


# ------------------------------------------------------------------ the sandbox


def test_answers_cross_the_pipe_as_they_are():
    given = Cell(
        "%matplotlib inline\n%time import numpy as np, torch\n"
        "def same(*things, **named): return things if len(things) > 1 else things[0]\n"
        "def fails(): raise np.linalg.LinAlgError('singular')\n"
        "def leaves(): raise SystemExit(0)\n"
        "model, nothing, text = torch.nn.Linear(2, 3), None, 'ä'\n"
    )
    hidden = """
import numpy as np, torch
from lib.stft import STFT
for thing in (1, 2.5, float("inf"), 1j, "ä", None, True, [1, (2, {3})], {"a": [1], 2: None}, ...):
    assert same(thing) == thing and type(same(thing)) is type(thing), thing
for kind in (torch.float64, torch.complex64, torch.int64, torch.bool):
    tensor = torch.ones(2, 0, 3).to(kind)
    assert same(tensor).dtype == kind and same(tensor).shape == tensor.shape
assert same(np.arange(3)).tolist() == [0, 1, 2] and same(np.float32(0.5)) == 0.5
assert model(torch.ones(4, 2)).shape == (4, 3) and model.weight.shape == (3, 2)
assert model.double().weight.dtype == torch.float64
assert same(STFT(64, 16)).hop_length == 16 and same(model, 1)[1] == 1
assert nothing is None and text == "ä"
for call, kind in ((fails, ValueError), (leaves, RuntimeError)):
    try:
        call()
    except kind:
        continue
    raise AssertionError(call)
import random
assert random.random() == 0.13436424411240122 and torch.rand(1) < 1
"""
    names = ["same", "model", "fails", "leaves", "nothing", "text", "not_there"]
    outputs, fences = execute([given, Cell("", hidden, True)], names, Limits(), seed=0)
    assert all(one["output_type"] == "stream" for one in outputs[0]) and outputs[1] == []
    assert (fences["files"] and fences["calls"]) or sys.platform not in ("linux", "darwin")


def test_a_process_that_does_not_start_is_nobodys_fault(monkeypatch):
    sandbox._fence_holds()  # looked up once
    monkeypatch.setattr(sys, "executable", shutil.which("false") or "no-such-program")
    with pytest.raises((DataError, OSError)):
        execute([Cell("1")], [], Limits(), seed=0)


@pytest.mark.parametrize(
    "forged",
    [
        'b"\\xff" * 99',
        'struct.pack(">Q", 2**40)',
        'struct.pack(">Q", 2) + b"[]"',
        'struct.pack(">Q", 11) + b\'{"value":1}\'',
    ],
)
def test_an_answer_that_nobody_asked_for_is_no_answer(forged):
    code = f"import os, struct\nfor one in range(3, 12):\n    try: os.write(one, {forged})\n"
    code += "    except OSError: pass\ndef answer(): return 2"
    cells = [Cell(code), Cell("", "assert answer() == 1", True)]
    outputs, _ = execute(cells, ["answer"], Limits(seconds=20), seed=0)
    assert any(one["output_type"] == "error" for one in outputs[1])
    assert Path.cwd().exists()


FLOOD = """
import json, os, struct, threading
outputs = [{"output_type": "stream", "text": "x" * SIZE}]
answer = json.dumps({"success": True, "outputs": outputs}).encode()
answer = struct.pack(">Q", len(answer)) + answer

def write(times):
    for number in range(3, 12):
        for _ in range(times):
            try: os.write(number, answer)
            except OSError: break
"""


def used():
    """Bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory, and waits, as Linux does")
@pytest.mark.parametrize("code", ["SIZE = 5\nCODE\nwrite(1)", "SIZE = 10**7\nCODE\nwrite(999)"])
def test_who_answers_without_listening_costs_time_and_memory_of_a_cell_only(code):
    code = code.replace("CODE", FLOOD) + "\nwhile True: pass"
    with sandbox.Worker(Limits()) as worker:
        worker.deadline = time.monotonic() + 3
        before = used()
        with pytest.raises(sandbox.Stopped):  # more than a pipe holds
            for _ in range(3):
                worker.run(code)
                worker.value("call", None, (bytes(10**7),), {})
        assert used() - before < 2e8
    assert time.monotonic() < worker.deadline + 10


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("number = 0\nwhile True: open(f'{number}', 'w').close(); number += 1", "wrote too much"),
        ("data = bytes(2**25)\nfor one in range(99): open(f'{one}', 'wb').write(data)", "too much"),
        ("import os\nfor _ in range(1200): os.mkdir('x'); os.chdir('x')\nos._exit(0)", "by itself"),
        ("import os\nos.makedirs('a/b')\nos.chmod('a/b', 0)\nos._exit(0)", "by itself"),
    ],
)
def test_a_disk_is_not_filled_and_no_folder_stays(code, reason):
    with sandbox.Worker(Limits()) as worker:
        worker.deadline = time.monotonic() + 60
        with pytest.raises(sandbox.Stopped, match=reason):
            worker.run(code + "\nwhile True: pass")
        folder = Path(worker._folder.name)
    assert not folder.exists()


SHOWN = """
print("\\ud800", "x" * 10**8)
class Odd:
    def _repr_png_(self): return '"><script></script>'
    def __repr__(self): return "\\ud800" + "y" * 10**5
for _ in range(200): display(Odd())
raise ValueError("\\ud800" + "z" * 10**7)
"""


def test_what_is_shown_is_text_of_a_size_that_a_page_can_hold():
    outputs, _ = execute([Cell(SHOWN[: SHOWN.index("for")] + "display(Odd())")], [], Limits(), 0)
    assert [one["output_type"] for one in outputs[0]] == ["stream", "display_data"]
    assert [*outputs[0][1]["data"]] == ["text/plain"]
    (outputs,), _ = execute([Cell(SHOWN)], [], Limits(), 0)
    text = json.dumps(outputs, ensure_ascii=False)
    assert len(text.encode("utf-8")) < 5e6 and len(outputs) == 100
    assert outputs[-1]["ename"] == "ValueError"


def test_a_page_leads_nowhere_and_is_made_at_once():
    started = time.monotonic()
    for text in (
        "`" * 20_000,
        "`a``" * 5000,
        "$$a " * 5000,
        "$" + "{" * 5000 + "$",
        "$a " * 20_000,
    ):
        cell = nbformat.v4.new_markdown_cell(text)
        with_formulas(nbformat.v4.new_notebook(cells=[cell]))
    assert time.monotonic() - started < 20
    away = '<MeTa http-equiv="refresh" content="0;url=http://example.org">'
    page = offline(f"<head><title></title></head><body>{away}`{away}`</body>")
    assert "<meta http-equiv" in page.lower() and "refresh" not in page.partition("</head>")[0]
    assert re.findall("<meta", page.partition("</head>")[2], flags=re.I) == []
