"""The rows of one rank: every rank goes through the same batches, and takes its part of each."""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import chain
from typing import Any, TypeVar, cast

import numpy as np

from tinygrad_nn.data.minibatches import Batches, Stream, part_of
from tinygrad_nn.errors import ArgumentError, RankError, ShapeError
from tinygrad_nn.parallel.communicator import Communicator, check_communicator
from tinygrad_nn.states import State, Stateful, is_stateful

Batch = TypeVar("Batch")


def shard(batches: Iterable[Iterable[object]], comm: Communicator) -> "Shard":
    """Return, of each batch, the rows of this rank: neighbours, as many for each rank as for the others, or one more.

    Every rank gives the same batches, in the same order. Those of this package begin where they stand on rank 0, so
    that `rng=None` is an order too, and gather no rows but those of the rank. Of others, of which all ranks make the
    whole batch, the first of each epoch is compared; and where they do not say how many they are, each time whether
    there is one. Where a batch has fewer rows than there are ranks, some get none.

    Args:
        batches: `tn.data.batches(...)`, `batches_forever(...)`, or any iterable of tuples of arrays.
        comm: the ranks, `MPI.COMM_WORLD` of mpi4py; see `tn.parallel.Communicator`.

    Raises:
        ArgumentError: `batches` cannot be iterated over, or are shared out already; `comm` is no communicator.
        RankError: the ranks have other batches than rank 0, or other numbers of them.

    Iterated over, it raises `ArgumentError` and `ShapeError` for batches that are no tuples of arrays with rows.

    Example:
        >>> import tinygrad_nn as tn
        >>> batches = lambda: tn.data.batches(np.arange(5), size=3, shuffle=False)
        >>> tn.parallel.threads(2, lambda comm: [x.tolist() for (x,) in shard(batches(), comm)])
        [[[0], [3]], [[1, 2], [4]]]
    """
    check_communicator("shard", comm)
    if not isinstance(batches, Iterable) or isinstance(batches, Shard):
        what = "a Shard already" if isinstance(batches, Shard) else f"{batches!r:.60}"
        raise ArgumentError(
            f"shard: batches are shared out among ranks, got {what}\n"
            "  hint   tn.data.shard(tn.data.batches(X, y, size=100, rng=0), comm)"
        )
    begin_as_rank_0(batches, comm)
    return Shard(batches, comm)


def begin_as_rank_0(batches: object, comm: Communicator) -> None:
    """Let batches that have a state go on where those of rank 0 stand."""
    lengths = comm.allgather(len(batches) if isinstance(batches, Sized) else None)
    if len(set(lengths)) > 1:
        raise RankError(f"the ranks have different numbers of batches: {', '.join(map(str, lengths))}")
    if is_stateful(batches):
        states = comm.allgather(batches.state_dict() if comm.rank == 0 else None)
        batches.load_state_dict(states[0])


class Shard:
    """What `shard` returns: `len` is the number of batches, if that is known; each iteration is an epoch.

    Example:
        >>> import tinygrad_nn as tn
        >>> batches = lambda: tn.data.batches(np.arange(5), size=3, rng=0)
        >>> tn.parallel.threads(2, lambda comm: len(shard(batches(), comm)))
        [2, 2]
    """

    def __init__(self, batches: Iterable[Iterable[object]], comm: Communicator) -> None:
        self._batches, self._comm = batches, comm

    def __len__(self) -> int:
        # Says itself if it has none.
        return len(cast("Sized", self._batches))

    def __iter__(self) -> Iterator[Any]:
        rank, size = self._comm.rank, self._comm.size
        # Not one of a user's, who may have changed what an iteration gives.
        if (
            isinstance(self._batches, (Batches, Stream))
            and type(self._batches).__module__ == Batches.__module__
        ):
            return self._batches.parts(rank, size)
        return (_part(batch, rank, size) for batch in self._compared())

    def _compared(self) -> Iterator[Iterable[object]]:
        batches = iter(self._batches)
        first = list(_each(batches, 1))
        digests = self._comm.allgather(_digest(first))
        if len(set(digests)) > 1:
            raise RankError(
                "the ranks do not have the same batches: the first ones differ\n"
                "  hint   the same seed on every rank, rng=0 and not rng=None"
            )
        batches = chain(first, batches)
        return batches if isinstance(self._batches, Sized) else self._in_step(batches)

    def _in_step(self, batches: Iterator[Iterable[object]]) -> Iterator[Iterable[object]]:
        while True:
            batch = next(batches, None)
            there = self._comm.allgather(batch is not None)
            if len(set(there)) > 1:
                raise RankError("some ranks have no more batches, and others have")
            if batch is None:
                return
            yield batch

    def state_dict(self) -> State:
        """Return where the batches stand, if they know it."""
        return cast("Stateful", self._batches).state_dict()

    def load_state_dict(self, state: State) -> None:
        """Let the batches go on where they stood; the same has to be done on every rank."""
        cast("Stateful", self._batches).load_state_dict(state)


def _each(batches: Iterator[Batch], most: int) -> Iterator[Batch]:
    return (batch for _, batch in zip(range(most), batches, strict=False))


def _part(batch: object, rank: int, size: int) -> object:
    """Return the rows of a rank of a batch; refuse one array, of which a loop would take the rows for arrays."""
    if isinstance(batch, Mapping):
        return {name: _rows(part, rank, size) for name, part in batch.items()}
    if not isinstance(batch, (list, tuple)):
        raise ArgumentError(
            f"shard: a batch is a tuple of arrays, got {type(batch).__name__} {batch!r:.60}\n"
            "  hint   tn.data.batches(X, y, size=100, rng=0) of whole arrays; (x,) of one array"
        )
    return tuple(_rows(part, rank, size) for part in batch)


def _rows(part: Any, rank: int, size: int) -> Any:
    """Return the rows of a rank of an array, or of those in containers."""
    if part is None:
        return None
    if isinstance(part, dict):
        return {name: _rows(inner, rank, size) for name, inner in part.items()}
    if isinstance(part, (list, tuple)) and any(np.ndim(inner) for inner in part):
        inner = [_rows(inner, rank, size) for inner in part]
        return type(part)(*inner) if hasattr(part, "_fields") else type(part)(inner)
    array = part if hasattr(part, "shape") else np.asarray(part)
    if not array.shape:
        raise ShapeError(f"shard: what a batch consists of has rows, got {part!r:.60}")
    return array[part_of(len(array), rank, size)]


def _digest(thing: object, start: int = 0) -> int:
    """Return a number that tells batches apart."""
    if isinstance(thing, Mapping):
        thing = [*thing.values()]
    if isinstance(thing, (list, tuple)):
        for part in thing:
            start = _digest(part, start)
        return start
    array = np.ascontiguousarray(getattr(thing, "_data", thing))
    content = repr(array).encode() if array.dtype.hasobject else array.tobytes()
    return zlib.crc32(content, zlib.crc32(f"{array.dtype} {array.shape}".encode(), start))
