"""Each op in ONNX's operators: one table, keyed by the op.

What has the same meaning there is a name; the others are functions of a `Conversion`, which return the result's name.
Ops of the last section move elements about: where their shapes are fixed, they are found by number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygrad_nn.export.onnx_model import Conversion
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.ops import (
    activation,
    arithmetic,
    batch_norm,
    convolution_kernels,
    cumulative,
    decompositions,
    embedding,
    fused_losses,
    indexing,
    linalg,
    normalisation,
    norms,
    pooling,
    recurrent,
    reduction,
    resize,
    running,
    shape,
    special,
    spectral,
    trigonometric,
    windows,
)
from tinygrad_nn.ops import attention as attention_ops
from tinygrad_nn.primitives import REGISTRY, Array, Primitive, Shape

Converter = Callable[[Conversion], str | Mapping[str, str]]
"""Returns the name of the result; or, where ONNX has it in parts, that of each by its index, as Python writes it."""

_LARGE = 2**62
"""Beyond the end of any axis."""


def _plain(kind: str, **settings: Any) -> Converter:
    """Return a converter to one operator, whose operands have one dtype."""
    return lambda c: c.op(kind, *c.all(), **settings)


def _logical(kind: str) -> Converter:
    """Return a converter to one operator on bools."""
    return lambda c: c.op(kind, *[c.x(k, np.dtype(bool)) for k in range(len(c.values))])


def _not_equal(c: Conversion) -> str:
    return c.op("Not", c.op("Equal", *c.all()))


def _axes(c: Conversion) -> list[int]:
    """Return the axes of a reduction, counted from the front."""
    rank, axis = len(c.shapes[0]), c.params.get("axis")
    return list(range(rank)) if axis is None or not rank else list(normalize_axis_tuple(axis, rank))


def _reduced(kind: str, alone: str = "Identity") -> Converter:
    """Return a converter of a reduction; `alone` is what it makes of a single number."""

    def convert(c: Conversion) -> str:
        if c.params.keys() - {"axis", "keepdims"}:
            raise c.refused(f"with {', '.join(c.params)} has no operator there")
        axes, x = _axes(c), c.x(0, c.dtype)
        if not axes:
            return c.op(alone, x)
        return c.op(kind, x, c.ints(*axes), keepdims=int(bool(c.params.get("keepdims", False))))

    return convert


def _axis(c: Conversion, default: int = -1) -> int:
    """Return the one axis of an op."""
    return normalize_axis_index(c.params.get("axis", default), len(c.shapes[0]))


# Arithmetic


def _square(c: Conversion) -> str:
    return c.op("Mul", c.x(), c.x())


def _float_power(c: Conversion) -> str:
    return c.op("Pow", c.x(0, c.dtype), c.x(1, c.dtype))


def _hypot(c: Conversion) -> str:
    a, b = c.all()
    return c.op("Sqrt", c.op("Add", c.op("Mul", a, a), c.op("Mul", b, b)))


def _log_of_sum(c: Conversion, base: float) -> str:
    """log(base**a + base**b) without overflow, the larger one in front."""
    a, b = c.all()
    gap = c.op("Mul", c.op("Neg", c.op("Abs", c.op("Sub", a, b))), c.like(math.log(base)))
    rest = c.op("Log", c.op("Add", c.op("Exp", gap), c.like(1)))
    return c.op("Add", c.op("Max", a, b), c.op("Div", rest, c.like(math.log(base))))


def _exp_of(base: float) -> Converter:
    return lambda c: c.op("Exp", c.op("Mul", c.x(), c.like(math.log(base))))


def _log_to(base: float) -> Converter:
    return lambda c: c.op("Div", c.op("Log", c.x()), c.like(math.log(base)))


def _expm1(c: Conversion) -> str:
    # exp(x) - 1 = 2 sinh(x / 2) exp(x / 2), which keeps small numbers.
    half = c.op("Mul", c.x(), c.like(0.5))
    return c.op("Mul", c.op("Mul", c.op("Sinh", half), c.op("Exp", half)), c.like(2))


def _log1p(c: Conversion) -> str:
    # 2 artanh(x / (x + 2)), which keeps small numbers; elsewhere as it is written.
    x = c.x()
    near = c.op("Mul", c.op("Atanh", c.op("Div", x, c.op("Add", x, c.like(2)))), c.like(2))
    small = c.op("Less", c.op("Abs", x), c.like(0.5))
    return c.op("Where", small, near, c.op("Log", c.op("Add", x, c.like(1))))


def _cbrt(c: Conversion) -> str:
    x = c.x()
    return c.op("Mul", c.op("Sign", x), c.op("Pow", c.op("Abs", x), c.like(1 / 3)))


def _scaled(factor: float) -> Converter:
    return lambda c: c.op("Mul", c.x(), c.like(factor))


def _zero_where(kind: str, c: Conversion, *places: int) -> str:
    """a kind b, and 0 where one of some operands is 0."""
    a, b = c.all()
    zero = c.like(0)
    at = [c.op("Equal", (a, b)[k], zero) for k in places]
    return c.op("Where", at[0] if len(at) == 1 else c.op("Or", *at), zero, c.op(kind, a, b))


def _ldexp(c: Conversion) -> str:
    return c.op("Mul", c.x(0, c.dtype), c.op("Pow", c.like(2), c.x(1, c.dtype)))


def _trunc(c: Conversion) -> str:
    return c.op("Mul", c.op("Sign", c.x()), c.op("Floor", c.op("Abs", c.x())))


def _round(c: Conversion) -> str:
    scale = 10.0 ** c.params.get("decimals", 0)
    return c.op("Div", c.op("Round", c.op("Mul", c.x(), c.like(scale))), c.like(scale))


def _floor_divide(c: Conversion) -> str:
    return c.op("Floor", c.op("Div", *c.all()))


def _remainder(c: Conversion) -> str:
    a, b = c.all()
    return c.op("Sub", a, c.op("Mul", c.op("Floor", c.op("Div", a, b)), b))


def _heaviside(c: Conversion) -> str:
    x, at_zero = c.all()
    zero = c.like(0)
    step = c.op("Cast", c.op("Greater", x, zero), to=c.writer.dtype(c.dtype))
    return c.op("Where", c.op("Equal", x, zero), at_zero, step)


def _copysign(c: Conversion) -> str:
    x, sign = c.all()
    size = c.op("Abs", x)
    return c.op("Where", c.op("Less", sign, c.like(0)), c.op("Neg", size), size)


def _arctan2(c: Conversion) -> str:
    y, x = c.all()
    zero = c.like(0)
    turned = c.op("Where", c.op("Less", y, zero), c.like(-math.pi), c.like(math.pi))
    angle = c.op("Atan", c.op("Div", y, x))
    return c.op("Where", c.op("Less", x, zero), c.op("Add", angle, turned), angle)


def _angle(c: Conversion) -> str:
    half_turn = 180.0 if c.params.get("deg") else math.pi
    return c.op("Where", c.op("Less", c.x(), c.constant(0, c.values[0].dtype)), c.like(half_turn), c.like(0))


def _imaginary(c: Conversion) -> str:
    return c.op("Mul", c.x(), c.like(0))


def _nan_to_num(c: Conversion) -> str:
    limits = np.finfo(c.dtype)
    nan, top, low = (c.params.get(name) for name in ("nan", "posinf", "neginf"))
    x = c.op("Where", c.op("IsNaN", c.x()), c.like(nan or 0), c.x())
    x = c.op("Where", c.op("IsInf", x, detect_negative=0), c.like(limits.max if top is None else top), x)
    return c.op("Where", c.op("IsInf", x, detect_positive=0), c.like(limits.min if low is None else low), x)


def _clip(c: Conversion) -> str:
    x, low, high = c.all()
    return c.op("Min", c.op("Max", x, low), high)


def _where(c: Conversion) -> str:
    dtype = np.result_type(*[v.dtype for v in c.values[1:]]) if c.dtype is None else c.dtype
    return c.op("Where", c.x(0, np.dtype(bool)), c.x(1, dtype), c.x(2, dtype))


def _sign_and_log_det(c: Conversion) -> str:
    det = c.op("Det", c.x())
    parts = c.op("Sign", det), c.op("Log", c.op("Abs", det))
    return c.op("Concat", *[c.op("Unsqueeze", part, c.ints(-1)) for part in parts], axis=-1)


# Activations and functions of probability


def _silu(c: Conversion) -> str:
    return c.op("Mul", c.x(), c.op("Sigmoid", c.x()))


def _log_sigmoid(c: Conversion) -> str:
    return c.op("Neg", c.op("Softplus", c.op("Neg", c.x())))


def _with_setting(kind: str, ours: str, default: float) -> Converter:
    """Return a converter of an activation whose one setting ONNX calls alpha."""
    return lambda c: c.op(kind, c.x(), alpha=float(c.params.get(ours, default)))


def _softmax(kind: str, c: Conversion) -> str:
    axis = c.params.get("axis", -1)
    if isinstance(axis, int):
        return c.op(kind, c.x(), axis=axis)
    total = c.op("ReduceLogSumExp", c.x(), c.ints(*_axes(c)), keepdims=1)
    logarithm = c.op("Sub", c.x(), total)
    return c.op("Exp", logarithm) if kind == "Softmax" else logarithm


def _softmax_of_some(c: Conversion) -> str:
    chosen = c.broadcast(c.x(1, np.dtype(bool)))
    parts = c.op("Softmax", c.op("Where", chosen, c.x(), c.like(-np.inf)), axis=-1)
    return c.op("Where", chosen, parts, c.like(0))


def _xlogy(c: Conversion) -> str:
    x, y = c.all()
    zero = c.like(0)
    return c.op("Where", c.op("Equal", x, zero), zero, c.op("Mul", x, c.op("Log", y)))


def _one_minus_erf(c: Conversion) -> str:
    return c.op("Sub", c.like(1), c.op("Erf", c.x()))


def _ndtr(c: Conversion) -> str:
    share = c.op("Erf", c.op("Mul", c.x(), c.like(math.sqrt(0.5))))
    return c.op("Mul", c.op("Add", share, c.like(1)), c.like(0.5))


def _logit(c: Conversion) -> str:
    return c.op("Sub", c.op("Log", c.x()), c.op("Log", c.op("Sub", c.like(1), c.x())))


def _sinc(c: Conversion) -> str:
    turn = c.op("Mul", c.x(), c.like(math.pi))
    return c.op("Where", c.op("Equal", turn, c.like(0)), c.like(1), c.op("Div", c.op("Sin", turn), turn))


# Reductions


def _spread_of(c: Conversion, ddof: float, root: bool) -> str:
    axes = _axes(c)
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
    return c.op("Sqrt", mean) if root else mean


def _p_norm(c: Conversion) -> str:
    order, axes = c.params["ord"], _axes(c)
    powers = c.op("Pow", c.op("Abs", c.x()), c.like(order))
    keep = int(bool(c.params.get("keepdims", False)))
    return c.op("Pow", c.op("ReduceSum", powers, c.ints(*axes), keepdims=keep), c.like(1 / order))


def _vecdot(c: Conversion) -> str:
    return c.op("ReduceSum", c.op("Mul", *c.all()), c.ints(c.params.get("axis", -1)), keepdims=0)


def _sum_to(c: Conversion) -> str:
    x, result = c.shapes[0], c.shape
    lead = len(x) - len(result)
    axes = [*range(lead), *[k for k in range(lead, len(x)) if result[k - lead] == 1 != x[k]]]
    return c.reshaped(c.op("ReduceSum", c.x(), c.ints(*axes), keepdims=1) if axes else c.x(), c.call)


def _cumsum(c: Conversion) -> str:
    x, axis = c.x(0, c.dtype), c.params.get("axis")
    return c.op("CumSum", c.flat(x) if axis is None else x, c.constant(axis or 0, np.int64))


def _arg(kind: str, c: Conversion) -> str:
    axis = c.params.get("axis")
    x = c.flat(c.x()) if axis is None else c.x()
    return c.op(kind, x, axis=axis or 0, keepdims=int(bool(c.params.get("keepdims", False))))


def _argsort(c: Conversion) -> str:
    axis = _axis(c)
    count = c.shapes[0][axis]
    return c.ops("TopK", 2, c.x(), c.ints(count), axis=axis, largest=0, sorted=1)[1]


# Losses


def _cross_entropy(c: Conversion) -> str:
    reduction = c.params.get("reduction", "mean")
    return c.op("SoftmaxCrossEntropyLoss", c.x(), c.x(1, np.dtype(np.int64)), reduction=reduction)


def _nll(c: Conversion) -> str:
    return c.op("NegativeLogLikelihoodLoss", c.x(), c.x(1, np.dtype(np.int64)), reduction="none")


def _one_hot_rows(c: Conversion, place: int, count: int) -> str:
    ids, values = c.flat(c.x(place)), c.constant([0, 1], c.dtype)
    return c.reshaped(c.op("OneHot", ids, c.constant(count, np.int64), values, axis=-1), c.call)


def _minus_one_hot(c: Conversion) -> str:
    return c.op("Sub", c.x(), _one_hot_rows(c, 1, c.shapes[0][1]))


def _binary_cross_entropy(c: Conversion) -> str:
    logits, targets = c.all()
    return c.op("Sub", c.op("Softplus", logits), c.op("Mul", targets, logits))


def _huber(c: Conversion) -> str:
    delta = c.params["delta"]
    near = c.op("Min", c.op("Max", c.x(), c.like(-delta)), c.like(delta))
    return c.op("Mul", near, c.op("Sub", c.x(), c.op("Mul", near, c.like(0.5))))


# Normalisation


def _standardized(c: Conversion) -> str:
    ones = c.constant(np.ones(c.shape[-1]), c.dtype)
    return c.op("LayerNormalization", c.x(), ones, axis=-1, epsilon=float(_setting(c, 1, "eps")))


def _setting(c: Conversion, place: int, name: str) -> Any:
    """Return a number that an op takes as an operand or as a setting."""
    return c.params[name] if name in c.params else np.asarray(c.values[place].data).item()


def _in_unit_squares(c: Conversion) -> str:
    x = c.x()
    mean = c.op("ReduceMean", c.op("Mul", x, x), c.ints(-1), keepdims=1)
    return c.op("Div", x, c.op("Sqrt", c.op("Add", mean, c.like(float(_setting(c, 1, "eps"))))))


def _row(c: Conversion, name: str, k: int) -> str:
    return c.sliced(name, k, k + 1, -2)


def _normalising_columns(c: Conversion) -> str:
    m, weight, bias = c.all()
    root = c.op("Sqrt", c.op("Add", _row(c, m, 1), c.like(float(c.params["eps"]))))
    mean = _row(c, m, 0)
    zeros = c.op("Mul", mean, c.like(0))
    return c.op("Concat", mean, c.op("Div", weight, root), c.op("Add", zeros, bias), axis=len(c.shape) - 2)


def _scaled_columns(c: Conversion) -> str:
    x, rows = c.all()
    return c.op("Add", c.op("Mul", c.op("Sub", x, _row(c, rows, 0)), _row(c, rows, 1)), _row(c, rows, 2))


def _column_moments(c: Conversion) -> str:
    if not c.shapes[0][-2]:
        return c.broadcast(c.like(0))
    x, rows = c.x(0, c.dtype), c.ints(-2)
    mean = c.op("ReduceMean", x, rows, keepdims=1)
    gap = c.op("Sub", x, mean)
    return c.op(
        "Concat", mean, c.op("ReduceMean", c.op("Mul", gap, gap), rows, keepdims=1), axis=len(c.shape) - 2
    )


def _column_products(c: Conversion) -> str:
    a, b, row = c.all()
    product = c.op("Mul", a, c.op("Sub", b, row))
    sums = [c.op("ReduceSum", part, c.ints(-2), keepdims=1) for part in (product, a)]
    return c.op("Concat", *sums, axis=len(c.shape) - 2)


# Windows: convolutions and pools; ONNX has channels first


def _geometry(window: windows.Window, **more: Any) -> dict[str, Any]:
    before, after = zip(*window.padding, strict=True)
    return {
        "kernel_shape": list(window.kernel),
        "strides": list(window.stride),
        "pads": [*before, *after],
        "dilations": list(window.dilation),
        **more,
    }


def _weights(c: Conversion, place: int) -> str:
    """Return weights (*kernel, in, out) as (out, in, *kernel)."""
    rank = len(c.shapes[place])
    return c.transposed(c.x(place, c.dtype), (rank - 1, rank - 2, *range(rank - 2)))


def _convolution(c: Conversion) -> str:
    rank, settings = len(c.shape), _geometry(c.params["window"], group=c.params["groups"])
    bias = [c.x(2, c.dtype)] if len(c.values) > 2 else []
    y = c.op("Conv", c.channels_first(c.x(0, c.dtype), rank), _weights(c, 1), *bias, **settings)
    return c.channels_last(y, rank)


def _longer_by(window: windows.Window, space: Shape, shape: Shape) -> list[int]:
    """Return how much longer each axis is than what the windows of a result of some shape span."""
    return [
        n - ((r - 1) * s - a - b + d * (k - 1) + 1)
        for n, r, k, s, (a, b), d in zip(space, shape[1:-1], *window, strict=True)
    ]


def _transposed_convolution(c: Conversion) -> str:
    window, space, rank = c.params["window"], c.params["space"], len(c.shape)
    longer = _longer_by(window, space, c.shapes[0])
    settings = _geometry(window, group=c.params["groups"], output_padding=longer)
    y = c.op("ConvTranspose", c.channels_first(c.x(0, c.dtype), rank), _weights(c, 1), **settings)
    return c.channels_last(y, rank)


def _weights_of_convolution(c: Conversion) -> str:
    """Return the gradient for weights: a convolution whose samples are the channels, and the other way round."""
    c.fixed()
    window, groups, rank = c.params["window"], c.params["groups"], len(c.shapes[0])
    turned = window._replace(kernel=c.shapes[0][1:-1], stride=window.dilation, dilation=window.stride)
    outside = (rank - 1, 0, *range(1, rank - 1))
    g, x = c.transposed(c.x(0, c.dtype), outside), c.transposed(c.x(1, c.dtype), outside)
    parts = []
    for k in range(groups):
        o, i = c.shapes[0][-1] // groups, c.shapes[1][-1] // groups
        y = c.op(
            "Conv",
            c.sliced(x, k * i, k * i + i, 0),
            c.sliced(g, k * o, k * o + o, 0),
            **_geometry(turned),
        )
        for axis, n in enumerate(window.kernel):
            y = c.sliced(y, 0, n, axis + 2)
        parts.append(c.transposed(y, (*range(2, rank), 0, 1)))
    return parts[0] if groups == 1 else c.op("Concat", *parts, axis=rank - 1)


def _pooled(kind: str, c: Conversion, **more: Any) -> str:
    rank = len(c.shape)
    settings = _geometry(c.params["window"], **more)
    return c.channels_last(c.op(kind, c.channels_first(c.x(0, c.dtype), rank), **settings), rank)


def _averages(c: Conversion) -> str:
    return _pooled("AveragePool", c, count_include_pad=int(c.params["inclusive"]))


def _spread(c: Conversion) -> str:
    """Return each element's share added under its window: a transposed convolution with ones, channel by channel."""
    window, space, rank, channels = c.params["window"], c.params["space"], len(c.shape), c.shape[-1]
    # An average of ones says what share of the window lies inside.
    ones, kernel = np.ones((1, *space, 1)), np.ones((*window.kernel, 1, 1))
    inside = convolution_kernels.convolution.function(ones, kernel, window=window, groups=1)
    averages = pooling.averages.function(ones, window=window, inclusive=c.params["inclusive"])
    share = np.divide(averages, inside, out=np.zeros_like(averages), where=inside > 0)
    longer = _longer_by(window, space, c.shapes[0])
    g = c.channels_first(c.op("Mul", c.x(), c.constant(share, c.dtype)), rank)
    weights = c.constant(np.ones((channels, 1, *window.kernel)), c.dtype)
    settings = _geometry(window, group=channels, output_padding=longer)
    return c.channels_last(c.op("ConvTranspose", g, weights, **settings), rank)


def _places_under(c: Conversion, index: str, window: windows.Window, space: Sequence[int]) -> str:
    """Return which element of the padded and flattened space an index of a window means, for each result."""
    full, results = window.full(tuple(space)), window.results(tuple(space))
    numbers = np.arange(math.prod(full)).reshape(full)
    taps = [numbers[tuple(t * d for t, d in zip(tap, window.dilation, strict=True))] for tap in window.taps()]
    starts = numbers[tuple(slice(0, r * s, s) for r, s in zip(results, window.stride, strict=True))]
    moved = c.op("Gather", c.constant(taps, np.int64), index, axis=0)
    return c.op("Add", moved, c.constant(starts[None, ..., None], np.int64))


def _with_border(window: windows.Window) -> list[int]:
    before, after = zip(*window.padding, strict=True)
    return [0, *before, 0, 0, *after, 0]


def _taken_at(c: Conversion) -> str:
    window, space = c.params["window"], c.shapes[0][1:-1]
    places = _places_under(c, c.x(1, np.dtype(np.int64)), window, space)
    n, channels = c.shapes[0][0], c.shapes[0][-1]
    c.fixed()
    x = c.op("Pad", c.x(), c.ints(*_with_border(window)), mode="constant")
    flat = c.op("Reshape", x, c.ints(n, math.prod(window.full(space)), channels), allowzero=1)
    chosen = c.op("Reshape", places, c.ints(n, math.prod(c.shape[1:-1]), channels), allowzero=1)
    return c.reshaped(c.op("GatherElements", flat, chosen, axis=1), c.call)


def _put_at(c: Conversion) -> str:
    window, space = c.params["window"], c.params["space"]
    c.fixed()
    places = _places_under(c, c.x(1, np.dtype(np.int64)), window, space)
    n, channels, full = c.shape[0], c.shape[-1], window.full(space)
    rows = c.ints(n, math.prod(c.shapes[0][1:-1]), channels)
    flat = [c.op("Reshape", name, rows, allowzero=1) for name in (c.x(), places)]
    zeros = c.constant(np.zeros((n, math.prod(full), channels)), c.dtype)
    total = c.op("ScatterElements", zeros, flat[1], flat[0], axis=1, reduction="add")
    whole = c.op("Reshape", total, c.ints(n, *full, channels), allowzero=1)
    for axis, ((a, _), size) in enumerate(zip(window.padding, space, strict=True)):
        whole = c.sliced(whole, a, a + size, axis + 1)
    return whole


def _convolve(c: Conversion) -> str:
    (a, b), mode = sorted(c.shapes, reverse=True), c.params.get("mode", "full")
    long, short = (0, 1) if c.shapes[0] == a else (1, 0)
    n = b[0]
    pads = {"full": (n - 1, n - 1), "valid": (0, 0), "same": (n // 2, (n - 1) // 2)}[mode]
    if mode == "same":
        # NumPy takes the middle of the full one, from (n - 1) // 2 on.
        pads = n - 1 - (n - 1) // 2, (n - 1) // 2
    flipped = c.sliced(c.x(short, c.dtype), -1, -_LARGE, 0, -1)
    row = [c.op("Reshape", name, c.ints(1, 1, -1)) for name in (c.x(long, c.dtype), flipped)]
    return c.reshaped(c.op("Conv", *row, pads=list(pads)), c.call)


# Whole sequences


def _sources(c: Conversion) -> list[Any]:
    """Return what has been put side by side as the one operand of a recurrent op."""
    joined = c.values[0]
    if not isinstance(joined, Call) or joined.op is not _op(np.concatenate):
        raise c.refused("has weights that are not operands of one call: nn.LSTM, or tn.lstm, has them")
    values = c.writer.graph.values
    parts = [values[k] for k in joined.operands]
    flat = (_op(np.reshape),)
    return [
        values[part.operands[0]] if isinstance(part, Call) and part.op in flat else part for part in parts
    ]


def _named(c: Conversion, value: Any) -> str:
    """Return the name of any value of the graph."""
    names = c.writer.names
    return names[value.index] if value.index in names else c.writer.given(value, value.dtype)


def _gates(c: Conversion, name: str, order: Sequence[int], axis: int) -> str:
    """Return gates side by side in another order."""
    width = c.params["sizes"][3]
    parts = [c.sliced(name, k * width, k * width + width, axis) for k in order]
    return parts[0] if len(parts) == 1 else c.op("Concat", *parts, axis=axis)


def _recurrent(
    kind: str, order: Sequence[int], states: int, c: Conversion, **settings: Any
) -> Mapping[str, str]:
    steps, _, features, width = c.params["sizes"]
    x, *rest = _sources(c)
    first, (w_ih, w_hh), biases = rest[:states], rest[states : states + 2], rest[states + 2 :]
    turned = [
        c.op("Unsqueeze", c.op("Transpose", _gates(c, _matrix(c, w, n), order, 1), perm=[1, 0]), c.ints(0))
        for w, n in ((w_ih, features), (w_hh, width))
    ]
    both = [_gates(c, c.flat(_named(c, b)), order, 0) for b in biases]
    bias = c.op("Unsqueeze", c.op("Concat", *both, axis=0), c.ints(0))
    starts = [c.op("Reshape", _named(c, h), c.ints(1, -1, width)) for h in first]
    sequence = c.op("Reshape", _named(c, x), c.ints(steps, -1, features))
    y, *last = c.ops(
        kind, 1 + states, sequence, *turned, bias, _lengths(c), *starts, hidden_size=width, **settings
    )
    parts = {repr((0, slice(1, None))): c.op("Squeeze", y, c.ints(1))}
    for k, name in enumerate(last):
        parts[repr((k, steps))] = c.op("Squeeze", name, c.ints(0))
    return parts


def _matrix(c: Conversion, value: Any, rows: int) -> str:
    return c.op("Reshape", _named(c, value), c.ints(rows, -1))


def _lengths(c: Conversion) -> str:
    """Return how many steps each sample has; nothing where all have all."""
    alive = c.values[1]
    if not alive.shape:
        return ""
    if not isinstance(alive, Call) or alive.op is not _op(np.less):
        raise c.refused("that goes backwards over sequences of several lengths has no operator there")
    return c.op(
        "Cast", _named(c, c.writer.graph.values[alive.operands[1]]), to=c.writer.dtype(np.dtype(np.int32))
    )


# Elements moved about


def _reshape(c: Conversion) -> str:
    if c.params.get("order", "C") != "C":
        return _by_number(c)
    return c.reshaped(c.x(), c.call)


def _transpose(c: Conversion) -> str:
    axes = c.params.get("axes")
    rank = len(c.shape)
    if not rank:
        return c.op("Identity", c.x())
    return c.op(
        "Transpose", c.x(), perm=list(normalize_axis_tuple(axes, rank)) if axes else list(range(rank))[::-1]
    )


def _swapaxes(c: Conversion) -> str:
    axes = list(range(len(c.shape)))
    a, b = c.params["axis1"], c.params["axis2"]
    axes[a], axes[b] = axes[b], axes[a]
    return c.op("Transpose", c.x(), perm=axes)


def _to_same_elements(c: Conversion) -> str:
    return c.reshaped(c.x(), c.call)


def _astype(c: Conversion) -> str:
    return c.op("Cast", c.x(), to=c.writer.dtype(c.dtype))


def _concatenate(c: Conversion) -> str:
    axis = c.params.get("axis", 0)
    names = [c.x(k, c.dtype) for k in range(len(c.values))]
    return c.op("Concat", *([c.flat(name) for name in names] if axis is None else names), axis=axis or 0)


def _stack(c: Conversion) -> str:
    axis = normalize_axis_index(c.params.get("axis", 0), len(c.shape))
    return c.op(
        "Concat", *[c.op("Unsqueeze", c.x(k, c.dtype), c.ints(axis)) for k in range(len(c.values))], axis=axis
    )


def _flip(c: Conversion) -> str:
    name = c.x()
    for axis in _axes(c):
        name = c.sliced(name, -1, -_LARGE, axis, -1)
    return c.op("Identity", name)


def _roll(c: Conversion) -> str:
    axis, shift = c.params.get("axis"), c.params["shift"]
    name = c.flat(c.x()) if axis is None else c.x()
    axes = (0,) if axis is None else np.atleast_1d(axis).tolist()
    sizes = (math.prod(c.shape),) if axis is None else c.shape
    for k, by in zip(*np.broadcast_arrays(axes, shift), strict=True):
        cut = -int(by) % sizes[k] if sizes[k] else 0
        if cut:
            parts = c.sliced(name, cut, _LARGE, int(k)), c.sliced(name, 0, cut, int(k))
            name = c.op("Concat", *parts, axis=int(k))
    return c.reshaped(name, c.call)


def _triangle(upper: int, c: Conversion) -> str:
    if len(c.shapes[0]) < 2:
        return _by_mask(c, upper)
    return c.op("Trilu", c.x(), c.constant(c.params.get("k", 0), np.int64), upper=upper)


def _by_mask(c: Conversion, upper: int) -> str:
    function = np.triu if upper else np.tril
    mask = function(np.ones(c.shapes[0]), **c.params) > 0
    return c.op("Where", c.constant(mask), c.x(), c.like(0))


def _pad(c: Conversion) -> str:
    widths, mode = c.params["pad_width"], c.params.get("mode", "constant")
    pads = c.ints(*[a for a, _ in widths], *[b for _, b in widths])
    if mode == "constant":
        return c.op("Pad", c.x(), pads, c.like(c.params.get("constant_values", 0)), mode=mode)
    if mode == "edge":
        return c.op("Pad", c.x(), pads, mode=mode)
    return _by_number(c)


def _take(c: Conversion) -> str:
    axis = c.params.get("axis")
    return c.op(
        "Gather", c.flat(c.x()) if axis is None else c.x(), c.x(1, np.dtype(np.int64)), axis=axis or 0
    )


def _embedding(c: Conversion) -> str:
    return c.op("Gather", c.x(), c.x(1, np.dtype(np.int64)), axis=0)


def _take_along_axis(c: Conversion) -> str:
    axis = _axis(c)
    names = []
    for k, dtype in ((0, c.dtype), (1, np.dtype(np.int64))):
        size = c.shapes[k]
        whole = tuple(n if j == axis else c.shape[j] for j, n in enumerate(size))
        name = c.x(k, dtype)
        if whole != size:
            c.fixed()
            name = c.op("Expand", name, c.ints(*whole))
        names.append(name)
    return c.op("GatherElements", *names, axis=axis)


def _add_along_axis(c: Conversion) -> str:
    c.fixed()
    axis = _axis(c)
    zeros = c.constant(np.zeros(c.shape), c.dtype)
    places = c.op("Expand", c.x(1, np.dtype(np.int64)), c.ints(*c.shapes[0]))
    return c.op("ScatterElements", zeros, places, c.x(), axis=axis, reduction="add")


def _getitem(c: Conversion) -> str:
    source = c.values[0]
    if source.index in c.writer.parts:
        return _part(c, c.writer.parts[source.index])
    return _chosen(c, c.x(), c.shapes[0], 1)


def _part(c: Conversion, parts: Mapping[str, str]) -> str:
    """Return the result of a recurrent op that an index means."""
    if (name := parts.get(repr(c.params["index"]))) is not None:
        return c.op("Identity", name)
    raise c.refused("reads states that ONNX's operator does not give: it gives outputs and the last states")


def _chosen(c: Conversion, name: str, shape: Shape, first: int) -> str:
    """Return the elements of a value of some shape that the index of a call means.

    Args:
        c: the call; its operands from `first` on are the arrays in the index.
        name: of the value.
        shape: of the value.
        first: the place of the first array.
    """
    index, arrays = list(c.params["index"]), c.values[first:]
    if Ellipsis in [part for part in index if isinstance(part, type(Ellipsis))]:
        k = next(k for k, part in enumerate(index) if part is Ellipsis)
        index[k : k + 1] = [slice(None)] * (len(shape) - sum(part is not None for part in index) + 1)
    holes = [place for place, part in enumerate(index) if part is indexing.HOLE]
    if any(array.dtype == bool for array in arrays):
        if len(index) == 1:
            return c.op("GatherND", name, c.op("Transpose", c.op("NonZero", c.x(first)), perm=[1, 0]))
    elif len(holes) < 2 and (not holes or all(isinstance(p, slice) for p in index if p is not indexing.HOLE)):
        name = _sliced(c, name, [slice(None) if part is indexing.HOLE else part for part in index])
        for place in holes:
            name = c.op("Gather", name, c.x(first, np.dtype(np.int64)), axis=place)
        return name
    elif holes == list(range(len(holes))) and all(part == slice(None) for part in index[len(holes) :]):
        c.fixed()
        broadcast = np.broadcast_shapes(*[array.shape for array in arrays])
        parts = [
            c.op("Unsqueeze", c.op("Expand", c.x(k, np.dtype(np.int64)), c.ints(*broadcast)), c.ints(-1))
            for k in range(first, len(c.values))
        ]
        return c.op("GatherND", name, c.op("Concat", *parts, axis=-1))
    fixed = _arrays(c, first)
    numbers = c.numbers(lambda x: indexing.getitem.function(x, *fixed, index=c.params["index"]), shape)
    return c.picked(name, numbers)


def _sliced(c: Conversion, name: str, index: Sequence[object]) -> str:
    """Return a part given by slices, integers and None."""
    axis, squeezed, added = 0, list[int](), list[int]()
    for place, part in enumerate(index):
        if part is None:
            added.append(place - len(squeezed))
            continue
        if isinstance(part, slice):
            if part != slice(None):
                step = part.step or 1
                ends = (0, _LARGE) if step > 0 else (_LARGE, -_LARGE)
                start, stop = (
                    end if i is None else i for i, end in zip((part.start, part.stop), ends, strict=True)
                )
                name = c.sliced(name, start, stop, axis, step)
        else:
            assert isinstance(part, (int, np.integer))
            name = c.sliced(name, int(part), int(part) + 1 or _LARGE, axis)
            squeezed.append(axis)
        axis += 1
    if squeezed:
        name = c.op("Squeeze", name, c.ints(*squeezed))
    return c.op("Unsqueeze", name, c.ints(*added)) if added else c.op("Identity", name)


def _arrays(c: Conversion, first: int = 1) -> list[Array]:
    """Return index arrays that are constant; refuse others, and shapes that grow."""
    c.fixed()
    if any(isinstance(v, Call) or v.kind == "input" for v in c.values[first:]):
        raise c.refused("with computed indices in this form has no operator there")
    return [np.asarray(v.data) for v in c.values[first:]]


def _by_number(c: Conversion) -> str:
    """Return elements of the one operand, wherever they are, found by what happens to their numbers."""
    arrays = _arrays(c)
    numbers = c.numbers(lambda x: c.call.op.function(x, *arrays, **c.params), c.shapes[0])
    return c.reshaped(c.picked(c.x(), numbers), c.call)


def _added_by_number(forward: Callable[..., Array], c: Conversion) -> str:
    """Return the adjoint of an op that moves elements: each is added to the one that it came from."""
    arrays = _arrays(c)
    settings = {name: value for name, value in c.params.items() if name != "shape"}
    return c.put_back(c.x(), c.numbers(lambda x: forward(x, *arrays, **settings), c.shape), c.call)


def _scattered(c: Conversion) -> str:
    """Return zeros with each element added where the index points."""
    c.fixed()
    numbers = c.constant(c.numbers(lambda x: x, c.shape), np.int64)
    places = c.flat(_chosen(c, numbers, c.shape, 1))
    zeros = c.constant(np.zeros(math.prod(c.shape)), c.dtype)
    return c.reshaped(c.op("ScatterElements", zeros, places, c.flat(c.x()), axis=0, reduction="add"), c.call)


def _places(c: Conversion, first: int) -> Array:
    """Return the number of each element that an index of constant arrays means."""
    arrays = _arrays(c, first)
    return c.numbers(lambda x: indexing.getitem.function(x, *arrays, index=c.params["index"]), c.shapes[0])


def _written(c: Conversion) -> str:
    """Return a copy with some elements replaced; of several values for one place the last one stays."""
    numbers = _places(c, 2)
    places, last = np.unique(numbers.reshape(-1)[::-1], return_index=True)
    values = c.flat(c.op("Expand", c.x(1, c.dtype), c.ints(*numbers.shape)))
    kept = c.op("Gather", values, c.constant(numbers.size - 1 - last, np.int64), axis=0)
    result = c.op("ScatterElements", c.flat(c.x()), c.constant(places, np.int64), kept, axis=0)
    return c.reshaped(result, c.call)


def _last_ones(c: Conversion) -> str:
    """Return some elements, and 0 where a later one has the same place."""
    numbers, arrays = _places(c, 1), _arrays(c)
    there = c.call.op.function(np.ones(c.shapes[0]), *arrays, **c.params) > 0
    chosen = c.op("Gather", c.flat(c.x()), c.constant(numbers, np.int64), axis=0)
    return c.op("Where", c.constant(there), c.reshaped(chosen, c.call), c.like(0))


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


def _recurrence(c: Conversion) -> str:
    def step(here: list[str], before: str) -> str:
        return c.op("Add", here[0], c.op("Mul", here[1], before))

    return _along(c, _axis(c), step)


def _cumprod(c: Conversion) -> str:
    axis = c.params.get("axis")
    return _along(c, axis if axis is None else _axis(c), lambda here, before: c.op("Mul", here[0], before))


def _cumlogsumexp(c: Conversion) -> str:
    axis = _axis(c)

    def step(here: list[str], before: str) -> str:
        both = c.op("Concat", here[0], before, axis=axis)
        return c.op("ReduceLogSumExp", both, c.ints(axis), keepdims=1)

    return _along(c, axis, step)


def _by_matrix(length: Callable[[Conversion], int], c: Conversion) -> str:
    """Return one axis times a matrix, which is what an op makes of an identity."""
    axis, rank = c.params["axis"], len(c.shapes[0])
    rows = np.eye(length(c))
    matrix = c.call.op.function(rows, **(c.params | {"axis": 1}))
    order = [*(k for k in range(rank) if k != axis), axis]
    back = [order.index(k) for k in range(rank)]
    y = c.op("MatMul", c.transposed(c.x(0, c.dtype), order), c.constant(matrix, c.dtype))
    return c.transposed(y, back)


def _over_differences(c: Conversion) -> str:
    m, a, b = c.all()
    gap = c.op("Sub", c.op("Unsqueeze", a, c.ints(-2)), c.op("Unsqueeze", b, c.ints(-1)))
    y = c.op("Div", m, gap)
    if not c.params.get("diagonal", True):
        y = c.op("Where", c.constant(np.eye(c.shape[-1]) > 0), c.like(0), y)
    return y


def _zeros(number: float, c: Conversion) -> str:
    return c.broadcast(c.like(number))


def _einsum(c: Conversion) -> str:
    return c.op("Einsum", *c.all(), equation=c.params["subscripts"])


_SAME = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.divide: "Div",
    np.negative: "Neg",
    np.positive: "Identity",
    np.conjugate: "Identity",
    np.power: "Pow",
    np.exp: "Exp",
    np.log: "Log",
    np.sqrt: "Sqrt",
    np.reciprocal: "Reciprocal",
    np.absolute: "Abs",
    np.fabs: "Abs",
    np.sign: "Sign",
    np.floor: "Floor",
    np.ceil: "Ceil",
    np.rint: "Round",
    np.sin: "Sin",
    np.cos: "Cos",
    np.tan: "Tan",
    np.arcsin: "Asin",
    np.arccos: "Acos",
    np.arctan: "Atan",
    np.sinh: "Sinh",
    np.cosh: "Cosh",
    np.tanh: "Tanh",
    np.arcsinh: "Asinh",
    np.arccosh: "Acosh",
    np.arctanh: "Atanh",
    np.maximum: "Max",
    np.minimum: "Min",
    np.fmax: "Max",
    np.fmin: "Min",
    np.matmul: "MatMul",
    np.linalg.det: "Det",
    arithmetic.product: "Mul",
    arithmetic.quotient: "Div",
    activation.sigmoid: "Sigmoid",
    activation.relu: "Relu",
    activation.softplus: "Softplus",
    special.erf: "Erf",
    np.greater: "Greater",
    np.greater_equal: "GreaterOrEqual",
    np.less: "Less",
    np.less_equal: "LessOrEqual",
    np.equal: "Equal",
    np.isnan: "IsNaN",
    np.isinf: "IsInf",
}

_LOGICAL = {
    np.logical_and: "And",
    np.logical_or: "Or",
    np.logical_xor: "Xor",
    np.logical_not: "Not",
}

_REDUCED = {
    np.sum: "ReduceSum",
    np.mean: "ReduceMean",
    np.max: "ReduceMax",
    np.min: "ReduceMin",
    np.prod: "ReduceProd",
    reduction.logsumexp: "ReduceLogSumExp",
}

_OTHERS: dict[object, Converter] = {
    np.square: _square,
    np.float_power: _float_power,
    np.hypot: _hypot,
    np.logaddexp: partial(_log_of_sum, base=math.e),
    np.logaddexp2: partial(_log_of_sum, base=2),
    np.exp2: _exp_of(2),
    np.expm1: _expm1,
    np.log1p: _log1p,
    np.log2: _log_to(2),
    np.log10: _log_to(10),
    np.cbrt: _cbrt,
    np.deg2rad: _scaled(math.pi / 180),
    np.radians: _scaled(math.pi / 180),
    np.rad2deg: _scaled(180 / math.pi),
    np.degrees: _scaled(180 / math.pi),
    np.ldexp: _ldexp,
    np.trunc: _trunc,
    np.round: _round,
    np.floor_divide: _floor_divide,
    np.remainder: _remainder,
    np.fmod: _plain("Mod", fmod=1),
    np.heaviside: _heaviside,
    np.copysign: _copysign,
    np.arctan2: _arctan2,
    np.angle: _angle,
    np.imag: _imaginary,
    np.nan_to_num: _nan_to_num,
    np.clip: _clip,
    np.where: _where,
    np.not_equal: _not_equal,
    arithmetic.both: lambda c: _zero_where("Mul", c, 0, 1),
    arithmetic.part: lambda c: _zero_where("Div", c, 0, 1),
    activation.silu: _silu,
    activation.log_sigmoid: _log_sigmoid,
    activation.leaky_relu: _with_setting("LeakyRelu", "negative_slope", 0.01),
    activation.elu: _with_setting("Elu", "alpha", 1.0),
    activation.gelu_tanh: _plain("Gelu", approximate="tanh"),
    activation.softmax: partial(_softmax, "Softmax"),
    activation.log_softmax: partial(_softmax, "LogSoftmax"),
    activation.xlogy: _xlogy,
    attention_ops.softmax_of_some: _softmax_of_some,
    special.erfc: _one_minus_erf,
    special.ndtr: _ndtr,
    special.logit: _logit,
    np.var: lambda c: _spread_of(c, c.params.get("ddof", 0), False),
    np.std: lambda c: _spread_of(c, c.params.get("ddof", 0), True),
    norms.euclidean_norm: _reduced("ReduceL2", "Abs"),
    norms.p_norm: _p_norm,
    np.vecdot: _vecdot,
    reduction.sum_to: _sum_to,
    np.cumsum: _cumsum,
    np.cumprod: _cumprod,
    cumulative.recurrence: _recurrence,
    running.cumlogsumexp: _cumlogsumexp,
    np.argmax: partial(_arg, "ArgMax"),
    np.argmin: partial(_arg, "ArgMin"),
    np.argsort: _argsort,
    fused_losses.cross_entropy: _cross_entropy,
    fused_losses.nll: _nll,
    fused_losses.huber_elements: _huber,
    fused_losses.binary_cross_entropy_elements: _binary_cross_entropy,
    decompositions.sign_and_log_det: _sign_and_log_det,
    fused_losses.minus_one_hot: _minus_one_hot,
    normalisation.standardized: _standardized,
    normalisation.in_unit_squares: _in_unit_squares,
    batch_norm.normalising_columns: _normalising_columns,
    batch_norm.scaled_columns: _scaled_columns,
    batch_norm.column_moments: _column_moments,
    batch_norm.column_products: _column_products,
    convolution_kernels.convolution: _convolution,
    convolution_kernels.biased_convolution: _convolution,
    convolution_kernels.transposed_convolution: _transposed_convolution,
    convolution_kernels.weights_of_convolution: _weights_of_convolution,
    pooling.largest: partial(_pooled, "MaxPool"),
    pooling.averages: _averages,
    pooling.spread: _spread,
    pooling.taken_at: _taken_at,
    pooling.put_at: _put_at,
    np.convolve: _convolve,
    recurrent.lstm_states: partial(_recurrent, "LSTM", (0, 3, 1, 2), 2),
    recurrent.gru_states: partial(_recurrent, "GRU", (1, 0, 2), 1, linear_before_reset=1),
    recurrent.rnn_states: partial(_recurrent, "RNN", (0,), 1),
    np.reshape: _reshape,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.expand_dims: _to_same_elements,
    np.squeeze: _to_same_elements,
    np.broadcast_to: lambda c: c.broadcast(c.x()),
    shape.astype: _astype,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.flip: _flip,
    np.roll: _roll,
    np.tril: partial(_triangle, 0),
    np.triu: partial(_triangle, 1),
    np.pad: _pad,
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    indexing.add_along_axis: _add_along_axis,
    embedding.embedding: _embedding,
    embedding.one_hot: lambda c: _one_hot_rows(c, 0, c.shape[-1]),
    indexing.getitem: _getitem,
    indexing.scatter: _scattered,
    indexing.set_at: _written,
    indexing.get_written: _last_ones,
    np.diagonal: _by_number,
    linalg.on_diagonal: partial(_added_by_number, np.diagonal),
    np.lib.stride_tricks.sliding_window_view: _by_number,
    resize.resampled_axis: partial(_by_matrix, lambda c: c.shapes[0][c.params["axis"]]),
    resize.spread_axis: partial(_by_matrix, lambda c: c.shapes[0][c.params["axis"]]),
    spectral.over_differences: _over_differences,
    linalg.used: lambda c: c.op("Identity", c.x()),
    windows.overlap_add: partial(_added_by_number, np.lib.stride_tricks.sliding_window_view),
    trigonometric.sine_over_angle: _sinc,
    activation.gelu_exact: _plain("Gelu"),
    np.einsum: _einsum,
    np.zeros_like: partial(_zeros, 0),
    np.ones_like: partial(_zeros, 1),
}


def _op(key: object) -> Primitive:
    record = REGISTRY.get(key, key)
    assert isinstance(record, Primitive)
    return record


CONVERTERS: dict[Primitive, Converter] = {
    _op(key): converter
    for key, converter in (
        *((key, _plain(kind)) for key, kind in _SAME.items()),
        *((key, _logical(kind)) for key, kind in _LOGICAL.items()),
        *((key, _reduced(kind)) for key, kind in _REDUCED.items()),
        *_OTHERS.items(),
    )
}
