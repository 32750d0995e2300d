"""What goes by name is not unpacked: `loss, acc = evaluate(...)` would take the names, without a word."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from opcode import opmap
from typing import TypeVar

from tinygrad_nn.errors import ArgumentError

T = TypeVar("T")

_UNPACKING = {opmap["UNPACK_SEQUENCE"], opmap["UNPACK_EX"]}


def refuse_unpacking(who: str, names: Iterable[str], line: str) -> None:
    """Refuse an `__iter__`, which calls this, where its caller is about to take what comes apart.

    Python asks for an iterator in the same way in a for loop, whose bytecode is another.
    """
    # There is none where C runs code on its own, at the start of a thread or at exit.
    caller = sys._getframe(1).f_back
    if caller is not None and caller.f_code.co_code[caller.f_lasti] in _UNPACKING:
        told = ", ".join(map(repr, names))
        raise ArgumentError(f"{who}: its numbers go by name, this would take {told}\n  hint   {line}")


def _line(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f'loss = evaluate(...)[{names[0]!r}]; more numbers with metrics=["accuracy"]'
    variables = [name if name.isidentifier() else f"metric{k}" for k, name in enumerate(names)]
    return f"{', '.join(variables)} = evaluate(...).values()"


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
        refuse_unpacking("evaluate", self.keys(), _line(list(self.keys())))
        return super().__iter__()


class Columns(Numbers[list[float]]):
    """The columns of a history, which do not come apart into their names."""

    def __iter__(self) -> Iterator[str]:
        refuse_unpacking("History", self.keys(), 'history = fit(...); history["loss"]')
        return iter(self.keys())
