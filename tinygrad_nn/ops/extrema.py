"""The larger and the smaller of two numbers. Ties share the gradient evenly; clip passes it at its bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.ops.samples import cases
from tinygrad_nn.primitives import Array, Primitive, Sample, op


def _choice(function: Callable[..., Array], sign: str, wins: Callable[[Array, Array], Array]) -> Primitive:
    """Declare an op that picks a where wins(a, b), b where wins(b, a), and either where they are equal."""
    return op(
        function,
        lambda g, a, b: np.where(a == b, g / 2, np.where(wins(a, b), g, 0)),
        lambda g, a, b: np.where(a == b, g / 2, np.where(wins(b, a), g, 0)),
        kinks=lambda a, b: a - b,
        analytic=False,
        formula=tuple(f"where({p} {sign} {q}, g, where({p} == {q}, g / 2, 0))" for p, q in ("ab", "ba")),
    )


maximum = _choice(np.maximum, ">", lambda p, q: p > q)
minimum = _choice(np.minimum, "<", lambda p, q: p < q)
# The other one may be NaN; of two, neither wins.
fmax = _choice(np.fmax, ">", lambda p, q: (p > q) | ((q != q) & (p == p)))
fmin = _choice(np.fmin, "<", lambda p, q: (p < q) | ((q != q) & (p == p)))


def _bounds(a: Array, a_min: object = np._NoValue, a_max: object = np._NoValue, **other: object) -> Sample:
    """Read a call of clip as NumPy has it, with either pair of names and with bounds left out."""
    for name, bound in (("min", a_min), ("max", a_max)):
        if name in other and bound is not np._NoValue:
            raise ArgumentError(
                f"clip: {name} is given twice, as a_{name}={bound!r} and {name}={other[name]!r}"
            )
    low, high = other.pop("min", a_min), other.pop("max", a_max)
    dtype = np.result_type(a)
    if low is None or low is np._NoValue:
        low = -np.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)
    if high is None or high is np._NoValue:
        high = np.inf if dtype.kind == "f" else int(np.iinfo(dtype).max)
    return (a, low, high), other


clip = op(
    np.clip,
    lambda g, a, b, c: np.where((a >= b) & (a <= c) & (b < c), g, 0),
    lambda g, a, b, c: np.where((a < b) & (b < c), g, 0),
    lambda g, a, b, c: np.where((c < a) | (c <= b), g, 0),
    adapt=_bounds,
    kinks=lambda a, b, c: np.minimum(np.abs(a - b), np.abs(a - c)),
    analytic=False,
    samples=cases(
        [(3, 4), -0.5, 0.5, {}, (3, 4), -1e3, 0.3, {}, (3, 4), 0.1, 1e3, {}, (1, 1), 0.5, -0.5],
        [(3, 4), lambda rng: rng.normal(-1, 1, 4), lambda rng: rng.normal(1, 1, (3, 1))],
        [(), lambda rng: rng.normal(-0.5, 1, ()), lambda rng: rng.normal(0.5, 1, ())],
        [(0, 3), np.zeros(3), np.ones(3)],
    ),
    method=True,
)
