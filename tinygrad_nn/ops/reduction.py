"""Sums, means and extrema along axes. Rules undo the reduction; the engine broadcasts to the full shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import numpy as np

from tinygrad_nn.ops.arithmetic import floating, product
from tinygrad_nn.ops.indexing import put_back
from tinygrad_nn.ops.samples import REDUCTIONS, SCALAR, cases, each
from tinygrad_nn.ops.some import max_of_some, mean_of_some, min_of_some, sum_of_some
from tinygrad_nn.primitives import Array, Axis, Primitive, kernel, op

F = TypeVar("F", bound=Callable[..., Any])
_CALLS = cases(*REDUCTIONS, SCALAR)


def restore(g: Array, axis: Axis, keepdims: bool) -> Array:
    """Put the reduced axes of `g` back, with length one."""
    if keepdims or axis is None:
        return g
    # The same as np.expand_dims, ten times faster.
    if axis == -1:
        return g[..., None]
    return np.expand_dims(g, axis)


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """Return how many elements a reduction of `shape` over `axis` brings together."""
    if axis is None or not shape:
        return math.prod(shape)
    return math.prod(shape[k] for k in (axis if isinstance(axis, tuple) else (axis,)))


LARGEST_HALF = 65504
"""The largest float16; a larger Python number beside one is infinite."""


def divided(x: Array, count: float) -> Array:
    """x / count, in two steps where float16 has no such count."""
    if count > LARGEST_HALF and x.dtype.char == "e":
        root = math.sqrt(count)
        return x / root / root
    return x / count


def in_single(function: F) -> F:
    """Have float16 computed in float32: half precision is for storing numbers, not for adding or counting them."""

    @wraps(function)
    def call(x: Any, *args: Any, **params: Any) -> Any:
        if getattr(x, "dtype", None) != np.float16 or "dtype" in params:
            return function(x, *args, **params)
        return function(x.astype(np.float32), *args, **params).astype(x.dtype)

    return cast(F, call)


def wide_sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum along axes, float16 to float32."""
    return np.add.reduce(x, axis, keepdims=keepdims, dtype=np.float32 if x.dtype.char == "e" else None)


def _sum(x: Array, axis: Axis = None, keepdims: bool = False, **other: Any) -> Array:
    if x.dtype.char == "e" and "dtype" not in other:
        return np.add.reduce(x, axis, keepdims=keepdims, dtype=np.float32, **other).astype(x.dtype)
    return np.add.reduce(x, axis, keepdims=keepdims, **other)


def _mean(x: Array, axis: Axis = None, keepdims: bool = False, **other: Any) -> Array:
    if other or x.dtype.kind != "f" or x.dtype.itemsize < 4 or not x.size:
        return np.mean(x, axis, keepdims=keepdims, **other)
    # The same as np.mean, without its overhead.
    return np.add.reduce(x, axis, keepdims=keepdims) / count(x.shape, axis)


sum_ = op(
    np.sum,
    lambda g, *, axis=None, keepdims=False: restore(g, axis, keepdims),
    call=_sum,
    otherwise=sum_of_some,
    linear=True,
    samples=_CALLS,
)
mean = op(
    np.mean,
    lambda g, *, shapes, axis=None, keepdims=False: divided(
        restore(g, axis, keepdims), count(shapes[0], axis)
    ),
    call=_mean,
    otherwise=mean_of_some,
    linear=True,
    samples=cases(*REDUCTIONS),
)


def _share(g: Array, x: Array, y: Array, axis: Axis, keepdims: bool) -> Array:
    """Give the gradient to the entries that are the extremum, evenly; to the NaN where there is one."""
    # NumPy's maximum is NaN when an entry is.
    winners = (x == restore(y, axis, keepdims)) | (x != x)
    ties = np.sum(winners, axis=axis, keepdims=True, dtype=np.promote_types(g.dtype, np.float32))
    return np.where(winners, restore(g, axis, keepdims) / ties, 0)


def _extremum(
    function: Callable[..., Array], other: Callable[..., Array], of_some: Callable[..., Array]
) -> Primitive:
    return op(
        function,
        lambda g, x, y, *, axis=None, keepdims=False: _share(g, x, y, axis, keepdims),
        also=(other,),
        otherwise=of_some,
        analytic=False,
        samples=_CALLS,
        formula="where(x == y, g / ties(y), 0)",
    )


max_ = _extremum(np.max, np.amax, max_of_some)
min_ = _extremum(np.min, np.amin, min_of_some)


@kernel(
    lambda g, x, y, *, axis=None, keepdims=False: product(
        restore(g, axis, keepdims), np.exp(x - restore(y, axis, keepdims))
    ),
    reference=lambda x, axis=None, keepdims=False: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    samples=_CALLS,
)
def logsumexp(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis` (all axes by default), shifted by the largest entry.

    Example:
        >>> logsumexp(np.array([1000.0, 1000.0])).round(4)
        np.float64(1000.6931)
    """
    x = floating(x)
    top = np.maximum.reduce(x, axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", over="ignore"):
        y = (np.log(wide_sum(np.exp(x - top), axis, keepdims=True)) + top).astype(x.dtype, copy=False)
    return y if keepdims else np.squeeze(y, axis=axis if axis is not None else tuple(range(np.ndim(x))))


@kernel(
    lambda g, *, shape: g,
    reference=lambda x, shape: put_back(x, lambda numbers: np.broadcast_to(numbers, x.shape), shape),
    linear=True,
    samples=cases([(2, 3, 4), {"shape": each((3, 4), (4,), (1, 1, 4), (2, 1, 1), (), (3, 1))}]),
    method=False,
)
def sum_to(x: Array, *, shape: tuple[int, ...]) -> Array:
    """Sum out the axes that broadcasting `shape` to the shape of x has added or stretched.

    Sums of float32 and float16 accumulate in double precision; the result keeps the dtype.
    """
    lead = x.ndim - len(shape)
    if x.ndim == 2 and x.shape[lead:] == shape and lead == 1:
        return column_sums(x)
    if lead and x.shape[lead:] == shape:
        return column_sums(x.reshape(math.prod(x.shape[:lead]), math.prod(shape))).reshape(shape)
    axes = (*range(lead), *[k for k in range(lead, x.ndim) if shape[k - lead] == 1 != x.shape[k]])
    total = np.add.reduce(x, axes, dtype=np.float64 if x.dtype.kind == "f" else None)
    return total.astype(x.dtype).reshape(shape)


BLOCK = 64
"""So many rows of float32 are added by one product."""


def column_sums(x: Array) -> Array:
    """Sum the rows of a matrix, or of each in a stack.

    By BLAS, several times faster than NumPy's sum, float32 in blocks of bounded error.
    """
    rows = x.shape[-2]
    if x.dtype.char == "d" or (rows <= 2 * BLOCK and x.dtype.char == "f"):
        vector = ones(rows, x.dtype.char)
        # A ufunc takes twice as long to start; where rows have gaps, dot copies them, and sums in another order.
        return vector.dot(x) if x.ndim == 2 and x.flags.c_contiguous else vector @ x
    if x.dtype.char != "f":
        return np.add.reduce(x, -2, dtype=np.float64 if x.dtype.char == "e" else None).astype(x.dtype)
    whole = rows - rows % BLOCK
    blocks = x[..., :whole, :].reshape(*x.shape[:-2], whole // BLOCK, BLOCK, x.shape[-1])
    total = np.add.reduce(ones(BLOCK, "f") @ blocks, axis=-2, dtype=np.float64)
    total += ones(rows - whole, "f") @ x[..., whole:, :]
    return total.astype(x.dtype)


@lru_cache(maxsize=64)
def ones(count: int, dtype: str) -> Array:
    """Return a vector of ones, made once for each length, to sum with a matrix product."""
    vector = np.ones(count, dtype)
    vector.flags.writeable = False
    return vector
