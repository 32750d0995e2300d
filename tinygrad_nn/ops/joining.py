"""Several arrays put together, and one taken apart."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.primitives.declare import composite, op


def _part(g: Any, *, i: int, shapes: Any, axis: int = 0) -> Any:
    """The slice of g that came from operand i."""
    rank = len(shapes[i])
    start = sum(shape[axis] for shape in shapes[:i])
    index = [slice(None)] * rank
    index[axis] = slice(start, start + shapes[i][axis])
    return g[tuple(index)]


def _several(*shapes: tuple[int, ...], **params: Any) -> Any:
    return lambda rng: [(tuple(rng.normal(size=shape) for shape in shapes), params)]


def _sequence(arrays: Any, axis: int = 0, **other: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(arrays), {"axis": axis, **other} if axis != 0 else other


concatenate = op(
    np.concatenate,
    _part,
    call=lambda *arrays, **params: np.concatenate(arrays, **params),
    variadic=True,
    adapt=_sequence,
    linear=True,
    samples=lambda rng: [
        *_several((2, 3), (1, 3), (0, 3))(rng),
        *_several((2, 3), (2, 1), axis=-1)(rng),
    ],
)
stack = op(
    np.stack,
    lambda g, *, i, axis=0: np.take(g, i, axis=axis),
    call=lambda *arrays, **params: np.stack(arrays, **params),
    variadic=True,
    adapt=_sequence,
    linear=True,
    samples=lambda rng: [*_several((2, 3), (2, 3))(rng), *_several((2, 3), (2, 3), (2, 3), axis=-1)(rng)],
)


def _lists(*shapes: tuple[int, ...]) -> Any:
    return lambda rng: [(([rng.normal(size=shape) for shape in shapes],), {})]


@composite(np.hstack, samples=lambda rng: [*_lists((2, 1), (2, 3))(rng), *_lists((2,), (), (3,))(rng)])
def hstack(tup: Any) -> Any:
    """Arrays one beside the other: along the second axis, vectors along their only one."""
    arrays = [np.reshape(x, -1) if np.ndim(x) == 0 else x for x in tup]
    return np.concatenate(arrays, axis=0 if np.ndim(arrays[0]) == 1 else 1)


def _as_rows(x: Any) -> Any:
    return np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x


@composite(np.vstack, samples=lambda rng: [*_lists((1, 2), (3, 2))(rng), *_lists((3,), (3,))(rng)])
def vstack(tup: Any) -> Any:
    """Arrays one above the other; vectors become rows."""
    return np.concatenate([_as_rows(x) for x in tup], axis=0)


@composite(np.column_stack, samples=lambda rng: [*_lists((3,), (3, 2))(rng)])
def column_stack(tup: Any) -> Any:
    """Arrays one beside the other; vectors become columns."""
    return np.concatenate([np.reshape(x, (-1, 1)) if np.ndim(x) < 2 else x for x in tup], axis=1)


@composite(np.dstack, samples=lambda rng: [*_lists((3,), (3,))(rng), *_lists((2, 3), (2, 3, 2))(rng)])
def dstack(tup: Any) -> Any:
    """Arrays one behind the other, along the third axis."""
    return np.concatenate([x if np.ndim(x) > 2 else _as_rows(x)[..., None] for x in tup], axis=2)


def _pieces(x: Any, bounds: list[int], axis: int) -> list[Any]:
    ends = [0, *bounds, np.shape(x)[axis]]
    return [x[(*(slice(None),) * axis, slice(low, high))] for low, high in pairwise(ends)]


def _split_samples(*sections: Any) -> Any:
    return lambda rng: [((rng.normal(size=(4, 6)), sections), {"axis": axis}) for sections, axis in sections]


_SECTIONS: Any = ((2, 0), (3, -1), ([1, 3], 0), ([2, 2, 5], 1), ([], 0))


@composite(np.array_split, samples=_split_samples(*_SECTIONS, (3, 0), (4, 1), (5, 0)))
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Parts of an array along an axis: cut at the given places, or into that many of nearly equal length."""
    axis = normalize_axis_index(axis, np.ndim(ary))
    if np.ndim(indices_or_sections):
        bounds = [int(k) for k in indices_or_sections]
    else:
        parts = int(indices_or_sections)
        if parts < 1:
            raise ValueError(f"split: the number of sections is positive, got {parts}")
        each, extra = divmod(np.shape(ary)[axis], parts)
        bounds = [k * each + min(k, extra) for k in range(1, parts)]
    return _pieces(ary, bounds, axis)


@composite(np.split, samples=_split_samples(*_SECTIONS))
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Parts of an array along an axis: cut at the given places, or into that many of equal length."""
    length = np.shape(ary)[axis]
    if not np.ndim(indices_or_sections) and indices_or_sections > 0 and length % indices_or_sections:
        raise ShapeError(
            f"split: {length} elements along axis {axis} of {np.shape(ary)} make no {indices_or_sections} "
            f"equal parts\n  hint   np.array_split(t, {indices_or_sections}, axis={axis})"
        )
    return array_split(ary, indices_or_sections, axis)
