"""Learning-rate schedules: functions of the number of steps taken, for `SGD(..., lr=cosine(0.1, 10_000))`.

They remember nothing: the optimizer's step count is all the state there is. They can be copied and pickled, as
functions defined inside of others cannot.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING

from tinygrad_nn.errors import SettingError
from tinygrad_nn.hints.lookups import face

Schedule = Callable[[int], float]


class _Rate(partial[float]):
    """A schedule, with its settings."""

    def __repr__(self) -> str:
        return f"{self.func.__name__.lstrip('_')}({', '.join(map(repr, self.args))})"


def _positive(who: str, **values: float) -> None:
    for name, value in values.items():
        if not isinstance(value, Real) or not 0 < value < math.inf:
            raise SettingError(f"{who}: {name} is positive and finite, got {value!r}")


def piecewise(rates: Sequence[float], boundaries: Sequence[int]) -> Schedule:
    """Return `rates[k]` from step `boundaries[k - 1]` on: constant pieces.

    Raises:
        ValueError: not one rate more than boundaries, or boundaries that do not increase.

    Example:
        >>> rate = piecewise([0.1, 0.01], [1000])
        >>> rate(999), rate(1000)
        (0.1, 0.01)
    """
    rates, boundaries = list(rates), list(boundaries)
    if len(rates) != len(boundaries) + 1 or any(a >= b for a, b in pairwise(boundaries)):
        raise SettingError(
            f"piecewise: {len(rates)} rates need {len(rates) - 1} increasing boundaries, got {boundaries}"
        )
    return _Rate(_piecewise, rates, boundaries)


def _piecewise(rates: list[float], boundaries: list[int], step: int) -> float:
    return rates[bisect.bisect_right(boundaries, step)]


def exponential(rate: float, decay: float, steps: int = 1) -> Schedule:
    """Return rate * decay ** (step / steps).

    Example:
        >>> exponential(0.1, 0.5, steps=100)(200)
        0.025
    """
    _positive("exponential", rate=rate, decay=decay, steps=steps)
    return _Rate(_exponential, rate, decay, steps)


def _exponential(rate: float, decay: float, steps: int, step: int) -> float:
    return rate * math.pow(decay, step / steps)


def inverse_time(rate: float, steps: int) -> Schedule:
    """Return rate / (1 + step / steps), which Robbins and Monro (1951) proved to converge.

    Example:
        >>> inverse_time(0.1, steps=100)(100)
        0.05
    """
    _positive("inverse_time", rate=rate, steps=steps)
    return _Rate(_inverse_time, rate, steps)


def _inverse_time(rate: float, steps: int, step: int) -> float:
    return rate / (1 + step / steps)


def linear(first: float, last: float, steps: int) -> Schedule:
    """Return the straight line from `first` at step 0 to `last` at step `steps`, and `last` afterwards.

    Example:
        >>> linear(0.0, 0.1, steps=10)(5)
        0.05
    """
    _positive("linear", steps=steps)
    return _Rate(_linear, first, last, steps)


def _linear(first: float, last: float, steps: int, step: int) -> float:
    return first + (last - first) * min(step / steps, 1)


def cosine(rate: float, steps: int, last: float = 0.0) -> Schedule:
    """Return half a cosine from `rate` down to `last` at step `steps` (Loshchilov and Hutter 2017).

    Example:
        >>> [round(cosine(0.1, 100)(step), 3) for step in (0, 50, 100, 500)]
        [0.1, 0.05, 0.0, 0.0]
    """
    _positive("cosine", rate=rate, steps=steps)
    return _Rate(_cosine, rate, steps, last)


def _cosine(rate: float, steps: int, last: float, step: int) -> float:
    return last + (rate - last) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """Rise in a straight line to `schedule(0)` over the first `steps` steps, then follow it from its beginning.

    Example:
        >>> rate = warmup(exponential(0.1, 0.5, steps=100), 10)
        >>> rate(0), rate(9), rate(110)
        (0.01, 0.1, 0.05)
    """
    _positive("warmup", steps=steps)
    return _Rate(_warmup, schedule, steps)


def _warmup(schedule: Schedule, steps: int, step: int) -> float:
    return schedule(0) * (step + 1) / steps if step < steps else schedule(step - steps)


if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
