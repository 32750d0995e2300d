"""Spread and averages of many kinds: variances, weighted means, without missing values, covariances, areas."""

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_nn.errors import ArgumentError, ShapeError
from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.ops.reduction import count, restore
from tinygrad_nn.primitives.declare import composite, op


def _freedom(shape: tuple[int, ...], axis: Any, ddof: float) -> float:
    return max(count(shape, axis) - ddof, 0)


def _share(shape: tuple[int, ...], axis: Any, ddof: float) -> float:
    """One over the degrees of freedom; infinite where there are none: 0 * inf is NaN, like the value."""
    free = _freedom(shape, axis, ddof)
    return 1 / free if free else math.inf


def _corrected(a: Any, **params: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read a call of var or std, where NumPy takes the array API's correction for ddof."""
    if "correction" in params:
        ddof, correction = params.get("ddof"), params.pop("correction")
        if ddof is not None:
            raise ArgumentError(f"ddof={ddof} and correction={correction} are the same; give one of them")
        params["ddof"] = correction
    return (a,), params


def _var(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, **other: Any) -> Any:
    free = _freedom(x.shape, axis, ddof)
    if other or x.dtype.kind not in "fc" or x.dtype.itemsize < 4:
        return np.var(x, axis, ddof=ddof, keepdims=keepdims, **other)
    d = x - np.add.reduce(x, axis, keepdims=True) / count(x.shape, axis)  # np.var, without its overhead
    d *= d
    return np.add.reduce(d, axis, keepdims=keepdims) / free


def _std(x: Any, *args: Any, **params: Any) -> Any:
    return np.sqrt(_var(x, *args, **params))


def _deviation(x: Any, axis: Any) -> Any:
    return x - np.mean(x, axis=axis, keepdims=True)


def _spread_samples(rng: np.random.Generator) -> list[Any]:
    choices: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((2, 3, 4), {}),
        ((3, 4), {"axis": 0}),
        ((3, 3), {"axis": -1, "keepdims": True}),
        ((2, 3, 4), {"axis": (0, 2), "ddof": 1}),
        ((2, 3, 4), {"axis": (-1, 0), "keepdims": True, "ddof": 2}),
        ((2, 5), {"axis": 1, "ddof": 0.5}),
        ((0, 3), {"axis": 1}),
    ]
    return [((rng.normal(size=shape),), params) for shape, params in choices]


var = op(
    np.var,
    lambda g, x, *, shapes, axis=None, ddof=0, keepdims=False: product(
        restore(g, axis, keepdims), _deviation(x, axis) * (2 * _share(shapes[0], axis, ddof))
    ),
    call=_var,
    adapt=_corrected,
    reference=np.var,
    samples=lambda rng: [
        *_spread_samples(rng),
        ((rng.normal(size=()),), {}),
        ((rng.normal(size=(1, 2)),), {"axis": 0}),
    ],
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
    samples=_spread_samples,
)


def _average_samples(rng: np.random.Generator) -> list[Any]:
    choices: list[tuple[tuple[int, ...], tuple[int, ...], Any]] = [
        ((3, 4), (3, 4), None),
        ((3, 4), (3, 4), 0),
        ((3, 4), (4,), -1),
        ((2, 3, 4), (4, 2), (2, 0)),
        ((5,), (5,), None),
    ]
    weighted: list[Any] = [
        ((rng.normal(size=a), axis, rng.uniform(0.5, 2, size=w)), {}) for a, w, axis in choices
    ]
    return [*weighted, ((rng.normal(size=(3, 4)),), {"axis": 0, "keepdims": True})]


@composite(np.average, samples=_average_samples)
def average(a: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    """The mean, with weights if there are any: of the shape of a, or of the axes that are averaged."""
    if weights is None:
        return np.mean(a, axis=axis, keepdims=keepdims)
    if np.shape(weights) != np.shape(a):
        weights = _aligned(weights, np.shape(a), axis)
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    return np.sum(a * weights, axis=axis, keepdims=keepdims) / total


def _aligned(weights: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Return weights of some axes with their lengths at the places of these axes and ones elsewhere."""
    axes = normalize_axis_tuple(() if axis is None else axis, len(shape))
    if np.shape(weights) != tuple(shape[k] for k in axes):
        raise ShapeError(
            f"average: weights of shape {np.shape(weights)} fit neither {shape} nor its axes {axis}\n"
            f"  hint   weights of shape {shape}, or of the length of one axis and axis=..."
        )
    weights = np.transpose(weights, np.argsort(axes).tolist())
    return np.reshape(weights, tuple(n if k in axes else 1 for k, n in enumerate(shape)))


def _with_gaps(rng: np.random.Generator) -> list[Any]:
    choices: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((3, 4), {}),
        ((3, 4), {"axis": 0}),
        ((2, 3, 4), {"axis": (0, -1), "keepdims": True}),
        ((5,), {}),
    ]
    return [((rng.normal(size=shape),), params) for shape, params in choices]


@composite(np.nansum, samples=_with_gaps)
def nansum(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The sum of the elements that are not NaN; the others have the gradient 0."""
    return np.sum(np.where(np.isnan(a), 0, a), axis=axis, keepdims=keepdims)


@composite(np.nanmean, samples=_with_gaps)
def nanmean(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The mean of the elements that are not NaN; the others have the gradient 0."""
    count = np.sum(~np.isnan(a), axis=axis, keepdims=keepdims)
    return nansum(a, axis, keepdims=keepdims) / count


def _tables(rng: np.random.Generator) -> list[Any]:
    return [
        ((rng.normal(size=(3, 5)),), {}),
        ((rng.normal(size=(5, 3)),), {"rowvar": False}),
        ((rng.normal(size=(2, 5)), rng.normal(size=5)), {}),
    ]


@composite(
    np.cov,
    samples=lambda rng: [
        *_tables(rng),
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(2, 5)),), {"bias": True}),
        ((rng.normal(size=(2, 5)),), {"ddof": 2}),
    ],
)
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Any:
    """The covariances of variables, which are rows (columns with `rowvar=False`) of one or two tables."""
    tables = [
        np.reshape(t, (1, -1)) if np.ndim(t) < 2 else t if rowvar else np.transpose(t)
        for t in (m, y)[: 1 + (y is not None)]
    ]
    rows = np.concatenate(tables)
    free = max(np.shape(rows)[1] - ((0 if bias else 1) if ddof is None else ddof), 0)
    rows = rows - np.mean(rows, axis=1, keepdims=True)
    return np.squeeze(rows @ np.transpose(rows) / free)


@composite(np.corrcoef, samples=_tables)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """The correlations of variables: their covariances, divided by their standard deviations."""
    c = cov(x, y, rowvar)
    if not np.ndim(c):
        return c / c
    spread = np.sqrt(np.diagonal(c))
    return np.clip(c / spread[:, None] / spread, -1, 1)


@composite(
    np.trapezoid,
    samples=lambda rng: [
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(3, 4)),), {"dx": 0.5, "axis": 0}),
        ((rng.normal(size=(3, 4)), rng.normal(size=4)), {}),
        ((rng.normal(size=(3, 4)), rng.normal(size=3)), {"axis": 0}),
        ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {"axis": -2}),
    ],
)
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The area under straight lines through the points."""
    y = np.moveaxis(y, axis, -1)
    if x is not None:
        dx = np.diff(x if np.ndim(x) == 1 else np.moveaxis(x, axis, -1))
    return np.sum(dx * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)
