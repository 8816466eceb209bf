"""Ideal masks: what a masking separator would answer if it knew the sources.

Every function takes the spectrograms of the sources, ``(..., sources, freq, frames)``, and returns
one mask per source of the same shape. ``dim`` says which axis holds the sources. The mixture is
their sum unless it is given. Each is a ceiling *of its own kind only*: one STFT, one rule, and,
for all but the complex mask, the phase of the mixture.

===================================  =======================================  ===========
mask                                 rule at one time-frequency point         sum over j
===================================  =======================================  ===========
IBM ``ideal_binary_mask``            1 where S_j is loudest, else 0           1
IRM ``ideal_ratio_mask``             |S_j| / sum_k |S_k|                      1
IRM, ``kind="power_sqrt"``           (|S_j|^2 / sum_k |S_k|^2) ^ (1/2)        at least 1
WFM ``wiener_like_mask``             |S_j|^2 / sum_k |S_k|^2                  1
AM ``ideal_amplitude_mask``          |S_j| / |X|                              at least 1
PSM ``phase_sensitive_mask``         Re(S_j / X)                              1
NPSM                                 max(0, Re(S_j / X))                      at least 1
cIRM ``complex_ideal_ratio_mask``    S_j / X                                  1
===================================  =======================================  ===========

An empty point has a defined answer. Where every source is zero, the shares (IRM, WFM) are equal;
where the mixture is zero, the quotients (AM, PSM, NPSM, cIRM) are 0, as nothing multiplied with an
empty mixture can bring a source back.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from lib.errors import InputError

__all__ = [
    "OracleMask",
    "apply",
    "complex_ideal_ratio_mask",
    "expand_complex_mask",
    "ideal_amplitude_mask",
    "ideal_binary_mask",
    "ideal_ratio_mask",
    "nonnegative_phase_sensitive_mask",
    "phase_sensitive_mask",
    "wiener_like_mask",
]

# A quotient beyond this is rounding noise; it would overflow float32 long before it helps anybody.
_LARGEST_QUOTIENT = 1e30


def ideal_binary_mask(
    sources: torch.Tensor,
    dim: int = -3,
    *,
    local_criterion_db: float = 0.0,
    ties: str = "first",
) -> torch.Tensor:
    """Give each time-frequency point to the source that is loudest there.

    Source j gets 1 where its level exceeds that of its strongest competitor by more than the local
    criterion. At 0 dB this is "the loudest wins". With a criterion above 0 dB, points without a
    clear winner go to nobody; below 0 dB, near ties go to several, and the masks no longer sum to
    one. In speech enhancement, where the sources are speech and noise, the first mask is Wang's:
    1 where the local SNR is above the criterion.

    Args:
        sources: spectrograms ``(..., sources, freq, frames)``, complex or magnitudes.
        dim: axis of the sources.
        local_criterion_db: the criterion LC in dB.
        ties: ``"first"`` gives a point with several equally loud sources to the first of them, so
            that the masks sum to one also in silence; ``"none"`` keeps the strict ``>`` and gives
            it to nobody. It matters only at 0 dB.

    Returns:
        Masks of 0 and 1, real, of the shape of ``sources``.

    Raises:
        InputError: if ``sources`` is no spectrogram or ``ties`` is unknown.

    Source: Wang, "On ideal binary mask as the computational goal of auditory scene analysis", 2005.

    Example:
        >>> speech_and_noise = torch.tensor([3.0, 1.0, 2.0, 2.0]).reshape(2, 2, 1)
        >>> ideal_binary_mask(speech_and_noise).flatten().tolist()
        [1.0, 0.0, 0.0, 1.0]
    """
    _check(sources, dim)
    if ties not in ("first", "none"):
        raise InputError(f"ties: expected 'first' or 'none', got {ties!r}")
    magnitudes = sources.abs()
    if sources.shape[dim] == 1:
        return torch.ones_like(magnitudes)
    if local_criterion_db == 0.0 and ties == "first":
        winner = magnitudes.argmax(dim, keepdim=True)
        return torch.zeros_like(magnitudes).scatter(dim, winner, 1.0)
    loudest, second = magnitudes.topk(2, dim).values.split(1, dim)
    is_loudest = magnitudes == loudest
    # the loudest competes with the second; everybody else, with the loudest
    competitor = torch.where(is_loudest, second, loudest)
    threshold = 10.0 ** (local_criterion_db / 20.0)
    return (magnitudes > threshold * competitor).to(magnitudes.dtype)


def ideal_ratio_mask(
    sources: torch.Tensor, dim: int = -3, *, kind: str = "magnitude", beta: float = 0.5
) -> torch.Tensor:
    """Share each time-frequency point in proportion to the magnitudes of the sources.

    Two different masks go by this name. In speech separation it is ``|S_j| / sum_k |S_k|``. In
    speech enhancement it is ``(|S_j|^2 / sum_k |S_k|^2) ** beta`` with ``beta = 1/2``, which
    sums to more than one; with ``beta = 1`` it is the Wiener-like mask.

    Args:
        sources: spectrograms ``(..., sources, freq, frames)``, complex or magnitudes.
        dim: axis of the sources.
        kind: ``"magnitude"`` (separation) or ``"power_sqrt"`` (enhancement).
        beta: exponent of the second kind, above 0; the first has none.

    Returns:
        Masks in [0, 1], real, of the shape of ``sources``.

    Raises:
        InputError: if ``sources`` is no spectrogram, ``kind`` is unknown or ``beta`` not positive.

    Source: Wang, Narayanan and Wang, "On training targets for supervised speech separation", 2014;
    Luo and Mesgarani, "Conv-TasNet", 2019, eq. 17.

    Example:
        >>> sources = torch.tensor([3.0, 4.0]).reshape(2, 1, 1)
        >>> [round(value, 3) for value in ideal_ratio_mask(sources).flatten().tolist()]
        [0.429, 0.571]
        >>> ideal_ratio_mask(sources, kind="power_sqrt").flatten().tolist()
        [0.6000000238418579, 0.800000011920929]
    """
    _check(sources, dim)
    if kind == "magnitude":
        return _share(sources, dim, 1)
    if kind == "power_sqrt":
        return _share(sources, dim, 2) ** _positive(beta, "beta")
    raise InputError(f"kind: expected 'magnitude' or 'power_sqrt', got {kind!r}")


def wiener_like_mask(sources: torch.Tensor, dim: int = -3) -> torch.Tensor:
    """Share each time-frequency point in proportion to the powers of the sources.

    It has the form of the Wiener filter, with the power of this very realisation in the place of
    the expected power.

    Args:
        sources: spectrograms ``(..., sources, freq, frames)``, complex or magnitudes.
        dim: axis of the sources.

    Returns:
        Masks in [0, 1] that sum to one over ``dim``, real, of the shape of ``sources``.

    Raises:
        InputError: if ``sources`` is no spectrogram.

    Source: Erdogan, Hershey, Watanabe and Le Roux, ICASSP 2015; Luo and Mesgarani, 2019, eq. 18.

    Example:
        >>> wiener_like_mask(torch.tensor([3.0, 1.0]).reshape(2, 1, 1)).flatten().tolist()
        [0.8999999761581421, 0.10000000149011612]
    """
    _check(sources, dim)
    return _share(sources, dim, 2)


def ideal_amplitude_mask(
    sources: torch.Tensor,
    dim: int = -3,
    *,
    mixture: torch.Tensor | None = None,
    clip: float | None = None,
) -> torch.Tensor:
    """Scale the mixture to the exact magnitude of each source.

    Where sources cancel, the mask exceeds one without limit; training clips it. With the phase of
    the source it would be perfect; with that of the mixture it is far from it.

    Args:
        sources: spectrograms ``(..., sources, freq, frames)``, complex.
        dim: axis of the sources.
        mixture: spectrogram of the mixture, without the axis of the sources; their sum if None.
        clip: largest value of the mask; None for no limit.

    Returns:
        Masks at least 0, real, of the shape of ``sources``; 0 where the mixture is 0.

    Raises:
        InputError: if a spectrogram is not complex, or the shapes do not fit.

    Source: Wang, Narayanan and Wang, 2014 (there: FFT-MASK).

    Example:
        >>> sources = torch.tensor([3.0, -1.0]).reshape(2, 1, 1) + 0j
        >>> ideal_amplitude_mask(sources).flatten().tolist()
        [1.5, 0.5]
    """
    mask = _quotient(sources, mixture, dim).abs()
    return mask if clip is None else mask.clamp(max=_positive(clip, "clip"))


def phase_sensitive_mask(
    sources: torch.Tensor,
    dim: int = -3,
    *,
    mixture: torch.Tensor | None = None,
    clip: float | None = None,
) -> torch.Tensor:
    """Scale the mixture to the part of each source that is in phase with it: ``Re(S_j / X)``.

    Of all real masks it comes nearest to the source, point by point, in the squared error. The
    masks sum to one, because the quotients do.

    Args:
        sources: spectrograms ``(..., sources, freq, frames)``, complex.
        dim: axis of the sources.
        mixture: spectrogram of the mixture, without the axis of the sources; their sum if None.
        clip: largest absolute value of the mask; None for no limit.

    Returns:
        Masks, real, negative where a source opposes the mixture, of the shape of ``sources``.

    Raises:
        InputError: if a spectrogram is not complex, or the shapes do not fit.

    Source: Erdogan, Hershey, Watanabe and Le Roux, "Phase-sensitive and recognition-boosted speech
    separation using deep recurrent neural networks", ICASSP 2015.

    Example:
        >>> sources = torch.tensor([3.0, -1.0]).reshape(2, 1, 1) + 0j
        >>> phase_sensitive_mask(sources).flatten().tolist()
        [1.5, -0.5]
    """
    mask = _quotient(sources, mixture, dim).real
    if clip is None:
        return mask
    limit = _positive(clip, "clip")
    return mask.clamp(-limit, limit)


def nonnegative_phase_sensitive_mask(
    sources: torch.Tensor,
    dim: int = -3,
    *,
    mixture: torch.Tensor | None = None,
    clip: float | None = None,
) -> torch.Tensor:
    """Keep the phase-sensitive mask where it is positive, and 0 elsewhere.

    A network whose last layer is a sigmoid or a ReLU can reach it; with ``clip=1`` it is the
    truncated target of the paper below.

    Args:
        sources: spectrograms ``(..., sources, freq, frames)``, complex.
        dim: axis of the sources.
        mixture: spectrogram of the mixture, without the axis of the sources; their sum if None.
        clip: largest value of the mask; None for no limit.

    Returns:
        Masks at least 0, real, of the shape of ``sources``.

    Raises:
        InputError: if a spectrogram is not complex, or the shapes do not fit.

    Source: Kolbaek, Yu, Tan and Jensen, "Multitalker speech separation with utterance-level
    permutation invariant training", 2017.

    Example:
        >>> sources = torch.tensor([3.0, -1.0]).reshape(2, 1, 1) + 0j
        >>> nonnegative_phase_sensitive_mask(sources, clip=1.0).flatten().tolist()
        [1.0, 0.0]
    """
    return phase_sensitive_mask(sources, dim, mixture=mixture, clip=clip).clamp(min=0.0)


def complex_ideal_ratio_mask(
    sources: torch.Tensor,
    dim: int = -3,
    *,
    mixture: torch.Tensor | None = None,
    bound: float | None = None,
    bound_kind: str = "modulus",
    steepness: float = 0.1,
) -> torch.Tensor:
    """Divide each source by the mixture: ``S_j / X``, which restores the source exactly.

    A network needs a bounded target. ``"modulus"`` shortens the complex number to ``bound`` and
    keeps its angle. ``"tanh"`` compresses the real and the imaginary part, each to
    ``bound * tanh(steepness * part / 2)``: the K and C of the paper are ``bound`` and
    ``steepness`` (there 10 and 0.1); :func:`expand_complex_mask` undoes it.

    Args:
        sources: spectrograms ``(..., sources, freq, frames)``, complex.
        dim: axis of the sources.
        mixture: spectrogram of the mixture, without the axis of the sources; their sum if None.
        bound: limit of the mask; None for the unbounded, exact mask.
        bound_kind: ``"modulus"`` or ``"tanh"``.
        steepness: slope of the second kind.

    Returns:
        Masks, complex, of the shape of ``sources``; 0 where the mixture is 0.

    Raises:
        InputError: if a spectrogram is not complex, the shapes do not fit, or the bound is unknown.

    Source: Williamson, Wang and Wang, "Complex ratio masking for monaural speech separation", 2016.

    Example:
        >>> sources = torch.tensor([3.0, -1.0]).reshape(2, 1, 1) * 1j
        >>> complex_ideal_ratio_mask(sources, bound=1.0).flatten().tolist()
        [(1+0j), (-0.5+0j)]
    """
    if bound_kind not in ("modulus", "tanh"):
        raise InputError(f"bound_kind: expected 'modulus' or 'tanh', got {bound_kind!r}")
    mask = _quotient(sources, mixture, dim)
    if bound is None:
        return mask
    limit = _positive(bound, "bound")
    if bound_kind == "modulus":
        return mask * (limit / mask.abs().clamp(min=limit))
    rate = _positive(steepness, "steepness") / 2
    return torch.complex(limit * torch.tanh(rate * mask.real), limit * torch.tanh(rate * mask.imag))


def expand_complex_mask(
    mask: torch.Tensor, bound: float = 10.0, steepness: float = 0.1
) -> torch.Tensor:
    """Undo the ``"tanh"`` compression of :func:`complex_ideal_ratio_mask`.

    Args:
        mask: complex; a part outside ``(-bound, bound)`` is first pulled just inside.
        bound: the bound that was used.
        steepness: the steepness that was used.

    Returns:
        The uncompressed mask, of the shape of ``mask``.

    Raises:
        InputError: if ``mask`` is not complex.

    Source: Williamson, Wang and Wang, 2016, eq. 9.

    Example:
        >>> sources = torch.tensor([3.0, -1.0]).reshape(2, 1, 1) + 0j
        >>> compressed = complex_ideal_ratio_mask(sources, bound=10.0, bound_kind="tanh")
        >>> [round(v.real, 3) for v in expand_complex_mask(compressed).flatten().tolist()]
        [1.5, -0.5]
    """
    if not isinstance(mask, torch.Tensor) or not mask.is_complex():
        raise InputError(f"mask: expected a complex tensor, got {_describe(mask)}")
    inside = 1.0 - torch.finfo(mask.real.dtype).eps
    real = torch.atanh((mask.real / bound).clamp(-inside, inside))
    imag = torch.atanh((mask.imag / bound).clamp(-inside, inside))
    return torch.complex(real, imag) * (2.0 / steepness)


def apply(mask: torch.Tensor, mixture_spectrogram: torch.Tensor, dim: int = -3) -> torch.Tensor:
    """Multiply the spectrogram of the mixture with one mask, or with one mask per source.

    Args:
        mask: real or complex, ``(..., freq, frames)`` like the mixture, or with an additional axis
            of sources at ``dim``: ``(..., sources, freq, frames)``.
        mixture_spectrogram: complex ``(..., freq, frames)``.
        dim: where the axis of the sources stands in ``mask``, if it has one.

    Returns:
        Complex spectrograms of the shape of ``mask``.

    Raises:
        InputError: if the shapes do not fit.

    Example:
        >>> mixture = torch.ones(5, 4, dtype=torch.complex64)
        >>> masks = torch.stack([torch.full((5, 4), 0.25), torch.full((5, 4), 0.75)])
        >>> apply(masks, mixture).shape
        torch.Size([2, 5, 4])
    """
    _check(mixture_spectrogram, None, "mixture_spectrogram", must_be_complex=True)
    if not isinstance(mask, torch.Tensor):
        raise InputError(f"mask: expected a torch.Tensor, got {_describe(mask)}")
    spectrogram = mixture_spectrogram
    if mask.ndim == spectrogram.ndim + 1:
        spectrogram = spectrogram.unsqueeze(_axis_of_sources(dim, mask.ndim))
    try:
        fits = torch.broadcast_shapes(mask.shape, spectrogram.shape) == mask.shape
    except RuntimeError:
        fits = False
    if not fits or mask.shape[-2:] != spectrogram.shape[-2:]:
        raise InputError(
            f"mask: expected the shape of the mixture {tuple(mixture_spectrogram.shape)}, with or "
            f"without an axis of sources at dim={dim}, got {tuple(mask.shape)}"
        )
    return mask * spectrogram


class OracleMask:
    """Separate with the knowledge of the sources: the ceiling in the results tables.

    A separator that ``evaluate`` calls as ``separator(mixture, sources)``, because
    ``needs_sources`` is True.

    Args:
        kind: a name from :attr:`KINDS`, or a function ``(sources, dim, mixture) -> masks``.
        stft: the transform, for example ``lib.stft.STFT(256, 64)``.
        true_phase: combine the masked magnitudes with the phase of each *source* instead of that of
            the mixture. The difference is the price that a magnitude mask pays for the phase.
        **options: passed on to the mask function, for example ``clip=1.0``.

    Raises:
        InputError: if ``kind`` is unknown.

    Example:
        >>> from lib.stft import STFT
        >>> sources = torch.randn(1, 2, 1, 2000, generator=torch.Generator().manual_seed(0))
        >>> estimates = OracleMask("cirm", STFT(256, 64))(sources.sum(1), sources)
        >>> estimates.shape, bool((estimates - sources).abs().max() < 1e-3)
        (torch.Size([1, 2, 1, 2000]), True)
    """

    needs_sources = True
    KINDS: dict[str, Callable[..., torch.Tensor]] = {
        "ibm": lambda sources, dim, mixture, **o: ideal_binary_mask(sources, dim, **o),
        "irm": lambda sources, dim, mixture, **o: ideal_ratio_mask(sources, dim, **o),
        "irm_power_sqrt": lambda sources, dim, mixture, **o: ideal_ratio_mask(
            sources, dim, kind="power_sqrt", **o
        ),
        "wfm": lambda sources, dim, mixture, **o: wiener_like_mask(sources, dim, **o),
        "am": lambda sources, dim, mixture, **o: ideal_amplitude_mask(
            sources, dim, mixture=mixture, **o
        ),
        "psm": lambda sources, dim, mixture, **o: phase_sensitive_mask(
            sources, dim, mixture=mixture, **o
        ),
        "npsm": lambda sources, dim, mixture, **o: nonnegative_phase_sensitive_mask(
            sources, dim, mixture=mixture, **o
        ),
        "cirm": lambda sources, dim, mixture, **o: complex_ideal_ratio_mask(
            sources, dim, mixture=mixture, **o
        ),
    }

    def __init__(
        self,
        kind: str | Callable[..., torch.Tensor],
        stft: torch.nn.Module,
        *,
        true_phase: bool = False,
        **options,
    ) -> None:
        """Choose the mask, the transform and the phase."""
        if not callable(kind) and kind not in self.KINDS:
            raise InputError(f"kind: expected one of {', '.join(self.KINDS)}, got {kind!r}")
        self.mask = kind if callable(kind) else self.KINDS[kind]
        self.stft = stft
        self.true_phase = true_phase
        self.options = options

    def masks(
        self, mixture: torch.Tensor, sources: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return masks, spectrogram of the mixture and spectrograms of the sources.

        Args:
            mixture: ``(batch, channels, time)``.
            sources: ``(batch, sources, channels, time)``.

        Returns:
            Masks and source spectrograms ``(batch, sources, channels, freq, frames)``, and the
            spectrogram of the mixture ``(batch, channels, freq, frames)``.

        Raises:
            InputError: if the shapes do not fit.

        Example:
            >>> from lib.stft import STFT
            >>> sources = torch.ones(1, 2, 1, 64)
            >>> masks, _, _ = OracleMask("irm", STFT(16, 4)).masks(sources.sum(1), sources)
            >>> masks.shape, masks.unique().tolist()
            (torch.Size([1, 2, 1, 9, 17]), [0.5])
        """
        if mixture.ndim != 3 or sources.ndim != 4 or mixture.shape != sources[:, 0].shape:
            raise InputError(
                "mixture and sources: expected (batch, channels, time) and (batch, sources, "
                f"channels, time), got {tuple(mixture.shape)} and {tuple(sources.shape)}"
            )
        mixture_spectrogram = self.stft(mixture)  # (B, C, F, K)
        spectrograms = self.stft(sources)  # (B, S, C, F, K)
        masks = self.mask(spectrograms, dim=1, mixture=mixture_spectrogram, **self.options)
        return masks, mixture_spectrogram, spectrograms

    def __call__(self, mixture: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """Return estimates ``(batch, sources, channels, time)``.

        Args:
            mixture: ``(batch, channels, time)``.
            sources: ``(batch, sources, channels, time)``, the truth.

        Raises:
            InputError: if the shapes do not fit.
        """
        masks, mixture_spectrogram, spectrograms = self.masks(mixture, sources)
        masked = apply(masks, mixture_spectrogram, dim=1)  # (B, S, C, F, K)
        if self.true_phase:
            masked = masked.abs() * torch.sgn(spectrograms)
        return self.stft.inverse(masked, mixture.shape[-1])  # (B, S, C, T)


def _share(sources: torch.Tensor, dim: int, power: int) -> torch.Tensor:
    """``|S_j|^p / sum_k |S_k|^p``, relative to the loudest so that no power underflows."""
    magnitudes = sources.abs()
    peak = magnitudes.amax(dim, keepdim=True)
    empty = (peak == 0).to(peak.dtype)
    relative = ((magnitudes + empty) / (peak + empty)) ** power
    return relative / relative.sum(dim, keepdim=True)


def _quotient(sources: torch.Tensor, mixture: torch.Tensor | None, dim: int) -> torch.Tensor:
    """``S_j / X``, and 0 where the mixture is empty."""
    _check(sources, dim, must_be_complex=True)
    if mixture is None:
        total = sources.sum(dim, keepdim=True)
    else:
        _check(mixture, None, "mixture", must_be_complex=True)
        total = mixture.unsqueeze(_axis_of_sources(dim, sources.ndim))
        if total.shape != sources.sum(dim, keepdim=True).shape:
            raise InputError(
                f"mixture: expected the shape of sources without axis {dim}, got "
                f"{tuple(mixture.shape)} and sources {tuple(sources.shape)}"
            )
    empty = total.abs() * _LARGEST_QUOTIENT <= sources.abs()
    quotient = sources / torch.where(empty, torch.ones_like(total), total)
    return torch.where(empty, torch.zeros_like(quotient), quotient)


def _axis_of_sources(dim: int, ndim: int) -> int:
    if not -ndim <= dim < ndim:
        raise InputError(f"dim: expected an axis of {ndim} dimensions, got {dim}")
    return dim % ndim


def _positive(value: float, name: str) -> float:
    if not value > 0:
        raise InputError(f"{name}: expected a number above 0, got {value}")
    return float(value)


def _describe(value: object) -> str:
    return str(value.dtype) if isinstance(value, torch.Tensor) else type(value).__name__


def _check(
    spectrogram: torch.Tensor,
    dim: int | None,
    name: str = "sources",
    *,
    must_be_complex: bool = False,
) -> None:
    if not isinstance(spectrogram, torch.Tensor):
        raise InputError(
            f"{name}: expected a torch.Tensor, got {_describe(spectrogram)}; "
            "convert it with torch.from_numpy"
        )
    if not (spectrogram.is_complex() or (spectrogram.is_floating_point() and not must_be_complex)):
        expected = "a complex spectrogram" if must_be_complex else "a spectrogram or magnitudes"
        raise InputError(
            f"{name}: expected {expected}, got {spectrogram.dtype}; make one with lib.stft.STFT"
        )
    least = 2 if dim is None else 3
    if spectrogram.ndim < least or spectrogram.numel() == 0:
        wanted = "(..., freq, frames)" if dim is None else "(..., sources, freq, frames)"
        raise InputError(f"{name}: expected {wanted}, got shape {tuple(spectrogram.shape)}")
    if dim is not None:
        _axis_of_sources(dim, spectrogram.ndim)
    if not torch.isfinite(spectrogram).all():
        raise InputError(f"{name}: expected finite values, got NaN or infinity")
