"""What the systems of the Demucs family share: strided layers, levels, the scale of first weights.

A. Defossez, N. Usunier, L. Bottou and F. Bach, "Music source separation in the waveform domain",
arXiv:1911.13254.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.framing import Memory, add_tail, take_frames
from lib.nn.convolutions import Pointwise
from lib.nn.eager import eager_on_cpu

__all__ = [
    "Down",
    "RunningLevel",
    "StridedConv",
    "StridedTranspose",
    "Up",
    "rescale",
    "std_mean",
]

_SHORT = 32  # frames: in a piece of a stream a plain matrix costs less than a convolution


class StridedConv(nn.Conv1d):
    """Convolution of frames that overlap: it divides the rate by its stride.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: of a frame.
        stride: between frames, at most ``kernel_size``.

    Example:
        >>> layer, x, memory = StridedConv(2, 3, kernel_size=8, stride=4), torch.randn(1, 2, 40), {}
        >>> pieces = [layer(piece, memory) for piece in x.split(7, -1)]
        >>> [piece.shape[-1] for piece in pieces]
        [0, 2, 2, 2, 1, 2]
        >>> torch.allclose(torch.cat(pieces, -1), layer(x), atol=1e-6)
        True
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int):
        super().__init__(inputs, outputs, kernel_size, stride)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map (B, C, K) to (B, C', (K - kernel_size) / stride + 1), in a stream what is complete.

        Args:
            features: ``(batch, channels, frames)``.
            memory: of a stream.
        """
        if memory is None:
            return super().forward(features)
        (size,), (hop,) = self.kernel_size, self.stride
        waiting = memory.get(self, features[..., :0])
        features, memory[self] = take_frames(waiting, features, size, hop)
        if features.shape[-1] == 0:
            return features.new_empty(len(features), self.out_channels, 0)
        if not eager_on_cpu(features) or features.shape[-1] > _SHORT * hop:
            return super().forward(features)
        frames = features.unfold(-1, size, hop).transpose(1, 2).flatten(2)  # (B, K', C size)
        return functional.linear(frames, self.weight.flatten(1), self.bias).transpose(1, 2)


class StridedTranspose(nn.ConvTranspose1d):
    """Transposed convolution: each frame becomes ``kernel_size`` samples, which overlap and add.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: of a frame.
        stride: between frames, at most ``kernel_size``.

    Example:
        >>> layer, x, memory = StridedTranspose(2, 3, 8, 4), torch.randn(1, 2, 10), {}
        >>> pieces = [layer(x[..., :7], memory), layer(x[..., 7:], memory | {"end": True})]
        >>> [piece.shape[-1] for piece in pieces]
        [28, 16]
        >>> torch.allclose(torch.cat(pieces, -1), layer(x), atol=1e-6)
        True
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int):
        super().__init__(inputs, outputs, kernel_size, stride)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map (B, C, K) to (B, C', (K - 1) stride + kernel_size), in a stream what is finished.

        Args:
            features: ``(batch, channels, frames)``.
            memory: of a stream.
        """
        if memory is None:
            return super().forward(features)
        (size,), (hop,), tail = self.kernel_size, self.stride, memory.get(self)
        ready = features.new_empty(len(features), self.out_channels, 0)
        if features.shape[-1]:
            frames = features.transpose(1, 2) @ self.weight.flatten(1)  # (B, K, C' size)
            total = (features.shape[-1] - 1) * hop + size
            sums = functional.fold(frames.mT, (1, total), (1, size), stride=(1, hop))
            ready, tail = add_tail(sums[:, :, 0], tail, size - hop)
        if "end" in memory:
            ready = torch.cat([ready, tail], -1)
        memory[self] = tail
        return ready + self.bias[:, None]


class Down(nn.Module):
    """A strided convolution, a rectifier, and a gated mixture of channels.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: of a frame.
        stride: between frames.

    Example:
        >>> Down(1, 6, kernel_size=8, stride=4)(torch.randn(2, 1, 36)).shape
        torch.Size([2, 6, 8])
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int):
        super().__init__()
        self.convolution = StridedConv(inputs, outputs, kernel_size, stride)
        self.rewrite = Pointwise(outputs, 2 * outputs)

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map (B, C, K) to (B, C', K / stride)."""
        x = self.convolution(features, memory)  # (B, C', K')
        return functional.glu(self.rewrite(x.relu()), 1) if x.shape[-1] else x


class Up(nn.Module):
    """A gated mixture of channels and a transposed convolution; a rectifier but at the top.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: of a frame.
        stride: between frames.
        last: without a rectifier.
        context: frames that the mixture of channels sees; there are so many less of them then.

    Example:
        >>> features = torch.randn(2, 6, 8)
        >>> Up(6, 1, kernel_size=8, stride=4, last=True)(features, features).shape
        torch.Size([2, 1, 36])
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, stride: int, last: bool, context: int = 1
    ):
        super().__init__()
        pointwise = Pointwise(inputs, 2 * inputs)
        self.rewrite = pointwise if context == 1 else nn.Conv1d(inputs, 2 * inputs, context)
        self.convolution = StridedTranspose(inputs, outputs, kernel_size, stride)
        self.last = last

    def forward(
        self, features: torch.Tensor, beside: torch.Tensor, memory: Memory | None = None
    ) -> torch.Tensor:
        """Map (B, C, K) to (B, C', K stride).

        Args:
            features: of the level below.
            beside: of this level on the way down; in a stream it may be ahead.
            memory: of a stream.
        """
        frames = features.shape[-1]
        if memory is not None:
            if self.rewrite.kernel_size != (1,):
                raise InputError(
                    f"stream: expected a context of one frame, got {self.rewrite.kernel_size[0]}"
                )
            beside = torch.cat([memory.get(self, beside[..., :0]), beside], -1)
            memory[self] = beside[..., frames:].clone()
        x = features + beside[..., :frames]
        if frames:
            x = functional.glu(self.rewrite(x), 1)
        x = self.convolution(x, memory)
        return x if self.last else x.relu()


class RunningLevel(nn.Module):
    """The root mean square of all samples so far.

    Example:
        >>> RunningLevel()(torch.tensor([[[3.0, 4.0, 0.0]]]))
        tensor([[[3.0000, 3.5355, 2.8868]]])
    """

    def forward(self, waveform: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map (B, C, T) to the same shape, in a stream from where it began."""
        # there is no end to a stream: float64, where there is one
        power = waveform if waveform.device.type == "mps" else waveform.double()
        before, count = (memory or {}).get(self, (0.0, 0))
        sums = power.square().cumsum(-1) + before
        last = count + waveform.shape[-1]
        if memory is not None:
            memory[self] = sums[..., -1:].clone(), last
        counts = torch.arange(count + 1, last + 1, dtype=sums.dtype, device=sums.device)
        return (sums / counts).sqrt().to(waveform.dtype)


def std_mean(signal: torch.Tensor, dim: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute standard deviation and mean, the deviation of a single number being 0.

    Args:
        signal: real.
        dim: dimensions, which are kept.

    Example:
        >>> std_mean(torch.tensor([[1.0, 3.0]]), (1,))
        (tensor([[1.4142]]), tensor([[2.]]))
        >>> std_mean(torch.tensor([[3.0]]), (1,))
        (tensor([[0.]]), tensor([[3.]]))
    """
    mean = signal.mean(dim, keepdim=True)
    energy = (signal - mean).square().sum(dim, keepdim=True)
    count = math.prod(signal.shape[place] for place in dim)
    return (energy / max(1, count - 1)).sqrt(), mean


@torch.no_grad()
def rescale(model: nn.Module, reference: float = 0.1) -> None:
    """Bring the first weights of all convolutions nearer to one size.

    PyTorch draws weights the smaller the more of them meet in a sum. With many channels the first
    answers then are faint, and so are the gradients. Each layer's weights and biases are divided by
    ``sqrt(std(weights) / reference)``, so that their size goes half the way (in dB).

    Args:
        model: holds the layers.
        reference: standard deviation that is approached.

    Source: the paper, "Weight rescaling at initialization".

    Example:
        >>> layer = torch.nn.Conv1d(512, 512, 8)
        >>> before = layer.weight.std().item()
        >>> rescale(layer)
        >>> abs(layer.weight.std().item() / (0.1 * before) ** 0.5 - 1) < 1e-5
        True
    """
    kinds = nn.Conv1d, nn.ConvTranspose1d, nn.Conv2d, nn.ConvTranspose2d
    for layer in model.modules():
        if isinstance(layer, kinds):
            scale = (layer.weight.std() / reference).sqrt()
            for weights in layer.parameters():
                weights.div_(scale)
