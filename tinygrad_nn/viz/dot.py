"""From a scene to DOT, through the graphviz package, and from DOT to positions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import graphviz

from tinygrad_nn.viz.scene import Item, Options, Scene
from tinygrad_nn.viz.theme import DARK, DASHED, LEGEND, LIGHT, LINE, TITLE, width

_SHAPES = {"op": "ellipse", "module": "box3d", "more": "plain", "backward": "ellipse", "update": "ellipse"}
_MAIN = ("op", "module", "input")


def look(item: Item) -> str:
    """Return what decides about the shape of a box: output and phase come before the kind."""
    if item.kind in ("module", "error"):
        return item.kind
    return next((mark for mark in ("output", "backward", "update") if mark in item.marks), item.kind)


def extent(item: Item) -> tuple[float, float]:
    """Return width and height of a box, in points, that leave room for its lines in any common font."""
    wide = max(width(text, *font) for text, font in zip(texts(item), fonts(item), strict=True))
    high = 4 + sum(size * 1.28 for size, _ in fonts(item))
    if _SHAPES.get(look(item)) == "ellipse":
        return 1.34 * wide + 10, 1.42 * high
    return wide + 22, high + 10


def texts(item: Item) -> list[str]:
    """Return all lines of a box."""
    return [*item.lines, *filter(None, (item.value, item.gradient, item.alert))]


def fonts(item: Item) -> list[tuple[float, float]]:
    """Return size and weight of the lines of a box."""
    return [(TITLE, 1.08), *[(LINE, 1.0)] * (len(texts(item)) - 1)]


def digraph(scene: Scene, options: Options, caption: str = "") -> Any:
    """Return the picture as a `graphviz.Digraph`; the same graph gives the same text in every process."""
    colours: dict[str, Any] = DARK if options.theme == "dark" else LIGHT
    font = {"fontname": "Helvetica,Arial,sans-serif"}
    drawn = graphviz.Digraph(
        "graph", graph_attr=font, node_attr=font | {"margin": "0.06,0.03"}, edge_attr=font
    )
    drawn.attr(
        rankdir=options.direction,
        bgcolor=colours["ground"],
        nodesep="0.3",
        ranksep="0.42",
        fontcolor=colours["muted"],
        fontsize=str(LINE),
        labelloc="b",
        labeljust="l",
    )
    if caption:
        drawn.attr(label=graphviz.escape(caption).replace("\n", r"\l") + r"\l")
    fill, stroke = colours["op"]
    drawn.attr(
        "node", fontsize=str(LINE), fontcolor=colours["text"], style="filled", fillcolor=fill, color=stroke
    )
    drawn.attr("edge", color=colours["edge"], arrowsize="0.7")
    members: dict[Any, list[Item]] = {}
    inner: dict[Any, list[Any]] = {}
    for item in scene.items.values():
        members.setdefault(item.group, []).append(item)
    for call, group in scene.groups.items():
        inner.setdefault(group.parent, []).append(call)
    _fill(drawn, None, scene, members, inner, colours)
    for k, link in enumerate(scene.links):
        # A heavy edge is short and straight: the data flows in one line, with parameters above and below it.
        main = scene.items[link.tail].kind in _MAIN
        way: dict[str, str] = {"id": f"e{k}"}
        if main:
            way["weight"] = "20"
        if link.kind:
            way |= {"style": "dashed", "color": colours["gradient"], "constraint": "false", "weight": "0"}
        drawn.edge(link.tail, link.head, **way)
    return drawn


def _fill(drawn: Any, call: Any, scene: Scene, members: Any, inner: Any, colours: dict[str, Any]) -> None:
    for item in members.get(call, ()):
        wide, high = extent(item)
        kind = look(item)
        fill, stroke = colours[kind]
        own: dict[str, str] = {"peripheries": "2"} if kind == "output" else {}
        if kind == "parameter" or kind in DASHED:
            own["style"] = "filled,rounded" if kind == "parameter" else "filled,dashed"
        if item.tooltip:
            own["tooltip"] = graphviz.escape(item.tooltip)
        if kind != "op" or item.alert:
            own |= {"fillcolor": fill, "color": colours["alert"] if item.alert else stroke}
        if _SHAPES.get(kind) != "ellipse":
            own["shape"] = _SHAPES.get(kind, "box")
        drawn.node(
            item.id,
            label=graphviz.escape("\n".join(texts(item))),
            width=f"{wide / 72:.3f}",
            height=f"{high / 72:.3f}",
            **own,
        )
    for leaf, user in beside(scene, members.get(call, ())).items():
        with drawn.subgraph(graph_attr={"rank": "same"}) as level:
            level.node(leaf)
            level.node(user)
    for child in inner.get(call, ()):
        group = scene.groups[child]
        with drawn.subgraph(name=f"cluster_{group.id}") as cluster:
            cluster.attr(
                label=graphviz.escape(group.title),
                style="dashed,rounded,filled",
                color=colours["group"],
                fillcolor=colours["group-fill"],
                labelloc="t",
                margin="12",
            )
            _fill(cluster, child, scene, members, inner, colours)


def beside(scene: Scene, members: Iterable[Item]) -> dict[str, str]:
    """Return which leaves stand beside the one op that uses them, so that data flows in a straight line."""
    users: dict[str, set[str]] = {item.id: set() for item in members if item.kind not in ("op", "module")}
    fed: dict[str, set[str]] = {}
    for link in scene.links:
        if link.kind:
            continue
        if link.tail in users:
            users[link.tail].add(link.head)
        fed.setdefault(link.head, set()).add(scene.items[link.tail].kind)
    single = {leaf: next(iter(heads)) for leaf, heads in users.items() if len(heads) == 1}
    return {
        leaf: user
        for leaf, user in single.items()
        if scene.items[user].group is scene.items[leaf].group
        and fed[user] & ({"op", "module"} if scene.items[leaf].kind == "input" else set(_MAIN))
    }


def legend(scene: Scene) -> dict[str, str]:
    """Return the kinds of boxes that are on the picture, with what they mean."""
    present = {look(item) for item in scene.items.values()}
    return {kind: text for kind, text in LEGEND.items() if kind in present}


def caption(scene: Scene, title: str | None) -> str:
    """Return what stands below a picture that DOT draws: title, legend and notes."""
    shapes = {"input": "box", "parameter": "rounded box", "constant": "dashed box", "state": "dashed box"}
    shapes |= {"op": "ellipse", "output": "double box", "module": "3-D box"}
    parts = [f"{shapes[kind]}: {text}" for kind, text in legend(scene).items() if kind in shapes]
    if any(link.kind for link in scene.links):
        parts.append("dashed arrow: gradient")
    return "\n".join([*([title] if title else []), "   ".join(parts), *scene.notes])
