"""Whether two parameters or constants are the same: where two runs are compared, and where expressions are merged."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_nn.engine.tensor import Tensor


def same(a: Any, b: Any) -> bool:
    """Tell whether two parameters or constants are equal, arrays and NaN included."""
    if a is b:
        return True
    # Comparing tensors would make a tensor.
    if type(a) is not type(b) or isinstance(a, Tensor):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (np.ndarray, np.generic)):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, slice):
        return same((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    return bool(a == b) or bool(a != a and b != b)
