"""The methods of ufuncs: what stands in NumPy's documentation for them holds for tensors, with gradients."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import NoGradientRule
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY

OF_TWO = [
    op
    for op in dict.fromkeys(REGISTRY.values())
    if isinstance(op, Primitive) and isinstance(op.key, np.ufunc) and op.key.nin == 2 and not op.key.signature
]

A, B = np.array([[0.5, 2.25, 3.75]]), np.array([1.5, 0.75])


@pytest.mark.parametrize("op", OF_TWO, ids=lambda op: op.name)
def test_outer_is_the_ufunc_of_all_pairs(op):
    kinds = next(kinds for kinds in ("dd", "di", "ll") if any(t.startswith(kinds) for t in op.key.types))
    a, b = (x if kind == "d" else (4 * x).astype(int) for x, kind in zip((A, B), kinds, strict=True))
    y = op.key.outer(tn.tensor(a, requires_grad=a.dtype.kind == "f"), b)
    np.testing.assert_array_equal(y.data, op.key.outer(a, b))
    if y.requires_grad:
        cotangent = np.arange(6.0).reshape(1, 3, 2) + 1
        _, (expected,) = derive(lambda t: op(t[..., None], b), a, cotangent=cotangent)
        _, (found,) = derive(lambda t: op.key.outer(t, b), a, cotangent=cotangent)
        np.testing.assert_array_equal(found, expected)


def test_outer_takes_lists_beside_tensors_without_widening_them():
    t = tn.tensor(np.float32([1, 2]), requires_grad=True)
    assert np.multiply.outer([0.5, 2.0], t).dtype == np.float32
    assert np.subtract.outer(t, 1.0).shape == (2,)


def test_reduce_runs_over_the_first_axis_unless_it_is_told():
    x = np.arange(1.0, 7).reshape(2, 3)
    check(np.add.reduce, [x], [5, 7, 9], np.ones((2, 3)))
    check(lambda t: np.maximum.reduce(t, 1), [x], [3, 6], [[0, 0, 1], [0, 0, 1]])
    check(lambda t: np.multiply.reduce(t, axis=None), [x], 720, 720 / x)
    check(lambda t: np.add.reduce(t, axis=1, keepdims=True), [x], [[6], [15]], np.ones((2, 3)))


def test_methods_without_an_op_are_refused_or_run_on_the_array():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    for call in (np.subtract.reduce, np.subtract.accumulate, lambda t: np.add.reduceat(t, [0])):
        with pytest.raises(NoGradientRule, match="with a rule: reduce of np.add"):
            call(w)
        np.testing.assert_array_equal(call(w.detach()), call(w.data))
