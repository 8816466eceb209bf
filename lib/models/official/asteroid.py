"""Asteroid's Conv-TasNet and DPRNN, as its authors put them on the Hugging Face Hub.

A file is a dict that holds the state beside the arguments of their class. The arguments are not
read: what our class needs stands here. Conv-TasNet has rectified masks, DPRNN twice the channels of
the paper. Our banks pad the signal, Asteroid's do not; its chunks are those of ``padding="full"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lib.models.base import Separator
from lib.models.conv_tasnet import ConvTasNet
from lib.models.dprnn import DPRNN
from lib.models.official.release import File, Release, Weights, rename

__all__ = ["RELEASES", "from_asteroid"]

# parts of names in Asteroid's ConvTasNet, DPRNNTasNet and DPTNet, and here
_NAMES = {
    r"^(encoder|decoder)\.filterbank\._filters": r"encoder.\1_filters",
    r"\.bottleneck\.0\.|\.in_norm\.": ".norm.",
    r"\.bottleneck\.1\.": ".bottleneck.",
    # Conv-TasNet; causal convolutions come with a module that cuts behind them
    r"\.TCN\.": ".tcn.blocks.",
    r"\.shared_block\.0\.": ".widen.",
    r"\.shared_block\.1\.": ".widen_activation.",
    r"\.shared_block\.2\.": ".widen_norm.",
    r"\.shared_block\.3\.(0\.)?": ".depthwise.",
    r"\.shared_block\.4\.": ".depthwise_activation.",
    r"\.shared_block\.5\.": ".depthwise_norm.",
    r"\.res_conv\.": ".residual.",
    r"\.skip_conv\.": ".skip.",
    r"\.mask_net\.0\.": ".output_activation.",
    r"\.mask_net\.1\.": ".output.",
    # paths
    r"\.net\.(\d+)\.(intra|inter)_norm": r".dual_path.blocks.\1.\2_norm",
    r"\.net\.(\d+)\.(intra|inter)_linear": r".dual_path.blocks.\1.\2.output",
    r"\.net\.(\d+)\.(intra|inter)_RNN\.rnn": r".dual_path.blocks.\1.\2.recurrent",
    r"\.layers\.(\d+)\.0": r".dual_path.blocks.\1.intra",
    r"\.layers\.(\d+)\.1": r".dual_path.blocks.\1.inter",
    r"\.mha\.in_proj_": ".attention.project.",
    r"\.mha\.out_proj": ".attention.output",
    r"\.linear\.": ".output.",
    r"\.norm_mha\.": ".attention_norm.",
    r"\.norm_ff\.": ".output_norm.",
    r"\.first_out\.0": ".dual_path.activation",
    r"\.first_out\.1": ".masks.spread",
    r"\.net_out\.0": ".masks.output",
    r"\.net_gate\.0": ".masks.gate",
    r"\.mask_net\.": ".masks.widen.",
    # norms
    r"\.gamma$": ".weight",
    r"\.beta$": ".bias",
}


def from_asteroid(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Name weights of Asteroid's systems as ours do.

    Args:
        weights: ``state_dict()`` of its ``ConvTasNet``, ``DPRNNTasNet`` or ``DPTNet``. The latter
            takes the mean of two chunks where ours takes the sum: halve ``masks.spread``.

    Returns:
        what :meth:`torch.nn.Module.load_state_dict` takes.

    Example:
        >>> from_asteroid({"masker.TCN.7.shared_block.2.gamma": torch.zeros(1)})
        {'masker.tcn.blocks.7.widen_norm.weight': tensor([0.])}
    """
    return rename(weights, _NAMES)


def _release(
    repository: str,
    revision: str,
    sha256: str | None,
    system: type[Separator],
    options: dict[str, Any],
    data: str,
) -> Release:
    page = f"https://huggingface.co/{repository}"
    file = f"{page}/resolve/{revision}/pytorch_model.bin"
    return Release(
        page,
        {"": File(file, f"asteroid/{repository.partition('/')[2]}.bin", sha256)},
        system,
        options,
        lambda files: from_asteroid(files[""]["state_dict"]),
        "CC BY-SA (3.0 in its notice, 4.0 in the head of its page)",
        data,
    )


_WHAM = "the mixtures without noise of WHAM!, from WSJ0 (licensed for research only)"

RELEASES: dict[str, Release] = {
    "asteroid/conv-tasnet-wham-sepclean": _release(
        "mpariente/ConvTasNet_WHAM_sepclean",
        "2bc8efd34e3528ea83621148cc7359ab48df3040",
        "3ad07942ee1a3ae74c47ddc0e215573e813404a1a3eb2625c39e2985a6ca108b",
        ConvTasNet,
        {"activation": "relu"},
        _WHAM,
    ),
    "asteroid/conv-tasnet-libri2mix-sepclean": _release(
        "JorisCos/ConvTasNet_Libri2Mix_sepclean_8k",
        "38fc890e34da77409680aa430b6b42da395d94a0",
        None,
        ConvTasNet,
        {"activation": "relu"},
        "Libri2Mix",
    ),
    "asteroid/dprnn-wham-sepclean": _release(
        "mpariente/DPRNNTasNet-ks2_WHAM_sepclean",
        "1911c62d1721ff4cf97ec5ec723b9a984d2b7763",
        "cc1f1fecf24ea3e486521029dc0e1444686bd4b6fdf9715e7757936cbd9ffdf6",
        DPRNN,
        {"channels": 128, "padding": "full"},
        _WHAM,
    ),
}
