"""The order of elements: sort, and what can be read off the sorted ones."""

from __future__ import annotations

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_nn.errors import SettingError
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, Axis, composite
from tinygrad_nn.primitives.record import Samples


@composite(
    np.sort,
    samples=cases(
        [each((3, 4), (0, 3)), {"axis": 0}, (2, 3, 4), {"axis": -2}, (2, 3), {"axis": None}],
        [each((3, 4), (5,), (1,))],
    ),
    analytic=False,
)
def sort(a: Array, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Array:
    """The elements in ascending order along an axis; equal ones keep their order, always."""
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
    if not np.size(a):
        return np.mean(a, axis=axis, keepdims=keepdims)
    rows, reduced = _in_rows(a, axis)
    n = np.shape(rows)[-1]
    middle = np.mean(rows[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
    middle = np.where(np.isnan(rows[..., -1]), rows[..., -1], middle)
    return np.expand_dims(middle, reduced) if keepdims else middle


def _in_rows(a: Array, axis: Axis) -> tuple[Array, tuple[int, ...]]:
    """Return the elements that belong together, sorted along the last axis, and the axes they came from."""
    rank = np.ndim(a)
    # A scalar is its own row along the one axis that NumPy's reductions let it have.
    reduced = tuple(range(rank)) if axis is None else normalize_axis_tuple(axis, rank or 1)[:rank]
    others = [k for k in range(rank) if k not in reduced]
    rows = np.reshape(np.transpose(a, (*others, *reduced)), (*[np.shape(a)[k] for k in others], -1))
    return np.sort(rows, axis=-1), reduced


def _with_shares(*shares: object) -> Samples:
    return cases(*([x, each(*shares), *params] for x, *params in _ROWS))


@composite(np.quantile, samples=_with_shares(0.3, [0.0, 0.6, 1.0]), analytic=False, settings=("q",))
def quantile(a: Array, q: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The value below which a share q of the elements lies, on a straight line between its two neighbours."""
    _check_shares("quantile", a, q, 1)
    return _quantile(a, np.asarray(q), axis, keepdims)


def _check_shares(name: str, a: Array, q: Array, whole: int) -> None:
    if not np.all((np.asarray(q) >= 0) & (np.asarray(q) <= whole)) or not np.size(a):
        raise SettingError(
            f"{name}: shares from 0 to {whole} of at least one element, got q={q} of shape {np.shape(a)}"
        )


def _quantile(a: Array, q: Array, axis: Axis, keepdims: bool) -> Array:
    rows, reduced = _in_rows(a, axis)
    rows = np.moveaxis(rows, -1, 0)
    place = q * (len(rows) - 1)
    low = np.floor(place).astype(np.intp)
    share = np.reshape(place - low, q.shape + (1,) * (np.ndim(rows) - 1))
    share = share.astype(rows.dtype if rows.dtype.kind == "f" else float)
    value = rows[low] + (rows[np.ceil(place).astype(np.intp)] - rows[low]) * share
    value = np.where(np.isnan(rows[-1]), rows[-1], value)
    return np.expand_dims(value, [q.ndim + k for k in reduced]) if keepdims else value


@composite(np.percentile, samples=_with_shares(30.0, [0.0, 60.0, 100.0]), analytic=False, settings=("q",))
def percentile(a: Array, q: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The value below which q percent of the elements lie."""
    _check_shares("percentile", a, q, 100)
    return _quantile(a, np.asarray(q) / 100, axis, keepdims)


@composite(np.ptp, samples=cases(*_ROWS), analytic=False)
def ptp(a: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The largest element minus the smallest."""
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)
