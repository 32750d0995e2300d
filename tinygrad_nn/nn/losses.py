"""Losses: functions of predictions and targets. Those of classes take logits; the mean is the default everywhere."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tinygrad_nn.errors import DtypeError, LabelError, ShapeError
from tinygrad_nn.explain import label_error
from tinygrad_nn.nn.module import stands_for_plain
from tinygrad_nn.ops import loss
from tinygrad_nn.tensor import Tensor, apply, as_tensor

Reduction = Literal["mean", "sum", "none"]


_UNSIGNED = {char: np.dtype(char.upper()) for char in "bhilqBHILQ"}


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction is "mean", "sum" or "none", got {reduction!r}')


def _reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    _check_reduction(reduction)
    if reduction == "mean":
        return losses.mean() if losses.size else losses.sum() / 0.0
    if reduction == "sum":
        return losses.sum()
    return losses


def _targets(who: str, predictions: Tensor, targets: Any) -> Any:
    """Return the targets in the dtype of the predictions; refuse shapes that would broadcast silently."""
    if not isinstance(targets, Tensor):
        targets = np.asarray(targets)
        if targets.dtype.kind in "fiub":
            targets = targets.astype(predictions.dtype, copy=False)
    elif targets.dtype != predictions.dtype and stands_for_plain(targets):
        targets = targets.astype(predictions.dtype)
    if targets.shape != predictions.shape:
        raise ShapeError(
            f"{who}: predictions have shape {predictions.shape}, targets have shape {targets.shape}\n"
            f"  hint   targets.reshape({predictions.shape}) if they are the same numbers"
        )
    return targets


def cross_entropy(logits: Any, labels: Any, *, reduction: Reduction = "mean") -> Tensor:
    """Return the cross-entropy of softmax(logits) at the labels, -log(softmax(logits)[label]).

    Args:
        logits: unnormalised scores of shape (N, C).
        labels: N integers from 0 to C - 1.
        reduction: "mean" or "sum" over the rows, or "none" for N losses, in nats.

    Raises:
        ShapeError: logits are not (N, C), or labels are not (N,).
        DtypeError: labels are not integers.
        LabelError: a label outside of the C classes; says which, and where.

    Example:
        >>> cross_entropy(np.array([[0.0, 0.0]]), np.array([1])).item()
        0.6931471805599453
    """
    logits = logits if type(logits) is Tensor else as_tensor(logits)
    given = labels._data if type(labels) is Tensor else np.asarray(labels)
    shape = logits._data.shape
    if len(shape) != 2:
        raise ShapeError(f"cross_entropy: logits have shape {shape}, expected (N, classes)")
    unsigned = _UNSIGNED.get(given.dtype.char)
    if unsigned is None:
        hint = "labels.argmax(axis=1) for one-hot rows" if given.ndim == 2 else "labels.astype(np.int64)"
        raise DtypeError(f"cross_entropy: labels are integers, got dtype {given.dtype}\n  hint   {hint}")
    count, classes = shape
    if given.shape != (count,):
        raise ShapeError(f"cross_entropy: {count} rows of logits {shape} but labels of shape {given.shape}")
    if count and np.maximum.reduce(given.view(unsigned)) >= classes:  # where negative labels are huge
        raise label_error(given, classes)
    params = {}
    if reduction != "mean":
        _check_reduction(reduction)
        params = {"reduction": reduction}
    return apply(loss.cross_entropy, (logits, labels if isinstance(labels, Tensor) else given), params)


def mse(predictions: Any, targets: Any, *, reduction: Reduction = "mean") -> Tensor:
    """Return the squared error (predictions - targets)**2, averaged over all elements by default.

    Raises:
        ShapeError: the shapes differ; (N, 1) against (N,) would give N x N differences.

    Example:
        >>> mse(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
        2.0
    """
    predictions = as_tensor(predictions)
    difference = predictions - _targets("mse", predictions, targets)
    return _reduce(difference * difference, reduction)


def binary_cross_entropy(logits: Any, targets: Any, *, reduction: Reduction = "mean") -> Tensor:
    """Return the cross-entropy of sigmoid(logits) with targets in [0, 1], log(1 + exp(z)) - t * z.

    Raises:
        ShapeError: the shapes differ.
        LabelError: a target outside of [0, 1].

    Example:
        >>> binary_cross_entropy(np.array([0.0]), np.array([1.0])).item()
        0.6931471805599453
    """
    logits = as_tensor(logits)
    targets = _targets("binary_cross_entropy", logits, targets)
    values = targets._data if isinstance(targets, Tensor) else targets
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise LabelError("binary_cross_entropy: targets are probabilities from 0 to 1")
    return _reduce(loss.binary_cross_entropy_elements(logits, targets), reduction)
