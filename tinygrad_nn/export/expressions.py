"""Expressions as they are written in files, and numbers that follow the length of the batch, as they are written."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ATOM, POWER, SIGN, TIMES, PLUS, COMPARED = 6, 5, 4, 3, 2, 1
"""How strongly the parts of an expression hold together."""


class Text(NamedTuple):
    """An expression, and how strongly its outermost parts hold together."""

    text: str
    strength: int = ATOM

    def within(self, strength: int) -> str:
        """Return it as a part of an expression, in brackets where it would fall apart."""
        return self.text if self.strength >= strength else f"({self.text})"


def length(by: int, rest: int, batch: str) -> Text:
    """Return how long an axis is that grows with each sample of a batch by so much, and has a rest."""
    times = Text(batch) if by == 1 else Text(f"{by} * {batch}", TIMES)
    if not rest:
        return times
    return Text(f"{times.text} {'+' if rest > 0 else '-'} {abs(rest)}", PLUS)


class Size(int):
    """An integer that follows the length of the batch, and how it is written."""

    text: Text

    @classmethod
    def of(cls, value: int, by: int, batch: int) -> Size:
        """Return a length that grows with each sample by so much."""
        made = cls(value)
        made.text = length(by, value - by * batch, "n")
        return made


class Share(float):
    """A number divided by the length of the batch, and how it is written."""

    text: Text

    @classmethod
    def of(cls, value: float, batch: int) -> Share:
        """Return a number that is the smaller, the longer the batch is."""
        made = cls(value)
        whole = value * batch
        times = round(1 / whole)
        if np.isclose(whole, round(whole)):
            text = f"{round(whole)} / n"
        else:
            text = f"1 / ({times} * n)" if times and np.isclose(1 / whole, times) else f"{whole!r} / n"
        made.text = Text(text, TIMES)
        return made
