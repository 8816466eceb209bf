"""Open-Unmix: one recurrent network per source, with a shortcut around its recurrence.

F.-R. Stoeter, S. Uhlich, A. Liutkus and Y. Mitsufuji, "Open-Unmix - a reference implementation for
music source separation", JOSS 4(41), 2019, doi:10.21105/joss.01667.

A network sees the magnitudes of all channels of the mixture up to 16 kHz, one vector per frame, and
answers with a mask for one source. Fully connected layers narrow the vector and widen it again;
between them a stacked BLSTM looks along time, and a shortcut carries the vector past it. Each
source has a network of its own, trained alone; a multichannel Wiener filter brings their estimates
together.

===============  =======================  =======================================================
published        argument                 meaning
===============  =======================  =======================================================
``nb_channels``  ``channels``             channels that the network sees
``max_bin``      ``bandwidth``            highest frequency that it sees, in Hz; None for all
``hidden_size``  ``hidden``               units between the layers
``nb_layers``    ``layers``               recurrent layers
``niter``        ``wiener_iterations``    of the Wiener filter (EM); 0 keeps the mixture's phase
===============  =======================  =======================================================

Names and shapes of the weights are those of the published package, so its checkpoints load. Mind
what it stores: ``input_mean`` is added (minus the mean), ``input_scale`` multiplies (one over the
standard deviation).

Deviations:
    - The STFT is ``lib.stft.STFT``: its frames reach over the ends of the signal.
    - The Wiener filter takes the whole signal; the published one, pieces of 300 frames.
    - Masks of ``small()`` and ``tiny()`` are sigmoids, and the network sees the logarithm of the
      magnitudes relative to the mixture's mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import nn

from lib.classical.multichannel_wiener import multichannel_wiener_filter
from lib.errors import InputError
from lib.framing import Memory
from lib.models.base import SpectrogramSeparator, estimate_names
from lib.nn.recurrent import read
from lib.nn.spectral import channel_magnitudes
from lib.stft import STFT

ACTIVATIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid}
# magnitudes below this share of the mixture's mean look like silence (-60 dB)
_FLOOR = 1e-3


class TargetNetwork(nn.Module):
    """The mask of one source.

    Args:
        bins: frequencies of the spectrogram.
        channels: of the mixture.
        seen_bins: how many of the frequencies the network sees, from the lowest.
        hidden: units between the layers.
        layers: recurrent layers.
        causal: a recurrence that reads forwards only.
        activation: of the mask: ``relu`` or ``sigmoid``.
        log: see the logarithm of the magnitudes, relative to their mean (unless causal).
        dropout: between recurrent layers.

    Example:
        >>> network = TargetNetwork(bins=5, channels=2, seen_bins=4, hidden=8)
        >>> network(torch.rand(3, 2, 5, 7)).shape
        torch.Size([3, 2, 5, 7])
    """

    def __init__(
        self,
        bins: int,
        channels: int,
        seen_bins: int,
        hidden: int,
        layers: int = 3,
        causal: bool = False,
        activation: str = "relu",
        log: bool = False,
        dropout: float = 0.4,
    ):
        super().__init__()
        self.bins, self.channels, self.seen_bins = bins, channels, seen_bins
        self.activation, self.log, self.relative = activation, log, not causal
        self.fc1 = nn.Linear(seen_bins * channels, hidden, bias=False)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.lstm = nn.LSTM(
            hidden,
            hidden if causal else hidden // 2,
            layers,
            batch_first=True,
            bidirectional=not causal,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.fc2 = nn.Linear(2 * hidden, hidden, bias=False)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.fc3 = nn.Linear(hidden, bins * channels, bias=False)
        self.bn3 = nn.BatchNorm1d(bins * channels)
        self.input_mean = nn.Parameter(torch.zeros(seen_bins))  # minus the mean
        self.input_scale = nn.Parameter(torch.ones(seen_bins))  # one over the standard deviation
        # a mask begins at 1, a sigmoid's at 1/2
        self.output_mean = nn.Parameter(torch.full((bins,), float(activation == "relu")))
        self.output_scale = nn.Parameter(torch.ones(bins))

    def forward(self, magnitudes: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map the magnitudes of the mixture (B, C, F, K) to a mask of the same shape."""
        x = (self.compress(magnitudes) + self.input_mean) * self.input_scale  # (B, K, C, seen)
        x = torch.tanh(_per_frame(self.bn1, self.fc1(x.flatten(2))))  # (B, K, H)
        x = torch.cat([x, read(self.lstm, x, memory)], -1)  # (B, K, 2H)
        x = torch.relu(_per_frame(self.bn2, self.fc2(x)))  # (B, K, H)
        x = _per_frame(self.bn3, self.fc3(x)).float()  # (B, K, C * F)
        x = x.unflatten(-1, (self.channels, self.bins))  # (B, K, C, F)
        mask = ACTIVATIONS[self.activation](x * self.output_scale + self.output_mean)
        return mask.permute(0, 2, 3, 1)  # (B, C, F, K)

    def compress(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return what the network sees of magnitudes (B, C, F, K), (B, K, C, seen bins)."""
        x = magnitudes[:, :, : self.seen_bins].permute(0, 3, 1, 2)  # (B, K, C, seen)
        if not self.log:
            return x
        if self.relative:
            power = magnitudes.square().mean((1, 2, 3))[:, None, None, None]  # (B, 1, 1, 1)
            x = x / power.clamp_min(1e-20).sqrt()
        return (x + _FLOOR).log()

    @torch.no_grad()
    def calibrate(self, magnitudes: Iterable[torch.Tensor]) -> None:
        """Set mean and scale of the input from magnitudes ``(channels, freq, frames)``."""
        seen = torch.cat([self.compress(one[None])[0] for one in magnitudes]).flatten(0, 1)
        scale = seen.std(0)
        self.input_mean.copy_(-seen.mean(0))
        self.input_scale.copy_(1 / scale.clamp_min(1e-4 * float(scale.max()) + 1e-10))


def _per_frame(norm: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """Apply batch normalisation to (B, K, H), over all frames of all items."""
    return norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class TargetNetworks(nn.Module):
    """The networks of all targets, and the mask of what they leave."""

    def __init__(self, networks: dict[str, TargetNetwork], residual: bool):
        super().__init__()
        self.targets = nn.ModuleDict(networks)
        self.residual = residual

    def forward(self, spectrogram: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, S, C or 1, F, K)."""
        magnitudes = self.magnitudes(spectrogram)
        masks = torch.stack([network(magnitudes, memory) for network in self.targets.values()], 1)
        if masks.shape[2] > spectrogram.shape[1]:
            masks = masks.mean(2, keepdim=True)  # a mono mixture seen as stereo
        if self.residual:
            masks = torch.cat([masks, 1 - masks.sum(1, keepdim=True)], 1)
        return masks

    def magnitudes(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Give (B, C, F, K) the channels that the networks see."""
        return channel_magnitudes(spectrogram, next(iter(self.targets.values())).channels)


class OpenUnmix(SpectrogramSeparator):
    """Masks from one network per target, combined by a multichannel Wiener filter.

    With one network, ``channels=1`` hears the mean power of all channels and gives them one mask.

    Args:
        targets: what to estimate, one network each.
        residual: name of one more estimate, of what the targets leave of the mixture; None for
            none.
        channels: that the networks see: 1 or 2. Stereo networks see a mono mixture on both.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        bandwidth: highest frequency in Hz that the networks see; None for all.
        hidden: units between the layers.
        layers: recurrent layers.
        causal: recurrent layers that read forwards only.
        activation: of the masks: ``relu`` or ``sigmoid``.
        log: see the logarithm of the magnitudes.
        dropout: between recurrent layers.
        wiener_iterations: of the Wiener filter; 0 for masks alone.
        sample_rate: Hz.

    Raises:
        InputError: for an unknown activation, no target, or a Wiener filter with one estimate.

    Example:
        >>> separator = OpenUnmix.tiny()
        >>> separator.source_names, separator(torch.randn(1, 1, 4000)).shape
        (('speech', 'noise'), torch.Size([1, 2, 1, 4000]))
    """

    masker: TargetNetworks

    def __init__(
        self,
        targets: Sequence[str] = ("vocals",),
        residual: str | None = None,
        channels: int = 2,
        n_fft: int = 4096,
        hop_length: int = 1024,
        bandwidth: float | None = 16000,
        hidden: int = 512,
        layers: int = 3,
        causal: bool = False,
        activation: str = "relu",
        log: bool = False,
        dropout: float = 0.4,
        wiener_iterations: int = 0,
        sample_rate: int = 44100,
    ):
        names = estimate_names(targets, residual)
        if activation not in ACTIVATIONS:
            raise InputError(
                f"activation: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        if wiener_iterations and len(names) < 2:
            raise InputError(
                "wiener_iterations: expected 0 with a single estimate, got "
                f"{wiener_iterations}; name a residual or more targets"
            )
        super().__init__(STFT(n_fft, hop_length), sample_rate, names)
        self.wiener_iterations = wiener_iterations
        bins = n_fft // 2 + 1
        nyquist = sample_rate / 2
        seen = bins if bandwidth is None else int(min(bandwidth, nyquist) * n_fft / sample_rate) + 1
        self.masker = TargetNetworks(
            {
                name: TargetNetwork(
                    bins, channels, seen, hidden, layers, causal, activation, log, dropout
                )
                for name in targets
            },
            residual is not None,
        )
        if causal and not wiener_iterations:
            # a sample lies in frames that reach up to n_fft - 2 samples further (the window's
            # first sample is zero)
            self.lookahead = n_fft - 2

    @classmethod
    def paper(cls, target: str = "vocals") -> Self:
        """Build the network of one target of ``umxhq`` (8,893,348 parameters)."""
        return cls([target])

    @classmethod
    def small(cls) -> Self:
        """Build the size of the shipped checkpoint ``open-unmix-speech-small``.

        It has one network, for the speech; the noise is what it leaves of the mixture.
        """
        return cls(**_SPEECH, hidden=384, layers=2)

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training."""
        return cls(**_SPEECH, hidden=64, layers=1)

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`lib.models.base.Separator.forward`."""
        if not self.wiener_iterations:
            return super().forward(mixture)
        spectrogram = self.encoder(mixture)  # (B, C, F, K)
        estimates = self.masker(spectrogram) * spectrogram[:, None]  # (B, S, C, F, K)
        refined = multichannel_wiener_filter(estimates, spectrogram, self.wiener_iterations)
        return self.decode(refined, mixture.shape[-1])  # (B, S, C, T)

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set the statistics of the networks' input."""
        magnitudes = [self.masker.magnitudes(self.encoder(one)[None])[0] for one in mixtures]
        for network in self.masker.targets.values():
            network.calibrate(magnitudes)


_SPEECH = {
    "targets": ["speech"],
    "residual": "noise",
    "channels": 1,
    "n_fft": 512,
    "hop_length": 256,
    "bandwidth": None,
    "activation": "sigmoid",
    "log": True,
    "dropout": 0.0,
    "sample_rate": 16000,
}
