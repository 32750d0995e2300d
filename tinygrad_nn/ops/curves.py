"""Functions of one variable given by samples or coefficients: convolution, interpolation, powers."""

from typing import Any

import numpy as np

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.primitive import composite, op

searchsorted = op(
    np.searchsorted,
    None,
    None,
    differentiable=False,
    method=False,
    samples=lambda rng: [
        ((np.sort(rng.normal(size=5)), rng.normal(size=shape)), {"side": side})
        for shape, side in (((3, 4), "left"), ((6,), "right"), ((), "left"))
    ],
)


@composite(
    np.interp,
    samples=lambda rng: [
        ((rng.normal(size=shape), np.sort(rng.normal(size=4)), rng.normal(size=4)), params)
        for shape, params in (((6,), {}), ((2, 3), {"left": 0.5}), ((5,), {"right": -1.0}))
    ],
    analytic=False,
)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """Straight lines through the points (xp, fp), with xp ascending; beyond them, their ends or left and right."""
    if np.ndim(xp) != 1 or np.shape(xp) != np.shape(fp) or np.size(xp) < 2:
        raise ShapeError(
            f"interp: xp and fp are two or more points each, got shapes {np.shape(xp)} and {np.shape(fp)}"
        )
    low = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, np.size(xp) - 2)
    x0, y0 = np.take(xp, low), np.take(fp, low)
    slope = (np.take(fp, low + 1) - y0) / (np.take(xp, low + 1) - x0)
    inside = np.where(x > xp[-1], fp[-1] if right is None else right, y0 + slope * (x - x0))
    return np.where(x < xp[0], fp[0] if left is None else left, inside)


_PARTS: Any = {  # of the full convolution with a kernel of m samples: where it starts, how much longer than n it is
    "full": lambda m: (0, m - 1),
    "same": lambda m: ((m - 1) // 2, 0),
    "valid": lambda m: (m - 1, 1 - m),
}


@composite(
    np.convolve,
    samples=lambda rng: [
        ((rng.normal(size=n), rng.normal(size=m)), {"mode": mode})
        for n, m, mode in ((5, 3, "full"), (5, 2, "same"), (3, 5, "same"), (2, 4, "valid"), (4, 4, "valid"))
    ],
)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The sums of a[k - j] * v[j] over j: all of them, as many as the longer has, or those without an end missing."""
    if np.ndim(a) != 1 or np.ndim(v) != 1 or not np.size(a) or not np.size(v):
        raise ShapeError(f"convolve: operands are vectors, got shapes {np.shape(a)} and {np.shape(v)}")
    if mode not in _PARTS:
        raise ValueError(f"convolve: mode is full, same or valid, got {mode!r}")
    long, short = (a, v) if np.size(a) >= np.size(v) else (v, a)
    n, m = np.size(long), np.size(short)
    start, longer = _PARTS[mode](m)
    places = np.arange(start, start + n + longer)[:, None] + np.arange(m)
    return np.matmul(np.take(np.pad(long, m - 1), places), np.flip(short))


@composite(
    np.vander,
    samples=lambda rng: [
        ((rng.normal(size=4),), {}),
        ((rng.normal(size=3),), {"N": 5}),
        ((rng.normal(size=3),), {"N": 2, "increasing": True}),
    ],
)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of each element in a row, from the highest down to 1, or upwards."""
    powers = np.arange(np.size(x) if N is None else N)
    return np.power(np.reshape(x, (-1, 1)), powers if increasing else powers[::-1])
