"""Fused losses: one row of logits and one label to one number, with the softmax computed once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tinygrad_nn.ops.activation import sigmoid, softmax
from tinygrad_nn.ops.arithmetic import in_one_dtype, product
from tinygrad_nn.ops.reduction import divided, mean, ones, sum_, wide_sum
from tinygrad_nn.ops.samples import cases, each, integers
from tinygrad_nn.primitives import Array, kernel

_INTP = np.dtype(np.intp)
_UNSIGNED = {char: np.dtype(char.upper()) for char in "bhilqBHILQ"}
_ROWS = tuple([(n, c), integers(0, c, (n,))] for n, c in ((4, 3), (1, 5), (3, 3)))


def labels_fit(labels: Array, classes: int) -> bool:
    """Tell whether every label, an integer, names one of the classes."""
    # As unsigned numbers negative labels are huge. Where the largest is, is found in a fifth of the time that a
    # reduction takes to say how large it is.
    numbers = labels.view(_UNSIGNED[labels.dtype.char])
    return not labels.size or numbers.item(numbers.argmax()) < classes


@lru_cache(maxsize=64)
def _row_starts(count: int, classes: int) -> Array:
    """Return where the rows of a (count, classes) matrix start in its flat view, made once for each shape."""
    starts = np.arange(0, count * classes, classes)
    starts.flags.writeable = False
    return starts


def row_max(x: Array) -> Array:
    """The largest entry of each row of a matrix, as a column."""
    # NumPy reduces short rows one by one, columns in vectors.
    if x.shape[1] < 32:
        return np.maximum.reduce(x.T.copy())[:, None]
    return np.maximum.reduce(x, axis=1, keepdims=True)


@kernel(
    lambda g: g,
    None,
    linear=True,
    samples=cases(*_ROWS),
    reference=lambda p, labels: p - np.eye(p.shape[1])[labels],
)
def minus_one_hot(p: Array, labels: Array) -> Array:
    """Subtract 1 from the entry of each row of p that its label names."""
    d = p.copy()
    d[np.arange(len(labels)), labels] -= 1
    return d


def _plain_cross_entropy(logits: Array, labels: Array, reduction: str = "mean") -> Array:
    p = np.exp(logits) / np.sum(np.exp(logits), axis=1, keepdims=True)
    rows = -np.log(p[np.arange(len(labels)), labels])
    return rows if reduction == "none" else getattr(np, reduction)(rows)


@kernel(
    lambda g, d, *, reduction="mean": product(
        divided(g, len(d)) if reduction == "mean" else g if reduction == "sum" else g[:, None], d
    ),
    None,
    residuals={"d": lambda logits, labels: minus_one_hot(softmax(logits), labels)},
    reference=_plain_cross_entropy,
    samples=cases(*_ROWS, reduction=each("mean", "sum", "none")),
    formula=(
        "(softmax(logits) - one_hot(labels)) * g / shapes[0][0] if reduction == 'mean' else "
        "(softmax(logits) - one_hot(labels)) * (g if reduction == 'sum' else g[:, None])",
        None,
    ),
)
def cross_entropy(logits: Array, labels: Array, *, reduction: str = "mean") -> tuple[Array, Array]:
    """-log(softmax(logits)[label]) for (N, C) logits and N integer labels: their mean, their sum, or each."""
    count, classes = logits.shape
    # In C order: the flat view below has to be a view.
    d = np.subtract(logits, row_max(logits), order="C")
    flat = d.reshape(-1)
    chosen = _row_starts(count, classes) + (labels if labels.dtype is _INTP else labels.astype(_INTP))
    scores = flat[chosen]
    np.exp(d, d)
    # Several times faster than a sum along short rows; in half precision it would overflow.
    total = d @ ones(classes, d.dtype.char) if d.itemsize > 2 else wide_sum(d, 1)
    d /= total[:, None]
    flat[chosen] -= 1
    losses = np.subtract(np.log(total), scores, scores)
    if reduction == "none":
        return losses, d
    if reduction == "mean" and losses.itemsize > 2:
        return np.add.reduce(losses) / count, d
    return (mean if reduction == "mean" else sum_).function(losses), d


@kernel(
    lambda g, labels, *, shapes: np.where(labels[:, None] == np.arange(shapes[0][1]), -g[:, None], 0),
    None,
    linear=True,
    samples=cases(*_ROWS),
    formula=("-g[:, None] * one_hot(labels)", None),
    reference=lambda scores, labels: -np.sum(scores * np.eye(scores.shape[1])[labels], axis=1),
)
def nll(scores: Array, labels: Array) -> Array:
    """-scores[row, label] for (N, C) scores and N integer labels."""
    return -scores[np.arange(len(labels)), labels]


@kernel(
    lambda g, logits, targets: product(g, sigmoid(logits) - targets),
    lambda g, logits: -product(g, logits),
    reference=lambda logits, targets: (
        -targets * np.log(1 / (1 + np.exp(-logits))) - (1 - targets) * np.log(1 / (1 + np.exp(logits)))
    ),
    domain=((-3, 3), (0, 1)),
)
def binary_cross_entropy_elements(logits: Array, targets: Array) -> Array:
    """log(1 + exp(logits)) - targets * logits, element by element, without overflow."""
    logits, targets = in_one_dtype(logits, targets)
    # Exactly 0 where the target is certain and right.
    largest = np.maximum(logits, 0) - targets * logits
    return largest + np.log1p(np.exp(np.minimum(logits, -logits)))


@kernel(
    lambda g, d, *, delta: product(g, np.clip(d, -delta, delta)),
    reference=lambda d, delta: np.where(np.abs(d) <= delta, d * d / 2, delta * (np.abs(d) - delta / 2)),
    kinks=lambda d, delta: np.abs(d) - delta,
    analytic=False,
    samples=cases([each((3, 4), (0, 2)), {"delta": 1.0}, (5,), {"delta": 0.3}, (), {"delta": 2.0}]),
    method=False,
)
def huber_elements(d: Array, *, delta: float) -> Array:
    """d**2 / 2 for differences up to delta, continued by straight lines (Huber, 1964)."""
    near = np.clip(d, -delta, delta)
    return near * (d - near / 2)
