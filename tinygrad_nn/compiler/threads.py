"""How many threads a replay may use, and how many NumPy's BLAS may use meanwhile."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from importlib.util import find_spec

from tinygrad_nn import context
from tinygrad_nn.errors import SettingError
from tinygrad_nn.settings import is_integer

_LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that say how many threads libraries like this one may use."""
_OPENMP = 2
"""What OpenBLAS says it is built on, where each thread that calls it has limits of its own."""


def number_of_threads(threads: object) -> int | None:
    """Return a number of threads as an int, or None, which leaves it open.

    Raises:
        SettingError: it is neither.
    """
    if threads is None:
        return None
    if not is_integer(threads) or threads < 1:
        raise SettingError(
            f"compile: threads is a positive integer, or None for as many as pay, got {threads!r:.60}\n"
            "  hint   tn.compile(step, threads=2)"
        )
    return int(threads)


def available() -> int:
    """Return how many threads this process may keep busy: its cores, or fewer if the environment says so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = [os.environ.get(name, "").split(",")[0].strip() for name in _LIMITS]
    return min([cores, *(int(text) for text in said if text.isdecimal() and int(text))])


class Blas:
    """The threads of the BLAS that NumPy calls, where that is an OpenBLAS that can be told.

    Args:
        count: returns how many threads it may use.
        limit: says how many it may use, in the whole process.
    """

    def __init__(self, count: Callable[[], int], limit: Callable[[int], object]) -> None:
        self._count, self._limit = count, limit
        self._lock = context.lock()
        self._holders: list[object] = []
        self._before = 0

    def held(self, threads: int) -> context.Temporarily:
        """Run the body with so many threads at most; among several at once the first decides."""
        return context.Temporarily(functools.partial(self._plan, threads))

    def _plan(self, threads: int) -> context.Plan:
        holder = object()

        def hold() -> None:
            with self._lock:
                self._holders.append(holder)
                if len(self._holders) == 1:
                    self._before = self._count()
                    self._limit(min(threads, self._before))

        def release() -> None:
            with self._lock:
                if self._holders == [holder] and self._before:
                    self._limit(self._before)
                    self._before = 0
                if holder in self._holders:
                    self._holders.remove(holder)

        return hold, release


@functools.cache
def blas() -> Blas | None:
    """Return the BLAS of NumPy; None if it is no OpenBLAS, or one with OpenMP, and stays as it is."""
    spec = find_spec("numpy._core._multiarray_umath")
    if spec is None or spec.origin is None:
        return None
    # The names of all libraries that this one is linked to are found in it, but on Windows.
    library = ctypes.CDLL(spec.origin)
    for prefix, suffix in ((p, s) for p in ("scipy_", "") for s in ("64_", "", "_64")):
        names = (
            f"{prefix}openblas_{word}{suffix}"
            for word in ("get_parallel", "get_num_threads", "set_num_threads")
        )
        parallel, count, limit = (getattr(library, name, None) for name in names)
        if parallel is not None and count is not None and limit is not None and parallel() != _OPENMP:
            limit.restype = None
            return Blas(count, limit)
    return None
