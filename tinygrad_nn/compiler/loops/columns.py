"""Compiled code for the columns of matrices; whoever calls it gives the sizes. Needs Numba (extra `jit`).

Rows are added up in the precision of the elements as many as lie in a core's nearest cache, then in double precision.
A piece of the work is `chunk` columns of a stack of matrices; a range of pieces is one walk over the rows.
"""

from __future__ import annotations

import numpy as np

from tinygrad_nn.compiler.loops.mathematics import element, loop

_LINE = 256
"""Shorter rows are taken several at once, so that loops over them are long enough for vectors."""
_BLOCK = 8192
"""So many elements are added up before they become double precision."""
UNDIVIDED = 32
"""Shorter rows are one piece, and of longer ones sums do not depend on the pieces that a range has."""
CHUNK = 16
"""So many columns of longer rows are a piece: a line of cache in float32."""


@element
def _lines(rows, channels, width):
    """Return how many lines there are, how many are a block, their length, how far apart they are, and what is left.

    A line is one row, or several where they are short, and so never divided.
    """
    several = max(1, min(rows, _LINE // width)) if width == channels < UNDIVIDED else 1
    step = several * channels
    return rows // several, max(1, _BLOCK // step), several * width, step, rows % several * width


@element
def _folded(total, width):
    """Add up the sums of all rows of a line."""
    for j in range(width, total.size):
        total[j % width] += total[j]


@element
def _add_moments(x, lines, step, length, shift, mean, rest, squares, first, second):
    """Add the sums of differences from a shift, and of their squares, in a block: first around its own means."""
    for j in range(length):
        mean[j] = rest[j] = squares[j] = 0
    for k in range(lines):
        line = x[k * step :]
        for j in range(length):
            mean[j] += line[j]
    for j in range(length):
        mean[j] /= lines
    for k in range(lines):
        line = x[k * step :]
        for j in range(length):
            d = line[j] - mean[j]
            rest[j] += d
            squares[j] += d * d
    for j in range(length):
        # What rounding has left between the mean and the middle.
        beside = np.float64(rest[j]) / lines
        d = np.float64(mean[j]) + beside - shift[j]
        first[j] += lines * d
        second[j] += squares[j] - rest[j] * beside + lines * d * d


@element
def _moments(x, out, rows, channels, width):
    lines, block, length, step, left = _lines(rows, channels, width)
    mean, rest, squares = np.empty(length, x.dtype), np.empty(length, x.dtype), np.empty(length, x.dtype)
    shift, first, second = np.empty(length), np.zeros(length), np.zeros(length)
    for j in range(length):
        shift[j] = x[j % width]
    for k in range(0, lines, block):
        count = min(block, lines - k)
        _add_moments(x[k * step :], count, step, length, shift, mean, rest, squares, first, second)
    if left:
        _add_moments(x[lines * step :], 1, step, left, shift, mean, rest, squares, first, second)
    _folded(first, width)
    _folded(second, width)
    for j in range(width):
        d = first[j] / rows
        variance = second[j] / rows - d * d
        out[j] = shift[j] + d
        out[channels + j] = variance if not variance < 0 else 0


@loop
def column_moments(first, last, x, out, rows, channels, chunk, columns):
    """Fill out, (..., 2, channels), with mean and variance of each column."""
    at, end = first * chunk, min(last * chunk, columns)
    while at < end:
        matrix, column = at // channels, at % channels
        width = min(channels - column, end - at)
        _moments(
            x[matrix * rows * channels + column :],
            out[matrix * 2 * channels + column :],
            rows,
            channels,
            width,
        )
        at += width


@element
def _add_products(a, b, lines, step, length, row, products, sums, first, second):
    for j in range(length):
        products[j] = sums[j] = 0
    for k in range(lines):
        p, q = a[k * step :], b[k * step :]
        for j in range(length):
            products[j] += p[j] * (q[j] - row[j])
            sums[j] += p[j]
    for j in range(length):
        first[j] += products[j]
        second[j] += sums[j]


@element
def _products(a, b, c, out, rows, channels, width):
    lines, block, length, step, left = _lines(rows, channels, width)
    row, products, sums = np.empty(length, a.dtype), np.empty(length, a.dtype), np.empty(length, a.dtype)
    first, second = np.zeros(length), np.zeros(length)
    for j in range(length):
        row[j] = c[j % width]
    for k in range(0, lines, block):
        at, count = k * step, min(block, lines - k)
        _add_products(a[at:], b[at:], count, step, length, row, products, sums, first, second)
    at = lines * step
    if left:
        _add_products(a[at:], b[at:], 1, step, left, row, products, sums, first, second)
    _folded(first, width)
    _folded(second, width)
    for j in range(width):
        out[j] = first[j]
        out[channels + j] = second[j]


@loop
def column_products(first, last, a, b, c, out, rows, channels, chunk, columns):
    """Fill out, (..., 2, channels), with the sums of a * (b - c) and of a over the rows, c one row."""
    at, end = first * chunk, min(last * chunk, columns)
    while at < end:
        matrix, column = at // channels, at % channels
        width = min(channels - column, end - at)
        start = matrix * rows * channels + column
        _products(a[start:], b[start:], c[at:], out[matrix * 2 * channels + column :], rows, channels, width)
        at += width


@element
def _add_sums(x, lines, step, length, sums, total):
    for j in range(length):
        sums[j] = 0
    for k in range(lines):
        line = x[k * step :]
        for j in range(length):
            sums[j] += line[j]
    for j in range(length):
        total[j] += sums[j]


@element
def _sums(x, out, rows, channels, width, divisor):
    lines, block, length, step, left = _lines(rows, channels, width)
    sums, total = np.empty(length, x.dtype), np.zeros(length)
    for k in range(0, lines, block):
        _add_sums(x[k * step :], min(block, lines - k), step, length, sums, total)
    if left:
        _add_sums(x[lines * step :], 1, step, left, sums, total)
    _folded(total, width)
    for j in range(width):
        out[j] = total[j] / divisor


@loop
def column_sums(first, last, x, out, rows, channels, chunk, columns, divisor):
    """Fill out, (..., channels), with the sums of columns, divided by a number."""
    at, end = first * chunk, min(last * chunk, columns)
    while at < end:
        matrix, column = at // channels, at % channels
        width = min(channels - column, end - at)
        _sums(x[matrix * rows * channels + column :], out[at:], rows, channels, width, divisor)
        at += width
