"""Settings that are numbers: integers, numbers in a range, shares. What is none is refused here, in one way."""

from __future__ import annotations

import math
from typing import TypeGuard

import numpy as np

from tinygrad_nn.errors import SettingError


def is_integer(value: object) -> TypeGuard[int]:
    """Tell whether a setting is an integer, which True is not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def positive_integer(who: str, name: str, value: object) -> int:
    """Return a count as an int.

    Raises:
        SettingError: it is no positive integer.
    """
    if not is_integer(value) or value < 1:
        raise SettingError(f"{who}: {name} is a positive integer, got {value!r:.60}")
    return int(value)


def integers(who: str, name: str, value: object, rank: int, least: int) -> tuple[int, ...]:
    """Return one integer for each axis, given as one for all or one for each.

    Raises:
        SettingError: another number of them, something else, or one below the least.
    """
    several: tuple[object, ...] = (
        tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value,) * rank
    )
    if len(several) != rank or not all(is_integer(n) and n >= least for n in several):
        raise SettingError(
            f"{who}: {name} is an integer from {least} on, or one for each of the {rank} axes, got {value!r:.60}"
        )
    return tuple([int(n) for n in several if is_integer(n)])


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float, np.floating, np.integer))


def check_number(who: str, name: str, value: object, below: float = math.inf) -> None:
    """Raise `SettingError` unless a setting is a number from 0 to less than `below`."""
    if not _is_number(value) or not 0 <= value < below:
        raise SettingError(f"{who}: {name} is a number in [0, {below}), got {value!r:.60}")


def check_share(who: str, meaning: str, value: object, hint: str = "") -> None:
    """Raise `SettingError` unless a setting, of which the error tells the meaning, is a number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise SettingError(f"{who}: {meaning}, from 0 to 1, got {value!r:.60}{hint}")
