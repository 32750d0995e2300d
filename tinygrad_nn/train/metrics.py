"""Metrics: functions of predictions and targets, plain arrays both, that return one number for the batch.

Where a model has several outputs, or a batch several targets, they get the containers with arrays in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import numpy as np

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.errors import ArgumentError, ShapeError
from tinygrad_nn.primitives import Array
from tinygrad_nn.states import check_entries, is_count, is_number

Metric = Callable[[Any, Any], float]
Metrics = Mapping[str, Metric]


def accuracy(predictions: Operand, labels: Operand) -> float:
    """Return the share of rows whose largest score stands at the label.

    Args:
        predictions: logits or probabilities, of shape (N, C).
        labels: N integers, or (N, C) rows whose largest entry marks the class (one-hot).

    Raises:
        ShapeError: other shapes, which would broadcast silently.

    Example:
        >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        0.5
    """
    predictions, labels = plain(predictions), plain(labels)
    if predictions.ndim != 2 or labels.shape not in (predictions.shape[:1], predictions.shape):
        raise ShapeError(
            f"accuracy: predictions {predictions.shape} and labels {labels.shape}, expected (N, C) and (N,)"
        )
    if labels.ndim == 2:
        labels = labels.argmax(axis=1)
    return float(np.mean(predictions.argmax(axis=1) == labels))


def check_metrics(who: str, metrics: object) -> None:
    """Refuse what are not functions by name, and names that other columns have.

    Raises:
        ArgumentError: says which.
    """
    named = metrics or {}
    call = 'metrics={"acc": tn.train.accuracy}'
    if not isinstance(named, Mapping) or not all(
        isinstance(name, str) and callable(named[name]) for name in named
    ):
        raise ArgumentError(f"{who}: metrics are functions by name, got {metrics!r:.60}\n  hint   {call}")
    taken = ", ".join(repr(name) for name in named if name in _COLUMNS or name.startswith("val_"))
    if taken:
        raise ArgumentError(
            f"{who}: no metric can be called {taken}: {', '.join(_COLUMNS)} and val_... are other columns\n"
            f"  hint   {call}"
        )


_COLUMNS = ("loss", "seconds", "epoch")


def is_array(thing: object) -> TypeGuard[Tensor | np.ndarray]:
    """Tell whether `thing` is a tensor or an array, and not what an array could be made of."""
    return isinstance(thing, (Tensor, np.ndarray))


def arrays_of(values: Any) -> Any:
    """Return the arrays behind what a model or a batch has: one, or several in the containers they come in."""
    if is_array(values) or not any(map(is_array, trees.leaves(values))):
        return plain(values)
    return trees.mapped(_one_array, values)


def _one_array(leaf: object) -> Array:
    if isinstance(leaf, (list, tuple, dict)):
        raise ArgumentError(
            f"several arrays come in tuples, named tuples, lists and dicts, got a {type(leaf).__name__}"
        )
    return plain(leaf)


def rows_of(who: str, arrays: Any) -> int:
    """Return how many rows the arrays of a batch have, which is the same for all.

    Raises:
        ShapeError: it is not.
    """
    # The usual batch, in a tenth of the time.
    if isinstance(arrays, np.ndarray) and arrays.ndim:
        return len(arrays)
    shapes = [array.shape for array in trees.leaves(arrays)]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or () in lengths:
        raise ShapeError(
            f"{who}: arrays with the same number of rows are needed, got {', '.join(map(str, shapes)) or 'none'}"
        )
    return int(shapes[0][0])


class Means:
    """Means over rows, of numbers that are means over batches."""

    def __init__(self) -> None:
        self.rows = 0
        self._totals: dict[str, float] = {}

    def add(self, loss: Tensor, predictions: Any, targets: Any, metrics: Metrics) -> None:
        targets = arrays_of(targets)
        rows = rows_of("targets", targets)
        numbers = {"loss": loss.item()}
        if metrics:
            predictions = arrays_of(predictions)
            numbers |= {name: float(metric(predictions, targets)) for name, metric in metrics.items()}
        for name, value in numbers.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * rows
        self.rows += rows

    def values(self) -> dict[str, float]:
        return {name: total / self.rows for name, total in self._totals.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "totals": dict(self._totals)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        check_entries("Means", state, rows=is_count, totals=_are_numbers)
        self.rows, self._totals = state["rows"], dict(state["totals"])


def _are_numbers(totals: object) -> bool:
    return isinstance(totals, Mapping) and all(map(is_number, totals.values()))
