"""Convolutional networks for 28x28 images, with and without dropout."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.network import Network
from tinygrad_nn import nn

SIZE, CLASSES = 28, 10


class Shape(NamedTuple):
    """Convolutions (in, out, kernel, padding, size of the pool after it), then dense layers; dropout after both."""

    convolutions: tuple[tuple[int, int, int, int, int], ...]
    dense: tuple[int, ...]
    dropout: tuple[float, float] = (0.0, 0.0)


LENET = Shape(((1, 6, 5, 2, 2), (6, 16, 5, 0, 2)), (400, 120, 84, 10))
CNN = Shape(((1, 32, 3, 1, 1), (32, 64, 3, 1, 2)), (12544, 128, 10))


def model(shape: Shape) -> nn.Sequential:
    layers: list[Any] = []
    for k, (c, o, kernel, padding, pool) in enumerate(shape.convolutions):
        layers += [nn.Conv2d(c, o, kernel, padding=padding, rng=k), nn.ReLU()]
        layers += [nn.MaxPool2d(pool)] * (pool > 1)
    early, late = shape.dropout
    layers += [*[nn.Dropout(early, rng=0)] * (early > 0), nn.Flatten()]
    for k, (a, b) in enumerate(pairwise(shape.dense)):
        layers += [nn.Dense(a, b, rng=k), nn.ReLU()]
    # The last layer has no activation before the loss, and dropout before it.
    layers[-2:-2] = [nn.Dropout(late, rng=1)] * (late > 0)
    return nn.Sequential(*layers[:-1])


def torch_model(shape: Shape) -> Any:
    from torch import nn

    layers: list[Any] = []
    for c, o, kernel, padding, pool in shape.convolutions:
        layers += [nn.Conv2d(c, o, kernel, padding=padding), nn.ReLU()]
        layers += [nn.MaxPool2d(pool)] * (pool > 1)
    early, late = shape.dropout
    layers += [*[nn.Dropout(early)] * (early > 0), nn.Flatten()]
    for a, b in pairwise(shape.dense):
        layers += [nn.Linear(a, b), nn.ReLU()]
    layers[-2:-2] = [nn.Dropout(late)] * (late > 0)
    return nn.Sequential(*layers[:-1])


def jax_loss(shape: Shape, weights: Any, key: Any, x: Any, labels: Any) -> Any:
    import jax

    early, late = shape.dropout
    # A Sequential names its layers by their numbers.
    numbers = sorted({int(name.split(".")[0]) for name in weights})
    layers = [(weights[f"{k}.weight"], weights[f"{k}.bias"]) for k in numbers]
    keys: Any = jax.random.split(key, 3) if key is not None else [None] * 3
    for (weight, bias), (*_, padding, pool) in zip(layers, shape.convolutions, strict=False):
        x = jax.nn.relu(jax_convolution(x, weight, padding) + bias)
        if pool > 1:
            window = (1, pool, pool, 1)
            x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")
    x = _jax_dropped(x, early, keys[0]).reshape(len(x), -1)
    *hidden, (weight, bias) = layers[len(shape.convolutions) :]
    for w, b in hidden:
        x = jax.nn.relu(x @ w + b)
    return jax_cross_entropy(_jax_dropped(x, late, keys[1]) @ weight + bias, labels), keys[2]


def jax_convolution(x: Any, weight: Any, padding: int) -> Any:
    import jax

    around = [(padding, padding)] * 2
    return jax.lax.conv_general_dilated(x, weight, (1, 1), around, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def jax_cross_entropy(logits: Any, labels: Any) -> Any:
    import jax

    return -jax.nn.log_softmax(logits)[jax.numpy.arange(len(labels)), labels].mean()


def _jax_dropped(x: Any, p: float, key: Any) -> Any:
    import jax

    return jax.numpy.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0) if p else x


def _jax_key() -> Any:
    import jax

    return jax.random.key(0)


def images(batch: int) -> tuple[Any, Any]:
    """Return images, most of which is black, and labels."""
    rng = np.random.default_rng(0)
    size = (batch, SIZE, SIZE, 1)
    x = rng.random(size) * (rng.random(size) < 0.2)
    return x.astype(np.float32), rng.integers(0, CLASSES, batch)


def products(shape: Shape, batch: int) -> float:
    """Return the floating point operations of products in a step; no gradient reaches the images."""
    size, forward, first = SIZE, 0.0, 0.0
    for c, o, kernel, padding, pool in shape.convolutions:
        size = size + 2 * padding - kernel + 1
        forward += 2 * size * size * kernel * kernel * c * o
        first = first or forward
        size //= pool
    forward += sum(2 * a * b for a, b in pairwise(shape.dense))
    return batch * (3 * forward - first)


def network(name: str, shape: Shape, batch: int = 64) -> Network:
    """Return a network of this shape, trained by SGD."""

    def loss(module: Any, x: Any, labels: Any) -> Any:
        return nn.losses.cross_entropy(module(x), labels)

    def torch_loss(module: Any, x: Any, labels: Any) -> Any:
        import torch

        return torch.nn.functional.cross_entropy(module(x), labels)

    return Network(
        name,
        partial(model, shape),
        partial(images, batch),
        loss,
        partial(torch_model, shape),
        torch_loss,
        partial(jax_loss, shape),
        products(shape, batch),
        jax_state=_jax_key if any(shape.dropout) else lambda: None,
        images=True,
        random=any(shape.dropout),
    )


NETWORKS = (
    network("LeNet, batch 64", LENET),
    network("32-64 CNN, batch 64", CNN),
    network("32-64 CNN with dropout, batch 64", CNN._replace(dropout=(0.25, 0.5))),
)
