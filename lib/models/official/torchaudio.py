"""torchaudio's Conv-TasNet. No hash of its file is stated.

It has rectified masks, and no residual path in its last block. Paddings agree.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lib.models.conv_tasnet import ConvTasNet
from lib.models.official.release import File, Release, Weights, rename

__all__ = ["RELEASES", "from_torchaudio"]

# parts of names in torchaudio's ConvTasNet, and here
_NAMES = {
    r"^(encoder|decoder)\.weight": r"encoder.\1_filters",
    r"^mask_generator\.input_norm": "masker.norm",
    r"^mask_generator\.input_conv": "masker.bottleneck",
    r"^mask_generator\.output_prelu": "masker.output_activation",
    r"^mask_generator\.output_conv": "masker.output",
    r"^mask_generator\.conv_layers": "masker.tcn.blocks",
    r"\.conv_layers\.0": ".widen",
    r"\.conv_layers\.1": ".widen_activation",
    r"\.conv_layers\.2": ".widen_norm",
    r"\.conv_layers\.3": ".depthwise",
    r"\.conv_layers\.4": ".depthwise_activation",
    r"\.conv_layers\.5": ".depthwise_norm",
    r"\.res_out": ".residual",
    r"\.skip_out": ".skip",
}


def from_torchaudio(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Name weights of torchaudio's ``ConvTasNet`` as :class:`lib.models.ConvTasNet` does.

    Args:
        weights: its ``state_dict()``.

    Returns:
        what :meth:`torch.nn.Module.load_state_dict` takes.

    Example:
        >>> from_torchaudio({"mask_generator.conv_layers.3.conv_layers.1.weight": torch.zeros(1)})
        {'masker.tcn.blocks.3.widen_activation.weight': tensor([0.])}
    """
    return rename(weights, _NAMES)


RELEASES: dict[str, Release] = {
    "torchaudio/conv-tasnet-libri2mix": Release(
        "https://docs.pytorch.org/audio/stable/pipelines.html",
        {
            "": File(
                "https://download.pytorch.org/torchaudio/models/conv_tasnet_base_libri2mix.pt",
                "torchaudio/conv_tasnet_base_libri2mix.pt",
                None,
            )
        },
        ConvTasNet,
        {"activation": "relu", "last_residual": False},
        lambda files: from_torchaudio(files[""]),
        "none stated (the code's is BSD 2-Clause)",
        "Libri2Mix",
    )
}
