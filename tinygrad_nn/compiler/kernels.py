"""Ops that write into a given array, for those whose NumPy function has no `out=`.

`BUILD` has, by the name of an op, a function that is told the values of one call and returns the function to run:
it takes the operands and then the array to fill, and keeps what small scratch it needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_nn.engine.failures import label_error
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.ops.reduction import count

Run = Callable[..., Any]
_add: Any = np.add
_maximum: Any = np.maximum
BUILD: dict[str, Callable[[Call, list[Value]], Run | None]] = {}


def check_labels(who: str, labels: Any, classes: int) -> None:
    """Raise `LabelError` for a label outside of the classes."""
    if (
        labels.size and _maximum.reduce(labels.view(f"u{labels.itemsize}")) >= classes
    ):  # negative ones are huge
        raise label_error(who, labels, classes)


def _builds(*names: str) -> Callable[[Any], Any]:
    def note(builder: Any) -> Any:
        BUILD.update(dict.fromkeys(names, builder))
        return builder

    return note


@_builds("power")
def _power(_value: Call, operands: list[Value]) -> Run | None:
    shortcuts = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal, 1: np.positive}
    exponent = operands[1].data
    if isinstance(exponent, (int, float)) and operands[0].dtype.kind == "f":
        short = shortcuts.get(exponent)
        if short is not None:
            return lambda a, _, out: short(a, out)
    return lambda a, b, out: np.power(a, b, out)


@_builds("sigmoid")
def _sigmoid(_value: Call, _operands: list[Value]) -> Run:
    def sigmoid(x: Any, out: Any) -> None:
        np.negative(x, out)
        np.exp(out, out)
        np.add(out, 1, out)
        np.reciprocal(out, out)

    return sigmoid


@_builds("relu")
def _relu(_value: Call, _operands: list[Value]) -> Run:
    return lambda x, out: np.maximum(x, 0, out=out)


@_builds("softmax")
def _softmax(value: Call, _operands: list[Value]) -> Run:
    axis = value.params.get("axis", -1)
    rows = np.empty_like(np.sum(np.empty(value.shape, value.dtype), axis=axis, keepdims=True))

    def softmax(x: Any, out: Any) -> None:
        _maximum.reduce(x, axis, None, rows, True)
        np.subtract(x, rows, out)
        np.exp(out, out)
        _add.reduce(out, axis, None, rows, True)
        np.divide(out, rows, out)

    return softmax


@_builds("sum")
def _sum(value: Call, operands: list[Value]) -> Run | None:
    axis, keepdims = value.params.get("axis"), value.params.get("keepdims", False)
    if value.params.keys() - {"axis", "keepdims"} or operands[0].dtype != value.dtype:
        return None
    return lambda x, out: _add.reduce(x, axis, None, out, keepdims)


@_builds("mean")
def _mean(value: Call, operands: list[Value]) -> Run | None:
    axis, keepdims = value.params.get("axis"), value.params.get("keepdims", False)
    x = operands[0]
    if value.params.keys() - {"axis", "keepdims"} or x.dtype != value.dtype or x.dtype.itemsize < 4:
        return None
    n = count(x.shape, axis)
    if not n:
        return None

    def mean(x: Any, out: Any) -> None:
        _add.reduce(x, axis, None, out, keepdims)
        np.divide(out, n, out)

    return mean


def _extremum(function: Any) -> Callable[[Call, list[Value]], Run | None]:
    def build(value: Call, _operands: list[Value]) -> Run | None:
        axis, keepdims = value.params.get("axis"), value.params.get("keepdims", False)
        if value.params.keys() - {"axis", "keepdims"}:
            return None
        return lambda x, out: function.reduce(x, axis, None, out, keepdims)

    return build


BUILD["max"], BUILD["min"] = _extremum(np.maximum), _extremum(np.minimum)


@_builds("sum_to")
def _sum_to(value: Call, operands: list[Value]) -> Run | None:
    x, shape = operands[0], value.shape
    lead = len(x.shape) - len(shape)
    if x.shape[lead:] != shape or x.dtype.kind != "f" or not math.prod(x.shape) or not lead:
        return None
    rows = math.prod(x.shape[:lead])
    ones = np.ones((1, rows), x.dtype)

    def sum_to(
        x: Any, out: Any
    ) -> None:  # as a product with ones: fast, and without a copy in double precision
        np.matmul(ones, x.reshape(rows, -1), out.reshape(1, -1))

    return sum_to


@_builds("where")
def _where(_value: Call, operands: list[Value]) -> Run | None:
    """Choose between a and b; only a may be written over."""
    condition = operands[0]
    if condition.dtype != bool:
        return None
    mask = np.empty(condition.shape, bool)

    def where(condition: Any, a: Any, b: Any, out: Any) -> None:
        if out is a:
            np.logical_not(condition, mask)
            np.copyto(out, b, where=mask)
        else:
            np.copyto(out, b)
            np.copyto(out, a, where=condition)

    return where


@_builds("product", "quotient")
def _careful(value: Call, operands: list[Value]) -> Run:
    """Give a * b or a / b, and 0 wherever a is 0; a is never written over."""
    plain = np.multiply if value.op.name == "product" else np.divide
    mask = np.empty(operands[0].shape, bool)

    def careful(a: Any, b: Any, out: Any) -> None:
        plain(a, b, out)
        if not math.isfinite(_add.reduce(out, axis=None)):
            np.copyto(out, 0, where=np.equal(a, 0, mask) if mask.shape else a == 0)

    return careful


@_builds("astype")
def _astype(_value: Call, _operands: list[Value]) -> Run:
    return lambda x, out: np.copyto(out, x, casting="unsafe")


@_builds("concatenate")
def _concatenate(value: Call, _operands: list[Value]) -> Run | None:
    if value.params.keys() - {"axis"}:
        return None
    axis = value.params.get("axis", 0)
    return lambda *arrays: np.concatenate(arrays[:-1], axis, arrays[-1])


@_builds("minus_one_hot")
def _minus_one_hot(value: Call, _operands: list[Value]) -> Run:
    rows, classes = value.shape
    starts = np.arange(rows) * classes
    places, picked = np.empty(rows, np.int64), np.empty(rows, value.dtype)

    def minus_one_hot(p: Any, labels: Any, out: Any) -> None:
        if out is not p:
            np.copyto(out, p)
        flat = out.reshape(-1)
        np.add(starts, labels, places)
        np.take(flat, places, None, picked, "clip")
        np.subtract(picked, 1, picked)
        flat[places] = picked

    return minus_one_hot


@_builds("nll")
def _nll(_value: Call, operands: list[Value]) -> Run:
    rows, classes = operands[0].shape
    starts = np.arange(rows) * classes
    places = np.empty(rows, np.int64)
    computed = isinstance(operands[1], Call)  # other labels are checked before anything is done

    def nll(scores: Any, labels: Any, out: Any) -> None:
        if computed:
            check_labels("nll", labels, classes)
        np.add(starts, labels, places)
        np.take(scores, places, None, out, "clip")
        np.negative(out, out)

    return nll


@_builds("cross_entropy")
def _cross_entropy(value: Call, operands: list[Value]) -> Run | None:
    """Fill the loss and, if it is wanted, the gradient of the sum of all rows' losses."""
    rows, classes = operands[0].shape
    how = value.params.get("reduction", "mean")
    if not rows:
        return None
    starts = np.arange(rows) * classes
    dtype = value.dtype
    places, chosen, picked = np.empty(rows, np.int64), np.empty(rows, dtype), np.empty(rows, dtype)
    column = np.empty((rows, 1), dtype)
    losses, ones = column[:, 0], np.ones((classes, 1), dtype)

    computed = isinstance(operands[1], Call)  # other labels are checked before anything is done

    def cross_entropy(logits: Any, labels: Any, out: Any, d: Any) -> None:
        if computed:
            check_labels("cross_entropy", labels, classes)
        _maximum.reduce(logits, 1, None, column, True)
        np.subtract(logits, column, d)
        flat = d.reshape(-1)
        np.add(starts, labels, places)
        np.take(flat, places, None, chosen, "clip")
        np.exp(d, d)
        np.matmul(d, ones, column)
        np.divide(d, column, d)
        np.take(flat, places, None, picked, "clip")
        np.subtract(picked, 1, picked)
        flat[places] = picked
        np.log(losses, losses)
        if how == "none":
            np.subtract(losses, chosen, out)
            return
        np.subtract(losses, chosen, losses)
        _add.reduce(losses, 0, None, out)
        if how == "mean":
            np.divide(out, rows, out)

    return cross_entropy
