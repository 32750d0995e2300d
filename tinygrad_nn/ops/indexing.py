"""Choosing elements: indexing of every NumPy kind, its adjoint, and where.

Index arrays are operands, so that a captured graph gets fresh labels on every run; slices, integers, None and
Ellipsis are parameters. `HOLE` marks in the parameter where an array goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinygrad_nn.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_nn.ops.samples import adjoint, cases, each, integers, mask
from tinygrad_nn.primitives import Array, Sample, composite, kernel, op
from tinygrad_nn.primitives.operands import operand

Index = tuple[Any, ...]


class _Hole:
    def __repr__(self) -> str:
        return "..array.."


HOLE = _Hole()


def split_index(index: object) -> tuple[tuple[Array, ...], Index]:
    """Split an index into its arrays and a template with holes where they go.

    Example:
        >>> arrays, template = split_index((slice(1, 3), [0, 0]))
        >>> arrays, template
        ((array([0, 0]),), (slice(1, 3, None), ..array..))
    """
    parts: Index = index if type(index) is tuple else (index,)
    arrays: list[Array] = []
    template: list[object] = []
    for part in parts:
        if part is None or part is Ellipsis or isinstance(part, (slice, int, np.integer)):
            template.append(part)
        else:
            part = part if hasattr(part, "dtype") else np.asarray(part, None if np.size(part) else np.intp)
            arrays.append(part)
            template.append(HOLE)
    return tuple(arrays), tuple(template)


def _filled(index: Index, arrays: tuple[Array, ...]) -> Index:
    if not arrays:
        return index
    rest = iter(arrays)
    return tuple(next(rest) if part is HOLE else part for part in index)


def along(axis: int, part: object) -> Index:
    """Return the index of `part` along an axis that is not negative."""
    return (*(slice(None),) * axis, part)


def put_back(values: Array, choose: Callable[[Array], Array], shape: tuple[int, ...]) -> Array:
    """Undo, as a reference, what chose elements: choose their numbers instead, and add each value at its number."""
    out = np.zeros(shape, values.dtype)
    numbers = choose(np.arange(out.size).reshape(shape))
    for number, value in zip(np.ravel(numbers), np.ravel(values), strict=True):
        out.flat[number] += value
    return out


_CHOICES = cases(
    [(4, 3), {"index": each((1,), (slice(None, None, -2),), (Ellipsis, None, 1))}],
    [
        (4, 3),
        each(np.array([0, 0, 3]), mask((4, 3)), np.array([True, False, True, True])),
        {"index": (HOLE,)},
    ],
    [(4, 3), np.array([0, 0, 2]), np.array([1, 1, 0]), {"index": (HOLE, HOLE)}],
    [(4, 3), np.array([2, 2]), {"index": (slice(1, 3), HOLE)}],
)


_indexing = partial(kernel, variadic=True, linear=True, promotes=False)


@_indexing(
    lambda g, xs, *, shapes, i, index: scatter(g, *xs[1:], index=index, shape=shapes[0]),
    samples=_CHOICES,
    reference=lambda x, *arrays, index: x[_filled(index, arrays)],
)
def getitem(x: Array, *arrays: Array, index: Index) -> Array:
    """x[index], with the arrays of the index as operands."""
    return x[_filled(index, arrays)]


@_indexing(
    lambda g, xs, *, i, index, shape: getitem(g, *xs[1:], index=index),
    samples=adjoint(_CHOICES, getitem.function, lambda x, index: {"shape": x.shape}),
    reference=lambda g_, *arrays, index, shape: put_back(g_, lambda x: x[_filled(index, arrays)], shape),
)
def scatter(g_: Array, *arrays: Array, index: Index, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with g added wherever the index points, repeats too: the adjoint of getitem."""
    place = _filled(index, arrays)
    # A mask points to each element once. An index is an array or, in np.take(t, 1), a plain integer.
    if all(np.asarray(array).dtype == bool for array in arrays):
        out = np.zeros(shape, g_.dtype)
        out[place] = g_
        return out
    return _added_at(place, g_, shape)


def _added_at(place: Index, values: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with values added at places: many floats in double precision, which a million repeats need."""
    dtype, size = values.dtype, math.prod(shape)
    if dtype.char not in "efd" or (values.size <= _FEW and dtype.char != "e"):
        out = np.zeros(shape, dtype)
        np.add.at(out, place, values)
        return out
    flat = values.ravel().astype(np.float64, copy=False)
    if size <= _SPARSE * values.size:
        # np.add.at is several times faster on one axis than on rows.
        numbers = place[0] if len(shape) == len(place) == 1 else np.arange(size).reshape(shape)[place]
        total = np.zeros(size)
        np.add.at(total, np.ravel(numbers), flat)
        return total.astype(dtype).reshape(shape)
    # Of all values for one place, the one that is written last collects them. Its number is written where the sum
    # will stand: of memory this large, each page costs as much as the sum.
    out = np.zeros(shape, np.result_type(dtype, np.float32))
    last = out.view(f"i{out.itemsize}")
    last[place] = np.arange(values.size).reshape(values.shape)
    collector = last[place]
    total = np.zeros(values.size)
    np.add.at(total, collector.ravel(), flat)
    out[place] = total[collector]
    return out.astype(dtype, copy=False)


_FEW = 64
"""So many values add up in their own precision, with the error of a block of the engine's sums."""
_SPARSE = 4
"""How many times as large as the values a result is, for which only the places that get some are looked at."""


def _condition_and_choices(condition: object, *choices: object, **named: object) -> Sample:
    """Read a call of where; NumPy has another function, one of the values, under the same name."""
    choices = (*choices, *named.values())
    if len(choices) != 2:
        raise ArgumentError(
            f"where: needs a condition and two choices, got {1 + len(choices)} arguments\n"
            "  hint   np.where(condition, a, b); for the indices where it holds, np.nonzero(condition)"
        )
    return (condition, *choices), {}


where = op(
    np.where,
    None,
    lambda g, a: np.where(a, g, 0),
    lambda g, a: np.where(a, 0, g),
    linear=True,
    samples=cases(
        [mask((3, 4)), (3, 4), (3, 4), {}, mask((3, 4)), (4,), (3, 1), {}, mask((4,)), (3, 4), ()],
        [mask(()), (), (1, 2), {}, mask((0, 4)), (0, 4), (4,)],
    ),
    adapt=_condition_and_choices,
)
take = op(
    np.take,
    lambda g, b, *, shapes, axis=None: put(g, b, shapes[0], axis),
    None,
    linear=True,
    samples=cases(
        [(3, 4), np.array([0, 2, 2]), {"axis": 0}, (3, 4), np.array([[0, -1], [1, 1]]), {"axis": -1}],
        [(3,), np.zeros(0, np.int64), {"axis": 0}, (2, 3, 4), np.array(1), {"axis": 1}],
        [(3, 4), np.array([0, 11, 11])],
    ),
    method=True,
)


def put(g: Array, indices: Array, shape: tuple[int, ...], axis: int | None) -> Array:
    """Add slices of g to zeros of `shape`, where the indices along an axis say: the adjoint of take."""
    if axis is None or not shape:
        return np.reshape(scatter(g, indices, index=(HOLE,), shape=(math.prod(shape),)), shape)
    return scatter(g, indices, index=along(axis % len(shape), HOLE), shape=shape)


_ALONG = cases(
    [(3, 4), integers(-3, 3, (2, 4)), {"axis": 0}, (3, 4), integers(-4, 4, (3, 6)), {"axis": -1}],
    [(2, 3, 4), integers(-3, 3, (2, 1, 4)), {"axis": 1}, (1, 4), integers(-4, 4, (3, 2)), {"axis": 1}],
    [(1, 2), integers(-2, 2, (1, 0)), {"axis": 1}, (5,), integers(-5, 5, (3,)), {"axis": 0}],
)
take_along_axis = op(
    np.take_along_axis,
    lambda g, b, *, shapes, axis=-1: (
        np.reshape(add_along_axis(g, b, length=math.prod(shapes[0]), axis=0), shapes[0])
        if axis is None
        else add_along_axis(g, b, length=shapes[0][axis], axis=axis)
    ),
    None,
    linear=True,
    samples=_ALONG,
    method=True,
)


@kernel(
    lambda g, indices, *, length, axis: np.take_along_axis(g, indices, axis=axis),
    None,
    linear=True,
    samples=adjoint(_ALONG, np.take_along_axis, lambda x, axis: {"length": x.shape[axis]}),
    reference=lambda values, indices, length, axis: put_back(
        values,
        lambda x: np.take_along_axis(x, np.broadcast_to(indices, values.shape), axis),
        _with_length(values.shape, axis, length),
    ),
)
def add_along_axis(values: Array, indices: Array, *, length: int, axis: int) -> Array:
    """Zeros with the values added where the indices say: the adjoint of take_along_axis."""
    place = list(np.ogrid[tuple(slice(k) for k in values.shape)])
    place[axis] = indices
    return _added_at(tuple(place), values, _with_length(values.shape, axis, length))


def _with_length(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    return (*shape[:axis], length, *shape[axis:][1:])


def _writes(rng: np.random.Generator) -> list[Sample]:
    calls: list[Sample] = []
    for (x, *arrays), params in _CHOICES(rng):
        shape = x[_filled(params["index"], tuple(arrays))].shape
        calls += [((x, rng.normal(size=k), *arrays), params) for k in (shape, shape[-1:])]
    return calls


def fits_into(values: np.dtype[Any], dtype: np.dtype[Any]) -> None:
    """Raise `DtypeError` for floating values that would be cut to integers."""
    if values.kind == "f" and dtype.kind != "f":
        raise DtypeError(
            f"at: floating values would be cut to {dtype}\n  hint   t.astype(float).at[index].set(values)"
        )


def _one_by_one(x: Array, values: Array, *arrays: Array, index: Index) -> Array:
    out = x.copy()
    numbers = np.arange(x.size).reshape(x.shape)[_filled(index, arrays)]
    for number, value in zip(
        np.ravel(numbers), np.ravel(np.broadcast_to(values, numbers.shape)), strict=True
    ):
        out.flat[number] = value
    return out


@_indexing(
    lambda g, xs, *, i, index: (
        get_written(g, *xs[2:], index=index) if i else set_at(g, np.zeros((), g.dtype), *xs[2:], index=index)
    ),
    samples=_writes,
    reference=_one_by_one,
    analytic=False,
    method=False,
)
def set_at(x: Array, values: Array, *arrays: Array, index: Index) -> Array:
    """A copy of x with x[index] = values; where the index repeats, the last value stays."""
    fits_into(np.result_type(values), x.dtype)
    out = x.copy()
    out[_filled(index, arrays)] = values
    return out


def _last_ones(x: Array, *arrays: Array, index: Index) -> Array:
    places = np.arange(x.size).reshape(x.shape)[_filled(index, arrays)]
    flat = places.ravel().tolist()
    lasts = [place not in flat[k + 1 :] for k, place in enumerate(flat)]
    return x.ravel()[places] * np.reshape(lasts, places.shape)


@_indexing(
    lambda g, xs, *, shapes, i, index: set_at(np.zeros(shapes[0], g.dtype), g, *xs[1:], index=index),
    samples=_CHOICES,
    reference=_last_ones,
    method=False,
)
def get_written(x: Array, *arrays: Array, index: Index) -> Array:
    """x[index], and 0 where a later element has the same place: the adjoint of writing with set_at."""
    place = _filled(index, arrays)
    picked = x[place]
    order = np.arange(picked.size).reshape(picked.shape)
    last = np.zeros(x.shape, order.dtype)
    last[place] = order
    return np.where(last[place] == order, picked, np.zeros((), x.dtype))


def _conditions(condlist: Any) -> list[Array]:
    conditions = [operand(c) for c in condlist]
    for condition in conditions:
        if condition.dtype != np.dtype(bool):
            raise DtypeError("select: conditions are boolean\n  hint   np.select([x > 0, x > 1], ...)")
    return conditions


@composite(
    np.select,
    # Conditions that choose something, whatever is drawn: an operand that nothing is taken of is refused by the checks.
    samples=cases(
        [[np.tri(3, 4) > 0, np.arange(4) > 1], [(3, 4), (3, 1)], {}, {"default": 2.5}],
        [[np.arange(3) > 1], [(3,)], (), {}, [np.tri(2, 3) > 0], [(3,)]],
    ),
    settings=("condlist",),
)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Array:
    """Of several arrays, elements of the first whose condition holds, and a default where none does."""
    conditions = _conditions(condlist)
    if not conditions or len(conditions) != len(choicelist):
        raise ShapeError(
            f"select: as many choices as conditions, at least one; got {len(choicelist)} and {len(conditions)}"
        )
    for condition, choice in zip(reversed(conditions), reversed(choicelist), strict=True):
        default = np.where(condition, choice, default)
    return default


def _pieces(rng: np.random.Generator) -> list[Sample]:
    table, row = rng.normal(size=(3, 4)), rng.normal(size=5)
    return [
        ((table, [table < -0.5, table > 0.5], [np.sin, 0.5, np.square]), {}),
        ((row, row > row.min(), [np.exp]), {}),
        ((np.array(rng.normal()), [True], [np.exp]), {}),
    ]


@composite(
    np.piecewise,
    samples=_pieces,
    settings=("condlist",),
)
def piecewise(x: Array, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Array:
    """A function given in pieces: of each, called with the elements for which its condition holds, or a constant."""
    single = not isinstance(condlist, (list, tuple)) and np.ndim(condlist) <= np.ndim(x)
    if single or (not np.ndim(condlist[0]) and np.ndim(x)):
        condlist = [condlist]
    conditions = [np.asarray(c) if isinstance(c, (bool, list, tuple)) else c for c in condlist]
    if len(funclist) == len(conditions) + 1:
        rest = np.logical_not(conditions[0])
        for condition in conditions[1:]:
            rest = np.logical_and(rest, np.logical_not(condition))
        conditions.append(rest)
    if len(funclist) != len(conditions):
        raise ShapeError(
            f"piecewise: {len(conditions)} conditions take as many functions, got {len(funclist)}"
        )
    y = np.zeros_like(x)
    for condition, function in zip(conditions, funclist, strict=True):
        piece = getitem(x, condition, index=(HOLE,))
        values = function(piece, *args, **kw) if callable(function) and np.size(piece) else function
        if not callable(values):
            y = set_at(y, values, condition, index=(HOLE,))
    return y
