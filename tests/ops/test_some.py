"""Reductions of some elements, from a start, or in another dtype: as NumPy has them, and where their gradients go."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import DtypeError, SettingError, ShapeError

X = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 0.5]])
SOME = X > 1
REDUCTIONS = {
    "sum": lambda x, **how: np.sum(x, **how),
    "prod": lambda x, **how: np.prod(x, **how),
    "mean": lambda x, **how: np.mean(x, **how),
    "var": lambda x, **how: np.var(x, **how),
    "std": lambda x, **how: np.std(x, **how),
    "max": lambda x, **how: np.max(x, initial=-1, **how),
    "min": lambda x, **how: np.min(x, initial=9, **how),
    "nansum": lambda x, **how: np.nansum(x, **how),
    "nanmean": lambda x, **how: np.nanmean(x, **how),
    "nanstd": lambda x, **how: np.nanstd(x, **how),
    "nanmax": lambda x, **how: np.nanmax(x, initial=-1, **how),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_elements_that_do_not_count_have_neither_a_say_nor_a_gradient(name):
    reduce = REDUCTIONS[name]
    y, (g,) = derive(lambda t: reduce(t, where=SOME), X)
    alone, (h,) = derive(reduce, X[SOME])
    np.testing.assert_allclose(y, alone, rtol=1e-14)
    np.testing.assert_allclose(g[SOME], h, rtol=1e-13)
    assert not g[~SOME].any()
    poisoned = np.where(SOME, X, np.nan)
    z, (h,) = derive(lambda t: reduce(t, where=SOME), poisoned)
    np.testing.assert_array_equal((z, np.sum(h)), (y, np.sum(g)))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_mask_that_is_computed_is_computed_again_in_a_replay(name, backend):
    reduce = REDUCTIONS[name]
    step = lambda x: reduce(x * 1.0, axis=1, where=x > 0.75)
    compiled = tn.compile(step, backend)
    for x in (X, X, X[:, ::-1] - 0.3):
        np.testing.assert_allclose(compiled(x).data, step(tn.tensor(x)).data, rtol=1e-14)
        np.testing.assert_allclose(compiled(x).data, reduce(x, axis=1, where=x > 0.75), rtol=1e-14)


def test_a_start_competes_with_the_elements():
    check(lambda t: np.max(t, initial=4.5, axis=1), [X], [4.5, 5], [[0, 0, 0], [0, 1, 0]])
    check(
        lambda t: np.min(t, initial=3, axis=1, where=SOME), [X], [2, 3], [[0, 1, 0], [0.25, 0, 0]], rtol=0.5
    )
    check(lambda t, start: np.sum(t, initial=start), [X, 2.0], 17.5, np.ones((2, 3)), 1)
    check(lambda t: np.prod(t, axis=0, initial=2), [X], 2 * X.prod(0), 2 * X[::-1])
    check(lambda t: np.max(t, initial=-1.0), [np.zeros(0)], -1, np.zeros(0))


def test_nothing_to_choose_from_needs_a_start():
    with pytest.raises(SettingError, match=r"max: with where=(.|\n)*initial="):
        np.max(tn.tensor(X), where=SOME)


@pytest.mark.parametrize(
    "name", ["sum", "prod", "mean", "var", "std", "cumsum", "cumprod", "nansum", "trace"]
)
def test_a_reduction_in_another_dtype_has_it_and_a_gradient_in_the_old_one(name):
    t = tn.tensor(X.astype(np.float32), requires_grad=True)
    y = getattr(np, name)(t, dtype=np.float64)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y.data, getattr(np, name)(X), rtol=1e-15)
    y.sum().backward()
    assert t.grad.dtype == np.float32
    with pytest.raises(DtypeError, match="complex numbers are not supported"):
        getattr(np, name)(t, dtype=complex)


def test_means_of_half_precision_do_not_overflow_on_the_way():
    t = tn.tensor(np.full(70_000, 2, np.float16))
    y = np.mean(t, where=np.ones(70_000, bool))
    assert (y.dtype, y.item()) == (np.float16, 2)


def test_a_mean_that_is_given_is_the_one_that_counts():
    check(lambda t, m: np.var(t, mean=m), [[1.0, 3.0], [2.0]], 1, [-1, 1], [0])
    check(lambda t: np.std(t, mean=np.array([0.0])), [[3.0, 3.0]], 3, [0.5, 0.5])
    check(lambda t: np.var(t, correction=1, where=SOME[0]), [[1.0, 3.0, 5.0]], 2, [0, -2, 2])


def test_truths_of_some():
    t = tn.tensor(X)
    assert np.all(t > 1, where=SOME).item() is True
    assert np.any(t > 4.5, axis=1, where=t < 5).tolist() == [False, False]


def test_a_mask_of_a_larger_shape_is_refused():
    with pytest.raises(ShapeError, match=r"where= of shape \(2, 3\) does not broadcast"):
        np.sum(tn.tensor(X[0]), where=SOME)
