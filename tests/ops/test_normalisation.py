"""Normalisation along the last axis: large means, narrow dtypes, rows without spread, and what is refused."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import SettingError, ShapeError

NORMS = [tn.layer_norm, tn.rms_norm]


def test_layer_norm_keeps_its_digits_where_the_mean_is_large():
    exact = np.random.default_rng(0).normal(size=(4, 256)) + 3000
    x = exact.astype(np.float32)
    expected = tn.layer_norm(x.astype(np.float64))
    np.testing.assert_allclose(tn.layer_norm(x), expected, atol=5e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_half_precision_does_not_overflow_in_squares(norm):
    x = np.array([[3e4, -3e4, 1e4, 0]], np.float16)
    y = norm(x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, norm(x.astype(np.float64)), atol=2e-3)
    t = tn.tensor(x, requires_grad=True)
    norm(t)[0, 0].backward()
    assert t.grad.dtype == np.float16
    assert np.isfinite(t.grad).all()


@pytest.mark.parametrize("norm", NORMS)
def test_integers_are_normalised_in_double_precision(norm):
    x = np.array([[1, 2, 250]], np.uint8)
    np.testing.assert_array_equal(norm(x), norm(x.astype(np.float64)))


def test_equal_elements_are_zeros_with_a_gradient_that_eps_bounds():
    x = tn.tensor(np.full((2, 3), 7.0), requires_grad=True)
    y = tn.layer_norm(x)
    assert not y.data.any()
    y[0, 0].backward()
    np.testing.assert_allclose(x.grad[0], np.array([2, -1, -1]) / 3 / np.sqrt(1e-5))


def test_rms_norm_takes_the_spacing_of_its_dtype_for_eps():
    for dtype in (np.float32, np.float64):
        x = np.array([1e-8, 0], dtype)
        np.testing.assert_allclose(tn.rms_norm(x), x / np.sqrt(np.mean(x * x) + np.finfo(dtype).eps))


@pytest.mark.parametrize("norm", NORMS)
def test_what_does_not_fit_the_features_is_refused(norm):
    with pytest.raises(ShapeError, match=r"takes a weight of shape \(3,\), got \(2,\)"):
        norm(np.ones((2, 3)), np.ones(2))
    # It would broadcast.
    with pytest.raises(ShapeError, match=r"takes a weight of shape \(3,\), got \(1,\)"):
        norm(np.ones((2, 3)), np.ones(1))
    for empty in (np.ones(()), np.ones((2, 0))):
        with pytest.raises(ShapeError, match="has no elements of"):
            norm(empty)
    with pytest.raises(SettingError, match=r"eps is a number in \[0, inf\), got -1"):
        norm(np.ones((2, 3)), eps=-1.0)
    with pytest.raises(ShapeError, match=r"takes a bias of shape \(3,\), got \(3, 1\)"):
        tn.layer_norm(np.ones((2, 3)), None, np.ones((3, 1)))


def test_a_step_with_norms_is_replayed(backend):
    def loss(x, weight, bias):
        return (tn.layer_norm(x, weight, bias, eps=0.1) * tn.rms_norm(x, weight)).sum()

    step = tn.value_and_grad(loss, argnums=(0, 1, 2))
    compiled = tn.compile(step, backend)
    rng = np.random.default_rng(1)
    for _ in range(3):
        arrays = [rng.normal(size=shape) for shape in ((4, 3), (3,), (3,))]
        found, expected = compiled(*arrays), step(*arrays)
        for a, b in zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-12)
