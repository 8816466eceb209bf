"""Parts of Hybrid Demucs: aligned frames, residual branches, layers over frequency or time.

A. Defossez, "Hybrid spectrogram and waveform source separation", MDX workshop at ISMIR 2021,
arXiv:2111.03600.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.nn.convolutions import Pointwise
from lib.nn.eager import eager_on_cpu
from lib.stft import make_window

__all__ = [
    "AlignedSTFT",
    "ChunkedBLSTM",
    "DecoderLayer",
    "EncoderLayer",
    "FrequencyEmbedding",
    "Gather",
    "LocalAttention",
    "ResidualBranch",
    "Spread",
]

_NUMBERS_AT_ONCE = 2**19  # of the widest features: what stays in a processor's cache


class AlignedSTFT(nn.Module):
    """An STFT whose frames lie where strided convolutions have theirs.

    A convolution with a kernel of four strides that is padded by 3/2 strides has one frame for each
    stride. So here: frame k is centred on sample ``(k + 1/2) * hop_length``, there are
    ``ceil(time / hop_length)`` of them, the signal is mirrored at its ends, and the highest bin is
    left out. The inverse takes what lies beyond the ends for silence.

    Args:
        n_fft: samples of a frame, a multiple of 4; a quarter of it lies between frames.

    Example:
        >>> stft, tone = AlignedSTFT(64), torch.sin(0.3 * torch.arange(1000))[None, None]
        >>> spectrogram = stft(tone)
        >>> spectrogram.shape
        torch.Size([1, 1, 32, 63])
        >>> bool((stft.inverse(spectrogram, 1000) - tone)[..., 50:-50].abs().max() < 1e-2)
        True
    """

    def __init__(self, n_fft: int):
        super().__init__()
        self.n_fft, self.hop_length = n_fft, n_fft // 4
        # no buffer: .half() must not cost it its precision
        self.window = make_window("hann", n_fft)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map (B, C, T) to complex (B, C, n_fft / 2, K)."""
        time, left = waveform.shape[-1], self.hop_length // 2 * 3
        right = left + -time % self.hop_length
        zeros = max(0, right - time + 1)  # where there is too little to mirror, silence comes first
        padded = functional.pad(waveform, (0, zeros))
        padded = functional.pad(padded, (left, right - zeros), "reflect")
        frames = padded.unfold(-1, self.n_fft, self.hop_length)  # (B, C, K, n_fft)
        spectrum = torch.fft.rfft(frames * self.window.to(padded), norm="ortho")
        return spectrum[..., :-1].mT

    def inverse(self, spectrogram: torch.Tensor, time: int) -> torch.Tensor:
        """Map complex (..., n_fft / 2, K) to (..., time)."""
        frames = torch.fft.irfft(spectrogram.mT, self.n_fft, norm="ortho")  # (..., K, n_fft)
        quarters = frames.mul_((self.window / 1.5).to(frames)).unflatten(-1, (4, self.hop_length))
        # the squares of four Hann windows a quarter apart add up to 3/2
        sums = functional.pad(quarters[..., 0, :], (0, 0, 0, 3))  # (..., K + 3, hop_length)
        for part in (1, 2, 3):
            sums[..., part : part - 3 or None, :] += quarters[..., part, :]
        start = self.hop_length // 2 * 3
        return sums.flatten(-2)[..., start : start + time]


class FrequencyEmbedding(nn.Module):
    """A learned vector for each frequency, so that convolutions over frequency know where they are.

    Neighbours begin alike. The vectors are stored ten times smaller, so that they learn ten times
    as fast.

    Args:
        bins: frequencies.
        channels: of the vectors.
        weight: of what is added.

    Example:
        >>> FrequencyEmbedding(8, 4)(torch.zeros(2, 4, 8, 9)).shape
        torch.Size([2, 4, 8, 9])
    """

    def __init__(self, bins: int, channels: int, weight: float = 0.2):
        super().__init__()
        self.boost, self.weight = 10.0, weight
        self.embedding = nn.Embedding(bins, channels)
        with torch.no_grad():
            walk = self.embedding.weight.cumsum(0)
            steps = torch.arange(1, bins + 1, dtype=walk.dtype, device=walk.device)
            self.embedding.weight.copy_(walk / steps.sqrt()[:, None] / self.boost)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Add the vectors to features (B, C, F, K)."""
        return features + (self.weight * self.boost * self.embedding.weight).T[..., None]


class ChunkedBLSTM(nn.Module):
    """A BLSTM whose memory ends with chunks of 200 frames, added to its input.

    Longer sequences are cut into chunks that overlap by half; of each the middle half counts.

    Args:
        channels: of input and output.
        layers: of the BLSTM.

    Example:
        >>> ChunkedBLSTM(4)(torch.randn(2, 4, 450)).shape
        torch.Size([2, 4, 450])
    """

    SIZE = 200

    def __init__(self, channels: int, layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, C, K) to the same shape."""
        frames, step, edge = features.shape[-1], self.SIZE // 2, self.SIZE // 4
        if frames <= self.SIZE:
            return features + self._read(features)
        padded = functional.pad(features, (0, step + -frames % step))
        chunks = padded.unfold(-1, self.SIZE, step).transpose(1, 2)  # (B, N, C, 200)
        read = self._read(chunks.flatten(0, 1)).unflatten(0, chunks.shape[:2])
        middle = read[..., edge:-edge].transpose(1, 2).flatten(2)  # (B, C, 100 N)
        ends = read[:, 0, :, :edge], read[:, -1, :, -edge:]
        return features + torch.cat([ends[0], middle, ends[1]], -1)[..., :frames]

    def _read(self, chunks: torch.Tensor) -> torch.Tensor:
        return self.linear(self.lstm(chunks.mT)[0]).mT


class LocalAttention(nn.Module):
    """Attention that fades with distance, as fast as each frame wants, and never reads itself.

    Frame t reads frame s with a weight of ``softmax_s(k_s' q_t / sqrt(d) - w_t |t - s|)``.

    Args:
        channels: of input and output.
        heads: of the attention, a divisor of ``channels``.
        decays: rates of fading, of which each frame mixes its own.

    Example:
        >>> LocalAttention(8)(torch.randn(2, 8, 50)).shape
        torch.Size([2, 8, 50])
    """

    def __init__(self, channels: int, heads: int = 4, decays: int = 4):
        super().__init__()
        self.heads, self.decays = heads, decays
        self.content = Pointwise(channels, channels)
        self.query = Pointwise(channels, channels)
        self.key = Pointwise(channels, channels)
        self.query_decay = Pointwise(channels, heads * decays)
        self.output = Pointwise(channels, channels)
        with torch.no_grad():  # at first a wide view, the same for every frame
            self.query_decay.weight.mul_(0.01)
            self.query_decay.bias.fill_(-2.0)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, C, K) to the same shape."""
        queries, keys, content = (
            layer(features).unflatten(1, (self.heads, -1))
            for layer in (self.query, self.key, self.content)
        )  # (B, H, C / H, K)
        rates = self.query_decay(features).unflatten(1, (self.heads, -1)).sigmoid() / 2
        mix = torch.arange(1, self.decays + 1, device=rates.device, dtype=rates.dtype)
        fading = (mix[:, None] * rates).sum(2) / math.sqrt(self.decays)  # (B, H, K)
        places = torch.arange(features.shape[-1], device=rates.device, dtype=rates.dtype)
        distance = (places[:, None] - places).abs()
        scores = queries.mT @ keys / math.sqrt(keys.shape[2]) - fading[..., None] * distance
        itself = torch.eye(len(places), device=scores.device, dtype=torch.bool)
        weights = scores.masked_fill(itself, -100.0).softmax(-1)  # (B, H, K, K)
        read = content @ weights.mT  # (B, H, C / H, K)
        return features + self.output(read.flatten(1, 2))


class BranchLayer(nn.Module):
    """A dilated convolution on fewer channels, maybe a BLSTM and attention, and back, gated.

    Args:
        channels: of input and output.
        hidden: channels inside.
        dilation: of the convolution, whose kernel has three frames.
        recurrent: with a BLSTM and attention.
        scale: first factor of what is added.

    Example:
        >>> BranchLayer(8, 4, dilation=2, recurrent=True)(torch.randn(2, 8, 50)).shape
        torch.Size([2, 8, 50])
    """

    def __init__(
        self, channels: int, hidden: int, dilation: int, recurrent: bool, scale: float = 1e-4
    ):
        super().__init__()
        self.narrow = nn.Conv1d(channels, hidden, 3, padding=dilation, dilation=dilation)
        self.narrow_norm = nn.GroupNorm(1, hidden)
        self.context = (
            nn.Sequential(ChunkedBLSTM(hidden), LocalAttention(hidden))
            if recurrent
            else nn.Identity()
        )
        self.widen = Pointwise(hidden, 2 * channels)
        self.widen_norm = nn.GroupNorm(1, 2 * channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, C, K) to the same shape."""
        x = functional.gelu(self.narrow_norm(self.narrow(features)))  # (B, hidden, K)
        x = self.widen_norm(self.widen(self.context(x)))  # (B, 2 C, K)
        return torch.addcmul(features, self.scale[:, None], functional.glu(x, 1))


class ResidualBranch(nn.Sequential):
    """Two branch layers, with dilations of 1 and 2, that look along time.

    Args:
        channels: of input and output.
        compression: how many times fewer channels there are inside.
        recurrent: with BLSTMs and attention.
        scale: first factor of what is added.

    Raises:
        InputError: if no channel is left inside.

    Example:
        >>> ResidualBranch(8, compression=4)(torch.randn(2, 8, 50)).shape
        torch.Size([2, 8, 50])
    """

    def __init__(
        self, channels: int, compression: int, recurrent: bool = False, scale: float = 1e-4
    ):
        hidden = channels // compression
        if not hidden:
            raise InputError(
                f"compression: expected at most the {channels} channels (filters), "
                f"got {compression}"
            )
        super().__init__(
            *(BranchLayer(channels, hidden, 2**layer, recurrent, scale) for layer in range(2))
        )


def _norm(groups: int | None, channels: int) -> nn.Module:
    return nn.GroupNorm(groups, channels) if groups else nn.Identity()


class Gather(nn.Module):
    """A strided convolution over time or frequency; its length is that of the input by the stride.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: of the convolution.
        stride: of the convolution.
        over: ``time``; or ``frequency``, of features (B, C, F, K).
        padded: with zeros; else there are less by what the kernel reaches beyond its stride.

    Example:
        >>> Gather(1, 8, kernel_size=8, stride=4)(torch.randn(2, 1, 50)).shape
        torch.Size([2, 8, 13])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        stride: int,
        over: str = "time",
        padded: bool = True,
    ):
        super().__init__()
        self.size, self.stride, self.over_time = kernel_size, stride, over == "time"
        self.padding = kernel_size // 4 if padded else 0
        if self.over_time:
            self.conv = nn.Conv1d(inputs, outputs, kernel_size, stride)
        else:
            self.conv = nn.Conv2d(inputs, outputs, (kernel_size, 1), (stride, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, C, K) to (B, C', ceil(K / stride)), or (B, C, F, K) to (B, C', F / stride, K)."""
        return self.conv(self.pad(features))

    def pad(self, features: torch.Tensor) -> torch.Tensor:
        """Put zeros before and behind."""
        if not self.over_time:
            return functional.pad(features, (0, 0, self.padding, self.padding))
        behind = self.padding + -features.shape[-1] % self.stride
        return functional.pad(features, (self.padding, behind))


class EncoderLayer(Gather):
    """A strided convolution, a residual branch over time, a gated mixture of channels.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: of the convolution.
        stride: of the convolution.
        over: ``time`` or ``frequency``.
        padded: with zeros.
        groups: of the normalisations; None for no normalisation.
        branch: of the features; None for none.

    Example:
        >>> layer = EncoderLayer(4, 8, 8, 4, "frequency", branch=ResidualBranch(8, 4))
        >>> layer(torch.randn(2, 4, 64, 9)).shape
        torch.Size([2, 8, 16, 9])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        stride: int,
        over: str = "time",
        padded: bool = True,
        groups: int | None = None,
        branch: nn.Module | None = None,
    ):
        super().__init__(inputs, outputs, kernel_size, stride, over, padded)
        self.norm1 = _norm(groups, outputs)
        self.branch = branch or nn.Identity()
        self.rewrite = Pointwise(outputs, 2 * outputs)
        self.norm2 = _norm(groups, 2 * outputs)
        self.alone = groups is None and not self.over_time  # each frequency of the output

    def forward(self, features: torch.Tensor, inject: torch.Tensor | None = None) -> torch.Tensor:
        """Map (B, C, K) to (B, C', ceil(K / stride)), or (B, C, F, K) to (B, C', F / stride, K).

        Args:
            features: of the layer before.
            inject: ``(batch, channels, frames)``, added to what the convolution says.
        """
        x = self.pad(features)
        if not self.alone or torch.is_grad_enabled() or not eager_on_cpu(x):
            return self._answer(x, inject)
        # some frequencies at a time, so that what lies between stays in the processor's cache
        step = max(1, _NUMBERS_AT_ONCE // (len(x) * self.rewrite.out_channels * x.shape[-1]))
        reach = (step - 1) * self.stride + self.size
        starts = range(0, x.shape[2] - self.size + 1, step * self.stride)
        return torch.cat([self._answer(x[:, :, at : at + reach], inject) for at in starts], 2)

    def _answer(self, padded: torch.Tensor, inject: torch.Tensor | None) -> torch.Tensor:
        x = self.conv(padded)
        if inject is not None:
            x = x + inject[:, :, None]
        x = functional.gelu(self.norm1(x))
        x = _each_frequency(lambda rows: self.rewrite(self.branch(rows)), x)
        return functional.glu(self.norm2(x), 1)


class Spread(nn.Module):
    """A transposed convolution over time or frequency, which :class:`Gather` is turned round.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: of the convolution.
        stride: of the convolution.
        over: ``time`` or ``frequency``.
        padded: whether what belongs to the zeros is cut off.
        groups: of the normalisation; None for no normalisation.
        last: without normalisation and activation.

    Example:
        >>> Spread(8, 1, kernel_size=8, stride=4)(torch.randn(2, 8, 13), length=50).shape
        torch.Size([2, 1, 50])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        stride: int,
        over: str = "time",
        padded: bool = True,
        groups: int | None = None,
        last: bool = False,
    ):
        super().__init__()
        self.over_time, self.last = over == "time", last
        self.padding = kernel_size // 4 if padded else 0
        if self.over_time:
            self.conv_tr = nn.ConvTranspose1d(inputs, outputs, kernel_size, stride)
        else:
            self.conv_tr = nn.ConvTranspose2d(inputs, outputs, (kernel_size, 1), (stride, 1))
        self.norm2 = _norm(groups, outputs)

    def forward(self, features: torch.Tensor, length: int) -> torch.Tensor:
        """Map (B, C, K) to (B, C', length), or (B, C, F, K) to (B, C', length, K)."""
        x = self.norm2(self.conv_tr(features))
        x = x.narrow(-1 if self.over_time else 2, self.padding, length)
        return x if self.last else functional.gelu(x)


class DecoderLayer(Spread):
    """A gated convolution, maybe a residual branch, and a transposed convolution.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: of the transposed convolution.
        stride: of the transposed convolution.
        over: ``time`` or ``frequency``.
        padded: whether what belongs to the zeros is cut off.
        groups: of the normalisations; None for no normalisation.
        last: without normalisation and activation at the end.
        branch: of the features; None for none.

    Example:
        >>> layer, features = DecoderLayer(8, 4, 8, 4, "frequency"), torch.randn(2, 8, 16, 9)
        >>> layer(layer.mix(features), length=64).shape
        torch.Size([2, 4, 64, 9])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        stride: int,
        over: str = "time",
        padded: bool = True,
        groups: int | None = None,
        last: bool = False,
        branch: nn.Module | None = None,
    ):
        super().__init__(inputs, outputs, kernel_size, stride, over, padded, groups, last)
        kind = nn.Conv1d if self.over_time else nn.Conv2d
        self.rewrite = kind(inputs, 2 * inputs, 3, padding=1)
        self.norm1 = _norm(groups, 2 * inputs)
        self.branch = branch or nn.Identity()

    def mix(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, K) or (B, C, F, K) to the same shape, before they are spread."""
        x = functional.glu(self.norm1(self.rewrite(features)), 1)
        return _each_frequency(self.branch, x)


def _each_frequency(
    function: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor
) -> torch.Tensor:
    """Apply a function of sequences (B, C, K) to features (B, C, F, K), frequency by frequency."""
    if features.ndim == 3:
        return function(features)
    rows = features.transpose(1, 2)  # (B, F, C, K)
    return function(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]).transpose(1, 2)
