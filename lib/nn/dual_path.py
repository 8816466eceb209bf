"""Long sequences as short ones: chunks that overlap, a path inside of them and one across them.

::

    frames (B, N, T) --> chunks (S, B, K, N) --> [ inside of chunks --> across chunks ] x R
                                                                             |
    frames (B, N, T) <-- overlap and add <-----------------------------------+

T frames become S chunks of K frames that overlap by half. Blocks read the chunks by turns along the
K frames of each chunk, and along the S chunks for each place in them: two sequences of about
``sqrt(2 T)`` steps instead of one of T.

Chunks come first in memory: then both paths are views of the same numbers, and a stream appends.

**Gain.** Every frame lies in exactly two chunks, so what :func:`segment` cuts, :func:`merge` adds
up to twice the frames. Systems and their weights reckon with that sum, as the published ones do.

**Streams.** A frame is ready when the later of its two chunks is complete: :class:`DualPath` with a
``memory`` returns the frames that got ready, in order; there may be none. With the last piece the
memory holds ``memory["end"] = True``, and the rest comes out.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional

from lib.errors import InputError
from lib.framing import Memory
from lib.losses.precision import at_least_float32
from lib.nn.activations import make_activation
from lib.nn.norms import make_norm

__all__ = ["DualPath", "DualPathBlock", "GatedMasks", "chunk_padding", "merge", "segment"]


def chunk_padding(frames: int, chunk: int, padding: str = "even") -> tuple[int, int]:
    """How many frames of zeros stand before and behind a sequence that is cut into chunks.

    Both rules put every frame into two chunks. They differ in chunks that hold nothing but zeros,
    which recurrent layers and norms notice.

    Args:
        frames: T.
        chunk: K, even.
        padding: ``even``: half a chunk before, and behind up to an even number of chunks, as the
            authors' code and SpeechBrain do; ``full``: a chunk before and up to one behind, as
            Asteroid does.

    Raises:
        InputError: for a chunk that is not even, or an unknown rule.

    Example:
        >>> chunk_padding(1000, 100), chunk_padding(1000, 100, "full")
        ((50, 100), (100, 100))
    """
    if chunk < 2 or chunk % 2:
        raise InputError(f"chunk: expected an even number of frames, got {chunk}")
    half = chunk // 2
    if padding == "even":
        return half, chunk - (half + frames % chunk) % chunk + half
    if padding == "full":
        return chunk, ((frames + chunk) // half + 2) * half - frames - chunk
    raise InputError(f"padding: expected even or full, got {padding!r}")


def segment(features: torch.Tensor, chunk: int, padding: str = "even") -> torch.Tensor:
    """Cut a sequence into chunks that overlap by half.

    Args:
        features: ``(batch, channels, frames)``.
        chunk: K, frames of a chunk, even.
        padding: see :func:`chunk_padding`.

    Returns:
        ``(chunks, batch, K, channels)``.

    Raises:
        InputError: for a chunk that is not even, or an unknown rule.

    Source: Luo, Chen and Yoshioka, "Dual-path RNN", ICASSP 2020, section 2.1.

    Example:
        >>> segment(torch.arange(1.0, 5.0).view(1, 1, 4), chunk=4)[:, 0, :, 0]
        tensor([[0., 0., 1., 2.],
                [1., 2., 3., 4.],
                [3., 4., 0., 0.],
                [0., 0., 0., 0.]])
    """
    return _cut(functional.pad(features, chunk_padding(features.shape[-1], chunk, padding)), chunk)


def merge(chunks: torch.Tensor, frames: int, padding: str = "even") -> torch.Tensor:
    """Overlap and add: the sum of the two chunks that each frame lies in, not their mean.

    Args:
        chunks: ``(chunks, batch, K, channels)``, as from :func:`segment`.
        frames: T, of the result.
        padding: the rule that the chunks were cut by.

    Returns:
        ``(batch, channels, frames)``: twice the features that were cut.

    Source: Luo, Chen and Yoshioka, "Dual-path RNN", ICASSP 2020, section 2.1.

    Example:
        >>> features = torch.randn(2, 3, 50)
        >>> torch.equal(merge(segment(features, chunk=8), 50), 2 * features)
        True
    """
    before, _ = chunk_padding(frames, chunks.shape[2], padding)
    return _lay_out(_overlap(chunks))[..., before : before + frames]


def _cut(padded: torch.Tensor, chunk: int) -> torch.Tensor:
    """Chunks (S, B, K, N) of features (B, N, (S + 1) K / 2): each half joined with the next."""
    halves = padded.unflatten(-1, (-1, chunk // 2)).permute(2, 0, 3, 1)  # (S + 1, B, K / 2, N)
    return torch.cat([halves[:-1], halves[1:]], 2)


def _overlap(chunks: torch.Tensor) -> torch.Tensor:
    """Halves (S + 1, B, K / 2, N): the end of each chunk on the beginning of the next."""
    first, second = chunks.chunk(2, 2)
    return torch.cat([first[:1], first[1:] + second[:-1], second[-1:]])


def _lay_out(halves: torch.Tensor) -> torch.Tensor:
    """Features (B, N, H K / 2) of halves (H, B, K / 2, N)."""
    return halves.permute(1, 3, 0, 2).flatten(2)


class DualPathBlock(nn.Module):
    """A module inside of chunks, then one across chunks.

    Both modules map sequences ``(sequences, steps, channels)`` to the same shape. ``inter`` also
    takes the ``memory`` of a stream. Where there is a norm, it is applied to what a module returns,
    and the module's input is added: ``x <- x + norm(module(x))``.

    Args:
        intra: reads the frames of a chunk.
        inter: reads the frames at one place of all chunks.
        channels: N, of the norms.
        norm: over the channels and frames of all chunks, see :func:`lib.nn.norms.make_norm`;
            None: no norm, and nothing is added (the modules see to it).

    Raises:
        InputError: for an unknown norm, or one without ``channels``.

    Source: Luo, Chen and Yoshioka, "Dual-path RNN", ICASSP 2020, eq. 4 to 7.

    Example:
        >>> block = DualPathBlock(nn.Linear(8, 8), nn.Linear(8, 8), channels=8)
        >>> block(torch.randn(5, 2, 10, 8)).shape
        torch.Size([5, 2, 10, 8])
    """

    def __init__(
        self, intra: nn.Module, inter: nn.Module, channels: int = 0, norm: str | None = "global"
    ):
        super().__init__()
        self.intra, self.inter = intra, inter
        self.intra_norm = make_norm(norm, channels) if norm else None
        self.inter_norm = make_norm(norm, channels) if norm else None

    def forward(self, chunks: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map chunks (S, B, K, N) to (S, B, K, N)."""
        inside = self.intra(chunks.flatten(0, 1)).view_as(chunks)  # (S * B, K, N) and back
        chunks = _add(self.intra_norm, chunks, inside, memory)
        sequences = chunks.flatten(1, 2).transpose(0, 1)  # (B * K, S, N), without a copy
        across = self.inter(sequences) if memory is None else self.inter(sequences, memory)
        across = across.transpose(0, 1).reshape(chunks.shape)
        return _add(self.inter_norm, chunks, across, memory)


def _add(
    norm: nn.Module | None, chunks: torch.Tensor, found: torch.Tensor, memory: Memory | None
) -> torch.Tensor:
    """x + norm(y), for chunks (S, B, K, N); y without a norm."""
    if norm is None:
        return found
    return chunks + norm(found.permute(1, 3, 0, 2), memory).permute(2, 0, 3, 1)  # (B, N, S, K)


class DualPath(nn.Module):
    """Cut into chunks, pass them through blocks, rectify, overlap and add.

    Args:
        blocks: map chunks ``(S, B, K, N)`` to the same shape, with the ``memory`` of a stream, such
            as :class:`DualPathBlock`.
        chunk: K, even; about ``sqrt(2 T)`` for T frames keeps both paths short.
        padding: see :func:`chunk_padding`.

    Source: Luo, Chen and Yoshioka, "Dual-path RNN", ICASSP 2020, fig. 1.

    Example:
        >>> block = DualPathBlock(nn.Linear(8, 8), nn.Linear(8, 8), channels=8)
        >>> DualPath([block], chunk=10)(torch.randn(2, 8, 55)).shape
        torch.Size([2, 8, 55])
    """

    def __init__(self, blocks: Iterable[nn.Module], chunk: int, padding: str = "even"):
        super().__init__()
        chunk_padding(0, chunk, padding)  # refuses what cannot be
        self.blocks = nn.ModuleList(blocks)
        self.activation = nn.PReLU()
        self.chunk, self.padding = chunk, padding

    def forward(self, features: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Map features (B, N, T) to (B, N, T), of a stream to the frames that are ready.

        Args:
            features: ``(batch, channels, frames)``.
            memory: of a stream; with the last piece ``memory["end"]`` is True.
        """
        if memory is not None:
            return self._stream(features, memory)
        chunks = self._process(segment(features, self.chunk, self.padding), None)
        return merge(chunks, features.shape[-1], self.padding)

    def _process(self, chunks: torch.Tensor, memory: Memory | None) -> torch.Tensor:
        for block in self.blocks:
            chunks = block(chunks, memory)
        return self.activation(chunks)

    def _stream(self, features: torch.Tensor, memory: Memory) -> torch.Tensor:
        half = self.chunk // 2
        if self not in memory:
            before, _ = chunk_padding(0, self.chunk, self.padding)
            waiting = features.new_zeros(*features.shape[:2], before)
            memory[self] = waiting, features.new_zeros(1), before, 0
        # frames that wait for the rest of a chunk; the last chunk's second half, for the next to be
        # added; zeros before the first frame that have yet to be skipped; frames on their way
        waiting, tail, skip, left = memory[self]
        waiting, left = torch.cat([waiting, features], -1), left + features.shape[-1]
        if memory.get("end"):
            waiting = functional.pad(waiting, (0, half + -waiting.shape[-1] % half))
        chunks = waiting.shape[-1] // half - 1
        ready = features[..., :0]
        if chunks > 0:
            complete = _cut(waiting[..., : (chunks + 1) * half], self.chunk)
            halves = _overlap(self._process(complete, memory))  # (S + 1, B, K / 2, N)
            ready = _lay_out(torch.cat([halves[:1] + tail, halves[1:-1]]))
            ready = ready[..., skip : skip + left]
            waiting, tail = waiting[..., chunks * half :].clone(), halves[-1:].clone()
            skip, left = max(0, skip - chunks * half), left - ready.shape[-1]
        memory[self] = waiting, tail, skip, left
        return ready


class GatedMasks(nn.Module):
    """Masks from what a dual path returns: spread over the speakers, gate, widen.

    Args:
        channels: N, of the input.
        filters: of the masks; None: they are as many as the channels, and nothing widens them.
        speakers: how many.
        activation: of the masks, see :func:`lib.nn.activations.make_activation`.

    Example:
        >>> GatedMasks(channels=8, filters=16, speakers=2, activation="relu")(
        ...     torch.randn(3, 8, 50)
        ... ).shape
        torch.Size([3, 2, 16, 50])
    """

    def __init__(self, channels: int, filters: int | None, speakers: int, activation: str):
        super().__init__()
        self.speakers, self.filters = speakers, filters or channels
        self.spread = nn.Conv1d(channels, speakers * channels, 1)
        self.output = nn.Conv1d(channels, channels, 1)
        self.gate = nn.Conv1d(channels, channels, 1)
        self.widen = nn.Conv1d(channels, filters, 1, bias=False) if filters else nn.Identity()
        self.mask_activation = make_activation(activation)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map sums of two chunks (B, N, T) to masks (B, speakers, filters, T)."""
        if features.shape[-1] == 0:  # of a stream whose first chunk is not complete
            return features.new_empty(len(features), self.speakers, self.filters, 0)
        # The papers spread each chunk and add afterwards: then the offset comes twice as well. This
        # order is the same, on half the frames.
        offset = 2 * self.spread.bias
        each = functional.conv1d(features, self.spread.weight, offset)  # (B, speakers * N, T)
        each = each.unflatten(1, (self.speakers, -1)).flatten(0, 1)  # (B * speakers, N, T)
        gated = self.output(each).tanh() * self.gate(each).sigmoid()
        logits = at_least_float32(self.widen(gated))  # (B * speakers, filters, T)
        return self.mask_activation(logits.unflatten(0, (-1, self.speakers)))
