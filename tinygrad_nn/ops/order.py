"""The order of elements: sort, and what can be read off the sorted ones."""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_nn.errors import SettingError
from tinygrad_nn.primitives.declare import composite


@composite(np.sort, samples=lambda rng: _sorted_samples(rng), analytic=False)
def sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    """The elements in ascending order along an axis; equal ones keep their order, always."""
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    return np.take_along_axis(a, np.argsort(a, axis=axis, kind="stable"), axis=axis)


def _sorted_samples(rng: np.random.Generator) -> list[Any]:
    choices: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((3, 4), {}),
        ((3, 4), {"axis": 0}),
        ((2, 3, 4), {"axis": -2}),
        ((2, 3), {"axis": None}),
        ((5,), {}),
        ((1,), {}),
        ((0, 3), {"axis": 0}),
    ]
    return [((rng.normal(size=shape),), params) for shape, params in choices]


def _median_samples(rng: np.random.Generator) -> list[Any]:
    choices: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((3, 4), {}),
        ((3, 4), {"axis": 0}),
        ((3, 4), {"axis": -1, "keepdims": True}),
        ((2, 3, 4), {"axis": (0, -1)}),
        ((2, 3, 4), {"axis": (-1, 1), "keepdims": True}),
        ((5,), {}),
        ((), {}),
        ((1, 1), {"axis": 0}),
    ]
    return [((rng.normal(size=shape),), params) for shape, params in choices]


@composite(np.median, samples=_median_samples, analytic=False, method=True)
def median(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The middle of the sorted elements; of two in the middle, their mean. NaN where one of them is."""
    if not np.size(a):
        return np.mean(a, axis=axis, keepdims=keepdims)
    rows, reduced = _in_rows(a, axis)
    n = np.shape(rows)[-1]
    middle = np.mean(rows[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
    middle = np.where(np.isnan(rows[..., -1]), rows[..., -1], middle)
    return np.expand_dims(middle, reduced) if keepdims else middle


def _in_rows(a: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """Return the elements that belong together, sorted along the last axis, and the axes they came from."""
    rank = np.ndim(a)
    reduced = tuple(range(rank)) if axis is None else normalize_axis_tuple(axis, rank)
    kept = [k for k in range(rank) if k not in reduced]
    rows = np.reshape(np.transpose(a, (*kept, *reduced)), (*[np.shape(a)[k] for k in kept], -1))
    return np.sort(rows, axis=-1), reduced


def _quantile_samples(scale: float) -> Any:
    return lambda rng: [
        ((*call[0], q), call[1])
        for call in _median_samples(rng)
        for q in (0.3 * scale, [0.0, 0.6 * scale, 1.0 * scale])
    ]


@composite(np.quantile, samples=_quantile_samples(1), analytic=False, settings=("q",))
def quantile(a: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The value below which a share q of the elements lies, on a straight line between its two neighbours."""
    _check_shares("quantile", a, q, 1)
    return _quantile(a, np.asarray(q), axis, keepdims)


def _check_shares(name: str, a: Any, q: Any, whole: int) -> None:
    if not np.all((np.asarray(q) >= 0) & (np.asarray(q) <= whole)) or not np.size(a):
        raise SettingError(
            f"{name}: shares from 0 to {whole} of at least one element, got q={q} of shape {np.shape(a)}"
        )


def _quantile(a: Any, q: Any, axis: Any, keepdims: bool) -> Any:
    rows, reduced = _in_rows(a, axis)
    rows = np.moveaxis(rows, -1, 0)
    place = q * (len(rows) - 1)
    low = np.floor(place).astype(np.intp)
    share = np.reshape(place - low, q.shape + (1,) * (np.ndim(rows) - 1))
    share = share.astype(rows.dtype if rows.dtype.kind == "f" else float)
    value = rows[low] + (rows[np.ceil(place).astype(np.intp)] - rows[low]) * share
    value = np.where(np.isnan(rows[-1]), rows[-1], value)
    return np.expand_dims(value, [q.ndim + k for k in reduced]) if keepdims else value


@composite(np.percentile, samples=_quantile_samples(100), analytic=False, settings=("q",))
def percentile(a: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The value below which q percent of the elements lie."""
    _check_shares("percentile", a, q, 100)
    return _quantile(a, np.asarray(q) / 100, axis, keepdims)


@composite(np.ptp, samples=_median_samples, analytic=False)
def ptp(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The largest element minus the smallest."""
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)
