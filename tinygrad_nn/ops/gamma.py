"""The logarithm of the gamma function and its derivatives, which NumPy lacks, and modified Bessel functions."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.ops.samples import cases, each, positive, wide
from tinygrad_nn.ops.special import in_double
from tinygrad_nn.primitives import Array, kernel, op

_EULER = 0.57721566490153286
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
"""B(2), B(4), ...: asymptotic series are theirs (Abramowitz and Stegun 1964, 6.1.40, 6.3.18, 6.4.11, 23.2)."""
# From there on, the series are exact to the last bit.
_FAR = 10


def _hurwitz(x: Array, s: int) -> Array:
    """Return the sum of (x + k)**-s over k = 0, 1, ..., for positive x, by Euler and Maclaurin."""
    far = x + (_FAR + s)
    y = far ** (1 - s) / (s - 1) + far**-s / 2
    for j, bernoulli in enumerate(_BERNOULLI, 1):
        y = y + bernoulli / math.factorial(2 * j) * math.perm(s + 2 * j - 2, 2 * j - 1) * far ** (
            1.0 - s - 2 * j
        )
    for k in range(_FAR + s - 1, -1, -1):
        y = y + (x + k) ** -s
    return y


def _derived_cotangent(x: Array, order: int) -> Array:
    """Return the derivative of pi / tan(pi x) of an order, a polynomial in the cotangent."""
    coefficients = [0, 1]
    for _ in range(order):
        slopes = [k * c for k, c in enumerate(coefficients)][1:]
        coefficients = [-(a + b) for a, b in zip([*slopes, 0, 0], [0, 0, *slopes], strict=True)]
    cotangent = 1 / np.tan(math.pi * (x - np.rint(x)))
    return math.pi ** (order + 1) * np.polynomial.polynomial.polyval(cotangent, coefficients)


def _digamma_sum(x: Array) -> Array:
    far = x + 2000
    y = np.log(far) - 1 / (2 * far) - 1 / (12 * far**2)
    return np.asarray(y - np.sum(1 / (x[..., None] + np.arange(2000)), axis=-1))


def _polygamma_sum(x: Array, order: int) -> Array:
    s, far = order + 1, x + 2000
    rest = far**-order / order + far**-s / 2 + s * far ** -(s + 1) / 12
    total = np.sum((x[..., None] + np.arange(2000.0)) ** -s, axis=-1) + rest
    return np.asarray((-1) ** s * math.factorial(order) * total)


@kernel(
    lambda g, x, *, order: product(g, polygamma(x, order=order + 1)),
    reference=_polygamma_sum,
    samples=cases(
        [positive((3, 4), (), (0, 2)), {"order": each(1, 2, 3)}, np.array([-0.5, -1.25, 20]), {"order": 2}]
    ),
    analytic=False,
    method=False,
)
@in_double
def polygamma(x: Array, *, order: int) -> Array:
    """The derivative of digamma of an order, which is 1 or more."""
    reflected = x < 0.5
    y = (-1) ** (order + 1) * math.factorial(order) * _hurwitz(np.where(reflected, 1 - x, x), order + 1)
    return np.where(reflected, (-1) ** order * y - _derived_cotangent(x, order), y)


_ROOT, _ROOT_REST = 1.4616321449683622, 9.5499954299656977e-17
"""Where digamma is 0, in two parts."""


@lru_cache
def _around_the_root() -> tuple[float, ...]:
    """Return the Taylor coefficients of digamma around its root, from the last one down."""
    root = np.array(_ROOT)
    return tuple(float(polygamma.function(root, order=k)) / math.factorial(k) for k in range(48, 0, -1))


@kernel(
    lambda g, x: product(g, polygamma(x, order=1)),
    reference=_digamma_sum,
    samples=cases([positive((3, 4), (), (0, 2)), {}, np.array([-0.5, -1.25, 20, 0.125])]),
    analytic=False,
    also=("scipy.special.psi",),
)
@in_double
def digamma(x: Array) -> Array:
    """The derivative of gammaln, infinite at 0; for positive numbers 15 units in the last place.

    Example:
        >>> digamma(np.array([1.0, 2.0, 3.0])).round(4)  # each is 1 / n more than the one before
        array([-0.5772,  0.4228,  0.9228])
    """
    reflected = x < 0
    there = np.where(reflected, 1 - x, x)
    far = there + _FAR
    y = np.log(far) - 1 / (2 * far)
    for j, bernoulli in enumerate(_BERNOULLI, 1):
        y = y - bernoulli / (2 * j) * far ** (-2.0 * j)
    for k in range(_FAR - 1, -1, -1):
        y = y - 1 / (there + k)
    y = np.where(reflected, y - _derived_cotangent(x, 0), y)
    y = np.where(reflected & (x == np.rint(x)), np.nan, np.where(x == 0, -np.copysign(np.inf, x), y))
    distance = (x - _ROOT) - _ROOT_REST
    near = np.zeros_like(x)
    for coefficient in _around_the_root():
        near = (near + coefficient) * distance
    return np.where(np.absolute(distance) < 0.6, near, y)


@lru_cache
def _zeta_series() -> tuple[float, ...]:
    """Return (-1)**k (zeta(k) - 1) / k from the last one down to k = 2 (Abramowitz and Stegun 1964, 6.1.33)."""
    two = np.array(2.0)
    return tuple((-1) ** k * float(_hurwitz(two, k)) / k for k in range(30, 1, -1))


def _around_two(z: Array) -> Array:
    """Return log(gamma(2 + z)) for |z| up to 1/2."""
    y = np.zeros_like(z)
    for coefficient in _zeta_series():
        y = y * z + coefficient
    return z * ((1 - _EULER) + z * y)


@kernel(
    lambda g, x: product(g, digamma(x)),
    reference=np.vectorize(math.lgamma, otypes=[float]),
    samples=cases([positive((3, 4), (), (0, 2)), {}, np.array([-0.5, -1.25, 20, 0.125, 3.3, 7])]),
    analytic=False,
    also=("scipy.special.gammaln",),
)
@in_double
def gammaln(x: Array) -> Array:
    """log(|gamma(x)|), infinite at 0 and negative integers; 5 units in the last place of positive numbers.

    Example:
        >>> np.exp(gammaln(np.array([1.0, 2.0, 5.0, 6.0]))).round(6)  # gamma(n + 1) = n!
        array([  1.,   1.,  24., 120.])
    """
    reflected = x < 0
    there = np.where(reflected, 1 - x, x)
    near = np.clip(there, 0, 8)
    whole = np.rint(near)
    y = _around_two(near - whole)
    # By gamma(x + 1) = x gamma(x), from around 2 to where x is.
    factors = np.ones_like(x)
    for k in range(1, 7):
        factors = factors * np.where(whole >= k + 2, near - k, 1)
    y = y + np.log(factors) - np.where(whole < 2, np.log1p(near - 1 + (whole < 1)), 0)
    y = y - np.where(whole < 1, np.log(near), 0)
    far = np.maximum(there, 8)
    series = np.zeros_like(x)
    for j, bernoulli in reversed(list(enumerate(_BERNOULLI, 1))):
        series = series / (far * far) + bernoulli / (2 * j * (2 * j - 1))
    stirling = (far - 0.5) * (np.log(far) - 1) + (math.log(2 * math.pi) / 2 - 0.5) + series / far
    y = np.where(there > 8, stirling, y)
    y = np.where(reflected, np.log(math.pi / np.absolute(np.sin(math.pi * (x - np.rint(x))))) - y, y)
    return np.where(reflected & (x == np.rint(x)), np.inf, y)


def _bessel_integral(x: Array, order: int = 1) -> Array:
    t = 2 * math.pi * np.arange(200) / 200
    return np.asarray(np.mean(np.exp(x[..., None] * np.cos(t)) * np.cos(order * t), axis=-1))


@kernel(
    lambda g, x, *, order: product(g, (bessel_i(x, order=abs(order - 1)) + bessel_i(x, order=order + 1)) / 2),
    # It is the mean of exp(x cos(t)) cos(n t) over a circle.
    reference=_bessel_integral,
    samples=cases(
        [wide((3, 4), (), (0, 2)), {"order": each(0, 1, 2, 3)}, np.array([-30.0, 26, 0]), {"order": 2}]
    ),
    analytic=False,
    method=False,
)
@in_double
def bessel_i(x: Array, *, order: int) -> Array:
    """The modified Bessel function of the first kind of an integer order: its series, and far out the asymptotic one.

    Abramowitz and Stegun 1964, 9.6.10 and 9.7.1; the derivative is 9.6.26.
    """
    size = np.absolute(x)
    end = max(20, order * order)
    # Beyond 1000, the result is infinite anyhow.
    near, far = np.minimum(size, end), np.clip(size, end, 1000)
    quarter = near * near / 4
    y = np.ones_like(x)
    for k in range(end + end // 4 + 25, 0, -1):
        y = 1 + quarter / (k * (k + order)) * y
    y = y * (near / 2) ** order / math.factorial(order)
    tail = np.ones_like(x)
    for k in range(40, 0, -1):
        tail = 1 - (4 * order**2 - (2 * k - 1) ** 2) / (8 * k * far) * tail
    # The root of the exponential, twice, does not overflow before the result does.
    root = np.exp(far / 2)
    y = np.where(size > end, root * (tail / np.sqrt(2 * math.pi * far)) * root, y)
    return np.where(x < 0, (-1) ** order * y, y)


@kernel(
    lambda g, x: product(g, (np.i0(x) + bessel_i(x, order=2)) / 2),
    reference=_bessel_integral,
    analytic=False,
    also=("scipy.special.i1",),
)
def i1(x: Array) -> Array:
    """The modified Bessel function of order 1, the derivative of `np.i0`; 7 units in the last place.

    Example:
        >>> (i1(2.0) / np.i0(2.0)).round(4)  # the mean cosine of a von Mises distribution
        np.float64(0.6978)
    """
    return bessel_i.function(x, order=1)


i0 = op(np.i0, lambda g, x: product(g, i1(x)), analytic=False, also=("scipy.special.i0",))
