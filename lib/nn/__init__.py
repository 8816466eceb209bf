"""Blocks that several systems share."""

from lib.nn.transposed import convolution_matrix

__all__ = ["convolution_matrix"]
