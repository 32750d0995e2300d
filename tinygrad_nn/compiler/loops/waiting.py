"""A word to who waits for compiled code. Needs Numba (extra `jit`)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from numba.core import event

_LONG = 1.0
"""Seconds that nobody waits without wondering what for."""


class Waiting(event.Listener):
    """Says once in a process that functions are being compiled, when that has taken a second.

    It says so on a terminal, and nowhere else: neither in a file or a notebook nor under pytest. The environment
    variable TINYGRAD_NN_QUIET turns it off. Numba compiles one function at a time, and within it those that it calls.
    """

    def __init__(self, ours: Callable[[object], bool], folder: Callable[[], Path | None]) -> None:
        self._ours = ours
        self._folder = folder
        self._open: list[float] = []
        self._seconds = 0.0
        self._said = False

    def on_start(self, event: event.Event) -> None:
        """Begin a function, or one that it calls; speak up if the time has come."""
        now = time.perf_counter()
        self._open.append(now)
        waited = self._seconds + now - self._open[0]
        if not self._said and waited > _LONG and self._ours(event.data["dispatcher"]):
            self._said = True
            self._say()

    def on_end(self, event: event.Event) -> None:
        """End it."""
        start = self._open.pop()
        if not self._open and self._ours(event.data["dispatcher"]):
            self._seconds += time.perf_counter() - start

    def _say(self) -> None:
        out, folder = sys.stderr, self._folder()
        if out is None or not out.isatty() or os.environ.get("TINYGRAD_NN_QUIET"):
            return
        later = (
            f"later processes load them from {folder}" if folder is not None else "no folder can keep them"
        )
        print(f"tinygrad_nn: compiling loops, which takes some seconds; {later}", file=out, flush=True)
