"""A stream in pieces: cut it into overlapping frames, and add frames up to a stream again.

The functions keep nothing. They return what the caller hands in again with the next piece.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["Memory", "add_tail", "take_frames"]

# What the blocks of a system keep between the pieces of a stream. Each has its own under the key
# ``self``, transforms what their inverse keeps under ``(self, "inverse")``; ``"end"`` is True with
# the last piece. The dict belongs to the stream (see lib.separate.Streamer).
Memory = dict[Any, Any]


def take_frames(
    waiting: torch.Tensor, piece: torch.Tensor, size: int, hop: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the frames that a piece of a stream completes.

    Args:
        waiting: ``(..., samples)``: what the piece before left; before the first, the zeros that
            stand before the signal.
        piece: ``(..., time)``, of any length; it may be empty.
        size: samples of a frame.
        hop: samples between frames.

    Returns:
        the samples from the beginning of the first complete frame to the end of the last, none if
        there is no complete frame; and what waits, less than ``size``.

    Example:
        >>> take_frames(torch.zeros(1), torch.arange(1.0, 5.0), size=3, hop=2)
        (tensor([0., 1., 2., 3., 4.]), tensor([4.]))
        >>> take_frames(torch.tensor([4.0]), torch.tensor([5.0]), size=3, hop=2)
        (tensor([]), tensor([4., 5.]))
    """
    samples = torch.cat([waiting, piece], -1)
    count = max(0, (samples.shape[-1] - size) // hop + 1)
    covered = samples[..., : (count - 1) * hop + size if count else 0]
    return covered, samples[..., count * hop :].clone()  # a view would keep all of the piece


def add_tail(
    sums: torch.Tensor, tail: torch.Tensor | None, overlap: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the end of the frames before to the frames of a piece.

    Args:
        sums: ``(..., time)``: the frames of the piece, overlapped and added.
        tail: ``(..., overlap)``: what the piece before left; None before the first.
        overlap: how many of the last samples later frames add to.

    Returns:
        the samples that no later frame adds to, and the tail.

    Example:
        >>> add_tail(torch.ones(5), torch.tensor([1.0, 2.0]), overlap=2)
        (tensor([2., 3., 1.]), tensor([1., 1.]))
    """
    if tail is not None:
        sums = torch.cat([sums[..., :overlap] + tail, sums[..., overlap:]], -1)
    ready = sums.shape[-1] - overlap
    return sums[..., :ready], sums[..., ready:].clone()
