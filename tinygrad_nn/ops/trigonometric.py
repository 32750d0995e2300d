"""Circular and hyperbolic functions, their inverses, and angles."""

import math

import numpy as np

from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, composite, kernel, op

_INSIDE = (-0.9, 0.9)

sin = op(np.sin, lambda g, x: product(g, np.cos(x)))
cos = op(np.cos, lambda g, x: -product(g, np.sin(x)))
tan = op(np.tan, lambda g, y: product(g, 1 + y * y), domain=(-1.4, 1.4))
arcsin = op(np.arcsin, lambda g, x: quotient(g, np.sqrt((1 - x) * (1 + x))), domain=_INSIDE)
arccos = op(np.arccos, lambda g, x: -quotient(g, np.sqrt((1 - x) * (1 + x))), domain=_INSIDE)
arctan = op(np.arctan, lambda g, x: quotient(g, 1 + x * x))

sinh = op(np.sinh, lambda g, x: product(g, np.cosh(x)))
cosh = op(np.cosh, lambda g, x: product(g, np.sinh(x)))
tanh = op(np.tanh, lambda g, y: g * (1 - y * y))
arcsinh = op(np.arcsinh, lambda g, x: quotient(g, np.hypot(1, x)))
arccosh = op(np.arccosh, lambda g, x: quotient(quotient(g, np.sqrt(x - 1)), np.sqrt(x + 1)), domain=(1.1, 9))
arctanh = op(np.arctanh, lambda g, x: quotient(g, (1 - x) * (1 + x)), domain=_INSIDE)

for _to_radians in (np.deg2rad, np.radians):
    op(_to_radians, lambda g: g * (math.pi / 180), linear=True, analytic=False)
for _to_degrees in (np.rad2deg, np.degrees):
    op(_to_degrees, lambda g: g * (180 / math.pi), linear=True, analytic=False)


@kernel(lambda g, x: product(g, sinc_derivative(x, order=1)), reference=np.sinc, method=False)
def sine_over_angle(x: Array) -> Array:
    """sin(pi x) / (pi x), and 1 at 0."""
    return np.sinc(x)


@composite(np.sinc, method=True, samples=cases([each((3, 4), (), (0, 2))]))
def sinc(x: Array) -> Array:
    """sin(pi x) / (pi x), and 1 at 0."""
    return sine_over_angle(x)


def _integral(x: Array, order: int) -> Array:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    t = (nodes + 1) / 2
    values = (math.pi * t) ** order * np.cos(math.pi * x[..., None] * t + order * math.pi / 2)
    return np.asarray(np.sum(values * weights / 2, axis=-1))


@kernel(
    lambda g, x, *, order: product(g, sinc_derivative(x, order=order + 1)),
    # sinc(x) is the integral of cos(pi x t) from 0 to 1.
    reference=_integral,
    samples=cases(
        [each((3, 4), (), (0, 2)), {"order": each(1, 2, 3)}, np.array([0.0, 3, 1e-9]), {"order": 4}]
    ),
    method=False,
)
def sinc_derivative(x: Array, *, order: int) -> Array:
    """The derivative of sinc of an order: (sin(u)/u)^(n) = (sin^(n)(u) - n (sin(u)/u)^(n-1)) / u, near 0 its series."""
    u = math.pi * np.asarray(x, np.result_type(x, 0.0))
    small = np.absolute(u) <= order + 1
    far = np.where(small, order + 2, u)
    y = np.sin(far) / far
    for n in range(1, order + 1):
        y = (np.sin(far + n * (math.pi / 2)) - n * y) / far
    near = np.where(small, u, 0)
    start = (order + 1) // 2
    series = np.zeros_like(near)
    for k in range(start + 12 + 2 * order, start - 1, -1):
        coefficient = math.perm(2 * k, order) / math.factorial(2 * k + 1)
        series = series * (near * near) + (-1) ** k * coefficient
    series = series * near ** (2 * start - order)
    return math.pi**order * np.where(small, series, y)
