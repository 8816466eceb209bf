"""The dataset atlas of chapter 7: a sortable table and a chart of the corpora, and one to hear."""

from __future__ import annotations

import math

import numpy as np
import torch

from lib.data import manifest
from lib.published import datasets
from lib.widgets.element import Element, encode_audio

PACK = "Sample pack of this course"
PACK_YEAR = 2026
_TEXTS = "name licence licence_class access contents trap source from_memory unit".split()
_NUMBERS = "year items hours sample_rate channels".split()


def dataset_atlas(
    clip: torch.Tensor | np.ndarray,
    sample_rate: int,
    title: str = "Dataset atlas",
    *,
    clip_text: str = "a clip of the pack",
    format: str = "flac",
) -> Element:
    """The corpora of ``lib.published.datasets`` and the sample pack, to sort, filter and search.

    Hours over years as a chart, with the number of songs or utterances as size; a table; the trap
    and the licence of each. Only the pack, which comes with the course, can be heard.

    Args:
        clip: ``(time,)``, ``(1, time)`` or ``(2, time)`` of the sample pack, within [-1, 1].
        sample_rate: of the clip, in Hz.
        title: heading of the atlas.
        clip_text: what the clip is, in a few words.
        format: how the page carries the clip: ``"flac"``, ``"wav"``, ``"vorbis"`` or ``"opus"``.

    Returns:
        An HTML output.

    Raises:
        InputError: if the clip is no signal of this form, or the format is unknown.

    Example:
        >>> dataset_atlas(torch.zeros(8000), 8000)
        Dataset atlas: 21 corpora to sort and filter. Run this cell to use it.
    """
    rows = [_row(row) for row in datasets().to_dict("records")] + [_pack_row()]
    config = {
        "title": title,
        "rows": rows,
        "clip": {
            "name": PACK,
            "what": clip_text,
            "source": encode_audio(clip, sample_rate, format),
            "sample_rate": int(sample_rate),
        },
    }
    fallback = f"{title}: {len(rows)} corpora to sort and filter. Run this cell to use it."
    return Element("unmix-dataset-atlas", config, ("dataset_atlas",), fallback)


def _row(row: dict) -> dict:
    shown = {key: row[key] for key in _TEXTS} | {key: _number(row[key]) for key in _NUMBERS}
    return shown | {"tasks": [row["task"]], "verified": bool(row["verified"])}


def _number(value) -> float | int | None:
    """JSON has no missing value but null."""
    number = float("nan") if value is None or str(value) == "<NA>" else float(value)
    if math.isnan(number):
        return None
    return int(number) if number == int(number) else round(number, 2)


def _pack_row() -> dict:
    clips = manifest()
    heard = clips[clips["stem"].isin(["", "vocals"]) & (clips["kind"] != "room")]
    return {
        "name": PACK,
        "year": PACK_YEAR,
        "tasks": ["speech separation", "speech enhancement", "music separation"],
        "contents": "made by code: derived speakers, ten kinds of noise, songs (44.1 kHz stereo), "
        "simulated rooms",
        "items": len(heard),  # a song counts once
        "unit": "utterances, noises and songs",
        "hours": round(float(heard["duration_s"].sum()) / 3600, 2),
        "sample_rate": int(clips.loc[clips["kind"] == "speech", "sample_rate"].iloc[0]),
        "channels": 1,
        "licence": "permissive, see its NOTICE",
        "licence_class": "open",
        "access": "comes with the course",
        "trap": "Nobody spoke it: scores on it are not scores on speech. Twenty speakers derive "
        "from five persons",
        "source": "its manifest",
        "from_memory": "",
        "verified": True,
    }
