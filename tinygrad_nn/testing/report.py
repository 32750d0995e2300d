"""report: every op through every check, told as a line each, and as a wide table with counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter

from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.primitives import REGISTRY
from tinygrad_nn.testing.battery import CHECKS
from tinygrad_nn.testing.check_op import Op, OpReport, check_op

_NAMES = 29
"""Characters that names of ops are padded to, because lines are told before the longest name is known."""


@dataclass
class Table:
    """What `report` found: one row per op; `failures` has the text of each op that did not pass."""

    rows: list[OpReport]
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def line(self, row: OpReport, marks: tuple[str, str] = ("✓", "✗")) -> str:
        """Return what one op came to: a tick, its name, and what was looked at."""
        failed = row.name in self.failures
        mark = marks[failed] if failed or row.examples else " " * len(marks[0])
        said = self.failures[row.name].splitlines()[0].removeprefix(f"{row.name}: ") if failed else row.told()
        return f"{mark} {row.name:<{_NAMES}} {said}"

    def summary(self) -> str:
        """Return the last line: how many ops there are, which failed, and how long it took."""
        checked = [row for row in self.rows if row.examples or row.name in self.failures]
        passed = f"{len(self.failures)} failed: {', '.join(self.failures)}" if self.failures else "all passed"
        return f"{len(checked)} op{'s' * (len(checked) != 1)}, {passed}, {self.seconds:.0f} s"

    def __str__(self) -> str:
        names = [check.__name__ for check in CHECKS]
        lines = [["op", "kind", "examples", "nonzero", *names]]
        for row in self.rows:
            kind = "FAILED" if row.name in self.failures else row.kind
            counts = [str(row.checks[name] or "-") for name in names]
            lines.append([row.name, kind, str(row.examples), str(row.nonzero), *counts])
        sums = [sum(row.examples for row in self.rows), sum(row.nonzero for row in self.rows)]
        sums += [sum(row.checks[name] for row in self.rows) for name in names]
        lines.append([f"{len(self.rows)} ops", "", *map(str, sums)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            line[:2] = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
            line[2:] = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
        return "\n".join([*map("  ".join, lines), *self.failures.values()])

    def __repr__(self) -> str:
        return "\n".join([*map(self.line, self.rows), *self.failures.values(), self.summary()])


def report(
    ops: Iterable[Op] | None = None,
    *,
    max_examples: int | None = None,
    tell: Callable[[Table, OpReport], object] | None = None,
) -> Table:
    """Check every registered op, or those given; printing what comes back shows the table of ops against checks.

    A dash says that a check does not apply: nothing to write with `out=`, no second operand to share.

    Args:
        ops: what tells an op, as `check_op` takes it.
        max_examples: calls an op.
        tell: called with the table so far and its newest row after each op.

    Example:
        >>> table = report(["exp", "add"], max_examples=5)
        >>> [row.name for row in table.rows], table.failures
        (['exp', 'add'], {})
    """
    table, began = Table([]), perf_counter()
    for op in dict.fromkeys(REGISTRY.values()) if ops is None else ops:
        name = getattr(op, "name", str(op))
        try:
            row = check_op(op, max_examples)
        except CheckFailed as error:
            table.failures[name] = str(error)
            row = OpReport(name, "failed")
        table.rows.append(row)
        table.seconds = perf_counter() - began
        if tell is not None:
            tell(table, row)
    return table
