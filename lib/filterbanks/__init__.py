"""Banks of filters: what stands between waveforms and the features that are masked."""

from lib.filterbanks.base import Filterbank
from lib.filterbanks.free import FreeFilterbank

__all__ = ["Filterbank", "FreeFilterbank"]
