"""What a reader is told about a graph: its values, its gradients step by step, and the rules behind them."""

from __future__ import annotations

import inspect
import linecache
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.backward import backward
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import TinygradError
from tinygrad_nn.graph.ir import Call, Graph, Value, call_text
from tinygrad_nn.primitives.rule import Rule

_SMALL = 4


@dataclass(slots=True)
class Fact:
    """An array in words: `short` if it is small, `text` always, `alert` if not finite; its Euclidean norm."""

    text: str
    short: str = ""
    alert: str = ""
    norm: float = 0.0


@dataclass(slots=True)
class Arrival:
    """One gradient that reached an operand: what was there before, what was added, and the sum."""

    operand: int
    before: Fact | None
    added: Fact
    total: Fact


@dataclass(slots=True)
class Step:
    """One step of the story: a value is made, or its rules hand its gradient on."""

    phase: str
    index: int
    caption: str
    arrivals: list[Arrival] = field(default_factory=list)


@dataclass(slots=True)
class Facts:
    """Everything known about the values of a graph, as text, at the moment it was drawn."""

    values: dict[int, Fact] = field(default_factory=dict)
    gradients: dict[int, Fact] = field(default_factory=dict)
    origins: set[int] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differentiated: bool = False


def number(x: Any) -> str:
    """Return a number with four significant digits."""
    return f"{x:.4g}" if isinstance(x, (float, np.floating)) else str(x)


def describe(array: Any) -> Fact:
    """Return an array in words: all of it when it is small, statistics of its finite part otherwise."""
    a = np.asarray(array)
    if not a.size:
        return Fact("empty", "empty")
    alert = _alert(a) if a.dtype.kind == "f" and not np.isfinite(a).all() else ""
    if a.size <= _SMALL:
        text = _written(a.tolist())
        return Fact(text, text, alert, math.hypot(*map(float, a.ravel())))
    part = a[np.isfinite(a)] if alert else a
    if not part.size:
        return Fact("no finite value", "", alert)
    wide = part.astype(np.float64).ravel()
    mean = np.add.reduce(wide) / wide.size
    std = math.sqrt(np.add.reduce(np.square(wide - mean)) / wide.size)
    low, high = part.min().item(), part.max().item()
    text = f"mean {number(mean)} · std {number(std)} · min {number(low)} · max {number(high)}"
    zeros = part.size - np.count_nonzero(part)
    norm = math.sqrt(wide.size * (mean * mean + std * std))
    return Fact(text + (f" · {100 * zeros / a.size:.3g}% zero" if zeros else ""), "", alert, norm)


def _alert(a: Any) -> str:
    counts = {"NaN": np.isnan(a).sum(), "infinity": np.isinf(a).sum()}
    return ", ".join(f"{name} in {n} of {a.size}" if a.size > 1 else name for name, n in counts.items() if n)


def _written(items: Any) -> str:
    return f"[{', '.join(map(_written, items))}]" if isinstance(items, list) else number(items)


def outline(graph: Graph) -> Facts:
    """Return what is known without looking at any value: the ops in their order."""
    labels = graph.labels()
    steps = [
        Step(v.phase, v.index, f"{labels[v.index]} = {call_text(v, labels)}")
        for v in graph.ops
        if v.kind == "op"
    ]
    return Facts(notes=list(graph.notes), steps=steps)


def gather(graph: Graph, nodes: Mapping[Any, int], root: Any) -> Facts:
    """Run the graph again, then the backward pass from `root`, touching no `.grad`, and put both in words."""
    facts = outline(graph)
    labels = graph.labels()
    with np.errstate(all="ignore"):
        arrays = graph.evaluate()
    facts.values = {k: describe(array) for k, array in enumerate(arrays) if array is not None}
    alerted = {k for k, fact in facts.values.items() if fact.alert}
    facts.origins = {k for k in alerted if not any(i in alerted for i in _operands(graph.values[k]))}
    if type(root) is not Node or any(value.phase == "backward" for value in graph.values):
        return facts  # there is nothing to differentiate, or the graph has its backward pass already
    if np.prod(root.shape) == 1:
        _differentiate(graph, nodes, root, labels, facts)
    else:
        facts.notes.append(f"no gradients: the result has shape {root.shape}, and a loss is one number")
    return facts


def _operands(value: Value) -> tuple[int, ...]:
    return value.operands if isinstance(value, Call) else ()


def _differentiate(
    graph: Graph, nodes: Mapping[Any, int], root: Node, labels: list[str], facts: Facts
) -> None:
    follower = _Follower(graph, nodes, labels)
    seed = np.ones(root.shape, root.dtype)
    follower.totals[root], follower.words[root] = seed, describe(seed)
    try:
        with context.watching(follower):
            backward(root, seed, retain=True)
    except TinygradError as error:
        facts.notes.append(f"no gradients: {str(error).splitlines()[0]}")
        return
    facts.differentiated = True
    facts.steps += follower.steps
    facts.gradients = {nodes[node]: fact for node, fact in follower.words.items()}


class _Follower(Watcher):
    """Writes down what each rule adds to which gradient."""

    def __init__(self, graph: Graph, nodes: Mapping[Any, int], labels: list[str]) -> None:
        self.graph, self.nodes, self.labels = graph, nodes, labels
        self.steps: list[Step] = []
        self.totals: dict[Any, Any] = {}
        self.words: dict[Any, Fact] = {}

    def before_rules(self, node: Any, cotangent: Any) -> None:
        index = self.nodes[node]
        self.steps.append(Step("backward", index, caption(self.graph, index, self.labels, node)))

    def on_gradient(self, node: Any, index: int, gradient: Any) -> None:
        parent = node.operands[index]
        before = self.totals.get(parent)
        # A copy, because the backward pass may add to its own arrays in place.
        total = self.totals[parent] = np.array(gradient) if before is None else before + gradient
        added, was = describe(gradient), self.words.get(parent)
        self.words[parent] = added if before is None else describe(total)
        self.steps[-1].arrivals.append(Arrival(self.nodes[parent], was, added, self.words[parent]))


def caption(graph: Graph, index: int, labels: list[str], node: Node) -> str:
    """Return in words how an op hands its gradient on to its operands."""
    value = graph.values[index]
    assert isinstance(value, Call)
    parts = []
    for place, rule, _ in node.plan.calls:
        operand = graph.values[value.operands[place]]
        parts.append(f"{labels[operand.index]} {_manner(value, operand, rule)}")
    return f"{node.op.name}: the gradient reaches {', and '.join(parts)}"


def _manner(value: Call, operand: Value, rule: Rule) -> str:
    body, _ = source(rule.function)
    plain = {"g": "unchanged", "-g": "negated"}.get(body)
    doc = rule.function.__doc__  # of a rule in several lines, which says: The gradient for ...: g @ b.T, ...
    words = (
        plain or f"as {doc.splitlines()[0].rpartition(': ')[2].split(', ')[0].rstrip('.') if doc else body}"
    )
    if not value.op.broadcasts or value.op.variadic or operand.shape == value.shape:
        return words
    axes = summed(operand.shape, value.shape)
    if axes:
        over = f"summed over {'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"
        return over if plain == "unchanged" else f"{words}, {over}"
    return f"{words}, spread over {operand.shape}" if summed(value.shape, operand.shape) else words


def summed(shape: tuple[int, ...], full: tuple[int, ...]) -> list[int]:
    """Return the axes that broadcasting `shape` to `full` added or stretched, if it does broadcast."""
    lead = len(full) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, full[lead:], strict=True)):
        return []
    return [*range(lead), *[k + lead for k, n in enumerate(shape) if n != full[k + lead]]]


@cache
def source(function: Any) -> tuple[str, str]:
    """Return the text of a rule, of a lambda its body in one line, and the file and line it stands in."""
    code = function.__code__
    place = f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_firstlineno}"
    if code.co_name != "<lambda>":
        try:
            return textwrap.dedent(inspect.getsource(function)).strip(), place
        except OSError:
            return "source not available", place
    spots: list[Any] = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
    lines = linecache.getlines(code.co_filename)
    if not spots or not lines:
        return "source not available", place
    first, start = min((p[0], p[2]) for p in spots)
    last, end = max((p[1], p[3]) for p in spots)
    text = [line.encode() for line in lines[first - 1 : last]]
    text[-1] = text[-1][:end]
    text[0] = text[0][start:]
    return " ".join(b"".join(text).decode().split()), place


def rules(value: Value) -> list[tuple[str, str, str]]:
    """Return for each operand with a rule: its name in the rule, the rule, and where it stands."""
    if not isinstance(value, Call):
        return []
    op = value.op
    listed: Sequence[Rule | None] = op.rules
    names = ("xs",) if op.variadic else op.operand_names
    return [
        (name, *source(rule.function)) for name, rule in zip(names, listed, strict=True) if rule is not None
    ]


def story(graph: Graph, facts: Facts) -> str:
    """Return the computation as text: values forward, then gradients backward, with numbers and shapes."""
    labels = graph.labels()
    rows = []
    for value in graph.values:
        if value.index in facts.values and isinstance(value.data, np.ndarray | None):
            name = labels[value.index]
            line = f"{name} = {call_text(value, labels)}" if isinstance(value, Call) else name
            fact = facts.values[value.index]
            alert = (
                f"   {fact.alert}" + (" starts here" if value.index in facts.origins else "")
                if fact.alert
                else ""
            )
            rows.append((line, str(value.shape), fact.text + alert))
    widths = [max((len(row[k]) for row in rows), default=0) for k in (0, 1)]
    lines = ["forward", *(f"  {a:<{widths[0]}}   {b:<{widths[1]}}   {c}" for a, b, c in rows)]
    backwards = [step for step in facts.steps if step.arrivals]
    if backwards:
        lines.append(f"backward, from the gradient 1 of {labels[graph.outputs[0]]}")
    for step in backwards:
        lines.append(f"  {labels[step.index]}   {step.caption}")
        for arrival in step.arrivals:
            head = f"      {labels[arrival.operand]} {graph.values[arrival.operand].shape}"
            if arrival.before is None:
                lines.append(f"{head}: {arrival.added.text}")
            else:
                lines.append(
                    f"{head}: {arrival.before.text}  +  {arrival.added.text}  =  {arrival.total.text}"
                )
    return "\n".join([*lines, *(f"note: {note}" for note in facts.notes)])
