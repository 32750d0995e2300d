"""Eigenvalues and singular values, their vectors, and what is made of them.

An op here has several results: they lie side by side in one array, of which the functions hand out the parts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_nn.errors import MatrixError, NoGradientRule
from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.ops.linalg import check_square, turned, used
from tinygrad_nn.ops.samples import cases, covariance, each, positive, regular
from tinygrad_nn.primitives import Array, composite, kernel, op

_COVARIANCES = cases([covariance((3, 3), (2, 3, 3), (1, 1), (2, 1, 2, 2), (0, 2, 2)), {}, {"UPLO": "U"}])
_RECTANGLES = cases([each((3, 3), (4, 2), (2, 3), (2, 3, 2), (1, 1), (0, 2, 3))])


def _negative(rng: np.random.Generator) -> Array:
    return -rng.uniform(0.5, 2, 3)


def _rounded_away(x: Array, size: Array, n: int) -> Array:
    """Tell which elements are no more than rounding errors of numbers of this size."""
    return np.absolute(x) <= 8 * n * np.finfo(x.dtype).eps * size


@kernel(
    lambda g, a, b, *, diagonal=True: over_differences(g, a, b, diagonal=diagonal),
    lambda g, a, b, y, *, diagonal=True: (
        -np.sum(over_differences(product(g, y), a, b, diagonal=diagonal), axis=-2)
    ),
    lambda g, a, b, y, *, diagonal=True: np.sum(
        over_differences(product(g, y), a, b, diagonal=diagonal), axis=-1
    ),
    reference=lambda m, a, b, diagonal=True: (
        m / (a[..., None, :] - b[..., :, None]) * (1 if diagonal else 1 - np.eye(m.shape[-1]))
    ),
    samples=cases(
        [each((3, 4), (2, 3, 4)), positive((4,)), _negative],
        [(3, 3), positive((3,)), _negative, {"diagonal": False}],
    ),
    broadcasts=False,
    method=False,
)
def over_differences(m: Array, a: Array, b: Array, *, diagonal: bool = True) -> Array:
    """m[i, j] / (a[j] - b[i]), and 0 where both are 0, to rounding; without the diagonal also 0 on that.

    Raises:
        MatrixError: a difference is 0 and its numerator is not.
    """
    if not diagonal:
        m = m * (1 - np.eye(m.shape[-1], dtype=m.dtype))
    largest = (np.max(np.absolute(x), axis=-1, initial=0) for x in (a, b))
    size = np.maximum(*largest)[..., None, None]
    d = a[..., None, :] - b[..., :, None]
    n = max(m.shape[-2:])
    equal = _rounded_away(d, size, n)
    if np.any(equal & ~_rounded_away(m, np.max(np.absolute(m), axis=(-2, -1), keepdims=True, initial=0), n)):
        raise MatrixError(
            "the vectors of equal eigenvalues or singular values, or of singular values of 0, do not tell what the "
            "gradient is\n"
            "  hint   of the values alone: np.linalg.eigvalsh, np.linalg.svdvals; or a + small distinct values on the "
            "diagonal"
        )
    return np.where(equal | (m == 0), np.zeros((), m.dtype), m / np.where(equal, np.ones((), m.dtype), d))


def _symmetric(m: Array) -> Array:
    return (m + turned(m)) / 2


def _on_diagonal(x: Array) -> Array:
    return x[..., None, :] * np.eye(np.shape(x)[-1], dtype=x.dtype)


def _eigh_rule(g: Array, y: Array, *, UPLO: str = "L") -> Array:
    """V (diag(gw) + V.T gV / (wj - wi)) V.T, the symmetric part (Giles 2008, matrix derivatives)."""
    y = used(y, g)
    w, v = y[..., 0, :], y[..., 1:, :]
    turning = _symmetric(over_differences(turned(v) @ g[..., 1:, :], w, w, diagonal=False))
    return v @ (turning + _on_diagonal(g[..., 0, :])) @ turned(v)


@kernel(
    _eigh_rule,
    reference=lambda a, UPLO="L": np.concatenate(
        [x if x.ndim == a.ndim else x[..., None, :] for x in np.linalg.eigh(a, UPLO)], axis=-2
    ),
    samples=_COVARIANCES,
    broadcasts=False,
    symmetric=True,
    analytic=False,
    method=False,
)
def values_and_vectors(a: Array, *, UPLO: str = "L") -> Array:
    """The eigenvalues of a symmetric matrix in the first row, and below them the eigenvectors as columns."""
    w, v = np.linalg.eigh(a, UPLO)
    return np.concatenate([w[..., None, :], v], axis=-2)


class EighResult(NamedTuple):
    """What `np.linalg.eigh` returns: eigenvalues in ascending order, eigenvectors as columns."""

    eigenvalues: Array
    eigenvectors: Array


@composite(np.linalg.eigh, samples=_COVARIANCES, symmetric=True, analytic=False)
def eigh(a: Array, UPLO: str = "L") -> EighResult:
    """The eigenvalues and eigenvectors of a symmetric matrix."""
    check_square("eigh", a)
    both = values_and_vectors(a, UPLO=UPLO)
    return EighResult(both[..., 0, :], both[..., 1:, :])


@composite(np.linalg.eigvalsh, samples=_COVARIANCES, symmetric=True, analytic=False)
def eigvalsh(a: Array, UPLO: str = "L") -> Array:
    """The eigenvalues of a symmetric matrix, in ascending order."""
    check_square("eigvalsh", a)
    return values_and_vectors(a, UPLO=UPLO)[..., 0, :]


def _svd_rule(g: Array, a: Array, y: Array) -> Array:
    """U (diag(gS) + what turns vectors) V.T, and out of their space (Townsend 2016, Differentiating the SVD)."""
    m, y = np.shape(a)[-2], used(y, g)
    u, s, v = y[..., :m, :], y[..., m, :], y[..., m + 1 :, :]
    gu, gs, gv = g[..., :m, :], g[..., m, :], g[..., m + 1 :, :]
    left, right = turned(u) @ gu, turned(v) @ gv
    turning = _symmetric(over_differences(left + right, s, s, diagonal=False))
    skew = (left - right) - turned(left - right)
    turning = turning + over_differences(skew / 2, s, -s)
    inside = u @ (turning + _on_diagonal(gs)) @ turned(v)
    k = np.shape(s)[-1]
    for x, gx, other, is_left in ((u, gu, v, True), (v, gv, u, False)):
        if np.shape(x)[-2] > k:
            out = over_differences(gx - x @ (turned(x) @ gx), s, np.zeros(np.shape(x)[:-1], x.dtype))
            inside = inside + (out @ turned(other) if is_left else other @ turned(out))
    return inside


@kernel(
    _svd_rule,
    reference=lambda a: np.concatenate(
        [(f := np.linalg.svd(a, full_matrices=False))[0], f[1][..., None, :], f[2].mT], axis=-2
    ),
    samples=_RECTANGLES,
    broadcasts=False,
    analytic=False,
    method=False,
)
def singular_values_and_vectors(a: Array) -> Array:
    """The left singular vectors as columns, below them the singular values, below them the right singular vectors."""
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, s[..., None, :], turned(vh)], axis=-2)


class SVDResult(NamedTuple):
    """What `np.linalg.svd` returns: (U * S) @ Vh is the matrix."""

    U: Array
    S: Array
    Vh: Array


@composite(
    np.linalg.svd, samples=cases([each((3, 3), (4, 2), (2, 3)), {"full_matrices": False}]), analytic=False
)
def svd(
    a: Array, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> SVDResult | Array:
    """The singular value decomposition; singular vectors outside of the matrix's own space have no derivative."""
    if hermitian:
        raise NoGradientRule(
            "svd: there is no derivative rule for hermitian=True\n  hint   np.linalg.eigh(a)"
        )
    if not compute_uv:
        return svdvals(a)
    m, n = np.shape(a)[-2:]
    if full_matrices and m != n:
        raise NoGradientRule(
            f"svd: the singular vectors that fill up a {m} by {n} matrix to a square have no derivative\n"
            "  hint   np.linalg.svd(a, full_matrices=False)"
        )
    parts = singular_values_and_vectors(a)
    return SVDResult(parts[..., :m, :], parts[..., m, :], turned(parts[..., m + 1 :, :]))


@composite(np.linalg.svdvals, samples=_RECTANGLES, analytic=False)
def svdvals(x: Array) -> Array:
    """The singular values, in descending order; those that are equal have a gradient if all are treated alike."""
    return singular_values_and_vectors(x)[..., np.shape(x)[-2], :]


def _pinv_rule(
    g: Array, a: Array, y: Array, *, rcond: Any = None, hermitian: bool = False, rtol: Any = None
) -> Array:
    """For matrices near a that have the same rank (Golub and Pereyra 1973)."""
    m, n = np.shape(a)[-2:]
    a, y = used(a, g), used(y, g)
    t, gt = turned(y), turned(g)
    outside = (np.eye(m, dtype=a.dtype) - a @ y) @ gt @ y @ t
    return outside + t @ y @ gt @ (np.eye(n, dtype=a.dtype) - y @ a) - t @ g @ t


pinv = op(
    np.linalg.pinv,
    _pinv_rule,
    operand_names=("a",),
    samples=_RECTANGLES,
    broadcasts=False,
    analytic=False,
    formula="(g.T - a @ y @ g.T) @ y @ y.T + y.T @ y @ (g.T - g.T @ y @ a) - y.T @ g @ y.T",
)


@composite(
    np.linalg.lstsq,
    samples=cases([(4, 2), each((4,), (4, 3))], [regular((3, 3)), (3,)], [(2, 3), (2,)]),
    analytic=False,
)
def lstsq(a: Array, b: Array, rcond: Any = None) -> tuple[Any, Any, int, Any]:
    """The x of least |a @ x - b|**2, what remains of that, the rank of a and its singular values."""
    if np.ndim(a) != 2 or np.ndim(b) not in (1, 2) or np.shape(a)[0] != np.shape(b)[0]:
        raise MatrixError(
            f"lstsq: takes a matrix and as many rows, got shapes {np.shape(a)} and {np.shape(b)}"
        )
    m, n = np.shape(a)
    s = svdvals(a)
    cutoff = float(np.finfo(s.dtype).eps) * max(m, n) if rcond is None else rcond
    x = pinv(a, rcond=cutoff) @ b
    rank = int(np.sum(s > cutoff * s[:1]))
    rest = np.sum(np.reshape(np.square(a @ x - b), (m, -1)), axis=0)
    return x, rest if rank == n < m else rest[:0], rank, s


@composite(
    np.linalg.cond,
    samples=cases([regular((3, 3), (2, 2, 2)), {"p": each(None, -2, 2, 1, np.inf, "fro")}]),
    analytic=False,
)
def cond(x: Array, p: Any = None) -> Array:
    """How much a matrix may enlarge relative errors: the ratio of its singular values, or norm(x) * norm(inv(x))."""
    if p is None or p in (2, -2):
        s = svdvals(x)
        largest, smallest = np.max(s, axis=-1), np.min(s, axis=-1)
        return smallest / largest if p == -2 else largest / smallest
    check_square("cond", x)
    return np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, axis=(-2, -1))
