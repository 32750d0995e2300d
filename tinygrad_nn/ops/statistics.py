"""Spread and averages of many kinds: variances, weighted means, without missing values, covariances, areas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.ops.joining import as_rows
from tinygrad_nn.ops.reduction import count, restore
from tinygrad_nn.ops.samples import cases, each, positive
from tinygrad_nn.primitives import Array, Axis, Sample, composite, op

_SPREADS = (
    [(2, 3, 4), {}, {"axis": (0, 2), "ddof": 1}, {"axis": (-1, 0), "keepdims": True, "ddof": 2}],
    [(3, 3), {"axis": -1, "keepdims": True}, (3, 4), {"axis": 0}, (0, 3), {"axis": 1}],
    [(2, 5), {"axis": 1, "ddof": 0.5}],
)


def _freedom(shape: tuple[int, ...], axis: Axis, ddof: float) -> float:
    return max(count(shape, axis) - ddof, 0)


def _share(shape: tuple[int, ...], axis: Axis, ddof: float) -> float:
    """One over the degrees of freedom; infinite where there are none: 0 * inf is NaN, like the value."""
    free = _freedom(shape, axis, ddof)
    return 1 / free if free else math.inf


def _corrected(a: object, **params: object) -> Sample:
    """Read a call of var or std, where NumPy takes the array API's correction for ddof."""
    if "correction" in params:
        ddof, correction = params.get("ddof"), params.pop("correction")
        if ddof is not None:
            raise ArgumentError(f"ddof={ddof} and correction={correction} are the same; give one of them")
        params["ddof"] = correction
    return (a,), params


def _var(x: Array, axis: Axis = None, ddof: float = 0, keepdims: bool = False, **other: Any) -> Array:
    free = _freedom(x.shape, axis, ddof)
    if other or x.dtype.kind not in "fc" or x.dtype.itemsize < 4:
        return np.var(x, axis, ddof=ddof, keepdims=keepdims, **other)
    # The same as np.var, without its overhead.
    d = x - np.add.reduce(x, axis, keepdims=True) / count(x.shape, axis)
    d *= d
    return np.add.reduce(d, axis, keepdims=keepdims) / free


def _std(x: Array, *args: Any, **params: Any) -> Array:
    return np.sqrt(_var(x, *args, **params))


def _deviation(x: Array, axis: Axis) -> Array:
    return x - np.mean(x, axis=axis, keepdims=True)


var = op(
    np.var,
    lambda g, x, *, shapes, axis=None, ddof=0, keepdims=False: product(
        restore(g, axis, keepdims), _deviation(x, axis) * (2 * _share(shapes[0], axis, ddof))
    ),
    call=_var,
    adapt=_corrected,
    reference=np.var,
    samples=cases(*_SPREADS, [(1, 2), {"axis": 0}, ()]),
)
std = op(
    np.std,
    lambda g, x, y, *, shapes, axis=None, ddof=0, keepdims=False: product(
        restore(g, axis, keepdims),
        quotient(_deviation(x, axis), restore(y, axis, keepdims)) * _share(shapes[0], axis, ddof),
    ),
    call=_std,
    adapt=_corrected,
    reference=np.std,
    samples=cases(*_SPREADS),
)


@composite(
    np.average,
    samples=cases(
        [(3, 4), each(None, 0), positive((3, 4)), {}, (3, 4), -1, positive((4,))],
        [(5,), None, positive((5,)), {}, (2, 3, 4), lambda rng: (2, 0), positive((4, 2))],
        [(3, 4), {"axis": 0, "keepdims": True}],
    ),
)
def average(a: Array, axis: Axis = None, weights: Array | None = None, *, keepdims: bool = False) -> Array:
    """The mean, with weights if there are any: of the shape of a, or of the axes that are averaged."""
    if weights is None:
        return np.mean(a, axis=axis, keepdims=keepdims)
    if np.shape(weights) != np.shape(a):
        weights = _aligned(weights, np.shape(a), axis)
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    return np.sum(a * weights, axis=axis, keepdims=keepdims) / total


def _aligned(weights: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """Return weights of some axes with their lengths at the places of these axes and ones elsewhere."""
    axes = normalize_axis_tuple(() if axis is None else axis, len(shape))
    if np.shape(weights) != tuple(shape[k] for k in axes):
        raise ShapeError(
            f"average: weights of shape {np.shape(weights)} fit neither {shape} nor its axes {axis}\n"
            f"  hint   weights of shape {shape}, or of the length of one axis and axis=..."
        )
    weights = np.transpose(weights, np.argsort(axes).tolist())
    return np.reshape(weights, tuple(n if k in axes else 1 for k, n in enumerate(shape)))


_SUMS = cases([(3, 4), {"axis": 0}, (2, 3, 4), {"axis": (0, -1), "keepdims": True}, each((3, 4), (5,))])


@composite(np.nansum, samples=_SUMS)
def nansum(a: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The sum of the elements that are not NaN; the others have the gradient 0."""
    return np.sum(np.where(np.isnan(a), 0, a), axis=axis, keepdims=keepdims)


@composite(np.nanmean, samples=_SUMS)
def nanmean(a: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The mean of the elements that are not NaN; the others have the gradient 0."""
    present = np.sum(~np.isnan(a), axis=axis, keepdims=keepdims)
    return nansum(a, axis, keepdims=keepdims) / present


_TABLES = [(5, 3), {"rowvar": False}, (2, 5), (5,), {}, (3, 5)]


@composite(np.cov, samples=cases(_TABLES, [(2, 5), {"bias": True}, {"ddof": 2}, (5,)]))
def cov(
    m: Array, y: Array | None = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None
) -> Array:
    """The covariances of variables, which are rows (columns with `rowvar=False`) of one or two tables."""
    for table in (m, y):
        if table is not None and np.ndim(table) > 2:
            raise ShapeError(f"cov: a table has at most two dimensions, got shape {np.shape(table)}")
    if ddof is not None and ddof != int(ddof):
        raise SettingError(f"cov: ddof is a whole number, got {ddof}")
    tables = [as_rows(t) if rowvar or np.ndim(t) < 2 else np.transpose(t) for t in (m, y) if t is not None]
    rows = np.concatenate(tables)
    free = max(np.shape(rows)[1] - ((0 if bias else 1) if ddof is None else ddof), 0)
    rows = rows - np.mean(rows, axis=1, keepdims=True)
    return np.squeeze(rows @ np.transpose(rows) / free)


@composite(np.corrcoef, samples=cases(_TABLES))
def corrcoef(x: Array, y: Array | None = None, rowvar: bool = True) -> Array:
    """The correlations of variables: their covariances, divided by their standard deviations."""
    c = cov(x, y, rowvar)
    if not np.ndim(c):
        return c / c
    spread = np.sqrt(np.diagonal(c))
    return np.clip(c / spread[:, None] / spread, -1, 1)


@composite(
    np.trapezoid,
    samples=cases(
        [(3, 4), {"dx": 0.5, "axis": 0}, (3, 4), (3,), {"axis": 0}, (3, 4), (3, 4), {"axis": -2}],
        [(3, 4), (4,), {}, (5,)],
    ),
)
def trapezoid(y: Array, x: Array | None = None, dx: float = 1.0, axis: int = -1) -> Array:
    """The area under straight lines through the points."""
    y = np.moveaxis(y, axis, -1)
    width = dx if x is None else np.diff(x if np.ndim(x) == 1 else np.moveaxis(x, axis, -1))
    return np.sum(width * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)
