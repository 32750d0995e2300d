"""Second stage, from a graph and its facts to a scene: boxes, arrows between them, and frames around them.

Modules can be folded into one box: below a depth, when they repeat, and when the picture would get too large.
What is left out is said in the notes. A scene has no positions, and no colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tinygrad_nn.errors import printable
from tinygrad_nn.graph.ir import Call, Graph, Value, setting_text, told_operands
from tinygrad_nn.languages import Language
from tinygrad_nn.viz.entries import number
from tinygrad_nn.viz.facts import Facts
from tinygrad_nn.viz.module_calls import Frame, ModuleCalls
from tinygrad_nn.viz.options import Options
from tinygrad_nn.viz.shares import HOT, Shares
from tinygrad_nn.viz.theme import LEGEND
from tinygrad_nn.viz.wording import said

# Characters of a call that go into the title of a box, and below it.
_SHORT, _LONG = 8, 32
# Characters of values and gradients that stand in one line.
_ONE_LINE = 20
_SYMBOLS = {
    "add": "+",
    "subtract": "−",
    "multiply": "×",
    "divide": "/",
    "matmul": "@",
    "power": "^",
}
"""Ops of two operands that everybody writes with a sign."""


@dataclass(slots=True)
class Item:
    """A box: its kind, its lines (the first is its title), what it holds, and which values it stands for."""

    id: str
    kind: str
    lines: list[str]
    values: list[int]
    group: Frame | None = None
    marks: list[str] = field(default_factory=list)
    value: str = ""
    gradient: str = ""
    alert: str = ""
    time: str = ""
    hot: bool = False
    tooltip: str = ""

    @property
    def drawn_as(self) -> str:
        """The row of `theme.KINDS` that it is drawn by: output and phase come before the kind."""
        if self.kind in ("module", "error"):
            return self.kind
        return next((mark for mark in ("output", "backward", "update") if mark in self.marks), self.kind)

    def rows(self) -> list[tuple[str, str]]:
        """Return all its lines, each with its role: title, value, gradient, alert, or nothing special."""
        roles = ["title", *[""] * (len(self.lines) - 1)]
        more = (
            ("value", self.value),
            ("gradient", self.gradient),
            ("alert", self.alert),
            ("time", self.time),
        )
        lines = [(role, line) for role, text in more if text for line in halved(text)]
        return [*zip(roles, self.lines, strict=True), *lines]

    def texts(self) -> list[str]:
        """Return all its lines."""
        return [text for _, text in self.rows()]


def halved(text: str) -> list[str]:
    """Return a text with several numbers in two lines if it is long, so that its box is not wide."""
    places = [k + 1 for k in range(len(text)) if text.startswith(", ", k)]
    if len(text) <= _ONE_LINE or not places:
        return [text] if text else []
    middle = min(places, key=lambda k: abs(2 * k - len(text)))
    return [text[:middle], text[middle + 1 :]]


@dataclass(slots=True)
class Link:
    """An arrow; `kind` is "" for data and "gradient" for the way back along the arrow with index `along`."""

    tail: str
    head: str
    kind: str = ""
    along: int = -1


@dataclass(slots=True)
class Group:
    """A frame around its boxes."""

    id: str
    title: str
    parent: Frame | None


Contents = dict[Frame | None, tuple[list[Item], list[tuple[Frame, Group]]]]


@dataclass(slots=True)
class Scene:
    """A picture before it has positions; `place` says which box stands for a value."""

    items: dict[str, Item] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    groups: dict[Frame, Group] = field(default_factory=dict)
    place: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lang: Language = "en"

    def contents(self) -> Contents:
        """Return for each frame, and for the whole picture, the boxes and frames that stand directly in it."""
        contents: Contents = {frame: ([], []) for frame in (None, *self.groups)}
        for item in self.items.values():
            contents[item.group][0].append(item)
        for frame, group in self.groups.items():
            contents[group.parent][1].append((frame, group))
        return contents

    def legend(self) -> dict[str, str]:
        """Return the kinds of boxes and arrows that are on the picture, with what they mean."""
        present = {item.drawn_as for item in self.items.values()} | {link.kind for link in self.links}
        return {kind: said(f"kind {kind}", self.lang) for kind in LEGEND if kind in present}


def build(graph: Graph, facts: Facts, options: Options) -> Scene:
    """Return what is on the picture of a graph; folds until it fits, and says what it left out."""
    builder = _SceneBuilder(graph, facts, options)
    depth = deepest = builder.calls.deepest
    if options.depth is not None:
        depth = max(options.depth, 0)
    limit = options.max_nodes
    scene = builder.scene(depth)
    while too_much(scene, limit) and depth > 0:
        depth = min(depth, deepest) - 1
        scene = builder.scene(depth)
        if not too_much(scene, limit) or not depth:
            scene.notes.append(said("folded", options.lang, depth=depth))
    if limit is not None and too_much(scene, limit):
        whole, left = scene, min(limit, len(scene.items))
        scene = _cut(whole, graph, left)
        while crossed(scene) > _MOST_CROSSED and left:
            left = left * 3 // 4
            scene = _cut(whole, graph, left)
    shares = [] if facts.times is None else [Shares(facts.times, options.lang).note()]
    scene.notes = [*shares, *facts.told(options.lang), *scene.notes]
    return scene


def too_much(scene: Scene, limit: int | None) -> bool:
    """Tell whether a picture is too large for its limit, or to be laid out in seconds; without one nothing is."""
    return limit is not None and (len(scene.items) > limit or crossed(scene) > _MOST_CROSSED)


# A picture of the default size that has more takes Graphviz ten seconds, and soon a minute.
_MOST_CROSSED = 30_000


def crossed(scene: Scene) -> int:
    """Return how many layers of boxes the arrows cross: for each Graphviz has a point to place, which is its work."""
    layers = depths(scene)
    links = [link for link in scene.links if not link.kind]
    return sum(max(layers[link.head] - layers[link.tail] - 1, 0) for link in links)


def depths(scene: Scene) -> dict[str, int]:
    """Return the layer of every box: the length of the longest way to it."""
    layers = dict.fromkeys(scene.items, 0)
    for link in scene.links:
        if not link.kind:
            layers[link.head] = max(layers[link.head], layers[link.tail] + 1)
    return layers


class _SceneBuilder:
    """Decides what every value of a graph becomes."""

    def __init__(self, graph: Graph, facts: Facts, options: Options) -> None:
        self.graph, self.facts, self.options = graph, facts, options
        self.calls = ModuleCalls(graph)
        self.labels, self.lang = graph.labels(), options.lang
        told = {k for call in graph.ops for k in told_operands(call)} | {*graph.outputs}
        # Of boxes that stand for repeated modules, how many.
        self.repeated: dict[str, int] = {}
        # What nobody is told of, and numbers that are written into the label of the op that uses them.
        self.hidden = {value.index for value in graph.values if value.kind == "state"} - told
        if options.fold_constants:
            used = {k for value in graph.ops for k in value.operands} - set(graph.outputs)
            scalars = {v.index for v in graph.values if v.kind in ("constant", "state") and not v.shape}
            self.hidden |= used & scalars

    def scene(self, depth: int) -> Scene:
        scene = Scene(lang=self.lang)
        titles = self.calls.titles()
        folds = self._folds(titles, depth)
        for value in self.graph.values:
            if value.index in self.hidden:
                continue
            path = self.calls.paths[value.index]
            level = next((k for k, frame in enumerate(path) if frame in folds), None)
            if level is None:
                item = self._item(value)
            else:
                name, *lines = folds[path[level]]
                item = scene.items.get(name) or Item(name, "module", lines, [])
                item.values.append(value.index)
                path = path[:level]
            item.group = path[-1] if path else None
            scene.items[item.id] = item
            scene.place[value.index] = item.id
            for frame, parent in zip(path, [None, *path], strict=False):
                if frame not in scene.groups:
                    scene.groups[frame] = Group(f"c{len(scene.groups)}", titles[frame], parent)
        for item in scene.items.values():
            if item.kind == "module":
                self._summarize(item, scene)
        for k in self.graph.outputs:
            scene.items[scene.place[k]].marks.append("output")
        self._connect(scene)
        if self.facts.times is not None:
            self._time(scene, Shares(self.facts.times, self.lang))
        return scene

    def _time(self, scene: Scene, shares: Shares) -> None:
        """Write on boxes and frames what share of the time they took."""
        for item in scene.items.values():
            item.time = shares.text(item.values)
            item.hot = shares.share(item.values) >= HOT
        for frame, group in scene.groups.items():
            inside = [k for k, path in enumerate(self.calls.paths) if frame in path]
            text = shares.text(inside)
            group.title += f" · {text}" if text else ""

    def _folds(self, titles: dict[Frame, str], depth: int) -> dict[Frame, tuple[str, ...]]:
        """Return for frames that are folded the id of their box and its first lines."""
        folds: dict[Frame, tuple[str, ...]] = {}
        self.repeated = {}
        for run in self.calls.repeats() if self.options.fold_repeats else ():
            name = titles[run[0]] if len(run) == 1 else f"{titles[run[0]]} … {titles[run[-1]]}"
            box = (f"m{len(folds)}", name, said("same", self.lang, n=len(run)))
            self.repeated[box[0]] = len(run)
            folds |= dict.fromkeys(run, box)
        for path in self.calls.paths:
            if len(path) > depth:
                folds.setdefault(path[depth], (f"m{len(folds)}", titles[path[depth]]))
        return folds

    def _item(self, value: Value) -> Item:
        lines = self._call(value) if isinstance(value, Call) else [self.labels[value.index]]
        in_place = isinstance(value, Call) and value.op.writes
        what = "failed" if value.kind == "error" else "in place" if in_place else ""
        lines.append(said(what, self.lang) if what else shape(value, self.lang))
        item = Item(f"n{value.index}", value.kind, lines, [value.index])
        if value.phase != "forward" and isinstance(value, Call):
            item.marks.append(value.phase)
        if value.kind == "error" and self.graph.notes:
            item.alert = self.graph.notes[0].partition(": ")[2]
        if value.index in self.facts.values:
            fact = self.facts.values[value.index]
            item.value, item.tooltip = fact.label(self.lang), fact.text(self.lang)
            item.alert = self.facts.alert(value.index, self.lang)
        if self.options.grads and self.facts.gradients:
            item.gradient = gradient(value, self.facts, self.lang)
        return item

    def _call(self, value: Call) -> list[str]:
        """Return the op with the numbers and parameters of its call, in one line if that is short."""
        symbol = _SYMBOLS.get(value.op.name, "")
        name = printable(value.op.name)
        label = self.labels[value.index]
        head = f"{label} = {symbol or name}" if value.name else f"{label} {symbol or name}"
        written = {k for k in self.hidden & {*value.operands} if self.graph.values[k].kind == "constant"}
        numbers = [self.labels[k] if k in written else "·" for k in value.operands]
        if symbol and written:
            return [f"{label} = {f' {symbol} '.join(numbers)}"]
        if not value.op.variadic and len(numbers) > 2:
            numbers = [f"{n}={x}" for n, x in zip(value.op.operand_names, numbers, strict=True) if x != "·"]
        settings = [f"{key}={setting_text(setting)}" for key, setting in value.params.items()]
        text = ", ".join([*(numbers if written else []), *settings])
        if len(text) <= _SHORT:
            return [f"{head}({text})" if text else head]
        return [head, text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"]

    def _summarize(self, item: Item, scene: Scene) -> None:
        """Write on the box of folded modules what is inside."""
        if item.id in self.repeated:
            scene.notes.append(said("repeated", self.lang, box=item.lines[0], n=self.repeated[item.id]))
        inside = [self.graph.values[k] for k in item.values]
        ops = [value for value in inside if isinstance(value, Call)]
        parameters = [value for value in inside if value.kind == "parameter"]
        counts = ((len(ops), "op"), (len(parameters), "parameter"))
        item.lines.append(
            " · ".join(said(f"{what}{'s' if n > 1 else ''}", self.lang, n=n) for n, what in counts if n)
        )
        item.lines.append(shape(ops[-1], self.lang))
        known = [self.facts.values[k] for k in item.values if k in self.facts.values]
        if alerted := next((fact for fact in known if fact.bad), None):
            where = "starts inside" if self.facts.origins & set(item.values) else "alert inside"
            first = said(next(iter(alerted.bad)), self.lang)
            item.alert = said(where, self.lang, alert=first)
        if self.options.grads and self.facts.gradients and parameters:
            reached = sum(value.index in self.facts.gradients for value in parameters)
            item.gradient = said("gradients", self.lang, n=reached, all=len(parameters))

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


def gradient(value: Value, facts: Facts, lang: Language) -> str:
    """Return the gradient of a value as a label says it; none and zero are spelled out."""
    fact = facts.gradients.get(value.index)
    if fact is None:
        return said("no grad", lang)
    if not fact.norm and not fact.bad:
        return said("grad zero", lang)
    what = fact.alert(lang) or fact.short or said("norm", lang, norm=number(fact.norm))
    return said("grad", lang, what=what)


def shape(value: Value, lang: Language) -> str:
    """Return a shape as a label says it, with the dtype where it is not float32."""
    # A number alone would be taken for the value.
    several = " × ".join(map(str, value.shape)) if len(value.shape) > 1 else str(value.shape)
    text = several if value.shape else said("scalar", lang)
    return text if value.dtype == np.float32 else f"{text} {value.dtype}"


def _cut(scene: Scene, graph: Graph, limit: int) -> Scene:
    """Return the boxes nearest to the output, with one in place of all the others; modules are folded already."""
    sources: dict[str, list[str]] = {}
    for link in scene.links:
        if not link.kind:
            sources.setdefault(link.head, []).append(link.tail)
    near = dict.fromkeys(scene.place[k] for k in graph.outputs)
    frontier: Iterable[str] = list(near)
    while frontier and len(near) < limit:
        further = dict.fromkeys(
            tail for head in frontier for tail in sources.get(head, ()) if tail not in near
        )
        frontier = list(further)[: limit - len(near)]
        near |= dict.fromkeys(frontier)
    count = f"{len(scene.items) - len(near):,}"
    note = said("left out", scene.lang, n=count)
    more = Item("more", "more", ["…", said("more nodes", scene.lang, n=count)], [])
    place = {name: name if name in near else more.id for name in scene.items}
    items = {more.id: more} | {name: item for name, item in scene.items.items() if name in near}
    ends = [(place[link.tail], place[link.head], link.kind) for link in scene.links]
    # Arrows to and from the one box are drawn once, all others as often as they are there.
    data: dict[tuple[str, str] | int, Link] = {}
    for k, (tail, head, kind) in enumerate(ends):
        if not kind and tail != head:
            data.setdefault((tail, head) if more.id in (tail, head) else k, Link(tail, head))
    along = {(link.head, link.tail): k for k, link in enumerate(data.values())}
    flows = {(tail, head) for tail, head, kind in ends if kind and tail != head}
    links = [*data.values(), *(Link(*pair, "gradient", along[pair]) for pair in sorted(flows))]
    places = {k: place[name] for k, name in scene.place.items()}
    return Scene(items, links, scene.groups, places, [*scene.notes, note], scene.lang)
