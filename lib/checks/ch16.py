"""Checks of chapter 16: chunks, their length, and a block that streams."""

from __future__ import annotations

import random

import torch
from torch import nn

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds
from lib.nn.norms import GlobalLayerNorm


@exercise("ch16.best_chunk")
def best_chunk(answer):
    """Compare with the square root of 2 T, for lengths from tens to hundreds of thousands."""
    for frames in (50, 72, 500, 1000, 4001, 32_001, 64_000, 480_000):
        right, what = (2 * frames) ** 0.5, f"the chunk length for {frames} frames"
        got = answer(frames)
        if not isinstance(got, (int, float)):
            close(got, right, what, atol=1)
        hint = "The derivative of K + 2T / K is 1 - 2T / K^2."
        if abs(got - frames**0.5) <= 1:
            hint = "Chunks overlap by half, so there are 2T / K of them, not T / K."
        close(got, right, what, atol=1, rtol=0, hint=hint)
        hint = "Of the even numbers on both sides, take the one with the smaller sum."
        holds(
            got == int(got) and got % 2 == 0,
            f"{what}: expected an even number, got {got}",
            hint=hint,
        )
    return "8 lengths"


def _chunks(answer, features: torch.Tensor, chunk: int, what: str) -> torch.Tensor:
    """What the answer cuts, with the right shape."""
    got = answer(features.clone(), chunk)
    if got is None:
        raise NotAttempted
    channels = len(features)
    holds(
        isinstance(got, torch.Tensor) and got.ndim == 3 and got.shape[1:] == (chunk, channels),
        f"{what}: expected chunks of shape (chunks, {chunk}, {channels}), got "
        f"{tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__}",
    )
    # chunks may be views of one tensor: with a copy, a change of one stays in it
    return got.clone(memory_format=torch.contiguous_format)


def _cuts(answer, frames: int, chunk: int, what: str) -> None:
    """Each frame lies in two chunks, neighbours overlap by half, the rest are zeros."""
    places = torch.arange(1.0, frames + 1, dtype=torch.float64)[None]
    got = _chunks(answer, places, chunk, what)[..., 0]
    first, second = got.chunk(2, 1)
    often = torch.bincount(got.flatten().long(), minlength=frames + 1)[1:]
    hint = "Begin with half a chunk of zeros, end with at least as many."
    if bool((often == 1).all()):
        hint = "Chunks start half a chunk apart, so unfold takes two different numbers."
    holds(
        bool((often == 2).all()),
        f"{what}: expected each frame in 2 chunks, got {sorted(set(often.tolist()))}",
        hint=hint,
    )
    holds(
        torch.equal(first[1:], second[:-1]),
        f"{what}: expected the second half of each chunk to be the first half of the next",
    )


@exercise("ch16.fold")
def fold(answer):
    """Cut and lay out fifty random lengths; then change one of the two copies of a frame."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise CheckFailed("expected a pair (fold, unfold)")
    cut, lay_out = answer
    draw = random.Random(16)
    drawn = [(draw.randint(1, 400), 2 * draw.randint(1, 30)) for _ in range(46)]
    for frames, chunk in ((10, 4), (1, 2), (100, 20), (110, 20), *drawn):
        what = f"{frames} frames in chunks of {chunk}"
        _cuts(cut, frames, chunk, what)
        features = torch.randn(3, frames, dtype=torch.float64)
        chunks = _chunks(cut, features, chunk, what)
        got = lay_out(chunks.clone(), frames)
        hint = "Skip the zeros that you put in front."
        if isinstance(got, torch.Tensor) and got.shape == features.shape:
            if torch.allclose(got, 2 * features):
                hint = "That is the sum of two copies; you want their mean."
        close(got, features, f"{what}, laid out again", atol=1e-12, rtol=0, hint=hint)
        place = torch.nonzero(chunks[..., 0] == features[0, -1])[0].tolist()
        chunks[place[0], place[1], 0] += 1
        close(
            lay_out(chunks, frames)[0, -1] - features[0, -1],
            0.5,
            f"{what}: the change of a frame when one of its copies grows by 1",
            hint="Take the mean of both copies.",
        )
    return "50 random lengths, to 1e-12"


def _reason(block: nn.Module) -> str:
    """Why a block may hear later chunks."""
    if any(isinstance(module, (GlobalLayerNorm, nn.GroupNorm)) for module in block.modules()):
        return "A norm over all chunks hears the later ones; take one over channels, or cumulative."
    layers = [one for one in block.modules() if isinstance(one, nn.RNNBase)]
    if layers and all(one.bidirectional for one in layers):
        return "The network across chunks has to read forwards only."
    return "Something reads along all chunks: a norm, or a path whose axes are in another order."


@exercise("ch16.one_way")
@torch.no_grad()
def one_way(answer):
    """Change single frames, and look which places hear of it."""
    block = answer(8, 6)
    if block is None:
        raise NotAttempted
    holds(isinstance(block, nn.Module), f"expected an nn.Module, got {type(block).__name__}")
    block = block.double().eval()
    chunks = torch.randn(7, 2, 10, 8, dtype=torch.float64)  # (S, B, K, N)
    before = block(chunks.clone())
    if before is None:
        raise NotAttempted
    holds(
        isinstance(before, torch.Tensor) and before.shape == chunks.shape,
        f"expected chunks of shape {tuple(chunks.shape)}, got "
        f"{tuple(before.shape) if isinstance(before, torch.Tensor) else type(before).__name__}",
    )
    for place, frame in ((2, 0), (2, 9), (5, 4)):
        changed, what = chunks.clone(), f"frame {frame} of chunk {place} was changed"
        changed[place, 0, frame] += 1
        different = (block(changed) != before).any(-1)  # (S, B, K)
        holds(
            not different[:, 1].any(),
            f"{what}: expected the other item of the batch to stay, and it changed",
            hint="Which axis is the batch of each path? Keep the items apart.",
        )
        different = different[:, 0]
        holds(
            not different[:place].any(),
            f"{what}: expected earlier chunks to stay, and they changed",
            hint=_reason(block),
        )
        holds(
            different[place].all(),
            f"{what}: expected every frame of its chunk to hear of it",
            hint="Inside of a chunk the network reads both ways.",
        )
        holds(
            different[place + 1 :].all(),
            f"{what}: expected every later chunk to hear of it",
            hint="Behind the path inside of chunks comes one across them.",
        )
    return "hears no later chunk, its own to the end, and all earlier ones"
