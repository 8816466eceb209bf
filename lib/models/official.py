"""Weights that authors of systems published, fetched when they are asked for.

A name is ``openunmix/umxhq`` for all targets with the Wiener filter between them, or
``openunmix/umxhq-vocals`` for one target alone. Files are kept in the cache folder (see
:func:`lib.fetch.cache_folder`); the hash of each must begin as its name ends.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lib.errors import DataError, InputError
from lib.fetch import cache_folder, fetch, readable_size
from lib.models.open_unmix import OpenUnmix


class Release(NamedTuple):
    """A published model: where it is, how it is built, what one may do with it."""

    page: str
    files: dict[str, str]  # of each target; a name ends in the beginning of the file's SHA-256
    options: dict[str, Any]  # of OpenUnmix
    licence: str
    data: str


_SPEECH = {
    "channels": 1,
    "n_fft": 1024,
    "hop_length": 512,
    "bandwidth": None,
    "hidden": 256,
    "sample_rate": 16000,
}

RELEASES: dict[str, Release] = {
    "openunmix/umx": Release(
        "https://zenodo.org/records/3370486",
        {
            "vocals": "vocals-c8df74a5.pth",
            "drums": "drums-5a48008b.pth",
            "bass": "bass-646024d3.pth",
            "other": "other-f8e132cc.pth",
        },
        {},
        "MIT",
        "MUSDB18",
    ),
    "openunmix/umxhq": Release(
        "https://zenodo.org/records/3370489",
        {
            "vocals": "vocals-b62c91ce.pth",
            "drums": "drums-9619578f.pth",
            "bass": "bass-8d85a5bd.pth",
            "other": "other-b52fbbf7.pth",
        },
        {},
        "MIT",
        "MUSDB18-HQ",
    ),
    "openunmix/umxl": Release(
        "https://zenodo.org/records/5069601",
        {
            "vocals": "vocals-bccbd9aa.pth",
            "drums": "drums-69e0ebd4.pth",
            "bass": "bass-2ca1ce51.pth",
            "other": "other-c8c5b3e6.pth",
        },
        {"hidden": 1024},
        "CC BY-NC-SA 4.0",
        "more songs than MUSDB18, not public",
    ),
    "openunmix/umxse": Release(
        "https://zenodo.org/records/3786908",
        {"speech": "speech_f5e0d9f9.pth", "noise": "noise_04a6fc2d.pth"},
        _SPEECH,
        "MIT",
        "VoiceBank-DEMAND",
    ),
}


def names() -> list[str]:
    """List the names that :func:`load` knows.

    Example:
        >>> names()[:3]
        ['openunmix/umx', 'openunmix/umx-vocals', 'openunmix/umx-drums']
    """
    return [
        name
        for release, (_, files, *_) in RELEASES.items()
        for name in (release, *(f"{release}-{target}" for target in files))
    ]


def load(name: str, progress: bool = True) -> OpenUnmix:
    """Build a published model and give it its weights, fetched at the first time.

    Licence and size are printed before anything is fetched.

    Args:
        name: one of :func:`names`.
        progress: print what is fetched, and show a progress bar.

    Returns:
        The separator, in evaluation mode.

    Raises:
        InputError: for an unknown name.
        DataError: if a file cannot be fetched, or holds something else.

    Example:
        >>> load("openunmix/umxxl")
        Traceback (most recent call last):
        ...
        lib.errors.InputError: name: expected one of openunmix/umx, ... got 'openunmix/umxxl'
    """
    if name not in names():
        raise InputError(f"name: expected one of {', '.join(names())}, got {name!r}")
    key, _, target = name.partition("-")
    release = RELEASES[key]
    targets = [target] if target else list(release.files)
    separator = OpenUnmix(targets, wiener_iterations=int(len(targets) > 1), **release.options)
    folder = cache_folder() / key
    missing = [target for target in targets if not (folder / release.files[target]).is_file()]
    if missing and progress:
        network = separator.masker.targets[missing[0]]
        size = sum(weights.numel() for weights in network.parameters()) * 4
        print(
            f"{name}: fetching {len(missing)} x about {readable_size(size)} from {release.page} to "
            f"{folder}; licence {release.licence}, trained on {release.data}"
        )
    for target in targets:
        file = release.files[target]
        promised = Path(file).stem[-8:]
        path = fetch(f"{release.page}/files/{file}", folder / file, promised, progress=progress)
        _give_weights(separator.masker.targets[target], path)
    return separator.eval()


def _give_weights(network: torch.nn.Module, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # a file may hold more, such as the window of an STFT
        network.load_state_dict({key: state[key] for key in network.state_dict()})
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: expected the weights of an Open-Unmix network, got something else "
            f"({reason}); delete the file and try again"
        ) from error
