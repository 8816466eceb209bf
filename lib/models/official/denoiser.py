"""The Demucs denoiser, as its authors published it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lib.models.official.release import Weights, rename

__all__ = ["from_denoiser"]

# parts of names in the authors' Demucs, and here
_NAMES = {
    r"^encoder\.(\d+)\.0\.": r"network.down.\1.convolution.",
    r"^encoder\.(\d+)\.2\.": r"network.down.\1.rewrite.",
    r"^decoder\.(\d+)\.0\.": r"network.up.\1.rewrite.",
    r"^decoder\.(\d+)\.2\.": r"network.up.\1.convolution.",
    r"^lstm\.": "network.",
}


def from_denoiser(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Name weights of the authors' ``Demucs`` as :class:`lib.models.Denoiser` does.

    Args:
        weights: its ``state_dict()``.

    Returns:
        what :meth:`torch.nn.Module.load_state_dict` takes.

    Example:
        >>> from_denoiser({"encoder.3.2.bias": torch.zeros(1)})
        {'network.down.3.rewrite.bias': tensor([0.])}
    """
    return rename(weights, _NAMES)
