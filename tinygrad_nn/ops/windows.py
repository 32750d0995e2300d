"""Windows that move over an array: where they lie, blocks of them that stay in cache, NumPy's sliding windows.

What convolution and pooling share. Arrays are (N, *space, C): windows move over the axes between first and last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.lib.stride_tricks import as_strided

from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.ops.indexing import put_back
from tinygrad_nn.ops.samples import adjoint, cases, each
from tinygrad_nn.primitives import Array, Shape, kernel, op
from tinygrad_nn.settings import integers, is_integer

Pairs = tuple[tuple[int, int], ...]
PerAxis = int | Sequence[int]
"""A setting of windows: one integer, or one for each axis."""
Padding = int | str | Sequence[int | Sequence[int]]
"""Zeros around an array: "same", "valid", one integer, or for each axis an integer or how many before and after it."""
Place = tuple[slice, ...]

BLOCK = 2**19
"""Bytes of scratch that are worked on at once, half of what a core has near to it."""


class Window(NamedTuple):
    """A window and how it moves: places along each axis, steps, (before, after) zeros, distances of its places."""

    kernel: Shape
    stride: Shape
    padding: Pairs
    dilation: Shape

    def full(self, space: Shape) -> Shape:
        """Return the lengths of the padded axes."""
        return tuple(n + a + b for n, (a, b) in zip(space, self.padding, strict=True))

    def results(self, space: Shape) -> Shape:
        """Return how many windows there are along each axis."""
        return tuple(
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(self.full(space), self.kernel, self.stride, self.dilation, strict=True)
        )

    def taps(self) -> Iterator[Shape]:
        """Yield the places of the window, the last axis first."""
        return iter(np.ndindex(*self.kernel))

    def under(self, tap: Shape, place: Place) -> Place:
        """Return what lies under one place of the windows of a block, in the padded array."""
        return tuple(
            slice(k * d + at.start * s, k * d + (at.stop - 1) * s + 1, s)
            for k, d, s, at in zip(tap, self.dilation, self.stride, place, strict=True)
        )

    def inner(self, space: Shape) -> Place:
        """Return where the array lies in the padded one."""
        return tuple(slice(a, a + n) for n, (a, _) in zip(space, self.padding, strict=True))


def padded(x: Array, padding: Pairs, value: float = 0) -> Array:
    """Return x with a border of one value along the axes in the middle; fewer than none are cut off."""
    if not any(map(any, padding)):
        return x
    space = x.shape[1:-1]
    full = [n + a + b for n, (a, b) in zip(space, padding, strict=True)]
    y = np.full((len(x), *full, x.shape[-1]), value, x.dtype)
    cut = [slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(space, padding, strict=True)]
    at = [slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(full, padding, strict=True)]
    y[:, *at] = x[:, *cut]
    return y


def under_windows(x: Array, window: Window) -> Array:
    """Return what lies under the windows of a padded array, as a view: (N, *results, *kernel, C)."""
    steps = x.strides[1:-1]
    results = window._replace(padding=((0, 0),) * len(steps)).results(x.shape[1:-1])
    return as_strided(
        x,
        (len(x), *results, *window.kernel, x.shape[-1]),
        (
            x.strides[0],
            *[a * s for a, s in zip(steps, window.stride, strict=True)],
            *[a * d for a, d in zip(steps, window.dilation, strict=True)],
            x.strides[-1],
        ),
        writeable=False,
    )


def blocks(shape: Shape, size: int, most: int = BLOCK) -> Iterator[Place]:
    """Yield slices that cut an array into contiguous blocks of at most so many bytes, `size` for each element."""
    axis = next((k for k in range(len(shape)) if math.prod(shape[k + 1 :]) * size <= most), len(shape) - 1)
    count = shape[axis]
    parts = -(-count * math.prod(shape[axis + 1 :]) * size // most)
    step = max(1, -(-count // max(1, parts)))
    for lead in np.ndindex(*shape[:axis]):
        for start in range(0, count, step):
            yield (
                *[slice(k, k + 1) for k in lead],
                slice(start, min(start + step, count)),
                *[slice(0, n) for n in shape[axis + 1 :]],
            )


def padded_blocks(
    x: Array, window: Window, size: int, most: int = BLOCK, outside: float = 0
) -> Iterator[tuple[Place, Place, Array]]:
    """Yield blocks of results, `size` bytes of scratch for each one: where they are, where among some samples, these.

    Samples are padded as many at once as are a block; many blocks in a row come with the same ones.
    """
    space, results = x.shape[1:-1], window.results(x.shape[1:-1])
    sample = math.prod(window.full(space)) * x.shape[-1] * x.itemsize if any(map(any, window.padding)) else 0
    for (samples,) in blocks((len(x),), sample):
        full = padded(x[samples], window.padding, outside)
        for local in blocks((len(full), *results), size, most):
            first = samples.start
            yield (slice(first + local[0].start, first + local[0].stop), *local[1:]), local, full


# What users write, read and checked


def window_of(
    who: str,
    rank: int,
    kernel: PerAxis,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
) -> Window:
    """Return the window that moves over so many axes.

    Raises:
        SettingError: a setting that is neither an integer nor one for each axis, or too small.
    """
    sizes = integers(who, "kernel_size", kernel, rank, 1)
    steps = integers(who, "stride", stride, rank, 1)
    apart = integers(who, "dilation", dilation, rank, 1)
    return Window(sizes, steps, _pairs(who, padding, sizes, steps, apart), apart)


def checked(who: str, window: Window, space: Shape) -> Window:
    """Return a window; raise `ShapeError` with the formula where an axis is too short for it."""
    for axis, count in enumerate(window.results(space)):
        if count < 1:
            n, k, s, d = space[axis], window.kernel[axis], window.stride[axis], window.dilation[axis]
            a, b = window.padding[axis]
            raise ShapeError(
                f"{who}: axis {axis + 1} of the input, {n} long, is too short for a window of {k}: "
                "(n + a + b - d * (k - 1) - 1) // s + 1\n"
                f"  is     ({n} + {a} + {b} - {d} * ({k} - 1) - 1) // {s} + 1 = {count}\n"
                f"  hint   padding={max(0, -(-(d * (k - 1) + 1 - n) // 2))} or more, or a smaller kernel"
            )
    return window


def _pairs(who: str, padding: Padding, kernel: Shape, stride: Shape, dilation: Shape) -> Pairs:
    rank = len(kernel)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise SettingError(f'{who}: padding is "same", "valid", integers or pairs, got {padding!r}')
        whole = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
        # Of an odd number of zeros there is one more after.
        pairs = tuple((n // 2, n - n // 2) for n in whole)
        if padding == "same" and max(stride) > 1:
            raise SettingError(
                f'{who}: padding="same" has no meaning for stride={stride}: the size of the result depends on it\n'
                f"  hint   padding={pairs}, pairs of (before, after), is what it comes to for a stride of 1"
            )
        return pairs
    several = tuple(padding) if isinstance(padding, (tuple, list, np.ndarray)) else (padding,) * rank
    pairs = tuple(tuple(p) if isinstance(p, (tuple, list, np.ndarray)) else (p, p) for p in several)
    if len(pairs) != rank or not all(len(p) == 2 and all(is_integer(n) and n >= 0 for n in p) for p in pairs):
        spelled = ", ".join(["(before, after)"] * rank) + "," * (rank == 1)
        raise SettingError(
            f"{who}: padding is an integer from 0 on, or for each of the {rank} axes one or a pair, got {padding!r}\n"
            f"  hint   padding=({spelled})"
        )
    return tuple((int(a), int(b)) for a, b in pairs)


# NumPy's windows, one axis more for each


def _axes(rank: int, window_shape: Any, axis: Any) -> tuple[Shape, Shape]:
    """Return the sizes of windows and the axes that they move along."""
    sizes = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    axes = range(rank) if axis is None else normalize_axis_tuple(axis, rank, allow_duplicate=True)
    return sizes, tuple(axes)


_SLIDING = cases(
    [(5,), {"window_shape": each(2, (5,))}],
    [(4, 3), {"window_shape": (2, 3)}, {"window_shape": 2, "axis": each(0, -1)}],
    [(4, 3), {"window_shape": (2, 2), "axis": each((1, 0), (0, 0))}, {"window_shape": (), "axis": ()}],
    [each((2, 3, 4), (0, 3, 4)), {"window_shape": (1, 3), "axis": (1, 2)}],
)
_sliding = np.lib.stride_tricks.sliding_window_view

sliding_window_view = op(
    _sliding,
    lambda g, *, shapes, window_shape, axis=None: overlap_add(
        g, window_shape=window_shape, axis=axis, shape=shapes[0]
    ),
    linear=True,
    samples=_SLIDING,
    method=False,
)


@kernel(
    lambda g, *, window_shape, axis, shape: _sliding(g, window_shape, axis),
    linear=True,
    method=False,
    samples=adjoint(
        _SLIDING,
        _sliding,
        lambda x, window_shape, axis=None: {"shape": x.shape, "axis": axis},
    ),
    reference=lambda x, window_shape, axis, shape: put_back(
        x, lambda numbers: _sliding(numbers, window_shape, axis), shape
    ),
)
def overlap_add(x: Array, *, window_shape: Any, axis: Any, shape: Shape) -> Array:
    """Zeros of `shape` with windows added where they lay: the adjoint of sliding_window_view."""
    sizes, axes = _axes(len(shape), window_shape, axis)
    y = np.zeros(shape, x.dtype)
    for tap in np.ndindex(*sizes):
        first = [0] * len(shape)
        for k, at in zip(axes, tap, strict=True):
            first[k] += at
        y[tuple(slice(i, i + n) for i, n in zip(first, x.shape, strict=False))] += x[(..., *tap)]
    return y
