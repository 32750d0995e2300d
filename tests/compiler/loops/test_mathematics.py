"""The functions that compiled loops are made of: as exact as they say, everywhere, and kept on disk."""

import numpy as np
import pytest

from tinygrad_nn.errors import LabelError

pytest.importorskip("numba")
from tinygrad_nn.compiler.loops import backend
from tinygrad_nn.compiler.loops import mathematics as cm

KINDS = {np.float32: (4, -104, 89), np.float64: (8, -746, 710)}
EVERY = pytest.mark.parametrize("dtype", KINDS)


def over(name, x):
    """Return the values of one of the functions at every element."""
    called = f"{name}{x.dtype.itemsize}"
    lines = "def segment(x, y):\n    for i in range(x.size):\n        y[i] = "
    found = np.empty_like(x)
    backend.function_of(f"{backend.HEADER}{lines}{called}(x[i])\n")(x, found)
    return found


def errors_in_last_place(found, exact, dtype):
    """Return how far `found` lies from the exact values, in units of the last place of these."""
    rounded = exact.astype(dtype)
    return np.abs(found.astype(np.longdouble) - exact) / np.spacing(np.abs(rounded)).astype(np.longdouble)


def points(dtype, low, high):
    rng = np.random.default_rng(0)
    small = 10.0 ** rng.uniform(-12, 0, 3000) * rng.choice([-1, 1], 3000)
    return np.concatenate([rng.uniform(low, high, 10_000), small, [0.0]]).astype(dtype)


@EVERY
def test_exp_is_right_to_two_units_in_the_last_place(dtype):
    _, low, high = KINDS[dtype]
    x = points(dtype, low + 20, high - 1)
    found = over("exp", x)
    assert errors_in_last_place(found, np.exp(x.astype(np.longdouble)), dtype).max() < 2


@EVERY
def test_exp_overflows_to_infinity_and_is_exact_to_subnormal_numbers(dtype):
    _, low, high = KINDS[dtype]
    x = np.array([high, 1e6, np.inf, low, -1e6, -np.inf, np.nan, 0.0, -0.0], dtype)
    np.testing.assert_array_equal(over("exp", x), [np.inf, np.inf, np.inf, 0, 0, 0, np.nan, 1, 1])
    x = np.linspace(low, low + 20, 500).astype(dtype)  # results that are subnormal
    exact = np.exp(x.astype(np.longdouble))
    assert np.abs(over("exp", x) - exact).max() <= 2 * np.finfo(dtype).smallest_subnormal + 2 * np.spacing(
        exact.max().astype(dtype)
    )


@EVERY
def test_expm1_is_right_to_two_units_up_to_the_largest_number_that_there_is(dtype):
    _, _, high = KINDS[dtype]
    x = np.append(points(dtype, -25, high - 1), np.nextafter(np.log(np.finfo(dtype).max), dtype(0)))
    assert errors_in_last_place(over("expm1_", x), np.expm1(x.astype(np.longdouble)), dtype).max() < 2
    x = np.array([high, np.inf, -1e6, -np.inf, np.nan, 0], dtype)
    np.testing.assert_array_equal(over("expm1_", x), [np.inf, np.inf, -1, -1, np.nan, 0])


@EVERY
def test_tanh_is_right_to_three_units_and_odd(dtype):
    x = points(dtype, -25, 25)
    found = over("tanh", x)
    assert errors_in_last_place(found, np.tanh(x.astype(np.longdouble)), dtype).max() < 3
    np.testing.assert_array_equal(over("tanh", -x), -found)
    ends = np.array([np.inf, -np.inf, 1e30, -0.0, np.nan], dtype)
    np.testing.assert_array_equal(over("tanh", ends), [1, -1, 1, -0.0, np.nan])
    assert np.signbit(over("tanh", ends)[3])


@EVERY
def test_sigmoid_is_right_to_three_units_and_never_overflows(dtype):
    _, low, _ = KINDS[dtype]
    x = points(dtype, low / 2, -low)
    exact = 1 / (1 + np.exp(-x.astype(np.longdouble)))
    assert errors_in_last_place(over("sigmoid", x), exact, dtype).max() < 3
    ends = np.array([np.inf, -np.inf, 1e30, -1e30, np.nan, 0.0], dtype)
    np.testing.assert_array_equal(over("sigmoid", ends), [1, 0, 1, 0, np.nan, 0.5])


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@EVERY
@pytest.mark.parametrize(("mean", "reduce"), [(1, np.mean), (0, np.sum), (-1, np.asarray)])
def test_cross_entropy_fills_the_losses_and_the_gradient_of_their_sum(dtype, mean, reduce):
    rng = np.random.default_rng(1)
    logits, labels = (10 * rng.normal(size=(7, 5))).astype(dtype), rng.integers(5, size=7)
    out, d = np.empty(7 if mean < 0 else 1, dtype), np.empty(35, dtype)
    function = getattr(cm, f"cross_entropy{logits.itemsize}")
    function(logits.reshape(-1), labels, out, d, 7, 5, mean)
    p = softmax(logits.astype(np.float64))
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        out, np.atleast_1d(reduce(-np.log(p[np.arange(7), labels]))), rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(d.reshape(7, 5), p - np.eye(5)[labels], atol=tolerance)


@EVERY
def test_updates_are_those_of_the_optimizers(dtype):
    rng = np.random.default_rng(2)
    w, g, v = rng.normal(size=(3, 9)).astype(dtype)
    rate = np.array([0.1])
    tolerance = 4 * np.finfo(dtype).eps
    plain = w.copy()
    cm.sgd_plain(plain, g, rate)
    np.testing.assert_allclose(plain, w - 0.1 * g, rtol=tolerance, atol=tolerance)
    for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
        p, velocity = w.copy(), v.copy()
        cm.sgd(p, g, velocity, rate, momentum, nesterov, 0.01)
        x = g + 0.01 * w
        kept = momentum * v + x if momentum else v
        step = x if not momentum else x + momentum * kept if nesterov else kept
        np.testing.assert_allclose(velocity, kept, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(p, w - 0.1 * step, rtol=tolerance, atol=tolerance)
    for decoupled in (False, True):
        p, m, s = w.copy(), v.copy(), (v * v).astype(dtype)
        cm.adam(p, g, m, s, rate, np.array([3]), 0.9, 0.999, 1e-8, 0.01, decoupled)
        x = w * (1 - 0.1 * 0.01) if decoupled else w
        d = g if decoupled else g + 0.01 * w
        first, second = 0.9 * v + 0.1 * d, 0.999 * v * v + 0.001 * d * d
        step = 0.1 * (first / (1 - 0.9**3)) / (np.sqrt(second / (1 - 0.999**3)) + 1e-8)
        np.testing.assert_allclose(m, first, rtol=10 * tolerance, atol=tolerance)
        np.testing.assert_allclose(s, second, rtol=10 * tolerance, atol=tolerance)
        np.testing.assert_allclose(p, x - step, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int32])
def test_labels_are_checked(dtype):
    assert cm.labels_fit(np.array([0, 2, 1], dtype), 3)
    assert cm.labels_fit(np.array([], dtype), 3)
    assert not cm.labels_fit(np.array([0, 3], dtype), 3)
    backend.check_labels(np.array([0, 2], dtype), "loss", 3)
    with pytest.raises(LabelError, match="label 3 at position 1 is outside of the 3 classes"):
        backend.check_labels(np.array([0, 3], dtype), "loss", 3)
    if np.dtype(dtype).kind == "i":
        assert not cm.labels_fit(np.array([-1], dtype), 3)
