"""Chapter 16: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from worked import ch16

best_chunk, fold, unfold, OneWay = ch16.best_chunk, ch16.fold, ch16.unfold, ch16.OneWay


def _side_by_side(features, chunk):
    padded = functional.pad(features, (0, -features.shape[-1] % chunk))
    return padded.unfold(-1, chunk, chunk).permute(1, 2, 0)


def _without_zeros_in_front(features, chunk):
    half = chunk // 2
    padded = functional.pad(features, (0, chunk + (-features.shape[-1]) % half))
    return padded.unfold(-1, chunk, half).permute(1, 2, 0)


def _channels_first(features, chunk):
    return fold(features, chunk).permute(2, 0, 1)


def _sum(chunks, frames):
    return 2 * unfold(chunks, frames)


def _first_copy(chunks, frames):
    half = chunks.shape[1] // 2
    return chunks[:, half:].flatten(0, 1).T[:, :frames]


class _AllChunks(nn.GroupNorm):
    def __init__(self, channels):
        super().__init__(1, channels)

    def forward(self, chunks):  # (S, B, K, N)
        return super().forward(chunks.permute(1, 3, 0, 2)).permute(2, 0, 3, 1)


class _InsideOnly(OneWay):
    def forward(self, chunks):
        inside = self.intra_output(self.intra(chunks.flatten(0, 1))[0]).view_as(chunks)
        return chunks + self.norms[0](inside)


class _ItemsInARow(OneWay):
    def forward(self, chunks):
        once = self.intra_output(self.intra(chunks.flatten(0, 1))[0]).view_as(chunks)
        chunks = chunks + self.norms[0](once)
        rows = chunks.permute(2, 0, 1, 3).flatten(1, 2)  # (K, S * B, N)
        across = self.inter_output(self.inter(rows)[0]).view(
            chunks.shape[2], *chunks.shape[:2], chunks.shape[3]
        )
        return chunks + self.norms[1](across.permute(1, 2, 0, 3))


def _odd(frames):
    return best_chunk(frames) + (1 if best_chunk(frames) < (2 * frames) ** 0.5 else -1)


RIGHT = {
    "ch16.best_chunk": [best_chunk],
    "ch16.fold": [(fold, unfold)],
    "ch16.one_way": [ch16.one_way_block],
}

WRONG = {
    "ch16.best_chunk": [
        (lambda frames: round(frames**0.5), "not T / K"),
        (lambda frames: frames // 2, "derivative"),
        (_odd, "expected an even number"),
        (lambda frames: "254", "expected numbers"),
    ],
    "ch16.fold": [
        ((_side_by_side, unfold), "half a chunk apart"),
        ((_without_zeros_in_front, unfold), "half a chunk of zeros"),
        ((_channels_first, unfold), "expected chunks of shape"),
        ((fold, _sum), "sum of two copies"),
        ((fold, _first_copy), "mean of both"),
        (fold, "a pair"),
    ],
    "ch16.one_way": [
        (lambda n, h: OneWay(n, h, across=True), "forwards only"),
        (lambda n, h: OneWay(n, h, norm=_AllChunks), "A norm over all chunks"),
        (lambda n, h: OneWay(n, h, inside=False), "reads both ways"),
        (_InsideOnly, "one across them"),
        (_ItemsInARow, "Keep the items apart"),
        (lambda n, h: torch.zeros(1), "expected an nn.Module"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch16.best_chunk": [..., None, _not_written, lambda frames: None],
    "ch16.fold": [..., None, (_not_written, unfold), (lambda *sizes: None, unfold)],
    "ch16.one_way": [..., None, _not_written, lambda channels, hidden: None],
}
