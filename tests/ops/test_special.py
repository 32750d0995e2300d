"""erf: exact to the last places, at its ends and in every dtype."""

import math

import numpy as np

import tinygrad_nn as tn


def test_erf_is_right_to_two_and_a_half_units_in_the_last_place():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-7, 7, 40_001), 10.0 ** rng.uniform(-320, 0, 2000), [5e-324, 1e308]])
    small = np.concatenate(
        [x[np.abs(x) < 10], 10 ** rng.uniform(-38, 1, 20_000), [0.00039731877, 0.0034469895]]
    )
    for values in (x, small.astype(np.float32)):
        exact = np.array([math.erf(float(value)) for value in values])
        y = tn.erf(values)
        assert y.dtype == values.dtype
        units = np.abs(y.astype(float) - exact) / np.spacing(np.abs(exact).astype(values.dtype)).astype(float)
        assert units.max() <= 2.5
        np.testing.assert_array_equal(tn.erf(-values), -y)


def test_erf_at_zero_infinity_and_nan_and_of_other_types():
    y = tn.erf(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 6.0]))
    np.testing.assert_array_equal(y, [0, 0, 1, -1, np.nan, 1])
    assert np.signbit(y).tolist() == [False, True, False, True, False, False]
    assert tn.erf(np.float16([0.5])).dtype == np.float16
    assert tn.erf(2.0) == tn.erf(np.array([0, 2]))[1] == math.erf(2)
    assert tn.erf(np.zeros((0, 2))).shape == (0, 2)
    x = tn.tensor(0.5, dtype=float, requires_grad=True)
    assert tn.erf(x).item() == math.erf(0.5)
