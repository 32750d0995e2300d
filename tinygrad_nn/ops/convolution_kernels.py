"""Convolution, what undoes it, and its gradient for the weights: three kernels that are each other's rules.

Channels come last: x is (N, *space, C), weights are (*kernel, C // groups, O), results (N, *results, O). Columns (what
lies under each window, as a row) are made by blocks that stay in cache and never kept: making them again takes less
time than reading them from memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinygrad_nn.ops.indexing import Index
from tinygrad_nn.ops.windows import (
    BLOCK,
    Place,
    Window,
    blocks,
    padded_blocks,
    under_windows,
)
from tinygrad_nn.primitives import Array, Params, Sample, Shape, kernel


def _work(*arrays: Array) -> np.dtype:
    """Return the dtype to compute in: there are no fast products in half precision."""
    dtype = np.result_type(*arrays)
    return np.promote_types(dtype, np.float32) if dtype.char == "e" else dtype


def _is_depthwise(w_shape: Shape, groups: int) -> bool:
    return groups > 1 and w_shape[-2] == 1


def _columns(
    x: Array, window: Window, groups: int, dtype: np.dtype, most: int
) -> Iterator[tuple[Place, Array]]:
    """Yield blocks of results, and what lies under their windows: (groups, rows, kernel * channels)."""
    rank, c = len(window.kernel), x.shape[-1] // groups
    places, taps = tuple(range(1 + rank)), tuple(range(1 + rank, 1 + 2 * rank))
    # Runs of a single channel are short, and copied faster with the places of a window one after the other.
    order = (
        (2 * rank + 1, *taps, 2 * rank + 2, *places)
        if c == 1
        else (2 * rank + 1, *places, *taps, 2 * rank + 2)
    )
    lead = (slice(None),) * (2 + rank if c == 1 else 1)
    size = math.prod(window.kernel) * x.shape[-1] * dtype.itemsize
    buffer, samples, views = np.empty(0, dtype), None, x
    for place, local, full in padded_blocks(x, window, size, most):
        if samples is not full:
            samples, under = full, under_windows(full, window)
            views = under.reshape(*under.shape[:-1], groups, c).transpose(order)
        part = views[lead + local]
        if part.dtype != dtype or not part.flags.c_contiguous:
            if buffer.size < part.size:
                buffer = np.empty(part.size, dtype)
            np.copyto(cols := buffer[: part.size].reshape(part.shape), part)
            part = cols
        rows = math.prod([s.stop - s.start for s in local])
        if c == 1:
            yield place, part.reshape(groups, -1, rows).swapaxes(1, 2)
        else:
            yield place, part.reshape(groups, rows, -1)


def _most(w_size: int) -> int:
    """Return how much scratch a block may have: where weights are many, each product with them has to be large."""
    return BLOCK if w_size <= BLOCK else 3 * BLOCK


def _by_groups(x: Array, groups: int, dtype: np.dtype | None = None) -> Array:
    """Return (..., groups * c) as (groups, rows, c), of contiguous memory as a view."""
    rows = x.reshape(-1, groups, x.shape[-1] // groups).transpose(1, 0, 2)
    return rows if dtype is None else rows.astype(dtype, copy=False)


def _repeated(x: Array, count: int) -> Array:
    return x if count == 1 else np.repeat(x, count, axis=-1)


# What a window says, in loops, which the checks compare with


def _terms(
    window: Window, space: Shape, groups: int, c: int, o: int
) -> Iterator[tuple[Index, Index, Index, slice]]:
    """Yield where each term of a convolution comes from (padded x), its tap, and where it goes to (y)."""
    for at in np.ndindex(*window.results(space)):
        for tap in np.ndindex(*window.kernel):
            under = [
                k * s + t * d for k, s, t, d in zip(at, window.stride, tap, window.dilation, strict=True)
            ]
            for k in range(groups):
                ins, outs = slice(k * c, k * c + c), slice(k * o, k * o + o)
                yield (slice(None), *under, ins), (*tap, slice(None), outs), (slice(None), *at, outs), ins


def plain_convolution(x: Array, w: Array, *, window: Window, groups: int) -> Array:
    """Convolve in loops, term by term."""
    full = np.pad(x, [(0, 0), *window.padding, (0, 0)])
    y = np.zeros((len(x), *window.results(x.shape[1:-1]), w.shape[-1]), np.result_type(x, w))
    for source, tap, to, _ in _terms(window, x.shape[1:-1], groups, w.shape[-2], w.shape[-1] // groups):
        y[to] += full[source] @ w[tap]
    return y


def _plain_transposed(g_: Array, w: Array, *, window: Window, groups: int, space: Shape) -> Array:
    full = np.zeros((len(g_), *window.full(space), w.shape[-2] * groups), np.result_type(g_, w))
    for source, tap, to, _ in _terms(window, space, groups, w.shape[-2], w.shape[-1] // groups):
        full[source] += g_[to] @ w[tap].T
    return full[:, *window.inner(space)]


def _plain_weights(g_: Array, x: Array, *, window: Window, groups: int) -> Array:
    full = np.pad(x, [(0, 0), *window.padding, (0, 0)])
    c, o = x.shape[-1] // groups, g_.shape[-1]
    w = np.zeros((*window.kernel, c, o), np.result_type(g_, x))
    for source, tap, to, _ in _terms(window, x.shape[1:-1], groups, c, o // groups):
        w[tap] += full[source].T @ g_[to]
    return w


def _calls(rng: np.random.Generator) -> list[tuple[Array, Array, Params]]:
    """Return inputs, weights and settings."""
    settings = [
        ((2, 5, 2), (3, 2, 3), (1,), ((0, 0),), (1,), 1),
        ((2, 6, 1), (3, 1, 2), (2,), ((2, 1),), (1,), 1),
        ((1, 4, 4, 2), (2, 2, 2, 2), (1, 1), ((1, 0), (0, 1)), (1, 1), 1),
        ((2, 4, 3, 2), (2, 2, 1, 4), (2, 1), ((1, 1), (0, 0)), (1, 2), 2),
        ((1, 5, 4, 4), (3, 1, 2, 2), (1, 3), ((1, 1), (0, 0)), (2, 1), 2),
        ((1, 4, 6), (2, 3, 4), (1,), ((1, 0),), (1,), 2),
        ((2, 3, 4, 2), (1, 1, 2, 3), (1, 2), ((0, 0), (0, 0)), (1, 1), 1),
        ((1, 3, 2, 3, 1), (2, 1, 2, 1, 2), (1, 1, 2), ((0, 0), (0, 0), (1, 0)), (1, 1, 1), 1),
        ((0, 3, 2), (2, 2, 1), (1,), ((1, 1),), (1,), 1),
        ((1, 3, 1), (1, 1, 1), (1,), ((2, 2),), (1,), 1),
    ]
    return [
        (
            rng.normal(size=x),
            rng.normal(size=w),
            {"window": Window(w[:-2], stride, padding, dilation), "groups": groups},
        )
        for x, w, stride, padding, dilation, groups in settings
    ]


def _forward(rng: np.random.Generator) -> list[Sample]:
    return [((x, w), params) for x, w, params in _calls(rng)]


def _cotangent(x: Array, w: Array, params: Params, rng: np.random.Generator) -> Array:
    return rng.normal(size=(len(x), *params["window"].results(x.shape[1:-1]), w.shape[-1]))


def _undone(rng: np.random.Generator) -> list[Sample]:
    return [
        ((_cotangent(x, w, params, rng), w), params | {"space": x.shape[1:-1]})
        for x, w, params in _calls(rng)
    ]


def _for_weights(rng: np.random.Generator) -> list[Sample]:
    return [((_cotangent(x, w, params, rng), x), params) for x, w, params in _calls(rng)]


# The three


@kernel(
    lambda g, w, *, shapes, window, groups: transposed_convolution(
        g, w, window=window, groups=groups, space=shapes[0][1:-1]
    ),
    lambda g, x, *, window, groups: weights_of_convolution(g, x, window=window, groups=groups),
    samples=_forward,
    reference=plain_convolution,
    broadcasts=False,
    method=False,
)
def convolution(x: Array, w: Array, *, window: Window, groups: int) -> Array:
    """Products of weights with what lies under each window."""
    return fill_convolution(x, w, _results(x, w, window), window=window, groups=groups)


@kernel(
    lambda g, w, *, shapes, window, groups: transposed_convolution(
        g, w, window=window, groups=groups, space=shapes[0][1:-1]
    ),
    lambda g, x, *, window, groups: weights_of_convolution(g, x, window=window, groups=groups),
    lambda g, *, window, groups: g,
    samples=lambda rng: [((x, w, rng.normal(size=w.shape[-1])), params) for (x, w), params in _forward(rng)],
    reference=lambda x, w, bias, window, groups: plain_convolution(x, w, window=window, groups=groups) + bias,
    broadcasts=False,
    method=False,
)
def biased_convolution(x: Array, w: Array, bias: Array, *, window: Window, groups: int) -> Array:
    """The same and a bias, added while the results are in cache."""
    return fill_biased(x, w, bias, _results(x, w, window, bias), window=window, groups=groups)


def _results(x: Array, w: Array, window: Window, *bias: Array) -> Array:
    """Return an array for the results of a convolution."""
    return np.empty((len(x), *window.results(x.shape[1:-1]), w.shape[-1]), np.result_type(x, w, *bias))


def fill_convolution(x: Array, w: Array, y: Array, *, window: Window, groups: int) -> Array:
    """Fill y with what `convolution` gives."""
    for _ in _products(x, w, window, groups, _work(x, w), y):
        pass
    return y


def fill_biased(x: Array, w: Array, bias: Array, y: Array, *, window: Window, groups: int) -> Array:
    """Fill y with what `biased_convolution` gives."""
    channels = y.shape[-1]
    # As long as the last axis: with few channels the loops over them alone would be short.
    row = np.tile(bias, y.shape[-2])
    for place in _products(x, w, window, groups, _work(x, w, bias), y):
        part = y[place].reshape(-1, max(1, place[-1].stop - place[-1].start) * channels)
        part += row[: part.shape[1]]
    return y


def _products(x: Array, w: Array, window: Window, groups: int, work: np.dtype, y: Array) -> Iterator[Place]:
    """Fill y by blocks; yield each when it is done."""
    if _is_depthwise(w.shape, groups):
        yield from _products_of_channels(x, w, window, work, y)
        return
    matrices = _by_groups(w, groups, work)
    for place, cols in _columns(x, window, groups, work, _most(w.nbytes)):
        np.matmul(cols, matrices, out=_by_groups(y[place], groups), casting="same_kind")
        yield place


@kernel(
    lambda g, w, *, window, groups, space: convolution(g, w, window=window, groups=groups),
    lambda g, g_, *, window, groups, space: weights_of_convolution(g_, g, window=window, groups=groups),
    samples=_undone,
    reference=_plain_transposed,
    broadcasts=False,
    method=False,
)
def transposed_convolution(g_: Array, w: Array, *, window: Window, groups: int, space: Shape) -> Array:
    """What convolution has taken from each place of its input, put back there: its adjoint for the input."""
    x = np.empty((len(g_), *space, w.shape[-2] * groups), np.result_type(g_, w))
    return fill_transposed(g_, w, x, window=window, groups=groups, space=space)


def fill_transposed(g_: Array, w: Array, x: Array, *, window: Window, groups: int, space: Shape) -> Array:
    """Fill x with what `transposed_convolution` gives."""
    *kernel_size, c, out = w.shape
    o = out // groups
    if max(window.stride) == 1:
        # The same as a convolution the other way round: weights flipped, their channels exchanged.
        flipped = w[(slice(None, None, -1),) * len(kernel_size)].reshape(*kernel_size, c, groups, o)
        exchanged = np.swapaxes(flipped, -1, -3).reshape(*kernel_size, o, groups * c)
        spans = [d * (k - 1) for k, d in zip(window.kernel, window.dilation, strict=True)]
        padding = tuple((n - a, n - b) for n, (a, b) in zip(spans, window.padding, strict=True))
        return fill_convolution(g_, exchanged, x, window=window._replace(padding=padding), groups=groups)
    work = _work(g_, w)
    full, size = window.full(space), c * groups * work.itemsize
    for samples, *_ in blocks((len(x),), math.prod(full) * size):
        total = np.zeros((samples.stop - samples.start, *full, c * groups), work)
        part = g_[samples]
        for place in blocks(part.shape[:-1], size):
            for tap in window.taps():
                back = _taken_back(part[place], w[tap], groups, work)
                total[place[0], *window.under(tap, place[1:])] += back
        x[samples] = total[:, *window.inner(space)]
    return x


def _taken_back(g: Array, w: Array, groups: int, dtype: np.dtype) -> Array:
    """Return what one tap, a matrix of weights (c, O), adds to the input."""
    c, o = w.shape[0], w.shape[-1] // groups
    if c == 1 < groups:
        back = np.multiply(g, w[0], dtype=dtype)
        return back if o == 1 else np.add.reduce(back.reshape(*g.shape[:-1], groups, o), -1)
    back = np.empty((*g.shape[:-1], groups * c), dtype)
    matrices = w.reshape(c, groups, o).transpose(1, 2, 0).astype(dtype, copy=False)
    np.matmul(_by_groups(g, groups, dtype), matrices, out=_by_groups(back, groups))
    return back


@kernel(
    lambda g, x, *, window, groups: convolution(x, g, window=window, groups=groups),
    lambda g, g_, *, shapes, window, groups: transposed_convolution(
        g_, g, window=window, groups=groups, space=shapes[1][1:-1]
    ),
    samples=_for_weights,
    reference=_plain_weights,
    broadcasts=False,
    method=False,
)
def weights_of_convolution(g_: Array, x: Array, *, window: Window, groups: int) -> Array:
    """Products of what lies under each window with what came of it: the adjoint of convolution for the weights."""
    w = np.empty((*window.kernel, x.shape[-1] // groups, g_.shape[-1]), np.result_type(g_, x))
    return fill_weights(g_, x, w, window=window, groups=groups)


def fill_weights(g_: Array, x: Array, w: Array, *, window: Window, groups: int) -> Array:
    """Fill w with what `weights_of_convolution` gives."""
    work = _work(g_, x)
    if x.shape[-1] == groups > 1:
        w[...] = _weights_of_channels(g_, x, window, work)
        return w
    k, o = math.prod(window.kernel) * x.shape[-1] // groups, g_.shape[-1] // groups
    g_ = np.ascontiguousarray(g_)
    total = np.zeros((groups, k, o), work)
    for place, cols in _columns(x, window, groups, work, _most(total.nbytes)):
        total += np.matmul(cols.swapaxes(1, 2), _by_groups(g_[place], groups, work))
    w.reshape(k, groups, o)[...] = total.transpose(1, 0, 2)
    return w


# Channels that have nothing to do with each other: a product is an element's


def _products_of_channels(x: Array, w: Array, window: Window, work: np.dtype, y: Array) -> Iterator[Place]:
    """Convolve each channel for itself, several times where weights say so."""
    channels = w.shape[-1]
    for place, local, full in padded_blocks(x, window, channels * work.itemsize * _ARRAYS):
        part = _repeated(full[local[0]], channels // x.shape[-1])
        total = np.zeros(y[place].shape, work)
        for tap in window.taps():
            total += np.multiply(part[:, *window.under(tap, local[1:])], w[tap], dtype=work)
        y[place] = total
        yield place


def _weights_of_channels(g_: Array, x: Array, window: Window, dtype: np.dtype) -> Array:
    channels = g_.shape[-1]
    total = np.zeros((*window.kernel, 1, channels), dtype)
    for place, local, full in padded_blocks(x, window, channels * dtype.itemsize * _ARRAYS):
        part = _repeated(full[local[0]], channels // x.shape[-1])
        for tap in window.taps():
            products = np.multiply(part[:, *window.under(tap, local[1:])], g_[place], dtype=dtype)
            total[(*tap, 0)] += np.add.reduce(products.reshape(-1, channels))
    return total


_ARRAYS = 3
"""Arrays that a product of channels has at hand: x, the products, their sums."""
