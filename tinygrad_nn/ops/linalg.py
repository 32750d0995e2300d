"""Matrix products in all of NumPy's ranks, diagonals, and the solution of linear systems."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import DTypeLike

from tinygrad_nn.errors import MatrixError, ShapeError
from tinygrad_nn.ops.arithmetic import all_finite, product
from tinygrad_nn.ops.indexing import put_back
from tinygrad_nn.ops.reduction import sum_to
from tinygrad_nn.ops.samples import adjoint, cases, each, regular
from tinygrad_nn.primitives import Array, Shapes, composite, kernel, op


def _left(g: Array, b: Array) -> Array:
    """The gradient for the left factor: g @ b.T, whatever the ranks."""
    if b.ndim == 2 == g.ndim:
        return g @ b.T
    if b.ndim == 1:
        return g[..., None] * b
    # The left factor is a vector.
    if g.ndim < b.ndim:
        return (b @ g[..., None])[..., 0]
    # One product of a tall matrix instead of a batch of products.
    if b.ndim == 2:
        rows = math.prod(g.shape[:-1])
        return np.reshape(np.reshape(g, (rows, g.shape[-1])) @ b.T, (*g.shape[:-1], b.shape[0]))
    return g @ np.swapaxes(b, -1, -2)


def _right(g: Array, a: Array, b: Array) -> Array:
    """The gradient for the right factor: a.T @ g, whatever the ranks."""
    if a.ndim == 2 == g.ndim:
        return a.T @ g
    if b.ndim == 1:
        return np.sum(a * g[..., None], axis=tuple(range(g.ndim)))
    if a.ndim == 1:
        return a[:, None] * g[..., None, :]
    # One product of tall matrices instead of a batch of products, summed.
    if b.ndim == 2:
        rows = math.prod(a.shape[:-1])
        return np.reshape(a, (rows, a.shape[-1])).T @ np.reshape(g, (rows, g.shape[-1]))
    return np.swapaxes(a, -1, -2) @ g


FEW = 4096
"""Stacks of fewer elements gain nothing from being one matrix."""


def _matmul(a: Array, b: Array) -> Array:
    try:
        # The same here. What a product for each matrix takes besides is up to half of the time, unless BLAS has
        # kernels for small matrices, as for AVX-512: then large ones gain a quarter, and small ones lose a third.
        if a.ndim > 2 == b.ndim and a.size >= FEW and a.flags.c_contiguous:
            return (a.reshape(-1, a.shape[-1]) @ b).reshape(*a.shape[:-1], b.shape[1])
    except AttributeError:
        # A number, which NumPy refuses.
        pass
    return a @ b


_LEFT = (
    "g * b if len(shapes[0]) == len(shapes[1]) == 1 else g[..., None] * b if len(shapes[1]) == 1 else g @ b.T "
    "if len(shapes[0]) > 1 else b @ g if len(shapes[1]) == 2 else (b @ g[..., None])[..., 0]"
)
_RIGHT = (
    "g * a if len(shapes[0]) == len(shapes[1]) == 1 else g[..., None, :] * a[:, None] if len(shapes[0]) == 1 else "
    "a.T @ g if len(shapes[1]) > 1 or len(shapes[0]) == 2 else g[..., None] * a"
)
_of_matrices = partial(op, broadcasts=False)
matmul = _of_matrices(
    np.matmul,
    _left,
    _right,
    call=_matmul,
    samples=cases(
        [(3,), each((3,), (3, 4), (5, 3, 4)), {}, (2, 3), each((3,), (3, 4), (4, 3, 2))],
        [(5, 2, 3), each((3,), (3, 4)), {}, (5, 1, 2, 3), (2, 3, 4), {}, (3, 3), (3, 3)],
        [(2, 0), (0, 3), {}, (0, 2), (2, 3), {}, (1, 1), (1, 1), {}, (5, 5, 0), (0, 5)],
    ),
    also=(np.linalg.matmul,),
    formula=(_LEFT, _RIGHT),
)


@composite(
    np.dot,
    samples=cases([each((3,), (2, 4, 3)), (3,)], [(2, 3), each((), (3,), (3, 4), (5, 3, 4))]),
    method=True,
)
def dot(a: Array, b: Array) -> Array:
    """Sum of products over the last axis of a and the last but one of b; with a 0-d operand, the product."""
    if not np.ndim(a) or not np.ndim(b):
        return np.multiply(a, b)
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, axes=(-1, -2))


@composite(np.vdot, samples=cases([(3,), (3,)], [(2, 3), (3, 2)], [(), ()]))
def vdot(a: Array, b: Array) -> Array:
    """Sum of products of all elements."""
    return np.matmul(np.reshape(a, -1), np.reshape(b, -1))


@composite(np.inner, samples=cases([(2, 3), each((3,), (4, 3))], [(3,), (3,)], [(), (2, 3)]))
def inner(a: Array, b: Array) -> Array:
    """Sum of products over the last axes."""
    return np.tensordot(a, b, axes=(-1, -1)) if np.ndim(a) and np.ndim(b) else np.multiply(a, b)


@composite(np.outer, samples=cases([(3,), (4,)], [(2, 3), (2,)], [(), (3,)], [(0,), (2,)]))
def outer(a: Array, b: Array) -> Array:
    """All products of an element of a with one of b."""
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, -1))


@composite(
    np.tensordot,
    samples=cases(
        [(2, 3), (4, 5), {"axes": 0}, (3,), (3,), {"axes": 1}, (2, 0), (0, 3), {"axes": 1}],
        [(2, 3, 4), (5, 4, 3), {"axes": ((1, 2), (2, 1))}, (3, 2), (4, 3), {"axes": (0, -1)}],
        [(2, 3, 4), (3, 4, 5)],
    ),
)
def tensordot(a: Array, b: Array, axes: int | Sequence[int | Sequence[int]] = 2) -> Array:
    """Sum of products over the last `axes` axes of a and the first of b, or over given pairs of axes."""
    left, right = (range(-axes, 0), range(axes)) if isinstance(axes, (int, np.integer)) else axes
    left, right = normalize_axis_tuple(left, np.ndim(a)), normalize_axis_tuple(right, np.ndim(b))
    if [np.shape(a)[k] for k in left] != [np.shape(b)[k] for k in right]:
        raise ShapeError(
            f"tensordot: axes {left} of {np.shape(a)} and {right} of {np.shape(b)} have different lengths"
        )
    rows = [k for k in range(np.ndim(a)) if k not in left]
    columns = [k for k in range(np.ndim(b)) if k not in right]
    lengths = [np.shape(a)[k] for k in rows] + [np.shape(b)[k] for k in columns]
    inner = math.prod(np.shape(a)[k] for k in left)
    m, n = math.prod(lengths[: len(rows)]), math.prod(lengths[len(rows) :])
    a = np.reshape(np.transpose(a, (*rows, *left)), (m, inner))
    b = np.reshape(np.transpose(b, (*right, *columns)), (inner, n))
    return np.reshape(np.matmul(a, b), lengths)


_DIAGONALS = cases(
    [(3, 3), {"offset": 1}, (4, 2), {"offset": -2}, (2, 3, 4), {"axis1": -1, "axis2": 0}],
    [(2, 3, 3), {"offset": -1, "axis1": 1, "axis2": 2}, each((3, 4), (1, 1), (0, 2))],
)
diagonal = op(
    np.diagonal,
    lambda g, *, shapes, offset=0, axis1=0, axis2=1: on_diagonal(
        g, shape=shapes[0], offset=offset, axis1=axis1, axis2=axis2
    ),
    linear=True,
    samples=_DIAGONALS,
)


@kernel(
    lambda g, *, shape, offset=0, axis1=0, axis2=1: np.diagonal(g, offset, axis1, axis2),
    linear=True,
    samples=adjoint(_DIAGONALS, np.diagonal, lambda x, **params: {"shape": x.shape}),
    reference=lambda x, shape, **params: put_back(x, lambda y: np.diagonal(y, **params), shape),
    method=False,
)
def on_diagonal(
    x: Array, *, shape: tuple[int, ...], offset: int = 0, axis1: int = 0, axis2: int = 1
) -> Array:
    """Zeros of `shape` with x on a diagonal: the adjoint of diagonal."""
    out = np.zeros(shape, x.dtype)
    view = np.diagonal(out, offset, axis1, axis2)
    view.flags.writeable = True
    view[...] = x
    return out


@composite(np.trace, samples=_DIAGONALS, method=True)
def trace(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: DTypeLike | None = None) -> Array:
    """The sum along a diagonal."""
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@composite(np.diag, samples=cases([(3,), {"k": each(0, -2)}, (3, 3), {"k": 0}, each((3, 4), (1,)), {"k": 1}]))
def diag(v: Array, k: int = 0) -> Array:
    """The diagonal of a matrix, or the matrix with a given diagonal."""
    if np.ndim(v) not in (1, 2):
        raise ShapeError(
            f"diag: takes a vector or a matrix, got shape {np.shape(v)}\n"
            "  hint   np.diagonal(t, axis1=-2, axis2=-1) for the diagonals of many matrices"
        )
    if np.ndim(v) != 1:
        return np.diagonal(v, k)
    n = np.shape(v)[0] + abs(k)
    return on_diagonal(v, shape=(n, n), offset=k)


@composite(np.diagflat, samples=cases([(2, 3), {"k": each(0, 1, -2)}, each((), (3,))]))
def diagflat(v: Array, k: int = 0) -> Array:
    """The matrix with all elements on a diagonal."""
    return diag(np.reshape(v, -1), k)


_MATRICES = cases([regular((3, 3), (2, 3, 3), (2, 1, 2, 2), (1, 1), (0, 3, 3))])


def turned(x: Array) -> Array:
    """Each matrix with its axes exchanged."""
    return np.swapaxes(x, -1, -2)


def _plainly_used(x: Array, g: Array) -> Array:
    given = g.any(axis=(-2, -1), keepdims=True).astype(np.intp)
    idle = sum_to.function(given, shape=(*x.shape[:-2], 1, 1)) == 0
    idle &= ~np.isfinite(x).all(axis=(-2, -1), keepdims=True)
    return np.where(idle, np.eye(*x.shape[-2:], dtype=x.dtype), x)


@kernel(
    lambda g: g,
    # Whether there is a cotangent is no smooth question.
    lambda g: np.zeros_like(g[..., :1, :1]),
    promotes=False,
    linear=True,
    samples=cases([regular((3, 3)), regular((3, 3)), {}, (2, 3, 2), (2, 3, 4)]),
    reference=_plainly_used,
    method=False,
    broadcasts=False,
)
def used(x: Array, cotangent: Array) -> Array:
    """Matrices x; an identity for those that are infinite or NaN without a cotangent, whose gradient stays zero."""
    return x if all_finite(x) else _plainly_used(x, cotangent)


def _inv_rule(g: Array, y: Array) -> Array:
    y = turned(used(y, g))
    return -(y @ g @ y)


inv = _of_matrices(np.linalg.inv, _inv_rule, samples=_MATRICES, formula="-(y.T @ g @ y.T)")


def _solved(a: Array, g: Array, shape: tuple[int, ...]) -> Array:
    """Solve the transposed system for the cotangent, a vector where the right side was one."""
    columns = g[..., None] if len(shape) == 1 else g
    columns = np.linalg.solve(turned(used(a, columns)), columns)
    return columns[..., 0] if len(shape) == 1 else columns


def _solve_left(g: Array, a: Array, y: Array, *, shapes: Shapes) -> Array:
    columns = _solved(a, g, shapes[1])
    if len(shapes[1]) == 1:
        return -product(columns[..., None], y[..., None, :])
    return -(columns @ turned(used(y, g)))


solve = _of_matrices(
    np.linalg.solve,
    _solve_left,
    lambda g, a, *, shapes: _solved(a, g, shapes[1]),
    samples=cases(
        [regular((3, 3)), each((3,), (3, 2), (3, 3), (2, 3, 4), (3, 0))],
        [regular((2, 3, 3)), each((3,), (3, 1)), {}, regular((2, 1, 3, 3)), (4, 3, 2)],
    ),
    formula=(
        "-(inv(a).T @ g @ y.T) if len(shapes[1]) > 1 else -(inv(a).T @ g[..., None] @ y[..., None].T)",
        "inv(a).T @ g if len(shapes[1]) > 1 else (inv(a).T @ g[..., None])[..., 0]",
    ),
)


@composite(
    np.kron, samples=cases([(2, 3), (3, 2)], [(3,), (2, 2)], [(2, 1, 2), (3,)], [each((), (0, 2)), (2,)])
)
def kron(a: Array, b: Array) -> Array:
    """All products of an element of a with the whole of b, put together at the places of the elements."""
    rank = max(np.ndim(a), np.ndim(b))
    rows, columns = ((1,) * (rank - np.ndim(x)) + np.shape(x) for x in (a, b))
    a = np.reshape(a, [k for n in rows for k in (n, 1)])
    b = np.reshape(b, [k for n in columns for k in (1, n)])
    return np.reshape(a * b, [m * n for m, n in zip(rows, columns, strict=True)])


@composite(
    np.cross,
    samples=cases(
        [(2, 3), (3,), {}, (4, 1, 3), (2, 3), {}, (3, 2), (3, 2), {"axis": 0}],
        [(3, 2), (2, 3), {"axisa": 0, "axisc": 0}],
    ),
)
def cross(
    a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """The vectors at right angles to pairs of vectors of three elements; of two elements, the third is 0."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    lengths = {np.shape(a)[-1], np.shape(b)[-1]}
    if not lengths <= {2, 3}:
        raise ShapeError(
            f"cross: vectors have two or three elements, got shapes {np.shape(a)} and {np.shape(b)}"
        )
    third = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    if lengths == {2}:
        return third
    (a0, a1, a2), (b0, b1, b2) = ([x[..., k] if k < np.shape(x)[-1] else 0 for k in range(3)] for x in (a, b))
    parts = [a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, third]
    return np.stack(np.broadcast_arrays(*parts), axis=axisc)


def check_square(name: str, a: Array) -> None:
    """Raise `MatrixError` unless `a` is a square matrix, or several."""
    if np.ndim(a) < 2 or np.shape(a)[-1] != np.shape(a)[-2]:
        raise MatrixError(f"{name}: takes square matrices, got shape {np.shape(a)}")


@composite(
    np.linalg.matrix_power, samples=cases([regular((3, 3), (2, 2, 2)), {"n": each(1, 2, 3, 5, -1, -3)}])
)
def matrix_power(a: Array, n: int) -> Array:
    """The product of n square matrices a, or of -n inverses, by repeated squaring."""
    check_square("matrix_power", a)
    n = operator.index(n)
    if n == 0:
        # It does not depend on a, whatever there is in it.
        return np.where(np.True_, np.eye(np.shape(a)[-1], dtype=a.dtype), a)
    power: Array = np.linalg.inv(a) if n < 0 else a
    factors = []
    for k, bit in enumerate(reversed(f"{abs(n):b}")):
        power = power @ power if k else power
        factors += [power] if bit == "1" else []
    return functools.reduce(operator.matmul, factors)


@composite(
    np.linalg.multi_dot,
    samples=cases(
        [[(2, 3), (3, 4)]],
        [[(10, 2), (2, 5), (5, 3)]],
        [[(3,), (3, 2), (2, 4), (4,)]],
        [[(2, 3), (3, 1), (1, 4), (4,)]],
    ),
)
def multi_dot(arrays: Sequence[Array]) -> Array:
    """The product of several matrices, of which the first and the last may be vectors, in the cheapest order."""
    arrays = list(arrays)
    if len(arrays) < 2:
        raise ShapeError(f"multi_dot: takes two arrays or more, got {len(arrays)}")
    shapes = [np.shape(x) for x in arrays]
    widths = [1 if len(shapes[0]) == 1 else shapes[0][0]] + [shape[-1] for shape in shapes[:-1]]
    widths.append(1 if len(shapes[-1]) == 1 else shapes[-1][-1])
    # cost[i, j] is that of the product from i to j, and where it is split (Cormen et al., matrix chains).
    cost: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(len(arrays))}
    for length in range(1, len(arrays)):
        for i in range(len(arrays) - length):
            j = i + length
            outside = widths[i] * widths[j + 1]
            cost[i, j] = min(
                (cost[i, k][0] + cost[k + 1, j][0] + outside * widths[k + 1], k) for k in range(i, j)
            )

    def product(i: int, j: int) -> Array:
        k = cost[i, j][1]
        return arrays[i] if i == j else product(i, k) @ product(k + 1, j)

    return product(0, len(arrays) - 1)
