"""Where in a recording a source is heard: segments with enough energy, without any network."""

from __future__ import annotations

import math

import torch

from lib.errors import InputError, check_rate, check_signal

CHUNKS = 10  # of a segment
QUANTILE = 0.15
FLOOR = 1e-3
SHARE = 0.5  # of a segment's chunks


def salient_segments(waveform: torch.Tensor, sample_rate: int, seconds: float = 6.0) -> list[int]:
    """Find the segments of a recording in which something is heard.

    Segments overlap by half. Each is cut into ten chunks, and a chunk's energy is the root of its
    mean square. The threshold is the 15 % quantile of the energies of all chunks of the recording,
    at least 0.001. A segment counts if more than half of its chunks are above it.

    The paper does not say what its energy is; public implementations take the root of the mean
    square, as here. They also take the quantile over the chunks of one segment, which nearly all
    segments pass; here it is over the recording, as the paper says.

    Args:
        waveform: ``(channels, time)`` within [-1, 1].
        sample_rate: Hz.
        seconds: of a segment.

    Returns:
        The first sample of each, in order; none if the recording is shorter than a segment.

    Raises:
        InputError: for a waveform that is none, or segments that are too short for ten chunks.

    Source: Y. Luo and J. Yu, "Music source separation with band-split RNN", IEEE/ACM TASLP 31,
    2023, section IV-A.

    Example:
        >>> sound = torch.sin(torch.arange(1000.0))
        >>> salient_segments(torch.cat([sound, torch.zeros(2000), sound])[None], 100, 10.0)
        [0, 3000]
    """
    check_signal(waveform, "waveform", ndim=2)
    chunk = math.floor(seconds * check_rate(sample_rate) / CHUNKS)
    if chunk < 1:
        raise InputError(
            f"seconds: expected at least {CHUNKS / sample_rate} s, a sample for each of "
            f"{CHUNKS} chunks, got {seconds}"
        )
    size = CHUNKS * chunk
    if waveform.shape[1] < size:
        return []
    power = waveform.double().square().mean(0)  # (time,)
    chunks = power.unfold(0, size, size // 2).unflatten(1, (CHUNKS, chunk))  # (segments, 10, chunk)
    energies = chunks.mean(2).sqrt()  # (segments, 10)
    threshold = energies.flatten().quantile(QUANTILE).clamp_min(FLOOR)
    heard = (energies > threshold).double().mean(1) > SHARE
    return (heard.nonzero()[:, 0] * (size // 2)).tolist()
