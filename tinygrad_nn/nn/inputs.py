"""What layers are given, in the dtype of their parameters."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.context import current
from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor, wrap

_REAL = "fiub"


def cast_input(x: Operand, dtype: np.dtype) -> Tensor:
    """Return `x` as a tensor; plain arrays, and integers in any form, come in the dtype of a layer's parameters."""
    if type(x) is Tensor:
        if x._data.dtype == dtype or (x._data.dtype.kind == "f" and not stands_for_plain(x)):
            return x
        return x.astype(dtype) if x._data.dtype.kind in _REAL else x
    if type(x) is np.ndarray and x.dtype is dtype:
        return wrap(x, None)
    x = as_tensor(x)
    return wrap(x._data.astype(dtype), None) if x.dtype.kind in _REAL and x.dtype != dtype else x


def stands_for_plain(x: Tensor) -> bool:
    """Tell whether a tensor stands for a plain array among the arguments of a function that is being captured."""
    return any(tracer.is_plain(x) for tracer in current().tracers)
