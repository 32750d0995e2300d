"""Matrix products in all of NumPy's ranks, diagonals, and the solution of linear systems."""

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.ops.arithmetic import quotient
from tinygrad_nn.primitives.declare import composite, kernel, op


def _left(g: Any, b: Any) -> Any:
    """The gradient for the left factor: g @ b.T, whatever the ranks."""
    if b.ndim == 2 == g.ndim:
        return g @ b.T
    if b.ndim == 1:
        return g[..., None] * b
    if g.ndim < b.ndim:  # the left factor is a vector
        return (b @ g[..., None])[..., 0]
    return g @ np.swapaxes(b, -1, -2)


def _right(g: Any, a: Any, b: Any) -> Any:
    """The gradient for the right factor: a.T @ g, whatever the ranks."""
    if a.ndim == 2 == g.ndim:
        return a.T @ g
    if b.ndim == 1:
        return np.sum(a * g[..., None], axis=tuple(range(g.ndim)))
    if a.ndim == 1:
        return a[:, None] * g[..., None, :]
    if b.ndim == 2:  # one product of tall matrices instead of a batch of products, summed
        return np.reshape(a, (-1, a.shape[-1])).T @ np.reshape(g, (-1, g.shape[-1]))
    return np.swapaxes(a, -1, -2) @ g


def _samples(rng: np.random.Generator) -> list[Any]:
    ranks = [
        ((3,), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((2, 3), (3, 4)),
        ((3, 3), (3, 3)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((5, 1, 2, 3), (2, 3, 4)),
        ((2, 3), (4, 3, 2)),
        ((2, 0), (0, 3)),
        ((0, 2), (2, 3)),
        ((1, 1), (1, 1)),
    ]
    return [((rng.normal(size=a), rng.normal(size=b)), {}) for a, b in ranks]


matmul = op(np.matmul, _left, _right, samples=_samples, broadcasts=False)


def _pairs(*shapes: Any, **params: Any) -> Any:
    return lambda rng: [((rng.normal(size=a), rng.normal(size=b)), params) for a, b in shapes]


@composite(
    np.dot,
    samples=_pairs(
        ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((2, 3), ()), ((2, 3), (5, 3, 4)), ((2, 4, 3), (3,))
    ),
    method=True,
)
def dot(a: Any, b: Any) -> Any:
    """Sum of products over the last axis of a and the last but one of b; with a 0-d operand, the product."""
    if not np.ndim(a) or not np.ndim(b):
        return np.multiply(a, b)
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, axes=(-1, -2))


@composite(np.vdot, samples=_pairs(((3,), (3,)), ((2, 3), (3, 2)), ((), ())))
def vdot(a: Any, b: Any) -> Any:
    """Sum of products of all elements."""
    return np.matmul(np.reshape(a, -1), np.reshape(b, -1))


@composite(np.inner, samples=_pairs(((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((), (2, 3))))
def inner(a: Any, b: Any) -> Any:
    """Sum of products over the last axes."""
    return np.tensordot(a, b, axes=(-1, -1)) if np.ndim(a) and np.ndim(b) else np.multiply(a, b)


@composite(np.outer, samples=_pairs(((3,), (4,)), ((2, 3), (2,)), ((), (3,)), ((0,), (2,))))
def outer(a: Any, b: Any) -> Any:
    """All products of an element of a with one of b."""
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, -1))


@composite(
    np.tensordot,
    samples=lambda rng: [
        *_pairs(((2, 3, 4), (3, 4, 5)))(rng),
        *_pairs(((2, 3), (4, 5)), axes=0)(rng),
        *_pairs(((2, 3, 4), (5, 4, 3)), axes=((1, 2), (2, 1)))(rng),
        *_pairs(((3, 2), (4, 3)), axes=(0, -1))(rng),
        *_pairs(((3,), (3,)), axes=1)(rng),
        *_pairs(((2, 0), (0, 3)), axes=1)(rng),
    ],
)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum of products over the last `axes` axes of a and the first of b, or over given pairs of axes."""
    left, right = (range(-axes, 0), range(axes)) if isinstance(axes, (int, np.integer)) else axes
    left, right = normalize_axis_tuple(left, np.ndim(a)), normalize_axis_tuple(right, np.ndim(b))
    if [np.shape(a)[k] for k in left] != [np.shape(b)[k] for k in right]:
        raise ShapeError(
            f"tensordot: axes {left} of {np.shape(a)} and {right} of {np.shape(b)} have different lengths"
        )
    rows = [k for k in range(np.ndim(a)) if k not in left]
    columns = [k for k in range(np.ndim(b)) if k not in right]
    kept = [np.shape(a)[k] for k in rows] + [np.shape(b)[k] for k in columns]
    inner = math.prod(np.shape(a)[k] for k in left)
    m, n = (math.prod(kept[: len(rows)]), math.prod(kept[len(rows) :]))
    product = np.matmul(
        np.reshape(np.transpose(a, (*rows, *left)), (m, inner)),
        np.reshape(np.transpose(b, (*right, *columns)), (inner, n)),
    )
    return np.reshape(product, kept)


def _diagonal_samples(rng: np.random.Generator) -> list[Any]:
    choices: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((3, 4), {}),
        ((3, 3), {"offset": 1}),
        ((4, 2), {"offset": -2}),
        ((2, 3, 4), {"axis1": -1, "axis2": 0}),
        ((2, 3, 3), {"offset": -1, "axis1": 1, "axis2": 2}),
        ((1, 1), {}),
        ((0, 2), {}),
    ]
    return [((rng.normal(size=shape),), params) for shape, params in choices]


diagonal = op(
    np.diagonal,
    lambda g, *, shapes, offset=0, axis1=0, axis2=1: on_diagonal(
        g, shape=shapes[0], offset=offset, axis1=axis1, axis2=axis2
    ),
    linear=True,
    samples=_diagonal_samples,
)


def _placed(x: Any, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    places = np.diagonal(np.arange(math.prod(shape)).reshape(shape), offset, axis1, axis2)
    out = np.zeros(math.prod(shape))
    out[places.ravel()] = x.ravel()
    return out.reshape(shape)


def _on_diagonal_samples(rng: np.random.Generator) -> list[Any]:
    return [
        ((rng.normal(size=np.diagonal(x, **params).shape),), params | {"shape": x.shape})
        for (x,), params in _diagonal_samples(rng)
    ]


@kernel(
    lambda g, *, shape, offset=0, axis1=0, axis2=1: np.diagonal(g, offset, axis1, axis2),
    linear=True,
    samples=_on_diagonal_samples,
    reference=lambda x, shape, offset=0, axis1=0, axis2=1: _placed(x, shape, offset, axis1, axis2),
    method=False,
)
def on_diagonal(x: Any, *, shape: tuple[int, ...], offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Zeros of `shape` with x on a diagonal: the adjoint of diagonal."""
    out = np.zeros(shape, x.dtype)
    view = np.diagonal(out, offset, axis1, axis2)
    view.flags.writeable = True
    view[...] = x
    return out


@composite(np.trace, samples=_diagonal_samples, method=True)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum along a diagonal."""
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


@composite(
    np.diag,
    samples=lambda rng: [
        ((rng.normal(size=shape),), {"k": k})
        for shape, k in (((3,), 0), ((3,), -2), ((3, 4), 1), ((3, 3), 0), ((1,), 1))
    ],
)
def diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a given diagonal."""
    if np.ndim(v) != 1:
        return np.diagonal(v, k)
    n = np.shape(v)[0] + abs(k)
    return on_diagonal(v, shape=(n, n), offset=k)


def _regular(rng: np.random.Generator, *batch: int, n: int = 3) -> Any:
    return rng.uniform(-1, 1, size=(*batch, n, n)) + 3 * np.eye(n)


def _matrices(rng: np.random.Generator) -> list[Any]:
    return [
        ((x,), {})
        for x in (
            _regular(rng),
            _regular(rng, 2),
            _regular(rng, 2, 1, n=2),
            _regular(rng, n=1),
            _regular(rng, 0),
        )
    ]


def turned(x: Any) -> Any:
    """Each matrix with its axes exchanged."""
    return np.swapaxes(x, -1, -2)


inv = op(np.linalg.inv, lambda g, y: -(turned(y) @ g @ turned(y)), samples=_matrices, broadcasts=False)


def _solved(a: Any, g: Any, shape: tuple[int, ...]) -> Any:
    """Solve the transposed system for the cotangent, a vector where the right side was one."""
    return (
        np.linalg.solve(turned(a), g[..., None])[..., 0] if len(shape) == 1 else np.linalg.solve(turned(a), g)
    )


def _solve_left(g: Any, a: Any, y: Any, *, shapes: Any) -> Any:
    columns = _solved(a, g, shapes[1])
    if len(shapes[1]) == 1:
        return -columns[..., None] * y[..., None, :]
    return -(columns @ turned(y))


solve = op(
    np.linalg.solve,
    _solve_left,
    lambda g, a, *, shapes: _solved(a, g, shapes[1]),
    samples=lambda rng: [
        ((_regular(rng, *batch), rng.normal(size=shape)), {})
        for batch, shape in (
            ((), (3,)),
            ((), (3, 2)),
            ((), (3, 3)),
            ((2,), (3,)),
            ((2,), (3, 1)),
            ((), (2, 3, 4)),
            ((2, 1), (4, 3, 2)),
            ((), (3, 0)),
        )
    ],
    broadcasts=False,
)


def _cofactor_rule(g: Any, a: Any, y: Any) -> Any:
    inner = np.sum(g * y, axis=(-2, -1), keepdims=True) * y - y @ turned(g) @ y
    return quotient(inner, np.linalg.det(a)[..., None, None])


def _minors(a: Any) -> Any:
    n = a.shape[-1]
    y = np.empty_like(a)
    for i, j in np.ndindex(n, n):
        minor = np.delete(np.delete(a, i, -2), j, -1)
        y[..., i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return y


def _from_singular_values(a: Any) -> Any:
    u, s, v = np.linalg.svd(a)
    rest = np.where(np.eye(s.shape[-1], dtype=bool), np.ones((), s.dtype), s[..., None, :])
    others = np.multiply.reduce(rest, axis=-1) * (np.linalg.det(u) * np.linalg.det(v))[..., None]
    return (u * others[..., None, :]) @ v


@kernel(
    _cofactor_rule,
    reference=_minors,
    samples=lambda rng: [
        ((x,), {}) for x in (_regular(rng), _regular(rng, 2), _regular(rng, 1, 2, n=4), _regular(rng, n=1))
    ],
    method=False,
    broadcasts=False,
)
def cofactors(a: Any) -> Any:
    """The derivative of det: det(a) * inv(a).T, and its limit where a is singular."""
    try:
        inverse = np.linalg.inv(a)
    except np.linalg.LinAlgError:
        return _from_singular_values(a)
    if np.any(np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1)) > _WELL_CONDITIONED):
        return _from_singular_values(a)
    return np.linalg.det(a)[..., None, None] * turned(inverse)


_WELL_CONDITIONED = 1e6

det = op(
    np.linalg.det,
    lambda g, a: g[..., None, None] * cofactors(a),
    operand_names=("a",),
    samples=_matrices,
    broadcasts=False,
)


@composite(
    np.kron,
    samples=_pairs(((2, 3), (3, 2)), ((3,), (2, 2)), ((2, 1, 2), (3,)), ((), (2,)), ((0, 2), (2,))),
)
def kron(a: Any, b: Any) -> Any:
    """All products of an element of a with the whole of b, put together at the places of the elements."""
    rank = max(np.ndim(a), np.ndim(b))
    rows, columns = ((1,) * (rank - np.ndim(x)) + np.shape(x) for x in (a, b))
    blocks = np.reshape(a, [k for n in rows for k in (n, 1)]) * np.reshape(
        b, [k for n in columns for k in (1, n)]
    )
    return np.reshape(blocks, [m * n for m, n in zip(rows, columns, strict=True)])
