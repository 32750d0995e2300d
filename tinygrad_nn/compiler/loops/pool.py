"""Threads that help with long work: a few per process, which do ranges of its pieces beside the one that asks.

A work lets go of the interpreter's lock while it runs, so that Python threads are enough. Who asks does ranges too, and
whatever a helper has not begun; a helper that gets no processor, or wakes up late, costs nothing but its help. Waking a
thread takes some 20 to 50 microseconds, as long as a small work. So a helper that has nothing to do looks out for the
next job for a while before it sleeps, and so does who waits for a helper to finish.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np

from tinygrad_nn.compiler.draft import Range, Run
from tinygrad_nn.compiler.loops.looking import wait_while

_LOOKS = 10_000
_BEGIN, _END = 1000, 200
"""How long to rest until the one that asks runs compiled code, and until the helper does again."""


class _Job:
    """Ranges of pieces to do, and who does them takes one after the other."""

    def __init__(self, run: Run, ranges: Iterable[Range], arguments: Sequence[object]) -> None:
        self.ranges = deque(ranges)
        self.error: BaseException | None = None
        self._run, self._arguments = run, arguments

    def help(self) -> None:
        """Do ranges until none is left."""
        while self.ranges:
            try:
                first, last = self.ranges.popleft()
            except IndexError:  # another thread was faster
                return
            self._run(first, last, *self._arguments)

    def finish(self, helpers: Sequence[_Helper]) -> None:
        """Let nobody begin another range, wait for those that are running, and let go of the arrays."""
        self.ranges.clear()
        for helper in helpers:
            helper.wait()
        self._arguments = ()


class _Helper:
    """A thread that waits for jobs."""

    def __init__(self) -> None:
        self._job: _Job | None = None
        # What others look at: how many jobs there were, and whether one is being done.
        self._called, self._inside = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._mutex, self._busy, self._sleep = threading.Lock(), threading.Lock(), threading.Lock()
        self._sleep.acquire()
        self._asleep = False
        # Its machine code is there before the thread needs it, while nobody waits.
        wait_while(self._called, 1, 0, 0)
        self._thread = threading.Thread(target=self._live, name="tinygrad_nn helper", daemon=True)
        self._thread.start()

    def call(self, job: _Job | None) -> None:
        """Ask for help with a job, or to leave."""
        with self._mutex:
            self._job = job
            self._called[0] += 1
            if self._asleep and self._sleep.locked():
                self._sleep.release()

    def wait(self) -> None:
        """Return when it is not in the middle of a job."""
        if self._busy.locked():
            wait_while(self._inside, 1, _LOOKS, _END)
            with self._busy:
                pass

    def stop(self) -> None:
        """End the thread."""
        self.call(None)
        self._thread.join()

    def _live(self) -> None:
        seen = 0
        # A thread of its own does not know what the one that asks has told NumPy.
        with np.errstate(all="ignore"):
            while True:
                wait_while(self._called, seen, _LOOKS, _BEGIN)
                with self._mutex:
                    self._asleep = bool(self._called[0] == seen)
                if self._asleep:
                    self._sleep.acquire()
                    self._asleep = False
                with self._mutex:
                    seen, job = int(self._called[0]), self._job
                if job is None:
                    return
                with self._busy:
                    self._inside[0] = 1
                    try:
                        job.help()
                    except BaseException as error:
                        job.error = error
                        job.ranges.clear()
                    self._inside[0] = 0
                del job


class Pool:
    """The helpers of this process, which begin when they are first needed, and help one thread at a time."""

    def __init__(self) -> None:
        self._open = True
        self.forget()

    def forget(self) -> None:
        """Know no helpers, as after a fork, which takes none along."""
        self._lock = threading.Lock()
        self._helpers: list[_Helper] = []

    def share(self, run: Run, ranges: Iterable[Range], arguments: Sequence[object], threads: int) -> None:
        """Call `run(first, last, *arguments)` for all ranges, in so many threads at most.

        Raises:
            BaseException: what a range raised; of the others it is not known whether they were done.
        """
        job = _Job(run, ranges, arguments)
        if threads == 1 or self._lock.locked():
            job.help()
            return
        with self._lock:
            helpers = self._some(threads - 1)
            try:
                for helper in helpers:
                    helper.call(job)
                job.help()
            finally:
                try:
                    job.finish(helpers)
                except BaseException:
                    # A second Ctrl-C, or the first one here: nobody may still write when this is left.
                    job.finish(helpers)
                    raise
        if job.error is not None:
            raise job.error

    def _some(self, count: int) -> list[_Helper]:
        """Return so many helpers, or fewer where the system gives no more threads, at the end of a program too."""
        with contextlib.suppress(RuntimeError):
            while self._open and len(self._helpers) < count:
                self._helpers.append(_Helper())
        return self._helpers[:count]

    def prepare(self, threads: int) -> None:
        """Have helpers for so many threads, because one that has just begun is late."""
        with self._lock:
            self._some(threads - 1)

    def close(self) -> None:
        """End all helpers; from then on everyone works alone."""
        self._open = False
        with self._lock:
            for helper in self._helpers:
                helper.stop()
            self._helpers = []


POOL = Pool()
# A thread that still runs compiled code while the interpreter goes away would find it gone.
atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
