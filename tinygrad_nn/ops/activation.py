"""The nonlinearities of neural networks, in formulas that neither overflow nor warn."""

from typing import Any

import numpy as np

from tinygrad_nn.ops.reduction import logsumexp
from tinygrad_nn.primitive import kernel


@kernel(lambda g, y: g * y * (1 - y), reference=lambda x: 1 / (1 + np.exp(-x)), onnx="Sigmoid")
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)); where exp(-x) overflows, the result is 0 as it should be.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
    """
    with np.errstate(over="ignore"):
        y = np.exp(np.negative(x))
        y += 1
        return np.reciprocal(y)


@kernel(
    lambda g, y: np.where(y > 0, g, 0), reference=lambda x: np.maximum(x, 0), kinks=(0.0,), analytic=False, onnx="Relu"
)
def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0."""
    return np.maximum(x, 0)


def _axis_samples(rng: np.random.Generator) -> list[Any]:
    return [((rng.normal(size=(3, 4)),), {"axis": axis}) for axis in (0, -1)] + [((rng.normal(size=5),), {})]


@kernel(
    lambda g, y, *, axis=-1: y * (g - np.sum(g * y, axis=axis, keepdims=True)),
    reference=lambda x, axis=-1: np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True),
    samples=_axis_samples,
    onnx="Softmax",
)
def softmax(x: Any, *, axis: Any = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`, shifted by the largest entry.

    Example:
        >>> softmax(np.array([1000.0, 1000.0]))
        array([0.5, 0.5])
    """
    y = np.exp(x - np.max(x, axis=axis, keepdims=True))
    y /= np.sum(y, axis=axis, keepdims=True)
    return y


@kernel(
    lambda g, y, *, axis=-1: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True),
    reference=lambda x, axis=-1: np.log(np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)),
    samples=_axis_samples,
    onnx="LogSoftmax",
)
def log_softmax(x: Any, *, axis: Any = -1) -> Any:
    """x - log(sum(exp(x))) along `axis`."""
    return x - logsumexp.function(x, axis=axis, keepdims=True)
