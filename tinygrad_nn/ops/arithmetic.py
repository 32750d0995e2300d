"""Sums, products, quotients and powers of two arrays, with broadcasting left to the engine."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np

from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, Primitive, Sample, kernel, op

NONZERO_DIVISOR = ((-3, 3), (0.3, 3))


def in_one_dtype(a: Array, b: Array) -> tuple[Array, Array]:
    """Return two operands as arrays of the dtype of their result, Python scalars too."""
    dtype = np.result_type(a, b)
    return np.asarray(a, dtype), np.asarray(b, dtype)


def as_of_a_ufunc(y: Array) -> Array:
    """Return a result as NumPy's ufuncs do: one without axes as a scalar."""
    return y if y.ndim else y[()]


def floating(x: Array) -> Array:
    """Return x, integers and bools in double precision: small ones would overflow, and -x of unsigned ones wraps."""
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype.kind in "iub" else x


def at_least_single(x: Array) -> Array:
    """Return x in a floating dtype to compute in: squares of float16 overflow."""
    x = floating(x)
    return x.astype(np.float32) if x.dtype.char == "e" else x


_INFINITY = math.inf


def all_finite(r: Array) -> np.bool:
    """Tell whether an array has neither infinities nor NaN."""
    # A sum of squares is infinite or NaN as soon as one term is, and much cheaper than a look at every element.
    flat = r.ravel("K")
    finite: np.bool = abs(flat.dot(flat)) < _INFINITY
    return finite


@kernel(
    lambda g, b: product(g, b), lambda g, a: product(g, a), reference=lambda a, b: np.where(a == 0, 0, a * b)
)
def product(a: Array, b: Array) -> Array:
    """a * b, and 0 wherever a is 0, also where b is infinite or NaN: a zero cotangent stays zero.

    Example:
        >>> with np.errstate(invalid="ignore"):
        ...     product(np.array([0.0, 2.0]), np.array([np.inf, 3.0]))
        array([0., 6.])
    """
    y = np.multiply(a, b)
    if getattr(a, "shape", None) == ():
        # One number says it of all elements.
        return y if a else np.zeros_like(y)
    return y if all_finite(y) else np.where(a == 0, np.zeros((), y.dtype), y)


@kernel(
    lambda g, b: both(g, b), lambda g, a: both(g, a), reference=lambda a, b: np.where(a * b == 0, 0, a * b)
)
def both(a: Array, b: Array) -> Array:
    """a * b, and 0 wherever one of them is 0: the cotangent of a cotangent that may be zero itself."""
    y = np.multiply(a, b)
    return y if all_finite(y) else np.where((a == 0) | (b == 0), np.zeros((), y.dtype), y)


@kernel(
    lambda g, b: quotient(g, b),
    lambda g, a, b: -quotient(both(quotient(a, b), g), b),
    reference=lambda a, b: np.where(a == 0, 0, a / b),
    domain=NONZERO_DIVISOR,
)
def quotient(a: Array, b: Array) -> Array:
    """a / b, and 0 wherever a is 0, also where b is 0 or NaN: a zero cotangent stays zero.

    Example:
        >>> with np.errstate(invalid="ignore"):
        ...     quotient(np.array([0.0, 6.0]), np.array([0.0, 3.0]))
        array([0., 2.])
    """
    y = np.divide(a, b)
    return y if all_finite(y) else np.where(a == 0, np.zeros((), y.dtype), y)


@kernel(
    lambda g, b: part(g, b),
    lambda g, a, b: -part(both(part(a, b), g), b),
    reference=lambda a, b: np.where((a == 0) | (b == 0), 0, a / b),
    domain=NONZERO_DIVISOR,
)
def part(a: Array, b: Array) -> Array:
    """a / b, and 0 wherever a or b is 0: what a length changes with one of its parts, nothing at 0, in every order."""
    y = np.divide(a, b)
    return y if all_finite(y) else np.where((a == 0) | (b == 0), np.zeros((), y.dtype), y)


add = op(np.add, lambda g: g, lambda g: g, linear=True)
subtract = op(np.subtract, lambda g: g, lambda g: -g, linear=True)
multiply = op(np.multiply, lambda g, b: g * b, lambda g, a: g * a)
divide = op(
    np.divide,
    lambda g, b: quotient(g, b),
    lambda g, a, b: -quotient(product(quotient(g, b), a), b),
    domain=NONZERO_DIVISOR,
    formula=(None, "-g * a / b**2"),
)
negative = op(np.negative, lambda g: -g, linear=True)
positive = op(np.positive, lambda g: g, linear=True)


def _log_of_base(a: Array, b: Array, y: Array) -> Array:
    """Log of a base; 0 where 0**b is 0 or 1 and does not change with the exponent."""
    return np.log(np.where((a == 0) & (b >= 0), np.ones_like(y), a))


def _power(
    function: Callable[..., Array], call: Callable[..., Array], reference: Callable[..., Array] | None = None
) -> Primitive:
    return op(
        function,
        lambda g, a, b: product(g, product(b, a ** (b - 1))),
        lambda g, a, b, y: product(g, product(y, _log_of_base(a, b, y))),
        call=call,
        reference=reference,
        domain=((0.3, 3), (-2, 2)),
        formula=(None, "g * y * log(a)"),
    )


def _float_power(a: Array, b: Array) -> Array:
    # NumPy computes in double precision always; the result goes back to the operands' own.
    y = np.float_power(a, b)
    dtype = np.result_type(a, b)
    return y.astype(dtype) if dtype.kind == "f" else y


# The operator is faster than np.power for small constant exponents.
power = _power(np.power, operator.pow)
float_power = _power(np.float_power, _float_power, np.float_power)
hypot = op(
    np.hypot,
    lambda g, a, y: product(g, part(a, y)),
    lambda g, b, y: product(g, part(b, y)),
    analytic=False,
    kinks=lambda a, b: np.hypot(a, b),
)
arctan2 = op(
    np.arctan2,
    lambda g, a, b: product(g, part(part(b, np.hypot(a, b)), np.hypot(a, b))),
    lambda g, a, b: -product(g, part(part(a, np.hypot(a, b)), np.hypot(a, b))),
    analytic=False,
    domain=((0.3, 3), (-3, 3)),
    formula=("g * b / (a**2 + b**2)", "-g * a / (a**2 + b**2)"),
)


logaddexp = op(
    np.logaddexp,
    lambda g, a, b: quotient(g, 1 + np.exp(b - a)),
    lambda g, a, b: quotient(g, 1 + np.exp(a - b)),
    analytic=False,
)
logaddexp2 = op(
    np.logaddexp2,
    lambda g, a, b: quotient(g, 1 + np.exp2(b - a)),
    lambda g, a, b: quotient(g, 1 + np.exp2(a - b)),
    analytic=False,
)


def _along_last(x1: Array, x2: Array, axis: int = -1, **other: object) -> Sample:
    """Read a call of vecdot: the axis of the sums comes to the end."""
    return (np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)), other


vecdot = op(
    np.vecdot,
    lambda g, b: product(g[..., None], b),
    lambda g, a: product(g[..., None], a),
    adapt=_along_last,
    # It conjugates complex operands.
    analytic=False,
    samples=cases([(2, 0), (0,), {}, each((2, 3), (4, 1, 3)), (2, 3), {}, each((3,), (2, 3), (0, 3)), (3,)]),
    broadcasts=False,
)
