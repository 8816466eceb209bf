"""Deep Karaoke: a plain network that turns windows of a spectrogram into binary masks.

A. J. R. Simpson, G. Roma and M. D. Plumbley, "Deep Karaoke: Extracting vocals from musical mixtures
using a convolutional deep neural network", LVA/ICA 2015, arXiv:1504.04658.

A window of 20 frames is flattened to one vector; three fully connected layers of the same size
answer with the probability, for each point of the window, that the voice dominates there. The
windows slide over the spectrogram, and a point gets the mean of all windows that hold it. Points
above a threshold go to the voice, the others to the accompaniment. (In spite of the title no layer
is a convolution; what slides is the window.)

======  ====================  ==============================================================
paper   argument              meaning
======  ====================  ==============================================================
1025    ``n_fft // 2 + 1``    frequencies
20      ``window_frames``     frames of a window; 20 x 1025 = 20,500 inputs and outputs
20500   ``hidden``            units of a hidden layer; None for as many as inputs
alpha   ``threshold``         probability from which a point belongs to the first source
======  ====================  ==============================================================

Deviations:
    - The inputs' level is relative to the mixture's mean power, and inputs are normalised per
      frequency.
    - ``small()`` and ``tiny()`` see the logarithm of the magnitudes, are narrower inside, take the
      probabilities as soft masks unless they get a threshold, and slide in steps of several frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.models.base import SpectrogramSeparator
from lib.nn.spectral import SpectralFeatures
from lib.stft import STFT


class WindowNetwork(nn.Module):
    """Masks of two sources from sliding windows.

    Args:
        bins: frequencies.
        window_frames: frames of a window.
        step: frames between windows, at most ``window_frames``.
        hidden: units of the hidden layers; None for as many as inputs.
        layers: fully connected layers, with the output.
        threshold: of binary masks, None for soft ones. Training sees soft masks in any case: a step
            has no slope to learn from.
        log: see the logarithm of the magnitudes.

    Example:
        >>> network = WindowNetwork(bins=5, window_frames=4, threshold=0.5).eval()
        >>> masks = network(torch.randn(3, 1, 5, 7, dtype=torch.complex64))
        >>> masks.shape, bool((masks.sum(1) == 1).all())
        (torch.Size([3, 2, 1, 5, 7]), True)
    """

    def __init__(
        self,
        bins: int,
        window_frames: int = 20,
        step: int = 1,
        hidden: int | None = None,
        layers: int = 3,
        threshold: float | None = None,
        log: bool = False,
    ):
        super().__init__()
        self.window_frames, self.step, self.threshold = window_frames, step, threshold
        self.features = SpectralFeatures(bins, log=log)
        size = bins * window_frames
        sizes = [size, *[hidden or size] * (layers - 1), size]
        blocks = []
        for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
            blocks += [nn.Linear(inputs, outputs), nn.Sigmoid()]
        self.layers = nn.Sequential(*blocks)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, 2, 1, F, K)."""
        probability = self.probability(spectrogram)[:, None, None]  # (B, 1, 1, F, K)
        if self.threshold is not None and not self.training:
            probability = (probability > self.threshold).to(probability.dtype)
        return torch.cat([probability, 1 - probability], 1)

    def probability(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Return the probability (B, F, K) that the first source dominates a point."""
        features = self.features(spectrogram)  # (B, K, F)
        frames, length = features.shape[1], self.window_frames
        # every frame lies in as many windows: begin one step inside the first, end behind the last
        before = length - self.step
        steps = -(-(frames + before) // self.step)  # windows
        total = (steps - 1) * self.step + length
        padded = functional.pad(features, (0, 0, before, total - before - frames))
        windows = padded.unfold(1, length, self.step).flatten(2)  # (B, W, F * length)
        answers = self.layers(windows).float().transpose(1, 2)  # (B, F * length, W)
        fold = {"output_size": (1, total), "kernel_size": (1, length), "stride": (1, self.step)}
        summed = functional.fold(answers, **fold)  # (B, F, 1, total)
        count = functional.fold(torch.ones_like(answers[:1, :length]), **fold)  # (1, 1, 1, total)
        return (summed / count)[:, :, 0, before : before + frames]


class DeepKaraoke(SpectrogramSeparator):
    """Two sources by binary masks from windows of a spectrogram.

    Args:
        sources: names of the two.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        window_frames: frames that the network sees at once.
        step: frames between windows, 1 to ``window_frames``.
        hidden: units of the hidden layers; None for as many as inputs.
        layers: fully connected layers, with the output.
        threshold: between 0 and 1, for binary masks in evaluation; higher asks for more certainty
            before a point goes to the first source. None for soft masks.
        log: see the logarithm of the magnitudes.
        sample_rate: Hz.

    Raises:
        InputError: for another number of sources, a step beyond the window or a bad threshold.

    Example:
        >>> DeepKaraoke.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: WindowNetwork

    def __init__(
        self,
        sources: Sequence[str] = ("vocals", "accompaniment"),
        n_fft: int = 2048,
        hop_length: int = 512,
        window_frames: int = 20,
        step: int = 1,
        hidden: int | None = None,
        layers: int = 3,
        threshold: float | None = 0.5,
        log: bool = False,
        sample_rate: int = 44100,
    ):
        if isinstance(sources, str) or len(sources) != 2:
            raise InputError(f"sources: expected two names, got {sources!r}")
        if not 1 <= step <= window_frames:
            raise InputError(f"step: expected 1 to window_frames={window_frames}, got {step}")
        if threshold is not None and not 0 <= threshold < 1:
            raise InputError(f"threshold: expected None or 0 to below 1, got {threshold}")
        super().__init__(STFT(n_fft, hop_length), sample_rate, sources)
        self.masker = WindowNetwork(
            n_fft // 2 + 1, window_frames, step, hidden, layers, threshold, log
        )

    @classmethod
    def paper(cls) -> Self:
        """Build the published network: 1,260,811,500 parameters, 5 GB.

        Build it with ``torch.device("meta")`` to look at it without the memory.
        """
        return cls()

    @classmethod
    def small(cls, threshold: float | None = None) -> Self:
        """Build a size for speech in noise at 16 kHz."""
        return cls(**_SPEECH, step=5, hidden=512, threshold=threshold)

    @classmethod
    def tiny(cls, threshold: float | None = None) -> Self:
        """Build a size for live training."""
        return cls(**_SPEECH, step=10, hidden=128, threshold=threshold)

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set the statistics of the input features."""
        self.masker.features.calibrate(self.encoder(mixture) for mixture in mixtures)


_SPEECH = {
    "sources": ["speech", "noise"],
    "n_fft": 512,
    "hop_length": 256,
    "log": True,
    "sample_rate": 16000,
}
