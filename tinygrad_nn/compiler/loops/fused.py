"""Fused loops: which elementwise ops become one loop over their elements, and the text of that loop.

A loop grows from its last call backwards: a call joins the loop of its only user if all its operands can be read
there, element by element, and nothing in between writes what it reads. Column sums of the result are made by the way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft, LoopNames, Task, is_flat
from tinygrad_nn.compiler.works.elementwise import spelled
from tinygrad_nn.compiler.works.general import KINDS
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.primitives import Shape

_NARROW = 16
_UNROLLED_SUMS = 8
_INDEX = {"single": "0", "full": "i", "column": "j", "row": "r"}
"""How an operand is read, by how it varies over the space of a loop."""


def _number(draft: Draft, value: Value) -> float | None:
    """Return a constant number, which the text of a loop contains."""
    number = draft.fixed_number(value)
    return number if isinstance(number, (bool, int, float)) else None


def _template(draft: Draft, call: Call) -> str:
    """Return the expression of one element of a call; nothing, if there is none."""
    loop = row_of(call.op).loop
    if not isinstance(loop, str):
        return loop(draft, call)
    return "" if call.params else loop


def _role(draft: Draft, index: int, space: Shape) -> str | None:
    """Return how an operand varies over a space: number, single, full, column, row; None if loops do not know."""
    value = draft.values[index]
    if _number(draft, value) is not None:
        return "number"
    if not is_flat(draft, index) or value.dtype.name not in (*KINDS, "bool"):
        return None
    if value.shape == space:
        return "full"
    if not value.shape and draft.fixed_number(value) is None:
        return "single"
    if len(space) >= 2 and value.shape in ((space[-1],), (1,) * (len(space) - 1) + space[-1:]):
        return "column"
    if len(space) >= 2 and value.shape == (*space[:-1], 1):
        return "row"
    return None


def _kind(draft: Draft, call: Call) -> np.dtype | None:
    """Return the one dtype in which a call computes with floats; that of its result if there are none."""
    floats = {x.dtype for x in draft.values_of(call) if x.dtype.kind == "f" and _number(draft, x) is None}
    if call.dtype.name in KINDS:
        return call.dtype if floats == {call.dtype} else None
    return None if call.dtype != bool or len(floats) > 1 else next(iter(floats), call.dtype)


def is_elementwise(draft: Draft, call: Call) -> bool:
    """Tell whether loops can compute a call element by element."""
    if (
        not call.shape
        or not math.prod(call.shape)
        or not is_flat(draft, call.index)
        or not _template(draft, call)
    ):
        return False
    bools = tuple(place for place, x in enumerate(draft.values_of(call)) if x.dtype == bool)
    roles = [_role(draft, k, call.shape) for k in draft.operands(call)]
    return bools == row_of(call.op).bools and None not in roles and _kind(draft, call) is not None


def is_column_sum(draft: Draft, call: Call) -> bool:
    """Tell whether a call sums its operand over all but the last axis."""
    if not row_of(call.op).sums or call.dtype.name not in KINDS:
        return False
    (x,) = draft.values_of(call)
    fits = len(x.shape) >= 2 and call.shape == x.shape[-1:] and x.dtype == call.dtype
    return fits and bool(math.prod(x.shape)) and is_flat(draft, x.index)


class FusedLoop:
    """Elementwise calls over one space that become one loop, and the column sums of their result."""

    def __init__(self, draft: Draft, root: Call) -> None:
        self.draft = draft
        self.root = root
        self.space = root.shape
        self.members = [root]
        self.sums: list[int] = []

    @property
    def inside(self) -> set[int]:
        """The values that the loop makes of others."""
        return {call.index for call in self.members}

    def operands(self, members: Iterable[Call]) -> list[int]:
        """Return the operands of some members, each once."""
        return list(dict.fromkeys(k for call in members for k in self.draft.operands(call)))

    def task(self) -> Task:
        """Return the task of the whole loop."""
        draft, inside = self.draft, self.inside
        reads = tuple(k for k in self.operands(self.members) if k not in inside)
        roots = [draft.root(k) for k in reads]
        # Not over an operand of which another is a part, which a later element still reads.
        full = [k for k in reads if _role(draft, k, self.space) == "full" and roots.count(k) == 1]
        root = self.root.index
        makes, over = (root, *self.sums), {root: tuple(full)}
        fused = tuple(self.members)
        return Task("loop", None, reads, makes, call=self.root, fused=fused, over=over, loops=self.lines)

    def lines(self, names: LoopNames) -> list[str]:
        """Return the text of the loops."""
        draft, inside, width = self.draft, self.inside, self.space[-1]
        rows = math.prod(self.space) // width
        variables: dict[int, str] = {}
        loads: dict[str, list[str]] = {role: [] for role in _INDEX}
        for k in self.operands(self.members):
            role = _role(draft, k, self.space)
            if k in inside:
                variables[k] = f"t{names.local(k)}"
            elif role in loads:
                variables[k] = f"x{names.local(k)}"
                loads[role].append(f"{variables[k]} = {names.array(k)}[{_INDEX[role]}]")
        steps = [f"t{names.local(call.index)} = {self._expression(call, variables)}" for call in self.members]
        out = names.array(self.root.index)
        result = f"{out}[i] = t{names.local(self.root.index)}"
        reads = [*loads["full"], *loads["column"]]
        if self._bias_first(loads):
            first = f"t{names.local(self.members[0].index)}"
            lines = _two_loops(rows, width, [], [*reads, steps[0], f"{out}[i] = {first}"])
            lines += _one_loop(rows * width, [f"{first} = {out}[i]", *steps[1:], result])
        elif loads["column"] or loads["row"]:
            lines = _two_loops(rows, width, loads["row"], [*reads, *steps, result])
        else:
            lines = _one_loop(rows * width, [*reads, *steps, result])
        lines = [*loads["single"], *lines]
        for total in self.sums:
            lines += _column_sum(names, out, names.array(total), rows, width, KINDS[self.root.dtype.name])
        return lines

    def _bias_first(self, loads: dict[str, list[str]]) -> bool:
        """Tell whether to add a bias in short loops, and compute the rest in one long loop, which vectorises."""
        others = self.members[1:]
        inside = self.inside
        return (
            self.space[-1] < _NARROW
            and bool(loads["column"] and others)
            and not loads["row"]
            and any(row_of(call.op).slow_in_narrow_loops for call in self.members)
            and all(
                k in inside or _role(self.draft, k, self.space) in ("number", "single")
                for k in self.operands(others)
            )
        )

    def _expression(self, call: Call, variables: dict[int, str]) -> str:
        draft, kind = self.draft, _kind(self.draft, call)
        typed = KINDS.get(kind.name, "") if kind is not None else ""
        texts = []
        for x in draft.values_of(call):
            number = _number(draft, x)
            texts.append(variables[x.index] if number is None else f"{typed}({spelled(number)})")
        text = _template(draft, call).format(*texts, T=typed, w=typed[1:])
        return text if call.dtype == bool else f"{typed}({text})"


def _one_loop(count: int, body: list[str]) -> list[str]:
    return [f"for i in range({count}):", *[f"    {line}" for line in body]]


def _two_loops(rows: int, width: int, by_row: list[str], body: list[str]) -> list[str]:
    inner = [f"for j in range({width}):", f"    i = r * {width} + j", *[f"    {line}" for line in body]]
    return [f"for r in range({rows}):", *[f"    {line}" for line in [*by_row, *inner]]]


def _column_sum(names: LoopNames, source: str, out: str, rows: int, width: int, kind: str) -> list[str]:
    """Return loops that sum over rows in double precision."""
    if width <= _UNROLLED_SUMS:
        totals = [f"s{j}" for j in range(width)]
        return [
            " = ".join(totals) + " = 0.0",
            f"for r in range({rows}):",
            *[f"    s{j} += {source}[r * {width} + {j}]" for j in range(width)],
            *[f"{out}[{j}] = {kind}(s{j})" for j in range(width)],
        ]
    total = names.scratch(np.zeros(width))
    return [
        f"for j in range({width}):",
        f"    {total}[j] = 0.0",
        f"for r in range({rows}):",
        f"    for j in range({width}):",
        f"        {total}[j] += {source}[r * {width} + j]",
        f"for j in range({width}):",
        f"    {out}[j] = {kind}({total}[j])",
    ]
