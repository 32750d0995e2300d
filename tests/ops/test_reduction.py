"""Reductions: ties, nothing to reduce, axes of every kind, and the width in which they add."""

import math
import warnings

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import ShapeError

NAN = math.nan


@pytest.mark.case("H052")
def test_ties_share_the_gradient_of_max():
    check(lambda x: np.max(x, axis=1), [[[3.0, 3.0, 1.0]]], [3], [[0.5, 0.5, 0]])
    check(lambda x: np.min(x, axis=1), [[[1.0, 3.0, 1.0]]], [1], [[0.5, 0, 0.5]])


@pytest.mark.case("H053")
def test_max_gives_the_gradient_to_the_nan():
    check(np.max, [[1.0, NAN, 2.0]], NAN, [0, 1, 0])
    check(np.min, [[1.0, NAN, 2.0]], NAN, [0, 1, 0])


@pytest.mark.case("H054")
@pytest.mark.parametrize(
    ("function", "value"),
    [(np.sum, 0), (np.prod, 1), (np.mean, NAN), (np.std, NAN), (np.var, NAN), (np.median, NAN)],
)
def test_reductions_of_nothing_are_as_in_numpy_with_an_empty_gradient(function, value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # those of NumPy
        check(function, [np.zeros(0)], value, np.zeros(0))


@pytest.mark.case("H056")
def test_a_sum_over_an_empty_axis_is_zero():
    check(lambda x: x.sum(0), [np.zeros((0, 3))], np.zeros(3), np.zeros((0, 3)))


@pytest.mark.case("H057")
def test_max_of_no_rows_is_empty_and_over_no_rows_refused():
    check(lambda x: x.max(axis=1), [np.zeros((0, 3))], np.zeros(0), np.zeros((0, 3)))
    with pytest.raises(ShapeError, match="max"):
        tn.tensor(np.zeros((0, 3)), requires_grad=True).max(axis=0)


@pytest.mark.case("H058")
@pytest.mark.parametrize("function", [np.sum, np.mean, np.prod, np.max])
def test_a_reduction_over_no_axes_changes_nothing(function):
    x = np.arange(1.0, 7).reshape(2, 3)
    check(lambda t: function(t, axis=()), [x], x, np.ones((2, 3)))


@pytest.mark.case("H060")
@pytest.mark.parametrize(
    "function", [np.sum, np.mean, np.prod, np.var, np.std, np.max, np.median, tn.logsumexp]
)
def test_axes_may_be_negative_and_in_any_order(function):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    cotangent = np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1)
    kept, (g,) = derive(lambda t: function(t, axis=(-1, 0), keepdims=True), x, cotangent=cotangent)
    dropped, (h,) = derive(lambda t: function(t, axis=(0, 2)), x, cotangent=cotangent.ravel())
    assert kept.shape == (1, 3, 1)
    np.testing.assert_array_equal(kept.ravel(), dropped)
    np.testing.assert_allclose(g, h, rtol=1e-15)
    assert (np.abs(g).sum(axis=(0, 2)) > 0).all()


@pytest.mark.case("H061")
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize(
    "function",
    [
        np.sum,
        np.mean,
        np.max,
        np.min,
        np.prod,
        np.nansum,
        np.nanmean,
        np.median,
        lambda x, axis: np.quantile(x, 0.3, axis=axis),
        lambda x, axis: np.percentile(x, 30, axis=axis),
        tn.logsumexp,
    ],
)
def test_reductions_of_a_scalar_are_the_scalar(function, axis):
    check(lambda x: function(x, axis=axis), [2.5], 2.5, 1)


@pytest.mark.case("H062")
def test_mean_divides_by_the_length_of_its_axis():
    check(lambda x: np.mean(x, axis=0), [np.ones((2, 5))], np.ones(5), np.full((2, 5), 0.5))
    check(lambda x: np.mean(x, axis=(0, 2)), [np.ones((2, 5, 4))], np.ones(5), np.full((2, 5, 4), 1 / 8))


@pytest.mark.case("H068")
@pytest.mark.parametrize("shape", [(60000, 10), (1_000_000, 2)])
def test_gradients_of_what_was_broadcast_accumulate_in_double_precision(shape):
    bias = tn.tensor(np.zeros(shape[1], np.float32), requires_grad=True)
    cotangent = np.full(shape, 0.1, np.float32)
    (np.zeros(shape, np.float32) + bias).backward(cotangent)
    exact = cotangent.sum(axis=0, dtype=np.float64)
    assert bias.grad.dtype == np.float32
    assert np.max(np.abs(bias.grad - exact) / exact) <= 1e-6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(200, 0), (200, 3, 0), (0, 3), (0, 0)])
def test_what_was_broadcast_may_have_no_elements(shape, dtype):
    bias = tn.tensor(np.zeros(shape[1:], dtype), requires_grad=True)
    (np.zeros(shape, dtype) + bias).sum().backward()
    assert bias.grad.shape == shape[1:]
    assert not bias.grad.any()


MANY = 70_000
"""More than the largest float16, 65,504: as a number beside a float16 it is infinite."""
LABELS = np.zeros(MANY, np.int64)
OVER_MANY = {
    "mean": np.mean,
    "mean along an axis": lambda x: np.mean(x.reshape(1, MANY), axis=1).sum(),
    "average": np.average,
    "weighted": lambda x: np.average(x, weights=np.ones(MANY, x.dtype)),
    "weighted by integers": lambda x: np.average(x, weights=np.ones(MANY, int)),
    "nanmean": np.nanmean,
    "median": np.median,
    "var": lambda x: np.var(x * 8),
    "std": lambda x: np.std(x * 8),
    "cov": lambda x: np.cov(x),
    "norm": lambda x: np.linalg.norm(x),
    "p-norm": lambda x: np.linalg.norm(x, 3),
    "logsumexp": tn.logsumexp,
    "softmax": lambda x: (tn.softmax(x) * x).sum(),
    "log_softmax": lambda x: tn.log_softmax(x)[0],
    "max of ties": lambda x: np.max(np.round(x)),
    "mse": lambda x: tn.nn.losses.mse(x, np.zeros(MANY)),
    "cross_entropy": lambda x: tn.nn.losses.cross_entropy(np.stack([x, -x], axis=1), LABELS),
    "cross_entropy of some": lambda x: tn.nn.losses.cross_entropy(
        np.stack([x, -x], axis=1), np.where(np.arange(MANY) < 66_000, LABELS, -1), ignore_index=-1
    ),
    "cross_entropy of classes": lambda x: tn.nn.losses.cross_entropy(x.reshape(1, MANY), LABELS[:1]),
    "nll": lambda x: tn.nn.losses.nll(-x[:, None], LABELS),
}


@pytest.mark.parametrize("name", OVER_MANY)
def test_half_precision_counts_beyond_its_largest_number(name):
    values = np.random.default_rng(0).uniform(0.5, 1.5, MANY).astype(np.float16)
    half, wide = (tn.tensor(values.astype(dtype), requires_grad=True) for dtype in (np.float16, np.float64))
    y, expected = (OVER_MANY[name](x) for x in (half, wide))
    y.backward(np.float16(1000))
    expected.backward(np.float64(1000))
    assert y.dtype == half.grad.dtype == np.float16
    assert y.item() == pytest.approx(expected.item(), rel=2e-3)
    np.testing.assert_allclose(half.grad, wide.grad, rtol=1e-2, atol=2e-3 * np.abs(wide.grad).max())


def test_half_precision_has_second_derivatives_over_many_elements():
    x = tn.tensor(np.full(MANY, 0.5, np.float16), requires_grad=True)
    first = tn.gradients(np.mean(x * x), x, cotangent=np.float16(1000), create_graph=True)
    second = tn.gradients(first, x, cotangent=np.ones(MANY, np.float16))
    np.testing.assert_allclose(second.data, np.full(MANY, 2000 / MANY), rtol=2e-3)


@pytest.mark.case("H069")
def test_half_precision_accumulates_in_single_precision():
    ones = tn.tensor(np.ones(70_000, np.float16), requires_grad=True)
    mean = ones.mean()
    assert (mean.item(), mean.dtype) == (1, np.float16)
    mean.backward()
    assert ones.grad.dtype == np.float16
    with np.errstate(over="ignore"):
        assert ones.sum().item() == math.inf  # 70,000 is beyond float16
    small = tn.tensor(np.full(30_000, 1, np.float16))
    assert small.sum().item() == 30_000
    tenth = np.full((4096, 1), 0.1, np.float16)
    exact = float(tenth[0, 0]) * 4096
    assert tn.tensor(tenth).sum(axis=0).data[0] == np.float16(exact)


@pytest.mark.case("H010")
def test_logsumexp_of_nothing_and_of_minus_infinities_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tn.logsumexp(tn.tensor([-INF, -INF])).item() == -INF
        assert tn.logsumexp(tn.tensor(np.zeros(0))).item() == -INF
    check(tn.logsumexp, [[-INF, -INF]], -INF, [NAN, NAN])
    check(tn.logsumexp, [np.zeros(0)], -INF, np.zeros(0))


INF, NAN = math.inf, math.nan
