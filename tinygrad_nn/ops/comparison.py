"""Functions whose results carry no gradient: comparisons, positions, properties of an array."""

from typing import Any

import numpy as np

from tinygrad_nn.primitive import op


def _constant(function: Any, operands: int, method: bool = False) -> Any:
    return op(function, *(None,) * operands, differentiable=False, method=method)


for _function in (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal):
    _constant(_function, 2)
for _function in (np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor):
    _constant(_function, 2)
for _function in (np.isnan, np.isinf, np.isfinite, np.signbit, np.logical_not, np.invert, np.isposinf, np.isneginf):
    _constant(_function, 1)
for _function in (np.argmax, np.argmin, np.argsort, np.all, np.any):
    _constant(_function, 1, method=True)
for _function in (np.zeros_like, np.ones_like, np.empty_like, np.count_nonzero):
    _constant(_function, 1)
