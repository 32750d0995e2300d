"""The order of elements: sort, and what can be read off the sorted ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_nn.errors import SettingError
from tinygrad_nn.ops.reduction import count
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, Axis, composite
from tinygrad_nn.primitives.operands import operand
from tinygrad_nn.primitives.record import Samples


@composite(
    np.sort,
    samples=cases(
        [each((3, 4), (0, 3)), {"axis": 0}, (2, 3, 4), {"axis": -2}, (2, 3), {"axis": None}],
        [each((3, 4), (5,), (1,))],
    ),
    analytic=False,
)
def sort(a: Array, axis: int | None = -1, kind: Any = None, *, stable: bool | None = None) -> Array:
    """The elements in ascending order along an axis; equal ones keep their order, always."""
    if kind is not None or stable is not None:
        # It refuses what it does not know, and both together.
        np.sort(np.empty(0), kind=kind, stable=stable)
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    return np.take_along_axis(a, np.argsort(a, axis=axis, kind="stable"), axis=axis)


_ROWS = (
    [each((3, 4), (5,), ()), {}],
    [each((3, 4), (1, 1)), {"axis": 0}],
    [(3, 4), {"axis": -1, "keepdims": True}],
    [(2, 3, 4), {"axis": (0, -1)}, {"axis": (-1, 1), "keepdims": True}],
)


@composite(np.median, samples=cases(*_ROWS), analytic=False, method=True)
def median(a: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The middle of the sorted elements; of two in the middle, their mean. NaN where one of them is."""
    if not count(np.shape(a), _reduced(a, axis)):
        return np.mean(a, axis=axis, keepdims=keepdims)
    rows, reduced = _in_rows(a, axis)
    n = np.shape(rows)[-1]
    middle = np.mean(rows[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
    middle = np.where(np.isnan(rows[..., -1]), rows[..., -1], middle)
    return np.expand_dims(middle, reduced) if keepdims else middle


def _reduced(a: Array, axis: Axis) -> tuple[int, ...]:
    """Return the axes that a reduction runs over, none of them negative; a scalar may have one, which is not there."""
    rank = np.ndim(a)
    return tuple(range(rank)) if axis is None else normalize_axis_tuple(axis, rank or 1)[:rank]


def _in_rows(a: Array, axis: Axis) -> tuple[Array, tuple[int, ...]]:
    """Return the elements that belong together, sorted along the last axis, and the axes they came from."""
    reduced = _reduced(a, axis)
    others = [k for k in range(np.ndim(a)) if k not in reduced]
    shape = (*[np.shape(a)[k] for k in others], count(np.shape(a), reduced))
    rows = np.reshape(np.transpose(a, (*others, *reduced)), shape)
    return np.sort(rows, axis=-1), reduced


_Place = Callable[[Any, Array], Array]


def _between(alpha: float, beta: float) -> _Place:
    """The places of Hyndman and Fan (1996, The American Statistician 50, 361) with these plotting positions."""
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


_PLACES: dict[str, _Place] = {
    "linear": lambda n, q: (n - 1) * q,
    "hazen": _between(0.5, 0.5),
    "weibull": _between(0, 0),
    "median_unbiased": _between(1 / 3, 1 / 3),
    "normal_unbiased": _between(3 / 8, 3 / 8),
    "interpolated_inverted_cdf": _between(0, 1),
    "inverted_cdf": lambda n, q: np.ceil(n * q) - 1,
    "averaged_inverted_cdf": lambda n, q: (np.ceil(n * q) - 1 + np.floor(n * q)) / 2,
    "closest_observation": lambda n, q: np.rint(n * q) - 1,
    "lower": lambda n, q: np.floor((n - 1) * q),
    "higher": lambda n, q: np.ceil((n - 1) * q),
    "nearest": lambda n, q: np.rint((n - 1) * q),
    "midpoint": lambda n, q: (np.floor((n - 1) * q) + np.ceil((n - 1) * q)) / 2,
}
"""Where among n sorted elements a share q of them ends, counted from 0."""


def _with_shares(*shares: object) -> Samples:
    # Of ten elements no share is half way between two: NumPy 2.0.0 takes the odd one of them, not the even one.
    methods = [
        (10,),
        each(*shares),
        {"method": each(*_PLACES)},
        (2, 4),
        each(*shares),
        {"method": "hazen", "axis": 1},
    ]
    return cases(*([x, each(*shares), *params] for x, *params in _ROWS), methods)


_FRACTIONS = _with_shares(0.3, [0.0, 0.6, 1.0])
_PERCENTS = _with_shares(30.0, [0.0, 60.0, 100.0])


def _fractions(name: str, a: Array, q: Any, method: str, axis: Axis, whole: int = 1) -> Array:
    """Return shares as an array; refuse what is no share of something, and methods that do not exist."""
    q = operand(q)
    if not np.all((q >= 0) & (q <= whole)) or not count(np.shape(a), _reduced(a, axis)):
        raise SettingError(
            f"{name}: shares from 0 to {whole} of at least one element, got q={q} of shape {np.shape(a)}"
        )
    if method not in _PLACES:
        raise SettingError(f"{name}: there is no method={method!r}\n  hint   {', '.join(_PLACES)}")
    return q if whole == 1 else q / whole


def _line(place: Array, rows: Array, chosen: Callable[[Array], Array]) -> Array:
    """Return what lies at places among sorted rows, on a straight line between the two that `chosen` picks."""
    low = np.floor(place)
    share = (place - low).astype(rows.dtype if rows.dtype.kind == "f" else float)
    first, second = chosen(low.astype(np.intp)), chosen(np.ceil(place).astype(np.intp))
    share = np.reshape(share, np.shape(share) + (1,) * (np.ndim(first) - np.ndim(share)))
    return first + (second - first) * share


def _quantile(a: Array, q: Array, axis: Axis, keepdims: bool, method: str) -> Array:
    rows, reduced = _in_rows(a, axis)
    rows = np.moveaxis(rows, -1, 0)
    n = len(rows)
    value = _line(np.clip(_PLACES[method](n, q), 0, n - 1), rows, lambda places: rows[places])
    value = np.where(np.isnan(rows[-1]), rows[-1], value)
    return np.expand_dims(value, [q.ndim + k for k in reduced]) if keepdims else value


def _nanquantile(a: Array, q: Array, axis: Axis, keepdims: bool, method: str) -> Array:
    rows, reduced = _in_rows(a, axis)
    # NaN come last when sorted.
    rows = np.moveaxis(rows, -1, 0)
    n = np.sum(~np.isnan(rows), axis=0)
    places = _PLACES[method](n, np.reshape(q, (-1, *(1,) * np.ndim(n))))
    places = np.clip(places, 0, np.maximum(n - 1, 0))
    value = _line(places, rows, lambda places: np.take_along_axis(rows, places, axis=0))
    value = np.where(n == 0, np.nan, np.reshape(value, (*q.shape, *np.shape(n))))
    return np.expand_dims(value, [q.ndim + k for k in reduced]) if keepdims else value


def _below_a_share(function: Any, whole: int, value: Callable[..., Array], samples: Samples) -> None:
    @composite(function, name=function.__name__, samples=samples, analytic=False, settings=("q",))
    def below(
        a: Array, q: Array, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
    ) -> Array:
        shares = _fractions(function.__name__, a, q, method, axis, whole)
        return value(a, shares, axis, keepdims, method)


# The value below which a share q of the elements lies, or q percent of them; of those alone that are not NaN. `method`
# says which where it lies between two elements; a NaN among the former is the result, and so is none of the latter.
_below_a_share(np.quantile, 1, _quantile, _FRACTIONS)
_below_a_share(np.percentile, 100, _quantile, _PERCENTS)
_below_a_share(np.nanquantile, 1, _nanquantile, _FRACTIONS)
_below_a_share(np.nanpercentile, 100, _nanquantile, _PERCENTS)


@composite(np.nanmedian, samples=cases(*_ROWS), analytic=False)
def nanmedian(a: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The median of the elements that are not NaN; NaN where there are none."""
    if not np.size(a):
        return np.mean(a, axis=axis, keepdims=keepdims)
    return _nanquantile(a, np.asarray(0.5), axis, keepdims, "linear")


@composite(np.ptp, samples=cases(*_ROWS), analytic=False)
def ptp(a: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The largest element minus the smallest."""
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)
