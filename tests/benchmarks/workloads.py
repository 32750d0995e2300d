"""The networks that are measured, as data: what is trained, on what, with which first weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Workload:
    """One training step: a multilayer perceptron, mean softmax cross-entropy, one optimizer."""

    name: str
    widths: tuple[int, ...]
    batch: int
    activation: str = "sigmoid"
    optimizer: str = "sgd"
    rate: float = 0.1
    dtype: str = "float32"

    def batch_of_data(self) -> tuple[Array, Array]:
        """Return inputs in [0, 1), most of them zero as in images of digits, and their labels."""
        rng = np.random.default_rng(1)
        x = rng.random((self.batch, self.widths[0])) * (rng.random((self.batch, self.widths[0])) < 0.3)
        return x.astype(self.dtype), rng.integers(self.widths[-1], size=self.batch)

    def first_weights(self) -> list[tuple[Array, Array]]:
        """Return a weight and a bias for each layer; every contestant starts from the same ones."""
        rng = np.random.default_rng(2)
        layers = []
        for fan_in, fan_out in zip(self.widths, self.widths[1:], strict=False):
            limit = (6 / (fan_in + fan_out)) ** 0.5
            weight = rng.uniform(-limit, limit, (fan_in, fan_out)).astype(self.dtype)
            layers.append((weight, np.zeros(fan_out, self.dtype)))
        return layers


WORKLOADS = (
    Workload("moons 2-3-2, batch 200", (2, 3, 2), 200, "tanh", "sgd", 0.5, "float64"),
    Workload("784-50-10, batch 100", (784, 50, 10), 100),
    Workload("784-100-10, batch 1000", (784, 100, 10), 1000),
    Workload("784-16-10 Adam, batch 1000", (784, 16, 10), 1000, "sigmoid", "adam", 1e-3),
    Workload("784-625-10, batch 100", (784, 625, 10), 100),
    Workload("784-256x4-10 relu Adam, batch 128", (784, 256, 256, 256, 256, 10), 128, "relu", "adam", 1e-3),
)
GROWTH = (
    *[Workload(f"784-100-10, batch {n}", (784, 100, 10), n) for n in (10, 100, 1000)],
    *[Workload(f"784-{n}-10, batch 100", (784, n, 10), 100) for n in (16, 128, 512)],
    *[Workload(f"64, {n} times 64, 10 relu, batch 64", (64, *[64] * n, 10), 64, "relu") for n in (1, 4, 8)],
)
"""How cost grows with batch, width and depth."""
BETAS = (0.9, 0.999)
EPS = 1e-8
