"""From a graph to what is on the picture: boxes, arrows between them, and the modules around them.

Modules can be folded into one box: below a depth, when they repeat, and when the picture would get too large.
What is left out is said in the notes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_nn.graph.ir import Call, Graph, Value, setting_text
from tinygrad_nn.viz.facts import Facts, number
from tinygrad_nn.viz.module_calls import Modules

_SHORT, _LONG = 8, 32  # characters of a call that go into the title of a box, and below it


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


def build(graph: Graph, facts: Facts, options: Options) -> Scene:
    """Return what is on the picture of a graph; folds until it fits, and says what it left out."""
    drawer = _Drawer(graph, facts, options)
    depth = deepest = drawer.modules.deepest
    if options.depth is not None:
        depth = max(options.depth, 0)
    limit = options.max_nodes
    scene = drawer.scene(depth)
    while limit is not None and len(scene.items) > limit and depth > 0:
        depth = min(depth, deepest) - 1
        scene = drawer.scene(depth)
        if len(scene.items) <= limit or not depth:
            scene.notes.append(f"modules below depth {depth} are folded; max_nodes=None opens them")
    if limit is not None and len(scene.items) > limit:
        _cut(scene, graph, limit)
    scene.notes = [*facts.notes, *scene.notes]
    return scene


class _Drawer:
    """Decides what every value of a graph becomes."""

    def __init__(self, graph: Graph, facts: Facts, options: Options) -> None:
        self.graph, self.facts, self.options = graph, facts, options
        self.modules = Modules(graph)
        self.labels = graph.labels()
        self.hidden: set[int] = set()  # numbers that are written into the label of the op that uses them
        if options.fold_constants:
            used = {k for value in graph.ops for k in value.operands} - set(graph.outputs)
            scalars = {v.index for v in graph.values if v.kind in ("constant", "state") and not v.shape}
            self.hidden = used & scalars

    def scene(self, depth: int) -> Scene:
        scene = Scene()
        titles = self.modules.titles()
        folds = self._folds(titles, depth)
        for value in self.graph.values:
            if value.index in self.hidden:
                continue
            path = self.modules.paths[value.index]
            level = next((k for k, call in enumerate(path) if call in folds), None)
            if level is None:
                item = self._item(value)
            else:
                name, *more = folds[path[level]]
                item = scene.items.get(name) or Item(name, "module", more, None, [])
                item.values.append(value.index)
                path = path[:level]
            item.group = path[-1] if path else None
            scene.items[item.id] = item
            scene.place[value.index] = item.id
            for k, call in enumerate(path):
                if call not in scene.groups:
                    scene.groups[call] = Group(
                        f"c{len(scene.groups)}", titles[call], path[k - 1] if k else None
                    )
        for item in scene.items.values():
            if item.kind == "module":
                self._summarize(item, scene)
        for k in self.graph.outputs:
            scene.items[scene.place[k]].marks.append("output")
        self._connect(scene)
        return scene

    def _folds(self, titles: dict[Any, str], depth: int) -> dict[Any, tuple[str, ...]]:
        """Return for calls that are folded the id of their box and its first lines."""
        folds: dict[Any, tuple[str, ...]] = {}
        for run in self.modules.repeats() if self.options.fold_repeats else ():
            name = titles[run[0]] if len(run) == 1 else f"{titles[run[0]]} … {titles[run[-1]]}"
            box = (f"m{len(folds)}", name, f"{len(run)} more of the same")
            folds |= dict.fromkeys(run, box)
        for path in self.modules.paths:
            if len(path) > depth:
                folds.setdefault(path[depth], (f"m{len(folds)}", titles[path[depth]]))
        return folds

    def _item(self, value: Value) -> Item:
        lines = self._call(value) if isinstance(value, Call) else [self.labels[value.index]]
        in_place = isinstance(value, Call) and value.op.writes
        lines.append("failed" if value.kind == "error" else "in place" if in_place else shape(value))
        item = Item(f"n{value.index}", value.kind, lines, None, [value.index])
        if value.phase != "forward" and isinstance(value, Call):
            item.marks.append(value.phase)
        if value.kind == "error" and self.graph.notes:
            item.alert = self.graph.notes[0].partition(": ")[2]
        fact = self.facts.values.get(value.index)
        if fact is not None:
            item.value, item.tooltip = fact.short, fact.text
            origin = " starts here" if value.index in self.facts.origins else ""
            item.alert = fact.alert and fact.alert + origin
        if self.options.grads and self.facts.differentiated:
            item.gradient = gradient(value, self.facts)
        return item

    def _call(self, value: Call) -> list[str]:
        """Return the op with the numbers and parameters of its call, in one line if that is short."""
        name = value.op.name
        head = f"{value.name} = {name}" if value.name else name
        shown = [k in self.hidden and self.graph.values[k].kind == "constant" for k in value.operands]
        numbers = [self.labels[k] if known else "·" for k, known in zip(value.operands, shown, strict=True)]
        if not value.op.variadic and len(numbers) > 2:
            numbers = [f"{n}={x}" for n, x in zip(value.op.operand_names, numbers, strict=True) if x != "·"]
        settings = [f"{key}={setting_text(setting)}" for key, setting in value.params.items()]
        text = ", ".join([*(numbers if any(shown) else []), *settings])
        if len(text) <= _SHORT:
            return [f"{head}({text})" if text else head]
        return [head, text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"]

    def _summarize(self, item: Item, scene: Scene) -> None:
        """Write on the box of folded modules what is inside."""
        if len(item.lines) > 1:
            count = item.lines[1].split()[0]
            scene.notes.append(
                f"{item.lines[0]}: {count} modules that repeat those before them are one box; "
                "fold_repeats=False opens them"
            )
        inside = [self.graph.values[k] for k in item.values]
        ops = [value for value in inside if isinstance(value, Call)]
        parameters = [value for value in inside if value.kind == "parameter"]
        counts = ((len(ops), "op"), (len(parameters), "parameter"))
        item.lines.append(" · ".join(f"{n} {what}{'s' if n > 1 else ''}" for n, what in counts if n))
        item.lines.append(shape(ops[-1]))
        alerts = [self.facts.values[k].alert for k in item.values if k in self.facts.values]
        first = next(filter(None, alerts), "")
        if first:
            starts = " starts in here" if self.facts.origins & set(item.values) else " in here"
            item.alert = first.split(" in ")[0] + starts
        if self.options.grads and self.facts.differentiated and parameters:
            reached = sum(value.index in self.facts.gradients for value in parameters)
            item.gradient = f"{reached} of {len(parameters)} gradients"

    def _connect(self, scene: Scene) -> None:
        edges: dict[tuple[str, str, int], int] = {}
        flows: dict[tuple[str, str], Link] = {}
        steps = self.facts.steps if self.options.grads else []
        reached = {(step.index, arrival.operand) for step in steps for arrival in step.arrivals}
        for value in self.graph.ops:
            head = scene.place[value.index]
            for k in value.operands:
                tail = scene.place.get(k, head)
                if tail == head:
                    continue
                folded = "module" in (scene.items[tail].kind, scene.items[head].kind)
                if not folded or (tail, head, k) not in edges:
                    edges[tail, head, k] = len(scene.links)
                    scene.links.append(Link(tail, head))
                if (value.index, k) in reached:
                    flows.setdefault((head, tail), Link(head, tail, "gradient", edges[tail, head, k]))
        scene.links += flows.values()


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


def _cut(scene: Scene, graph: Graph, limit: int) -> None:
    """Keep the boxes nearest to the output, and put one box in place of all the others; modules are folded already."""
    sources: dict[str, list[str]] = {}
    for link in scene.links:
        if not link.kind:
            sources.setdefault(link.head, []).append(link.tail)
    kept = dict.fromkeys(scene.place[k] for k in graph.outputs)
    frontier: Iterable[str] = list(kept)
    while frontier and len(kept) < limit:
        further = dict.fromkeys(t for head in frontier for t in sources.get(head, ()) if t not in kept)
        frontier = list(further)[: limit - len(kept)]
        kept |= dict.fromkeys(frontier)
    count = f"{len(scene.items) - len(kept):,}"
    scene.notes.append(
        f"the {count} nodes farthest from the output are left out; max_nodes=None shows them all"
    )
    more = Item("more", "more", ["…", f"{count} more nodes"], None, [])
    scene.place = {k: place if place in kept else more.id for k, place in scene.place.items()}
    scene.items = {more.id: more} | {key: item for key, item in scene.items.items() if key in kept}
    near = {end: end if end in kept else more.id for link in scene.links for end in (link.tail, link.head)}
    ends = [(near[link.tail], near[link.head], link.kind) for link in scene.links]
    data: dict[Any, Link] = {}  # arrows to and from the one box are drawn once
    for k, (tail, head, kind) in enumerate(ends):
        if not kind and tail != head:
            data.setdefault((tail, head) if more.id in (tail, head) else k, Link(tail, head))
    along = {(link.head, link.tail): k for k, link in enumerate(data.values())}
    flows = {(tail, head) for tail, head, kind in ends if kind and tail != head}
    scene.links = [*data.values(), *(Link(*pair, "gradient", along[pair]) for pair in sorted(flows))]
