"""What one needs of a covariance matrix: its Cholesky factor and the logarithm of its determinant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygrad_nn.errors import MatrixError
from tinygrad_nn.ops.linalg import turned, used
from tinygrad_nn.ops.samples import cases, covariance
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
    if np.ndim(a) < 2 or np.shape(a)[-1] != np.shape(a)[-2]:
        raise MatrixError(f"slogdet: determinants are of square matrices, got shape {np.shape(a)}")
    both = sign_and_log_det(a)
    return SlogdetResult(both[..., 0], both[..., 1])
