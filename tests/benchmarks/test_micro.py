"""What single things cost: run with `pytest tests/benchmarks/test_micro.py --benchmark-only`."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.workloads import WORKLOADS


@pytest.fixture
def small():
    return tn.tensor(np.ones(4, np.float32)), tn.tensor(np.ones(4, np.float32), requires_grad=True)


def test_add_in_plain_numpy(benchmark, small):
    a, b = small[0].data, small[1].data
    benchmark(lambda: a + b)


def test_add_without_gradient(benchmark, small):
    x, _ = small
    benchmark(lambda: x + x)


def test_add_recorded(benchmark, small):
    x, w = small
    benchmark(lambda: x + w)


@pytest.mark.parametrize("length", [10, 1_000, 100_000])
def test_chain_forward_and_backward(benchmark, length):
    w = tn.tensor(np.ones(4, np.float32), requires_grad=True)

    def run():
        y = w
        for _ in range(length):
            y = y * 1.0
        y.sum().backward()

    benchmark.pedantic(run, rounds=5, iterations=1, warmup_rounds=1)
    benchmark.extra_info["microseconds per op"] = benchmark.stats["median"] / length * 1e6


@pytest.mark.parametrize("name", ["NumPy by hand", "tinygrad_nn", "tinygrad_nn compiled"])
@pytest.mark.parametrize("workload", WORKLOADS[:2], ids=lambda workload: workload.name)
def test_training_step(benchmark, workload, name):
    x, labels = workload.batch_of_data()
    step, _ = CONTESTANTS[name](workload)
    step(x, labels)
    benchmark(step, x, labels)
