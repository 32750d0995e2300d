"""Progress: one line that is rewritten on a terminal, one plain line per epoch anywhere else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.languages import cut, ljust, width
from tinygrad_nn.train.history import number
from tinygrad_nn.train.run import Callback, Run

UPDATES_PER_SECOND = 10


class Progress(Callback):
    """Writes how training goes.

    On a terminal one line is rewritten at most ten times a second, with the rate and the time left in the
    epoch. In a file, a pipe or a notebook there is one line per epoch, without control characters. Of the stream only
    `write` is needed.

    Raises:
        ArgumentError: `stream` cannot be written to.

    Example:
        >>> import sys, numpy as np, tinygrad_nn as tn
        >>> X, model = np.ones((4, 2), np.float32), tn.nn.Dense(2, 1, rng=0)
        >>> loss, sgd, batches = tn.nn.losses.mse, tn.optim.SGD(model.parameters(), lr=0.1), [(X, X[:, :1])]
        >>> shown = [Progress(sys.stdout)]  # what progress=True does
        >>> history = tn.train.fit(model, loss, sgd, batches, callbacks=shown, progress=False)  # doctest: +ELLIPSIS
        epoch 1/1  loss 1.5971  ...s
    """

    def __init__(self, stream: TextIO) -> None:
        self._out = stream
        if not callable(getattr(stream, "write", None)):
            raise ArgumentError(f"fit: progress is True, False or a stream to write to, got {stream!r:.60}")
        self._terminal = bool(getattr(stream, "isatty", bool)())
        self._flush: Callable[[], object] = getattr(stream, "flush", bool)
        self._shown = 0
        self._next = 0.0

    def on_start(self, run: Run) -> None:
        if run.resumed:
            self._out.write(f"{run.resumed}\n")

    def on_step(self, run: Run) -> None:
        if not self._terminal:
            return
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1 / UPDATES_PER_SECOND
        rate = run.rate()
        left = (run.steps_per_epoch - run.batch) / rate if run.steps_per_epoch else None
        share = f"{run.batch}/{run.steps_per_epoch}" if run.steps_per_epoch else f"{run.batch}"
        tail = f"{rate:.0f} steps/s" + (f"  {_clock(left)} left" if left is not None else "")
        self._rewrite(f"{_line(run, run.epoch + 1, run.means())}  {share}  {tail}")

    def on_epoch(self, run: Run) -> None:
        row = {name: column[-1] for name, column in run.history.history.items() if name != "seconds"}
        line = f"{_line(run, run.epoch, row)}  {run.history['seconds'][-1]:.1f}s"
        # What is left of the line before is written over; this one may wrap, because nothing is written over it.
        self._out.write(f"\r{ljust(line, self._shown)}\n" if self._terminal else f"{line}\n")
        self._shown = 0
        self._flush()

    def on_end(self, run: Run) -> None:
        if self._terminal and self._shown:
            self._out.write("\n")
        if run.history.stopped:
            self._out.write(f"stopped: {run.history.stopped}\n")
        self._flush()

    def _rewrite(self, line: str) -> None:
        # A line that wraps could not be rewritten.
        line = cut(line, shutil.get_terminal_size().columns - 1)
        self._out.write("\r" + ljust(line, self._shown))
        self._flush()
        self._shown = width(line)


def _line(run: Run, epoch: int, row: Mapping[str, float]) -> str:
    columns = "".join(f"  {name} {number(value)}" for name, value in row.items())
    return f"epoch {epoch:>{len(str(run.epochs))}}/{run.epochs}{columns}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
