"""Compiled code for the columns of matrices; whoever calls it gives the sizes. Needs Numba (extra `jit`)."""

from __future__ import annotations

from tinygrad_nn.compiler.loops.mathematics import loop


@loop
def scaled_columns(first, last, x, c, out, rows, channels):
    """Fill rows first to last - 1 of a stack of matrices with (x - c[0]) * c[1] + c[2]."""
    for r in range(first, last):
        matrix = (r // rows) * 3 * channels
        mean, slope, bias = c[matrix:], c[matrix + channels :], c[matrix + 2 * channels :]
        start = r * channels
        for j in range(channels):
            out[start + j] = (x[start + j] - mean[j]) * slope[j] + bias[j]
