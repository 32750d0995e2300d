"""What an optimizer does in plain Python before its updates, in an exported file: it counts steps and sets the rate."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import partial
from types import MethodType

from tinygrad_nn.errors import ExportError
from tinygrad_nn.export.expressions import TIMES, Text
from tinygrad_nn.export.lines import Given, Lines
from tinygrad_nn.optim import schedules
from tinygrad_nn.optim.optimizer import Optimizer
from tinygrad_nn.optim.schedules import Schedule


def _piecewise(rates: list[float], boundaries: list[int]) -> str:
    cases = [f"if step < {end}:\n    return {rate!r}" for rate, end in zip(rates, boundaries, strict=False)]
    return "\n".join([*cases, f"return {rates[-1]!r}"])


def _warmup(schedule: Schedule, steps: int) -> str:
    return (
        f"if step < {steps}:\n"
        "    # First in a straight line up to the rate at which the rest begins.\n"
        f"    return {schedule(0)!r} * (step + 1) / {steps}\n"
        f"step = step - {steps}\n" + _body(schedule)
    )


_BODIES: dict[object, Callable[..., str]] = {
    schedules._piecewise: _piecewise,
    schedules._exponential: lambda rate, decay, steps: (
        f"return {rate!r} * math.pow({decay!r}, step / {steps})"
    ),
    schedules._inverse_time: lambda rate, steps: f"return {rate!r} / (1 + step / {steps})",
    schedules._linear: lambda first, last, steps: (
        f"return {first!r} + {last - first!r} * min(step / {steps}, 1)"
    ),
    schedules._cosine: lambda rate, steps, last: (
        f"# Half a cosine from {rate!r} down to {last!r}.\n"
        f"return {last!r} + {rate - last!r} * (1 + math.cos(math.pi * min(step / {steps}, 1))) / 2"
    ),
    schedules._warmup: _warmup,
}
"""What a schedule returns for `step`, as the body of a function."""


def _body(schedule: Schedule) -> str:
    if not isinstance(schedule, partial) or schedule.func not in _BODIES:
        raise ExportError(
            f"export.numpy: the learning rate follows {schedule!r}, which cannot be written out\n"
            "  hint   a number, or one of tn.optim.schedules"
        )
    return _BODIES[schedule.func](*schedule.args)


class Rate:
    """The learning rate and the count of steps of one optimizer.

    Attributes:
        optimizer: the optimizer.
        due: how many values of the graph come before its work.
        counts: whether the steps have to be counted.
        steps, rate, function: what these are called.
    """

    def __init__(self, optimizer: Optimizer, due: int, lines: Lines, number: int) -> None:
        self.optimizer = optimizer
        self.due = due
        read = [x for line in lines.lines for x in line.operands if isinstance(x, Given)]
        self.counts = callable(optimizer.lr) or any(x.value.data is optimizer.steps for x in read)
        ending = f"_{number}" if number > 1 else ""
        self.steps, self.rate, self.function = (
            f"{name}{ending}" for name in ("steps", "rate", "learning_rate")
        )

    def text(self, given: Given) -> Text | None:
        """Return how the count or a rate is written, if the value is one."""
        optimizer, data = self.optimizer, given.value.data
        if data is optimizer.steps:
            return Text(self.steps)
        lr = self.rate if callable(optimizer.lr) else optimizer.lr
        if data is optimizer._rate:
            return Text(lr if isinstance(lr, str) else repr(float(lr)))
        for own, of_group in zip(optimizer.rates.tolist(), optimizer._own_rates, strict=True):
            if data is of_group:
                return Text(f"{own!r} * {lr}", TIMES) if isinstance(lr, str) else Text(repr(own * lr))
        return None

    def lines(self) -> list[str]:
        """Return the statements before the updates."""
        follows = [f"{self.rate} = {self.function}({self.steps})"] if callable(self.optimizer.lr) else []
        return [*follows, *([f"{self.steps} += 1"] if self.counts else [])]

    def schedule(self) -> str:
        """Return the function of the rate, if it follows one."""
        if not callable(self.optimizer.lr):
            return ""
        body = textwrap.indent(_body(self.optimizer.lr), "    ")
        return f'def {self.function}(step):\n    """The learning rate of each step, the first one is 0."""\n{body}'


def rates(lines: Lines) -> list[Rate]:
    """Return the rates of the optimizers in a step.

    Raises:
        ExportError: the step has other work in plain Python.
    """
    found: list[Rate] = []
    for due, prepare in lines.graph.hosts:
        optimizer = prepare.__self__ if isinstance(prepare, MethodType) else None
        if not isinstance(optimizer, Optimizer):
            raise ExportError(
                f"export.numpy: {prepare!r} is work in plain Python, which cannot be written out"
            )
        found.append(Rate(optimizer, due, lines, len(found) + 1))
    return found
