"""Twice the rate and half of it, by windowed sinc functions: of a whole signal or of a stream.

J. O. Smith and P. Gossett, "A flexible sampling-rate conversion method", ICASSP 1984.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from lib.framing import Memory

__all__ = ["DoubleRate", "HalveRate", "change_rate", "windowed_sinc"]


def windowed_sinc(times: torch.Tensor, zeros: int) -> torch.Tensor:
    """Weigh the neighbours of a place: ``sin(pi t) / (pi t)`` under a Hann window.

    Args:
        times: distances of neighbours in samples.
        zeros: on each side; from there on the weight is 0.

    Example:
        >>> windowed_sinc(torch.tensor([0.0, 0.5, 1.5]), zeros=2)
        tensor([ 1.0000,  0.5434, -0.0311])
    """
    times = times.clamp(-zeros, zeros)
    return torch.sinc(times) * torch.cos(times * (torch.pi / (2 * zeros))).square()


def change_rate(
    waveform: torch.Tensor, old: int, new: int, zeros: int = 24, rolloff: float = 0.945
) -> torch.Tensor:
    """Change the rate of a whole signal by a small fraction; its ends go on as constants.

    Args:
        waveform: ``(batch, channels, time)``.
        old: its rate.
        new: the wanted rate; only the ratio of both counts.
        zeros: of the sinc function, on each side of a place.
        rolloff: share of the band that is kept.

    Returns:
        ``(batch, channels, floor(time * new / old))``.

    Source: the defaults of the package julius, which the authors of Demucs use.

    Example:
        >>> tone = torch.sin(0.3 * torch.arange(400.0))[None, None]
        >>> error = change_rate(tone, 1, 2) - torch.sin(0.15 * torch.arange(800.0))
        >>> bool(error[..., 100:-100].abs().max() < 1e-3)
        True
    """
    band = rolloff * min(old, new)
    width = math.ceil(zeros * old / band)
    taps = torch.arange(-width, width + old, dtype=torch.float64) / old
    places = torch.arange(new, dtype=torch.float64)[:, None] / new
    weights = windowed_sinc((taps - places) * band, zeros)
    weights = (weights / weights.sum(1, keepdim=True)).to(waveform)  # (new, taps)
    padded = functional.pad(waveform, (width, width + old), "replicate")
    phases = functional.conv1d(padded.flatten(0, 1)[:, None], weights[:, None], stride=old)
    changed = phases.mT.flatten(1).unflatten(0, waveform.shape[:2])
    return changed[..., : waveform.shape[-1] * new // old]


class _HalfBand(nn.Module):
    """The weights of the samples half a step away; all others but the place itself weigh nothing.

    Args:
        zeros: neighbours on each side.
    """

    def __init__(self, zeros: int = 56):
        super().__init__()
        self.zeros = zeros
        times = torch.arange(2 * zeros, dtype=torch.float64) - zeros + 0.5
        # no buffer: .half() must not cost it its precision
        self.weights = windowed_sinc(times, zeros)

    def _between(self, samples: torch.Tensor) -> torch.Tensor:
        """Interpolate (B, 1, K) half-way between samples, (B, 1, K - 2 zeros + 1)."""
        return functional.conv1d(samples, self.weights.to(samples)[None, None])


class DoubleRate(_HalfBand):
    """Put a sample between every two.

    Args:
        zeros: how many samples before and behind it reads.

    Example:
        >>> tone = torch.sin(0.3 * torch.arange(400.0))[None, None]
        >>> error = DoubleRate()(tone) - torch.sin(0.15 * torch.arange(800.0))
        >>> bool(error[..., 200:-200].abs().max() < 1e-4)
        True
    """

    def forward(self, waveform: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map (B, 1, T) to (B, 1, 2 T), in a stream what is finished; there is silence around."""
        before, behind = self.zeros - 1, self.zeros
        if memory is not None and self in memory:
            samples = torch.cat([memory[self], waveform], -1)
        else:
            samples = functional.pad(waveform, (before, 0))
        if memory is None or "end" in memory:
            samples = functional.pad(samples, (0, behind))
        ready = max(0, samples.shape[-1] - before - behind)
        if memory is not None:
            memory[self] = samples[..., ready:].clone()
        if ready == 0:
            return samples[..., :0]
        places = samples[..., before : before + ready]
        return torch.stack([places, self._between(samples)], -1).flatten(2)


class HalveRate(_HalfBand):
    """Take what lies below half of the band, and every second sample of it.

    Args:
        zeros: how many samples of the lower rate it reads before and behind.

    Example:
        >>> tone = torch.sin(0.3 * torch.arange(800.0))[None, None]
        >>> error = HalveRate()(tone) - torch.sin(0.6 * torch.arange(400.0))
        >>> bool(error[..., 100:-100].abs().max() < 1e-4)
        True
    """

    def forward(self, waveform: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map (B, 1, T) to (B, 1, ceil(T / 2)), in a stream what is finished."""
        before, behind = self.zeros, self.zeros - 1  # pairs of samples
        if memory is not None and self in memory:
            samples = torch.cat([memory[self], waveform], -1)
        else:
            samples = functional.pad(waveform, (2 * before, 0))
        if memory is None or "end" in memory:
            samples = functional.pad(samples, (0, 2 * behind + samples.shape[-1] % 2))
        pairs = samples.shape[-1] // 2
        ready = max(0, pairs - before - behind)
        if memory is not None:
            memory[self] = samples[..., 2 * ready :].clone()
        if ready == 0:
            return samples[..., :0]
        even, odd = samples[..., : 2 * pairs].unflatten(-1, (pairs, 2)).unbind(-1)
        return (even[..., before : before + ready] + self._between(odd)) / 2
