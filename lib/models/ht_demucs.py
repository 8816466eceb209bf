"""HT Demucs: Hybrid Demucs with a transformer in the middle, in which both domains read each other.

S. Rouard, F. Massa and A. Defossez, "Hybrid transformers for music source separation", ICASSP 2023,
arXiv:2211.08553.

The outer layers are those of Hybrid Demucs: a U-Net on the spectrogram, one on the samples. Here
they do not come to one sequence. Their innermost features stay two, points of a spectrogram and
frames of the signal, and a transformer lets each point read all points, then all frames, and the
other way round; no frame has to lie where another does.

===================  ======================  ======================================================
published            argument                meaning
===================  ======================  ======================================================
``channels``         ``filters``             channels of the first layer; they double
``depth``            ``depth``               layers on each way
``nfft``             ``n_fft``               samples of a frame; a quarter of it lies between frames
``bottom_channels``  ``bottleneck``          channels of the transformer
``t_layers``         ``layers``              of the transformer, every second across domains
``t_heads``          ``heads``               of its attention
``t_hidden_scale``   ``expansion``           of the network for each frame
``dconv_mode``       ``decoder_branches``    residual branches on the way back, too
``segment``          ``segment``             seconds that a mixture has at least in evaluation
===================  ======================  ======================================================

Deviations:
    - ``paper()`` has the sizes of the released weights (41,984,456 parameters), whose residual
      branches stand on both ways. The authors' class as it is by default has none on the way back
      and no ``bottleneck`` (26,899,536).
    - The attention is the dense one; the paper's sparse variant was not released.
    - ``forward`` notes nothing. The published class takes the length of its last training mixture
      for that of its segment, and then refuses longer ones.
    - A mixture may be longer than the segment.
    - ``small()`` and ``tiny()`` have shorter frames, fewer layers and a lower rate, and no branches
      on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.models.base import check_mixture
from lib.models.hybrid_demucs import STEMS, HybridDemucs
from lib.nn.convolutions import Pointwise
from lib.nn.cross_transformer import CrossTransformer


class HTDemucs(HybridDemucs):
    """Two U-Nets, on the spectrogram and on the samples, and a transformer between them.

    Args:
        sources: names of the estimates.
        channels: of the mixture and of each estimate.
        filters: channels of the first layer; they double from layer to layer.
        depth: layers on each way; fewer than lead to one bin.
        n_fft: samples of a frame; a quarter of it lies between frames.
        stride: over frequency or time, even; a kernel has twice as many places.
        compression: how many times fewer channels a residual branch has inside.
        decoder_branches: residual branches on the way back, too.
        branch_scale: first factor of what a residual branch adds.
        bottleneck: channels of the transformer; None for those of the last layer.
        layers: of the transformer.
        heads: of its attention.
        expansion: how many times more channels the network for each frame has inside.
        dropout: in the transformer.
        segment: seconds: in evaluation, silence is put behind shorter mixtures; None for none.
        sample_rate: Hz.

    Raises:
        InputError: for sizes that cannot be.

    Example:
        >>> HTDemucs.tiny()(torch.randn(1, 1, 4000)).shape
        torch.Size([1, 2, 1, 4000])
    """

    meet_in_the_middle = False

    def __init__(
        self,
        sources: Sequence[str] = STEMS,
        channels: int = 2,
        filters: int = 48,
        depth: int = 4,
        n_fft: int = 4096,
        stride: int = 4,
        compression: int = 8,
        decoder_branches: bool = True,
        branch_scale: float = 1e-3,
        bottleneck: int | None = 512,
        layers: int = 5,
        heads: int = 8,
        expansion: int = 4,
        dropout: float = 0.0,
        segment: float | None = None,
        sample_rate: int = 44100,
    ):
        super().__init__(
            sources,
            channels,
            filters,
            depth,
            n_fft,
            stride,
            norm_starts=depth,
            recurrent_starts=depth,
            compression=compression,
            decoder_branches=decoder_branches,
            branch_scale=branch_scale,
            sample_rate=sample_rate,
        )
        if segment is not None and not segment > 0:
            raise InputError(f"segment: expected a positive number of seconds, got {segment}")
        self.segment = segment
        width = filters * 2 ** (depth - 1)
        inside = bottleneck or width
        self.enter, self.leave, self.time_enter, self.time_leave = (
            Pointwise(*sizes) if bottleneck else nn.Identity()
            for sizes in [(width, inside), (inside, width)] * 2
        )
        self.transformer = CrossTransformer(inside, layers, heads, expansion * inside, dropout)

    @classmethod
    def paper(cls) -> Self:
        """Build the size of the released weights (41,984,456 parameters)."""
        return cls()

    @classmethod
    def small(cls) -> Self:
        """Build the size of the recipe ``htdemucs-small``: four stems in mono at 16 kHz."""
        return cls(
            channels=1,
            filters=12,
            n_fft=2048,
            decoder_branches=False,
            bottleneck=96,
            layers=3,
            heads=4,
            sample_rate=16000,
        )

    @classmethod
    def tiny(cls) -> Self:
        """Build a size for live training: the vocals of mono songs."""
        return cls(
            ["vocals", "accompaniment"],
            channels=1,
            filters=8,
            depth=3,
            n_fft=512,
            compression=4,
            decoder_branches=False,
            bottleneck=None,
            layers=3,
            heads=2,
            sample_rate=8000,
        )

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Separate. See :meth:`lib.models.base.Separator.forward`."""
        check_mixture(mixture, self.channels)
        time, least = mixture.shape[-1], 0
        if self.segment and not self.training:
            least = round(self.segment * self.sample_rate)
        padded = functional.pad(mixture, (0, max(0, least - time)))
        return super().forward(padded)[..., :time]

    def between(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Let points (B, W, F, K) and frames (B, W, T) read each other."""
        shape = x.shape[2:]
        x = self.enter(x.flatten(2)).unflatten(2, shape)  # (B, bottleneck, F, K)
        x, y = self.transformer(x, self.time_enter(y))
        return self.leave(x.flatten(2)).unflatten(2, shape), self.time_leave(y)
