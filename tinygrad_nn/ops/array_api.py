"""The array API's spellings of what NumPy has already: matrices lie in the last two axes, keywords stay keywords."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.ops.linalg import cross
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, Function, composite

_DIAGONALS = cases([(2, 3, 4), {"offset": each(1, -1)}, each((3, 3), (2, 3, 4), (0, 2))])


@composite(np.linalg.diagonal, name="linalg.diagonal", samples=_DIAGONALS)
def _diagonal(x: Array, *, offset: int = 0) -> Array:
    """The diagonals of matrices."""
    return np.diagonal(x, offset, -2, -1)


@composite(np.linalg.trace, name="linalg.trace", samples=_DIAGONALS)
def _trace(x: Array, *, offset: int = 0, dtype: DTypeLike | None = None) -> Array:
    """The sums along the diagonals of matrices."""
    return np.trace(x, offset, -2, -1, dtype=dtype)


@composite(np.linalg.outer, name="linalg.outer", samples=cases([(3,), (4,), {}, (0,), (2,)]))
def _outer(x1: Array, x2: Array) -> Array:
    """All products of an element of one vector with one of another."""
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ShapeError(
            f"linalg.outer: operands are vectors, got shapes {np.shape(x1)} and {np.shape(x2)}\n"
            "  hint   np.outer(a, b) takes all elements of each"
        )
    return np.outer(x1, x2)


@composite(
    np.linalg.tensordot,
    name="linalg.tensordot",
    samples=cases([(2, 3), (4, 5), {"axes": 0}, (3, 2), (4, 3), {"axes": (0, -1)}, (2, 3, 4), (3, 4, 5)]),
)
def _tensordot(x1: Array, x2: Array, *, axes: Any = 2) -> Array:
    """Sum of products over the last `axes` axes of x1 and the first of x2, or over given pairs of axes."""
    return np.tensordot(x1, x2, axes)


@composite(
    np.linalg.vecdot,
    name="linalg.vecdot",
    samples=cases([(2, 3), (4, 1, 3), {}, (3, 2), (3, 2), {"axis": 0}]),
)
def _vecdot(x1: Array, x2: Array, *, axis: int = -1) -> Array:
    """Sums of products along an axis."""
    return np.vecdot(x1, x2, axis=axis)


@composite(
    np.linalg.cross, name="linalg.cross", samples=cases([(2, 3), (3,), {}, (3, 2), (3, 2), {"axis": 0}])
)
def _cross(x1: Array, x2: Array, *, axis: int = -1) -> Array:
    """The vectors at right angles to pairs of vectors of three elements."""
    if np.shape(x1)[axis] != 3 or np.shape(x2)[axis] != 3:
        raise ShapeError(
            f"linalg.cross: vectors have three elements, got shapes {np.shape(x1)} and {np.shape(x2)} with axis={axis}"
        )
    return cross(x1, x2, axis=axis)


# NumPy has these since 2.1.
if hasattr(np, "unstack"):

    @composite(np.unstack, samples=cases([(2, 3), {}, {"axis": -1}, (3,)]))
    def unstack(x: Array, *, axis: int = 0) -> tuple[Array, ...]:
        """The parts of an array along an axis, one for each place."""
        return tuple(np.moveaxis(x, axis, 0))

    _RUNNING = cases(
        [
            (3, 4),
            {"axis": each(0, -1)},
            {"axis": 1, "include_initial": True},
            (5,),
            {},
            {"include_initial": True},
        ]
    )

    def _running(
        name: str,
        function: Function,
        start: int,
        x: Array,
        axis: int | None,
        dtype: DTypeLike | None,
        include_initial: bool,
    ) -> Array:
        if axis is None and np.ndim(x) > 1:
            raise ShapeError(f"{name}: shape {np.shape(x)} needs axis=")
        axis = 0 if axis is None else axis
        y = function(x, axis=axis, dtype=dtype)
        if not include_initial:
            return y
        return np.concatenate([np.full_like(np.take(y, [0], axis=axis), start), y], axis=axis)

    @composite(np.cumulative_sum, samples=_RUNNING)
    def cumulative_sum(
        x: Array, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
    ) -> Array:
        """The running sums along an axis, with 0 before them if the start is included."""
        return _running("cumulative_sum", np.cumsum, 0, x, axis, dtype, include_initial)

    @composite(np.cumulative_prod, samples=_RUNNING)
    def cumulative_prod(
        x: Array, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
    ) -> Array:
        """The running products along an axis, with 1 before them if the start is included."""
        return _running("cumulative_prod", np.cumprod, 1, x, axis, dtype, include_initial)
