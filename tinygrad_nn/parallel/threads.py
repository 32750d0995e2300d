"""Ranks that are threads of one process: to try things out, and for tests, where there is no MPI."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Generic, TypeVar

import numpy as np

from tinygrad_nn.errors import RankError
from tinygrad_nn.parallel.communicator import Given
from tinygrad_nn.primitives import Array
from tinygrad_nn.settings import positive_integer

Result = TypeVar("Result")


class Missed(RankError):
    """A rank has waited for another one in vain."""


class _Board:
    """What the ranks share: a place for each to put something, and where they wait for each other."""

    def __init__(self, size: int, timeout: float | None) -> None:
        self.places: list[Any] = [None] * size
        self._timeout = timeout
        self._changed = threading.Condition()
        self._arrived = self._meetings = 0
        self._ended = False

    def wait(self) -> None:
        """Wait until all have come; those of a meeting that has taken place go on, whoever ends after it."""
        with self._changed:
            before = self._meetings
            self._arrived += 1
            if self._arrived == len(self.places):
                self._arrived, self._meetings = 0, before + 1
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._meetings > before or self._ended, self._timeout)
            if self._meetings == before:
                raise Missed("another rank has ended, or did not come in time")

    def end(self) -> None:
        """Say that a rank has ended, for which nobody need wait."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Ranks:
    """A communicator of threads; see `threads`."""

    def __init__(self, rank: int, board: _Board) -> None:
        self.rank, self.size = rank, len(board.places)
        self._board = board

    def _given(self, mine: Given) -> list[Given]:
        self._board.places[self.rank] = mine
        self._board.wait()
        everyone: list[Given] = list(self._board.places)
        self._board.wait()
        return everyone

    def Allreduce(self, sendbuf: Array, recvbuf: Array, /) -> None:
        """Sum arrays over the ranks, in their order."""
        everyone = self._given(sendbuf.copy())
        recvbuf[...] = everyone[0]
        for other in everyone[1:]:
            np.add(recvbuf, other, out=recvbuf)

    def Bcast(self, buf: Array, root: int = 0, /) -> None:
        """Fill an array with that of a rank."""
        buf[...] = self._given(buf.copy())[root]

    def allgather(self, sendobj: Given, /) -> list[Given]:
        """Return copies of what the ranks gave, in their order."""
        return [deepcopy(given) for given in self._given(deepcopy(sendobj))]


class _Rank(threading.Thread, Generic[Result]):
    def __init__(self, function: Callable[[Ranks], Result], comm: Ranks, board: _Board) -> None:
        super().__init__(daemon=True)
        self._function, self._comm, self._board = function, comm, board
        self.result: Result
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._function(self._comm)
        except BaseException as error:
            self.error = error
            self._board.end()


def threads(size: int, function: Callable[[Ranks], Result], *, timeout: float | None = None) -> list[Result]:
    """Call a function in so many threads, each with a communicator; return what they returned, in the order of ranks.

    The ranks do what they would do as processes under MPI, one after the other for the most part.

    Args:
        size: how many ranks there are.
        function: of the communicator of its rank.
        timeout: seconds after which no rank waits any longer for another.

    Raises:
        SettingError: `size` is no positive integer.
        RankError: a rank waited for another one in vain; an error of a rank itself comes before that.
        KeyboardInterrupt: Ctrl-C; the ranks end where they next meet.

    Example:
        >>> threads(3, lambda comm: (comm.rank, comm.allgather(comm.rank ** 2)))
        [(0, [0, 1, 4]), (1, [0, 1, 4]), (2, [0, 1, 4])]
    """
    board = _Board(positive_integer("threads", "size", size), timeout)
    ranks = [_Rank(function, Ranks(rank, board), board) for rank in range(size)]
    try:
        for rank in ranks:
            rank.start()
        for rank in ranks:
            # Not once and for all: a signal that comes just before it would be seen after it.
            while rank.is_alive():
                rank.join(0.1)
    except BaseException:
        # Ctrl-C, which comes here alone: without it they would go on, and nobody would have what they return.
        board.end()
        raise
    errors = [rank.error for rank in ranks if rank.error is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Missed)):
        raise error
    return [rank.result for rank in ranks]
