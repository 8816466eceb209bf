"""Fold the sequence: cut a long sequence into chunks, and weigh two short paths against one."""

from __future__ import annotations

from lib.errors import InputError
from lib.filterbanks.base import Filterbank
from lib.widgets.element import Element

# DPRNN's windows and chunks on 4 s at 8 kHz (Luo, Chen and Yoshioka 2020, table 1).
_SAMPLES = 32_000
_PUBLISHED = {2: 250, 16: 100}


def fold_sequence(frames: int = 48, chunk: int = 6, *, title: str = "Fold the sequence") -> Element:
    """A panel in which the reader drags the chunk length K of a dual-path network.

    A sequence of T frames is cut into S chunks of K frames that overlap by half, and the chunks
    become the columns of a picture, K high and S wide. One recurrent network walks down each
    column, another along each row. The panel shows both lengths and their sum over K, with its
    minimum near the square root of 2 T. Besides the caller's sequence the reader may choose 4 s of
    sound at 8 kHz in windows of 2 or of 16 samples, with the chunks that DPRNN was published with.

    Chunks are cut as :func:`lib.nn.dual_path.segment` cuts them: zeros around the sequence see to
    it that each frame lies in two chunks, so that K S is about 2 T.

    Args:
        frames: T, of the caller's sequence, 8 to 100000.
        chunk: K at the start, an even number, 2 to ``frames``.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for a number out of its range, or an odd chunk.

    Source: Luo, Chen and Yoshioka, "Dual-path RNN", ICASSP 2020, sections 2.1 and 2.2.

    Example:
        >>> fold_sequence(frames=48, chunk=6)
        Fold the sequence: 48 frames, chunks of 6. Run this cell to drag the chunk length.
    """
    if frames not in range(8, 100_001):
        raise InputError(f"frames: expected a whole number, 8 to 100000, got {frames!r}")
    if chunk not in range(2, frames + 1, 2):
        raise InputError(f"chunk: expected an even number, 2 to {frames}, got {chunk!r}")
    presets = [{"label": f"T = {frames:,}", "frames": int(frames), "chunk": int(chunk)}]
    for window, published in _PUBLISHED.items():
        count = Filterbank(1, window).frames(_SAMPLES)
        label = f"4 s, L = {window}, K = {published}"
        presets.append({"label": label, "frames": count, "chunk": published})
    config = {"title": title, "presets": presets}
    fallback = (
        f"{title}: {frames} frames, chunks of {chunk}. Run this cell to drag the chunk length."
    )
    return Element("unmix-fold-sequence", config, ("fold_sequence",), fallback)
