"""Activations far out, at their kinks and at NaN; softmax and its logarithm."""

import math
import warnings

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive

INF, NAN = math.inf, math.nan


@pytest.mark.case("H001")
def test_sigmoid_far_out_is_exact_and_silent():
    x = tn.tensor([1000.0, -1000.0, 0.0], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = tn.sigmoid(x)
        y.sum().backward()
    np.testing.assert_array_equal(y.data, [1, 0, 0.5])
    np.testing.assert_array_equal(x.grad, [0, 0, 0.25])


@pytest.mark.case("H002")
def test_sigmoid_keeps_tiny_gradients():
    y, (g,) = derive(tn.sigmoid, -700.0)
    assert y == pytest.approx(math.exp(-700), rel=1e-12)
    assert g == pytest.approx(math.exp(-700), rel=1e-12)


@pytest.mark.case("H004")
def test_softplus_far_out_is_the_identity_or_zero():
    check(tn.softplus, [[1000.0, -1000.0, 0.0]], [1000, 0, math.log(2)], [1, 0, 0.5])


@pytest.mark.case("H032")
def test_relu_passes_nan_on_and_no_gradient_back():
    check(tn.relu, [NAN], NAN, 0)


@pytest.mark.case("H033")
def test_leaky_relu_has_its_negative_slope_at_zero():
    check(lambda x: tn.leaky_relu(x, negative_slope=0.1), [[0.0, -2.0, 3.0]], [0, -0.2, 3], [0.1, 0.1, 1])


def test_elu_has_its_left_curvature_at_zero():
    check(tn.grad(lambda x: tn.elu(x, alpha=0.5)), [0.0], 0.5, 0.5)


@pytest.mark.case("H034")
def test_elu_at_zero_and_far_out_is_silent():
    x = tn.tensor([0.0, -1e3, 1e3], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = tn.elu(x)
        y.sum().backward()
    np.testing.assert_array_equal(y.data, [0, -1, 1e3])
    np.testing.assert_array_equal(x.grad, [1, 0, 1])


@pytest.mark.case("H038")
def test_gelu_far_out_is_the_identity_or_zero():
    check(tn.gelu, [[1e3, -1e3]], [1e3, 0], [1, 0])
    check(tn.gelu_tanh, [[1e160, -1e160, 1e3]], [1e160, 0, 1e3], [1, 0, 1])


@pytest.mark.parametrize("function", [tn.silu, tn.gelu, tn.gelu_tanh])
def test_activations_take_their_limits_at_infinity(function):
    x = tn.tensor([INF, -INF, 1e30, -1e30], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = function(x)
        first = tn.gradients(y.sum(), x, create_graph=True)
        second = tn.gradients(first.sum(), x)
    np.testing.assert_array_equal(y.data, np.float32([INF, 0, 1e30, 0]))
    np.testing.assert_array_equal(first.data, [1, 0, 1, 0])
    np.testing.assert_array_equal(second.data[2:], [0, 0])


def test_elu_has_the_slope_of_its_left_side_at_zero():
    check(lambda x: tn.elu(x, alpha=2.0), [[0.0, -0.0]], [0, 0], [2, 2])


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, np.bool_])
@pytest.mark.parametrize(
    "function",
    [
        tn.sigmoid,
        tn.softplus,
        tn.log_sigmoid,
        tn.softmax,
        tn.log_softmax,
        tn.logsumexp,
        tn.silu,
        tn.gelu_tanh,
    ],
    ids=lambda function: function.name,
)
def test_integers_are_computed_with_as_numbers_in_double_precision(function, dtype):
    x = np.array([[0, 1, 1], [1, 0, 0]]).astype(dtype)
    expected = function(x.astype(np.float64))
    for y in (function(x), function(tn.tensor(x)).data):
        assert np.asarray(y).dtype == np.float64
        np.testing.assert_array_equal(y, expected)


def test_softmax_over_no_entries_is_empty():
    for function in (tn.softmax, tn.log_softmax):
        x = tn.tensor(np.zeros((5, 0)), requires_grad=True)
        y = function(x)
        y.sum().backward()
        assert y.shape == x.grad.shape == (5, 0)
        assert function(np.zeros((0, 2)), axis=0).shape == (0, 2)


@pytest.mark.case("H005")
def test_softmax_shares_evenly_among_equal_large_entries():
    check(tn.softmax, [[1000.0, 1000.0]], [0.5, 0.5], [-0.25, 0.25], cotangent=[1, 2])


@pytest.mark.case("H006")
def test_softmax_of_distant_entries_is_one_and_zero():
    check(tn.softmax, [[1000.0, -1000.0]], [1, 0], [0, 0], cotangent=[1, 0])


@pytest.mark.case("H008")
def test_softmax_gives_an_infinitely_small_entry_nothing():
    check(tn.softmax, [[0.0, -INF]], [1, 0], [0, 0], cotangent=[1, 0])


@pytest.mark.case("H009")
def test_log_softmax_does_not_lose_small_probabilities():
    check(tn.log_softmax, [[1000.0, -1000.0]], [0, -2000], [-1, 1], cotangent=[0, 1])


@pytest.mark.case("H048")
def test_xlogy_at_zero_is_zero_without_a_gradient():
    x, y = tn.tensor(0.0, requires_grad=True), tn.tensor(0.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z = tn.xlogy(x, y)
    z.backward()
    assert (z.item(), x.grad, y.grad) == (0, 0, 0)
    check(tn.xlogy, [0.0, NAN], NAN, NAN, 0)


def test_xlogy_of_zero_has_no_gradient_where_there_is_no_logarithm():
    check(tn.xlogy, [[0.0, 0.0, -1.0], [-1.0, -INF, -1.0]], [0, 0, NAN], [0, 0, NAN], [0, 0, 1])


@pytest.mark.parametrize(
    "name", ["relu", "softplus", "log_sigmoid", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu"]
)
def test_activations_are_functions_and_methods(name):
    x = np.linspace(-2, 2, 5)
    on_array = getattr(tn, name)(x)
    assert type(on_array) is np.ndarray
    np.testing.assert_array_equal(getattr(tn, name)(tn.tensor(x)).data, on_array)
    np.testing.assert_array_equal(getattr(tn.tensor(x), name)().data, on_array)
