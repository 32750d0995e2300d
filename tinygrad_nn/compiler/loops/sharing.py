"""Which tasks are divided among threads: the stage `share`, and how each finds out how many are best.

What a range of pieces computes does not depend on the others, so that results are the same for any number of threads.
Where that is not so, as in products by BLAS, the ranges depend on shapes and the setting alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from time import perf_counter

from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft, Range, Run, parts
from tinygrad_nn.compiler.loops.pool import POOL

_EACH = 4
"""Ranges for each thread, so that one that is late has less to do."""
_TRIALS = 7
_BLOCK = _TRIALS + 1
"""A number is tried so often, one call after the other, because threads that have just slept are late: the first of
these does not count."""
_WARM = 10
"""So many calls are made before, while the machine gets to know the step."""
_AGAIN = 1000
"""After so many calls it is tried anew, because the machine may have other things to do by then."""
_BETTER = 0.95
"""What more threads have to take less of, to be worth it."""


class Shared:
    """A function of ranges of pieces, in as many threads as are best: each number is tried a few times.

    Args:
        run: the function.
        ranges: what to do, by the number of threads, fewest first.
    """

    def __init__(self, run: Run, ranges: Mapping[int, Sequence[Range]]) -> None:
        self._run = run
        self._ranges = ranges
        self._choices = tuple(ranges)
        self._times: dict[int, list[float]] = {}
        self._calls = -_WARM
        self.threads = self._choices[0]

    def share(self, arguments: Sequence[object]) -> None:
        """Do all pieces."""
        calls, choices = self._calls, self._choices
        self._calls = calls + 1 if calls + 1 < _AGAIN else 0
        if not 0 <= calls < _BLOCK * len(choices):
            POOL.share(self._run, self._ranges[self.threads], arguments, self.threads)
            return
        # All works of a replay try the same number in the same replay, so that each meets threads as they will be.
        threads = choices[calls // _BLOCK]
        start = perf_counter()
        POOL.share(self._run, self._ranges[threads], arguments, threads)
        if calls % _BLOCK:
            self._times.setdefault(threads, []).append(perf_counter() - start)
        if calls == _BLOCK * len(choices) - 1:
            self.threads = self._best()
            self._times.clear()

    def _best(self) -> int:
        best, *others = self._choices
        for threads in others:
            if median(self._times[threads]) < _BETTER * median(self._times[best]):
                best = threads
        return best


class SharedWork(Shared):
    """Takes the place of a work's function, which is called with the range of all its pieces."""

    def __call__(self, first: int, last: int, *arguments: object) -> None:
        """Do all pieces."""
        self.share(arguments)


class SharedTask(Shared):
    """Takes the place of a function of NumPy."""

    def __call__(self, *arguments: object) -> None:
        """Do all pieces."""
        self.share(arguments)


def share(draft: Draft, threads: int) -> Draft:
    """Divide works, and what the catalogue knows how to divide, among some threads."""
    POOL.prepare(threads)
    choices = [2**k for k in range(threads.bit_length()) if 2**k < threads] + [threads]
    for task in draft.tasks:
        if threads == 1 or task.loops is not None:
            continue
        if task.work is not None:
            pieces = task.work.pieces
            ranges = {n: parts(pieces, 1 if n == 1 else n * _EACH) for n in choices}
            task.work = replace(task.work, run=SharedWork(task.work.run, ranges))
        elif task.call is not None and task.run is not None:
            divided = row_of(task.call.op).divided
            found = None if divided is None else divided(draft, task.call, threads)
            if found is not None:
                task.run = SharedTask(found.run, dict.fromkeys(choices, found.ranges))
    return draft
