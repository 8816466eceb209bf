"""What a training minimises: ``objective(model, mixture, sources) -> loss (batch,)``.

An objective runs the model and compares what comes out with the sources; :func:`make_objective`
builds one by name, as recipes do.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lib import masks
from lib.errors import InputError
from lib.losses.clustering import active_points, deep_clustering_loss, dominant_source
from lib.losses.consistency import mixture_consistency_penalty
from lib.losses.pit import pairwise, pit
from lib.losses.self_training import ComplexL1, SelfTraining
from lib.losses.spectrogram import (
    DISTANCES,
    log_loss,
    magnitude_loss,
    mask_approximation_loss,
    phase_sensitive_magnitude,
    power_loss,
)
from lib.losses.waveform import (
    l1_loss,
    l2_loss,
    multi_resolution_stft_loss,
    si_snr_loss,
    snr_loss,
)

_WAVEFORM_LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "l1": l1_loss,
    "l2": l2_loss,
    "multi_resolution_stft": multi_resolution_stft_loss,
    "si_snr": si_snr_loss,
    "snr": snr_loss,
}
_SCALES = {"magnitude": magnitude_loss, "power": power_loss, "log": log_loss}
_MASKS = ("ibm", "irm", "wfm", "am", "psm", "npsm")
_PERMUTATIONS = (None, "none", "utterance", "frame")


@dataclasses.dataclass
class Waveform:
    """Compare estimated waveforms with the sources.

    Args:
        loss: ``si_snr``, ``snr``, ``l1``, ``l2`` or ``multi_resolution_stft``.
        permutation: ``none`` compares in order, ``utterance`` in the best order; if not given, the
            latter where the model's sources are of one type (``model.any_order``).

    Example:
        >>> mixture = torch.randn(3, 1, 100, generator=torch.Generator().manual_seed(0))
        >>> sources = torch.stack([mixture, -mixture], 1)
        >>> Waveform("l1", "utterance")(lambda mixture: sources.flip(1), mixture, sources)
        tensor([0., 0., 0.])
    """

    loss: str = "si_snr"
    permutation: str | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        _choose(self.loss, _WAVEFORM_LOSSES, "loss")
        _choose(self.permutation, (None, "none", "utterance"), "permutation")

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        level = _permutation(self.permutation, model)
        return _compare(_WAVEFORM_LOSSES[self.loss], model(mixture), sources, level)


@dataclasses.dataclass
class Spectrogram:
    """Compare ``model.magnitudes`` with the magnitudes of the sources.

    Both are divided by the mean magnitude of the mixture, so that loud items do not dominate.

    Args:
        target: ``magnitude``, or the part in phase with the mixture: ``psm``, ``npsm`` (not below
            0) or ``tpsm`` (0 to the mixture's magnitude).
        distance: ``l1`` or ``l2``.
        scale: compare ``magnitude``, ``power`` or ``log``.
        permutation: ``none``, ``utterance``, or ``frame``, which assigns each frame by itself (PIT
            as first published); if not given, ``utterance`` where ``model.any_order``.

    Source: see :mod:`lib.losses.spectrogram`; D. Yu et al., ICASSP 2017 (``frame``); M. Kolbaek et
    al., TASLP 2017 (``utterance``).

    Example:
        >>> Spectrogram(target="psm", distance="l2", permutation="utterance").scale
        'magnitude'
    """

    target: str = "magnitude"
    distance: str = "l1"
    scale: str = "magnitude"
    permutation: str | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        _choose(self.target, ("magnitude", "psm", "npsm", "tpsm"), "target")
        _choose(self.distance, DISTANCES, "distance")
        _choose(self.scale, _SCALES, "scale")
        _choose(self.permutation, _PERMUTATIONS, "permutation")
        if self.target == "psm" and self.scale != "magnitude":
            raise InputError(
                f"scale: expected magnitude with target psm, which has a sign, got {self.scale!r}; "
                "take target npsm"
            )

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        _require(model, "magnitudes")
        spectrogram = model.encoder(mixture)  # (B, C, F, K)
        magnitudes = model.magnitudes(spectrogram)  # (B, S, C, F, K)
        permutation = _permutation(self.permutation, model)
        return self.compare(magnitudes, spectrogram, model.encoder(sources), permutation)

    def compare(
        self,
        magnitudes: torch.Tensor,
        spectrogram: torch.Tensor,
        references: torch.Tensor,
        permutation: str,
    ) -> torch.Tensor:
        """Compare magnitudes (B, S, C, F, K), given the spectrograms of mixture and sources."""
        if self.target == "magnitude":
            target = references.abs()
        else:
            target = phase_sensitive_magnitude(references, spectrogram[:, None], self.target)
        level = spectrogram.abs().mean((1, 2, 3))[:, None, None, None, None]
        level = torch.where(level > 0, level, 1.0)
        loss = functools.partial(_SCALES[self.scale], distance=self.distance)
        return _compare(loss, magnitudes.float() / level, target / level, permutation)


@dataclasses.dataclass
class Mask:
    """Compare ``model.masker`` with ideal masks.

    Args:
        target: a mask of :mod:`lib.masks`: ``ibm``, ``irm``, ``wfm``, ``am``, ``psm`` or ``npsm``.
        distance: ``l1`` or ``l2``.
        permutation: as in :class:`Spectrogram`.
        clip: largest absolute value of ``am``, ``psm`` and ``npsm``, which have no limit where the
            mixture is faint.

    Source: see :func:`lib.losses.mask_approximation_loss`.

    Example:
        >>> Mask(target="irm").distance
        'l2'
    """

    target: str = "irm"
    distance: str = "l2"
    permutation: str | None = None
    clip: float = 1.0

    def __post_init__(self) -> None:
        """Check the options."""
        _choose(self.target, _MASKS, "target")
        _choose(self.distance, DISTANCES, "distance")
        _choose(self.permutation, _PERMUTATIONS, "permutation")

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        _require(model, "masker")
        spectrogram = model.encoder(mixture)  # (B, C, F, K)
        clip = {"clip": self.clip} if self.target in ("am", "psm", "npsm") else {}
        ideal = masks.OracleMask.KINDS[self.target](
            model.encoder(sources), 1, spectrogram, **clip
        )  # (B, S, C, F, K)
        mask = model.masker(spectrogram)  # (B, S, C or 1, F, K)
        loss = functools.partial(mask_approximation_loss, distance=self.distance)
        permutation = _permutation(self.permutation, model)
        return _compare(loss, mask.expand(-1, -1, *ideal.shape[2:]), ideal, permutation)


@dataclasses.dataclass
class DeepClustering:
    """Pull embeddings of one source together and those of different sources apart.

    Compares ``model.embeddings`` with the source that dominates each point; see
    :func:`lib.losses.deep_clustering_loss`.

    Args:
        silence_db: points further below the loudest of the mixture do not count.

    Source: J. R. Hershey et al., "Deep clustering", ICASSP 2016.

    Example:
        >>> DeepClustering()
        DeepClustering(silence_db=-40.0)
    """

    silence_db: float = -40.0

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        _require(model, "embeddings")
        spectrogram = model.encoder(mixture)  # (B, C, F, K)
        embeddings = model.embeddings(spectrogram)  # (B, N, D)
        return self.compare(embeddings, spectrogram, model.encoder(sources))

    def compare(
        self, embeddings: torch.Tensor, spectrogram: torch.Tensor, references: torch.Tensor
    ) -> torch.Tensor:
        """Score embeddings (B, N, D), given the spectrograms of mixture and sources."""
        weights = active_points(spectrogram, self.silence_db)
        return deep_clustering_loss(embeddings, dominant_source(references), weights)


@dataclasses.dataclass
class Attractor:
    """Train embeddings through masks drawn by the sources' true centres (DANet).

    The model gets the assignments (B, N, S) of active points, makes an attractor of each source and
    a mask by the attractors: ``model.attractor_magnitudes(spectrogram, assignments)``. The order of
    its answer is that of the assignments, so nothing is permuted.

    Args:
        distance: ``l1`` or ``l2``.
        silence_db: points further below the loudest of the mixture form no attractor.

    Source: Z. Chen, Y. Luo and N. Mesgarani, "Deep attractor network for single-microphone speaker
    separation", ICASSP 2017.

    Example:
        >>> Attractor().distance
        'l2'
    """

    distance: str = "l2"
    silence_db: float = -40.0

    def __post_init__(self) -> None:
        """Check the options."""
        _choose(self.distance, DISTANCES, "distance")

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        _require(model, "attractor_magnitudes")
        spectrogram, references = model.encoder(mixture), model.encoder(sources)
        active = active_points(spectrogram, self.silence_db)[..., None]
        assignments = dominant_source(references) * active  # (B, N, S)
        magnitudes = model.attractor_magnitudes(spectrogram, assignments)
        spectral = Spectrogram(distance=self.distance)
        return spectral.compare(magnitudes, spectrogram, references, "none")


@dataclasses.dataclass
class Chimera:
    """Train two heads on one body: embeddings by deep clustering, magnitudes by their error.

    The loss is ``w DC + (1 - w) MI``: of the first of ``model.heads(spectrogram)`` (embeddings
    (B, N, D)) :class:`DeepClustering`, of the second (magnitudes) :class:`Spectrogram`.

    Args:
        embedding_weight: w.
        target: of the magnitudes.
        distance: of the magnitudes.
        permutation: of the magnitudes.
        silence_db: of the embeddings.

    Source: Z.-Q. Wang, J. Le Roux and J. R. Hershey, "Alternative objective functions for deep
    clustering", ICASSP 2018 (w = 0.975, truncated phase-sensitive target, L1).

    Example:
        >>> Chimera().embedding_weight
        0.975
    """

    embedding_weight: float = 0.975
    target: str = "tpsm"
    distance: str = "l1"
    permutation: str | None = None
    silence_db: float = -40.0

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 <= self.embedding_weight <= 1:
            raise InputError(f"embedding_weight: expected 0 to 1, got {self.embedding_weight}")
        self._clustering = DeepClustering(self.silence_db)
        self._spectrogram = Spectrogram(self.target, self.distance, permutation=self.permutation)

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        _require(model, "heads")
        spectrogram, references = model.encoder(mixture), model.encoder(sources)
        embeddings, magnitudes = model.heads(spectrogram)
        permutation = _permutation(self.permutation, model)
        clustering = self._clustering.compare(embeddings, spectrogram, references)
        inference = self._spectrogram.compare(magnitudes, spectrogram, references, permutation)
        return self.embedding_weight * clustering + (1 - self.embedding_weight) * inference


@dataclasses.dataclass
class VoiceAndNoise:
    """A voice, the noise around it, and their sum: three terms, two of them weighted.

    The loss is ``L(v) + noise_weight L(n) + consistency P``: L is the negative SI-SNR of the first
    and of the second source (SI-SDR without ``zero_mean``), P the share of the mixture that the
    estimates leave over or add (:func:`lib.losses.mixture_consistency_penalty`). SI-SNR leaves the
    level of an estimate free; P does not. A source that is silent has no ratio: the gate leaves its
    term out.

    Args:
        noise_weight: of the second term; 0 trains on the voice alone.
        consistency: of the third.
        gate_db: mean power, in dB re 1, below which a source counts as silent.
        zero_mean: remove the means before L is taken, as SI-SNR does. An offset then costs nothing,
            and as the offsets of two estimates can cancel in the sum, P does not see it either.
        margin: samples at both ends that are input only. A network that looks around finds zeros
            beyond the ends; with a margin as wide as it looks, what is compared has full context.

    Example:
        >>> mixture = torch.randn(3, 1, 100, generator=torch.Generator().manual_seed(0))
        >>> silence = torch.stack([mixture, 0 * mixture], 1)
        >>> VoiceAndNoise()(lambda mixture: silence, mixture, silence)
        tensor([-80., -80., -80.])
    """

    noise_weight: float = 0.25
    consistency: float = 10.0
    gate_db: float = -60.0
    zero_mean: bool = True
    margin: int = 0

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("noise_weight", "consistency", "margin"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: expected 0 or more, got {getattr(self, name)}")

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, 2, C, T)."""
        estimates = model(mixture)  # (B, 2, C, T)
        if sources.shape[1] != 2 or estimates.shape != sources.shape:
            raise InputError(
                f"sources: expected two, voice and noise, in the shape of the estimates "
                f"{tuple(estimates.shape)}, got {tuple(sources.shape)}"
            )
        inner = slice(self.margin, mixture.shape[-1] - self.margin)
        if inner.stop <= inner.start:
            raise InputError(
                f"margin: expected less than half of the {mixture.shape[-1]} samples, "
                f"got {self.margin}"
            )
        mixture, sources = mixture[..., inner], sources[..., inner]
        estimates = estimates[..., inner]
        losses = si_snr_loss(estimates, sources, self.zero_mean, self.gate_db).mean(-1)  # (B, 2)
        penalty = mixture_consistency_penalty(estimates, mixture)
        return losses[:, 0] + self.noise_weight * losses[:, 1] + self.consistency * penalty


@dataclasses.dataclass
class L1STFT:
    """Compare the first source as a waveform and as magnitudes at several resolutions.

    The loss is ``L1 + stft_weight MRSTFT``: :func:`lib.losses.l1_loss` and
    :func:`lib.losses.multi_resolution_stft_loss`. The other sources do not count: for systems that
    estimate one, and call the rest of the mixture another.

    Args:
        stft_weight: of the second term.

    Source: A. Defossez, G. Synnaeve and Y. Adi, Interspeech 2020, eq. 1 and 2; the paper has a
    weight of 0.5, the causal networks were trained with 0.1, as the authors' code says.

    Example:
        >>> mixture = torch.randn(3, 1, 100, generator=torch.Generator().manual_seed(0))
        >>> sources = torch.stack([mixture, 0 * mixture], 1)
        >>> L1STFT()(lambda mixture: torch.stack([mixture, mixture], 1), mixture, sources)
        tensor([0., 0., 0.])
    """

    stft_weight: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        if self.stft_weight < 0:
            raise InputError(f"stft_weight: expected 0 or more, got {self.stft_weight}")

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        return _compare(self._loss, model(mixture)[:, :1], sources[:, :1], "none")

    def _loss(self, estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        spectral = multi_resolution_stft_loss(estimate, reference)
        return l1_loss(estimate, reference) + self.stft_weight * spectral


OBJECTIVES: dict[str, type] = {
    "attractor": Attractor,
    "chimera": Chimera,
    "complex_l1": ComplexL1,
    "deep_clustering": DeepClustering,
    "l1_stft": L1STFT,
    "mask": Mask,
    "self_training": SelfTraining,
    "spectrogram": Spectrogram,
    "voice_and_noise": VoiceAndNoise,
    "waveform": Waveform,
}


def make_objective(name: str, **options: Any) -> Callable[..., torch.Tensor]:
    """Build an objective by name.

    Args:
        name: a key of :data:`OBJECTIVES`.
        **options: of that objective.

    Returns:
        A callable ``(model, mixture (B, C, T), sources (B, S, C, T)) -> loss (B,)``.

    Raises:
        InputError: for an unknown name, option or value, naming the allowed ones.

    Example:
        >>> make_objective("waveform", loss="si_snr", permutation="utterance")
        Waveform(loss='si_snr', permutation='utterance')
    """
    objective = OBJECTIVES[_choose(name, OBJECTIVES, "objective")]
    allowed = [field.name for field in dataclasses.fields(objective)]
    for option, value in options.items():
        _choose(option, allowed, f"option of objective {name}")
        is_number = isinstance(value, numbers.Real) and math.isfinite(value)
        if isinstance(getattr(objective, option), float) and not is_number:
            raise InputError(f"{option}: expected a number, got {value!r}")
    return objective(**options)


def _choose(value: Any, allowed: Any, name: str) -> Any:
    if value not in allowed:
        known = ", ".join(one for one in allowed if one is not None)
        raise InputError(f"{name}: expected one of {known}; got {value!r}")
    return value


def _require(model: nn.Module, method: str) -> None:
    if not hasattr(model, method):
        raise InputError(
            f"objective: {type(model).__name__} has no {method}(), which this objective compares; "
            "take another, such as waveform"
        )


def _permutation(permutation: str | None, model: nn.Module) -> str:
    if permutation is None:
        return "utterance" if model.any_order else "none"
    return permutation


def _compare(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    estimates: torch.Tensor,
    references: torch.Tensor,
    permutation: str,
) -> torch.Tensor:
    """Average ``loss`` over sources in order, or in the best order: ``(batch,)``."""
    if estimates.shape != references.shape:
        raise InputError(
            "sources: expected the shape of the model's estimates "
            f"{tuple(estimates.shape)}, got {tuple(references.shape)}"
        )
    if permutation == "none":
        return loss(estimates, references).flatten(1).mean(1)
    if permutation == "frame":
        frames = [one.movedim(-1, 1).flatten(0, 1)[..., None] for one in (estimates, references)]
        losses = pit(pairwise(loss, *frames))[0]  # (B * K,)
        return losses.unflatten(0, (len(estimates), -1)).mean(1)
    return pit(pairwise(loss, estimates, references))[0]
