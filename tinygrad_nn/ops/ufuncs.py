"""The methods of NumPy's ufuncs: reduce and accumulate where there is an op, outer of all that take two operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_nn.ops.reduction import logsumexp
from tinygrad_nn.ops.running import cumlogsumexp, running_max, running_min
from tinygrad_nn.ops.samples import cases, each, mask
from tinygrad_nn.primitives import Array, composite
from tinygrad_nn.primitives.operands import lists_in_dtype_of_arrays


def all_pairs(a: Array, b: Array) -> tuple[Array, Array]:
    """Return operands that broadcast to all pairs of an element of a and one of b."""
    a, b = lists_in_dtype_of_arrays({"a": a, "b": b}).values()
    return np.reshape(a, (*np.shape(a), *(1,) * np.ndim(b))), b


def _reduce(
    ufunc: np.ufunc, function: Callable[..., Array], analytic: bool = True, differentiable: bool = True
) -> None:
    @composite(
        ufunc.reduce,
        name=f"{ufunc.__name__}.reduce",
        samples=cases([(3, 4), {}, {"axis": None}, {"axis": (0, -1)}, {"axis": -1, "keepdims": True}, (5,)])
        if differentiable
        else cases([mask((3, 4)), {}, {"axis": None}, {"axis": each(-1, 1), "keepdims": True}]),
        analytic=analytic,
        differentiable=differentiable,
    )
    def reduce(array: Array, axis: int | tuple[int, ...] | None = 0, **other: Any) -> Array:
        return function(array, axis=axis, **other)


def _accumulate(ufunc: np.ufunc, function: Callable[..., Array], analytic: bool = True) -> None:
    @composite(
        ufunc.accumulate,
        name=f"{ufunc.__name__}.accumulate",
        samples=cases([(3, 4), {}, {"axis": 1}, {"axis": -2}, (5,)]),
        analytic=analytic,
    )
    def accumulate(array: Array, axis: int = 0, **other: Any) -> Array:
        return function(array, axis=axis, **other)


_reduce(np.add, np.sum)
_reduce(np.multiply, np.prod)
_reduce(np.maximum, np.max, analytic=False)
_reduce(np.minimum, np.min, analytic=False)
_reduce(np.logaddexp, logsumexp)
_reduce(np.logical_and, np.all, differentiable=False)
_reduce(np.logical_or, np.any, differentiable=False)
_accumulate(np.add, np.cumsum)
_accumulate(np.multiply, np.cumprod)
_accumulate(np.maximum, running_max, analytic=False)
_accumulate(np.minimum, running_min, analytic=False)
_accumulate(np.logaddexp, cumlogsumexp, analytic=False)
