"""Downloads that resume, are checked, and never leave half a file behind."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.errors import DataError

_BLOCK = 1 << 18  # bytes
_TIMEOUT = 30  # seconds without a byte


def cache_folder() -> Path:
    """Return where downloads are kept: ``UNMIX_CACHE``, else ``~/.cache/unmixing-sound``.

    Example:
        >>> os.environ["UNMIX_CACHE"] = "/tmp/unmix"
        >>> cache_folder().as_posix()
        '/tmp/unmix'
        >>> del os.environ["UNMIX_CACHE"]
    """
    return Path(os.environ.get("UNMIX_CACHE") or "~/.cache/unmixing-sound").expanduser()


def fetch(
    url: str,
    path: str | Path,
    sha256: str | None,
    size: int | None = None,
    progress: bool = True,
    md5: str | None = None,
    pin: bool = False,
) -> Path:
    """Download a file unless it is there, and check it.

    What has come so far stands in ``path`` + ``.part``, and the next call goes on from there.
    ``path`` itself appears when all is there and the hash is right. A file with a wrong hash is
    moved to ``path`` + ``.bad`` and not used.

    Args:
        url: http or https.
        path: where to put it; its folder is made.
        sha256: hexadecimal, whole or its beginning (at least 8 digits); None where the publisher
            states none.
        size: in bytes, if known.
        progress: show a progress bar.
        md5: hexadecimal, where the publisher states that.
        pin: where no hash is stated, keep that of the first download in ``path`` + ``.sha256``, and
            check the file against it whenever it is asked for.

    Returns:
        ``path``.

    Raises:
        DataError: if the server cannot be reached or refuses, the download is cut off, the disk is
            full, or size or hash are wrong. The message says how to go on.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "abc.txt")
        ...     _ = path.write_bytes(b"abc")
        ...     fetch("https://example.org/abc.txt", path, "ba7816bf").name  # is there already
        'abc.txt'
    """
    path = Path(path).expanduser()
    pinned = _beside(path, ".sha256") if pin and not (sha256 or md5) else None
    if pinned is not None and pinned.is_file():
        sha256 = pinned.read_text(encoding="utf-8", errors="replace")[:64] or None
    first = pinned if sha256 is None else None
    expected = {"sha256": sha256, "md5": md5}
    if path.is_file():
        if not _fault(path, size, expected):
            _pin(path, first)
            return path
        os.replace(path, _beside(path, ".bad"))
    part = _beside(path, ".part")
    with _file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (part.is_file() and size is not None and part.stat().st_size == size):
            _download(url, path, part, size, progress)
        if fault := _fault(part, size, expected):
            bad = _beside(path, ".bad")
            os.replace(part, bad)
            trust = f": delete {pinned} to trust the new one" if pinned else ""
            raise DataError(
                f"{url}: {fault}; the file is kept as {bad} and not used; try again, and if that "
                f"does not help, the file at the source has changed{trust}"
            )
        os.replace(part, path)
    _pin(path, first)
    return path


def _pin(path: Path, pinned: Path | None) -> None:
    """Note the hash of a file as ``sha256sum`` does."""
    if pinned is not None:
        with _file_errors(pinned):
            pinned.write_text(f"{_digest(path, 'sha256')}  {path.name}\n", encoding="utf-8")


def _digest(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _by_hand(path: Path) -> str:
    return f"or get it in another way and put it at {path}"


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); make room or set UNMIX_CACHE "
            "to another folder"
        ) from error


def _fault(path: Path, size: int | None, expected: dict[str, str | None]) -> str | None:
    """Say what is wrong with a file, if anything is."""
    there = path.stat().st_size
    if size is not None and there != size:
        return f"expected {size} bytes, got {there}"
    for name, wanted in expected.items():
        if wanted is not None:
            got = _digest(path, name)
            if not got.startswith(wanted.lower()):
                return f"expected {name} {wanted}, got {got}"
    return None


def _download(url: str, path: Path, part: Path, size: int | None, progress: bool) -> None:
    """Add to ``part`` what it lacks."""
    start = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "unmixing-sound", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # nothing beyond what is there: begin anew, or it is whole
            if error.headers.get("Content-Range") != f"bytes */{start}":
                part.unlink()
                _download(url, path, part, size, progress)
            return
        raise DataError(
            f"{url}: the server answers {error.code} ({error.reason}); try later, {_by_hand(path)}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{url}: cannot be reached ({reason}); check the network and try again, "
            f"{_by_hand(path)}"
        ) from error
    with response:
        if response.status != 206:  # the server sends the whole
            start = 0
        coming = response.headers.get("Content-Length")
        total = start + int(coming) if coming else size
        if size is not None and total != size:
            raise DataError(
                f"{url}: expected {size} bytes, the server offers {total}; "
                "the file at the source has changed"
            )
        if total is not None and total - start > shutil.disk_usage(part.parent).free:
            raise DataError(
                f"{path}: needs {readable_size(total - start)} more than there is room for; make "
                "room or set UNMIX_CACHE to another folder"
            )
        with part.open("ab" if start else "wb") as file:
            for block in _blocks(response, path.name, start, total, progress):
                file.write(block)
            there = file.tell()
    if total is not None and there < total:
        raise DataError(
            f"{url}: cut off after {there} of {total} bytes; run it again to go on from there"
        )


def _blocks(
    response: http.client.HTTPResponse, name: str, start: int, total: int | None, progress: bool
) -> Iterator[bytes]:
    """Yield what comes until the end or the first failure."""
    from tqdm.auto import tqdm

    with tqdm(
        total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=not progress
    ) as bar:
        while True:
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                if total is None:
                    raise DataError(f"{name}: cut off ({error}); run it again") from error
                return  # what is missing shows in the length
            if not block:
                return
            bar.update(len(block))
            yield block


def readable_size(count: int) -> str:
    """Write a number of bytes for people.

    Args:
        count: bytes.

    Example:
        >>> readable_size(35_700_000), readable_size(999)
        ('36 MB', '999 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.2g} {unit}" if 0 < count < 10 else f"{count:.0f} {unit}"
        count /= 1000
    raise AssertionError
