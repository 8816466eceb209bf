"""Banks of filters: what stands between waveforms and the features that are masked."""

from __future__ import annotations

from lib.errors import InputError
from lib.filterbanks.analytic import AnalyticFree
from lib.filterbanks.base import Filterbank, pseudo_inverse
from lib.filterbanks.free import FreeFilterbank
from lib.filterbanks.gammatone import MultiPhaseGammatone
from lib.filterbanks.gated import GatedFilterbank
from lib.filterbanks.response import by_frequency, centre_frequencies
from lib.filterbanks.sinc import SincFilterbank
from lib.filterbanks.stft import STFTFilterbank

__all__ = [
    "BANKS",
    "AnalyticFree",
    "Filterbank",
    "FreeFilterbank",
    "GatedFilterbank",
    "MultiPhaseGammatone",
    "STFTFilterbank",
    "SincFilterbank",
    "by_frequency",
    "centre_frequencies",
    "make_filterbank",
    "pseudo_inverse",
]

BANKS: dict[str, type[Filterbank]] = {
    "free": FreeFilterbank,
    "stft": STFTFilterbank,
    "sinc": SincFilterbank,
    "gammatone": MultiPhaseGammatone,
    "analytic": AnalyticFree,
}
_IN_HERTZ = ("sinc", "gammatone")


def make_filterbank(
    name: str,
    filters: int,
    kernel_size: int,
    stride: int | None = None,
    rectified: bool = False,
    sample_rate: int = 8000,
) -> Filterbank:
    """Build a bank by its name.

    Args:
        name: ``free``, ``stft``, ``sinc``, ``gammatone`` or ``analytic``.
        filters: features of a frame.
        kernel_size: samples of a frame.
        stride: samples between frames; half of ``kernel_size`` if not given.
        rectified: set what is below zero in the encoder's features to zero.
        sample_rate: Hz, for the banks whose filters lie at frequencies.

    Raises:
        InputError: for an unknown name, or sizes that cannot be.

    Example:
        >>> make_filterbank("stft", filters=64, kernel_size=32).stride
        16
    """
    if name not in BANKS:
        raise InputError(f"bank: expected one of {', '.join(BANKS)}, got {name!r}")
    options = {"sample_rate": sample_rate} if name in _IN_HERTZ else {}
    return BANKS[name](filters, kernel_size, stride, rectified, **options)
