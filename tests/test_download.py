"""data_scripts/download.py against a server in this process: cut off, damaged, hostile, down."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from serving import running

import lib
import lib.data as data
from lib.errors import DataError

PATH = Path(lib.__file__).parent.parent / "data_scripts" / "download.py"
spec = importlib.util.spec_from_file_location("download_script", PATH)
download = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = download
spec.loader.exec_module(download)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``; a path in ``server.cut`` is cut off after half, once."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        content = self.server.files.get(self.path)
        if content is None:
            return self.send_error(404, "Not Found")
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if self.path in self.server.cut:
            self.server.cut.remove(self.path)
            body = body[: len(body) // 2]
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running(Handler) as server:
        server.files, server.cut, server.starts = {}, set(), []
        yield server


def wav(seed=0):
    with io.BytesIO() as memory:
        import soundfile

        generator = torch.Generator().manual_seed(seed)
        samples = 0.1 * torch.randn(2000, generator=generator)
        soundfile.write(memory, samples.numpy(), 8000, format="WAV")
        return memory.getvalue()


def zipped(files):
    with io.BytesIO() as memory:
        with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return memory.getvalue()


def tarred(files, links=()):
    with io.BytesIO() as memory:
        with tarfile.open(fileobj=memory, mode="w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            for name, target in links:
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                archive.addfile(entry)
        return memory.getvalue()


SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
DIGITS = {f"fsdd-1/recordings/{d}_{s}_0.wav": wav(d) for d in range(2) for s in SPEAKERS}


@pytest.fixture
def offer(server, monkeypatch):
    """Offer an archive under a corpus named ``small``."""

    def put(content, name="small.tar.gz", **options):
        server.files[f"/{name}"] = content
        given = {"size": len(content), "md5": hashlib.md5(content).hexdigest()} | options
        archive = download.Archive(f"{server.url}/{name}", name, **given)
        corpus = download.Corpus("Small corpus", "CC0", "http://page", (archive,))
        monkeypatch.setattr(download, "CORPORA", {"small": corpus})
        return archive

    return put


def run(folder, *more):
    return download.main(["small", "--to", str(folder), "--yes", *more])


def complaint(capsys):
    """The one line of an error, behind the progress bars."""
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "error:" in line] == lines[-1:]
    return lines[-1]


def visible(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def test_fetched_unpacked_and_usable(offer, server, tmp_path, capsys):
    offer(tarred(DIGITS), strip=1)
    assert run(tmp_path / "fsdd") == 0
    told = capsys.readouterr().out
    assert told.index("licence: CC0") < told.index("done:")
    assert "to fetch" in told
    assert str(tmp_path / "fsdd") in told
    assert visible(tmp_path / "fsdd") == ["recordings"]
    item = data.TwoSpeakers("train", 1, corpus="fsdd", folder=tmp_path / "fsdd")[0]
    assert item.sources.shape == (2, 1, 2000)
    assert not list(tmp_path.rglob("*.tar.gz"))  # unpacked, so not kept
    asked = len(server.starts)
    assert run(tmp_path / "fsdd") == 0
    assert len(server.starts) == asked  # there already
    assert "there already" in capsys.readouterr().out


def test_two_archives_of_one_folder_become_one(tmp_path):
    for number in (1, 2):
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(tarred({f"LibriSpeech/part-{number}/a.txt": b"a", "LibriSpeech/R": b"r"}))
        download.unpack(path, tmp_path / "out")
    assert visible(tmp_path / "out" / "LibriSpeech") == ["R", "part-1", "part-2"]
    assert not list((tmp_path / "out").glob(".unpacking*"))


def test_a_download_cut_off_goes_on(offer, server, tmp_path, capsys):
    offer(tarred(DIGITS), strip=1)
    server.cut.add("/small.tar.gz")
    assert run(tmp_path) == 2
    assert "cut off after" in capsys.readouterr().err
    assert visible(tmp_path) == []
    assert run(tmp_path, "--keep") == 0
    assert server.starts[0] == 0 < server.starts[1]
    assert visible(tmp_path) == ["recordings"]
    assert (tmp_path / ".archives" / "small.tar.gz").is_file()


def test_a_wrong_hash_is_kept_apart_and_never_used(offer, tmp_path, capsys):
    offer(tarred(DIGITS), md5="0" * 32)
    assert run(tmp_path) == 2
    error = complaint(capsys)
    assert "expected md5 0000" in error
    assert visible(tmp_path) == []
    assert [p.name for p in (tmp_path / ".archives").iterdir()] == ["small.tar.gz.bad"]


def test_without_a_published_hash_the_first_one_is_kept(offer, tmp_path, capsys):
    first = offer(tarred(DIGITS), md5=None, about=True, comment=download.NOT_PUBLISHED)
    assert run(tmp_path) == 0
    assert download.NOT_PUBLISHED in capsys.readouterr().out
    assert first.name in (tmp_path / "SHA256SUMS").read_text()
    (tmp_path / ".archives" / "small.tar.gz.done").unlink()
    assert run(tmp_path) == 0  # the same once more
    (tmp_path / ".archives" / "small.tar.gz.done").unlink()
    offer(tarred(DIGITS | {"new.txt": b"new"}), md5=None, about=True)
    assert run(tmp_path) == 2
    assert "expected sha256" in capsys.readouterr().err


def test_the_hash_of_an_archive_that_cannot_be_unpacked_is_not_kept(offer, tmp_path, capsys):
    whole = tarred(DIGITS)
    offer(whole[: len(whole) // 2], md5=None, about=True, comment=download.NOT_PUBLISHED)
    assert run(tmp_path) == 2
    assert "delete it and run again" in complaint(capsys)
    (tmp_path / ".archives" / "small.tar.gz").unlink()
    offer(whole, md5=None, about=True, comment=download.NOT_PUBLISHED)
    assert run(tmp_path) == 0


def test_a_place_that_is_a_file_is_one_line(offer, tmp_path, capsys):
    offer(tarred(DIGITS))
    (tmp_path / "file").touch()
    assert run(tmp_path / "file" / "below") == 2
    complaint(capsys)


HOSTILE = {
    "dots.zip": zipped({"a.txt": b"a", "../evil.txt": b"evil"}),
    "root.zip": zipped({"/evil.txt": b"evil"}),
    "windows.zip": zipped({"..\\evil.txt": b"evil"}),
    "dots.tar.gz": tarred({"a.txt": b"a", "b/../../evil.txt": b"evil"}),
    "root.tar.gz": tarred({"/evil.txt": b"evil"}),
    "link.tar.gz": tarred({"a.txt": b"a"}, links=[("evil.txt", "../../secret")]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_path_outside_is_refused(offer, tmp_path, capsys, name):
    place = tmp_path / "deep" / "place"
    offer(HOSTILE[name], name)
    assert run(place) == 2
    error = complaint(capsys)
    assert ": refused, it holds a" in error
    assert "cannot be unpacked" not in error
    assert visible(place) == []
    assert not list(tmp_path.rglob("evil*"))


def test_a_link_in_a_zip_is_refused(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="refused, it holds a link"):
        download.unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path, make):
    path = tmp_path / "bomb"
    path.write_bytes(make({"a": b"\0" * 3_000_000, "b": b"\0" * 3_000_000}))
    with pytest.raises(DataError, match="refused, it unpacks to more"):
        download.unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_damaged_archive_leaves_nothing(tmp_path, make):
    whole = make({f"{n}.wav": wav(n) for n in range(4)})
    for content in (whole[: len(whole) // 2], whole[:100] + bytes(200) + whole[300:], b"no"):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(DataError, match="damaged|cannot be unpacked"):
            download.unpack(tmp_path / "a", tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []


def test_a_server_that_is_down_or_refuses_is_one_line(offer, server, tmp_path, capsys, monkeypatch):
    archive = offer(b"x")
    server.files.clear()
    assert run(tmp_path) == 2
    assert "the server answers 404" in capsys.readouterr().err
    gone = download.Archive("http://127.0.0.1:9/x", "x", 1)
    corpus = download.Corpus("Small corpus", "CC0", "http://page", (gone,))
    monkeypatch.setattr(download, "CORPORA", {"small": corpus})
    assert run(tmp_path) == 2
    error = complaint(capsys)
    assert "cannot be reached" in error
    assert archive.name not in visible(tmp_path)


def test_too_little_room_is_said_before_anything_is_asked(offer, server, tmp_path, capsys):
    offer(b"x", size=10**18)
    assert run(tmp_path) == 2
    assert "of free space" in capsys.readouterr().err
    assert server.starts == []


def test_asks_first(offer, server, tmp_path, capsys, monkeypatch):
    offer(tarred(DIGITS))
    assert download.main(["small", "--to", str(tmp_path)]) == 2  # nobody to ask
    assert "add --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert download.main(["small", "--to", str(tmp_path)]) == 1
    assert server.starts == []


def test_the_table_is_whole(capsys):
    assert download.main([]) == 0
    listed = capsys.readouterr().out
    for name, corpus in download.CORPORA.items():
        assert name in listed
        text = download.describe(name, Path("/place"))
        assert corpus.licence in text
        assert bool(corpus.archives) != bool(corpus.steps)
        for archive in corpus.archives:
            assert archive.url.startswith("https://")
            assert archive.sha256 or archive.md5 or archive.comment == download.NOT_PUBLISHED
    assert download.main(["librimix"]) == 0
    assert "generate_librimix.sh" in capsys.readouterr().out


def test_names_in_errors_of_the_loaders_exist(tmp_path):
    from lib.data.folders import FSDDSpeech, LibriSpeechSpeech

    for kind in (FSDDSpeech, LibriSpeechSpeech, data.LibriMix, data.WHAM, data.VoiceBankDemand):
        name = getattr(kind, "corpus", None) or kind.name
        assert name in download.CORPORA
    with pytest.raises(DataError) as caught:
        data.MUSDB18(tmp_path)
    assert str(caught.value).rpartition(" ")[2] in download.CORPORA
    for part in ("train-clean-100", "dev-clean", "test-clean"):
        assert f"librispeech-{part}" in download.CORPORA
