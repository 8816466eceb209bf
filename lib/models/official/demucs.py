"""Demucs and its hybrids, as their authors and torchaudio published them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lib.models.official.denoiser import from_denoiser
from lib.models.official.release import Weights, rename

__all__ = ["from_demucs", "from_demucs_v2"]

# parts of names in the authors' HDemucs and HTDemucs and in torchaudio's HDemucs, and here
_NAMES = {
    r"^freq_(en|de)coder": r"\1coder",
    r"^t(en|de)coder": r"time_\1coder",
    r"^freq_emb": "embedding",
    # residual branches: sequences of seven modules, or of nine with a BLSTM and attention
    r"\.dconv\.layers\.": ".branch.",
    r"(branch\.\d+)\.0\.": r"\1.narrow.",
    r"(branch\.\d+)\.1\.": r"\1.narrow_norm.",
    r"(branch\.\d+)\.3\.(lstm|linear)": r"\1.context.0.\2",
    r"(branch\.\d+)\.4\.proj": r"\1.context.1.output",
    r"(branch\.\d+)\.4\.(content|query|key)": r"\1.context.1.\2",
    r"(branch\.\d+)\.[35]\.": r"\1.widen.",
    r"(branch\.\d+)\.[46]\.(weight|bias)": r"\1.widen_norm.\2",
    r"(branch\.\d+)\.[68]\.scale": r"\1.scale",
    # between the ways of HTDemucs; layers with even numbers read themselves
    r"^channel_upsampler_t": "time_enter",
    r"^channel_downsampler_t": "time_leave",
    r"^channel_upsampler": "enter",
    r"^channel_downsampler": "leave",
    r"^crosstransformer\.": "transformer.",
    r"^transformer\.norm_in_t": "transformer.time_norm",
    r"^transformer\.norm_in": "transformer.norm",
    r"^transformer\.layers_t": "transformer.time_layers",
    r"\.norm_out\.": ".norm.",
    r"layers\.(\d*[02468])\.norm2": r"layers.\1.frame_norm",
    r"layers\.(\d+)\.norm1": r"layers.\1.attention_norm",
    r"layers\.(\d+)\.norm2": r"layers.\1.other_norm",
    r"layers\.(\d+)\.norm3": r"layers.\1.frame_norm",
    r"\.(self|cross)_attn\.in_proj_": ".attention.project.",
    r"\.(self|cross)_attn\.out_proj": ".attention.output",
    r"\.linear1": ".widen",
    r"\.linear2": ".narrow",
    r"\.gamma_1\.scale": ".attention_scale",
    r"\.gamma_2\.scale": ".frame_scale",
}


def from_demucs(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Name weights of the authors' ``HDemucs`` and ``HTDemucs`` as our classes do.

    Args:
        weights: their ``state_dict()``, or that of torchaudio's ``HDemucs``, which has one
            normalisation more than it uses.

    Returns:
        what :meth:`torch.nn.Module.load_state_dict` takes.

    Example:
        >>> from_demucs({"tencoder.3.dconv.layers.1.6.scale": torch.zeros(1)})
        {'time_encoder.3.branch.1.scale': tensor([0.])}
    """
    return rename(weights, _NAMES)


def from_demucs_v2(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Name weights of the authors' ``Demucs`` of 2021 as :class:`lib.models.Demucs` does.

    Args:
        weights: its ``state_dict()``.

    Returns:
        what :meth:`torch.nn.Module.load_state_dict` takes.

    Example:
        >>> from_demucs_v2({"decoder.0.0.bias": torch.zeros(1)})
        {'up.0.rewrite.bias': tensor([0.])}
    """
    renamed = from_denoiser(weights)
    return {name.removeprefix("network."): values for name, values in renamed.items()}
