"""Products and running sums: zeros among the factors are exact, in every order."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check
from tinygrad_nn.errors import SettingError
from tinygrad_nn.primitives.record import REGISTRY


@pytest.mark.case("H064")
def test_products_with_zeros_are_exact():
    check(np.cumprod, [[0.0, 2.0, 0.0]], [0, 0, 0], [3, 0, 0])
    check(np.prod, [[0.0, 2.0, 3.0]], 0, [6, 0, 0])
    check(np.prod, [[0.0, 2.0, 0.0]], 0, [0, 0, 0])


@pytest.mark.case("H064")
def test_products_with_zeros_have_exact_second_derivatives():
    hessian = tn.hessian(np.prod)(np.array([0.0, 2.0, 0.0])).data
    np.testing.assert_array_equal(hessian, [[0, 0, 2], [0, 0, 0], [2, 0, 0]])


def test_recurrence_is_cumsum_and_cumprod():
    x = np.array([2.0, 3.0, 5.0])
    recurrence = REGISTRY["recurrence"]
    np.testing.assert_array_equal(recurrence(x, np.ones(3), axis=0), np.cumsum(x))
    np.testing.assert_array_equal(recurrence(np.array([2.0, 0, 0]), x, axis=0), np.cumprod(x))


def test_differences_start_and_end_with_what_is_put_there():
    check(lambda t: np.diff(t, prepend=0, append=[9.0]), [[1.0, 3.0]], [1, 2, 6], [0, 0])
    check(lambda t, edge: np.diff(t, prepend=edge), [[1.0], [4.0, 5.0]], [1, -4], [1], [-1, 0])
    t = tn.tensor(np.float32([[1, 2]]), requires_grad=True)
    assert np.diff(t, prepend=0.1, append=np.float64(3)).dtype == np.float32
    assert np.diff(t, axis=0, prepend=0.1).shape == (1, 2)
    assert np.diff(tn.tensor([1, 2]), prepend=0.5).tolist() == [0.5, 1]


def test_differences_are_taken_no_fewer_than_zero_times():
    check(lambda x: np.diff(x, n=0), [[1.0, 4.0]], [1, 4], [1, 1])
    with pytest.raises(SettingError, match="diff: n is how many times, got -1"):
        np.diff(tn.tensor([1.0, 4.0]), n=-1)
