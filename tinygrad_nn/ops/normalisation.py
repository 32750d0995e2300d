"""Normalisation along the last axis: rows of mean 0 and variance 1, or of mean square 1."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.ops.arithmetic import all_finite, at_least_single, floating, product
from tinygrad_nn.ops.reduction import in_single, ones
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, ArrayOrTensor, composite, kernel
from tinygrad_nn.settings import check_number

_ROWS = cases([each((2, 3), (3, 4), (2, 1, 5), (4,), (0, 3)), each(1e-5, 0.1)], [(3, 1), 0.1])


@kernel(
    lambda g, *, shapes: g / shapes[0][-1],
    linear=True,
    samples=cases([each((2, 3), (2, 1, 5), (4,), (0, 3))]),
    reference=lambda x: np.mean(x, axis=-1, keepdims=True),
    method=False,
)
@in_single
def means_of_rows(x: Array) -> Array:
    """The mean of each row, as a column; several times faster than NumPy's mean where rows are short."""
    n = x.shape[-1]
    return (x @ ones(n, x.dtype.char))[..., None] / n


def _factor(x: Array, eps: float) -> Array:
    """By what each row is multiplied, so that its mean square and eps become 1."""
    return 1 / np.sqrt(means_of_rows(x * x) + eps)


def _scaled(x: Array, eps: float, dtype: np.dtype) -> tuple[Array, Array]:
    """Return each row divided by the root of its mean square plus eps, and by what it was multiplied."""
    s = _factor(x, float(eps))
    return (x * s).astype(dtype, copy=False), s.astype(dtype, copy=False)


def _plain_layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    y = (x - np.mean(x, axis=-1, keepdims=True)) / np.sqrt(np.var(x, axis=-1, keepdims=True) + eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


def _plain_rms_norm(x: Array, weight: Array | None = None, eps: float = np.finfo(np.float64).eps) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * (1 if weight is None else weight)


def _without_mean_and(a: Array, u: Array) -> Array:
    """Return rows of a without their mean, and without what they have of the rows u, in whose plane none lie."""
    return a - means_of_rows(a) - product(means_of_rows(product(a, u)), u)


@kernel(
    lambda g, u, s: standardized_back(g, u, s),
    lambda g, a, u, s: (
        -product(product(g, s), means_of_rows(product(a, u)))
        - product(product(means_of_rows(product(g, u)), s), a)
    ),
    lambda g, a, u: np.sum(product(g, _without_mean_and(a, u)), axis=-1, keepdims=True),
    reference=lambda a, u, s: (a - np.mean(a, -1, keepdims=True) - np.mean(a * u, -1, keepdims=True) * u) * s,
    samples=cases([(3, 4), (3, 4), (3, 1), {}, (2, 1, 5), (2, 1, 5), (2, 1, 1), {}, (0, 3), (0, 3), (0, 1)]),
    broadcasts=False,
    operand_names=("a", "u", "s"),
    formula=(
        "(g - mean(g) - u * mean(g * u)) * s",
        "-g * s * mean(a * u) - mean(g * u) * s * a",
        "sum(g * (a - mean(a) - u * mean(a * u)))",
    ),
    method=False,
)
def standardized_back(a: Array, u: Array, s: Array) -> Array:
    """The gradient of rows that were normalised to u by a factor s, from that of u, a.

    (a - mean(a) - mean(a * u) * u) * s, where a zero stays one beside infinities and NaN, as in `product`.
    """
    dtype = np.result_type(a, u, s)
    wide = at_least_single(a.astype(dtype, copy=False))
    d = wide - means_of_rows.function(wide)
    d -= u * means_of_rows.function(wide * u)
    d *= s
    if not all_finite(d):
        d = product.function(_without_mean_and(wide, u), s)
    return d.astype(dtype, copy=False)


@kernel(
    lambda g, y, s: standardized_back(g, y, s),
    None,
    residuals={"s": in_single(lambda x, eps: _factor(x - means_of_rows(x), eps))},
    reference=lambda x, eps: _plain_layer_norm(x, eps=eps),
    samples=_ROWS,
    formula=("(g - mean(g) - y * mean(g * y)) / sqrt(mean((x - mean(x)) ** 2) + eps)", None),
    method=False,
)
def standardized(x: Array, eps: float) -> tuple[Array, Array]:
    """Each row minus its mean, divided by sqrt(variance + eps), in two passes, which large means need."""
    wide = at_least_single(x)
    return _scaled(wide - means_of_rows.function(wide), eps, floating(x).dtype)


@kernel(
    lambda g, y, s: product(g - product(means_of_rows(product(g, y)), y), s),
    None,
    residuals={"s": in_single(lambda x, eps: _factor(x, eps))},
    reference=lambda x, eps: _plain_rms_norm(x, eps=eps),
    samples=_ROWS,
    formula=("(g - y * mean(g * y)) / sqrt(mean(x**2) + eps)", None),
    method=False,
)
def in_unit_squares(x: Array, eps: float) -> tuple[Array, Array]:
    """Each row divided by sqrt(mean square + eps)."""
    return _scaled(at_least_single(x), eps, floating(x).dtype)


_AFFINE = ([(2, 3), (3,), (3,)], [(2, 1, 4), (4,), None], [(3, 4), None, (4,)], [(5,)], [(0, 3), (3,), (3,)])


def _check_features(who: str, eps: float, x: Array, **arrays: Array | None) -> None:
    if not np.ndim(x) or not np.shape(x)[-1]:
        raise ShapeError(
            f"{who}: normalises along the last axis, which shape {np.shape(x)} has no elements of"
        )
    check_number(who, "eps", eps)
    for name, array in arrays.items():
        if array is not None and np.shape(array) != np.shape(x)[-1:]:
            last = np.shape(array) == np.shape(x)[1:2]
            raise ShapeError(
                f"{who}: x of shape {np.shape(x)} takes a {name} of shape {np.shape(x)[-1:]}, got {np.shape(array)}"
                + "\n  hint   np.moveaxis(x, 1, -1): features come last here" * last
            )


@composite(
    samples=cases(*_AFFINE, [(3, 4), {"eps": 0.1}]),
    reference=_plain_layer_norm,
)
def layer_norm(
    x: ArrayOrTensor,
    weight: ArrayOrTensor | None = None,
    bias: ArrayOrTensor | None = None,
    *,
    eps: float = 1e-5,
) -> ArrayOrTensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias along the last axis (Ba et al., 2016, arXiv:1607.06450).

    Args:
        x: of shape (..., features).
        weight, bias: of shape (features,), where there are some.
        eps: added to the variance, the mean of the squares.

    Raises:
        ShapeError: `x` has no features, or not as many as the weight or the bias.
        SettingError: a negative eps.

    Example:
        >>> layer_norm(np.array([[1.0, 3.0]]), eps=0.0)
        array([[-1.,  1.]])
    """
    _check_features("layer_norm", eps, x, weight=weight, bias=bias)
    y = standardized(x, float(eps))
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@composite(
    samples=cases([(2, 3), (3,)], [(2, 1, 4), None], [(5,), {"eps": 0.1}], [(0, 3), (3,)]),
    reference=_plain_rms_norm,
)
def rms_norm(
    x: ArrayOrTensor, weight: ArrayOrTensor | None = None, *, eps: float | None = None
) -> ArrayOrTensor:
    """x / sqrt(mean(x**2) + eps) * weight along the last axis (Zhang and Sennrich, 2019, arXiv:1910.07467).

    Args:
        x: of shape (..., features).
        weight: of shape (features,), where there is one.
        eps: added to the mean of the squares; by default the distance from 1 to the next number of the dtype of x.

    Raises:
        ShapeError: `x` has no features, or not as many as the weight.
        SettingError: a negative eps.

    Example:
        >>> rms_norm(np.array([[3.0, -3.0, 3.0]]), eps=0.0)
        array([[ 1., -1.,  1.]])
    """
    dtype = getattr(x, "dtype", np.dtype(np.float64))
    eps = float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps) if eps is None else eps
    _check_features("rms_norm", eps, x, weight=weight)
    y = in_unit_squares(x, float(eps))
    return y if weight is None else y * weight
