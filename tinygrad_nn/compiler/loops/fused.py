"""Fused loops: which elementwise ops become one loop over their elements, and the text of that loop.

A loop grows from its last call backwards: a call joins the loop of its only user if all its operands can be read
there, element by element, and nothing in between writes what it reads. Shapes may differ, where the elements and the
last axis are the same: views that only reshape are seen through. Column sums of the result are made by the way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft, LoopNames, Task, is_flat
from tinygrad_nn.compiler.works.elementwise import spelled
from tinygrad_nn.compiler.works.general import KINDS
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.primitives import Array, Shape

_LINE = 512
"""Shorter rows are taken several at once, so that a loop over them is long enough for vectors."""
_LINES_OF_A_SUM = 64
"""So many are added up in the precision of the elements, then in double precision."""
_SHORT = 4096
"""Loops over more elements are given their sizes, so that one text serves for all of them."""
_ROLES = "single", "full", "column", "row"


class Access(NamedTuple):
    """How loops read an operand.

    Attributes:
        role: how it varies over the space of a loop: number, single, full, column, row.
        source: the value in whose flat array it lies.
        rows: of a column or a row, how many rows of the space share one; 0 where all do.
    """

    role: str
    source: int
    rows: int = 0


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


def _access(draft: Draft, index: int, space: Shape) -> Access | None:
    """Return how an operand is read in a loop over a space; None if loops cannot do it."""
    value, source = draft.values[index], index
    if _number(draft, value) is not None:
        return Access("number", index)
    while not is_flat(draft, source) and source in draft.parents:
        source = draft.parents[source]
    # What no call reads any more has no layout.
    array, flat = draft.layouts.get(index), draft.layouts.get(source)
    if array is None or flat is None or not is_flat(draft, source):
        return None
    begins = array.ctypes.data == flat.ctypes.data and array.dtype == flat.dtype
    if not begins or value.dtype.name not in (*KINDS, "bool") or draft.fixed_number(value) is not None:
        return None
    source, (*lead, width) = draft.whole(source), space
    for shared in range(len(lead) + 1):
        own = lead[: len(lead) - shared]
        for last, role in (width, "column"), (1, "row"):
            if flat.size == math.prod(own) * last:
                model = flat.reshape(*own, *[1] * shared, last)
                if _strides(model, space) == _strides(array, space):
                    if not shared and role == "column":
                        return Access("full", source)
                    if not own:
                        return Access("single" if role == "row" else role, source)
                    return Access(role, source, math.prod(lead[len(own) :]))
    return None


def _strides(array: Array, space: Shape) -> list[int]:
    """Return the strides of an array that is broadcast to a space, along the axes where that matters."""
    return [step for step, n in zip(np.broadcast_to(array, space).strides, space, strict=True) if n > 1]


def _accesses(draft: Draft, call: Call) -> list[Access | None]:
    """Return how each operand of a call is read in a loop over its result."""
    operands, shape = draft.operands(call), call.shape
    matrices = row_of(call.op).matrices
    return [
        _access_of_matrix(draft, k, shape) if place in matrices else _access(draft, k, shape)
        for place, k in enumerate(operands)
    ]


def _access_of_matrix(draft: Draft, index: int, space: Shape) -> Access | None:
    """Return how to read a matrix whose rows are columns of a loop, or a stack with one for each matrix there."""
    x = draft.values[index]
    if not is_flat(draft, index) or (x.shape[:-2], x.shape[-1]) != (space[:-2], space[-1]):
        return None
    return Access("column", draft.whole(index), space[-2] if math.prod(space[:-2]) > 1 else 0)


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
    row, kind = row_of(call.op), _kind(draft, call)
    bools = {place for place, x in enumerate(draft.values_of(call)) if x.dtype == bool}
    # Among floats a bool counts as 0 or 1.
    fits = bools == {*row.bools} or (bools > {*row.bools} and kind is not None and kind.name in KINDS)
    return fits and kind is not None and None not in _accesses(draft, call)


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

    def takes(self, call: Call) -> bool:
        """Tell whether elements of a call lie as those of the loop's result do, and are read so, one by one."""
        shape, space = call.shape, self.space
        alike = shape[-1] == space[-1] and math.prod(shape) == math.prod(space)
        return alike and all(x.role == "full" for x in self._accesses() if x.source == call.index)

    def _accesses(self) -> list[Access]:
        """Return how the members read what they read, each once."""
        accesses = [access for call in self.members for access in _accesses(self.draft, call)]
        return list(dict.fromkeys(filter(None, accesses)))

    def task(self) -> Task:
        """Return the task of the whole loop."""
        draft, inside = self.draft, self.inside
        accesses = [x for x in self._accesses() if x.source not in inside]
        roots = [draft.root(x.source) for x in accesses]
        # Not over an operand of which another is a part, which a later element still reads.
        full = [x.source for x in accesses if x.role == "full" and roots.count(draft.root(x.source)) == 1]
        reads, root = tuple(dict.fromkeys(x.source for x in accesses)), self.root.index
        makes, over = (root, *self.sums), {root: tuple(full)}
        fused = tuple(self.members)
        return Task("loop", None, reads, makes, call=self.root, fused=fused, over=over, loops=self.lines)

    def lines(self, names: LoopNames) -> list[str]:
        """Return the text of the loops."""
        text = _Text(self.draft, names, self.space, self.inside)
        for call in self.members:
            text.add(call)
        return text.lines(self.root, self.sums)


class _Text:
    """The text of a fused loop, call by call."""

    def __init__(self, draft: Draft, names: LoopNames, space: Shape, inside: set[int]) -> None:
        self._draft = draft
        self._names = names
        self._inside = inside
        self._size, self._width = math.prod(space), space[-1]
        self._size_text = str if self._size <= _SHORT else names.number
        self._loads: dict[str, dict[str, tuple[int, str]]] = {role: {} for role in _ROLES}
        self._by_row: dict[str, str] = {}
        self._groups: set[int] = set()
        self._steps: list[str] = []

    def add(self, call: Call) -> None:
        """Compute one more call."""
        draft, row, kind = self._draft, row_of(call.op), _kind(self._draft, call)
        typed = KINDS.get(kind.name, "") if kind is not None else ""
        texts: list[str | list[str]] = []
        for place, (x, access) in enumerate(zip(draft.values_of(call), _accesses(draft, call), strict=True)):
            assert access is not None
            number = _number(draft, x)
            if number is not None:
                texts.append(f"{typed}({spelled(number)})")
            elif place in row.matrices:
                texts.append([self._load(access, k, x.shape[-2]) for k in range(x.shape[-2])])
            else:
                text = self._load(access)
                texts.append(f"{typed}({text})" if x.dtype == bool and place not in row.bools else text)
        result = _template(draft, call).format(*texts, T=typed, w=typed[1:])
        result = result if call.dtype == bool else f"{typed}({result})"
        self._steps.append(f"t{self._names.local(call.index)} = {result}")

    def _load(self, access: Access, k: int = 0, columns: int = 1) -> str:
        """Return the variable of an element that is read, of one column of several if there are more."""
        role, index, rows = access
        if index in self._inside:
            return f"t{self._names.local(index)}"
        array, size = self._names.array(index), self._size_text
        if role == "row" or rows:
            self._groups.add(rows)
        at = {"single": "0", "full": "i", "row": "r", "column": "j"}[role]
        if role == "row" and rows > 1:
            at = f"r // {size(rows)}"
        if k:
            at = f"{size(k * self._width)} + {at}"
        if role == "column" and rows:
            begin = f"begin_{array}_{columns}"
            self._by_row[begin] = f"r // {size(rows)} * {size(columns * self._width)}"
            at = f"{begin} + {at}"
        variable = f"{role}_{array}" + (f"_{k}" if columns > 1 else "")
        self._loads[role][variable] = index, f"{array}[{at}]"
        return variable

    def lines(self, root: Call, sums: list[int]) -> list[str]:
        """Return the loops that fill the result and the sums of its columns."""
        names, rows = self._names, self._size // self._width
        by_row = [f"{name} = {text}" for name, text in self._by_row.items()] + self._reads("row")
        result = f"t{names.local(root.index)}"
        size, width = self._size_text(self._size), self._size_text(self._width)
        out = names.array(root.index)
        if not (self._loads["column"] or by_row or sums):
            body = [*self._reads("full"), *self._steps, f"{out}[i] = {result}"]
            return [*self._reads("single"), *_loop(f"i in range({size})", body)]
        # Seen from where a line starts: LLVM knows of `j` that it is not negative.
        arrays = dict.fromkeys([*(names.array(k) for k, _ in self._loads["full"].values()), out])
        starts = [f"{array}_s = {array}[s:]" for array in arrays]
        full = [f"{variable} = {names.array(k)}_s[j]" for variable, (k, _) in self._loads["full"].items()]
        body = [*full, *self._steps, f"{out}_s[j] = {result}"]
        # What varies by row stays the same for a group of many rows, or else is read anew in each line.
        group = max(self._groups, default=0) if len(self._groups) == 1 else 0
        group = group if group >= _LINES_OF_A_SUM else 0
        first, last = (f"r * {width}", f"(r + {self._size_text(group)}) * {width}") if group else ("0", size)
        several = 1 if by_row and not group else max(1, min((group or rows) // 8, _LINE // self._width))
        length = several * self._width
        line, columns = str(length), []
        for variable, (index, column) in self._loads["column"].items():
            if several > 1:
                long = names.scratch(np.empty(length, self._draft.values[index].dtype))
                copy = _loop(f"j in range({width})", [f"{long}[k + j] = {column}"])
                columns += _loop(f"k in range(0, {line}, {width})", copy)
                column = f"{long}[j]"
            body.insert(0, f"{variable} = {column}")
        by_line = [f"r = s // {width}", *by_row] if by_row and not group else []

        def lines(first: str, last: str) -> list[str]:
            count = line if (group or rows) % several == 0 else f"min({line}, {last} - s)"
            inner = _loop(f"j in range({count})", body)
            return _loop(f"s in range({first}, {last}, {line})", [*by_line, *starts, *inner])

        def by_group(inner: list[str]) -> list[str]:
            if not group:
                return [*columns, *inner]
            return _loop(
                f"r in range(0, {self._size_text(rows)}, {self._size_text(group)})",
                [*by_row, *columns, *inner],
            )

        if not sums:
            return [*self._reads("single"), *by_group(lines(first, last))]
        total, part = names.scratch(np.empty(length)), names.scratch(np.empty(length, root.dtype))
        each, block = f"j in range({line})", length * _LINES_OF_A_SUM
        body.append(f"{part}[j] += {result}")
        one = not group and self._size <= block
        inner = [
            *_loop(each, [f"{part}[j] = 0"]),
            *(lines("0", size) if one else lines("b", f"min(b + {block}, {last})")),
            *_loop(each, [f"{total}[j] {'=' if one else '+='} {part}[j]"]),
        ]
        blocks = by_group(inner if one else _loop(f"b in range({first}, {last}, {block})", inner))
        more = _loop(f"j in range({width}, {line})", [f"{total}[j % {width}] += {total}[j]"])
        outs = [f"{names.array(k)}[j] = {KINDS[root.dtype.name]}({total}[j])" for k in sums]
        return [
            *self._reads("single"),
            *([] if one else _loop(each, [f"{total}[j] = 0"])),
            *blocks,
            *(more if several > 1 else []),
            *_loop(f"j in range({width})", outs),
        ]

    def _reads(self, role: str) -> list[str]:
        """Return the lines that read the operands of one role."""
        return [f"{variable} = {element}" for variable, (_, element) in self._loads[role].items()]


def _loop(head: str, body: list[str]) -> list[str]:
    return [f"for {head}:", *[f"    {line}" for line in body]]
