"""MDX-Net: a U-Net on real and imaginary parts, whose blocks also connect all frequencies.

M. Kim, W. Choi, J. Chung, D. Lee and S. Jung, "KUIELab-MDX-Net: a two-stream neural network for
music demixing", Music Demixing Workshop at ISMIR 2021, arXiv:2111.12203. Its blocks come from
W. Choi et al., "Investigating U-Nets with various intermediate blocks for spectrogram-based singing
voice separation", ISMIR 2020.

Real and imaginary parts of both channels are four pictures for a real network, which answers with
the spectrogram of the source itself, phase and all. A block convolves over time and frequency
(TFC), then adds what two matrices along the frequencies of each frame say (TDF): a convolution sees
neighbours, a matrix all harmonics. Each source has a network, and each network hears only up to
where its source has something to say: frequencies above are cut, frames made longer instead.

===========  =================  ===================================================================
code         argument           meaning
===========  =================  ===================================================================
dim_f        ``bandwidth``      bins that the network sees, from the lowest: 2048
n_fft        ``n_fft``          16384, 8192, 6144, 4096 for bass, other, vocals, drums: 2048 bins
                                reach up to 5.5, 11, 14.7, 22.05 kHz
dim_c        ``channels``       of the mixture; twice as many pictures
g            ``filters``        of the first level; as many more at each
num_blocks   ``depth``          2 * depth + 1 blocks
l            ``layers``         convolutions of a block
k            ``kernel_size``    of a convolution
bn           ``bottleneck``     frequencies per unit between the two matrices
===========  =================  ===================================================================

The published system goes on: :class:`Mixer` corrects the estimates of the four networks by each
other, and :mod:`lib.blending` weights them with those of Demucs. The network is version 2 of
TFC-TDF; in later collections MDX-Net often means version 3, with other norms and blocks.

Deviations:
    - All four networks have the published 11 blocks and 7,423,236 parameters. Configurations of the
      authors' repository differ: its network for the drums has 9.
    - The network runs over the whole spectrogram, padded at its end; the published one, over pieces
      of 256 frames.
    - The STFT is ``lib.stft.STFT``: frames beyond the ends of the signal see zeros, not its mirror.
    - :class:`Mixer` begins with the identity, and has weights in closed form as well.
    - ``small()`` and ``tiny()`` hear one channel, and spectrograms relative to the mixture's level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import nn

from lib.blending import least_squares
from lib.errors import InputError
from lib.models.base import SpectrogramSeparator, estimate_names
from lib.nn.spectral import heard_channels, own_channels
from lib.nn.tfc_tdf import TFCTDFUNet
from lib.stft import STFT

# samples of a frame, of which 2048 bins are kept
FRAMES = {"bass": 16384, "drums": 4096, "other": 8192, "vocals": 6144}


class Spectra(nn.Module):
    """The networks of all targets, and what they leave of the mixture.

    Example:
        >>> networks = [TFCTDFUNet(4, bins=8, filters=2, depth=1)]
        >>> spectra = Spectra(networks, channels=2, bandwidth=8, residual=True)
        >>> spectra(torch.randn(3, 2, 11, 7, dtype=torch.complex64)).shape
        torch.Size([3, 2, 2, 11, 7])
    """

    def __init__(
        self,
        networks: Sequence[TFCTDFUNet],
        channels: int,
        bandwidth: int,
        residual: bool = False,
        relative: bool = False,
    ):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.channels, self.bandwidth = channels, bandwidth
        self.residual, self.relative = residual, relative

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map the complex spectrogram (B, C, F, K) to those of the sources (B, S, C, F, K)."""
        heard = heard_channels(spectrogram, self.channels)  # (B', C', F, K)
        seen = heard[:, :, : self.bandwidth].transpose(2, 3)  # (B', C', K, seen)
        level = torch.ones((), device=seen.device)
        if self.relative:
            power = seen.abs().square().mean((1, 2, 3), keepdim=True)  # (B', 1, 1, 1)
            level = power.clamp_min(1e-20).sqrt()
        parts = torch.view_as_real((seen / level).contiguous())  # (B', C', K, seen, 2)
        pictures = parts.movedim(-1, 2).flatten(1, 2)  # (B', 2 C', K, seen)
        answers = torch.stack([network(pictures) for network in self.networks], 1)
        answers = answers.unflatten(2, (-1, 2)).movedim(3, -1)  # (B', S, C', K, seen, 2)
        spectra = torch.view_as_complex(answers.contiguous()) * level[..., None]
        spectra = own_channels(spectra.transpose(3, 4), spectrogram.shape[1])  # (B, S, C, seen, K)
        above = spectrogram.shape[2] - self.bandwidth
        spectra = nn.functional.pad(spectra, (0, 0, 0, above))  # (B, S, C, F, K)
        if self.residual:
            rest = spectrogram[:, None] - spectra.sum(1, keepdim=True)
            spectra = torch.cat([spectra, rest], 1)
        return spectra


class MDXNet(SpectrogramSeparator):
    """The spectrogram of each target from a network of its own.

    ``masker`` answers with spectrograms, not masks: train it by ``spectra`` or waveforms. With
    ``channels=1`` each channel of a mixture is separated by itself.

    Args:
        targets: what to estimate, one network each.
        residual: name of one more estimate, of what the targets leave of the mixture; None for
            none.
        channels: that the networks hear together: 1 or 2. Stereo networks hear a mono mixture on
            both.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        bandwidth: bins that the networks see, from the lowest; the estimates are zero above.
        filters: of the first level; as many more at each.
        depth: times that both axes are halved.
        layers: convolutions of a block.
        kernel_size: of a convolution.
        bottleneck: frequencies per unit between the matrices of a block.
        relative: hear spectrograms relative to the level of the mixture.
        sample_rate: Hz.

    Raises:
        InputError: for no target, or bins that are not there or cannot be halved so often.

    Example:
        >>> MDXNet.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: Spectra

    def __init__(
        self,
        targets: Sequence[str] = ("vocals",),
        residual: str | None = None,
        channels: int = 2,
        n_fft: int = 6144,
        hop_length: int = 1024,
        bandwidth: int = 2048,
        filters: int = 32,
        depth: int = 5,
        layers: int = 3,
        kernel_size: int = 3,
        bottleneck: int = 8,
        relative: bool = False,
        sample_rate: int = 44100,
    ):
        names = estimate_names(targets, residual)
        if not 0 < bandwidth <= n_fft // 2 + 1 or bandwidth % 2**depth:
            raise InputError(
                f"bandwidth: expected a multiple of {2**depth} up to {n_fft // 2 + 1} bins, "
                f"got {bandwidth}"
            )
        super().__init__(STFT(n_fft, hop_length), sample_rate, names)
        sizes = (2 * channels, bandwidth, filters, depth, layers, kernel_size, bottleneck)
        networks = [TFCTDFUNet(*sizes) for _ in targets]
        self.masker = Spectra(networks, channels, bandwidth, residual is not None, relative)

    @classmethod
    def paper(cls, target: str = "vocals") -> Self:
        """Build the network of one target: 7,423,236 parameters."""
        if target not in FRAMES:
            raise InputError(f"target: expected one of {', '.join(FRAMES)}, got {target!r}")
        return cls([target], n_fft=FRAMES[target])

    @classmethod
    def small(cls) -> Self:
        """Build a size for training on one core: vocals and what they leave, at 16 kHz."""
        return cls(**_SMALL)

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(**_TINY)

    def spectra(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the spectrograms (B, S, C, F, K) of the sources."""
        return self.masker(spectrogram)

    def magnitudes(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the magnitudes (B, S, C, F, K) of the sources."""
        return self.spectra(spectrogram).abs()


class Mixer(nn.Module):
    """Correct the estimates of all sources by each other: one matrix for every sample.

    With four stereo sources it weights ten channels, the mixture's among them, for each of eight:
    80 weights. It is trained after the networks, which it leaves alone.

    Args:
        sources: S.
        channels: C.

    Example:
        >>> mixer = Mixer()
        >>> estimates, mixture = torch.randn(3, 4, 2, 100), torch.randn(3, 2, 100)
        >>> torch.equal(mixer(estimates, mixture), estimates)  # before training
        True
        >>> sum(weights.numel() for weights in mixer.parameters())
        80
    """

    def __init__(self, sources: int = 4, channels: int = 2):
        super().__init__()
        self.linear = nn.Linear((sources + 1) * channels, sources * channels, bias=False)
        nn.init.eye_(self.linear.weight)

    def forward(self, estimates: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
        """Map estimates (B, S, C, T) of a mixture (B, C, T) to better ones."""
        heard = torch.cat([estimates, mixture[:, None]], 1).flatten(1, 2)  # ((S + 1) C channels)
        mixed = self.linear(heard.transpose(1, 2)).transpose(1, 2)  # (B, S C, T)
        return mixed.unflatten(1, estimates.shape[1:3])

    @torch.no_grad()
    def fit(self, estimates: torch.Tensor, mixture: torch.Tensor, sources: torch.Tensor) -> None:
        """Set the weights to those of the least squared error: nothing needs to be trained.

        Args:
            estimates: ``(B, S, C, T)``.
            mixture: ``(B, C, T)``.
            sources: ``(B, S, C, T)``.
        """
        heard = torch.cat([estimates, mixture[:, None]], 1).flatten(1, 2)
        self.linear.weight.copy_(least_squares(heard, sources.flatten(1, 2)))


_COURSE: dict[str, Any] = {
    "targets": ["vocals"],
    "residual": "accompaniment",
    "channels": 1,
    "relative": True,
}
_SMALL = _COURSE | {
    "n_fft": 1024,
    "hop_length": 512,
    "bandwidth": 448,
    "filters": 16,
    "depth": 5,
    "layers": 2,
    "sample_rate": 16000,
}
_TINY = _COURSE | {
    "n_fft": 256,
    "hop_length": 128,
    "bandwidth": 112,
    "filters": 4,
    "depth": 2,
    "layers": 1,
    "sample_rate": 8000,
}
