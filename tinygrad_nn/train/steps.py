"""One step of a training: the gradients of a batch, then the update, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np

from tinygrad_nn.compiler.compiled import compile as compiled
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Tensor, as_tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError, NonFinite, ShapeError
from tinygrad_nn.nn.reducing import Divisor
from tinygrad_nn.train.company import Measured
from tinygrad_nn.train.metrics import Metric, Weights, arrays_of, measured, rows_of
from tinygrad_nn.train.nonfinite import not_finite
from tinygrad_nn.train.parts import Batch
from tinygrad_nn.train.replayed import like_the_first
from tinygrad_nn.train.run import Run
from tinygrad_nn.train.together import Training, joined


class Step:
    """The step of a run in one process.

    Args:
        run: of which it is.
        compile: replay it where batches look like the first one.
    """

    def __init__(self, run: Run, compile: bool) -> None:  # noqa: A002  the word of tn.compile
        self._run = run
        self._differentiate, self._update = self._gradients, self._updated
        if compile:
            self._differentiate, self._update = like_the_first(self._gradients), compiled(self._updated)

    def _gradients(self, inputs: Sequence[Tree], targets: Tree, weights: Weights) -> tuple[Tree, ...]:
        """Leave the gradients of a batch; return its loss and the predictions."""
        run = self._run
        run.optimizer.zero_grad()
        predictions = run.model(*inputs)
        value = one_number("fit", run.loss(predictions, targets, **weights))
        value.backward()
        return value, predictions

    def _updated(self) -> None:
        self._run.optimizer.step()

    def __call__(self, batch: Batch) -> None:
        """Take a step, and record it.

        Raises:
            NonFinite: the loss is infinite or NaN; the step is not taken.
        """
        run = self._run
        run.whole = False
        inputs, targets, weights = run.parts_of(batch)
        value, predictions = self._differentiate(inputs, targets, weights)
        if not math.isfinite(value.item()):
            raise self._refused(value, inputs, targets, weights)
        self._update()
        run.record(*measured(value, predictions, targets, run.metrics, weights))

    def _refused(self, value: Tensor, inputs: Sequence[Tree], targets: Tree, weights: Weights) -> NonFinite:
        self._run.optimizer.zero_grad()
        return not_finite(self._run, inputs, targets, weights, value)


class SharedStep(Step):
    """The step of a run of several ranks, each of which has its rows of the batch, or none."""

    def __init__(self, run: Run, compile: bool, company: Training) -> None:  # noqa: A002  the word of tn.compile
        self._company, self._exchange, self._optimizer = company, company.exchange, company.optimizer
        self._names = ["loss", *run.metrics]
        self._looked = False
        super().__init__(run, compile)

    def _gradients(self, inputs: Sequence[Tree], targets: Tree, weights: Weights) -> tuple[Tree, ...]:
        """Leave the gradients of these rows; return their loss, the predictions, and what the loss was divided by."""
        run = self._run
        run.optimizer.zero_grad()
        predictions = run.model(*inputs)
        value, divisor = self._company.loss(run.loss, predictions, targets, **weights)
        one_number("fit", value).backward()
        return value, predictions, divisor

    def _updated(self) -> None:
        self._optimizer.update(self._exchange)

    def __call__(self, batch: Batch) -> None:
        run, exchange, optimizer = self._run, self._exchange, self._optimizer
        run.whole = False
        inputs, targets, weights = run.parts_of(batch)
        exchange.numbers[:] = 0
        exchange.interrupted = self._company.interrupts.pending
        divisor: float | None = 0.0
        if counts(targets, weights):
            with self._company.streams():
                value, predictions, by = self._differentiate(inputs, targets, weights)
            numbers, rows, divisor = measured_part(value, predictions, targets, run.metrics, weights, by)
            total = 0.0
            # Of rows that all count for nothing the mean is NaN.
            if divisor != 0:
                if not math.isfinite(value.item()):
                    raise self._refused(value, inputs, targets, weights)
                self._look_at_loss(value, predictions, targets, weights)
                total = numbers["loss"] * (1 if divisor is None else divisor)
            exchange.numbers[:] = [rows, total, *[rows * numbers[name] for name in run.metrics]]
        else:
            optimizer.zero_grad()
        optimizer.send(exchange, 1 if divisor is None else divisor, summed=divisor is None)
        optimizer.complete(exchange)
        self._update()
        rows, loss, *others = exchange.sums.tolist()
        means = [loss / float(exchange.total[0]), *[total / rows for total in others]]
        run.record(dict(zip(self._names, means, strict=True)), rows)

    def _look_at_loss(self, value: Tensor, predictions: Tree, targets: Tree, weights: Weights) -> None:
        """Refuse a loss of the user's that those of parts of a batch do not make, whatever it is divided by."""
        if self._looked:
            return
        self._looked = True
        found, truths = arrays_of(predictions), arrays_of(targets)
        rows = rows_of("targets", truths)
        whole = [array.shape[:1] for array in trees.leaves(found)]
        if rows < 2 or set(whole) != {(rows,)}:
            return
        halves = []
        for part in (slice(0, rows // 2), slice(rows // 2, rows)):
            guesses = trees.mapped(as_tensor, trees.mapped(itemgetter(part), found))
            true = trees.mapped(itemgetter(part), truths)
            shares: Weights = {name: plain(weight)[part] for name, weight in weights.items()}
            if counts(true, shares):
                loss, by = self._company.loss(self._run.loss, guesses, true, **shares)
                halves.append(measured_part(loss, guesses, true, {}, shares, by))
        number, together = value.item(), joined(halves)[0]["loss"]
        # Two numbers of float16 that are meant to be the same may be as far apart as that.
        tolerance = max(1e-3, 4 * float(np.finfo(value.dtype).eps))
        if not math.isclose(number, together, rel_tol=tolerance, abs_tol=1e-6):
            raise ArgumentError(
                f"fit: the loss of the first batch is {number:.6g}, and those of its halves make {together:.6g}; what "
                "is no mean over rows cannot be put together from those of parts of a batch\n"
                '  hint   .mean(), or a loss of tn.nn.losses with reduction="sum"'
            )


def one_number(who: str, value: Tree) -> Tensor:
    """Return a loss, if it is one number, of which there are gradients.

    Raises:
        ShapeError: it is not.
    """
    if not isinstance(value, Tensor) or value.size != 1:
        raise ShapeError(
            f"{who}: the loss is a tensor with one element, got {type(value).__name__} of shape {np.shape(value)}\n"
            '  hint   reduction="mean", or .mean()'
        )
    return value


def counts(targets: Tree, weights: Weights) -> bool:
    """Tell whether there are rows, and not all weigh nothing, of which there would be no mean."""
    return rows_of("targets", arrays_of(targets)) > 0 and all(
        bool(np.any(plain(weight))) for weight in weights.values()
    )


def measured_part(
    loss: Tensor,
    predictions: Tree,
    targets: Tree,
    metrics: Mapping[str, Metric],
    weights: Weights,
    by: Divisor,
) -> Measured:
    """Return what was measured of some rows, and what their loss was divided by."""
    numbers, rows = measured(loss, predictions, targets, metrics, weights)
    if isinstance(by, Tensor):
        return Measured(numbers, rows, by.item())
    if by == "sum":
        return Measured(numbers, rows, None)
    return Measured(numbers, rows, rows if by == "unknown" else rows_of("targets", arrays_of(targets)))


def step_of(run: Run, compile: bool) -> Step:  # noqa: A002  the word of tn.compile
    """Return the step of a run, in the company that it has."""
    company = run.company
    return SharedStep(run, compile, company) if isinstance(company, Training) else Step(run, compile)
