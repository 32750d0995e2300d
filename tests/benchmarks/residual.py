"""Race a residual block with batch norm against PyTorch, eager both: `python -m tests.benchmarks.residual`.

Whole training steps of a block of 64 channels on a batch of 32 images of 32x32, with an average of each channel and a
dense layer behind it; PyTorch with channels first, as it has them by default, and last. One thread each, all from the
same weights; what counts is the median of the ratios of processor times within a round. Five sixths of a step are
products of matrices: with OPENBLAS_CORETYPE=Haswell on a processor that has more, they take twice as long here, and in
PyTorch what they always do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

# Before NumPy is imported.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np

import tinygrad_nn as tn
from tests.benchmarks.peers import Step, machine, race, ratio
from tests.support.steps import training_step
from tinygrad_nn import nn
from tinygrad_nn.interop import torch_state

CHANNELS, CLASSES, BATCH, SIZE, RATE = 64, 10, 32, 32, 0.01
OURS, FIRST, LAST = "tinygrad_nn", "PyTorch", "PyTorch, channels last"


def model() -> nn.Sequential:
    """Return the block and what is behind it."""

    def convolution() -> nn.Conv2d:
        return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False, rng=rng)

    rng = np.random.default_rng(0)
    block = nn.Sequential(
        *(convolution(), nn.BatchNorm(CHANNELS), nn.ReLU(), convolution(), nn.BatchNorm(CHANNELS))
    )
    return nn.Sequential(
        nn.Residual(block), nn.ReLU(), nn.GlobalAvgPool(), nn.Dense(CHANNELS, CLASSES, rng=rng)
    )


def pytorch(like: nn.Sequential, x: Any, labels: Any, channels_last: bool) -> Step:
    """Return a training step of the same in PyTorch, from the same weights."""
    import torch
    from torch import nn

    torch.set_num_threads(1)

    class Residual(nn.Module):
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Any) -> Any:
            return x + self.module(x)

    def convolution() -> Any:
        return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)

    norms = nn.BatchNorm2d(CHANNELS), nn.BatchNorm2d(CHANNELS)
    block = nn.Sequential(convolution(), norms[0], nn.ReLU(), convolution(), norms[1])
    average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    theirs = nn.Sequential(Residual(block), nn.ReLU(), average, nn.Linear(CHANNELS, CLASSES))
    theirs.load_state_dict({name: torch.from_numpy(a) for name, a in torch_state(like).items()})
    images = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    if channels_last:
        theirs, images = (thing.to(memory_format=torch.channels_last) for thing in (theirs, images))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=RATE)
    numbers = torch.from_numpy(labels)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(images), numbers)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def main() -> None:
    """Run the race that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="how long one turn takes")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, SIZE, SIZE, CHANNELS)).astype(np.float32)
    labels = rng.integers(0, CLASSES, BATCH)
    ours = model()
    steps = {FIRST: pytorch(ours, x, labels, False), LAST: pytorch(ours, x, labels, True)}
    step = training_step(ours, tn.optim.SGD(ours.parameters(), lr=RATE))
    steps[OURS] = lambda: float(step(x, labels))
    losses = [[step() for _ in range(3)] for step in steps.values()]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-4)
    times = race(steps, arguments.rounds, arguments.seconds, time.process_time)
    for other in (FIRST, LAST):
        print(f"residual block: {ratio(times, OURS, other):.2f} of {other}")
    print(", ".join(f"{name} {statistics.median(times[name]) / 1e3:.1f} ms" for name in steps))
    print(machine())


if __name__ == "__main__":
    main()
