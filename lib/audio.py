"""Sound in and sound out: reading, writing, resampling, and one clear error for each bad file."""

from __future__ import annotations

import math
import os
import struct
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import torch
from torch.nn import functional

from lib.errors import InputError, check_rate, check_signal, require_package

_SUBTYPES = {
    ".wav": ("WAV", "FLOAT"),
    ".flac": ("FLAC", "PCM_24"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
_READABLE = "wav, flac, ogg or mp3"
_FLAC_CHANNELS, _FLAC_RATE = 8, 655_350
_MP3_CHANNELS = 2
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
WAV_LIMIT = 2**32 - 2**12  # bytes: sizes in a WAV header have 32 bits


class AudioInfo(NamedTuple):
    """What the header of an audio file says."""

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.frames / self.sample_rate


def _soundfile():
    return require_package("soundfile", "reading and writing audio files")


def _check_wav_complete(path: Path) -> None:
    """libsndfile reads what is left of a truncated WAV without a word, so compare the sizes."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF" or file.seek(8) != 8 or file.read(4) != b"WAVE":
            return
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            start = file.tell()
            if name == b"data":
                there = path.stat().st_size - start
                if (
                    size < 2**31 - 2**10 and there < size
                ):  # programs that stream leave a huge size behind
                    raise InputError(
                        f"{path}: expected {size} bytes of sound as the header says, got {there}; "
                        "the file is truncated, copy or record it again"
                    )
                return
            file.seek(start + size + size % 2)


def _check_path(path: str | Path) -> Path:
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: expected an audio file, got a directory; name a file in it")
    if not path.exists():
        raise InputError(f"{path}: expected an audio file, got nothing there; check the name")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected an audio file, got an empty file (0 bytes)")
    return path


def info(path: str | Path) -> AudioInfo:
    """Look at an audio file without reading its samples.

    Args:
        path: a wav, flac, ogg or mp3 file.

    Returns:
        ``AudioInfo(sample_rate, channels, frames, format, subtype)`` with property ``seconds``.

    Raises:
        InputError: if there is no such file, it is a directory, empty, truncated, without samples,
            or of a format that libsndfile does not read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder) / "tone.wav", torch.zeros(2, 800), 8000)
        ...     info(Path(folder) / "tone.wav").seconds
        0.1
    """
    path = _check_path(path)
    soundfile = _soundfile()
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, TypeError) as error:
        raise InputError(
            f"{path}: expected {_READABLE}, got something else ({error}); if it is sound of "
            "another format, convert it, for example with ffmpeg"
        ) from error
    _check_wav_complete(path)
    if header.frames < 1:
        raise InputError(
            f"{path}: expected at least one sample, got a file without any, or one that is cut off"
        )
    return AudioInfo(
        header.samplerate, header.channels, header.frames, header.format, header.subtype
    )


def read_blocks(
    path: str | Path, block_frames: int, overlap: int = 0
) -> Iterator[tuple[torch.Tensor, int]]:
    """Read a file block by block, so that memory does not grow with its length.

    Args:
        path: a wav, flac, ogg or mp3 file.
        block_frames: samples per channel in a block.
        overlap: how many samples the next block repeats, less than ``block_frames``.

    Returns:
        An iterator of ``(block (channels, time) float32, start)`` with ``start`` the position of
        the block's first sample; the last block may be shorter.

    Raises:
        InputError: as :func:`read`, before the first block where that can be known.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder) / "tone.wav", torch.zeros(2, 1000), 8000)
        ...     blocks = list(read_blocks(Path(folder) / "tone.wav", 400, overlap=100))
        >>> [(start, block.shape[-1]) for block, start in blocks]
        [(0, 400), (300, 400), (600, 400)]
    """
    if block_frames < 1 or not 0 <= overlap < block_frames:
        raise InputError(
            "block_frames, overlap: expected block_frames >= 1 and 0 <= overlap < block_frames, "
            f"got {block_frames} and {overlap}"
        )
    header = info(path)
    return _blocks(Path(path), header, block_frames, overlap)


def _blocks(
    path: Path, header: AudioInfo, block_frames: int, overlap: int
) -> Iterator[tuple[torch.Tensor, int]]:
    soundfile = _soundfile()

    class Stream(soundfile.SoundFile):
        def seekable(self) -> bool:
            # soundfile seeks after each read where it can, and an mp3 decoder clicks at each seek
            return False

    start = 0
    kept = torch.empty(header.channels, 0)
    with Stream(str(path)) as file:
        while True:
            try:
                samples = file.read(block_frames - kept.shape[-1], dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise InputError(
                    f"{path}: expected {header.frames} samples, got an error on the way ({error}); "
                    "the file is damaged, copy or record it again"
                ) from error
            end = start + kept.shape[-1] + len(samples)
            # what an mp3 header says about the length is an estimate
            if len(samples) == 0 and end < header.frames and header.format != "MP3":
                raise InputError(
                    f"{path}: expected {header.frames} samples as the header says, got {end}; "
                    "the file is truncated, copy or record it again"
                )
            if len(samples) == 0:
                return
            block = torch.cat([kept, torch.from_numpy(samples).T], dim=-1)
            finite = torch.isfinite(block).all(0)
            if not finite.all():
                raise InputError(
                    f"{path}: expected finite samples, got NaN or infinity at sample "
                    f"{start + int((~finite).nonzero()[0])}; "
                    "write the file again with the program that made it"
                )
            yield block.contiguous(), start
            if end == header.frames:
                return
            kept = block[:, block.shape[-1] - overlap :] if overlap else block[:, :0]
            start = end - kept.shape[-1]


def read(
    path: str | Path, sample_rate: int | None = None, mono: bool = False
) -> tuple[torch.Tensor, int]:
    """Read a whole audio file.

    Args:
        path: a wav, flac, ogg or mp3 file.
        sample_rate: resample to this rate in Hz; the file's own if not given.
        mono: average the channels.

    Returns:
        ``(waveform (channels, time) float32, sample_rate)``.

    Raises:
        InputError: if there is no such file, it is a directory, empty, truncated, without samples,
            not audio, or contains NaN or infinity.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder) / "tone.flac", torch.zeros(2, 800), 8000)
        ...     waveform, rate = read(Path(folder) / "tone.flac", sample_rate=16000, mono=True)
        >>> waveform.shape, rate
        (torch.Size([1, 1600]), 16000)
    """
    if sample_rate is not None:
        sample_rate = check_rate(sample_rate)
    header = info(path)
    # one buffer, filled block by block: a list of blocks would need the memory twice
    waveform, done = torch.empty(header.channels, header.frames), 0
    for block, _ in read_blocks(path, block_frames=1 << 20):
        missing = done + block.shape[-1] - waveform.shape[-1]
        if missing > 0:  # the header of a compressed file may promise too few
            waveform = torch.nn.functional.pad(waveform, (0, missing))
        waveform[:, done : done + block.shape[-1]] = block
        done += block.shape[-1]
    if done == 0:
        raise InputError(f"{path}: expected at least one sample, got none that can be decoded")
    waveform = waveform[:, :done]
    if mono:
        waveform = waveform.mean(0, keepdim=True)
    if sample_rate is not None:
        waveform = resample(waveform, header.sample_rate, sample_rate)
    return waveform, sample_rate or header.sample_rate


class Writer:
    """Write a file block by block; it appears under its name only when it is complete.

    The suffix decides: ``.wav`` is 32-bit float (any range), ``.flac`` is 24-bit and must stay
    within [-1, 1], ``.mp3`` sounds alike and is small (any range, of which players cut off what is
    beyond [-1, 1]). Blocks go to a temporary file beside the target, which takes its name when the
    ``with`` block ends, and is deleted if the block raises.

    Args:
        path: where the file shall be.
        sample_rate: in Hz.
        channels: number of channels.
        force: replace a file that is there.

    Raises:
        InputError: for another suffix, a file that is there (without ``force``), a place that
            cannot be written, or a block that does not fit.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "long.wav"
        ...     with Writer(path, sample_rate=8000, channels=1) as writer:
        ...         for _ in range(3):
        ...             writer.write(torch.zeros(1, 400))
        ...     info(path).frames
        1200
    """

    def __init__(
        self, path: str | Path, sample_rate: int, channels: int, *, force: bool = False
    ) -> None:
        """Check everything that can be known before the first sample."""
        self.path = Path(path)
        self.sample_rate = check_rate(sample_rate)
        self.channels = channels
        self._force = force
        self._bytes = 0
        self._check_format()
        if self.path.is_dir():
            raise InputError(f"{self.path}: expected a file name, got a directory")
        if not self.path.parent.is_dir():
            raise InputError(
                f"{self.path}: expected an existing directory to write to, got none at "
                f"{self.path.parent}; create it first"
            )
        self._check_free()
        # without the name itself: there may be no room behind a long one
        self._temporary = self.path.with_name(f".{uuid.uuid4().hex}.part")

    def _check_format(self) -> None:
        suffix = self.path.suffix.lower()
        if suffix not in _SUBTYPES:
            raise InputError(
                f"{self.path}: expected a name that ends in .wav, .flac or .mp3, "
                f"got {self.path.suffix or 'no suffix'!r}"
            )
        if suffix == ".flac" and not (
            self.channels <= _FLAC_CHANNELS and self.sample_rate <= _FLAC_RATE
        ):
            raise InputError(
                f"{self.path}: expected at most {_FLAC_CHANNELS} channels and {_FLAC_RATE} Hz, "
                f"which is what FLAC holds, got {self.channels} and {self.sample_rate}; write .wav"
            )
        if suffix == ".mp3" and not (
            self.channels <= _MP3_CHANNELS and self.sample_rate in _MP3_RATES
        ):
            raise InputError(
                f"{self.path}: expected at most {_MP3_CHANNELS} channels and one of "
                f"{', '.join(map(str, _MP3_RATES))} Hz, which is what MP3 holds, "
                f"got {self.channels} and {self.sample_rate}; write .wav"
            )
        if suffix == ".mp3" and not _soundfile().check_format(*_SUBTYPES[suffix]):
            raise InputError(
                f"{self.path}: expected libsndfile 1.1 or newer, which writes MP3, got "
                f"{_soundfile().__libsndfile_version__}; write .flac or .wav"
            )

    def _check_free(self) -> None:
        if self.path.exists() and not self._force:
            raise InputError(
                f"{self.path}: expected a free name, got a file that exists; "
                "take another name or overwrite it with force (--force)"
            )

    def _unwritable(self, error: Exception) -> InputError:
        return InputError(
            f"{self.path}: expected a place that can be written, got an error "
            f"({error or type(error).__name__}); check permissions and free disk space"
        )

    def __enter__(self) -> Writer:
        """Open the temporary file."""
        soundfile = _soundfile()
        kind, subtype = _SUBTYPES[self.path.suffix.lower()]
        try:
            self._file = soundfile.SoundFile(
                str(self._temporary), "w", self.sample_rate, self.channels, subtype, format=kind
            )
        except (soundfile.SoundFileError, OSError) as error:
            self._temporary.unlink(missing_ok=True)
            raise self._unwritable(error) from error
        return self

    def write(self, block: torch.Tensor) -> None:
        """Append ``block (channels, time)``, any floating-point dtype and device.

        Raises:
            InputError: for another number of channels, NaN or infinity, samples beyond [-1, 1] in
                a FLAC file, more than 4 GB in a WAV file, or a full disk.
        """
        check_signal(block, "block", ndim=2)
        if block.shape[0] != self.channels:
            raise InputError(f"block: expected {self.channels} channels, got {block.shape[0]}")
        kind, _ = _SUBTYPES[self.path.suffix.lower()]
        peak = block.detach().abs().amax().item()
        if kind == "FLAC" and peak > 1:
            raise InputError(
                f"{self.path}: expected samples within [-1, 1], which is what FLAC holds, got a "
                f"peak of {peak:.3f}; write .wav, or scale all signals by one gain first "
                "(--gain-db)"
            )
        self._bytes += block.numel() * 4
        if kind == "WAV" and self._bytes > WAV_LIMIT:
            raise InputError(f"{self.path}: expected at most 4 GB for WAV, got more; write .flac")
        soundfile = _soundfile()
        try:
            self._file.write(block.detach().to("cpu", torch.float32).T.contiguous().numpy())
        except (soundfile.SoundFileError, OSError, AssertionError) as error:
            raise self._unwritable(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; give the file its name if all went well, else delete it."""
        try:
            self._file.close()
            if error is None:
                if self._bytes == 0:
                    raise InputError(f"{self.path}: expected at least one sample, got none")
                self._check_free()
                try:
                    os.replace(self._temporary, self.path)
                except OSError as failure:
                    raise self._unwritable(failure) from failure
        finally:
            self._temporary.unlink(missing_ok=True)


def write(
    path: str | Path, waveform: torch.Tensor, sample_rate: int, *, force: bool = False
) -> None:
    """Write a waveform; nothing half-written stays, and nothing is overwritten unasked.

    Args:
        path: ends in ``.wav`` (32-bit float), ``.flac`` (24 bit, samples within [-1, 1]) or
            ``.mp3``.
        waveform: ``(channels, time)`` or ``(time,)``.
        sample_rate: in Hz.
        force: replace a file that is there.

    Raises:
        InputError: as :class:`Writer`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "tone.wav"
        ...     write(path, torch.tensor([0.0, 1.5, -2.5]), 8000)
        ...     read(path)[0]
        tensor([[ 0.0000,  1.5000, -2.5000]])
    """
    check_signal(waveform, "waveform")
    if waveform.ndim == 1:
        waveform = waveform[None]
    check_signal(waveform, "waveform", ndim=2)
    with Writer(path, sample_rate, waveform.shape[0], force=force) as writer:
        for start in range(0, waveform.shape[-1], 1 << 20):
            writer.write(waveform[:, start : start + (1 << 20)])


@lru_cache(maxsize=16)
def _resampler(from_rate: int, to_rate: int, dtype: torch.dtype, device: torch.device):
    transforms = require_package("torchaudio.transforms", "resampling", "torchaudio")
    # kernels are computed in float64 in any case; the settings are those of librosa's kaiser_best
    return transforms.Resample(
        from_rate,
        to_rate,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        beta=14.769656459379492,
        dtype=torch.float64 if dtype == torch.float64 else None,
    ).to(device)


def resample(waveform: torch.Tensor, from_rate: int, to_rate: int) -> torch.Tensor:
    """Change the sample rate with a band-limited (Kaiser-windowed sinc) interpolation.

    Args:
        waveform: ``(..., time)``; differentiable.
        from_rate: its sample rate in Hz.
        to_rate: the wanted sample rate in Hz.

    Returns:
        ``(..., ceil(time * to_rate / from_rate))``; the same tensor if the rates are equal.

    Raises:
        InputError: if a rate is no positive integer, or the two have so small a common divisor
            that the filter table would not fit in memory.

    Source: J. O. Smith, "Digital Audio Resampling Home Page", 2002; torchaudio's implementation.

    Example:
        >>> tone = torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)
        >>> resample(tone, 16000, 44100).shape
        torch.Size([44100])
    """
    check_signal(waveform, "waveform")
    from_rate, to_rate = check_rate(from_rate, "from_rate"), check_rate(to_rate, "to_rate")
    if from_rate == to_rate:
        return waveform
    divisor = math.gcd(from_rate, to_rate)
    step, phases = from_rate // divisor, to_rate // divisor
    if step * phases > 2 * 10**8:
        raise InputError(
            f"from_rate, to_rate: expected rates with a common divisor, got {from_rate} and "
            f"{to_rate} (divisor {divisor}); take a usual rate such as 16000, 44100 or 48000"
        )
    dtype = waveform.dtype
    signal = waveform.float() if dtype in (torch.float16, torch.bfloat16) else waveform
    length = -(-waveform.shape[-1] * phases // step)
    # torchaudio rounds the length in float32; zeros behind the end make up for what it may lose
    padded = functional.pad(signal, (0, step * (1 + (length >> 23))))
    resampled = _resampler(from_rate, to_rate, signal.dtype, signal.device)(padded)
    return resampled[..., :length].to(dtype)
