"""Race convolutional networks against PyTorch, eager both: `python -m tests.benchmarks.convolutions`.

Whole training steps of a batch of 64 images, forward, backward and an update by SGD, both from the same weights. Run
it with one thread each (OPENBLAS_NUM_THREADS=1); what counts is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_nn as tn
from tests.benchmarks.peers import race, ratio
from tests.support.steps import training_step
from tinygrad_nn import nn


class Network(NamedTuple):
    """Convolutions (in, out, kernel, padding, size of the pool after it) of 28x28 images, then dense layers."""

    convolutions: tuple[tuple[int, int, int, int, int], ...]
    dense: tuple[int, ...]


NETWORKS = {
    "LeNet": Network(((1, 6, 5, 2, 2), (6, 16, 5, 0, 2)), (400, 120, 84, 10)),
    "CNN of 32 and 64 channels": Network(((1, 32, 3, 1, 1), (32, 64, 3, 1, 2)), (12544, 128, 10)),
}
BATCH = 64
RATE = 0.01


def ours(network: Network) -> tuple[nn.Sequential, Callable[[Any, Any], Any]]:
    """Return the network and its training step."""
    layers: list[Any] = []
    for k, (c, o, kernel, padding, pool) in enumerate(network.convolutions):
        layers += [nn.Conv2d(c, o, kernel, padding=padding, rng=k), nn.ReLU()]
        layers += [nn.MaxPool2d(pool)] * (pool > 1)
    layers.append(nn.Flatten())
    for k, (a, b) in enumerate(zip(network.dense, network.dense[1:], strict=False)):
        layers += [nn.Dense(a, b, rng=k), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    return model, training_step(model, tn.optim.SGD(model.parameters(), lr=RATE))


def pytorch(network: Network, weights: list[Any]) -> Callable[[Any, Any], Any]:
    """Return the training step of the same network in PyTorch, from the same weights."""
    import torch

    torch.set_num_threads(1)
    layers: list[Any] = []
    for c, o, kernel, padding, pool in network.convolutions:
        layers += [torch.nn.Conv2d(c, o, kernel, padding=padding), torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(pool)] * (pool > 1)
    layers.append(torch.nn.Flatten())
    for a, b in zip(network.dense, network.dense[1:], strict=False):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    channels = network.convolutions[-1][1]
    for parameter, array in zip(model.parameters(), weights, strict=True):
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif array.ndim == 2:
            if len(array) == network.dense[0]:
                # The rows of the first dense layer are places and channels, here in another order than there.
                array = array.reshape(-1, channels, array.shape[1]).swapaxes(0, 1).reshape(array.shape)
            array = array.T
        with torch.no_grad():
            parameter.copy_(torch.tensor(np.ascontiguousarray(array)))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def step(x: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    images = None

    def on_arrays(x: Any, labels: Any) -> Any:
        nonlocal images
        if images is None:
            images = torch.tensor(np.moveaxis(x, -1, 1).copy()), torch.tensor(labels)
        return step(*images)

    return on_arrays


def batch() -> tuple[Any, Any]:
    """Return images, most of which is black, and labels."""
    rng = np.random.default_rng(0)
    x = rng.random((BATCH, 28, 28, 1)) * (rng.random((BATCH, 28, 28, 1)) < 0.2)
    return x.astype(np.float32), rng.integers(0, 10, BATCH)


def main() -> None:
    """Run the race that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="how long one turn takes")
    arguments = parser.parse_args()
    x, labels = batch()
    for name, network in NETWORKS.items():
        model, step = ours(network)
        other = pytorch(network, [parameter.data.copy() for parameter in model.parameters()])
        losses = [(float(step(x, labels)), float(other(x, labels))) for _ in range(3)]
        np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-4)
        steps = {"ours": lambda step=step: step(x, labels), "PyTorch": lambda other=other: other(x, labels)}
        times = race(steps, arguments.rounds, arguments.seconds, time.process_time)
        medians = ", ".join(f"{who} {statistics.median(values):,.0f} us" for who, values in times.items())
        print(f"{name}: {ratio(times, 'ours', 'PyTorch'):.2f} of PyTorch ({medians})")


if __name__ == "__main__":
    main()
