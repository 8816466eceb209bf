"""The short-time Fourier transform, its least-squares inverse, and what one looks at in it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError, check_signal
from lib.framing import Memory, add_tail, take_frames


def _check_spectrogram(spectrogram: torch.Tensor, name: str, *, real: bool = False) -> None:
    if not isinstance(spectrogram, torch.Tensor):
        raise InputError(
            f"{name}: expected a torch.Tensor, got {type(spectrogram).__module__}."
            f"{type(spectrogram).__qualname__}; convert it with torch.from_numpy"
        )
    if spectrogram.ndim < 2 or spectrogram.numel() == 0:
        raise InputError(
            f"{name}: expected a shape (..., freq, frames), got {tuple(spectrogram.shape)}"
        )
    if not real and not spectrogram.is_complex():
        raise InputError(
            f"{name}: expected a complex tensor, got {spectrogram.dtype}; "
            "use torch.polar(magnitude, phase) to give magnitudes a phase"
        )


def make_window(window: str | torch.Tensor, n_fft: int) -> torch.Tensor:
    """Return an analysis window by name, or centre a given one in ``n_fft`` samples.

    Args:
        window: a name of ``torch.signal.windows`` that needs no parameter ("hann", "hamming",
            "blackman", "bartlett", "cosine", ...), "sqrt_hann", "rectangular", or a tensor of at
            most ``n_fft`` samples.
        n_fft: length in samples.

    Returns:
        ``(n_fft,)``; named windows are periodic and float64.

    Raises:
        InputError: for an unknown name or a tensor that does not fit.

    Example:
        >>> make_window("hann", 4)
        tensor([0.0000, 0.5000, 1.0000, 0.5000], dtype=torch.float64)
    """
    if isinstance(window, torch.Tensor):
        check_signal(window, "window", ndim=1)
        missing = n_fft - len(window)
        if missing < 0:
            raise InputError(f"window: expected at most n_fft={n_fft} samples, got {len(window)}")
        return functional.pad(window, (missing // 2, missing - missing // 2))
    if window == "rectangular":
        return torch.ones(n_fft, dtype=torch.float64)
    if window == "sqrt_hann":
        return make_window("hann", n_fft).sqrt()
    known = sorted(set(torch.signal.windows.__all__) - {"general_cosine", "general_hamming"})
    if window not in known:
        raise InputError(
            f"window: expected a tensor or one of {', '.join([*known, 'rectangular'])}, sqrt_hann, "
            f"got {window!r}"
        )
    return getattr(torch.signal.windows, window)(n_fft, sym=False, dtype=torch.float64)


class STFT(nn.Module):
    """Short-time Fourier transform with an exact inverse for every length and every usable hop.

    Frame k is centred on sample ``k * hop_length``; outside the signal there are zeros. There are
    ``1 + ceil(time / hop_length)`` frames, so that the last centre lies at or behind the end and
    no sample leans on the faint edge of a window alone.

    With a ``memory``, both directions go on where the piece before ended (see
    :class:`lib.separate.Streamer`).

    Args:
        n_fft: length of the FFT.
        hop_length: samples between frames, 1 to ``win_length``; a quarter of ``n_fft`` if not
            given.
        window: a name or a tensor, see :func:`make_window`.
        win_length: samples in a frame; ``n_fft`` if not given, else at most that many, with zeros
            behind the frame (``torch.stft`` has them on both sides).

    Raises:
        InputError: for a size that is not positive, a frame above ``n_fft``, a hop above the
            frame, or a bad window.

    Source: inverse by D. Griffin and J. Lim, "Signal estimation from modified short-time Fourier
    transform", IEEE TASSP 32(2), 1984, eq. 6.

    Example:
        >>> stft = STFT(n_fft=512, hop_length=128)
        >>> waveform = torch.randn(1, 2, 8001, generator=torch.Generator().manual_seed(0))
        >>> spectrogram = stft(waveform)
        >>> spectrogram.shape, spectrogram.dtype
        (torch.Size([1, 2, 257, 64]), torch.complex64)
        >>> error = (stft.inverse(spectrogram, length=8001) - waveform).abs().max()
        >>> bool(error < 1e-5)
        True
    """

    def __init__(
        self,
        n_fft: int,
        hop_length: int | None = None,
        window: str | torch.Tensor = "hann",
        win_length: int | None = None,
    ) -> None:
        """Check the sizes and make the window."""
        super().__init__()
        if int(n_fft) != n_fft or n_fft < 1:
            raise InputError(f"n_fft: expected a positive integer, got {n_fft}")
        win_length = n_fft if win_length is None else win_length
        if int(win_length) != win_length or not 1 <= win_length <= n_fft:
            raise InputError(
                f"win_length: expected an integer from 1 to n_fft={n_fft}, got {win_length}"
            )
        hop_length = max(1, n_fft // 4) if hop_length is None else hop_length
        if int(hop_length) != hop_length or not 1 <= hop_length <= win_length:
            raise InputError(
                f"hop_length: expected an integer from 1 to the {win_length} samples of a frame, "
                f"got {hop_length}"
            )
        self.n_fft = int(n_fft)
        self.win_length = int(win_length)
        self.hop_length = int(hop_length)
        # no buffer: .half() and .to("mps") must not cost it its precision
        self.window = make_window(window, self.win_length)

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        frame = "" if self.win_length == self.n_fft else f", win_length={self.win_length}"
        return f"n_fft={self.n_fft}, hop_length={self.hop_length}{frame}"

    def frames(self, length: int) -> int:
        """Return how many frames a signal of ``length`` samples has.

        Raises:
            InputError: for a length below 1.

        Example:
            >>> STFT(512, 128).frames(8001)
            64
        """
        if length < 1:
            raise InputError(f"length: expected at least 1 sample, got {length}")
        return 1 + math.ceil(length / self.hop_length)

    def frequencies(self, sample_rate: float) -> torch.Tensor:
        """Return the centre of each bin in Hz, ``(freq,)``.

        Example:
            >>> STFT(8).frequencies(16000)
            tensor([   0., 2000., 4000., 6000., 8000.])
        """
        return torch.arange(self.n_fft // 2 + 1) * (sample_rate / self.n_fft)

    def times(self, frames: int, sample_rate: float) -> torch.Tensor:
        """Return the centre of each frame in seconds, ``(frames,)``.

        Example:
            >>> STFT(8, 4).times(frames=3, sample_rate=1000)
            tensor([0.0000, 0.0040, 0.0080])
        """
        return torch.arange(frames) * (self.hop_length / sample_rate)

    def forward(self, waveform: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Return the spectrogram of a waveform.

        Args:
            waveform: ``(..., time)``; half precision is computed in float32.
            memory: of a stream.

        Returns:
            Complex ``(..., freq, frames)`` with ``freq = n_fft // 2 + 1``; of a stream, the frames
            that the waveform completes, if any.

        Raises:
            InputError: if ``waveform`` is no finite, non-empty floating-point tensor.

        Example:
            >>> STFT(4, 2, "rectangular")(torch.ones(4))[0]
            tensor([2.+0.j, 4.+0.j, 2.+0.j])
        """
        check_signal(waveform, "waveform")
        if waveform.dtype in (torch.float16, torch.bfloat16):
            waveform = waveform.float()
        time = waveform.shape[-1]
        left = self.win_length // 2
        if memory is None:
            right = (self.frames(time) - 1) * self.hop_length + self.win_length - left - time
            return self._transform(functional.pad(waveform, (left, right)))
        waiting = memory.get(self)
        if waiting is None:
            waiting = waveform.new_zeros(*waveform.shape[:-1], left)
        frames, memory[self] = take_frames(waiting, waveform, self.win_length, self.hop_length)
        return self._transform(frames)

    def flush(self, memory: Memory) -> torch.Tensor:
        """Return the frames of a stream that reach over its end, ``(..., freq, frames)``."""
        waiting = memory[self]
        samples = waiting.shape[-1]
        frames = 1 + math.ceil((samples - self.win_length // 2) / self.hop_length)
        missing = (frames - 1) * self.hop_length + self.win_length - samples
        return self(waiting.new_zeros(*waiting.shape[:-1], missing), memory)

    def _transform(self, padded: torch.Tensor) -> torch.Tensor:
        """Transform the frames inside of a waveform, (..., freq, frames)."""
        if padded.shape[-1] == 0:
            empty = padded.new_empty(*padded.shape[:-1], self.n_fft // 2 + 1, 0)
            return torch.complex(empty, empty)
        frames = padded.unfold(-1, self.win_length, self.hop_length)  # (..., frames, win_length)
        return torch.fft.rfft(frames * self.window.to(padded), n=self.n_fft).transpose(-1, -2)

    def inverse(
        self, spectrogram: torch.Tensor, length: int | None, memory: Memory | None = None
    ) -> torch.Tensor:
        """Return the waveform whose STFT is nearest to a spectrogram, in the least-squares sense.

        Args:
            spectrogram: complex ``(..., freq, frames)``, not necessarily the STFT of anything.
            length: samples of the result. Of a stream, None before its end, then what is left.
            memory: of a stream.

        Returns:
            ``(..., length)``; of a stream before its end, the samples that no later frame adds to.

        Raises:
            InputError: if the shape does not belong to ``length``, or the windows do not cover
                every sample (hop too long for this window).

        Example:
            >>> stft = STFT(4, 3)
            >>> stft.inverse(stft(torch.tensor([1.0, -2.0, 3.0])), length=3).round(decimals=4)
            tensor([ 1., -2.,  3.])
        """
        _check_spectrogram(spectrogram, "spectrogram")
        if memory is None:
            expected = (self.n_fft // 2 + 1, self.frames(length))
            if tuple(spectrogram.shape[-2:]) != expected:
                raise InputError(
                    f"spectrogram: expected (..., freq, frames) = (..., {expected[0]}, "
                    f"{expected[1]}) for length={length}, got {tuple(spectrogram.shape)}"
                )
        frames = torch.fft.irfft(spectrogram.transpose(-1, -2), n=self.n_fft)
        frames = frames[..., : self.win_length]
        window = self.window.to(frames)
        sums = self._overlap_add(frames * window)
        envelope = self._overlap_add(window.square().expand(frames.shape[-2:]))
        start = self.win_length // 2
        if memory is None:
            ready = slice(start, start + length)
            return self._divide(sums[..., ready], envelope[..., ready])
        # a frame adds nothing where its window is still zero: those samples wait for it no longer
        faint = min(int(window.ne(0).int().argmax()), start)
        overlap = max(0, self.win_length - self.hop_length - faint)
        tails, skip = memory.get((self, "inverse"), ((None, None), start - faint))
        sums, sums_tail = add_tail(sums[..., faint:], tails[0], overlap)
        envelope, envelope_tail = add_tail(envelope[faint:], tails[1], overlap)
        memory[self, "inverse"] = (sums_tail, envelope_tail), max(0, skip - sums.shape[-1])
        if length is not None:
            sums = torch.cat([sums, sums_tail], -1)
            envelope = torch.cat([envelope, envelope_tail], -1)
        ready = slice(skip, None if length is None else skip + length)
        return self._divide(sums[..., ready], envelope[ready])

    def _divide(self, sums: torch.Tensor, envelope: torch.Tensor) -> torch.Tensor:
        if envelope.numel() and envelope.min() <= 1e-8 * envelope.max():
            raise InputError(
                f"hop_length: expected a hop at which the windows cover every sample, got "
                f"{self.hop_length} with frames of {self.win_length}; take a shorter hop"
            )
        return sums / envelope

    def _overlap_add(self, frames: torch.Tensor) -> torch.Tensor:
        """Add up frames (..., frames, win_length), padding included: (..., samples)."""
        count, size = frames.shape[-2:]
        total = (count - 1) * self.hop_length + size
        columns = frames.reshape(-1, count, size).transpose(1, 2)  # (items, size, frames)
        summed = functional.fold(
            columns, (1, total), (1, size), stride=(1, self.hop_length)
        )  # (items, 1, 1, total)
        return summed.reshape(*frames.shape[:-2], total)


def amplitude_to_db(
    spectrogram: torch.Tensor,
    reference: float | torch.Tensor | None = None,
    floor_db: float = -80.0,
) -> torch.Tensor:
    """Convert magnitudes to dB below a reference, cut off at a floor.

    Everything below the floor looks the same, so two different spectrograms can have one picture.

    Args:
        spectrogram: ``(..., freq, frames)``, complex or magnitudes.
        reference: the magnitude of 0 dB: a number or a tensor that broadcasts; each item's own
            maximum if not given. Give one number to compare pictures.
        floor_db: the lowest value of the result, in dB.

    Returns:
        Real, same shape, in dB; an all-zero item without a reference is ``floor_db`` everywhere.

    Raises:
        InputError: for a wrong shape, a reference that is not positive, or a floor above 0.

    Example:
        >>> amplitude_to_db(torch.tensor([[1.0, 0.1], [0.001, 0.0]]))
        tensor([[  0., -20.],
                [-60., -80.]])
    """
    _check_spectrogram(spectrogram, "spectrogram", real=True)
    if not floor_db < 0:
        raise InputError(f"floor_db: expected a negative number, got {floor_db}")
    magnitude = spectrogram.abs()
    if reference is None:
        tiny = torch.finfo(magnitude.dtype).tiny
        reference = magnitude.amax((-2, -1), keepdim=True).clamp_min(tiny)
    elif not (torch.as_tensor(reference) > 0).all():
        raise InputError(f"reference: expected a positive magnitude, got {reference}")
    return 20 * torch.log10((magnitude / reference).clamp_min(10 ** (floor_db / 20)))


def cola_deviation(window: torch.Tensor, hop_length: int, *, power: int = 1) -> float:
    """Measure how far shifted copies of a window are from adding up to a constant.

    Args:
        window: ``(samples,)``.
        hop_length: shift in samples.
        power: 1 for plain overlap-add, 2 where the window is applied twice (analysis and
            synthesis).

    Returns:
        The largest relative deviation of the sum from its mean: 0 if the constant-overlap-add
        condition holds. The least-squares inverse of :class:`STFT` does not need it.

    Raises:
        InputError: for a window that is no signal, or a hop outside 1 to its length.

    Example:
        >>> hann = make_window("hann", 512)
        >>> [round(cola_deviation(hann, hop), 3) for hop in (128, 256, 300)]
        [0.0, 0.0, 0.172]
    """
    check_signal(window, "window", ndim=1)
    if not 1 <= hop_length <= len(window):
        raise InputError(f"hop_length: expected 1 to {len(window)}, got {hop_length}")
    missing = -len(window) % hop_length
    shifts = functional.pad(window.double() ** power, (0, missing)).unflatten(0, (-1, hop_length))
    total = shifts.sum(0)
    return ((total - total.mean()).abs().max() / total.mean().abs()).item()


def inconsistency(spectrogram: torch.Tensor, stft: STFT, length: int | None = None) -> torch.Tensor:
    """Measure how far a spectrogram is from being the STFT of any waveform.

    Args:
        spectrogram: complex ``(..., freq, frames)``.
        stft: the transform it belongs to.
        length: samples of the waveform; the longest that has these frames if not given.

    Returns:
        ``(...)`` in dB: ``20 log10(||X - STFT(inverse(X))|| / ||X||)``. A true STFT gives the
        rounding error (about -140 dB in float32, -300 in float64), modified ones much more.

    Raises:
        InputError: if the shape does not belong to ``stft``.

    Source: J. Le Roux et al., "Explicit consistency constraints for STFT spectrograms", DAFx 2008.

    Example:
        >>> stft = STFT(256, 64)
        >>> noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
        >>> spectrogram = stft(noise)
        >>> bool(inconsistency(spectrogram, stft, 4000) < -120)
        True
        >>> bool(inconsistency(spectrogram.abs() + 0j, stft, 4000) > -10)
        True
    """
    _check_spectrogram(spectrogram, "spectrogram")
    if length is None:
        length = max(1, (spectrogram.shape[-1] - 1) * stft.hop_length)
    projected = stft(stft.inverse(spectrogram, length))
    error = torch.linalg.vector_norm(spectrogram - projected, dim=(-2, -1))
    return 20 * torch.log10(error / torch.linalg.vector_norm(spectrogram, dim=(-2, -1)))


class GriffinLim(NamedTuple):
    """The waveform found, and the spectral convergence after each iteration."""

    waveform: torch.Tensor
    convergence: torch.Tensor


def griffin_lim(
    magnitude: torch.Tensor, stft: STFT, length: int, iterations: int = 50, seed: int = 0
) -> GriffinLim:
    """Find a waveform for magnitudes that have no phase.

    From random phase, alternate: go to the nearest waveform, take the phase of its STFT, put the
    given magnitudes back. The error never grows, but it stops in a local minimum.

    Args:
        magnitude: ``(..., freq, frames)``, not negative; half precision is computed in float32.
        stft: the transform that made it.
        length: samples of the result.
        iterations: how often to alternate, at least 1.
        seed: of the first phase.

    Returns:
        ``GriffinLim(waveform (..., length), convergence (..., iterations))``; the convergence is
        ``|| |STFT(waveform)| - magnitude || / ||magnitude||``, linear.

    Raises:
        InputError: if the shape does not belong to ``length``, a magnitude is negative, or
            ``iterations`` is below 1.

    Source: D. Griffin and J. Lim, IEEE TASSP 32(2), 1984.

    Example:
        >>> stft = STFT(256, 64)
        >>> tone = torch.sin(0.3 * torch.arange(2000))
        >>> found = griffin_lim(stft(tone).abs(), stft, length=2000, iterations=20)
        >>> found.waveform.shape, bool(found.convergence[-1] < 0.5 * found.convergence[0])
        (torch.Size([2000]), True)
    """
    check_signal(magnitude, "magnitude")
    if (magnitude < 0).any():
        raise InputError("magnitude: expected no negative values, got some; take .abs() first")
    if iterations < 1:
        raise InputError(f"iterations: expected at least 1, got {iterations}")
    if magnitude.dtype in (torch.float16, torch.bfloat16):
        magnitude = magnitude.float()
    generator = torch.Generator().manual_seed(seed)
    phase = (2 * math.pi * torch.rand(magnitude.shape, generator=generator)).to(magnitude)
    scale = torch.linalg.vector_norm(magnitude, dim=(-2, -1)).clamp_min(
        torch.finfo(magnitude.dtype).tiny
    )
    convergence = []
    for _ in range(iterations):
        waveform = stft.inverse(torch.polar(magnitude, phase), length)
        spectrogram = stft(waveform)
        phase = spectrogram.angle()
        error = torch.linalg.vector_norm(spectrogram.abs() - magnitude, dim=(-2, -1))
        convergence.append(error / scale)
    return GriffinLim(waveform, torch.stack(convergence, -1))


def _wrap(phase: torch.Tensor) -> torch.Tensor:
    return torch.remainder(phase + math.pi, 2 * math.pi) - math.pi


def instantaneous_frequency(
    spectrogram: torch.Tensor, stft: STFT, sample_rate: float
) -> torch.Tensor:
    """Read a frequency off how fast the phase of each bin turns from frame to frame.

    Unambiguous only within ``sample_rate / (2 hop_length)`` of the bin's centre, so hops up to a
    quarter of ``n_fft`` suit a Hann window.

    Args:
        spectrogram: complex ``(..., freq, frames)``.
        stft: the transform that made it.
        sample_rate: in Hz.

    Returns:
        ``(..., freq, frames - 1)`` in Hz.

    Raises:
        InputError: for a wrong shape or fewer than two frames.

    Source: J. Flanagan and R. Golden, "Phase vocoder", Bell System Technical Journal, 1966.

    Example:
        >>> stft = STFT(512, 64)
        >>> tone = torch.sin(2 * torch.pi * 1010 * torch.arange(8000) / 16000)
        >>> frequency = instantaneous_frequency(stft(tone), stft, 16000)
        >>> round(frequency[32, 60].item())  # bin 32 is centred on 1000 Hz
        1010
    """
    _check_spectrogram(spectrogram, "spectrogram")
    if spectrogram.shape[-1] < 2:
        raise InputError("spectrogram: expected at least two frames, got one; shorten the hop")
    centre = stft.frequencies(sample_rate).to(spectrogram.real)[:, None]  # (freq, 1)
    turn = 2 * math.pi * stft.hop_length / sample_rate  # radians per hop, per Hz
    advance = spectrogram.angle().diff(dim=-1)
    return centre + _wrap(advance - turn * centre) / turn


def group_delay(spectrogram: torch.Tensor, stft: STFT, sample_rate: float) -> torch.Tensor:
    """Read off how far from its frame's centre the energy of each bin lies in time.

    Args:
        spectrogram: complex ``(..., freq, frames)``.
        stft: the transform that made it.
        sample_rate: in Hz.

    Returns:
        ``(..., freq - 1, frames)`` in seconds, minus the derivative of phase by angular
        frequency; negative where the energy lies before the centre of the frame.

    Raises:
        InputError: for a wrong shape.

    Example:
        >>> stft = STFT(512, 128)
        >>> click = torch.zeros(1024)
        >>> click[512 + 40] = 1.0
        >>> delay = group_delay(stft(click), stft, sample_rate=16000)
        >>> round(delay[100, 4].item() * 16000)  # frame 4 is centred on sample 512
        40
    """
    _check_spectrogram(spectrogram, "spectrogram")
    half = math.pi * 2 * (stft.win_length // 2) / stft.n_fft  # moves time 0 to the frame's centre
    slope = _wrap(spectrogram.angle().diff(dim=-2) + half)
    return -slope * stft.n_fft / (2 * math.pi * sample_rate)
