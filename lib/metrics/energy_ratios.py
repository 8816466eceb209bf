"""Energy ratios without filters: SNR, SI-SDR and relatives, and what they say about silence.

All take ``(estimate, reference)`` shaped ``(..., time)``, compute in float64 and return dB per
item. Silence has one convention, so that a batch never raises:

====================================  ========================================
silent reference                      ``nan``: there was nothing to find
silent estimate of a real reference   SI-SDR ``-inf``; SNR and SD-SDR 0 dB, as
                                      their formulas say
perfect estimate                      ``+inf``, or some 300 dB of rounding
====================================  ========================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from lib.errors import InputError, check_same_shape, check_signal


def check_pair(estimate: torch.Tensor, reference: torch.Tensor) -> torch.dtype:
    """Check what a metric is given; return the dtype of its result.

    Args:
        estimate: ``(..., time)``.
        reference: same shape.

    Raises:
        InputError: if a signal is not valid or the shapes differ.

    Example:
        >>> check_pair(torch.zeros(2, dtype=torch.float16), torch.zeros(2))
        torch.float32
    """
    check_signal(estimate, "estimate")
    check_signal(reference, "reference")
    check_same_shape(estimate, reference, ("estimate", "reference"))
    dtype = torch.promote_types(estimate.dtype, reference.dtype)
    return torch.promote_types(dtype, torch.float32)


def double(signal: torch.Tensor) -> torch.Tensor:
    """Return a signal in float64, or in float32 on a device (mps) that has no float64.

    Args:
        signal: any shape.

    Example:
        >>> double(torch.zeros(1)).dtype
        torch.float64
    """
    return signal.float() if signal.device.type == "mps" else signal.double()


def ratio_db(numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """Return ``10 log10(numerator / denominator)`` with defined values and gradients at zero.

    Args:
        numerator: energies, not negative.
        denominator: energies, not negative.

    Returns:
        dB: ``-inf`` where the numerator is 0, else ``+inf`` where the denominator is 0. There the
        gradient is 0, so that one silent item does not spoil a batch.

    Example:
        >>> ratio_db(torch.tensor([100.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 1.0, 0.0]))
        tensor([20., inf, -inf, -inf])
    """
    usable = (numerator > 0) & (denominator > 0)
    decibels = 10 * torch.log10(
        torch.where(usable, numerator, 1.0) / torch.where(usable, denominator, 1.0)
    )
    limit = torch.where(numerator > 0, torch.inf, -torch.inf).to(decibels)
    return torch.where(usable, decibels, limit)


def _energy(signal: torch.Tensor) -> torch.Tensor:
    return signal.square().sum(-1)


def _remove_mean(signal: torch.Tensor) -> torch.Tensor:
    centred = signal - signal.mean(-1, keepdim=True)
    # a constant leaves rounding errors, which are no signal
    rounding = centred.square().mean(-1, keepdim=True) <= 1e-28 * signal.square().mean(
        -1, keepdim=True
    )
    return torch.where(rounding, 0.0, centred)


def _undefined_if_silent(
    decibels: torch.Tensor, reference: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    return torch.where((reference == 0).all(-1), torch.nan, decibels).to(dtype)


def _projection(estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    energy = _energy(reference)
    scale = (estimate * reference).sum(-1) / torch.where(energy > 0, energy, 1.0)
    return scale.unsqueeze(-1) * reference


def snr(
    estimate: torch.Tensor, reference: torch.Tensor, *, zero_mean: bool = False
) -> torch.Tensor:
    """Signal-to-noise ratio: everything in which the estimate differs is noise, its gain included.

    Args:
        estimate: ``(..., time)``.
        reference: same shape.
        zero_mean: remove the means first.

    Returns:
        ``(...)`` in dB, ``10 log10(||s||^2 / ||s_hat - s||^2)``; silence as in the module's table.

    Raises:
        InputError: if the shapes differ or a signal is not valid.

    Example:
        >>> reference = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> round(snr(0.9 * reference, reference).item(), 3)
        20.0
    """
    dtype = check_pair(estimate, reference)
    estimate, reference = double(estimate), double(reference)
    if zero_mean:
        estimate, reference = _remove_mean(estimate), _remove_mean(reference)
    decibels = ratio_db(_energy(reference), _energy(estimate - reference))
    return _undefined_if_silent(decibels, reference, dtype)


def si_sdr(
    estimate: torch.Tensor, reference: torch.Tensor, *, zero_mean: bool = False
) -> torch.Tensor:
    """Scale-invariant signal-to-distortion ratio: the estimate is first projected on the reference.

    With ``alpha = <s_hat, s> / ||s||^2`` it is ``10 log10(||alpha s||^2 / ||s_hat - alpha s||^2)``,
    which equals ``10 log10(rho^2 / (1 - rho^2))`` with rho the correlation coefficient. The
    projection gives the invariance to gain (and to sign); removing means only adds invariance to a
    constant offset.

    Args:
        estimate: ``(..., time)``.
        reference: same shape.
        zero_mean: remove the means first; then this is the SI-SNR.

    Returns:
        ``(...)`` in dB; silence as in the module's table.

    Raises:
        InputError: if the shapes differ or a signal is not valid.

    Source: J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, eq. 5.

    Example:
        >>> reference = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> estimate = reference + torch.tensor([0.1, 0.1, -0.1, -0.1])
        >>> [round(si_sdr(gain * estimate, reference).item(), 3) for gain in (1, 7)]
        [20.0, 20.0]
    """
    dtype = check_pair(estimate, reference)
    estimate, reference = double(estimate), double(reference)
    if zero_mean:
        estimate, reference = _remove_mean(estimate), _remove_mean(reference)
    target = _projection(estimate, reference)
    decibels = ratio_db(_energy(target), _energy(estimate - target))
    return _undefined_if_silent(decibels, reference, dtype)


def si_snr(
    estimate: torch.Tensor, reference: torch.Tensor, *, zero_mean: bool = True
) -> torch.Tensor:
    """Scale-invariant signal-to-noise ratio: :func:`si_sdr` of signals without their means.

    Args:
        estimate: ``(..., time)``.
        reference: same shape.
        zero_mean: remove the means first, as the definition wants.

    Returns:
        ``(...)`` in dB; silence as in the module's table, where a constant counts as silent.

    Raises:
        InputError: if the shapes differ or a signal is not valid.

    Source: Y. Luo and N. Mesgarani, "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019, eq. 15.

    Example:
        >>> reference = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> estimate = reference + torch.tensor([0.1, 0.1, -0.1, -0.1])
        >>> round(si_snr(estimate + 5.0, reference).item(), 3)
        20.0
    """
    return si_sdr(estimate, reference, zero_mean=zero_mean)


def sd_sdr(
    estimate: torch.Tensor, reference: torch.Tensor, *, zero_mean: bool = False
) -> torch.Tensor:
    """Scale-dependent SDR: the SI-SDR's target, but a wrong gain counts as an error.

    Args:
        estimate: ``(..., time)``.
        reference: same shape.
        zero_mean: remove the means first.

    Returns:
        ``(...)`` in dB, ``10 log10(||alpha s||^2 / ||s_hat - s||^2)``. A silent estimate has
        ``alpha = 0`` and scores ``-inf``; otherwise silence is as in the module's table.

    Raises:
        InputError: if the shapes differ or a signal is not valid.

    Source: J. Le Roux et al., ICASSP 2019, eq. 9.

    Example:
        >>> reference = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> round(sd_sdr(0.5 * reference, reference).item(), 3)
        0.0
    """
    dtype = check_pair(estimate, reference)
    estimate, reference = double(estimate), double(reference)
    if zero_mean:
        estimate, reference = _remove_mean(estimate), _remove_mean(reference)
    target = _projection(estimate, reference)
    decibels = ratio_db(_energy(target), _energy(estimate - reference))
    return _undefined_if_silent(decibels, reference, dtype)


class ScaleInvariantDecomposition(NamedTuple):
    """SI-SDR and the two ratios into which its error splits, each ``(..., sources)`` in dB."""

    si_sdr: torch.Tensor
    si_sir: torch.Tensor
    si_sar: torch.Tensor


def si_decomposition(
    estimates: torch.Tensor, references: torch.Tensor, *, zero_mean: bool = False
) -> ScaleInvariantDecomposition:
    """Split the error of the SI-SDR into interference and artifacts, orthogonal to each other.

    The estimate is projected on its reference (target), then on the span of all references; the
    difference of the two projections is the interference, the rest is artifacts. Hence, in power,
    ``1 / SDR = 1 / SIR + 1 / SAR`` exactly.

    Args:
        estimates: ``(..., sources, time)``, estimate j belonging to reference j.
        references: same shape: all sources of the mixture.
        zero_mean: remove the means first.

    Returns:
        ``ScaleInvariantDecomposition(si_sdr, si_sir, si_sar)``, each ``(..., sources)`` in dB;
        silence as in the module's table.

    Raises:
        InputError: if the shapes differ, or there is no axis of sources.

    Source: J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, section 2.3.

    Example:
        >>> references = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
        >>> leak = 0.1 * references.flip(0)
        >>> artifact = 0.01 * torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> scores = si_decomposition(references + leak + artifact, references)
        >>> [round(score[0].item(), 2) for score in scores]
        [19.91, 20.0, 36.99]
    """
    dtype = check_pair(estimates, references)
    if estimates.ndim < 2:
        raise InputError(
            f"estimates: expected (..., sources, time), got shape {tuple(estimates.shape)}"
        )
    estimates, references = double(estimates), double(references)
    if zero_mean:
        estimates, references = _remove_mean(estimates), _remove_mean(references)
    target = _projection(estimates, references)
    # orthonormal basis of the references; equal or silent ones add no direction
    energy = _energy(references).unsqueeze(-1)
    unit = references / torch.where(energy > 0, energy, 1.0).sqrt()
    weights = torch.linalg.pinv(unit @ unit.mT, rtol=1e-12, hermitian=True)  # (..., src, src)
    explained = (estimates @ unit.mT) @ weights @ unit  # (..., sources, time)
    ratios = (
        ratio_db(_energy(target), _energy(error))
        for error in (estimates - target, explained - target, estimates - explained)
    )
    return ScaleInvariantDecomposition(
        *(_undefined_if_silent(ratio, references, dtype) for ratio in ratios)
    )


def improvement(
    metric: Callable[..., torch.Tensor],
    estimate: torch.Tensor,
    mixture: torch.Tensor,
    reference: torch.Tensor,
    **keywords,
) -> torch.Tensor:
    """Return how much better the estimate scores than the unprocessed mixture.

    Args:
        metric: any metric ``(estimate, reference, **keywords)``; one with several fields, such as
            :func:`lib.metrics.bss_eval`, gives the improvement of each field.
        estimate: ``(..., time)``.
        mixture: broadcasts to ``estimate``: ``(..., 1, time)`` beside ``(..., sources, time)``.
        reference: same shape as ``estimate``.
        keywords: passed on to the metric.

    Returns:
        What the metric returns, as a difference.

    Raises:
        InputError: if the mixture does not broadcast to the reference, or as the metric does.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> reference, noise = torch.randn(2, 8000, generator=generator)
        >>> round(improvement(snr, reference + noise / 10, reference + noise, reference).item(), 3)
        20.0
    """
    check_signal(mixture, "mixture")
    check_pair(estimate, reference)
    try:
        mixture = mixture.expand_as(reference)
    except RuntimeError:
        raise InputError(
            f"mixture: expected a shape that broadcasts to {tuple(reference.shape)}, "
            f"got {tuple(mixture.shape)}; add an axis where the sources stand"
        ) from None
    after = metric(estimate, reference, **keywords)
    before = metric(mixture, reference, **keywords)
    if isinstance(after, tuple):
        return type(after)(*(a - b for a, b in zip(after, before, strict=True)))
    return after - before
