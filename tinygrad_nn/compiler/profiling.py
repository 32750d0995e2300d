"""Where the time of a step goes: by op, module and phase, run op by op or as a compiled replay."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from tinygrad_nn import context
from tinygrad_nn.compiler.draft import Task
from tinygrad_nn.compiler.timed import in_graph, of_eager, of_replay
from tinygrad_nn.context import SCOPE, Scope
from tinygrad_nn.engine.failures import module_path
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import ArgumentError, GraphError, printable
from tinygrad_nn.files import write_atomically
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.graph.times import Times, duration
from tinygrad_nn.languages import cut, ljust, rjust, width
from tinygrad_nn.primitives import Primitive
from tinygrad_nn.settings import positive_integer

WIDEST = 44
"""Characters of a column of names."""
BETWEEN = "(between ops)"
"""What Python does before, after and in between."""
NOWHERE = "(no module)"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that took time.

    Attributes:
        op: the name of the op, or of the ops that one compiled function does.
        phase: forward, backward or update; several joined by + where one compiled function does them.
        scope: the call of a module that it belongs to.
        start, seconds: when it began after the first event did, and how long it took.
        made: the values of the graph that it made, of a compiled function.
    """

    op: str
    phase: str
    scope: Scope | None
    start: float
    seconds: float
    made: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; `seconds` and `count` are those of one call of the step, `share` is of its time."""

    op: str
    module: str
    phase: str
    count: float
    seconds: float
    share: float


class _Clock(Watcher):
    """Writes down when ops, rules, updates and tasks of replays begin and end."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.replayed: dict[int, Sequence[Value]] = {}
        self._began = 0.0

    def on_task(self, values: Sequence[Value], task: Task | None) -> None:
        now = perf_counter()
        self.replayed[id(values)] = values
        if task is not None:
            calls = task.fused or ((task.call,) if task.call is not None else ())
            scope = _common([_scope(call, values) for call in calls])
            self._note(now, _spelled(task, calls), _phases(calls), scope, in_graph(calls, values))
        self._began = perf_counter()

    def before_op(self, op: Primitive) -> None:
        self._began = perf_counter()

    def on_op(self, op: Primitive, *_: Any) -> None:
        self._note(perf_counter(), op.name, "forward", SCOPE.get())

    def before_rules(self, node: Node, cotangent: Any) -> None:
        self._began = perf_counter()

    def after_rules(self, node: Node) -> None:
        self._note(perf_counter(), node.op.name, "backward", node.scope)

    def before_step(self, parameters: Sequence[Any]) -> None:
        self._began = perf_counter()

    def after_step(self, update: Primitive) -> None:
        self._note(perf_counter(), update.name, "update", None)

    def _note(self, now: float, op: str, phase: str, scope: Scope | None, made: tuple[int, ...] = ()) -> None:
        self.events.append(Event(op, phase, scope, self._began, now - self._began, made))


def _spelled(task: Task, calls: Sequence[Call]) -> str:
    """Return the ops that a task does, each once, in order."""
    return " ".join(dict.fromkeys(call.op.name for call in calls)) or task.name


def _phases(calls: Sequence[Call]) -> str:
    return "+".join(dict.fromkeys(call.phase for call in calls)) or "host"


def _scope(call: Call, values: Sequence[Value]) -> Scope | None:
    """Return the call of a module that a call of the graph belongs to; of a derivative, that of what it is one of."""
    return call.scope if call.scope is not None or call.of is None else values[call.of].scope


def _common(scopes: Sequence[Scope | None]) -> Scope | None:
    """Return the innermost call of a module that all of these lie in."""
    chains = [scope.chain() if scope is not None else [] for scope in scopes]
    common = None
    for level in zip(*chains, strict=False):
        if any(scope is not level[0] for scope in level):
            break
        common = level[0]
    return common


class Profile:
    """What `profile` found. `print(report)` shows a table; `report.rows` has it as data.

    Attributes:
        name: of the step.
        calls: how many calls were timed.
        seconds: of one call, on average.
        events: all that took time, in order.
    """

    def __init__(
        self,
        step: Callable[..., object],
        args: Sequence[object],
        calls: int,
        seconds: float,
        events: list[Event],
        replayed: Sequence[Sequence[Value]],
    ) -> None:
        self.name = getattr(step, "__name__", type(step).__name__)
        self.calls = calls
        self.seconds = seconds
        self.events = events
        self._step, self._args = step, args
        self._replayed = replayed

    @property
    def rows(self) -> list[Row]:
        """What took time, the most first; what Python did in between is the row of no op."""
        return self.by("op", "module", "phase")

    def by(self, *columns: str) -> list[Row]:
        """Return the rows added up over all but some of "op", "module" and "phase".

        Raises:
            ArgumentError: another column.
        """
        known = ("op", "module", "phase")
        if not columns or not set(columns) <= set(known):
            raise ArgumentError(
                f"by: columns are {', '.join(known)}, got {', '.join(map(repr, columns)) or 'none'}\n"
                '  hint   report.by("module")'
            )
        paths: dict[Scope | None, str] = {}
        sums: dict[tuple[str, ...], list[float]] = {}
        for event in self.events:
            if event.scope not in paths:
                paths[event.scope] = module_path(event.scope) or NOWHERE
            fields = {"op": event.op, "module": paths[event.scope], "phase": event.phase}
            total = sums.setdefault(tuple([fields[c] if c in columns else "" for c in known]), [0, 0.0])
            total[0] += 1
            total[1] += event.seconds
        whole = self.seconds * self.calls
        between = max(whole - sum(seconds for _, seconds in sums.values()), 0.0)
        sums[tuple([BETWEEN if c == columns[0] else "" for c in known])] = [self.calls, between]
        rows = [
            Row(op, module, phase, count / self.calls, seconds / self.calls, seconds / whole)
            for (op, module, phase), (count, seconds) in sums.items()
        ]
        return sorted(rows, key=lambda row: -row.seconds)

    def table(self, *columns: str, rows: int = 20) -> str:
        """Return a table of the rows that took longest, of the columns that `by` knows (all by default)."""
        columns = columns or ("op", "module", "phase")
        found = self.by(*columns)
        lines = [("share", "time", "calls", *columns)]
        for row in found[:rows]:
            names = [_short(getattr(row, column)) for column in columns]
            lines.append((f"{row.share:.1%}", duration(row.seconds), f"{row.count:g}", *names))
        widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
        head = f"{self.name}: {duration(self.seconds)} a call, the mean of {self.calls}"
        left = f"\n... and {len(found) - rows} more" if len(found) > rows else ""
        return "\n".join([head, *(_aligned(line, widths) for line in lines)]) + left

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<profile of {self.name}: {duration(self.seconds)} a call, {len(self.events)} events>"

    def times(self) -> Times:
        """Return the graph of the step with the time of its parts, which `viz.draw` takes.

        That of a compiled step is the one that its replay was made from; an eager step is recorded once more, which
        has no effect.

        Raises:
            GraphError: the step called several compiled functions, or something beside one; or it does not do the same
                each time.
            CaptureError: an eager step reads the value of a tensor.
        """
        replays = [event.phase == "host" or bool(event.made) for event in self.events]
        if len(self._replayed) > 1 or (any(replays) and not all(replays)):
            raise GraphError(
                f"times: {self.name} runs several compiled functions, or one and other ops, which is no single graph\n"
                "  hint   profile the compiled function alone: tn.profile(step, x)"
            )
        if self._replayed:
            graph, made = of_replay(self._replayed[0]), [event.made for event in self.events]
        else:
            graph, made = of_eager(self._step, self._args, [event.op for event in self.events], self.calls)
        sums: dict[tuple[int, ...], float] = {}
        for event, indices in zip(self.events, made, strict=True):
            if indices:
                sums[indices] = sums.get(indices, 0.0) + event.seconds / self.calls
        return Times.of(graph, self.seconds, sums)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the timeline as a file that Perfetto, speedscope and chrome://tracing open.

        Calls of modules are the bars above the ops in them. The format is Chrome's trace event format.
        """
        events = [
            _bar(event.op, event.phase, event.start, event.seconds, module=module_path(event.scope))
            for event in self.events
        ]
        text = json.dumps({"traceEvents": [*_modules(self.events), *events], "displayTimeUnit": "ns"})
        write_atomically(path, [text.encode()])


def _bar(name: str, category: str, start: float, seconds: float, **more: str) -> dict[str, Any]:
    """Return a complete event of Chrome's format, whose times are microseconds."""
    times = {"ts": start * 1e6, "dur": seconds * 1e6, "pid": 1, "tid": 1}
    return {"name": printable(name), "cat": category, "ph": "X", **times, "args": more}


def _modules(events: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """Yield a bar for each call of a module, forward and backward apart, over all that happened in it."""
    ends: dict[tuple[Scope, str], tuple[float, float]] = {}
    for event in events:
        for scope in event.scope.chain() if event.scope is not None else ():
            start, _ = ends.get((scope, event.phase), (event.start, 0.0))
            ends[scope, event.phase] = start, event.start + event.seconds
    for (scope, phase), (start, end) in ends.items():
        kind = type(scope.module).__name__
        name = kind if scope.parent is None else f"{scope.key()}: {kind}"
        yield _bar(name, phase, start, end - start)


def _short(text: str) -> str:
    text = printable(text)
    return text if width(text) <= WIDEST else f"{cut(text, WIDEST - 3)}..."


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [rjust(text, columns) for text, columns in zip(line[:3], widths, strict=False)]
    names = [ljust(text, columns) for text, columns in zip(line[3:], widths[3:], strict=True)]
    return "  ".join([*numbers, *names]).rstrip()


def profile(step: Callable[..., object], *args: Any, calls: int = 10) -> Profile:
    """Return where the time of `step(*args)` goes, by op, module and phase.

    The step is called once to warm up, which captures a compiled one, and then `calls` times to be timed. These calls
    are real: a training step trains. A compiled step is replayed, and timed line by line; a line that does several ops
    names them all. Watching costs some 0.3 microseconds an op, which counts as time between ops.

    Args:
        step: a training step, a model, a compiled function, or anything that computes with tensors.
        args: what it is called with; keywords go into a lambda.
        calls: how many calls are timed.

    Raises:
        TypeError: `step` is no function.
        ValueError: `calls` is not a positive integer.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> model = tn.nn.Sequential(tn.nn.Dense(4, 8, rng=0), tn.nn.Tanh())
        >>> report = tn.profile(model, np.ones((2, 4), np.float32))
        >>> sorted(row.op for row in report.by("op"))
        ['(between ops)', 'add', 'matmul', 'tanh']
    """
    if not callable(step):
        raise ArgumentError(
            f"profile: step is {type(step).__name__}, expected a function\n"
            "  hint   tn.profile(step, x, labels), or tn.profile(lambda: step(x, labels))"
        )
    positive_integer("profile", "calls", calls)
    clock = _Clock()
    seconds = 0.0
    with context.Temporarily(lambda: context.watched(clock)):
        step(*args)
        clock.events.clear()
        for _ in range(calls):
            start = perf_counter()
            step(*args)
            seconds += perf_counter() - start
    first = clock.events[0].start if clock.events else 0.0
    events = [replace(event, start=event.start - first) for event in clock.events]
    return Profile(step, args, calls, seconds / calls, events, list(clock.replayed.values()))
