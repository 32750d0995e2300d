"""Ranks that work together: they meet, and a rank that has failed says so at the next meeting instead of going missing.

There are two kinds of meetings. In one of plain data each rank gives something and gets what all gave, or the errors of
those that failed. Those between steps are one sum of numbers, see `exchange`, in which a failed rank sets a flag; a
meeting of plain data follows then, and one that comes in between begins with such a sum. So every rank knows at any
time what the next meeting is, whatever has happened to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np

from tinygrad_nn.errors import NonFinite, RankError
from tinygrad_nn.parallel.communicator import TOLD, Communicator, check_communicator, end_together, is_told
from tinygrad_nn.primitives import Array

Given = TypeVar("Given")


class Failure(NamedTuple):
    """What the other ranks learn of an error: its kind, and its text."""

    kind: str
    text: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        if isinstance(error, NonFinite):
            return cls("not finite", str(error))
        if isinstance(error, KeyboardInterrupt):
            return cls("interrupt", "Ctrl-C")
        # Only who fails needs it, and to import it takes a hundredth of importing all.
        import traceback

        return cls("error", "".join(traceback.format_exception(error)).rstrip())


class Steps(Protocol):
    """The meetings between steps."""

    def pause(self, *, failed: bool = False) -> None: ...


class Team:
    """The ranks of a communicator, each of which learns at the next meeting that one has failed.

    As a context it tells the others of an error in its block, and meets them once more at the end; so no rank leaves
    the block well while another fails in it.

    Attributes:
        rank, size: which rank this is, and how many there are.
        stepping: the meetings between steps, while there are any.
    """

    def __init__(self, who: str, comm: Communicator) -> None:
        check_communicator(who, comm)
        self.comm = comm
        self.rank, self.size = comm.rank, comm.size
        self.stepping: Steps | None = None
        self.failed = False
        end_together(comm)

    def allgather(self, mine: Given, /) -> list[Given]:
        """Return what each rank gave, in their order.

        Raises:
            NonFinite, KeyboardInterrupt, RankError: some rank has failed, instead.
        """
        if self.stepping is not None:
            self.stepping.pause()
        return self._heard((None, mine))

    def Allreduce(self, sendbuf: Array, recvbuf: Array, /) -> object:
        """Sum arrays over the ranks."""
        return self.comm.Allreduce(sendbuf, recvbuf)

    def Bcast(self, buf: Array, root: int = 0, /) -> object:
        """Fill an array with that of a rank."""
        return self.comm.Bcast(buf, root)

    def hear(self) -> None:
        """Raise what a failed rank has to tell."""
        self._heard((None, None))

    def _heard(self, answer: tuple[Failure | None, Given]) -> list[Given]:
        answers = self.comm.allgather(answer)
        failures = {rank: failure for rank, (failure, _) in enumerate(answers) if failure}
        if failures:
            raise self.known(_joint(failures, self.size))
        return [given for _, given in answers]

    def known(self, error: BaseException) -> BaseException:
        """Return an error that all ranks raise here."""
        self.failed = True
        error.add_note(f"rank {self.rank} of {self.size}; {TOLD}")
        return error

    def tell(self, error: BaseException) -> None:
        """Tell the others of an error of this rank alone, at their next meeting, unless they know already."""
        if not self.failed and not is_told(error):
            self.known(error)
            if self.stepping is not None:
                self.stepping.pause(failed=True)
            self.comm.allgather((Failure.of(error), None))
        self.failed = True

    def first(self, work: Callable[[], Given]) -> Given:
        """Let rank 0 do something; return its result everywhere."""
        return self.allgather([work()] if self.rank == 0 else [])[0][0]

    def agree(self, **facts: object) -> None:
        """Raise `RankError` everywhere unless plain facts are those of rank 0 everywhere."""
        everyone: list[Mapping[str, object]] = self.allgather(facts)
        for rank, others in enumerate(everyone):
            for name, fact in everyone[0].items():
                if others[name] != fact:
                    first, other = _where_they_differ(fact, others[name])
                    raise self.known(
                        RankError(
                            f"ranks differ in {name}: {first} on rank 0, {other} on rank {rank}\n"
                            "  hint   every rank makes the same model and calls with the same arguments"
                        )
                    )

    def broadcast(self, arrays: Iterable[Array]) -> None:
        """Fill arrays, which have the same shapes and dtypes everywhere, with those of rank 0."""
        for array in arrays:
            whole = np.ascontiguousarray(array)
            # As bytes, because MPI does not know every dtype of NumPy.
            self.Bcast(whole.reshape(-1).view(np.uint8), 0)
            if whole is not array:
                array[...] = whole.reshape(array.shape)

    def __enter__(self) -> Self:
        # What all were told of before has ended; the next error is news.
        self.stepping, self.failed = None, False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.tell(error)
        elif not self.failed:
            self.allgather(None)


def _where_they_differ(one: object, other: object) -> tuple[object, object]:
    """Return the first entries of two lists that differ, or what are no lists as it is."""
    if not isinstance(one, list) or not isinstance(other, list):
        return one, other
    pairs = zip_longest(one, other, fillvalue="nothing")
    return next(pair for pair in pairs if pair[0] != pair[1])


def _joint(failures: Mapping[int, Failure], size: int) -> BaseException:
    """Return the error that ranks raise which have not failed."""
    kinds = {failure.kind for failure in failures.values()}
    if kinds == {"interrupt"}:
        return KeyboardInterrupt()
    texts = "\n".join(f"rank {rank} of {size}: {failure.text}" for rank, failure in failures.items())
    return NonFinite(texts) if kinds == {"not finite"} else RankError(texts)
