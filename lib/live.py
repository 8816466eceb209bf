"""Hear a microphone without its noise, as it comes, and see how late that is.

What one hears is late by the samples that the system waits for (its look-ahead), by those that are
handed over together (a block), by the time that computing takes, and by what the devices hold back.
A computer keeps up while its real-time factor, the time of computing over the time of the sound,
stays below 1.

:func:`listen` has devices, :func:`simulate` a file in the place of the microphone. Both take blocks
through :class:`lib.separate.Streamer`, so that what they play is what the whole recording gives.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from lib.audio import Writer, info, read_blocks
from lib.errors import InputError, MissingPackageError, require_package
from lib.models import Separator
from lib.separate import Streamer

__all__ = ["Meter", "listen", "simulate"]

BLOCK_MS = 16.0  # a step of the Demucs denoiser
_SHOWN_EVERY = 0.25  # seconds
Sink = Callable[[torch.Tensor], bool | None]  # takes (channels, time); whether a device ran dry


@dataclass
class Meter:
    """How late a stream comes out, and how busy the computer is with it.

    Args:
        lookahead: seconds that the system waits for.
        block: seconds that are handed over together.
        devices: seconds that microphone and loudspeaker hold back, as they say.

    Attributes:
        blocks: how many there were.
        late: how many took longer than they last, or had a device run dry or over.
        heard: seconds of sound.
        computed: seconds of computing.
        slowest: seconds that the slowest block took.

    Example:
        >>> meter = Meter(lookahead=0.03, block=0.02)
        >>> meter.note(computed=0.005, heard=0.02)
        >>> meter.note(computed=0.025, heard=0.02)
        >>> f"{1000 * meter.latency:.1f} ms, {meter.real_time_factor:.2f}, late: {meter.late}"
        '65.0 ms, 0.75, late: 1'
    """

    lookahead: float
    block: float
    devices: float = 0.0
    blocks: int = 0
    late: int = 0
    heard: float = 0.0
    computed: float = 0.0
    slowest: float = 0.0

    def note(self, computed: float, heard: float, dropout: bool = False) -> None:
        """Count a block.

        Args:
            computed: seconds that it took.
            heard: seconds that it lasts.
            dropout: whether a device lost some of it.
        """
        self.blocks += 1
        self.late += dropout or computed > self.block
        self.heard += heard
        self.computed += computed
        self.slowest = max(self.slowest, computed)

    @property
    def latency(self) -> float:
        """Seconds between a sound and what is heard of it, on average over the blocks."""
        return self.lookahead + self.block + self.computed / max(self.blocks, 1) + self.devices

    @property
    def real_time_factor(self) -> float:
        """Time of computing over time of the sound."""
        return self.computed / self.heard if self.heard else 0.0

    @property
    def line(self) -> str:
        """What fits a line of a terminal."""
        return (
            f"latency {1000 * self.latency:.1f} ms, real-time factor {self.real_time_factor:.2f}, "
            f"{self.late} of {self.blocks} blocks late"
        )

    def __str__(self) -> str:
        parts = {
            "look-ahead": self.lookahead,
            "block": self.block,
            "computing": self.computed / max(self.blocks, 1),
            **({"devices": self.devices} if self.devices else {}),
        }
        parts = [f"{name} {1000 * seconds:.1f}" for name, seconds in parts.items()]
        return (
            f"{self.line}\n{self.heard:.1f} s; of the latency: {', '.join(parts)} ms; "
            f"the slowest block took {1000 * self.slowest:.1f} ms"
        )


def simulate(
    model: Separator,
    path: str | Path,
    out: str | Path | None = None,
    *,
    stem: str | None = None,
    block_ms: float = BLOCK_MS,
    force: bool = False,
    progress: bool = True,
) -> Meter:
    """Take a file through the system block by block, as fast as it goes, and play nothing.

    Args:
        model: a causal separator (see :class:`lib.separate.Streamer`).
        path: the recording, at the model's sample rate.
        out: file for the estimate, aligned with the recording (see :class:`lib.audio.Writer`).
        stem: which of the model's sources; the first if not given.
        block_ms: milliseconds of a block.
        force: replace ``out`` if it is there.
        progress: show the meter.

    Returns:
        The meter.

    Raises:
        InputError: if the model is not causal or has no such stem, the file cannot be read or has
            another rate or other channels, or ``out`` cannot be written.

    Example:
        >>> import tempfile
        >>> from lib.audio import write
        >>> from lib.models import Denoiser
        >>> path = Path(tempfile.mkdtemp()) / "noisy.wav"
        >>> write(path, torch.randn(1, 8000) / 9, 16000)
        >>> meter = simulate(Denoiser.tiny(), path, progress=False)
        >>> meter.blocks, round(meter.heard, 3), 1000 * meter.lookahead
        (32, 0.5, 9.1875)
    """
    header = info(path)
    stream = _Stream(model, header.channels, stem, block_ms)
    if header.sample_rate != model.sample_rate:
        raise InputError(
            f"{path}: expected {model.sample_rate} Hz, at which {type(model).__name__} works, got "
            f"{header.sample_rate} Hz; resample it before, as lib.separate.separate does by itself"
        )
    if out is not None and Path(path).resolve() == Path(out).resolve():
        raise InputError(f"{out}: expected an output beside the input, got the input itself")
    blocks = ((block, False) for block, _ in read_blocks(path, stream.block))
    with _file(out, header.sample_rate, header.channels, force) as sinks:
        return stream.run(blocks, sinks, progress)


def listen(
    model: Separator,
    out: str | Path | None = None,
    *,
    stem: str | None = None,
    block_ms: float = BLOCK_MS,
    force: bool = False,
    progress: bool = True,
) -> Meter:
    """Play what the default microphone hears, separated, until Ctrl-C.

    Wear headphones: a loudspeaker is heard by the microphone again.

    Args:
        model: a causal separator for one channel.
        out: file for what is played (see :class:`lib.audio.Writer`).
        stem: which of the model's sources; the first if not given.
        block_ms: milliseconds of a block.
        force: replace ``out`` if it is there.
        progress: show the meter.

    Returns:
        The meter.

    Raises:
        InputError: if the model is not causal or has no such stem, or there are no devices that
            take its rate.
        MissingPackageError: without the package sounddevice, or PortAudio below it.

    Example:
        >>> from lib.models import ConvTasNet
        >>> listen(ConvTasNet.tiny())
        Traceback (most recent call last):
        ...
        lib.errors.InputError: model: expected a causal system ...
    """
    stream, rate = _Stream(model, 1, stem, block_ms), model.sample_rate
    with (
        _file(out, rate, 1, force) as sinks,
        _devices(rate, stream.block) as (devices, speakers),
        _ctrl_c() as stopped,
    ):
        stream.meter.devices = sum(devices.latency)

        def play(waveform: torch.Tensor) -> bool:
            return devices.write(waveform.T.repeat(1, speakers).numpy())

        def blocks() -> Iterator[tuple[torch.Tensor, bool]]:
            while not stopped.is_set():
                samples, overflowed = devices.read(stream.block)
                yield torch.from_numpy(samples.T.copy()), overflowed

        # as many as the estimates will lag behind: from here on there is always something to play
        _give(torch.zeros(1, stream.streamer.lookahead), [play])
        return stream.run(blocks(), [play, *sinks], progress)


class _Stream:
    """One source of a model's estimates, block by block."""

    def __init__(self, model: Separator, channels: int, stem: str | None, block_ms: float):
        self.streamer = Streamer(model, channels)
        if stem not in (None, *model.source_names):
            raise InputError(f"stem: expected one of {', '.join(model.source_names)}, got {stem!r}")
        if not 1 <= block_ms <= 1000:
            raise InputError(f"block_ms: expected 1 to 1000, got {block_ms}")
        self.place = model.source_names.index(stem) if stem else 0
        self.rate = model.sample_rate
        self.block = round(block_ms * self.rate / 1000)
        self.meter = Meter(self.streamer.lookahead / self.rate, self.block / self.rate)
        # the first blocks take longer than all others, which no one should hear or measure
        warm_up = torch.zeros(channels, self.streamer.lookahead + self.block)
        for chunk in warm_up.split(self.block, -1):
            self.streamer.push(chunk)
        self.streamer.reset()

    def run(
        self, blocks: Iterable[tuple[torch.Tensor, bool]], sinks: Sequence[Sink], progress: bool
    ) -> Meter:
        """Give the estimates of blocks, which may come with a dropout, to the sinks."""
        shown = 0.0
        for block, overflowed in blocks:
            start = time.perf_counter()
            estimate = self.streamer.push(block)[self.place]
            computed = time.perf_counter() - start
            dropout = _give(estimate, sinks) or overflowed
            self.meter.note(computed, block.shape[-1] / self.rate, dropout)
            if progress and start > shown + _SHOWN_EVERY:
                shown = start
                print(f"\r{self.meter.line}  ", end="", file=sys.stderr, flush=True)
        _give(self.streamer.flush()[self.place], sinks)
        if shown:
            print(file=sys.stderr)
        return self.meter


def _give(waveform: torch.Tensor, sinks: Sequence[Sink]) -> bool:
    return waveform.shape[-1] > 0 and any([sink(waveform) for sink in sinks])


@contextmanager
def _file(
    path: str | Path | None, sample_rate: int, channels: int, force: bool
) -> Iterator[list[Sink]]:
    """What writes to a file, if there shall be one."""
    if path is None:
        yield []
        return
    with Writer(path, sample_rate, channels, force=force) as writer:
        yield [writer.write]


@contextmanager
def _devices(sample_rate: int, block: int) -> Iterator[tuple[Any, int]]:
    """Open the default microphone and loudspeaker; yield both in one, and the channels to fill."""
    sounddevice = _sounddevice()
    try:
        speakers = min(2, sounddevice.query_devices(kind="output")["max_output_channels"])
        with sounddevice.Stream(
            samplerate=sample_rate,
            channels=(1, speakers),
            dtype="float32",
            latency=2 * block / sample_rate,
        ) as devices:
            yield devices, speakers
    except sounddevice.PortAudioError as error:
        raise InputError(
            f"microphone and loudspeaker: expected devices that take {sample_rate} Hz, got an "
            f"error ({error}); connect them, choose them in the system's settings, or give a file "
            "with --input FILE --simulate"
        ) from error


def _sounddevice() -> ModuleType:
    try:
        return require_package("sounddevice", "the microphone")
    except OSError as error:  # on Linux, pip does not bring PortAudio along
        raise MissingPackageError(
            f"the microphone needs PortAudio, which cannot be loaded ({error}); install it, for "
            "example with: apt-get install libportaudio2"
        ) from error


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Let Ctrl-C end a stream between two blocks, so that nothing of it is lost; a second stops."""
    stopped = threading.Event()

    def stop(*_: Any) -> None:
        stopped.set()
        # not `before`: a shell starts what runs in the background with Ctrl-C ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
