"""Functions of one element where their derivatives go wrong: at poles, at kinks and far out."""

import math
import warnings

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check

INF, NAN = math.inf, math.nan


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


def test_H024_sqrt_at_and_below_zero():
    check(np.sqrt, [[0.0, -1.0]], [0, NAN], [INF, NAN])


def test_H026_sqrt_of_a_sum_of_squares_at_zero_is_not_a_norm():
    check(lambda x: np.sqrt((x * x).sum()), [np.zeros(2)], 0, [NAN, NAN])


@pytest.mark.parametrize("function", [np.abs, np.fabs])
def test_H029_absolute_value_at_zero(function):
    check(function, [[0.0, -0.0]], [0, 0], [0, 0])


@pytest.mark.parametrize("function", [np.abs, np.fabs])
def test_H030_absolute_value_of_nan(function):
    check(function, [NAN], NAN, NAN)
