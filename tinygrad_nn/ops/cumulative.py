"""Running sums and products. Products with zeros have exact gradients: no rule divides by an element."""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_nn.ops.reduction import restore, sum_samples
from tinygrad_nn.primitives.declare import composite, kernel, op


def _samples(rng: np.random.Generator) -> list[Any]:
    choices: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((5,), {}),
        ((3, 4), {}),
        ((3, 4), {"axis": 0}),
        ((2, 3, 4), {"axis": -2}),
        ((1, 3), {"axis": 0}),
        ((3, 3), {"axis": 1}),
        ((0, 2), {"axis": 0}),
        ((), {}),
    ]
    return [((rng.normal(size=shape),), params) for shape, params in choices]


def _from_the_end(function: Any, axis: int, *arrays: Any) -> Any:
    return np.flip(function(*[np.flip(x, axis) for x in arrays], axis=axis), axis)


def _cumsum_rule(g: Any, *, axis: int | None = None) -> Any:
    return _from_the_end(np.cumsum, 0 if axis is None else axis, g)


cumsum = op(
    np.cumsum,
    lambda g, *, shapes, axis=None: np.reshape(_cumsum_rule(g, axis=axis), shapes[0]),
    linear=True,
    samples=_samples,
)


def _at(axis: int, part: Any) -> Any:
    """Return the index of `part` along an axis that is not negative."""
    return (*(slice(None),) * axis, part)


def _shifted(x: Any, axis: int, first: Any) -> Any:
    """Move x one place on along an axis; `first` (a function like np.zeros_like) fills the free place."""
    return np.concatenate([first(x[_at(axis, slice(0, 1))]), x[_at(axis, slice(0, -1))]], axis=axis)


def _term_by_term(a: Any, b: Any, axis: int) -> Any:
    """Sum for each element all earlier ones times the product of the factors in between."""
    a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    y = np.zeros_like(a)
    for k in range(a.shape[-1]):
        for j in range(k + 1):
            y[..., k] += a[..., j] * np.prod(b[..., j + 1 : k + 1], axis=-1)
    return np.moveaxis(y, -1, axis)


@kernel(
    lambda g, b, *, axis: _from_the_end(recurrence, axis, g, np.roll(b, -1, axis)),
    lambda g, b, y, *, axis: (
        _from_the_end(recurrence, axis, g, np.roll(b, -1, axis)) * _shifted(y, axis, np.zeros_like)
    ),
    samples=lambda rng: [
        ((rng.normal(size=shape), rng.normal(size=shape)), {"axis": axis})
        for shape, axis in (((5,), 0), ((3, 4), 0), ((3, 4), 1), ((1, 2), 0), ((0, 2), 0), ((3, 3), 1))
    ],
    reference=lambda a, b, axis: _term_by_term(a, b, axis),
    method=False,
)
def recurrence(a: Any, b: Any, *, axis: int) -> Any:
    """y[k] = a[k] + b[k] * y[k - 1] along an axis, from y[0] = a[0]: cumsum and cumprod are special cases."""
    y = a.astype(np.result_type(a, b))
    rows, factors = np.moveaxis(y, axis, 0), np.moveaxis(b, axis, 0)
    for k in range(1, len(rows)):
        rows[k] += factors[k] * rows[k - 1]
    return y


def _before(x: Any, axis: int) -> Any:
    """Return the product of all elements before each one."""
    return _shifted(np.cumprod(x, axis=axis), axis, np.ones_like)


def _cumprod_rule(g: Any, x: Any, axis: int) -> Any:
    return _before(x, axis) * _from_the_end(recurrence, axis, g, np.roll(x, -1, axis))


cumprod = op(
    np.cumprod,
    lambda g, x, *, shapes, axis=None: np.reshape(
        _cumprod_rule(g, x, axis % len(shapes[0]))
        if axis is not None and shapes[0]
        else _cumprod_rule(g, np.reshape(x, -1), 0),
        shapes[0],
    ),
    samples=_samples,
)


def _others(x: Any, axis: Any) -> Any:
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
    lambda g, x, *, axis=None, keepdims=False: restore(g, axis, keepdims) * _others(x, axis),
    samples=sum_samples,
)


@composite(np.diff, samples=lambda rng: [*_diff_samples(rng)])
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """The difference of neighbours along an axis, n times."""
    axis = normalize_axis_index(axis, np.ndim(a))
    for _ in range(n):
        a = a[_at(axis, slice(1, None))] - a[_at(axis, slice(0, -1))]
    return a


def _diff_samples(rng: np.random.Generator) -> list[Any]:
    return [
        ((rng.normal(size=(3, 4)),), params)
        for params in ({}, {"axis": 0}, {"n": 2}, {"n": 0}, {"axis": -2, "n": 3})
    ]
