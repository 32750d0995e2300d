"""Elementwise functions where gradient libraries go wrong: extremes, kinks, ties, dead branches."""

import math
import warnings

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive

INF, NAN = math.inf, math.nan


def test_H001_sigmoid_far_out_is_exact_and_silent():
    x = tn.tensor([1000.0, -1000.0, 0.0], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = tn.sigmoid(x)
        y.sum().backward()
    np.testing.assert_array_equal(y.data, [1, 0, 0.5])
    np.testing.assert_array_equal(x.grad, [0, 0, 0.25])


def test_H002_sigmoid_keeps_tiny_gradients():
    y, (g,) = derive(tn.sigmoid, -700.0)
    assert y == pytest.approx(math.exp(-700), rel=1e-12)
    assert g == pytest.approx(math.exp(-700), rel=1e-12)


def test_H004_softplus_far_out():
    check(tn.softplus, [[1000.0, -1000.0, 0.0]], [1000, 0, math.log(2)], [1, 0, 0.5])


def test_H005_softmax_of_equal_large_entries():
    check(tn.softmax, [[1000.0, 1000.0]], [0.5, 0.5], [-0.25, 0.25], cotangent=[1, 2])


def test_H006_softmax_of_distant_entries():
    check(tn.softmax, [[1000.0, -1000.0]], [1, 0], [0, 0], cotangent=[1, 0])


def test_H008_softmax_with_an_infinitely_small_entry():
    check(tn.softmax, [[0.0, -INF]], [1, 0], [0, 0], cotangent=[1, 0])


def test_H009_log_softmax_does_not_lose_small_probabilities():
    check(tn.log_softmax, [[1000.0, -1000.0]], [0, -2000], [-1, 1], cotangent=[0, 1])


def test_H010_logsumexp_of_nothing_and_of_minus_infinities_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tn.logsumexp(tn.tensor([-INF, -INF])).item() == -INF
        assert tn.logsumexp(tn.tensor(np.zeros(0))).item() == -INF
    check(tn.logsumexp, [[-INF, -INF]], -INF, [NAN, NAN])
    check(tn.logsumexp, [np.zeros(0)], -INF, np.zeros(0))


def test_H012_logaddexp_of_minus_infinities():
    check(np.logaddexp, [-INF, -INF], -INF, NAN, NAN)


def test_H013_log_at_the_edge_of_its_domain():
    check(np.log, [[0.0, -1.0]], [-INF, NAN], [INF, -1])
    check(np.log, [-0.0], -INF, -INF)
    x = tn.tensor(0.0, requires_grad=True)
    before = np.geterr()
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        y = np.log(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y.backward()
    assert np.geterr() == before


def test_H014_log1p_at_its_pole_and_near_zero():
    check(np.log1p, [[-1.0, 1e-20]], [-INF, 1e-20], [INF, 1])


def test_H016_exp_far_out():
    check(np.exp, [[1000.0, -1000.0]], [INF, 0], [INF, 0])


def test_H017_the_zeroth_power_is_constant_everywhere():
    check(lambda x: x**0, [[0.0, NAN, INF]], [1, 1, 1], [0, 0, 0])
    check(lambda x: x**0.0, [[0.0, NAN, INF]], [1, 1, 1], [0, 0, 0])


@pytest.mark.parametrize("power", [np.power, np.float_power])
def test_H018_zero_to_the_zero(power):
    check(power, [0.0, 0.0], 1, 0, 0)


def test_H020_integer_power_of_a_negative_base():
    check(np.power, [-1.0, 2.0], 1, -2, NAN)


def test_H021_fractional_power_of_a_negative_base():
    check(np.power, [-1.0, 0.5], NAN, NAN, NAN)


@pytest.mark.parametrize(
    ("exponent", "value", "slope"), [(1, 0, 1), (2, 0, 0), (0.5, 0, INF), (-1.0, INF, -INF)]
)
def test_H022_constant_powers_of_zero(exponent, value, slope):
    check(lambda x: x**exponent, [0.0], value, slope)


def test_H024_sqrt_at_and_below_zero():
    check(np.sqrt, [[0.0, -1.0]], [0, NAN], [INF, NAN])


@pytest.mark.parametrize("order", [None, 2, 3, 1, INF])
def test_H025_norm_at_zero_has_the_smallest_subgradient(order):
    check(lambda x: np.linalg.norm(x, order), [np.zeros(2)], 0, [0, 0])


def test_H026_sqrt_of_a_sum_of_squares_at_zero_is_not_a_norm():
    check(lambda x: np.sqrt((x * x).sum()), [np.zeros(2)], 0, [NAN, NAN])


def test_H028_spread_of_one_element_with_ddof():
    check(lambda x: np.var(x, ddof=1), [[2.0]], NAN, [NAN])
    check(lambda x: np.std(x, ddof=1), [[2.0]], NAN, [NAN])


@pytest.mark.parametrize("function", [np.abs, np.fabs])
def test_H029_absolute_value_at_zero(function):
    check(function, [[0.0, -0.0]], [0, 0], [0, 0])


@pytest.mark.parametrize("function", [np.abs, np.fabs])
def test_H030_absolute_value_of_nan(function):
    check(function, [NAN], NAN, NAN)


def test_H032_relu_of_nan():
    check(tn.relu, [NAN], NAN, 0)


def test_H033_leaky_relu_at_zero():
    check(lambda x: tn.leaky_relu(x, negative_slope=0.1), [[0.0, -2.0, 3.0]], [0, -0.2, 3], [0.1, 0.1, 1])


def test_H034_elu_at_zero_and_far_out_is_silent():
    x = tn.tensor([0.0, -1e3, 1e3], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = tn.elu(x)
        y.sum().backward()
    np.testing.assert_array_equal(y.data, [0, -1, 1e3])
    np.testing.assert_array_equal(x.grad, [1, 0, 1])


@pytest.mark.parametrize("function", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_H036_ties_share_evenly_and_a_shared_operand_gets_all(function):
    check(function, [2.0, 2.0], 2, 0.5, 0.5)
    check(lambda x: function(x, x), [2.0], 2, 1)


def test_H037_maximum_with_nan_gives_the_gradient_to_neither():
    check(np.maximum, [NAN, 1.0], NAN, 0, 0)
    check(np.fmax, [NAN, 1.0], 1, 0, 1)


def test_H038_gelu_far_out():
    check(tn.gelu, [[1e3, -1e3]], [1e3, 0], [1, 0])
    check(tn.gelu_tanh, [[1e160, -1e160, 1e3]], [1e160, 0, 1e3], [1, 0, 1])


def test_H040_tanh_far_out():
    check(np.tanh, [[1e3, -1e3]], [1, -1], [0, 0])


def test_H041_arcsin_at_its_ends():
    check(np.arcsin, [[1.0, -1.0]], [math.pi / 2, -math.pi / 2], [INF, INF])


def test_H042_division_by_zero():
    check(np.divide, [[1.0, 0.0, -1.0], np.zeros(3)], [INF, NAN, -INF], [INF] * 3, [-INF, NAN, INF])


def test_H044_log_in_a_branch_that_is_not_taken():
    check(lambda x: np.where(x > 0, np.log(x), 0.0), [[0.0, -1.0, 1.0]], [0, 0, 0], [0, 0, 1])


DEAD_BRANCHES = {
    "sqrt": (np.sqrt, [0.0, -1.0]),
    "power": (lambda x: x**0.5, [0.0, -1.0]),
    "reciprocal": (lambda x: 1 / x, [0.0, -0.0]),
    "np.reciprocal": (np.reciprocal, [0.0, -0.0]),
    "arcsin": (np.arcsin, [1.0, -1.0, 2.0]),
    "arccos": (np.arccos, [1.0, -1.0, 2.0]),
    "log1p": (np.log1p, [-1.0, -2.0]),
    "log2": (np.log2, [0.0, -1.0]),
    "log10": (np.log10, [0.0, -1.0]),
    "arccosh": (np.arccosh, [1.0, 0.0, -2.0]),
    "arctanh": (np.arctanh, [1.0, -1.0, 2.0]),
    "cbrt": (np.cbrt, [0.0]),
    "exp": (np.exp, [1000.0]),
    "exp2": (np.exp2, [5000.0]),
    "expm1": (np.expm1, [1000.0]),
    "sinh": (np.sinh, [1000.0]),
    "cosh": (np.cosh, [1000.0]),
    "tan of an infinity": (np.tan, [INF]),
    "sin of an infinity": (np.sin, [INF]),
    "cos of an infinity": (np.cos, [INF]),
    "norm": (lambda x: np.linalg.norm(x[:, None], axis=1), [0.0, INF]),
    "std": (lambda x: np.std(np.stack([x, x]), axis=0), [1.0, INF]),
    "remainder": (lambda x: np.remainder(1.0, x), [0.0]),
    "arctan2": (lambda x: np.arctan2(x, x), [0.0]),
    "hypot": (lambda x: np.hypot(x, x), [0.0, INF]),
    "xlogy": (lambda x: tn.xlogy(1.0, x), [0.0, -1.0]),
}


@pytest.mark.parametrize("name", DEAD_BRANCHES)
def test_H045_a_branch_that_is_not_taken_has_no_gradient(name):
    function, places = DEAD_BRANCHES[name]
    _, (g,) = derive(lambda x: np.where(np.zeros(x.shape, bool), function(x), 0.0), places)
    np.testing.assert_array_equal(g, np.zeros(len(places)))


@pytest.mark.parametrize("name", DEAD_BRANCHES)
def test_H045_not_in_the_second_derivative_either(name):
    function, places = DEAD_BRANCHES[name]
    places = [place for place in places if math.isfinite(place)]
    x = tn.tensor(np.array(places), requires_grad=True)
    with np.errstate(all="ignore"):
        y = np.where(np.zeros(x.shape, bool), function(x), 0.0)
        first = tn.gradients(y.sum(), x, create_graph=True)
        np.testing.assert_array_equal(first.data, np.zeros(len(places)))
        if first.requires_grad:
            second = tn.gradients(first.sum(), x)
            np.testing.assert_array_equal(second.data, np.zeros(len(places)))


def test_H046_where_with_the_same_operand_twice():
    check(lambda x: np.where(x > 0, x, x), [[-1.0, 0.0, 2.0]], [-1, 0, 2], [1, 1, 1])


def test_H048_xlogy_at_zero():
    x, y = tn.tensor(0.0, requires_grad=True), tn.tensor(0.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z = tn.xlogy(x, y)
    z.backward()
    assert (z.item(), x.grad, y.grad) == (0, 0, 0)
    check(tn.xlogy, [0.0, NAN], NAN, NAN, 0)


def test_H049_huber_has_no_step_in_its_slope():
    def loss(x):
        return tn.nn.losses.huber(x, np.zeros(3), reduction="sum")

    check(loss, [[1.0, -1.0, 0.0]], 1, [1, -1, 0])


def test_H050_the_same_operand_on_both_sides():
    check(lambda x: x / x, [3.0], 1, 0)
    check(lambda x: x - x, [3.0], 0, 0)
    check(lambda x: x * x, [3.0], 9, 6)
    check(lambda x: x**x, [3.0], 27, 27 * (math.log(3) + 1))
