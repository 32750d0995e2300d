"""The nonlinearities of neural networks, in formulas that neither overflow nor warn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_nn.errors import SettingError
from tinygrad_nn.ops.arithmetic import all_finite, as_of_a_ufunc, floating, in_one_dtype, product, quotient
from tinygrad_nn.ops.reduction import logsumexp, sum_, wide_sum
from tinygrad_nn.ops.samples import cases, each, wide
from tinygrad_nn.ops.special import erf
from tinygrad_nn.primitives import Array, Axis, Primitive, composite, kernel

_WIDE = wide((3, 4), (5,), (), (0, 2), (1, 1))
_AXES = cases(
    [(3, 4), {"axis": 0}, (3, 3), {"axis": 1}, (2, 3, 4), {"axis": (0, -1)}],
    [each((3, 4), (5,), (1, 1), (0, 3))],
)


@kernel(lambda g, y: g * y * (1 - y), reference=lambda x: 1 / (1 + np.exp(-x)), also=("scipy.special.expit",))
# As a decorator, errstate costs half of what it costs as a block.
@np.errstate(over="ignore")
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); where exp(-x) overflows, the result is 0 as it should be.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
    """
    y = np.exp(np.negative(floating(x)))
    y += 1
    return np.reciprocal(y)


# Where every other sign differs, np.where takes ten times as long as a product.
@kernel(
    lambda g, y: product(y > 0, g),
    reference=lambda x: np.maximum(x, 0),
    kinks={0.0: 0.0},
    analytic=False,
    formula="where(x > 0, g, 0)",
)
def relu(x: Array) -> Array:
    """max(x, 0), with derivative 0 at 0.

    Example:
        >>> relu(np.array([-2.0, 0.0, 3.0]))
        array([0., 0., 3.])
    """
    return np.maximum(x, 0)


@kernel(lambda g, x: g * sigmoid(x), reference=lambda x: np.log(1 + np.exp(x)))
def softplus(x: Array) -> Array:
    """log(1 + exp(x)), a smooth relu.

    Example:
        >>> softplus(np.array([-1000.0, 0.0, 1000.0]))
        array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    x = floating(x)
    return np.maximum(x, 0) + np.log1p(np.exp(np.minimum(x, -x)))


@kernel(
    lambda g, x: g * sigmoid(-x),
    reference=lambda x: -np.log(1 + np.exp(-x)),
    also=("scipy.special.log_expit",),
)
def log_sigmoid(x: Array) -> Array:
    """log(sigmoid(x)) = -softplus(-x), which does not lose small probabilities.

    Example:
        >>> log_sigmoid(np.array([-1000.0, 1000.0]))
        array([-1000.,     0.])
    """
    x = floating(x)
    return np.minimum(x, 0) - np.log1p(np.exp(np.minimum(x, -x)))


@kernel(
    lambda g, x, *, negative_slope=0.01: np.where(x > 0, g, g * float(negative_slope)),
    reference=lambda x, negative_slope=0.01: np.maximum(x, 0) + negative_slope * np.minimum(x, 0),
    kinks={0.0: lambda negative_slope=0.01: negative_slope},
    analytic=False,
    samples=cases([_WIDE, {}, {"negative_slope": each(0.1, 0.0, 2.0)}]),
)
def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """Return x where it is positive, negative_slope * x elsewhere, with derivative negative_slope at 0.

    Example:
        >>> leaky_relu(np.array([-2.0, 0.0, 3.0]), negative_slope=0.1)
        array([-0.2,  0. ,  3. ])
    """
    return as_of_a_ufunc(np.where(x > 0, x, x * float(negative_slope)))


@kernel(
    lambda g, x, *, alpha=1.0: np.where(x > 0, g, product(g, np.exp(x) * float(alpha))),
    reference=lambda x, alpha=1.0: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
    kinks={0.0: lambda alpha=1.0: alpha},
    analytic=False,
    samples=cases([_WIDE, {}, {"alpha": each(0.5, 2.0)}]),
)
def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """Return x where it is positive, alpha * (exp(x) - 1) elsewhere (Clevert et al., 2015, arXiv:1511.07289).

    Example:
        >>> elu(np.array([-1000.0, -1.0, 2.0])).round(4)
        array([-1.    , -0.6321,  2.    ])
    """
    return as_of_a_ufunc(np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * float(alpha)))


# Beyond, sigmoid is 0 to the last bit, and 0 times infinity would be NaN.
_FAR = -1e4


@kernel(
    lambda g, y, s: product(g, s + product(1 - s, y)),
    residuals={"s": lambda x: sigmoid(x)},
    reference=lambda x: x / (1 + np.exp(-x)),
    formula="g * (sigmoid(x) + y * (1 - sigmoid(x)))",
)
def silu(x: Array) -> tuple[Array, Array]:
    """Return x * sigmoid(x), also called swish (Elfwing et al., 2017, arXiv:1702.03118).

    Example:
        >>> silu(np.array([-1000.0, -1.0, 0.0, 2.0])).round(4)
        array([-0.    , -0.2689,  0.    ,  1.7616])
    """
    s = sigmoid.function(x)
    return np.maximum(x, _FAR) * s, s


# Beyond, the normal distribution and its approximation are 0 or 1 to the last bit.
_END = 10.0


def _normal_cdf(x: Array) -> Array:
    return 0.5 + 0.5 * erf(x * math.sqrt(0.5))


def _normal_pdf(x: Array) -> Array:
    return np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


@kernel(
    lambda g, x, p: product(g, p + product(_normal_pdf(x), x)),
    residuals={"p": _normal_cdf},
    formula="g * (normal(x) + x * normal_density(x))",
    reference=lambda x: x * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))) / 2,
    analytic=False,
    method=False,
)
def gelu_exact(x: Array) -> tuple[Array, Array]:
    """Return x * P(X <= x) for a standard normal X."""
    p = _normal_cdf(x)
    return np.maximum(x, -_END) * p, p


_CUBIC = 0.044715
_SCALE = math.sqrt(2 / math.pi)


def _tanh_curve(x: Array) -> Array:
    """The second derivative of gelu_tanh, with p the approximate distribution, of tanh(u)."""
    z = np.clip(x, -_END, _END)
    p = 0.5 + 0.5 * np.tanh(_SCALE * (z + _CUBIC * z * z * z))
    slope, curve = _SCALE * (1 + 3 * _CUBIC * z * z), 6 * _CUBIC * _SCALE * z
    per_u = 2 * p * (1 - p)
    return 2 * per_u * slope + z * per_u * (2 * (1 - 2 * p) * slope * slope + curve)


def _tanh_cdf_and_slope(x: Array) -> tuple[Array, Array]:
    """Return the approximate distribution p, and p + x * 2 * p * (1 - p) * du/dx for p of tanh(u)."""
    # In place, because memory is what it costs. The cube would overflow, and far out 1 - p is 0.
    z = np.clip(x, -_END, _END)
    d = z * z
    p = d * _CUBIC
    p += 1
    p *= z
    p *= _SCALE
    p = np.tanh(p)
    p += 1
    p *= 0.5
    d = d * (6 * _CUBIC * _SCALE)
    d += 2 * _SCALE
    d *= z
    d *= p
    d *= 1 - p
    d += p
    return p, d


@kernel(
    lambda g, x: product(g, _tanh_curve(x)),
    reference=lambda x: (
        (1 + np.tanh(_SCALE * (x + _CUBIC * x**3))) / 2
        + x / 2 * _SCALE * (1 + 3 * _CUBIC * x**2) / np.cosh(_SCALE * (x + _CUBIC * x**3)) ** 2
    ),
    method=False,
)
def gelu_tanh_slope(x: Array) -> Array:
    """The derivative of gelu_tanh."""
    return _tanh_cdf_and_slope(x)[1]


@kernel(
    lambda g, d: product(g, d),
    residuals={"d": lambda x: gelu_tanh_slope(x)},
    formula="g * gelu_tanh_slope(x)",
    reference=lambda x: x / 2 * (1 + np.tanh(_SCALE * (x + _CUBIC * x**3))),
)
def gelu_tanh(x: Array) -> tuple[Array, Array]:
    """gelu with a tanh in place of the normal distribution: faster, and less than 0.0005 away.

    Example:
        >>> x = np.linspace(-5, 5, 101)
        >>> bool(np.abs(gelu_tanh(x) - gelu(x)).max() < 0.0005)
        True
    """
    p, d = _tanh_cdf_and_slope(x)
    p *= np.maximum(x, -_END)
    return p, d


GELUS = {"none": gelu_exact, "tanh": gelu_tanh}
"""By what PyTorch calls the approximation."""


def gelu_with(approximate: str) -> Primitive:
    """Return the op for an approximation; raise `SettingError` for one that there is not."""
    if approximate not in GELUS:
        raise SettingError(f'gelu: approximate is "none" or "tanh", got {approximate!r}')
    return GELUS[approximate]


@composite(
    # Not wide: left of -4, values that are half a distance from 1 have too few digits to check a slope by differences.
    samples=cases([each((3, 4), (5,), (), (0, 2)), {}, (3, 4), {"approximate": "tanh"}]),
    reference=lambda x, approximate="none": GELUS[approximate](x),
    method=True,
)
def gelu(x: Any, *, approximate: str = "none") -> Any:
    """Return x * P(X <= x) for a standard normal X (Hendrycks and Gimpel, 2016, arXiv:1606.08415).

    Args:
        x: of any shape.
        approximate: "none", or "tanh" for `gelu_tanh`, which is faster and less than 0.0005 away.

    Raises:
        SettingError: another approximation.

    Example:
        >>> gelu(np.array([-1.0, 0.0, 1.0]), approximate="tanh").round(4)
        array([-0.1588,  0.    ,  0.8412])
    """
    return gelu_with(approximate)(x)


@kernel(
    lambda g, a, b: product(g, np.log(np.where((a == 0) & (b <= 0), np.ones_like(g), b))),
    lambda g, a, b: quotient(product(g, a), b),
    reference=lambda a, b: np.where(a == 0, 0, a * np.log(np.where(a == 0, 1, b))),
    domain=((-3, 3), (0.1, 9)),
    also=("scipy.special.xlogy",),
    formula=("g * log(b)", None),
)
def xlogy(a: Array, b: Array) -> Array:
    """Return a * log(b), and 0 where a is 0, whatever b is (but NaN).

    Example:
        >>> p = np.array([0.5, 0.25, 0.25, 0.0])
        >>> float(-xlogy(p, p).sum() / np.log(2))  # the entropy, in bits
        1.5
    """
    a, b = in_one_dtype(a, b)
    return a * np.log(np.where((a == 0) & (b == b), 1, b))


def _softmax_back_by_p(g: Array, a: Array, p: Array, *, axis: Axis = -1) -> Array:
    rest = a - np.sum(product(a, p), axis=axis, keepdims=True)
    return product(g, rest) - product(np.sum(product(g, p), axis=axis, keepdims=True), a)


@kernel(
    lambda g, p, *, axis=-1: softmax_back(g, p, axis=axis),
    _softmax_back_by_p,
    reference=lambda a, p, axis=-1: (a - np.sum(a * p, axis=axis, keepdims=True)) * p,
    samples=cases(
        [(3, 4), (3, 4), {"axis": 0}, (2, 3, 4), (2, 3, 4), {"axis": (0, -1)}, (5,), (5,), {}, (0, 3), (0, 3)]
    ),
    broadcasts=False,
    operand_names=("a", "p"),
    formula=("p * (g - sum(g * p))", "g * (a - sum(a * p)) - sum(g * p) * a"),
    method=False,
)
def softmax_back(a: Array, p: Array, *, axis: Axis = -1) -> Array:
    """The gradient of what a softmax p was taken of, from that of p itself: (a - sum(a * p)) * p.

    A zero stays one beside infinities and NaN, as in `product`.
    """
    d = a * p
    d = a - sum_.function(d, axis, True)
    d *= p
    if all_finite(d):
        return d
    rest = a - sum_.function(product.function(a, p), axis, True)
    return product.function(rest, p)


@kernel(
    lambda g, y, *, axis=-1: softmax_back(g, y, axis=axis),
    reference=lambda x, axis=-1: np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True),
    samples=_AXES,
    formula="y * (g - sum(g * y))",
)
def softmax(x: Array, *, axis: Axis = -1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`, shifted by the largest entry.

    Example:
        >>> softmax(np.array([1000.0, 1000.0]))
        array([0.5, 0.5])
    """
    x = floating(x)
    y = np.exp(x - np.maximum.reduce(x, axis, keepdims=True, initial=-np.inf))
    y /= wide_sum(y, axis, keepdims=True)
    return y


@kernel(
    lambda g, y, *, axis=-1: g - product(np.sum(g, axis=axis, keepdims=True), np.exp(y)),
    reference=lambda x, axis=-1: np.log(np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)),
    samples=_AXES,
)
def log_softmax(x: Array, *, axis: Axis = -1) -> Array:
    """x - log(sum(exp(x))) along `axis`.

    Example:
        >>> log_softmax(np.array([1000.0, 0.0]))
        array([    0., -1000.])
    """
    return x - logsumexp.function(x, axis=axis, keepdims=True)
