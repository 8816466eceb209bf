"""Losses: functions of ``(estimate, reference)``, one value per item, lower is better."""

from lib.losses.clustering import active_points, deep_clustering_loss, dominant_source
from lib.losses.consistency import mixture_consistency_penalty, project_to_mixture
from lib.losses.objectives import OBJECTIVES, make_objective
from lib.losses.pit import pairwise, pit
from lib.losses.self_training import SelfTraining
from lib.losses.spectrogram import (
    log_loss,
    magnitude_loss,
    mask_approximation_loss,
    phase_sensitive_loss,
    phase_sensitive_magnitude,
    power_loss,
    signal_approximation_loss,
)
from lib.losses.waveform import (
    l1_loss,
    l2_loss,
    multi_resolution_stft_loss,
    si_snr_loss,
    snr_loss,
)

__all__ = [
    "OBJECTIVES",
    "SelfTraining",
    "active_points",
    "deep_clustering_loss",
    "dominant_source",
    "l1_loss",
    "l2_loss",
    "log_loss",
    "magnitude_loss",
    "make_objective",
    "mask_approximation_loss",
    "mixture_consistency_penalty",
    "multi_resolution_stft_loss",
    "pairwise",
    "phase_sensitive_loss",
    "phase_sensitive_magnitude",
    "pit",
    "power_loss",
    "project_to_mixture",
    "si_snr_loss",
    "signal_approximation_loss",
    "snr_loss",
]
