"""The contract of every separator, and the shape that most of them fill.

::

    mixture --> encoder --> masker --> x --> decoder --> estimates
                   |___________________|

A :class:`Separator` maps a mixture ``(batch, channels, time)`` to estimates ``(batch, sources,
channels, time)`` of the same length. :class:`EncoderMaskerDecoder` is the pipeline above;
:class:`SpectrogramSeparator` is that pipeline between an STFT and its inverse,
:class:`TimeDomainSeparator` between a bank of filters and its inverse.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from lib.errors import InputError, check_signal
from lib.filterbanks import Filterbank
from lib.framing import Memory
from lib.stft import STFT

__all__ = [
    "EncoderMaskerDecoder",
    "Separator",
    "SpectrogramSeparator",
    "TimeDomainSeparator",
    "check_mixture",
    "different_names",
    "estimate_names",
]


class Separator(nn.Module):
    """What every system declares and does.

    A system's constructor takes JSON values only (numbers, strings, booleans, None, lists), each
    with a default; :attr:`config` holds them, so that a checkpoint can build the system again.

    Attributes:
        config: the arguments of the constructor.
        sample_rate: in Hz, of the mixtures that the system is made for.
        source_names: what the estimates are, in their order.
        any_order: whether the sources are of one type, so that their order means nothing (two
            speakers) and scores must try every assignment.
        channels: how many channels a mixture has; None for any.
        lookahead: how many samples behind an output sample it depends on; None for all of them.
        receptive_field: how many samples of the mixture an output sample depends on; None for all.
    """

    config: dict[str, Any]
    sample_rate: int
    source_names: tuple[str, ...]
    any_order: bool = False
    channels: int | None = None
    lookahead: int | None = None
    receptive_field: int | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the arguments of the constructor in ``config``."""
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind(self, *args, **kwargs)
        bound.apply_defaults()
        object.__setattr__(self, "config", dict(list(bound.arguments.items())[1:]))
        return self

    @property
    def sources(self) -> int:
        """How many estimates there are."""
        return len(self.source_names)

    @property
    def is_causal(self) -> bool:
        """Whether the output waits for a bounded number of samples only (see ``lookahead``)."""
        return self.lookahead is not None

    @classmethod
    def paper(cls) -> Self:
        """Build the system in its published size."""
        raise NotImplementedError

    @classmethod
    def small(cls) -> Self:
        """Build the system in the size of the checkpoint that ships."""
        raise NotImplementedError

    @classmethod
    def tiny(cls) -> Self:
        """Build the system in a size that learns something audible in a minute on two cores."""
        raise NotImplementedError

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate.

        Args:
            mixture: ``(batch, channels, time)``, at ``sample_rate``.

        Returns:
            estimates ``(batch, sources, channels, time)``.

        Raises:
            InputError: if ``mixture`` is no finite signal of this shape.
        """
        raise NotImplementedError

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set what the system takes from data before training starts, such as input statistics.

        Args:
            mixtures: some training mixtures ``(channels, time)``.
        """

    def save(self, folder: str | Path, card: dict[str, Any] | None = None) -> None:
        """Write configuration, weights and model card to a folder.

        See :func:`lib.models.checkpoint.save`.
        """
        from lib.models.checkpoint import save

        save(self, folder, card)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Self:
        """Load a checkpoint that ships with the course, an official one, or a folder.

        See :func:`lib.models.checkpoint.load`.

        Raises:
            InputError: if there is none of this name, or it holds another system.
            DataError: if it is damaged or cannot be fetched.
        """
        from lib.models.checkpoint import load

        model = load(name_or_path)
        if not isinstance(model, cls):
            raise InputError(
                f"{name_or_path}: expected a checkpoint of {cls.__name__}, "
                f"got one of {type(model).__name__}"
            )
        return model


class EncoderMaskerDecoder(Separator):
    """Encode the mixture, weight its features once per source, decode each.

    A system sets the modules ``encoder`` (mixture -> features ``(batch, ..., frames)``), ``masker``
    (features -> masks ``(batch, sources, ..., frames)``) and defines :meth:`decode`.

    In causal systems all three take the ``memory`` of a stream, a dict in which each block keeps
    what it needs of the pieces before (see :class:`lib.separate.Streamer`). A masker may return
    masks for fewer frames than it got, in order, as long as it waits for more; with the last piece
    ``memory["end"]`` is True and the rest comes out.
    """

    encoder: nn.Module
    masker: nn.Module

    def decode(
        self, features: torch.Tensor, length: int | None, memory: Memory | None = None
    ) -> torch.Tensor:
        """Turn features back into waveforms of ``length`` samples.

        Before the end of a stream ``length`` is None: as many as are finished.
        """
        raise NotImplementedError

    def advance(
        self, chunk: torch.Tensor | None, length: int | None, memory: Memory
    ) -> torch.Tensor | None:
        """Take a stream further (see :class:`lib.separate.Streamer`).

        Args:
            chunk: the next samples of the mixture ``(1, channels, time)``; None at the end.
            length: None before the end, then how many samples are left.
            memory: of the stream; what it holds is replaced, not changed.

        Returns:
            Estimates ``(1, sources, channels, time')`` of the samples that are finished; None if
            there are none.
        """
        if chunk is None:
            memory["end"] = True
            features = self.encoder.flush(memory)
        else:
            features = self.encoder(chunk, memory)
        waiting = memory.get("features", features[..., :0])  # for masks
        if features.shape[-1] == 0 and (chunk is not None or waiting.shape[-1] == 0):
            return None
        masks = self.masker(features, memory)  # (1, S, ..., K')
        features, ready = torch.cat([waiting, features], -1), masks.shape[-1]
        memory["features"] = features[..., ready:].clone()
        if ready == 0:
            return None
        return self.decode(masks * features[:, None, ..., :ready], length, memory)

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`Separator.forward`."""
        check_signal(mixture, "mixture", ndim=3)
        features = self.encoder(mixture)  # (B, ..., K)
        masks = self.masker(features)  # (B, S, ..., K)
        return self.decode(masks * features[:, None], mixture.shape[-1])  # (B, S, C, T)


class SpectrogramSeparator(EncoderMaskerDecoder):
    """A masker between an STFT and its inverse.

    ``masker`` takes the complex spectrogram ``(batch, channels, freq, frames)`` and returns masks
    ``(batch, sources, channels or 1, freq, frames)``. The mixture's phase is kept unless the masks
    are complex.

    Args:
        stft: the transform.
        sample_rate: Hz.
        source_names: what the estimates are.
        any_order: whether their order means nothing.
    """

    encoder: STFT

    def __init__(
        self, stft: STFT, sample_rate: int, source_names: Iterable[str], any_order: bool = False
    ):
        super().__init__()
        self.encoder = stft
        self.sample_rate = sample_rate
        self.source_names = tuple(source_names)
        self.any_order = any_order

    def decode(
        self, features: torch.Tensor, length: int | None, memory: Memory | None = None
    ) -> torch.Tensor:
        """Invert spectrograms ``(..., freq, frames)``."""
        return self.encoder.inverse(features, length, memory)

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`Separator.forward`."""
        check_signal(mixture, "mixture", ndim=3)
        return self.decode(self.spectra(self.encoder(mixture)), mixture.shape[-1])  # (B, S, C, T)

    def spectra(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the spectrograms of the sources; what losses on complex numbers compare.

        Args:
            spectrogram: of the mixture, complex ``(batch, channels, freq, frames)``.

        Returns:
            complex ``(batch, sources, channels, freq, frames)``.
        """
        return self.masker(spectrogram) * spectrogram[:, None]

    def magnitudes(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the magnitudes of the sources; what losses on spectrograms compare.

        Args:
            spectrogram: of the mixture, complex ``(batch, channels, freq, frames)``.

        Returns:
            ``(batch, sources, channels, freq, frames)``; below zero where a real mask is.
        """
        masks = self.masker(spectrogram)
        masks = masks.abs() if masks.is_complex() else masks
        return masks * spectrogram.abs()[:, None]


class TimeDomainSeparator(EncoderMaskerDecoder):
    """A masker between a bank of filters and its inverse, for one channel.

    ``masker`` takes features ``(batch, filters, frames)`` and returns masks ``(batch, sources,
    filters, frames)``.

    Args:
        bank: the filters.
        sample_rate: Hz.
        speakers: how many estimates, in no particular order.

    Raises:
        InputError: for less than one speaker.
    """

    encoder: Filterbank
    any_order = True
    channels = 1

    def __init__(self, bank: Filterbank, sample_rate: int, speakers: int):
        super().__init__()
        if speakers < 1:
            raise InputError(f"speakers: expected at least 1, got {speakers}")
        self.encoder = bank
        self.sample_rate = sample_rate
        self.source_names = tuple(f"speaker_{index + 1}" for index in range(speakers))

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`Separator.forward`."""
        check_mixture(mixture, self.channels)
        return super().forward(mixture)

    def decode(
        self, features: torch.Tensor, length: int | None, memory: Memory | None = None
    ) -> torch.Tensor:
        """Turn features (B, S, N, K) into waveforms (B, S, 1, length)."""
        return self.encoder.inverse(features, length, memory)


def check_mixture(mixture: torch.Tensor, channels: int) -> None:
    """Require a mixture of so many channels.

    Args:
        mixture: ``(batch, channels, time)``.
        channels: that the system hears.

    Raises:
        InputError: if it is no finite signal of this shape.

    Example:
        >>> check_mixture(torch.zeros(1, 1, 8), channels=2)
        Traceback (most recent call last):
        ...
        lib.errors.InputError: mixture: expected 2 channels, got 1; ...
    """
    check_signal(mixture, "mixture", ndim=3)
    got = mixture.shape[1]
    if got == channels:
        return
    if channels == 1:
        advice = "run each channel by itself, model(mixture.flatten(0, 1)[:, None]), or their mean"
    elif got == 1:
        advice = f"give it to all of them, mixture.expand(-1, {channels}, -1)"
    else:
        advice = "mix them down before"
    wanted = "one channel" if channels == 1 else f"{channels} channels"
    raise InputError(f"mixture: expected {wanted}, got {got}; {advice}")


def different_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Require a list of different names.

    Args:
        sources: what a system separates.

    Raises:
        InputError: if it is empty, a text, or names one twice.

    Example:
        >>> different_names(["vocals", "drums"])
        ('vocals', 'drums')
    """
    if isinstance(sources, str) or not sources or len(set(sources)) < len(sources):
        raise InputError(f"sources: expected a list of different names, got {sources!r}")
    return tuple(sources)


def estimate_names(targets: Sequence[str], residual: str | None) -> list[str]:
    """Names of the estimates of a network that answers for targets and may leave a rest.

    Args:
        targets: what the network estimates.
        residual: name of one more estimate, of what the targets leave; None for none.

    Raises:
        InputError: without targets, or for names that are not different.

    Example:
        >>> estimate_names(["speech"], "noise")
        ['speech', 'noise']
    """
    names = [*targets] + ([residual] if residual else [])
    if isinstance(targets, str) or not targets or len(set(names)) < len(names):
        raise InputError(f"targets: expected a list of different names, got {targets!r}")
    return names
