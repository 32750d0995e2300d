"""Running sums and products. Products with zeros have exact gradients: no rule divides by an element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import DTypeLike

from tinygrad_nn.errors import SettingError
from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.ops.indexing import along
from tinygrad_nn.ops.reduction import restore
from tinygrad_nn.ops.samples import REDUCTIONS, SCALAR, cases, each
from tinygrad_nn.ops.shape import astype
from tinygrad_nn.ops.some import kept, prod_of_some
from tinygrad_nn.primitives import Array, Axis, composite, kernel, op

_CALLS = cases(
    [each((3, 4), (1, 3), (0, 2)), {"axis": 0}, (3, 3), {"axis": 1}, (2, 3, 4), {"axis": -2}],
    [each((5,), (3, 4), ())],
)


def _from_the_end(function: Callable[..., Array], axis: int, *arrays: Array) -> Array:
    return np.flip(function(*[np.flip(x, axis) for x in arrays], axis=axis), axis)


@composite(name="cumsum_in_dtype", reference=np.cumsum, samples=_CALLS)
def cumsum_in(a: Array, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Array:
    """The running sums in another dtype."""
    return np.cumsum(kept(a, True, 0, dtype), axis=axis)


@composite(name="cumprod_in_dtype", reference=np.cumprod, samples=_CALLS)
def cumprod_in(a: Array, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Array:
    """The running products in another dtype."""
    return np.cumprod(kept(a, True, 1, dtype), axis=axis)


cumsum = op(
    np.cumsum,
    lambda g, *, shapes, axis=None: np.reshape(_from_the_end(np.cumsum, axis or 0, g), shapes[0]),
    linear=True,
    samples=_CALLS,
    otherwise=cumsum_in,
    formula="sums_from_the_end(g)",
)


def _shifted(x: Array, axis: int, first: Callable[[Array], Array]) -> Array:
    """Move x one place on along an axis; `first` (a function like np.zeros_like) fills the free place."""
    return np.concatenate([first(x[along(axis, slice(0, 1))]), x[along(axis, slice(0, -1))]], axis=axis)


def _term_by_term(a: Array, b: Array, axis: int) -> Array:
    """Sum for each element all earlier ones times the product of the factors in between."""
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    y = np.zeros_like(a)
    for k in range(len(a)):
        y[k] = sum(a[j] * np.prod(b[j + 1 : k + 1], axis=0) for j in range(k + 1))
    return np.moveaxis(y, 0, axis)


@kernel(
    lambda g, b, *, axis: _from_the_end(recurrence, axis, g, np.roll(b, -1, axis)),
    lambda g, b, y, *, axis: (
        _from_the_end(recurrence, axis, g, np.roll(b, -1, axis)) * _shifted(y, axis, np.zeros_like)
    ),
    samples=cases(
        *([shape, shape, {"axis": 0}] for shape in ((5,), (3, 4), (1, 2), (0, 2))),
        *([shape, shape, {"axis": 1}] for shape in ((3, 4), (3, 3))),
    ),
    reference=_term_by_term,
)
def recurrence(a: Array, b: Array, *, axis: int) -> Array:
    """y[k] = a[k] + b[k] * y[k - 1] along an axis, from y[0] = a[0]: cumsum and cumprod are special cases."""
    y = a.astype(np.result_type(a, b))
    rows, factors = np.moveaxis(y, axis, 0), np.moveaxis(b, axis, 0)
    for k in range(1, len(rows)):
        rows[k] += factors[k] * rows[k - 1]
    return y


def _before(x: Array, axis: int) -> Array:
    """Return the product of all elements before each one."""
    return _shifted(np.cumprod(x, axis=axis), axis, np.ones_like)


def _cumprod_rule(g: Array, x: Array, axis: int | None) -> Array:
    if axis is None or not np.ndim(x):
        x, axis = np.reshape(x, -1), 0
    axis %= np.ndim(x)
    return _before(x, axis) * _from_the_end(recurrence, axis, g, np.roll(x, -1, axis))


cumprod = op(
    np.cumprod,
    lambda g, x, *, shapes, axis=None: np.reshape(_cumprod_rule(g, x, axis), shapes[0]),
    samples=_CALLS,
    otherwise=cumprod_in,
    formula="sums_from_the_end(g * y) / x",
)


def others(x: Array, axis: Axis) -> Array:
    """Return, for each element, the product of all others that a product over `axis` brings together."""
    shape, rank = np.shape(x), np.ndim(x)
    axes = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = tuple(k % rank for k in axes) if rank else ()
    if not reduced or not np.size(x):
        return np.ones_like(x)
    order = (*reduced, *[k for k in range(rank) if k not in reduced])
    moved = np.transpose(x, order)
    rows = np.reshape(moved, (-1, *[shape[k] for k in order[len(reduced) :]]))
    products = _before(rows, 0) * np.flip(_before(np.flip(rows, 0), 0), 0)
    return np.transpose(np.reshape(products, np.shape(moved)), [order.index(k) for k in range(rank)])


prod = op(
    np.prod,
    lambda g, x, *, axis=None, keepdims=False: product(restore(g, axis, keepdims), others(x, axis)),
    otherwise=prod_of_some,
    samples=cases(*REDUCTIONS, SCALAR),
)


def _edge(a: Array, values: Any, axis: int) -> Array:
    """Return values before or after an array as one of its rank; a number stands for a whole slice."""
    if np.ndim(values):
        return values
    slices: Array = np.broadcast_to(values, (*np.shape(a)[:axis], 1, *np.shape(a)[axis + 1 :]))
    return astype(slices, dtype=a.dtype) if a.dtype.kind == "f" else slices


@composite(
    np.diff,
    samples=cases(
        [(3, 4), {}, {"axis": 0}, {"n": each(2, 0)}, {"axis": -2, "n": 3}, {"prepend": 0.5, "append": 2}],
        [(3, 4), 2, 0, (2, 4), (1, 4), {}, (5,), 1, -1, ()],
    ),
)
def diff(a: Array, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    """The difference of neighbours along an axis, n times; of what is put before and after the elements too."""
    axis = normalize_axis_index(axis, np.ndim(a))
    if n < 0:
        raise SettingError(f"diff: n is how many times, got {n}")
    before, after = ([] if part is None else [_edge(a, part, axis)] for part in (prepend, append))
    if before or after:
        a = np.concatenate([*before, a, *after], axis=axis)
    for _ in range(n):
        a = a[along(axis, slice(1, None))] - a[along(axis, slice(0, -1))]
    return a
