"""Where every value of a compiled graph lives: views found out, lifetimes measured, buffers shared.

All intermediate results lie in one block of memory. Two of them share bytes when the last use of one comes before
the other is made; an elementwise op writes over an operand that nobody needs any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_nn.compiler.passes import COPY, Draft
from tinygrad_nn.graph.ir import Call, Value

Array = np.ndarray[Any, Any]
ALIGNMENT = 64
VIEWS = frozenset({"transpose", "swapaxes", "reshape", "expand_dims", "squeeze", "broadcast_to", "getitem"})


@dataclass(slots=True, eq=False)
class Task:
    """Something to run: it reads values and makes others.

    `at` is its place in the graph; `over` maps a result to the operands whose memory it may take; `emit` returns the
    lines of Python for it, and `loops`, where there are any, the lines of a compiled function.
    """

    at: int
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    emit: Callable[[Any], list[str]]
    over: dict[int, tuple[int, ...]] = field(default_factory=dict)
    loops: Callable[[Any], list[str]] | None = None


@dataclass(slots=True, eq=False)
class Plan:
    """The arrays of a compiled graph.

    Attributes:
        arrays: an array for every value that always lives in the same place.
        views: values that are made from an array given anew on each run, in order, and what they are views of.
        held: bytes of the block of intermediate results.
        kept: bytes of the buffers that outlive a run.
    """

    arrays: dict[int, Array]
    views: dict[int, int]
    held: int
    kept: int


class Shapes:
    """Which values are views, and of what, found out on stand-ins with the layout that the arrays will have."""

    def __init__(self, draft: Draft, owned: Iterable[int]) -> None:
        self.draft = draft
        self.owned = set(owned)
        self.stand_ins: dict[int, Array] = {}
        self.parent: dict[int, int] = {}
        values = draft.graph.values
        for k in draft.order:
            value = draft.call(k)
            for i in draft.operands(value):
                if i not in self.stand_ins:
                    x = values[i]
                    fixed = isinstance(x.data, np.ndarray) and i not in draft.dynamic
                    self.stand_ins[i] = x.data if fixed else np.empty(x.shape, x.dtype)
            if k not in self.owned and self._is_view(value):
                self.parent[k] = draft.operands(value)[0]
            else:
                self.stand_ins[k] = np.empty(value.shape, value.dtype)

    def _is_view(self, value: Call) -> bool:
        if value.op.name not in VIEWS or len(value.operands) != 1:
            return False
        source = self.stand_ins[self.draft.operands(value)[0]]
        if isinstance(source, np.ndarray) and source.size:
            view = view_of(value, source)
            if np.may_share_memory(view, source):
                self.stand_ins[value.index] = view
                return True
        return False

    def root(self, index: int) -> int:
        """Return the value whose memory this one lies in."""
        while index in self.parent:
            index = self.parent[index]
        return index


def view_of(value: Call, source: Array) -> Array:
    """Return the view of `source` that the op of `value` makes."""
    return value.op.function(source, **value.params)  # type: ignore[no-any-return]


def own_results(draft: Draft, left: Iterable[int]) -> dict[int, int]:
    """Return for each value that outlives a run the one that holds it in memory of its own, adding copies.

    Two gradients that are the same value, or that are an argument, a parameter or a constant, need a copy.
    """
    values = draft.graph.values
    holders: dict[int, int] = {}
    used: set[int] = set()
    for original in left:
        k = draft.now(original)
        value = values[k]
        if isinstance(value, Call) and k not in used and not value.op.writes:
            used.add(k)
            holders[original] = k
            continue
        copy = Call(
            len(values), shape=value.shape, dtype=value.dtype, op=COPY, operands=(k,), phase="backward"
        )
        values.append(copy)
        draft.order.insert(draft.order.index(k) + 1 if isinstance(value, Call) else 0, copy.index)
        used.add(copy.index)
        holders[original] = copy.index
    return holders


def plan(draft: Draft, shapes: Shapes, tasks: list[Task], kept: set[int], until_end: Iterable[int]) -> Plan:
    """Give every value that a task makes a place in memory.

    Args:
        draft: the graph.
        shapes: which of its values are views.
        tasks: what to run, in order.
        kept: values with a buffer of their own, which outlives a run.
        until_end: values that are read after the last task.
    """
    values = draft.graph.values
    last: dict[int, int] = {}
    born: dict[int, int] = {}
    for position, task in enumerate(tasks):
        for k in task.reads:
            last[shapes.root(k)] = position
        for k in task.makes:
            born[k] = last[k] = position
    for k in until_end:
        last[shapes.root(k)] = len(tasks)
    home = _share_in_place(draft, tasks, kept, last)
    blocks: dict[int, tuple[int, int]] = {}
    for k in born:
        first, end = blocks.get(home[k], (born[k], last[k]))
        blocks[home[k]] = (min(first, born[k]), max(end, last[k]))
    arrays = {k: np.empty(values[k].shape, values[k].dtype) for k in born if k in kept}
    offsets, total = _pack({k: (values[k], span) for k, span in blocks.items() if k not in kept})
    block = np.empty(total + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    made: dict[
        Any, Array
    ] = {}  # one array object for one place, so that `out is x` tells what is written over
    for k in born:
        if k not in kept:
            value = values[k]
            size = value.dtype.itemsize * int(np.prod(value.shape))
            place = start + offsets[home[k]]
            array = block[place : place + size].view(value.dtype).reshape(value.shape)
            arrays[k] = made.setdefault((place, value.dtype, value.shape), array)
    views: dict[int, int] = {}
    for k in {k for task in tasks for k in task.reads} | set(until_end):
        _place(k, draft, shapes, arrays, views)
    ordered = dict(sorted(views.items()))
    return Plan(arrays, ordered, total, sum(arrays[k].nbytes for k in kept if k in arrays))


def _place(k: int, draft: Draft, shapes: Shapes, arrays: dict[int, Array], views: dict[int, int]) -> None:
    """Note the array of a value that no task makes: a parameter, a constant, or a view of another."""
    chain = []
    while k in shapes.parent and k not in arrays and k not in views:
        chain.append(k)
        k = shapes.parent[k]
    value = draft.graph.values[k]
    if k not in arrays and k not in draft.dynamic and isinstance(value.data, np.ndarray):
        arrays[k] = value.data
    for child in reversed(chain):
        if k in arrays:
            arrays[child] = view_of(draft.call(child), arrays[k])
        else:
            views[child] = k
        k = child


def _share_in_place(draft: Draft, tasks: list[Task], kept: set[int], last: dict[int, int]) -> dict[int, int]:
    """Return for every value the one whose memory it takes over; itself, if none."""
    values = draft.graph.values
    home: dict[int, int] = {}
    for position, task in enumerate(tasks):
        taken: set[int] = set()
        for k in task.makes:
            home[k] = k
            for x in task.over.get(k, ()):
                fits = (values[x].shape, values[x].dtype) == (values[k].shape, values[k].dtype)
                free = (
                    x in home
                    and x not in kept
                    and k not in kept
                    and last[x] == position
                    and home[x] not in taken
                )
                if fits and free:
                    home[k] = home[x]
                    taken.add(home[x])
                    break
    return home


def _pack(blocks: dict[int, tuple[Value, tuple[int, int]]]) -> tuple[dict[int, int], int]:
    """Return an offset for each block, and the size of all: large ones first, each at the lowest place that is free."""
    placed: list[tuple[int, int, int, int]] = []
    offsets: dict[int, int] = {}

    def size(value: Value) -> int:
        raw = value.dtype.itemsize * int(np.prod(value.shape))
        return -(-max(raw, 1) // ALIGNMENT) * ALIGNMENT

    for k, (value, (first, end)) in sorted(blocks.items(), key=lambda item: -size(item[1][0])):
        need = size(value)
        offset = 0
        for start, stop, other_first, other_end in sorted(placed):
            if other_first <= end and first <= other_end:
                if offset + need <= start:
                    break
                offset = max(offset, stop)
        offsets[k] = offset
        placed.append((offset, offset + need, first, end))
    return offsets, max((stop for _, stop, _, _ in placed), default=0)
