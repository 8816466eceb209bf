"""What the blind listening tests give to the page: equally loud clips, and what the test is.

The pages export one JSON file per listener, which ``lib.course.listening`` reads; its format is
described there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lib.errors import InputError
from lib.widgets.element import as_channels, encode_audio
from lib.widgets.listen import matching_gains

FORMAT = {"format": "unmixing-sound listening test", "format_version": 1}
TEST_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# of items and systems: they end up in tables, where a first = or @ would be a formula
LABEL = re.compile(r"[^\W_][\w .,()+/-]{0,59}")


def blind_config(
    test: Mapping[str, Any],
    clips: Mapping[str, Mapping[str, torch.Tensor | np.ndarray]],
    sample_rate: int,
    title: str,
) -> dict[str, Any]:
    """Check and encode the clips of a listening test for ``Unmix.BlindTest``.

    All clips of a test are made equally loud, as :func:`lib.widgets.listen` does it; here the gains
    go into the samples, so that no number beside a clip tells which one it is.

    Args:
        test: ``kind``, ``name`` and ``version`` of the test, and what else belongs into its files.
        clips: item to system to signal, ``(time,)``, ``(1, time)`` or ``(2, time)``, the same
            systems for each item, of one shape within an item.
        sample_rate: in Hz.
        title: heading of the panel.

    Returns:
        The config; its ``test`` has the names of items and systems as well.

    Raises:
        InputError: for other names, versions or clips.

    Example:
        >>> tone = torch.sin(torch.arange(8000) * 0.3) / 2
        >>> test = {"kind": "abx", "name": "tones", "version": 1}
        >>> config = blind_config(test, {"one": {"loud": tone, "soft": tone / 9}}, 8000, "Tones")
        >>> config["test"]["systems"], len(config["clips"][0])
        (['loud', 'soft'], 2)
    """
    name, version = test["name"], test["version"]
    if not isinstance(name, str) or not TEST_NAME.fullmatch(name) or len(name) > 60:
        raise InputError(
            f"name: expected up to 60 small letters and digits with single hyphens between them, "
            f"such as 'denoisers-2', got {name!r}"
        )
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(f"version: expected 1 or a larger integer, got {version!r}")
    if not 8000 <= sample_rate <= 96000:
        raise InputError(f"sample_rate: expected 8000 to 96000 Hz, got {sample_rate}")
    if not isinstance(clips, Mapping) or not clips:
        raise InputError("items: expected a dict with at least one item, got none")
    systems = list(next(iter(clips.values())))
    signals = []
    for item, versions in clips.items():
        if list(versions) != systems:
            raise InputError(
                f"items[{item!r}]: expected the systems of the first item in the same order, "
                f"{systems}, got {list(versions)}"
            )
        of_item = [as_channels(s, f"items[{item!r}][{system!r}]") for system, s in versions.items()]
        if len({signal.shape for signal in of_item}) > 1 or not all(s.any() for s in of_item):
            raise InputError(
                f"items[{item!r}]: expected sounding clips of one shape, got shapes "
                f"{[signal.shape for signal in of_item]}; trim them, and leave silence out"
            )
        signals += of_item
    for label in (*clips, *systems):
        if not isinstance(label, str) or not LABEL.fullmatch(label):
            raise InputError(
                "items: expected names of up to 60 letters, digits, spaces and .,()+/- that start "
                f"with a letter or a digit, got {label!r}"
            )
    gains = matching_gains(signals, sample_rate)
    sources = [
        encode_audio(signal * 10 ** (gain / 20), sample_rate)
        for signal, gain in zip(signals, gains, strict=True)
    ]
    count = len(systems)
    return {
        "title": title,
        "sample_rate": int(sample_rate),
        "format": FORMAT,
        "test": {**test, "items": list(clips), "systems": systems},
        "clips": [sources[start : start + count] for start in range(0, len(sources), count)],
    }
