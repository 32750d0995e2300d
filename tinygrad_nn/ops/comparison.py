"""Functions whose results carry no gradient: comparisons, positions, properties of an array."""

from typing import Any

import numpy as np

from tinygrad_nn.primitives.declare import composite, op

_function: Any


def _constant(function: Any, operands: int, method: bool = False) -> Any:
    return op(function, *(None,) * operands, differentiable=False, method=method)


for _function in (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal):
    _constant(_function, 2)
for _function in (
    np.logical_and,
    np.logical_or,
    np.logical_xor,
    np.bitwise_and,
    np.bitwise_or,
    np.bitwise_xor,
):
    _constant(_function, 2)
for _function in (np.left_shift, np.right_shift, np.gcd, np.lcm, np.isclose, np.array_equal):
    _constant(_function, 2)
for _function in (
    np.isnan,
    np.isinf,
    np.isfinite,
    np.signbit,
    np.logical_not,
    np.invert,
    np.isposinf,
    np.isneginf,
):
    _constant(_function, 1)
for _function in (np.argmax, np.argmin, np.argsort, np.all, np.any):
    _constant(_function, 1, method=True)
for _function in (np.zeros_like, np.ones_like, np.empty_like, np.count_nonzero, np.spacing, np.bitwise_count):
    _constant(_function, 1)


@composite(
    np.allclose,
    differentiable=False,
    samples=lambda rng: [((x, x + gap), {}) for x in (rng.normal(size=(2, 3)),) for gap in (0.0, 1e-9, 1.0)],
)
def allclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether all elements are equal within a tolerance."""
    return np.all(np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan))
