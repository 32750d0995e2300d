"""Metrics: functions of predictions and targets, plain arrays both, that return one number for the batch.

Where a model has several outputs, or a batch several targets, they get the containers with arrays in them. Where rows
have weights, metrics get them as `sample_weight=`, and return weighted means, as losses do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import SupportsFloat, TypeGuard

import numpy as np

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
from tinygrad_nn.hints.words import closest, word
from tinygrad_nn.nn import losses
from tinygrad_nn.nn.reducing import reduced
from tinygrad_nn.primitives import Array
from tinygrad_nn.settings import positive_integer
from tinygrad_nn.states import State, StateDict, check_entries, is_number

Metric = Callable[..., SupportsFloat]
Metrics = Mapping[str, Metric | str] | Sequence[Metric | str]
"""Functions, or names of those in `METRICS`, by the names that their columns get, or in a list, by their own."""
Weights = dict[str, Operand]
"""`sample_weight` of a batch, as a keyword for its loss and its metrics; nothing where it has none."""


def accuracy(predictions: Operand, labels: Operand, *, sample_weight: Operand | None = None) -> float:
    """Return the share of rows whose largest score stands at the label.

    Args:
        predictions: logits or probabilities, of shape (N, C), or (N, ..., C) for sequences.
        labels: integers of shape (N,) or (N, ...), or rows whose largest entry marks the class (one-hot).
        sample_weight: what each row counts, (N,) or (N, ...).

    Raises:
        ShapeError: other shapes, which would broadcast silently.

    Example:
        >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        0.5
    """
    scores, classes = _scores_and_labels("accuracy", predictions, labels)
    return _share("accuracy", scores.argmax(axis=-1) == classes, sample_weight)


def top_k_accuracy(
    predictions: Operand, labels: Operand, *, k: int = 5, sample_weight: Operand | None = None
) -> float:
    """Return the share of rows in which fewer than k scores are larger than that of the label.

    Shapes are those of `accuracy`. Of a label whose score is NaN, all others are larger; one that is no class has none.

    Raises:
        ShapeError: other shapes, which would broadcast silently.
        SettingError: k is no integer from 1 to less than the number of classes, with which every label is among the
            first.

    Example:
        >>> top_k_accuracy(np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.3]]), np.array([2, 1]), k=2)
        0.5
    """
    scores, classes = _scores_and_labels("top_k_accuracy", predictions, labels)
    count = scores.shape[-1]
    if positive_integer("top_k_accuracy", "k", k) >= count:
        raise SettingError(
            f"top_k_accuracy: every label is among the {k} best of {count} classes\n"
            "  hint   k from 1 to less than the number of classes; accuracy is k = 1"
        )
    # One to ignore, -100 for example, is no place counted from the end.
    known = (classes >= 0) & (classes < count)
    of_labels = np.take_along_axis(scores, np.where(known, classes, 0)[..., None].astype(np.intp), -1)
    hits = known & (np.sum(~(scores <= of_labels), axis=-1) < k)
    return _share("top_k_accuracy", hits, sample_weight)


def binary_accuracy(
    predictions: Operand,
    targets: Operand,
    *,
    threshold: float = 0.0,
    sample_weight: Operand | None = None,
) -> float:
    """Return the share of elements that lie on the right side of a threshold: above it for targets above a half.

    NaN lies on neither side.

    Args:
        predictions: logits, as `nn.losses.binary_cross_entropy` takes them, of any shape.
        targets: 0 or 1, of the same shape.
        threshold: 0 for logits; of probabilities it is 0.5.
        sample_weight: what each row counts, (N,), or each element.

    Raises:
        ShapeError: shapes that differ.

    Example:
        >>> binary_accuracy(np.array([3.0, -1.0, 0.2]), np.array([1, 0, 0]))
        0.6666666666666666
    """
    scores, marks = plain(predictions), plain(targets)
    if scores.shape != marks.shape:
        raise ShapeError(
            f"binary_accuracy: predictions have shape {scores.shape}, targets have shape {marks.shape}\n"
            f"  hint   targets.reshape({scores.shape}) if they are the same numbers"
        )
    return _share(
        "binary_accuracy", np.where(marks > 0.5, scores > threshold, scores <= threshold), sample_weight
    )


def _scores_and_labels(who: str, predictions: Operand, labels: Operand) -> tuple[Array, Array]:
    scores, classes = plain(predictions), plain(labels)
    columns = scores.ndim < 2 or scores.shape[-1] == 1
    if columns or classes.shape not in (scores.shape[:-1], scores.shape):
        hint = "\n  hint   binary_accuracy for one logit a row" if columns else ""
        if columns and scores.dtype.kind in "iu":
            hint = "\n  hint   scores of all classes, as the model returns them, before argmax"
        raise ShapeError(
            f"{who}: predictions {scores.shape} and labels {classes.shape}, expected (N, C) and (N,), or (N, ..., C) "
            f"and (N, ...){hint}"
        )
    return scores, classes.argmax(axis=-1) if classes.ndim == scores.ndim else classes


def _share(who: str, hits: Array, sample_weight: Operand | None) -> float:
    if sample_weight is None:
        return float(np.mean(hits))
    return reduced(who, as_tensor(hits.astype(np.float64)), "mean", sample_weight).item()


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "binary_accuracy": binary_accuracy,
    "top5": top_k_accuracy,
    "mae": losses.mae,
    "mse": losses.mse,
}
"""Those that `fit` and `evaluate` know by name."""


def metrics_by_name(who: str, metrics: object) -> dict[str, Metric]:
    """Return functions by the names of their columns; refuse what are none, and names that other columns have.

    Raises:
        ArgumentError: says which.
    """
    call = f'metrics=["accuracy"], or {{"acc": tn.train.accuracy}}; by name there are {", ".join(METRICS)}'
    named = metrics or {}
    if isinstance(named, (list, tuple)):
        parts = named
        named = {
            part if isinstance(part, str) else getattr(part, "__name__", repr(part)): part for part in parts
        }
        if "<lambda>" in named or len(named) < len(parts):
            raise ArgumentError(
                f"{who}: metrics in a list need names of their own, got {metrics!r:.60}\n"
                '  hint   metrics={"error": lambda predictions, targets: ...}'
            )
    if not isinstance(named, Mapping) or not all(
        isinstance(name, str) and (callable(named[name]) or isinstance(named[name], str)) for name in named
    ):
        raise ArgumentError(f"{who}: metrics are functions by name, got {metrics!r:.60}\n  hint   {call}")
    for metric in named.values():
        if isinstance(metric, str) and metric not in METRICS:
            meant = word(metric, "metrics") or closest(metric, METRICS)
            hint = f'\n  hint   "{meant}"' if meant else "\n  hint   a function of predictions and targets"
            raise ArgumentError(f"{who}: there is no metric {metric!r}; there are {', '.join(METRICS)}{hint}")
    taken = ", ".join(repr(name) for name in named if name in _COLUMNS or name.startswith("val_"))
    if taken:
        raise ArgumentError(
            f"{who}: no metric can be called {taken}: {', '.join(_COLUMNS)} and val_... are other columns\n"
            f"  hint   {call}"
        )
    return {name: METRICS[metric] if isinstance(metric, str) else metric for name, metric in named.items()}


_COLUMNS = ("loss", "seconds", "epoch")


def is_array(thing: object) -> TypeGuard[Tensor | np.ndarray]:
    """Tell whether `thing` is a tensor or an array, and not what an array could be made of."""
    return isinstance(thing, (Tensor, np.ndarray))


def arrays_of(values: Tree) -> Tree:
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


def rows_of(who: str, arrays: Tree) -> int:
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


def measured(
    loss: Tensor, predictions: Tree, targets: Tree, metrics: Mapping[str, Metric], weights: Weights
) -> tuple[dict[str, float], float]:
    """Return loss and metrics of a batch, and how often it counts: as often as it has rows, or as its rows weigh."""
    targets = arrays_of(targets)
    rows: float = rows_of("targets", targets)
    if weights:
        rows = float(plain(weights["sample_weight"]).sum(dtype=np.float64))
    numbers = {"loss": loss.item()}
    if metrics:
        predictions = arrays_of(predictions)
        for name, metric in metrics.items():
            numbers[name] = _number(name, metric(predictions, targets, **weights))
    return numbers, rows


def _number(name: str, value: SupportsFloat) -> float:
    """Return what a metric has returned, which is one number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        what = f"shape {value.shape}" if isinstance(value, (np.ndarray, Tensor)) else f"{value!r:.60}"
        raise ArgumentError(
            f"the metric {name!r} returned {what}, expected one number for the rows of a batch\n"
            "  hint   return float(np.mean(...))"
        ) from None


class Means:
    """Means over rows, or weighted ones, of numbers that are means over batches."""

    def __init__(self) -> None:
        self.rows: float = 0
        self._totals: dict[str, float] = {}

    def add(self, numbers: Mapping[str, float], rows: float) -> None:
        """Count what was measured of a batch."""
        for name, value in numbers.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * rows
        self.rows += rows

    def values(self) -> dict[str, float]:
        return {name: total / self.rows for name, total in self._totals.items()}

    def state_dict(self) -> StateDict:
        return {"rows": self.rows, "totals": dict(self._totals)}

    def load_state_dict(self, state: State) -> None:
        check_entries("Means", state, rows=lambda rows: is_number(rows) and rows >= 0, totals=_are_numbers)
        self.rows, self._totals = state["rows"], dict(state["totals"])


def _are_numbers(totals: object) -> bool:
    return isinstance(totals, Mapping) and all(map(is_number, totals.values()))
