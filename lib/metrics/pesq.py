"""PESQ through its package, and the two maps between its raw score and MOS-LQO."""

from __future__ import annotations

import math

import torch

from lib.errors import InputError, require_package
from lib.metrics.energy_ratios import check_pair

# slope and offset of the logistic maps: P.862.1 (narrow band), P.862.2 (wide band)
_MAPS = {"nb": (-1.4945, 4.6607), "wb": (-1.3669, 3.8224)}
_LOWEST, _SPAN = 0.999, 4.0


def _map(mode: str) -> tuple[float, float]:
    if mode not in _MAPS:
        raise InputError(f"mode: expected 'wb' (wide band) or 'nb' (narrow band), got {mode!r}")
    return _MAPS[mode]


def pesq_to_mos_lqo(raw: torch.Tensor | float, mode: str = "wb") -> torch.Tensor:
    """Map a raw PESQ score to the scale of listeners, MOS-LQO.

    Args:
        raw: raw P.862 scores, any shape, nominally in [-0.5, 4.5].
        mode: "nb" for P.862.1, "wb" for P.862.2; the same raw score gives two different values.

    Returns:
        MOS-LQO, same shape: ``0.999 + 4 / (1 + exp(a * raw + b))``.

    Raises:
        InputError: for another mode.

    Source: ITU-T P.862.1, 2003; P.862.2, 2007.

    Example:
        >>> pesq_to_mos_lqo(torch.tensor([-0.5, 4.5]), "nb").round(decimals=3)
        tensor([1.0170, 4.5490])
        >>> pesq_to_mos_lqo(torch.tensor([-0.5, 4.5]), "wb").round(decimals=3)
        tensor([1.0430, 4.6440])
    """
    slope, offset = _map(mode)
    raw = torch.as_tensor(raw)
    return _LOWEST + _SPAN / (1 + torch.exp(slope * raw + offset))


def mos_lqo_to_pesq(mos_lqo: torch.Tensor | float, mode: str = "wb") -> torch.Tensor:
    """Undo :func:`pesq_to_mos_lqo`.

    Args:
        mos_lqo: any shape, in (0.999, 4.999).
        mode: "nb" or "wb", as the values were made.

    Returns:
        Raw scores, same shape; ``nan`` outside the range of the map.

    Raises:
        InputError: for another mode.

    Example:
        >>> mos_lqo_to_pesq(pesq_to_mos_lqo(2.5, "nb"), "nb").round(decimals=3)
        tensor(2.5000)
    """
    slope, offset = _map(mode)
    mos_lqo = torch.as_tensor(mos_lqo)
    return (torch.log(_SPAN / (mos_lqo - _LOWEST) - 1) - offset) / slope


def pesq(
    estimate: torch.Tensor,
    reference: torch.Tensor,
    sample_rate: int,
    mode: str = "wb",
    raw: bool = False,
) -> torch.Tensor:
    """Perceptual evaluation of speech quality, an estimate of what listeners would say.

    It aligns level and delay by itself, so gain and a constant shift cost nothing. It is neither
    differentiable nor free of surprises outside telephone-like distortions.

    Args:
        estimate: ``(..., time)``, processed speech.
        reference: same shape, the clean speech.
        sample_rate: 8000 (narrow band only) or 16000 Hz.
        mode: "wb" (P.862.2, up to 7 kHz) or "nb" (P.862.1, telephone band). Their values are not
            comparable.
        raw: return the raw P.862 score in place of MOS-LQO.

    Returns:
        ``(...)`` on the CPU: MOS-LQO between 1.04 and 4.64 (wb) or 1.02 and 4.55 (nb); ``nan``
        where a signal is silent or PESQ finds no utterance.

    Raises:
        InputError: if the shapes differ, a signal is not valid or shorter than a quarter of a
            second, or rate or mode is not one of PESQ's.
        MissingPackageError: if the package ``pesq`` is not installed.

    Source: A. Rix et al., "Perceptual evaluation of speech quality (PESQ)", ICASSP 2001; ITU-T
    P.862, computed by the package ``pesq``.

    Example:
        >>> noise = torch.randn(16000, generator=torch.Generator().manual_seed(0))
        >>> speech = noise * torch.sin(torch.arange(16000) / 2000).clamp_min(0)
        >>> round(pesq(speech, speech, 16000).item(), 2)
        4.64
    """
    dtype = check_pair(estimate, reference)
    _map(mode)
    if sample_rate not in (8000, 16000):
        raise InputError(
            f"sample_rate: expected 8000 or 16000 Hz, got {sample_rate}; "
            "use lib.audio.resample on both signals first"
        )
    if sample_rate == 8000 and mode == "wb":
        raise InputError("mode: expected 'nb' at 8000 Hz, got 'wb', which needs 16000 Hz")
    time = reference.shape[-1]
    if time < sample_rate // 4:
        raise InputError(
            f"estimate: expected at least a quarter of a second for PESQ, got {time} samples"
        )
    package = require_package("pesq", "the PESQ metric")
    pairs = zip(
        estimate.detach().cpu().float().reshape(-1, time).numpy(),
        reference.detach().cpu().float().reshape(-1, time).numpy(),
        strict=True,
    )
    scores = []
    for degraded, clean in pairs:
        if not degraded.any() or not clean.any():
            scores.append(math.nan)
            continue
        try:
            scores.append(package.pesq(sample_rate, clean, degraded, mode))
        except package.NoUtterancesError:
            scores.append(math.nan)
    result = torch.tensor(scores, dtype=torch.float64)
    if raw:
        result = mos_lqo_to_pesq(result, mode)
    return result.reshape(reference.shape[:-1]).to(dtype)
