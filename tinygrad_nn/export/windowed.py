"""Windows: convolutions and pools, which ONNX has with channels first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinygrad_nn.export.conversion import Conversion, Setting
from tinygrad_nn.ops import convolution_kernels, pooling
from tinygrad_nn.ops.windows import Window
from tinygrad_nn.primitives import Shape


def _geometry(window: Window, **more: Setting) -> dict[str, Setting]:
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


def convolution(c: Conversion) -> str:
    rank, settings = len(c.shape), _geometry(c.params["window"], group=c.params["groups"])
    bias = [c.x(2, c.dtype)] if len(c.values) > 2 else []
    y = c.op("Conv", c.channels_first(c.x(0, c.dtype), rank), _weights(c, 1), *bias, **settings)
    return c.channels_last(y, rank)


def _longer_by(window: Window, space: Shape, shape: Shape) -> list[int]:
    """Return how much longer each axis is than what the windows of a result of some shape span."""
    return [
        n - ((r - 1) * s - a - b + d * (k - 1) + 1)
        for n, r, k, s, (a, b), d in zip(space, shape[1:-1], *window, strict=True)
    ]


def transposed_convolution(c: Conversion) -> str:
    window, space, rank = c.params["window"], c.params["space"], len(c.shape)
    longer = _longer_by(window, space, c.shapes[0])
    settings = _geometry(window, group=c.params["groups"], output_padding=longer)
    y = c.op("ConvTranspose", c.channels_first(c.x(0, c.dtype), rank), _weights(c, 1), **settings)
    return c.channels_last(y, rank)


def weights_of_convolution(c: Conversion) -> str:
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


def pooled(kind: str, c: Conversion, **more: Setting) -> str:
    rank = len(c.shape)
    settings = _geometry(c.params["window"], **more)
    return c.channels_last(c.op(kind, c.channels_first(c.x(0, c.dtype), rank), **settings), rank)


def averages(c: Conversion) -> str:
    return pooled("AveragePool", c, count_include_pad=int(c.params["inclusive"]))


def spread(c: Conversion) -> str:
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


def _places_under(c: Conversion, index: str, window: Window, space: Sequence[int]) -> str:
    """Return which element of the padded and flattened space an index of a window means, for each result."""
    full, results = window.full(tuple(space)), window.results(tuple(space))
    numbers = np.arange(math.prod(full)).reshape(full)
    taps = [numbers[tuple(t * d for t, d in zip(tap, window.dilation, strict=True))] for tap in window.taps()]
    starts = numbers[tuple(slice(0, r * s, s) for r, s in zip(results, window.stride, strict=True))]
    moved = c.op("Gather", c.constant(taps, np.int64), index, axis=0)
    return c.op("Add", moved, c.constant(starts[None, ..., None], np.int64))


def _with_border(window: Window) -> list[int]:
    before, after = zip(*window.padding, strict=True)
    return [0, *before, 0, 0, *after, 0]


def taken_at(c: Conversion) -> str:
    window, space = c.params["window"], c.shapes[0][1:-1]
    places = _places_under(c, c.x(1, np.dtype(np.int64)), window, space)
    n, channels = c.shapes[0][0], c.shapes[0][-1]
    c.fixed()
    x = c.op("Pad", c.x(), c.ints(*_with_border(window)), mode="constant")
    flat = c.op("Reshape", x, c.ints(n, math.prod(window.full(space)), channels), allowzero=1)
    chosen = c.op("Reshape", places, c.ints(n, math.prod(c.shape[1:-1]), channels), allowzero=1)
    return c.reshaped(c.op("GatherElements", flat, chosen, axis=1), c.call)


def put_at(c: Conversion) -> str:
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


def convolve(c: Conversion) -> str:
    short, long = sorted((0, 1), key=lambda k: c.shapes[k])
    (n,) = c.shapes[short]
    # Of the full one NumPy takes the middle, from (n - 1) // 2 on.
    pads = {"full": (n - 1, n - 1), "valid": (0, 0), "same": (n // 2, (n - 1) // 2)}
    flipped = c.backwards(c.x(short, c.dtype), 0)
    row = [c.op("Reshape", name, c.ints(1, 1, -1)) for name in (c.x(long, c.dtype), flipped)]
    return c.reshaped(c.op("Conv", *row, pads=pads[c.params.get("mode", "full")]), c.call)
