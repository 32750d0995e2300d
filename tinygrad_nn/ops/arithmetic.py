"""Sums, products, quotients and powers of two arrays, with broadcasting left to the engine."""

import operator
from typing import Any

import numpy as np

from tinygrad_nn.primitives.declare import kernel, op


def in_one_dtype(a: Any, b: Any) -> tuple[Any, Any]:
    """Return two operands as arrays of the dtype of their result, Python scalars too."""
    dtype = np.result_type(a, b)
    return np.asarray(a, dtype), np.asarray(b, dtype)


def _zero_where(a: Any, r: Any) -> Any:
    # A sum is NaN as soon as one term is, and cheaper than looking at every element.
    if np.isfinite(np.add.reduce(r, axis=None)):
        return r
    return np.where(a == 0, np.zeros((), r.dtype), r)


@kernel(
    lambda g, b: product(g, b),
    lambda g, a: product(g, a),
    reference=lambda a, b: np.where(a == 0, 0, a * b),
    method=False,
)
def product(a: Any, b: Any) -> Any:
    """a * b, and 0 wherever a is 0, also where b is infinite or NaN: a zero cotangent stays zero."""
    return _zero_where(a, a * b)


@kernel(
    lambda g, b: quotient(g, b),
    lambda g, a, b: -quotient(product(quotient(a, b), g), b),
    reference=lambda a, b: np.where(a == 0, 0, a / b),
    domain=((-3, 3), (0.3, 3)),
    method=False,
)
def quotient(a: Any, b: Any) -> Any:
    """a / b, and 0 wherever a is 0, also where b is 0 or NaN: a zero cotangent stays zero."""
    return _zero_where(a, a / b)


add = op(np.add, lambda g: g, lambda g: g, linear=True)
subtract = op(np.subtract, lambda g: g, lambda g: -g, linear=True)
multiply = op(np.multiply, lambda g, b: g * b, lambda g, a: g * a)
divide = op(
    np.divide,
    lambda g, b: quotient(g, b),
    lambda g, a, b: -quotient(quotient(g, b) * a, b),
    domain=((-3, 3), (0.3, 3)),
)
negative = op(np.negative, lambda g: -g, linear=True)
positive = op(np.positive, lambda g: g, linear=True)


def _log_of_base(a: Any, b: Any, y: Any) -> Any:
    """Log of a base; 0 where 0**b is 0 or 1 and does not change with the exponent."""
    return np.log(np.where((a == 0) & (b >= 0), np.ones_like(y), a))


def _power(function: Any, call: Any, **options: Any) -> Any:
    return op(
        function,
        lambda g, a, b: product(g, product(b, a ** (b - 1))),
        lambda g, a, b, y: product(g, product(y, _log_of_base(a, b, y))),
        call=call,
        domain=((0.3, 3), (-2, 2)),
        **options,
    )


def _float_power(a: Any, b: Any) -> Any:
    y = np.float_power(a, b)  # always in double precision; the result goes back to the operands' own
    dtype = np.result_type(a, b)
    return y.astype(dtype) if dtype.kind == "f" else y


power = _power(np.power, operator.pow)  # faster than np.power for small constant exponents
float_power = _power(np.float_power, _float_power, reference=np.float_power)
hypot = op(
    np.hypot,
    lambda g, a, y: product(g, quotient(a, y)),
    lambda g, b, y: product(g, quotient(b, y)),
    analytic=False,
    kinks=lambda a, b: np.hypot(a, b),
)
arctan2 = op(
    np.arctan2,
    lambda g, a, b: product(g, quotient(quotient(b, np.hypot(a, b)), np.hypot(a, b))),
    lambda g, a, b: -product(g, quotient(quotient(a, np.hypot(a, b)), np.hypot(a, b))),
    analytic=False,
    domain=((0.3, 3), (-3, 3)),
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
vecdot = op(
    np.vecdot,
    lambda g, b: g[..., None] * b,
    lambda g, a: g[..., None] * a,
    analytic=False,  # it conjugates complex operands
    samples=lambda rng: [
        ((rng.normal(size=a), rng.normal(size=b)), {})
        for a, b in (
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((2, 3), (2, 3)),
            ((4, 1, 3), (2, 3)),
            ((0, 3), (3,)),
            ((2, 0), (0,)),
        )
    ],
    broadcasts=False,
)
