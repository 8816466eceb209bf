"""Systems: one file each, all of them a :class:`Separator`."""

from lib.models.base import EncoderMaskerDecoder, Separator, SpectrogramSeparator
from lib.models.open_unmix import OpenUnmix
from lib.models.upit import UPIT

__all__ = [
    "UPIT",
    "EncoderMaskerDecoder",
    "OpenUnmix",
    "Separator",
    "SpectrogramSeparator",
]
