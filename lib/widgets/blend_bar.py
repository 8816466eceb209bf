"""Blend bar: cross-fade two estimates of each source, and see and hear what the blend is worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lib.errors import InputError
from lib.widgets.element import Element, as_mono, encode_audio

_SECONDS = 10
_MOST = 4


def blend_bar(
    references: Mapping[str, torch.Tensor | np.ndarray],
    estimates: Mapping[str, Mapping[str, torch.Tensor | np.ndarray]],
    sample_rate: int,
    title: str = "Blend bar",
) -> Element:
    """A panel in which the reader sets, source by source, how much each of two models has to say.

    A blend is ``w a + (1 - w) b`` for the estimates a and b of a source. Its SDR over w is drawn
    from one model alone to the other, with the weight that is best in closed form,
    ``<s - b, a - b> / ||a - b||^2``, as a mark. The reader drags the weight, hears the blend, its
    error or either model, and is told how much the errors of the two have in common.

    Args:
        references: name to true source, ``(time,)`` or ``(1, time)`` within [-1, 1]; one to four
            of one length, at most 10 s.
        estimates: two models; of each a dict of its estimates of all sources.
        sample_rate: in Hz.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for other than two models or one to four sources, an estimate that is missing,
            unequal lengths, silence, stereo, samples beyond full scale, or two estimates that are
            the same.

    Source: S. Uhlich et al., "Improving music source separation based on deep neural networks
    through data augmentation and network blending", ICASSP 2017.

    Example:
        >>> tone, hum = (torch.sin(torch.arange(8000) * step) / 4 for step in (0.3, 0.02))
        >>> models = {"one": {"tone": tone + hum / 4}, "other": {"tone": tone - hum / 8}}
        >>> blend_bar({"tone": tone}, models, 8000)
        Blend bar: one or other, tone (1.0 s at 8000 Hz). Run this cell to blend them.
    """
    names = [str(name) for name in references]
    if not 1 <= len(names) <= _MOST or len(estimates) != 2:
        raise InputError(
            f"references, estimates: expected one to {_MOST} sources and two models, got "
            f"{len(names)} and {len(estimates)}"
        )
    signals = {"": _signals(references, "references")}
    for model, found in estimates.items():
        if set(map(str, found)) != set(names):
            raise InputError(
                f"estimates[{model!r}]: expected the sources {', '.join(names)}, got "
                f"{', '.join(map(str, found)) or 'none'}"
            )
        signals[str(model)] = _signals(found, f"estimates[{model!r}]")
    lengths = {signal.shape[-1] for group in signals.values() for signal in group.values()}
    if len(lengths) > 1:
        raise InputError(f"estimates: expected signals of one length, got {sorted(lengths)}")
    seconds = lengths.pop() / sample_rate
    if seconds > _SECONDS:
        raise InputError(f"references: expected at most {_SECONDS} s, got {seconds:.1f} s")
    first, second = list(signals)[1:]
    for name in names:
        if np.array_equal(signals[first][name], signals[second][name]):
            raise InputError(f"estimates: expected two of {name!r} that differ, got the same twice")
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "models": [first, second],
        "sources": [
            {"name": name}
            | {"clips": [encode_audio(group[name], sample_rate) for group in signals.values()]}
            for name in names
        ],
    }
    fallback = (
        f"{title}: {first} or {second}, {', '.join(names)} ({seconds:.1f} s at {sample_rate} Hz). "
        "Run this cell to blend them."
    )
    return Element("unmix-blend-bar", config, ("blend_bar",), fallback)


def _signals(group: Mapping[str, torch.Tensor | np.ndarray], what: str) -> dict[str, np.ndarray]:
    signals = {str(name): as_mono(one, f"{what}[{name!r}]") for name, one in group.items()}
    for name, signal in signals.items():
        if (peak := np.abs(signal).max()) > 1:
            raise InputError(
                f"{what}[{name!r}]: expected samples within [-1, 1], got a peak of {peak:.3g}; "
                "scale sources and estimates alike, which changes no SDR"
            )
    return signals
