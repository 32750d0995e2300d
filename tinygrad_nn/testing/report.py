"""report: the table of every op against every check, with counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing.battery import CHECKS
from tinygrad_nn.testing.check_op import OpReport, check_op


@dataclass
class Table:
    """What `report` found: one row per op; `failures` has the text of each op that did not pass."""

    rows: list[OpReport]
    failures: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        heads = ["op", "kind", "examples", "nonzero", *CHECKS]
        lines = [heads]
        for row in self.rows:
            counts = [str(row.checks[name] or "-") for name in CHECKS]
            kind = "FAILED" if row.name in self.failures else row.kind
            lines.append([row.name, kind, str(row.examples), str(row.nonzero), *counts])
        totals = [str(sum(row.checks[name] for row in self.rows)) for name in CHECKS]
        examples, nonzero = (str(sum(getattr(row, f) for row in self.rows)) for f in ("examples", "nonzero"))
        lines.append([f"{len(self.rows)} ops", "", examples, nonzero, *totals])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([*text, *self.failures.values()])


def report(ops: Iterable[Any] | None = None, *, max_examples: int | None = None) -> Table:
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
