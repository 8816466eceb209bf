"""What the instruments of a song play: drums, bass, and the parts of the stem "other"."""

from __future__ import annotations

import numpy as np
import pretty_midi

from .composing import INTRO_BARS, OUTRO_BARS, SCALES, SongPlan, bars, chord

KICK, SNARE, RIM, CLAP, HAT, OPEN_HAT, CRASH, RIDE = 36, 38, 37, 39, 42, 46, 49, 51
SHAKER, TOMS = 70, (48, 47, 45, 43)

# beats of kick and snare in even and odd bars; what keeps time, and how often per beat
BEATS = {
    "pop": (((0, 2, 2.5), (0, 1.5, 2, 3.5)), (1, 3), SNARE, HAT, 2),
    "half": (((0, 2.5), (0, 1.75, 2.5)), (2,), SNARE, HAT, 2),
    "rock": (((0, 1.5, 2.5), (0, 0.5, 2, 2.5)), (1, 3), SNARE, RIDE, 2),
    "waltz": (((0,), (0,)), (1, 2), RIM, HAT, 1),
    "disco": (((0, 1, 2, 3), (0, 1, 2, 3)), (1, 3), CLAP, OPEN_HAT, 1),
    "ballad": (((0, 2.5), (0, 2.5)), (2,), RIM, RIDE, 1),
    "bossa": (((0, 1.5, 2, 3.5), (0, 1.5, 2, 3.5)), (0, 1.5, 3), RIM, SHAKER, 2),
    "shuffle": (((0, 2), (0, 2, 2 + 2 / 3)), (1, 3), SNARE, RIDE, 2),
    "folk": (((0, 2), (0, 2)), (1, 3), RIM, SHAKER, 2),
}
# (beat, length in beats, semitones above the root)
BASS_LINES = {
    "pop": ((0, 1.4, 0), (1.5, 0.5, 0), (2, 0.9, 7), (3, 0.45, 0), (3.5, 0.5, 12)),
    "half": ((0, 1.6, 0), (1.75, 0.7, 12), (2.5, 1.2, 7), (3.75, 0.25, 0)),
    "rock": tuple((k / 2, 0.46, 0) for k in range(8)),
    "waltz": ((0, 1.8, 0), (2, 0.9, 7)),
    "disco": tuple((k / 2, 0.4, 12 * (k % 2)) for k in range(8)),
    "ballad": ((0, 1.9, 0), (2, 1.4, 7), (3.5, 0.5, 0)),
    "bossa": ((0, 1.4, 0), (1.5, 0.5, 7), (2, 1.4, 7), (3.5, 0.5, 0)),
    "shuffle": ((0, 0.9, 0), (1, 0.9, 4), (2, 0.9, 7), (3, 0.6, 9), (3 + 2 / 3, 0.3, 7)),
    "folk": ((0, 1.8, 0), (2, 1.8, 7)),
}
COMP = ((0, 0.9), (1.5, 0.4), (2, 0.9), (3.5, 0.4))
STABS = ((0.5, 0.3), (1.5, 0.3), (2.5, 0.3), (3, 0.25))
ARPEGGIO = (0, 1, 2, 1, 0, 2, 1, 2)


class _Player:
    """An instrument that plays in beats, a little off the grid and never twice as hard."""

    def __init__(self, plan: SongPlan, draw, program: int, drums: bool = False, pan: int = 0):
        self.beat = 60 / plan.bpm
        self.draw = draw
        self.instrument = pretty_midi.Instrument(program, is_drum=drums)
        if pan:
            self.instrument.control_changes.append(pretty_midi.ControlChange(10, 64 + pan, 0))

    def play(self, pitch: int, beat: float, length: float, strength: float) -> None:
        start = max(0.0, beat * self.beat + self.draw.normal(0, 0.004))
        velocity = int(np.clip(strength + self.draw.normal(0, 5), 1, 127))
        stop = start + max(0.04, length * self.beat)
        self.instrument.notes.append(pretty_midi.Note(velocity, int(pitch), start, stop))


def _swing(plan: SongPlan, beat: float) -> float:
    """Move off-beats back in swung styles."""
    late = {"shuffle": 1 / 6, "half": 0.06}.get(plan.style, 0.0)
    return beat + late if abs(beat % 1 - 0.5) < 1e-6 else beat


def drums(plan: SongPlan, draw: np.random.Generator) -> list:
    """The drum kit: a beat of the style, fills at the ends of lines, a crash where parts begin."""
    player = _Player(plan, draw, 0, drums=True)
    kicks, backbeats, snare, timekeeper, per_beat = BEATS[plan.style]
    last = bars(plan) - 1
    for bar in range(last + 1):
        first = bar * plan.beats
        if bar == last:
            for drum in (KICK, CRASH):
                player.play(drum, first, 2, 105)
            continue
        for step in range(plan.beats * per_beat):
            beat = step / per_beat
            offset = 0.5 if timekeeper == OPEN_HAT else 0.0
            loud = 84 if step % per_beat == 0 else 62
            player.play(timekeeper, first + _swing(plan, beat + offset), 0.2, loud)
        if bar < INTRO_BARS - 1:
            continue  # the song begins with the time alone
        for beat in kicks[bar % 2]:
            player.play(KICK, first + beat, 0.2, 110)
        fill = (bar - INTRO_BARS) % 4 == 3 and plan.style not in ("waltz", "folk", "bossa")
        for beat in backbeats:
            if not (fill and beat >= 3):
                player.play(snare, first + beat, 0.2, 104)
        if fill:
            for step, tom in enumerate(TOMS):
                player.play(tom, first + 3 + step / 4, 0.2, 96)
        if (bar - INTRO_BARS) % 4 == 0 and plan.style not in ("waltz", "folk", "bossa"):
            player.play(CRASH, first, 2, 92)
    return [player.instrument]


def bass(plan: SongPlan, draw: np.random.Generator) -> list:
    """Roots and fifths in the style's rhythm, in the range E1 to G2."""
    player = _Player(plan, draw, plan.bass)
    for bar in range(1, bars(plan)):
        root = chord(plan, bar)[0]
        while root > 43:
            root -= 12
        while root < 28:
            root += 12
        if bar == bars(plan) - 1:
            player.play(root, bar * plan.beats, 2.5, 95)
            continue
        for beat, length, above in BASS_LINES[plan.style]:
            player.play(root + above, bar * plan.beats + _swing(plan, beat), length, 98)
    return [player.instrument]


def _near(pitches: list[int], centre: int) -> list[int]:
    """The chord in the inversion that lies closest to ``centre``."""
    return sorted(p - 12 * round((p - centre) / 12) for p in pitches)


def _comp(player, plan, bar, tones):
    for beat, length in COMP:
        for pitch in _near(tones, 60):
            player.play(pitch, bar * 4 + _swing(plan, beat), length, 76)


def _stab(player, plan, bar, tones):
    for beat, length in STABS:
        for pitch in _near(tones, 64):
            player.play(pitch, bar * 4 + _swing(plan, beat), length, 80)


def _strum(player, plan, bar, tones):
    for beat in (0, 1, 1.5, 2.5, 3, 3.5):
        chosen = sorted({*_near(tones, 55), *_near(tones, 67)})
        down = beat % 1 == 0
        for order, pitch in enumerate(chosen if down else chosen[::-1]):
            player.play(pitch, bar * 4 + beat + 0.02 * order, 0.8, 78 if down else 62)


def _waltz(player, plan, bar, tones):
    for beat in (1, 2):
        for pitch in _near(tones, 62):
            player.play(pitch, bar * 3 + beat, 0.6, 72)


def _arpeggio(player, plan, bar, tones):
    for step in range(2 * plan.beats):
        pitch = _near(tones, 66)[ARPEGGIO[step]]
        player.play(pitch, bar * plan.beats + _swing(plan, step / 2), 0.8, 70)


def _pad(player, plan, bar, tones):
    for pitch in _near(tones, 65):
        player.play(pitch, bar * plan.beats, plan.beats * 0.98, 58)


def _power(player, plan, bar, tones):
    root = _near(tones[:1], 46)[0]
    for step in range(8):
        for pitch in (root, root + 7, root + 12):
            player.play(pitch, bar * 4 + step / 2, 0.46 if step % 2 else 0.36, 84)


ROLES = {
    "comp": _comp,
    "stab": _stab,
    "strum": _strum,
    "waltz": _waltz,
    "arpeggio": _arpeggio,
    "pad": _pad,
    "power": _power,
}


def _lead(player, plan, draw):
    """A short tune in the bars without singing, from chord tones joined by scale steps."""
    scale = sorted(
        12 * octave + (plan.key + step) % 12 for octave in range(4, 8) for step in SCALES[plan.mode]
    )
    alone = [*range(INTRO_BARS), *range(bars(plan) - OUTRO_BARS, bars(plan) - 1)]
    here = min(range(len(scale)), key=lambda i: abs(scale[i] - 72))
    for bar in alone:
        beats = [beat for beat in (0, 1, 1.5, 2, 3) if beat < plan.beats]
        for beat, after in zip(beats, [*beats[1:], plan.beats], strict=True):
            if beat % 1 == 0:
                tones = {p % 12 for p in chord(plan, bar)}
                strong = [i for i in range(len(scale)) if scale[i] % 12 in tones]
                wanted = here + draw.integers(-2, 3)
                here = min(strong, key=lambda i: abs(i - wanted) + 0.3 * abs(scale[i] - 72))
            else:
                here += 1 if draw.random() < 0.5 else -1
            player.play(scale[here], bar * plan.beats + beat, (after - beat) * 0.9, 84)


def other(plan: SongPlan, draw: np.random.Generator) -> list:
    """All parts of the stem "other"; the arpeggio waits for the singer, the lead for her rests."""
    played = []
    for part in plan.parts:
        player = _Player(plan, draw, part.program, pan=part.pan)
        last = bars(plan) - 1
        if part.role == "lead":
            _lead(player, plan, draw)
        else:
            for bar in range(INTRO_BARS if part.role == "arpeggio" else 0, last):
                ROLES[part.role](player, plan, bar, chord(plan, bar))
        for pitch in _near(chord(plan, last), 62):
            player.play(pitch, last * plan.beats, 3, 78)
        played.append(player.instrument)
    return played
