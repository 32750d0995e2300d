"""Minibatches: the same rows of several arrays, gathered when asked for; the whole set is never copied."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn.data.columns import Column, Stored, column
from tinygrad_nn.errors import CheckpointError, SettingError, ShapeError
from tinygrad_nn.hints.lookups import Signposts
from tinygrad_nn.settings import positive_integer
from tinygrad_nn.states import (
    State,
    StateDict,
    check_entries,
    fits_random,
    is_count,
    random_state,
    set_random_state,
)

Seed = int | np.random.Generator | np.random.SeedSequence | None
Batch = tuple[np.ndarray, ...]


class Batches(Signposts):
    """What `batches` returns: `len` is the number of batches in an epoch, each iteration is a new epoch.

    Arguments and errors are those of `batches`.

    Example:
        >>> training = batches(np.zeros((10, 3)), np.arange(10), size=4, rng=0)
        >>> training, [len(y) for X, y in training]
        (Batches((10, 3) float64, (10,) int64; 3 batches of 4 rows, shuffled), [4, 4, 2])
    """

    def __init__(
        self,
        arrays: tuple[ArrayLike | Stored | Column, ...],
        *,
        size: int,
        rng: Seed,
        shuffle: bool,
        drop_last: bool,
        chosen: np.ndarray | None = None,
    ) -> None:
        self._arrays, self._rows, self._size = _checked(arrays, size)
        # Rows that are not held out, where some are.
        self._chosen = chosen
        if chosen is not None:
            self._rows = len(chosen)
        if drop_last and self._size > self._rows:
            raise SettingError(f"size={size} and drop_last=True leave no batch of {self._rows} rows")
        self._rng = np.random.default_rng(rng)
        for name, value in (("shuffle", shuffle), ("drop_last", drop_last)):
            if not isinstance(value, (bool, np.bool)):
                raise SettingError(f"batches: {name} is True or False, got {value!r:.60}")
        self._shuffle, self._drop_last = shuffle, drop_last
        self._stop = self._rows - self._rows % self._size if drop_last else self._rows
        self._taken = 0
        self._drawn_from: State | None = None
        self._pending: tuple[np.ndarray | None, int] | None = None

    def __repr__(self) -> str:
        order = "shuffled" if self._shuffle else "in order"
        return f"Batches({_told(self._arrays)}; {len(self)} batches of {self._size} rows, {order})"

    def __len__(self) -> int:
        return -(-self._stop // self._size)

    def __iter__(self) -> Iterator[Batch]:
        return self.parts(0, 1)

    def parts(self, rank: int, size: int) -> Iterator[Batch]:
        """Yield, of each batch of an epoch, the rows of one of `size` ranks; the others are not gathered."""
        order, first = self._pending or (self._draw(), 0)
        self._pending = None
        part = part_of(self._size, rank, size)
        for k in range(first, len(self)):
            self._taken = k + 1
            start = k * self._size
            if start + self._size > self._stop:
                part = part_of(self._stop - start, rank, size)
            rows = slice(start + part.start, start + part.stop)
            yield tuple(array[rows if order is None else order[rows]] for array in self._arrays)
        self._taken = 0

    def _draw(self) -> np.ndarray | None:
        self._drawn_from = random_state(self._rng)
        order = self._rng.permutation(self._rows) if self._shuffle else None
        if self._chosen is None or order is None:
            return self._chosen if order is None else order
        return self._chosen[order]

    def hold_out(self, share: float) -> tuple["Batches", Batch]:
        """Return batches of the other rows, and the arrays of a share of the rows, to validate on.

        Which rows depends on nothing but their number, so that a training that goes on, or a second one, holds out the
        same. They are spread over the whole set, which may be sorted by label; of a series in time hold out the end
        yourself. The batches draw from the same generator as these.

        Raises:
            SettingError: `share` is not between 0 and 1, or leaves one side without a row.

        Example:
            >>> rest, (X, y) = batches(np.arange(10), np.arange(10), size=4, rng=0).hold_out(0.3)
            >>> X, sum(len(X) for X, y in rest)
            (array([2, 4, 6]), 7)
        """
        kept, held = _divided(self._rows if self._chosen is None else self._chosen, share)
        rest = Batches(
            self._arrays,
            size=self._size,
            rng=self._rng,
            shuffle=self._shuffle,
            drop_last=self._drop_last,
            chosen=kept,
        )
        return rest, tuple(array[held] for array in self._arrays)

    def sample(self, count: int) -> Batch:
        """Return at most `count` rows from anywhere in the set, in its order; the order of the batches stays.

        Which rows depends on nothing but their number.

        Example:
            >>> batches([5, 6, 7, 8, 9], size=2, rng=0).sample(3)
            (array([7, 8, 9]),)
        """
        return _anywhere(self._arrays, self._rows, self._chosen, count)

    def state_dict(self) -> StateDict:
        """Return where the latest iteration stands: how many batches it gave, in which order, and the generator."""
        state = {"rows": self._rows, "size": self._size, "taken": self._taken}
        return {**state, "drawn_from": self._drawn_from, "now": random_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        """Let the next iteration go on where another one stood when `state_dict` was called.

        Raises:
            CheckpointError: the state is none, or of batches of another size or number of rows, or of another kind of
                generator; nothing is changed then.
        """
        fits = fits_random(self._rng)
        check_entries(
            "Batches",
            state,
            rows=is_count,
            size=is_count,
            taken=lambda taken: is_count(taken, len(self)),
            drawn_from=lambda drawn_from: not state.get("taken") or fits(drawn_from),
            now=fits,
        )
        if (state["rows"], state["size"]) != (self._rows, self._size):
            raise CheckpointError(
                f"the state is of {state['rows']} rows in batches of {state['size']}, "
                f"these are {self._rows} in batches of {self._size}"
            )
        self._taken, self._drawn_from, self._pending = state["taken"], state["drawn_from"], None
        if self._taken:
            set_random_state(self._rng, self._drawn_from)
            self._pending = self._draw(), self._taken
        set_random_state(self._rng, state["now"])


class Stream(Iterator[Batch]):
    """What `batches_forever` and `batches_with_replacement` return: batches without end.

    Arguments and errors are those of `batches`.

    Example:
        >>> stream = batches_forever(np.arange(5), size=3, rng=0)
        >>> stream, next(stream)
        (Stream((5,) int64; 3 rows at a time, without end), (array([2, 4, 3]),))
    """

    def __init__(
        self,
        arrays: tuple[ArrayLike | Stored | Column, ...],
        *,
        size: int,
        rng: Seed,
        chosen: np.ndarray | None = None,
    ) -> None:
        self._arrays, self._rows, self._size = _checked(arrays, size)
        self._chosen = chosen
        if chosen is not None:
            self._rows = len(chosen)
        self._rng = np.random.default_rng(rng)
        self._order: np.ndarray = np.empty(0, np.int64)

    def __repr__(self) -> str:
        return f"Stream({_told(self._arrays)}; {self._size} rows at a time, without end)"

    def _next_rows(self) -> np.ndarray:
        raise NotImplementedError

    def __next__(self) -> Batch:
        return next(self.parts(0, 1))

    def parts(self, rank: int, size: int) -> Iterator[Batch]:
        """Yield, of each batch, the rows of one of `size` ranks; the others are not gathered."""
        part = part_of(self._size, rank, size)
        while True:
            rows = self._next_rows()[part]
            if self._chosen is not None:
                rows = self._chosen[rows]
            yield tuple(array[rows] for array in self._arrays)

    def hold_out(self, share: float) -> tuple["Stream", Batch]:
        """Return a stream of the other rows, and the arrays of a share of the rows; see `Batches.hold_out`."""
        kept, held = _divided(self._rows if self._chosen is None else self._chosen, share)
        rest = type(self)(self._arrays, size=self._size, rng=self._rng, chosen=kept)
        return rest, tuple(array[held] for array in self._arrays)

    def sample(self, count: int) -> Batch:
        """Return at most `count` rows from anywhere in the set, in its order; the stream stays where it is."""
        return _anywhere(self._arrays, self._rows, self._chosen, count)

    def state_dict(self) -> StateDict:
        """Return the rows that are still to come of the epoch begun, and the generator."""
        return {"rows": self._rows, "order": self._order.copy(), "now": random_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        """Go on where another stream stood when `state_dict` was called.

        Raises:
            CheckpointError: the state is none, or of a stream of another number of rows or kind of generator;
                nothing is changed then.
        """
        check_entries("Stream", state, rows=is_count, order=self._is_order, now=fits_random(self._rng))
        if state["rows"] != self._rows:
            raise CheckpointError(f"the state is of {state['rows']} rows, this stream has {self._rows}")
        self._order = np.array(state["order"])
        set_random_state(self._rng, state["now"])

    def _is_order(self, order: object) -> bool:
        if not isinstance(order, np.ndarray) or order.ndim != 1 or order.dtype != np.int64:
            return False
        return bool(np.all((order >= 0) & (order < self._rows)))


class _Epochs(Stream):
    def _next_rows(self) -> np.ndarray:
        while len(self._order) < self._size:
            self._order = np.concatenate([self._order, self._rng.permutation(self._rows)])
        rows, self._order = self._order[: self._size], self._order[self._size :]
        return rows


class _Draws(Stream):
    def _next_rows(self) -> np.ndarray:
        return self._rng.integers(self._rows, size=self._size)


def batches(
    *arrays: ArrayLike | Stored, size: int, rng: Seed = None, shuffle: bool = True, drop_last: bool = False
) -> Batches:
    """Return batches of `size` rows, every row once per epoch: iterate over the result once for each epoch.

    Each batch is a tuple with one ndarray per array, all with the same rows, of shape (size, ...); the last
    batch holds the remaining rows, unless `drop_last`. The order is drawn anew for each epoch from `rng`, a
    seed or a Generator (which advances; None: unpredictable). With `shuffle=False` rows keep their order
    and batches are views. To draw different orders, build the batches once, or hand over a Generator: the
    same seed gives the same order.

    Arrays on a disk are never read as a whole: of memory maps, datasets of h5py, arrays of zarr, and whatever else has
    a shape, a dtype and rows to be read by slices and by increasing numbers, a batch reads its rows, in the order in
    which they lie there.

    Raises:
        ShapeError: the arrays do not have the same number of rows, at least one.
        DtypeError: the elements of an array are Python objects.
        ValueError: no arrays, size < 1, or `drop_last` would drop everything.

    Example:
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


def batches_forever(*arrays: ArrayLike | Stored, size: int, rng: Seed = None) -> Stream:
    """Return shuffled epochs without end, cut into batches of exactly `size`, which may span two epochs or more.

    For training that is counted in steps; zip with a range to stop. Arrays, `rng` and errors are those of
    `batches`.

    Example:
        >>> for step, (labels,) in zip(range(3), batches_forever(["a", "b", "c"], size=2, rng=0)):
        ...     print(step, labels)
        0 ['c' 'a']
        1 ['b' 'c']
        2 ['b' 'a']
    """
    return _Epochs(arrays, size=size, rng=rng)


def batches_with_replacement(*arrays: ArrayLike | Stored, size: int, rng: Seed = None) -> Stream:
    """Return batches of `size` rows without end, every row drawn uniformly and independently of all others.

    Arrays, `rng` and errors are those of `batches`.

    Example:
        >>> for step, (labels,) in zip(range(3), batches_with_replacement(["a", "b", "c"], size=2, rng=0)):
        ...     print(step, labels)
        0 ['c' 'b']
        1 ['b' 'a']
        2 ['a' 'a']
    """
    return _Draws(arrays, size=size, rng=rng)


def part_of(rows: int, rank: int, size: int) -> slice:
    """Return which of some rows are those of one of `size` ranks: neighbours, and as many for each as can be."""
    return slice(rows * rank // size, rows * (rank + 1) // size)


def _anywhere(arrays: tuple[Column, ...], rows: int, chosen: np.ndarray | None, count: int) -> Batch:
    """Return so many rows of all arrays; a regular grid could meet one label only."""
    places = np.sort(np.random.default_rng(0).permutation(rows)[:count])
    return tuple(array[places if chosen is None else chosen[places]] for array in arrays)


def _divided(rows: int | np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and rows to hold out, each in their order."""
    if isinstance(share, bool) or not 0 < share < 1:
        raise SettingError(f"hold_out: the share of rows lies between 0 and 1, got {share!r:.60}")
    order = np.random.default_rng(0).permutation(rows)
    count = round(len(order) * share)
    if not 0 < count < len(order):
        raise SettingError(f"hold_out: a share of {share} of {len(order)} rows leaves one side without any")
    return np.sort(order[count:]), np.sort(order[:count])


def _checked(
    arrays: tuple[ArrayLike | Stored | Column, ...], size: int
) -> tuple[tuple[Column, ...], int, int]:
    """Return what rows are taken of, their common number of rows, and the batch size as an int."""
    size = positive_integer("batches", "size", size)
    if not arrays:
        raise ShapeError("there are no arrays to take batches of: write batches(X, y, size=...)")
    columns = tuple(map(column, arrays))
    lengths = {column.shape[:1] for column in columns}
    if len(lengths) > 1 or lengths & {(), (0,)}:
        shapes = ", ".join(str(column.shape) for column in columns)
        raise ShapeError(
            f"batches need arrays with the same number of rows, at least one, got shapes {shapes}"
        )
    return columns, len(columns[0]), size


def _told(arrays: tuple[Column, ...]) -> str:
    return ", ".join(f"{array.shape} {array.dtype}" for array in arrays)
