"""Running extremes and running sums of exponentials: ties, NaN, infinities, and what overflows nowhere."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check

INF = np.inf


def test_of_equal_maxima_the_first_keeps_the_gradient():
    check(np.maximum.accumulate, [[1.0, 3.0, 3.0, 2.0, 4.0]], [1, 3, 3, 3, 4], [1, 3, 0, 0, 1])
    check(np.minimum.accumulate, [[3.0, 1.0, 1.0, 2.0, 0.0]], [3, 1, 1, 1, 0], [1, 3, 0, 0, 1])


def test_running_extremes_along_axes_are_those_of_numpy():
    x = np.random.default_rng(0).integers(0, 4, (3, 4, 5)).astype(float)
    x[1, 2, 3] = np.nan
    for ufunc in (np.maximum, np.minimum):
        for axis in (0, 1, -1):
            y = ufunc.accumulate(tn.tensor(x), axis)
            np.testing.assert_array_equal(y.data, ufunc.accumulate(x, axis))
    for dtype in (np.uint8, np.int8, bool):
        whole = (x[0] % 2).astype(dtype)
        np.testing.assert_array_equal(
            np.minimum.accumulate(tn.tensor(whole)).data, np.minimum.accumulate(whole)
        )


def test_a_nan_stays_and_the_first_one_has_the_gradient():
    nan = np.nan
    check(np.maximum.accumulate, [[1.0, nan, 5.0, nan]], [1, nan, nan, nan], [1, 3, 0, 0])
    check(np.minimum.accumulate, [[nan, nan, 0.0]], [nan, nan, nan], [3, 0, 0])


def test_the_logarithm_of_a_running_sum_neither_over_nor_underflows():
    x = np.array([-INF, 1000.0, -1000.0, 1001.0, -INF])
    t = tn.tensor(x, requires_grad=True)
    y = tn.cumlogsumexp(t)
    top = 1001 + np.log1p(np.exp(-1))
    np.testing.assert_allclose(y.data, [-INF, 1000, 1000, top, top])
    (g,) = tn.gradients(y, [t], cotangent=np.ones(5), create_graph=True)
    p = 1 / (1 + np.exp(1))
    np.testing.assert_allclose(g.data, [0, 2 + 2 * p, 0, 2 - 2 * p, 0], atol=1e-12)
    (second,) = tn.gradients(g[1], [t])
    assert np.isfinite(second.data).all()
    np.testing.assert_allclose(second.data[1], 2 * p * (1 - p), rtol=1e-9)


def test_what_is_all_minus_infinity_stays_so_without_a_gradient():
    check(tn.cumlogsumexp, [[-INF, -INF]], [-INF, -INF], [0, 0])


def test_a_running_sum_of_exponentials_in_float32_is_as_good_as_one_in_float64():
    x = np.float32(np.random.default_rng(0).normal(size=100_000))
    expected = np.logaddexp.accumulate(x.astype(float))
    assert tn.cumlogsumexp(x).dtype == np.float32
    np.testing.assert_allclose(tn.cumlogsumexp(x), expected, rtol=1e-6, atol=1e-6)


def test_numpys_name_for_it_takes_the_first_axis():
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_array_equal(np.logaddexp.accumulate(tn.tensor(x)).data, np.logaddexp.accumulate(x))
    np.testing.assert_array_equal(tn.cumlogsumexp(x), np.logaddexp.accumulate(x, axis=1))


@pytest.mark.parametrize(
    ("name", "hint"), [("cummax", "np.maximum.accumulate"), ("logcumsumexp", "tn.cumlogsumexp")]
)
def test_pytorchs_names_lead_here(name, hint):
    with pytest.raises(AttributeError, match=hint):
        getattr(tn, name)
