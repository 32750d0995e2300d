"""Who else trains: what a training asks of the processes that share it, and the answers where it is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.nn.reducing import Divisor
from tinygrad_nn.optim import Distributed, Optimizer
from tinygrad_nn.states import State
from tinygrad_nn.train.interrupts import Interrupts
from tinygrad_nn.train.parts import Batch, Loss

Result = TypeVar("Result")
AnyOptimizer = Optimizer | Distributed


class Measured(NamedTuple):
    """Loss and metrics of a batch or a part of one, how often they count, and what the loss was divided by.

    A loss that is a sum has the divisor None.
    """

    numbers: Mapping[str, float]
    rows: float
    divisor: float | None


class Company:
    """Training in one process; `together.Together` has the answers of several.

    As a context it tells the others of an error in its block.

    Attributes:
        rank, size: which of how many processes this is.
        interrupts: Ctrl-C in this process.
    """

    rank, size = 0, 1

    def __init__(self) -> None:
        self.interrupts = Interrupts()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(
        self, model: object, optimizer: AnyOptimizer, data: object, numbers: int, facts: Mapping[str, object]
    ) -> AnyOptimizer:
        """Let all begin as rank 0 does, and refuse facts that differ; return the optimizer to step with.

        Of each batch so many numbers are measured.
        """
        return optimizer

    def part(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """Return the rows of each batch that are those of this process."""
        return batches

    def loss(self, loss: Loss, *args: Tree, **weights: Operand) -> tuple[Tensor, Divisor]:
        """Return a loss, and what it is divided by, where somebody wants to know."""
        return loss(*args, **weights), "unknown"

    def streams(self) -> AbstractContextManager[object]:
        """Return a context in which the model draws the random numbers of this process alone."""
        return nullcontext()

    def joined(self, found: Iterable[Measured | None]) -> Iterator[tuple[Mapping[str, float], float]]:
        """Yield, of each batch of which something counts, what all measured of it, and how often it counts."""
        for measured in found:
            if measured is not None:
                yield measured.numbers, measured.rows

    def concatenated(self, piece: Result, join: Callable[[list[Result]], Result]) -> Result:
        """Return the pieces of all, joined."""
        return piece

    def first(self, work: Callable[[], Result]) -> Result:
        """Let rank 0 do something, and return its result."""
        return work()

    def check(self) -> None:
        """Raise KeyboardInterrupt after a step, if there was a Ctrl-C."""
        self.interrupts.check()

    def begin_epoch(self) -> None:
        """Called before the first step of an epoch, or the first after a resumption."""

    def end_epoch(self, epoch: int) -> None:
        """Called after the last step of an epoch, before the model is validated."""

    def even_out(self) -> None:
        """Let all models be the same where each has averages of its own."""

    def between_epochs(self, stopping: str | None) -> str | None:
        """Raise KeyboardInterrupt if there was a Ctrl-C; return why training is to end, if it is."""
        self.interrupts.check()
        return stopping

    def longest(self, seconds: float) -> float:
        """Return the longest time that any process took."""
        return seconds

    def at_once(self, stop: KeyboardInterrupt) -> bool:
        """Tell whether an interrupt reaches all processes at the same place; tell them of it where it does not."""
        return True

    def save(self, work: Callable[[State], object]) -> None:
        """Save a checkpoint, once, with what it has to keep besides."""
        work({})

    def resume(self, kept: State) -> None:
        """Go on from what `save` kept besides."""
