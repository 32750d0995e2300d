"""The array API's spellings: they read the last axes, and refuse what NumPy's refuse."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support import needs
from tests.support.derive import check
from tinygrad_nn.errors import DtypeError, ShapeError

X = np.arange(1.0, 13).reshape(2, 2, 3)


def test_matrices_lie_in_the_last_two_axes():
    check(np.linalg.trace, [X], [6, 18], np.broadcast_to(np.eye(2, 3), X.shape))
    assert np.linalg.diagonal(tn.tensor(X)).tolist() == [[1, 5], [7, 11]]
    assert np.linalg.matmul(tn.tensor(X), X.mT).shape == (2, 2, 2)


def test_operands_of_other_shapes_than_numpys_are_refused():
    t = tn.tensor(X, requires_grad=True)
    with pytest.raises(ShapeError, match=r"linalg.outer: operands are vectors(.|\n)*np.outer\(a, b\)"):
        np.linalg.outer(t, t)
    with pytest.raises(ShapeError, match="linalg.cross: vectors have three elements"):
        np.linalg.cross(t, t, axis=0)
    with pytest.raises(ShapeError, match="cross: vectors have two or three elements"):
        np.cross(t.reshape(3, 4), [1.0, 2.0, 3.0, 4.0])


def test_vectors_of_two_elements_have_a_third_that_is_zero():
    a, b = [1.0, 2.0], [3.0, 4.0, 5.0]
    check(lambda t: np.cross(t, [3.0, 4.0]), [a], -2, [4, -3])
    check(lambda t: np.cross(t, b), [a], [10, -5, -2], [-5 + 4, 5 - 3])


def test_a_cast_goes_to_dtypes_that_tensors_have():
    t = tn.tensor([1.5], requires_grad=True)
    assert np.astype(t, np.float64, copy=False).dtype == np.float64
    with pytest.raises(
        DtypeError, match=r"astype: complex numbers are not supported(.|\n)*z.real and of z.imag"
    ):
        np.astype(t, complex)


@needs.numpy_2_1
def test_running_sums_may_include_their_start():
    check(lambda t: np.cumulative_sum(t, include_initial=True), [[1.0, 2.0]], [0, 1, 3], [2, 1])
    check(lambda t: np.cumulative_prod(t, include_initial=True), [[2.0, 3.0]], [1, 2, 6], [4, 2])
    with pytest.raises(ShapeError, match="cumulative_sum: shape .* needs axis="):
        np.cumulative_sum(tn.tensor(X))
    with pytest.raises(ShapeError, match="cumulative_prod: shape .* needs axis="):
        np.cumulative_prod(tn.tensor(X))
