import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_nn import data


def test_moons_are_the_published_ones():
    X, y = data.moons()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((200, 2), np.float64, (200,), np.int64)
    np.testing.assert_allclose(X[0], (0.74346118, 0.46465633), atol=5e-9)
    assert y[:10].tolist() == [0, 1, 1, 0, 1, 1, 0, 1, 0, 1]
    assert abs(X.sum() - 148.958066829) < 1e-9


@pytest.fixture(scope="module")
def scikit_learn():
    return pytest.importorskip("sklearn.datasets")


@given(n=st.integers(1, 300), noise=st.sampled_from([None, 0, 0.0, 0.2, 1]), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_moons_equal_those_of_scikit_learn(scikit_learn, n, noise, seed):
    X, y = data.moons(n, noise=noise, seed=seed)
    # scikit-learn's own validation wants a float
    expected_X, expected_y = scikit_learn.make_moons(
        n, noise=None if noise is None else float(noise), random_state=seed
    )
    np.testing.assert_array_equal(X, expected_X)
    np.testing.assert_array_equal(y, expected_y)


def test_moons_give_an_odd_point_to_the_inner_moon():
    _, y = data.moons(7)
    assert np.bincount(y).tolist() == [3, 4]


def test_moons_without_noise_lie_on_their_circles():
    X, y = data.moons(50, noise=None)
    centres = np.array([[0, 0], [1, 0.5]])[y]
    np.testing.assert_allclose(np.hypot(*(X - centres).T), 1)


def test_moons_leave_the_global_generator_alone():
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002, the state of which this is about
    data.moons()
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


@pytest.mark.parametrize("n", [0, -1])
def test_moons_refuse_to_be_empty(n):
    with pytest.raises(ValueError, match=f"n is a positive integer, got {n}"):
        data.moons(n)


def test_moons_refuse_a_fraction_of_a_point():
    with pytest.raises(ValueError, match=r"n is a positive integer, got 2\.5"):
        data.moons(2.5)


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_moons_refuse_impossible_noise(noise):
    with pytest.raises(ValueError, match=f"noise is a number .*got {noise}"):
        data.moons(noise=noise)
