"""Fused losses: one row of logits and one label to one number, with the softmax computed once."""

from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_nn.ops.activation import sigmoid, softmax
from tinygrad_nn.ops.arithmetic import in_one_dtype
from tinygrad_nn.ops.reduction import ones
from tinygrad_nn.primitives.declare import kernel

_INTP = np.dtype(np.intp)


@lru_cache(maxsize=64)
def _row_starts(count: int, classes: int) -> Any:
    """Return where the rows of a (count, classes) matrix start in its flat view, made once for each shape."""
    starts = np.arange(0, count * classes, classes)
    starts.flags.writeable = False
    return starts


def row_max(x: Any) -> Any:
    """The largest entry of each row of a matrix, as a column."""
    if x.shape[1] < 32:  # NumPy reduces short rows one by one, columns in vectors
        return np.maximum.reduce(x.T.copy())[:, None]
    return np.maximum.reduce(x, axis=1, keepdims=True)


def _samples(rng: np.random.Generator) -> list[Any]:
    return [((rng.normal(size=(n, c)), rng.integers(c, size=n)), {}) for n, c in ((4, 3), (1, 5), (3, 3))]


def _reduction_samples(rng: np.random.Generator) -> list[Any]:
    return [
        (operands, {"reduction": how}) for operands, _ in _samples(rng) for how in ("mean", "sum", "none")
    ]


@kernel(
    lambda g: g,
    None,
    linear=True,
    samples=_samples,
    reference=lambda p, labels: p - np.eye(p.shape[1])[labels],
    method=False,
)
def minus_one_hot(p: Any, labels: Any) -> Any:
    """Subtract 1 from the entry of each row of p that its label names."""
    d = p.copy()
    d[np.arange(len(labels)), labels] -= 1
    return d


def _plain_cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    rows = -np.log(np.exp(logits) / np.sum(np.exp(logits), axis=1, keepdims=True))[
        np.arange(len(labels)), labels
    ]
    reduce: dict[str, Any] = {"mean": np.mean, "sum": np.sum, "none": np.positive}
    return reduce[reduction](rows)


@kernel(
    lambda g, d, *, reduction="mean": (
        d * (g / len(d) if reduction == "mean" else g if reduction == "sum" else g[:, None])
    ),
    None,
    residuals={"d": lambda logits, labels: minus_one_hot(softmax(logits), labels)},
    reference=_plain_cross_entropy,
    samples=_reduction_samples,
    method=False,
)
def cross_entropy(logits: Any, labels: Any, *, reduction: str = "mean") -> Any:
    """-log(softmax(logits)[label]) for (N, C) logits and N integer labels: their mean, their sum, or each."""
    count, classes = logits.shape
    d = np.subtract(logits, row_max(logits), order="C")  # its flat view below has to be a view
    flat = d.reshape(-1)
    chosen = _row_starts(count, classes) + (labels if labels.dtype is _INTP else labels.astype(_INTP))
    losses = -flat[chosen]
    np.exp(d, d)
    total = d @ ones(classes, d.dtype.char)  # several times faster than a sum along short rows
    d /= total[:, None]
    flat[chosen] -= 1
    losses += np.log(total)
    if reduction == "none":
        return losses, d
    loss = np.add.reduce(losses)
    return loss / len(labels) if reduction == "mean" else loss, d


@kernel(
    lambda g, labels, *, shapes: np.where(labels[:, None] == np.arange(shapes[0][1]), -g[:, None], 0),
    None,
    linear=True,
    samples=_samples,
    reference=lambda scores, labels: -np.sum(scores * np.eye(scores.shape[1])[labels], axis=1),
    method=False,
)
def nll(scores: Any, labels: Any) -> Any:
    """-scores[row, label] for (N, C) scores and N integer labels."""
    return -scores[np.arange(len(labels)), labels]


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
    logits, targets = in_one_dtype(logits, targets)
    largest = np.maximum(logits, 0) - targets * logits  # exactly 0 where the target is certain and right
    return largest + np.log1p(np.exp(np.minimum(logits, -logits)))


@kernel(
    lambda g, d, *, delta: g * np.clip(d, -delta, delta),
    reference=lambda d, delta: np.where(np.abs(d) <= delta, d * d / 2, delta * (np.abs(d) - delta / 2)),
    kinks=lambda d, delta: np.abs(d) - delta,
    analytic=False,
    samples=lambda rng: [
        ((rng.normal(size=shape),), {"delta": delta})
        for shape, delta in (((3, 4), 1.0), ((5,), 0.3), ((), 2.0), ((0, 2), 1.0))
    ],
    method=False,
)
def huber_elements(d: Any, *, delta: float) -> Any:
    """d**2 / 2 for differences up to delta, continued by straight lines (Huber, 1964)."""
    near = np.clip(d, -delta, delta)
    return near * (d - near / 2)
