"""DeepRNN: masks that add up to one, from a network with one recurrent layer.

P.-S. Huang, M. Kim, M. Hasegawa-Johnson and P. Smaragdis, "Singing-voice separation from monaural
recordings using deep recurrent neural networks", ISMIR 2014; "Joint optimization of masks and deep
recurrent neural networks for monaural source separation", IEEE/ACM TASLP 23(12), 2015,
arXiv:1502.04149.

Three ReLU layers, the second of them recurrent, see a frame of the mixture with its neighbours and
answer with one spectrum per source. A last layer without weights makes soft masks of these answers,
so that the loss looks at the masked mixture and the masks are learned jointly. The discriminative
loss also asks each estimate to differ from the other sources.

======  ========================  ===============================================
paper   argument                  meaning
======  ========================  ===============================================
y_1 ..                            answers of the network, one spectrum per source
gamma   ``gamma`` of the loss     weight of the difference to the other sources
l       ``recurrent_layer``       the layer with recurrence (DRNN-2: the second)
======  ========================  ===============================================

Deviations:
    - Inputs are normalised per frequency.
    - ``small()`` and ``tiny()`` see the logarithm of the magnitudes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError, check_same_shape
from lib.framing import Memory
from lib.models.base import SpectrogramSeparator
from lib.nn.recurrent import read
from lib.nn.spectral import SpectralFeatures
from lib.stft import STFT

# added to the answers, so that the masks are defined where all answers are zero
_EPSILON = 1e-6


def soft_mask_layer(answers: torch.Tensor) -> torch.Tensor:
    """Make masks of the network's answers: ``|y_s| / (|y_1| + ... + |y_S|)``.

    Args:
        answers: ``(batch, sources, ...)``.

    Returns:
        Same shape, from 0 to 1; the masks of a point add up to 1.

    Source: Huang et al. 2014, eq. 8.

    Example:
        >>> soft_mask_layer(torch.tensor([[3.0, -1.0]]))
        tensor([[0.7500, 0.2500]])
    """
    sizes = answers.abs() + _EPSILON
    return sizes / sizes.sum(1, keepdim=True)


def discriminative_loss(
    estimates: torch.Tensor, references: torch.Tensor, gamma: float = 0.05
) -> torch.Tensor:
    """Ask the estimates to be near to their own source and far from the others.

    Args:
        estimates: magnitudes ``(batch, sources, ...)``.
        references: same shape.
        gamma: weight of the distance to the other sources; 0 leaves the squared error. Small: the
            loss has no lower limit as soon as it reaches 1.

    Returns:
        ``(batch,)``: mean over points of the squared error, less ``gamma`` times the mean squared
        difference to the other sources.

    Raises:
        InputError: if the shapes differ.

    Source: Huang et al. 2014, eq. 10.

    Example:
        >>> references = torch.tensor([[[1.0], [0.0]]])
        >>> discriminative_loss(references, references, gamma=0.5)
        tensor([-0.5000])
    """
    check_same_shape(estimates, references, ("estimates", "references"))
    sources = estimates.shape[1]
    # [b, e, r]: estimate e against reference r
    errors = (estimates[:, :, None] - references[:, None]).square().flatten(3).mean(-1)
    own = errors.diagonal(dim1=1, dim2=2).mean(-1)  # (B,)
    if sources == 1:
        return own
    other = (errors.sum((1, 2)) / sources - own) / (sources - 1)
    return own - gamma * other


class RecurrentMasks(nn.Module):
    """ReLU layers, one of them recurrent, and the soft-mask layer.

    Example:
        >>> network = RecurrentMasks(bins=5, hidden=4)
        >>> network(torch.randn(3, 1, 5, 7, dtype=torch.complex64)).shape
        torch.Size([3, 2, 1, 5, 7])
    """

    def __init__(
        self,
        bins: int,
        sources: int = 2,
        context: int = 1,
        layers: int = 3,
        hidden: int = 1000,
        recurrent_layer: int = 2,
        log: bool = False,
    ):
        super().__init__()
        self.sources, self.context = sources, context
        # no level of the whole mixture: the network reads forwards
        self.features = SpectralFeatures(bins, log=log, relative=False)
        self.layers = nn.ModuleList()
        for number in range(1, layers + 1):
            inputs = bins * context if number == 1 else hidden
            if number == recurrent_layer:
                # one bias, as in the paper, not torch's two: the weight of an input that is 1
                layer = nn.RNN(
                    inputs + 1, hidden, nonlinearity="relu", bias=False, batch_first=True
                )
            else:
                layer = nn.Linear(inputs, hidden)
            self.layers.append(layer)
        self.output = nn.Linear(hidden, sources * bins)

    def forward(self, spectrogram: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to masks (B, S, 1, F, K).

        Masks of a stream come ``context // 2`` frames late.
        """
        x = self._surround(self.features(spectrogram), memory)  # (B, K + 2r, F)
        if x.shape[1] < self.context:  # a stream begins
            return x.new_empty(len(x), self.sources, 1, x.shape[2], 0)
        x = x.unfold(1, self.context, 1).flatten(2)  # (B, K, F * context)
        for layer in self.layers:
            if isinstance(layer, nn.RNN):
                x = read(layer, functional.pad(x, (0, 1), value=1.0), memory)  # (B, K, H)
            else:
                x = torch.relu(layer(x))  # (B, K, H)
        answers = self.output(x).float().unflatten(-1, (self.sources, -1))  # (B, K, S, F)
        return soft_mask_layer(answers.permute(0, 2, 3, 1))[:, :, None]  # (B, S, 1, F, K)

    def _surround(self, features: torch.Tensor, memory: Memory | None) -> torch.Tensor:
        """Put the frames around features (B, K, F): zeros, or what a stream heard before."""
        reach = self.context // 2
        if memory is None:
            return functional.pad(features, (0, 0, reach, reach))
        before = memory.get(self)
        if before is None:
            before = features.new_zeros(len(features), reach, features.shape[2])
        after = reach if memory.get("end") else 0
        x = functional.pad(torch.cat([before, features], 1), (0, 0, 0, after))
        memory[self] = x[:, max(0, x.shape[1] - 2 * reach) :].clone()
        return x


class DeepRNN(SpectrogramSeparator):
    """Soft masks from a deep recurrent network that reads forwards.

    Args:
        sources: their names.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        context: frames that the network sees at once, centred; odd.
        layers: hidden layers.
        hidden: their units.
        recurrent_layer: which of them is recurrent, from 1; 0 for none (a DNN).
        log: see the logarithm of the magnitudes.
        sample_rate: Hz.

    Raises:
        InputError: for an even context, fewer than two sources, or a layer that there is not.

    Example:
        >>> DeepRNN.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    masker: RecurrentMasks

    def __init__(
        self,
        sources: Sequence[str] = ("vocals", "accompaniment"),
        n_fft: int = 1024,
        hop_length: int = 512,
        context: int = 3,
        layers: int = 3,
        hidden: int = 1000,
        recurrent_layer: int = 2,
        log: bool = False,
        sample_rate: int = 16000,
    ):
        if isinstance(sources, str) or len(sources) < 2:
            raise InputError(f"sources: expected two names or more, got {sources!r}")
        if context < 1 or context % 2 == 0:
            raise InputError(f"context: expected an odd number of frames, got {context}")
        if not 0 <= recurrent_layer <= layers:
            raise InputError(f"recurrent_layer: expected 0 to {layers}, got {recurrent_layer}")
        super().__init__(STFT(n_fft, hop_length), sample_rate, sources)
        self.masker = RecurrentMasks(
            n_fft // 2 + 1, len(sources), context, layers, hidden, recurrent_layer, log
        )
        # frames that hold a sample reach up to n_fft - 2 samples further (the window's first sample
        # is zero), and each sees some frames after it
        self.lookahead = n_fft - 2 + context // 2 * hop_length

    @classmethod
    def paper(cls, context: int = 3) -> Self:
        """Build DRNN-2: 5,569,026 parameters with a context of 3 frames, 4,543,026 with 1."""
        return cls(context=context)

    @classmethod
    def small(cls) -> Self:
        """Build a size for speech in noise at 16 kHz."""
        return cls(**_SPEECH, hidden=512)

    @classmethod
    def tiny(cls, context: int = 3) -> Self:
        """Build a size for live training."""
        return cls(**_SPEECH, hidden=128, context=context)

    def calibrate(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set the statistics of the input features."""
        self.masker.features.calibrate(self.encoder(mixture) for mixture in mixtures)


_SPEECH = {"sources": ["speech", "noise"], "n_fft": 512, "hop_length": 256, "log": True}
