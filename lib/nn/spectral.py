"""What a network sees of a spectrogram."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from lib.errors import InputError

__all__ = ["SpectralFeatures", "channel_magnitudes", "heard_channels", "own_channels"]

# the spectrum's power below this share of the mixture's mean counts as silence (-60 dB)
_FLOOR = 1e-6
_SMALLEST_SCALE = 1e-3


def channel_magnitudes(spectrogram: torch.Tensor, channels: int) -> torch.Tensor:
    """Return magnitudes for a network that sees a number of channels.

    Args:
        spectrogram: complex ``(batch, channels, freq, frames)``.
        channels: that the network sees: with 1 the mean power of all, else a mono mixture on each.

    Returns:
        ``(batch, channels of the network, freq, frames)``.

    Raises:
        InputError: if the mixture has neither one channel nor as many as the network.

    Example:
        >>> channel_magnitudes(torch.tensor([3 + 4j, 5j]).view(1, 2, 1, 1), channels=1)
        tensor([[[[5.]]]])
    """
    magnitudes = spectrogram.abs()
    if channels == 1:
        # the root has no slope at 0
        return magnitudes.square().mean(1, keepdim=True).clamp_min(1e-20).sqrt()
    if spectrogram.shape[1] not in (1, channels):
        raise InputError(f"mixture: expected 1 or {channels} channels, got {spectrogram.shape[1]}")
    return magnitudes.expand(-1, channels, -1, -1)


def heard_channels(spectrogram: torch.Tensor, channels: int) -> torch.Tensor:
    """Give a network that hears so many channels at once what a mixture has.

    Args:
        spectrogram: ``(batch, C, freq, frames)``.
        channels: that the network hears: with 1 each channel by itself, else a mono mixture on
            each.

    Returns:
        ``(items, channels, freq, frames)``, with ``batch * C`` items if ``channels`` is 1. The
        way back is :func:`own_channels`.

    Raises:
        InputError: if the mixture has neither one channel nor as many as the network.

    Example:
        >>> heard_channels(torch.zeros(3, 2, 5, 7), 1).shape
        torch.Size([6, 1, 5, 7])
        >>> heard_channels(torch.zeros(3, 1, 5, 7), 2).shape
        torch.Size([3, 2, 5, 7])
    """
    if channels == 1:
        return spectrogram.flatten(0, 1)[:, None]
    if spectrogram.shape[1] not in (1, channels):
        raise InputError(f"mixture: expected 1 or {channels} channels, got {spectrogram.shape[1]}")
    return spectrogram.expand(-1, channels, -1, -1)


def own_channels(estimates: torch.Tensor, channels: int) -> torch.Tensor:
    """Give a mixture's estimates the channels that it has, after :func:`heard_channels`.

    Args:
        estimates: ``(items, sources, channels of the network, freq, frames)``.
        channels: of the mixture; a mono mixture gets the mean of what the network says.

    Returns:
        ``(batch, sources, channels, freq, frames)``.

    Example:
        >>> own_channels(torch.zeros(6, 4, 1, 5, 7), 2).shape
        torch.Size([3, 4, 2, 5, 7])
        >>> own_channels(torch.zeros(3, 4, 2, 5, 7), 1).shape
        torch.Size([3, 4, 1, 5, 7])
    """
    if estimates.shape[2] == 1:
        return estimates[:, :, 0].unflatten(0, (-1, channels)).transpose(1, 2)
    return estimates.mean(2, keepdim=True) if channels == 1 else estimates


class SpectralFeatures(nn.Module):
    """Magnitudes of the mixture, compressed and normalised, one vector per frame.

    Channels are averaged in power, so that all channels of a mixture get the same masks. Levels are
    relative to the mean power of the mixture, which makes a separator indifferent to its input's
    gain; a causal system cannot know that mean and takes the levels as they come.

    Each frequency is brought to mean 0 and standard deviation 1: those of the mixture at hand with
    ``per_utterance``, which takes away the colour of voices and microphones that few training
    persons would teach wrongly; else those of training data, set by :meth:`calibrate`.

    Args:
        bins: number of frequencies.
        log: logarithm of the magnitudes; else the magnitudes.
        relative: levels relative to the mixture's.
        per_utterance: normalise by the statistics of the mixture at hand.

    Example:
        >>> features = SpectralFeatures(bins=3)
        >>> spectrogram = torch.ones(2, 1, 3, 5, dtype=torch.complex64)
        >>> features(spectrogram).shape
        torch.Size([2, 5, 3])
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, bins: int, log: bool = True, relative: bool = True, per_utterance: bool = False
    ):
        super().__init__()
        self.log, self.relative, self.per_utterance = log, relative, per_utterance
        if not per_utterance:
            self.register_buffer("mean", torch.zeros(bins))
            self.register_buffer("scale", torch.ones(bins))

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to features (B, K, F)."""
        features = self._compress(spectrogram)
        if self.per_utterance:
            scale, mean = torch.std_mean(features, 1, correction=0, keepdim=True)
            return (features - mean) / scale.clamp_min(_SMALLEST_SCALE)
        return (features - self.mean) / self.scale

    def _compress(self, spectrogram: torch.Tensor) -> torch.Tensor:
        power = spectrogram.abs().square().mean(1).transpose(1, 2)  # (B, K, F)
        if self.relative:
            power = power / power.mean((1, 2), keepdim=True).clamp_min(1e-20)
        return (power + _FLOOR).log() / 2 if self.log else power.sqrt()

    @torch.no_grad()
    def calibrate(self, spectrograms: Iterable[torch.Tensor]) -> None:
        """Set mean and scale from spectrograms ``(channels, freq, frames)``."""
        if self.per_utterance:
            return
        frames = torch.cat([self._compress(one[None])[0] for one in spectrograms])  # (frames, F)
        self.mean.copy_(frames.mean(0))
        self.scale.copy_(frames.std(0).clamp_min(_SMALLEST_SCALE))
