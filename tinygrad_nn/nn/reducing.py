"""What losses have in common: targets and weights that fit, and one number in the end."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Literal, TypeVar

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.errors import ArgumentError, DtypeError, SettingError, ShapeError
from tinygrad_nn.nn.inputs import stands_for_plain
from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.ops.reduction import in_single
from tinygrad_nn.ops.shape import broadcast_to
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.operands import as_operand

Loss = TypeVar("Loss")

Reduction = Literal["mean", "sum", "none"]


Divisor = Literal["rows", "sum", "unknown"] | Tensor
"""What a loss is divided by: its rows, nothing, what it does not tell, or a sum of weights."""

_NOTED: ContextVar[list[Divisor] | None] = ContextVar("tinygrad_nn.divisors", default=None)


def note_divisor(divisor: Divisor) -> None:
    """Tell whoever called `with_divisor` what a loss was divided by."""
    noted = _NOTED.get()
    if noted is not None:
        noted.append(divisor)


def with_divisor(loss: Callable[..., Loss], *args: object, **kwargs: object) -> tuple[Loss, Divisor]:
    """Return a loss and what it was divided by, which it takes to put the losses of parts of a batch together.

    Raises:
        ArgumentError: it is made of losses that are divided by different numbers.
    """
    before, noted = _NOTED.get(), list[Divisor]()
    try:
        _NOTED.set(noted)
        value = loss(*args, **kwargs)
    finally:
        _NOTED.set(before)
    if any(divisor is not noted[0] for divisor in noted):
        raise ArgumentError(
            "a loss of several terms, of which one is a mean over rows and another a sum or a weighted mean, cannot be "
            "put together from those of parts of a batch\n  hint   terms of one kind"
        )
    return value, noted[0] if noted else "unknown"


def check_reduction(reduction: str) -> None:
    """Refuse what is no reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise SettingError(
            f'a loss has reduction "mean", "sum" or "none", got {reduction!r:.60}\n'
            '  hint   reduction="none" gives one loss for each element or row; sample_weight= says what each counts'
        )


def reduced(
    who: str,
    losses: Tensor,
    reduction: Reduction,
    sample_weight: Operand | None,
    counts: Tensor | Array | None = None,
) -> Tensor:
    """Reduce one loss per element or row; `counts` is what each counts in a mean, by default 1."""
    check_reduction(reduction)
    if sample_weight is not None:
        weights = _sample_weights(who, losses, sample_weight, reduction)
        losses = product(weights, losses)
        counts = weights if counts is None else product(weights, counts)
    if reduction == "none":
        return losses
    if reduction == "sum":
        note_divisor("sum")
        return losses.sum()
    if counts is not None:
        return _weighted_mean(losses, counts)
    note_divisor("rows")
    return losses.mean() if losses.size else losses.sum() / 0.0


@in_single
def _weighted_mean(losses: Tensor, counts: Tensor | Array) -> Tensor:
    divisor = as_tensor(counts, dtype=losses.dtype).sum()
    note_divisor(divisor)
    return losses.sum() / divisor


def _sample_weights(who: str, losses: Tensor, sample_weight: Operand, reduction: Reduction) -> Tensor:
    """Return one weight for each loss."""
    weights = numbers(who, "sample_weight", losses.dtype, sample_weight)
    shape = losses.shape
    if weights.shape != shape and (not weights.ndim or weights.shape != shape[: weights.ndim]):
        reshaped = weights.size == len(losses) if shape else False
        hint = "\n  hint   sample_weight.reshape(-1)" if reshaped else ""
        raise ShapeError(
            f"{who}: losses of shape {shape} but sample_weight of shape {weights.shape}, expected "
            f"{shape[:1]}{f' or {shape}' if len(shape) > 1 else ''}{hint}"
        )
    _check_weights(who, "sample_weight", weights, reduction)
    trailing = (1,) * (len(shape) - weights.ndim)
    return broadcast_to(weights.reshape(weights.shape + trailing), shape) if trailing else as_tensor(weights)


def numbers(who: str, name: str, dtype: np.dtype, weights: Operand) -> Tensor | Array:
    """Return weights in a dtype; refuse what are no numbers."""
    try:
        return in_dtype(dtype, weights)
    except DtypeError:
        raise DtypeError(
            f"{who}: {name} are numbers, got {weights!r:.60}\n  hint   a plain array, of one number for each"
        ) from None


def _check_weights(who: str, name: str, weights: Operand, reduction: Reduction) -> None:
    """Refuse to divide by a sum in which some weights take away what others give."""
    values = plain(weights)
    if reduction == "mean" and values.size and not values.min() >= 0:
        raise SettingError(
            f"{who}: a mean divides by the sum of {name}, which are numbers from 0, got {values.min()}\n"
            '  hint   reduction="sum" takes all numbers; divide by what you want to'
        )


def in_dtype(dtype: np.dtype, x: Operand) -> Tensor | Array:
    """Return what comes with predictions, plain numbers in the dtype of these."""
    if not isinstance(x, Tensor):
        x = np.asarray(as_operand(x))
        return x.astype(dtype, copy=False) if dtype.kind == "f" else x
    return x.astype(dtype) if x.dtype != dtype and stands_for_plain(x) else x


def targets_like(who: str, predictions: Tensor, targets: Operand) -> Tensor | Array:
    """Return the targets in the dtype of the predictions; refuse shapes that would broadcast silently."""
    targets = in_dtype(predictions.dtype, targets)
    if targets.shape != predictions.shape:
        raise ShapeError(
            f"{who}: predictions have shape {predictions.shape}, targets have shape {targets.shape}\n"
            f"  hint   targets.reshape({predictions.shape}) if they are the same numbers"
        )
    return targets


def class_weights(who: str, scores: Tensor, weight: Operand, reduction: Reduction) -> Tensor:
    """Return one weight for each class."""
    weights = numbers(who, "weight", scores.dtype, weight)
    classes = scores.shape[-1]
    if weights.shape != (classes,):
        hint = (
            "\n  hint   sample_weight=... for weights of rows" if weights.shape == scores.shape[:-1] else ""
        )
        raise ShapeError(
            f"{who}: weight is one number for each of the {classes} classes, got shape {weights.shape}{hint}"
        )
    _check_weights(who, "weight", weights, reduction)
    return as_tensor(weights)
