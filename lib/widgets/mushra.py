"""A MUSHRA-style test: several versions to rate, a hidden reference and an anchor among them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch

from lib import metrics
from lib.errors import InputError
from lib.widgets.blind_test import blind_config
from lib.widgets.element import Element, as_channels
from lib.widgets.guess_the_score import LETTERS, low_pass

REFERENCE, ANCHOR = "reference", "anchor"
_ANCHOR_HZ = 3500
_MIN_RATE = 16000  # at 8 kHz the anchor would hardly differ from the reference


def mushra(
    items: Mapping[str, Mapping[str, torch.Tensor | np.ndarray]],
    references: Mapping[str, torch.Tensor | np.ndarray],
    sample_rate: int,
    *,
    name: str,
    version: int = 1,
    question: str = "How good does it sound, compared with the reference?",
    title: str = "Rate what you hear",
) -> Element:
    """A blind test of how good systems sound, with a file of answers at its end.

    Each trial plays one item by all systems, under letters, beside the open reference. Two more
    letters hide the reference itself and the anchor, which is the reference below 3.5 kHz. The
    order of items and letters is drawn from the id that the listener types. All clips are equally
    loud. ``python -m lib course listening`` reads the files.

    SI-SDR, STOI and, at 16 kHz where its package is installed, wide-band PESQ of every clip are
    computed here and stand in the files, so that the report can compare them with the ratings.

    Args:
        items: item to system to signal, ``(time,)``, ``(1, time)`` or ``(2, time)``; the same one
            to six systems for each item, of one shape within an item.
        references: item to the clean signal, of the shape of the item's clips.
        sample_rate: in Hz, at least 16000.
        name: of the test: small letters, digits and hyphens; it stands in the files.
        version: of the test; raise it when you change clips or names.
        question: what the listener judges.
        title: heading of the panel; it should not tell what is compared.

    Returns:
        An HTML output.

    Raises:
        InputError: for another number of systems, a missing reference, other names, unequal shapes
            within an item, silent clips, or a low sample rate.

    Source:
        ITU-R BS.1534-3, "Method for the subjective assessment of intermediate quality level of
        audio systems", 2015. It also asks for an anchor at 7 kHz, a training and trained listeners.

    Example:
        >>> tone = torch.sin(torch.arange(32000) * 0.3) / 2
        >>> noisy = tone + 0.1 * torch.randn(32000, generator=torch.Generator().manual_seed(0))
        >>> versions = {"noisy": noisy, "soft": tone / 9}
        >>> mushra({"tone": versions}, {"tone": tone}, 16000, name="tones")
        MUSHRA listening test “tones”: 1 trial of 4 versions. Run this cell to take it.
    """
    if sample_rate < _MIN_RATE:
        raise InputError(
            f"sample_rate: expected at least {_MIN_RATE} Hz, so that the anchor differs from the "
            f"reference, got {sample_rate}"
        )
    if not isinstance(items, Mapping) or set(references) != set(items):
        raise InputError(
            f"references: expected one for each item, {list(items)}, got {list(references)}"
        )
    measures = _measures(sample_rate)
    clips, scores = {}, {metric: {} for metric in measures}
    for item, versions in items.items():
        taken = {REFERENCE, ANCHOR} & set(versions)
        if taken or not 1 <= len(versions) <= len(LETTERS) - 2:
            raise InputError(
                f"items[{item!r}]: expected 1 to {len(LETTERS) - 2} systems, none of them named "
                f"{REFERENCE} or {ANCHOR}, got {list(versions)}"
            )
        reference = torch.from_numpy(as_channels(references[item], f"references[{item!r}]"))
        anchor = low_pass(reference, sample_rate, _ANCHOR_HZ)
        clips[item] = {**versions, REFERENCE: reference, ANCHOR: anchor}
        for system in (*versions, ANCHOR):
            estimate = as_channels(clips[item][system], f"items[{item!r}][{system!r}]")
            if estimate.shape != reference.shape:
                raise InputError(
                    f"items[{item!r}][{system!r}]: expected the reference's shape "
                    f"{tuple(reference.shape)}, got {estimate.shape}; trim or pad it"
                )
            for metric, measure in measures.items():
                value = float(measure(torch.from_numpy(estimate), reference).mean())
                value = round(value, 3) if math.isfinite(value) else None
                scores[metric].setdefault(item, {})[system] = value
    test = {"kind": "mushra", "name": name, "version": version, "scores": scores}
    config = {**blind_config(test, clips, sample_rate, title), "question": question}
    trials = f"{len(items)} trial{'s' if len(items) > 1 else ''}"
    fallback = (
        f"MUSHRA listening test “{name}”: {trials} of {len(config['clips'][0])} versions. "
        "Run this cell to take it."
    )
    return Element("unmix-mushra", config, ("blind_test", "mushra"), fallback)


def _measures(sample_rate: int) -> dict[str, Callable[..., torch.Tensor]]:
    """Each a function of estimate and reference, ``(channels, time)``."""
    measures = {
        "SI-SDR": metrics.si_sdr,
        "STOI": lambda estimate, reference: metrics.stoi(estimate, reference, sample_rate),
    }
    if sample_rate == 16000 and importlib.util.find_spec("pesq"):
        measures["PESQ"] = lambda estimate, reference: metrics.pesq(estimate, reference, 16000)
    return measures
