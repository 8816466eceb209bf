"""Losses on waveforms: ``(..., time) -> (...)``, lower is better, nothing averaged over items.

The two need not have one shape: dimensions of size 1 before the last broadcast.

Silence has defined values and gradients. A silent reference gives no ratio to improve: its loss is
0 dB and has no gradient. A silent estimate of a real reference has the largest loss of SI-SNR,
80 dB, also without a gradient, as no direction is better than another; SNR calls it 0 dB and has
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.autograd.function import once_differentiable

from lib.errors import InputError
from lib.losses.precision import check_broadcast, full_precision
from lib.metrics.energy_ratios import double
from lib.stft import STFT, make_window

# SI-SNR is kept within 80 dB; a mean removed in float32 leaves 1e-7 of it behind
_SMALLEST_SHARE = 1e-8
_ROUNDING = 1e-12
# of both signals: what a CPU's cache holds in float64, in pieces that are worth a call
_NUMBERS_AT_ONCE = 2**16
_SHORTEST_PIECE = 256
# power of a time-frequency point below which the logarithm does not look
_SMALLEST_POWER = 1e-7


@full_precision
def si_snr_loss(
    estimate: torch.Tensor,
    reference: torch.Tensor,
    zero_mean: bool = True,
    silence_db: float = -120.0,
    max_db: float | None = None,
) -> torch.Tensor:
    """Negative scale-invariant signal-to-noise ratio.

    Args:
        estimate: ``(..., time)``.
        reference: ``(..., time)``.
        zero_mean: remove the means first.
        silence_db: mean power, in dB re 1, below which a signal counts as silent.
        max_db: soft threshold: the ratio saturates there, so that items that are already good stop
            pulling. None for none.

    Returns:
        ``(...)`` in dB: ``-10 log10(||a s||^2 / (||s_hat - a s||^2 + tau ||a s||^2))`` with
        ``a = <s_hat, s> / ||s||^2`` and ``tau = 10^(-max_db / 10)``; within 80 dB of zero. Silence
        as the module says.

    Raises:
        InputError: if the shapes do not fit.

    Source: Y. Luo and N. Mesgarani, "TasNet", ICASSP 2018; the threshold: S. Wisdom
    et al., "Unsupervised sound separation using mixture invariant training", NeurIPS 2020.

    Example:
        >>> reference = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> noise = torch.tensor([0.1, 0.1, -0.1, -0.1])
        >>> round(si_snr_loss(3 * (reference + noise), reference).item(), 3)
        -20.0
        >>> si_snr_loss(reference, torch.zeros(4)).item()
        0.0
    """
    check_broadcast(estimate, reference)
    dtype = torch.promote_types(estimate.dtype, reference.dtype)
    length = estimate.shape[-1]
    *sums, estimate_energy, reference_energy, correlation = _Sums.apply(
        estimate.to(dtype), reference.to(dtype)
    )
    means = [one / length if zero_mean else torch.zeros_like(one) for one in sums]
    estimate_energy, silent_estimate = _energy(estimate_energy, means[0], length, silence_db)
    reference_energy, silent_reference = _energy(reference_energy, means[1], length, silence_db)
    silent = silent_estimate | silent_reference
    energies = torch.where(silent, 1.0, estimate_energy * reference_energy)
    correlation = correlation - length * means[0] * means[1]
    # share of the estimate's energy that lies along the reference
    target = correlation.square() / energies
    target = torch.where(silent, 0.0, target)
    noise = (1 - target).clamp_min(0.0) + _threshold(max_db) * target
    loss = 10 * torch.log10((noise + _SMALLEST_SHARE) / (target + _SMALLEST_SHARE))
    return torch.where(silent_reference, 0.0, loss).to(dtype)


@full_precision
def snr_loss(
    estimate: torch.Tensor,
    reference: torch.Tensor,
    silence_db: float = -120.0,
    max_db: float | None = 80.0,
) -> torch.Tensor:
    """Negative signal-to-noise ratio: the level counts too.

    Args:
        estimate: ``(..., time)``.
        reference: ``(..., time)``.
        silence_db: mean power, in dB re 1, below which a reference counts as silent.
        max_db: soft threshold: the ratio saturates there.

    Returns:
        ``(...)`` in dB: ``-10 log10(||s||^2 / (||s_hat - s||^2 + tau ||s||^2))`` with
        ``tau = 10^(-max_db / 10)``. Silence as the module says.

    Raises:
        InputError: if the shapes do not fit.

    Source: S. Wisdom et al., NeurIPS 2020.

    Example:
        >>> reference = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> round(snr_loss(0.9 * reference, reference).item(), 3)
        -20.0
    """
    check_broadcast(estimate, reference)
    dtype = torch.promote_types(estimate.dtype, reference.dtype)
    _, _, estimate_energy, energy, correlation = _Sums.apply(
        estimate.to(dtype), reference.to(dtype)
    )
    energy, silent = _energy(energy, torch.zeros_like(energy), reference.shape[-1], silence_db)
    error = estimate_energy - 2 * correlation + energy  # ||s_hat - s||^2
    noise = error.clamp_min(0.0) / torch.where(silent, 1.0, energy)
    loss = 10 * torch.log10(noise + max(_threshold(max_db), _SMALLEST_SHARE))
    return torch.where(silent, 0.0, loss).to(dtype)


@full_precision
def l1_loss(estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Mean absolute error over time.

    Args:
        estimate: ``(..., time)``.
        reference: ``(..., time)``.

    Returns:
        ``(...)``, in the unit of the signals.

    Raises:
        InputError: if the shapes do not fit.

    Example:
        >>> l1_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])).item()
        2.0
    """
    check_broadcast(estimate, reference)
    return (estimate - reference).abs().mean(-1)


@full_precision
def l2_loss(estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Mean squared error over time.

    Args:
        estimate: ``(..., time)``.
        reference: ``(..., time)``.

    Returns:
        ``(...)``, in the squared unit of the signals.

    Raises:
        InputError: if the shapes do not fit.

    Example:
        >>> l2_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])).item()
        5.0
    """
    check_broadcast(estimate, reference)
    return (estimate - reference).square().mean(-1)


@full_precision
def multi_resolution_stft_loss(
    estimate: torch.Tensor,
    reference: torch.Tensor,
    n_fft: Sequence[int] = (512, 1024, 2048),
    hop_length: Sequence[int] = (50, 120, 240),
    window_length: Sequence[int] = (240, 600, 1200),
) -> torch.Tensor:
    """Compare magnitudes at several resolutions: spectral convergence plus log magnitude.

    No resolution shows both when and at what frequency; an error must hide from all of them. The
    phase is free, even the sign: add a loss on the waveform where that matters.

    Args:
        estimate: ``(..., time)``.
        reference: ``(..., time)``.
        n_fft: FFT sizes, by default those of the paper and of the Demucs denoiser.
        hop_length: samples between frames, one for each size.
        window_length: samples of the Hann windows, one for each size.

    Returns:
        ``(...)``: mean over resolutions of ``|| |S| - |S_hat| || / || |S| ||`` plus the mean of
        ``|log |S| - log |S_hat||``. Powers are raised to at least 1e-7, so silence is defined.

    Raises:
        InputError: if the shapes or the number of settings differ.

    Source: R. Yamamoto, E. Song and J.-M. Kim, "Parallel WaveGAN", ICASSP 2020; frames beyond the
    ends see zeros here.

    Example:
        >>> reference = torch.sin(0.1 * torch.arange(4000.0))
        >>> multi_resolution_stft_loss(-reference, reference).item()
        0.0
        >>> bool(multi_resolution_stft_loss(0.5 * reference, reference) > 0.5)
        True
    """
    check_broadcast(estimate, reference)
    if not len(n_fft) == len(hop_length) == len(window_length) >= 1:
        raise InputError(
            "n_fft, hop_length, window_length: expected equally many, got "
            f"{len(n_fft)}, {len(hop_length)}, {len(window_length)}"
        )
    losses = []
    for size, hop, length in zip(n_fft, hop_length, window_length, strict=True):
        stft = STFT(size, hop, make_window("hann", length))
        ours, truth = (_bounded_magnitude(stft(one)) for one in (estimate, reference))
        error = torch.linalg.vector_norm(truth - ours, dim=(-2, -1))
        convergence = error / torch.linalg.vector_norm(truth, dim=(-2, -1))
        losses.append(convergence + (truth.log() - ours.log()).abs().mean((-2, -1)))
    return torch.stack(losses).mean(0)


def _bounded_magnitude(spectrogram: torch.Tensor) -> torch.Tensor:
    power = spectrogram.real.square() + spectrogram.imag.square()
    return power.clamp_min(_SMALLEST_POWER).sqrt()


def _energy(
    energy: torch.Tensor, mean: torch.Tensor, length: int, silence_db: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the mean out of an energy; say whether what is left counts as silence."""
    offset = mean.square()
    energy = energy - length * offset
    return energy, energy <= length * (10 ** (silence_db / 10) + _ROUNDING * offset)


class _Sums(torch.autograd.Function):
    """What the ratios need of two signals: their sums, energies and inner product, in float64.

    A CPU goes through the signals in pieces that fit its cache, and the gradient is written out:
    to move whole batches in float64 through memory takes longer than to add them up.
    """

    @staticmethod
    def forward(ctx, estimate: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(estimate, reference)
        parts = [_sums(*pieces) for pieces in _pieces(estimate, reference)]
        return tuple(sum(part) for part in zip(*parts, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        needed = ctx.needs_input_grad
        signals = [
            one.detach().requires_grad_(need)
            for one, need in zip(ctx.saved_tensors, needed, strict=True)
        ]
        *by_sum, by_first, by_second, by_inner = (g.to(signals[0].dtype) for g in gradients)
        with torch.enable_grad():
            inner = _inner(*signals)  # autograd knows how dimensions broadcast
        wanted = [one for one in signals if one.requires_grad]
        found = iter(torch.autograd.grad(inner, wanted, by_inner))
        slopes: list[torch.Tensor | None] = []
        for signal, by_energy, by_total in zip(signals, (by_first, by_second), by_sum, strict=True):
            slope = next(found) if signal.requires_grad else None
            if slope is not None:
                slope.addcmul_(signal, 2 * by_energy[..., None]).add_(by_total[..., None])
            slopes.append(slope)
        return tuple(slopes)


def _pieces(
    estimate: torch.Tensor, reference: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    length = max(1, estimate.shape[-1])
    if estimate.device.type == "cpu":
        rows = max(1, estimate.numel() // length)
        length = min(length, max(_SHORTEST_PIECE, _NUMBERS_AT_ONCE // rows))
    return zip(estimate.split(length, -1), reference.split(length, -1), strict=True)


def _sums(estimate: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, ...]:
    estimate, reference = double(estimate), double(reference)
    energies = [_inner(one, one) for one in (estimate, reference)]
    return estimate.sum(-1), reference.sum(-1), *energies, _inner(estimate, reference)


def _inner(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    # all pairs of many signals become one matrix product, without a copy for each pair
    return torch.einsum("...t,...t->...", first, second)


def _threshold(max_db: float | None) -> float:
    return 0.0 if max_db is None else 10 ** (-max_db / 10)
