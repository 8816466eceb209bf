"""Losses on spectrograms and masks: ``(..., freq, frames) -> (...)``, lower is better.

With mixture X, source S, mask M and estimated magnitude A (often M |X|), ``d`` the absolute (L1) or
squared (L2) difference, and the mean over time and frequency:

===============================  ====================================================
``magnitude_loss``               d(A, abs S)
``power_loss``                   d(A^2, abs S^2)
``log_loss``                     d(log A, log abs S)
``phase_sensitive_loss``         d(A, abs S cos(angle X - angle S)), which forgives what
                                 the wrong phase would add
``signal_approximation_loss``    d(M abs X, abs S): errors count where the mixture is loud
``mask_approximation_loss``      d(M, ideal mask): every point counts alike
===============================  ====================================================

L2 fits the mean of what is possible, L1 the median. Dimensions of size 1 before the last two
broadcast.
"""

from __future__ import annotations

import torch

from lib.errors import InputError
from lib.losses.precision import check_broadcast, full_precision

DISTANCES = {
    "l1": lambda difference: difference.abs(),
    "l2": lambda difference: difference.square(),
}


@full_precision
def magnitude_loss(
    estimate: torch.Tensor, reference: torch.Tensor, distance: str = "l1"
) -> torch.Tensor:
    """Compare magnitudes.

    Args:
        estimate: ``(..., freq, frames)``, magnitudes or a complex spectrogram.
        reference: the same of the source.
        distance: ``"l1"`` or ``"l2"``.

    Returns:
        ``(...)``.

    Raises:
        InputError: if the shapes do not fit or the distance is unknown.

    Example:
        >>> magnitude_loss(torch.full((5, 4), 0.5), torch.full((5, 4), 2j), "l2").item()
        2.25
    """
    check_broadcast(estimate, reference, 2)
    return _mean_distance(_magnitude(estimate) - _magnitude(reference), distance)


@full_precision
def power_loss(
    estimate: torch.Tensor, reference: torch.Tensor, distance: str = "l1"
) -> torch.Tensor:
    """Compare powers, in which loud points count most.

    Args:
        estimate: ``(..., freq, frames)``, magnitudes or a complex spectrogram.
        reference: the same of the source.
        distance: ``"l1"`` or ``"l2"``.

    Returns:
        ``(...)``.

    Raises:
        InputError: if the shapes do not fit or the distance is unknown.

    Example:
        >>> power_loss(torch.full((5, 4), 3.0), torch.full((5, 4), 2j)).item()
        5.0
    """
    check_broadcast(estimate, reference, 2)
    powers = _magnitude(estimate).square(), _magnitude(reference).square()
    return _mean_distance(powers[0] - powers[1], distance)


@full_precision
def log_loss(
    estimate: torch.Tensor, reference: torch.Tensor, distance: str = "l1", floor: float = 1e-3
) -> torch.Tensor:
    """Compare the logarithms of magnitudes, in which soft points count like loud ones.

    Args:
        estimate: ``(..., freq, frames)``, magnitudes or a complex spectrogram.
        reference: the same of the source.
        distance: ``"l1"`` or ``"l2"``.
        floor: added to the magnitudes, so that silence has a logarithm.

    Returns:
        ``(...)``, of natural logarithms.

    Raises:
        InputError: if the shapes do not fit or the distance is unknown.

    Example:
        >>> estimate, reference = torch.full((5, 4), 10.0), torch.ones(5, 4)
        >>> round(log_loss(estimate, reference, floor=0.0).item(), 4)
        2.3026
    """
    check_broadcast(estimate, reference, 2)
    # a network without a limit at 0 may answer below it
    magnitudes = _magnitude(estimate).abs() + floor, _magnitude(reference).abs() + floor
    return _mean_distance(magnitudes[0].log() - magnitudes[1].log(), distance)


def phase_sensitive_magnitude(
    reference: torch.Tensor, mixture: torch.Tensor, kind: str = "psm"
) -> torch.Tensor:
    """Project a source on the phase of the mixture: the best real number to give that phase.

    Args:
        reference: complex ``(..., freq, frames)``.
        mixture: complex ``(..., freq, frames)``.
        kind: ``"psm"`` as it is, below zero where the source opposes the mixture; ``"npsm"`` not
            below 0; ``"tpsm"`` truncated to 0 and the mixture's magnitude, the range of a sigmoid.

    Returns:
        ``|S| cos(angle X - angle S)``, real; 0 where the mixture is 0.

    Raises:
        InputError: if the kind is unknown or a spectrogram is not complex.

    Source: H. Erdogan et al., ICASSP 2015; npsm: M. Kolbaek et al., TASLP 2017; tpsm:
    Z.-Q. Wang, J. Le Roux and J. R. Hershey, "Alternative objective functions for deep
    clustering", ICASSP 2018.

    Example:
        >>> reference, mixture = torch.full((1, 1), 3j), torch.full((1, 1), 2 + 0j)
        >>> phase_sensitive_magnitude(reference + 3, mixture).item()  # half of it is in phase
        3.0
        >>> phase_sensitive_magnitude(reference + 3, mixture, "tpsm").item()
        2.0
    """
    if kind not in ("psm", "npsm", "tpsm"):
        raise InputError(f"kind: expected one of psm, npsm, tpsm, got {kind!r}")
    for name, spectrogram in (("reference", reference), ("mixture", mixture)):
        if not spectrogram.is_complex():
            raise InputError(f"{name}: expected a complex spectrogram, got {spectrogram.dtype}")
    target = (reference * torch.sgn(mixture).conj()).real
    if kind == "psm":
        return target
    target = target.clamp_min(0.0)
    return target if kind == "npsm" else torch.minimum(target, mixture.abs())


@full_precision
def phase_sensitive_loss(
    estimate: torch.Tensor,
    reference: torch.Tensor,
    mixture: torch.Tensor,
    distance: str = "l2",
    kind: str = "psm",
) -> torch.Tensor:
    """Compare a magnitude with the part of the source that is in phase with the mixture.

    With L2 and ``"psm"`` this is, up to a constant, the error of the complex spectrogram that the
    estimate makes with the mixture's phase.

    Args:
        estimate: real ``(..., freq, frames)``.
        reference: complex ``(..., freq, frames)``.
        mixture: complex ``(..., freq, frames)``.
        distance: ``"l1"`` or ``"l2"``.
        kind: see :func:`phase_sensitive_magnitude`.

    Returns:
        ``(...)``.

    Raises:
        InputError: if the shapes do not fit, or distance or kind is unknown.

    Source: H. Erdogan, J. R. Hershey, S. Watanabe and J. Le Roux, "Phase-sensitive and
    recognition-boosted speech separation using deep recurrent neural networks", ICASSP 2015.

    Example:
        >>> reference, mixture = torch.full((5, 4), 3 + 4j), torch.full((5, 4), 2 + 0j)
        >>> phase_sensitive_loss(torch.full((5, 4), 3.0), reference, mixture).item()
        0.0
    """
    target = phase_sensitive_magnitude(reference, mixture, kind)
    return magnitude_loss(estimate, target, distance)


@full_precision
def signal_approximation_loss(
    mask: torch.Tensor, reference: torch.Tensor, mixture: torch.Tensor, distance: str = "l2"
) -> torch.Tensor:
    """Compare the masked mixture with the source, so that the mask matters where it is loud.

    Args:
        mask: real ``(..., freq, frames)``.
        reference: spectrogram or magnitudes of the source.
        mixture: spectrogram or magnitudes.
        distance: ``"l1"`` or ``"l2"``.

    Returns:
        ``(...)``.

    Raises:
        InputError: if the shapes do not fit or the distance is unknown.

    Source: F. Weninger, J. R. Hershey, J. Le Roux and B. Schuller, "Discriminatively trained
    recurrent neural networks for single-channel speech separation", GlobalSIP 2014.

    Example:
        >>> mixture = torch.full((5, 4), 4j)
        >>> signal_approximation_loss(torch.full((5, 4), 0.5), torch.ones(5, 4), mixture).item()
        1.0
    """
    return magnitude_loss(mask * _magnitude(mixture), reference, distance)


@full_precision
def mask_approximation_loss(
    mask: torch.Tensor, ideal_mask: torch.Tensor, distance: str = "l2"
) -> torch.Tensor:
    """Compare a mask with an ideal one, at every point alike.

    Args:
        mask: real ``(..., freq, frames)``.
        ideal_mask: ``(..., freq, frames)``, for example of :mod:`lib.masks`.
        distance: ``"l1"`` or ``"l2"``.

    Returns:
        ``(...)``.

    Raises:
        InputError: if the shapes do not fit or the distance is unknown.

    Source: Y. Wang, A. Narayanan and D. Wang, "On training targets for supervised speech
    separation", TASLP 22(12), 2014.

    Example:
        >>> mask_approximation_loss(torch.full((5, 4), 0.5), torch.ones(5, 4)).item()
        0.25
    """
    check_broadcast(mask, ideal_mask, 2, ("mask", "ideal_mask"))
    return _mean_distance(mask - ideal_mask, distance)


def _magnitude(spectrogram: torch.Tensor) -> torch.Tensor:
    return spectrogram.abs() if spectrogram.is_complex() else spectrogram


def _mean_distance(difference: torch.Tensor, distance: str) -> torch.Tensor:
    if distance not in DISTANCES:
        raise InputError(f"distance: expected one of {', '.join(DISTANCES)}, got {distance!r}")
    return DISTANCES[distance](difference).mean((-2, -1))
