"""Labels as people have them: integers, strings, one-hot rows, columns, scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import LabelError, ShapeError
from tinygrad_nn.primitives import Array

Labels = Sequence[object] | Tensor | Array
"""One for each row: integers or strings, or one-hot rows."""


def labels_of(who: str, labels: Labels) -> Array:
    """Return labels as a flat array of integers or names.

    Raises:
        ShapeError: several numbers a row that are not one-hot.
        LabelError: numbers that are no integers.
    """
    y = plain(labels)
    if y.ndim == 2 and y.shape[1] > 1:
        if not (np.all((y == 0) | (y == 1)) and np.all(y.sum(axis=1) == 1)):
            swapped = "\n  hint   plot.confusion(labels, predictions)" * (who == "confusion")
            raise ShapeError(f"{who}: labels of shape {y.shape} are not one-hot, expected (N,){swapped}")
        return np.asarray(y.argmax(axis=1))
    if y.ndim == 2:
        y = y[:, 0]
    if y.ndim != 1:
        raise ShapeError(f"{who}: labels have shape {y.shape}, expected (N,)")
    if y.dtype.kind == "f":
        if not np.all(y == np.floor(y)):
            raise LabelError(f"{who}: labels are integers, got {y[y != np.floor(y)][0]}")
        return y.astype(int)
    return y.astype(int) if y.dtype.kind == "b" else y


def predictions_of(who: str, predictions: Labels) -> Array:
    """Return what a model takes each row for: the column of the largest score, where it gives scores.

    Raises:
        ShapeError, LabelError: as `labels_of`.
    """
    scores = plain(predictions)
    if scores.ndim == 2 and scores.shape[1] > 1:
        return np.asarray(scores.argmax(axis=1))
    return labels_of(who, predictions)


def names_of(*labels: Array) -> list[object]:
    """Return the classes that labels may have, in order: all integers from 0 on, or the different names.

    Where some are names, the integers among the others are their places.
    """
    if words := [y for y in labels if y.dtype.kind not in "iu"]:
        labels = tuple(words)
    different = np.unique(np.concatenate(labels))
    if different.dtype.kind in "iu" and different.min(initial=0) >= 0:
        return list(range(int(different.max(initial=0)) + 1))
    return list(different.tolist())


def places_of(who: str, labels: Array, names: Sequence[object]) -> Array:
    """Return where each label stands among the names; integers are places already, where names are of other kinds.

    Raises:
        LabelError: a label is not among them.
    """
    where = {name: k for k, name in enumerate(names)}
    if labels.dtype.kind in "iu" and not any(isinstance(name, int) for name in names):
        where = {k: k for k in range(len(names))}
    found = labels.tolist()
    if missing := [label for label in found if label not in where]:
        raise LabelError(f"{who}: there is no class {missing[0]!r} among {', '.join(map(str, names))}")
    return np.array([where[label] for label in found], int)
