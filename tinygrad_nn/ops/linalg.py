"""Matrix products in all of NumPy's ranks, diagonals, and the solution of linear systems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.ops.arithmetic import quotient
from tinygrad_nn.ops.indexing import put_back
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


_of_matrices = partial(op, broadcasts=False)
matmul = _of_matrices(
    np.matmul,
    _left,
    _right,
    samples=cases(
        [(3,), each((3,), (3, 4), (5, 3, 4)), {}, (2, 3), each((3,), (3, 4), (4, 3, 2))],
        [(5, 2, 3), each((3,), (3, 4)), {}, (5, 1, 2, 3), (2, 3, 4), {}, (3, 3), (3, 3)],
        [(2, 0), (0, 3), {}, (0, 2), (2, 3), {}, (1, 1), (1, 1), {}, (5, 5, 0), (0, 5)],
    ),
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
def trace(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The sum along a diagonal."""
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


@composite(np.diag, samples=cases([(3,), {"k": each(0, -2)}, (3, 3), {"k": 0}, each((3, 4), (1,)), {"k": 1}]))
def diag(v: Array, k: int = 0) -> Array:
    """The diagonal of a matrix, or the matrix with a given diagonal."""
    if np.ndim(v) > 2:
        raise ShapeError(f"diag: the shape is of a row or a matrix, got {np.shape(v)}\n  hint   np.diagonal")
    if np.ndim(v) != 1:
        return np.diagonal(v, k)
    n = np.shape(v)[0] + abs(k)
    return on_diagonal(v, shape=(n, n), offset=k)


_MATRICES = cases([regular((3, 3), (2, 3, 3), (2, 1, 2, 2), (1, 1), (0, 3, 3))])


def turned(x: Array) -> Array:
    """Each matrix with its axes exchanged."""
    return np.swapaxes(x, -1, -2)


inv = _of_matrices(np.linalg.inv, lambda g, y: -(turned(y) @ g @ turned(y)), samples=_MATRICES)


def _solved(a: Array, g: Array, shape: tuple[int, ...]) -> Array:
    """Solve the transposed system for the cotangent, a vector where the right side was one."""
    if len(shape) == 1:
        return np.linalg.solve(turned(a), g[..., None])[..., 0]
    return np.linalg.solve(turned(a), g)


def _solve_left(g: Array, a: Array, y: Array, *, shapes: Shapes) -> Array:
    columns = _solved(a, g, shapes[1])
    if len(shapes[1]) == 1:
        return -columns[..., None] * y[..., None, :]
    return -(columns @ turned(y))


solve = _of_matrices(
    np.linalg.solve,
    _solve_left,
    lambda g, a, *, shapes: _solved(a, g, shapes[1]),
    samples=cases(
        [regular((3, 3)), each((3,), (3, 2), (3, 3), (2, 3, 4), (3, 0))],
        [regular((2, 3, 3)), each((3,), (3, 1)), {}, regular((2, 1, 3, 3)), (4, 3, 2)],
    ),
)


def _cofactor_rule(g: Array, a: Array, y: Array) -> Array:
    inner = np.sum(g * y, axis=(-2, -1), keepdims=True) * y - y @ turned(g) @ y
    return quotient(inner, np.linalg.det(a)[..., None, None])


def _minors(a: Array) -> Array:
    n = a.shape[-1]
    y = np.empty_like(a)
    for i, j in np.ndindex(n, n):
        minor = np.delete(np.delete(a, i, -2), j, -1)
        y[..., i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return y


def _from_singular_values(a: Array) -> Array:
    u, s, v = np.linalg.svd(a)
    rest = np.where(np.eye(s.shape[-1], dtype=bool), np.ones((), s.dtype), s[..., None, :])
    others = np.multiply.reduce(rest, axis=-1) * (np.linalg.det(u) * np.linalg.det(v))[..., None]
    return (u * others[..., None, :]) @ v


_WELL_CONDITIONED = 1e6


@kernel(
    _cofactor_rule,
    reference=_minors,
    samples=cases([regular((3, 3), (2, 3, 3), (1, 2, 4, 4), (1, 1))]),
    method=False,
    broadcasts=False,
)
def cofactors(a: Array) -> Array:
    """The derivative of det: det(a) * inv(a).T, and its limit where a is singular."""
    try:
        inverse = np.linalg.inv(a)
    except np.linalg.LinAlgError:
        return _from_singular_values(a)
    if np.any(np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1)) > _WELL_CONDITIONED):
        return _from_singular_values(a)
    return np.linalg.det(a)[..., None, None] * turned(inverse)


det = _of_matrices(
    np.linalg.det, lambda g, a: g[..., None, None] * cofactors(a), operand_names=("a",), samples=_MATRICES
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
