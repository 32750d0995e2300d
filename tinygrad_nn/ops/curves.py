"""Functions of one variable given by samples or coefficients: convolution, interpolation, powers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
from tinygrad_nn.ops.arithmetic import in_one_dtype, product, quotient
from tinygrad_nn.ops.indexing import take
from tinygrad_nn.ops.samples import ascending, cases, each
from tinygrad_nn.primitives import Array, composite, op

searchsorted = op(
    np.searchsorted,
    None,
    None,
    differentiable=False,
    samples=cases(
        [ascending((5,)), each((3, 4), ()), {"side": "left"}, ascending((5,)), (6,), {"side": "right"}]
    ),
)


@composite(
    np.interp,
    samples=cases(
        [(2, 3), ascending((4,)), (4,), {"left": 0.5}],
        [(5,), ascending((4,)), (4,), {"right": -1.0}, (6,), ascending((4,)), (4,)],
    ),
    analytic=False,
)
def interp(x: Array, xp: Array, fp: Array, left: float | None = None, right: float | None = None) -> Array:
    """Straight lines through the points (xp, fp), with xp ascending; beyond them, their ends or left and right."""
    if np.ndim(xp) != 1 or np.shape(xp) != np.shape(fp) or not np.size(xp):
        raise ShapeError(
            f"interp: xp and fp are one or more points, got shapes {np.shape(xp)} and {np.shape(fp)}"
        )
    last = np.size(xp) - 1
    # The line starts from the knot at `place`, which makes it exact there, and rises to it where that is the last.
    place = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, last)
    low = np.clip(place, 0, max(last - 1, 0))
    high = np.minimum(low + 1, last)
    width, y = take(xp, high) - take(xp, low), take(fp, place)
    rise = np.where(width == 0, 0, take(fp, high) - take(fp, low))
    before, beyond = x < xp[0], x > xp[-1]
    way = np.where(before | beyond | np.isnan(x), 0, x - take(xp, place))
    line = y + product(quotient(way, width), rise)
    line = np.where(np.isinf(y) & (way != 0), y + take(fp, high), line)
    line = np.where(np.isnan(x), x, line)
    line = line if left is None else np.where(before, left, line)
    return line if right is None else np.where(beyond, right, line)


def _start(mode: str, m: int) -> int:
    """Tell where the sums that a mode keeps start among all, if the shorter operand has m elements."""
    return {"full": 0, "same": (m - 1) // 2, "valid": m - 1}[mode]


def _convolve(a: Array, v: Array, mode: str = "full") -> Array:
    if np.ndim(a) > 1 or np.ndim(v) > 1 or not np.size(a) or not np.size(v):
        raise ShapeError(f"convolve: operands are vectors, got shapes {np.shape(a)} and {np.shape(v)}")
    if mode not in ("full", "same", "valid"):
        raise SettingError(f"convolve: mode is full, same or valid, got {mode!r}")
    return np.convolve(*in_one_dtype(a, v), mode)


def _pulled_back(g: Array, other: Array, shape: tuple[int, ...], mode: str) -> Array:
    """All sums that have a cotangent, convolved with the other operand, flipped, where that overlaps fully."""
    n, m = int(np.prod(shape)), np.size(other)
    start = _start(mode, min(n, m))
    full = np.pad(g, (start, n + m - 1 - start - np.size(g)))
    return np.reshape(np.convolve(full, np.flip(np.reshape(other, -1)), mode="valid"), shape)


convolve = op(
    np.convolve,
    lambda g, b, *, shapes, mode="full": _pulled_back(g, b, shapes[0], mode),
    lambda g, a, *, shapes, mode="full": _pulled_back(g, a, shapes[1], mode),
    call=_convolve,
    samples=cases(
        [(5,), each((3,), (2,)), {}, {"mode": each("same", "valid")}],
        [each((3,), (2,)), (5,), {}, {"mode": each("same", "valid")}],
        [(4,), (4,), {}, {"mode": each("same", "valid")}],
    ),
    broadcasts=False,
)


@composite(np.vander, samples=cases([(3,), {"N": 5}, {"N": 2, "increasing": True}, (4,)]))
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    """The powers of each element in a row, from the highest down to 1, or upwards."""
    if np.ndim(x) != 1:
        raise ShapeError(f"vander: x is a vector, got shape {np.shape(x)}")
    try:
        columns = np.size(x) if N is None else operator.index(N)
    except TypeError:
        raise ArgumentError(f"vander: the number of columns is an integer, got N={N!r}") from None
    if columns < 0:
        raise SettingError(f"vander: the number of columns is not negative, got N={N}")
    powers = np.arange(columns)
    return np.power(np.reshape(x, (-1, 1)), powers if increasing else powers[::-1])


@composite(np.polyval, samples=cases([(3,), each((2, 3), ()), {}, (1,), (4,), {}, [1.5, -0.5], (3,)]))
def polyval(p: Array, x: Array) -> Array:
    """The polynomial with coefficients p, from the highest power down, at x (Horner's rule)."""
    if np.ndim(p) != 1:
        raise ShapeError(f"polyval: coefficients are a vector, got shape {np.shape(p)}")
    y = np.zeros_like(x)
    for k in range(len(p)):
        y = y * x + p[k]
    return y


def _spacing(x: Array, y: Array) -> Array:
    """Return the distances between neighbours: all the same, or those of given places."""
    if not np.ndim(x):
        return x * np.ones(len(y) - 1, y.dtype)
    if np.shape(x) != (len(y),):
        raise ShapeError(f"gradient: places along an axis of {len(y)} elements have shape {np.shape(x)}")
    return np.diff(x)


def _slope(y: Array, h: Array, edge_order: int) -> Array:
    """The derivative along the first axis; exact for parabolas inside, and at the edges with edge_order=2."""
    h = np.reshape(h, (-1, *(1,) * (np.ndim(y) - 1)))
    s = (y[1:] - y[:-1]) / h
    first, last = s[:1], s[-1:]
    inside = (h[1:] * s[:-1] + h[:-1] * s[1:]) / (h[1:] + h[:-1])
    if edge_order == 2:
        first = first + (s[:1] - s[1:2]) * (h[:1] / (h[:1] + h[1:2]))
        last = last + (s[-1:] - s[-2:-1]) * (h[-1:] / (h[-1:] + h[-2:-1]))
    return np.concatenate([first, inside, last])


@composite(
    np.gradient,
    samples=cases(
        [(5,), {}, {"edge_order": 2}, (3, 4), {}, {"axis": 0}, {"axis": (1, 0), "edge_order": 2}],
        [(4,), 0.5, {}, (4,), ascending((4,)), {}, {"edge_order": 2}, (3, 4), 2.0, ascending((4,))],
    ),
)
def gradient(
    f: Array, *varargs: Array, axis: int | tuple[int, ...] | None = None, edge_order: int = 1
) -> Any:
    """The derivative along each axis, from second-order differences; `varargs` are spacings or places of the elements.

    At the edges it is of first order, or of second (Quarteroni, Sacco and Saleri 2007, Numerical Mathematics, 10.10).
    """
    axes = tuple(range(np.ndim(f))) if axis is None else normalize_axis_tuple(axis, np.ndim(f))
    if edge_order not in (1, 2):
        raise SettingError(f"gradient: edge_order is 1 or 2, got {edge_order}")
    if short := [np.shape(f)[k] for k in axes if np.shape(f)[k] <= edge_order]:
        raise ShapeError(f"gradient: edge_order={edge_order} needs {edge_order + 1} elements, got {short[0]}")
    spacings: list[Any] = [*varargs] or [1.0]
    if len(spacings) == 1 and not np.ndim(spacings[0]):
        spacings *= len(axes)
    if len(spacings) != len(axes):
        raise ArgumentError(f"gradient: {len(axes)} axes need as many spacings, got {len(varargs)}")
    slopes = []
    for k, x in zip(axes, spacings, strict=True):
        y = np.moveaxis(f, k, 0)
        slopes.append(np.moveaxis(_slope(y, _spacing(x, y), edge_order), 0, k))
    return slopes[0] if len(slopes) == 1 else tuple(slopes)
