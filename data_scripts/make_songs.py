"""Make a larger training set of songs, sung by the pack's three training persons.

    python data_scripts/make_songs.py             64 songs, half an hour, in build/songs

A maintainer's tool. The pack has eight training songs, four minutes, which a network knows by heart
after an hour. Here each song is drawn: chords, mode and style of different songs of the pack, its
own key, tempo and instruments, lines of several lyrics, and a singer with formants of his or her
own. No song, singer or line of the pack's validation and test songs is used. Recipes take the set
for training (``augment: {corpus: folders, folder: build/songs}``). Needs what ``make_pack.py``
needs for songs: flite, festival, fluidsynth, and ``requirements.txt`` beside this file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile
from pack.composing import SCALES, SONGS, SongPlan
from pack.singing import SAMPLE_RATE
from pack.songs import make_stems
from scipy.signal import resample_poly

ROOT = Path(__file__).resolve().parent.parent
SEED = 30_000
LINES = 4
# voice, sex as sung: middle of the range as a MIDI number, formants as factors
SINGERS = {
    ("slt_hts", "F"): ((62, 67), (0.94, 1.10)),
    ("slt_hts", "M"): ((50, 55), (0.82, 0.90)),
    ("rms", "M"): ((49, 55), (0.94, 1.08)),
    ("rms", "F"): ((60, 65), (1.10, 1.20)),
    ("kal16", "M"): ((48, 54), (0.92, 1.08)),
    ("kal16", "F"): ((60, 65), (1.10, 1.20)),
}
# General MIDI programs that may stand for one another
FAMILIES = (range(0, 8), range(8, 16), range(16, 24), range(24, 32), range(40, 52), range(56, 80),
            range(80, 96))  # fmt: skip


def _other_program(program: int, draw: np.random.Generator) -> int:
    """Another instrument of the same family."""
    family = next((family for family in FAMILIES if program in family), [program])
    return int(draw.choice(family))


def draw_plan(number: int) -> SongPlan:
    """Decide a song."""
    draw = np.random.default_rng([SEED, number])
    songs = [plan for plan in SONGS.values() if plan.split == "train"]
    style = songs[number % len(songs)]
    # a waltz needs lines and chords of its own length
    alike = [plan for plan in songs if plan.beats == style.beats]
    harmony = alike[int(draw.integers(len(alike)))]
    lines = sorted({line for plan in alike for line in plan.lyrics})
    voice, sex = list(SINGERS)[int(draw.integers(len(SINGERS)))]
    centre, formant = SINGERS[voice, sex]
    chords = (0, *draw.permutation(harmony.chords[1:]).tolist())
    return style._replace(
        bpm=round(style.bpm * draw.uniform(0.85, 1.15)),
        key=int(draw.integers(52, 64)),
        mode=str(draw.choice(list(SCALES))),
        chords=chords,
        parts=tuple(p._replace(program=_other_program(p.program, draw)) for p in style.parts),
        voice=voice,
        sex=sex,
        centre=int(draw.integers(centre[0], centre[1] + 1)),
        formant=float(draw.uniform(*formant)),
        lyrics=tuple(draw.choice(lines, min(LINES, len(lines)), replace=False).tolist()),
    )


def make_folder(folder: Path, rate: int, mono: bool, number: int) -> str:
    """Play and sing a song, one file per stem; its name."""
    plan = draw_plan(number)
    name = f"{number:03d}_{plan.style}_{plan.voice}_{plan.sex.lower()}"
    place = folder / "train" / name
    place.mkdir(parents=True)
    for stem, waveform in make_stems(plan, [SEED, number, 1]).items():
        if mono:
            waveform = waveform.mean(1)
        if rate != SAMPLE_RATE:
            common = np.gcd(rate, SAMPLE_RATE)
            waveform = resample_poly(waveform, rate // common, SAMPLE_RATE // common, axis=0)
        soundfile.write(place / f"{stem}.flac", np.clip(waveform, -1, 1), rate)
    return name


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/songs", help="folder to make")
    parser.add_argument("--songs", type=int, default=64)
    parser.add_argument("--rate", type=int, default=SAMPLE_RATE, help="of the files, in Hz")
    parser.add_argument("--mono", action="store_true", help="one channel: smaller, and faster read")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    if options.out.exists():
        parser.error(f"{options.out} exists; delete it, or give another --out")
    for program in ("flite", "festival", "fluidsynth"):
        if shutil.which(program) is None:
            parser.error(f"missing program {program}: apt-get install {program}")
    fresh = options.out.with_name(options.out.name + ".making")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    make = partial(make_folder, fresh, options.rate, options.mono)
    try:
        with ProcessPoolExecutor(options.workers) as pool:
            for name in pool.map(make, range(options.songs)):
                print(f"  {name}", flush=True)
        fresh.rename(options.out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
