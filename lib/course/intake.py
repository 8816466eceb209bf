"""What a learning platform gives back: a folder or zip of files, in whatever names.

Nothing is unpacked onto the disk, so no name in an archive leads anywhere. A file belongs to a
student if their id stands in its path, as a word of its own.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from lib.errors import InputError

_LARGEST_FILE = 20_000_000
_LARGEST_ALL, _MOST_FILES = 2_000_000_000, 20_000
_LARGEST_ZIP, _MOST_IN_ZIP = 200_000_000, 1_000  # in a zip in it, which is one student's
_JUNK = ("__MACOSX", ".ipynb_checkpoints", ".DS_Store")


class _File(NamedTuple):
    path: str
    size: int
    read: Callable[[], bytes]


def notebooks(place: Path) -> tuple[dict[str, bytes], list[str]]:
    """Every notebook in a folder or zip, or in a zip within one.

    Args:
        place: a folder, a ``.zip``, or one notebook.

    Returns:
        The content of each by its path, and a line for each file that was not taken.

    Raises:
        InputError: if there is no such place, or it is larger than any class's.

    Example:
        >>> notebooks(Path("no-such-folder"))
        Traceback (most recent call last):
        ...
        lib.errors.InputError: no-such-folder: expected a folder, a zip or a notebook, got nothing
    """
    if not place.exists():
        raise InputError(f"{place}: expected a folder, a zip or a notebook, got nothing")
    if place.is_dir():
        files = _of_folder(place)
    elif place.suffix.lower() == ".zip":
        files = _of_zip(place, place.name)
    else:
        files = iter([_of_path(place, place.name)])
    found, left = {}, []
    try:
        _take(files, found, left, [_MOST_FILES, _LARGEST_ALL], depth=1)
    except zipfile.BadZipFile as error:
        raise InputError(f"{place}: expected a zip, got another file ({error})") from None
    return found, left


def _take(
    files: Iterable[_File], found: dict[str, bytes], left: list[str], room: list[int], depth: int
) -> None:
    """Sort files into those found and those left, while there is room for their number and size."""
    most = tuple(room)
    for file in files:
        path = PurePosixPath(file.path)
        if any(part in _JUNK or part.startswith("._") for part in path.parts):
            continue
        room[0] -= 1
        room[1] -= file.size
        if min(room) < 0:
            raise InputError(
                f"{file.path}: expected at most {most[0]:,} files and {most[1]:,} bytes, got more; "
                "is this what was handed in?"
            )
        suffix = path.suffix.lower()
        if suffix not in (".ipynb", ".zip") or (suffix == ".zip" and not depth):
            left.append(f"{file.path}: not a notebook")
            continue
        try:
            data = file.read()
            if suffix == ".ipynb":
                found[file.path] = data
            else:
                inside, outside = {}, []
                own = [_MOST_IN_ZIP, _LARGEST_ZIP]
                _take(_of_zip(io.BytesIO(data), file.path), inside, outside, own, depth - 1)
                found |= inside
                left += outside
        except Exception as error:  # encrypted, damaged in any way, more than it says
            left.append(f"{file.path}: cannot be read ({error})")


def _of_folder(folder: Path) -> Iterator[_File]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield _of_path(path, path.relative_to(folder).as_posix())


def _of_path(path: Path, name: str) -> _File:
    return _File(name, path.stat().st_size, partial(_read, partial(path.open, "rb")))


def _of_zip(archive: Path | BinaryIO, name: str) -> Iterator[_File]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if not member.is_dir():
                path = f"{name}/{member.filename}"
                yield _File(path, member.file_size, partial(_read, partial(opened.open, member)))


def _read(opener: Callable[[], BinaryIO]) -> bytes:
    with opener() as stream:
        data = stream.read(_LARGEST_FILE + 1)  # an archive may say less than it holds
    if len(data) > _LARGEST_FILE:
        raise ValueError(f"more than {_LARGEST_FILE:,} bytes")
    return data


def owner(path: str, students: Iterable[str]) -> list[str]:
    """The students whose ids stand in a path.

    Args:
        path: of a file, with its folders.
        students: the ids of the roster.

    Returns:
        One id, if all is well. A longer id goes before one that is part of it.

    Example:
        >>> owner("Ann Lee_s12_assignsubmission_file/16_dprnn.ipynb", ["s1", "s12"])
        ['s12']
    """
    found = []
    for student in sorted(students, key=len, reverse=True):
        word = rf"(?<![A-Za-z0-9]){re.escape(student)}(?![A-Za-z0-9])"
        path, times = re.subn(word, " ", path, flags=re.IGNORECASE)
        found += [student] if times else []
    return sorted(found)
