"""Demucs denoiser: a U-Net on the samples, made causal, for speech in noise as it comes.

A. Defossez, G. Synnaeve and Y. Adi, "Real time speech enhancement in the waveform domain",
Interspeech 2020, arXiv:2006.12847.

Convolutions with a stride of 4 bring the signal down to 62.5 frames a second, an LSTM remembers
what was, and transposed convolutions bring it up again; each level hands its features across. No
layer pads before the signal, so a frame waits for its own samples and for nothing else. Between the
network and the signal the rate is four times higher, by interpolation.

========  ================  ====================================================================
paper     argument          meaning
========  ================  ====================================================================
L         ``depth``         levels
K         ``kernel_size``   samples of a frame, on each level
S         ``stride``        samples between frames, on each level
U         ``resampling``    how many times higher the rate of the network is: 1, 2 or 4
H         ``hidden``        channels of the first level; they double from level to level
========  ================  ====================================================================

Deviations:
    - A stream gives what the whole recording gives, in full: interpolation waits for all 56
      neighbours that it reads, so that the look-ahead of the paper's sizes is 763 samples, 47.7 ms.
      In single precision about as many as a frame has can be seen: far neighbours weigh little.
      The published streamer waits for 64 samples behind a frame of 597 (41.3 ms) and differs a
      little from its own network; in its newest version it forgets what it heard before the end.
    - The level is that of the samples so far (``normalize="running"``), offline as in a stream. The
      published network divides by the standard deviation of the recording (``"utterance"``), its
      streamer by that of the frames so far.
    - The noise is what the speech leaves of the mixture; the paper estimates speech alone.
    - ``small()`` and ``tiny()`` work at the rate of the signal, with fewer levels.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.models.base import Separator, check_mixture
from lib.nn.demucs import Down, RunningLevel, Up, rescale, std_mean
from lib.nn.interpolation import DoubleRate, HalveRate
from lib.nn.recurrent import read

NORMALIZE = (None, "running", "utterance")
_FLOOR = 1e-3  # of the level
_NEIGHBOURS = 56  # on each side, in interpolation


class Network(nn.Module):
    """The levels, the LSTM between their ways, and the interpolation around them.

    Args:
        hidden: channels of the first level.
        depth: levels.
        kernel_size: of a frame.
        stride: between frames.
        resampling: 1, 2 or 4.
        layers: of the LSTM.
        causal: an LSTM that reads forwards only.

    Example:
        >>> Network(hidden=4, depth=2, resampling=2)(torch.randn(2, 1, 18)).shape
        torch.Size([2, 1, 18])
    """

    def __init__(
        self,
        hidden: int,
        depth: int,
        kernel_size: int = 8,
        stride: int = 4,
        resampling: int = 1,
        layers: int = 2,
        causal: bool = True,
    ):
        super().__init__()
        steps = resampling.bit_length() - 1
        widths = [1, *(hidden * 2**level for level in range(depth))]
        self.raise_rate = nn.ModuleList(DoubleRate(_NEIGHBOURS) for _ in range(steps))
        self.down = nn.ModuleList(
            Down(*pair, kernel_size, stride) for pair in zip(widths, widths[1:], strict=False)
        )
        self.lstm = nn.LSTM(
            widths[-1], widths[-1], layers, batch_first=True, bidirectional=not causal
        )
        self.linear = nn.Identity() if causal else nn.Linear(2 * widths[-1], widths[-1])
        self.up = nn.ModuleList(
            Up(widths[level], widths[level - 1], kernel_size, stride, last=level == 1)
            for level in range(depth, 0, -1)
        )
        self.lower_rate = nn.ModuleList(HalveRate(_NEIGHBOURS) for _ in range(steps))

    def forward(self, waveform: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map (B, 1, T) to the same shape, where T fills the frames."""
        x, levels = waveform, []
        for block in self.raise_rate:
            x = block(x, memory)
        for block in self.down:
            x = block(x, memory)  # (B, H, K)
            levels.append(x)
        if x.shape[-1]:
            x = self.linear(read(self.lstm, x.mT, memory)).mT
        for block in self.up:
            x = block(x, levels.pop(), memory)
        for block in self.lower_rate:
            x = block(x, memory)
        return x


class Denoiser(Separator):
    """Samples of the speech from samples of the mixture, in real time.

    Args:
        hidden: channels of the first level.
        depth: levels.
        kernel_size: samples of a frame.
        stride: samples between frames, a divisor of ``kernel_size``.
        resampling: how many times higher the rate of the network is: 1, 2 or 4.
        layers: of the LSTM.
        causal: an LSTM that reads forwards only.
        normalize: what the mixture is divided by before the network: the level of the samples so
            far (``running``), the standard deviation of all (``utterance``), or nothing (None).
        residual: name of a second estimate, of what the speech leaves of the mixture; None for
            none.
        sample_rate: Hz.

    Raises:
        InputError: for an unknown normalisation or rate, or sizes that cannot be.

    Example:
        >>> separator = Denoiser.tiny()
        >>> separator.source_names, separator(torch.randn(1, 1, 4000)).shape
        (('speech', 'noise'), torch.Size([1, 2, 1, 4000]))
    """

    channels = 1

    def __init__(
        self,
        hidden: int = 48,
        depth: int = 5,
        kernel_size: int = 8,
        stride: int = 4,
        resampling: int = 4,
        layers: int = 2,
        causal: bool = True,
        normalize: str | None = "running",
        residual: str | None = "noise",
        sample_rate: int = 16000,
    ):
        super().__init__()
        if normalize not in NORMALIZE:
            raise InputError(f"normalize: expected running, utterance or None, got {normalize!r}")
        if min(hidden, depth, layers) < 1:
            raise InputError(
                f"hidden, depth, layers: expected at least 1, got {hidden}, {depth}, {layers}"
            )
        if not 1 <= stride <= kernel_size:
            raise InputError(f"stride: expected 1 to kernel_size={kernel_size}, got {stride}")
        if resampling not in (1, 2, 4) or stride**depth % resampling:
            raise InputError(
                "resampling: expected 1, 2 or 4, a divisor of stride**depth="
                f"{stride**depth}, got {resampling}"
            )
        self.sample_rate = sample_rate
        self.source_names = ("speech", residual) if residual else ("speech",)
        self.sizes = kernel_size, stride, depth, resampling
        self.normalize, self.floor = normalize, _FLOOR if normalize else 0.0
        self.level = RunningLevel()
        self.network = Network(hidden, depth, kernel_size, stride, resampling, layers, causal)
        rescale(self.network)
        self.frame, self.stride = self.valid_length(1), stride**depth // resampling
        if causal and normalize != "utterance":
            self.lookahead = self._reach()

    @classmethod
    def paper(cls, hidden: int = 48, causal: bool = True) -> Self:
        """Build a published size.

        Parameters: 18,867,937 (``dns48``), 33,533,569 with ``hidden=64`` (``dns64``), 60,813,953
        with ``hidden=64, causal=False`` (``valentini_nc``), whose stride is 2.
        """
        return cls(hidden) if causal else cls(hidden, stride=2, resampling=2, causal=False)

    @classmethod
    def small(cls) -> Self:
        """Build the size of the recipe ``denoiser-small``."""
        return cls(hidden=24, depth=4, resampling=1)

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(hidden=16, depth=3, resampling=1)

    def valid_length(self, time: int) -> int:
        """Return how many samples there are when the last frame of each level is full.

        Args:
            time: samples of the mixture.

        Example:
            >>> Denoiser().valid_length(1), Denoiser().valid_length(598)
            (597, 853)
        """
        kernel_size, stride, depth, resampling = self.sizes
        frames = time * resampling
        for _ in range(depth):
            frames = max(1, -(-(frames - kernel_size) // stride) + 1)
        for _ in range(depth):
            frames = (frames - 1) * stride + kernel_size
        return -(-frames // resampling)

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`lib.models.base.Separator.forward`."""
        check_mixture(mixture, self.channels)
        time, level = mixture.shape[-1], self._level(mixture)
        x = mixture / (level + self.floor)
        x = self.network(functional.pad(x, (0, self.valid_length(time) - time)))
        return self.decode(x[..., :time], mixture, level)

    def advance(
        self, chunk: torch.Tensor | None, length: int | None, memory: Memory
    ) -> torch.Tensor:
        """Take a stream further. See :meth:`lib.models.base.EncoderMaskerDecoder.advance`."""
        waiting, time = memory.get(self, (None, 0))  # mixture and level, (1, 2, T)
        if chunk is None:
            memory["end"] = True
            x = waiting.new_zeros(1, 1, self.valid_length(time) - time)
        else:
            level = self._level(chunk, memory)
            x = chunk / (level + self.floor)
            heard = torch.cat([chunk, level], 1)
            waiting = heard if waiting is None else torch.cat([waiting, heard], -1)
            time += chunk.shape[-1]
        x = self.network(x, memory)[..., :length]
        ready = x.shape[-1]
        memory[self] = waiting[..., ready:].clone(), time
        return self.decode(x, *waiting[..., :ready].split(1, 1))

    def decode(
        self, answer: torch.Tensor, mixture: torch.Tensor, level: torch.Tensor
    ) -> torch.Tensor:
        """Give the answer of the network, (B, 1, T), the level of the mixture: (B, S, 1, T)."""
        speech = at_least_float32(answer) * level
        estimates = [speech, mixture - speech] if self.sources == 2 else [speech]
        return torch.stack(estimates, 1)

    def _level(self, mixture: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Find what the mixture is divided by, (B, 1, T) or (B, 1, 1)."""
        if self.normalize == "running":
            return self.level(mixture, memory)
        if self.normalize is None:
            return torch.ones_like(mixture)
        return std_mean(mixture, (-1,))[0]

    def _reach(self) -> int:
        """Follow each phase of an output sample to the last sample of the mixture that it needs."""
        kernel_size, stride, depth, resampling = self.sizes
        whole, steps, ahead = stride**depth, resampling.bit_length() - 1, 0
        for phase in range(self.stride):
            place = phase
            for _ in range(steps):
                place = 2 * (place + _NEIGHBOURS) - 1
            place = place // whole * whole + self.frame * resampling - 1
            for _ in range(steps):
                place = (place - 1) // 2 + _NEIGHBOURS
            ahead = max(ahead, place - phase)
        return ahead
