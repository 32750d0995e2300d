"""The training loop and its two relatives: `fit`, `evaluate`, `predict`."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.optim import Optimizer
from tinygrad_nn.tensor import Tensor
from tinygrad_nn.train.callbacks import Callback, EachEpoch
from tinygrad_nn.train.history import History
from tinygrad_nn.train.interrupts import Interrupts
from tinygrad_nn.train.metrics import Metric
from tinygrad_nn.train.nonfinite import not_finite
from tinygrad_nn.train.progress import Progress

ROWS = 1000
"""Rows that `evaluate` and `predict` give to the model at once when they are handed whole arrays."""

Model = Callable[..., Any]
Loss = Callable[[Any, Any], Tensor]
Metrics = Mapping[str, Metric]


def fit(
    model: Model,
    loss: Loss,
    optimizer: Optimizer,
    data: Iterable[Sequence[Any]],
    *,
    epochs: int = 1,
    steps: int | None = None,
    validation: Any = None,
    metrics: Metrics | None = None,
    callbacks: Iterable[Callback | Callable[[Run], object]] = (),
    progress: bool | TextIO = True,
) -> History:
    """Train a model: for every batch `zero_grad`, `backward`, `step`. The loop stands here to be read, and
    copied.

    Loss and metrics are means over the rows of an epoch, taken while it trains; those of validation, under
    `val_` names, are of the model after it. Ctrl-C stops after the step in hand and returns the history so
    far.

    Args:
        model: a module, or any function of a batch's inputs.
        loss: a function of predictions and targets that returns a scalar, for example
            `nn.losses.cross_entropy`.
        optimizer: of the parameters to train.
        data: batches `(x, y)` to iterate over once per epoch: `tn.data.batches(X, y, size=100, rng=0)`. The
            targets come last; what stands before them are the model's arguments.
        epochs: how many to have trained in the end, those before a resumed checkpoint included.
        steps: batches that make an epoch, for `data` that never ends (`tn.data.batches_forever`).
        validation: arrays `(X, y)`, or batches, to evaluate on after every epoch.
        metrics: functions of predictions and targets, both arrays, by name: `{"acc": tn.train.accuracy}`.
        callbacks: `EarlyStopping`, `Checkpoint` and others, or functions of the run to call after every
            epoch.
        progress: report to `sys.stdout`, to another stream, or not at all.

    Returns:
        The history, with columns loss, metrics, val_loss, val_ metrics, seconds.

    Raises:
        NonFinite: the loss became infinite or NaN; says in which epoch, which batch, and which op was the
            first.
        ValueError: no batches in an epoch, or one-shot data without `steps`.
    """
    run = Run(model, loss, optimizer, data, epochs=epochs, steps=steps, metrics=metrics, callbacks=callbacks)
    watchers = list(run.callbacks)
    if progress is not False:
        watchers.append(Progress(sys.stdout if progress is True else progress))
    try:
        _tell(watchers, "on_start", run)
        with Interrupts() as interrupts, _mode(model, training=True):
            while run.epoch < epochs and run.stopping is None:
                for *inputs, targets in run.remaining():
                    run.whole = False
                    optimizer.zero_grad()
                    predictions = model(*inputs)
                    value = loss(predictions, targets)
                    if not math.isfinite(value.item()):
                        raise not_finite(run, inputs, targets, value)
                    value.backward()
                    optimizer.step()
                    run.record(value, predictions, targets)
                    _tell(watchers, "on_step", run)
                    interrupts.check()
                after = {} if validation is None else evaluate(model, loss, validation, metrics=metrics)
                run.finish_epoch(after)
                _tell(watchers, "on_epoch", run)
                interrupts.check()
    except KeyboardInterrupt:
        run.history.stopped = f"interrupted after batch {run.batch} of epoch {run.epoch + 1}"
        if run.whole:
            _tell(watchers, "on_interrupt", run)
    finally:
        _tell(watchers, "on_end", run)
    return run.history


def evaluate(model: Model, loss: Loss, data: Any, *, metrics: Metrics | None = None) -> dict[str, float]:
    """Return the mean loss and the metrics over all rows, with the model in evaluation mode and no graph
    recorded.

    Args:
        model: a module, or any function of a batch's inputs.
        loss: a function of predictions and targets that returns the mean over the rows.
        data: arrays `(X, y)`, or batches of them.
        metrics: functions of predictions and targets, by name.

    Raises:
        ValueError: there is no row.
        ShapeError: arrays of different lengths.
    """
    means = _Means()
    with no_grad(), _mode(model, training=False):
        for *inputs, targets in _batches_of(data):
            predictions = model(*inputs)
            means.add(loss(predictions, targets), predictions, targets, metrics or {})
    if not means.rows:
        raise ValueError("evaluate: the data have no rows")
    return means.values()


def predict(model: Model, *inputs: Any) -> np.ndarray[Any, Any]:
    """Return what the model makes of arrays, as one array, in evaluation mode and without a graph.

    The rows go through the model in slices, so that memory stays bounded.

    Raises:
        ShapeError: arrays of different lengths.
        ValueError: there is no row.
    """
    with no_grad(), _mode(model, training=False):
        pieces = [_plain(model(*rows)) for rows in _batches_of(inputs)]
    if not pieces:
        raise ValueError("predict: the data have no rows")
    return np.concatenate(pieces)


class Run:
    """One training in progress, as callbacks see it.

    Attributes:
        epoch, epochs: epochs completed, and wanted.
        batch, steps_per_epoch: steps completed in this epoch, and their number if it is known.
        history: the rows of the completed epochs.
        model, loss, optimizer, data, metrics, callbacks: what `fit` was given.
    """

    def __init__(
        self,
        model: Model,
        loss: Loss,
        optimizer: Optimizer,
        data: Iterable[Sequence[Any]],
        *,
        epochs: int,
        steps: int | None,
        metrics: Metrics | None,
        callbacks: Iterable[Callback | Callable[[Run], object]],
    ) -> None:
        if isinstance(data, (tuple, np.ndarray, Tensor)):
            raise TypeError(
                "fit: data are batches, and these are whole arrays\n"
                "  hint   tn.data.batches(X, y, size=100, rng=0)"
            )
        self.model: Any = model
        self.loss, self.optimizer, self.data = loss, optimizer, data
        self.epochs, self.metrics = epochs, dict(metrics or {})
        self._one_shot = isinstance(data, Iterator)
        if (steps is not None) != self._one_shot:
            raise ValueError(
                "fit: data that can be iterated only once need steps=, the batches that make an epoch"
                if self._one_shot
                else "fit: steps is for data that never end; these have epochs of their own"
            )
        self.steps = steps
        self.steps_per_epoch: int | None = steps or (len(data) if isinstance(data, Sized) else None)
        self.callbacks = [c if isinstance(c, Callback) else EachEpoch(c) for c in callbacks]
        self.callbacks.sort(key=lambda callback: callback.rank)
        self.history = History()
        self.epoch = self.batch = 0
        self.whole = True
        self.stopping: str | None = None
        self.resumed: str | None = None
        self._means = _Means()
        self._before = 0.0
        self._batches_here, self._since = 0, time.perf_counter()

    def stop(self, why: str) -> None:
        """Let training end after this epoch, for a reason that the history will name."""
        self.stopping = why
        self.history.stopped = why

    def means(self) -> dict[str, float]:
        """Return the means of loss and metrics over the rows of this epoch so far."""
        return self._means.values()

    def seconds(self) -> float:
        """Return how long this epoch has taken, without the time between an interrupt and its resumption."""
        return self._before + time.perf_counter() - self._since

    def rate(self) -> float:
        """Return the steps per second of this epoch."""
        return self._batches_here / max(time.perf_counter() - self._since, 1e-9)

    def remaining(self) -> Iterator[Sequence[Any]]:
        """Yield the batches of this epoch that have not been trained on."""
        self._batches_here, self._since = 0, time.perf_counter()
        batches = iter(self.data)
        if not hasattr(self.data, "load_state_dict"):  # the others resume where their state says
            batches = itertools.islice(batches, self.batch, None)
        if self.steps is not None:
            batches = itertools.islice(batches, self.steps - self.batch)
        yield from batches

    def record(self, value: Tensor, predictions: Any, targets: Any) -> None:
        """Count a completed step."""
        self._means.add(value, predictions, targets, self.metrics)
        self.batch += 1
        self._batches_here += 1
        self.whole = True

    def finish_epoch(self, validation: Mapping[str, float]) -> None:
        """Write the row of this epoch and begin the next."""
        if not self.batch or (self.steps is not None and self.batch < self.steps):
            raise ValueError(f"fit: the data gave {self.batch} batches for epoch {self.epoch + 1}")
        after = {f"val_{name}": value for name, value in validation.items()}
        self.history.append({**self.means(), **after, "seconds": self.seconds()})
        self.epoch, self.batch, self._before, self._means = self.epoch + 1, 0, 0.0, _Means()

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint consists of, by name."""
        stateful = {"model": self.model, "optimizer": self.optimizer, "data": self.data, "run": self}
        remembering = [callback for callback in self.callbacks if callback.state_dict()]
        stateful |= {f"{type(callback).__name__}{k}": callback for k, callback in enumerate(remembering)}
        return {name: part for name, part in stateful.items() if hasattr(part, "load_state_dict")}

    def state_dict(self) -> dict[str, Any]:
        """Return how far this run has come, as plain data."""
        rate = None if callable(self.optimizer.lr) else float(self.optimizer.lr)
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "batch": self.batch,
            "stopping": self.stopping,
            "lr": rate,
        }
        state |= {"seconds": self.seconds() if self.batch else 0.0, "means": self._means.state_dict()}
        return {**state, "history": self.history.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.history.load_state_dict(state["history"])
        self._means.load_state_dict(state["means"])
        self.epoch, self.batch, self._before = state["epoch"], state["batch"], state["seconds"]
        self.stopping = self.history.stopped = state["stopping"]
        if state["lr"] is not None:
            self.optimizer.lr = state["lr"]


class _Means:
    """Means over rows, of numbers that are means over batches."""

    def __init__(self) -> None:
        self.rows = 0
        self._totals: dict[str, float] = {}

    def add(self, loss: Tensor, predictions: Any, targets: Any, metrics: Metrics) -> None:
        rows = len(targets)
        numbers = {"loss": loss.item()}
        if metrics:
            arrays = _plain(predictions), _plain(targets)
            numbers |= {name: float(metric(*arrays)) for name, metric in metrics.items()}
        for name, value in numbers.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * rows
        self.rows += rows

    def values(self) -> dict[str, float]:
        return {name: total / self.rows for name, total in self._totals.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "totals": dict(self._totals)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows, self._totals = state["rows"], dict(state["totals"])


def _tell(callbacks: Iterable[Callback], event: str, run: Run) -> None:
    for callback in callbacks:
        getattr(callback, event)(run)


@contextmanager
def _mode(model: Model, *, training: bool) -> Iterator[None]:
    """Switch a module to training or evaluation, and each part of it back to what it was."""
    modules = [module for _, module in model.named_modules()] if isinstance(model, Module) else []
    before = [module.training for module in modules]
    for module in modules:
        module.training = training
    try:
        yield
    finally:
        for module, mode in zip(modules, before, strict=True):
            module.training = mode


def _plain(x: Any) -> np.ndarray[Any, Any]:
    return x._data if isinstance(x, Tensor) else np.asarray(x)


def _batches_of(data: Any) -> Iterable[Sequence[Any]]:
    """Return the batches of a data set, cutting a tuple of whole arrays into slices."""
    if not isinstance(data, tuple):
        return data  # type: ignore[no-any-return]
    arrays = [_plain(array) for array in data]
    lengths = {array.shape[:1] for array in arrays}
    if len(lengths) != 1 or () in lengths:
        raise ShapeError(
            f"arrays with the same number of rows are needed, got {', '.join(str(a.shape) for a in arrays)}"
        )
    return ([array[k : k + ROWS] for array in arrays] for k in range(0, len(arrays[0]), ROWS))
