"""Metrics: functions of predictions and targets, plain arrays both, that return one number for the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.primitives import Array
from tinygrad_nn.states import check_entries, is_count, is_number

Metric = Callable[[Array, Array], float]
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


class Means:
    """Means over rows, of numbers that are means over batches."""

    def __init__(self) -> None:
        self.rows = 0
        self._totals: dict[str, float] = {}

    def add(self, loss: Tensor, predictions: Operand, targets: Any, metrics: Metrics) -> None:
        rows = len(targets)
        numbers = {"loss": loss.item()}
        if metrics:
            arrays = plain(predictions), plain(targets)
            numbers |= {name: float(metric(*arrays)) for name, metric in metrics.items()}
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
