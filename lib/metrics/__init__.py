"""Metrics: how good is a separation? Functions of ``(estimate, reference)``, one value per item."""

from lib.metrics.bss_eval import BSSEval, BSSEvalV4, bss_eval, bss_eval_v4, csdr, usdr
from lib.metrics.energy_ratios import (
    ScaleInvariantDecomposition,
    improvement,
    sd_sdr,
    si_decomposition,
    si_sdr,
    si_snr,
    snr,
)
from lib.metrics.pesq import mos_lqo_to_pesq, pesq, pesq_to_mos_lqo
from lib.metrics.stoi import stoi, stoi_segment_correlation

__all__ = [
    "BSSEval",
    "BSSEvalV4",
    "ScaleInvariantDecomposition",
    "bss_eval",
    "bss_eval_v4",
    "csdr",
    "improvement",
    "mos_lqo_to_pesq",
    "pesq",
    "pesq_to_mos_lqo",
    "sd_sdr",
    "si_decomposition",
    "si_sdr",
    "si_snr",
    "snr",
    "stoi",
    "stoi_segment_correlation",
    "usdr",
]
