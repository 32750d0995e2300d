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
from tinygrad_nn.engine.tensor import Operand, Tensor, apply, as_tensor
from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
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
from tinygrad_nn.nn.scores import (
    check_probabilities,
    class_probabilities,
    expect_log_probabilities,
    expect_logits,
    labels_of,
    scores_of,
)
from tinygrad_nn.ops import fused_losses
from tinygrad_nn.ops.activation import log_softmax, softplus, xlogy
from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.ops.elementwise import absolute
from tinygrad_nn.ops.indexing import where
from tinygrad_nn.primitives import Array, Primitive
from tinygrad_nn.primitives.operands import as_operand
from tinygrad_nn.settings import check_share


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
    logits = scores_of("cross_entropy", logits)
    expect_logits("cross_entropy", logits, "nll(log_softmax(logits), labels)")
    targets = targets if type(targets) is Tensor else np.asarray(as_operand(targets))
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
        shares = class_probabilities("cross_entropy", logits, targets, normalized)
        if label_smoothing:
            shares = shares * (1 - label_smoothing) + label_smoothing / logits.shape[-1]
        if weight is not None:
            shares = shares * weight
        losses = -product(shares, log_softmax(logits)).sum(axis=-1)
        return reduced("cross_entropy", losses, reduction, sample_weight)
    labels, mask = labels_of("cross_entropy", logits, targets, ignore_index)
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
    log_probabilities = scores_of("nll", log_probabilities)
    expect_log_probabilities(log_probabilities)
    labels = labels if type(labels) is Tensor else np.asarray(as_operand(labels))
    labels, mask = labels_of("nll", log_probabilities, labels, ignore_index)
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
    expect_logits(
        "binary_cross_entropy", logits, "binary_cross_entropy_probabilities(probabilities, targets)"
    )
    targets = targets_like("binary_cross_entropy", logits, targets)
    check_probabilities("binary_cross_entropy", "targets", targets)
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
    check_probabilities("binary_cross_entropy_probabilities", "predictions", probabilities)
    check_probabilities("binary_cross_entropy_probabilities", "targets", targets)
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
    logits = scores_of("kl_divergence", logits)
    expect_logits("kl_divergence", logits, "write np.sum(xlogy(targets, targets / probabilities))")
    targets = class_probabilities("kl_divergence", logits, targets, normalized=True)
    terms = xlogy(targets, targets) - product(targets, log_softmax(logits))
    return reduced("kl_divergence", terms.sum(axis=-1), reduction, sample_weight)


if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
