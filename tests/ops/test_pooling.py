"""Pools: ties, borders, NaN, counts, and errors that say what to write."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import SettingError, ShapeError

RNG = np.random.default_rng(0)


def gradient(function, x):
    leaf = tn.tensor(x, requires_grad=True)
    y = function(leaf)
    y.backward(np.ones(y.shape, y.dtype))
    return leaf.grad


def line(*values):
    return np.array(values, float).reshape(1, -1, 1)


def test_the_first_of_several_largest_elements_has_the_gradient():
    x = np.array([[2.0, 1.0, 0.0, 5.0], [1.0, 2.0, 5.0, 5.0]]).reshape(1, 2, 4, 1)
    g = gradient(lambda t: tn.max_pool(t, 2), x)
    np.testing.assert_array_equal(g[0, ..., 0], [[1, 0, 0, 1], [0, 0, 0, 0]])


def test_an_element_under_several_windows_has_the_sum_of_their_gradients():
    np.testing.assert_array_equal(gradient(lambda t: tn.max_pool(t, 2, 1), line(1, 3, 2))[0, :, 0], [0, 2, 0])


@pytest.mark.parametrize("pool", [tn.max_pool, tn.avg_pool])
def test_what_is_left_over_at_the_end_is_cut_and_has_no_gradient(pool):
    x = RNG.normal(size=(2, 5, 7, 3))
    np.testing.assert_array_equal(pool(x, (2, 3)), pool(x[:, :4, :6], (2, 3)))
    g = gradient(lambda t: pool(t, (2, 3)), x)
    assert not g[:, 4:].any()
    assert not g[:, :, 6:].any()


def test_the_border_is_smaller_than_any_number():
    x = -1 - RNG.random((1, 4, 4, 2))
    assert tn.max_pool(x, 3, 1, 1).max() <= -1
    integers = np.full((1, 3, 1), -7)
    np.testing.assert_array_equal(tn.max_pool(integers, 3, 1, 1), integers)
    assert tn.max_pool(integers.astype(np.int8), 2).dtype == np.int8


def test_where_all_elements_are_minus_infinity_the_first_has_the_gradient_and_not_the_border():
    g = gradient(lambda t: tn.max_pool(t, 3, 2, 1), line(*[-np.inf] * 4))
    np.testing.assert_array_equal(g[0, :, 0], [1, 1, 0, 0])
    images = np.full((1, 2, 3, 1), -np.inf)
    g = gradient(lambda t: tn.max_pool(t, (2, 3), 1, ((1, 0), (1, 1))), images)
    np.testing.assert_array_equal(g[0, ..., 0], [[4, 2, 0], [0, 0, 0]])


def test_nan_is_passed_on_and_gets_the_gradient_back():
    x = line(1, np.nan, 3, 2)
    np.testing.assert_array_equal(tn.max_pool(x, 2)[0, :, 0], [np.nan, 3])
    np.testing.assert_array_equal(gradient(lambda t: tn.max_pool(t, 2), x)[0, :, 0], [0, 1, 1, 0])


def test_of_two_nan_under_a_window_the_first_gets_the_gradient():
    g = gradient(lambda t: tn.max_pool(t, 3), line(1, np.nan, np.nan))
    np.testing.assert_array_equal(g[0, :, 0], [0, 1, 0])


def test_an_infinite_gradient_stays_at_its_place():
    x = tn.tensor(line(1, 2, 4, 3), requires_grad=True)
    tn.max_pool(x, 2).backward(line(np.inf, 1))
    np.testing.assert_array_equal(x.grad[0, :, 0], [0, np.inf, 1, 0])


def test_a_window_of_more_than_255_places_finds_each_of_them():
    x = np.zeros((1, 300, 1))
    for place in (0, 254, 255, 256, 299):
        marked = x.copy()
        marked[0, place] = 1
        np.testing.assert_array_equal(gradient(lambda t: tn.max_pool(t, 300), marked), marked)


@pytest.mark.parametrize(("inclusive", "expected"), [(True, [1, 2, 5 / 3]), (False, [1.5, 2, 2.5])])
def test_zeros_around_the_array_count_unless_told_otherwise(inclusive, expected):
    y = tn.avg_pool(line(1, 2, 3), 3, 1, 1, count_include_pad=inclusive)
    np.testing.assert_allclose(y[0, :, 0], expected)


def test_averages_of_half_precision_do_not_overflow_and_keep_the_dtype():
    x = np.full((1, 64, 64, 1), 60_000, np.float16)
    y = tn.avg_pool(x, 64)
    assert (y.dtype, y.item()) == (np.float16, 60_000)
    g = gradient(lambda t: tn.avg_pool(t, 64), x)
    np.testing.assert_allclose(g, np.full(x.shape, 1 / 4096), rtol=1e-3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pools_of_every_rank_take_an_empty_batch(rank):
    x = np.zeros((0, *[4] * rank, 2))
    for pool in (tn.max_pool, tn.avg_pool):
        assert pool(x, 2).shape == (0, *[2] * rank, 2)
        assert gradient(lambda t, pool=pool: pool(t, 2), x).shape == x.shape


WRONG = {
    "no channels": (
        lambda: tn.max_pool(np.ones((4, 4)), 2),
        r"takes \(N, \*space, channels\).*got shape \(4, 4\)",
    ),
    "a window that is too large": (
        lambda: tn.max_pool(np.ones((1, 2, 4, 1)), 3),
        r"axis 1.*\(2 \+ 0 \+ 0 - 1 \* \(3 - 1\)",
    ),
    "a border of more than half": (
        lambda: tn.max_pool(np.ones((1, 8, 1)), 2, padding=2),
        r"at most half of the kernel, \(2,\), got 2",
    ),
    "no window": (lambda: tn.avg_pool(np.ones((1, 8, 1)), 0), "kernel_size is an integer from 1 on"),
    "a window of another rank": (
        lambda: tn.avg_pool(np.ones((1, 8, 1)), (2, 2)),
        r"each of the 1 axes, got \(2, 2\)",
    ),
    "same with the stride of the window": (
        lambda: tn.avg_pool(np.ones((1, 8, 1)), 3, padding="same"),
        'padding="same"',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_with_what_to_write(name):
    call, text = WRONG[name]
    with pytest.raises((ShapeError, SettingError), match=f"(?s)_pool.*{text}"):
        call()
