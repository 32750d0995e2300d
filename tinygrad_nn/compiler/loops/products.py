"""Compiled products of matrices, in tiles that stay in registers. Needs Numba (extra `jit`)."""

from __future__ import annotations

from tinygrad_nn.compiler.loops.mathematics import loop
from tinygrad_nn.compiler.loops.tile import product


@loop
def tiled_product(first, last, a, b, c, kernel, m, n, k, rows):
    """Fill rows of a product, pieces first to last - 1 of so many rows each."""
    top, end = first * rows, min(last * rows, m)
    left, out = a.ctypes.data + top * k * a.itemsize, c.ctypes.data + top * n * c.itemsize
    product(kernel, left, k, 1, 0, b.ctypes.data, n, 1, 0, out, n, 0, 0, end - top, n, k, 1, 0)
