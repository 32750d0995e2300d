"""What goes by name is not unpacked: `loss, acc = evaluate(...)` would take the names, without a word."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from opcode import opmap
from typing import TypeVar

from tinygrad_nn.errors import ArgumentError

T = TypeVar("T")

_UNPACKING = {opmap["UNPACK_SEQUENCE"], opmap["UNPACK_EX"]}


def refuse_unpacking(who: str, names: Iterable[str], line: str) -> None:
    """Refuse an `__iter__`, which calls this, where its caller is about to take what comes apart.

    Python asks for an iterator in the same way in a for loop, whose bytecode is another.
    """
    caller = sys._getframe(2)
    if caller.f_code.co_code[caller.f_lasti] in _UNPACKING:
        told = ", ".join(map(repr, names))
        raise ArgumentError(f"{who}: its numbers go by name, this would take {told}\n  hint   {line}")


class Numbers(dict[str, T]):
    """Numbers by name: a dict in all but one, it does not come apart into its names.

    Example:
        >>> measured = Numbers(loss=0.25, accuracy=0.5)
        >>> measured["accuracy"], list(measured)
        (0.5, ['loss', 'accuracy'])
        >>> loss, accuracy = measured.values()
        >>> loss, accuracy = measured
        Traceback (most recent call last):
        tinygrad_nn.errors.ArgumentError: evaluate: its numbers go by name, this would take 'loss', 'accuracy'
          hint   loss, accuracy = evaluate(...).values()
    """

    def __iter__(self) -> Iterator[str]:
        names = list(self.keys())
        refuse_unpacking("evaluate", names, f"{', '.join(names)} = evaluate(...).values()")
        return super().__iter__()


class Columns(Numbers[list[float]]):
    """The columns of a history, which do not come apart into their names."""

    def __iter__(self) -> Iterator[str]:
        refuse_unpacking("History", self.keys(), 'history = fit(...); history["loss"]')
        return iter(self.keys())
