"""Compiled code for the rows of matrices; whoever calls it gives the sizes. Needs Numba (extra `jit`)."""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from tinygrad_nn.compiler.loops.machine_code import compiled
from tinygrad_nn.compiler.loops.mathematics import exp4, exp8, inner, loop

_BLOCK = 32
"""So many rows are taken through a step at once: of several steps for one row, LLVM vectorises only some."""
_NEAR = 1 << 14
"""So many elements they have at most, to stay near a core."""

# Only without regard to NaN does a search for the largest vectorise; what it then finds may be NaN or not.
_search = compiled(error_model="numpy", fastmath={"nnan", "nsz"}, no_cpython_wrapper=True)


def _exp(x):
    raise NotImplementedError("compiled code alone calls it")


@overload(_exp)
def _exp_of_width(x):
    return (lambda x: exp4(x)) if x == types.float32 else (lambda x: exp8(x))


def _lowest(x):
    raise NotImplementedError("compiled code alone calls it")


@overload(_lowest)
def _lowest_of_width(x):
    return (lambda x: np.float32(-87)) if x == types.float32 else (lambda x: -708.0)


@_search
def _find_largest(y, tops, width):
    for r in range(y.size // width):
        row, top = y[r * width : (r + 1) * width], y.dtype.type(-np.inf)
        for j in range(width):
            top = row[j] if row[j] > top else top
        tops[r] = top


@inner
def _exponentials(y, tops, width):
    """Let exp(y - top) take the place of y, and the sums of rows that of the tops."""
    # Numbers that are subnormal take many times as long.
    lowest = _lowest(y[0])
    tiny = y.dtype.type(1.01) * _exp(lowest)
    for r in range(y.size // width):
        row, top, total = y[r * width : (r + 1) * width], tops[r], y.dtype.type(0)
        for j in range(width):
            d = row[j] - top
            row[j] = _exp(lowest if d < lowest else d)
        for j in range(width):
            e = y.dtype.type(0) if row[j] < tiny else row[j]
            row[j] = e
            total += e
        tops[r] = total


@inner
def _divided(y, sums, width):
    for r in range(y.size // width):
        row, factor = y[r * width : (r + 1) * width], y.dtype.type(1) / sums[r]
        for j in range(width):
            row[j] *= factor


@_search
def _find_smallest(y, ends, width):
    for r in range(y.size // width):
        row, end = y[r * width : (r + 1) * width], y.dtype.type(np.inf)
        for j in range(width):
            end = row[j] if row[j] < end else end
        ends[r] = end


@inner
def _keep_nan(y, ends, width):
    for r in range(y.size // width):
        row, some = y[r * width : (r + 1) * width], False
        for j in range(width):
            some |= row[j] != row[j]
        ends[r] = y.dtype.type(np.nan) if some else ends[r]


@loop
def largest(first, last, x, out, width):
    """Fill out with the largest of each row from first to last - 1, NaN where there is one."""
    _find_largest(x[first * width : last * width], out[first:last], width)
    _keep_nan(x[first * width : last * width], out[first:last], width)


@loop
def smallest(first, last, x, out, width):
    """Fill out with the smallest of each row from first to last - 1, NaN where there is one."""
    _find_smallest(x[first * width : last * width], out[first:last], width)
    _keep_nan(x[first * width : last * width], out[first:last], width)


@loop
def totals(first, last, x, out, width, divisor):
    """Fill out with the sum of each row from first to last - 1, divided by a number."""
    for r in range(first, last):
        row, total = x[r * width : (r + 1) * width], x.dtype.type(0)
        for j in range(width):
            total += row[j]
        out[r] = total / x.dtype.type(divisor)


@loop
def softmax(first, last, x, y, width):
    """Fill rows first to last - 1 of y with the softmax of those of x."""
    column, step = np.empty(_BLOCK, y.dtype), max(1, min(_BLOCK, _NEAR // width))
    for start in range(first, last, step):
        stop = min(start + step, last)
        block, out = x[start * width : stop * width], y[start * width : stop * width]
        for i in range(out.size):
            out[i] = block[i]
        _find_largest(out, column, width)
        _exponentials(out, column, width)
        _divided(out, column, width)


@loop
def softmax_of_some(first, last, x, chosen, y, width, inner, period):
    """Fill rows first to last - 1 of y with the softmax of what is chosen of those of x, zeros where nothing is.

    Row r of x has row r // period * inner + r % inner of the mask.
    """
    low, zero = x.dtype.type(-np.inf), x.dtype.type(0)
    column, step = np.empty(_BLOCK, y.dtype), max(1, min(_BLOCK, _NEAR // width))
    for start in range(first, last, step):
        stop = min(start + step, last)
        for r in range(start, stop):
            row, to = x[r * width : (r + 1) * width], y[r * width : (r + 1) * width]
            mask = chosen[(r // period * inner + r % inner) * width :]
            for j in range(width):
                to[j] = row[j] if mask[j] else low
        out = y[start * width : stop * width]
        _find_largest(out, column, width)
        for i in range(stop - start):
            column[i] = zero if column[i] == low else column[i]
        _exponentials(out, column, width)
        for i in range(stop - start):
            column[i] = column[i] if column[i] != zero else x.dtype.type(1)
        _divided(out, column, width)


@loop
def softmax_back(first, last, a, p, out, width):
    """Fill rows first to last - 1 with (a - sum(a * p)) * p, zeros before anything infinite."""
    zero = a.dtype.type(0)
    for r in range(first, last):
        start, stop = r * width, (r + 1) * width
        b, q, to = a[start:stop], p[start:stop], out[start:stop]
        total = zero
        for j in range(width):
            total += zero if b[j] == zero else b[j] * q[j]
        for j in range(width):
            d = b[j] - total
            to[j] = zero if d == zero else d * q[j]


@inner
def _standardize(x, y, eps):
    kind = x.dtype.type
    total, squares = kind(0), kind(0)
    for j in range(x.size):
        total += x[j]
    mean = total / kind(x.size)
    for j in range(x.size):
        d = x[j] - mean
        squares += d * d
    scale = kind(1) / kind(math.sqrt(squares / kind(x.size) + kind(eps)))
    for j in range(x.size):
        y[j] = (x[j] - mean) * scale
    return scale


@loop
def standardized(first, last, x, y, width, eps):
    """Fill rows first to last - 1 of y with those of x, their mean 0 and their variance 1."""
    for r in range(first, last):
        _standardize(x[r * width : (r + 1) * width], y[r * width : (r + 1) * width], eps)


@loop
def standardized_with_scales(first, last, x, y, s, width, eps):
    """Fill s too, by what each row was multiplied."""
    for r in range(first, last):
        s[r] = _standardize(x[r * width : (r + 1) * width], y[r * width : (r + 1) * width], eps)


@loop
def standardized_back(first, last, a, u, s, out, width):
    """Fill rows first to last - 1 with (a - mean(a) - mean(a * u) * u) * s, zeros before anything infinite."""
    kind = a.dtype.type
    zero, n = kind(0), kind(width)
    for r in range(first, last):
        start, stop = r * width, (r + 1) * width
        b, v, to, scale = a[start:stop], u[start:stop], out[start:stop], s[r]
        total, along = zero, zero
        for j in range(width):
            total += b[j]
            along += zero if b[j] == zero else b[j] * v[j]
        total /= n
        along /= n
        for j in range(width):
            d = b[j] - total - (zero if along == zero else along * v[j])
            to[j] = zero if d == zero else d * scale


@loop
def added_rows(first, last, values, places, out, count, width, columns):
    """Fill columns first * columns to last * columns - 1 of a table with the sums of rows for each of its places.

    They are added in double precision.
    """
    for piece in range(first, last):
        start = piece * columns
        n = min(columns, width - start)
        totals = np.zeros(count * n)
        for i in range(places.size):
            place = np.int64(places[i])
            if place < 0:
                place += count
            if place < 0 or place >= count:
                raise IndexError("an index is out of bounds of the rows that it chooses")
            row, total = values[i * width + start : i * width + start + n], totals[place * n : place * n + n]
            for j in range(n):
                total[j] += row[j]
        for r in range(count):
            row, total = out[r * width + start : r * width + start + n], totals[r * n : r * n + n]
            for j in range(n):
                row[j] = total[j]
