"""U-Net: masks from a picture of the spectrogram, drawn at six scales.

A. Jansson, E. Humphrey, N. Montecchio, R. Bittner, A. Kumar and T. Weyde, "Singing voice separation
with deep U-Net convolutional networks", ISMIR 2017.

Convolutions with stride 2 shrink the magnitudes of the mixture to a small map of many channels, and
transposed convolutions bring it back to full size. What is too fine for the small map, such as the
exact place of a harmonic, takes a shortcut: each map on the way up has the one of its size on the
way down beside it. The answer is a mask.

===============  ===================  ============================================================
paper            argument             meaning
===============  ===================  ============================================================
16               ``filters``          of the first convolution; they double from level to level
6                ``depth``            convolutions on the way down, and as many on the way up
5 x 5            ``kernel_size``      of all convolutions, which have stride 2
1024, 768        ``n_fft``            samples of a frame; ``hop_length`` between frames
8192 Hz          ``sample_rate``
0.5              ``dropout``          in the first three layers on the way up
===============  ===================  ============================================================

Deviations:
    - One network gives all estimates: one mask, with what it leaves of the mixture as the last
      estimate, or a mask for each. The paper trains a network for the voice and another for the
      accompaniment.
    - The network runs over the whole spectrogram, padded at its ends; the paper cuts it into
      patches of 128 frames.
    - It sees 512 of the 513 frequencies, as in the paper, which does not say which. Ours leaves the
      highest out and gives it the mask of its neighbour.
    - Levels are relative to the mixture's mean power, and normalised for each frequency by the
      statistics of training data; the paper scales them to the range from 0 to 1.
    - All channels of a mixture get the same mask.
    - ``small()`` and ``tiny()`` see the logarithm of the magnitudes, and have no dropout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.models.base import SpectrogramSeparator, estimate_names
from lib.nn.spectral import SpectralFeatures
from lib.nn.unet import SpectrogramUNet
from lib.stft import STFT

_SILENCE = 1e-20  # power


class Masker(nn.Module):
    """Features of the mixture, the network, and masks of what it answers.

    Args:
        bins: frequencies.
        outputs: of the network.
        residual: one more mask, of what the others leave.
        direct: take the answers as magnitudes rather than as masks.
        log: see the logarithm of the magnitudes.
        filters: of the first convolution.
        depth: convolutions on the way down.
        kernel_size: of all convolutions.
        skips: between the ways down and up.
        dropout: in the first three layers on the way up.

    Example:
        >>> masker = Masker(bins=17, outputs=1, residual=True, filters=2, depth=3)
        >>> masks = masker(torch.randn(3, 2, 17, 7, dtype=torch.complex64))
        >>> masks.shape, bool(((masks >= 0) & (masks <= 1)).all())
        (torch.Size([3, 2, 1, 17, 7]), True)
    """

    def __init__(
        self,
        bins: int,
        outputs: int,
        residual: bool,
        direct: bool = False,
        log: bool = False,
        filters: int = 16,
        depth: int = 6,
        kernel_size: int = 5,
        skips: bool = True,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.residual, self.direct = residual, direct
        self.features = SpectralFeatures(bins, log)
        self.network = SpectrogramUNet(outputs, filters, depth, kernel_size, skips, dropout)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, S, 1, F, K)."""
        logits = self.network(self.features(spectrogram))  # (B, outputs, F, K)
        masks = self.ratios(logits, spectrogram) if self.direct else logits.sigmoid()
        if self.residual:
            masks = torch.cat([masks, 1 - masks.sum(1, keepdim=True)], 1)  # (B, S, F, K)
        return masks[:, :, None]

    def ratios(self, logits: torch.Tensor, spectrogram: torch.Tensor) -> torch.Tensor:
        """Answer with magnitudes, and divide them by the mixture's: masks without an upper limit.

        What the network says is relative to the mixture's level, and to a typical magnitude of each
        frequency in training data.
        """
        power = spectrogram.abs().square().mean(1, keepdim=True)  # (B, 1, F, K)
        level = power.mean((2, 3), keepdim=True).clamp_min(_SILENCE).sqrt()  # (B, 1, 1, 1)
        features = self.features
        typical = features.mean.exp() if features.log else features.scale  # (F,)
        magnitudes = functional.softplus(logits) * typical[:, None] * level
        return magnitudes / power.clamp_min(_SILENCE).sqrt()


class UNet(SpectrogramSeparator):
    """Masks from one convolutional network with skips.

    Args:
        targets: what the network estimates, a mask each.
        residual: name of one more estimate, of what the targets leave of the mixture; None for
            none.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        filters: of the first convolution.
        depth: convolutions on the way down.
        kernel_size: of all convolutions, points on each axis.
        skips: between the ways down and up.
        direct: the network answers with magnitudes, rather than with masks from 0 to 1; the phase
            is the mixture's in any case.
        log: see the logarithm of the magnitudes.
        dropout: in the first three layers on the way up.
        sample_rate: Hz.

    Raises:
        InputError: without targets, for names that are not different, or sizes that cannot be.

    Example:
        >>> separator = UNet.tiny()
        >>> separator.source_names, separator(torch.randn(1, 1, 4000)).shape
        (('speech', 'noise'), torch.Size([1, 2, 1, 4000]))
    """

    masker: Masker

    def __init__(
        self,
        targets: Sequence[str] = ("vocals",),
        residual: str | None = "accompaniment",
        n_fft: int = 1024,
        hop_length: int = 768,
        filters: int = 16,
        depth: int = 6,
        kernel_size: int = 5,
        skips: bool = True,
        direct: bool = False,
        log: bool = False,
        dropout: float = 0.5,
        sample_rate: int = 8192,
    ):
        names = estimate_names(targets, residual)
        super().__init__(STFT(n_fft, hop_length), sample_rate, names)
        self.masker = Masker(
            n_fft // 2 + 1,
            len(targets),
            residual is not None,
            direct,
            log,
            filters,
            depth,
            kernel_size,
            skips,
            dropout,
        )

    @classmethod
    def paper(cls, outputs: int = 1, skips: bool = True) -> Self:
        """Build the published size, 9,823,313 parameters; 9,824,114 with two outputs."""
        return cls(**_outputs(outputs, _SONG["names"]), skips=skips)

    @classmethod
    def small(
        cls, outputs: int = 1, skips: bool = True, direct: bool = False, singing: bool = False
    ) -> Self:
        """Build the size of the shipped checkpoints: speech in noise at 8 kHz, or singing.

        Args:
            outputs: of the network: 1 leaves the second source to the rest of the mixture.
            skips: between the ways down and up.
            direct: answer with magnitudes rather than with masks.
            singing: separate vocals and accompaniment at 16 kHz.
        """
        return cls._preset(outputs, skips, direct, singing, filters=16, depth=5)

    @classmethod
    def tiny(
        cls, outputs: int = 1, skips: bool = True, direct: bool = False, singing: bool = False
    ) -> Self:
        """Build a size for live training, with the arguments of :meth:`small`."""
        return cls._preset(outputs, skips, direct, singing, filters=8, depth=4)

    @classmethod
    def _preset(
        cls, outputs: int, skips: bool, direct: bool, singing: bool, filters: int, depth: int
    ) -> Self:
        kind = dict(_SONG if singing else _SPEECH)
        return cls(
            **_outputs(outputs, kind.pop("names")),
            **kind,
            filters=filters,
            depth=depth,
            skips=skips,
            direct=direct,
            log=True,
            dropout=0.0,
        )

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set the statistics of the network's input."""
        self.masker.features.calibrate(self.encoder(mixture) for mixture in mixtures)


def _outputs(outputs: int, names: Sequence[str]) -> dict[str, Any]:
    """Both sources by the network, or the first by it and the second as the rest."""
    if outputs not in (1, 2):
        raise InputError(f"outputs: expected 1 or 2, got {outputs!r}")
    return {"targets": names[:outputs], "residual": names[1] if outputs == 1 else None}


_SPEECH: dict[str, Any] = {
    "names": ["speech", "noise"],
    "n_fft": 512,
    "hop_length": 128,
    "sample_rate": 8000,
}
_SONG: dict[str, Any] = {
    "names": ["vocals", "accompaniment"],
    "n_fft": 1024,
    "hop_length": 512,
    "sample_rate": 16000,
}
