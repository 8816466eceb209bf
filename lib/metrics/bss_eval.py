"""BSS Eval: energy ratios that forgive a short filter, versions 3 (sources) and 4 (museval).

The estimate is projected twice, by least squares: on delayed copies of its own reference, and on
delayed copies of all references. The differences between the two projections and the estimate are
interference and artifacts. One solver serves both versions: correlations by FFT; a Cholesky factor
of the Gram matrix (block Toeplitz) of each source alone; and for all sources together, conjugate
gradients that start from there. Energies are summed over the spectrum (Parseval), so nothing is
filtered in the time domain.

Silence: a silent reference scores ``nan`` and leaves the span of the others; a silent estimate of a
real reference scores ``-inf``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional

from lib.errors import InputError
from lib.metrics.energy_ratios import check_pair, double, ratio_db

_GRAM_ENTRIES = 2**24  # entries of the Gram matrices held at once: 128 MB
_ITERATIONS = 100


class BSSEval(NamedTuple):
    """Version 3, sources: each ``(..., sources)`` in dB."""

    sdr: torch.Tensor
    sir: torch.Tensor
    sar: torch.Tensor


class BSSEvalV4(NamedTuple):
    """Version 4, images: each ``(..., sources, windows)`` in dB."""

    sdr: torch.Tensor
    isr: torch.Tensor
    sir: torch.Tensor
    sar: torch.Tensor


def _fft_size(samples: int) -> int:
    """Return the next even number whose only prime factors are 2, 3 and 5."""
    size = samples + samples % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2


def _energy(spectrum: torch.Tensor) -> torch.Tensor:
    """Return n_fft times the energy of the signals that have these (even-sized) half spectra."""
    power = spectrum.real.square() + spectrum.imag.square()
    return 2 * power.sum(-1) - power[..., 0] - power[..., -1]


def _lags(
    first: torch.Tensor, second: torch.Tensor, n_fft: int, filter_length: int
) -> torch.Tensor:
    """Correlate ``(..., m, freq)`` with ``(..., n, freq)``: ``(..., m, n, 2L-1)``, lags 1-L .. L-1.

    Lag t is the sum over time of ``first[time] * second[time + t]``.
    """
    product = first.conj().unsqueeze(-2) * second.unsqueeze(-3)
    correlation = torch.fft.irfft(product, n_fft)
    return torch.cat(
        [correlation[..., n_fft - filter_length + 1 :], correlation[..., :filter_length]], -1
    )


def _block_toeplitz(lags: torch.Tensor) -> torch.Tensor:
    """Turn lags ``(..., n, n, 2L-1)`` into the Gram matrix of all delayed copies ``(..., nL, nL)``.

    Entry ``[i L + a, j L + b]`` is lag ``a - b`` of pair ``(i, j)``. The matrix is large: one pass
    over it, and views for the rest.
    """
    length = (lags.shape[-1] + 1) // 2
    windows = lags.flip(-1).unfold(-1, length, 1)  # (..., i, j, L-1-a, b)
    blocks = windows.transpose(-3, -2).flip(-3)  # (..., i, a, j, b)
    return blocks.reshape(*lags.shape[:-3], lags.shape[-3] * length, -1)


def _cholesky(gram: torch.Tensor) -> torch.Tensor:
    """Factor Gram matrices; where references are filters of each other, with the least ridge."""
    factor, failed = torch.linalg.cholesky_ex(gram.mT)  # symmetric: .mT only spares a copy
    ridge = 1e-14
    while failed.any() and ridge < 1:
        identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        mended, failed_again = torch.linalg.cholesky_ex(gram + ridge * identity)
        factor = torch.where((failed > 0)[..., None, None], mended, factor)
        failed = torch.where(failed > 0, failed_again, failed)
        ridge *= 10
    return factor


def _conjugate_gradients(
    lags: torch.Tensor, cross: torch.Tensor, own_inverse: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve the normal equations of all references without their matrix.

    Sources are nearly uncorrelated, so the equations of each source alone, which are solved
    already, are nearly the answer: as a preconditioner they leave ten to forty iterations. The
    matrix is applied by FFT.

    Args:
        lags: of all reference channels ``(..., n, n, 2L-1)``.
        cross: right-hand sides ``(..., estimates, n, L)``.
        own_inverse: inverse Gram matrix of each source ``(..., sources, n L / sources, ...)``.

    Returns:
        Filters ``(..., estimates, n, L)``, and which of ``(..., estimates)`` converged.
    """
    length = cross.shape[-1]
    size = _fft_size(2 * length)
    circular = functional.pad(lags, (0, size - lags.shape[-1])).roll(1 - length, -1)
    kernel = torch.fft.rfft(circular)
    sources = own_inverse.shape[-3]

    def multiply(filters: torch.Tensor) -> torch.Tensor:
        product = torch.einsum("...ijf,...ejf->...eif", kernel, torch.fft.rfft(filters, size))
        return torch.fft.irfft(product, size)[..., :length]

    def precondition(residual: torch.Tensor) -> torch.Tensor:
        grouped = residual.flatten(-2).unflatten(-1, (sources, -1)).transpose(-3, -2)
        return (grouped @ own_inverse).transpose(-3, -2).reshape(residual.shape)

    def inner(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first * second).sum((-2, -1), keepdim=True)

    solution = precondition(cross)
    residual = cross - multiply(solution)
    step = precondition(residual)
    error = inner(residual, step)  # energy that the projection still misses
    enough = 1e-24 * inner(cross, precondition(cross))
    direction = step
    for _ in range(_ITERATIONS):
        if (error <= enough).all():
            break
        image = multiply(direction)
        active = error > enough
        scale = torch.where(active, error / inner(direction, image), 0.0)
        solution = solution + scale * direction
        residual = residual - scale * image
        step = precondition(residual)
        previous, error = error, inner(residual, step)
        direction = step + torch.where(active, error / previous, 0.0) * direction
    # a not-a-number is no convergence either
    return solution, (error <= enough)[..., 0, 0]


def _projection_filters(
    reference: torch.Tensor, estimate: torch.Tensor, n_fft: int, filter_length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the filters that bring references nearest to each channel of each estimate.

    Args:
        reference: half spectra ``(..., sources, channels, freq)``.
        estimate: half spectra, same shape.
        n_fft: even size of their FFT, long enough that no lag below ``filter_length`` wraps.
        filter_length: L, in taps.

    Returns:
        From its own source's channels ``(..., sources, channels, channels, L)``, and from all
        ``(..., sources * channels, sources * channels, L)``; the estimate's axis comes first.
    """
    sources, channels = reference.shape[-3:-1]
    blocks = (sources, channels)
    references, estimates = reference.flatten(-3, -2), estimate.flatten(-3, -2)
    lags = _lags(references, references, n_fft, filter_length)
    cross = _lags(references, estimates, n_fft, filter_length)[..., filter_length - 1 :]
    power = lags[..., filter_length - 1].diagonal(dim1=-2, dim2=-1)  # (..., n)
    silent = power <= 0
    scale = torch.where(silent, 1.0, power).rsqrt()[..., None]  # (..., n, 1)
    lags = lags * (scale * scale.mT).unsqueeze(-1)
    # a silent reference would make the matrix singular: one on its diagonal, and its filter is zero
    diagonal = torch.diag_embed(silent.to(lags)).unsqueeze(-1)
    lags = lags + functional.pad(diagonal, (filter_length - 1, filter_length - 1))
    cross = (cross * scale.unsqueeze(-1)).transpose(-3, -2)  # (..., estimates, n, L)

    own_lags = lags.unflatten(-2, blocks).unflatten(-4, blocks)  # (..., s, c, s, c, 2L-1)
    own_lags = own_lags.diagonal(dim1=-5, dim2=-3).movedim(-1, -4)  # (..., s, c, c, 2L-1)
    own_cross = cross.unflatten(-2, blocks).unflatten(-4, blocks)  # (..., s, e, s, c, L)
    own_cross = own_cross.diagonal(dim1=-5, dim2=-3).movedim(-1, -4)  # (..., s, e, c, L)
    factor = _cholesky(_block_toeplitz(own_lags))  # (..., s, c L, c L)
    own = torch.cholesky_solve(own_cross.flatten(-2).mT, factor).mT.reshape(own_cross.shape)

    every, converged = _conjugate_gradients(lags, cross, torch.cholesky_inverse(factor))
    if not converged.all():  # correlated references: solve the whole system
        factor = _cholesky(_block_toeplitz(lags))
        dense = torch.cholesky_solve(cross.flatten(-2).mT, factor).mT.reshape(cross.shape)
        every = torch.where(converged[..., None, None], every, dense)
    return own * scale.unflatten(-2, blocks).unsqueeze(-3), every * scale.unsqueeze(-3)


def _project(filters: torch.Tensor, references: torch.Tensor, n_fft: int) -> torch.Tensor:
    """Return half spectra ``(..., estimates, freq)`` of the filtered references' sums."""
    return (torch.fft.rfft(filters, n_fft) * references.unsqueeze(-3)).sum(-2)


def _check(estimates: torch.Tensor, references: torch.Tensor, ndim: int, length: int) -> None:
    shape = "(..., sources, time)" if ndim == 2 else "(..., sources, channels, time)"
    if estimates.ndim < ndim:
        raise InputError(f"estimates: expected {shape}, got shape {tuple(estimates.shape)}")
    if int(length) != length or length < 1:
        raise InputError(f"filter_length: expected a positive integer, got {length}")


def bss_eval(
    estimates: torch.Tensor, references: torch.Tensor, filter_length: int = 512
) -> BSSEval:
    """BSS Eval version 3 for single-channel sources (``bss_eval_sources``).

    The target is the estimate's projection on ``filter_length`` delayed copies of its reference: a
    gain, a delay or an equaliser within that length costs nothing. With one tap only the gain is
    free, and the SDR is the SI-SDR.

    Args:
        estimates: ``(..., sources, time)``, estimate j belonging to reference j.
        references: same shape: all sources of the mixture.
        filter_length: taps of the allowed filter; 512 in the literature.

    Returns:
        ``BSSEval(sdr, sir, sar)``, each ``(..., sources)`` in dB; silence as in the module's text.

    Raises:
        InputError: if the shapes differ, there is no axis of sources, or ``filter_length`` is not
            positive.

    Source: E. Vincent, R. Gribonval and C. Fevotte, "Performance measurement in blind audio source
    separation", IEEE TASLP 14(4), 2006; the numbers of mir_eval's ``bss_eval_sources``.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> references = torch.randn(2, 8000, generator=generator)
        >>> delayed = references.roll(3, dims=-1)
        >>> delayed[:, :3] = 0
        >>> estimates = delayed + 0.1 * references.flip(0)
        >>> [round(score.min().item()) for score in bss_eval(estimates, references, 8)]
        [20, 20, 36]
    """
    dtype = check_pair(estimates, references)
    _check(estimates, references, 2, filter_length)
    sources, time = estimates.shape[-2:]
    batch = estimates.shape[:-2]
    n_fft = _fft_size(time + filter_length - 1)
    step = max(1, _GRAM_ENTRIES // (sources * filter_length) ** 2)
    pairs = zip(
        estimates.reshape(-1, sources, time).split(step),
        references.reshape(-1, sources, time).split(step),
        strict=True,
    )
    scores = [_ratios(double(e), double(r), n_fft, filter_length).to(dtype) for e, r in pairs]
    return BSSEval(*torch.cat(scores, dim=1).reshape(3, *batch, sources))


def _ratios(
    estimates: torch.Tensor, references: torch.Tensor, n_fft: int, filter_length: int
) -> torch.Tensor:
    """Return SDR, SIR and SAR of ``(batch, sources, time)`` as ``(3, batch, sources)``."""
    estimate = torch.fft.rfft(estimates, n_fft)  # (batch, sources, freq)
    reference = torch.fft.rfft(references, n_fft)
    alone = reference.unsqueeze(-2)  # (batch, sources, 1, freq)
    own, every = _projection_filters(alone, estimate.unsqueeze(-2), n_fft, filter_length)
    target = _project(own, alone, n_fft).squeeze(-2)
    explained = _project(every, reference, n_fft)
    energy = _energy(target)
    ratios = torch.stack(
        [
            ratio_db(energy, _energy(estimate - target)),
            ratio_db(energy, _energy(explained - target)),
            ratio_db(_energy(explained), _energy(estimate - explained)),
        ]
    )
    return torch.where((references == 0).all(-1), torch.nan, ratios)


def _window_starts(time: int, sample_rate: float, window: float, hop: float) -> tuple[range, int]:
    if not window > 0 or not hop > 0 or not sample_rate > 0:
        raise InputError(
            "sample_rate, window, hop: expected positive numbers, "
            f"got {sample_rate}, {window}, {hop}"
        )
    samples = time if math.isinf(window) else max(1, round(window * sample_rate))
    if samples >= time:
        return range(1), time
    return range(0, time - samples + 1, max(1, round(hop * sample_rate))), samples


def bss_eval_v4(
    estimates: torch.Tensor,
    references: torch.Tensor,
    sample_rate: float,
    *,
    window: float = 1.0,
    hop: float = 1.0,
    filter_length: int = 512,
) -> BSSEvalV4:
    """BSS Eval version 4, as museval computes it: images, one filter for the song, short windows.

    The filters (from every reference channel to every estimate channel) are found once for the
    whole signal, the energies in each window. The SDR does not forgive any filter: spatial error,
    interference and artifacts add up to ``estimate - reference``, so it is the plain SNR of the
    window over all channels.

    Args:
        estimates: ``(..., sources, channels, time)``.
        references: same shape.
        sample_rate: in Hz.
        window: seconds of a window; ``math.inf`` for the whole signal in one.
        hop: seconds from window to window; a last incomplete window is dropped.
        filter_length: taps of the filters.

    Returns:
        ``BSSEvalV4(sdr, isr, sir, sar)``, each ``(..., sources, windows)`` in dB. As in museval, a
        window in which any reference or any estimate is silent is ``nan`` for all sources.

    Raises:
        InputError: if the shapes differ, axes are missing, or a number is not positive.

    Source: F.-R. Stoter, A. Liutkus and N. Ito, "The 2018 signal separation evaluation campaign",
    LVA/ICA 2018; museval 0.4.1.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> references = torch.randn(2, 2, 3000, generator=generator)
        >>> scores = bss_eval_v4(references * 0.9, references, 1000, filter_length=8)
        >>> scores.sdr.round(decimals=3)
        tensor([[20., 20., 20.],
                [20., 20., 20.]])
    """
    dtype = check_pair(estimates, references)
    _check(estimates, references, 3, filter_length)
    starts, samples = _window_starts(estimates.shape[-1], sample_rate, window, hop)
    shape = estimates.shape
    items = [
        _framewise(double(e), double(r), starts, samples, filter_length).to(dtype)
        for e, r in zip(
            estimates.reshape(-1, *shape[-3:]), references.reshape(-1, *shape[-3:]), strict=True
        )
    ]
    return BSSEvalV4(*torch.stack(items, dim=1).reshape(4, *shape[:-3], shape[-3], len(starts)))


def _framewise(
    estimates: torch.Tensor, references: torch.Tensor, starts: range, samples: int, length: int
) -> torch.Tensor:
    """Score ``(sources, channels, time)``; return ``(4, sources, windows)``."""
    sources, channels, time = estimates.shape
    n_fft = _fft_size(time + length - 1)
    estimate, reference = torch.fft.rfft(estimates, n_fft), torch.fft.rfft(references, n_fft)
    own, every = _projection_filters(reference, estimate, n_fft, length)
    n_fft = _fft_size(samples + length - 1)
    own, every = torch.fft.rfft(own, n_fft), torch.fft.rfft(every, n_fft)
    windows = []
    for start in starts:
        heard = estimates[..., start : start + samples]
        true = references[..., start : start + samples]
        silent = (heard == 0).all(-1).all(-1).any() | (true == 0).all(-1).all(-1).any()
        heard, true = torch.fft.rfft(heard, n_fft), torch.fft.rfft(true, n_fft)
        filtered = torch.einsum("secf,scf->sef", own, true)
        explained = torch.einsum("ekf,kf->ef", every, true.flatten(0, 1)).view_as(true)
        energy = [
            _energy(spectrum).sum(-1)
            for spectrum in (
                true,
                filtered,
                explained,
                heard - true,
                filtered - true,
                explained - filtered,
                heard - explained,
            )
        ]
        ratios = torch.stack(
            [
                ratio_db(energy[0], energy[3]),
                ratio_db(energy[0], energy[4]),
                ratio_db(energy[1], energy[5]),
                ratio_db(energy[2], energy[6]),
            ]
        )
        windows.append(torch.where(silent, torch.nan, ratios))
    return torch.stack(windows, dim=-1)


def _median(values: torch.Tensor) -> torch.Tensor:
    """Median over the last axis without ``nan``; torch's own takes the lower of the middle two."""
    ordered = values.sort(-1).values  # nan comes last
    count = values.isnan().logical_not().sum(-1, keepdim=True)
    low = ordered.gather(-1, (count - 1).clamp_min(0) // 2)
    high = ordered.gather(-1, (count // 2).clamp_max(values.shape[-1] - 1))
    return torch.where(low == high, low, (low + high) / 2).squeeze(-1)


def csdr(
    estimates: torch.Tensor,
    references: torch.Tensor,
    sample_rate: float,
    *,
    window: float = 1.0,
    hop: float = 1.0,
) -> torch.Tensor:
    """Chunk-level SDR of a song: the median of the version-4 SDR over its windows.

    It needs no filters, because that SDR is the SNR of the window. A data set's figure is the
    median of this over its songs (SiSEC 2018).

    Args:
        estimates: ``(..., sources, channels, time)``.
        references: same shape.
        sample_rate: in Hz.
        window: seconds of a window.
        hop: seconds from window to window.

    Returns:
        ``(..., sources)`` in dB; windows in which any source or estimate is silent do not count,
        and without any other window the result is ``nan``.

    Raises:
        InputError: if the shapes differ, axes are missing, or a number is not positive.

    Source: Stoter et al., LVA/ICA 2018.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> references = torch.randn(2, 2, 3000, generator=generator)
        >>> csdr(references * 0.9, references, sample_rate=1000).round(decimals=3)
        tensor([20., 20.])
    """
    dtype = check_pair(estimates, references)
    _check(estimates, references, 3, 1)
    starts, samples = _window_starts(estimates.shape[-1], sample_rate, window, hop)
    windows = []
    for start in starts:
        heard = double(estimates[..., start : start + samples]).flatten(-2)
        true = double(references[..., start : start + samples]).flatten(-2)
        silent = ((heard == 0).all(-1) | (true == 0).all(-1)).any(-1, keepdim=True)
        ratio = ratio_db(true.square().sum(-1), (heard - true).square().sum(-1))
        windows.append(torch.where(silent, torch.nan, ratio))
    return _median(torch.stack(windows, -1)).to(dtype)


def usdr(estimate: torch.Tensor, reference: torch.Tensor, *, epsilon: float = 1e-7) -> torch.Tensor:
    """Utterance-level SDR of a song: its SNR over all channels and all time, with an epsilon.

    A data set's figure is the mean of this over its songs (Music Demixing Challenge 2021).

    Args:
        estimate: ``(..., channels, time)``.
        reference: same shape.
        epsilon: added to both energies, so that two silent signals score 0 dB.

    Returns:
        ``(...)`` in dB.

    Raises:
        InputError: if the shapes differ or the axis of channels is missing.

    Source: Y. Mitsufuji et al., "Music Demixing Challenge 2021", Frontiers in Signal Processing,
    2022, eq. 1.

    Example:
        >>> reference = torch.ones(2, 1000)
        >>> round(usdr(0.9 * reference, reference).item(), 3)
        20.0
    """
    dtype = check_pair(estimate, reference)
    if estimate.ndim < 2:
        raise InputError(
            f"estimate: expected (..., channels, time), got shape {tuple(estimate.shape)}"
        )
    estimate, reference = double(estimate), double(reference)
    signal = reference.square().sum((-2, -1)) + epsilon
    error = (estimate - reference).square().sum((-2, -1)) + epsilon
    return ratio_db(signal, error).to(dtype)
