"""One input whose derivative is wrong, as diagnoses look at it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinygrad_nn.primitives import Array

NEAR = 1e-6
"""Of the largest entry: two gradients that are closer than this are the same to a diagnosis."""


@dataclass(frozen=True)
class Case:
    """What a rule and numerical derivatives say of one input.

    Attributes:
        rule, numerical: arrays of shape (results, *input); of projections (projections, 1).
        wrong: where they differ.
        x: the input; of projections None.
        y: what the function returns, flat.
        lengths: numbers that may have been forgotten, and what each counts.
        others: rule and numerical derivatives of other inputs, by number.
        ignored: tells whether the function returns the same whatever the input is.
    """

    rule: Array
    numerical: Array
    wrong: Array
    x: Array | None
    y: Array
    lengths: dict[int, str]
    others: dict[int, tuple[Array, Array]]
    ignored: Callable[[], bool]

    @property
    def tolerance(self) -> float:
        """How far entries may be apart that are the same."""
        return NEAR * float(np.abs(self.numerical).max(initial=1e-30))

    def agree(self, a: Array, b: Array) -> bool:
        """Tell whether two arrays are the same."""
        with np.errstate(all="ignore"):
            return a.shape == b.shape and bool(np.all(np.abs(a - b) <= self.tolerance))

    @property
    def here(self) -> Array:
        """Which entries of the input have a wrong derivative."""
        return np.asarray(self.wrong.any(axis=0))

    @property
    def square(self) -> bool:
        """Whether there is a result for each entry of the input, and several."""
        return len(self.rule) == self.rule[:1].size > 1


def ratio(rule: Array, numerical: Array, case: Case) -> float | None:
    """Return the number that all derivatives are multiplied with; None if there is none."""
    norm = float(np.sum(numerical * numerical))
    if not norm or not np.all(np.isfinite(rule)):
        return None
    factor = float(np.sum(rule * numerical)) / norm
    return factor if case.agree(rule, factor * numerical) else None


def is_near(found: float, wanted: float) -> bool:
    """Tell whether two ratios are the same."""
    return math.isclose(found, wanted, rel_tol=10 * NEAR)


def count_in(found: float) -> int | None:
    """Return a ratio as an integer from 2, if it is one."""
    whole = round(abs(found)) if math.isfinite(found) else 0
    return whole if whole > 1 and is_near(abs(found), whole) else None
