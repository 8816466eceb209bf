"""Fetch a real corpus: says size, licence and place first, goes on where it stopped, checks hashes.

    python data_scripts/download.py                       what there is
    python data_scripts/download.py fsdd                  asks before it starts
    python data_scripts/download.py librispeech-dev-clean --to /data/librispeech --yes

Archives are unpacked beside their place and moved there when they are whole. An archive with a
wrong hash is kept apart as ``NAME.bad``; one that reaches outside its folder is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import stat
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from lib.errors import CourseError, DataError
from lib.fetch import cache_folder, fetch, readable_size

NOT_PUBLISHED = "hash not published: that of your first download is kept and compared with"


@dataclass(frozen=True)
class Archive:
    """A file to fetch; ``size`` in bytes is exact unless ``about``; ``strip`` leading folders."""

    url: str
    name: str
    size: int
    about: bool = False
    sha256: str | None = None
    md5: str | None = None
    strip: int = 0
    comment: str = ""


@dataclass(frozen=True)
class Corpus:
    """What is fetched, or the steps by which others make it."""

    title: str
    licence: str
    page: str
    archives: tuple[Archive, ...] = ()
    steps: str = ""
    use: str = field(default="", kw_only=True)


# size and md5: the publisher's; sha256: as the loaders of torchaudio state it
LIBRISPEECH = {
    "dev-clean": (
        337926286,
        "42e2234ba48799c1f50f24a7926300a1",
        "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    ),
    "test-clean": (
        346663984,
        "32fa31d27d2e1cad72775fee3f4849a9",
        "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    ),
    "train-clean-100": (
        6387309499,
        "2a93770f6d5c6c964bc36631d331a522",
        "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    ),
    "train-clean-360": (
        23049477885,
        "c0e676e450a7ff2f54aeade5171606fa",
        "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    ),
}


def _librispeech(*parts: str) -> Corpus:
    return Corpus(
        f"LibriSpeech: {', '.join(parts)} (read English, 16 kHz)",
        "CC BY 4.0",
        "https://www.openslr.org/12",
        tuple(
            Archive(
                f"https://www.openslr.org/resources/12/{part}.tar.gz",
                f"{part}.tar.gz",
                LIBRISPEECH[part][0],
                md5=LIBRISPEECH[part][1],
                sha256=LIBRISPEECH[part][2],
            )
            for part in parts
        ),
        use='TwoSpeakers("train", corpus="librispeech", folder="{to}")',
    )


def _datashare(name: str, number: str, size: int, md5: str, about: bool = False) -> Archive:
    url = f"https://datashare.ed.ac.uk/bitstreams/{number}/download"
    return Archive(url, f"{name}.zip", size, about, md5=md5)


CORPORA = {
    "fsdd": Corpus(
        "Free Spoken Digit Dataset 1.0.10 (digits of six speakers, 8 kHz)",
        "CC BY-SA 4.0",
        "https://github.com/Jakobovski/free-spoken-digit-dataset",
        (
            Archive(
                "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.10.tar.gz",
                "fsdd-1.0.10.tar.gz",
                16_000_000,
                about=True,
                strip=1,
                comment=NOT_PUBLISHED,
            ),
        ),
        use='TwoSpeakers("train", corpus="fsdd", folder="{to}")',
    ),
    "librispeech": _librispeech("dev-clean", "test-clean", "train-clean-100"),
    **{f"librispeech-{part}": _librispeech(part) for part in LIBRISPEECH},
    "voicebank-demand": Corpus(
        "VoiceBank-DEMAND, 28 speakers (noisy and clean speech, 48 kHz)",
        "CC BY 4.0",
        "https://doi.org/10.7488/ds/2117",
        (
            _datashare(
                "clean_trainset_28spk_wav",
                "245452b6-6235-44b6-a6f9-e7eb19797769",
                2486057279,
                "d2d5a45ec32f8fcbf201bde0447e20ba",
            ),
            _datashare(
                "noisy_trainset_28spk_wav",
                "ecb5a102-bb00-46d3-8af5-40c79823b837",
                2830205201,
                "1fca9e8bafb8cd069f6653c6d92f9e9c",
            ),
            _datashare(
                "clean_testset_wav",
                "dec213d3-bf57-4777-9663-c24bdce92d5e",
                154_300_000,
                "34eb1c0ba7ef667e9b966866c542fc16",
                about=True,
            ),
            _datashare(
                "noisy_testset_wav",
                "13c1bfbf-14a6-41db-9b41-8f7310f01ad5",
                170_600_000,
                "fb1b86caa31e8ba5b506c0c64da9aab5",
                about=True,
            ),
        ),
        use='VoiceBankDemand("{to}", "train")',
    ),
    "musdb18-hq": Corpus(
        "MUSDB18-HQ (150 songs of four stems, 44.1 kHz)",
        "academic use only; the licence differs by song, see its page",
        "https://doi.org/10.5281/zenodo.3338373",
        (
            Archive(
                "https://zenodo.org/records/3338373/files/musdb18hq.zip",
                "musdb18hq.zip",
                22656664047,
                md5="12d4f2ecd55245a4688754dd76363103",
                sha256="baac80d0483c61d74b2e5f3be75fa557eec52898339e6aa45c1fa48833c5d21d",
            ),
        ),
        use='MUSDB18("{to}", "train")',
    ),
    "wham-noise": Corpus(
        "WHAM! noise (recorded in cafes, bars and restaurants, 16 kHz)",
        "CC BY-NC 4.0 (not for commercial use)",
        "http://wham.whisper.ai",
        (
            Archive(
                "https://my-bucket-a8b4b49c25c811ee9a7e8bba05fa24c7.s3.amazonaws.com/wham_noise.zip",
                "wham_noise.zip",
                18_000_000_000,
                about=True,
                comment=NOT_PUBLISHED,
            ),
        ),
    ),
    "librimix": Corpus(
        "LibriMix (two or three LibriSpeech speakers, also in noise, 8 and 16 kHz)",
        "speech CC BY 4.0; with noise CC BY-NC 4.0",
        "https://github.com/JorisCos/LibriMix",
        steps="""It is made from LibriSpeech and WHAM! noise by its authors' script:
  1. python data_scripts/download.py librispeech --to DIR
  2. python data_scripts/download.py wham-noise --to DIR
  3. git clone https://github.com/JorisCos/LibriMix
  4. follow its README; generate_librimix.sh fetches what it misses. All variants together take
     about 430 GB: choose 8k, min and the mixtures that you need.
Then: LibriMix("DIR/Libri2Mix", "train")""",
    ),
    "wham": Corpus(
        "WHAM! (WSJ0-2mix with noise, 8 and 16 kHz)",
        "noise CC BY-NC 4.0; the speech is WSJ0, which the LDC sells",
        "http://wham.whisper.ai",
        steps="""It is made from WSJ0 (LDC93S6A, by licence) and WHAM! noise by its authors' script:
  1. get WSJ0 from the Linguistic Data Consortium
  2. python data_scripts/download.py wham-noise --to DIR
  3. get the scripts from the page above and run create_wham_from_scratch.py
Then: WHAM("DIR", "train")""",
    ),
}


def _safe_name(name: str, archive: Path, strip: int) -> PurePosixPath | None:
    """The relative path of a member; None for what ``strip`` takes away."""
    path = PurePosixPath(name)
    if "\\" in name or "\0" in name or path.is_absolute() or ".." in path.parts or ":" in name:
        raise DataError(f"{archive}: refused, it holds a path outside its folder: {name!r}")
    parts = path.parts[strip:]
    return PurePosixPath(*parts) if parts else None


def _members(path: Path) -> Iterator[tuple[str, str, IO[bytes] | None]]:
    """Name, kind (file, folder, other) and content of what an archive holds, in its order."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                mode = entry.external_attr >> 16
                if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    yield entry.filename, "other", None
                elif entry.is_dir():
                    yield entry.filename, "folder", None
                else:
                    with archive.open(entry) as content:
                        yield entry.filename, "file", content
    else:
        with tarfile.open(path, "r|*") as archive:
            for entry in archive:
                kind = "file" if entry.isreg() else "folder" if entry.isdir() else "other"
                yield entry.name, kind, archive.extractfile(entry) if kind == "file" else None


def unpack(path: Path, folder: Path, strip: int = 0, limit: int | None = None) -> None:
    """Unpack a zip or tar archive into a folder: all of it, or nothing.

    Args:
        path: of the archive.
        folder: gets its content, merged with what is there.
        strip: leading folders of each path to leave out.
        limit: bytes that it may unpack to; ten times its size if None.

    Raises:
        DataError: if it is damaged, holds a path outside its folder, a link or a device, unpacks
            to more than the limit, or cannot be written.

    Example:
        >>> import io
        >>> with tempfile.TemporaryDirectory() as place:
        ...     with zipfile.ZipFile(Path(place, "a.zip"), "w") as archive:
        ...         archive.writestr("top/note.txt", "hello")
        ...     unpack(Path(place, "a.zip"), Path(place, "out"), strip=1)
        ...     Path(place, "out", "note.txt").read_text()
        'hello'
    """
    left = limit if limit is not None else 10 * path.stat().st_size + 2**20
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as temporary:
        try:
            for name, kind, content in _members(path):
                safe = _safe_name(name, path, strip)
                if kind == "other":
                    raise DataError(f"{path}: refused, it holds a link or a device: {name!r}")
                if safe is None:
                    continue
                target = Path(temporary, safe)
                if kind == "folder":
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    while block := content.read(2**20):
                        left -= len(block)
                        if left < 0:
                            raise DataError(
                                f"{path}: refused, it unpacks to more than ten times its size"
                            )
                        file.write(block)
        except DataError:
            raise
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError) as error:
            raise DataError(f"{path}: damaged ({error}); delete it and run again") from error
        except (OSError, RuntimeError, zlib.error) as error:
            raise DataError(f"{path}: cannot be unpacked to {folder} ({error})") from error
        _merge(Path(temporary), folder)


def _merge(source: Path, target: Path) -> None:
    """Move what is in a folder into another one; folders of one name become one."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _merge(path, place)
        else:
            os.replace(path, place)


def _recorded(archive: Archive, folder: Path) -> str | None:
    """The hash of an earlier download of an archive whose publisher states none."""
    sums = folder / "SHA256SUMS"
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    return next((line.split()[0] for line in lines if line.split()[1:] == [archive.name]), None)


def get(archive: Archive, folder: Path, keep: bool = False) -> None:
    """Fetch an archive and unpack it, unless that is done.

    Args:
        archive: which.
        folder: gets its content; the archive itself waits in ``.archives`` there.
        keep: do not delete the archive afterwards.

    Raises:
        DataError: if fetching or unpacking fails.
    """
    done = folder / ".archives" / f"{archive.name}.done"
    if done.is_file():
        print(f"{archive.name}: there already")
        return
    stated = archive.sha256 or archive.md5
    path = fetch(
        archive.url,
        folder / ".archives" / archive.name,
        archive.sha256 or (None if stated else _recorded(archive, folder)),
        None if archive.about else archive.size,
        md5=archive.md5,
    )
    print(f"{archive.name}: unpacking")
    unpack(path, folder, archive.strip)
    if not stated and _recorded(archive, folder) is None:  # only that of a whole archive is kept
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        with (folder / "SHA256SUMS").open("a", encoding="utf-8") as sums:
            sums.write(f"{found}  {archive.name}\n")
        print(f"{archive.name}: no hash is published; sha256 {found} is kept in SHA256SUMS")
    done.touch()
    if not keep:
        path.unlink()


def describe(name: str, folder: Path) -> str:
    """What is about to be fetched, from where, to where, how large and under which licence.

    Args:
        name: of a corpus.
        folder: where it will be.
    """
    corpus = CORPORA[name]
    lines = [corpus.title, f"  licence: {corpus.licence}", f"  page:    {corpus.page}"]
    for archive in corpus.archives:
        about = "about " if archive.about else ""
        checked = "sha256" if archive.sha256 else "md5" if archive.md5 else archive.comment
        lines.append(f"  file:    {archive.name}, {about}{readable_size(archive.size)} ({checked})")
    if corpus.archives:
        total = readable_size(sum(archive.size for archive in corpus.archives))
        lines += [
            f"  size:    {total} to fetch, about twice that on the way",
            f"  to:      {folder}",
        ]
    return "\n".join(lines)


def _room(corpus: Corpus, folder: Path) -> None:
    waiting = [
        a for a in corpus.archives if not (folder / ".archives" / f"{a.name}.done").is_file()
    ]
    # archives are deleted one by one: all unpacked, and the largest beside it
    needed = 1.3 * sum(a.size for a in waiting) + max((a.size for a in waiting), default=0)
    place = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DataError(
            f"{folder}: expected about {readable_size(round(needed))} of free space, got "
            f"{readable_size(free)}; name another place with --to"
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the script; its exit code is 1 if declined, 2 for an error, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=sorted(CORPORA), metavar="NAME")
    parser.add_argument("--to", type=Path, help="folder (default: corpora/NAME in the cache)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--keep", action="store_true", help="keep the archives")
    options = parser.parse_args(arguments)
    if options.name is None:
        for name, corpus in CORPORA.items():
            size = sum(archive.size for archive in corpus.archives)
            print(f"{name:28} {readable_size(size) if size else 'steps':>7}  {corpus.title}")
        return 0
    corpus = CORPORA[options.name]
    folder = (options.to or cache_folder() / "corpora" / options.name).expanduser().absolute()
    print(describe(options.name, folder))
    if not corpus.archives:
        print(corpus.steps)
        return 0
    try:
        _room(corpus, folder)
        if not options.yes:
            if not sys.stdin.isatty():
                raise DataError("expected an answer, got no terminal to ask at; add --yes")
            if input("Fetch it? [y/N] ").strip().lower() not in ("y", "yes"):
                return 1
        for archive in corpus.archives:
            get(archive, folder, options.keep)
    except (CourseError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, EOFError):
        print("stopped; run it again to go on", file=sys.stderr)
        return 130
    print(f"done: {folder}")
    if corpus.use:
        print(f"use it: {corpus.use.format(to=folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
