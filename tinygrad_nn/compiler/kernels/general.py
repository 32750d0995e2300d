"""Ops that write into a given array, for those whose NumPy function has no `out=`: what `into=` in the catalogue names.

Each function here is told one call and its operands, and returns what a replay runs: a function of the operands and
then the array to fill, which keeps what small scratch it needs; or None, where the general way is the only one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from tinygrad_nn.compiler.draft import Run
from tinygrad_nn.engine.failures import label_error
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.ops.embedding import checked_ids
from tinygrad_nn.ops.fused_losses import labels_fit
from tinygrad_nn.ops.linalg import FEW
from tinygrad_nn.ops.random import fill_keep_mask
from tinygrad_nn.ops.reduction import BLOCK, count
from tinygrad_nn.primitives import Array, Function

Build = Callable[[Call, list[Value]], Run | None]

# Everything by position is the quicker call, which NumPy's stubs do not know.
_add: Callable[..., object] = np.add.reduce
_largest: Callable[..., object] = np.maximum.reduce

_REDUCTIONS = {"axis", "keepdims"}
"""The keywords of reductions that are known here."""


def label_check(fit: Callable[[Array, int], bool]) -> Callable[[Array, str, int], None]:
    """Return a function that raises `LabelError` for labels that do not fit the number of classes."""

    def check_labels(labels: Array, who: str, classes: int) -> None:
        if not fit(labels, classes):
            raise label_error(who, labels, classes)

    return check_labels


check_labels = label_check(labels_fit)


def power(call: Call, operands: list[Value]) -> Run:
    """Take NumPy's shortcuts, which it has for numbers only where there is no `out=`."""
    shortcuts = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal, 1: np.positive}
    exponent = operands[1].data
    if isinstance(exponent, (int, float)) and operands[0].dtype.kind == "f":
        short = shortcuts.get(exponent)
        if short is not None:
            return lambda a, _, out: short(a, out)
    return lambda a, b, out: np.power(a, b, out)


def extremum(function: np.ufunc, call: Call, _operands: list[Value]) -> Run | None:
    """Name `out`, as NumPy wants it here."""
    return None if call.params else lambda a, b, out: function(a, b, out=out)


def clip(call: Call, _operands: list[Value]) -> Run | None:
    """Name `out`, as NumPy wants it here."""
    return None if call.params else lambda a, low, high, out: np.clip(a, low, high, out=out)


def matmul(_call: Call, operands: list[Value]) -> Run:
    """Multiply a stack and a matrix as the op does, in one product."""
    a, b = operands
    in_one = len(b.shape) == 2 < len(a.shape) and math.prod(a.shape) >= FEW
    return _stack_times_matrix if in_one else np.matmul


def _stack_times_matrix(a: Array, b: Array, out: Array) -> None:
    if a.flags.c_contiguous and out.flags.c_contiguous:
        a, out = a.reshape(-1, a.shape[-1]), out.reshape(-1, out.shape[-1])
    np.matmul(a, b, out)


def embedding(_call: Call, operands: list[Value]) -> Run:
    """Take rows as the op does, after a look at all ids."""
    count = operands[0].shape[0]

    def run(weight: Array, ids: Array, out: Array) -> None:
        np.take(weight, checked_ids("embedding", ids, count, "rows of the weight"), 0, out, "clip")

    return run


def scatter(call: Call, operands: list[Value]) -> Run | None:
    """Write where slices and integers point, each place once."""
    index = call.params["index"]
    if len(operands) > 1:
        return None

    def run(values: Array, out: Array) -> None:
        out.fill(0)
        out[index] = values

    return run


def sigmoid(_call: Call, operands: list[Value]) -> Run | None:
    """Compute in the result's own memory."""
    if operands[0].dtype.kind != "f":
        return None

    def run(x: Array, out: Array) -> None:
        np.negative(x, out)
        np.exp(out, out)
        np.add(out, 1, out)
        np.reciprocal(out, out)

    return run


def relu(_call: Call, _operands: list[Value]) -> Run:
    """Take the larger of x and 0."""
    return lambda x, out: np.maximum(x, 0, out=out)


def softmax(call: Call, operands: list[Value]) -> Run | None:
    """Keep the extremes and sums of rows."""
    if operands[0].dtype.kind != "f" or call.dtype.char == "e" or not math.prod(call.shape):
        return None
    axis = call.params.get("axis", -1)
    rows = np.empty_like(np.sum(np.zeros(call.shape, call.dtype), axis=axis, keepdims=True))

    def run(x: Array, out: Array) -> None:
        _largest(x, axis, None, rows, True)
        np.subtract(x, rows, out)
        np.exp(out, out)
        _add(out, axis, None, rows, True)
        np.divide(out, rows, out)

    return run


def total(call: Call, operands: list[Value]) -> Run | None:
    """Sum, where NumPy sums in the dtype of the result."""
    axis, keepdims = call.params.get("axis"), call.params.get("keepdims", False)
    if call.params.keys() - _REDUCTIONS or operands[0].dtype != call.dtype or call.dtype.char == "e":
        return None
    return lambda x, out: _add(x, axis, None, out, keepdims)


def mean(call: Call, operands: list[Value]) -> Run | None:
    """Sum and divide, as the op does."""
    axis, keepdims = call.params.get("axis"), call.params.get("keepdims", False)
    x = operands[0]
    n = count(x.shape, axis)
    if call.params.keys() - _REDUCTIONS or x.dtype != call.dtype or x.dtype.itemsize < 4 or not n:
        return None

    def run(x: Array, out: Array) -> None:
        _add(x, axis, None, out, keepdims)
        np.divide(out, n, out)

    return run


def extreme(function: np.ufunc, call: Call, _operands: list[Value]) -> Run | None:
    """Take the largest or smallest along axes."""
    axis, keepdims = call.params.get("axis"), call.params.get("keepdims", False)
    if call.params.keys() - _REDUCTIONS:
        return None
    reduce: Callable[..., object] = function.reduce
    return lambda x, out: reduce(x, axis, None, out, keepdims)


def sum_to(call: Call, operands: list[Value]) -> Run | None:
    """Sum over leading axes as a product with ones: fast, and without a copy in double precision."""
    x, shape = operands[0], call.shape
    lead = len(x.shape) - len(shape)
    if x.shape[lead:] != shape or x.dtype.kind != "f" or not math.prod(x.shape) or not lead:
        return None
    rows = math.prod(x.shape[:lead])
    if x.dtype.char == "e" or (x.dtype.char == "f" and rows > 2 * BLOCK):
        # The op adds in blocks, where a single product loses digits.
        return None
    ones = np.ones((1, rows), x.dtype)
    return lambda x, out: np.matmul(ones, x.reshape(rows, -1), out.reshape(1, -1))


def where(_call: Call, operands: list[Value]) -> Run | None:
    """Choose between a and b; only a may be written over."""
    if operands[0].dtype != bool:
        return None
    mask = np.empty(operands[0].shape, bool)

    def run(condition: Array, a: Array, b: Array, out: Array) -> None:
        if out is a:
            np.logical_not(condition, mask)
            np.copyto(out, b, where=mask)
        else:
            np.copyto(out, b)
            np.copyto(out, a, where=condition)

    return run


def careful(plain: np.ufunc, _call: Call, operands: list[Value]) -> Run:
    """Give a * b or a / b, and 0 wherever a is 0; a is never written over."""
    mask = np.empty(operands[0].shape, bool)

    def run(a: Array, b: Array, out: Array) -> None:
        plain(a, b, out)
        if not math.isfinite(np.add.reduce(out, axis=None)):
            np.copyto(out, 0, where=np.equal(a, 0, mask) if mask.shape else a == 0)

    return run


def astype(_call: Call, _operands: list[Value]) -> Run:
    """Convert while copying."""
    return lambda x, out: np.copyto(out, x, casting="unsafe")


def concatenate(call: Call, _operands: list[Value]) -> Run | None:
    """Put all arrays where they belong."""
    if call.params.keys() - {"axis"}:
        return None
    axis = call.params.get("axis", 0)
    return lambda *arrays: np.concatenate(arrays[:-1], axis, arrays[-1])


def minus_one_hot(call: Call, _operands: list[Value]) -> Run:
    """Subtract where the labels point."""
    rows, classes = call.shape
    starts = np.arange(rows) * classes
    places, picked = np.empty(rows, np.int64), np.empty(rows, call.dtype)

    def run(p: Array, labels: Array, out: Array) -> None:
        if out is not p:
            np.copyto(out, p)
        np.add(starts, labels, places, casting="unsafe")
        _subtract_one(out.reshape(-1), places, picked)

    return run


def _subtract_one(flat: Array, places: Array, picked: Array) -> None:
    np.take(flat, places, None, picked, "clip")
    np.subtract(picked, 1, picked)
    flat[places] = picked


def nll(_call: Call, operands: list[Value]) -> Run:
    """Pick what the labels point at."""
    rows, classes = operands[0].shape
    starts = np.arange(rows) * classes
    places = np.empty(rows, np.int64)

    def run(scores: Array, labels: Array, out: Array) -> None:
        np.add(starts, labels, places, casting="unsafe")
        np.take(scores, places, None, out, "clip")
        np.negative(out, out)

    return run


def cross_entropy(call: Call, operands: list[Value]) -> Run | None:
    """Fill the loss and d, the gradient of the sum of all rows' losses."""
    rows, classes = operands[0].shape
    reduction = call.params.get("reduction", "mean")
    if not rows or call.dtype.char == "e":
        return None
    starts = np.arange(rows) * classes
    dtype = call.dtype
    places, chosen, picked = np.empty(rows, np.int64), np.empty(rows, dtype), np.empty(rows, dtype)
    column = np.empty((rows, 1), dtype)
    losses, ones = column[:, 0], np.ones((classes, 1), dtype)

    def run(logits: Array, labels: Array, out: Array, d: Array) -> None:
        _largest(logits, 1, None, column, True)
        np.subtract(logits, column, d)
        flat = d.reshape(-1)
        np.add(starts, labels, places, casting="unsafe")
        np.take(flat, places, None, chosen, "clip")
        np.exp(d, d)
        np.matmul(d, ones, column)
        np.divide(d, column, d)
        _subtract_one(flat, places, picked)
        np.log(losses, losses)
        if reduction == "none":
            np.subtract(losses, chosen, out)
            return
        np.subtract(losses, chosen, losses)
        _add(losses, 0, None, out)
        if reduction == "mean":
            np.divide(out, rows, out)

    return run


def keep_mask(call: Call, _operands: list[Value]) -> Run:
    """Draw anew; of the operand there is only its shape in the result."""
    return partial(fill_keep_mask, **call.params)


def filled(fill: Function, call: Call, operands: list[Value]) -> Run | None:
    """Let the op's own function fill the result of floats."""
    return partial(fill, **call.params) if operands[0].dtype.kind == "f" else None
