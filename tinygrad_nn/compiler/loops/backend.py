"""The Numba backend: runs of tasks that loops can do become compiled functions; the rest is left to NumPy."""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from types import ModuleType
from typing import Any

import numba
import numpy as np

from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft, Names, Task
from tinygrad_nn.compiler.kernels import general
from tinygrad_nn.compiler.loops import mathematics
from tinygrad_nn.compiler.loops.fused import FusedLoop, is_column_sum, is_elementwise
from tinygrad_nn.compiler.numpy_backend import task_of
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.primitives import Array

HEADER = "import math\nfrom tinygrad_nn.compiler.loops.mathematics import *\n\n@loop\n"

check_labels = general.label_check(mathematics.labels_fit)


def fuse(draft: Draft) -> Draft:
    """Let elementwise tasks become fused loops, and give loops to what has some of its own."""
    draft.tasks = [part for task in draft.tasks for part in _apart(draft, task)]
    fused = _fused_loops(draft)
    heads = {loop.root.index: loop for loop in fused}
    inside = {k for loop in fused for k in (*loop.inside, *loop.sums)}
    tasks = []
    for task in draft.tasks:
        first = task.makes[0] if task.makes else None
        if first in heads:
            tasks.append(heads[first].task())
        elif first not in inside:
            if task.call is not None:
                _compile(draft, task, task.call)
            if task.run is general.check_labels:
                task.run = check_labels
            tasks.append(task)
    draft.tasks = tasks
    return draft


def _apart(draft: Draft, task: Task) -> list[Task]:
    """Return a task for the result and one for each residual, where loops compute that as fast as they read it."""
    alone = [
        call
        for call in (task.call, *map(draft.twins.get, task.makes[1:]))
        if call is not None and is_elementwise(draft, call) and {*draft.operands(call)} <= {*task.reads}
    ]
    if len(alone) < max(2, len(task.makes)):
        return [task]
    for call in alone:
        draft.values[call.index] = call
    return [task_of(draft, call, {}) for call in alone]


def _compile(draft: Draft, task: Task, call: Call) -> None:
    """Give a task compiled code of its own, where the catalogue has some for its call."""
    row = row_of(call.op)
    if row.loops is not None:
        task.loops = row.loops(draft, call, task.makes)
    if row.work is not None:
        task.work = row.work(draft, call, task.makes)


def _fused_loops(draft: Draft) -> list[FusedLoop]:
    """Return the fused loops of several calls, or with sums; the last calls of a loop are seen first."""
    tasks = draft.tasks
    users, writes = _users(draft), _writes(draft)
    outside = {*draft.holders.values(), *(draft.root(draft.now(k)) for k in draft.results)}
    homes: dict[int, FusedLoop] = {}
    ends: dict[FusedLoop, int] = {}
    for position in range(len(tasks) - 1, -1, -1):
        task = tasks[position]
        if task.call is None or task.makes != (task.call.index,) or not is_elementwise(draft, task.call):
            continue
        call = task.call
        loops = {homes.get(user) for user in users[call.index]}
        loop = loops.pop() if len(loops) == 1 else None
        if loop is not None and loop.space == call.shape and call.index not in outside:
            between = range(position + 1, ends[loop])
            if not any(w in between for k in task.reads for w in writes[draft.root(k)]):
                loop.members.insert(0, call)
                homes[call.index] = loop
                continue
        homes[call.index] = loop = FusedLoop(draft, call)
        ends[loop] = position
    for task in tasks:
        if task.call is not None and task.makes and is_column_sum(draft, task.call):
            source = homes.get(task.reads[0])
            if source is not None and source.root.index == task.reads[0]:
                source.sums.append(task.makes[0])
    return list(ends)


def _users(draft: Draft) -> dict[int, list[int]]:
    """Return for each value what each task that reads it makes first; -1 for one that only writes, or reads a view."""
    users: dict[int, list[int]] = defaultdict(list)
    for task in draft.tasks:
        for k in task.reads:
            users[draft.root(k)].append(task.makes[0] if task.makes and k not in draft.parents else -1)
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
            segment.append(task)
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
        self.parts: list[Task] = []

    def append(self, task: Task) -> None:
        """Take one more task in."""
        self.parts.append(task)
        self.reads, self.makes = (*self.reads, *task.reads), (*self.makes, *task.makes)
        self.fused = (*self.fused, *(task.fused or filter(None, [task.call])))

    def line(self, names: Names) -> str:
        """Compile the function and return the line that calls it."""
        p = Parameters(self.draft, names)
        lines = [line for part in self.parts if part.loops is not None for line in part.loops(p)]
        text = f"{HEADER}def segment({', '.join(p.names)}):\n    " + "\n    ".join(lines) + "\n"
        function = function_of(text)
        function.compile(tuple(map(numba.typeof, p.examples)))
        return f"{names.bind(self.name, function)}({', '.join(p.arguments)})"


class Parameters:
    """The parameters of a compiled function, and the arguments that a replay calls it with.

    Attributes:
        names: of the parameters.
        arguments: for each its text in a replay.
        examples: for each something of its type.
    """

    def __init__(self, draft: Draft, names: Names) -> None:
        self._draft = draft
        self._outside = names
        self._known: dict[object, str] = {}
        self._locals: dict[int, int] = {}
        self.names: list[str] = []
        self.arguments: list[str] = []
        self.examples: list[object] = []

    def _add(self, key: object, argument: str, example: object) -> str:
        self._known[key] = name = f"v{len(self.names)}"
        self.names.append(name)
        self.arguments.append(argument)
        self.examples.append(example)
        return name

    def array(self, index: int) -> str:
        """Return the parameter that is the flat array of a value; one for values that share their memory."""
        flat, array = self._outside.flat(index), self._draft.memory.arrays.get(index)
        if flat not in self._known:
            value = self._draft.values[index]
            self._add(flat, flat, np.empty(0, value.dtype) if array is None else array.reshape(-1))
        return self._known[flat]

    def scratch(self, array: Array) -> str:
        """Return the parameter that is an array of the loops' own."""
        return self._add(array.ctypes.data, self._outside.bind(f"scratch{len(self.names)}", array), array)

    def number(self, value: float) -> str:
        """Return the parameter that is a number, so that the same machine code serves for others."""
        text = repr(value)
        return self._known.get(text) or self._add(text, text, value)

    def local(self, index: int) -> int:
        """Return a small number for a value, the same in every function of the same text."""
        return self._locals.setdefault(index, len(self._locals))


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
