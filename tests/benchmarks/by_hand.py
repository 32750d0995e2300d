"""The yardstick: the same training step written by hand in NumPy, as one writes it without a library.

Nothing is preallocated; parameters and the state of Adam are updated in place; the gradient of softmax and
cross-entropy together is p - onehot, divided by the batch; no gradient is computed for the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.workloads import BETAS, EPS, Workload

ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "tanh": (np.tanh, lambda g, y: g * (1 - y * y)),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda g, y: g * y * (1 - y)),
    "relu": (lambda z: np.maximum(z, 0), lambda g, y: g * (y > 0)),
}


def by_hand(workload: Workload) -> Callable[[Any, Any], Any]:
    """Return the step; it takes a batch and returns the loss."""
    layers = workload.first_weights()
    weights, biases = [w for w, _ in layers], [b for _, b in layers]
    forward, pull_back = ACTIVATIONS[workload.activation]
    update = {"sgd": _sgd, "adam": _adam}[workload.optimizer](weights + biases, workload.rate)
    last = len(weights) - 1

    def step(x: Any, labels: Any) -> Any:
        values = [x]
        for k in range(last):
            values.append(forward(values[k] @ weights[k] + biases[k]))
        logits = values[last] @ weights[last] + biases[last]

        rows = np.arange(len(labels))
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - logits[rows, labels]).mean()

        p /= total
        p[rows, labels] -= 1
        g = p / len(labels)
        weight_gradients, bias_gradients = [None] * (last + 1), [None] * (last + 1)
        for k in range(last, -1, -1):
            weight_gradients[k] = values[k].T @ g
            bias_gradients[k] = g.sum(axis=0)
            if k:
                g = pull_back(g @ weights[k].T, values[k])
        update(weight_gradients + bias_gradients)
        return loss

    return step


def _sgd(parameters: list[Any], rate: float) -> Callable[[list[Any]], None]:
    def update(gradients: list[Any]) -> None:
        for w, g in zip(parameters, gradients, strict=True):
            w -= rate * g

    return update


def _adam(parameters: list[Any], rate: float) -> Callable[[list[Any]], None]:
    first = [np.zeros_like(w) for w in parameters]
    second = [np.zeros_like(w) for w in parameters]
    b1, b2 = BETAS
    t = 0

    def update(gradients: list[Any]) -> None:
        nonlocal t
        t += 1
        for w, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m += (1 - b1) * (g - m)
            v += (1 - b2) * (g * g - v)
            w -= rate / (1 - b1**t) * m / (np.sqrt(v / (1 - b2**t)) + EPS)

    return update
