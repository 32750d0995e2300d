"""Sums, products, quotients and powers at zero, at infinity and with themselves."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check

INF, NAN = math.inf, math.nan


@pytest.mark.case("H072")
def test_broadcasting_with_nothing_gives_nothing_and_no_gradient():
    check(np.add, [np.zeros((0, 3)), np.ones((1, 3))], np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((1, 3)))
    check(
        np.multiply, [np.zeros((2, 0)), np.ones((1, 1))], np.zeros((2, 0)), np.zeros((2, 0)), np.zeros((1, 1))
    )


@pytest.mark.case("H042")
def test_division_by_zero_is_infinite_with_an_infinite_slope():
    check(np.divide, [[1.0, 0.0, -1.0], np.zeros(3)], [INF, NAN, -INF], [INF] * 3, [-INF, NAN, INF])


@pytest.mark.case("H050")
def test_an_operand_on_both_sides_collects_both_gradients():
    check(lambda x: x / x, [3.0], 1, 0)
    check(lambda x: x - x, [3.0], 0, 0)
    check(lambda x: x * x, [3.0], 9, 6)
    check(lambda x: x**x, [3.0], 27, 27 * (math.log(3) + 1))


@pytest.mark.case("H017")
def test_the_zeroth_power_is_constant_everywhere():
    check(lambda x: x**0, [[0.0, NAN, INF]], [1, 1, 1], [0, 0, 0])
    check(lambda x: x**0.0, [[0.0, NAN, INF]], [1, 1, 1], [0, 0, 0])


@pytest.mark.case("H018")
@pytest.mark.parametrize("power", [np.power, np.float_power])
def test_zero_to_the_zero_is_one_without_a_gradient(power):
    check(power, [0.0, 0.0], 1, 0, 0)


@pytest.mark.parametrize("power", [np.power, np.float_power])
def test_the_slope_of_a_zeroth_power_depends_on_the_exponent(power):
    check(lambda a, b: tn.grad(lambda x: power(x, b))(a), [4.0, 0.0], 0, 0, 0.25)


@pytest.mark.case("H020")
def test_an_integer_power_of_a_negative_base_has_no_gradient_for_its_exponent():
    check(np.power, [-1.0, 2.0], 1, -2, NAN)


@pytest.mark.case("H021")
def test_a_fractional_power_of_a_negative_base_is_nan():
    check(np.power, [-1.0, 0.5], NAN, NAN, NAN)


@pytest.mark.case("H022")
@pytest.mark.parametrize(
    ("exponent", "value", "slope"), [(1, 0, 1), (2, 0, 0), (0.5, 0, INF), (-1.0, INF, -INF)]
)
def test_constant_powers_of_zero_have_the_slope_of_their_limit(exponent, value, slope):
    check(lambda x: x**exponent, [0.0], value, slope)


@pytest.mark.case("H012")
def test_logaddexp_of_minus_infinities_is_minus_infinity_without_a_gradient():
    check(np.logaddexp, [-INF, -INF], -INF, NAN, NAN)


def test_hypot_and_arctan2_have_no_gradient_at_the_origin():
    check(np.hypot, [0.0, 0.0], 0, 0, 0)
    check(np.arctan2, [0.0, 0.0], 0, 0, 0)


def test_arctan2_and_arcsinh_do_not_overflow():
    check(np.arctan2, [1e200, 1e200], math.pi / 4, 5e-201, -5e-201)
    check(np.arcsinh, [1e200], np.arcsinh(1e200), 1e-200)
