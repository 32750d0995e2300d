"""Which tasks can be compiled loops, and the text of these loops: fused elementwise ops, bias sums, small products.

Everything here sees arrays as flat and contiguous, with sizes written out as numbers, so that LLVM can unroll.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_nn.compiler.memory import Shapes, Task
from tinygrad_nn.compiler.passes import Draft
from tinygrad_nn.graph.ir import Call, Value

EXPRESSIONS = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "positive": "{0}",
    "reciprocal": "{T}(1) / {0}",
    "square": "{0} * {0}",
    "sqrt": "math.sqrt({0})",
    "absolute": "abs({0})",
    "exp": "exp{w}({0})",
    "tanh": "tanh{w}({0})",
    "sigmoid": "sigmoid{w}({0})",
    "relu": "({0} if {0} > 0 or {0} != {0} else {T}(0))",
    "maximum": "({0} if {0} > {1} or {0} != {0} else {1})",
    "minimum": "({0} if {0} < {1} or {0} != {0} else {1})",
    "where": "({1} if {0} else {2})",
    "product": "({T}(0) if {0} == 0 else {0} * {1})",
    "quotient": "({T}(0) if {0} == 0 else {0} / {1})",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_and": "{0} & {1}",
    "logical_or": "{0} | {1}",
}
COMPARISONS = frozenset(
    {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "logical_and", "logical_or"}
)
SLOW_IN_NARROW_LOOPS = frozenset({"exp", "tanh", "sigmoid"})
NARROW = 16
UNROLLED = 64
KINDS = {"float32": "f4", "float64": "f8"}


class Eligible:
    """Answers what about a value decides whether loops can compute it."""

    def __init__(self, draft: Draft, shapes: Shapes) -> None:
        self.draft = draft
        self.shapes = shapes
        self.values = draft.graph.values

    def flat(self, k: int) -> bool:
        """Tell whether the array of a value is contiguous, so that it can be seen as flat."""
        array = self.shapes.stand_ins.get(k)
        return array is not None and bool(array.flags.c_contiguous) and array.dtype.isnative

    def number(self, value: Value) -> float | int | None:
        """Return a constant number."""
        data = value.data
        if value.kind != "constant" or value.shape or value.index in self.draft.dynamic:
            return None
        number = data.item() if isinstance(data, (np.ndarray, np.generic)) else data
        return number if isinstance(number, (bool, int, float)) and math.isfinite(number) else None

    def role(self, k: int, space: tuple[int, ...]) -> str | None:
        """Return how an operand varies over a space: number, full, column, row; None if loops do not know."""
        value = self.values[k]
        if self.number(value) is not None:
            return "number"
        if not self.flat(k) or value.dtype.name not in (*KINDS, "bool"):
            return None
        if value.shape == space:
            return "full"
        if len(space) >= 2 and value.shape in ((space[-1],), (1,) * (len(space) - 1) + space[-1:]):
            return "column"
        if len(space) >= 2 and value.shape == (*space[:-1], 1):
            return "row"
        return None

    def elementwise(self, value: Value) -> bool:
        """Tell whether loops can compute the op of a value element by element."""
        if not isinstance(value, Call) or value.op.name not in EXPRESSIONS or value.params or not value.shape:
            return False
        name = value.op.name
        if not math.prod(value.shape) or (value.dtype.name not in KINDS and name not in COMPARISONS):
            return False
        operands = [self.values[k] for k in self.draft.operands(value)]
        floats = {x.dtype for x in operands if self.number(x) is None and x.dtype.kind == "f"}
        if len(floats) > 1 or (name not in COMPARISONS and floats != {value.dtype}):
            return False
        if name in ("logical_and", "logical_or") and any(x.dtype != bool for x in operands):
            return False
        if name == "where":
            operands, condition = operands[1:], operands[0]
            if condition.dtype != bool or self.role(condition.index, value.shape) is None:
                return False
        elif any(x.dtype == bool for x in operands) and name not in ("logical_and", "logical_or"):
            return False
        return all(self.role(x.index, value.shape) is not None for x in operands)

    def column_sum(self, value: Value) -> bool:
        """Tell whether a value is the sum of another over all but the last axis."""
        if not isinstance(value, Call) or value.op.name != "sum_to" or value.dtype.name not in KINDS:
            return False
        (k,) = self.draft.operands(value)
        x = self.values[k]
        fits = len(x.shape) >= 2 and value.shape == x.shape[-1:] and x.dtype == value.dtype
        return fits and bool(math.prod(x.shape)) and self.flat(k)


class Group:
    """Elementwise ops over one space that become one loop, and the column sums of their result."""

    def __init__(self, root: Value) -> None:
        self.space = root.shape
        self.root = root
        self.members = [root.index]
        self.sums: list[int] = []

    def task(self, at: int, known: Eligible) -> Task:
        """Return the task of the whole group."""
        inside = set(self.members)
        operands = [i for k in self.members for i in known.draft.operands(known.draft.call(k))]
        reads = tuple(dict.fromkeys(i for i in operands if i not in inside))
        roots = [known.shapes.root(i) for i in reads]
        full = tuple(  # not if another operand is a part of it, which a later element still reads
            i
            for i in reads
            if known.role(i, self.space) == "full" and i not in known.draft.dynamic and roots.count(i) == 1
        )
        makes = (self.root.index, *self.sums)
        return Task(at, reads, makes, _refuse, {self.root.index: full}, lambda n: self.loops(n, known))

    def loops(self, n: Any, known: Eligible) -> list[str]:
        """Return the text of the loops."""
        width = self.space[-1]
        rows = math.prod(self.space) // width
        names: dict[int, str] = {}
        loads: dict[str, list[str]] = {"full": [], "column": [], "row": []}
        inside = set(self.members)
        for k in dict.fromkeys(i for m in self.members for i in known.draft.operands(known.draft.call(m))):
            if k in inside:
                names[k] = f"t{n.local(k)}"
                continue
            role = known.role(k, self.space)
            if role == "number":
                continue
            names[k] = f"x{n.local(k)}"
            index = {"full": "i", "column": "j", "row": "r"}[role or ""]
            loads[role or ""].append(f"{names[k]} = {n.array(k)}[{index}]")
        steps = [(k, f"t{n.local(k)} = {self._expression(known, k, names)}") for k in self.members]
        out, result = n.array(self.root.index), f"t{n.local(self.root.index)}"
        first = self.members[0]
        bias_first = (
            width < NARROW
            and loads["column"]
            and not loads["row"]
            and len(steps) > 1
            and any(_name(known.values[k]) in SLOW_IN_NARROW_LOOPS for k in self.members)
            and all(
                known.role(i, self.space) == "number" or i in inside
                for k in self.members[1:]
                for i in known.draft.operands(known.draft.call(k))
            )
        )
        if bias_first:
            lines = _two_loops(
                rows, width, [*loads["full"], *loads["column"], steps[0][1]], f"{out}[i] = t{n.local(first)}"
            )
            body = [f"t{n.local(first)} = {out}[i]", *[text for _, text in steps[1:]], f"{out}[i] = {result}"]
            lines += _one_loop(rows * width, body)
        elif loads["column"] or loads["row"]:
            body = [*loads["full"], *loads["column"], *[text for _, text in steps]]
            lines = _two_loops(rows, width, body, f"{out}[i] = {result}", loads["row"])
        else:
            body = [*loads["full"], *[text for _, text in steps], f"{out}[i] = {result}"]
            lines = _one_loop(rows * width, body)
        for total in self.sums:
            lines += _column_sum(n, out, n.array(total), rows, width, KINDS[self.root.dtype.name])
        return lines

    def _expression(self, known: Eligible, k: int, names: dict[int, str]) -> str:
        value = known.draft.call(k)
        operands = [known.values[i] for i in known.draft.operands(value)]
        kind = next(
            (x.dtype for x in operands if x.dtype.kind == "f" and known.number(x) is None), value.dtype
        )
        kind = value.dtype if value.op.name not in COMPARISONS else kind
        typed = KINDS.get(kind.name, "")
        texts = []
        for x in operands:
            number = known.number(x)
            texts.append(names[x.index] if number is None else f"{typed}({number!r})")
        name = value.op.name
        text = EXPRESSIONS[name].format(*texts, T=typed, w=typed[1:])
        return text if name in COMPARISONS else f"{KINDS[value.dtype.name]}({text})"


def _name(value: Value) -> str:
    return value.op.name if isinstance(value, Call) else ""


def _refuse(_: Any) -> list[str]:
    raise NotImplementedError("a fused group has no form in NumPy")


def _one_loop(count: int, body: list[str]) -> list[str]:
    return [f"for i in range({count}):", *[f"    {line}" for line in body]]


def _two_loops(rows: int, width: int, body: list[str], store: str, row: list[str] | None = None) -> list[str]:
    return [
        f"for r in range({rows}):",
        *[f"    {line}" for line in row or []],
        f"    for j in range({width}):",
        f"        i = r * {width} + j",
        *[f"        {line}" for line in [*body, store]],
    ]


def _column_sum(n: Any, source: str, out: str, rows: int, width: int, kind: str) -> list[str]:
    """Return loops that sum over rows in double precision."""
    if width <= 8:
        names = [f"s{j}" for j in range(width)]
        return [
            " = ".join(names) + " = 0.0",
            f"for r in range({rows}):",
            *[f"    s{j} += {source}[r * {width} + {j}]" for j in range(width)],
            *[f"{out}[{j}] = {kind}(s{j})" for j in range(width)],
        ]
    total = n.scratch(np.zeros(width))
    return [
        f"for j in range({width}):",
        f"    {total}[j] = 0.0",
        f"for r in range({rows}):",
        f"    for j in range({width}):",
        f"        {total}[j] += {source}[r * {width} + j]",
        f"for j in range({width}):",
        f"    {out}[j] = {kind}({total}[j])",
    ]


def small_product(value: Value, task: Task, known: Eligible) -> Task | None:
    """Return a matrix product in loops, if it is so small that calling BLAS costs more than computing."""
    a, b = (known.values[k] for k in task.reads)
    if (
        len(a.shape) != 2
        or len(b.shape) != 2
        or value.dtype.name not in KINDS
        or not a.dtype == b.dtype == value.dtype
    ):
        return None
    (m, k), n = a.shape, b.shape[1]
    tall = k * n <= UNROLLED and m >= k
    if not (tall or m * n <= UNROLLED) or not m * k * n or m * k * n > 8192:
        return None
    strides = [_strides(known, index) for index in task.reads]
    if None in strides:
        return None
    (a0, a1), (b0, b1) = strides  # type: ignore[misc]

    def loops(w: Any) -> list[str]:
        x, y, out = (w.array(known.shapes.root(i)) for i in (*task.reads, value.index))
        if tall:
            fixed = [f"b{c}_{j} = {y}[{c * b0 + j * b1}]" for c in range(k) for j in range(n)]
            body = [f"    a{c} = {x}[i * {a0} + {c * a1}]" for c in range(k)]
            body += [
                f"    {out}[i * {n} + {j}] = " + " + ".join(f"a{c} * b{c}_{j}" for c in range(k))
                for j in range(n)
            ]
            return [*fixed, f"for i in range({m}):", *body]
        kind = KINDS[value.dtype.name]
        sums = [f"s{i}_{j}" for i in range(m) for j in range(n)]
        body = [f"    a{i} = {x}[c * {a1} + {i * a0}]" for i in range(m)]
        body += [f"    b{j} = {y}[c * {b0} + {j * b1}]" for j in range(n)]
        body += [f"    s{i}_{j} += a{i} * b{j}" for i in range(m) for j in range(n)]
        stores = [f"{out}[{i * n + j}] = s{i}_{j}" for i in range(m) for j in range(n)]
        return [*[f"{s} = {kind}(0)" for s in sums], f"for c in range({k}):", *body, *stores]

    return Task(task.at, task.reads, task.makes, task.emit, task.over, loops)


def _strides(known: Eligible, index: int) -> tuple[int, int] | None:
    root = known.shapes.root(index)
    array, whole = known.shapes.stand_ins.get(index), known.shapes.stand_ins.get(root)
    if array is None or whole is None or not known.flat(root) or array.ctypes.data != whole.ctypes.data:
        return None
    if array.dtype != whole.dtype or min(array.strides) < 0:
        return None
    return array.strides[0] // array.itemsize, array.strides[1] // array.itemsize
