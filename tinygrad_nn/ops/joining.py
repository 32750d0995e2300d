"""Several arrays put together, and one taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.ops.indexing import along
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, Sample, Shapes, composite, op

_latest: tuple[Shapes, int, list[int]] = ((), 0, [])


def _bounds(shapes: Shapes, axis: int) -> list[int]:
    """Return where arrays start and end in their concatenation; found once for all operands of a call."""
    global _latest
    known, axis_of_known, bounds = _latest
    if known is not shapes or axis_of_known != axis:
        bounds = list(accumulate((shape[axis] for shape in shapes), initial=0))
        _latest = shapes, axis, bounds
    return bounds


def _part(g: Array, *, i: int, shapes: Shapes, axis: int = 0) -> Array:
    """The slice of g that came from operand i."""
    bounds = _bounds(shapes, axis)
    return g[along(axis % len(shapes[i]), slice(bounds[i], bounds[i + 1]))]


def _sequence(arrays: Iterable[Array], axis: int = 0, **other: object) -> Sample:
    return tuple(arrays), {"axis": axis, **other} if axis != 0 else other


def _flat_or_along(arrays: Iterable[Array], axis: int | None = 0, **other: object) -> Sample:
    if axis is None:
        return tuple(np.ravel(x) for x in arrays), other
    return _sequence(arrays, axis, **other)


_of_arrays = partial(op, variadic=True, linear=True, formula="its_part(g)")
concatenate = _of_arrays(
    np.concatenate,
    _part,
    adapt=_flat_or_along,
    call=lambda *arrays, **params: np.concatenate(arrays, **params),
    samples=cases([(2, 3), (2, 1), {"axis": -1}, (2, 3), (1, 3), (0, 3)]),
)
stack = _of_arrays(
    np.stack,
    lambda g, *, i, axis=0: np.take(g, i, axis=axis),
    adapt=_sequence,
    call=lambda *arrays, **params: np.stack(arrays, **params),
    samples=cases([(2, 3), (2, 3), (2, 3), {"axis": -1}, (2, 3), (2, 3)]),
)


@composite(np.hstack, samples=cases([each([(2, 1), (2, 3)], [(2,), (), (3,)])]))
def hstack(tup: Sequence[Array]) -> Array:
    """Arrays one beside the other: along the second axis, vectors along their only one."""
    arrays = [np.reshape(x, -1) if np.ndim(x) == 0 else x for x in tup]
    return np.concatenate(arrays, axis=0 if np.ndim(arrays[0]) == 1 else 1)


def as_rows(x: Array) -> Array:
    """A matrix of one row for a vector or a scalar; what has rows already stays as it is."""
    return np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x


@composite(np.vstack, samples=cases([each([(1, 2), (3, 2)], [(3,), (3,)])]))
def vstack(tup: Sequence[Array]) -> Array:
    """Arrays one above the other; vectors become rows."""
    return np.concatenate([as_rows(x) for x in tup], axis=0)


@composite(np.column_stack, samples=cases([[(3,), (3, 2)]]))
def column_stack(tup: Sequence[Array]) -> Array:
    """Arrays one beside the other; vectors become columns."""
    return np.concatenate([np.reshape(x, (-1, 1)) if np.ndim(x) < 2 else x for x in tup], axis=1)


@composite(np.dstack, samples=cases([each([(3,), (3,)], [(2, 3), (2, 3, 2)])]))
def dstack(tup: Sequence[Array]) -> Array:
    """Arrays one behind the other, along the third axis."""
    return np.concatenate([x if np.ndim(x) > 2 else as_rows(x)[..., None] for x in tup], axis=2)


_PARTS = [(4, 6), each(2, [1, 3], []), {"axis": 0}, (4, 6), 3, {"axis": -1}, (4, 6), [2, 2, 5], {"axis": 1}]


Cuts: TypeAlias = Any
"""Into how many parts, an integer, or where to cut, a sequence of them."""


@composite(np.array_split, samples=cases(_PARTS, [(4, 6), each(3, 5), {"axis": 0}, (4, 6), 4, {"axis": 1}]))
def array_split(ary: Array, indices_or_sections: Cuts, axis: int = 0) -> list[Array]:
    """Parts of an array along an axis: cut at the given places, or into that many of nearly equal length."""
    axis = normalize_axis_index(axis, np.ndim(ary))
    length = np.shape(ary)[axis]
    if np.ndim(indices_or_sections):
        bounds = [int(k) for k in indices_or_sections]
    else:
        parts = int(indices_or_sections)
        if parts < 1:
            raise SettingError(f"split: the number of sections is positive, got {parts}")
        each_, extra = divmod(length, parts)
        bounds = [k * each_ + min(k, extra) for k in range(1, parts)]
    return [ary[along(axis, slice(low, high))] for low, high in pairwise([0, *bounds, length])]


@composite(np.split, samples=cases(_PARTS))
def split(ary: Array, indices_or_sections: Cuts, axis: int = 0) -> list[Array]:
    """Parts of an array along an axis: cut at the given places, or into that many of equal length."""
    length = np.shape(ary)[axis]
    if not np.ndim(indices_or_sections) and indices_or_sections > 0 and length % indices_or_sections:
        raise ShapeError(
            f"split: {length} elements along axis {axis} of {np.shape(ary)} make no {indices_or_sections} "
            f"equal parts\n  hint   np.array_split(t, {indices_or_sections}, axis={axis})"
        )
    return array_split(ary, indices_or_sections, axis)


def _split_along(ary: Array, indices_or_sections: Cuts, axis: int, name: str) -> list[Array]:
    if np.ndim(ary) <= axis:
        raise ShapeError(f"{name}: needs {axis + 1} axes, got shape {np.shape(ary)}")
    return split(ary, indices_or_sections, axis)


_THIRDS = each(3, [1, 4])


@composite(np.hsplit, samples=cases([(4, 6), _THIRDS, {}, (6,), _THIRDS]))
def hsplit(ary: Array, indices_or_sections: Cuts) -> list[Array]:
    """Parts of an array, cut along its second axis; of a vector, along its only one."""
    return _split_along(ary, indices_or_sections, int(np.ndim(ary) > 1), "hsplit")


@composite(np.vsplit, samples=cases([(6, 4), _THIRDS]))
def vsplit(ary: Array, indices_or_sections: Cuts) -> list[Array]:
    """Parts of an array, cut along its first axis."""
    if np.ndim(ary) < 2:
        raise ShapeError(
            f"vsplit: needs 2 axes, got shape {np.shape(ary)}\n  hint   np.split(t, ...) for vectors"
        )
    return split(ary, indices_or_sections, 0)


@composite(np.dsplit, samples=cases([(2, 1, 6), _THIRDS]))
def dsplit(ary: Array, indices_or_sections: Cuts) -> list[Array]:
    """Parts of an array, cut along its third axis."""
    return _split_along(ary, indices_or_sections, 2, "dsplit")


@composite(
    np.append,
    samples=cases([(2, 3), (4,), {}, (2, 3), (1, 3), {"axis": 0}, (2, 3), (2, 2), {"axis": -1}, (3,), ()]),
)
def append(arr: Array, values: Array, axis: int | None = None) -> Array:
    """The elements of two arrays one after the other, or one array after the other along an axis."""
    return np.concatenate([arr, values], axis=axis)


def _depth(parts: object) -> int:
    """Tell how deep lists are nested, which is the same everywhere."""
    if type(parts) is not list:
        return 0
    depths = {_depth(part) for part in parts}
    if len(depths) != 1:
        why = "lists are nested to different depths" if depths else "a list is empty"
        raise ShapeError(f"block: {why}\n  hint   np.block([[a, b], [c, d]])")
    return 1 + depths.pop()


def _blocks(parts: Any) -> list[Any]:
    return [x for part in parts for x in _blocks(part)] if type(parts) is list else [parts]


@composite(
    np.block,
    samples=cases(
        [[[(2, 2), (2, 3)], [(1, 2), (1, 3)]], {}, [(3,), (2,), ()], {}, [[(3,)], [(1, 3)]], {}, (2, 3)],
        [[[[(2,), 1.5]], [[(1, 3)]]]],
    ),
    settings=("arrays",),
)
def block(arrays: Any) -> Array:
    """One array of the blocks in nested lists: the innermost lie side by side along the last axis."""
    blocks, depth = _blocks(arrays), _depth(arrays)
    dtype = np.result_type(*[getattr(x, "dtype", x) for x in blocks])
    rank = max(depth, *map(np.ndim, blocks))

    def assembled(parts: Any, axis: int) -> Array:
        if type(parts) is list:
            return np.concatenate([assembled(part, axis + 1) for part in parts], axis=axis)
        x = parts if hasattr(parts, "dtype") else np.asarray(parts, dtype)
        return np.reshape(x, (*(1,) * (rank - np.ndim(x)), *np.shape(x)))

    return assembled(arrays, -depth)
