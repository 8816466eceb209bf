"""Losses: functions of ``(estimate, reference)``, one value per item, lower is better."""

from lib.losses.objectives import OBJECTIVES, make_objective
from lib.losses.pit import pairwise, pit
from lib.losses.waveform import l1_loss, si_snr_loss, snr_loss

__all__ = [
    "OBJECTIVES",
    "l1_loss",
    "make_objective",
    "pairwise",
    "pit",
    "si_snr_loss",
    "snr_loss",
]
