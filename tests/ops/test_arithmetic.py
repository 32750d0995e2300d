"""Sums, products, quotients and powers at zero, at infinity and with themselves."""

import math

import numpy as np
import pytest

from tests.support.derive import check

INF, NAN = math.inf, math.nan


def test_H072_broadcasting_with_nothing():
    check(np.add, [np.zeros((0, 3)), np.ones((1, 3))], np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((1, 3)))
    check(
        np.multiply, [np.zeros((2, 0)), np.ones((1, 1))], np.zeros((2, 0)), np.zeros((2, 0)), np.zeros((1, 1))
    )


def test_H042_division_by_zero():
    check(np.divide, [[1.0, 0.0, -1.0], np.zeros(3)], [INF, NAN, -INF], [INF] * 3, [-INF, NAN, INF])


def test_H050_the_same_operand_on_both_sides():
    check(lambda x: x / x, [3.0], 1, 0)
    check(lambda x: x - x, [3.0], 0, 0)
    check(lambda x: x * x, [3.0], 9, 6)
    check(lambda x: x**x, [3.0], 27, 27 * (math.log(3) + 1))


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


def test_H012_logaddexp_of_minus_infinities():
    check(np.logaddexp, [-INF, -INF], -INF, NAN, NAN)


def test_hypot_and_arctan2_at_the_origin():
    check(np.hypot, [0.0, 0.0], 0, 0, 0)
    check(np.arctan2, [0.0, 0.0], 0, 0, 0)


def test_arctan2_and_arcsinh_do_not_overflow():
    check(np.arctan2, [1e200, 1e200], math.pi / 4, 5e-201, -5e-201)
    check(np.arcsinh, [1e200], np.arcsinh(1e200), 1e-200)
