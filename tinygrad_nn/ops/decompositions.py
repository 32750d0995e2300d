"""Triangular factors, and the logarithm of a determinant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygrad_nn.errors import MatrixError, NoGradientRule
from tinygrad_nn.ops.linalg import check_square, turned, used
from tinygrad_nn.ops.samples import cases, covariance, each
from tinygrad_nn.primitives import Array, composite, kernel, op

_COVARIANCES = cases([covariance((3, 3), (2, 3, 3), (1, 1), (2, 1, 2, 2), (0, 2, 2))])


def _lower(m: Array) -> Array:
    """The lower triangle with half of the diagonal."""
    n = np.shape(m)[-1]
    return m * (np.tri(n, dtype=m.dtype) - np.eye(n, dtype=m.dtype) / 2)


def _cholesky_rule(g: Array, y: Array) -> Array:
    """Phi(L.T G) between two inverses (Murray 2016, arXiv:1602.07527), for both triangles alike."""
    upper = turned(used(y, g))
    inner = np.linalg.solve(upper, _lower(upper @ g))
    outer = np.linalg.solve(upper, turned(inner))
    return (outer + turned(outer)) / 2


cholesky = op(
    np.linalg.cholesky,
    _cholesky_rule,
    samples=_COVARIANCES,
    broadcasts=False,
    analytic=False,
    symmetric=True,
    formula="(inv(y).T @ phi(y.T @ g) @ inv(y) + inv(y).T @ phi(y.T @ g).T @ inv(y)) / 2",
)


def _log_det_rule(g: Array, a: Array, y: Array) -> Array:
    """The transposed inverse, for the logarithm; where that is infinite there is none."""
    g = g[..., 1, None, None]
    unneeded = ~np.isfinite(y[..., 1, None, None]) & (g == 0)
    try:
        inverse = np.linalg.inv(np.where(unneeded, np.eye(np.shape(a)[-1], dtype=a.dtype), a))
    except np.linalg.LinAlgError:
        raise MatrixError(
            "slogdet: the logarithm of the determinant has no gradient where a matrix is singular\n"
            f"  hint   a small multiple of the identity makes it regular: a + 1e-6 * np.eye({np.shape(a)[-1]})"
        ) from None
    return g * turned(inverse)


@kernel(
    _log_det_rule,
    reference=lambda a: np.stack([np.sign(np.linalg.det(a)), np.log(np.abs(np.linalg.det(a)))], axis=-1),
    formula="g[..., 1, None, None] * inv(a).T",
    samples=_COVARIANCES,
    broadcasts=False,
    analytic=False,
    method=False,
)
def sign_and_log_det(a: Array) -> Array:
    """The sign of the determinant and the logarithm of its absolute value, of one factorisation, side by side."""
    return np.stack(np.linalg.slogdet(a), axis=-1)


class SlogdetResult(NamedTuple):
    """What `np.linalg.slogdet` returns: sign * exp(logabsdet) is the determinant."""

    sign: Array
    logabsdet: Array


@composite(np.linalg.slogdet, samples=_COVARIANCES)
def slogdet(a: Array) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its absolute value."""
    check_square("slogdet", a)
    both = sign_and_log_det(a)
    return SlogdetResult(both[..., 0], both[..., 1])


def _qr_rule(g: Array, a: Array, y: Array) -> Array:
    """(gQ + Q M) inv(R).T, M the symmetric matrix that has the lower triangle of R gR.T - gQ.T Q.

    Roberts and Roberts 2020, arXiv:2009.10071.
    """
    m, n = np.shape(a)[-2:]
    has_inverse = np.all(np.diagonal(y[..., m:, :], axis1=-2, axis2=-1) != 0, axis=-1)[..., None, None]
    has_inverse &= np.all(np.isfinite(y), axis=(-2, -1), keepdims=True)
    # An identity for one without an inverse that has no cotangent either.
    spared = has_inverse | np.any(g != 0, axis=(-2, -1), keepdims=True)
    y = np.where(spared, y, np.eye(m + n, n, dtype=g.dtype) + np.eye(m + n, n, -m, dtype=g.dtype))
    q, r, gq, gr = y[..., :m, :], turned(y[..., m:, :]), g[..., :m, :], np.triu(turned(g[..., m:, :]))
    inner = _lower(r @ turned(gr) - turned(gq) @ q)
    try:
        return turned(np.linalg.solve(r, turned(gq + q @ (inner + turned(inner)))))
    except np.linalg.LinAlgError:
        raise MatrixError(
            f"qr: the factors have no gradient where the {n} columns of a matrix depend on each other"
        ) from None


@kernel(
    _qr_rule,
    reference=lambda a: np.concatenate([(f := np.linalg.qr(a))[0], f[1].mT], axis=-2),
    samples=cases([each((3, 3), (4, 2), (2, 3, 2), (1, 1), (0, 3, 2))]),
    broadcasts=False,
    analytic=False,
    method=False,
)
def q_and_r(a: Array) -> Array:
    """The orthonormal columns of a matrix with at least as many rows, and below them the transposed triangle."""
    q, r = np.linalg.qr(a)
    return np.concatenate([q, turned(r)], axis=-2)


class QRResult(NamedTuple):
    """What `np.linalg.qr` returns: Q @ R is the matrix."""

    Q: Array
    R: Array


@composite(
    np.linalg.qr,
    samples=cases([each((3, 3), (4, 2), (2, 4), (2, 3, 2))], [(3, 2), {"mode": "r"}]),
    analytic=False,
)
def qr(a: Array, mode: str = "reduced") -> QRResult | Array:
    """The orthonormal and the upper triangular factor."""
    m, n = np.shape(a)[-2:]
    if mode not in ("reduced", "r", "complete") or (mode == "complete" and m > n):
        raise NoGradientRule(
            f"qr: there is no derivative rule for mode={mode!r} of a {m} by {n} matrix\n"
            '  hint   mode="reduced" or mode="r"'
        )
    k = min(m, n)
    both = q_and_r(a[..., :k])
    q, r = both[..., :m, :], turned(both[..., m:, :])
    if n > k:
        # Further columns are only turned.
        r = np.concatenate([r, turned(q) @ a[..., k:]], axis=-1)
    return r if mode == "r" else QRResult(q, r)


@composite(
    samples=cases([covariance((3, 3), (2, 3, 3)), (3, 2), {}, {"lower": True}]),
    reference=lambda a, b, lower=False: np.linalg.solve(np.tril(a) if lower else np.triu(a), b),
)
def solve_triangular(a: Array, b: Array, *, lower: bool = False) -> Array:
    """The x of t @ x = b, for the upper or lower triangle t of a; `a` (..., n, n), `b` as for `np.linalg.solve`.

    Raises:
        MatrixError: `a` is not square.

    Example:
        >>> import tinygrad_nn as tn
        >>> tn.solve_triangular(np.array([[2.0, 1.0], [0.0, 4.0]]), np.array([4.0, 4.0]))
        array([1.5, 1. ])
    """
    check_square("solve_triangular", a)
    return np.linalg.solve(np.tril(a) if lower else np.triu(a), b)
