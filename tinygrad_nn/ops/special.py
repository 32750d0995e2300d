"""The error function and its relatives, which NumPy lacks, from tables of Taylor series and asymptotic series.

SciPy's ufuncs of these names, called with a tensor, come here; SciPy itself is never imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from tinygrad_nn.ops.arithmetic import as_of_a_ufunc, product, quotient
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, kernel

# Per unit of x.
_CELLS = 128
# From there on, erf is 1 to the last bit.
_END = 6 * _CELLS
# From there on, the asymptotic series of erfcx is exact to the last bit.
_FAR = 8
_SLOPE = 2 / math.sqrt(math.pi)
_HALF = math.sqrt(0.5)


# Computed when first needed: importing takes long enough.
@lru_cache
def _taylor(terms: int, dtype: str) -> tuple[Array, ...]:
    """Return the Taylor coefficients of erf around all multiples of 1 / _CELLS, an array for each power of a cell.

    The derivatives are Hermite polynomials times a Gaussian (Abramowitz and Stegun 1964, 7.1.19).
    """
    x = np.arange(_END + 1) / _CELLS
    slope = _SLOPE * np.exp(-x * x)
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
    also=("scipy.special.erf",),
)
def erf(x: Array) -> Array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x; 2.5 units in the last place.

    Example:
        >>> erf(np.array([1, 2, 3]) / np.sqrt(2)).round(4)  # how much lies within 1, 2, 3 standard deviations
        array([0.6827, 0.9545, 0.9973])
    """
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


def in_double(function: Callable[..., Array]) -> Callable[..., Array]:
    """Compute a function of one array in double precision, without warnings, and return its own."""

    @wraps(function)
    def call(x: Array, **params: Any) -> Array:
        with np.errstate(all="ignore"):
            y = function(np.asarray(x, np.float64), **params)
            return as_of_a_ufunc(y.astype(np.result_type(x, 0.0), copy=False))

    return call


def _gauss(x: Array, scale: float = 1.0) -> Array:
    """Return exp(-scale * x**2), without the rounding of the square: its leading half is exact."""
    high = np.rint(np.clip(x, -64, 64) * 2.0**20) / 2.0**20
    return np.exp(-scale * high * high) * np.exp(-scale * (x - high) * (x + high))


@lru_cache
def _taylor_scaled() -> tuple[Array, ...]:
    """Return the Taylor coefficients of exp(x**2) erfc(x), w with w' = 2 x w - 2 / sqrt(pi), as `_taylor` does."""
    x = np.arange(_FAR * _CELLS + 1) / _CELLS
    rows = [np.exp(x * x) * [math.erfc(place) for place in x]]
    rows.append(2 * x * rows[0] - _SLOPE)
    for n in range(2, 7):
        rows.append(2 * x * rows[-1] + 2 * (n - 1) * rows[-2])
    return tuple(row / (math.factorial(n) * _CELLS**n) for n, row in enumerate(rows))


def _scaled_tail(x: Array, order: int) -> Array:
    """Return the asymptotic series of erfcx (Abramowitz and Stegun 1964, 7.1.23), derived `order` times."""
    y = np.zeros_like(x)
    square = 1 / (x * x)
    for k in range(24, -1, -1):
        half_factorial = math.prod(range(1, 2 * k, 2)) / 2**k
        y = y * square + (-1) ** k * half_factorial * math.perm(2 * k + order, order)
    return (-1) ** order * y / (math.sqrt(math.pi) * x ** (order + 1))


def _scaled_integral(x: Array, order: int = 0) -> Array:
    nodes, weights = np.polynomial.legendre.leggauss(120)
    t = 7 * (nodes + 1)
    return np.asarray(
        _SLOPE * np.sum(7 * weights * (-2 * t) ** order * np.exp(-t * t - 2 * x[..., None] * t), axis=-1)
    )


@kernel(
    lambda g, x, *, order=0: product(g, erfcx(x, order=order + 1)),
    # It is 2 / sqrt(pi) times the integral of exp(-t**2 - 2 x t) from 0 to infinity.
    reference=_scaled_integral,
    samples=cases([each((3, 4), (), (0, 2), np.array([-4.0, 5, 9])), {}, {"order": each(1, 2)}]),
    analytic=False,
    also=("scipy.special.erfcx",),
)
@in_double
def erfcx(x: Array, *, order: int = 0) -> Array:
    """exp(x**2) * erfc(x), which does not underflow, to 4 units in the last place; its derivative of an order.

    Example:
        >>> f"{erfc(30.0):.4g} {erfcx(30.0):.4f}"
        '0 0.0188'
    """
    near = np.clip(np.absolute(x), 0, _FAR)
    cells = near * _CELLS
    nearest = np.rint(np.fmin(cells, _FAR * _CELLS))
    cells -= nearest
    place = nearest.astype(np.intp)
    rows = _taylor_scaled()
    y = rows[-1].take(place)
    for row in rows[-2::-1]:
        y = y * cells + row.take(place)
    w = np.where(x > _FAR, _scaled_tail(np.maximum(x, _FAR), 0), y)
    w = np.where(x < 0, 2 / _gauss(x) - np.where(x < -_FAR, 0, w), w)
    before, w = w, w if not order else 2 * x * w - _SLOPE
    for n in range(2, order + 1):
        before, w = w, 2 * x * w + 2 * (n - 1) * before
    return np.where(x > _FAR, _scaled_tail(np.maximum(x, _FAR), order), w) if order else w


@kernel(
    lambda g, x: product(g, np.exp(-x * x) * (-2 / math.sqrt(math.pi))),
    reference=np.vectorize(math.erfc, otypes=[float]),
    analytic=False,
    also=("scipy.special.erfc",),
)
@in_double
def erfc(x: Array) -> Array:
    """1 - erf(x), to the last places where that is small; 4 units in the last place.

    Example:
        >>> f"{1 - erf(10.0)} {erfc(10.0):.4g}"
        '0.0 2.088e-45'
    """
    return np.where(x < 0.5, 1 - erf.function(x), _gauss(x) * erfcx.function(np.maximum(x, 0)))


def _from_quantiles(y: Array) -> Array:
    from statistics import NormalDist

    return np.vectorize(lambda share: NormalDist().inv_cdf((1 + share) / 2) * _HALF, otypes=[float])(y)


@kernel(
    lambda g, y: product(g, np.exp(y * y) * (math.sqrt(math.pi) / 2)),
    reference=_from_quantiles,
    domain=(-0.95, 0.95),
    analytic=False,
    also=("scipy.special.erfinv",),
)
@in_double
def erfinv(x: Array) -> Array:
    """The inverse of erf, from -1 to 1; infinite there, and NaN beyond; 2 units in the last place.

    Winitzki's approximation (2008, A handy approximation for the error function and its inverse), improved by three
    steps of Halley's method.

    Example:
        >>> erfinv(erf(np.array([-0.5, 0.0, 2.0]))).round(12)
        array([-0.5,  0. ,  2. ])
    """
    size = np.absolute(x)
    rest = 1 - size
    logarithm = np.log(rest * (1 + size))
    middle = 2 / (math.pi * 0.147) + logarithm / 2
    y = np.where(size < 0.1, size / _SLOPE, np.sqrt(np.sqrt(middle * middle - logarithm / 0.147) - middle))
    for _ in range(3):
        error = np.where(size < 0.5, erf.function(y) - size, rest - erfc.function(y))
        step = error / (_SLOPE * _gauss(y))
        y = y - step / (1 + y * step)
    return np.copysign(np.where(size == 1, np.inf, y), x)


@kernel(
    lambda g, x: quotient(quotient(g, x), 1 - x),
    reference=lambda x: np.log(x / (1 - x)),
    domain=(0.05, 0.95),
    analytic=False,
    also=("scipy.special.logit",),
)
@in_double
def logit(x: Array) -> Array:
    """log(x / (1 - x)), the inverse of sigmoid: infinite at 0 and 1; 2 units in the last place.

    Example:
        >>> logit(np.array([0.0, 0.5, 0.75])).round(4)
        array([  -inf, 0.    , 1.0986])
    """
    inside = np.clip(x, 0.25, 0.75)
    return np.where(x == inside, 2 * np.arctanh(2 * inside - 1), np.log(x) - np.log1p(-x))


@kernel(
    lambda g, x: product(g, np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))),
    reference=np.vectorize(lambda x: math.erfc(-x * _HALF) / 2, otypes=[float]),
    analytic=False,
    also=("scipy.special.ndtr",),
)
@in_double
def ndtr(x: Array) -> Array:
    """P(X <= x) for a standard normal X, far out too; 4 units in the last place.

    Example:
        >>> ndtr(np.array([-1.96, 0.0, 1.96])).round(4)
        array([0.025, 0.5  , 0.975])
    """
    low = _gauss(x, 0.5) * erfcx.function(np.maximum(-x, 0) * _HALF)
    return np.where(x < -0.7, low, 1 + erf.function(x * _HALF)) / 2


@kernel(
    # The density over the probability, which neither underflow.
    lambda g, x: product(g, math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5))),
    reference=np.vectorize(lambda x: math.log(math.erfc(-x * _HALF) / 2), otypes=[float]),
    analytic=False,
    also=("scipy.special.log_ndtr",),
)
@in_double
def log_ndtr(x: Array) -> Array:
    """log(P(X <= x)) for a standard normal X, also where the probability underflows; 5 units in the last place.

    Example:
        >>> log_ndtr(np.array([-50.0, -1.96, 0.0])).round(2)
        array([-1.25483e+03, -3.69000e+00, -6.90000e-01])
    """
    low = np.log(erfcx.function(np.maximum(-x, 0) * _HALF) / 2) - x * x / 2
    return np.where(x < -1, low, np.log1p(-ndtr.function(-x)))
