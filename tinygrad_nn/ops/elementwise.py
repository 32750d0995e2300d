"""Functions of one array, element by element. Start reading here: a derivative rule is one line of NumPy."""

import numpy as np

from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.primitive import op

exp = op(np.exp, lambda g, y: product(g, y), onnx="Exp")
log = op(np.log, lambda g, x: quotient(g, x), domain=(0.1, 9), onnx="Log")
sqrt = op(np.sqrt, lambda g, y: quotient(g, 2 * y), domain=(0.1, 9), onnx="Sqrt")
tanh = op(np.tanh, lambda g, y: g * (1 - y * y), onnx="Tanh")
sin = op(np.sin, lambda g, x: g * np.cos(x), onnx="Sin")
cos = op(np.cos, lambda g, x: -g * np.sin(x), onnx="Cos")
