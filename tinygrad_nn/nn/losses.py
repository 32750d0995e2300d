"""Losses: functions of predictions and targets. Those of classes take logits; the mean is the default."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.failures import label_error, module_path, warn_of_usage
from tinygrad_nn.engine.tensor import Operand, Tensor, apply, as_tensor
from tinygrad_nn.errors import DtypeError, LabelError, SettingError, ShapeError
from tinygrad_nn.nn.module import stands_for_plain
from tinygrad_nn.ops import fused_losses
from tinygrad_nn.ops.activation import log_sigmoid, log_softmax, sigmoid, softmax, xlogy
from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.ops.elementwise import absolute, log
from tinygrad_nn.ops.indexing import where
from tinygrad_nn.ops.reduction import in_single
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.operands import as_array

Reduction = Literal["mean", "sum", "none"]
_SUM_TO_ONE = 1e-3
# How far above 0 rounding takes the logarithm of a probability that someone computed by subtraction.
_ROUNDED_UP = 1e-2


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise SettingError(
            f'a loss has reduction "mean", "sum" or "none", got {reduction!r:.60}\n'
            '  hint   reduction="none" gives one loss for each element or row: np.average(losses, weights=w)'
        )


def _reduce(losses: Tensor, reduction: Reduction, mask: Tensor | Array | None = None) -> Tensor:
    """Reduce one loss per element or row; those outside of the mask count for nothing."""
    _check_reduction(reduction)
    if mask is not None:
        losses = where(mask, losses, 0.0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if mask is not None:
        return _mean_of_some(losses, mask)
    return losses.mean() if losses.size else losses.sum() / 0.0


@in_single
def _mean_of_some(losses: Tensor, mask: Tensor | Array) -> Tensor:
    return losses.sum() / mask.sum()


def _targets(who: str, predictions: Tensor, targets: Operand) -> Tensor | Array:
    """Return the targets in the dtype of the predictions; refuse shapes that would broadcast silently."""
    if not isinstance(targets, Tensor):
        targets = np.asarray(targets)
        if targets.dtype.kind in "fiub" and predictions.dtype.kind == "f":
            targets = targets.astype(predictions.dtype, copy=False)
    elif targets.dtype != predictions.dtype and stands_for_plain(targets):
        targets = targets.astype(predictions.dtype)
    if targets.shape != predictions.shape:
        raise ShapeError(
            f"{who}: predictions have shape {predictions.shape}, targets have shape {targets.shape}\n"
            f"  hint   targets.reshape({predictions.shape}) if they are the same numbers"
        )
    return targets


def _check_probabilities(who: str, what: str, p: Operand) -> None:
    values = plain(p)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise LabelError(f"{who}: {what} are probabilities from 0 to 1, got {values.min()} to {values.max()}")


def _check_rows(who: str, targets: Operand) -> None:
    """Refuse targets with a row that does not sum to 1."""
    sums = plain(targets).sum(axis=1, dtype=np.float64)
    wrong = ~(np.abs(sums - 1) <= _SUM_TO_ONE)
    if wrong.any():
        row = int(wrong.argmax())
        raise LabelError(
            f"{who}: row {row} of the targets sums to {sums[row]:.6g}, expected 1\n"
            "  hint   targets / targets.sum(axis=1, keepdims=True), or normalized=False for plain weights"
        )


def _class_probabilities(who: str, logits: Tensor, targets: Operand, normalized: bool) -> Tensor | Array:
    probabilities = _targets(who, logits, targets)
    if normalized:
        _check_rows(who, probabilities)
        _check_probabilities(who, "targets", probabilities)
    return probabilities


_PROBABILITIES = frozenset({softmax, sigmoid})
_LOG_PROBABILITIES = frozenset({log_softmax, log_sigmoid, log})


def _expect_logits(who: str, x: Tensor, instead: str) -> None:
    """Warn of logits that are probabilities, by the op that made them: to look at their values would take time."""
    node = x._node
    if node is not None and node.op in _PROBABILITIES:
        warn_of_usage(
            f"{who}: {_maker(node)} has made these probabilities already, and {who} takes logits\n"
            f"  hint   leave {node.op.name} out of the model, or {instead}"
        )


def _maker(node: Any) -> str:
    path = module_path(node.scope)
    return f"{node.op.name} in {path}" if path else str(node.op.name)


def _expect_log_probabilities(x: Tensor) -> None:
    """Warn of probabilities, refuse other values above 0; looks at the values only of what no log or softmax made."""
    op = None if x._node is None else x._node.op
    hint = "\n  hint   nll(log_softmax(logits), labels), or cross_entropy(logits, labels)"
    if op in _PROBABILITIES:
        warn_of_usage(
            f"nll: {_maker(x._node)} has made these probabilities, and nll takes their logarithms{hint}"
        )
    elif op not in _LOG_PROBABILITIES and x.size:
        largest = plain(x).max()
        if largest > _ROUNDED_UP:
            raise LabelError(f"nll: logarithms of probabilities are at most 0, got {largest}{hint}")


def _scores(who: str, x: Operand) -> Tensor:
    scores = x if type(x) is Tensor else as_tensor(x)
    if scores._data.ndim != 2:
        raise ShapeError(f"{who}: predictions have shape {scores.shape}, expected (N, classes)")
    return scores


def _labels(
    who: str, scores: Tensor, targets: Operand, ignore_index: int | None
) -> tuple[Tensor | Array, Tensor | Array | None]:
    """Return valid labels and the mask of rows that count; where a row does not, its label is replaced by 0."""
    labels = targets if type(targets) is Tensor else as_array(targets)
    array = labels._data if isinstance(labels, Tensor) else labels
    if array.dtype.kind not in "iu":
        hint = "labels.argmax(axis=1) for one-hot rows" if array.ndim == 2 else "labels.astype(np.int64)"
        raise DtypeError(f"{who}: labels are integers, got dtype {array.dtype}\n  hint   {hint}")
    count, classes = scores._data.shape
    if array.shape != (count,):
        hints = {
            scores.shape: "labels.argmax(axis=1) for one-hot rows, or labels.astype(np.float32) for probabilities",
            (count, 1): "labels.reshape(-1)",
        }
        hint = f"\n  hint   {hints[array.shape]}" if array.shape in hints else ""
        raise ShapeError(
            f"{who}: {count} rows of shape {scores.shape} but labels of shape {array.shape}, expected ({count},){hint}"
        )
    mask = None
    if ignore_index is not None:
        mask = labels != ignore_index
        labels = where(mask, labels, 0)
        array = plain(labels)
    if not fused_losses.labels_fit(array, classes):
        raise label_error(who, array, classes)
    return labels, mask


def cross_entropy(
    logits: Operand,
    targets: Operand,
    *,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    normalized: bool = True,
) -> Tensor:
    """Return the cross-entropy of softmax(logits) with the targets, -log(softmax(logits)[label]) for labels.

    Args:
        logits: unnormalised scores of shape (N, C).
        targets: N integer labels from 0 to C - 1, or class probabilities of shape (N, C).
        reduction: "mean" or "sum" over the rows, or "none" for N losses, in nats.
        label_smoothing: the share of the target that is spread evenly over all classes (Szegedy et al., 2015,
            arXiv:1512.00567). An infinite logit then has an infinite loss.
        ignore_index: rows with this label count for nothing; the mean of no rows is NaN.
        normalized: whether rows of probabilities have to sum to 1; False takes them as weights.

    Raises:
        ShapeError: logits are not (N, C), or the targets fit neither N labels nor (N, C).
        DtypeError: labels are not integers.
        LabelError: a label outside of the C classes (says which, and where); rows that do not sum to 1.

    Example:
        >>> cross_entropy(np.array([[0.0, 0.0]]), np.array([1])).item()
        0.6931471805599453
        >>> cross_entropy(np.array([[0.0, 0.0]]), np.array([[0.5, 0.5]])).item()
        0.6931471805599453
    """
    logits = _scores("cross_entropy", logits)
    _expect_logits("cross_entropy", logits, "nll(log_softmax(logits), labels)")
    targets = targets if type(targets) is Tensor else np.asarray(targets)
    if not 0 <= label_smoothing <= 1:
        raise SettingError(f"cross_entropy: label_smoothing is a share from 0 to 1, got {label_smoothing}")
    if targets.ndim == 2 and targets.dtype.kind == "f":
        weights = _class_probabilities("cross_entropy", logits, targets, normalized)
        if label_smoothing:
            weights = weights * (1 - label_smoothing) + label_smoothing / logits.shape[1]
        return _reduce(-product(weights, log_softmax(logits)).sum(axis=1), reduction)
    labels, mask = _labels("cross_entropy", logits, targets, ignore_index)
    if mask is None and not label_smoothing:
        if reduction == "mean":
            return apply(fused_losses.cross_entropy, (logits, labels))
        _check_reduction(reduction)
        return apply(fused_losses.cross_entropy, (logits, labels), {"reduction": reduction})
    losses = apply(fused_losses.cross_entropy, (logits, labels), {"reduction": "none"})
    if label_smoothing:
        losses = losses * (1 - label_smoothing) - log_softmax(logits).mean(axis=1) * label_smoothing
    return _reduce(losses, reduction, mask)


def nll(
    log_probabilities: Operand,
    labels: Operand,
    *,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
) -> Tensor:
    """Return the negative log-likelihood of the labels, -log_probabilities[row, label].

    Raises:
        ShapeError: log_probabilities are not (N, C), or labels are not (N,).
        DtypeError: labels are not integers.
        LabelError: a label outside of the C classes, a value above 0.

    Example:
        >>> nll(np.log([[0.25, 0.75]]), np.array([0])).item()
        1.3862943611198906
    """
    log_probabilities = _scores("nll", log_probabilities)
    _expect_log_probabilities(log_probabilities)
    labels, mask = _labels("nll", log_probabilities, labels, ignore_index)
    return _reduce(fused_losses.nll(log_probabilities, labels), reduction, mask)


def mse(predictions: Operand, targets: Operand, *, reduction: Reduction = "mean") -> Tensor:
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


def mae(predictions: Operand, targets: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """Return the absolute error |predictions - targets|, averaged over all elements by default.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> mae(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
        1.0
    """
    predictions = as_tensor(predictions)
    return _reduce(absolute(predictions - _targets("mae", predictions, targets)), reduction)


def huber(
    predictions: Operand, targets: Operand, *, delta: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """Return d**2 / 2 for differences d up to delta, delta * (|d| - delta / 2) beyond (Huber, 1964).

    Raises:
        ShapeError: the shapes differ.
        ValueError: delta is not positive.

    Example:
        >>> huber(np.array([0.5, 3.0]), np.array([0.0, 0.0]), reduction="none").tolist()
        [0.125, 2.5]
    """
    if not delta > 0:
        raise SettingError(f"huber: delta is positive, got {delta}")
    predictions = as_tensor(predictions)
    difference = predictions - _targets("huber", predictions, targets)
    return _reduce(fused_losses.huber_elements(difference, delta=float(delta)), reduction)


def binary_cross_entropy(logits: Operand, targets: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """Return the cross-entropy of sigmoid(logits) with targets in [0, 1], log(1 + exp(z)) - t * z.

    Raises:
        ShapeError: the shapes differ.
        LabelError: a target outside of [0, 1].

    Example:
        >>> binary_cross_entropy(np.array([0.0]), np.array([1.0])).item()
        0.6931471805599453
    """
    logits = as_tensor(logits)
    _expect_logits(
        "binary_cross_entropy", logits, "binary_cross_entropy_probabilities(probabilities, targets)"
    )
    targets = _targets("binary_cross_entropy", logits, targets)
    _check_probabilities("binary_cross_entropy", "targets", targets)
    return _reduce(fused_losses.binary_cross_entropy_elements(logits, targets), reduction)


def binary_cross_entropy_probabilities(
    probabilities: Operand, targets: Operand, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return -t * log(p) - (1 - t) * log(1 - p); from logits, `binary_cross_entropy` is more exact.

    A probability of exactly 0 or 1 that is wrong costs infinity; where it is right, it costs nothing.

    Raises:
        ShapeError: the shapes differ.
        LabelError: a probability or a target outside of [0, 1].

    Example:
        >>> binary_cross_entropy_probabilities(np.array([0.5, 1.0]), np.array([1.0, 1.0])).item()
        0.34657359027997264
    """
    probabilities = as_tensor(probabilities)
    targets = _targets("binary_cross_entropy_probabilities", probabilities, targets)
    _check_probabilities("binary_cross_entropy_probabilities", "predictions", probabilities)
    _check_probabilities("binary_cross_entropy_probabilities", "targets", targets)
    return _reduce(-(xlogy(targets, probabilities) + xlogy(1 - targets, 1 - probabilities)), reduction)


def kl_divergence(logits: Operand, targets: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """Return the divergence of softmax(logits) from the targets, sum of t * (log(t) - log_softmax(logits)).

    Args:
        logits: unnormalised scores of shape (N, C).
        targets: class probabilities of shape (N, C).
        reduction: "mean" or "sum" over the rows, or "none" for N divergences, in nats.

    Raises:
        ShapeError: logits are not (N, C), or the shapes differ.
        LabelError: targets that are no probabilities, or rows that do not sum to 1.

    Example:
        >>> kl_divergence(np.zeros((1, 2)), np.array([[1.0, 0.0]])).item()
        0.6931471805599453
    """
    logits = _scores("kl_divergence", logits)
    _expect_logits("kl_divergence", logits, "write np.sum(xlogy(targets, targets / probabilities))")
    targets = _class_probabilities("kl_divergence", logits, targets, normalized=True)
    terms = xlogy(targets, targets) - product(targets, log_softmax(logits))
    return _reduce(terms.sum(axis=1), reduction)
