"""Compiled code for the rows of matrices; whoever calls it gives the sizes. Needs Numba (extra `jit`)."""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from tinygrad_nn.compiler.loops.machine_code import compiled
from tinygrad_nn.compiler.loops.mathematics import exp4, exp8, loop

# Only without regard to NaN does a search for the largest vectorise; what it then finds may be NaN or not.
_search = compiled(error_model="numpy", fastmath={"nnan", "nsz"}, nogil=True)


def _exp(x):
    raise NotImplementedError("compiled code alone calls it")


@overload(_exp)
def _exp_of_width(x):
    return (lambda x: exp4(x)) if x == types.float32 else (lambda x: exp8(x))


@_search
def _largest(x):
    top = x.dtype.type(-np.inf)
    for j in range(x.size):
        top = x[j] if x[j] > top else top
    return top


@loop
def _exponentials(y, shift, empty):
    """Let exp(y - shift) take the place of y, divided by their sum, or by `empty` where that is zero."""
    # In one array, because of two LLVM cannot tell that they are apart.
    total = y.dtype.type(0)
    for j in range(y.size):
        y[j] = _exp(y[j] - shift)
    for j in range(y.size):
        total += y[j]
    factor = y.dtype.type(1) / (total if total != 0 else empty)
    for j in range(y.size):
        y[j] *= factor


@loop
def softmax(first, last, x, y, width):
    """Fill rows first to last - 1 of y with the softmax of those of x."""
    for r in range(first, last):
        row, out = x[r * width : (r + 1) * width], y[r * width : (r + 1) * width]
        for j in range(width):
            out[j] = row[j]
        _exponentials(out, _largest(out), y.dtype.type(0))


@loop
def softmax_of_some(first, last, x, chosen, y, width, inner, period):
    """Fill rows first to last - 1 of y with the softmax of what is chosen of those of x.

    Row r of x has row r // period * inner + r % inner of the mask.
    """
    low = x.dtype.type(-np.inf)
    for r in range(first, last):
        row, out = x[r * width : (r + 1) * width], y[r * width : (r + 1) * width]
        mask = chosen[(r // period * inner + r % inner) * width :]
        for j in range(width):
            out[j] = row[j] if mask[j] else low
        top = _largest(out)
        _exponentials(out, x.dtype.type(0) if top == low else top, y.dtype.type(1))


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


@loop
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
