"""Losses: functions of predictions and targets. Those of classes take logits; the mean is the default.

`sample_weight=` says what each row counts: an array of shape (N,), or of more of the leading axes of the losses, up to
one number for each. A mean is then the weighted one, the sum of weighted losses / the sum of weights, so that a row of
weight 2 counts as if it were there twice, and one of weight 0 as if it were not, whatever its loss.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.failures import label_error, module_path, position_of, warn_of_usage
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.tensor import Operand, Tensor, apply, as_tensor
from tinygrad_nn.errors import ArgumentError, DtypeError, LabelError, SettingError, ShapeError
from tinygrad_nn.hints.lookups import face
from tinygrad_nn.nn.reducing import (
    Reduction,
    check_reduction,
    class_weights,
    note_divisor,
    numbers,
    reduced,
    targets_like,
)
from tinygrad_nn.ops import fused_losses
from tinygrad_nn.ops.activation import log_sigmoid, log_softmax, sigmoid, softmax, softplus, xlogy
from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.ops.elementwise import absolute, log
from tinygrad_nn.ops.indexing import where
from tinygrad_nn.primitives import Array, Primitive
from tinygrad_nn.primitives.operands import as_array
from tinygrad_nn.settings import check_share

_SUM_TO_ONE = 1e-3
# How far above 0 rounding takes the logarithm of a probability that someone computed by subtraction.
_ROUNDED_UP = 1e-2


def _check_probabilities(who: str, what: str, p: Operand) -> None:
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


def _class_probabilities(who: str, logits: Tensor, targets: Operand, normalized: bool) -> Tensor | Array:
    probabilities = targets_like(who, logits, targets)
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


def _maker(node: Node) -> str:
    path = module_path(node.scope)
    return f"{node.op.name} in {path}" if path else str(node.op.name)


def _expect_log_probabilities(x: Tensor) -> None:
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


def _scores(who: str, x: Operand) -> Tensor:
    scores = x if type(x) is Tensor else as_tensor(x)
    if scores._data.ndim < 2:
        raise ShapeError(
            f"{who}: predictions have shape {scores.shape}, expected (N, classes) or (N, ..., classes)"
        )
    return scores


def _labels(
    who: str, scores: Tensor, targets: Operand, ignore_index: int | None
) -> tuple[Tensor | Array, Tensor | Array | None]:
    """Return valid labels and the mask of rows that count; where a row does not, its label is replaced by 0."""
    labels = targets if type(targets) is Tensor else as_array(targets)
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


def _by_rows(op: Primitive, scores: Tensor, labels: Tensor | Array, **params: object) -> Tensor:
    """Apply an op of (N, C) scores and N labels to (N, ..., C) and (N, ...)."""
    *rows, classes = scores._data.shape
    if len(rows) == 1:
        return apply(op, (scores, labels), params)
    result = apply(op, (scores.reshape(math.prod(rows), classes), labels.reshape(-1)), params)
    return result.reshape(*rows) if result.ndim else result


def cross_entropy(
    logits: Operand,
    targets: Operand,
    *,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    normalized: bool = True,
    weight: Operand | None = None,
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return the cross-entropy of softmax(logits) with the targets, -log(softmax(logits)[label]) for labels.

    Args:
        logits: unnormalised scores of shape (N, C), or (N, ..., C) for sequences and images; the classes come last.
        targets: integer labels from 0 to C - 1 of shape (N,) or (N, ...), or class probabilities of the shape of the
            logits.
        reduction: "mean" or "sum" over the rows, or "none" for a loss for each, in nats.
        label_smoothing: the share of the target that is spread evenly over all classes (Szegedy et al., 2015,
            arXiv:1512.00567). An infinite logit then has an infinite loss.
        ignore_index: rows with this label count for nothing; the mean of no rows is NaN.
        normalized: whether rows of probabilities have to sum to 1; False takes them as weights.
        weight: of each class, (C,): what its term in the loss is multiplied by. Of labels, a mean divides by the sum
            of their weights; of probabilities, by the number of rows. So does PyTorch.
        sample_weight: what each row counts, (N,) or (N, ...); see the module.

    Raises:
        ShapeError: logits are not (N, ..., C), or the targets or weights do not fit them.
        DtypeError: labels are not integers.
        LabelError: a label outside of the C classes (says which, and where); rows that do not sum to 1.
        SettingError: negative weights in a mean.

    Example:
        >>> cross_entropy(np.array([[0.0, 0.0]]), np.array([1])).item()
        0.6931471805599453
        >>> cross_entropy(np.array([[0.0, 0.0]]), np.array([[0.5, 0.5]])).item()
        0.6931471805599453
    """
    logits = _scores("cross_entropy", logits)
    _expect_logits("cross_entropy", logits, "nll(log_softmax(logits), labels)")
    targets = targets if type(targets) is Tensor else np.asarray(targets)
    ndim = logits._data.ndim
    if label_smoothing:
        check_share("cross_entropy", "label_smoothing is the share that is spread", label_smoothing)
    if weight is not None:
        weight = class_weights("cross_entropy", logits, weight, reduction)
    if targets.ndim == ndim and targets.dtype.kind == "f":
        if ignore_index is not None:
            raise ArgumentError(
                "cross_entropy: probabilities have no label to ignore\n"
                "  hint   sample_weight=..., 0 for rows that count for nothing"
            )
        shares = _class_probabilities("cross_entropy", logits, targets, normalized)
        if label_smoothing:
            shares = shares * (1 - label_smoothing) + label_smoothing / logits.shape[-1]
        if weight is not None:
            shares = shares * weight
        losses = -product(shares, log_softmax(logits)).sum(axis=-1)
        return reduced("cross_entropy", losses, reduction, sample_weight)
    labels, mask = _labels("cross_entropy", logits, targets, ignore_index)
    if mask is None and weight is None and sample_weight is None and not label_smoothing:
        if reduction != "none":
            note_divisor("rows" if reduction == "mean" else "sum")
        if reduction == "mean" and ndim == 2:
            return apply(fused_losses.cross_entropy, (logits, labels))
        check_reduction(reduction)
        return _by_rows(fused_losses.cross_entropy, logits, labels, reduction=reduction)
    losses, counts = _by_rows(fused_losses.cross_entropy, logits, labels, reduction="none"), mask
    if weight is not None:
        losses, counts = _times_class_weights(losses, weight, labels, mask)
    if label_smoothing:
        logs = log_softmax(logits)
        even = (logs if weight is None else product(weight, logs)).mean(axis=-1)
        losses = losses * (1 - label_smoothing) - even * label_smoothing
    if mask is not None:
        losses = where(mask, losses, 0.0)
    return reduced("cross_entropy", losses, reduction, sample_weight, counts)


def _times_class_weights(
    losses: Tensor, weight: Tensor, labels: Tensor | Array, mask: Tensor | Array | None
) -> tuple[Tensor, Tensor]:
    """Return losses times the weights of their labels, and what each counts in a mean."""
    weights = weight[labels]
    return product(weights, losses), weights if mask is None else where(mask, weights, 0.0)


def nll(
    log_probabilities: Operand,
    labels: Operand,
    *,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
    weight: Operand | None = None,
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return the negative log-likelihood of the labels, -log_probabilities[row, label].

    Shapes and weights are those of `cross_entropy`.

    Raises:
        ShapeError: log_probabilities are not (N, ..., C), or labels or weights do not fit them.
        DtypeError: labels are not integers.
        LabelError: a label outside of the C classes, a value above 0.
        SettingError: negative weights in a mean.

    Example:
        >>> nll(np.log([[0.25, 0.75]]), np.array([0])).item()
        1.3862943611198906
    """
    log_probabilities = _scores("nll", log_probabilities)
    _expect_log_probabilities(log_probabilities)
    labels, mask = _labels("nll", log_probabilities, labels, ignore_index)
    losses, counts = _by_rows(fused_losses.nll, log_probabilities, labels), mask
    if weight is not None:
        weight = class_weights("nll", log_probabilities, weight, reduction)
        losses, counts = _times_class_weights(losses, weight, labels, mask)
    if mask is not None:
        losses = where(mask, losses, 0.0)
    return reduced("nll", losses, reduction, sample_weight, counts)


def mse(
    predictions: Operand,
    targets: Operand,
    *,
    reduction: Reduction = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return the squared error (predictions - targets)**2, averaged over all elements by default.

    Raises:
        ShapeError: the shapes differ; (N, 1) against (N,) would give N x N differences. The weights do not fit.

    Example:
        >>> mse(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
        2.0
    """
    predictions = as_tensor(predictions)
    difference = predictions - targets_like("mse", predictions, targets)
    # A target that is missing, NaN, and weighs 0 leaves its prediction without a gradient.
    squares = difference * difference if sample_weight is None else product(difference, difference)
    return reduced("mse", squares, reduction, sample_weight)


def mae(
    predictions: Operand,
    targets: Operand,
    *,
    reduction: Reduction = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return the absolute error |predictions - targets|, averaged over all elements by default.

    Raises:
        ShapeError: the shapes differ, or the weights do not fit.

    Example:
        >>> mae(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
        1.0
    """
    predictions = as_tensor(predictions)
    losses = absolute(predictions - targets_like("mae", predictions, targets))
    return reduced("mae", losses, reduction, sample_weight)


def huber(
    predictions: Operand,
    targets: Operand,
    *,
    delta: float = 1.0,
    reduction: Reduction = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return d**2 / 2 for differences d up to delta, delta * (|d| - delta / 2) beyond (Huber, 1964).

    Raises:
        ShapeError: the shapes differ, or the weights do not fit.
        SettingError: delta is not positive.

    Example:
        >>> huber(np.array([0.5, 3.0]), np.array([0.0, 0.0]), reduction="none").tolist()
        [0.125, 2.5]
    """
    if not delta > 0:
        raise SettingError(f"huber: delta is positive, got {delta}")
    predictions = as_tensor(predictions)
    difference = predictions - targets_like("huber", predictions, targets)
    losses = fused_losses.huber_elements(difference, delta=float(delta))
    return reduced("huber", losses, reduction, sample_weight)


def binary_cross_entropy(
    logits: Operand,
    targets: Operand,
    *,
    reduction: Reduction = "mean",
    pos_weight: Operand | None = None,
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return the cross-entropy of sigmoid(logits) with targets in [0, 1], log(1 + exp(z)) - t * z.

    Args:
        logits: scores of any shape.
        targets: of the same shape.
        reduction: "mean" or "sum" over all elements, or "none".
        pos_weight: what the term of a target of 1 is multiplied by: one number, or one for each entry of the last
            axis. A mean divides by the number of elements all the same.
        sample_weight: what each row counts, (N,), or each element; see the module.

    Raises:
        ShapeError: the shapes differ, or the weights do not fit.
        LabelError: a target outside of [0, 1].

    Example:
        >>> binary_cross_entropy(np.array([0.0]), np.array([1.0])).item()
        0.6931471805599453
    """
    logits = as_tensor(logits)
    _expect_logits(
        "binary_cross_entropy", logits, "binary_cross_entropy_probabilities(probabilities, targets)"
    )
    targets = targets_like("binary_cross_entropy", logits, targets)
    _check_probabilities("binary_cross_entropy", "targets", targets)
    if pos_weight is None:
        losses = fused_losses.binary_cross_entropy_elements(logits, targets)
    else:
        positive = _positive_weight(logits, pos_weight) * targets
        losses = product(positive, softplus(-logits)) + product(1 - targets, softplus(logits))
    return reduced("binary_cross_entropy", losses, reduction, sample_weight)


def _positive_weight(logits: Tensor, pos_weight: Operand) -> Tensor | Array:
    weight = numbers("binary_cross_entropy", "pos_weight", logits.dtype, pos_weight)
    if weight.shape not in ((), logits.shape[-1:]):
        raise ShapeError(
            f"binary_cross_entropy: pos_weight is one number, or one for each entry of the last axis of logits of "
            f"shape {logits.shape}, got shape {weight.shape}"
        )
    if not np.all(plain(weight) >= 0):
        raise SettingError(f"binary_cross_entropy: pos_weight are numbers from 0, got {plain(weight).min()}")
    return weight


def binary_cross_entropy_probabilities(
    probabilities: Operand,
    targets: Operand,
    *,
    reduction: Reduction = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return -t * log(p) - (1 - t) * log(1 - p); from logits, `binary_cross_entropy` is more exact.

    A probability of exactly 0 or 1 that is wrong costs infinity; where it is right, it costs nothing.

    Raises:
        ShapeError: the shapes differ, or the weights do not fit.
        LabelError: a probability or a target outside of [0, 1].

    Example:
        >>> binary_cross_entropy_probabilities(np.array([0.5, 1.0]), np.array([1.0, 1.0])).item()
        0.34657359027997264
    """
    probabilities = as_tensor(probabilities)
    targets = targets_like("binary_cross_entropy_probabilities", probabilities, targets)
    _check_probabilities("binary_cross_entropy_probabilities", "predictions", probabilities)
    _check_probabilities("binary_cross_entropy_probabilities", "targets", targets)
    losses = -(xlogy(targets, probabilities) + xlogy(1 - targets, 1 - probabilities))
    return reduced("binary_cross_entropy_probabilities", losses, reduction, sample_weight)


def kl_divergence(
    logits: Operand,
    targets: Operand,
    *,
    reduction: Reduction = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return the divergence of softmax(logits) from the targets, sum of t * (log(t) - log_softmax(logits)).

    Args:
        logits: unnormalised scores of shape (N, C) or (N, ..., C).
        targets: class probabilities of the same shape.
        reduction: "mean" or "sum" over the rows, or "none" for a divergence for each, in nats.
        sample_weight: what each row counts, (N,) or (N, ...); see the module.

    Raises:
        ShapeError: logits are not (N, ..., C), the shapes differ, or the weights do not fit.
        LabelError: targets that are no probabilities, or rows that do not sum to 1.

    Example:
        >>> kl_divergence(np.zeros((1, 2)), np.array([[1.0, 0.0]])).item()
        0.6931471805599453
    """
    logits = _scores("kl_divergence", logits)
    _expect_logits("kl_divergence", logits, "write np.sum(xlogy(targets, targets / probabilities))")
    targets = _class_probabilities("kl_divergence", logits, targets, normalized=True)
    terms = xlogy(targets, targets) - product(targets, log_softmax(logits))
    return reduced("kl_divergence", terms.sum(axis=-1), reduction, sample_weight)


if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
