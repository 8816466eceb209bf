"""The Demucs denoiser, as its authors published it: for no commercial use.

The names of files end in the beginning of their SHA-256. The weights learned with the standard
deviation of whole recordings; ``-live`` are the same weights with the level of what was heard: they
stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from lib.models.denoiser import Denoiser
from lib.models.official.release import File, Release, Weights, rename

__all__ = ["RELEASES", "from_denoiser"]

# parts of names in the authors' Demucs, and here
_NAMES = {
    r"^encoder\.(\d+)\.0\.": r"network.down.\1.convolution.",
    r"^encoder\.(\d+)\.2\.": r"network.down.\1.rewrite.",
    r"^decoder\.(\d+)\.0\.": r"network.up.\1.rewrite.",
    r"^decoder\.(\d+)\.2\.": r"network.up.\1.convolution.",
    r"^lstm\.": "network.",
}


def from_denoiser(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Name weights of the authors' ``Demucs`` as :class:`lib.models.Denoiser` does.

    Args:
        weights: its ``state_dict()``.

    Returns:
        what :meth:`torch.nn.Module.load_state_dict` takes.

    Example:
        >>> from_denoiser({"encoder.3.2.bias": torch.zeros(1)})
        {'network.down.3.rewrite.bias': tensor([0.])}
    """
    return rename(weights, _NAMES)


def _releases(name: str, file: str, data: str, **options: Any) -> Iterator[tuple[str, Release]]:
    """As published; and to stream, if it can."""
    for ending, normalize in (("", "utterance"), ("-live", "running")):
        if ending and not options.get("causal", True):
            return
        yield (
            f"denoiser/{name}{ending}",
            Release(
                "https://github.com/facebookresearch/denoiser",
                {
                    "": File(
                        f"https://dl.fbaipublicfiles.com/adiyoss/denoiser/{file}.th",
                        f"denoiser/{file}.th",
                        file.rpartition("-")[2],
                    )
                },
                Denoiser,
                options | {"normalize": normalize},
                lambda files: from_denoiser(files[""]),
                "CC BY-NC 4.0 (no commercial use)",
                data,
            ),
        )


_DNS = "the DNS Challenge of Interspeech 2020"
_VALENTINI = "Valentini's corpus (VoiceBank-DEMAND)"

RELEASES: dict[str, Release] = {
    **dict(_releases("dns48", "dns48-11decc9d8e3f0998", _DNS)),
    **dict(_releases("dns64", "dns64-a7761ff99a7d5bb6", _DNS, hidden=64)),
    **dict(
        _releases("master64", "master64-8a5dfb4bb92753dd", f"{_DNS} and {_VALENTINI}", hidden=64)
    ),
    **dict(
        _releases(
            "valentini-nc",
            "valentini_nc-93fc4337",
            _VALENTINI,
            hidden=64,
            stride=2,
            resampling=2,
            causal=False,
        )
    ),
}
