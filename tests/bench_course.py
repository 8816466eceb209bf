"""How long ten submissions of one assignment take, one after the other: ``make bench``.

Each runs in a process of its own, so most of the time goes into importing torch.
"""

import pytest

pytest.importorskip("nbgrader")

from test_course import NAME, archive, folder, solved  # noqa: E402  (not before nbgrader)

from lib.course.kit import Course  # noqa: E402


@pytest.mark.benchmark(group="course")
def test_ten_submissions_take_less_than_three_minutes(benchmark, tmp_path):
    students = [f"s{number}" for number in range(10)]
    course = Course(folder(tmp_path / "course", students))
    course.release(NAME)
    course.collect(NAME, archive(tmp_path / "class.zip", dict.fromkeys(students, solved(NAME))))
    reports = benchmark.pedantic(lambda: list(course.grade(NAME)), rounds=1)
    assert len(reports) == 10 and {report.score for report in reports} == {11.0}
    assert benchmark.stats.stats.max < 180
