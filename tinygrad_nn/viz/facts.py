"""First stage, from a graph to what is known about it in words: values, gradients step by step, and their rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.backward import backward
from tinygrad_nn.engine.node import Node, Source
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import TinygradError, printable
from tinygrad_nn.graph.ir import Call, Data, Graph, call_text
from tinygrad_nn.graph.times import Times
from tinygrad_nn.languages import Language
from tinygrad_nn.primitives import Array
from tinygrad_nn.viz.captions import Handing, caption, legend, open_caption
from tinygrad_nn.viz.entries import Occasion, number
from tinygrad_nn.viz.looks import Look, look
from tinygrad_nn.viz.wording import said

# Elements that an array may have to be shown whole, and all arrays together to be kept for trying other numbers.
_SMALL, _FEW = 4, 1_000


Note = Callable[[Language], str]
"""What a reader has to know, in any language."""


@dataclass(slots=True)
class Fact:
    """An array in words, in any language.

    Attributes:
        short: all of it, where it is small.
        name: the sentence for one that is not, and `fields`, what stands in it.
        zeros: the share of zeros in percent.
        bad: how many elements are NaN and infinite, by name; of `size`.
        norm: its Euclidean norm.
    """

    short: str = ""
    name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    zeros: str = ""
    bad: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    norm: float = 0.0

    def text(self, lang: Language = "en") -> str:
        """Return what it is: all of it, or statistics of its finite part."""
        text = said(self.name, lang, **self.fields) if self.name else self.short
        return said("zeros", lang, text=text, share=self.zeros) if self.zeros else text

    def alert(self, lang: Language = "en", *, counted: bool = True) -> str:
        """Return what is not finite in it, and how much of it."""
        told = []
        for name, n in self.bad.items():
            what = said(name, lang)
            told.append(
                said("some of", lang, what=what, n=n, size=self.size) if counted and self.size > 1 else what
            )
        return ", ".join(told)

    def label(self, lang: Language) -> str:
        """Return a line for a box."""
        return said("empty", lang) if self.name == "empty" else self.short


@dataclass(slots=True)
class Arrival:
    """One gradient that reached an operand: what was there before, if anything, what was added, and the sum.

    `handing` tells how what was added comes about.
    """

    operand: int
    before: Fact
    added: Fact
    total: Fact
    handing: Handing


@dataclass(slots=True)
class WalkStep:
    """One step of the walk through a computation: a value is made, or its rules hand its gradient on.

    `call` is the op, in text what a forward step says.
    """

    phase: str
    call: Call
    text: str = ""
    arrivals: list[Arrival] = field(default_factory=list)

    @property
    def index(self) -> int:
        """The value that is made, or whose gradient is handed on."""
        return self.call.index

    def legend(self, lang: Language) -> str:
        """Return what the letters of its formulas stand for."""
        return (
            legend(self.call, [arrival.handing for arrival in self.arrivals], lang) if self.arrivals else ""
        )

    def caption(self, lang: Language = "en") -> str:
        """Return what the step says."""
        return self.text or caption(self.call, [arrival.handing for arrival in self.arrivals], lang)

    def open_caption(self, lang: Language) -> str:
        """Return what the step says with room for other numbers."""
        return self.text or open_caption(self.call, [arrival.handing for arrival in self.arrivals], lang)


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
    notes: list[Note] = field(default_factory=list)
    arrays: list[Data | None] | None = None
    times: Times | None = None
    looks: dict[int, Look] = field(default_factory=dict)
    gradient_looks: dict[int, Look] = field(default_factory=dict)

    def alert(self, index: int, lang: Language = "en") -> str:
        """Return what is not finite in a value, and whether that starts there."""
        alert = self.values.get(index, Fact()).alert(lang)
        return said("starts", lang, alert=alert) if index in self.origins else alert

    def told(self, lang: Language) -> list[str]:
        """Return the notes in a language."""
        return [note(lang) for note in self.notes]


def describe(array: Array | float) -> Fact:
    """Return an array in words: all of it when it is small, statistics of its finite part otherwise."""
    a = np.asarray(array)
    if not a.size:
        return Fact(name="empty")
    bad = _not_finite(a) if a.dtype.kind == "f" and not np.isfinite(a).all() else {}
    if a.size <= _SMALL:
        return Fact(_text(a.tolist()), bad=bad, size=a.size, norm=math.hypot(*map(float, a.ravel())))
    part = a[np.isfinite(a)] if bad else a
    if not part.size:
        return Fact(name="none finite", bad=bad, size=a.size)
    wide = part.astype(np.float64).ravel()
    mean = np.add.reduce(wide) / wide.size
    std = math.sqrt(np.add.reduce(np.square(wide - mean)) / wide.size)
    low, high = part.min().item(), part.max().item()
    fields = {"mean": number(mean), "std": number(std), "low": number(low), "high": number(high)}
    zeros = part.size - np.count_nonzero(part)
    share = f"{100 * zeros / a.size:.3g}" if zeros else ""
    norm = math.sqrt(wide.size * (mean * mean + std * std))
    return Fact("", "statistics", fields, share, bad, a.size, norm)


def _not_finite(a: Array) -> dict[str, int]:
    counts = {"NaN": int(np.isnan(a).sum()), "infinity": int(np.isinf(a).sum())}
    return {name: n for name, n in counts.items() if n}


def _text(items: object) -> str:
    return f"[{', '.join(map(_text, items))}]" if isinstance(items, list) else number(items)


def outline(graph: Graph) -> Facts:
    """Return what is known without looking at any value: the ops in their order."""
    labels = graph.labels()
    calls = [call for call in graph.ops if call.kind == "op"]
    steps = [WalkStep(call.phase, call, assignment(call, labels)) for call in calls]
    return Facts(notes=[partial(_as_it_is, note) for note in graph.notes], steps=steps)


def _as_it_is(note: str, lang: Language) -> str:
    """Return what a graph has said, errors of it among that, in its words."""
    return note


def assignment(call: Call, labels: list[str]) -> str:
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
    alerted = {k for k, fact in facts.values.items() if fact.bad}
    facts.origins = alerted - {call.index for call in graph.ops if not alerted.isdisjoint(call.operands)}
    # There may be nothing to differentiate, or the graph has its backward pass already.
    if type(root) is not Node or any(value.phase == "backward" for value in graph.values):
        return facts
    if np.prod(root.shape) == 1:
        _differentiate(graph, nodes, root, facts, arrays)
    else:
        facts.notes.append(partial(said, "no loss", shape=root.shape))
    return facts


def few(graph: Graph) -> bool:
    """Tell whether a graph is one to try numbers in: forward alone, and small."""
    numbers = sum(math.prod(value.shape) for value in graph.values)
    return numbers <= _FEW and all(v.phase == "forward" and v.kind != "error" for v in graph.values)


def _differentiate(
    graph: Graph,
    nodes: Mapping[Source, int],
    root: Node,
    facts: Facts,
    arrays: list[Data | None],
) -> None:
    seed = np.ones(root.shape, root.dtype)
    follower = _Follower(graph, nodes, root, seed, arrays)
    try:
        with context.watching(follower):
            backward(root, seed, retain=True)
    except TinygradError as error:
        facts.notes.append(partial(said, "no gradients", why=printable(str(error).splitlines()[0])))
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
        arrays: list[Data | None],
    ) -> None:
        self.graph, self.nodes, self.labels = graph, nodes, graph.labels()
        # What an optimizer may change before somebody asks is as it is now.
        self.arrays = [
            np.array(array) if value.kind in ("parameter", "state") else array
            for value, array in zip(graph.values, arrays, strict=True)
        ]
        self.steps: list[WalkStep] = []
        self.totals: dict[Source, Array] = {root: seed}
        self.facts: dict[Source, Fact] = {root: describe(seed)}

    def before_rules(self, node: Node, cotangent: object) -> None:
        call = self.graph.values[self.nodes[node]]
        assert isinstance(call, Call)
        self.steps.append(WalkStep("backward", call))

    def on_gradient(self, node: Node, index: int, gradient: Array) -> None:
        parent, step = node.operands[index], self.steps[-1]
        total, before, added = self.totals.get(parent), self.facts.get(parent, Fact()), describe(gradient)
        operands = [self.arrays[k] for k in step.call.operands]
        result = self.arrays[step.index]
        occasion = Occasion(node.op, index, operands, result, self.totals[node], node.params)
        handing = Handing(step.call, self.labels, occasion, gradient)
        # A copy, because the backward pass may add to its own arrays in place.
        self.totals[parent] = np.array(gradient) if total is None else total + gradient
        self.facts[parent] = added if total is None else describe(self.totals[parent])
        step.arrivals.append(Arrival(self.nodes[parent], before, added, self.facts[parent], handing))
