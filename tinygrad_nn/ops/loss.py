"""Fused losses: one row of logits and one label to one number, with the softmax computed once."""

from typing import Any

import numpy as np

from tinygrad_nn.ops.activation import log_softmax, sigmoid, softmax
from tinygrad_nn.ops.indexing import HOLE, scatter
from tinygrad_nn.primitive import kernel


def _samples(rng: np.random.Generator) -> list[Any]:
    return [((rng.normal(size=(n, c)), rng.integers(c, size=n)), {}) for n, c in ((4, 3), (1, 5), (3, 3))]


def _cross_entropy_rule(g: Any, labels: Any, p: Any, *, shapes: Any) -> Any:
    """(p - one_hot(labels)) * g, row by row."""
    rows = np.arange(shapes[0][0])
    return p * np.expand_dims(g, -1) - scatter(g, rows, labels, index=(HOLE, HOLE), shape=shapes[0])


@kernel(
    _cross_entropy_rule,
    None,
    p=lambda logits: softmax(logits),
    reference=lambda logits, labels: -log_softmax(logits)[np.arange(len(labels)), labels],
    samples=_samples,
    method=False,
    onnx="SoftmaxCrossEntropyLoss",
)
def cross_entropy_rows(logits: Any, labels: Any) -> Any:
    """-log(softmax(logits)[label]) for each row of (N, C) logits and each of N integer labels."""
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    p = np.exp(shifted, out=shifted)
    total = np.sum(p, axis=1, keepdims=True)
    p /= total
    return np.log(total[:, 0]) - chosen, p


@kernel(
    lambda g, logits, targets: g * (sigmoid(logits) - targets),
    lambda g, logits: g * -logits,
    reference=lambda logits, targets: (
        -targets * np.log(1 / (1 + np.exp(-logits))) - (1 - targets) * np.log(1 / (1 + np.exp(logits)))
    ),
    domain=((-3, 3), (0, 1)),
    method=False,
)
def binary_cross_entropy_elements(logits: Any, targets: Any) -> Any:
    """log(1 + exp(logits)) - targets * logits, element by element, without overflow."""
    return np.logaddexp(0, logits) - targets * logits


