"""What one looks at in a bank: where each filter answers most, and an order by that."""

from __future__ import annotations

import torch

__all__ = ["by_frequency", "centre_frequencies"]


def centre_frequencies(filters: torch.Tensor, sample_rate: int = 8000) -> torch.Tensor:
    """Where the magnitude response of each filter has its peak.

    Args:
        filters: ``(filters, 1, kernel_size)``, as ``bank.analysis()`` gives them.
        sample_rate: Hz.

    Returns:
        ``(filters,)`` in Hz, on a grid of ``sample_rate / 2048`` or finer.

    Example:
        >>> times = torch.arange(64) / 8000
        >>> tones = torch.cos(2 * torch.pi * torch.tensor([[[2000.0]], [[1000.0]]]) * times)
        >>> centre_frequencies(tones).tolist()
        [2000.0, 1000.0]
    """
    points = max(2048, filters.shape[-1])
    response = torch.fft.rfft(filters.detach().flatten(1), points).abs()  # (N, points // 2 + 1)
    return response.argmax(-1) * sample_rate / points


def by_frequency(filters: torch.Tensor) -> torch.Tensor:
    """An order of the filters from the lowest centre frequency to the highest.

    Args:
        filters: ``(filters, 1, kernel_size)``.

    Returns:
        their numbers ``(filters,)``; those of equal frequency stay in the order they had.

    Example:
        >>> times = torch.arange(64) / 8000
        >>> tones = torch.cos(2 * torch.pi * torch.tensor([[[1000.0]], [[500.0]]]) * times)
        >>> by_frequency(tones).tolist()
        [1, 0]
    """
    return centre_frequencies(filters).argsort(stable=True)
