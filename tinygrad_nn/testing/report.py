"""report: the table of every op against every check, with counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.primitives import REGISTRY
from tinygrad_nn.testing.battery import CHECKS
from tinygrad_nn.testing.check_op import Op, OpReport, check_op


@dataclass
class Table:
    """What `report` found: one row per op; `failures` has the text of each op that did not pass."""

    rows: list[OpReport]
    failures: dict[str, str] = field(default_factory=dict)

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


def report(ops: Iterable[Op] | None = None, *, max_examples: int | None = None) -> Table:
    """Check every registered op, or those given, and return the table of every op against every check.

    A dash says that a check does not apply: nothing to write with `out=`, no second operand to share.

    Example:
        >>> table = report(["exp", "add"], max_examples=5)
        >>> [row.name for row in table.rows], table.failures
        (['exp', 'add'], {})
    """
    table = Table([])
    for op in dict.fromkeys(REGISTRY.values()) if ops is None else ops:
        name = getattr(op, "name", str(op))
        try:
            table.rows.append(check_op(op, max_examples))
        except CheckFailed as error:
            table.failures[name] = str(error)
            table.rows.append(OpReport(name, "failed"))
    return table
