"""SpeechBrain's SepFormer: a file each for encoder, masks and decoder.

SpeechBrain pads the signal otherwise, see :mod:`lib.models.sepformer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lib.models.official.release import File, Release, Weights, rename
from lib.models.sepformer import SepFormer

__all__ = ["RELEASES", "from_speechbrain"]

# parts of names in SpeechBrain's SepformerWrapper, and here
_NAMES = {
    r"^encoder\.conv1d\.weight": "encoder.encoder_filters",
    r"^decoder\.weight": "encoder.decoder_filters",
    r"^masknet\.conv1d": "masker.bottleneck",
    r"^masknet\.prelu": "masker.dual_path.activation",
    r"^masknet\.conv2d": "masker.masks.spread",
    r"^masknet\.output\.0": "masker.masks.output",
    r"^masknet\.output_gate\.0": "masker.masks.gate",
    r"^masknet\.end_conv1x1": "masker.masks.widen",
    r"^masknet\.dual_mdl": "masker.dual_path.blocks",
    r"^masknet\.norm": "masker.norm",
    r"(intra|inter)_mdl\.mdl": r"\1",
    r"self_att\.att\.in_proj_": "attention.project.",
    r"self_att\.att\.out_proj": "attention.output",
    r"pos_ffn\.ffn\.0": "widen",
    r"pos_ffn\.ffn\.3": "narrow",
    r"norm1\.norm": "attention_norm",
    r"norm2\.norm": "frame_norm",
    r"norm\.norm": "norm",
}


def from_speechbrain(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Name weights of SpeechBrain's ``SepformerWrapper`` as :class:`lib.models.SepFormer` does.

    Args:
        weights: its ``state_dict()``, or the files of encoder, masknet and decoder under these
            three prefixes. Tables of places are left out.

    Returns:
        what :meth:`torch.nn.Module.load_state_dict` takes.

    Example:
        >>> from_speechbrain({"masknet.conv2d.bias": torch.zeros(4)})
        {'masker.masks.spread.bias': tensor([0., 0., 0., 0.])}
    """
    renamed = rename(weights, _NAMES)
    return {name: values for name, values in renamed.items() if not name.endswith("pos_enc.pe")}


def _convert(files: dict[str, Any]) -> Weights:
    return from_speechbrain(
        {
            f"{part}.{name}": values
            for part, state in files.items()
            for name, values in state.items()
        }
    )


def _release(
    name: str,
    revision: str,
    encoder: str | None,
    masknet: str | None,
    decoder: str | None,
    data: str,
    speakers: int = 2,
) -> Release:
    """A release and the SHA-256 of its files."""
    page = f"https://huggingface.co/speechbrain/{name}"
    hashes = {"encoder": encoder, "masknet": masknet, "decoder": decoder}
    return Release(
        page,
        {
            part: File(
                f"{page}/resolve/{revision}/{part}.ckpt", f"speechbrain/{name}/{part}.ckpt", sha256
            )
            for part, sha256 in hashes.items()
        },
        SepFormer,
        {"speakers": speakers},
        _convert,
        "Apache 2.0",
        data,
    )


RELEASES: dict[str, Release] = {
    "speechbrain/sepformer-wsj02mix": _release(
        "sepformer-wsj02mix",
        "9fe2eea52e0a12b8f96db3cb293569d1e31d6565",
        "3139bb880b29ea77ae8a168b8f2ad6e8eb5c2c0904289676c223d0e93cd2a35d",
        "57dd5f49bf21c5a2101bb4e46648d05d34d517a59e26f0b06646d0bebe8214c7",
        "abea1a2d41151331b4c36071d1b3205aed940a189721f008b12a703e9c63e7e4",
        "WSJ0-2mix",
    ),
    "speechbrain/sepformer-wsj03mix": _release(
        "sepformer-wsj03mix",
        "c0d5002e10d60439921f4bb6a62d18520d3ccc10",
        "afdabc2f213c6391002088c0faade7253f62c1ad910c58b3c42a3147f3421451",
        "7c11786f74723c8e7021f6c9769057724c5e6833d1ed0f09fc935adfcb8a0078",
        None,
        "WSJ0-3mix",
        speakers=3,
    ),
    "speechbrain/sepformer-wham": _release(
        "sepformer-wham",
        "3bde974ad3e057b510bdbcf12d9b04b801b182f5",
        "a33283041ba9a4cc292bc31ea14b1bfccad8304be822480571eaf95f9ccb0301",
        "f058bffbc94d3ac3fb2481239b9eda589cb53484d312714180c98ae5fee8bbf3",
        "d9a06998d188f9fa0cb79915dc855aac4737c41392488b11d500b453000f4dfa",
        "WHAM!",
    ),
    "speechbrain/sepformer-libri2mix": _release(
        "sepformer-libri2mix",
        "8025fa8428d392d7e5098b1c188d48f5e6d67c75",
        None,
        "f54762647082a8fe75a1cacc6c3d463b967223fc77c836cc4fb8ca2a272d9a75",
        "05340634088efb00ec448f548af107d5d932057ea214dd64497f34106247e184",
        "Libri2Mix",
    ),
}
