"""Blocks that convolve over time and frequency and connect all frequencies, and a U-Net of them.

W. Choi et al., "Investigating U-Nets with various intermediate blocks for spectrogram-based singing
voice separation", ISMIR 2020; in the form of M. Kim et al., "KUIELab-MDX-Net", arXiv:2111.12203.
"""

from __future__ import annotations

import torch
from torch import nn

from lib.losses.precision import at_least_float32
from lib.nn.unet import pad_to_multiple

__all__ = ["TFCTDF", "TFCTDFUNet"]


def _then_relu(layer: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU())


class TFCTDF(nn.Module):
    """Convolutions over time and frequency, and two matrices along frequency that add to them.

    Args:
        channels: of input and output.
        bins: frequencies.
        layers: convolutions.
        kernel_size: of a convolution, odd.
        bottleneck: frequencies per unit between the two matrices.

    Example:
        >>> TFCTDF(channels=4, bins=16, layers=2)(torch.randn(3, 4, 10, 16)).shape
        torch.Size([3, 4, 10, 16])
    """

    def __init__(
        self, channels: int, bins: int, layers: int = 3, kernel_size: int = 3, bottleneck: int = 8
    ):
        super().__init__()
        self.convolutions = nn.Sequential(
            *(
                _then_relu(nn.Conv2d(channels, channels, kernel_size, padding="same"), channels)
                for _ in range(layers)
            )
        )
        narrow = max(1, bins // bottleneck)
        self.along_frequency = nn.Sequential(
            _then_relu(nn.Linear(bins, narrow, bias=False), channels),
            _then_relu(nn.Linear(narrow, bins, bias=False), channels),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, N, K, F) to the same shape."""
        features = self.convolutions(features)
        return features + self.along_frequency(features)


class TFCTDFUNet(nn.Module):
    """From pictures of a spectrogram to others of the same size.

    On the way up, what comes from below multiplies what the way down had at that size.

    Args:
        pictures: of input and output.
        bins: frequencies, a multiple of ``2 ** depth``.
        filters: of the first level; as many more at each.
        depth: times that both axes are halved.
        layers: convolutions of a block.
        kernel_size: of a convolution.
        bottleneck: frequencies per unit between the matrices of a block.

    Example:
        >>> TFCTDFUNet(4, bins=16, filters=2, depth=2)(torch.randn(3, 4, 7, 16)).shape
        torch.Size([3, 4, 7, 16])
    """

    def __init__(
        self,
        pictures: int,
        bins: int,
        filters: int,
        depth: int,
        layers: int = 3,
        kernel_size: int = 3,
        bottleneck: int = 8,
    ):
        super().__init__()
        self.multiple = 2**depth
        block = (layers, kernel_size, bottleneck)
        widths = [filters * (1 + level) for level in range(depth)]  # from the top
        wider = [width + filters for width in widths]
        levels = [TFCTDF(width, bins >> level, *block) for level, width in enumerate(widths)]
        self.first = _then_relu(nn.Conv2d(pictures, filters, 1), filters)
        self.down = nn.ModuleList(levels)
        self.halvings = nn.ModuleList(
            _then_relu(nn.Conv2d(width, more, 2, stride=2), more)
            for width, more in zip(widths, wider, strict=True)
        )
        self.middle = TFCTDF(filters * (1 + depth), bins >> depth, *block)
        self.doublings = nn.ModuleList(
            _then_relu(nn.ConvTranspose2d(more, width, 2, stride=2), width)
            for width, more in zip(widths[::-1], wider[::-1], strict=True)
        )
        self.up = nn.ModuleList(
            TFCTDF(widths[level], bins >> level, *block) for level in reversed(range(depth))
        )
        self.last = nn.Conv2d(filters, pictures, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures (B, P, K, F) to the same shape."""
        frames = pictures.shape[2]
        x = self.first(pad_to_multiple(pictures, self.multiple))  # (B, N, K', F)
        beside = []
        for block, halving in zip(self.down, self.halvings, strict=True):
            beside.append(block(x))
            x = halving(beside[-1])  # (B, 2 N, K' / 2, F / 2), then (B, 3 N, K' / 4, F / 4), ...
        x = self.middle(x)
        for block, doubling in zip(self.up, self.doublings, strict=True):
            x = block(doubling(x) * beside.pop())
        return at_least_float32(self.last(x))[:, :, :frames]
