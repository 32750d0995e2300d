"""Functions of one variable given by samples or coefficients: convolution, interpolation, powers."""

from __future__ import annotations

import operator

import numpy as np

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
