"""Downloads, against a server in this process."""

import errno
import hashlib
import http.server
import socket

import pytest
from serving import running

from lib import fetch as module
from lib.errors import DataError
from lib.fetch import cache_folder, fetch, readable_size

CONTENT = bytes(range(256)) * 4000  # more than one block
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the server's ``mode`` says how."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if server.mode == "missing":
            return self.send_error(404, "Not Found")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if server.mode == "no ranges":
            start = 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if server.mode != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 3] if server.mode == "cut off" else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running(Handler) as server:
        server.mode, server.ranges = "whole", []
        server.url += "/file.bin"
        yield server


def get(server, path, sha256=SHA256, **options):
    return fetch(server.url, path, sha256, progress=False, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "expected",
    [
        {"sha256": SHA256},
        {"sha256": SHA256[:8].upper()},
        {"sha256": None, "md5": MD5},
        {"sha256": SHA256, "size": len(CONTENT)},
        {"sha256": None},
    ],
)
def test_a_file_comes_whole_into_a_new_folder(server, tmp_path, expected):
    path = get(server, tmp_path / "new" / "file.bin", **expected)
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file.bin"]


def test_a_file_that_is_there_is_not_fetched_again(server, tmp_path):
    for _ in range(2):
        get(server, tmp_path / "file.bin")
    assert len(server.ranges) == 1


def test_what_was_cut_off_is_resumed(server, tmp_path):
    server.mode = "cut off"
    with pytest.raises(DataError, match=f"cut off after .* of {len(CONTENT)} bytes; run it again"):
        get(server, tmp_path / "file.bin")
    assert names(tmp_path) == ["file.bin.part"]
    there = (tmp_path / "file.bin.part").stat().st_size
    assert 0 < there < len(CONTENT)
    server.mode = "whole"
    assert get(server, tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={there}-"]
    assert names(tmp_path) == ["file.bin"]


def test_a_server_without_ranges_sends_the_whole(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.mode = "no ranges"
    assert get(server, tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [b"", b"more"])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_whole_or_too_long(server, tmp_path, extra, size):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + extra)
    assert get(server, tmp_path / "file.bin", size=size).read_bytes() == CONTENT
    assert len(server.ranges) == (0 if size and not extra else 2 if extra else 1)


def test_an_unknown_length(server, tmp_path):
    server.mode = "no length"
    assert get(server, tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("expected", [{"sha256": "0" * 8}, {"sha256": None, "md5": "0" * 32}])
def test_a_wrong_hash_is_kept_apart_and_never_used(server, tmp_path, expected):
    with pytest.raises(DataError, match="expected (sha256|md5) 0+, got .*file.bin.bad and not use"):
        get(server, tmp_path / "file.bin", **expected)
    assert names(tmp_path) == ["file.bin.bad"]


def test_a_wrong_part_is_found_out_and_the_next_call_begins_anew(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    with pytest.raises(DataError, match="expected sha256"):
        get(server, tmp_path / "file.bin")
    assert get(server, tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_damaged_file_is_kept_apart_and_replaced(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"damaged")
    assert get(server, tmp_path / "file.bin").read_bytes() == CONTENT
    assert (tmp_path / "file.bin.bad").read_bytes() == b"damaged"


def test_a_hash_that_nobody_states_is_kept_and_checked(server, tmp_path):
    path = tmp_path / "file.bin"
    pinned = tmp_path / "file.bin.sha256"
    get(server, path, None, pin=True)
    assert pinned.read_text() == f"{SHA256}  file.bin\n"
    path.write_bytes(b"damaged")
    assert get(server, path, None, pin=True).read_bytes() == CONTENT
    assert (tmp_path / "file.bin.bad").read_bytes() == b"damaged"
    assert len(server.ranges) == 2
    pinned.write_text("0" * 64)  # as if the file at the source had changed
    with pytest.raises(DataError, match=r"expected sha256 0+, got .*delete .*sha256 to trust the"):
        get(server, path, None, pin=True)


@pytest.mark.parametrize("content", [None, ""])
def test_a_file_that_was_put_there_by_hand_is_pinned(server, tmp_path, content):
    (tmp_path / "file.bin").write_bytes(b"by hand")
    if content is not None:
        (tmp_path / "file.bin.sha256").write_text(content)
    get(server, tmp_path / "file.bin", None, pin=True)
    digest = hashlib.sha256(b"by hand").hexdigest()
    assert (tmp_path / "file.bin.sha256").read_text().startswith(digest)
    assert not server.ranges


@pytest.mark.parametrize("stated", [{"sha256": SHA256}, {"sha256": None, "md5": MD5}])
def test_a_stated_hash_needs_no_pin(server, tmp_path, stated):
    (tmp_path / "file.bin.sha256").write_text("0" * 64)
    assert get(server, tmp_path / "file.bin", pin=True, **stated).read_bytes() == CONTENT


def test_another_size_at_the_source(server, tmp_path):
    with pytest.raises(DataError, match=f"expected 5 bytes, the server offers {len(CONTENT)}"):
        get(server, tmp_path / "file.bin", size=5)
    assert names(tmp_path) == []


def test_a_refusal_names_the_answer(server, tmp_path):
    server.mode = "missing"
    with pytest.raises(DataError, match=r"answers 404 \(Not Found\); .*put it at .*file.bin"):
        get(server, tmp_path / "file.bin")
    assert names(tmp_path) == []


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(DataError, match="cannot be reached .*put it at .*file.bin") as error:
        fetch(f"http://127.0.0.1:{port}/file.bin", tmp_path / "file.bin", SHA256, progress=False)
    assert "\n" not in str(error.value)


def test_no_room(server, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="needs 1 MB more than there is room for"):
        get(server, tmp_path / "file.bin")


def test_no_space_left_while_writing(server, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_blocks", full)
    with pytest.raises(DataError, match="No space left on device"):
        get(server, tmp_path / "file.bin")
    assert not (tmp_path / "file.bin").exists()


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match="UNMIX_CACHE"):
        get(server, tmp_path / "taken" / "file.bin")


def test_progress_is_shown(server, tmp_path, capsys):
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert "file.bin" in capsys.readouterr().err


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("UNMIX_CACHE")
    assert cache_folder().parts[-2:] == (".cache", "unmixing-sound")


def test_sizes_for_people():
    assert [readable_size(n) for n in (0, 5, 1500, 20_000, 35_700_000, 12_345_678_901)] == [
        "0 B",
        "5 B",
        "1.5 kB",
        "20 kB",
        "36 MB",
        "12 GB",
    ]
