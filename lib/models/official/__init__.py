"""Weights that authors of systems published, fetched when they are asked for, in our classes.

A name is that of the publisher and of the weights, such as ``torchaudio/conv-tasnet-libri2mix``;
``openunmix/umxhq`` is all targets with the Wiener filter between them, ``openunmix/umxhq-vocals``
one target alone. Each publisher has a module here.

Files are kept in the cache folder (see :func:`lib.fetch.cache_folder`) and checked against the hash
that the publisher states. Where none is stated, the hash of the first download stands beside the
file, and later uses are checked against that.
"""

from __future__ import annotations

from lib.errors import InputError
from lib.fetch import cache_folder, fetch, readable_size
from lib.models.base import Separator
from lib.models.official import asteroid, demucs, denoiser, openunmix, speechbrain, torchaudio
from lib.models.official.release import Release, give_weights

__all__ = ["RELEASES", "load", "names"]

RELEASES: dict[str, Release] = {
    **openunmix.RELEASES,
    **torchaudio.RELEASES,
    **asteroid.RELEASES,
    **speechbrain.RELEASES,
    **demucs.RELEASES,
    **denoiser.RELEASES,
}


def names() -> list[str]:
    """List the names that :func:`load` knows.

    Example:
        >>> [name for name in names() if name.startswith("torchaudio")]
        ['torchaudio/conv-tasnet-libri2mix', 'torchaudio/hdemucs-musdb', 'torchaudio/hdemucs-plus']
    """
    return list(RELEASES)


def load(name: str, progress: bool = True) -> Separator:
    """Build a published model and give it its weights, fetched at the first time.

    Size and licence are printed before anything is fetched.

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
    if name not in RELEASES:
        raise InputError(f"name: expected one of {', '.join(names())}, got {name!r}")
    release = RELEASES[name]
    model = release.system(**release.options)
    paths = {part: cache_folder() / file.path for part, file in release.files.items()}
    missing = [part for part, path in paths.items() if not path.is_file()]
    if missing and progress:
        size = sum(weights.numel() for weights in model.parameters())
        size *= release.bytes_per_weight
        print(
            f"{name}: about {readable_size(size)} in {len(paths)} file(s), {len(missing)} to fetch "
            f"from {release.page} to {paths[missing[0]].parent}; licence: {release.licence}; "
            f"trained on {release.data}"
        )
        if unstated := [paths[part].name for part in missing if not release.files[part].sha256]:
            print(
                f"No hash of {', '.join(unstated)} is stated: this first download cannot be "
                "checked. Its own hash is kept beside it, and later uses are checked against that."
            )
    for part, file in release.files.items():
        fetch(file.url, paths[part], file.sha256, progress=progress, pin=True)
    give_weights(model, release, paths)
    return model.eval()
