"""The twelve songs as data, and their melodies: phrases over chords, with rests between."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .singing import Note, nuclei
from .voices import Phone

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}


class Part(NamedTuple):
    """An instrument of the stem "other": General MIDI program, what it plays, pan (-64 to 63)."""

    program: int
    role: str
    pan: int


class SongPlan(NamedTuple):
    """All that is decided before a song is played.

    ``chords`` are scale degrees (0 = tonic), one per bar, repeated. ``centre`` is the middle of the
    singer's range as a MIDI number. Each line of ``lyrics`` is sung over two bars.
    """

    split: str
    bpm: int
    key: int
    mode: str
    style: str
    chords: tuple[int, ...]
    bass: int
    parts: tuple[Part, ...]
    voice: str
    sex: str
    centre: int
    formant: float
    lyrics: tuple[str, ...]
    beats: int = 4


SONGS = {
    "morning_light": SongPlan(
        "train", 104, 60, "major", "pop", (0, 4, 5, 3), 33,
        (Part(0, "comp", 0), Part(25, "arpeggio", 40), Part(48, "pad", -30)),
        "slt_hts", "F", 66, 1.0,
        ("Morning light is on the river", "every window starts to glow",
         "I will follow where the water", "and the quiet valleys go"),
    ),
    "empty_stations": SongPlan(
        "train", 88, 57, "minor", "half", (0, 5, 2, 6), 35,
        (Part(4, "comp", 20), Part(89, "pad", 0), Part(26, "arpeggio", -45)),
        "rms", "M", 52, 1.0,
        ("Empty stations in the rain now", "call the names of distant towns",
         "someone left a yellow lantern"),
    ),
    "narrow_river": SongPlan(
        "train", 132, 55, "minor", "rock", (0, 5, 2, 6), 34,
        (Part(30, "power", -35), Part(29, "power", 35), Part(18, "pad", 0)),
        "slt_hts", "F", 65, 1.05,
        ("Run along the narrow river", "turn the engine to the sun",
         "hear the hammer and the thunder", "nothing here is ever done"),
    ),
    "paper_boats": SongPlan(
        "train", 132, 53, "major", "waltz", (0, 3, 4, 0, 5, 1, 4, 0), 32,
        (Part(21, "waltz", -20), Part(24, "arpeggio", 35), Part(71, "lead", 10)),
        "kal16", "M", 52, 1.0,
        ("Paper boats along the gutter", "sail to oceans made of rain",
         "every captain brave and tiny", "never comes to shore again"), 3,
    ),
    "copper_wire": SongPlan(
        "train", 118, 62, "dorian", "disco", (0, 3, 0, 6), 38,
        (Part(27, "stab", 40), Part(50, "pad", -20), Part(81, "arpeggio", -40)),
        "slt_hts", "F", 65, 0.95,
        ("Copper wire and silver thunder", "keep the city wide awake",
         "dance until the floor is shaking", "give a little more than take"),
    ),
    "slow_harbor": SongPlan(
        "train", 86, 63, "major", "ballad", (0, 5, 3, 4), 32,
        (Part(0, "arpeggio", -15), Part(49, "pad", 20)),
        "rms", "M", 53, 1.03,
        ("Slow harbor in the evening", "hold the boats against the tide",
         "I was looking for an answer"),
    ),
    "sand_and_salt": SongPlan(
        "train", 128, 58, "major", "bossa", (0, 5, 1, 4), 32,
        (Part(24, "stab", 25), Part(11, "arpeggio", -35), Part(73, "lead", 0)),
        "slt_hts", "F", 63, 1.0,
        ("Sand and salt upon my shoulder", "summer hidden in a shell",
         "when the winter nights are colder", "open it and listen well"),
    ),
    "seven_doors": SongPlan(
        "train", 104, 52, "mixolydian", "shuffle", (0, 3, 0, 4, 3, 0), 33,
        (Part(17, "comp", -25), Part(26, "stab", 30)),
        "kal16", "M", 50, 0.97,
        ("Seven doors and no one waiting", "seven keys that never fit",
         "I been knocking since the morning", "might as well go home and sit"),
    ),
    "winter_orchard": SongPlan(
        "val", 104, 62, "major", "folk", (0, 3, 0, 4), 32,
        (Part(25, "strum", -25), Part(40, "lead", 25), Part(21, "pad", 0)),
        "ked", "M", 52, 1.0,
        ("In the winter orchard sleeping", "every branch is lined with white",
         "there are secrets worth the keeping", "underneath the morning light"),
    ),
    "signal_lamps": SongPlan(
        "val", 122, 59, "minor", "disco", (0, 5, 6, 4), 38,
        (Part(81, "arpeggio", -30), Part(90, "pad", 0), Part(62, "stab", 30)),
        "ked", "F", 63, 1.15,
        ("Signal lamps across the water", "tell me if the line is clear",
         "I can read the silent letters", "only you can see from here"),
    ),
    "glass_mountain": SongPlan(
        "test", 110, 57, "major", "pop", (0, 3, 5, 4), 33,
        (Part(29, "power", -40), Part(25, "strum", 35), Part(16, "pad", 0)),
        "awb", "M", 54, 1.0,
        ("Climb the mountain made of glasses", "see the village far below",
         "when the heavy weather passes", "all the world begins to glow"),
    ),
    "night_ferry": SongPlan(
        "test", 88, 54, "minor", "half", (0, 3, 5, 4), 35,
        (Part(4, "comp", -20), Part(89, "pad", 0), Part(66, "lead", 25)),
        "awb", "F", 62, 1.13,
        ("Take the ferry after midnight", "leave the lanterns on the pier",
         "let the river keep my secret"),
    ),
}  # fmt: skip

INTRO_BARS, OUTRO_BARS, LINE_BARS = 2, 2, 2


def bars(plan: SongPlan) -> int:
    """How many bars the song has."""
    return INTRO_BARS + LINE_BARS * len(plan.lyrics) * (2 if plan.beats == 3 else 1) + OUTRO_BARS


def chord(plan: SongPlan, bar: int, size: int = 3) -> list[int]:
    """The pitches of a bar's chord, in close position from its root; the last bars come home."""
    degree = 0 if bar >= bars(plan) - 1 else plan.chords[bar % len(plan.chords)]
    scale = SCALES[plan.mode]
    steps = [degree + 2 * third for third in range(size)]
    pitches = [plan.key + scale[step % 7] + 12 * (step // 7) for step in steps]
    harmonic_dominant = plan.mode == "minor" and degree == 4
    if harmonic_dominant:
        pitches[1] += 1
    return pitches


def _durations(phones: list[Phone], cores: list[int], slots: int) -> list[int]:
    """Units of time for each syllable, filling at most ``slots``; weak vowels stay short."""
    count = len(cores)
    lengths = [1] * count
    spare = slots - count
    order = [count - 1, count - 1]  # the last syllable breathes, but is not held for bars
    strong = [i for i in range(count - 1) if phones[cores[i]].name not in ("ax", "ih", "ix")]
    order += sorted(strong, key=lambda i: (i % 4 != 0, i % 2, i))
    for index in order[: max(0, spare)]:
        lengths[index] += 1
    return lengths


def melody(plan: SongPlan, spoken: list[list[Phone]], draw: np.random.Generator):
    """Notes for each line: chord tones on long and strong notes, steps between, an arch over all.

    Lines one and three share a contour, and two and four: a melody is remembered by what returns.
    The last line ends on the tonic, the others on the third or fifth of their chord.
    """
    beat = 60 / plan.bpm
    bars_per_line = LINE_BARS * (2 if plan.beats == 3 else 1)
    unit = 2 if plan.beats == 3 else 1  # a waltz moves in quarter notes, the others in eighths
    slots = bars_per_line * plan.beats * 2 // unit - (2 if unit == 2 else 3)
    scale = {(plan.key + step) % 12 for step in SCALES[plan.mode]}
    pitches = [p for p in range(plan.centre - 8, plan.centre + 9) if p % 12 in scale]
    contours = [draw.uniform(-0.6, 0.1, 2).tolist() + draw.uniform(0.4, 1.0, 1).tolist()] * 2
    contours[1] = [contours[0][2] * 0.6, -0.2, 0.8]
    lines = []
    for number, phones in enumerate(spoken):
        cores = nuclei(phones)
        lengths = [unit * length for length in _durations(phones, cores, slots)]
        start_level, stop_level, top = contours[number % 2]
        first_bar = INTRO_BARS + number * bars_per_line
        pickup = (number % 2) * (2 - unit)  # answers enter off the beat, but not in a waltz
        place = pickup
        total = sum(lengths)
        notes, previous = [], None
        for index, length in enumerate(lengths):
            part = (place - pickup) / max(total - lengths[-1], 1)
            height = start_level + (stop_level - start_level) * part
            height += (top - max(start_level, stop_level)) * np.sin(np.pi * min(part * 1.1, 1))
            target = plan.centre + 6 * height
            bar = first_bar + place // (2 * plan.beats)
            tones = {p % 12 for p in chord(plan, bar)}
            last = index + 1 == len(lengths)
            important = last or length > 1 or place % 2 == 0
            choices = [p for p in pitches if p % 12 in tones] if important else pitches
            if last and number + 1 == len(spoken):
                choices = [p for p in pitches if p % 12 == plan.key % 12] or choices
            if previous is not None:
                near = [p for p in choices if abs(p - previous) <= (7 if important else 4)]
                choices = near or choices
            wander = draw.normal(0, 0.7)
            pitch = min(choices, key=lambda p: (abs(p - target - wander), p))
            begin = (first_bar * plan.beats + place / 2) * beat
            notes.append(Note(begin, begin + length / 2 * beat * 0.97, pitch))
            place += length
            previous = pitch
        lines.append(notes)
    return lines
