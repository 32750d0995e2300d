"""Resizing images and signals: each spatial axis by itself, as a linear map with one or two inputs to an output."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.ops.arithmetic import floating
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.ops.windows import PerAxis
from tinygrad_nn.primitives import Array, ArrayOrTensor, composite, kernel
from tinygrad_nn.primitives.operands import operand
from tinygrad_nn.settings import integers

_MODES = ("nearest", "linear")


class _Tap(NamedTuple):
    """One of the inputs of each output along an axis: which, with what weight, and where runs of the same one start."""

    places: Array
    weights: Array | None
    starts: Array


@lru_cache(maxsize=256)
def _taps(length: int, size: int, mode: str) -> tuple[_Tap, ...]:
    """Return from which of `length` elements the `size` new ones are made."""
    new = np.arange(size)
    if mode == "nearest":
        return (_tap(new * length // size, None),)
    source = np.maximum((new + 0.5) * (length / size) - 0.5, 0)
    low = np.minimum(source.astype(np.intp), length - 1)
    share = source - low
    return _tap(low, 1 - share), _tap(np.minimum(low + 1, length - 1), share)


def _tap(places: Array, weights: Array | None) -> _Tap:
    return _Tap(places, weights, np.flatnonzero(np.diff(places, prepend=-1)))


def _weighted(x: Array, weights: Array | None, axis: int) -> Array:
    if weights is None:
        return x
    return x * weights.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1 - axis))


def _by_matrix(x: Array, axis: int, size: int, mode: str) -> Array:
    """Resize as a product with a matrix, of which each row says where an output comes from."""
    length = x.shape[axis]
    matrix = np.zeros((size, length))
    for k in range(size):
        center = max((k + 0.5) * length / size - 0.5, 0)
        for j in range(length):
            nearest = j == k * length // size
            linear = max(0, 1 - abs(min(center, length - 1) - j))
            matrix[k, j] = nearest if mode == "nearest" else linear
    return np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)


def _by_matrix_back(x: Array, axis: int, length: int, mode: str) -> Array:
    unit = np.eye(length)
    matrix = _by_matrix(unit, 0, x.shape[axis], mode)
    return np.moveaxis(np.tensordot(matrix.T, x, (1, axis)), 0, axis)


_CALLS = cases(
    [(2, 4, 3), {"axis": 1, "size": each(7, 4, 2, 1), "mode": each(*_MODES)}],
    [
        (2, 3, 5, 2),
        {"axis": 2, "size": each(6, 3), "mode": each(*_MODES)},
        (0, 2, 3),
        {"axis": 1, "size": 3, "mode": "linear"},
    ],
    [(1, 1, 2), {"axis": 1, "size": 4, "mode": each(*_MODES)}],
)


@kernel(
    lambda g, *, shapes, axis, size, mode: spread_axis(g, axis=axis, length=shapes[0][axis], mode=mode),
    linear=True,
    samples=_CALLS,
    reference=_by_matrix,
    method=False,
)
def resampled_axis(x: Array, *, axis: int, size: int, mode: str) -> Array:
    """One axis in another size: each element is the nearest of x, or lies on the line between two."""
    x = x if mode == "nearest" else floating(x)
    first, *others = (
        _weighted(x.take(tap.places, axis), tap.weights, axis) for tap in _taps(x.shape[axis], size, mode)
    )
    for part in others:
        first += part
    return first


@kernel(
    lambda g, *, shapes, axis, length, mode: resampled_axis(g, axis=axis, size=shapes[0][axis], mode=mode),
    linear=True,
    samples=cases(
        [(2, 4, 3), {"axis": 1, "length": each(7, 4, 2, 1), "mode": each(*_MODES)}],
        [(2, 3, 5, 2), {"axis": 2, "length": each(6, 3), "mode": each(*_MODES)}],
        [(0, 2, 3), {"axis": 1, "length": 3, "mode": each(*_MODES)}],
    ),
    reference=_by_matrix_back,
    method=False,
)
def spread_axis(x: Array, *, axis: int, length: int, mode: str) -> Array:
    """Each element added to those that `resampled_axis` makes it of, by their weights: its adjoint."""
    out = np.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), np.result_type(x, np.float64))
    rows = np.moveaxis(out, axis, 0)
    for tap in _taps(length, x.shape[axis], mode):
        # Places ascend, so what goes to one of them is a run.
        runs = np.add.reduceat(_weighted(x, tap.weights, axis), tap.starts, axis, dtype=out.dtype)
        rows[tap.places[tap.starts]] += np.moveaxis(runs, axis, 0)
    return out.astype(x.dtype, copy=False)


def _resized_by_matrices(x: Array, size: PerAxis, mode: str = "nearest") -> Array:
    for axis, n in enumerate(np.broadcast_to(size, x.ndim - 2).tolist(), 1):
        x = _by_matrix(x, axis, n, mode)
    return x


@composite(
    samples=cases(
        [(2, 3, 4, 2), each(5, lambda rng: (2, 6)), {"mode": each(*_MODES)}, (1, 4, 2), 3, {}],
        [(1, 2, 2, 3, 1), lambda rng: (3, 2, 4), {"mode": "linear"}, (0, 2, 2, 1), 3],
    ),
    reference=_resized_by_matrices,
    settings=("size", "mode"),
)
def resize(x: ArrayOrTensor, size: PerAxis, *, mode: str = "nearest") -> ArrayOrTensor:
    """The spatial axes of x in other sizes, (N, *space, C) to (N, *size, C), channels last.

    Of an axis of n elements, element k of the new m is at the place (k + 1/2) n / m - 1/2 of the old (PyTorch's
    align_corners=False): the mean, by distance, of the two beside it, at the borders of one; or with "nearest" element
    floor(k n / m). Smaller sizes leave elements out: `avg_pool` averages them.

    Args:
        x: of shape (N, *space, C), with any number of spatial axes.
        size: the new length of each spatial axis, or one for all.
        mode: "nearest", which keeps integers, or "linear" (bilinear on images, trilinear on volumes).

    Raises:
        ShapeError: x has no spatial axes, or an empty one.
        SettingError: there is no such mode, or not one positive size for each spatial axis.

    Example:
        >>> resize(np.array([[[0.0], [4.0]]]), 4, mode="linear")[0, :, 0]
        array([0., 1., 3., 4.])
    """
    x = operand(x)
    shape = np.shape(x)
    space = shape[1:-1]
    if not space or 0 in space:
        raise ShapeError(
            f"resize: x has shape {shape}, expected (N, *space, C), channels last, and no empty axis"
        )
    sizes = integers("resize", "size", size, len(space), 1)
    if mode not in _MODES:
        several = isinstance(mode, str) and mode.endswith("linear")
        hint = 'mode="linear", of any rank' if several else 'mode="nearest" or mode="linear"'
        raise SettingError(f"resize: there is no mode {mode!r}\n  hint   {hint}")
    for axis, n in enumerate(sizes, 1):
        x = resampled_axis(x, axis=axis, size=n, mode=mode)
    return x
