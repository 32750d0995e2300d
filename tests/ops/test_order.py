"""Sorting, medians and quantiles."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check
from tinygrad_nn.errors import SettingError

NAN = math.nan


@pytest.mark.case("H065")
def test_sorting_is_a_stable_permutation():
    check(np.sort, [[2.0, 1.0, 2.0, 1.0]], [1, 1, 2, 2], [30, 10, 40, 20], cotangent=[10, 20, 30, 40])
    assert not np.argsort(tn.tensor([2.0, 1.0], requires_grad=True)).requires_grad


@pytest.mark.case("H066")
def test_median_of_an_even_count_is_the_mean_of_the_middle_two():
    check(np.median, [[4.0, 1.0, 2.0, 3.0]], 2.5, [0, 0, 0.5, 0.5])
    check(np.median, [[4.0, NAN, 2.0]], NAN, [0, 1, 0])


def test_the_median_of_nothing_is_nan_with_numpys_warning():
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        assert np.isnan(np.median(tn.tensor(np.zeros(0))).item())


def test_quantiles_keep_float32_and_refuse_shares_outside_of_0_to_1():
    x = tn.tensor([3.0, 1.0, 2.0], requires_grad=True)
    assert np.quantile(x, [0.25, 0.5]).dtype == np.float32
    assert np.isnan(np.quantile(tn.tensor([1.0, np.nan]), 0.5).item())
    with pytest.raises(SettingError, match="quantile: shares from 0 to 1 .*q=1.5"):
        np.quantile(tn.tensor([1.0, 2.0]), 1.5)
    with pytest.raises(SettingError, match="percentile: shares from 0 to 100 .*q=150"):
        np.percentile(tn.tensor([1.0, 2.0]), 150)


def test_shares_in_a_list_are_as_exact_as_shares_alone():
    x = tn.tensor(np.arange(11.0, dtype=np.float32))
    assert np.quantile(x, [0.3]).tolist() == [np.quantile(x, 0.3).item()] == [3]


@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 0), 0), ((0, 3), 1), ((0, 3), -1), ((2, 0, 3), 0), ((3, 0, 2), 2)]
)
def test_along_an_axis_of_some_length_there_may_be_no_elements(shape, axis):
    x = np.zeros(shape)
    for function in (
        np.median,
        np.ptp,
        lambda x, axis: np.quantile(x, 0.5, axis=axis),
        lambda x, axis: np.quantile(x, [0.2, 0.5], axis=axis, keepdims=True),
        lambda x, axis: np.percentile(x, 50, axis=axis),
    ):
        t = tn.tensor(x, requires_grad=True)
        y, expected = function(t, axis=axis), function(x, axis=axis)
        assert y.shape == expected.shape
        y.backward(np.ones(y.shape))
        assert t.grad.shape == shape


@pytest.mark.parametrize("function", [np.quantile, np.percentile])
def test_of_no_elements_there_is_no_share(function):
    with pytest.raises(SettingError, match=r"of at least one element, got q=0.5 of shape \(3, 0\)"):
        function(tn.tensor(np.zeros((3, 0))), 0.5, axis=1)


@pytest.mark.parametrize("options", [{"kind": "foo"}, {"kind": "stable", "stable": True}])
def test_sort_refuses_the_kinds_that_numpy_refuses(options):
    for x in (np.ones(3), tn.tensor(np.ones(3))):
        with pytest.raises(ValueError, match="kind"):
            np.sort(x, **options)
    assert np.sort(tn.tensor([2.0, 1.0]), kind="heapsort").tolist() == [1, 2]
    assert np.sort(tn.tensor([2.0, 1.0]), stable=False).tolist() == [1, 2]


METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_quantiles_of_every_method_are_numpys(method):
    rng = np.random.default_rng(0)
    # Eighths are exact, so that places fall on elements and half way between.
    shares = np.concatenate([np.arange(9) / 8, rng.uniform(size=20)])
    if method == "closest_observation" and np.__version__ == "2.0.0":
        # It takes the odd one of two that are as close.
        shares = shares[9:]
    for n in (1, 2, 3, 4, 7, 8, 16):
        x = rng.normal(size=(n, 2))
        for function in (np.quantile, np.nanquantile):
            y = function(tn.tensor(x), shares, axis=0, method=method)
            np.testing.assert_allclose(y.data, function(x, shares, axis=0, method=method), rtol=1e-12)


def test_the_closest_of_two_observations_is_the_even_one_with_every_numpy():
    places = np.quantile(tn.tensor(np.arange(1.0, 9)), np.arange(1, 16, 2) / 16, method="closest_observation")
    assert places.tolist() == [1, 2, 2, 4, 4, 6, 6, 8]


def test_a_share_that_is_a_tensor_has_the_slope_between_its_neighbours():
    x = [1.0, 2.0, 6.0]
    check(np.quantile, [x, 0.75], 4, [0, 0.5, 0.5], 8)
    check(lambda t, q: np.nanpercentile(t, q), [x, [25.0, 75.0]], [1.5, 4], [0.5, 1, 0.5], [0.02, 0.08])
    check(lambda t, q: np.quantile(t, q, method="lower"), [x, 0.75], 2, [0, 1, 0], 0)


def test_a_method_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(SettingError, match=r"quantile: there is no method='cubic'\n  hint   linear, hazen"):
        np.quantile(tn.tensor([1.0, 2.0]), 0.5, method="cubic")


def test_a_list_of_shares_keeps_its_digits_beside_narrow_numbers():
    steep = tn.tensor((np.arange(100_001) > 35_000).astype(np.float32))
    np.testing.assert_allclose(np.quantile(steep, [0.350004, 0.350006]).data, [0.4, 0.6], rtol=1e-5)
    np.testing.assert_allclose(np.percentile(steep, [35.0004, 35.0006]).data, [0.4, 0.6], rtol=1e-5)
