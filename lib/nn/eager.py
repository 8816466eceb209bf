"""When a module may choose its own kernels."""

from __future__ import annotations

import torch

__all__ = ["eager_on_cpu", "exporting"]

# before PyTorch 2.7 what compiles and what exports cannot be told apart: both get the plain form
_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


def exporting() -> bool:
    """Whether the model is being written to a file, such as ONNX: then the plain form is best.

    Example:
        >>> exporting()
        False
    """
    return _is_exporting() or torch.onnx.is_in_onnx_export()


def eager_on_cpu(features: torch.Tensor) -> bool:
    """Whether operations run one by one on a processor; compilers and GPUs choose for themselves.

    Args:
        features: that are worked on.

    Example:
        >>> eager_on_cpu(torch.zeros(1))
        True
    """
    return features.is_cpu and not torch.compiler.is_compiling() and not exporting()
