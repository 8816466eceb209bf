"""Unmixing Sound: the shared package of an interactive course on audio source separation.

Importing it is light: each room (``lib.stft``, ``lib.metrics``, ``lib.models``, ...) is imported
by name where it is used, and optional packages only inside the functions that need them.
"""

from __future__ import annotations

import os
import platform

import torch

from lib import _torchaudio_shim

__version__ = "0.1.0"
__all__ = ["about"]

_torchaudio_shim.install()


def about() -> str:
    """One line on versions, device and budget: what the first cell of a notebook prints.

    Example:
        >>> about().startswith("Unmixing Sound")
        True
    """
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    budget = os.environ.get("UNMIX_BUDGET") or ("gpu" if torch.cuda.is_available() else "cpu")
    return (
        f"Unmixing Sound {__version__} | Python {platform.python_version()} | "
        f"torch {torch.__version__} | {device} | budget {budget}"
    )
