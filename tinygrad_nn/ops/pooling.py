"""Pools: the largest element under each window, and the average. Channels come last, (N, *space, C)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.ops.arithmetic import all_finite, floating
from tinygrad_nn.ops.indexing import Index
from tinygrad_nn.ops.samples import cases
from tinygrad_nn.ops.windows import (
    Padding,
    PerAxis,
    Place,
    Window,
    blocks,
    checked,
    padded_blocks,
    under_windows,
    window_of,
)
from tinygrad_nn.primitives import Array, ArrayOrTensor, Function, Operands, Sample, Shape, composite, kernel
from tinygrad_nn.primitives.operands import operand


def _by_taps(x: Array, window: Window, outside: float = 0) -> Iterator[tuple[Place, Array]]:
    """Yield blocks of results, and what lies under each place of their windows, one after the other: (K, ...)."""
    rank, places = len(window.kernel), math.prod(window.kernel)
    order = (*range(1 + rank, 1 + 2 * rank), *range(1 + rank), 1 + 2 * rank)
    lead, samples, views = (slice(None),) * rank, None, x
    for place, local, full in padded_blocks(x, window, places * x.shape[-1] * x.itemsize, outside=outside):
        if samples is not full:
            samples, views = full, under_windows(full, window).transpose(order)
        # Contiguous: with few channels the loops over them alone would be short.
        taps = np.ascontiguousarray(views[lead + local])
        yield place, taps.reshape(places, *taps.shape[rank:])


def _results(x: Array, window: Window) -> Shape:
    return (len(x), *window.results(x.shape[1:-1]), x.shape[-1])


def _loops(x: Array, window: Window, outside: float) -> Iterator[tuple[Index, Array]]:
    """Yield, for the checks, each result's place and the elements under its window: (N, *kernel, C)."""
    full = np.pad(x, [(0, 0), *window.padding, (0, 0)], constant_values=outside)
    for at in np.ndindex(*window.results(x.shape[1:-1])):
        under = [slice(k * s, k * s + n) for k, s, n in zip(at, window.stride, window.kernel, strict=True)]
        yield (slice(None), *at), full[:, *under]


def _windows(*cases_: tuple[Shape, Shape, Shape, tuple[tuple[int, int], ...]]) -> list[tuple[Shape, Window]]:
    return [(shape, Window(k, s, padding, (1,) * len(k))) for shape, k, s, padding in cases_]


_CASES = _windows(
    ((2, 5, 2), (2,), (2,), ((0, 0),)),
    ((1, 5, 4, 1), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((2, 4, 3, 2), (3, 2), (1, 2), ((1, 1), (0, 1))),
    ((1, 5, 5, 1), (2, 1), (3, 2), ((0, 0), (0, 0))),
    ((1, 2, 3, 2, 1), (2, 2, 1), (1, 1, 1), ((1, 0), (0, 0), (0, 0))),
    ((0, 3, 2), (2,), (1,), ((0, 0),)),
    ((3, 3, 1), (3,), (1,), ((1, 1),)),
)


def _pooled(rng: np.random.Generator) -> list[Sample]:
    return [((rng.normal(size=shape),), {"window": window}) for shape, window in _CASES]


# The largest: where it is, what is there, and back


def _plain_index(x: Array, *, window: Window) -> Array:
    index = np.zeros(_results(x, window), int)
    for at, under in _loops(x, window, -np.inf):
        index[at] = np.argmax(under.reshape(len(x), math.prod(window.kernel), x.shape[-1]), axis=1)
    return index


@kernel(None, samples=_pooled, reference=_plain_index, differentiable=False, broadcasts=False, method=False)
def first_largest(x: Array, *, window: Window) -> Array:
    """Which place of each window has the first of the largest elements, or the first NaN."""
    index = np.empty(_results(x, window), np.min_scalar_type(math.prod(window.kernel)))
    fill_largest(x, np.empty(index.shape, x.dtype), index, window=window)
    return index


def fill_largest(x: Array, y: Array, index: Array | None = None, *, window: Window) -> Array:
    """Fill y with what `largest` gives, and an index with what `first_largest` gives."""
    places = math.prod(window.kernel)
    # One more than the largest, which says that none was found.
    numbers = np.arange(places, 0, -1).astype(np.min_scalar_type(places))
    padded = index is not None and x.dtype.kind == "f" and any(map(any, window.padding))
    inside = _first_inside(window, x.shape[1:-1]) if padded else None
    for place, taps in _by_taps(x, window, _lowest(x)):
        top = np.maximum.reduce(taps, out=y[place])
        if index is None:
            continue
        found = taps == top
        if top.dtype.kind == "f" and np.isnan(top).any():
            found |= taps != taps
        column = numbers.reshape(-1, *[1] * top.ndim)
        np.subtract(places, np.maximum.reduce(found * column), out=index[place], casting="unsafe")
        # The padding is among the largest where all elements are as small as it.
        if inside is not None and (lowest := top == -np.inf).any():
            index[place] = np.where(lowest, inside[place[1:]], index[place])
    return y


def _first_inside(window: Window, space: Shape) -> Array:
    """Return the number of the first place of each window that is not in the padding, (*results, 1)."""
    numbers = np.zeros((), np.intp)
    for k, s, (a, _), count in zip(
        window.kernel, window.stride, window.padding, window.results(space), strict=True
    ):
        numbers = numbers[..., None] * k + np.maximum(a - np.arange(count) * s, 0)
    return numbers[..., None]


def _lowest(x: Array) -> float:
    return -np.inf if x.dtype.kind == "f" else False if x.dtype.kind == "b" else np.iinfo(x.dtype).min


@kernel(
    lambda g, x, *, window: put_at(g, first_largest(x, window=window), window=window, space=x.shape[1:-1]),
    samples=_pooled,
    reference=lambda x, window: _reduced(x, window, -np.inf, np.max),
    analytic=False,
    broadcasts=False,
    method=False,
)
def largest(x: Array, *, window: Window) -> Array:
    """The largest element under each window, NaN where there is one."""
    return fill_largest(x, np.empty(_results(x, window), x.dtype), window=window)


def _reduced(x: Array, window: Window, outside: float, function: Function) -> Array:
    y = np.zeros(_results(x, window), x.dtype)
    for at, under in _loops(x, window, outside):
        y[at] = function(under, axis=tuple(range(1, under.ndim - 1)))
    return y


def _plain_put(g_: Array, index: Array, *, window: Window, space: Shape) -> Array:
    full = np.zeros((len(g_), *window.full(space), g_.shape[-1]), g_.dtype)
    for at in np.ndindex(g_.shape):
        tap = np.unravel_index(int(index[at]), window.kernel)
        under = [k * s + int(t) for k, s, t in zip(at[1:-1], window.stride, tap, strict=True)]
        full[at[0], *under, at[-1]] += g_[at]
    return full[:, *window.inner(space)]


def _places(
    rng: np.random.Generator, draw: Callable[[Shape, Window], Array]
) -> list[tuple[Operands, Window, Shape]]:
    # No place is outside: gradients go to elements.
    return [
        ((draw(shape, window), first_largest.function(rng.normal(size=shape), window=window)), window, shape)
        for shape, window in _CASES
    ]


@kernel(
    lambda g, index, *, window, space: taken_at(g, index, window=window),
    None,
    samples=lambda rng: [
        (operands, {"window": window, "space": shape[1:-1]})
        for operands, window, shape in _places(
            rng, lambda shape, w: rng.normal(size=_results(np.empty(shape), w))
        )
    ],
    reference=_plain_put,
    linear=True,
    broadcasts=False,
    method=False,
)
def put_at(g_: Array, index: Array, *, window: Window, space: Shape) -> Array:
    """Zeros with each element of g added at a place under its window: the adjoint of taken_at."""
    x = np.empty((len(g_), *space, g_.shape[-1]), g_.dtype)
    return fill_put_at(g_, index, x, window=window, space=space)


def fill_put_at(g_: Array, index: Array, x: Array, *, window: Window, space: Shape) -> Array:
    """Fill x with what `put_at` gives."""
    full, channels = window.full(space), g_.shape[-1]
    apart = window.kernel == window.stride
    for (samples,) in blocks((len(x),), math.prod(full) * channels * x.itemsize):
        total = np.zeros((samples.stop - samples.start, *full, channels), x.dtype)
        g, numbers = g_[samples], index[samples]
        every = tuple(slice(0, n) for n in g.shape[1:-1])
        finite = all_finite(g)
        for number, tap in enumerate(window.taps()):
            chosen, to = numbers == number, total[:, *window.under(tap, every)]
            if apart and finite:
                np.multiply(g, chosen, out=to)
            else:
                to += g * chosen if finite else np.where(chosen, g, 0)
        x[samples] = total[:, *window.inner(space)]
    return x


def _plain_taken(x: Array, index: Array, *, window: Window) -> Array:
    y = np.zeros(index.shape, x.dtype)
    for at, under in _loops(x, window, 0):
        rows = under.reshape(len(x), math.prod(window.kernel), x.shape[-1])
        y[at] = np.take_along_axis(rows, index[at][:, None].astype(int), 1)[:, 0]
    return y


@kernel(
    lambda g, index, *, shapes, window: put_at(g, index, window=window, space=shapes[0][1:-1]),
    None,
    samples=lambda rng: [
        (operands, {"window": window})
        for operands, window, _ in _places(rng, lambda shape, w: rng.normal(size=shape))
    ],
    reference=_plain_taken,
    linear=True,
    broadcasts=False,
    method=False,
)
def taken_at(x: Array, index: Array, *, window: Window) -> Array:
    """The element at one place under each window."""
    y = np.zeros(index.shape, x.dtype)
    for place, taps in _by_taps(x, window):
        for number, tap in enumerate(taps):
            np.copyto(y[place], tap, where=index[place] == number)
    return y


# The average


def _counts(window: Window, space: Shape, inclusive: bool, dtype: np.dtype) -> int | Array:
    """Return how many elements each window averages, zeros around the array among them or not."""
    if inclusive or not any(map(any, window.padding)):
        return math.prod(window.kernel)
    counts = np.ones((), dtype)
    for n, k, s, (a, _), count in zip(
        space, window.kernel, window.stride, window.padding, window.results(space), strict=True
    ):
        first = np.arange(count) * s - a
        counts = counts[..., None] * (np.minimum(first + k, n) - np.maximum(first, 0)).astype(dtype)
    return counts[..., None]


def _plain_averages(x: Array, *, window: Window, inclusive: bool) -> Array:
    return _reduced(x, window, 0, np.mean) if inclusive else _reduced(x, window, np.nan, np.nanmean)


def _averaged(rng: np.random.Generator) -> list[Sample]:
    return [(xs, {**params, "inclusive": k}) for k in (True, False) for xs, params in _pooled(rng)]


@kernel(
    lambda g, *, shapes, window, inclusive: spread(
        g, window=window, inclusive=inclusive, space=shapes[0][1:-1]
    ),
    samples=_averaged,
    reference=_plain_averages,
    linear=True,
    broadcasts=False,
    method=False,
)
def averages(x: Array, *, window: Window, inclusive: bool) -> Array:
    """The average under each window, with or without the zeros around the array."""
    x = floating(x)
    y = np.empty(_results(x, window), x.dtype)
    return fill_averages(x, y, window=window, inclusive=inclusive)


def fill_averages(x: Array, y: Array, *, window: Window, inclusive: bool) -> Array:
    """Fill y with what `averages` gives of floats."""
    work = np.promote_types(x.dtype, np.float32)
    counts = _counts(window, x.shape[1:-1], inclusive, work)
    for place, taps in _by_taps(x, window):
        part = counts if isinstance(counts, int) else counts[place[1:]]
        np.divide(np.add.reduce(taps, dtype=work), part, out=y[place], casting="same_kind")
    return y


def _plain_spread(g_: Array, *, window: Window, inclusive: bool, space: Shape) -> Array:
    full = np.zeros((len(g_), *window.full(space), g_.shape[-1]), g_.dtype)
    inside = np.zeros_like(full)
    inside[:, *window.inner(space)] = 1
    for at in np.ndindex(*g_.shape[1:-1]):
        under = [slice(k * s, k * s + n) for k, s, n in zip(at, window.stride, window.kernel, strict=True)]
        count = math.prod(window.kernel) if inclusive else inside[:1, *under, :1].sum()
        full[:, *under] += np.expand_dims(g_[:, *at], tuple(range(1, 1 + len(at)))) / count
    return full[:, *window.inner(space)]


@kernel(
    lambda g, *, window, inclusive, space: averages(g, window=window, inclusive=inclusive),
    samples=lambda rng: [
        ((rng.normal(size=_results(x, params["window"])),), params | {"space": x.shape[1:-1]})
        for (x,), params in _averaged(rng)
    ],
    reference=_plain_spread,
    linear=True,
    broadcasts=False,
    method=False,
)
def spread(g_: Array, *, window: Window, inclusive: bool, space: Shape) -> Array:
    """Zeros with shares of each element of g added under its window: the adjoint of averages."""
    x = np.empty((len(g_), *space, g_.shape[-1]), g_.dtype)
    return fill_spread(g_, x, window=window, inclusive=inclusive, space=space)


def fill_spread(g_: Array, x: Array, *, window: Window, inclusive: bool, space: Shape) -> Array:
    """Fill x with what `spread` gives."""
    full, channels = window.full(space), g_.shape[-1]
    work = np.promote_types(x.dtype, np.float32)
    counts = _counts(window, space, inclusive, work)
    for (samples,) in blocks((len(x),), math.prod(full) * channels * work.itemsize):
        total = np.zeros((samples.stop - samples.start, *full, channels), work)
        shares = np.divide(g_[samples], counts, dtype=work)
        every = tuple(slice(0, n) for n in shares.shape[1:-1])
        for tap in window.taps():
            total[:, *window.under(tap, every)] += shares
        x[samples] = total[:, *window.inner(space)]
    return x


# What users call


def pool_window(
    who: str, rank: int, kernel_size: PerAxis, stride: PerAxis | None, padding: Padding
) -> Window:
    """Return the window of a pool over so many axes; raise `SettingError` where it could lie in the padding alone."""
    window = window_of(who, rank, kernel_size, kernel_size if stride is None else stride, padding, 1)
    if any(max(pair) > k // 2 for pair, k in zip(window.padding, window.kernel, strict=True)):
        raise SettingError(
            f"{who}: padding is at most half of the kernel, {window.kernel}, got {padding!r}: "
            "a window would have no element"
        )
    return window


def _window_over(
    who: str, x: Array, kernel_size: PerAxis, stride: PerAxis | None, padding: Padding
) -> Window:
    if x.ndim < 3:
        raise ShapeError(f"{who}: takes (N, *space, channels), three axes or more, got shape {x.shape}")
    return checked(who, pool_window(who, x.ndim - 2, kernel_size, stride, padding), x.shape[1:-1])


_POOLS = cases(
    [(1, 4, 5, 2), {"kernel_size": 2}, {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1)}],
    [(2, 5, 1), {"kernel_size": 3, "stride": 1, "padding": 1}],
)


def _plain_pool(
    x: Array,
    outside: float,
    function: Function,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
) -> Array:
    window = window_of("", x.ndim - 2, kernel_size, stride or kernel_size, padding, 1)
    return _reduced(x, window, outside, function)


@composite(
    samples=_POOLS,
    reference=lambda x, kernel_size, stride=None, padding=0: _plain_pool(
        x, -np.inf, np.max, kernel_size, stride, padding
    ),
    analytic=False,
)
def max_pool(
    x: ArrayOrTensor, kernel_size: PerAxis, stride: PerAxis | None = None, padding: Padding = 0
) -> ArrayOrTensor:
    """Take the largest element of each channel under a window: (N, *space, C) to (N, *results, C).

    Each axis of the result has (n + a + b - k) // s + 1 elements; what is left over at its end is cut off. Of several
    largest elements the first gets the gradient; the padding is smaller than any number.

    Args:
        x: the input, of any number of axes between samples and channels.
        kernel_size: size of the window, one integer or one for each axis, as for the next.
        stride: how far it moves, by default its size.
        padding: as for `conv`, at most half of the window.

    Raises:
        ShapeError: an axis that is too short.
        SettingError: a setting that is none.

    Example:
        >>> max_pool(np.array([1.0, 3.0, 2.0, 0.0, 5.0]).reshape(1, 5, 1), 2)[0, :, 0]
        array([3., 2.])
    """
    x = operand(x)
    return largest(x, window=_window_over("max_pool", x, kernel_size, stride, padding))


@composite(
    samples=_POOLS,
    reference=lambda x, kernel_size, stride=None, padding=0: _plain_pool(
        x, 0, np.mean, kernel_size, stride, padding
    ),
)
def avg_pool(
    x: ArrayOrTensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
) -> ArrayOrTensor:
    """Average the elements of each channel under a window: (N, *space, C) to (N, *results, C).

    Args:
        x, kernel_size, stride, padding: as for `max_pool`; the padding is zero.
        count_include_pad: whether zeros around the array count as elements.

    Raises:
        ShapeError: an axis that is too short.
        SettingError: a setting that is none.

    Example:
        >>> avg_pool(np.array([1.0, 3.0, 2.0, 0.0, 5.0]).reshape(1, 5, 1), 2)[0, :, 0]
        array([2., 1.])
    """
    x = operand(x)
    window = _window_over("avg_pool", x, kernel_size, stride, padding)
    return averages(x, window=window, inclusive=bool(count_include_pad))
