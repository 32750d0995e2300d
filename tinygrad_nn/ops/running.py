"""Running extremes, and running sums of exponentials as logarithms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_nn.ops.arithmetic import floating, product
from tinygrad_nn.ops.cumulative import recurrence
from tinygrad_nn.ops.indexing import along
from tinygrad_nn.ops.samples import cases, each, wide
from tinygrad_nn.primitives import Array, Primitive, kernel

_CALLS = cases([each((3, 4), (0, 2)), {"axis": 0}, (2, 3, 4), {"axis": -2}, each((5,), (1, 3)), {"axis": -1}])


def _one_by_one(better: Callable[[float, float], bool]) -> Callable[..., Array]:
    """Return the place of the first extreme so far, found by going along."""

    def places(row: Array) -> Array:
        best = [0] * len(row)
        for k in range(1, len(row)):
            kept = row[best[k - 1]]
            best[k] = k if kept == kept and (better(row[k], kept) or row[k] != row[k]) else best[k - 1]
        return np.array(best, np.intp)

    return lambda x, axis: np.apply_along_axis(places, axis, x) if x.size else np.zeros(x.shape, np.intp)


def _places(ufunc: np.ufunc, name: str, better: Callable[[float, float], bool]) -> Primitive:
    @kernel(
        None, name=name, samples=_CALLS, reference=_one_by_one(better), differentiable=False, method=False
    )
    def places(x: Array, *, axis: int) -> Array:
        axis = normalize_axis_index(axis, x.ndim)
        y = np.moveaxis(ufunc.accumulate(x, axis), axis, 0)
        numbers = np.zeros(y.shape, np.intp)
        # Where the extreme changes; of a NaN, which stays, the first one.
        changes = (y[1:] != y[:-1]) & (y[:-1] == y[:-1])
        numbers[1:] = np.where(changes, np.reshape(np.arange(1, len(y)), (-1, *(1,) * (y.ndim - 1))), 0)
        return np.moveaxis(np.maximum.accumulate(numbers), 0, axis)

    return places


places_of_maxima = _places(np.maximum, "places_of_maxima", lambda a, b: a > b)
places_of_minima = _places(np.minimum, "places_of_minima", lambda a, b: a < b)


def running_max(x: Array, axis: int = 0) -> Array:
    """The largest element so far along an axis; of equal ones the first has the gradient."""
    return np.take_along_axis(x, places_of_maxima(x, axis=axis), axis=axis)


def running_min(x: Array, axis: int = 0) -> Array:
    """The smallest element so far along an axis; of equal ones the first has the gradient."""
    return np.take_along_axis(x, places_of_minima(x, axis=axis), axis=axis)


def _share(a: Array, b: Array) -> Array:
    """Return exp(a - b), and 0 where a is the logarithm of 0, also where b is."""
    return np.exp(np.where(a == -np.inf, a, a - b))


def _back(g: Array, x: Array, y: Array, *, axis: int = -1) -> Array:
    axis = normalize_axis_index(axis, y.ndim)
    # From the end: what reaches y[k] is g[k] and a share, at most 1, of what reaches y[k + 1]; nothing overflows.
    before = _share(y[along(axis, slice(0, -1))], y[along(axis, slice(1, None))])
    shares = np.concatenate([before, np.zeros_like(y[along(axis, slice(0, 1))])], axis=axis)
    reached = np.flip(recurrence(np.flip(g, axis), np.flip(shares, axis), axis=axis), axis)
    return product(reached, _share(x, y))


@kernel(
    _back,
    analytic=False,
    formula="exp(x) * sums_from_the_end(g / exp(y))",
    reference=lambda x, axis=-1: np.log(np.cumsum(np.exp(x), axis=axis)),
    samples=cases(
        [wide((3, 4), (0, 2)), {"axis": 0}, (2, 3, 4), {"axis": -2}, wide((5,), (1, 3), (2, 3)), {}],
    ),
)
def cumlogsumexp(x: Array, *, axis: int = -1) -> Array:
    """log(cumsum(exp(x))) along an axis, the last by default, without overflow; float32 is added in double precision.

    Example:
        >>> cumlogsumexp(np.array([-np.inf, 1000.0, 1000.0]))
        array([         -inf, 1000.        , 1000.69314718])
    """
    x = floating(x)
    return np.logaddexp.accumulate(x.astype(np.float64, copy=False), axis).astype(x.dtype, copy=False)
