"""Reductions of some elements only, from a start, or in another dtype: the keywords where, initial and dtype."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.ops.shape import astype
from tinygrad_nn.primitives import Array, Axis, Function, Mask, Params, Shape, composite

_SOME = np.arange(12).reshape(3, 4) % 7 < 5
_MASKED: list[Params] = [
    *({"axis": axis, "where": _SOME, "keepdims": keepdims} for axis in (0, -1) for keepdims in (False, True)),
    {"where": _SOME},
    {"axis": 0, "where": _SOME[:, 1:2]},
]
_STARTED = [each((3, 4), (0, 4)), {"axis": 0, "initial": 0.5}, {"initial": 2.0}]
WHERE = cases([(3, 4), *_MASKED])
_both = cases([(3, 4), *_MASKED, {"axis": 0, "initial": 0.5, "where": _SOME[0]}], _STARTED)


def _mask(where: Mask, shape: Shape) -> Mask:
    """Return a mask in the shape of the elements that it is for."""
    try:
        fits = np.broadcast_shapes(np.shape(where), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"where= of shape {np.shape(where)} does not broadcast to the elements, of shape {shape}"
        )
    return np.broadcast_to(where, shape)


def kept(a: Array, where: Mask, rest: float, dtype: DTypeLike | None = None) -> Array:
    """Return an array in a dtype with `rest` in place of the elements that do not count."""
    if dtype is not None:
        a = astype(a, dtype=dtype)
    return a if where is True else np.where(_mask(where, np.shape(a)), a, rest)


def how_many(a: Array, where: Mask, axis: Axis, keepdims: bool) -> Array:
    """Return how many elements count in a reduction over `axis`."""
    return np.sum(_mask(where, np.shape(a)), axis=axis, keepdims=keepdims)


@composite(name="sum_of_some", reference=np.sum, samples=_both)
def sum_of_some(
    a: Array,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dtype: DTypeLike | None = None,
    initial: float = 0,
    where: Mask = True,
) -> Array:
    """The sum of the elements that count, and of a start."""
    return np.sum(kept(a, where, 0, dtype), axis=axis, keepdims=keepdims) + initial


@composite(name="prod_of_some", reference=np.prod, samples=_both)
def prod_of_some(
    a: Array,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dtype: DTypeLike | None = None,
    initial: float = 1,
    where: Mask = True,
) -> Array:
    """The product of the elements that count, and of a start."""
    return np.prod(kept(a, where, 1, dtype), axis=axis, keepdims=keepdims) * initial


@composite(name="mean_of_some", reference=np.mean, samples=WHERE)
def mean_of_some(
    a: Array, axis: Axis = None, keepdims: bool = False, *, dtype: DTypeLike | None = None, where: Mask = True
) -> Array:
    """The mean of the elements that count."""
    half = a.dtype == np.float16 and dtype is None
    total = np.sum(kept(a, where, 0, np.float32 if half else dtype), axis=axis, keepdims=keepdims)
    y = total / how_many(a, where, axis, keepdims)
    return astype(y, dtype=a.dtype) if half else y


def _extremum(name: str, function: Function, larger: Function) -> Function:
    @composite(
        name=f"{name}_of_some",
        reference=function,
        samples=cases(_STARTED, [(3, 4), *({"initial": 0.25} | call for call in _MASKED)]),
        analytic=False,
    )
    def of_some(
        a: Array,
        axis: Axis = None,
        keepdims: bool = False,
        *,
        initial: float | None = None,
        where: Mask = True,
    ) -> Array:
        if initial is None:
            raise SettingError(
                f"{name}: with where=, nothing may be left to choose from\n  hint   initial=..., what it is then"
            )
        if not np.size(a):
            return sum_of_some(a, axis, keepdims, initial=initial)
        return larger(function(kept(a, where, initial), axis=axis, keepdims=keepdims), initial)

    return of_some


max_of_some = _extremum("max", np.max, np.maximum)
min_of_some = _extremum("min", np.min, np.minimum)

_truth = partial(
    composite, samples=cases([_SOME.T, *({"where": _SOME.T[:, 1:2], "axis": k} for k in (None, 0, 1))])
)


@_truth(name="all_of_some", reference=np.all, differentiable=False)
def all_of_some(a: Array, axis: Axis = None, keepdims: bool = False, *, where: Mask) -> Array:
    """Whether all elements that count are true."""
    return np.all(kept(a, where, True), axis=axis, keepdims=keepdims)


@_truth(name="any_of_some", reference=np.any, differentiable=False)
def any_of_some(a: Array, axis: Axis = None, keepdims: bool = False, *, where: Mask) -> Array:
    """Whether an element that counts is true."""
    return np.any(kept(a, where, False), axis=axis, keepdims=keepdims)
