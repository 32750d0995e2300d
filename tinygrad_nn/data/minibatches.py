"""Minibatches: the same rows of several arrays, gathered when asked for; the whole set is never copied."""

import itertools
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_nn.errors import ShapeError

Rng = int | np.random.Generator | None
Batch = tuple[NDArray[Any], ...]


class Batches:
    """What `batches` returns: `len` is the number of batches in an epoch, each iteration is a new epoch."""

    def __init__(
        self, arrays: tuple[ArrayLike, ...], *, size: int, rng: Rng, shuffle: bool, drop_last: bool
    ) -> None:
        self._arrays, self._rows, self._size = _checked(arrays, size)
        if drop_last and self._size > self._rows:
            raise ValueError(f"size={size} and drop_last=True leave no batch of {self._rows} rows")
        self._rng = np.random.default_rng(rng)
        self._shuffle = shuffle
        self._stop = self._rows - self._rows % self._size if drop_last else self._rows

    def __len__(self) -> int:
        return -(-self._stop // self._size)

    def __iter__(self) -> Iterator[Batch]:
        order = self._rng.permutation(self._rows) if self._shuffle else None
        for start in range(0, self._stop, self._size):
            rows = slice(start, min(start + self._size, self._stop))
            yield tuple(array[rows if order is None else order[rows]] for array in self._arrays)


def batches(
    *arrays: ArrayLike, size: int, rng: Rng = None, shuffle: bool = True, drop_last: bool = False
) -> Batches:
    """Every row once per epoch, in batches of `size`: iterate over the result once for each epoch.

    Each batch is a tuple with one ndarray per array, all with the same rows, of shape (size, ...); the last
    batch holds the remaining rows, unless `drop_last`. The order is drawn anew for each epoch from `rng`, a
    seed or a Generator (which advances; None: unpredictable). With `shuffle=False` rows keep their order
    and batches are views. To draw different orders, build the batches once, or hand over a Generator: the
    same seed gives the same order.

    Raises ShapeError if the arrays do not have the same number of rows, at least one; ValueError without
    arrays, for size < 1, or if `drop_last` would drop everything.

    >>> training = batches([[0, 0], [1, 1], [2, 4]], ["a", "b", "c"], size=2, rng=0)
    >>> for epoch in range(2):
    ...     for X, y in training:
    ...         print(epoch, X.tolist(), y.tolist())
    0 [[2, 4], [0, 0]] ['c', 'a']
    0 [[1, 1]] ['b']
    1 [[2, 4], [1, 1]] ['c', 'b']
    1 [[0, 0]] ['a']
    """
    return Batches(arrays, size=size, rng=rng, shuffle=shuffle, drop_last=drop_last)


def batches_forever(*arrays: ArrayLike, size: int, rng: Rng = None) -> Iterator[Batch]:
    """Shuffled epochs without end, cut into batches of exactly `size`, which may span two epochs or more.

    For training that is counted in steps; zip with a range to stop. Arrays, `rng` and errors are those of
    `batches`.

    >>> for step, (labels,) in zip(range(3), batches_forever(["a", "b", "c"], size=2, rng=0)):
    ...     print(step, labels)
    0 ['c' 'a']
    1 ['b' 'c']
    2 ['b' 'a']
    """
    columns, rows, size = _checked(arrays, size)
    return _endless(columns, rows, size, np.random.default_rng(rng))


def batches_with_replacement(*arrays: ArrayLike, size: int, rng: Rng = None) -> Iterator[Batch]:
    """Batches of `size` rows without end, every row drawn uniformly and independently of all others.

    Arrays, `rng` and errors are those of `batches`.

    >>> for step, (labels,) in zip(range(3), batches_with_replacement(["a", "b", "c"], size=2, rng=0)):
    ...     print(step, labels)
    0 ['c' 'b']
    1 ['b' 'a']
    2 ['a' 'a']
    """
    columns, rows, size = _checked(arrays, size)
    random = np.random.default_rng(rng)
    draws = (random.integers(rows, size=size) for _ in itertools.count())
    return (tuple(column[draw] for column in columns) for draw in draws)


def _endless(arrays: Batch, rows: int, size: int, random: np.random.Generator) -> Iterator[Batch]:
    order = random.permutation(rows)
    while True:
        while len(order) < size:
            order = np.concatenate([order, random.permutation(rows)])
        yield tuple(array[order[:size]] for array in arrays)
        order = order[size:]


def _checked(arrays: tuple[ArrayLike, ...], size: int) -> tuple[Batch, int, int]:
    """The arrays as ndarrays, their common number of rows, and the batch size as an int."""
    size = operator.index(size)
    if size < 1:
        raise ValueError(f"a batch needs at least one row, got size={size}")
    if not arrays:
        raise ValueError("there are no arrays to take batches of: write batches(X, y, size=...)")
    columns = tuple(np.asarray(array) for array in arrays)
    lengths = {column.shape[:1] for column in columns}
    if len(lengths) > 1 or lengths & {(), (0,)}:
        shapes = ", ".join(str(column.shape) for column in columns)
        raise ShapeError(
            f"batches need arrays with the same number of rows, at least one, got shapes {shapes}"
        )
    return columns, len(columns[0]), size
