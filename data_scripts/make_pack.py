"""Make the sample pack: speech, noises, songs and rooms, byte for byte the same each time.

A maintainer's tool: the pack is shipped, so nobody who only uses the course runs it.

    python data_scripts/make_pack.py --force             the pack in lib/data/pack
    python data_scripts/make_pack.py --full 10           ten hours of speech, in build/full
    python data_scripts/make_pack.py --only noise --out build/noise

It needs data_scripts/requirements.txt and, on Debian or Ubuntu:
    apt-get install flite festival festvox-kdlpc16k festvox-us-slt-hts fluidsynth fluid-soundfont-gm
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import math
import os
import shutil
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore", "pkg_resources is deprecated")  # pyworld imports it
ROOT = Path(__file__).resolve().parent.parent
PARTS = ("speech", "noise", "songs", "rooms")
UTTERANCES = 50
UTTERANCE_S = 4.0  # mean length, measured
PROGRAMS = {
    "flite": "flite",
    "festival": "festival festvox-kdlpc16k festvox-us-slt-hts",
    "fluidsynth": "fluidsynth fluid-soundfont-gm",
}
MODULES = ("pyworld", "pyroomacoustics", "pretty_midi", "pyloudnorm", "soundfile", "scipy")


def missing_tools() -> list[str]:
    """One line for each tool that is not here, saying how to install it."""
    lines = [
        f"program {program}: apt-get install {packages}"
        for program, packages in PROGRAMS.items()
        if shutil.which(program) is None
    ]
    absent = [module for module in MODULES if importlib.util.find_spec(module) is None]
    if absent:
        lines.append(f"modules {', '.join(absent)}: pip install -r data_scripts/requirements.txt")
    return lines


def build(folder: Path, parts: tuple[str, ...] = PARTS, hours: float | None = None, say=print):
    """Make the parts in ``folder``; ``hours`` of speech and more of the rest, or the pack."""
    from pack import noises, rooms, songs, speech
    from pack.files import write_manifest
    from pack.notice import write_notice
    from pack.speakers import SPEAKERS

    scale = 1
    per_speaker, seed, skip_texts = UTTERANCES, 0, 0
    if hours is not None:
        per_speaker = math.ceil(hours * 3600 / UTTERANCE_S / len(SPEAKERS))
        scale, seed = max(1, round(hours)), 10_000
        skip_texts = UTTERANCES * len(SPEAKERS)  # no sentence of the pack, whatever its split
    rows, spoken = [], None
    if "speech" in parts or "noise" in parts:  # babble and cafe need the speech
        here = folder if "speech" in parts else folder / "unused"
        count = per_speaker if "speech" in parts else min(per_speaker, UTTERANCES)
        speech_rows, spoken = speech.make_speech(here, count, seed + 7, skip_texts, say)
        if "speech" in parts:
            rows += speech_rows
        else:
            shutil.rmtree(here)
    if "noise" in parts:
        rows += noises.make_noises(folder, spoken, scale, seed + 100, say)
    if "songs" in parts:
        rows += songs.make_songs(folder, scale, seed + 200, say)
    if "rooms" in parts:
        rows += rooms.make_rooms(folder, scale, seed + 300, say)
    write_notice(folder)
    write_manifest(folder, rows)
    return rows


def digest(folder: Path) -> str:
    """One hash over the names and bytes of all files, in order of their names."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder to make (default: lib/data/pack)")
    parser.add_argument("--full", type=float, metavar="HOURS", help="a training set of this size")
    parser.add_argument("--only", choices=PARTS, action="append", help="make only this part")
    parser.add_argument("--force", action="store_true", help="replace the folder if it is there")
    options = parser.parse_args(arguments)
    if options.full is not None and not options.full > 0:
        parser.error(f"--full: expected hours above 0, got {options.full}")
    out = options.out or ROOT / ("build/full" if options.full else "lib/data/pack")
    if out.exists() and not options.force:
        parser.error(f"{out} exists; give --force to replace it, or another --out")
    if out.exists() and not (out / "manifest.csv").exists():
        parser.error(f"{out} holds no pack (no manifest.csv), so it will not be replaced")
    if lines := missing_tools():
        parser.error("missing tools:\n  " + "\n  ".join(lines))
    started = time.time()
    fresh = out.with_name(out.name + ".making")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    try:
        build(fresh, tuple(options.only or PARTS), options.full, lambda s: print(s, flush=True))
        if out.exists():
            shutil.rmtree(out)
        fresh.replace(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    with open(out / "manifest.csv", encoding="utf-8") as file:
        clips = sum(1 for _ in csv.DictReader(file))
    print(
        f"{out}: {clips} clips, {size / 1e6:.2f} MB, {time.time() - started:.0f} s\n"
        f"sha256 of all files: {digest(out)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
