"""Sums, means and extrema along axes. Rules undo the reduction; the engine broadcasts to the full shape."""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_nn.primitives.declare import kernel, op


def restore(g: Any, axis: Any, keepdims: bool) -> Any:
    """Put the reduced axes of `g` back, with length one."""
    if keepdims or axis is None:
        return g
    if axis == -1:  # the same as np.expand_dims, ten times faster
        return g[..., None]
    return np.expand_dims(g, axis)


def count(shape: tuple[int, ...], axis: Any) -> int:
    """Return how many elements a reduction of `shape` over `axis` brings together."""
    if axis is None or not shape:
        return math.prod(shape)
    return math.prod(shape[k] for k in (axis if isinstance(axis, tuple) else (axis,)))


def sum_samples(rng: np.random.Generator) -> list[Any]:
    choices: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((2, 3, 4), {}),
        ((2, 3, 4), {"keepdims": True}),
        ((2, 3, 4), {"axis": 0}),
        ((3, 4), {"axis": -1, "keepdims": True}),
        ((3, 3), {"axis": -1}),
        ((2, 3, 4), {"axis": (0, 2)}),
        ((2, 3, 4), {"axis": (-1, 0), "keepdims": True}),
        ((2, 3), {"axis": ()}),
        ((1, 1), {"axis": 1}),
        ((), {}),
        ((), {"axis": -1}),
        ((0, 3), {"axis": 1}),
    ]
    return [((rng.normal(size=shape),), params) for shape, params in choices]


def _sum(x: Any, axis: Any = None, keepdims: bool = False, **other: Any) -> Any:
    if (
        x.dtype.char == "e" and "dtype" not in other
    ):  # half precision is for keeping numbers, not for adding them
        return np.add.reduce(x, axis, keepdims=keepdims, dtype=np.float32, **other).astype(x.dtype)
    return np.add.reduce(x, axis, keepdims=keepdims, **other)


def _mean(x: Any, axis: Any = None, keepdims: bool = False, **other: Any) -> Any:
    if other or x.dtype.kind != "f" or x.dtype.itemsize < 4 or not x.size:
        return np.mean(x, axis, keepdims=keepdims, **other)
    return np.add.reduce(x, axis, keepdims=keepdims) / count(x.shape, axis)  # np.mean, without its overhead


sum_ = op(
    np.sum,
    lambda g, *, axis=None, keepdims=False: restore(g, axis, keepdims),
    call=_sum,
    linear=True,
    samples=sum_samples,
)
mean = op(
    np.mean,
    lambda g, *, shapes, axis=None, keepdims=False: restore(g, axis, keepdims) / count(shapes[0], axis),
    call=_mean,
    linear=True,
    samples=lambda rng: [call for call in sum_samples(rng) if call[0][0].ndim],
)


def _share(g: Any, x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    """Give the gradient to the entries that are the extremum, evenly; to the NaN where there is one."""
    winners = (x == restore(y, axis, keepdims)) | (x != x)  # NumPy's maximum is NaN when an entry is
    ties = np.sum(winners, axis=axis, keepdims=True, dtype=g.dtype)
    return np.where(winners, restore(g, axis, keepdims) / ties, 0)


def _extremum(function: Any, other: Any, name: str) -> Any:
    return op(
        function,
        lambda g, x, y, *, axis=None, keepdims=False: _share(g, x, y, axis, keepdims),
        name=name,
        also=(other,),
        analytic=False,
        samples=sum_samples,
    )


max_ = _extremum(np.max, np.amax, "max")
min_ = _extremum(np.min, np.amin, "min")


@kernel(
    lambda g, x, y, *, axis=None, keepdims=False: (
        restore(g, axis, keepdims) * np.exp(x - restore(y, axis, keepdims))
    ),
    reference=lambda x, axis=None, keepdims=False: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    samples=sum_samples,
)
def logsumexp(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over `axis` (all axes by default), shifted by the largest entry.

    Example:
        >>> logsumexp(np.array([1000.0, 1000.0])) - 1000
        np.float64(0.6931471805599454)
    """
    top = np.maximum.reduce(x, axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", over="ignore"):
        y = np.log(sum_.function(np.exp(x - top), axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axis=axis if axis is not None else tuple(range(np.ndim(x))))


def _sum_to_samples(rng: np.random.Generator) -> list[Any]:
    x = rng.normal(size=(2, 3, 4))
    return [((x,), {"shape": shape}) for shape in ((3, 4), (4,), (1, 1, 4), (2, 1, 1), (), (3, 1))]


def _by_hand(x: Any, shape: tuple[int, ...]) -> Any:
    total = np.zeros(shape)
    for index in np.ndindex(x.shape):
        tail = index[len(index) - len(shape) :]
        total[tuple(0 if n == 1 else k for k, n in zip(tail, shape, strict=True))] += x[index]
    return total


@kernel(
    lambda g, *, shape: g,
    reference=_by_hand,
    linear=True,
    samples=_sum_to_samples,
    method=False,
)
def sum_to(x: Any, *, shape: tuple[int, ...]) -> Any:
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


_BLOCK = 64


def column_sums(x: Any) -> Any:
    """Sum the rows of a matrix: by BLAS, several times faster than NumPy's sum, float32 in blocks of bounded error."""
    count = len(x)
    if x.dtype.char == "d" or (count <= 2 * _BLOCK and x.dtype.char == "f"):
        return ones(count, x.dtype.char) @ x
    if x.dtype.char != "f":
        return np.add.reduce(x, 0, dtype=np.float64 if x.dtype.char == "e" else None).astype(x.dtype)
    whole = count - count % _BLOCK
    blocks = ones(_BLOCK, "f") @ x[:whole].reshape(-1, _BLOCK, x.shape[1])
    total = np.add.reduce(blocks, axis=0, dtype=np.float64)
    total += ones(count - whole, "f") @ x[whole:]
    return total.astype(x.dtype)


@lru_cache(maxsize=64)
def ones(count: int, dtype: str) -> Any:
    """Return a vector of ones, made once for each length, to sum with a matrix product."""
    vector = np.ones(count, dtype)
    vector.flags.writeable = False
    return vector
