"""One message a step: some numbers and all gradients in one array, which is summed over the ranks.

It begins with the divisor, for a mean loss the rows of the batch: each rank's gradients are multiplied by its own, and
their sum is divided by that of all divisors. So batches of unequal size are exact, and no rows count for nothing.
Then come how many ranks are at a step, how many have failed, how many were interrupted, how many have a loss that is a
sum; numbers of the user; for each parameter how many ranks have a gradient; the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinygrad_nn.errors import ArgumentError, NonFinite, RankError
from tinygrad_nn.parallel.team import Team
from tinygrad_nn.primitives import Array, kernel

_STEPPING, _FAILED, _INTERRUPTED, _SUMMED, _NUMBERS = 1, 2, 3, 4, 5


@kernel(None, None, writes=(0,), differentiable=False, method=False)
def set_divisor(mine: Array, divisor: Array) -> None:
    """Set the divisor of this rank to a computed one."""
    mine[0] = _counting(divisor.item())


@kernel(None, writes=(0,), differentiable=False, method=False)
def set_rows(mine: Array, *, rows: float) -> None:
    """Set the divisor of this rank to a number."""
    mine[0] = _counting(rows)


def _counting(rows: float) -> float:
    """Return how often a rank counts; refuse what would make the sum of all NaN, or take away from others."""
    if not 0 <= rows < math.inf:
        raise ArgumentError(f"rows of a rank, or the sum of their weights, are a number from 0, got {rows}")
    return rows


@kernel(None, variadic=True, writes=(0,), differentiable=False, method=False)
def pack_gradients(
    mine: Array, *gradients: Array, exchange: Exchange, places: tuple[int, ...], summed: bool
) -> None:
    """Write gradients, times the divisor of this rank, or as they are for a loss that is a sum, behind each other."""
    exchange.pack(gradients, places, summed=summed)


@kernel(None, None, writes=(0, 1), differentiable=False, method=False)
def sum_over_ranks(total: Array, mine: Array, *, exchange: Exchange, places: tuple[int, ...]) -> None:
    """Sum over all ranks, of which none may have gradients of other parameters than those at `places`."""
    exchange.meet()
    exchange.expect_none_besides(places)


@kernel(None, None, writes=(0,), differentiable=False, method=False)
def unpack_gradient(gradient: Array, total: Array, *, start: int) -> None:
    """Take a gradient out of the sum, divided by the sum of the divisors."""
    part = total[start : start + gradient.size].reshape(gradient.shape)
    np.divide(part, total[0], out=gradient, casting="same_kind")


class Exchange:
    """The message of the steps of some ranks.

    Args:
        team: the ranks.
        parameters: the arrays of those whose gradients are summed; the same everywhere, in shape and order.
        numbers: so many numbers of the user's are summed besides.

    Attributes:
        mine, total: what this rank says, and the sum of what all said.
        numbers, sums: the numbers among these.
    """

    def __init__(self, team: Team, parameters: Sequence[Array], numbers: int = 0) -> None:
        self._team = team
        # float16 counts to 2,048.
        dtype = np.result_type(np.float32, *[p.dtype for p in parameters])
        sizes = [p.size for p in parameters]
        self._flags = slice(_NUMBERS + numbers, _NUMBERS + numbers + len(sizes))
        self.starts: list[int] = [self._flags.stop + sum(sizes[:k]) for k in range(len(sizes))]
        self.mine = np.zeros(self._flags.stop + sum(sizes), dtype)
        self.total = np.zeros_like(self.mine)
        self.numbers = self.mine[_NUMBERS : self._flags.start]
        self.sums = self.total[_NUMBERS : self._flags.start]

    def pack(self, gradients: Sequence[Array], places: Sequence[int], *, summed: bool) -> None:
        """Write the gradients of the parameters at `places`."""
        mine, first = self.mine, self._flags.stop
        weight = mine[0]
        mine[_STEPPING], mine[_FAILED] = 1, 0
        mine[_SUMMED] = summed
        mine[self._flags] = 0
        if weight == 0 or len(places) < len(self.starts):
            mine[first:] = 0
        # Of no rows a gradient is NaN.
        if weight != 0:
            for gradient, k in zip(gradients, places, strict=True):
                start = self.starts[k]
                part = mine[start : start + gradient.size].reshape(gradient.shape)
                if summed:
                    part[...] = gradient
                else:
                    np.multiply(gradient, weight, out=part)
                mine[self._flags.start + k] = 1

    def meet(self) -> None:
        """Sum over all ranks, which are all at a step.

        Raises:
            NonFinite: the divisor is 0, so that there is no mean.
            RankError: some are not at a step; or what a failed rank has to tell.
        """
        self._team.Allreduce(self.mine, self.total)
        if self.total[_FAILED]:
            self._team.hear()
        if self.total[_STEPPING] != self._team.size:
            raise self._apart()
        if self.total[_SUMMED]:
            self.total[0] = 1
        if not self.total[0]:
            raise self._team.known(NonFinite("no row of this batch counts for anything on any rank"))

    def pause(self, *, failed: bool = False) -> None:
        """Meet ranks that may be at a step, for something else.

        Raises:
            RankError: some of them are; or what a failed rank has to tell.
        """
        self.mine[:_NUMBERS] = 0
        self.mine[_FAILED] = failed
        self._team.Allreduce(self.mine, self.total)
        if failed:
            return
        if self.total[_FAILED]:
            self._team.hear()
        if self.total[_STEPPING]:
            raise self._apart()

    def _apart(self) -> BaseException:
        steps = int(self.total[_STEPPING])
        return self._team.known(
            RankError(
                f"{steps} of {self._team.size} ranks are at a step, the others are not: numbers of batches differ\n"
                "  hint   every rank gets all batches, in the same order, and takes its rows of each"
            )
        )

    def expect_none_besides(self, places: Sequence[int]) -> None:
        """Raise `RankError` if other ranks have gradients of parameters that this one has none of."""
        others = np.delete(self.total[self._flags], places)
        if others.any():
            raise RankError(
                f"{np.count_nonzero(others)} parameters have a gradient on other ranks and none on this one, which a "
                "compiled step cannot give them\n  hint   the same step on every rank, or without tn.compile"
            )

    def found(self) -> list[bool]:
        """Return whether any rank has a gradient, for each parameter."""
        return [bool(flag) for flag in self.total[self._flags]]

    @property
    def interrupted(self) -> bool:
        """Whether some rank was interrupted before the latest step; assigned, whether this one has been."""
        return bool(self.total[_INTERRUPTED])

    @interrupted.setter
    def interrupted(self, interrupted: bool) -> None:
        self.mine[_INTERRUPTED] = interrupted
