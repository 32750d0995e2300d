"""Along axes: sums and what is made of them, running results, softmax, norms, losses."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygrad_nn.export.conversion import Conversion, Converter


def axes_of(c: Conversion, default: int | None = None) -> list[int]:
    """Return the axes of a reduction, counted from the front."""
    rank, axis = len(c.shapes[0]), c.params.get("axis", default)
    return list(range(rank)) if axis is None or not rank else list(normalize_axis_tuple(axis, rank))


def axis_of(c: Conversion, default: int = -1) -> int:
    """Return the one axis of an op."""
    return normalize_axis_index(c.params.get("axis", default), len(c.shapes[0]))


def reduced(kind: str, alone: str = "Identity") -> Converter:
    """Return a converter of a reduction; `alone` is what it makes of a single number."""

    def convert(c: Conversion) -> str:
        if c.params.keys() - {"axis", "keepdims"}:
            raise c.refused(f"with {', '.join(c.params)} has no operator there")
        axes, x = axes_of(c), c.x(0, c.dtype)
        if not axes:
            return c.op(alone, x)
        return c.op(kind, x, c.ints(*axes), keepdims=int(bool(c.params.get("keepdims", False))))

    return convert


def softmax(kind: str, c: Conversion) -> str:
    axis = c.params.get("axis", -1)
    if isinstance(axis, int):
        return c.op(kind, c.x(), axis=axis)
    total = c.op("ReduceLogSumExp", c.x(), c.ints(*axes_of(c)), keepdims=1)
    logarithm = c.op("Sub", c.x(), total)
    return c.op("Exp", logarithm) if kind == "Softmax" else logarithm


def softmax_back(c: Conversion) -> str:
    """Return the gradient of what a softmax was taken of."""
    a, p = c.all()
    total = c.op("ReduceSum", c.op("Mul", a, p), c.ints(*axes_of(c, -1)), keepdims=1)
    return c.op("Mul", c.op("Sub", a, total), p)


def mean_of_rows(c: Conversion) -> str:
    return c.op("ReduceMean", c.x(0, c.dtype), c.ints(-1), keepdims=1)


def standardized_back(c: Conversion) -> str:
    """Return the gradient of rows that were normalised to u by a factor s, from that of u."""
    a, u, s = c.all()
    mean = c.op("ReduceMean", a, c.ints(-1), keepdims=1)
    along = c.op("Mul", c.op("ReduceMean", c.op("Mul", a, u), c.ints(-1), keepdims=1), u)
    return c.op("Mul", c.op("Sub", c.op("Sub", a, mean), along), s)


def softmax_of_some(c: Conversion) -> str:
    chosen = c.broadcast(c.x(1, np.dtype(bool)))
    parts = c.op("Softmax", c.op("Where", chosen, c.x(), c.like(-np.inf)), axis=-1)
    return c.op("Where", chosen, parts, c.like(0))


def variance(c: Conversion) -> str:
    axes, ddof = axes_of(c), c.params.get("ddof", 0)
    if not axes:
        return c.op("Sub", c.x(), c.x())
    if c.params.keys() - {"axis", "keepdims", "ddof"}:
        raise c.refused(f"with {', '.join(c.params)} has no operator there")
    x, keep = c.x(), int(bool(c.params.get("keepdims", False)))
    gap = c.op("Sub", x, c.op("ReduceMean", x, c.ints(*axes), keepdims=1))
    mean = c.op("ReduceMean", c.op("Mul", gap, gap), c.ints(*axes), keepdims=keep)
    count = math.prod(c.shapes[0][axis] for axis in axes)
    if ddof:
        c.fixed()
        mean = c.op("Mul", mean, c.like(count / (count - ddof)))
    return mean


def deviation(c: Conversion) -> str:
    return c.op("Sqrt", variance(c))


def p_norm(c: Conversion) -> str:
    order, axes = c.params["ord"], axes_of(c)
    powers = c.op("Pow", c.op("Abs", c.x()), c.like(order))
    keep = int(bool(c.params.get("keepdims", False)))
    return c.op("Pow", c.op("ReduceSum", powers, c.ints(*axes), keepdims=keep), c.like(1 / order))


def vecdot(c: Conversion) -> str:
    return c.op("ReduceSum", c.op("Mul", *c.all()), c.ints(c.params.get("axis", -1)), keepdims=0)


def sum_to(c: Conversion) -> str:
    x, result = c.shapes[0], c.shape
    lead = len(x) - len(result)
    axes = [*range(lead), *[k for k in range(lead, len(x)) if result[k - lead] == 1 != x[k]]]
    return c.reshaped(c.op("ReduceSum", c.x(), c.ints(*axes), keepdims=1) if axes else c.x(), c.call)


def cumsum(c: Conversion) -> str:
    x, axis = c.x(0, c.dtype), c.params.get("axis")
    return c.op("CumSum", c.flat(x) if axis is None else x, c.constant(axis or 0, np.int64))


def arg(kind: str, c: Conversion) -> str:
    axis = c.params.get("axis")
    x = c.flat(c.x()) if axis is None else c.x()
    return c.op(kind, x, axis=axis or 0, keepdims=int(bool(c.params.get("keepdims", False))))


def argsort(c: Conversion) -> str:
    axis = axis_of(c)
    count = c.shapes[0][axis]
    return c.ops("TopK", 2, c.x(), c.ints(count), axis=axis, largest=0, sorted=1)[1]


def sign_and_log_det(c: Conversion) -> str:
    det = c.op("Det", c.x())
    parts = c.op("Sign", det), c.op("Log", c.op("Abs", det))
    return c.op("Concat", *[c.op("Unsqueeze", part, c.ints(-1)) for part in parts], axis=-1)


def _along(c: Conversion, axis: int | None, step: Callable[[list[str], str], str]) -> str:
    """Return what goes along an axis, step by step, each made of the elements there and of the one before."""
    names, rows = [c.x(k, c.dtype) for k in range(len(c.values))], list[str]()
    if axis is None:
        names, axis, count = [c.flat(name) for name in names], 0, math.prod(c.shapes[0])
    else:
        count = c.shapes[0][axis]
    if not count:
        return c.op("Identity", names[0])
    for k in range(count):
        here = [c.sliced(name, k, k + 1, axis) for name in names]
        rows.append(step(here, rows[-1]) if rows else here[0])
    return c.op("Concat", *rows, axis=axis)


def recurrence(c: Conversion) -> str:
    def step(here: list[str], before: str) -> str:
        return c.op("Add", here[0], c.op("Mul", here[1], before))

    return _along(c, axis_of(c), step)


def cumprod(c: Conversion) -> str:
    axis = c.params.get("axis")
    return _along(c, axis if axis is None else axis_of(c), lambda here, before: c.op("Mul", here[0], before))


def cumlogsumexp(c: Conversion) -> str:
    axis = axis_of(c)

    def step(here: list[str], before: str) -> str:
        both = c.op("Concat", here[0], before, axis=axis)
        return c.op("ReduceLogSumExp", both, c.ints(axis), keepdims=1)

    return _along(c, axis, step)


def cross_entropy(c: Conversion) -> str:
    reduction = c.params.get("reduction", "mean")
    return c.op("SoftmaxCrossEntropyLoss", c.x(), c.x(1, np.dtype(np.int64)), reduction=reduction)


def nll(c: Conversion) -> str:
    return c.op("NegativeLogLikelihoodLoss", c.x(), c.x(1, np.dtype(np.int64)), reduction="none")


def one_hot_rows(c: Conversion, place: int, count: int) -> str:
    ids, values = c.flat(c.x(place)), c.constant([0, 1], c.dtype)
    return c.reshaped(c.op("OneHot", ids, c.constant(count, np.int64), values, axis=-1), c.call)


def minus_one_hot(c: Conversion) -> str:
    return c.op("Sub", c.x(), one_hot_rows(c, 1, c.shapes[0][1]))


def standardized(c: Conversion) -> str:
    ones = c.constant(np.ones(c.shape[-1]), c.dtype)
    return c.op("LayerNormalization", c.x(), ones, axis=-1, epsilon=_setting(c, 1, "eps"))


def _setting(c: Conversion, place: int, name: str) -> float:
    """Return a number that an op takes as an operand or as a setting."""
    return float(c.params[name] if name in c.params else np.asarray(c.values[place].data).item())


def in_unit_squares(c: Conversion) -> str:
    x = c.x()
    mean = c.op("ReduceMean", c.op("Mul", x, x), c.ints(-1), keepdims=1)
    return c.op("Div", x, c.op("Sqrt", c.op("Add", mean, c.like(_setting(c, 1, "eps")))))


def _row(c: Conversion, name: str, k: int) -> str:
    return c.sliced(name, k, k + 1, -2)


def normalising_columns(c: Conversion) -> str:
    m, weight, bias = c.all()
    root = c.op("Sqrt", c.op("Add", _row(c, m, 1), c.like(float(c.params["eps"]))))
    mean = _row(c, m, 0)
    zeros = c.op("Mul", mean, c.like(0))
    return c.op("Concat", mean, c.op("Div", weight, root), c.op("Add", zeros, bias), axis=len(c.shape) - 2)


def scaled_columns(c: Conversion) -> str:
    x, rows = c.all()
    return c.op("Add", c.op("Mul", c.op("Sub", x, _row(c, rows, 0)), _row(c, rows, 1)), _row(c, rows, 2))


def column_moments(c: Conversion) -> str:
    if not c.shapes[0][-2]:
        return c.broadcast(c.like(0))
    x, rows = c.x(0, c.dtype), c.ints(-2)
    mean = c.op("ReduceMean", x, rows, keepdims=1)
    gap = c.op("Sub", x, mean)
    return c.op(
        "Concat", mean, c.op("ReduceMean", c.op("Mul", gap, gap), rows, keepdims=1), axis=len(c.shape) - 2
    )


def column_products(c: Conversion) -> str:
    if not c.shapes[0][-2]:
        return c.broadcast(c.like(0))
    a, b, row = c.all()
    product = c.op("Mul", a, c.op("Sub", b, row))
    sums = [c.op("ReduceSum", part, c.ints(-2), keepdims=1) for part in (product, a)]
    return c.op("Concat", *sums, axis=len(c.shape) - 2)
