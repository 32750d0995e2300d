"""Arrays on a disk: a batch reads its rows, in the order in which they lie, and nothing is read whole."""

import itertools

import numpy as np
import pytest

from tinygrad_nn import data
from tinygrad_nn.data import batches, batches_forever, batches_with_replacement
from tinygrad_nn.errors import DtypeError, ShapeError


class OnDisk:
    """A dataset as h5py has them: rows by slices, and by increasing numbers, each once; notes what is read."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.reads = []

    def __len__(self):
        return len(self._array)

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read as a whole")

    def __getitem__(self, rows):
        if not isinstance(rows, slice):
            assert np.all(np.diff(rows) > 0), "Indexing elements must be in increasing order"
        read = self._array[rows]
        self.reads.append(len(read))
        return read


@pytest.fixture
def arrays():
    return np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32), np.arange(50)


def same(left, right):
    for ours, theirs in zip(left, right, strict=True):
        assert len(ours) == len(theirs)
        for mine, its in zip(ours, theirs, strict=True):
            assert type(mine) is np.ndarray
            np.testing.assert_array_equal(mine, its, strict=True)


@pytest.mark.parametrize("options", [{"shuffle": False}, {"rng": 3}, {"rng": 3, "drop_last": True}])
def test_batches_of_what_lies_on_a_disk_are_those_of_the_arrays_and_read_no_more(arrays, options):
    stored = [OnDisk(array) for array in arrays]
    ours = batches(*stored, size=8, **options)
    same(ours, batches(*arrays, size=8, **options))
    # Rows that lie close together are read with those between them.
    assert all(max(x.reads) <= 16 for x in stored)


def test_rows_that_are_far_apart_are_read_alone(arrays):
    stored = OnDisk(arrays[0])
    next(iter(batches(stored, size=2, rng=0)))
    assert stored.reads == [2]


def test_streams_of_what_lies_on_a_disk_are_those_of_the_arrays(arrays):
    for make in (batches_forever, batches_with_replacement):
        streams = (make(*map(kind, arrays), size=40, rng=1) for kind in (OnDisk, np.asarray))
        same(*(itertools.islice(stream, 4) for stream in streams))


def test_rows_of_a_disk_are_held_out_and_shared_out(arrays):
    rest, held = batches(*map(OnDisk, arrays), size=8, rng=0).hold_out(0.2)
    rest_too, held_too = batches(*arrays, size=8, rng=0).hold_out(0.2)
    same(rest, rest_too)
    same([held], [held_too])
    for rank in range(60):
        # Of fewer rows than there are ranks some have none.
        ours, theirs = (batches(*map(k, arrays), size=8, rng=0).parts(rank, 60) for k in (OnDisk, np.asarray))
        same(ours, theirs)


def test_a_memory_map_stays_on_the_disk(arrays, tmp_path):
    np.save(tmp_path / "x.npy", arrays[0])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    ((first,), *_) = batches(mapped, size=8, shuffle=False)
    assert np.shares_memory(first, mapped)
    same(batches(mapped, size=8, rng=0), batches(arrays[0], size=8, rng=0))


class Frame:
    """A table or a series in memory, as pandas, polars and Arrow have them: NumPy can ask for an array."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __array_ufunc__(self, *args, **kwargs):
        raise AssertionError

    def __array__(self, dtype=None, copy=None):
        return self._array

    def __getitem__(self, name):
        raise KeyError(name)


def test_tables_in_memory_are_arrays(arrays):
    same(batches(*map(Frame, arrays), size=8, rng=0), batches(*arrays, size=8, rng=0))


@pytest.mark.parametrize(
    ("array", "kinds", "hint"),
    [
        (np.array([[1.0, "a"], [2.0, "b"]], object), "float, str", "select_dtypes"),
        (np.array(["a", "b"], object), "str", "np.unique"),
        (np.array([[1, 2], [3, 4]], object), "int", "np.asarray"),
        (np.array(None), "NoneType", "np.asarray"),
        ([None, 2.0], "NoneType", "np.asarray"),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, Frame, OnDisk])
def test_python_objects_are_refused_when_batches_are_made(array, kinds, hint, kind):
    array = np.asarray(array)
    if kind is OnDisk and not array.shape:
        kind = Frame
    for make in (data.batches, data.batches_forever, data.batches_with_replacement):
        with pytest.raises(
            DtypeError, match=rf"are Python objects \({kinds}\), which no model takes\n  hint   "
        ) as e:
            make(kind(array), size=1)
        assert hint in str(e.value).rpartition("hint")[2]


def test_several_arrays_in_a_tuple_are_refused_with_the_call_to_write():
    for make in (data.batches, data.batches_forever, data.batches_with_replacement):
        with pytest.raises(
            ShapeError, match=r"of a tuple have several shapes.*\n  hint   tn\.data\.batches\(X, y"
        ):
            make((np.zeros((4, 2)), np.zeros(4)), size=2)


def test_what_lies_on_a_disk_has_as_many_rows_as_the_others(arrays):
    with pytest.raises(ShapeError, match=r"got shapes \(50, 3\), \(49,\)"):
        batches(OnDisk(arrays[0]), OnDisk(arrays[1][1:]), size=3)
