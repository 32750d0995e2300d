"""The Numba backend: runs of tasks that loops can do become compiled functions; the rest is left to NumPy."""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from types import ModuleType
from typing import Any

import numba
import numpy as np

from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft, Loops, Names, Task
from tinygrad_nn.compiler.kernels import general
from tinygrad_nn.compiler.loops import mathematics
from tinygrad_nn.compiler.loops.fused import FusedLoop, is_column_sum, is_elementwise
from tinygrad_nn.compiler.numpy_backend import task_of
from tinygrad_nn.compiler.works.general import KINDS, Update
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.primitives import Array

HEADER = """import math
import numpy as np
from tinygrad_nn.compiler.loops.addresses import array_at
from tinygrad_nn.compiler.loops.mathematics import *
from tinygrad_nn.compiler.loops.small_products import product_by_rows, product_by_terms

@outer
"""

check_labels = general.label_check(mathematics.labels_fit)


def fuse(draft: Draft) -> Draft:
    """Let elementwise tasks become fused loops, and give loops to what has some of its own."""
    draft.tasks = [part for task in draft.tasks for part in _apart(draft, task)]
    users = _users(draft)
    outside = {*draft.holders.values(), *(draft.root(draft.now(k)) for k in draft.results)}
    fused = _fused_loops(draft, users, outside)
    heads = {loop.root.index: loop for loop in fused}
    inside = {k for loop in fused for k in (*loop.inside, *loop.sums)}
    alone = [loop.root for loop in fused if len(loop.members) == 1 and not loop.sums]
    # Calls of which each does nothing but change a result that nobody else reads.
    changes = {k: call for call in alone for k in draft.operands(call) if users.get(k) == [call.index]}
    tasks = []
    for task in draft.tasks:
        first = task.makes[0] if task.makes else None
        if first in heads:
            tasks.append(heads[first].task())
        elif first not in inside:
            both = _together(draft, task, changes) if first not in outside else None
            if both is not None:
                del heads[both.makes[0]]
                tasks.append(both)
                continue
            if task.run is general.check_labels:
                task.run = check_labels
            tasks += [task] if task.call is None else _compiled(draft, task, task.call)
    draft.tasks = tasks
    return draft


def _apart(draft: Draft, task: Task) -> list[Task]:
    """Return a task for the result and one for each residual, where loops compute that as fast as they read it."""
    alone = [
        call
        for call in (task.call, *map(draft.twins.get, task.makes[1:]))
        # What it read may be gone, unless the task reads it too.
        if call is not None and {*draft.operands(call)} <= {*task.reads} and is_elementwise(draft, call)
    ]
    if len(alone) < max(2, len(task.makes)):
        return [task]
    for call in alone:
        draft.values[call.index] = call
    return [task_of(draft, call, {}) for call in alone]


def _together(draft: Draft, task: Task, changes: dict[int, Call]) -> Task | None:
    """Return a task that also does what changes its only result, where the catalogue has some for both."""
    call = task.call
    then = changes.get(call.index) if call is not None and task.makes == (call.index,) else None
    build = row_of(call.op).work_with.get(then.op) if call is not None and then is not None else None
    if call is None or then is None or build is None or len(then.operands) > 1:
        return None
    work, name = build(draft, call, (then.index,)), f"{task.name}_{then.op.name}"
    if work is None:
        return None
    return Task(name, None, task.reads, (then.index,), call=then, fused=(call, then), work=work)


def _compiled(draft: Draft, task: Task, call: Call) -> list[Task]:
    """Return a task with compiled code of its own, where the catalogue has some for its call, or one for each work."""
    row = row_of(call.op)
    if row.loops is not None:
        task.loops = row.loops(draft, call, task.makes)
    work = None if row.work is None else row.work(draft, call, task.makes)
    if work is None:
        return [task]
    tasks, known = [], set(task.reads)
    for part in (*work.before, work):
        makes = tuple(k for k in part.arrays if k not in known)
        reads = tuple(k for k in part.arrays if k in known)
        known.update(makes)
        name = part.run.__name__ if work.before else task.name
        tasks.append(Task(name, None, reads, makes, call=call, over={**task.over, **part.over}, work=part))
    return tasks


def _fused_loops(draft: Draft, users: dict[int, list[int]], outside: set[int]) -> list[FusedLoop]:
    """Return the fused loops of several calls, or with sums; the last calls of a loop are seen first.

    Args:
        draft: the graph.
        users: what `_users` returns.
        outside: the values that outlive a replay.
    """
    tasks, writes = draft.tasks, _writes(draft)
    homes: dict[int, FusedLoop] = {}
    ends: dict[FusedLoop, int] = {}
    for position in range(len(tasks) - 1, -1, -1):
        task = tasks[position]
        if task.call is None or task.makes != (task.call.index,) or not is_elementwise(draft, task.call):
            continue
        call = task.call
        loops = {homes.get(user) for user in users[call.index]}
        loop = loops.pop() if len(loops) == 1 else None
        if loop is not None and loop.takes(call) and call.index not in outside:
            between = range(position + 1, ends[loop])
            if not any(w in between for k in task.reads for w in writes[draft.root(k)]):
                loop.members.insert(0, call)
                homes[call.index] = loop
                continue
        homes[call.index] = loop = FusedLoop(draft, call)
        ends[loop] = position
    for task in tasks:
        if task.call is not None and task.makes and is_column_sum(draft, task.call):
            whole = draft.whole(task.reads[0])
            source = homes.get(whole)
            # What was reshaped may have columns of another length.
            if source is not None and source.root.index == whole and source.space[-1:] == task.call.shape:
                source.sums.append(task.makes[0])
    return list(ends)


def _users(draft: Draft) -> dict[int, list[int]]:
    """Return for each value what each task that reads it makes first; -1 for one that only writes, or reads a part."""
    users: dict[int, list[int]] = defaultdict(list)
    for task in draft.tasks:
        for k in task.reads:
            root = draft.root(k)
            users[root].append(task.makes[0] if task.makes and draft.whole(k) == root else -1)
    return users


def _writes(draft: Draft) -> dict[int, list[int]]:
    """Return for each value the positions of the updates that write it."""
    writes: dict[int, list[int]] = defaultdict(list)
    for position, task in enumerate(draft.tasks):
        if task.call is not None:
            for place in task.call.op.writes:
                writes[draft.root(task.reads[place])].append(position)
    return writes


def join(draft: Draft) -> Draft:
    """Join the tasks that have loops to compiled functions, each as long as nothing else comes in between.

    Plain Python work moves before the function, but not where the same owner, such as an optimizer, has done some
    before: what came between sees what it did then.
    """
    tasks: list[Task] = []
    segment = Segment(draft)
    owners = set()
    for task in draft.tasks:
        if task.loops is not None:
            segment.append(task, task.loops)
            continue
        owner = None if task.reads or task.makes else id(getattr(task.run, "__self__", task.run))
        if segment.parts and (owner is None or owner in owners):
            tasks.append(segment)
            segment = Segment(draft)
        owners.add(owner)
        tasks.append(task)
    draft.tasks = [*tasks, segment] if segment.parts else tasks
    return draft


class Segment(Task):
    """A run of tasks that becomes one compiled function."""

    def __init__(self, draft: Draft) -> None:
        super().__init__("loops", None)
        self.draft = draft
        self.parts: list[Loops] = []

    def append(self, task: Task, loops: Loops) -> None:
        """Take one more task in, which these loops do."""
        self.parts.append(loops)
        self.reads, self.makes = (*self.reads, *task.reads), (*self.makes, *task.makes)
        self.fused = (*self.fused, *(task.fused or filter(None, [task.call])))

    def line(self, names: Names) -> str:
        """Compile the function and return the line that calls it; a comment names what it finds by addresses."""
        p = Parameters(self.draft, names)
        lines: list[str] = []
        for _, parts in groupby(self.parts, p.form):
            first, *others = parts
            updates = [loops for loops in others if isinstance(loops, Update)]
            lines += p.one_loop([first, *updates]) if isinstance(first, Update) and updates else first(p)
        found = p.table("addresses")
        text = f"{HEADER}def segment({', '.join(p.names)}):\n    " + "\n    ".join([*found, *lines]) + "\n"
        function = function_of(text)
        function.compile(tuple(map(numba.typeof, p.examples)))
        call = f"{names.bind(self.name, function)}({', '.join(p.arguments)})"
        return f"{call}  # {' '.join(p.found)}" if p.found else call


class Parameters:
    """The parameters of a compiled function, and the arguments that a replay calls it with.

    Arrays that are where they are on each replay are not among them, but found by their addresses.

    Attributes:
        names: of the parameters.
        arguments: for each its text in a replay.
        examples: for each something of its type.
        found: what a replay calls the arrays that are found by their addresses.
    """

    def __init__(self, draft: Draft, names: Names) -> None:
        self._draft = draft
        self._outside = names
        self._known: dict[object, str] = {}
        self._locals: dict[int, int] = {}
        self._fixed: dict[str, Array] = {}
        self.names: list[str] = []
        self.arguments: list[str] = []
        self.examples: list[object] = []
        self.found: list[str] = []

    def _add(self, key: object, argument: str, example: object) -> str:
        self._known[key] = name = f"v{len(self._known)}"
        self.names.append(name)
        self.arguments.append(argument)
        self.examples.append(example)
        return name

    def _find(self, key: object, array: Array, called: str) -> str:
        self._known[key] = name = f"v{len(self._known)}"
        self._fixed[name] = array
        self.found.append(called)
        return name

    def table(self, name: str) -> list[str]:
        """Add the table of addresses, if there are any; return the lines that find the arrays."""
        if not self._fixed:
            return []
        addresses = np.array([array.ctypes.data for array in self._fixed.values()], np.int64)
        table = self._add("addresses", self._outside.bind(name, addresses), addresses)
        return [
            f"{name} = array_at({table}, {k}, {array.size}, {_kind(array.dtype)})"
            for k, (name, array) in enumerate(self._fixed.items())
        ]

    def form(self, loops: Loops) -> object:
        """Return what loops that can become one have in common."""
        if not isinstance(loops, Update) or not self._draft.memory.arrays.keys() >= set(loops.arrays):
            return id(loops)
        dtypes = tuple(self._draft.values[k].dtype for k in loops.arrays)
        return loops.function, loops.shared, loops.numbers, dtypes

    def one_loop(self, updates: Sequence[Update]) -> list[str]:
        """Return a loop that makes many updates; a table has the addresses of the arrays of each, and their size."""
        first, draft = updates[0], self._draft
        width, dtypes = len(first.arrays) + 1, [draft.values[k].dtype for k in first.arrays]
        arrays = [[draft.memory.arrays[k] for k in update.arrays] for update in updates]
        rows = np.array([(*[x.ctypes.data for x in row], row[0].size) for row in arrays], np.int64).reshape(
            -1
        )
        table = self._add(id(rows), self._outside.bind("updates", rows), rows)
        self.found += [self._outside.name(update.arrays[0]) for update in updates]
        size = f"{table}[k + {width - 1}]"
        given = [f"array_at({table}, k + {i}, {size}, {_kind(dtype)})" for i, dtype in enumerate(dtypes)]
        return [f"for k in range(0, {table}.size, {width}):", f"    {first.text(self, given)}"]

    def array(self, index: int) -> str:
        """Return the name of the flat array of a value; one for values that share their memory."""
        flat, array = self._outside.flat(index), self._draft.memory.arrays.get(index)
        if flat not in self._known:
            if array is None:
                return self._add(flat, flat, np.empty(0, self._draft.values[index].dtype))
            return self._find(flat, array.reshape(-1), self._outside.name(index))
        return self._known[flat]

    def scratch(self, array: Array) -> str:
        """Return the name of an array of the loops' own."""
        called = self._outside.bind(f"scratch{len(self._known)}", array)
        return self._find(array.ctypes.data, array, called)

    def number(self, value: float) -> str:
        """Return the parameter that is a number, so that the same machine code serves for others."""
        text = repr(value)
        return self._known.get(text) or self._add(text, text, value)

    def local(self, index: int) -> int:
        """Return a small number for a value, the same in every function of the same text."""
        return self._locals.setdefault(index, len(self._locals))


def _kind(dtype: np.dtype) -> str:
    """Return what the text of a function calls a dtype; the shorter of two names is compiled sooner."""
    return KINDS.get(dtype.name, f"np.{dtype.name}{'_' * (dtype.kind == 'b')}")


_FUNCTIONS: dict[str, Any] = {}


def function_of(text: str) -> Any:
    """Return the compiled function of a module text, which names the module, so that its machine code can be kept."""
    if text not in _FUNCTIONS:
        module = ModuleType(f"loops_{hashlib.sha256(text.encode()).hexdigest()[:24]}")
        exec(compile(text, f"<{module.__name__}>", "exec"), vars(module))
        # Numba looks a function's module up by its name.
        sys.modules[module.__name__] = module
        _FUNCTIONS[text] = module.segment
    return _FUNCTIONS[text]
