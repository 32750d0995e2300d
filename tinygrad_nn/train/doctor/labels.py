"""What the targets of a training are: how often each class comes, and whether batches are alike."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.metrics import arrays_of

_CLASSES = 1000
"""Integers up to here are classes, larger ones numbers."""
_GROUP = 16
"""Rows of which a group has at least; smaller batches are put together."""


class Labels:
    """Counts the targets of batches, one array each; where there are several, nothing is counted.

    Attributes:
        rows: how many targets were seen.
        kind: "classes" or "numbers"; "" before the first batch, or where there is no single array.
        one_each: whether each row has one label.
        least, most: of numbers.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.kind = ""
        self.one_each = False
        self.least, self.most = math.inf, -math.inf
        self._counts: list[Array] = []
        self._open: tuple[Array, float] = (np.zeros(0), 0.0)
        self._sums: list[tuple[float, float, float]] = []

    def look(self, targets: Tree, rows_weigh: Array | None) -> None:
        """Count the targets of a batch; each row as often as it weighs."""
        leaves = list(trees.leaves(arrays_of(targets)))
        if len(leaves) != 1 or not leaves[0].size:
            return
        values: Array = leaves[0]
        classes = class_numbers(values)
        kind = "numbers" if classes is None else "classes"
        if not self.kind:
            self.kind = kind
            self.one_each = classes is not None and classes.size == len(values)
        if kind != self.kind:
            # What looked like classes has other values too.
            self.kind, self._counts, self.rows = "numbers", [], 0
            classes = None
        if classes is None:
            self._look_at_numbers(values)
        else:
            weigh = None if rows_weigh is None or rows_weigh.shape != classes.shape else rows_weigh
            self._look_at_classes(classes, weigh)

    def _look_at_classes(self, classes: Array, weigh: Array | None) -> None:
        if classes.min() < 0:
            # One to ignore, -100 for example.
            known = classes >= 0
            classes, weigh = classes[known], None if weigh is None else weigh[known]
        if not classes.size:
            return
        self.rows += classes.size
        counts = np.bincount(classes, weights=weigh).astype(np.float64)
        before, size = self._open
        if size:
            counts = _added(before, counts)
        size += classes.size
        if size < _GROUP:
            self._open = counts, size
        else:
            self._counts.append(counts)
            self._open = np.zeros(0), 0.0

    def _look_at_numbers(self, values: Array) -> None:
        numbers = values.reshape(len(values), -1).astype(np.float64).mean(axis=1)
        self.rows += len(numbers)
        self.least = min(self.least, float(values.min()))
        self.most = max(self.most, float(values.max()))
        self._sums.append((len(numbers), float(numbers.sum()), float(numbers @ numbers)))

    def counts(self) -> Array:
        """Return how often each class came."""
        total = self._open[0]
        for counts in self._counts:
            total = _added(total, counts)
        return total

    def mean(self) -> float:
        """Return the mean of numbers."""
        size, total, _ = np.sum(self._sums, axis=0)
        return float(total / size)

    def constant(self) -> bool:
        """Tell whether all targets are the same."""
        if self.kind == "classes":
            return int(np.count_nonzero(self.counts())) == 1
        return self.kind == "numbers" and self.least == self.most

    def explained(self) -> tuple[float, int]:
        """Return the share of the variance of the targets that lies between batches, and how many groups there are.

        It is omega squared of an analysis of variance (Hays, 1963): 0 where batches are drawn at random, 1 where each
        has targets of its own. Of classes it is that of their indicators together.
        """
        if self.kind == "classes":
            size = max(map(len, self._counts), default=0)
            table = np.array([np.pad(counts, (0, size - len(counts))) for counts in self._counts])
            table = table.reshape(-1, max(size, 1))
            rows = table.sum(axis=1)
            total, groups = rows.sum(), len(table)
            if groups < 2 or total <= groups:
                return 0.0, groups
            everything = total - (table.sum(axis=0) ** 2).sum() / total
            within = total - (table**2 / rows[:, None]).sum()
        else:
            sums = np.array(_grouped(self._sums)).reshape(-1, 3)
            groups, total = len(sums), sums[:, 0].sum()
            if groups < 2 or total <= groups:
                return 0.0, groups
            everything = sums[:, 2].sum() - sums[:, 1].sum() ** 2 / total
            within = sums[:, 2].sum() - (sums[:, 1] ** 2 / sums[:, 0]).sum()
        if everything <= 1e-12 * total:
            return 0.0, groups
        noise = within / (total - groups)
        return float((everything - within - (groups - 1) * noise) / (everything + noise)), groups


def class_numbers(values: Array) -> Array | None:
    """Return the classes that targets stand for, flat; None where they are numbers.

    Example:
        >>> class_numbers(np.array([[0.0, 1.0], [1.0, 0.0]])), class_numbers(np.array([0.5, 2.0]))
        (array([1, 0]), None)
    """
    if values.dtype.kind in "iub":
        flat = values.reshape(-1).astype(np.intp)
        if values.ndim == 2 and values.shape[1] > 1 and flat.max() == 1 and np.all(values.sum(axis=1) == 1):
            classes: Array = np.argmax(values, axis=1)
            return classes
        return flat if flat.max() < _CLASSES else None
    if values.ndim > 1 and values.shape[-1] > 1:
        one_hot = np.all((values == 0) | (values == 1)) and np.all(values.sum(axis=-1) == 1)
        return np.argmax(values, axis=-1).reshape(-1) if one_hot else None
    flat = values.reshape(-1)
    whole = np.all((flat == 0) | (flat == 1))
    return flat.astype(np.intp) if whole else None


def _added(a: Array, b: Array) -> Array:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    total: Array = longer.copy()
    total[: len(shorter)] += shorter
    return total


def _grouped(sums: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Put neighbours together until each has enough rows."""
    groups: list[tuple[float, float, float]] = []
    open_ = (0.0, 0.0, 0.0)
    for part in sums:
        open_ = (open_[0] + part[0], open_[1] + part[1], open_[2] + part[2])
        if open_[0] >= _GROUP:
            groups.append(open_)
            open_ = (0.0, 0.0, 0.0)
    return groups
