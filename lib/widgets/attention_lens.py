"""The attention lens: which frames of a mixture a frame reads, in its chunk and across chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch

from lib.errors import InputError
from lib.filterbanks.base import Filterbank
from lib.nn.dual_path import chunk_padding
from lib.widgets.element import Element, as_mono, encode_array

_N_FFT = 256  # of the picture; one column per frame of the network
_RANGE_DB = 60


def attention_lens(
    mixture: torch.Tensor | np.ndarray,
    sample_rate: int,
    maps: Mapping[str, torch.Tensor],
    stride: int,
    title: str = "Attention lens",
) -> Element:
    """A panel in which the reader points at a frame and sees which frames it reads.

    The spectrogram of the mixture has one column per frame of the network. Pointing at it, by
    pointer, touch or keys, chooses a frame. The panel shows the weights of that frame's attention:
    inside of its chunk, and for the frames at the same place of all chunks; per layer, per head or
    as the mean of the heads, and for either of the two chunks that the frame lies in.

    Args:
        mixture: ``(time,)`` or ``(1, time)``; half a second to a second is enough.
        sample_rate: Hz.
        maps: from :func:`lib.nn.attention.attention_maps` of a dual-path network on this mixture,
            or a part of them: as many layers along chunks, ``(chunks, heads, K, K)``, as across
            them, ``(K, heads, chunks, chunks)``, told apart by ``intra`` and ``inter`` in their
            names.
        stride: samples from frame to frame of the network; frames overlap by half.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for another signal, no layers, or maps that do not belong to the mixture.

    Example:
        >>> from lib.models import DPTNet
        >>> from lib.nn.attention import attention_maps
        >>> model, noise = DPTNet.tiny().eval(), torch.randn(1, 1, 4000)
        >>> maps = attention_maps(model, noise)
        >>> attention_lens(noise, 8000, maps, stride=model.encoder.stride)
        Attention lens: 251 frames, 1 layer of 4 heads. Run this cell to point at a frame.
    """
    samples = as_mono(mixture, "mixture")
    if stride not in range(1, samples.shape[-1] + 1):
        raise InputError(f"stride: expected 1 to {samples.shape[-1]} samples, got {stride!r}")
    frames = Filterbank(1, 2 * stride).frames(samples.shape[-1])
    pairs = _pairs(maps)
    chunk = pairs[0][0].shape[-1]
    chunks = 2 * (sum(chunk_padding(frames, chunk)) + frames) // chunk - 1
    heads = pairs[0][0].shape[1]
    for pair in pairs:
        shapes = tuple(tuple(part.shape) for part in pair)
        wanted = (chunks, heads, chunk, chunk), (chunk, heads, chunks, chunks)
        if shapes != wanted:
            raise InputError(
                f"maps: expected the shapes {wanted} of a pair of layers for {frames} frames, got "
                f"{shapes}; make the maps from this mixture alone"
            )
    config = {
        "title": title,
        "frames": frames,
        "seconds_per_frame": stride / sample_rate,
        "max_frequency": sample_rate / 2,
        "levels": encode_array(_levels(samples[0], stride, frames), "uint8"),
        # roots keep small weights apart in one byte
        "layers": [[encode_array(part.sqrt(), "uint8") for part in pair] for pair in pairs],
    }
    layers = f"{len(pairs)} layer{'s' * (len(pairs) > 1)} of {heads} heads"
    fallback = f"{title}: {frames} frames, {layers}. Run this cell to point at a frame."
    return Element("unmix-attention-lens", config, ("attention_lens",), fallback)


def _pairs(maps: Mapping[str, torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each layer along chunks with the one across chunks that has the same number."""
    paths = [
        [layer for name, layer in maps.items() if re.search(rf"\b{path}\b", name)]
        for path in ("intra", "inter")
    ]
    if not paths[0] or len(paths[0]) != len(paths[1]):
        raise InputError(
            "maps: expected as many layers inside of chunks as across them, got "
            f"{len(paths[0])} and {len(paths[1])}; take attention_maps(model, mixture)"
        )
    if any(layer.ndim != 4 for path in paths for layer in path):
        raise InputError("maps: expected weights (sequences, heads, frames, frames)")
    return list(zip(*paths, strict=True))


def _levels(samples: np.ndarray, stride: int, frames: int) -> np.ndarray:
    """Levels in dB under the loudest, ``(frames, bins)``; frame k is centred at k strides."""
    signal = torch.from_numpy(samples)
    signal = torch.nn.functional.pad(signal, (0, (frames - 1) * stride - len(signal)))
    window = torch.hann_window(_N_FFT, dtype=signal.dtype)
    signal = torch.nn.functional.pad(signal, (_N_FFT // 2, _N_FFT // 2))
    power = torch.stft(
        signal, _N_FFT, stride, window=window, center=False, return_complex=True
    ).abs()
    levels = 20 * (power / power.max()).clamp_min(1e-6).log10()
    return levels.clamp_min(-_RANGE_DB).T.numpy()
