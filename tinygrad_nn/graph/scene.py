"""From a graph to what is on the picture: boxes, arrows between them, and the modules around them.

Modules can be folded into one box: below a depth, when they repeat, and when the picture would get too large.
What is left out is said in the notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_nn.context import Scope
from tinygrad_nn.graph.facts import Facts, number
from tinygrad_nn.graph.ir import Graph, Value, setting_text, title

_LONGEST_PERIOD = 4
_SHORT, _LONG = 8, 32  # characters of a call that go into the title of a box, and below it
_PHASES = {"backward": "backward pass", "update": "optimizer update"}


@dataclass(slots=True)
class Options:
    """How a graph is drawn; see `Picture`."""

    depth: int | None = None
    values: bool = True
    grads: bool = False
    direction: str = "LR"
    fold_constants: bool = True
    fold_repeats: bool = True
    max_nodes: int | None = 300
    theme: str = "auto"
    title: str | None = None

    def __post_init__(self) -> None:
        choices = {"direction": ("LR", "TB"), "theme": ("auto", "light", "dark")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is one of {', '.join(map(repr, allowed))}, got {getattr(self, name)!r}"
                )
        if self.max_nodes is not None and self.max_nodes < 1:
            raise ValueError(f"max_nodes is a positive number or None, got {self.max_nodes!r}")


@dataclass(slots=True)
class Item:
    """A box: its kind, its lines (the first is its title), what it holds, and which values it stands for."""

    id: str
    kind: str
    lines: list[str]
    group: Any
    values: list[int]
    marks: list[str] = field(default_factory=list)
    value: str = ""
    gradient: str = ""
    alert: str = ""
    tooltip: str = ""


@dataclass(slots=True)
class Link:
    """An arrow; `kind` is "" for data and "gradient" for the way back along the arrow with index `along`."""

    tail: str
    head: str
    kind: str = ""
    along: int = -1


@dataclass(slots=True)
class Group:
    """A module around its boxes."""

    id: str
    title: str
    parent: Any


@dataclass(slots=True)
class Scene:
    """A picture before it has positions; `place` says which box stands for a value."""

    items: dict[str, Item] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    groups: dict[Any, Group] = field(default_factory=dict)
    place: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Fold:
    """A box that stands for modules: the first of them, and how many there are."""

    title: str
    first: Any
    times: int = 1


class _Modules:
    """Which call of which module every value belongs to, and which calls look alike."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.paths: list[list[Any]] = [self._own(value) for value in graph.values]
        users: dict[int, list[int]] = {}
        for value in graph.ops:
            for k in value.operands:
                users.setdefault(k, []).append(value.index)
        for value in reversed(graph.values):
            if value.op is None and value.kind != "input" and value.index in users:
                forward = [k for k in users[value.index] if graph.values[k].phase == "forward"]
                self.paths[value.index] = _common([self.paths[k] for k in forward or users[value.index]])
        self.children: dict[Any, list[Any]] = {}
        self.looks: dict[Any, list[Any]] = {}
        self.parents: dict[Any, Any] = {}
        for value in graph.ops:
            path = self.paths[value.index]
            self.children.setdefault(path[-1] if path else None, []).append(None)  # an op between modules
            for depth, call in enumerate(path):
                if call not in self.looks:
                    self.looks[call] = [type(getattr(call, "module", call)).__name__]
                    self.parents[call] = path[depth - 1] if depth else None
                    self.children.setdefault(self.parents[call], []).append(call)
                inner = tuple(type(getattr(c, "module", c)).__name__ for c in path[depth:])
                self.looks[call].append((value.op and value.op.name, repr(value.params), value.shape, inner))

    @staticmethod
    def _own(value: Value) -> list[Any]:
        if value.op is None:
            return []
        own: list[Any] = [] if value.phase == "forward" else [value.phase]
        return own + (value.scope.chain() if value.scope is not None else [])

    def titles(self) -> dict[Any, str]:
        """Return how each call is called; from the second call of a module on it says so."""
        seen: dict[tuple[Any, int], int] = {}
        titles = {}
        for call in self.looks:
            if isinstance(call, Scope):
                key = (self.parents[call], id(call.module))
                seen[key] = seen.get(key, 0) + 1
                titles[call] = title(call) + (f" (call {seen[key]})" if seen[key] > 1 else "")
            else:
                titles[call] = _PHASES[call]
        return titles

    def repeats(self) -> list[list[Any]]:
        """Return the calls to fold because the ones before them look the same, run by run."""
        runs = []
        for calls in self.children.values():
            looks = [k if call is None else tuple(self.looks[call]) for k, call in enumerate(calls)]
            start = 0
            while start < len(calls):
                counted = [(_run(looks, start, p), p) for p in range(1, _LONGEST_PERIOD + 1)]
                times, period = max(counted, key=lambda run: (run[0] * run[1] * (run[0] >= 3), -run[1]))
                if times < 3:
                    start += 1
                    continue
                runs.append(calls[start + period : start + period * times])
                start += period * times
        return runs


def _common(paths: Sequence[list[Any]]) -> list[Any]:
    shared = paths[0]
    for path in paths[1:]:
        count = 0
        while count < min(len(shared), len(path)) and shared[count] is path[count]:
            count += 1
        shared = shared[:count]
    return shared


def _run(looks: list[Any], start: int, period: int) -> int:
    """Return how often the `period` entries from `start` on stand there in a row."""
    unit = looks[start : start + period]
    times = 1
    while len(unit) == period and looks[start + times * period : start + (times + 1) * period] == unit:
        times += 1
    return times


def build(graph: Graph, facts: Facts, options: Options) -> Scene:
    """Return what is on the picture of a graph; folds until it fits, and says what it left out."""
    modules = _Modules(graph)
    deepest = max((len(path) for path in modules.paths), default=0)
    depth = deepest if options.depth is None else max(options.depth, 0)
    limit = options.max_nodes
    scene = _assemble(graph, facts, options, modules, depth)
    while limit is not None and len(scene.items) > limit and depth > 0:
        depth = min(depth, deepest) - 1
        scene = _assemble(graph, facts, options, modules, depth)
        if len(scene.items) <= limit or not depth:
            scene.notes.append(f"modules below depth {depth} are folded; max_nodes=None opens them")
    if limit is not None and len(scene.items) > limit:
        _cut(scene, graph, limit)
    scene.notes = [*facts.notes, *scene.notes]
    return scene


def depth_of(graph: Graph) -> int:
    """Return how deep modules are nested."""
    return max((len(path) for path in _Modules(graph).paths), default=0)


def _assemble(graph: Graph, facts: Facts, options: Options, modules: _Modules, depth: int) -> Scene:
    scene = Scene()
    titles = modules.titles()
    folds: dict[Any, _Fold] = {}
    if options.fold_repeats:
        for run in modules.repeats():
            first = run[0]
            name = titles[first] if len(run) == 1 else f"{titles[first]} … {titles[run[-1]]}"
            fold = _Fold(name, first, len(run))
            folds |= dict.fromkeys(run, fold)
    for path in modules.paths:
        if len(path) > depth:
            folds.setdefault(path[depth], _Fold(titles[path[depth]], path[depth]))
    labels = graph.labels()
    hidden = _folded_constants(graph) if options.fold_constants else set()
    keys: dict[int, str] = {}
    for value in graph.values:
        if value.index in hidden:
            continue
        path = modules.paths[value.index]
        level = next((k for k, call in enumerate(path) if call in folds), None)
        if level is None:
            item = _item(value, graph, facts, options, labels, hidden)
        else:
            fold = folds[path[level]]
            key = keys.setdefault(id(fold), f"m{len(keys)}")
            item = scene.items.get(key) or Item(key, "module", [fold.title], None, [])
            path = path[:level]
        item.group = path[-1] if path else None
        item.values.append(value.index) if level is not None else None
        scene.items[item.id] = item
        scene.place[value.index] = item.id
        for k, call in enumerate(path):
            if call not in scene.groups:
                scene.groups[call] = Group(f"c{len(scene.groups)}", titles[call], path[k - 1] if k else None)
    for fold in {id(fold): fold for fold in folds.values()}.values():
        if id(fold) in keys:
            _summarize(scene.items[keys[id(fold)]], fold, graph, facts, options)
            if fold.times > 1:
                scene.notes.append(
                    f"{fold.title}: {fold.times} modules that repeat those before them are one box; "
                    "fold_repeats=False opens them"
                )
    for k in graph.outputs:
        if k in scene.place:
            item = scene.items[scene.place[k]]
            item.marks.append("output")
    _connect(scene, graph, facts, options)
    return scene


def _folded_constants(graph: Graph) -> set[int]:
    """Return the numbers that are written into the label of the op that uses them."""
    used = {k for value in graph.ops for k in value.operands} - set(graph.outputs)
    return {k for k in used if graph.values[k].kind in ("constant", "state") and not graph.values[k].shape}


def _item(
    value: Value, graph: Graph, facts: Facts, options: Options, labels: list[str], hidden: set[int]
) -> Item:
    kind = "op" if value.op is not None else value.kind
    if value.kind == "error":
        kind = "error"
    lines = _call(value, graph, labels, hidden) if value.op is not None else [labels[value.index]]
    lines.append(
        "failed" if value.kind == "error" else "in place" if value.op and value.op.writes else shape(value)
    )
    item = Item(f"n{value.index}", kind, lines, None, [value.index])
    if value.phase != "forward" and value.op is not None:
        item.marks.append(value.phase)
    if value.kind == "error" and graph.notes:
        item.alert = graph.notes[0].partition(": ")[2]
    fact = facts.values.get(value.index)
    if fact is not None and options.values:
        item.value, item.tooltip = fact.short, fact.text
    if fact is not None and fact.alert:
        item.alert = f"{fact.alert} starts here" if value.index in facts.origins else fact.alert
        item.marks += ["alert"] + ["origin"] * (value.index in facts.origins)
    if options.grads and facts.differentiated:
        item.gradient = gradient(value, facts)
    return item


def gradient(value: Value, facts: Facts) -> str:
    """Return the gradient of a value as a label says it; none and zero are spelled out."""
    fact = facts.gradients.get(value.index)
    if fact is None:
        return "no grad"
    if fact.alert:
        return f"grad {fact.alert}"
    if not fact.norm:
        return "grad zero"
    return f"grad {fact.short}" if fact.short else f"grad norm {number(fact.norm)}"


def shape(value: Value) -> str:
    """Return a shape as a label says it, with the dtype where it is not float32."""
    text = " × ".join(map(str, value.shape)) if value.shape else "scalar"
    return text if value.dtype == np.float32 else f"{text} {value.dtype}"


def _call(value: Value, graph: Graph, labels: list[str], hidden: set[int]) -> list[str]:
    """Return the op with the numbers and parameters of its call, in one line if that is short."""
    name = value.op.name if value.op is not None else ""
    head = f"{value.name} = {name}" if value.name else name
    settings = [f"{key}={setting_text(setting)}" for key, setting in value.params.items()]
    shown = {k for k in hidden if graph.values[k].kind == "constant"}
    numbers = [labels[k] if k in shown else "·" for k in value.operands]
    if value.op is not None and not value.op.variadic and len(numbers) > 2:
        numbers = [f"{n}={x}" for n, x in zip(value.op.operand_names, numbers, strict=True) if x != "·"]
    text = ", ".join([*(numbers if any(k in shown for k in value.operands) else []), *settings])
    if not text:
        return [head]
    if len(text) <= _SHORT:
        return [f"{head}({text})"]
    return [head, text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"]


def _summarize(item: Item, fold: _Fold, graph: Graph, facts: Facts, options: Options) -> None:
    """Write on the box of a folded module what is inside."""
    inside = [graph.values[k] for k in item.values]
    counts = {
        "op": sum(v.op is not None for v in inside),
        "parameter": sum(v.kind == "parameter" for v in inside),
    }
    parts = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count]
    if fold.times > 1:
        item.lines.append(f"{fold.times} more of the same")
    item.lines.append(" · ".join(parts))
    last = next((v for v in reversed(inside) if v.op is not None), None)
    if last is not None:
        item.lines.append(shape(last))
    alerts = [k for k in item.values if k in facts.values and facts.values[k].alert]
    if alerts:
        begins = [k for k in alerts if k in facts.origins]
        item.alert = facts.values[alerts[0]].alert.split(" in ")[0] + (
            " starts in here" if begins else " in here"
        )
        item.marks.append("alert")
    if options.grads and facts.differentiated:
        reached = sum(v.index in facts.gradients for v in inside if v.kind == "parameter")
        item.gradient = f"{reached} of {counts['parameter']} gradients" if counts["parameter"] else ""


def _connect(scene: Scene, graph: Graph, facts: Facts, options: Options) -> None:
    seen: set[tuple[str, str, int]] = set()
    flows: dict[tuple[str, str], Link] = {}
    reached = (
        {(step.index, a.operand) for step in facts.steps for a in step.arrivals} if options.grads else set()
    )
    for value in graph.ops:
        head = scene.place[value.index]
        for k in value.operands:
            if k not in scene.place or scene.place[k] == head:
                continue
            tail = scene.place[k]
            folded = "module" in (scene.items[tail].kind, scene.items[head].kind)
            if not folded or (tail, head, k) not in seen:
                scene.links.append(Link(tail, head))
            seen.add((tail, head, k))
            if (value.index, k) in reached and (head, tail) not in flows:
                flows[head, tail] = Link(head, tail, "gradient", len(scene.links) - 1)
    scene.links += flows.values()


def _cut(scene: Scene, graph: Graph, limit: int) -> None:
    """Keep the boxes nearest to the output, and put one box in place of all the others."""
    sources: dict[str, list[str]] = {}
    for link in scene.links:
        if not link.kind:
            sources.setdefault(link.head, []).append(link.tail)
    kept = dict.fromkeys(scene.place[k] for k in graph.outputs if k in scene.place)
    frontier: Iterable[str] = list(kept)
    while frontier and len(kept) < limit:
        further = dict.fromkeys(t for head in frontier for t in sources.get(head, ()) if t not in kept)
        frontier = list(further)[: limit - len(kept)]
        kept |= dict.fromkeys(frontier)
    left_out = len(scene.items) - len(kept)
    scene.notes.append(
        f"the {left_out:,} nodes farthest from the output are left out; max_nodes=None shows them all"
    )
    more = Item("more", "more", ["…", f"{left_out:,} more nodes"], None, [])
    scene.place = {k: place if place in kept else more.id for k, place in scene.place.items()}
    scene.items = {more.id: more} | {key: item for key, item in scene.items.items() if key in kept}
    moved = [
        Link(
            link.tail if link.tail in kept else more.id,
            link.head if link.head in kept else more.id,
            link.kind,
        )
        for link in scene.links
    ]
    data = [link for link in moved if not link.kind and {link.tail, link.head} <= kept.keys()]
    data += {
        (link.tail, link.head): link for link in moved if not link.kind and more.id in (link.tail, link.head)
    }.values()
    data = [link for link in data if link.tail != link.head]
    along = {(link.head, link.tail): k for k, link in enumerate(data)}
    flows = {(link.tail, link.head) for link in moved if link.kind}
    scene.links = data + [Link(*ends, "gradient", k) for ends, k in along.items() if ends in flows]
    used: set[Any] = set()
    for item in scene.items.values():
        group = item.group
        while group is not None and group not in used:
            used.add(group)
            group = scene.groups[group].parent
    scene.groups = {call: group for call, group in scene.groups.items() if call in used}
