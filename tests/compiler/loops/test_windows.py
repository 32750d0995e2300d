"""Pools in compiled steps: every window, ties, NaN, what the forward and the backward pass share."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.ops.pooling import first_largest, largest, put_at, taken_at
from tinygrad_nn.ops.windows import Window

RNG = np.random.default_rng(0)

# Shape, kernel, stride, padding: what is left over, overlaps, gaps, one to three axes, few and many channels.
POOLS = [
    ((2, 4, 6, 16), 2, 2, 0),
    ((2, 5, 5, 3), 2, 2, 0),
    ((1, 6, 5, 17), 3, 2, 1),
    ((2, 5, 4, 2), (3, 2), (1, 2), ((1, 1), (0, 1))),
    ((1, 7, 1, 5), (2, 1), (3, 1), 0),
    ((3, 9, 4), 3, 1, 1),
    ((1, 4, 4, 3, 2), 2, (2, 1, 2), 0),
    ((1, 1, 1, 4), 1, 1, 0),
    ((0, 4, 4, 3), 2, 2, 0),
]


def calls_of(compiled):
    (program,) = compiled.programs
    return [line.split("(")[0].strip() for line in program.text.splitlines()[1:-1]]


def check(f, *arrays, backend, exact=False):
    compiled = tn.compile(f, backend)
    expected = [t.data for t in f(*map(tn.tensor, arrays))]
    for _ in range(2):
        for got, want in zip(compiled(*arrays), expected, strict=True):
            assert got.dtype == want.dtype
            if backend == "numpy" or exact:
                np.testing.assert_array_equal(got.data, want)
            else:
                np.testing.assert_allclose(got.data, want, rtol=1e-5, atol=1e-6)
    return compiled


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_pools_and_their_gradients_are_the_eager_ones(pool, dtype, backend):
    shape, *settings = pool
    x = RNG.integers(-2, 3, shape).astype(dtype)
    cotangents = RNG.normal(size=(3, *tn.max_pool(x, *settings).shape)).astype(dtype)

    def f(x, *cotangents):
        pools = (
            lambda x: tn.max_pool(x, *settings),
            lambda x: tn.avg_pool(x, *settings, count_include_pad=True),
            lambda x: tn.avg_pool(x, *settings, count_include_pad=False),
        )
        results = []
        for pool, cotangent in zip(pools, cotangents, strict=True):
            y, pull = tn.vjp(pool, x)
            results += [y, pull(cotangent)]
        return results

    compiled = check(f, x, *cotangents, backend=backend)
    assert "first_largest" not in " ".join(calls_of(compiled))


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_of_several_largest_the_first_and_of_numbers_and_nan_the_nan(pool, backend):
    shape, *settings = pool
    x = RNG.choice([-np.inf, np.nan, 0.0, 1.0], shape)
    x[:, :2] = -np.inf

    def f(x):
        x = x * 1.5
        rank = len(shape) - 2
        window = Window(
            *[n if isinstance(n, tuple) else (n,) * rank for n in settings[:2]], padding, (1,) * rank
        )
        return largest(x, window=window), first_largest(x, window=window)

    padding = settings[2] if isinstance(settings[2], tuple) else ((settings[2],) * 2,) * (len(shape) - 2)
    check(f, x, backend=backend, exact=True)


def test_values_and_index_are_made_in_one_walk(backend):
    x = RNG.normal(size=(2, 4, 4, 3))
    step = tn.value_and_grad(lambda x: tn.max_pool(x, 2).sum())
    compiled = check(lambda x: step(x), x, backend=backend)
    assert [name for name in calls_of(compiled) if "largest" in name] == ["largest"]


def test_an_index_of_other_values_is_made_of_these(backend):
    w = tn.tensor(RNG.normal(size=(1, 4, 1)), requires_grad=True)
    optimizer = tn.optim.SGD([w], lr=1.0)
    window = Window((2,), (2,), ((0, 0),), (1,))

    def step(x):
        optimizer.zero_grad()
        y = largest(w, window=window)
        (w * x).sum().backward()
        optimizer.step()
        return y, first_largest(w, window=window)

    x = np.array([1.0, -100.0, -100.0, 1.0]).reshape(1, 4, 1)
    before = w.data.copy()
    y, index = tn.compile(step, backend)(x)
    np.testing.assert_array_equal(y.data, before.reshape(2, 2).max(1).reshape(1, 2, 1))
    np.testing.assert_array_equal(index.data.ravel(), [1, 0])


def test_infinite_gradients_go_to_their_place_alone(backend):
    window = Window((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))
    index = RNG.integers(0, 4, (1, 2, 2, 3)).astype(np.uint8)
    g = np.full((1, 2, 2, 3), np.inf)
    check(
        lambda g, index: [put_at(g, index, window=window, space=(3, 3))],
        g,
        index,
        backend=backend,
        exact=True,
    )


def test_windows_of_many_places_and_integers_are_left_to_numpy(backend):
    x = RNG.integers(0, 9, (1, 40, 20, 1)).astype(np.float32)
    grad = tn.grad(lambda x: (tn.max_pool(x, (20, 20)) * 2).sum())
    check(lambda x: [grad(x), tn.max_pool(x.astype(np.int64), 3)], x, backend=backend, exact=True)


def test_what_an_index_points_at_is_taken(backend):
    window = Window((2, 2), (2, 1), ((1, 1), (0, 0)), (1, 1))
    x = RNG.normal(size=(2, 4, 5, 3))
    index = first_largest.function(x, window=window)
    check(lambda x, index: [taken_at(x * 2, index, window=window)], x, index, backend=backend)
