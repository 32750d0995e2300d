"""Callbacks that come with the library: small classes around the steps of `fit`."""

from __future__ import annotations

import math
import os

from tinygrad_nn import checkpoint
from tinygrad_nn.errors import ArgumentError, SettingError
from tinygrad_nn.files import as_path, expect_folder
from tinygrad_nn.nn.module import Module
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array
from tinygrad_nn.settings import check_number, check_share
from tinygrad_nn.states import State, StateDict, are_arrays, check_entries, is_count, is_number
from tinygrad_nn.train.history import Mode, better, number
from tinygrad_nn.train.run import Callback, Run


class EarlyStopping(Callback):
    """Stops when a column has not improved for a while, and puts the weights of its best epoch back.

    Args:
        monitor: a column of the history.
        patience: epochs without improvement that are allowed.
        min_delta: an improvement is larger than this.
        mode: "min" or "max"; by default "min" for losses and errors.

    Raises:
        ValueError: a patience below 0, a negative delta, an unknown mode.
        KeyError: while training, if the history has no such column.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> X, model = np.ones((4, 2), np.float32), tn.nn.Dense(2, 1, rng=0)
        >>> loss, sgd, batches = tn.nn.losses.mse, tn.optim.SGD(model.parameters(), lr=0.1), [(X, X[:, :1])]
        >>> stopping = EarlyStopping("loss", patience=2, min_delta=0.01)
        >>> history = tn.train.fit(model, loss, sgd, batches, epochs=50, callbacks=[stopping], progress=False)
        >>> history.stopped
        'loss has not improved on 0.0065 for 3 epochs'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Mode | None = None,
    ) -> None:
        check_number("EarlyStopping", "patience", patience)
        check_number("EarlyStopping", "min_delta", min_delta)
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self._sign = 1.0 if better(monitor, mode) == "min" else -1.0
        self.on_start(None)

    def on_start(self, run: Run | None) -> None:
        self._least = math.inf
        self._waited = 0
        self._best: dict[str, Array] = {}

    def on_epoch(self, run: Run) -> None:
        value = self._sign * run.history[self.monitor][-1]
        if value < self._least - self.min_delta:
            self._least, self._waited, self._best = value, 0, run.model.state_dict()
            return
        self._waited += 1
        if self._waited > self.patience:
            best = number(self._sign * self._least)
            run.stop(f"{self.monitor} has not improved on {best} for {self._waited} epochs")

    def on_end(self, run: Run) -> None:
        if self._best:
            run.model.load_state_dict(self._best)

    def state_dict(self) -> StateDict:
        return {"least": self._least, "waited": self._waited, "best": self._best}

    def load_state_dict(self, state: State) -> None:
        check_entries("EarlyStopping", state, least=is_number, waited=is_count, best=are_arrays)
        self._least, self._waited, self._best = state["least"], state["waited"], dict(state["best"])


class LearningRate(Callback):
    """Sets the learning rate of each epoch to `schedule(epoch)`, the first epoch being 0; see `tn.optim.schedules`.

    For a rate that changes with every step, give the schedule to the optimizer: `SGD(parameters, lr=schedule)`.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> X, model = np.ones((4, 2), np.float32), tn.nn.Dense(2, 1, rng=0)
        >>> loss, sgd, batches = tn.nn.losses.mse, tn.optim.SGD(model.parameters(), lr=0.1), [(X, X[:, :1])]
        >>> watched = [lambda run: print(run.optimizer.lr), LearningRate(lambda epoch: 0.25 * 0.5**epoch)]
        >>> history = tn.train.fit(model, loss, sgd, batches, epochs=3, callbacks=watched, progress=False)
        0.25
        0.125
        0.0625
    """

    def __init__(self, schedule: Schedule) -> None:
        if not callable(schedule):
            raise ArgumentError(
                f"LearningRate: the schedule is a function of the epoch, got {schedule!r:.60}\n"
                "  hint   LearningRate(lambda epoch: 0.1 * 0.5**epoch); a rate that stays is lr= of the optimizer"
            )
        self._schedule = schedule

    def on_start(self, run: Run) -> None:
        run.optimizer.lr = self._schedule(run.epoch)

    def on_epoch(self, run: Run) -> None:
        run.optimizer.lr = self._schedule(run.epoch)


class ReduceOnPlateau(Callback):
    """Multiplies the learning rate by `factor` when a column has not improved for `patience` epochs.

    Args:
        monitor: a column of the history.
        factor: between 0 and 1.
        patience: epochs without improvement that are allowed.
        lowest: the rate is not made smaller than this.
        mode: "min" or "max"; by default "min" for losses and errors.

    Raises:
        ValueError: a factor outside of (0, 1); while training, if the optimizer's rate is a schedule.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> X, model = np.ones((4, 2), np.float32), tn.nn.Dense(2, 1, rng=0)
        >>> loss, sgd, batches = tn.nn.losses.mse, tn.optim.SGD(model.parameters(), lr=1.0), [(X, X[:, :1])]
        >>> history = tn.train.fit(
        ...     model, loss, sgd, batches, epochs=5, callbacks=[ReduceOnPlateau("loss", patience=1)], progress=False
        ... )
        >>> f"{sgd.lr:.2g}"
        '0.01'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 5,
        lowest: float = 0.0,
        mode: Mode | None = None,
    ) -> None:
        check_share("ReduceOnPlateau", "factor is what the rate is multiplied with", factor)
        if not 0 < factor < 1:
            raise SettingError(f"ReduceOnPlateau: factor lies between 0 and 1, got {factor}")
        check_number("ReduceOnPlateau", "patience", patience)
        check_number("ReduceOnPlateau", "lowest", lowest)
        self.monitor, self.factor, self.patience, self.lowest = monitor, factor, patience, lowest
        self._sign = 1.0 if better(monitor, mode) == "min" else -1.0
        self._least, self._waited = math.inf, 0

    def on_start(self, run: Run) -> None:
        _constant_rate(run)
        self._least, self._waited = math.inf, 0

    def on_epoch(self, run: Run) -> None:
        value = self._sign * run.history[self.monitor][-1]
        if value < self._least:
            self._least, self._waited = value, 0
            return
        self._waited += 1
        if self._waited > self.patience:
            run.optimizer.lr = max(_constant_rate(run) * self.factor, self.lowest)
            self._waited = 0

    def state_dict(self) -> StateDict:
        return {"least": self._least, "waited": self._waited}

    def load_state_dict(self, state: State) -> None:
        check_entries("ReduceOnPlateau", state, least=is_number, waited=is_count)
        self._least, self._waited = state["least"], state["waited"]


def _constant_rate(run: Run) -> float:
    if callable(run.optimizer.lr):
        raise SettingError("ReduceOnPlateau: the optimizer's learning rate follows a schedule already")
    return float(run.optimizer.lr)


class Checkpoint(Callback):
    """Saves everything that training needs to go on, and goes on from it when the file is there.

    Model, optimizer, learning rate, data order, random states, history and the other callbacks are saved
    after every epoch, and after Ctrl-C; a run that is started again continues bit for bit as if it had never
    stopped. The file is replaced in one stroke: at any moment it is a whole one. To start over, remove it.
    `tn.load(path, model=model)` takes the weights alone. Of ranks that train together the first reads and writes,
    and all go on from what it has read: bit for bit with the same number of them, and with another one too.

    Args:
        path: of the checkpoint, in a folder that exists.
        every: save after so many steps besides.
        parts: more to save and restore: random generators, anything with `state_dict` and `load_state_dict`.

    Raises:
        ValueError: `every` below 1.
        CheckpointError: at the start, if the file is damaged or belongs to another model; nothing is changed
            then.
        FileNotFoundError: at the start, if there is no such folder.

    Example:
        >>> import tempfile, numpy as np, tinygrad_nn as tn
        >>> X, model = np.ones((4, 2), np.float32), tn.nn.Dense(2, 1, rng=0)
        >>> loss, sgd, batches = tn.nn.losses.mse, tn.optim.SGD(model.parameters(), lr=0.1), [(X, X[:, :1])]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for epochs in (2, 3):  # the second time one epoch is left to be trained
        ...         saved = [Checkpoint(f"{folder}/run.safetensors")]
        ...         fit = tn.train.fit(model, loss, sgd, batches, epochs=epochs, callbacks=saved, progress=False)
        ...         print(len(fit), int(sgd.steps))
        2 2
        3 3
    """

    rank = 1
    shared = True

    def __init__(
        self, path: str | os.PathLike[str], *, every: int | None = None, **parts: checkpoint.Restorable
    ) -> None:
        if every is not None and every < 1:
            raise SettingError(f"Checkpoint: every is a number of steps from 1, got {every}")
        self.path, self.every, self._parts = as_path("Checkpoint", path), every, parts
        self._steps = 0

    def on_start(self, run: Run) -> None:
        self._steps = 0
        if not run.rank:
            expect_folder(self.path)
        blob = run.company.first(lambda: checkpoint.read(self.path) if os.path.lexists(self.path) else None)
        if blob is not None:
            parts = {**run.parts(), **self._parts}
            # Measurements may be infinite or NaN by right, weights may not.
            measured = [
                name
                for name, part in parts.items()
                if name not in ("model", "optimizer") and not isinstance(part, Module)
            ]
            run.company.resume(checkpoint.restored(self.path, blob, parts, measured))
            run.resumed = f"resumed from {os.fspath(self.path)} after epoch {run.epoch}, batch {run.batch}"

    def on_step(self, run: Run) -> None:
        self._steps += 1
        if self.every is not None and self._steps % self.every == 0:
            self._save(run)

    def on_epoch(self, run: Run) -> None:
        self._save(run)

    def on_interrupt(self, run: Run) -> None:
        self._save(run)

    def _save(self, run: Run) -> None:
        run.company.save(lambda kept: checkpoint.save(self.path, **run.parts(), **self._parts, **kept))
