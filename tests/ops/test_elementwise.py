"""Functions of one element where their derivatives go wrong: at poles, at kinks and far out."""

import math
import warnings

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check

INF, NAN = math.inf, math.nan


@pytest.mark.case("H013")
def test_log_is_infinite_at_zero_and_warns_as_numpy_does():
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


@pytest.mark.case("H014")
def test_log1p_is_infinite_at_its_pole_and_exact_near_zero():
    check(np.log1p, [[-1.0, 1e-20]], [-INF, 1e-20], [INF, 1])


@pytest.mark.case("H016")
def test_exp_overflows_to_infinity_and_underflows_to_zero():
    check(np.exp, [[1000.0, -1000.0]], [INF, 0], [INF, 0])


@pytest.mark.case("H024")
def test_sqrt_has_an_infinite_slope_at_zero_and_is_nan_below():
    check(np.sqrt, [[0.0, -1.0]], [0, NAN], [INF, NAN])


@pytest.mark.case("H026")
def test_sqrt_of_a_sum_of_squares_at_zero_is_not_a_norm():
    check(lambda x: np.sqrt((x * x).sum()), [np.zeros(2)], 0, [NAN, NAN])


@pytest.mark.case("H029")
@pytest.mark.parametrize("function", [np.abs, np.fabs])
def test_the_absolute_value_has_no_slope_at_zero(function):
    check(function, [[0.0, -0.0]], [0, 0], [0, 0])


def test_copysign_has_no_slope_at_zero_as_the_absolute_value_has_none():
    check(np.copysign, [[0.0, -0.0, 0.0], [1.0, 1.0, -1.0]], [0, 0, 0], [0, 0, 0], [0, 0, 0])
    check(
        np.copysign,
        [[2.0, -2.0, 2.0, -2.0], [0.0, -0.0, -1.0, 1.0]],
        [2, -2, -2, 2],
        [1, 1, -1, -1],
        np.zeros(4),
    )
    check(np.copysign, [NAN, -1.0], NAN, NAN, 0)


@pytest.mark.case("H030")
@pytest.mark.parametrize("function", [np.abs, np.fabs])
def test_the_absolute_value_of_nan_is_nan_and_so_is_its_slope(function):
    check(function, [NAN], NAN, NAN)
