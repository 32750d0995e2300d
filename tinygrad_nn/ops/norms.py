"""The sizes of vectors and matrices, which have the derivative 0 at 0."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tinygrad_nn.errors import NoGradientRule, ShapeError
from tinygrad_nn.ops.arithmetic import part, product
from tinygrad_nn.ops.reduction import in_single, restore
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.ops.spectral import svdvals
from tinygrad_nn.primitives import Array, Axis, composite, kernel

_norm = partial(composite, analytic=False, method=True)
_VECTORS = (
    [(2, 3, 4), {"axis": (0, 2)}, {"axis": (-1, 0), "keepdims": True}],
    [(3, 4), {"axis": 0}, {"axis": -1, "keepdims": True}, each((5,), (2, 3), (1,), ())],
)
_ORDERS = each("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
_EMPTY = [(0, 3), {"axis": 1}]


@kernel(
    lambda g, x, y, *, axis=None, keepdims=False: product(
        restore(g, axis, keepdims), part(x, restore(y, axis, keepdims))
    ),
    reference=lambda x, axis=None, keepdims=False: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
    samples=cases(*_VECTORS, _EMPTY),
)
@in_single
def euclidean_norm(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """sqrt(sum(x**2)) over `axis` (all axes by default), with derivative 0 at 0."""
    return np.sqrt(np.add.reduce(x * x, axis, keepdims=keepdims))


@kernel(
    lambda g, x, y, *, ord, axis=None, keepdims=False: product(
        restore(g, axis, keepdims),
        product(np.sign(x), part(np.absolute(x), restore(y, axis, keepdims)) ** (ord - 1)),
    ),
    reference=lambda x, ord, axis=None, keepdims=False: (
        np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)
    ),
    analytic=False,
    kinks={0.0: 0.0},
    samples=cases(*_VECTORS, _EMPTY, ord=each(3, 1.5)),
)
@in_single
def p_norm(x: Array, *, ord: float, axis: Axis = None, keepdims: bool = False) -> Array:
    """sum(|x|**ord)**(1/ord) over `axis` (all axes by default), with derivative 0 at 0."""
    return np.add.reduce(np.absolute(x) ** float(ord), axis, keepdims=keepdims) ** (1 / float(ord))


@_norm(np.linalg.vector_norm, samples=cases(*_VECTORS, ord=each(2, 1, 3, np.inf, -np.inf, 0, 1.5, -1)))
def vector_norm(x: Array, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Array:
    """The norm of order `ord` of vectors, which lie along one axis or are spread over several."""
    if ord == 2:
        return euclidean_norm(x, axis=axis, keepdims=keepdims)
    if ord == np.inf:
        return np.max(np.absolute(x), axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return np.min(np.absolute(x), axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(np.absolute(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(np.absolute(np.sign(x)), axis=axis, keepdims=keepdims)
    return p_norm(x, ord=ord, axis=axis, keepdims=keepdims)


@_norm(
    np.linalg.matrix_norm,
    samples=cases([each((3, 4), (2, 3, 3)), {"ord": _ORDERS, "keepdims": each(False, True)}]),
)
def matrix_norm(x: Array, *, keepdims: bool = False, ord: float | str = "fro") -> Array:
    """The norm of matrices in the last two axes: of all elements, singular values, or absolute rows or columns."""
    return _matrix_norm(x, ord, (-2, -1), keepdims)


def _matrix_norm(x: Array, ord: float | str, axes: tuple[int, int], keepdims: bool) -> Array:
    if ord in ("fro", "f"):
        return euclidean_norm(x, axis=axes, keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        s = svdvals(np.moveaxis(x, axes, (-2, -1)))
        of_one = np.max if ord == 2 else np.min
        # Those that are equal share the gradient of the largest or the smallest.
        y = np.sum(s, axis=-1) if ord == "nuc" else of_one(s, axis=-1)
        return np.expand_dims(y, axes) if keepdims else y
    sums = {1: (0, np.max), -1: (0, np.min), np.inf: (1, np.max), -np.inf: (1, np.min)}
    if ord not in sums:
        raise NoGradientRule(
            f"norm: there is no derivative rule for the matrix norm ord={ord!r}\n"
            "  hint   with a derivative: 'fro', 'nuc', 1, -1, 2, -2, inf, -inf"
        )
    along, extremum = sums[ord]
    columns = np.sum(np.absolute(x), axis=axes[along], keepdims=True)
    y = extremum(columns, axis=axes[1 - along], keepdims=True)
    return y if keepdims else np.squeeze(y, axis=axes)


@_norm(
    np.linalg.norm,
    samples=cases(
        *_VECTORS,
        [(0, 3), {"axis": 1}, (2, 3, 4), {"ord": 1, "axis": (2, 0), "keepdims": True}],
        [(4,), {"ord": each(1, 2, 3, np.inf, -np.inf, 0)}, (3, 4), {"ord": each(1, 2, 1.5), "axis": 1}],
        [(3, 4), {"ord": _ORDERS}],
    ),
)
def norm(x: Array, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Array:
    """The norm of vectors or matrices, as `np.linalg.norm`; its derivative at 0 is 0."""
    axes = axis if axis is None or isinstance(axis, tuple) else (axis,)
    if axes is not None and len(axes) not in (1, 2):
        raise ShapeError(
            f"norm: of vectors along one axis or matrices in two, got axis={axis} of shape {np.shape(x)}\n"
            f"  hint   np.linalg.vector_norm(t, axis={axis}) for all elements along these"
        )
    if ord is None:
        return euclidean_norm(x, axis=axis, keepdims=keepdims)
    if axes is None and np.ndim(x) <= 2:
        axes = tuple(range(np.ndim(x)))
    if axes is not None and len(axes) == 1:
        return vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
    if axes is not None and len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ShapeError(f"norm: ord={ord!r} is for vectors and matrices; shape {np.shape(x)} needs axis=")
