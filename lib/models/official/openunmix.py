"""Open-Unmix: a network for each target, and all of them with the Wiener filter between.

F.-R. Stoeter, S. Uhlich, A. Liutkus and Y. Mitsufuji, "Open-Unmix", JOSS 4(41), 2019. The name of
each file ends in the beginning of its SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib.models.official.release import File, Release, Weights
from lib.models.open_unmix import OpenUnmix

__all__ = ["RELEASES"]


def _convert(files: dict[str, Any]) -> Weights:
    return {
        f"masker.targets.{target}.{name}": values
        for target, state in files.items()
        for name, values in state.items()
    }


def _releases(
    name: str, page: str, names: dict[str, str], licence: str, data: str, **options: Any
) -> Iterator[tuple[str, Release]]:
    """All targets together, then each alone."""
    files = {
        target: File(f"{page}/files/{file}", f"{name}/{file}", Path(file).stem[-8:])
        for target, file in names.items()
    }
    for key, targets in [(name, [*files]), *((f"{name}-{target}", [target]) for target in files)]:
        chosen = {target: files[target] for target in targets}
        built = {"targets": targets, "wiener_iterations": int(len(targets) > 1), **options}
        yield key, Release(page, chosen, OpenUnmix, built, _convert, licence, data)


RELEASES: dict[str, Release] = {
    **dict(
        _releases(
            "openunmix/umx",
            "https://zenodo.org/records/3370486",
            {
                "vocals": "vocals-c8df74a5.pth",
                "drums": "drums-5a48008b.pth",
                "bass": "bass-646024d3.pth",
                "other": "other-f8e132cc.pth",
            },
            "MIT",
            "MUSDB18",
        )
    ),
    **dict(
        _releases(
            "openunmix/umxhq",
            "https://zenodo.org/records/3370489",
            {
                "vocals": "vocals-b62c91ce.pth",
                "drums": "drums-9619578f.pth",
                "bass": "bass-8d85a5bd.pth",
                "other": "other-b52fbbf7.pth",
            },
            "MIT",
            "MUSDB18-HQ",
        )
    ),
    **dict(
        _releases(
            "openunmix/umxl",
            "https://zenodo.org/records/5069601",
            {
                "vocals": "vocals-bccbd9aa.pth",
                "drums": "drums-69e0ebd4.pth",
                "bass": "bass-2ca1ce51.pth",
                "other": "other-c8c5b3e6.pth",
            },
            "CC BY-NC-SA 4.0",
            "more songs than MUSDB18, not public",
            hidden=1024,
        )
    ),
    **dict(
        _releases(
            "openunmix/umxse",
            "https://zenodo.org/records/3786908",
            {"speech": "speech_f5e0d9f9.pth", "noise": "noise_04a6fc2d.pth"},
            "MIT",
            "VoiceBank-DEMAND",
            channels=1,
            n_fft=1024,
            hop_length=512,
            bandwidth=None,
            hidden=256,
            sample_rate=16000,
        )
    ),
}
