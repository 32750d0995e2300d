"""What losses of classes and of probabilities are given: scores, and labels or shares that fit them.

What does not fit is refused, with the line to write instead; what is likely a mistake gives a warning.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.failures import label_error, module_path, position_of, warn_of_usage
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.errors import DtypeError, LabelError, ShapeError
from tinygrad_nn.nn.reducing import targets_like
from tinygrad_nn.ops import fused_losses
from tinygrad_nn.ops.activation import log_sigmoid, log_softmax, sigmoid, softmax
from tinygrad_nn.ops.elementwise import log
from tinygrad_nn.ops.indexing import where
from tinygrad_nn.primitives import Array

_SUM_TO_ONE = 1e-3
# How far above 0 rounding takes the logarithm of a probability that someone computed by subtraction.
_ROUNDED_UP = 1e-2


def check_probabilities(who: str, what: str, p: Operand) -> None:
    values = plain(p)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise LabelError(f"{who}: {what} are probabilities from 0 to 1, got {values.min()} to {values.max()}")


def _check_rows(who: str, targets: Operand) -> None:
    """Refuse targets with a row that does not sum to 1."""
    sums = plain(targets).sum(axis=-1, dtype=np.float64)
    wrong = ~(np.abs(sums - 1) <= _SUM_TO_ONE)
    if wrong.any():
        row = position_of(wrong)
        raise LabelError(
            f"{who}: row {row} of the targets sums to {sums[row]:.6g}, expected 1\n"
            "  hint   targets / targets.sum(axis=-1, keepdims=True), or normalized=False for plain weights"
        )


def class_probabilities(who: str, logits: Tensor, targets: Operand, normalized: bool) -> Tensor | Array:
    if isinstance(targets, Tensor) and targets.requires_grad and not logits.requires_grad:
        warn_of_usage(
            f"{who}: the targets depend on parameters, and the predictions do not\n"
            f"  hint   {who}(predictions, targets), in this order"
        )
    probabilities = targets_like(who, logits, targets)
    if normalized:
        _check_rows(who, probabilities)
        check_probabilities(who, "targets", probabilities)
    return probabilities


_PROBABILITIES = frozenset({softmax, sigmoid})
_LOG_PROBABILITIES = frozenset({log_softmax, log_sigmoid, log})


def expect_logits(who: str, x: Tensor, instead: str) -> None:
    """Warn of logits that are probabilities, by the op that made them: to look at their values would take time."""
    node = x._node
    if node is not None and node.op in _PROBABILITIES:
        warn_of_usage(
            f"{who}: {_maker(node)} has made these probabilities already, and {who} takes logits\n"
            f"  hint   leave {node.op.name} out of the model, or {instead}"
        )


def _maker(node: Node) -> str:
    path = module_path(node.scope)
    return f"{node.op.name} in {path}" if path else str(node.op.name)


def expect_log_probabilities(x: Tensor) -> None:
    """Warn of probabilities, refuse other values above 0; looks at the values only of what no log or softmax made."""
    node = x._node
    op = None if node is None else node.op
    hint = "\n  hint   nll(log_softmax(logits), labels), or cross_entropy(logits, labels)"
    if node is not None and node.op in _PROBABILITIES:
        warn_of_usage(
            f"nll: {_maker(node)} has made these probabilities, and nll takes their logarithms{hint}"
        )
    elif op not in _LOG_PROBABILITIES and x.size:
        largest = plain(x).max()
        if largest > _ROUNDED_UP:
            raise LabelError(f"nll: logarithms of probabilities are at most 0, got {largest}{hint}")


def scores_of(who: str, x: Operand) -> Tensor:
    scores = x if type(x) is Tensor else as_tensor(x)
    if scores._data.ndim < 2:
        labels = scores.dtype.kind in "iu"
        raise ShapeError(
            f"{who}: predictions have shape {scores.shape}, expected (N, classes) or (N, ..., classes)"
            + f"\n  hint   {who}(predictions, labels), in this order" * labels
        )
    return scores


def labels_of(
    who: str, scores: Tensor, labels: Tensor | Array, ignore_index: int | None
) -> tuple[Tensor | Array, Tensor | Array | None]:
    """Return valid labels and the mask of rows that count; where a row does not, its label is replaced by 0."""
    array = labels._data if isinstance(labels, Tensor) else labels
    if array.dtype.kind not in "iu":
        one_hot = array.ndim == scores.ndim
        hint = (
            f"labels.argmax(axis={array.ndim - 1}) for one-hot rows" if one_hot else "labels.astype(np.int64)"
        )
        raise DtypeError(f"{who}: labels are integers, got dtype {array.dtype}\n  hint   {hint}")
    shape = scores._data.shape
    if array.shape != shape[:-1]:
        raise _ill_fitting(who, shape, array.shape)
    mask = None
    if ignore_index is not None:
        mask = labels != ignore_index
        labels = where(mask, labels, 0)
        array = plain(labels)
    if not fused_losses.labels_fit(array, shape[-1]):
        raise label_error(who, array, shape[-1])
    return labels, mask


def _ill_fitting(who: str, scores: tuple[int, ...], labels: tuple[int, ...]) -> ShapeError:
    """Return the error for labels that are not one for each row of scores."""
    rows = scores[:-1]
    hint = ""
    if labels == scores:
        axis = len(labels) - 1
        hint = f"labels.argmax(axis={axis}) for one-hot rows, or labels.astype(np.float32) for probabilities"
    elif labels == scores[:1] + scores[2:]:
        hint = "np.moveaxis(logits, 1, -1): the classes are the last axis here"
    elif math.prod(labels) == math.prod(rows):
        hint = f"labels.reshape{rows if len(rows) > 1 else '(-1)'}"
    return ShapeError(
        f"{who}: {scores[0]} rows of shape {scores} but labels of shape {labels}, expected {rows}"
        + (f"\n  hint   {hint}" if hint else "")
    )
