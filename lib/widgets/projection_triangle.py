"""Projection triangle: drag an estimate, watch the energy ratios, hear what they describe."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lib.errors import InputError, check_same_shape, check_signal
from lib.stft import STFT
from lib.widgets.element import Element, encode_audio

# The arrow reaches this far along target, interference and artifact; no blend may clip.
_REACH = (1.7, 1.1, 1.1)


class Axes(NamedTuple):
    """Three signals ``(time,)``, orthogonal and of equal energy: the axes of the picture."""

    target: torch.Tensor
    interference: torch.Tensor
    artifact: torch.Tensor


def orthogonal_axes(
    target: torch.Tensor, interference: torch.Tensor, sample_rate: int, *, seed: int = 0
) -> Axes:
    """Make the three signals that span the picture: target, interference, artifact.

    What the interference shares with the target is removed from it, and both are made equally
    strong. The artifact is musical noise: lone time-frequency points of the mixture, as a bad mask
    leaves them, without the part that the two sources explain.

    Args:
        target: ``(time,)``.
        interference: same shape.
        sample_rate: in Hz.
        seed: which time-frequency points the artifact keeps.

    Returns:
        ``Axes(target, interference, artifact)`` in float64, orthogonal to rounding, of equal
        energy, and so weak that no estimate of the widget exceeds full scale.

    Raises:
        InputError: if the shapes differ, or a signal is silent or has more than one dimension, or
            the interference is only a louder or softer copy of the target.

    Example:
        >>> noise = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
        >>> axes = torch.stack(orthogonal_axes(noise[0], noise[1], 8000))
        >>> gram = axes @ axes.T
        >>> bool((gram / gram[0, 0] - torch.eye(3)).abs().max() < 1e-9)
        True
    """
    for signal, name in ((target, "target"), (interference, "interference")):
        check_signal(signal, name, ndim=1)
        if not signal.any():
            raise InputError(f"{name}: expected a signal, got silence; pick another excerpt")
    check_same_shape(target, interference, ("target", "interference"))
    target = target.double()
    target = target / torch.linalg.vector_norm(target)
    interference = interference.double() / torch.linalg.vector_norm(interference.double())
    artifact = _musical_noise(target + interference, sample_rate, seed)
    basis = [target]
    for signal in (interference, artifact):
        length = torch.linalg.vector_norm(signal)
        for _ in range(2):  # the second pass removes the rounding of the first
            signal = signal - sum((signal @ axis) * axis for axis in basis)
        if torch.linalg.vector_norm(signal) <= 1e-6 * length:
            raise InputError(
                "interference: expected something other than the target at another gain; "
                "pick another excerpt"
            )
        basis.append(signal / torch.linalg.vector_norm(signal))
    largest = sum(reach * axis.abs().amax() for reach, axis in zip(_REACH, basis, strict=True))
    return Axes(*(0.99 / largest * axis for axis in basis))


def _musical_noise(mixture: torch.Tensor, sample_rate: int, seed: int) -> torch.Tensor:
    stft = STFT(n_fft=2 * round(0.016 * sample_rate))
    spectrogram = stft(mixture)
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(spectrogram.shape, generator=generator) < 0.03
    return stft.inverse(spectrogram * kept, length=mixture.shape[-1])


def projection_triangle(
    target: torch.Tensor,
    interference: torch.Tensor,
    sample_rate: int,
    *,
    start: tuple[float, float, float] = (0.9, 0.5, 0.2),
    title: str = "Projection triangle",
    seed: int = 0,
) -> Element:
    """A panel in which the reader drags an estimate and sees and hears what its scores mean.

    The picture shows the estimate as an arrow in the plane of target and interference, its
    artifact as a disc; SNR, SD-SDR, SI-SDR, SIR and SAR follow live. "Change the gain only" keeps
    the direction, and with it all scale-invariant ratios. Play sounds the very signal that the
    arrow stands for.

    Args:
        target: ``(time,)``, a few seconds.
        interference: same shape.
        sample_rate: in Hz.
        start: where the estimate begins: target, interference and artifact part.
        title: heading of the panel.
        seed: of the artifact, see :func:`orthogonal_axes`.

    Returns:
        An HTML output.

    Raises:
        InputError: as :func:`orthogonal_axes`, or if ``start`` lies outside the picture.

    Source: the geometry of E. Vincent et al., IEEE TASLP 14(4), 2006, and J. Le Roux et al., "SDR -
    half-baked or well done?", ICASSP 2019.

    Example:
        >>> noise = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
        >>> projection_triangle(noise[0], noise[1], 8000)
        Projection triangle (1.0 s at 8000 Hz). Run this cell to drag the estimate.
    """
    if len(start) != 3 or not all(
        abs(part) <= reach for part, reach in zip(start, (1.2, *_REACH[1:]), strict=True)
    ):
        raise InputError(
            "start: expected target, interference and artifact part within "
            f"(1.2, {_REACH[1]}, {_REACH[2]}), got {start}"
        )
    axes = orthogonal_axes(target, interference, sample_rate, seed=seed)
    config = {
        "title": title,
        "sample_rate": int(sample_rate),
        "start": [float(part) for part in start],
        "tracks": [encode_audio(axis, sample_rate) for axis in axes],
    }
    seconds = target.shape[-1] / sample_rate
    fallback = (
        f"Projection triangle ({seconds:.1f} s at {sample_rate} Hz). "
        "Run this cell to drag the estimate."
    )
    return Element("unmix-projection-triangle", config, ("projection_triangle",), fallback)
