"""The gamma function and Bessel functions: exact to the last places, at their ends, derived as often as one likes."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import derive
from tinygrad_nn.ops.gamma import bessel_i, polygamma
from tinygrad_nn.testing import gradcheck

INF, NAN = math.inf, math.nan
EXACT = {
    "gammaln": {
        1e-300: 690.7755278982137,
        0.3: 1.0957979948180756,
        0.9999: 5.7729791561193866e-05,
        1.0001: -5.771334222047127e-05,
        1.38: -0.11817882085873786,
        1.9999: -4.227520877215346e-05,
        2.6: 0.35741186354897986,
        5.5: 3.9578139676187165,
        7.9: 8.32426586800881,
        8.1: 8.72738826343204,
        171.5: 709.1431630309282,
        10000000000.0: 220258509288.81058,
        1e300: 6.897755278982137e302,
    },
    "digamma": {
        1e-300: -9.999999999999999e299,
        0.3: -3.502524222200133,
        0.82: -0.9198850985570638,
        1.4616321: -4.3514636958769774e-08,
        1.47: 0.008066489011364869,
        2.0: 0.42278433509846713,
        3.3: 1.0348224890596216,
        30.0: 3.384438132685525,
        10000000000.0: 23.025850929890456,
    },
    "i1": {
        1e-20: 5e-21,
        0.5: 0.2578943053908963,
        -3.0: -3.9533702174026093,
        15.0: 328124.9219702064,
        19.7: 31680454.742789436,
        20.3: 56899786.3301919,
        200.0: 2.034581549332063e85,
        712.5: 4.0654371450013245e307,
    },
}
"""Computed with 50 digits by mpmath."""
UNITS = {"gammaln": 5, "digamma": 15, "i1": 7}


@pytest.mark.parametrize("name", EXACT)
def test_values_are_right_to_the_last_places(name):
    x, exact = np.array([*EXACT[name]]), np.array([*EXACT[name].values()])
    units = np.abs(getattr(tn, name)(x) - exact) / np.spacing(np.abs(exact))
    assert units.max() <= UNITS[name]
    assert getattr(tn, name)(np.float32([1.5])).dtype == np.float32


def test_left_of_zero_the_functions_are_reflected():
    x = np.array([-0.5, -1.25, -2.75, -10.1, -0.001])
    np.testing.assert_allclose(tn.gammaln(x), [math.lgamma(k) for k in x], rtol=1e-13)
    np.testing.assert_allclose(tn.digamma(x), tn.digamma(x + 1) - 1 / x, rtol=1e-12)
    for order in (1, 2, 3):
        step = (-1) ** order * math.factorial(order) / x ** (order + 1)
        np.testing.assert_allclose(
            polygamma(x, order=order), polygamma(x + 1, order=order) - step, rtol=1e-12
        )


def test_ends_and_poles():
    np.testing.assert_array_equal(tn.gammaln(np.array([0.0, -1, -7, INF, NAN])), [INF, INF, INF, INF, NAN])
    np.testing.assert_array_equal(tn.digamma(np.array([0.0, -0.0, -1, INF, NAN])), [-INF, INF, NAN, INF, NAN])
    np.testing.assert_array_equal(
        tn.i1(np.array([0.0, 720, -720, INF, -INF, NAN])), [0, INF, -INF, INF, -INF, NAN]
    )
    assert np.i0(tn.tensor(-2.0, dtype=float)).item() == np.i0(2.0)


def test_derivatives_of_every_order_are_those_of_the_next_function():
    assert gradcheck(tn.gammaln, np.array([0.4, 1.0, 1.46, 2.0, 9.0, -0.6]), order=3).nonzero
    assert gradcheck(np.i0, np.array([-1.5, 0.0, 2.0, 30.0]) / 4, order=3).nonzero
    _, (g,) = derive(tn.gammaln, [3.0])
    assert g == pytest.approx(1.5 - 0.5772156649015329, rel=1e-14)
    x = np.array([0.5, 19.5, 20.5, 60.0])
    # The recurrence of neighbours, across the place where the series change.
    np.testing.assert_allclose(
        bessel_i(x, order=1) - bessel_i(x, order=3), 4 / x * bessel_i(x, order=2), rtol=1e-12
    )
