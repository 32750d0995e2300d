"""The error function, which NumPy lacks, from a table of its Taylor series."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.primitives import Array, kernel

# Per unit of x.
_CELLS = 128
# From there on, erf is 1 to the last bit.
_END = 6 * _CELLS


# Computed when first needed: importing takes long enough.
@lru_cache
def _taylor(terms: int, dtype: str) -> tuple[Array, ...]:
    """Return the Taylor coefficients of erf around all multiples of 1 / _CELLS, an array for each power of a cell.

    The derivatives are Hermite polynomials times a Gaussian (Abramowitz and Stegun 1964, 7.1.19).
    """
    x = np.arange(_END + 1) / _CELLS
    slope = 2 / math.sqrt(math.pi) * np.exp(-x * x)
    rows = [np.array([math.erf(place) for place in x])]
    before, hermite = np.zeros_like(x), np.ones_like(x)
    for n in range(1, terms):
        rows.append(slope * hermite / (math.factorial(n) * _CELLS**n))
        before, hermite = hermite, -2 * x * hermite - 2 * (n - 1) * before
    return tuple(row.astype(dtype) for row in rows)


@kernel(
    lambda g, x: product(g, np.exp(-x * x) * (2 / math.sqrt(math.pi))),
    reference=np.vectorize(math.erf, otypes=[float]),
    analytic=False,
)
def erf(x: Array) -> Array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x; 2.5 units in the last place."""
    dtype = np.result_type(x, 0.0)
    rows = _taylor(4, "f") if dtype.itemsize <= 4 else _taylor(7, "d")
    cells = np.minimum(np.absolute(x).astype(rows[0].dtype), 6) * _CELLS
    # Of a NaN, any: the distance below is NaN.
    nearest = np.rint(np.fmin(cells, _END))
    cells -= nearest
    place = nearest.astype(np.intp)
    y = rows[-1].take(place)
    for row in rows[-2::-1]:
        y *= cells
        y += row.take(place)
    return np.copysign(y, x).astype(dtype, copy=False)
