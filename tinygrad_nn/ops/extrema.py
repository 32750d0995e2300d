"""The larger and the smaller of two numbers. Ties share the gradient evenly; clip passes it at its bounds."""

from typing import Any

import numpy as np

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.primitives.declare import op


def _gap(a: Any, b: Any) -> Any:
    return a - b


def _choice(function: Any, wins: Any, **options: Any) -> Any:
    """Declare an op that picks a where wins(a, b), b where wins(b, a), and either where they are equal."""
    return op(
        function,
        lambda g, a, b: np.where(a == b, g / 2, np.where(wins(a, b), g, 0)),
        lambda g, a, b: np.where(a == b, g / 2, np.where(wins(b, a), g, 0)),
        kinks=_gap,
        analytic=False,
        **options,
    )


maximum = _choice(np.maximum, lambda p, q: p > q)
minimum = _choice(np.minimum, lambda p, q: p < q)
fmax = _choice(np.fmax, lambda p, q: (p > q) | (q != q))  # the other one is NaN
fmin = _choice(np.fmin, lambda p, q: (p < q) | (q != q))


def _bounds(
    a: Any, a_min: Any = np._NoValue, a_max: Any = np._NoValue, **other: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read a call of clip as NumPy has it, with either pair of names and with bounds left out."""
    for name, bound in (("min", a_min), ("max", a_max)):
        if name in other and bound is not np._NoValue:
            raise ArgumentError(
                f"clip: {name} is given twice, as a_{name}={bound!r} and {name}={other[name]!r}"
            )
    low, high = other.pop("min", a_min), other.pop("max", a_max)
    dtype = np.result_type(a)
    least, most = (
        (-np.inf, np.inf) if dtype.kind == "f" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    )
    return (a, least if _missing(low) else low, most if _missing(high) else high), other


def _missing(bound: Any) -> bool:
    return bound is None or bound is np._NoValue


def _clip_samples(rng: np.random.Generator) -> list[Any]:
    x = rng.normal(size=(3, 4))
    return [
        ((x, -0.5, 0.5), {}),
        ((x, -1e3, 0.3), {}),
        ((x, 0.1, 1e3), {}),
        ((x, rng.normal(size=4) - 1, rng.normal(size=(3, 1)) + 1), {}),
        ((rng.normal(size=()), rng.normal(size=()) - 0.5, rng.normal(size=()) + 0.5), {}),
        ((rng.normal(size=(0, 3)), np.zeros(3), np.ones(3)), {}),
        ((rng.normal(size=(1, 1)), 0.5, -0.5), {}),
    ]


clip = op(
    np.clip,
    lambda g, a, b, c: np.where((a >= b) & (a <= c) & (b < c), g, 0),
    lambda g, a, b, c: np.where((a < b) & (b < c), g, 0),
    lambda g, a, b, c: np.where((c < a) | (c <= b), g, 0),
    adapt=_bounds,
    kinks=lambda a, b, c: np.minimum(np.abs(a - b), np.abs(a - c)),
    analytic=False,
    samples=_clip_samples,
    method=True,
)
