"""Mixtures: add signals at a chosen level, through rooms, and without losing the ground truth."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lib.errors import InputError, check_rate, check_same_shape, check_signal


class Mixture(NamedTuple):
    """A mixture and the two signals that add up to it."""

    mixture: torch.Tensor
    target: torch.Tensor
    interference: torch.Tensor


class ConvolutiveMixture(NamedTuple):
    """What the microphones hear, and what each source contributes to it."""

    mixture: torch.Tensor
    images: torch.Tensor


def _double(signal: torch.Tensor) -> torch.Tensor:
    """Sums of squares need more digits than float32 has; the mps device has no more to give."""
    return signal if signal.device.type == "mps" else signal.double()


def rms(signal: torch.Tensor) -> torch.Tensor:
    """Root mean square of a signal over time.

    Args:
        signal: ``(..., time)``.

    Returns:
        ``(...)``, linear, 1 for a full-scale square wave.

    Raises:
        InputError: if ``signal`` is no finite, non-empty floating-point tensor.

    Example:
        >>> rms(torch.tensor([[0.5, -0.5], [3.0, -3.0]]))
        tensor([0.5000, 3.0000])
    """
    check_signal(signal, "signal")
    return _double(signal).square().mean(-1).sqrt().to(signal.dtype)


def level_db(signal: torch.Tensor) -> torch.Tensor:
    """Mean power over time in dB relative to full scale (1.0).

    Args:
        signal: ``(..., time)``.

    Returns:
        ``(...)`` in dB; ``-inf`` for silence.

    Raises:
        InputError: if ``signal`` is no finite, non-empty floating-point tensor.

    Example:
        >>> level_db(torch.full((2, 100), 0.1))
        tensor([-20., -20.])
    """
    check_signal(signal, "signal")
    return (10 * torch.log10(_double(signal).square().mean(-1))).to(signal.dtype)


def active_level(
    signal: torch.Tensor, sample_rate: int, *, frame_seconds: float = 0.03, range_db: float = 40.0
) -> torch.Tensor:
    """Level of the active part of a signal: pauses in speech do not pull it down.

    The signal is cut into frames side by side; a frame counts as active if its energy lies within
    ``range_db`` of the loudest frame's. The result is the mean power of the active frames. This is
    the gate that STOI uses, simpler than the envelope tracker of ITU-T P.56.

    Args:
        signal: ``(..., time)``; it may be shorter than a frame.
        sample_rate: in Hz.
        frame_seconds: length of a frame.
        range_db: how far below the loudest frame a frame may lie.

    Returns:
        ``(...)`` in dB relative to full scale; ``-inf`` for silence.

    Raises:
        InputError: if ``signal`` is no finite, non-empty floating-point tensor, the rate is no
            positive integer, or a number is not positive.

    Example:
        >>> speech_and_pause = torch.cat([torch.full((800,), 0.1), torch.zeros(800)])
        >>> round(level_db(speech_and_pause).item(), 2)
        -23.01
        >>> round(active_level(speech_and_pause, 16000, frame_seconds=0.01).item(), 2)
        -20.0
    """
    check_signal(signal, "signal")
    if not frame_seconds > 0 or not range_db > 0:
        raise InputError(
            f"frame_seconds, range_db: expected positive numbers, got {frame_seconds}, {range_db}"
        )
    time = signal.shape[-1]
    frame = max(1, round(min(frame_seconds * check_rate(sample_rate), time)))
    frames = time // frame
    power = _double(signal)[..., : frames * frame].square()
    power = power.unflatten(-1, (frames, frame)).mean(-1)  # (..., frames)
    active = power >= power.amax(-1, keepdim=True) * 10 ** (-range_db / 10)
    mean = (power * active).sum(-1) / active.sum(-1)
    return (10 * torch.log10(mean)).to(signal.dtype)


def active_snr_db(
    target: torch.Tensor, interference: torch.Tensor, sample_rate: int
) -> torch.Tensor:
    """SNR that counts the target only where it is active, as speech corpora usually state it.

    Args:
        target: ``(..., time)``, for instance speech with pauses.
        interference: ``(..., time)``, for instance noise.
        sample_rate: in Hz.

    Returns:
        ``(...)``: :func:`active_level` of the target minus :func:`level_db` of the interference.

    Raises:
        InputError: if the shapes differ or a signal is not valid.

    Example:
        >>> target = torch.cat([torch.ones(4800), torch.zeros(4800)])
        >>> active_snr_db(target, torch.ones(9600), 16000).item()
        0.0
    """
    check_signal(target, "target")
    check_signal(interference, "interference")
    check_same_shape(target, interference, ("target", "interference"))
    return active_level(target, sample_rate) - level_db(interference)


def mix_at_snr(
    target: torch.Tensor,
    interference: torch.Tensor,
    snr_db: float | torch.Tensor,
    *,
    dim: int | tuple[int, ...] = -1,
) -> Mixture:
    """Add an interference to a target so that the SNR is what was asked for.

    The target keeps its level; the interference is multiplied by one gain
    ``sqrt(P_target / P_interference * 10 ** (-snr_db / 10))`` with P the mean power. A *positive*
    ``snr_db`` therefore means a target louder than the interference.

    Args:
        target: ``(..., time)``.
        interference: same shape as ``target``.
        snr_db: one number, or a tensor that broadcasts to the leading dimensions (one per item).
        dim: the dimensions that share one power and one gain. The default treats each channel by
            itself; ``(-2, -1)`` keeps the balance of a stereo interference.

    Returns:
        ``Mixture(mixture, target, interference)``, all shaped like ``target``; ``interference`` is
        the scaled one, so that ``mixture == target + interference`` exactly.

    Raises:
        InputError: if the shapes differ, a signal is silent or ``snr_db`` is not finite.

    Source: the definition of the SNR, 10 log10(P_target / P_interference).

    Example:
        >>> noise = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
        >>> mixed = mix_at_snr(torch.ones(2, 8000), noise, snr_db=6.0)
        >>> (level_db(mixed.target) - level_db(mixed.interference)).round(decimals=3)
        tensor([6., 6.])
    """
    check_signal(target, "target")
    check_signal(interference, "interference")
    check_same_shape(target, interference, ("target", "interference"))
    target_power = _double(target).square().mean(dim, keepdim=True)
    interference_power = _double(interference).square().mean(dim, keepdim=True)
    for name, power in (("target", target_power), ("interference", interference_power)):
        if (power == 0).any():
            raise InputError(
                f"{name}: expected a signal, got silence in at least one item; an SNR has no "
                "meaning there, so drop the item or pick another excerpt"
            )
    snr = torch.as_tensor(snr_db, dtype=target_power.dtype, device=target.device)
    if not torch.isfinite(snr).all():
        raise InputError(f"snr_db: expected finite numbers in dB, got {snr_db}")
    if snr.ndim:
        dims = (dim,) if isinstance(dim, int) else dim
        try:
            snr = snr.expand(target_power.squeeze(dims).shape).reshape(target_power.shape)
        except RuntimeError:
            raise InputError(
                f"snr_db: expected one number or one per item {tuple(target.shape[:-1])}, "
                f"got shape {tuple(snr.shape)}"
            ) from None
    gain = (target_power / interference_power * 10 ** (-snr / 10)).sqrt()
    scaled = (gain * interference).to(target.dtype)
    return Mixture(target + scaled, target, scaled)


def peak_normalise(*signals: torch.Tensor, peak: float = 0.99) -> tuple[torch.Tensor, ...]:
    """Bring the largest sample of several signals to ``peak`` with one gain for all of them.

    One common gain keeps ``mixture == target + interference``; a gain of its own for each signal
    breaks that sum, which is the classic bug of home-made data sets.

    Args:
        signals: any number of tensors of any shape, for example mixture, target, interference.
        peak: the largest absolute sample afterwards, linear.

    Returns:
        The scaled signals in their order, then the gain (a scalar tensor): divide by it to undo.

    Raises:
        InputError: without signals, if all are silent, or if ``peak`` is not positive.

    Example:
        >>> mixture, source, gain = peak_normalise(torch.tensor([2.0, -4.0]), torch.tensor([1.0]),
        ...                                        peak=0.5)
        >>> mixture, source, gain
        (tensor([ 0.2500, -0.5000]), tensor([0.1250]), tensor(0.1250))
    """
    if not signals:
        raise InputError("signals: expected at least one tensor, got none")
    if not peak > 0:
        raise InputError(f"peak: expected a positive number, got {peak}")
    for index, signal in enumerate(signals):
        check_signal(signal, f"signals[{index}]")
    largest = torch.stack([signal.abs().amax() for signal in signals]).amax()
    if largest == 0:
        raise InputError("signals: expected at least one that is not silent, got only silence")
    gain = peak / largest
    return (*(signal * gain for signal in signals), gain)


def convolutive_mix(
    sources: torch.Tensor, impulse_responses: torch.Tensor, noise: torch.Tensor | None = None
) -> ConvolutiveMixture:
    """Let sources sound in a room: each microphone hears x_m = sum_s a_sm * s_s + n_m.

    Args:
        sources: ``(..., sources, time)``, dry signals.
        impulse_responses: ``(..., sources, mics, taps)``, from each source to each microphone.
        noise: ``(..., mics, time)``, sensor noise added to the microphones.

    Returns:
        ``ConvolutiveMixture(mixture (..., mics, time), images (..., sources, mics, time))``, in
        float32 if the sources have half precision. An
        image is a source as the microphones hear it; the images plus the noise are the mixture.
        Both end with the sources: what still rings after the last sample is cut.

    Raises:
        InputError: if a tensor is not valid or the shapes do not belong together.

    Source: the linear, time-invariant mixing model, e.g. Vincent et al., "Audio Source Separation
    and Speech Enhancement", 2018, chapter 3.

    Example:
        >>> echo = torch.tensor([[[1.0, 0.0, 0.5]]])
        >>> heard = convolutive_mix(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), echo)
        >>> heard.mixture.round(decimals=4)
        tensor([[1.0000, 2.0000, 3.5000, 5.0000]])
        >>> heard.images.shape
        torch.Size([1, 1, 4])
    """
    check_signal(sources, "sources")
    check_signal(impulse_responses, "impulse_responses")
    if sources.ndim < 2 or impulse_responses.ndim < 3:
        raise InputError(
            "expected sources (..., sources, time) and impulse_responses (..., sources, mics, "
            f"taps), got {tuple(sources.shape)} and {tuple(impulse_responses.shape)}"
        )
    if sources.shape[-2] != impulse_responses.shape[-3]:
        raise InputError(
            f"impulse_responses: expected {sources.shape[-2]} sources in dimension -3, as in "
            f"sources, got {impulse_responses.shape[-3]}"
        )
    try:
        torch.broadcast_shapes(sources.shape[:-2], impulse_responses.shape[:-3])
    except RuntimeError:
        raise InputError(
            "impulse_responses: expected leading dimensions that fit those of sources "
            f"{tuple(sources.shape[:-2])}, got {tuple(impulse_responses.shape[:-3])}"
        ) from None
    dtype = torch.promote_types(sources.dtype, torch.float32)  # no FFT in half precision
    sources, impulse_responses = sources.to(dtype), impulse_responses.to(dtype)
    time = sources.shape[-1]
    size = 1 << (time + impulse_responses.shape[-1] - 2).bit_length()
    spectra = torch.fft.rfft(sources, size).unsqueeze(-2)  # (..., sources, 1, freq)
    images = torch.fft.irfft(spectra * torch.fft.rfft(impulse_responses, size), size)[..., :time]
    mixture = images.sum(-3)  # (..., mics, time)
    if noise is not None:
        check_signal(noise, "noise")
        check_same_shape(noise, mixture, ("noise", "mixture"))
        mixture = mixture + noise
    return ConvolutiveMixture(mixture, images)
