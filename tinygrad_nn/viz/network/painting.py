"""How a step of the walk looks: what every neuron and every line shows. `network.js` does the same in the page."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinygrad_nn.primitives import Array
from tinygrad_nn.viz.network.layers import Column
from tinygrad_nn.viz.network.sheet import Place, Sheet


@dataclass(slots=True)
class Look:
    """How one value is shown: its sign as a class, how strong it is (0 to 1), and in words."""

    sign: str
    strength: float
    text: str = ""


class Painter:
    """What is shown at a step (0 is the whole network, forward) on one example."""

    def __init__(self, sheet: Sheet, step: int, example: int) -> None:
        self.sheet, self.example = sheet, example
        self.now = sheet.steps[step - 1] if step else None

    def state(self, k: int) -> str:
        """Return whether a place comes `later`, is `now`, or hands back `graded` values."""
        if self.now is None:
            return ""
        if self.now.phase == "backward":
            graded = "graded" if k >= self.now.place else ""
            return f"{graded} now".strip() if k == self.now.place else graded
        return "now" if k == self.now.place else "later" if k > self.now.place else ""

    def neurons(self, k: int) -> list[Look]:
        """Return how the neurons of a place look."""
        column = self.sheet.places[k].stage
        assert isinstance(column, Column)
        state = self.state(k)
        if state == "later":
            return [Look("", 0.0) for _ in self.sheet.places[k].shown]
        graded = "graded" in state and column.to_before is not None
        array = column.to_before if graded else column.values
        assert array is not None
        row = rounded(array[self.example, self.sheet.places[k].shown])
        most = scale(array, self.sheet.examples)
        return [look(x, most) for x in row.tolist()]

    def wires(self, k: int) -> list[Look]:
        """Return how the lines from the neurons before a place to its own look, those of its first neuron first."""
        before, place = self.sheet.places[k - 1], self.sheet.places[k]
        column = place.stage
        assert isinstance(column, Column)
        table, most = weights(before, place)
        if "graded" in self.state(k) and column.to_before is not None:
            a, delta = self._row(before, "values"), self._row(place, "to_before")
            table = np.outer(delta, a)
            most = float(np.max(np.abs(table), initial=0.0))
        return [look(x, most) for x in table.ravel().tolist()]

    def _row(self, place: Place, name: str) -> Array:
        array: Array = getattr(place.stage, name)
        return rounded(array[self.example, place.shown])


def weights(before: Place, place: Place) -> tuple[Array, float]:
    """Return the weights between shown neurons, a row for each neuron of the second place, and the largest of all."""
    column = place.stage
    assert isinstance(column, Column)
    assert column.weight is not None
    part = column.weight[np.ix_(before.shown, place.shown)].T
    return rounded(part), largest(column.weight)


def scale(array: Array, examples: int) -> float:
    """Return the value that is shown at full strength."""
    return largest(array[:examples])


def largest(array: Array) -> float:
    """Return the largest finite magnitude, in a few digits."""
    finite = np.abs(array[np.isfinite(array)])
    return float(rounded(np.max(finite, initial=0.0)))


def rounded(array: Array) -> Array:
    """Return numbers in the four digits that the page knows them by."""
    return np.array([float(f"{x:.4g}") for x in np.ravel(array)]).reshape(np.shape(array))


def look(x: float, most: float) -> Look:
    """Return how a value looks beside the largest one."""
    sign = "" if not x or math.isnan(x) else "pos" if x > 0 else "neg"
    share = 0.0 if math.isnan(x) or not most else min(abs(x) / most, 1.0)
    return Look(sign, share, short(x))


def short(x: float) -> str:
    """Return a number as it is written into a circle: in at most six characters."""
    a = abs(x)
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "∞" if x > 0 else "-∞"
    if not a:
        return "0"
    # Halves are rounded up, as scripts round them.
    near = x * (1 + 1e-12)
    if a < 0.005 or a >= 9999.5:
        digit, power = f"{near:.0e}".split("e")
        return f"{digit}e{int(power)}"
    return f"{near:.2f}" if a < 9.995 else f"{near:.1f}" if a < 99.95 else f"{near:.0f}"


def share_text(x: float) -> str:
    """Return a share as it stands in attributes: two digits."""
    return f"{x * (1 + 1e-12):.2f}"
