"""Masks of dropout in compiled steps: drawn anew on each replay, in the order of the eager step, in loops."""

import numpy as np
import pytest

import tinygrad_nn as tn

X = np.arange(1.0, 13.0).reshape(3, 4)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_each_replay_draws_what_the_eager_step_draws(p, dtype, backend):
    a, b = np.random.default_rng(1), np.random.default_rng(1)

    def step(x, rng):
        return tn.value_and_grad(lambda x: (tn.dropout(tn.relu(x), p, rng=rng) ** 2).sum())(x)

    x = X.astype(dtype)
    compiled = tn.compile(lambda x: step(x, a), backend)
    for _ in range(3):
        for got, want in zip(compiled(x), step(x, b), strict=True):
            np.testing.assert_allclose(got.data, want.data, rtol=1e-6)
    assert a.random() == b.random()


def test_equal_drops_are_not_merged(backend):
    rng = np.random.default_rng(1)
    compiled = tn.compile(lambda x: (tn.dropout(x, rng=rng), tn.dropout(x, rng=rng)), backend)
    first, second = compiled(np.ones((20, 20)))
    assert (first.data != second.data).any()


def test_integers_and_empty_arrays_are_masked_too(backend):
    for x in (X.astype(int), X[:0]):
        a, b = np.random.default_rng(1), np.random.default_rng(1)
        compiled = tn.compile(lambda x, rng=a: tn.keep_mask(x, p=0.3, rng=rng) * x, backend)
        np.testing.assert_array_equal(compiled(x).data, tn.keep_mask(x, p=0.3, rng=b) * x)


def test_what_is_dropped_needs_no_memory_for_the_sake_of_its_mask():
    pytest.importorskip("numba")
    rng = np.random.default_rng(1)
    compiled = tn.compile(lambda x: tn.dropout(tn.relu(x * 2), rng=rng) + 1, "numba")
    compiled(X)
    names = [line.split("(")[0].strip() for line in compiled.programs[0].text.splitlines()[1:-1]]
    assert names == ["keep_mask", "loops"]
