"""Which tasks are divided, that results do not depend on it, and that the better number of threads is taken."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_nn as tn
from tests.support import needs
from tinygrad_nn.compiler.loops import sharing
from tinygrad_nn.compiler.loops.pool import POOL
from tinygrad_nn.compiler.works import products


def shared(step):
    """Return what is divided in a compiled step."""
    (program,) = step.programs
    return [thing for thing in program._replay.__globals__.values() if isinstance(thing, sharing.Shared)]


@pytest.fixture
def small_products(monkeypatch):
    monkeypatch.setattr(products, "_LEAST", 100)


@needs.blas
@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        *(((70, 9), (9, 33)), ((33, 9), (9, 70)), ((5, 20, 7), (5, 7, 9)), ((5, 20, 7), (7, 9))),
        *(((1, 20, 7), (4, 7, 9)), ((2, 40, 7), (2, 7, 9)), ((3, 1, 40, 7), (4, 7, 9))),
    ],
    ids=str,
)
def test_divided_products_are_those_of_numpy(small_products, a, b, threads):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=a), rng.normal(size=b)
    step = tn.compile(np.matmul, "numba", threads)
    for _ in range(sharing._WARM + 3 * sharing._BLOCK):
        np.testing.assert_allclose(step(tn.tensor(a), tn.tensor(b)).data, a @ b, rtol=1e-12)
    (one,) = shared(step)
    assert all(len(ranges) > 1 for ranges in one._ranges.values())


@needs.blas
def test_transposed_operands_are_divided_too(small_products):
    a, b = np.random.default_rng(0).normal(size=(2, 40, 40))
    step = tn.compile(lambda a, b: a.T @ b.T, "numba", 2)
    np.testing.assert_allclose(step(tn.tensor(a), tn.tensor(b)).data, a.T @ b.T, rtol=1e-12)
    assert len(shared(step)) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_small_products_are_not_divided(threads):
    step = tn.compile(np.matmul, "numba", threads)
    step(tn.tensor(np.ones((30, 40))), tn.tensor(np.ones((40, 50))))
    assert shared(step) == []


@needs.blas
def test_one_thread_divides_nothing(small_products):
    step = tn.compile(np.matmul, "numba", 1)
    step(tn.tensor(np.ones((30, 40))), tn.tensor(np.ones((40, 50))))
    assert shared(step) == []


def shares(threads):
    return tn.compile(tn.softmax, "numba", threads)


def test_works_give_the_same_bits_with_any_number_of_threads():
    x = np.random.default_rng(0).normal(size=(101, 6)).astype(np.float32)
    steps = [shares(threads) for threads in (1, 2, 3)]
    for _ in range(sharing._WARM + 3 * sharing._BLOCK + 1):
        first, *others = (step(x).data for step in steps)
        for other in others:
            np.testing.assert_array_equal(other, first)
    assert [len(shared(step)) for step in steps] == [0, 1, 1]


def test_a_step_is_called_in_several_threads_and_several_steps_are():
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    step, other = shares(2), shares(2)
    expected = step(x).data
    with ThreadPoolExecutor(4) as threads:
        for result in threads.map(lambda k: (step, other)[k % 2](x).data, range(100)):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("cost", "best"), [({1: 4, 2: 2, 4: 1}, 4), ({1: 4, 2: 3, 4: 3}, 2), ({1: 1, 2: 1, 4: 2}, 1)]
)
def test_the_number_of_threads_is_chosen_that_takes_the_least_time(monkeypatch, cost, best):
    now, used = [0], []

    def share(run, ranges, arguments, threads):
        # Threads that have just slept are late.
        late = 100 if threads not in used[-1:] else 0
        now[0] += cost[threads] + late
        used.append(threads)

    monkeypatch.setattr(sharing, "perf_counter", lambda: now[0])
    monkeypatch.setattr(POOL, "share", share)
    work = sharing.SharedTask(lambda first, last: None, {k: [(0, 1)] for k in cost})
    for _ in range(sharing._WARM + sharing._AGAIN + 1):
        work()
    begin, end = sharing._WARM, sharing._WARM + sharing._BLOCK * len(cost)
    assert used[:begin] == [1] * begin
    assert used[begin:end] == [k for k in cost for _ in range(sharing._BLOCK)]
    assert set(used[end : begin + sharing._AGAIN]) == {best}
    assert used[begin + sharing._AGAIN] == 1


@needs.blas
def test_what_numpy_does_in_a_helper_raises_no_warning(small_products):
    step = tn.compile(np.matmul, "numba", 2)
    step(*[tn.tensor(np.ones((64, 64), np.float32))] * 2)
    x = tn.tensor(np.full((64, 64), 1e38, np.float32))
    for _ in range(sharing._WARM + sharing._BLOCK * 2):
        assert np.isposinf(step(x, x).data).all()
