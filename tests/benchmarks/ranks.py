"""What ranks cost and bring: `python -m tests.benchmarks.ranks`, on a quiet machine with two cores.

Without arguments it starts itself by mpiexec: with two ranks for what a step takes beside its local work, then with one
and with two ranks in turn for rows a second of a convolutional network, and prints the ratio. One thread a rank.
"""

import statistics
import sys
import time

import numpy as np

import tinygrad_nn as tn
from tests.support import mpi
from tinygrad_nn import nn, optim

ROWS = 64
"""Of a rank, in a step whose cost is measured."""
BATCH = 128
"""Rows of the batch that ranks share."""
STEPS, ROUNDS = 300, 3


def perceptron():
    """Return a network of 203,530 parameters."""
    return nn.Sequential(nn.Dense(784, 256, rng=0), nn.ReLU(), nn.Dense(256, 10, rng=1))


def convolutional():
    """Return the network of examples/mnist_cnn.py, without dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, rng=0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, rng=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dense(1600, 10, rng=2),
    )


def cost(comm):
    """Print microseconds of a local step, of one that sums over the ranks, and the difference."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(ROWS, 784)).astype(np.float32), rng.integers(10, size=ROWS)
    model = perceptron()
    local = optim.SGD(model.parameters(), lr=0.01)
    shared = optim.Distributed(local, comm)

    def step_of(take):
        def step(x, y):
            local.zero_grad()
            loss = nn.losses.cross_entropy(model(x), y)
            loss.backward()
            take()
            return loss

        return step

    for name, wrap in (("eager", lambda step: step), ("compiled", tn.compile)):
        steps = [wrap(step_of(local.step)), wrap(step_of(lambda: shared.step(rows=ROWS)))]
        taken = [[], []]
        for _ in range(STEPS):
            for times, step in zip(taken, steps, strict=True):
                comm.allgather(None)
                start = time.perf_counter()
                step(x, y)
                times.append(time.perf_counter() - start)
        alone, together = (statistics.median(times[STEPS // 10 :]) * 1e6 for times in taken)
        if comm.rank == 0:
            print(
                f"{name}: local {alone:.0f} us, of all ranks {together:.0f} us: {together - alone:.0f} us more"
            )


class Stamps(tn.train.Callback):
    """Notes when each step was done."""

    def __init__(self):
        self.times = []

    def on_step(self, run):
        self.times.append(time.perf_counter())


def rows_a_second(comm):
    """Print rows a second of a training with a batch that all ranks share."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40 * BATCH, 28, 28, 1)).astype(np.float32)
    y = rng.integers(10, size=len(x))
    model, stamps = convolutional(), Stamps()
    tn.train.fit(
        model,
        nn.losses.cross_entropy,
        optim.Adam(model.parameters()),
        tn.data.batches(x, y, size=BATCH, rng=0),
        callbacks=[stamps],
        progress=False,
        compile=True,
        comm=comm,
    )
    if comm.rank == 0:
        print(BATCH / np.median(np.diff(stamps.times)[5:]))


def main(*arguments):
    """Measure on these ranks, or start the ranks that do."""
    if arguments:
        {"cost": cost, "rows": rows_a_second}[arguments[0]](tn.parallel.world())
        return
    print(mpi.run(2, "-m", "tests.benchmarks.ranks", "cost").out, end="")
    ratios = []
    for _ in range(ROUNDS):
        one, two = (float(mpi.run(size, "-m", "tests.benchmarks.ranks", "rows").out) for size in (1, 2))
        ratios.append(two / one)
        print(
            f"convolutional network: {one:.0f} rows a second with one rank, {two:.0f} with two: {two / one:.2f}"
        )
    print(f"median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
