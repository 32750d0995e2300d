"""First stage, from a graph to what is known about it in words: values, gradients step by step, and their rules."""

from __future__ import annotations

import inspect
import linecache
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.backward import backward
from tinygrad_nn.engine.node import Node, Source
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import TinygradError, printable
from tinygrad_nn.graph.ir import Call, Data, Graph, Value, call_text
from tinygrad_nn.graph.times import Times
from tinygrad_nn.primitives import Array, Primitive
from tinygrad_nn.primitives.rule import Rule
from tinygrad_nn.viz.looks import Look, look

# Elements that an array may have to be shown whole, and all arrays together to be kept for trying other numbers.
_SMALL, _FEW = 4, 1_000


@dataclass(slots=True)
class Fact:
    """An array in words: `text` always, `short` if it is small, `alert` if not finite; its Euclidean norm."""

    text: str = ""
    short: str = ""
    alert: str = ""
    norm: float = 0.0


@dataclass(slots=True)
class Arrival:
    """One gradient that reached an operand: what was there before, if anything, what was added, and the sum."""

    operand: int
    before: Fact
    added: Fact
    total: Fact


@dataclass(slots=True)
class WalkStep:
    """One step of the walk through a computation: a value is made, or its rules hand its gradient on."""

    phase: str
    index: int
    caption: str
    arrivals: list[Arrival] = field(default_factory=list)


@dataclass(slots=True)
class Facts:
    """Everything known about the values of a graph, as text, at the moment it was drawn.

    Attributes:
        values, gradients: by the index of the value.
        origins: values that are not finite although all they were made from is.
        steps: the walk through the computation, forward, then backward.
        notes: what the reader has to know of it.
        arrays: the values themselves, where they are few.
        times: how long its parts took, where that was measured.
        looks, gradient_looks: small pictures of the larger ones, by the index of the value.
    """

    values: dict[int, Fact] = field(default_factory=dict)
    gradients: dict[int, Fact] = field(default_factory=dict)
    origins: set[int] = field(default_factory=set)
    steps: list[WalkStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    arrays: list[Data | None] | None = None
    times: Times | None = None
    looks: dict[int, Look] = field(default_factory=dict)
    gradient_looks: dict[int, Look] = field(default_factory=dict)

    def alert(self, index: int) -> str:
        """Return what is not finite in a value, and whether that starts there."""
        return self.values.get(index, Fact()).alert + (" starts here" if index in self.origins else "")


def number(x: object) -> str:
    """Return a number with four significant digits."""
    return f"{x:.4g}" if isinstance(x, (float, np.floating)) else str(x)


def describe(array: Array | float) -> Fact:
    """Return an array in words: all of it when it is small, statistics of its finite part otherwise."""
    a = np.asarray(array)
    if not a.size:
        return Fact("empty", "empty")
    alert = _alert(a) if a.dtype.kind == "f" and not np.isfinite(a).all() else ""
    if a.size <= _SMALL:
        text = _text(a.tolist())
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


def _alert(a: Array) -> str:
    counts = {"NaN": np.isnan(a).sum(), "infinity": np.isinf(a).sum()}
    return ", ".join(f"{name} in {n} of {a.size}" if a.size > 1 else name for name, n in counts.items() if n)


def _text(items: object) -> str:
    return f"[{', '.join(map(_text, items))}]" if isinstance(items, list) else number(items)


def outline(graph: Graph) -> Facts:
    """Return what is known without looking at any value: the ops in their order."""
    labels = graph.labels()
    calls = [call for call in graph.ops if call.kind == "op"]
    steps = [WalkStep(call.phase, call.index, _assignment(call, labels)) for call in calls]
    return Facts(notes=list(graph.notes), steps=steps)


def _assignment(call: Call, labels: list[str]) -> str:
    return f"{labels[call.index]} = {call_text(call, labels)}"


def gather(graph: Graph, nodes: Mapping[Source, int], root: Source | None) -> Facts:
    """Run the graph again, then the backward pass from `root`, touching no `.grad`, and put both in words."""
    facts = outline(graph)
    with np.errstate(all="ignore"):
        arrays = graph.evaluate()
    if few(graph):
        # Copies, because an optimizer may change what it was drawn with.
        facts.arrays = [None if array is None else np.array(array) for array in arrays]
    facts.values = {k: describe(array) for k, array in enumerate(arrays) if array is not None}
    facts.looks = _looks(graph, {k: np.asarray(array) for k, array in enumerate(arrays) if array is not None})
    alerted = {k for k, fact in facts.values.items() if fact.alert}
    facts.origins = alerted - {call.index for call in graph.ops if not alerted.isdisjoint(call.operands)}
    # There may be nothing to differentiate, or the graph has its backward pass already.
    if type(root) is not Node or any(value.phase == "backward" for value in graph.values):
        return facts
    if np.prod(root.shape) == 1:
        _differentiate(graph, nodes, root, facts)
    else:
        facts.notes.append(f"no gradients: the result has shape {root.shape}, and a loss is one number")
    return facts


def few(graph: Graph) -> bool:
    """Tell whether a graph is one to try numbers in: forward alone, and small."""
    numbers = sum(math.prod(value.shape) for value in graph.values)
    return numbers <= _FEW and all(v.phase == "forward" and v.kind != "error" for v in graph.values)


def _differentiate(graph: Graph, nodes: Mapping[Source, int], root: Node, facts: Facts) -> None:
    seed = np.ones(root.shape, root.dtype)
    follower = _Follower(graph, nodes, root, seed, facts.values)
    try:
        with context.watching(follower):
            backward(root, seed, retain=True)
    except TinygradError as error:
        facts.notes.append(f"no gradients: {printable(str(error).splitlines()[0])}")
        return
    facts.steps += follower.steps
    facts.gradients = {nodes[node]: fact for node, fact in follower.facts.items()}
    facts.gradient_looks = _looks(graph, {nodes[node]: total for node, total in follower.totals.items()})


def _looks(graph: Graph, arrays: Mapping[int, Array]) -> dict[int, Look]:
    """Return what arrays look like; those that come from outside may hold images."""
    looks = {
        k: look(a, images=not isinstance(graph.values[k], Call)) for k, a in arrays.items() if a is not None
    }
    return {k: seen for k, seen in looks.items() if seen is not None}


class _Follower(Watcher):
    """Writes down what each rule adds to which gradient."""

    def __init__(
        self,
        graph: Graph,
        nodes: Mapping[Source, int],
        root: Node,
        seed: Array,
        values: Mapping[int, Fact],
    ) -> None:
        self.graph, self.nodes, self.labels = graph, nodes, graph.labels()
        self.steps: list[WalkStep] = []
        self.totals: dict[Source, Array] = {root: seed}
        self.facts: dict[Source, Fact] = {root: describe(seed)}
        self.numbers: dict[int | str, str] = {
            k: fact.short for k, fact in values.items() if not graph.values[k].shape
        }

    def before_rules(self, node: Node, cotangent: object) -> None:
        self.steps.append(WalkStep("backward", self.nodes[node], ""))

    def on_gradient(self, node: Node, index: int, gradient: Array) -> None:
        parent = node.operands[index]
        total, before, added = self.totals.get(parent), self.facts.get(parent, Fact()), describe(gradient)
        # A copy, because the backward pass may add to its own arrays in place.
        self.totals[parent] = np.array(gradient) if total is None else total + gradient
        self.facts[parent] = added if total is None else describe(self.totals[parent])
        self.steps[-1].arrivals.append(Arrival(self.nodes[parent], before, added, self.facts[parent]))

    def after_rules(self, node: Node) -> None:
        step = self.steps[-1]
        step.caption = caption(
            self.graph, step, self.labels, node, self.numbers | {"g": self.facts[node].short}
        )


def caption(
    graph: Graph, step: WalkStep, labels: list[str], node: Node, numbers: Mapping[int | str, str]
) -> str:
    """Return in words how an op hands its gradient on to its operands, with numbers where these are single ones."""
    value = graph.values[step.index]
    assert isinstance(value, Call)
    parts = []
    for (place, rule, _), arrival in zip(node.plan.calls, step.arrivals, strict=True):
        operand = graph.values[value.operands[place]]
        text = _rule_text(rule)
        words = _PLAIN.get(text) or f"as {spelled(text, letters(value, labels))}"
        words = _broadcast(value, operand, words)
        put_in = {name: numbers.get(k, "") for name, k in _places(value).items()} | {"g": numbers["g"]}
        if (
            text not in _PLAIN
            and all(put_in.get(name, "-") for name in _NAME.findall(text))
            and not operand.shape
        ):
            words += f" = {spelled(text, put_in)} = {arrival.added.text}"
        parts.append(f"{labels[operand.index]} {words}")
    return f"{printable(node.op.name)}: the gradient reaches {', and '.join(parts)}"


_PLAIN = {"g": "unchanged", "-g": "negated"}
_NAME = re.compile(r"""(?<![\w.'"])[A-Za-z_]\w*\b(?!\s*=[^=])""")
"""A name in a rule that stands for a value: no attribute, no keyword."""


def _places(value: Call) -> dict[str, int]:
    """Return the index of what each letter of an op's rules stands for."""
    operands = () if value.op.variadic else zip(value.op.operand_names, value.operands, strict=True)
    return {**dict(operands), "y": value.index}


def letters(value: Call, labels: list[str]) -> dict[str, str]:
    """Return what to write for each letter of an op's rules: what the user calls it, and g, if nothing else is g."""
    own = {name: labels[k] for name, k in _places(value).items()}
    return own | {"g": "gradient" if "g" in labels else "g"}


def spelled(text: str, names: Mapping[str, str]) -> str:
    """Return a rule with its letters replaced, all at once, because the new names may be letters too."""

    def replaced(match: re.Match[str]) -> str:
        name = names.get(match.group(), match.group())
        return f"({name})" if name.startswith("-") and match.group() != text else name

    # A function in several lines has names of its own.
    return text if text.startswith("def ") else _NAME.sub(replaced, text)


def _rule_text(rule: Rule) -> str:
    # A rule in several lines says in its docstring: The gradient for ...: g @ b.T, ...
    if rule.function.__doc__:
        return rule.function.__doc__.splitlines()[0].rpartition(": ")[2].split(", ")[0].rstrip(".")
    return source(rule.function)[0]


def _broadcast(value: Call, operand: Value, words: str) -> str:
    """Return how a gradient is handed on, with what undoes broadcasting."""
    if not value.op.broadcasts or value.op.variadic or operand.shape == value.shape:
        return words
    axes = summed(operand.shape, value.shape)
    if axes:
        over = f"summed over {'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"
        return over if words == _PLAIN["g"] else f"{words}, {over}"
    return f"{words}, spread over {operand.shape}" if summed(value.shape, operand.shape) else words


def summed(shape: tuple[int, ...], full: tuple[int, ...]) -> list[int]:
    """Return the axes that broadcasting `shape` to `full` added or stretched, if it does broadcast."""
    lead = len(full) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, full[lead:], strict=True)):
        return []
    return [*range(lead), *[k + lead for k, n in enumerate(shape) if n != full[k + lead]]]


@cache
def source(function: Callable[..., object]) -> tuple[str, str]:
    """Return the text of a rule, of a lambda its body in one line, and the file and line it stands in."""
    code = function.__code__
    is_lambda = code.co_name == "<lambda>"
    try:
        text = _body(code) if is_lambda else textwrap.dedent(inspect.getsource(function)).strip()
    except OSError:
        text = "source not available"
    return text, f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_firstlineno}"


def _body(code: CodeType) -> str:
    """Return the body of a lambda in one line; raise OSError where its file is gone."""
    positions = [place for place in code.co_positions() if place[2] != place[3]]
    starts = [(line, column) for line, _, column, _ in positions if line is not None and column is not None]
    ends = [(line, column) for _, line, _, column in positions if line is not None and column is not None]
    lines = linecache.getlines(code.co_filename)
    if not starts or not lines:
        raise OSError(f"there is no source of {code}")
    (first, start), (last, end) = min(starts), max(ends)
    text = [line.encode() for line in lines[first - 1 : last]]
    text[-1] = text[-1][:end]
    text[0] = text[0][start:]
    return " ".join(b"".join(text).decode().split())


def rule_sources(op: Primitive) -> list[tuple[str, str, str]]:
    """Return for each operand with a rule: its name in the rule, the rule, and where it stands."""
    names = ("xs",) if op.variadic else op.operand_names
    pairs = zip(names, op.rules, strict=True)
    return [(name, *source(rule.function)) for name, rule in pairs if rule is not None]


def walkthrough(graph: Graph, facts: Facts) -> str:
    """Return the computation as text: values forward, then gradients backward, with numbers and shapes."""
    labels = graph.labels()
    rows = []
    for value in graph.values:
        if value.index in facts.values and isinstance(value.data, np.ndarray | None):
            line = _assignment(value, labels) if isinstance(value, Call) else labels[value.index]
            parts = (facts.values[value.index].text, facts.alert(value.index))
            rows.append((line, str(value.shape), "   ".join(filter(None, parts))))
    widths = [max((len(row[k]) for row in rows), default=0) for k in (0, 1)]
    lines = ["forward", *(f"  {a:<{widths[0]}}   {b:<{widths[1]}}   {c}" for a, b, c in rows)]
    backwards = [step for step in facts.steps if step.arrivals]
    if backwards:
        lines.append(f"backward, from the gradient 1 of {labels[graph.outputs[0]]}")
    for step in backwards:
        lines.append(f"  {labels[step.index]}   {step.caption}")
        for arrival in step.arrivals:
            head = f"      {labels[arrival.operand]} {graph.values[arrival.operand].shape}"
            terms = f"{arrival.before.text}  +  {arrival.added.text}  =  " if arrival.before.text else ""
            lines.append(f"{head}: {terms}{arrival.total.text}")
    return "\n".join([*lines, *(f"note: {note}" for note in facts.notes)])
