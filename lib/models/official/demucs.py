"""Demucs and its hybrids, as their authors and torchaudio published them.

The names of the authors' files end in the beginning of their SHA-256. Files of the hybrids hold
half-precision weights beside their class and its arguments, which are not read: what our class
needs stands here. No hash of torchaudio's files is stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lib.models.bag import Bag
from lib.models.base import Separator
from lib.models.demucs import Demucs
from lib.models.ht_demucs import HTDemucs
from lib.models.hybrid_demucs import HybridDemucs
from lib.models.official.denoiser import from_denoiser
from lib.models.official.release import File, Release, Weights, rename

__all__ = ["RELEASES", "from_demucs", "from_demucs_v2"]

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


_ROOT = "https://dl.fbaipublicfiles.com/demucs"
_PAGE = "https://github.com/adefossez/demucs"
_SEGMENT = {"segment": 7.8}
_MUSDB = "MUSDB18-HQ (for research and education)"


def _file(folder: str, name: str) -> File:
    return File(f"{_ROOT}/{folder}/{name}.th", f"demucs/{name}.th", name.rpartition("-")[2])


def _hybrid(system: type[Separator], options: dict[str, Any], name: str, data: str) -> Release:
    return Release(
        _PAGE,
        {"": _file("hybrid_transformer", name)},
        system,
        options,
        lambda files: from_demucs(files[""]["state"]),
        "MIT",
        data,
        bytes_per_weight=2,
    )


def _convert_bag(files: dict[str, Any]) -> Weights:
    return {
        f"members.{number}.{name}": values
        for number, content in enumerate(files.values())
        for name, values in from_demucs(content["state"]).items()
    }


def _torchaudio(name: str, data: str) -> Release:
    file = File(
        f"https://download.pytorch.org/torchaudio/models/{name}.pt", f"torchaudio/{name}.pt", None
    )
    return Release(
        "https://docs.pytorch.org/audio/stable/pipelines.html",
        {"": file},
        HybridDemucs,
        {},
        lambda files: from_demucs(files[""]),
        "none stated (the code's is BSD 2-Clause)",
        data,
    )


def _second(name: str, data: str, **options: Any) -> Release:
    file = _file("v3.0", name)
    return Release(
        _PAGE, {"": file}, Demucs, options, lambda files: from_demucs_v2(files[""]), "MIT", data
    )


_MORE = "800 songs more, not public"

RELEASES: dict[str, Release] = {
    "demucs/htdemucs": _hybrid(HTDemucs, _SEGMENT, "955717e8-8726e21a", f"{_MUSDB} and {_MORE}"),
    # each of the four was trained on for one stem, in the order of the stems
    "demucs/htdemucs_ft": Release(
        _PAGE,
        {
            stem: _file("hybrid_transformer", name)
            for stem, name in {
                "drums": "f7e0c4bc-ba3fe64a",
                "bass": "d12395a8-e57c48e6",
                "other": "92cfc3b6-ef3bcb9c",
                "vocals": "04573f0d-f3cf25b2",
            }.items()
        },
        Bag,
        {
            "members": [{"system": "HTDemucs", "config": _SEGMENT}] * 4,
            "weights": [[float(stem == member) for stem in range(4)] for member in range(4)],
        },
        _convert_bag,
        "MIT",
        f"{_MUSDB} and {_MORE}",
        bytes_per_weight=2,
    ),
    "demucs/hdemucs_mmi": _hybrid(HybridDemucs, {}, "75fc33f5-1941ce65", f"{_MUSDB} and {_MORE}"),
    "demucs/demucs": _second("demucs-e07c671f", "MUSDB18"),
    "demucs/demucs48_hq": _second("demucs48_hq-28a1282c", _MUSDB, filters=48),
    "demucs/demucs_extra": _second("demucs_extra-3646af93", "MUSDB18 and 150 songs more"),
    "torchaudio/hdemucs-musdb": _torchaudio("hdemucs_high_musdbhq_only", _MUSDB),
    "torchaudio/hdemucs-plus": _torchaudio(
        "hdemucs_high_trained", f"{_MUSDB}, its test songs too, and 150 songs more"
    ),
}
