"""Choosing elements: indexing of every NumPy kind, its adjoint, and where.

Index arrays are operands, so that a captured graph gets fresh labels on every run; slices, integers, None and
Ellipsis are parameters. `HOLE` marks in the parameter where an array goes.
"""

import math
from typing import Any

import numpy as np

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.primitives.declare import kernel, op


class _Hole:
    def __repr__(self) -> str:
        return "..array.."


HOLE = _Hole()


def split_index(index: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Split an index into its arrays and a template with holes where they go.

    Example:
        >>> arrays, template = split_index((slice(1, 3), [0, 0]))
        >>> arrays, template
        ((array([0, 0]),), (slice(1, 3, None), ..array..))
    """
    parts = index if type(index) is tuple else (index,)
    arrays: list[Any] = []
    template: list[Any] = []
    for part in parts:
        if part is None or part is Ellipsis or isinstance(part, (slice, int, np.integer)):
            template.append(part)
        else:
            part = part if hasattr(part, "dtype") else np.asarray(part, None if np.size(part) else np.intp)
            arrays.append(part)
            template.append(HOLE)
    return tuple(arrays), tuple(template)


def _filled(index: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    if not arrays:
        return index
    rest = iter(arrays)
    return tuple(next(rest) if part is HOLE else part for part in index)


def _distinct(arrays: tuple[Any, ...]) -> bool:
    return all(np.asarray(array).dtype == bool for array in arrays)  # np.take(t, 1) has a plain integer


def _index_samples(rng: np.random.Generator) -> list[Any]:
    x = rng.normal(size=(4, 3))
    indices: list[Any] = [
        1,
        slice(None, None, -2),
        (Ellipsis, None, 1),
        np.array([0, 0, 3]),
        (np.array([0, 0, 2]), np.array([1, 1, 0])),
        (slice(1, 3), np.array([2, 2])),
        x > 0,
        np.array([True, False, True, True]),
    ]
    parts = [split_index(index) for index in indices]
    return [((x, *arrays), {"index": template}) for arrays, template in parts]


@kernel(
    lambda g, xs, *, shapes, i, index: scatter(g, *xs[1:], index=index, shape=shapes[0]),
    variadic=True,
    linear=True,
    samples=_index_samples,
    reference=lambda x, *arrays, index: x[_filled(index, arrays)],
    method=False,
    promotes=False,
)
def getitem(x: Any, *arrays: Any, index: tuple[Any, ...]) -> Any:
    """x[index], with the arrays of the index as operands."""
    return x[_filled(index, arrays)]


def _scatter_samples(rng: np.random.Generator) -> list[Any]:
    calls = []
    for (x, *arrays), params in _index_samples(rng):
        g = rng.normal(size=x[_filled(params["index"], tuple(arrays))].shape)
        calls.append(((g, *arrays), {"index": params["index"], "shape": x.shape}))
    return calls


def _one_by_one(g_: Any, *arrays: Any, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    places = np.arange(np.prod(shape, dtype=int)).reshape(shape)[_filled(index, arrays)]
    out = np.zeros(shape, g_.dtype)
    for place, value in zip(np.ravel(places), g_.ravel(), strict=True):
        out.flat[place] += value
    return out


@kernel(
    lambda g, xs, *, i, index, shape: getitem(g, *xs[1:], index=index),
    variadic=True,
    linear=True,
    samples=_scatter_samples,
    reference=_one_by_one,
    method=False,
    promotes=False,
)
def scatter(g_: Any, *arrays: Any, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with g added wherever the index points, repeats too: the adjoint of getitem."""
    out = np.zeros(shape, g_.dtype)
    place = _filled(index, arrays)
    if _distinct(arrays):
        out[place] = g_
    else:
        np.add.at(out, place, g_)
    return out


def _where_samples(rng: np.random.Generator) -> list[Any]:
    mask = rng.normal(size=(3, 4)) > 0
    return [
        ((mask, rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {}),
        ((mask, rng.normal(size=4), rng.normal(size=(3, 1))), {}),
        ((mask[0], rng.normal(size=(3, 4)), rng.normal(size=())), {}),
        ((mask[0, 0], rng.normal(size=()), rng.normal(size=(1, 2))), {}),
        ((mask[:0], rng.normal(size=(0, 4)), rng.normal(size=4)), {}),
    ]


def _choices(condition: Any, *choices: Any, **named: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
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
    samples=_where_samples,
    adapt=_choices,
    method=False,
)

take = op(
    np.take,
    lambda g, b, *, shapes, axis=None: put(g, b, shapes[0], axis),
    None,
    linear=True,
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)), np.array([0, 2, 2])), {"axis": 0}),
        ((rng.normal(size=(3, 4)), np.array([[0, -1], [1, 1]])), {"axis": -1}),
        ((rng.normal(size=(3, 4)), np.array([0, 11, 11])), {}),
        ((rng.normal(size=(2, 3, 4)), np.array(1)), {"axis": 1}),
        ((rng.normal(size=(3,)), np.zeros(0, np.int64)), {"axis": 0}),
    ],
    method=True,
)


def put(g: Any, indices: Any, shape: tuple[int, ...], axis: int | None) -> Any:
    if axis is None:
        flat = scatter(g, indices, index=(HOLE,), shape=(int(np.prod(shape)),))
        return np.reshape(flat, shape)
    place = (slice(None),) * (axis % len(shape)) + (HOLE,)
    return scatter(g, indices, index=place, shape=shape)


def _along_samples(rng: np.random.Generator) -> list[Any]:
    cases = [
        ((3, 4), (2, 4), 0),
        ((3, 4), (3, 6), -1),
        ((2, 3, 4), (2, 1, 4), 1),
        ((1, 4), (3, 2), 1),
        ((5,), (3,), 0),
        ((1, 2), (1, 0), 1),
    ]
    return [
        ((rng.normal(size=shape), rng.integers(-shape[axis], shape[axis], size=indices)), {"axis": axis})
        for shape, indices, axis in cases
    ]


take_along_axis = op(
    np.take_along_axis,
    lambda g, b, *, shapes, axis=-1: (
        np.reshape(add_along_axis(g, b, length=math.prod(shapes[0]), axis=0), shapes[0])
        if axis is None
        else add_along_axis(g, b, length=shapes[0][axis], axis=axis)
    ),
    None,
    linear=True,
    samples=_along_samples,
    method=True,
)


def _one_hot_sum(values: Any, indices: Any, length: int, axis: int) -> Any:
    rows = np.moveaxis(values, axis, -1)
    places = np.moveaxis(np.broadcast_to(indices, values.shape), axis, -1)
    return np.moveaxis((rows[..., None] * np.eye(length)[places]).sum(axis=-2), -1, axis)


def _add_along_samples(rng: np.random.Generator) -> list[Any]:
    calls = []
    for (x, indices), params in _along_samples(rng):
        g = rng.normal(size=np.take_along_axis(x, indices, **params).shape)
        calls.append(((g, indices), params | {"length": x.shape[params["axis"]]}))
    return calls


@kernel(
    lambda g, indices, *, length, axis: np.take_along_axis(g, indices, axis=axis),
    None,
    linear=True,
    samples=_add_along_samples,
    reference=lambda values, indices, length, axis: _one_hot_sum(values, indices, length, axis),
    method=False,
)
def add_along_axis(values: Any, indices: Any, *, length: int, axis: int) -> Any:
    """Zeros with the values added where the indices say: the adjoint of take_along_axis."""
    out = np.zeros((*values.shape[:axis], length, *values.shape[axis:][1:]), values.dtype)
    rows = np.moveaxis(np.broadcast_to(indices, values.shape), axis, 0)
    places = np.ogrid[tuple(slice(k) for k in rows.shape)]
    np.add.at(np.moveaxis(out, axis, 0), (rows, *places[1:]), np.moveaxis(values, axis, 0))
    return out
