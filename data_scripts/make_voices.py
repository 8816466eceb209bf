"""Make a larger training set of speech: many voices, all of the pack's three training persons.

    python data_scripts/make_voices.py            90 voices, four hours, in build/voices
    python data_scripts/make_voices.py --rate 16000 --out build/voices-16k

A maintainer's tool. The pack has twelve training speakers, whose forty minutes a network with a
learned encoder knows by heart after an hour. Here each voice has its own pitch, formants, breath
and pace, and its own sentences, none of them the pack's. Recipes take the set for training
(``augment: {corpus: folders, folder: build/voices}``) and validate on the pack. Needs what
``make_pack.py`` needs for speech: flite, and ``requirements.txt`` beside this file.
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
from make_pack import UTTERANCES
from pack.sentences import sentences
from pack.speakers import SPEAKERS, Speaker
from pack.speech import SAMPLE_RATE, finish
from pack.voices import speak
from pack.world import revoice
from scipy.signal import resample_poly

ROOT = Path(__file__).resolve().parent.parent
SEED = 20_000
PITCH_HZ = {"rms": 102.0, "slt": 169.0, "kal16": 89.0}  # medians of the recorded voices
SEX = {"rms": "M", "slt": "F", "kal16": "M"}
RANGE_HZ = {"M": (80.0, 160.0), "F": (155.0, 265.0)}
# formants move with the length of the vocal tract: about 17 % between the sexes
FORMANT = {"MM": (0.88, 1.10), "MF": (1.08, 1.26), "FF": (0.90, 1.12), "FM": (0.78, 0.92)}


def make_voice(number: int) -> Speaker:
    """Draw a speaker of a training person; women and men alternate."""
    draw = np.random.default_rng([SEED, number])
    base, sex = list(PITCH_HZ)[number % 3], "MF"[number // 3 % 2]
    low, high = np.log(RANGE_HZ[sex])
    return Speaker(
        base,
        sex,
        "train",
        pitch=float(np.exp(draw.uniform(low, high))) / PITCH_HZ[base],
        formant=float(draw.uniform(*FORMANT[SEX[base] + sex])),
        pitch_range=float(draw.uniform(1.0, 1.6)),
        breath=float(draw.uniform(0.0, 0.3)),
        tilt_db=float(draw.uniform(-0.7, 0.7)),
        speed=float(draw.uniform(0.85, 1.15)),
    )


def make_folder(folder: Path, rate: int, number: int, texts: list[str]) -> str:
    """Speak the texts with one voice, one file each, at a rate in Hz; its name."""
    speaker = make_voice(number)
    name = f"{speaker.sex.lower()}{number:03d}_{speaker.voice}"
    place = folder / "train" / name
    place.mkdir(parents=True)
    for index, utterance in enumerate(speak(speaker.voice, texts)):
        seed = [SEED, number, index]
        waveform = revoice(utterance.waveform, utterance.sample_rate, speaker, seed)
        waveform = resample_poly(finish(waveform, [*seed, 1]), 1, SAMPLE_RATE // rate)
        soundfile.write(place / f"{index:03d}.flac", waveform, rate)
    return name


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/voices", help="folder to make")
    parser.add_argument("--voices", type=int, default=90)
    parser.add_argument("--sentences", type=int, default=40, help="of each voice")
    parser.add_argument(
        "--rate", type=int, default=8000, choices=(8000, SAMPLE_RATE), help="of the files, in Hz"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    if options.out.exists():
        parser.error(f"{options.out} exists; delete it, or give another --out")
    if shutil.which("flite") is None:
        parser.error("missing program flite: apt-get install flite")
    skip = UTTERANCES * len(SPEAKERS)  # the sentences of the pack
    each = options.sentences
    texts = sentences(skip + options.voices * each)[skip:]
    fresh = options.out.with_name(options.out.name + ".making")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    make = partial(make_folder, fresh, options.rate)
    portions = [texts[n * each : (n + 1) * each] for n in range(options.voices)]
    try:
        with ProcessPoolExecutor(options.workers) as pool:
            for name in pool.map(make, range(options.voices), portions):
                print(f"  {name}", flush=True)
        fresh.rename(options.out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
