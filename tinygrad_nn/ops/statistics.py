"""Spread and averages of many kinds: variances, weighted means, without missing values, covariances, areas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import DTypeLike

from tinygrad_nn.errors import ArgumentError, DivisorError, SettingError, ShapeError
from tinygrad_nn.ops.arithmetic import part, product
from tinygrad_nn.ops.joining import as_rows
from tinygrad_nn.ops.norms import euclidean_norm
from tinygrad_nn.ops.reduction import count, divided, in_single, restore
from tinygrad_nn.ops.samples import cases, each, positive
from tinygrad_nn.ops.shape import astype
from tinygrad_nn.ops.some import WHERE, how_many, kept
from tinygrad_nn.primitives import Array, Axis, Function, Mask, Sample, composite, op
from tinygrad_nn.primitives.operands import operand

_SPREADS = (
    [(2, 3, 4), {}, {"axis": (0, 2), "ddof": 1}, {"axis": (-1, 0), "keepdims": True, "ddof": 2}],
    [(3, 3), {"axis": -1, "keepdims": True}, (3, 4), {"axis": 0}, (0, 3), {"axis": 1}],
    [(2, 5), {"axis": 1, "ddof": 0.5}],
)


def _freedom(shape: tuple[int, ...], axis: Axis, ddof: float) -> float:
    return max(count(shape, axis) - ddof, 0)


def _corrected(a: object, **params: object) -> Sample:
    """Read a call of var or std, where NumPy takes the array API's correction for ddof."""
    if "correction" in params:
        ddof, correction = params.get("ddof"), params.pop("correction")
        if ddof is not None:
            raise ArgumentError(f"ddof={ddof} and correction={correction} are the same; give one of them")
        params["ddof"] = correction
    return (a,), params


@in_single
def _var(x: Array, axis: Axis = None, ddof: float = 0, keepdims: bool = False, **other: Any) -> Array:
    free = _freedom(x.shape, axis, ddof)
    if other or x.dtype.kind not in "fc":
        return np.var(x, axis, ddof=ddof, keepdims=keepdims, **other)
    # The same as np.var, without its overhead.
    d = x - np.add.reduce(x, axis, keepdims=True) / count(x.shape, axis)
    d *= d
    return np.add.reduce(d, axis, keepdims=keepdims) / free


@in_single
def _std(x: Array, *args: Any, **params: Any) -> Array:
    return np.sqrt(_var(x, *args, **params))


def _deviation(x: Array, axis: Axis) -> Array:
    return x - np.mean(x, axis=axis, keepdims=True)


def _deviation_of_some(
    a: Array, axis: Axis, dtype: DTypeLike | None, mean: Array | None, where: Mask
) -> Array:
    a = kept(a, True, 0, dtype)
    center = np.mean(a, axis=axis, keepdims=True, where=where) if mean is None else mean
    return kept(a - center, where, 0)


def _spread_of_some(function: Function, spread: Callable[[Array, Axis, bool, Array], Array]) -> Function:
    """Return the variance or standard deviation of the elements that count, around their mean or a given one."""

    @composite(name=f"{function.__name__}_of_some", reference=function, samples=WHERE)
    def of_some(
        a: Array,
        axis: Axis = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        dtype: DTypeLike | None = None,
        mean: Array | None = None,
        where: Mask = True,
    ) -> Array:
        free = np.maximum(how_many(a, where, axis, keepdims) - ddof, 0)
        return spread(_deviation_of_some(a, axis, dtype, mean, where), axis, keepdims, free)

    return of_some


def _root_of_squares(deviation: Array, axis: Axis, keepdims: bool, free: Array) -> Array:
    size = euclidean_norm(deviation, axis=axis, keepdims=keepdims)
    return size / astype(np.sqrt(free), dtype=size.dtype)


var_of_some = _spread_of_some(
    np.var, lambda deviation, axis, keepdims, free: np.sum(deviation**2, axis=axis, keepdims=keepdims) / free
)
std_of_some = _spread_of_some(np.std, _root_of_squares)


var = op(
    np.var,
    lambda g, x, *, shapes, axis=None, ddof=0, keepdims=False: product(
        restore(g, axis, keepdims), divided(_deviation(x, axis), _freedom(shapes[0], axis, ddof) / 2)
    ),
    call=_var,
    otherwise=var_of_some,
    adapt=_corrected,
    reference=np.var,
    samples=cases(*_SPREADS, [(1, 2), {"axis": 0}, ()]),
    formula="g * 2 * (x - mean(x)) / (n - ddof)",
)
std = op(
    np.std,
    lambda g, x, y, *, shapes, axis=None, ddof=0, keepdims=False: product(
        restore(g, axis, keepdims),
        divided(part(_deviation(x, axis), restore(y, axis, keepdims)), _freedom(shapes[0], axis, ddof)),
    ),
    call=_std,
    otherwise=std_of_some,
    adapt=_corrected,
    reference=np.std,
    samples=cases(*_SPREADS),
    formula="g * (x - mean(x)) / ((n - ddof) * y)",
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
    terms = a * weights
    half = terms.dtype == np.float16
    if half:
        # Neither sum has to be a float16, only their quotient.
        terms, weights = terms.astype(np.float32), np.multiply(weights, 1).astype(np.float32)
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    # Of weights with a gradient the quotient is NaN or infinite: a capture knows no values of theirs.
    if isinstance(total, (np.ndarray, np.generic)) and not np.all(total):
        raise DivisorError(
            f"average: weights of shape {np.shape(weights)} sum to 0, for operands of shape {np.shape(a)}\n"
            "  hint   np.sum(t * weights) without dividing; or axis=None"
        )
    mean = np.sum(terms, axis=axis, keepdims=keepdims) / total
    return mean.astype(np.float16) if half else mean


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


_SPREADS_OF_SOME = cases([(3, 4), {"axis": 0}, {"ddof": 1, "axis": -1, "keepdims": True}, (5,)])
_SUMS = cases([(3, 4), {"axis": 0}, (2, 3, 4), {"axis": (0, -1), "keepdims": True}, each((3, 4), (5,))])


@composite(np.nansum, samples=_SUMS)
def nansum(a: Array, axis: Axis = None, *, keepdims: bool = False, **other: Any) -> Array:
    """The sum of the elements that are not NaN; the others have the gradient 0."""
    return np.sum(np.where(np.isnan(a), 0, a), axis=axis, keepdims=keepdims, **other)


@composite(np.nanprod, samples=_SUMS)
def nanprod(a: Array, axis: Axis = None, *, keepdims: bool = False, **other: Any) -> Array:
    """The product of the elements that are not NaN; the others have the gradient 0."""
    return np.prod(np.where(np.isnan(a), 1, a), axis=axis, keepdims=keepdims, **other)


def _there(a: Array, where: Mask) -> Array:
    return ~np.isnan(a) if where is True else ~np.isnan(a) & where


@composite(np.nanmean, samples=_SUMS)
def nanmean(
    a: Array, axis: Axis = None, *, keepdims: bool = False, dtype: DTypeLike | None = None, where: Mask = True
) -> Array:
    """The mean of the elements that are not NaN; the others have the gradient 0."""
    return np.mean(a, axis=axis, keepdims=keepdims, dtype=dtype, where=_there(a, where))


@composite(np.nanvar, samples=_SPREADS_OF_SOME)
def nanvar(a: Array, axis: Axis = None, *, keepdims: bool = False, where: Mask = True, **other: Any) -> Array:
    """The variance of the elements that are not NaN; the others have the gradient 0."""
    return np.var(a, axis=axis, keepdims=keepdims, where=_there(a, where), **other)


@composite(np.nanstd, samples=_SPREADS_OF_SOME)
def nanstd(a: Array, axis: Axis = None, *, keepdims: bool = False, where: Mask = True, **other: Any) -> Array:
    """The standard deviation of the elements that are not NaN; the others have the gradient 0."""
    return np.std(a, axis=axis, keepdims=keepdims, where=_there(a, where), **other)


def _nan_extremum(function: Function, extremum: Function, last: float) -> None:
    @composite(function, name=function.__name__, samples=_SUMS, analytic=False)
    def of_those_there(a: Array, axis: Axis = None, *, keepdims: bool = False, **other: Any) -> Array:
        if a.dtype.kind != "f":
            return extremum(a, axis=axis, keepdims=keepdims, **other)
        missing = np.isnan(a)
        y = extremum(np.where(missing, last, a), axis=axis, keepdims=keepdims, **other)
        return np.where(np.all(missing, axis=axis, keepdims=keepdims), np.nan, y)


_nan_extremum(np.nanmax, np.max, -np.inf)
_nan_extremum(np.nanmin, np.min, np.inf)


def _nan_running(function: Function, running: Function, neutral: int) -> None:
    @composite(
        function,
        name=function.__name__,
        samples=cases([(3, 4), {"axis": each(0, -1)}, each((3, 4), (5,))]),
    )
    def over_those_there(a: Array, axis: int | None = None, **other: Any) -> Array:
        return running(np.where(np.isnan(a), neutral, a), axis=axis, **other)


_nan_running(np.nancumsum, np.cumsum, 0)
_nan_running(np.nancumprod, np.cumprod, 1)


_TABLES = [(5, 3), {"rowvar": False}, (2, 5), (5,), {}, (3, 5)]
_COUNTS = np.array([1, 2, 0, 3, 1])


@composite(
    np.cov,
    samples=cases(
        _TABLES,
        [(2, 5), {"bias": True}, {"ddof": 2}, {"fweights": _COUNTS}, {"fweights": _COUNTS, "ddof": 0}],
        [(2, 5), None, True, each(False, True), None, each(None, _COUNTS), positive((5,)), {}, (5,)],
    ),
)
def cov(
    m: Array,
    y: Array | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Array | None = None,
    aweights: Array | None = None,
) -> Array:
    """The covariances of variables, which are rows (columns with `rowvar=False`) of one or two tables.

    Columns count as often as `fweights` says, and as much as `aweights` says.
    """
    for table in (m, y):
        if table is not None and np.ndim(table) > 2:
            raise ShapeError(f"cov: a table has at most two dimensions, got shape {np.shape(table)}")
    if ddof is not None and ddof != int(ddof):
        raise SettingError(f"cov: ddof is a whole number, got {ddof}")
    tables = [as_rows(t) if rowvar or np.ndim(t) < 2 else np.transpose(t) for t in (m, y) if t is not None]
    rows = np.concatenate(tables)
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights = [operand(w) for w in (fweights, aweights) if w is not None]
    if not weights:
        return _covariances(rows, max(np.shape(rows)[1] - ddof, 0))
    shares = math.prod(weights[1:], start=weights[0])
    total = np.sum(shares)
    lost = ddof if aweights is None else ddof * np.sum(shares * aweights) / total
    rows = rows - np.sum(rows * shares, axis=1, keepdims=True) / total
    return np.squeeze((rows * shares) @ np.transpose(rows) / (total - lost))


@in_single
def _covariances(rows: Array, free: float) -> Array:
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
