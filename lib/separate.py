"""Separate recordings of any length in blocks, and streams as they come; in bounded memory.

**Blocks** (:func:`separate`, :func:`separate_file`) serve every separator. Neighbouring blocks
overlap. Within the overlap the estimates fade from one block to the next along straight lines, so
that no seam is heard and no block's edge, where it lacks context, counts; where half a block
overlaps, the weights of the blocks are triangles. A last block that would be short is extended
backwards to the full length. A separator that hands its input through gives exactly the input, to
the bit.

Where the estimates have no order (two speakers: ``model.any_order``), a block may number them
otherwise than the block before. Each block is then put in the order that agrees best with its
predecessor where the two overlap.

**Streams** (:class:`Streamer`) serve causal separators. Nothing is computed twice, and there are no
seams: the estimates are those of the whole recording.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional

from lib import models
from lib.audio import WAV_LIMIT, AudioInfo, Writer, info, read_blocks, resample
from lib.errors import InputError, check_rate, check_signal, require_package
from lib.framing import Memory
from lib.losses import project_to_mixture
from lib.losses.pit import pit

__all__ = ["Streamer", "output_names", "separate", "separate_file"]

Separator = Callable[[torch.Tensor], torch.Tensor]
_BLOCK_SECONDS = 15.0
_LATEST_SHIFT = 0.5  # seconds
_REST = "accompaniment"


def separate(
    model: Separator,
    waveform: torch.Tensor,
    sample_rate: int,
    *,
    block_seconds: float | None = None,
    overlap_seconds: float = 2.0,
    per_channel: bool | None = None,
    shifts: int = 1,
    stems: Sequence[str] | None = None,
    sum_to_mixture: bool = False,
    progress: bool = True,
) -> torch.Tensor:
    """Separate a waveform block by block.

    Args:
        model: a separator ``(1, channels, time) -> (1, sources, channels, time)``. If it has an
            attribute ``sample_rate``, blocks are resampled to it and the estimates back.
        waveform: the mixture ``(channels, time)``. A model for several channels gets one channel
            as all of them; the estimates are the means of its channels.
        sample_rate: of the mixture, in Hz.
        block_seconds: length of a block; memory grows with it. If not given, that of the excerpts
            that the model learned from (``model.segment``), or 15.
        overlap_seconds: length of the cross-fade, at most half of a block.
        per_channel: give the model each channel by itself. If not given, that is done where the
            model takes one channel, the mixture has more, and the sources have a fixed order.
        shifts: the shift trick: the mean of so many answers, to each block as it is and a little
            later, up to half a second; it takes so many times as long.
        stems: the sources that are wanted, in this order; what they leave of the mixture comes
            last (see :func:`output_names`). All sources of the model if not given.
        sum_to_mixture: share among the sources what they leave of the mixture, equally
            (:func:`lib.losses.project_to_mixture`).
        progress: show a progress bar.

    Returns:
        Estimates ``(sources, channels, time)``, aligned with the mixture to the sample. Rests are
        taken at the rate of the mixture: what a model of a lower rate does not hear is in them.

    Raises:
        InputError: if the waveform is no ``(channels, time)`` signal, the block lengths do not fit,
            there are no shifts, no such stems, the model takes another number of channels or
            returns another shape.

    Source: the shift trick: A. Defossez et al., "Music source separation in the waveform domain",
    arXiv:1911.13254, "Randomized equivariant stabilization"; the shifts are drawn there, here they
    are spread evenly.

    Example:
        >>> halve = lambda mixture: torch.stack([mixture / 2, mixture / 2], 1)
        >>> waveform = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0))
        >>> estimates = separate(halve, waveform, 100, progress=False)
        >>> estimates.shape, torch.equal(estimates.sum(0), waveform)
        (torch.Size([2, 2, 5000]), True)
    """
    check_signal(waveform, "waveform", ndim=2)
    per_channel = _each_by_itself(model, len(waveform), per_channel)
    _check_shifts(shifts)
    finish = _finisher(model, stems, sum_to_mixture)
    block, overlap = _block_lengths(model, block_seconds, overlap_seconds, sample_rate)
    estimates, done = None, 0
    blocks = _with_progress(_cut(waveform, block, overlap), waveform.shape[-1], progress)
    run = partial(_run, model, sample_rate=sample_rate, per_channel=per_channel, shifts=shifts)
    for mixture, answer in _separate_blocks(model, run, blocks, block, overlap):
        piece = finish(mixture, answer)
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
    block_seconds: float | None = None,
    overlap_seconds: float = 2.0,
    per_channel: bool | None = None,
    shifts: int = 1,
    stems: Sequence[str] | None = None,
    sum_to_mixture: bool = False,
    gain_db: float = 0.0,
    force: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Separate an audio file into one file per source, never holding more than a few blocks.

    The outputs have the sample rate, the channels and the length of the input. They appear only
    when all are complete; if anything fails, none is left.

    Args:
        model: a separator, as for :func:`separate`.
        path: the mixture; anything :func:`lib.audio.read` takes.
        outputs: one path per source of the model, or per name of :func:`output_names`; formats
            as for :class:`lib.audio.Writer`.
        block_seconds: as for :func:`separate`.
        overlap_seconds: length of the cross-fade, at most half of a block.
        per_channel: as for :func:`separate`.
        shifts: as for :func:`separate`.
        stems: as for :func:`separate`.
        sum_to_mixture: as for :func:`separate`.
        gain_db: of all outputs. Sources may be louder than the mixture, and FLAC ends at 1.
        force: replace outputs that exist.
        progress: show a progress bar.

    Returns:
        The paths of the outputs.

    Raises:
        InputError: if the file cannot be read to its end, an output cannot be written, exists or
            would be too long for its format, the disk has too little room, or the model takes
            another number of channels or returns another number of sources.

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
    per_channel = _each_by_itself(model, header.channels, per_channel)
    _check_shifts(shifts)
    rate = header.sample_rate
    run = partial(_run, model, sample_rate=rate, per_channel=per_channel, shifts=shifts)
    finish = _finisher(model, stems, sum_to_mixture)
    known = output_names(model, stems) if hasattr(model, "source_names") else outputs
    _check_outputs(len(known), len(outputs))
    gain = 10 ** (gain_db / 20)
    block, overlap = _block_lengths(model, block_seconds, overlap_seconds, rate)
    writers = [
        Writer(output, header.sample_rate, header.channels, force=force) for output in outputs
    ]
    _check_room(outputs, header)
    existed = [output.exists() for output in outputs]
    try:
        with ExitStack() as stack:
            for writer in writers:
                stack.enter_context(writer)
            blocks = _with_progress(
                (block for block, _ in read_blocks(path, block, overlap)), header.frames, progress
            )
            for mixture, answer in _separate_blocks(model, run, blocks, block, overlap):
                piece = finish(mixture, answer)
                _check_outputs(len(piece), len(writers))
                for writer, estimate in zip(writers, piece, strict=True):
                    writer.write(gain * estimate)
    except BaseException:
        # a writer that failed at its very end comes after others that have finished
        for output, was_there in zip(outputs, existed, strict=True):
            if not was_there:
                output.unlink(missing_ok=True)
        raise
    return outputs


def output_names(model: Separator, stems: Sequence[str] | None = None) -> tuple[str, ...]:
    """Name what :func:`separate` returns.

    Args:
        model: a separator that names its sources.
        stems: the sources that are wanted, in this order; all if not given.

    Returns:
        The names; behind fewer than all ``accompaniment``, which is what they leave of the mixture,
        unless a wanted source has that name.

    Raises:
        InputError: if a stem is no source of the model, or comes twice.

    Example:
        >>> from lib.models import HTDemucs
        >>> model = HTDemucs(filters=4, compression=1, bottleneck=None)
        >>> output_names(model, ["vocals", "bass"])
        ('vocals', 'bass', 'accompaniment')
        >>> output_names(model, ["piano"])
        Traceback (most recent call last):
        ...
        lib.errors.InputError: stems: expected some of drums, bass, other, vocals, got piano
    """
    names = tuple(getattr(model, "source_names", ()))
    if stems is None:
        return names
    if not stems or set(stems) - set(names) or len(set(stems)) < len(stems):
        raise InputError(
            f"stems: expected some of {', '.join(names) or 'a model that names them'}, "
            f"got {', '.join(map(str, stems)) or 'none'}"
        )
    return tuple(stems) if len(stems) == len(names) or _REST in stems else (*stems, _REST)


def _finisher(
    model: Separator, stems: Sequence[str] | None, sum_to_mixture: bool
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """What makes the wanted outputs of a mixture (C, T) and its estimates (S, C, T)."""
    places: list[int] = []
    if stems is not None:
        with_rest = len(output_names(model, stems)) > len(stems)
        places = [model.source_names.index(stem) for stem in stems]

    def finish(mixture: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        if sum_to_mixture:
            estimates = project_to_mixture(estimates[None], mixture[None])[0]
        if not places:
            return estimates
        estimates = estimates[places]
        return torch.cat([estimates, mixture - estimates.sum(0, True)]) if with_rest else estimates

    return finish


def _block_lengths(
    model: Separator, block_seconds: float | None, overlap_seconds: float, sample_rate: int
) -> tuple[int, int]:
    sample_rate = check_rate(sample_rate)
    if block_seconds is None:
        block_seconds = max(getattr(model, "segment", None) or _BLOCK_SECONDS, 2 * overlap_seconds)
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
    run: Separator,
    blocks: Iterator[torch.Tensor],
    block_length: int,
    overlap: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Turn overlapping blocks ``(channels, time)`` into adjoining ones, each with its estimates."""
    previous = tail = None
    for block in blocks:
        extra = 0
        mixture = block
        if previous is not None and block.shape[-1] < block_length:
            extra = block_length - block.shape[-1]
            end = previous.shape[-1] - overlap
            mixture = torch.cat([previous[:, end - extra : end], block], -1)
        estimates = run(mixture)[..., extra:]
        if tail is not None and overlap > 0 and getattr(model, "any_order", False):
            estimates = estimates[_order(estimates[..., :overlap], tail)]
        if tail is not None and overlap > 0:
            # lerp is a + w * (b - a): where both blocks agree the result is theirs to the bit
            ramp = torch.linspace(0, 1, overlap + 2, dtype=estimates.dtype)[1:-1]
            yield block[:, :overlap], torch.lerp(tail, estimates[..., :overlap], ramp)
            estimates = estimates[..., overlap:]
        done, end = block.shape[-1] - estimates.shape[-1], max(0, estimates.shape[-1] - overlap)
        if end > 0:
            yield block[:, done : done + end], estimates[..., :end]
        tail = estimates[..., end:].clone()
        previous = block
    if tail is not None and tail.shape[-1] > 0:
        yield block[:, -tail.shape[-1] :], tail


def _order(estimates: torch.Tensor, before: torch.Tensor) -> list[int]:
    """Which estimate continues which: both ``(sources, channels, time)`` of the same stretch."""
    correlations = torch.einsum("ect,rct->er", estimates.double(), before.double())
    return pit(-correlations[None])[1][0].tolist()


def _same_order(estimates: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Order the sources (C, S, 1, T) of each channel like those of the first.

    Channels hear a source at other times, so what is compared is how loud it is over 20 ms.
    """
    span = max(1, min(round(0.02 * sample_rate), estimates.shape[-1]))
    loudness = functional.avg_pool1d(estimates.abs().flatten(1, 2), span)  # (C, S, K)
    loudness = loudness[:, :, None]  # (C, S, 1, K)
    loudness = loudness - loudness.mean(-1, keepdim=True)
    orders = [_order(channel, loudness[0]) for channel in loudness]
    return torch.stack([one[order] for one, order in zip(estimates, orders, strict=True)])


@contextmanager
def _inference(model: Separator) -> Iterator[None]:
    """Neither gradients nor dropout; afterwards a model is in the mode that it was in."""
    training = isinstance(model, torch.nn.Module) and model.training
    if training:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if training:
            model.train()


def _run(
    model: Separator, mixture: torch.Tensor, sample_rate: int, per_channel: bool, shifts: int
) -> torch.Tensor:
    """Run the model on one block, at its own sample rate and on its own device."""
    rate = getattr(model, "sample_rate", None) or sample_rate
    wanted = getattr(model, "channels", None)
    parameter = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    with _inference(model):
        batch = resample(mixture, sample_rate, rate)[None]  # (1, C, T)
        if parameter is not None:
            batch = batch.to(parameter.device)
        if per_channel:
            batch = batch.transpose(0, 1)  # (C, 1, T)
        alone = batch.shape[1] == 1 and wanted not in (None, 1)
        if alone:
            batch = batch.repeat(1, wanted, 1)
        estimates = _mean_answer(model, batch, rate, shifts)
        if alone:
            estimates = estimates.mean(2, keepdim=True)
        if per_channel:
            if getattr(model, "any_order", False):
                estimates = _same_order(estimates, rate)
            estimates = estimates.transpose(0, 2)  # (1, S, C, T)
        return resample(estimates[0].cpu(), rate, sample_rate)[..., : mixture.shape[-1]]


def _mean_answer(model: Separator, batch: torch.Tensor, rate: int, shifts: int) -> torch.Tensor:
    """The mean of the estimates for a batch at different times."""
    estimates = _answer(model, batch)
    for shift in range(1, shifts):
        later = round(_LATEST_SHIFT * rate * shift / shifts)
        again = _answer(model, functional.pad(batch, (later, 0)))[..., later:]
        if getattr(model, "any_order", False):
            pairs = zip(again, estimates, strict=True)
            again = torch.stack([one[_order(one, before)] for one, before in pairs])
        estimates = estimates + (again - estimates) / (shift + 1)
    return estimates


def _answer(model: Separator, batch: torch.Tensor) -> torch.Tensor:
    """Estimates ``(batch, sources, channels, time)`` of the shape that was promised."""
    estimates = model(batch)
    if not isinstance(estimates, torch.Tensor) or (
        estimates.ndim != 4 or estimates[:, 0].shape != batch.shape
    ):
        raise InputError(
            f"model: expected estimates ({len(batch)}, sources, channels, time) for a mixture "
            f"of shape {tuple(batch.shape)}, got {tuple(getattr(estimates, 'shape', ()))}"
        )
    return estimates


def _check_shifts(shifts: int) -> None:
    if shifts < 1:
        raise InputError(f"shifts: expected at least 1, got {shifts}")


def _each_by_itself(model: Separator, channels: int, per_channel: bool | None) -> bool:
    """Whether the model gets the channels one at a time."""
    wanted = getattr(model, "channels", None)
    if per_channel is None and wanted == 1 < channels:
        # two speakers may come out in another order in each channel: that is for the caller to say
        per_channel = not getattr(model, "any_order", False)
    if not per_channel and channels > 1 and wanted not in (None, channels):
        number = "1 channel" if wanted == 1 else f"1 or {wanted} channels"
        raise InputError(
            f"model: expected a mixture of {number}, which is what "
            f"{type(model).__name__} separates, got {channels}; separate each channel by itself "
            "with per_channel=True (--per-channel), or mix them down before"
        )
    return bool(per_channel)


def _check_outputs(sources: int, outputs: int) -> None:
    if sources != outputs:
        raise InputError(
            f"outputs: expected {sources} paths, one per source of the model, got {outputs}; for "
            "another number of sources take a model that is made for it"
        )


def _check_room(outputs: Sequence[Path], header: AudioInfo) -> None:
    """Require room for the outputs before writing anything: as much as they may take at most."""
    samples = header.frames * header.channels
    mp3 = 40_000 * header.frames / header.sample_rate  # at 320 kbit/s
    sizes = {".wav": 4 * samples, ".flac": 3.1 * samples, ".mp3": mp3}
    for output in outputs:
        if output.suffix.lower() == ".wav" and sizes[".wav"] > WAV_LIMIT:
            raise InputError(
                f"{output}: expected at most 4 GB, which is what WAV holds, got "
                f"{sizes['.wav'] / 1e9:.1f} GB; write .flac"
            )
    for folder in {output.parent for output in outputs}:
        inside = [output for output in outputs if output.parent == folder]
        needed = sum(sizes[output.suffix.lower()] for output in inside)
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise InputError(
                f"{folder}: expected {needed / 1e6:.0f} MB of free disk, got {free / 1e6:.0f} MB; "
                "make room or choose another place"
            )


class Streamer:
    """Run a causal separator on a stream, chunk by chunk, as its samples come.

    The estimates are those of the whole recording. A sample of them comes out as soon as
    ``lookahead`` further samples of the mixture are there, whatever the chunks; chunks of n samples
    make it wait for up to ``n - 1`` more. What is kept between chunks does not grow.

    Args:
        model: a causal system that can advance piece by piece, such as
            :class:`lib.models.EncoderMaskerDecoder`; it runs in evaluation mode.
        channels: of the stream.

    Attributes:
        lookahead: the algorithmic latency in samples.
        latency_ms: the same in milliseconds.

    Raises:
        InputError: if the model is not causal or does not take so many channels.

    Example:
        >>> from lib.models import ConvTasNet
        >>> model, mixture = ConvTasNet.tiny(causal=True), torch.randn(1, 1000)
        >>> streamer = Streamer(model)
        >>> pieces = [streamer.push(chunk) for chunk in mixture.split(160, -1)]
        >>> [piece.shape[-1] for piece in pieces]
        [144, 160, 160, 160, 160, 160, 32]
        >>> estimates = torch.cat([*pieces, streamer.flush()], -1)
        >>> torch.allclose(estimates, model(mixture[None])[0], atol=1e-5)
        True
    """

    _nothing: torch.Tensor  # estimates of no sample, on the device of the last chunk

    def __init__(self, model: models.Separator, channels: int = 1):
        """Check that the model streams."""
        if not hasattr(model, "advance") or not model.is_causal:
            raise InputError(
                "model: expected a causal system that advances piece by piece, whose output waits "
                f"for a bounded number of samples, got {type(model).__name__}; "
                "lib.separate.separate runs others in blocks"
            )
        if channels < 1 or model.channels not in (None, channels):
            raise InputError(
                f"channels: expected {model.channels or 'at least 1'}, got {channels}; give each "
                "channel a Streamer of its own, or mix them down before"
            )
        self.model, self.channels = model, channels
        self.lookahead = model.lookahead
        self.latency_ms = 1000 * model.lookahead / model.sample_rate
        self.reset()

    def reset(self) -> None:
        """Forget the stream; the next chunk begins another."""
        self._memory: Memory = {}
        self._received = self._returned = 0

    def push(self, chunk: torch.Tensor) -> torch.Tensor:
        """Take the next samples of the mixture.

        Args:
            chunk: ``(channels, time)``, at the model's sample rate, of any length.

        Returns:
            Estimates ``(sources, channels, time')`` of the samples that are finished, from where
            the last ones ended, on the device of the chunk; ``time'`` may be 0.

        Raises:
            InputError: if the chunk is no finite signal of this many channels and of the model's
                precision. The stream is as it was, and goes on with the next chunk.
        """
        check_signal(chunk, "chunk", ndim=2)
        dtype = self._weights().dtype
        if len(chunk) != self.channels:
            raise InputError(
                f"chunk: expected {self.channels} channels as in Streamer(model, channels), got "
                f"shape {tuple(chunk.shape)}"
            )
        if chunk.dtype != dtype:
            raise InputError(
                f"chunk: expected {dtype} like the weights of the model, got {chunk.dtype}; call "
                f".to({dtype}) on it"
            )
        return self._advance(chunk)

    def flush(self) -> torch.Tensor:
        """End the stream.

        Returns:
            Estimates ``(sources, channels, time')`` of the samples that are left. All in all they
            are as many as those of the mixture, and on the device of the last chunk. The next chunk
            begins another stream.
        """
        rest = self._advance(None) if self._received else self._none(self._weights())
        self.reset()
        return rest

    def _advance(self, chunk: torch.Tensor | None) -> torch.Tensor:
        """Take a chunk, or the end of the stream, through the model."""
        # a copy, whose values no block changes in place: if one fails, nothing has happened
        memory = dict(self._memory)
        received = self._received + (0 if chunk is None else chunk.shape[-1])
        left = received - self._returned if chunk is None else None
        with _inference(self.model):
            given = None if chunk is None else chunk[None].to(self._weights().device)
            estimates = self.model.advance(given, left, memory)
        nothing = self._nothing if chunk is None else self._none(chunk)
        estimates = nothing if estimates is None else estimates[0].to(nothing)
        self._memory, self._received, self._nothing = memory, received, self._none(estimates)
        self._returned += estimates.shape[-1]
        return estimates

    def _weights(self) -> torch.Tensor:
        return next(self.model.parameters())

    def _none(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_empty(self.model.sources, self.channels, 0)
