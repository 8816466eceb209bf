"""Metrics: how good is a separation? Functions of ``(estimate, reference)``, one value per item."""

from lib.metrics.energy_ratios import (
    ScaleInvariantDecomposition,
    improvement,
    sd_sdr,
    si_decomposition,
    si_sdr,
    si_snr,
    snr,
)

__all__ = [
    "ScaleInvariantDecomposition",
    "improvement",
    "sd_sdr",
    "si_decomposition",
    "si_sdr",
    "si_snr",
    "snr",
]
