"""DCCRN: a complex U-Net that keeps the frames apart, and a complex LSTM that remembers them.

Y. Hu, Y. Liu, S. Lv, M. Xing, S. Zhang, Y. Fu, J. Wu, B. Zhang and L. Xie, "DCCRN: deep complex
convolution recurrent network for phase-aware speech enhancement", Interspeech 2020,
arXiv:2008.00264.

Complex convolutions halve the frequencies from layer to layer and never the frames. What is left
of a frame goes through recurrent layers that read forwards, and transposed convolutions bring it
back to a complex mask. The network waits for no more than one frame in each layer on the way back,
so it can run while somebody speaks.

==================  ===================  ==========================================================
paper               argument             meaning
==================  ===================  ==========================================================
32, 64, 128, 256..  ``filters``          of the layers on the way down. The paper counts real and
                                         imaginary channels, ``filters`` pairs of them
256; 128 + 128      ``hidden``           units of the recurrent layers, both parts together
5 x 2               ``kernel_size``      bins of a kernel; it always has 2 frames
25 ms, 6.25 ms      ``win_length``       samples of a frame; ``hop_length`` between frames
512                 ``n_fft``            of the FFT: there are zeros behind a frame
-E, -CL             ``recurrent``        ``real`` or ``complex`` LSTM
-E, -C              ``bound``            of the masks: ``tanh`` or None
==================  ===================  ==========================================================

Deviations:
    - The network is that of the authors' code (huyanxin/DeepComplexCRN), with the real batch
      normalisation that it has by default; ``norm="whitening"`` is the other.
    - The look-ahead is 998 samples, 62.4 ms: six layers wait for a frame each, and the last of
      these frames has to end. The paper's 37.5 ms are six times the hop, without the frame. In
      single precision some of the 998 cannot be seen, as the window is faint at its ends.
    - The layers behind the complex LSTM are real, one for each part, as in the authors' code;
      Asteroid has a complex one, and no biases in front of a normalisation. Asteroid has no zeros
      before the first frame either: its LSTM begins with our seventh. Where neither matters, both
      compute the same.
    - The authors' code adds 1e-8 to the power of the mixture before it is masked, clips the output
      to the range from -1 to 1, and has a frame more at each end of the signal.
    - The noise is what the speech leaves of the mixture; the paper estimates speech alone.
    - Each channel of a mixture has a mask of its own, and streams may have several.
    - ``small()`` and ``tiny()`` have fewer layers, other ``filters`` and twice the hop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.framing import Memory
from lib.models.base import SpectrogramSeparator, estimate_names
from lib.nn.activations import PReLU
from lib.nn.complex import (
    BOUNDS,
    ComplexConv2d,
    ComplexConvTranspose2d,
    ComplexLSTM,
    as_complex,
    as_pairs,
    bound_mask,
    cat_complex,
    make_complex_norm,
)
from lib.nn.recurrent import read
from lib.stft import STFT

RECURRENT = ("complex", "real")
VARIANTS = {
    "CL": {"filters": [16, 32, 64, 128, 128, 128], "recurrent": "complex"},
    "E": {"filters": [16, 32, 64, 64, 128, 128], "recurrent": "real"},
}


class Down(nn.Module):
    """Halve the bins: a kernel over this frame and the one before.

    Args:
        inputs: complex channels.
        outputs: complex channels.
        kernel_size: bins of the kernel, odd.
        norm: ``parts`` or ``whitening``.

    Example:
        >>> Down(1, 4)(torch.randn(3, 2, 16, 9)).shape
        torch.Size([3, 8, 8, 9])
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 5, norm: str = "parts"):
        super().__init__()
        self.convolution = ComplexConv2d(
            inputs, outputs, (kernel_size, 2), (2, 1), (kernel_size // 2, 0)
        )
        self.norm = make_complex_norm(norm, outputs)
        self.activation = PReLU()

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map pairs (B, 2 C, F, K) to (B, 2 C', F / 2, K)."""
        if memory is None or self not in memory:
            x = functional.pad(features, (1, 0))
        else:
            x = torch.cat([memory[self], features], -1)
        if memory is not None:
            memory[self] = x[..., -1:].clone()
        return self.activation(self.norm(self.convolution(x)))


class Up(nn.Module):
    """Double the bins: each frame is made of this one and the next.

    Args:
        inputs: complex channels, those of the shortcut counted.
        outputs: complex channels.
        kernel_size: bins of the kernel, odd.
        norm: ``parts`` or ``whitening``; None for a last layer, without activation either.

    Example:
        >>> Up(8, 1)(torch.randn(3, 8, 8, 9), torch.randn(3, 8, 8, 9)).shape
        torch.Size([3, 2, 16, 9])
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 5, norm: str | None = "parts"):
        super().__init__()
        # of the frames that a convolution of two frames adds at both ends, none is complete
        self.convolution = ComplexConvTranspose2d(
            inputs, outputs, (kernel_size, 2), (2, 1), (kernel_size // 2, 1), (1, 0)
        )
        self.finish = (
            nn.Sequential(make_complex_norm(norm, outputs), PReLU()) if norm else nn.Identity()
        )

    def forward(
        self, features: torch.Tensor, beside: torch.Tensor, memory: Memory | None = None
    ) -> torch.Tensor:
        """Map pairs (B, 2 C, F, K) to (B, 2 C', 2 F, K).

        Args:
            features: of the layer before.
            beside: of the layer of this size on the way down; in a stream it may be ahead.
            memory: of a stream, which gets a frame less from its first piece and one more from its
                last.
        """
        last, (before, waiting) = True, (None, None)
        if memory is not None:
            last, (before, waiting) = "end" in memory, memory.get(self, (None, None))
        if waiting is not None:
            beside = torch.cat([waiting, beside], -1)
        frames = features.shape[-1]
        x = cat_complex(features, beside[..., :frames])  # (B, 2 (C + C), F, K)
        if before is not None:
            x = torch.cat([before, x], -1)
        if last:
            x = functional.pad(x, (0, 1))
        if memory is not None:
            memory[self] = x[..., -1:].clone(), beside[..., frames:].clone()
        if x.shape[-1] < 2:
            return x.new_empty(len(x), self.convolution.out_channels, 2 * x.shape[2], 0)
        return self.finish(self.convolution(x))


class Recurrence(nn.Module):
    """Recurrent layers over the frames, each of which is one vector to them.

    Args:
        features: real numbers in a frame, those of both parts.
        hidden: units, those of both parts.
        layers: recurrent layers.
        recurrent: ``complex``; or ``real``: one LSTM reads both parts together.

    Example:
        >>> Recurrence(features=8, hidden=6)(torch.randn(3, 4, 2, 9)).shape
        torch.Size([3, 4, 2, 9])
    """

    def __init__(self, features: int, hidden: int, layers: int = 2, recurrent: str = "complex"):
        super().__init__()
        if recurrent == "complex":
            sizes = [features // 2, *[hidden // 2] * layers]
            self.layers = nn.ModuleList(
                ComplexLSTM(*pair) for pair in zip(sizes[:-1], sizes[1:], strict=True)
            )
            self.outputs = nn.ModuleList(nn.Linear(sizes[-1], sizes[0]) for _ in range(2))
        else:
            self.layers = nn.ModuleList([nn.LSTM(features, hidden, layers, batch_first=True)])
            self.outputs = nn.ModuleList([nn.Linear(hidden, features)])

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map pairs (B, 2 C, F, K) to the same shape."""
        x = features.permute(0, 3, 1, 2).flatten(2)  # (B, K, 2 C F)
        for layer in self.layers:
            x = read(layer, x, memory) if isinstance(layer, nn.LSTM) else layer(x, memory)
        parts = x.chunk(len(self.outputs), -1)
        x = torch.cat([layer(part) for layer, part in zip(self.outputs, parts, strict=True)], -1)
        return x.unflatten(2, features.shape[1:3]).permute(0, 2, 3, 1)


class Masker(nn.Module):
    """The way down, the recurrence and the way up, from the spectrogram to complex masks.

    Args:
        bins: frequencies of the spectrogram; the network sees all but the lowest, whose mask is
            that of no answer.
        outputs: masks.
        residual: one more mask, of what the others leave.
        filters: complex channels on the way down.
        hidden: units of the recurrent layers.
        layers: recurrent layers.
        recurrent: ``complex`` or ``real``.
        kernel_size: bins of the kernels, odd.
        norm: ``parts`` or ``whitening``.
        bound: of the masks.

    Example:
        >>> masker = Masker(17, 1, True, filters=[4, 6], hidden=8)
        >>> masker(torch.randn(3, 1, 17, 9, dtype=torch.complex64)).shape
        torch.Size([3, 2, 1, 17, 9])
    """

    def __init__(
        self,
        bins: int,
        outputs: int,
        residual: bool,
        filters: Sequence[int],
        hidden: int,
        layers: int = 2,
        recurrent: str = "complex",
        kernel_size: int = 5,
        norm: str = "parts",
        bound: str | None = "tanh",
    ):
        super().__init__()
        self.residual, self.bound = residual, bound
        self.missing = -(bins - 1) % 2 ** len(filters)  # so many zeros above let the bins halve
        left = (bins - 1 + self.missing) // 2 ** len(filters)
        self.down = nn.ModuleList(
            Down(*pair, kernel_size, norm) for pair in zip([1, *filters], filters, strict=False)
        )
        self.recurrence = Recurrence(2 * filters[-1] * left, hidden, layers, recurrent)
        widths = [*filters[-2::-1], outputs]
        self.up = nn.ModuleList(
            Up(2 * inputs, width, kernel_size, norm if level else None)
            for inputs, width, level in zip(
                filters[::-1], widths, range(len(filters))[::-1], strict=True
            )
        )

    def forward(self, spectrogram: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map a complex spectrogram (B, C, F, K) to complex masks (B, S, C, F, K)."""
        mixtures, channels, bins, _ = spectrogram.shape
        x = as_pairs(spectrogram[:, :, 1:].flatten(0, 1)[:, None])  # (B * C, 2, F - 1, K)
        x = functional.pad(x, (0, 0, 0, self.missing))
        levels = []
        for block in self.down:
            x = block(x, memory)
            levels.append(x)
        x = self.recurrence(x, memory)
        for block in self.up:
            x = block(x, levels.pop(), memory)
        x = functional.pad(x[:, :, : bins - 1], (0, 0, 1, 0))  # (B * C, 2 S, F, K)
        masks = bound_mask(as_complex(x), self.bound)
        masks = masks.unflatten(0, (mixtures, channels)).transpose(1, 2)  # (B, S, C, F, K)
        if self.residual:
            masks = torch.cat([masks, 1 - masks.sum(1, keepdim=True)], 1)
        return masks


class DCCRN(SpectrogramSeparator):
    """Complex masks from a complex convolutional recurrent network, in real time.

    Args:
        filters: complex channels on the way down; mirrored on the way up.
        hidden: units of the recurrent layers, even.
        layers: recurrent layers.
        recurrent: ``complex`` or ``real``.
        targets: what the network estimates, a mask each.
        residual: name of one more estimate, of what the targets leave of the mixture; None for
            none.
        n_fft: of the FFT.
        win_length: samples of a frame.
        hop_length: samples between frames.
        kernel_size: bins of the kernels, odd.
        norm: batch normalisation of ``parts``, or ``whitening``.
        bound: of the masks: ``tanh``, ``sigmoid`` or None, see :func:`lib.nn.complex.bound_mask`.
        sample_rate: Hz.

    Raises:
        InputError: for an unknown recurrence, norm or bound, no targets or filters, or sizes that
            cannot be.

    Example:
        >>> separator = DCCRN.tiny()
        >>> separator.source_names, separator(torch.randn(1, 1, 4000)).shape
        (('speech', 'noise'), torch.Size([1, 2, 1, 4000]))
        >>> DCCRN().lookahead
        998
    """

    masker: Masker

    def __init__(
        self,
        filters: Sequence[int] = (16, 32, 64, 128, 128, 128),
        hidden: int = 256,
        layers: int = 2,
        recurrent: str = "complex",
        targets: Sequence[str] = ("speech",),
        residual: str | None = "noise",
        n_fft: int = 512,
        win_length: int = 400,
        hop_length: int = 100,
        kernel_size: int = 5,
        norm: str = "parts",
        bound: str | None = "tanh",
        sample_rate: int = 16000,
    ):
        if recurrent not in RECURRENT:
            raise InputError(
                f"recurrent: expected one of {', '.join(RECURRENT)}, got {recurrent!r}"
            )
        if bound not in BOUNDS:
            raise InputError(f"bound: expected tanh, sigmoid or None, got {bound!r}")
        if not filters or min(filters) < 1:
            raise InputError(f"filters: expected positive numbers, got {filters}")
        if hidden < 2 or hidden % 2:
            raise InputError(f"hidden: expected an even number, got {hidden}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise InputError(f"kernel_size: expected an odd number, got {kernel_size}")
        names = estimate_names(targets, residual)
        super().__init__(STFT(n_fft, hop_length, win_length=win_length), sample_rate, names)
        self.masker = Masker(
            n_fft // 2 + 1,
            len(targets),
            residual is not None,
            [*filters],
            hidden,
            layers,
            recurrent,
            kernel_size,
            norm,
            bound,
        )
        # the first sample of the window is zero: a frame is heard from its second sample on
        self.lookahead = len(filters) * hop_length + win_length - 2

    @classmethod
    def paper(cls, variant: str = "CL") -> Self:
        """Build a published size: ``CL`` (3,671,053 parameters) or ``E`` (3,981,581).

        Raises:
            InputError: for another variant.
        """
        if variant not in VARIANTS:
            raise InputError(f"variant: expected one of {', '.join(VARIANTS)}, got {variant!r}")
        return cls(**VARIANTS[variant])

    @classmethod
    def small(cls, sample_rate: int = 16000) -> Self:
        """Build the size of the shipped checkpoint ``dccrn-small``.

        Args:
            sample_rate: Hz; frames take 25 ms at any rate.
        """
        return cls._speech([8, 16, 32, 48, 64], 128, sample_rate)

    @classmethod
    def tiny(cls, sample_rate: int = 16000) -> Self:
        """Build a size for live training."""
        return cls._speech([4, 8, 8], 32, sample_rate)

    @classmethod
    def _speech(cls, filters: list[int], hidden: int, sample_rate: int) -> Self:
        win_length = round(0.025 * sample_rate)
        return cls(
            filters,
            hidden,
            n_fft=2 ** (win_length - 1).bit_length(),
            win_length=win_length,
            hop_length=win_length // 2,
            sample_rate=sample_rate,
        )
