"""Interpolation, convolution and the Vandermonde matrix."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError


def test_interpolation_is_exact_at_its_points():
    rng = np.random.default_rng(3)
    xp, fp = np.sort(rng.normal(size=200)), rng.normal(size=200)
    np.testing.assert_array_equal(np.interp(tn.tensor(xp), xp, fp).data, fp)
    check(lambda x: np.interp(x, [1.0], [5.0]), [[0.0, 1.0, 2.0]], [5, 5, 5], [0, 0, 0])


KNOTS = {
    "repeated": ([0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 3.0, 4.0]),
    "repeated at the end": ([0.0, 1.0, 2.0, 2.0], [0.0, 1.0, 3.0, 4.0]),
    "repeated at the start": ([0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 3.0, 4.0]),
    "all the same": ([1.0, 1.0], [2.0, 3.0]),
    "an infinite end": ([0.0, 1.0, 2.0], [0.0, 1.0, np.inf]),
    "an infinite start": ([0.0, 1.0, 2.0], [-np.inf, 1.0, 2.0]),
    "infinite in the middle": ([0.0, 0.5, 2.0], [1.0, np.inf, 2.0]),
}


@pytest.mark.parametrize("name", KNOTS)
def test_interpolation_is_finite_where_numpys_is(name):
    xp, fp = map(np.array, KNOTS[name])
    x = np.array([-np.inf, -1.0, 0.0, 0.25, 0.5, 1.0, 1.25, 2.0, 3.0, np.inf, np.nan])
    expected = np.interp(x, xp, fp)
    y, gradients = derive(np.interp, x, xp, fp, cotangent=np.where(np.isfinite(expected), 1.0, 0.0))
    np.testing.assert_allclose(y, expected, rtol=1e-14)
    assert not any(np.isnan(g).any() for g in gradients)


def test_interpolation_between_constants_can_be_compiled():
    x = np.array([0.5, 1.5], np.float32)
    step = tn.compile(lambda t: np.interp(t, [0.0, 1.0, 2.0], [0.0, 2.0, 3.0]), backend="numpy")
    for k in range(3):
        np.testing.assert_allclose(np.asarray(step(x - k / 4)), np.interp(x - k / 4, [0, 1, 2], [0, 2, 3]))


def test_convolve_knows_numpys_three_modes():
    with pytest.raises(SettingError, match="convolve: mode is full, same or valid, got 'wrap'"):
        np.convolve(tn.tensor([1.0, 2.0]), np.ones(2), mode="wrap")


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolution_keeps_a_missing_value_where_it_is(mode):
    a, v = np.array([1.0, np.nan, 3.0, 4.0, 5.0, 6.0]), np.array([1.0, 2.0])
    np.testing.assert_array_equal(np.convolve(tn.tensor(a), v, mode).data, np.convolve(a, v, mode))


def test_convolution_takes_scalars_and_long_operands():
    check(lambda a: np.convolve(a, 2.0), [[1.0, 2.0]], [2, 4], [2, 2])
    check(np.convolve, [3.0, [1.0, 2.0]], [3, 6], 3, [3, 3])
    a, v = np.ones(20_000), np.ones(10_000)  # as many products, but not as much memory
    _, (g, _) = derive(lambda a, v: np.convolve(a, v, "valid")[:1], a, v)
    np.testing.assert_array_equal(g, np.arange(20_000) < 10_000)


def test_interpolation_and_convolution_refuse_what_has_no_meaning():
    t = tn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ShapeError, match="one or more points"):
        np.interp(t, [], [])
    with pytest.raises(ShapeError, match="vectors"):
        np.convolve(t, np.ones((2, 2)))
    with pytest.raises(ShapeError, match="its axes 0"):
        np.average(tn.tensor(np.ones((2, 3))), axis=0, weights=np.ones(3))


def test_vander_refuses_what_numpy_refuses():
    x = tn.tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"vander: x is a vector, got shape \(2, 1\)"):
        np.vander(x[:, None])
    with pytest.raises(SettingError, match="N=-1"):
        np.vander(x, -1)
    with pytest.raises(ArgumentError, match=r"N=2\.0"):
        np.vander(x, 2.0)
    assert np.vander(x, np.int64(3)).shape == (2, 3)


def test_slopes_of_a_parabola_are_exact_where_the_places_are_given():
    x = np.array([0.0, 1.0, 3.0, 4.0])
    np.testing.assert_allclose(np.gradient(tn.tensor(x * x), x, edge_order=2).data, 2 * x, rtol=1e-14)
    assert np.gradient(tn.tensor(np.float32(x)), 0.1).dtype == np.float32
    table = tn.tensor(np.outer(x, x))
    assert [s.shape for s in np.gradient(table, 2.0, x)] == [(4, 4), (4, 4)]
    assert np.gradient(table, x, axis=1).shape == (4, 4)


def test_slopes_that_cannot_be_found_are_refused():
    t = tn.tensor([1.0, 2.0])
    for call, error in (
        (lambda: np.gradient(t, edge_order=2), ShapeError),
        (lambda: np.gradient(t, edge_order=3), SettingError),
        (lambda: np.gradient(t, [1.0, 2.0, 3.0]), ShapeError),
        (lambda: np.gradient(t, 1.0, 2.0), ArgumentError),
        (lambda: np.polyval(np.ones((2, 2)), t), ShapeError),
    ):
        with pytest.raises(error, match="gradient: |polyval: "):
            call()


def test_a_polynomial_without_coefficients_is_zero():
    assert np.polyval(np.zeros(0), tn.tensor([1.0, 2.0])).tolist() == [0, 0]
