"""What batches are cut from: arrays in memory, and those on a disk, of which only the rows of a batch are read."""

from __future__ import annotations

from typing import Protocol, TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn.errors import DtypeError, ShapeError


class Stored(Protocol):
    """An array that is read by indexing: a dataset of h5py, an array of zarr, or a class of one's own."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def __getitem__(self, rows: slice | np.ndarray, /) -> ArrayLike: ...


class StoredRows:
    """The rows of an array on a disk.

    Args:
        stored: the array, which can be read by slices, and by rows in increasing order, each once.
    """

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self.shape, self.dtype = tuple(stored.shape), stored.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return some rows in their order, which are read in the order in which they lie on the disk."""
        if isinstance(rows, slice):
            return np.asarray(self._stored[rows])
        read, places = np.unique(rows, return_inverse=True)
        if not len(read):
            return np.asarray(self._stored[:0])
        first, end = int(read[0]), int(read[-1]) + 1
        if end - first <= _DENSE * len(read):
            # One after the other is faster than one by one.
            near: np.ndarray = np.asarray(self._stored[first:end])[rows - first]
            return near
        apart: np.ndarray = np.asarray(self._stored[read])[places]
        return apart


_DENSE = 2

Column = np.ndarray | StoredRows


def column(data: ArrayLike | Stored | Column) -> Column:
    """Return what rows can be taken of; an array in memory, a memory map among them, as an ndarray.

    Raises:
        DtypeError: its elements are Python objects.
        ShapeError: it is a list of things of several lengths.
    """
    if isinstance(data, StoredRows):
        return data
    if isinstance(data, dict):
        raise DtypeError(
            "batches: a dict is no array, and its arrays are several\n"
            "  hint   tn.data.batches(*data.values(), size=32), the targets last"
        )
    if _is_stored(data) and data.shape:
        rows: Column = StoredRows(data)
    else:
        try:
            rows = np.asarray(data)
        except ValueError as error:
            if not isinstance(data, (list, tuple)):
                raise
            raise ShapeError(
                f"batches: the items of a {type(data).__name__} have several shapes, and make no array\n"
                "  hint   tn.data.batches(X, y, size=32) for several arrays; rows of several lengths are padded to one"
            ) from error
    if rows.dtype.hasobject:
        first = np.asarray(data) if not rows.shape else rows[:1]
        kinds = list({type(x).__name__: None for x in np.ravel(first).tolist()})
        hint = (
            "np.unique(y, return_inverse=True)[1] gives names numbers"
            if kinds == ["str"]
            else "np.asarray(X, np.float32), if all of them are numbers; of a frame frame.select_dtypes('number')"
        )
        raise DtypeError(
            f"batches: the elements of an array of shape {rows.shape} are Python objects ({', '.join(kinds[:4])}), "
            f"which no model takes\n  hint   {hint}"
        )
    return rows


def _is_stored(data: object) -> TypeGuard[Stored]:
    """Tell whether something is an array that lies elsewhere; what lies in memory takes part in NumPy's functions."""
    return (
        isinstance(getattr(data, "dtype", None), np.dtype)
        and isinstance(getattr(data, "shape", None), tuple)
        and hasattr(data, "__getitem__")
        and not hasattr(data, "__array_ufunc__")
        and not hasattr(data, "__dlpack__")
    )
