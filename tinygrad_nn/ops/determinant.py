"""The determinant: its derivatives are the cofactors and what these change by, also where a matrix is singular."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.ops.cumulative import others
from tinygrad_nn.ops.linalg import turned, used
from tinygrad_nn.ops.samples import cases, regular
from tinygrad_nn.primitives import Array, kernel, op


def _minors(a: Array) -> Array:
    n = a.shape[-1]
    y = np.empty_like(a)
    for i, j in np.ndindex(n, n):
        minor = np.delete(np.delete(a, i, -2), j, -1)
        y[..., i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return y


_WELL_CONDITIONED = 1e6


def _safe_inverse(a: Array) -> Array | None:
    """The inverses; None if a matrix has none that would be precise."""
    try:
        inverse = np.linalg.inv(a)
    except np.linalg.LinAlgError:
        return None
    condition = np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1))
    return None if np.any(condition > _WELL_CONDITIONED) else inverse


def _decomposed(a: Array) -> tuple[Array, Array, Array, Array]:
    """Singular values between their vectors, and the sign of the determinant."""
    u, s, v = np.linalg.svd(a)
    return u, s, v, (np.linalg.det(u) * np.linalg.det(v))[..., None, None]


def _third_derivative(g: Array, a: Array, b: Array, y: Array) -> Array:
    """The gradient of (sum(b * c) * c - c @ b.T @ c) / det(a), c the cofactors; NaN where det(a) has no digits left."""
    a, b, y = used(a, g), used(b, g), used(y, g)
    c, det = cofactors(a), np.linalg.det(a)[..., None, None]
    size = np.linalg.norm(a, axis=(-2, -1), keepdims=True) * np.linalg.norm(c, axis=(-2, -1), keepdims=True)
    det = np.where(size < _WELL_CONDITIONED * np.abs(det), det, np.nan)
    # Before and after: also where the cofactors are zero, in this direction and in that of the next derivative.
    g = quotient(g, det)
    along_g, along_b, result = (np.sum(x, axis=(-2, -1), keepdims=True) for x in (g * c, b * c, g * y))
    inner = along_g * b + along_b * g - g @ turned(c) @ b - b @ turned(c) @ g
    return product(cofactor_change(a, inner) - result * c, det / det)


@kernel(
    _third_derivative,
    lambda g, a: cofactor_change(used(a, g), g),
    reference=lambda a, b: _minors(a + 1e-20j * b).imag / 1e-20,
    samples=cases(
        [regular((3, 3)), (3, 3), {}, regular((1, 2, 4, 4)), (1, 2, 4, 4), {}, regular((1, 1)), (1, 1)]
    ),
    method=False,
    broadcasts=False,
)
def cofactor_change(a: Array, b: Array) -> Array:
    """The derivative of the cofactors along b, which is the second one of det, and its limit where a is singular."""
    inverse = _safe_inverse(a)
    if inverse is not None:
        y = turned(inverse)
        along = np.sum(b * y, axis=(-2, -1), keepdims=True)
        return np.linalg.det(a)[..., None, None] * (along * y - y @ turned(b) @ y)
    u, s, v, sign = _decomposed(a)
    diagonal = np.eye(s.shape[-1], dtype=bool)
    pairs = others(np.where(diagonal, np.ones((), s.dtype), s[..., None, :]), -1)
    pairs = np.where(diagonal, np.zeros((), s.dtype), pairs)
    w = turned(u) @ b @ turned(v)
    inner = np.where(diagonal, pairs @ np.diagonal(w, axis1=-2, axis2=-1)[..., None], -pairs * turned(w))
    return sign * (u @ inner @ v)


@kernel(
    lambda g, a: cofactor_change(used(a, g), g),
    reference=_minors,
    samples=cases([regular((3, 3), (2, 3, 3), (1, 2, 4, 4), (1, 1))]),
    method=False,
    broadcasts=False,
)
def cofactors(a: Array) -> Array:
    """The derivative of det: det(a) * inv(a).T, and its limit where a is singular."""
    inverse = _safe_inverse(a)
    if inverse is not None:
        return np.linalg.det(a)[..., None, None] * turned(inverse)
    u, s, v, sign = _decomposed(a)
    return sign * ((u * others(s, -1)[..., None, :]) @ v)


def _det_rule(g: Array, a: Array) -> Array:
    g = g[..., None, None]
    return g * cofactors(used(a, g))


det = op(
    np.linalg.det,
    _det_rule,
    operand_names=("a",),
    broadcasts=False,
    samples=cases([regular((3, 3), (2, 3, 3), (2, 1, 2, 2), (1, 1), (0, 3, 3))]),
    formula="g[..., None, None] * cofactors(a)",
)
