"""The NumPy backend: one Python function of `out=` calls, written out as text, for a compiled graph.

Another backend replaces some of the tasks by its own; everything it does not take is done here, op by op.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_nn.compiler.kernels import BUILD, check_labels
from tinygrad_nn.compiler.memory import Plan, Shapes, Task
from tinygrad_nn.compiler.passes import RESIDUAL, Draft
from tinygrad_nn.graph.ir import Call, Value

Array = np.ndarray[Any, Any]
IN_PLACE = frozenset({"sigmoid", "relu", "softmax", "where", "minus_one_hot"})


class Writer:
    """Gives every value a name in the text of a replay, and every object the text uses."""

    def __init__(self, draft: Draft, places: Plan) -> None:
        self.draft = draft
        self.plan = places
        self.objects: dict[str, Any] = {}
        self.stand_ins: dict[str, Any] = {}
        self._names: dict[int, str] = {}

    def bind(self, name: str, thing: Any) -> str:
        """Make an object known to the text; return its name there."""
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
            value = self.draft.graph.values[k]
            if k in self.plan.arrays:
                prefix = {"parameter": "p", "constant": "c", "state": "s"}.get(value.kind, "v")
                self._names[k] = self.bind(f"{prefix}{k}", self.plan.arrays[k])
            elif k in self.draft.dynamic or k in self.plan.views:
                self._names[k] = f"x{k}"
            elif isinstance(value.data, (bool, int)) or (
                isinstance(value.data, float) and math.isfinite(value.data)
            ):
                self._names[k] = repr(value.data)
            else:
                self._names[k] = self.bind(f"c{k}", value.data)
        return self._names[k]

    def function(self, value: Call) -> str:
        """Return the name of the function of an op."""
        return self.bind(value.op.name, value.op.function)


def task_of(draft: Draft, index: int, companion: int | None) -> Task:
    """Return the task that runs one op with NumPy.

    Args:
        draft: the graph.
        index: the value that the op makes.
        companion: the value that is the residual of this one, if that is wanted.
    """
    values = draft.graph.values
    value = draft.call(index)
    reads = draft.operands(value)
    operands = [values[k] for k in reads]
    function = value.op.function
    if value.op.writes:
        return Task(index, reads, (), lambda w: [_call(w, value, reads)])
    if value.op.residuals and companion is not None:
        return _with_residual(value, companion, reads, operands)
    build = BUILD.get(value.op.name)
    run = None if build is None or value.op.residuals else build(value, operands)
    if run is None and isinstance(function, np.ufunc) and function.nout == 1 and not value.params:
        run = function
    if run is None:
        run = _copied(function, value)
    alone = isinstance(run, np.ufunc) or value.op.name in IN_PLACE
    over = {index: tuple(k for k in reads if k not in draft.dynamic)} if alone else {}
    if value.op.name == "where":
        over = {index: reads[1:2]}
    if function is np.matmul:
        over = {}
    name = value.op.name
    out = "out=" if run in (np.maximum, np.minimum) else ""  # NumPy wants the word there

    def emit(w: Writer) -> list[str]:
        return [f"{w.bind(name, run)}({', '.join([*map(w.name, reads), out + w.name(index)])})"]

    at = index if index < draft.captured else reads[0]  # a copy that was added later
    return Task(at, reads, (index,), emit, over)


def _call(w: Writer, value: Call, reads: Iterable[int]) -> str:
    settings = [f"{key}={w.bind(f'{key}_', setting)}" for key, setting in value.params.items()]
    return f"{w.function(value)}({', '.join([*map(w.name, reads), *settings])})"


def _copied(function: Callable[..., Any], value: Call) -> Callable[..., None]:
    """Return a function that computes anew and copies: for ops that know no `out=`."""
    params = value.params
    pick = bool(value.op.residuals)

    def run(*arrays: Any) -> None:
        result = function(*arrays[:-1], **params)
        arrays[-1][...] = result[0] if pick else result

    return run


def _with_residual(value: Call, companion: int, reads: tuple[int, ...], operands: list[Value]) -> Task:
    name, index = value.op.name, value.index
    build = BUILD.get(name)
    run = build(value, operands) if build is not None and len(value.op.residuals) == 1 else None
    if run is None:
        function, params = value.op.function, value.params

        def run(*arrays: Any) -> None:
            result, residual = function(*arrays[:-2], **params)
            arrays[-2][...] = result
            arrays[-1][...] = residual

    def emit(w: Writer) -> list[str]:
        return [f"{w.bind(name, run)}({', '.join(map(w.name, (*reads, index, companion)))})"]

    return Task(index, reads, (index, companion), emit, {companion: reads[:1]})


def tasks_of(draft: Draft, shapes: Shapes) -> list[Task]:
    """Return a task for every op that is more than a view."""
    companions = {draft.operands(call)[0]: call.index for call in draft.calls() if call.op is RESIDUAL}
    tasks = []
    for call in draft.calls():
        if call.op is not RESIDUAL and call.index not in shapes.parent:
            companion = companions.get(call.index)
            if companion is None and call.op.residuals and _wants_residual_buffer(call):
                companion = _spare(draft, call)
            tasks.append(task_of(draft, call.index, companion))
    return tasks


def _wants_residual_buffer(value: Call) -> bool:
    return value.op.name == "cross_entropy"


def _spare(draft: Draft, value: Call) -> int:
    """Return a new value for a residual that nobody asked for but whose memory the kernel computes in."""
    logits = draft.graph.values[draft.operands(value)[0]]
    spare = Call(
        len(draft.graph.values),
        shape=logits.shape,
        dtype=value.dtype,
        op=RESIDUAL,
        operands=(value.index,),
        params={"name": "spare"},
    )
    draft.graph.values.append(spare)
    return spare.index


def label_checks(draft: Draft) -> list[tuple[str, int, int]]:
    """Return the losses that take labels, each with these and the number of classes."""
    values = draft.graph.values
    found = []
    for call in draft.calls():
        if call.op.name in ("cross_entropy", "nll"):
            scores, labels = draft.operands(call)
            found.append((call.op.name, labels, values[scores].shape[1]))
    return found


def _views(w: Writer) -> list[tuple[int, str]]:
    """Return the lines that make the views of what is given anew on each run."""
    lines = []
    for k, source in w.plan.views.items():
        value = w.draft.call(k)
        settings = ", ".join(f"{key}={w.bind(f'{key}_', setting)}" for key, setting in value.params.items())
        made = f"{w.function(value)}({w.name(source)}, {settings})"
        if value.op.name == "transpose" and not settings:
            made = f"{w.name(source)}.T"
        lines.append((k, f"{w.name(k)} = {made}"))
    return lines


def write(
    draft: Draft,
    tasks: list[Task],
    places: Plan,
    hosts: list[tuple[int, Callable[[], None]]],
    outputs: list[int],
    segment_of: Any,
) -> tuple[Callable[..., Any], str]:
    """Return the replay, a function of the dynamic arrays, and its text.

    `segment_of` makes a function of loops from tasks that have them; None leaves everything to NumPy.
    """
    w = Writer(draft, places)
    check = check_labels if segment_of is None else segment_of.check_labels
    lines = [
        f"{w.bind('check_labels', check)}({who!r}, {w.name(labels)}, {classes})"
        for who, labels, classes in label_checks(draft)
        if labels in draft.dynamic
    ]
    start = len(lines)
    pending = sorted(hosts, key=lambda host: host[0])
    segment: Any = None
    prepared: set[int] = set()

    def close() -> None:
        nonlocal segment
        if segment is not None:
            lines.extend(segment.finish())
        segment = None
        prepared.clear()

    for task in tasks:
        while pending and pending[0][0] <= task.at:
            prepare = pending.pop(0)[1]
            owner = id(getattr(prepare, "__self__", prepare))
            if owner in prepared or task.loops is None:
                close()
            prepared.add(owner)
            lines.append(
                f"{w.bind('prepare', prepare)}()"
            )  # before the open segment, which is written at its end
        if segment_of is not None and task.loops is not None:
            segment = segment or segment_of(w)
            segment.lines += task.loops(segment)
        else:
            close()
            lines += task.emit(w)
    close()
    lines += [f"{w.bind('prepare', prepare)}()" for _, prepare in pending]
    for k, line in reversed(_views(w)):
        if k in outputs or any(f"x{k}" in other for other in lines[start:]):
            lines.insert(start, line)
    results = [f"{w.bind('array', np.array)}({w.name(k)})" for k in outputs]
    lines.append(f"return {''.join(f'{result}, ' for result in results)}" if results else "return ()")
    arguments = ", ".join(w.name(k) for k in sorted(draft.dynamic))
    text = f"def replay({arguments}):\n    " + "\n    ".join(lines) + "\n"
    scope = dict(w.objects)
    exec(compile(text, "<tinygrad_nn replay>", "exec"), scope)
    return scope["replay"], text
