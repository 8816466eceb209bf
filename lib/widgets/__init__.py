"""What a reader sees, hears and touches: the listening panel and one widget per chapter.

Each widget is one Python file and one JavaScript file under ``js/``; it is a self-contained HTML
output that works with no kernel and asks no other host for anything. ``from lib.widgets import
listen`` gives the function ``listen`` of the file ``listen.py``, loaded on use.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

__all__ = [
    "abx",
    "attention_lens",
    "band_splitter",
    "basis_gallery",
    "blend_bar",
    "complex_mask_plane",
    "context_ruler",
    "dataset_atlas",
    "deconvolution_matrix",
    "denoise_by_hand",
    "dilation_explorer",
    "embedding_sphere",
    "encoder_decoder",
    "film_mixer",
    "fold_sequence",
    "guess_the_score",
    "listen",
    "loss_landscape",
    "mask_painter",
    "mixing_desk",
    "mushra",
    "permutation_game",
    "projection_triangle",
    "results_table",
    "show_source",
    "stft_microscope",
]


class _Widgets(ModuleType):
    # Importing a file sets it as an attribute of its package, where it would hide the function of
    # the same name: here the function takes the place of the file.
    def __setattr__(self, name: str, value) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Widgets


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module(f"{__name__}.{name}")
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
