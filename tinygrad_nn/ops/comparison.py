"""Functions whose results carry no gradient: comparisons, positions, properties of an array."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import numpy as np

from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.ops.some import all_of_some, any_of_some
from tinygrad_nn.primitives import Array, composite, op

_OF_ONE: tuple[tuple[Callable[..., object], ...], ...] = (
    (np.isnan, np.isinf, np.isfinite, np.isposinf, np.isneginf, np.signbit, np.logical_not, np.invert),
    (np.zeros_like, np.ones_like, np.empty_like, np.count_nonzero, np.spacing, np.bitwise_count),
)
_OF_TWO: tuple[tuple[Callable[..., object], ...], ...] = (
    (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal),
    (np.logical_and, np.logical_or, np.logical_xor, np.isclose, np.array_equal),
    (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift, np.gcd, np.lcm),
)
for _function in chain(*_OF_ONE):
    op(_function, None, differentiable=False, method=False)
for _function in chain(*_OF_TWO):
    op(_function, None, None, differentiable=False, method=False)
for _function in (np.argmax, np.argmin, np.argsort):
    op(_function, None, differentiable=False)
op(np.all, None, differentiable=False, otherwise=all_of_some)
op(np.any, None, differentiable=False, otherwise=any_of_some)


@composite(
    np.allclose,
    differentiable=False,
    samples=cases([np.eye(2, 3), each(*(np.eye(2, 3) + gap for gap in (0, 1e-9, 1)))]),
)
def allclose(
    a: Array, b: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array | np.bool:
    """Whether all elements are equal within a tolerance."""
    return np.all(np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan))
