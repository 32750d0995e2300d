"""Circular and hyperbolic functions, their inverses, and angles."""

import math

import numpy as np

from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.primitives import op

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
