"""Twenty derived speakers of five recorded persons; a person never crosses the splits."""

from __future__ import annotations

from typing import NamedTuple


class Voice(NamedTuple):
    """A recorded voice: the program that speaks it, the person recorded, the licence."""

    engine: str
    name: str
    person: str
    licence: str


VOICES = {
    "kal16": Voice("flite", "kal16", "kal", "CMU flite"),
    "rms": Voice("flite", "rms", "rms", "CMU flite"),
    "slt": Voice("flite", "slt", "slt", "CMU flite"),
    "awb": Voice("flite", "awb", "awb", "CMU flite"),
    "ked": Voice("festival", "ked_diphone", "ked", "Edinburgh CSTR"),
    # the same person as slt; 32 kHz, used for singing only
    "slt_hts": Voice("festival", "cmu_us_slt_arctic_hts", "slt", "CMU EST-2003 and BSD-3-Clause"),
}


class Speaker(NamedTuple):
    """What WORLD changes to make a new speaker.

    ``pitch``, ``formant``, ``pitch_range`` and ``speed`` are factors; ``breath`` (0 to 1) is added
    aperiodicity above about 2.5 kHz; ``tilt_db`` is a spectral tilt in dB per octave.
    """

    voice: str
    sex: str
    split: str
    pitch: float
    formant: float
    pitch_range: float
    breath: float
    tilt_db: float
    speed: float


SPEAKERS = {
    "m01": Speaker("rms", "M", "train", 1.05, 1.00, 1.20, 0.00, 0.0, 1.00),
    "m02": Speaker("rms", "M", "train", 0.88, 0.92, 1.30, 0.10, -0.5, 0.93),
    "m03": Speaker("rms", "M", "train", 1.32, 1.06, 1.30, 0.05, 0.5, 1.10),
    "f01": Speaker("rms", "F", "train", 2.00, 1.17, 1.20, 0.25, 0.0, 1.02),
    "f02": Speaker("slt", "F", "train", 1.05, 1.00, 1.20, 0.00, 0.0, 1.00),
    "f03": Speaker("slt", "F", "train", 1.28, 1.08, 1.30, 0.20, 0.5, 1.08),
    "f04": Speaker("slt", "F", "train", 1.14, 0.95, 1.40, 0.10, -0.5, 0.92),
    "m04": Speaker("slt", "M", "train", 0.72, 0.86, 1.30, 0.00, 0.0, 0.97),
    "m05": Speaker("kal16", "M", "train", 1.28, 1.00, 1.40, 0.00, 0.0, 0.92),
    "m06": Speaker("kal16", "M", "train", 1.05, 0.90, 1.60, 0.15, -0.5, 0.86),
    "f05": Speaker("kal16", "F", "train", 2.25, 1.16, 1.40, 0.30, 0.0, 0.95),
    "f06": Speaker("kal16", "F", "train", 2.60, 1.24, 1.30, 0.15, 0.5, 1.00),
    "m07": Speaker("ked", "M", "val", 1.12, 1.00, 1.30, 0.00, 0.0, 1.08),
    "m08": Speaker("ked", "M", "val", 0.95, 0.92, 1.40, 0.10, -0.5, 0.98),
    "f07": Speaker("ked", "F", "val", 1.95, 1.18, 1.30, 0.25, 0.0, 1.12),
    "f08": Speaker("ked", "F", "val", 2.25, 1.10, 1.20, 0.10, 0.5, 1.02),
    "m09": Speaker("awb", "M", "test", 1.00, 1.00, 1.15, 0.00, 0.0, 1.00),
    "m10": Speaker("awb", "M", "test", 0.80, 0.90, 1.30, 0.05, -0.5, 0.90),
    "f09": Speaker("awb", "F", "test", 1.55, 1.11, 1.20, 0.10, 0.0, 1.05),
    "f10": Speaker("awb", "F", "test", 1.85, 1.19, 1.25, 0.25, 0.5, 0.96),
}
SPLITS = ("train", "val", "test")
