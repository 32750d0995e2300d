"""The training loop and its two relatives: `fit`, `evaluate`, `predict`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import TextIO

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.data.minibatches import part_of
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.tensor import Operand
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError, NonFinite, ShapeError
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.optim import Distributed, Optimizer
from tinygrad_nn.parallel.communicator import Communicator
from tinygrad_nn.train.company import Company, Measured
from tinygrad_nn.train.history import History
from tinygrad_nn.train.metrics import Means, Metric, Metrics, arrays_of, is_array, metrics_by_name, rows_of
from tinygrad_nn.train.parts import Batch, Keys, Loss, Model, Reader, by_keys, expect_loss
from tinygrad_nn.train.progress import Progress
from tinygrad_nn.train.run import Callback, Run
from tinygrad_nn.train.steps import Step, counts, measured_part, step_of
from tinygrad_nn.train.together import company_of
from tinygrad_nn.train.unpacking import Numbers

Data = tuple[Tree, ...] | Mapping[str, object] | Iterable[Batch]
"""Whole arrays `(X, y)` or `(X, y, sample_weight)`, or batches of them; with keys, the same by name."""

ROWS = 1000
"""Rows that `evaluate` and `predict` give to the model at once when they are handed whole arrays."""


def fit(
    model: Model,
    loss: Loss,
    optimizer: Optimizer | Distributed,
    data: Iterable[Batch],
    *,
    epochs: int = 1,
    steps: int | None = None,
    validation: Data | float | None = None,
    metrics: Metrics | None = None,
    callbacks: Iterable[Callback | Callable[[Run], object]] = (),
    progress: bool | TextIO = True,
    keys: Keys = None,
    compile: bool = False,  # noqa: A002  the word of tn.compile
    comm: Communicator | None = None,
) -> History:
    """Train a model: `zero_grad`, `backward`, `step` for every batch, in a loop to be read and copied.

    Loss and metrics are means over the rows of an epoch, taken while it trains; those of validation, under
    `val_` names, are of the model after it. Ctrl-C stops after the step in hand and returns the history so
    far.

    Args:
        model: a module, or any function of a batch's inputs.
        loss: a function of predictions and targets that returns a scalar, for example
            `nn.losses.cross_entropy`; where batches have weights, of `sample_weight=` too.
        optimizer: of the parameters to train; a `Distributed` one brings its ranks, and then `comm` need not be given.
        data: batches `(x, y)` to iterate over once per epoch: `tn.data.batches(X, y, size=100, rng=0)`. As many
            arrays as the model takes come first, then the targets, then, if there is one more, the weights of the rows,
            `sample_weight` of loss and metrics.
        epochs: how many to have trained in the end, those before a resumed checkpoint included.
        steps: batches that make an epoch, for `data` that never ends (`tn.data.batches_forever`).
        validation: what to evaluate on after every epoch: arrays `(X, y)`, batches that can be iterated over again,
            or the share of the rows of `data` to keep for it, 0.2 for example; see `Batches.hold_out`.
        metrics: functions of predictions and targets, both arrays, by name, `{"acc": tn.train.accuracy}`, or names of
            those in `METRICS`, `["accuracy", "top5"]`. Names of other columns are refused.
        callbacks: `EarlyStopping`, `Checkpoint` and others, or functions of the run to call after every
            epoch.
        keys: the names of the arrays, in this order, where batches are dicts, as those of Hugging Face's `datasets`:
            ("x", "y"). Of validation data too.
        progress: report to `sys.stdout`, to another stream, or not at all.
        compile: replay steps instead of running them op by op, as `tn.compile` does, for batches of the shapes of the
            first one; others, such as a smaller last batch, run op by op. Callbacks and history see the same.
        comm: ranks that train together, `MPI.COMM_WORLD` of mpi4py: each calls this with the same arguments and takes
            its rows of every batch, with the result that one process would have. Model, optimizer and order are those
            of rank 0, which alone reports and saves; the history, which callbacks see everywhere, is of all rows.

    Returns:
        The history, with columns loss, metrics, val_loss, val_ metrics, seconds.

    Raises:
        NonFinite: the loss became infinite or NaN; says in which epoch, which batch, and which op was the
            first.
        ValueError: no batches in an epoch, or one-shot data without `steps`.
        ArgumentError: something that cannot play its part, before anything is trained.
        GraphError: after the first batch, none of the optimizer's parameters has a gradient.
        CaptureError: with `compile`, model or loss do what a replay cannot repeat.
        RankError: with `comm`, another rank has failed, with its traceback; or ranks do not do the same.

    Example:
        >>> import tinygrad_nn as tn
        >>> X, y = tn.data.moons(200)
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 16, rng=0), tn.nn.Tanh(), tn.nn.Dense(16, 2, rng=1))
        >>> adam, batches = tn.optim.Adam(model.parameters(), lr=0.1), tn.data.batches(X, y, size=20, rng=0)
        >>> history = fit(
        ...     model, tn.nn.losses.cross_entropy, adam, batches, epochs=10, metrics=["accuracy"], progress=False
        ... )
        >>> len(history), history["accuracy"][-1] > 0.9
        (10, True)
    """
    with company_of(optimizer, comm) as company:
        if isinstance(validation, (int, float, np.number)):
            data, validation = _held_out(data, validation)
        run = Run(
            model,
            loss,
            optimizer,
            data,
            epochs=epochs,
            steps=steps,
            metrics=metrics,
            callbacks=callbacks,
            keys=keys,
        )
        validated = None
        if validation is not None:
            batches, names = _again_and_again(validation, keys), _keys_of(validation, keys)
            validated = partial(_evaluated, company, model, loss, batches, run.metrics, names)
        run.join(company, compiled=compile, validated=validation is not None)
        watchers = list(run.callbacks)
        # A program without a console has no standard output.
        if company.rank == 0 and progress is not False and not (progress is True and sys.stdout is None):
            watchers.append(Progress(sys.stdout if progress is True else progress))
        _train(run, step_of(run, compile), watchers, validated)
    return run.history


def _train(
    run: Run, step: Step, watchers: Sequence[Callback], validated: Callable[[], Mapping[str, float]] | None
) -> None:
    company = run.company
    # Most callbacks do nothing before a step, and are not asked to.
    early = [x for x in watchers if getattr(x.on_batch, "__func__", None) is not Callback.on_batch]
    try:
        _tell(watchers, "on_start", run)
        with company.interrupts, in_mode(run.model, training=True):
            while run.epoch < run.epochs and run.stopping is None:
                company.begin_epoch()
                for batch in run.remaining():
                    run.given = batch
                    _tell(early, "on_batch", run)
                    step(batch)
                    _tell(watchers, "on_step", run)
                    company.check()
                company.end_epoch(run.epoch + 1)
                run.finish_epoch(validated() if validated else {})
                _tell(watchers, "on_epoch", run)
                if why := company.between_epochs(run.stopping):
                    run.stop(why)
    except NonFinite as error:
        error.history = run.history
        raise
    except KeyboardInterrupt as stop:
        run.whole &= company.at_once(stop)
        run.history.stopped = f"interrupted after batch {run.batch} of epoch {run.epoch + 1}"
        if run.whole:
            _tell(watchers, "on_interrupt", run)
            company.even_out()
    finally:
        _tell(watchers, "on_end", run)


def evaluate(
    model: Model,
    loss: Loss,
    data: Data,
    *,
    metrics: Metrics | None = None,
    keys: Keys = None,
    comm: Communicator | None = None,
) -> Numbers[float]:
    """Return the mean loss and the metrics over all rows, in evaluation mode and without a graph.

    Args:
        model: a module, or any function of a batch's inputs.
        loss: a function of predictions and targets that returns the mean over the rows.
        data: arrays `(X, y)` or `(X, y, sample_weight)`, or batches of them.
        metrics: functions of predictions and targets by name, or names, as for `fit`.
        keys: the names of the arrays, where they are in dicts, as for `fit`.
        comm: ranks that have the same data; each looks at its rows, and all get the means over all.

    Raises:
        ValueError: there is no row, or all weigh 0.
        ShapeError: arrays of different lengths.
        ArgumentError: data that are neither arrays nor batches; a metric with the name of another column.
        RankError: another rank has failed, or has other data.

    Returns:
        A dict, loss first; `loss, mae = evaluate(...).values()` takes it apart.

    Example:
        >>> import tinygrad_nn as tn
        >>> X, y = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])
        >>> evaluate(lambda x: 2 * x, tn.nn.losses.mse, (X, y), metrics={"mae": tn.nn.losses.mae})
        {'loss': 0.5, 'mae': 0.5}
    """
    expect_loss("evaluate", loss)
    with company_of(None, comm) as company:
        named = metrics_by_name("evaluate", metrics)
        batches = _batches_of("evaluate", data, keys)
        return Numbers(_evaluated(company, model, loss, batches, named, _keys_of(data, keys)))


def _evaluated(
    company: Company,
    model: Model,
    loss: Loss,
    batches: Iterable[Batch],
    metrics: Mapping[str, Metric],
    keys: Keys,
) -> dict[str, float]:
    parts_of = Reader("evaluate", model, loss, metrics, keys)
    found: list[Measured | None] = []
    with no_grad(), in_mode(model, training=False):
        for batch in company.part(batches):
            inputs, targets, weights = parts_of(batch)
            part = None
            if counts(targets, weights):
                predictions = model(*inputs)
                value, by = company.loss(loss, predictions, targets, **weights)
                part = measured_part(value, predictions, targets, metrics, weights, by)
            found.append(part)
    means = Means()
    for numbers, rows in company.joined(found):
        means.add(numbers, rows)
    if not means.rows:
        raise ShapeError("evaluate: the data have no rows, or all of them weigh 0")
    return means.values()


def predict(model: Model, *inputs: Operand, comm: Communicator | None = None) -> Tree:
    """Return what the model makes of arrays, as an array, in evaluation mode and without a graph.

    The rows go through the model in slices, so that memory stays bounded. Of a model with several outputs, in a
    tuple, a named tuple, a list or a dict, these come back in the same, each as one array.

    Args:
        model: a module, or any function of arrays.
        inputs: arrays with the same number of rows.
        comm: ranks that have the same arrays; each takes its rows, and all get the predictions for all.

    Raises:
        ShapeError: arrays of different lengths; an output that has not one row for each row.
        ValueError: there is no row.
        RankError: another rank has failed.

    Example:
        >>> import tinygrad_nn as tn
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 3, rng=0), tn.nn.Dropout(0.5, rng=0))
        >>> predict(model, np.ones((5000, 2))).shape, model.training
        ((5000, 3), True)
    """
    if not callable(model):
        raise ArgumentError(
            f"predict: the model is a module or a function, got {type(model).__name__}\n  hint   predict(model, X)"
        )
    with company_of(None, comm) as company:
        arrays = [arrays_of(part) for part in inputs]
        mine = part_of(rows_of("predict", arrays), company.rank, company.size)
        own = [trees.mapped(itemgetter(mine), part) for part in arrays]
        pieces = company.concatenated(_predicted(model, own), lambda several: list(chain(*several)))
    if not pieces:
        raise ShapeError("predict: the data have no rows")
    columns = zip(*map(trees.leaves, pieces), strict=True)
    return trees.mapped(lambda _: np.concatenate(next(columns)), pieces[0])


def _predicted(model: Model, inputs: list[Tree]) -> list[Tree]:
    """Return what the model makes of slices of arrays."""
    pieces = []
    with no_grad(), in_mode(model, training=False):
        for rows in _slices("predict", tuple(inputs)):
            output, expected = arrays_of(model(*rows)), rows_of("predict", rows)
            if any(array.shape[:1] != (expected,) for array in trees.leaves(output)):
                shapes = ", ".join(str(array.shape) for array in trees.leaves(output))
                raise ShapeError(
                    f"predict: of {expected} rows the model made {shapes}, expected one row for each\n"
                    "  hint   with tn.no_grad(): model(x)"
                )
            pieces.append(output)
    return pieces


def _tell(callbacks: Iterable[Callback], event: str, run: Run) -> None:
    for callback in callbacks:
        getattr(callback, event)(run)


def _held_out(data: Iterable[Batch], share: object) -> tuple[Iterable[Batch], Data]:
    """Return the batches to train on, and the arrays that are kept for validation."""
    if not hasattr(data, "hold_out"):
        raise ArgumentError(
            f"fit: validation={share} is a share of the rows of tn.data.batches(...), not of a {type(data).__name__}\n"
            "  hint   validation=(X, y)"
        )
    rest: tuple[Iterable[Batch], Data] = data.hold_out(share)
    return rest


def _again_and_again(validation: Data, keys: Keys) -> Iterable[Batch]:
    """Return the batches of validation data, which are iterated over after every epoch."""
    if isinstance(validation, Iterator):
        raise ArgumentError(
            f"fit: validation is looked at after every epoch, and a {type(validation).__name__} can be iterated over "
            "only once, or never ends\n  hint   validation=list(batches), or arrays (X, y)"
        )
    batches = _batches_of("fit: validation", validation, keys)
    if isinstance(batches, Sized) and not len(batches):
        raise ShapeError("fit: the validation data have no rows")
    return batches


def _keys_of(data: Data, keys: Keys) -> Keys:
    """Return the names of the arrays in batches of data, of which whole arrays have none."""
    return None if isinstance(data, (tuple, Mapping)) else keys


def _batches_of(who: str, data: Data, keys: Keys) -> Iterable[Batch]:
    """Return the batches of a data set, cutting whole arrays into slices; refuse what would be neither."""
    if isinstance(data, Mapping):
        return _slices(who, tuple(by_keys(who, data, keys)))
    if isinstance(data, (list, tuple)):
        batches = [part for part in data if isinstance(part, (list, tuple, Mapping)) and len(part) > 1]
        if len(data) > 1 and (isinstance(data, tuple) or is_array(data[0])):
            return _slices(who, tuple(data))
        if isinstance(data, list) and len(batches) == len(data):
            return data
    elif isinstance(data, Iterable) and not is_array(data) and not isinstance(data, str):
        return data
    raise ArgumentError(
        f"{who}: expected arrays (X, y), the targets last, or batches of them, got {type(data).__name__} {data!r:.60}"
    )


def _slices(who: str, data: tuple[Tree, ...]) -> Sequence[Batch]:
    """Return whole arrays, or containers of them, as batches of some rows, none of which is copied."""
    arrays = [arrays_of(part) for part in data]
    return [
        [trees.mapped(itemgetter(slice(k, k + ROWS)), part) for part in arrays]
        for k in range(0, rows_of(who, arrays), ROWS)
    ]
