"""The training loop and its two relatives: `fit`, `evaluate`, `predict`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import TextIO

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.optim import Optimizer
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.history import History
from tinygrad_nn.train.interrupts import Interrupts
from tinygrad_nn.train.metrics import Means, Metrics
from tinygrad_nn.train.nonfinite import not_finite
from tinygrad_nn.train.progress import Progress
from tinygrad_nn.train.run import Batch, Callback, Loss, Model, Run

Data = tuple[Operand, ...] | Iterable[Batch]
"""Whole arrays, the targets last, or batches of them."""

ROWS = 1000
"""Rows that `evaluate` and `predict` give to the model at once when they are handed whole arrays."""


def fit(
    model: Model,
    loss: Loss,
    optimizer: Optimizer,
    data: Iterable[Batch],
    *,
    epochs: int = 1,
    steps: int | None = None,
    validation: Data | None = None,
    metrics: Metrics | None = None,
    callbacks: Iterable[Callback | Callable[[Run], object]] = (),
    progress: bool | TextIO = True,
) -> History:
    """Train a model: `zero_grad`, `backward`, `step` for every batch, in a loop to be read and copied.

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
        with Interrupts() as interrupts, in_mode(model, training=True):
            while run.epoch < epochs and run.stopping is None:
                for *inputs, targets in run.remaining():
                    run.whole = False
                    optimizer.zero_grad()
                    predictions = model(*inputs)
                    value = loss(predictions, targets)
                    if not isinstance(value, Tensor) or value.size != 1:
                        raise ShapeError(
                            f"fit: the loss is a tensor with one element, got {type(value).__name__} of shape "
                            f'{np.shape(value)}\n  hint   reduction="mean", or .mean()'
                        )
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


def evaluate(model: Model, loss: Loss, data: Data, *, metrics: Metrics | None = None) -> dict[str, float]:
    """Return the mean loss and the metrics over all rows, in evaluation mode and without a graph.

    Args:
        model: a module, or any function of a batch's inputs.
        loss: a function of predictions and targets that returns the mean over the rows.
        data: arrays `(X, y)`, or batches of them.
        metrics: functions of predictions and targets, by name.

    Raises:
        ValueError: there is no row.
        ShapeError: arrays of different lengths.
    """
    means = Means()
    with no_grad(), in_mode(model, training=False):
        for *inputs, targets in _batches_of(data):
            predictions = model(*inputs)
            means.add(loss(predictions, targets), predictions, targets, metrics or {})
    if not means.rows:
        raise ValueError("evaluate: the data have no rows")
    return means.values()


def predict(model: Model, *inputs: Operand) -> Array:
    """Return what the model makes of arrays, as one array, in evaluation mode and without a graph.

    The rows go through the model in slices, so that memory stays bounded.

    Raises:
        ShapeError: arrays of different lengths.
        ValueError: there is no row.
    """
    with no_grad(), in_mode(model, training=False):
        pieces = [plain(model(*rows)) for rows in _batches_of(inputs)]
    if not pieces:
        raise ValueError("predict: the data have no rows")
    return np.concatenate(pieces)


def _tell(callbacks: Iterable[Callback], event: str, run: Run) -> None:
    for callback in callbacks:
        getattr(callback, event)(run)


def _batches_of(data: Data) -> Iterable[Batch]:
    """Return the batches of a data set, cutting a tuple of whole arrays into slices."""
    if not isinstance(data, tuple):
        return data
    arrays = [plain(array) for array in data]
    lengths = {array.shape[:1] for array in arrays}
    if len(lengths) != 1 or () in lengths:
        raise ShapeError(
            f"arrays with the same number of rows are needed, got {', '.join(str(a.shape) for a in arrays)}"
        )
    return ([array[k : k + ROWS] for array in arrays] for k in range(0, len(arrays[0]), ROWS))
