"""What is asked of a communicator, and what happens to the other ranks when one of them ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.primitives import Array

Given = TypeVar("Given")


class Communicator(Protocol):
    """The ranks of a job, one of which is this process: `MPI.COMM_WORLD` of mpi4py, or what does the same.

    `Allreduce` sums arrays of all ranks, and every rank gets the same bits. `Bcast` fills an array with that of the
    rank `root`. `allgather` returns what each rank gave it, in their order.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> def total(comm: Communicator) -> float:
        ...     result = np.zeros(())
        ...     comm.Allreduce(np.array(comm.rank + 1.0), result)
        ...     return float(result)
        >>> tn.parallel.threads(3, total)
        [6.0, 6.0, 6.0]
    """

    @property
    def rank(self) -> int:
        """Which of the ranks this one is, from 0."""

    @property
    def size(self) -> int:
        """How many ranks there are."""

    def Allreduce(self, sendbuf: Array, recvbuf: Array, /) -> object:
        """Write the sum of `sendbuf` over all ranks into `recvbuf`, of its shape."""

    def Bcast(self, buf: Array, root: int = 0, /) -> object:
        """Fill an array with that of the rank `root`."""

    def allgather(self, sendobj: Given, /) -> list[Given]:
        """Return what each rank gave, in their order."""


_ASKED = ("rank", "size", "Allreduce", "Bcast", "allgather")


def check_communicator(who: str, comm: object) -> None:
    """Raise `ArgumentError` for what is no communicator."""
    missing = [name for name in _ASKED if not hasattr(comm, name)]
    if missing or isinstance(comm, type):
        raise ArgumentError(
            f"{who}: comm is a communicator, got {comm!r:.60} without {', '.join(missing) or 'an instance'}\n"
            "  hint   from mpi4py import MPI; comm=MPI.COMM_WORLD"
        )


def world() -> Communicator:
    """Return all ranks of this job, `MPI.COMM_WORLD`; without mpiexec that is this process alone.

    From then on an error that ends one rank ends all of them, with its traceback.

    Raises:
        ImportError: mpi4py is not installed, or there is no MPI that it could load; says what brings one.
    """
    try:
        from mpi4py import MPI
    # What mpi4py raises without an MPI is a RuntimeError that names a library.
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"no MPI to run on: {str(error).strip().splitlines()[0]}\n"
            "  hint   pip install 'tinygrad_nn[mpi]' and, on a laptop, mpich; on a cluster load the module with its MPI"
        ) from error
    comm: Communicator = MPI.COMM_WORLD
    end_together(comm)
    return comm


TOLD = "the other ranks have been told"
"""A note on errors after which no rank waits for another."""


def is_told(error: BaseException) -> bool:
    """Tell whether all ranks know of an error."""
    return any(note.endswith(TOLD) for note in getattr(error, "__notes__", ()))


def end_together(comm: Communicator) -> None:
    """Let an error that ends this process end all ranks, which would wait for it; those that all know of do that."""
    if comm.size > 1 and hasattr(comm, "Abort") and not isinstance(sys.excepthook, _Hook):
        sys.excepthook = _Hook(sys.excepthook, comm, comm.Abort)


Excepthook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


class _Hook:
    """An excepthook: that of before, and then the end of all ranks."""

    def __init__(self, before: Excepthook, comm: Communicator, abort: Callable[[int], object]) -> None:
        self._before, self._comm, self._abort = before, comm, abort

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self._before(kind, error, trace)
        if not is_told(error):
            print(f"rank {self._comm.rank} of {self._comm.size} ends all ranks", file=sys.stderr, flush=True)
            sys.stdout.flush()
            self._abort(1)
