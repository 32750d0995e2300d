"""What every op goes through: first that rules leave arrays alone, then derivatives, which catch most."""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_nn.testing.battery import derivatives, duties, formulas
from tinygrad_nn.testing.battery.calls import OpCall

__all__ = ["CHECKS", "Check", "derivatives", "duties", "formulas", "run"]

Check = Callable[[OpCall], bool]
"""Raises `CheckFailed`, and returns False where it does not apply."""

CHECKS: tuple[Check, ...] = (
    # First, because all others hand out read-only arrays.
    duties.untouched,
    derivatives.value,
    derivatives.jacobian,
    formulas.formula,
    derivatives.cotangents,
    derivatives.second_order,
    derivatives.single_precision,
    duties.dtype,
    duties.ownership,
    duties.only_where_asked,
    duties.interleaved,
    duties.shared_operand,
    duties.layouts,
    duties.out_argument,
    duties.wrong_call,
)


def run(call: OpCall) -> list[str]:
    """Run every check on a call; return the names of those that applied."""
    return [check.__name__ for check in CHECKS if check(call)]
