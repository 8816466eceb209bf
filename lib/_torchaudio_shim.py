"""Let a plain ``import torchaudio`` work beside a CPU-only torch.

The wheel that package indexes serve for Linux is built for CUDA: beside a CPU-only torch, loading
its compiled extension raises ``OSError`` and takes the whole import down, although models,
transforms and resampling are plain Python. This finder stands in for that one submodule: it tries
the real extension first and, where that cannot load, offers the few names the package asks it for.
No file of site-packages is touched.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType

_EXTENSION = "torchaudio._extension"


def _unavailable(function):
    def stand_in(*args, **kwargs):
        raise RuntimeError(
            f"torchaudio's {function.__name__} needs its compiled extension, "
            "which does not load beside this torch; install a torch and a torchaudio of one build"
        )

    return stand_in


class _ExtensionLoader(importlib.abc.Loader):
    def __init__(self, real: importlib.abc.Loader) -> None:
        self._real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self._real.exec_module(module)
        except OSError:
            module._IS_TORCHAUDIO_EXT_AVAILABLE = False
            module._IS_ALIGN_AVAILABLE = False
            module._check_cuda_version = lambda: None
            module.fail_if_no_align = _unavailable


class _ExtensionFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != _EXTENSION:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _ExtensionLoader(spec.loader)
        return spec


def install() -> None:
    """Put the finder first on ``sys.meta_path``; a second call does nothing."""
    if not any(isinstance(finder, _ExtensionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ExtensionFinder())
