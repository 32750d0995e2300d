"""Training that several ranks share: each takes its rows of every batch, and all do the same with the sum."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial, reduce
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from tinygrad_nn.checkpoint import random_sources
from tinygrad_nn.context import restoring
from tinygrad_nn.data.sharding import Shard, begin_as_rank_0
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError, RankError
from tinygrad_nn.nn.batch_norm import BatchNorm
from tinygrad_nn.nn.module import Module
from tinygrad_nn.nn.reducing import Divisor, with_divisor
from tinygrad_nn.optim import Distributed
from tinygrad_nn.parallel.communicator import Communicator
from tinygrad_nn.parallel.exchange import Exchange
from tinygrad_nn.parallel.team import Team
from tinygrad_nn.primitives import Array
from tinygrad_nn.states import RandomSource, State, StateDict, random_state, random_stream, set_random_state
from tinygrad_nn.train.company import AnyOptimizer, Company, Measured
from tinygrad_nn.train.parts import Batch, Loss

Result = TypeVar("Result")


class Together(Company):
    """The ranks of a communicator."""

    def __init__(self, team: Team) -> None:
        super().__init__()
        self.team = team
        self.rank, self.size = team.rank, team.size
        self._at_once = False
        self._sources: list[RandomSource] = []
        self._own: list[StateDict] = []
        self._running: list[Array] = []

    def __enter__(self) -> Self:
        self.team.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.team.__exit__(kind, error, trace)

    def part(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        return Shard(batches, self.team)

    def loss(self, loss: Loss, *args: Tree, **weights: Operand) -> tuple[Tensor, Divisor]:
        # Where nothing of this rank counts, as may be, the mean is 0 / 0.
        with np.errstate(divide="ignore", invalid="ignore"):
            return with_divisor(loss, *args, **weights)

    def first(self, work: Callable[[], Result]) -> Result:
        return self.team.first(work)

    def longest(self, seconds: float) -> float:
        return max(self.team.allgather(seconds))

    def concatenated(self, piece: Result, join: Callable[[list[Result]], Result]) -> Result:
        return join(self.team.allgather(piece))

    def joined(self, found: Iterable[Measured | None]) -> Iterator[tuple[Mapping[str, float], float]]:
        everyone = self.team.allgather(list(found))
        if len({len(batches) for batches in everyone}) > 1:
            raise RankError(f"the ranks have different numbers of batches: {[len(b) for b in everyone]}")
        for parts in zip(*everyone, strict=True):
            there = [part for part in parts if part is not None]
            if there:
                yield joined(there)


def joined(parts: Sequence[Measured]) -> tuple[dict[str, float], float]:
    """Return loss and metrics of the parts of a batch together."""
    rows = sum(part.rows for part in parts)
    numbers = {
        name: sum(part.rows * part.numbers[name] for part in parts) / rows for name in parts[0].numbers
    }
    # Of a part of which nothing counts the loss is NaN.
    losses = [(part.numbers["loss"], part.divisor) for part in parts if part.divisor != 0]
    divisor = sum(by for _, by in losses if by is not None) or (1 if losses else math.nan)
    return numbers | {"loss": sum(loss * (1 if by is None else by) for loss, by in losses) / divisor}, rows


class Training(Together):
    """Several ranks, and what they train.

    Attributes:
        optimizer: that sums gradients over the ranks.
        exchange: the message of a step.
    """

    optimizer: Distributed
    exchange: Exchange

    def begin(
        self, model: object, optimizer: AnyOptimizer, data: object, numbers: int, facts: Mapping[str, object]
    ) -> Distributed:
        if isinstance(data, Shard):
            raise ArgumentError(
                "fit: comm= takes the rows of this rank, and they are taken already\n"
                "  hint   the batches that tn.data.shard was given"
            )
        state = model.state_dict() if isinstance(model, Module) else {}
        self._sources = random_sources(model) if isinstance(model, Module) else []
        self.team.agree(
            **facts,
            model=[f"{name} {array.dtype} {array.shape}" for name, array in state.items()],
            trained=_trained(model, optimizer),
            generators=[type(source).__name__ for source in self._sources],
        )
        if isinstance(model, Module):
            self.team.broadcast(state.values())
            model.load_state_dict(state)
        begin_as_rank_0(data, self.team)
        randoms = self.team.first(lambda: [random_state(source) for source in self._sources])
        for source, random in zip(self._sources, randoms, strict=True):
            set_random_state(source, random)
        self._branch()
        self._running = _running_averages(model)
        self.optimizer = (
            optimizer if isinstance(optimizer, Distributed) else Distributed(optimizer, self.team)
        )
        self.exchange = Exchange(self.team, [p._data for p in self.optimizer.parameters], numbers)
        return self.optimizer

    def _branch(self) -> None:
        """Give this rank random numbers of its own; what all have in common moves on."""
        self._own = [random_stream(source, self.rank) for source in self._sources]

    def streams(self) -> AbstractContextManager[object]:
        return self._streams() if self._sources else super().streams()

    @contextmanager
    def _streams(self) -> Iterator[None]:
        common = [random_state(source) for source in self._sources]
        try:
            for source, own in zip(self._sources, self._own, strict=True):
                set_random_state(source, own)
            yield
            self._own = [random_state(source) for source in self._sources]
        finally:
            for source, state in zip(self._sources, common, strict=True):
                set_random_state(source, state)

    def check(self) -> None:
        if self.exchange.interrupted:
            self._at_once = True
            self.interrupts.interrupt()

    def begin_epoch(self) -> None:
        self.team.stepping = self.exchange

    def end_epoch(self, epoch: int) -> None:
        digests = self.team.allgather(
            reduce(lambda start, p: zlib.crc32(_bytes(p._data), start), self.optimizer.parameters, 0)
        )
        self.team.stepping = None
        for rank, digest in enumerate(digests):
            if digest != digests[0]:
                raise RankError(
                    f"after epoch {epoch} the weights of rank {rank} are not those of rank 0; before, they were\n"
                    "  hint   what a rank does to them alone, a callback for example; or processors of several kinds"
                )
        self.even_out()

    def even_out(self) -> None:
        if self._running:
            self._average(self.team.allgather(self._running))

    def _average(self, everyone: Sequence[Sequence[Array]]) -> None:
        """Set the running averages of this rank to the mean of those of all."""
        for array, several in zip(self._running, zip(*everyone, strict=True), strict=True):
            array[...] = np.mean(several, axis=0)

    def between_epochs(self, stopping: str | None) -> str | None:
        answers = self.team.allgather((stopping, self.interrupts.pending))
        if any(pending for _, pending in answers):
            self._at_once = True
            self.interrupts.interrupt()
        return next((why for why, _ in answers if why is not None), None)

    def at_once(self, stop: KeyboardInterrupt) -> bool:
        if not self._at_once:
            self.team.tell(stop)
        return self._at_once

    def save(self, work: Callable[[State], object]) -> None:
        running = [array.copy() for array in self._running]
        own: StateDict = {"streams": self._own, "running": running}
        ranks = self.team.allgather(own)
        # The model is saved with the averages of all ranks, and goes on with its own.
        with restoring(partial(self._average, [running])):
            self._average([rank["running"] for rank in ranks])
            self.team.first(lambda: work({_RANKS: ranks} if self._own or self._running else {}))

    def resume(self, kept: State) -> None:
        ranks = kept.get(_RANKS, [])
        if len(ranks) == self.size:
            self._own = ranks[self.rank]["streams"]
            self._average([ranks[self.rank]["running"]])
        else:
            self._branch()


def _trained(model: object, optimizer: AnyOptimizer) -> list[str]:
    """Return what the parameters of an optimizer are called in a model, which other ones may look like."""
    named = model.named_parameters() if isinstance(model, Module) else ()
    names = {id(parameter): name for name, parameter in named}
    return [
        names.get(id(parameter), "a parameter of none of its layers") for parameter in optimizer.parameters
    ]


_RANKS = "what each rank has of its own"


def _running_averages(model: object) -> list[Array]:
    modules = [module for _, module in model.named_modules()] if isinstance(model, Module) else []
    layers = [module for module in modules if isinstance(module, BatchNorm)]
    return [array for layer in layers for array in (layer.running_mean, layer.running_var)]


def _bytes(array: Array) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def company_of(optimizer: AnyOptimizer | None, comm: Communicator | None) -> Company:
    """Return who trains: the ranks of a communicator or of an optimizer that has one, or this process alone.

    Raises:
        ArgumentError: `comm` is no communicator, or not the one that the optimizer has.
    """
    if isinstance(optimizer, Distributed):
        if comm is not None and comm is not optimizer.team.comm:
            raise ArgumentError("fit: the Distributed optimizer has another communicator than comm=")
        return Training(optimizer.team)
    return Company() if comm is None else Training(Team("fit", comm))
