"""Layer normalisations of sequences: over everything, over what was, over one frame.

The literature calls two of them cLN. Here the names say what is averaged: *cumulative*, as in the
Conv-TasNet paper, and *channel*, as in several toolkits.
"""

from __future__ import annotations

import torch
from torch import nn

from lib.errors import InputError
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.nn.eager import eager_on_cpu

__all__ = ["NORMS", "ChannelLayerNorm", "CumulativeLayerNorm", "GlobalLayerNorm", "make_norm"]


class _LayerNorm(nn.Module):
    """Gain and offset of each channel behind a normalisation.

    Args:
        channels: of the input ``(batch, channels, frames)``.
        eps: added to variances.
    """

    def __init__(self, channels: int, eps: float = 1e-8):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def _scale(
        self, features: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor
    ) -> torch.Tensor:
        """Normalise (B, C, ...) and apply gain and offset, in one pass over the features."""
        shape = (-1, *[1] * (features.ndim - 2))
        gain = self.weight.view(shape) * (variance + self.eps).rsqrt()
        offset = torch.addcmul(self.bias.view(shape), mean, gain, value=-1)
        return torch.addcmul(offset, features, gain)


class GlobalLayerNorm(_LayerNorm):
    """gLN: mean and variance over all channels and all frames of an item.

    Source: Luo and Mesgarani, "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019, eq. 9 to 11.

    Example:
        >>> normed = GlobalLayerNorm(4)(5 + 3 * torch.randn(2, 4, 100))
        >>> bool(normed.mean().abs() < 1e-5), bool((normed.var() - 1).abs() < 0.01)
        (True, True)
    """

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Normalise features (B, C, ...)."""
        if memory is not None:
            raise InputError(
                "stream: expected causal norms, got GlobalLayerNorm, which needs the whole input"
            )
        features = at_least_float32(features)
        if eager_on_cpu(features):  # the same in one operation, four times as fast with gradient
            return torch.group_norm(features, 1, self.weight, self.bias, self.eps)
        # one axis after the other: a single sum over both loses digits where sums are in float32
        mean = features.flatten(2).mean(2).mean(1)
        mean = mean.view(-1, *[1] * (features.ndim - 1))
        variance = (features - mean).square().flatten(2).mean(2).mean(1).view(mean.shape)
        return self._scale(features, mean, variance)


class ChannelLayerNorm(_LayerNorm):
    """Mean and variance over the channels of one frame. Several toolkits call this cLN.

    Example:
        >>> normed = ChannelLayerNorm(64)(5 + 3 * torch.randn(2, 64, 10))
        >>> bool(normed.mean(1).abs().max() < 1e-5)
        True
    """

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Normalise features (B, C, ...)."""
        features = at_least_float32(features)
        variance, mean = torch.var_mean(features, 1, correction=0, keepdim=True)
        return self._scale(features, mean, variance)


class CumulativeLayerNorm(_LayerNorm):
    """cLN: mean and variance over all channels of this frame and the frames before it.

    Source: Luo and Mesgarani, "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019, eq. 12 to 14.

    Example:
        >>> norm, features = CumulativeLayerNorm(4), torch.randn(1, 4, 10)
        >>> memory = {}
        >>> pieces = [norm(piece, memory) for piece in features.split(3, -1)]
        >>> torch.allclose(torch.cat(pieces, -1), norm(features), atol=1e-6)
        True
    """

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Normalise features (B, C, K, ...).

        Args:
            features: ``(batch, channels, frames, ...)``: a frame may be more than a column, such as
                a chunk of frames.
            memory: of a stream, which goes on where the piece before ended.
        """
        features = at_least_float32(features)
        frames, inside = features.shape[2], (1, *range(3, features.ndim))
        values = features[:1, :, :1].numel()  # of a frame
        moments = torch.stack([features.sum(inside), features.square().sum(inside)])  # (2, B, K)
        # sums of squares lose digits, and there is no end to a stream: float64, where there is one
        moments = moments if moments.device.type == "mps" else moments.double()
        before, count = (memory or {}).get(self, (0.0, 0))
        sums = moments.cumsum(-1)
        sums = sums if count == 0 else sums + before
        if memory is not None:
            memory[self] = (sums[..., -1:].clone(), count + frames)
        first, last = values * (count + 1), values * (count + frames)
        counts = torch.arange(first, last + 1, values, dtype=sums.dtype, device=sums.device)
        mean, power = sums / counts
        # rounding may leave it below zero
        variance = torch.addcmul(power, mean, mean, value=-1).clamp_min(0.0)
        shape = (-1, 1, frames, *[1] * (features.ndim - 3))
        mean, variance = mean.view(shape), variance.view(shape)
        return self._scale(features, mean.to(features.dtype), variance.to(features.dtype))


NORMS = {
    "global": GlobalLayerNorm,
    "channel": ChannelLayerNorm,
    "cumulative": CumulativeLayerNorm,
}


def make_norm(name: str, channels: int) -> nn.Module:
    """Build a normalisation by its name.

    Args:
        name: ``global``, ``channel`` or ``cumulative``.
        channels: of its input.

    Raises:
        InputError: for an unknown name, or no channels.

    Example:
        >>> make_norm("global", 8)
        GlobalLayerNorm()
    """
    if name not in NORMS:
        raise InputError(f"norm: expected one of {', '.join(NORMS)}, got {name!r}")
    if channels < 1:
        raise InputError(f"channels: expected at least 1, got {channels}")
    return NORMS[name](channels)
