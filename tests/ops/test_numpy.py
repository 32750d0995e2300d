"""NumPy's own functions: which are there, and why the others are not."""

import numpy as np

from tinygrad_nn.primitives.record import REGISTRY

NOT_THERE = {
    "divmod": "two results; // and % have them one by one",
    "modf": "two results",
    "frexp": "two results",
    "isnat": "dates",
    "nextafter": "the neighbour of a number has no derivative that means anything",
    "matvec": "not in NumPy 2.0; matmul",
    "vecmat": "not in NumPy 2.0; matmul",
}


def test_every_ufunc_is_registered_or_named_with_a_reason():
    ufuncs = {name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
    missing = {name for name in ufuncs if getattr(np, name) not in REGISTRY}
    # Which functions there are depends on NumPy's version; no entry outlives its reason.
    assert missing == ufuncs & set(NOT_THERE)
