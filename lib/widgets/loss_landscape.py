"""Loss landscape: a mask of two pixels to drag, and what three losses say about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.errors import InputError
from lib.widgets.element import Element

# The plane of masks reaches from 0 to here.
_REACH = 1.5
# Best masks of the two targets that disagree with the first one, where the caller names none.
_OTHERS = ((0.8, 0.375), (0.1, 0.875))


def loss_landscape(
    mixture: Sequence[float] = (1.0, 0.8),
    target: Sequence[float] = (0.9, 0.2),
    others: Sequence[Sequence[float]] | None = None,
    *,
    start: Sequence[float] = (0.25, 0.9),
    title: str = "Loss landscape",
) -> Element:
    """A panel in which the reader drags the mask of a two-pixel spectrogram over a loss.

    The plane holds all masks: pixel 1 to the right, pixel 2 upwards, 0 to 1.5 each. Its colour is
    the MSE, the L1 loss or the negative SI-SDR of the masked mixture against the target; a table
    gives value and gradient of all three, as ``magnitude_loss`` and
    ``si_snr_loss(zero_mean=False)`` of :mod:`lib.losses` would. "Gradient step" moves the mask
    downhill. A switch adds two targets that disagree with the first; then each loss is the mean
    over the three.

    Args:
        mixture: magnitudes of the two pixels, 0.01 to 2.
        target: magnitudes of the source, 0 to 1.5 times those of the mixture, one of them 0.01 or
            more.
        others: two more such targets; None for two that the panel makes of the mixture.
        start: where the mask begins, two values from 0 to 1.5.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for anything but such pairs of numbers.

    Example:
        >>> loss_landscape()
        Loss landscape: mixture (1, 0.8), target (0.9, 0.2). Run this cell to drag the mask.
    """
    x = _pair(mixture, "mixture", (0.01, 0.01), (2.0, 2.0))
    limit = [_REACH * value for value in x]
    if others is None:
        others = [[share * value for share, value in zip(mask, x, strict=True)] for mask in _OTHERS]
    elif len(others) != 2:
        raise InputError(f"others: expected two targets, got {len(others)}")
    targets = []
    for name, values in zip(("target", "others[0]", "others[1]"), (target, *others), strict=True):
        targets.append(_pair(values, name, (0.0, 0.0), limit))
        if max(targets[-1]) < 0.01:
            raise InputError(f"{name}: expected one magnitude of 0.01 or more, got {values!r}")
    config = {
        "title": title,
        "mixture": x,
        "targets": targets,
        "start": _pair(start, "start", (0.0, 0.0), (_REACH, _REACH)),
    }
    shown = [f"({first:g}, {second:g})" for first, second in (x, targets[0])]
    fallback = f"{title}: mixture {shown[0]}, target {shown[1]}. Run this cell to drag the mask."
    return Element("unmix-loss-landscape", config, ("loss_landscape",), fallback)


def _pair(
    values: Sequence[float], name: str, low: Sequence[float], high: Sequence[float]
) -> list[float]:
    try:
        pair = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        pair = np.empty(0)
    # not a comparison of NaN is true
    if pair.shape != (2,) or not np.all((pair >= low) & (pair <= high)):
        ranges = " and ".join(f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
        raise InputError(f"{name}: expected two numbers, {ranges}, got {values!r}")
    return pair.tolist()
