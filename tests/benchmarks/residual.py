"""A residual block with batch norm, an average of each channel and a dense layer behind it.

Five sixths of a step are products of matrices: with OPENBLAS_CORETYPE=Haswell on a processor that has more, they take
twice as long with NumPy, and in PyTorch what they always do.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tests.benchmarks.convolutions import jax_convolution, jax_cross_entropy
from tests.benchmarks.network import Network
from tinygrad_nn import nn

CLASSES, SIZE = 10, 32
MOMENTUM, EPS = 0.1, 1e-5


def model(channels: int) -> nn.Sequential:
    """Return the block and what is behind it."""

    def convolution() -> nn.Conv2d:
        return nn.Conv2d(channels, channels, 3, padding=1, bias=False, rng=rng)

    rng = np.random.default_rng(0)
    norms = nn.BatchNorm(channels), nn.BatchNorm(channels)
    block = nn.Sequential(convolution(), norms[0], nn.ReLU(), convolution(), norms[1])
    return nn.Sequential(
        nn.Residual(block), nn.ReLU(), nn.GlobalAvgPool(), nn.Dense(channels, CLASSES, rng=rng)
    )


def torch_model(channels: int) -> Any:
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Any) -> Any:
            return x + self.module(x)

    def convolution() -> Any:
        return nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    norms = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
    block = nn.Sequential(convolution(), norms[0], nn.ReLU(), convolution(), norms[1])
    average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(Residual(block), nn.ReLU(), average, nn.Linear(channels, CLASSES))


def jax_loss(weights: Any, running: Any, x: Any, labels: Any) -> Any:
    import jax

    y, kept = x, []
    for k, statistics in zip((0, 3), running, strict=True):
        y = jax_convolution(y, weights[f"0.module.{k}.weight"], 1)
        mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
        count = y.size / y.shape[-1]
        now = (mean, variance * count / (count - 1))
        kept.append(
            [
                old + MOMENTUM * (jax.lax.stop_gradient(new) - old)
                for old, new in zip(statistics, now, strict=True)
            ]
        )
        name = f"0.module.{k + 1}"
        y = (y - mean) * (weights[f"{name}.weight"] * jax.lax.rsqrt(variance + EPS)) + weights[f"{name}.bias"]
        if k == 0:
            y = jax.nn.relu(y)
    features = jax.nn.relu(x + y).mean((1, 2))
    return jax_cross_entropy(features @ weights["3.weight"] + weights["3.bias"], labels), kept


def _jax_state(channels: int) -> Any:
    import jax.numpy as jnp

    return [[jnp.zeros(channels), jnp.ones(channels)] for _ in range(2)]


def images(channels: int, batch: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, SIZE, SIZE, channels)).astype(np.float32)
    return x, rng.integers(0, CLASSES, batch)


def network(channels: int = 64, batch: int = 32) -> Network:
    """Return a block of so many channels on images of 32x32, trained by SGD."""

    def loss(module: Any, x: Any, labels: Any) -> Any:
        return nn.losses.cross_entropy(module(x), labels)

    def torch_loss(module: Any, x: Any, labels: Any) -> Any:
        import torch

        return torch.nn.functional.cross_entropy(module(x), labels)

    # Two convolutions; the input of the first gets no gradient.
    products = 5 * 2 * batch * SIZE * SIZE * 9 * channels * channels
    return Network(
        f"residual block of {channels} channels, batch {batch}",
        partial(model, channels),
        partial(images, channels, batch),
        loss,
        partial(torch_model, channels),
        torch_loss,
        jax_loss,
        products,
        jax_state=partial(_jax_state, channels),
        images=True,
    )


NETWORKS = (network(),)
