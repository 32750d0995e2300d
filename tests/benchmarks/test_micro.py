"""What single things cost: run with `pytest tests/benchmarks/test_micro.py --benchmark-only`."""

import itertools

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


@pytest.mark.parametrize("length", [10, 100, 1_000, 10_000, 100_000])
def test_chain_forward_and_backward(benchmark, length):
    w = tn.tensor(np.ones(64, np.float32), requires_grad=True)
    cotangent = np.ones(64, np.float32)

    def run():
        w.grad = None
        y = w
        for _ in range(length):
            y = np.tanh(y)
        y.backward(cotangent)

    benchmark.pedantic(run, rounds=max(5, 10_000 // length), iterations=1, warmup_rounds=1)
    benchmark.extra_info["microseconds per op"] = benchmark.stats["median"] / length * 1e6


@pytest.mark.parametrize("what", ["forward", "backward"])
@pytest.mark.parametrize("widths", [(2, 3, 2), (784, 100, 10), (784, 256, 256, 256, 256, 10)], ids=str)
def test_passes_of_a_network(benchmark, widths, what):
    layers = [[tn.nn.Dense(a, b, rng=0), tn.nn.Sigmoid()] for a, b in itertools.pairwise(widths)]
    model = tn.nn.Sequential(*[module for pair in layers for module in pair][:-1])
    x, labels = np.ones((200, widths[0]), np.float32), np.zeros(200, np.int64)

    def forward():
        model.zero_grad()
        return tn.nn.losses.cross_entropy(model(x), labels)

    if what == "forward":
        benchmark.pedantic(forward, rounds=200, warmup_rounds=5)
    else:
        benchmark.pedantic(tn.Tensor.backward, setup=lambda: ((forward(),), {}), rounds=200, warmup_rounds=5)


@pytest.mark.parametrize("name", ["NumPy by hand", "tinygrad_nn", "tinygrad_nn compiled"])
@pytest.mark.parametrize("workload", WORKLOADS[:2], ids=lambda workload: workload.name)
def test_training_step(benchmark, workload, name):
    x, labels = workload.batch_of_data()
    step, _ = CONTESTANTS[name](workload)
    step(x, labels)
    benchmark(step, x, labels)
