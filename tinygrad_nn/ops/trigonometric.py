"""Circular and hyperbolic functions, their inverses, and angles."""

import math
from typing import Any

import numpy as np

from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.primitives.primitive import op

_INSIDE = (-0.9, 0.9)

sin = op(np.sin, lambda g, x: product(g, np.cos(x)), onnx="Sin")
cos = op(np.cos, lambda g, x: -product(g, np.sin(x)), onnx="Cos")
tan = op(np.tan, lambda g, y: product(g, 1 + y * y), domain=(-1.4, 1.4), onnx="Tan")
arcsin = op(np.arcsin, lambda g, x: quotient(g, np.sqrt((1 - x) * (1 + x))), domain=_INSIDE, onnx="Asin")
arccos = op(np.arccos, lambda g, x: -quotient(g, np.sqrt((1 - x) * (1 + x))), domain=_INSIDE, onnx="Acos")
arctan = op(np.arctan, lambda g, x: quotient(g, 1 + x * x), onnx="Atan")

sinh = op(np.sinh, lambda g, x: product(g, np.cosh(x)), onnx="Sinh")
cosh = op(np.cosh, lambda g, x: product(g, np.sinh(x)), onnx="Cosh")
tanh = op(np.tanh, lambda g, y: g * (1 - y * y), onnx="Tanh")
arcsinh = op(np.arcsinh, lambda g, x: quotient(g, np.hypot(1, x)), onnx="Asinh")
arccosh = op(
    np.arccosh,
    lambda g, x: quotient(quotient(g, np.sqrt(x - 1)), np.sqrt(x + 1)),
    domain=(1.1, 9),
    onnx="Acosh",
)
arctanh = op(np.arctanh, lambda g, x: quotient(g, (1 - x) * (1 + x)), domain=_INSIDE, onnx="Atanh")

_function: Any
for _function in (np.deg2rad, np.radians):
    op(_function, lambda g: g * (math.pi / 180), linear=True, analytic=False)
for _function in (np.rad2deg, np.degrees):
    op(_function, lambda g: g * (180 / math.pi), linear=True, analytic=False)
