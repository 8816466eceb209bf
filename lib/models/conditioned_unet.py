"""C-U-Net: one U-Net for all stems; a condition says which.

G. Meseguer-Brocal and G. Peeters, "Conditioned-U-Net: introducing a control mechanism in the U-Net
for multiple source separations", ISMIR 2019, arXiv:1907.01277.

The network of Jansson et al. hears beside the mixture a condition, the one-hot vector of a stem. A
small control network turns it into a scale and a shift (FiLM) for each map on the way down, and so
steers what the maps keep. What stems have in common is learned once, and vectors between the
one-hot ones may be asked for.

=============  ===============  ================================================================
paper          argument         meaning
=============  ===============  ================================================================
z              ``sources``      stems, one-hot vectors; others by ``conditions`` of ``forward``
gamma, beta    ``each``         scales and shifts: of each channel (complex control, 1,008 of
                                both), or one of each for all channels of a layer (simple, 6)
16, 64, 256    ``hidden``       units of the control network; 16, 256, 1024 in complex control
16             ``filters``      of the first convolution; they double from level to level
0.5            ``dropout``      in both networks
=============  ===============  ================================================================

The size of the complex control is that of the published configuration; a comment in the published
code says 16, 128, 1024.

Deviations:
    - What differs from Jansson's paper in :mod:`lib.models.unet` (whole spectrograms, the highest
      frequency, levels, channels) does so here.
    - The last layer has no normalisation, as in Jansson's network; in the published code it has.
    - Scales begin near 1; the published ones begin near 0, with weights of standard deviation 0.02,
      so that the encoder begins nearly deaf.
    - In training each mixture comes with all conditions, in the published code with one at random.
    - ``small()`` and ``tiny()`` see the logarithm of the magnitudes, and have no dropout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import nn

from lib.errors import InputError, check_signal
from lib.models.base import SpectrogramSeparator
from lib.nn.film import Control
from lib.nn.spectral import SpectralFeatures
from lib.nn.unet import SpectrogramUNet
from lib.stft import STFT


class Masker(nn.Module):
    """A U-Net, and the control network that steers it.

    Args:
        bins: frequencies.
        sources: length of a condition.
        filters: of the first convolution.
        depth: convolutions on the way down.
        each: scale and shift each channel for itself.
        hidden: units of the control network.
        log: see the logarithm of the magnitudes.
        dropout: in both networks.

    Example:
        >>> masker = Masker(bins=17, sources=4, filters=2, depth=3).eval()
        >>> spectrogram = torch.randn(3, 2, 17, 7, dtype=torch.complex64)
        >>> masker(spectrogram).shape, masker(spectrogram, torch.rand(6, 4)).shape
        (torch.Size([3, 4, 1, 17, 7]), torch.Size([3, 6, 1, 17, 7]))
    """

    def __init__(
        self,
        bins: int,
        sources: int,
        filters: int = 16,
        depth: int = 6,
        each: bool = False,
        hidden: Sequence[int] = (16, 64, 256),
        log: bool = False,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.sources = sources
        self.features = SpectralFeatures(bins, log)
        self.network = SpectrogramUNet(1, filters, depth, dropout=dropout)
        self.control = Control(sources, self.network.widths, hidden, each, dropout)

    def forward(
        self, spectrogram: torch.Tensor, conditions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to a mask per condition (B, S, 1, F, K).

        Args:
            spectrogram: of the mixture.
            conditions: ``(S, sources)``, or ``(B, S, sources)`` with others for each item; the
                one-hot vector of each source if not given.
        """
        features = self.features(spectrogram)  # (B, K, F)
        if conditions is None:
            conditions = torch.eye(self.sources)
        conditions = conditions.to(features)
        if conditions.ndim == 2:
            conditions = conditions.expand(len(features), -1, -1)  # (B, S, sources)
        if conditions.ndim != 3 or conditions.shape[::2] != (len(features), self.sources):
            raise InputError(
                f"conditions: expected a shape (any, {self.sources}) or ({len(features)}, any, "
                f"{self.sources}), got {tuple(conditions.shape)}"
            )
        modulations = self.control(conditions.flatten(0, 1))  # each (B * S, C or 1)
        repeated = features.repeat_interleave(conditions.shape[1], 0)  # (B * S, K, F)
        masks = self.network(repeated, modulations).sigmoid()  # (B * S, 1, F, K)
        return masks.unflatten(0, conditions.shape[:2])  # (B, S, 1, F, K)


class ConditionedUNet(SpectrogramSeparator):
    """A mask for each stem from one network, asked once per stem.

    Args:
        sources: the stems.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        filters: of the first convolution.
        depth: convolutions on the way down.
        each: complex control, of each channel for itself; else simple control.
        hidden: units of the control network.
        log: see the logarithm of the magnitudes.
        dropout: in both networks.
        sample_rate: Hz.

    Raises:
        InputError: for less than two stems, names that are not different, or sizes that cannot be.

    Example:
        >>> separator = ConditionedUNet.tiny()
        >>> separator(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
        >>> between = torch.tensor([[0.5, 0.5]])
        >>> separator.eval()(torch.randn(1, 1, 4000), between).shape
        torch.Size([1, 1, 1, 4000])
    """

    masker: Masker

    def __init__(
        self,
        sources: Sequence[str] = ("vocals", "drums", "bass", "other"),
        n_fft: int = 1024,
        hop_length: int = 768,
        filters: int = 16,
        depth: int = 6,
        each: bool = False,
        hidden: Sequence[int] = (16, 64, 256),
        log: bool = False,
        dropout: float = 0.5,
        sample_rate: int = 8192,
    ):
        if isinstance(sources, str) or len(set(sources)) < max(2, len(sources)):
            raise InputError(f"sources: expected two or more different names, got {sources!r}")
        super().__init__(STFT(n_fft, hop_length), sample_rate, sources)
        self.masker = Masker(
            n_fft // 2 + 1, len(sources), filters, depth, each, hidden, log, dropout
        )

    @classmethod
    def paper(cls, each: bool = False) -> Self:
        """Build a published size: 9,844,845 parameters, 12,159,873 with complex control."""
        return cls(each=each, hidden=[16, 256, 1024] if each else [16, 64, 256])

    @classmethod
    def small(cls, each: bool = False, stems: bool = False) -> Self:
        """Build the size of the shipped checkpoint: speech in noise at 8 kHz, or four stems.

        Args:
            each: complex control.
            stems: separate vocals, drums, bass and the rest of songs at 16 kHz.
        """
        return cls(**_STEMS if stems else _SPEECH, each=each, depth=5, **_SMALLER)

    @classmethod
    def tiny(cls, each: bool = False, stems: bool = False) -> Self:
        """Build a size for live training, with the arguments of :meth:`small`."""
        return cls(**_STEMS if stems else _SPEECH, each=each, filters=8, depth=4, **_SMALLER)

    def forward(
        self, mixture: torch.Tensor, conditions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Separate what the conditions ask for.

        Args:
            mixture: ``(batch, channels, time)``, at ``sample_rate``.
            conditions: ``(estimates, sources)``, or ``(batch, estimates, sources)`` with others for
                each item: any vectors. The one-hot vector of each source if not given.

        Returns:
            estimates ``(batch, estimates, channels, time)``.

        Raises:
            InputError: if ``mixture`` is no finite signal of this shape, or the conditions are not
                as long as there are sources.
        """
        if conditions is None:
            return super().forward(mixture)
        check_signal(mixture, "mixture", ndim=3)
        spectrogram = self.encoder(mixture)  # (B, C, F, K)
        masks = self.masker(spectrogram, conditions)  # (B, S, 1, F, K)
        return self.decode(masks * spectrogram[:, None], mixture.shape[-1])  # (B, S, C, T)

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set the statistics of the network's input."""
        self.masker.features.calibrate(self.encoder(mixture) for mixture in mixtures)


_SPEECH: dict[str, Any] = {
    "sources": ["speech", "noise"],
    "n_fft": 512,
    "hop_length": 128,
    "sample_rate": 8000,
}
_STEMS: dict[str, Any] = {"n_fft": 1024, "hop_length": 512, "sample_rate": 16000}
_SMALLER: dict[str, Any] = {"log": True, "dropout": 0.0}
