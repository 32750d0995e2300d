"""What one needs of a covariance matrix: its Cholesky factor and the logarithm of its determinant."""

from typing import Any, NamedTuple

import numpy as np

from tinygrad_nn.primitive import composite, kernel, op


def _turned(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _lower(m: Any) -> Any:
    """The lower triangle with half of the diagonal."""
    n = np.shape(m)[-1]
    return m * (np.tri(n, dtype=m.dtype) - np.eye(n, dtype=m.dtype) / 2)


def _cholesky_rule(g: Any, y: Any) -> Any:
    """Phi(L.T G) between two inverses (Murray 2016, arXiv:1602.07527), for the triangle that NumPy reads."""
    upper = _turned(y)
    inner = np.linalg.solve(upper, _lower(upper @ g))
    outer = np.linalg.solve(upper, _turned(inner))
    return _lower(outer + _turned(outer))


def _covariances(rng: np.random.Generator) -> list[Any]:
    shapes: list[tuple[int, ...]] = [(3, 3), (2, 3, 3), (1, 1), (2, 1, 2, 2), (0, 2, 2)]
    roots = [rng.normal(size=shape) for shape in shapes]
    return [((x @ _turned(x) + 2 * np.eye(x.shape[-1]),), {}) for x in roots]


cholesky = op(
    np.linalg.cholesky, _cholesky_rule, samples=_covariances, signature="(n,n)->(n,n)", analytic=False
)


@kernel(
    lambda g, a: g[..., None, None] * _turned(np.linalg.inv(a)),
    reference=lambda a: np.log(np.abs(np.linalg.det(a))),
    samples=_covariances,
    signature="(n,n)->()",
    analytic=False,
    method=False,
)
def log_abs_det(a: Any) -> Any:
    """The logarithm of the absolute value of the determinant, also where that itself would overflow."""
    return np.linalg.slogdet(a)[1]


@kernel(
    lambda g: np.zeros_like(g)[..., None, None],
    reference=lambda a: np.sign(np.linalg.det(a)),
    samples=_covariances,
    signature="(n,n)->()",
    analytic=False,
    zero_gradient=True,
    method=False,
)
def det_sign(a: Any) -> Any:
    """The sign of the determinant."""
    return np.linalg.slogdet(a)[0]


class SlogdetResult(NamedTuple):
    """What `np.linalg.slogdet` returns: sign * exp(logabsdet) is the determinant."""

    sign: Any
    logabsdet: Any


@composite(np.linalg.slogdet, samples=_covariances)
def slogdet(a: Any) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its absolute value."""
    return SlogdetResult(det_sign(a), log_abs_det(a))
