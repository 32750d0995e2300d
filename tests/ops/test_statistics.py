"""Variances, weighted means, covariances and what is missing."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError

NAN = math.nan


@pytest.mark.case("H028")
def test_the_spread_of_one_element_with_ddof_is_nan():
    check(lambda x: np.var(x, ddof=1), [[2.0]], NAN, [NAN])
    check(lambda x: np.std(x, ddof=1), [[2.0]], NAN, [NAN])


def test_std_of_equal_elements_has_no_gradient():
    check(np.std, [[2.0, 2.0, 2.0]], 0, [0, 0, 0])


def test_missing_values_have_the_gradient_zero():
    x = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 5.0]])
    check(np.nansum, [x], 9, [[1, 0, 1], [0, 0, 1]])
    check(np.nanmean, [x], 3, np.array([[1, 0, 1], [0, 0, 1]]) / 3)


def test_one_variable_correlates_with_itself():
    y, (g,) = derive(np.corrcoef, [1.0, 4.0, 2.0])
    assert y == 1
    np.testing.assert_allclose(g, np.zeros(3), atol=1e-15)


def test_the_correction_of_var_and_std_is_their_ddof():
    t = tn.tensor(TABLE, requires_grad=True)
    for function in (np.var, np.std):
        y = function(t, axis=1, correction=1)
        np.testing.assert_allclose(y.data, function(TABLE, axis=1, ddof=1), rtol=1e-6)
        assert y.requires_grad
        with pytest.raises(ArgumentError, match="ddof=1 and correction=1 are the same"):
            function(t, ddof=1, correction=1)
    np.testing.assert_array_equal(t.std(0, None, None, 1).data, np.std(t, 0, ddof=1).data)


def test_covariances_without_degrees_of_freedom_are_infinite():
    with np.errstate(all="ignore"):
        for ddof in (3, 4):
            y = np.cov(tn.tensor(TABLE), ddof=ddof)
            assert np.isinf(y.data).all()
            assert (y.data > 0).all()


def test_covariances_are_of_tables_and_of_whole_degrees_of_freedom():
    with pytest.raises(ShapeError, match=r"cov: a table has at most two dimensions, got shape \(1, 2, 3\)"):
        np.cov(tn.tensor(TABLE[None]))
    with pytest.raises(ShapeError, match="cov: a table"):
        np.corrcoef(TABLE, tn.tensor(TABLE[None]))
    with pytest.raises(SettingError, match="cov: ddof is a whole number, got 1.5"):
        np.cov(tn.tensor(TABLE), ddof=1.5)


TABLE = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 7.0]], np.float32)
