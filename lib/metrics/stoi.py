"""STOI, the short-time objective intelligibility, written out stage by stage.

Both signals are resampled to 10 kHz, the frames in which the reference is silent are cut out, the
rest becomes 15 one-third-octave bands, and in every 384 ms of every band the two envelopes are
correlated. STOI is the mean of these correlations; so it lies in [-1, 1], not in [0, 1].

Source: C. Taal, R. Hendriks, R. Heusdens and J. Jensen, "An algorithm for intelligibility
prediction of time-frequency weighted noisy speech", IEEE TASLP 19(7), 2011. Details that the paper
leaves open (resampling filter, last frame) follow the authors' Matlab code as pystoi has it.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from lib.errors import check_rate, check_same_shape, check_signal
from lib.metrics.energy_ratios import check_pair, double

RATE = 10_000  # Hz at which STOI is defined
FRAME = 256  # samples of a frame, half of which is the hop
N_FFT = 512
BANDS = 15
LOWEST_CENTRE = 150.0  # Hz
SEGMENT = 30  # frames of a segment: 384 ms
DYNAMIC_RANGE_DB = 40.0  # frames further below the loudest are silent
CLIP_DB = -15.0  # lowest signal-to-distortion ratio that a band may show
_EPSILON = 2.0**-52


def _hann(signal: torch.Tensor) -> torch.Tensor:
    """Return a Hann window of ``FRAME`` samples without the zeros at its ends."""
    index = torch.arange(1, FRAME + 1, dtype=signal.dtype, device=signal.device)
    return 0.5 - 0.5 * torch.cos(2 * math.pi * index / (FRAME + 1))


def _frames(signal: torch.Tensor) -> torch.Tensor:
    """Cut ``(time,)`` into windowed frames ``(frames, FRAME)``; the last exact fit is left out."""
    hop = FRAME // 2
    count = max(0, -(-(signal.shape[-1] - FRAME) // hop))
    if count == 0:
        return signal.new_zeros(0, FRAME)
    return signal.unfold(-1, FRAME, hop)[:count] * _hann(signal)


def resample_to_10k(signal: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Resample as Octave does, which is what published STOI values rest on.

    Args:
        signal: ``(..., time)``.
        sample_rate: in Hz.

    Returns:
        ``(..., ceil(time * 10000 / sample_rate))``.

    Raises:
        InputError: if ``signal`` is not valid or ``sample_rate`` is no positive integer.

    Example:
        >>> resample_to_10k(torch.zeros(2, 16001), 16000).shape
        torch.Size([2, 10001])
    """
    check_signal(signal, "signal")
    sample_rate = check_rate(sample_rate)
    divisor = math.gcd(RATE, sample_rate)
    up, down = RATE // divisor, sample_rate // divisor
    if up == down:
        return signal
    cutoff = 1 / (2 * max(up, down))
    rejection_db = 60.0
    half = math.ceil((rejection_db - 8) / (28.714 * cutoff / 10))
    time = torch.arange(-half, half + 1, dtype=torch.float64)
    window = torch.kaiser_window(
        2 * half + 1, periodic=False, beta=0.1102 * (rejection_db - 8.7), dtype=torch.float64
    )
    taps = window * torch.sinc(2 * cutoff * time)
    taps = up * taps / taps.sum()
    # output m * up + r takes input m * down + j with tap half + r * down - j * up
    first, last = -(half // up), ((up - 1) * down + half) // up
    phase = torch.arange(up)[:, None] * down - torch.arange(first, last + 1) * up + half
    kernel = torch.where((phase >= 0) & (phase <= 2 * half), taps[phase.clamp(0, 2 * half)], 0.0)
    length = -(-signal.shape[-1] * up // down)
    rows = signal.reshape(-1, 1, signal.shape[-1])
    rows = functional.pad(rows, (-first, last + down))
    filtered = functional.conv1d(rows, kernel[:, None].to(rows), stride=down)  # (rows, up, blocks)
    return filtered.transpose(1, 2).reshape(*signal.shape[:-1], -1)[..., :length]


def remove_silent_frames(
    estimate: torch.Tensor, reference: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut out the frames in which the reference is more than 40 dB below its loudest frame.

    Args:
        estimate: ``(time,)`` at 10 kHz.
        reference: same shape.

    Returns:
        Both, shortened alike: the windowed frames that stay, overlapped and added.

    Raises:
        InputError: if the shapes differ or are not ``(time,)``.

    Example:
        >>> speech = torch.cat([torch.ones(2560), torch.zeros(2560)])
        >>> remove_silent_frames(speech, speech)[0].shape
        torch.Size([2688])
    """
    check_signal(reference, "reference", ndim=1)
    check_same_shape(estimate, reference, ("estimate", "reference"))
    frames = _frames(reference)
    if len(frames) == 0:
        return estimate[:0], reference[:0]
    level = 20 * torch.log10(torch.linalg.vector_norm(frames, dim=-1) + _EPSILON)
    active = level > level.max() - DYNAMIC_RANGE_DB
    return _overlap_add(_frames(estimate)[active]), _overlap_add(frames[active])


def _overlap_add(frames: torch.Tensor) -> torch.Tensor:
    hop = FRAME // 2
    first = functional.pad(frames[:, :hop], (0, 0, 0, 1))
    second = functional.pad(frames[:, hop:], (0, 0, 1, 0))
    return (first + second).flatten()


def third_octave_matrix() -> torch.Tensor:
    """Return which FFT bins belong to which of the 15 bands, ``(bands, freq)`` of zeros and ones.

    Example:
        >>> third_octave_matrix().sum(-1)[:6]
        tensor([2., 2., 3., 3., 5., 5.], dtype=torch.float64)
    """
    bins = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * (RATE / N_FFT)
    band = torch.arange(BANDS, dtype=torch.float64)[:, None]
    low = LOWEST_CENTRE * 2 ** ((2 * band - 1) / 6)
    high = LOWEST_CENTRE * 2 ** ((2 * band + 1) / 6)
    first = (bins - low).abs().argmin(-1, keepdim=True)
    last = (bins - high).abs().argmin(-1, keepdim=True)
    index = torch.arange(N_FFT // 2 + 1)
    return ((index >= first) & (index < last)).double()


def third_octave_bands(signal: torch.Tensor) -> torch.Tensor:
    """Return the envelopes of a signal in 15 one-third-octave bands from 150 Hz.

    Args:
        signal: ``(time,)`` at 10 kHz.

    Returns:
        ``(bands, frames)``, magnitudes.

    Raises:
        InputError: if ``signal`` is not a valid ``(time,)``.

    Example:
        >>> third_octave_bands(torch.ones(10_000)).shape
        torch.Size([15, 77])
    """
    check_signal(signal, "signal", ndim=1)
    power = torch.fft.rfft(_frames(signal), N_FFT).abs().square()  # (frames, freq)
    bands = third_octave_matrix().to(power) @ power.mT
    # the root has no derivative at zero
    return torch.where(bands > 0, torch.where(bands > 0, bands, 1.0).sqrt(), 0.0)


def _normalise(signal: torch.Tensor, dim: int) -> torch.Tensor:
    centred = signal - signal.mean(dim, keepdim=True)
    return centred / (torch.linalg.vector_norm(centred, dim=dim, keepdim=True) + _EPSILON)


def stoi_segment_correlation(estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Correlate the envelopes of one band over one segment: the last stage of STOI.

    The estimate's envelope is scaled to the reference's energy and clipped where it exceeds the
    reference by more than the -15 dB bound allows; then both lose their mean, and their cosine is
    the result.

    Args:
        estimate: envelopes ``(..., frames)``, usually 30 frames.
        reference: same shape.

    Returns:
        ``(...)`` in [-1, 1]; 0 where an envelope is constant or silent.

    Raises:
        InputError: if the shapes differ or a signal is not valid.

    Source: Taal et al. 2011, eq. 3 to 5.

    Example:
        >>> reference = torch.tensor([1.0, 2.0, 3.0, 2.0])
        >>> round(stoi_segment_correlation(5 * reference, reference).item(), 6)
        1.0
        >>> round(stoi_segment_correlation(reference.max() - reference, reference).item(), 6)
        -1.0
    """
    dtype = check_pair(estimate, reference)
    estimate, reference = double(estimate), double(reference)
    norms = [torch.linalg.vector_norm(e, dim=-1, keepdim=True) for e in (reference, estimate)]
    scaled = estimate * (norms[0] / (norms[1] + _EPSILON))
    clipped = torch.minimum(scaled, reference * (1 + 10 ** (-CLIP_DB / 20)))
    return (_normalise(clipped, -1) * _normalise(reference, -1)).sum(-1).to(dtype)


def stoi(
    estimate: torch.Tensor, reference: torch.Tensor, sample_rate: int, extended: bool = False
) -> torch.Tensor:
    """Short-time objective intelligibility of speech: the mean correlation of band envelopes.

    Args:
        estimate: ``(..., time)``, noisy or processed speech.
        reference: same shape, the clean speech.
        sample_rate: in Hz.
        extended: compute ESTOI, which normalises whole spectrograms of segments instead of single
            bands and so notices noise that fluctuates.

    Returns:
        ``(...)`` in [-1, 1]; ``nan`` for an item whose reference is silent or has less than 384 ms
        of speech (pystoi returns 1e-5 and warns), 0 for a silent estimate. Differentiable.

    Raises:
        InputError: if the shapes differ, a signal is not valid, or ``sample_rate`` is no positive
            integer.

    Source: Taal et al. 2011; extended: J. Jensen and C. Taal, "An algorithm for predicting the
    intelligibility of speech masked by modulated noise maskers", IEEE/ACM TASLP 24(11), 2016.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> speech, noise = torch.randn(2, 16000, generator=generator)
        >>> [round(stoi(speech + gain * noise, speech, 16000).item(), 2) for gain in (0, 0.5, 4)]
        [1.0, 0.8, 0.06]
    """
    dtype = check_pair(estimate, reference)
    estimates = resample_to_10k(double(estimate), sample_rate)
    references = resample_to_10k(double(reference), sample_rate)
    pairs = zip(
        estimates.reshape(-1, estimates.shape[-1]),
        references.reshape(-1, references.shape[-1]),
        strict=True,
    )
    scores = torch.stack([_stoi(e, r, extended) for e, r in pairs])
    return scores.reshape(reference.shape[:-1]).to(dtype)


def _stoi(estimate: torch.Tensor, reference: torch.Tensor, extended: bool) -> torch.Tensor:
    """Score one pair ``(time,)`` at 10 kHz."""
    undefined = reference.new_tensor(torch.nan)
    if not reference.any():
        return undefined
    estimate, reference = remove_silent_frames(estimate, reference)
    if len(_frames(reference)) < SEGMENT:
        return undefined
    # (segments, bands, SEGMENT)
    estimate_segments = third_octave_bands(estimate).unfold(-1, SEGMENT, 1).transpose(0, 1)
    reference_segments = third_octave_bands(reference).unfold(-1, SEGMENT, 1).transpose(0, 1)
    if not extended:
        return stoi_segment_correlation(estimate_segments, reference_segments).mean()
    normalised = [
        _normalise(_normalise(segments, -1), -2)
        for segments in (estimate_segments, reference_segments)
    ]
    return (normalised[0] * normalised[1]).sum((-2, -1)).mean() / SEGMENT
