"""Separate recordings of any length: in blocks, with a cross-fade, in bounded memory.

Neighbouring blocks overlap. Within the overlap the estimates fade from one block to the next, so
that no seam is heard and no block's edge, where it lacks context, counts. A last block that would
be short is extended backwards to the full length. A separator that hands its input through gives
exactly the input, to the bit.

Where the estimates have no order (two speakers: ``model.any_order``), a block may number them
otherwise than the block before. Each block is then put in the order that agrees best with its
predecessor where the two overlap.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from lib.audio import Writer, info, read_blocks, resample
from lib.errors import InputError, check_rate, check_signal, require_package

__all__ = ["separate", "separate_file"]

Separator = Callable[[torch.Tensor], torch.Tensor]


def separate(
    model: Separator,
    waveform: torch.Tensor,
    sample_rate: int,
    *,
    block_seconds: float = 15.0,
    overlap_seconds: float = 2.0,
    progress: bool = True,
) -> torch.Tensor:
    """Separate a waveform block by block.

    Args:
        model: a separator ``(1, channels, time) -> (1, sources, channels, time)``. If it has an
            attribute ``sample_rate``, blocks are resampled to it and the estimates back.
        waveform: the mixture ``(channels, time)``.
        sample_rate: of the mixture, in Hz.
        block_seconds: length of a block; memory grows with it.
        overlap_seconds: length of the cross-fade, at most half of a block.
        progress: show a progress bar.

    Returns:
        Estimates ``(sources, channels, time)``, aligned with the mixture to the sample.

    Raises:
        InputError: if the waveform is no ``(channels, time)`` signal, the block lengths do not fit,
            or the model returns another shape.

    Example:
        >>> halve = lambda mixture: torch.stack([mixture / 2, mixture / 2], 1)
        >>> waveform = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0))
        >>> estimates = separate(halve, waveform, 100, progress=False)
        >>> estimates.shape, torch.equal(estimates.sum(0), waveform)
        (torch.Size([2, 2, 5000]), True)
    """
    check_signal(waveform, "waveform", ndim=2)
    block, overlap = _block_lengths(block_seconds, overlap_seconds, sample_rate)
    estimates, done = None, 0
    blocks = _with_progress(_cut(waveform, block, overlap), waveform.shape[-1], progress)
    for piece in _separate_blocks(model, blocks, sample_rate, block, overlap):
        if estimates is None:
            estimates = piece.new_empty(*piece.shape[:-1], waveform.shape[-1])
        estimates[..., done : done + piece.shape[-1]] = piece
        done += piece.shape[-1]
    return estimates


def separate_file(
    model: Separator,
    path: str | Path,
    outputs: Sequence[str | Path],
    *,
    block_seconds: float = 15.0,
    overlap_seconds: float = 2.0,
    force: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Separate an audio file into one file per source, never holding more than a few blocks.

    The outputs have the sample rate, the channels and the length of the input. They appear only
    when all are complete; if anything fails, none is left.

    Args:
        model: a separator, as for :func:`separate`.
        path: the mixture; anything :func:`lib.audio.read` takes.
        outputs: one path per source of the model, ``.wav`` (32-bit float) or ``.flac`` (24-bit).
        block_seconds: length of a block; memory grows with it.
        overlap_seconds: length of the cross-fade, at most half of a block.
        force: replace outputs that exist.
        progress: show a progress bar.

    Returns:
        The paths of the outputs.

    Raises:
        InputError: if the file cannot be read to its end, an output cannot be written or exists,
            the disk has too little room, or the model returns another number of sources.

    Example:
        >>> import tempfile
        >>> from lib.audio import read, write
        >>> folder = Path(tempfile.mkdtemp())
        >>> write(folder / "mixture.wav", torch.ones(1, 900) / 4, 100)
        >>> model = lambda mixture: mixture[:, None]
        >>> _ = separate_file(model, folder / "mixture.wav", [folder / "same.wav"], progress=False)
        >>> read(folder / "same.wav")[0].shape
        torch.Size([1, 900])
    """
    header = info(path)
    outputs = [Path(output) for output in outputs]
    if not outputs or len(set(outputs)) < len(outputs):
        raise InputError(f"outputs: expected different paths, got {[str(o) for o in outputs]}")
    if Path(path).resolve() in [output.resolve() for output in outputs]:
        raise InputError(f"{path}: expected outputs beside the input, got the input itself")
    block, overlap = _block_lengths(block_seconds, overlap_seconds, header.sample_rate)
    writers = [
        Writer(output, header.sample_rate, header.channels, force=force) for output in outputs
    ]
    _check_room(outputs, header.frames * header.channels * 4)
    existed = [output.exists() for output in outputs]
    try:
        with ExitStack() as stack:
            for writer in writers:
                stack.enter_context(writer)
            blocks = _with_progress(
                (block for block, _ in read_blocks(path, block, overlap)), header.frames, progress
            )
            for piece in _separate_blocks(model, blocks, header.sample_rate, block, overlap):
                if len(piece) != len(writers):
                    raise InputError(
                        f"outputs: expected {len(piece)} paths, one per source of the model, "
                        f"got {len(writers)}"
                    )
                for writer, estimate in zip(writers, piece, strict=True):
                    writer.write(estimate)
    except BaseException:
        # a writer that failed at its very end comes after others that have finished
        for output, was_there in zip(outputs, existed, strict=True):
            if not was_there:
                output.unlink(missing_ok=True)
        raise
    return outputs


def _block_lengths(
    block_seconds: float, overlap_seconds: float, sample_rate: int
) -> tuple[int, int]:
    sample_rate = check_rate(sample_rate)
    if not 0 <= 2 * overlap_seconds <= block_seconds or not block_seconds > 0:
        raise InputError(
            "block_seconds and overlap_seconds: expected an overlap of at most half a block, "
            f"got {block_seconds} and {overlap_seconds}"
        )
    block = max(2, round(block_seconds * sample_rate))
    return block, min(round(overlap_seconds * sample_rate), block // 2)


def _cut(waveform: torch.Tensor, block: int, overlap: int) -> Iterator[torch.Tensor]:
    start = 0
    while True:
        yield waveform[:, start : start + block]
        if start + block >= waveform.shape[-1]:
            return
        start += block - overlap


def _with_progress(
    blocks: Iterator[torch.Tensor], total: int, progress: bool
) -> Iterator[torch.Tensor]:
    if not progress:
        yield from blocks
        return
    tqdm = require_package("tqdm.auto", "the progress bar", "tqdm").tqdm
    with tqdm(total=1.0, desc="separate", bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:
        for block in blocks:
            yield block  # the next block is asked for when this one is separated
            bar.update(min(block.shape[-1] / max(total, 1), 1.0 - bar.n))


def _separate_blocks(
    model: Separator,
    blocks: Iterator[torch.Tensor],
    sample_rate: int,
    block_length: int,
    overlap: int,
) -> Iterator[torch.Tensor]:
    """Turn overlapping blocks ``(channels, time)`` into adjoining ``(sources, channels, time)``."""
    previous = tail = None
    for block in blocks:
        extra = 0
        mixture = block
        if previous is not None and block.shape[-1] < block_length:
            extra = block_length - block.shape[-1]
            end = previous.shape[-1] - overlap
            mixture = torch.cat([previous[:, end - extra : end], block], -1)
        estimates = _run(model, mixture, sample_rate)[..., extra:]
        if tail is not None and overlap > 0 and getattr(model, "any_order", False):
            estimates = estimates[_order(estimates[..., :overlap], tail)]
        if tail is not None and overlap > 0:
            # lerp is a + w * (b - a): where both blocks agree the result is theirs to the bit
            ramp = torch.linspace(0, 1, overlap + 2, dtype=estimates.dtype)[1:-1]
            yield torch.lerp(tail, estimates[..., :overlap], ramp)
            estimates = estimates[..., overlap:]
        keep = estimates.shape[-1] - overlap
        if keep > 0:
            yield estimates[..., :keep]
        tail = estimates[..., max(keep, 0) :].clone()
        previous = block
    if tail is not None and tail.shape[-1] > 0:
        yield tail


def _order(estimates: torch.Tensor, before: torch.Tensor) -> list[int]:
    """Which estimate continues which: both ``(sources, channels, time)`` of the same stretch."""
    correlations = torch.einsum("ect,rct->er", estimates.double(), before.double())
    places = list(itertools.permutations(range(len(before))))
    return list(max(places, key=lambda place: sum(correlations[e, r] for r, e in enumerate(place))))


def _run(model: Separator, mixture: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Run the model on one block, at its own sample rate and on its own device."""
    rate = getattr(model, "sample_rate", None) or sample_rate
    is_module = isinstance(model, torch.nn.Module)
    parameter = next(model.parameters(), None) if is_module else None
    training = is_module and model.training
    with torch.no_grad():
        batch = resample(mixture, sample_rate, rate)[None]
        if parameter is not None:
            batch = batch.to(parameter.device)
        if training:
            model.eval()
        try:
            estimates = model(batch)
        finally:
            if training:
                model.train()
        if not isinstance(estimates, torch.Tensor) or (
            estimates.ndim != 4 or estimates[:, 0].shape != batch.shape
        ):
            raise InputError(
                "model: expected estimates (1, sources, channels, time) for a mixture of shape "
                f"{tuple(batch.shape)}, got {tuple(getattr(estimates, 'shape', ()))}"
            )
        return resample(estimates[0].cpu(), rate, sample_rate)[..., : mixture.shape[-1]]


def _check_room(outputs: Sequence[Path], bytes_each: int) -> None:
    """Require room for the outputs, each as large as 32-bit float, before writing anything."""
    for folder in {output.parent for output in outputs}:
        needed = bytes_each * sum(output.parent == folder for output in outputs)
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise InputError(
                f"{folder}: expected {needed / 1e6:.0f} MB of free disk, got {free / 1e6:.0f} MB; "
                "make room or choose another place"
            )
