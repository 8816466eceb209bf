"""Deconvolution matrix: a convolution written out, its transpose, and what a constant becomes."""

from __future__ import annotations

import torch

from lib.errors import InputError
from lib.widgets.element import Element

_RANGES = {"size": (4, 8), "kernel_size": (2, 5), "stride": (1, 3), "padding": (0, 2)}


def deconvolution_matrix(
    size: int = 4,
    kernel_size: int = 3,
    stride: int = 1,
    padding: int = 0,
    *,
    seed: int = 0,
    title: str = "Deconvolution matrix",
) -> Element:
    """A panel in which the reader sets a convolution and sees it as a matrix, and its transpose.

    The matrix is that of :func:`lib.nn.convolution_matrix` for a square image and kernel, with the
    kernel's points named ``aa``, ``ab`` and so on. One output point is marked: its row, its column
    of the transpose, and where the kernel lies in the image. A last picture shows what transposed
    convolution makes of a constant, away from the borders: with a stride the points of the kernel
    fall into classes, and unless these have equal sums, a checkerboard. Its energy is given in dB
    relative to the constant's, for equal, triangular or drawn points of the kernel.

    Args:
        size: rows and columns of the image at the start, 4 to 8.
        kernel_size: rows and columns of the kernel, 2 to 5.
        stride: 1 to 3.
        padding: zeros on each side of the image, 0 to 2.
        seed: of the drawn kernel.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for a number out of its range, or a kernel larger than the padded image.

    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
    arXiv:1603.07285, section 4; Odena, Dumoulin and Olah, "Deconvolution and checkerboard
    artifacts", Distill 2016.

    Example:
        >>> deconvolution_matrix()
        Deconvolution matrix: a 4 x 4 image, a 3 x 3 kernel. Run this cell to change them.
    """
    settings = {"size": size, "kernel_size": kernel_size, "stride": stride, "padding": padding}
    for name, value in settings.items():
        low, high = _RANGES[name]
        if value not in range(low, high + 1):
            raise InputError(f"{name}: expected a whole number, {low} to {high}, got {value!r}")
    if kernel_size > size + 2 * padding:
        raise InputError(
            f"kernel_size: expected at most the padded size {size + 2 * padding}, got {kernel_size}"
        )
    side = _RANGES["kernel_size"][1]
    drawn = torch.randn(side, side, generator=torch.Generator().manual_seed(seed))
    config = {
        "title": title,
        "settings": {name: int(value) for name, value in settings.items()},
        "ranges": _RANGES,
        "drawn": [[round(value, 3) for value in row] for row in drawn.tolist()],
    }
    fallback = (
        f"{title}: a {size} x {size} image, a {kernel_size} x {kernel_size} kernel. "
        "Run this cell to change them."
    )
    return Element("unmix-deconvolution-matrix", config, ("deconvolution_matrix",), fallback)
