"""The ABX test: a listener hears A, B and X, and says which of the two X is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lib.errors import InputError
from lib.widgets.blind_test import blind_config
from lib.widgets.element import Element


def abx(
    items: Mapping[str, Mapping[str, torch.Tensor | np.ndarray]],
    sample_rate: int,
    *,
    name: str,
    version: int = 1,
    repeats: int = 4,
    title: str = "Can you tell A from B?",
) -> Element:
    """A blind test of whether two systems can be told apart, with a file of answers at its end.

    Each trial plays one item by both systems, as A and B, and one of the two again as X. Which is
    which, and the order of the trials, is drawn from the id that the listener types. All clips are
    equally loud. ``python -m lib course listening`` reads the files.

    Args:
        items: item to system to signal, ``(time,)``, ``(1, time)`` or ``(2, time)``; the same two
            systems for each item, of one shape within an item.
        sample_rate: in Hz.
        name: of the test: small letters, digits and hyphens; it stands in the files.
        version: of the test; raise it when you change clips or names.
        repeats: trials per item. Five trials in all are the fewest from which chance can be
            excluded at 5 %.
        title: heading of the panel; it should not tell what is compared.

    Returns:
        An HTML output.

    Raises:
        InputError: for other than two systems, fewer than five trials, other names, unequal shapes
            within an item, or silent clips.

    Source:
        Munson and Gardner, "Standardizing auditory tests", JASA 22, 1950.

    Example:
        >>> tone = torch.sin(torch.arange(8000) * 0.3) / 2
        >>> abx({"tone": {"plain": tone, "clipped": tone.clamp(-0.4, 0.4)}}, 8000,
        ...     name="clipping", repeats=8)
        ABX listening test “clipping”: 8 trials. Run this cell to take it.
    """
    test = {"kind": "abx", "name": name, "version": version, "repeats": repeats}
    config = blind_config(test, items, sample_rate, title)
    if len(config["test"]["systems"]) != 2:
        raise InputError(f"items: expected two systems, got {config['test']['systems']}")
    whole = isinstance(repeats, int) and not isinstance(repeats, bool)
    trials = len(items) * repeats if whole else 0
    if not 5 <= trials <= 200:
        raise InputError(
            f"repeats: expected an integer that makes 5 to 200 trials of {len(items)} item(s), "
            f"got {repeats!r}"
        )
    fallback = f"ABX listening test “{name}”: {trials} trials. Run this cell to take it."
    return Element("unmix-abx", config, ("blind_test", "abx"), fallback)
