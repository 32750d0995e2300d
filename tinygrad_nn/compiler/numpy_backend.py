"""The NumPy backend: every call becomes a task, and the tasks become one Python function of `out=` calls, as text.

Another backend replaces some of the tasks by its own; everything it does not take is done here, op by op.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft, Run, Task, call_text
from tinygrad_nn.compiler.kernels.general import check_labels
from tinygrad_nn.compiler.passes import RESIDUAL
from tinygrad_nn.errors import CaptureError
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.primitives import Array


def list_tasks(draft: Draft) -> Draft:
    """Make a task of every call that is more than a view, of plain Python work, and of every check of labels."""
    residuals: dict[int, dict[str, int]] = defaultdict(dict)
    for call in draft.calls():
        if call.op is RESIDUAL:
            residuals[draft.operands(call)[0]][call.params["name"]] = call.index
    tasks, checks = _checks(draft)
    hosts = deque(draft.hosts)
    for call in draft.calls():
        while hosts and hosts[0][0] <= call.index < draft.captured:
            tasks.append(Task("prepare", hosts.popleft()[1]))
        if call.index in checks:
            tasks.append(checks[call.index])
        if call.op is not RESIDUAL and call.index not in draft.parents:
            tasks.append(task_of(draft, call, residuals[call.index]))
    draft.tasks = [*tasks, *[Task("prepare", prepare) for _, prepare in hosts]]
    return draft


def _checks(draft: Draft) -> tuple[list[Task], dict[int, Task]]:
    """Return checks of labels: early ones of labels that nothing computes, late ones by the call that they precede."""
    written = draft.written()
    early: dict[object, Task] = {}
    late: dict[int, Task] = {}
    for call in draft.calls():
        place = row_of(call.op).labels
        if place is not None:
            labels, classes = draft.operands(call)[place], draft.values_of(call)[0].shape[1]
            keywords = {"who": call.op.name, "classes": classes}
            check = Task("check_labels", check_labels, (labels,), keywords=keywords)
            root = draft.root(labels)
            if root in written or isinstance(draft.values[root], Call):
                late[call.index] = check
            else:
                early.setdefault((labels, classes), check)
    return list(early.values()), late


def task_of(draft: Draft, call: Call, residuals: dict[str, int]) -> Task:
    """Return the task that makes a call with NumPy.

    Args:
        draft: the graph.
        call: the call.
        residuals: by name, the values that are its residuals, where they are wanted.
    """
    op, row, reads, function = call.op, row_of(call.op), draft.operands(call), call.op.function
    if op.writes:
        return Task(op.name, function, reads, keywords=call.params, call=call)
    if row.scratch and not residuals:
        (name,) = op.residuals
        residuals = {name: draft.add(RESIDUAL, call.index, draft.values_of(call)[0], name=name).index}
    if row.shape_alone and row.into is not None:
        reads = ()
    fills_all = row.into is not None and op.residuals.keys() <= residuals.keys()
    run = row.into(call, draft.values_of(call)) if row.into is not None and fills_all else None
    room = () if run is None or row.room is None else (draft.scratch(row.room(call), call.dtype),)
    over = [reads[place] for place in row.in_place]
    if run is None and isinstance(function, np.ufunc) and function.nout == 1 and not call.params:
        run = function
        # A matrix product reads its operands many times.
        over = list(reads) if function.signature is None else []
    if run is None:
        run = _copied(call, [1 + list(op.residuals).index(name) for name in residuals])
    makes = (call.index, *residuals.values(), *room)
    by_value = {call.index: tuple(over), **dict.fromkeys(residuals.values(), reads[:1])}
    return Task(op.name, run, reads, makes, call=call, over=by_value)


def _copied(call: Call, residuals: Sequence[int]) -> Run:
    """Return a function that computes anew and copies the result, and some residuals, to where they belong."""
    function, params = call.op.function, call.params
    if not call.op.residuals:

        def run(*arrays: Array) -> None:
            _fill(call, arrays[-1], function(*arrays[:-1], **params))

        return run
    places = (0, *residuals)

    def run_with_residuals(*arrays: Array) -> None:
        operands, outs = arrays[: -len(places)], arrays[-len(places) :]
        results = function(*operands, **params)
        for out, place in zip(outs, places, strict=True):
            _fill(call, out, results[place])

    return run_with_residuals


def _fill(call: Call, out: Array, result: Array) -> None:
    if np.shape(result) != out.shape:
        raise CaptureError(
            f"{call.op.name}: its result had shape {out.shape} when it was captured and has shape {np.shape(result)}, "
            "because values that it depends on have changed\n"
            "  hint   a compiled step has fixed shapes: np.where(mask, x, 0) instead of x[mask]"
        )
    out[...] = result


Marks = Sequence[Callable[[Sequence[Value], Task | None], None]]
"""What a replay calls when it begins, with None, and after each task."""


class Writer:
    """Gives every value a name in the text of a replay, and every object the text uses."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.captured = draft.values[: draft.captured]
        self.objects: dict[str, object] = {}
        self._names: dict[int, str] = {}
        self._views: dict[int, str] = {}
        self._flats: dict[object, str] = {}

    def bind(self, name: str, thing: object) -> str:
        """Return what an object is called in the text; plain numbers and words are written out."""
        if _is_literal(thing):
            return repr(thing)
        base, k = name, 1
        while name in self.objects and self.objects[name] is not thing:
            k += 1
            name = f"{base}_{k}"
        self.objects[name] = thing
        return name

    def name(self, index: int) -> str:
        """Return what a value is called in the text."""
        k = self.draft.now(index)
        if k not in self._names:
            value, memory = self.draft.values[k], self.draft.memory
            if k in memory.arrays:
                prefix = {"parameter": "p", "constant": "c", "state": "s"}.get(value.kind, "v")
                self._names[k] = self.bind(f"{prefix}{k}", memory.arrays[k])
            elif k in self.draft.arguments:
                self._names[k] = f"x{k}"
            elif k in memory.views:
                self._names[k] = f"x{k}"
                self._views[k] = f"x{k} = {self._view(k, memory.views[k])}"
            else:
                self._names[k] = self.bind(f"c{k}", value.data)
        return self._names[k]

    def flat(self, index: int) -> str:
        """Return what the array of a value is called, seen as flat; one name for values that share their memory."""
        name, array = self.name(index), self.draft.memory.arrays.get(self.draft.now(index))
        if array is None:
            return f"{name}.reshape(-1)"
        key = array.ctypes.data, array.dtype, array.size
        if key not in self._flats:
            self._flats[key] = self.bind(f"{name}_flat", array.reshape(-1))
        return self._flats[key]

    def _view(self, k: int, source: int) -> str:
        call = self.draft.call(k)
        return call_text(self.bind(call.op.name, row_of(call.op).view), [source], call.params, self)

    def views(self) -> list[str]:
        """Return the lines that make the views that have been named, of what is given anew on each run."""
        return [line for _, line in sorted(self._views.items())]


def _marked(task: Task | None, marks: Marks, w: Writer) -> list[str]:
    """Return the lines that tell of a task."""
    values = w.bind("values", w.captured)
    return [f"{w.bind('mark', mark)}({values}, {w.bind('task', task)})" for mark in marks]


def _is_literal(thing: object) -> bool:
    if type(thing) is tuple:
        return all(map(_is_literal, thing))
    if type(thing) is float:
        return math.isfinite(thing)
    return thing is None or type(thing) in (bool, int, str)


def write(draft: Draft, marks: Marks = ()) -> tuple[Callable[..., tuple[Array, ...]], str]:
    """Return the replay, a function of the arrays that are given, and its text."""
    w = Writer(draft)
    lines = _marked(None, marks, w)
    for task in draft.tasks:
        lines += [task.line(w), *_marked(task, marks, w)]
    results = [f"{w.bind('array', np.array)}({w.name(k)})," for k in draft.results]
    arguments = ", ".join(map(w.name, draft.arguments))
    body = [*w.views(), *lines, f"return ({' '.join(results)})"]
    text = f"def replay({arguments}):\n    " + "\n    ".join(body) + "\n"
    scope: dict[str, Any] = dict(w.objects)
    exec(compile(text, "<tinygrad_nn replay>", "exec"), scope)
    replay: Callable[..., tuple[Array, ...]] = scope["replay"]
    return replay, text
