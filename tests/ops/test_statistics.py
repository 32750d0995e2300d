"""Variances, weighted means, covariances and what is missing."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import ArgumentError, DivisorError, SettingError, ShapeError

NAN = math.nan


@pytest.mark.case("H028")
def test_the_spread_of_one_element_with_ddof_is_nan():
    check(lambda x: np.var(x, ddof=1), [[2.0]], NAN, [NAN])
    check(lambda x: np.std(x, ddof=1), [[2.0]], NAN, [NAN])


def test_std_of_equal_elements_has_no_gradient():
    check(np.std, [[2.0, 2.0, 2.0]], 0, [0, 0, 0])


@pytest.mark.parametrize("x", [[3.5], [2.0, 2.0, 2.0], [0.0, 0.0]], ids=str)
def test_std_of_equal_elements_has_no_second_derivative_either(x):
    x = np.array(x)
    np.testing.assert_array_equal(tn.hessian(np.std)(x).data, np.zeros((x.size, x.size)))
    third = tn.jacobian(tn.hessian(np.std))(x)
    np.testing.assert_array_equal(third.data, np.zeros((x.size,) * 3))
    np.testing.assert_allclose(tn.hessian(np.var)(x).data, (np.eye(x.size) - 1 / x.size) * 2 / x.size)
    table = np.stack([np.full(3, 2.0), [1.0, 2.0, 4.0]])
    with np.errstate(all="raise"):
        rows = tn.hessian(lambda t: np.std(t, axis=1).sum())(table).data
    assert not rows[0].any()
    np.testing.assert_allclose(rows[1, :, 1], tn.hessian(np.std)(table[1]).data)


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


WITHOUT_THE_MISSING = {
    "nansum": np.sum,
    "nanprod": np.prod,
    "nanmean": np.mean,
    "nanvar": np.var,
    "nanstd": np.std,
    "nanmax": np.max,
    "nanmin": np.min,
    "nanmedian": np.median,
    "nanquantile": lambda x: np.quantile(x, 0.3),
    "nanpercentile": lambda x: np.percentile(x, 30),
}


@pytest.mark.parametrize("name", WITHOUT_THE_MISSING)
def test_what_is_missing_has_neither_a_say_nor_a_gradient(name):
    x = np.array([3.0, np.nan, 1.0, 2.5, np.nan])
    there = ~np.isnan(x)
    share = {"nanquantile": (0.3,), "nanpercentile": (30,)}.get(name, ())
    y, (g,) = derive(lambda t: getattr(np, name)(t, *share), x)
    expected, (h,) = derive(WITHOUT_THE_MISSING[name], x[there])
    np.testing.assert_allclose(y, expected, rtol=1e-14)
    np.testing.assert_allclose(g[there], h, rtol=1e-14)
    assert not g[~there].any()


def test_running_sums_and_products_pass_over_what_is_missing():
    check(np.nancumsum, [[1.0, np.nan, 2.0]], [1, 1, 3], [3, 0, 1])
    check(np.nancumprod, [[2.0, np.nan, 3.0]], [2, 2, 6], [5, 0, 2])


@pytest.mark.filterwarnings("ignore:All-NaN slice encountered")
def test_rows_where_all_is_missing_are_missing():
    x = np.array([[np.nan, np.nan], [1.0, 2.0]])
    for function in (
        np.nanmax,
        np.nanmin,
        np.nanmedian,
        lambda t, axis: np.nanquantile(t, [0.0, 0.5], axis=axis),
    ):
        y, (g,) = derive(lambda t, function=function: function(t, axis=1), x)
        np.testing.assert_array_equal(y, function(x, axis=1))
        assert not g[0].any()
    assert np.nanmax(tn.tensor([1, 2])).item() == 2


def test_weights_of_covariances_have_gradients():
    x, counts = np.array([[1.0, 2.0, 4.0], [0.5, 1.0, -1.0]]), [1, 2, 1]
    w = np.array([0.5, 1.0, 2.0])
    y, (g, _) = derive(lambda t, a: np.cov(t, fweights=counts, aweights=a), x, w)
    np.testing.assert_allclose(y, np.cov(x, fweights=counts, aweights=w), rtol=1e-14)
    repeated, (h,) = derive(lambda t: np.cov(t, fweights=counts), x)
    np.testing.assert_allclose(repeated, np.cov(np.repeat(x, counts, axis=1)), rtol=1e-14)
    assert g.all()
    assert h.any()


@pytest.mark.parametrize(
    ("shape", "weights", "axis"),
    [
        ((2,), [1.0, -1.0], None),
        ((0,), [], None),
        ((2, 2), [[1.0, 0.0], [1.0, 0.0]], 0),
        ((2, 0), np.ones((2, 0)), 1),
    ],
)
def test_weights_that_sum_to_zero_are_refused_as_by_numpy(shape, weights, axis):
    x, weights = np.ones(shape), np.array(weights)
    with pytest.raises(ZeroDivisionError):
        np.average(x, axis, weights)
    with pytest.raises(DivisorError, match=r"average: weights of shape .* sum to 0(.|\n)*hint"):
        np.average(tn.tensor(x, requires_grad=True), axis, weights)


def test_weights_with_a_gradient_that_sum_to_zero_divide_by_it():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        y = np.average(tn.tensor([1.0, 2.0]), weights=tn.tensor([1.0, -1.0], requires_grad=True))
    assert np.isinf(y.data)
