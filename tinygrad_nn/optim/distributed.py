"""An optimizer whose gradients are those of all ranks."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn import context
from tinygrad_nn.errors import ArgumentError, SettingError
from tinygrad_nn.optim.clipping import SUMMING, clip
from tinygrad_nn.optim.groups import Parameter
from tinygrad_nn.optim.optimizer import Optimizer, no_gradient
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.parallel.communicator import Communicator
from tinygrad_nn.parallel.exchange import (
    Exchange,
    pack_gradients,
    set_divisor,
    set_rows,
    sum_over_ranks,
    unpack_gradient,
)
from tinygrad_nn.parallel.team import Team
from tinygrad_nn.primitives import Array
from tinygrad_nn.settings import check_number

_ROWS = "  hint   optimizer.step(rows=len(x))"


class Computed(Protocol):
    """A tensor, which is asked for nothing but its array."""

    @property
    def _data(self) -> Array: ...


class Distributed:
    """Sums gradients over all ranks before the optimizer steps, so that it does what it would do with all rows.

    Each rank computes the loss of its rows (`tn.data.shard`) and says how many there are: with gradients G of mean
    losses over n rows the gradient is sum(n * G) / sum(n), exactly that of all rows together. It works in a compiled
    step too. Parameters and the state of the optimizer become those of rank 0; all else, such as `lr`, is the
    optimizer's.

    Args:
        optimizer: any one of this package.
        comm: the ranks, `MPI.COMM_WORLD` of mpi4py; see `tn.parallel.Communicator`.
        clip: scale the summed gradients so that their norm is at most this, as `clip_grad_norm` does, which before
            the step would see those of one rank, and is refused.
        reduction: "sum" if the losses are sums over rows; then so are the gradients.

    Raises:
        ArgumentError: `optimizer` or `comm` is none.
        SettingError: `clip` is not positive, or there is no such reduction.
        RankError: the ranks have other parameters than rank 0.

    Example:
        >>> import tinygrad_nn as tn
        >>> def train(comm):
        ...     w = tn.tensor([0.0], requires_grad=True)
        ...     optimizer = Distributed(tn.optim.SGD([w], lr=0.5), comm)
        ...     for (x,) in tn.data.shard(tn.data.batches(np.float32([1, 2, 6]), size=3, shuffle=False), comm):
        ...         ((w - x) ** 2).mean().backward()
        ...         optimizer.step(rows=len(x))
        ...     return w
        >>> tn.parallel.threads(2, train)
        [Tensor([3.], requires_grad=True), Tensor([3.], requires_grad=True)]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        comm: Communicator,
        *,
        clip: float | None = None,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"Distributed: got {optimizer!r:.60}\n"
                "  hint   Distributed(optim.SGD(model.parameters(), lr=0.1), comm)"
            )
        if clip is not None:
            check_number("Distributed", "clip", clip)
            if not clip:
                raise SettingError("Distributed: clip=0 leaves nothing of the gradients")
        if reduction not in ("mean", "sum"):
            raise SettingError(f'Distributed: reduction is "mean" or "sum", got {reduction!r:.60}')
        self.optimizer, self.clip, self.summed = optimizer, clip, reduction == "sum"
        self.team = comm if isinstance(comm, Team) else Team("Distributed", comm)
        self._begin_as_rank_0()
        # Nobody comes between the gradients and the step of `fit`, and after it there is one rank again.
        if self.team is not comm:
            SUMMING.append(weakref.ref(self, SUMMING.remove))

    def _begin_as_rank_0(self) -> None:
        state = self.optimizer.state_dict()
        self.team.agree(
            parameters=[f"{p.dtype} {p.shape}" for p in self.parameters],
            optimizer=[
                type(self.optimizer).__name__,
                *(f"{k} {a.dtype} {a.shape}" for k, a in state.items()),
            ],
        )
        self.team.broadcast([p._data for p in self.parameters])
        for parameter in self.parameters:
            parameter._node.touch()
        self.team.broadcast(state.values())
        self.optimizer.load_state_dict(state)

    # Made when it is first needed: `fit` has one of its own.
    @cached_property
    def _exchange(self) -> Exchange:
        return Exchange(self.team, [p._data for p in self.parameters])

    def step(self, *, rows: ArrayLike | Computed | None = None) -> None:
        """Sum the gradients over all ranks and update every parameter that has one on any of them.

        Every rank has to come here, one without rows too: with `rows=0`, which needs no gradients.

        Args:
            rows: how many rows the loss of this rank is the mean of, or, of a weighted one, the sum of the weights: a
                number, an array or a tensor. With `reduction="sum"` it is left out.

        Raises:
            ArgumentError: no `rows` of a mean, or `rows` of a sum; or they are no finite number from 0.
            GraphError: no rank has a gradient, or this one has rows that count and none.
            NonFinite: no rank has a row.
            RankError: ranks are not at the same step, where this can be told.
        """
        if (rows is None) is not self.summed:
            raise ArgumentError(
                f"Distributed.step: a mean loss counts as often as it has rows\n{_ROWS}"
                if rows is None
                else "Distributed.step: rows= is for losses that are means, and these are sums"
            )
        self.send(self._exchange, 1 if rows is None else rows, summed=self.summed)
        if not context.current().tracers:
            self.complete(self._exchange)
        self.update(self._exchange)

    def send(self, exchange: Exchange, rows: ArrayLike | Computed, *, summed: bool) -> None:
        """Sum the message of this step over all ranks."""
        traced = bool(context.current().tracers)
        held = [(k, p._node.grad) for k, p in enumerate(self.parameters) if p._node.grad is not None]
        places = tuple([k for k, _ in held])
        gradients = [gradient for _, gradient in held]
        if isinstance(rows, (int, float, np.number)):
            (set_rows if traced else set_rows.function)(exchange.mine, rows=float(rows))
        else:
            array = np.asarray(rows) if not hasattr(rows, "_data") else rows._data
            if array.size != 1 or array.dtype.kind not in "fiu":
                raise ArgumentError(f"Distributed.step: rows is one number, got {rows!r:.60}\n{_ROWS}")
            (set_divisor if traced else set_divisor.function)(exchange.mine, array)
        # Sums of a rank without rows have none either.
        if not (held or summed or traced) and exchange.mine[0]:
            raise no_gradient("Distributed.step", len(self.parameters))
        if traced:
            pack_gradients(exchange.mine, *gradients, exchange=exchange, places=places, summed=summed)
            sum_over_ranks(exchange.total, exchange.mine, exchange=exchange, places=places)
        else:
            exchange.pack(gradients, places, summed=summed)
            exchange.meet()

    def complete(self, exchange: Exchange) -> None:
        """Let parameters have a gradient if they have one on any rank whose rows count."""
        found = exchange.found()
        if not any(found):
            raise no_gradient("Distributed.step", len(found))
        for parameter, there in zip(self.parameters, found, strict=True):
            leaf = parameter._node
            if not there:
                leaf.own_grad = None
            elif leaf.own_grad is None:
                leaf.own_grad = np.empty_like(parameter._data)

    def update(self, exchange: Exchange) -> None:
        """Take the gradients out of the sum, clip them, and let the optimizer step."""
        unpack = unpack_gradient if context.current().tracers else unpack_gradient.function
        gradients: list[Array] = []
        for parameter, start in zip(self.parameters, exchange.starts, strict=True):
            gradient = parameter._node.grad
            if gradient is not None:
                unpack(gradient, exchange.total, start=start)
                gradients.append(gradient)
        if self.clip is not None:
            clip(gradients, self.clip, error_if_nonfinite=True)
        self.optimizer.step()

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        self.optimizer.zero_grad()

    @property
    def parameters(self) -> list[Parameter]:
        """The tensors to update."""
        return self.optimizer.parameters

    @property
    def steps(self) -> Array:
        """How many steps have been taken, a 0-d array."""
        return self.optimizer.steps

    @property
    def rates(self) -> Array:
        """The rate of each group; see `Optimizer.rates`."""
        return self.optimizer.rates

    @property
    def lr(self) -> float | Schedule:
        """The learning rate of the optimizer; may be assigned."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, rate: float | Schedule) -> None:
        self.optimizer.lr = rate

    def state_dict(self) -> dict[str, Array]:
        """Return the state of the optimizer."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Restore the state of the optimizer; the same has to be done on every rank."""
        self.optimizer.load_state_dict(state)
