"""Sums, products, quotients and powers of two arrays, with broadcasting left to the engine."""

import operator
from typing import Any

import numpy as np

from tinygrad_nn.primitive import kernel, op


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


add = op(np.add, lambda g: g, lambda g: g, linear=True, onnx="Add")
subtract = op(np.subtract, lambda g: g, lambda g: -g, linear=True, onnx="Sub")
multiply = op(np.multiply, lambda g, b: g * b, lambda g, a: g * a, onnx="Mul")
divide = op(
    np.divide,
    lambda g, b: quotient(g, b),
    lambda g, a, b: -quotient(quotient(g, b) * a, b),
    domain=((-3, 3), (0.3, 3)),
    onnx="Div",
)
negative = op(np.negative, lambda g: -g, linear=True, onnx="Neg")
positive = op(np.positive, lambda g: g, linear=True, onnx="Identity")


def _safe_log(a: Any, b: Any) -> Any:
    """Log of a base; 0 where 0**b is 0 or 1 and does not change with the exponent."""
    return np.log(np.where((a == 0) & (b >= 0), 1, a))


power = op(
    np.power,
    lambda g, a, b: product(g, product(b, a ** (b - 1))),
    lambda g, a, b, y: product(g, y * _safe_log(a, b)),
    call=operator.pow,  # faster than np.power for small constant exponents
    domain=((0.3, 3), (-2, 2)),
    onnx="Pow",
)
