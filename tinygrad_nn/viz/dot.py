"""Third stage, from a scene to Graphviz's language, through the graphviz package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tinygrad_nn.viz.module_calls import Frame
from tinygrad_nn.viz.options import Options
from tinygrad_nn.viz.scene import Item, Scene, crossed, depths
from tinygrad_nn.viz.theme import DARK, KINDS, LIGHT, LINE, font, width

if TYPE_CHECKING:
    import graphviz

_SHAPES = {
    "box": {"shape": "box"},
    "rounded box": {"shape": "box", "style": "filled,rounded"},
    "dashed box": {"shape": "box", "style": "filled,dashed"},
    "double box": {"shape": "box", "peripheries": "2"},
    "3-D box": {"shape": "box3d"},
    "ellipse": {},
    "dashed ellipse": {"style": "filled,dashed"},
    "plain dashed box": {"shape": "plaintext", "style": "filled,dashed"},
}
# Of pictures whose arrows cross many layers: how long Graphviz tries to do better, as a share of the boxes; without a
# bound it may take minutes. With very many it does without curves around boxes, which take longest then.
_HASTE = {"nslimit": "0.1", "nslimit1": "0.1", "mclimit": "0.05", "searchsize": "5", "splines": "line"}
_PATIENCE: tuple[tuple[int, dict[str, str]], ...] = (
    (12_000, _HASTE),
    (4_000, {"nslimit": "0.5", "nslimit1": "1", "mclimit": "0.3", "searchsize": "10"}),
    (1_000, {"nslimit": "4", "nslimit1": "4", "mclimit": "0.5"}),
    (-1, {}),
)
_MAIN = ("op", "module", "input")
# The caption leaves these kinds out, because their boxes and frames have words for it.
_SAY_THEMSELVES = ("backward", "update", "error", "more", "gradient")


def extent(item: Item) -> tuple[float, float]:
    """Return width and height of a box, in points, that leave room for its lines in any common font."""
    wide = max(width(text, *font(role)) for role, text in item.rows())
    high = 4 + sum(font(role)[0] * 1.28 for role, _ in item.rows())
    if "ellipse" in KINDS[item.drawn_as].shape:
        return 1.34 * wide + 10, 1.42 * high
    return wide + 22, high + 10


def escaped(text: str) -> str:
    """Return a text as Graphviz has to be given it, which reads backslashes and HTML's entities in all labels."""
    import graphviz

    return str(graphviz.escape(text.replace("&", "&amp;")))


def digraph(scene: Scene, options: Options, caption: str = "") -> graphviz.Digraph:
    """Return the picture as a `graphviz.Digraph`; the same graph gives the same text in every process."""
    import graphviz

    colours = DARK if options.theme == "dark" else LIGHT
    face = {"fontname": "Helvetica,Arial,sans-serif"}
    graph = graphviz.Digraph(
        "graph", graph_attr=face, node_attr=face | {"margin": "0.06,0.03"}, edge_attr=face
    )
    layout = {"rankdir": options.direction, "nodesep": "0.25", "ranksep": "0.36"}
    layout |= next(settings for least, settings in _PATIENCE if crossed(scene) > least)
    below = {"fontcolor": colours["muted"], "fontsize": str(LINE), "labelloc": "b", "labeljust": "l"}
    graph.attr(bgcolor=colours["ground"], **layout, **below)
    if caption:
        graph.attr(label=escaped(caption).replace("\n", r"\l") + r"\l")
    box = {"style": "filled", "fillcolor": colours["op-fill"], "color": colours["op"]}
    graph.attr("node", fontsize=str(LINE), fontcolor=colours["text"], **box)
    graph.attr("edge", color=colours["edge"], arrowsize="0.7")
    contents, neighbours = scene.contents(), beside(scene)
    border = {"style": "dashed,rounded,filled", "color": colours["group"], "fillcolor": colours["group-fill"]}
    border |= {"labelloc": "t", "margin": "12"}

    def fill(parent: graphviz.Digraph, frame: Frame | None) -> None:
        """Write the boxes and frames in a frame, and what is in these."""
        items, groups = contents[frame]
        for item in items:
            parent.node(item.id, **_attributes(item, colours))
        for item in items:
            if item.id in neighbours:
                with parent.subgraph(graph_attr={"rank": "same"}) as level:
                    level.node(item.id)
                    level.node(neighbours[item.id])
        for inner, group in groups:
            with parent.subgraph(name=f"cluster_{group.id}") as cluster:
                cluster.attr(label=escaped(group.title), **border)
                fill(cluster, inner)

    fill(graph, None)
    for k, link in enumerate(scene.links):
        attributes = {"id": f"e{k}"}
        # A heavy edge is short and straight: the data flows in one line, with parameters above and below it.
        if scene.items[link.tail].kind in _MAIN:
            attributes["weight"] = "20"
        if link.kind:
            attributes |= {"style": "dashed", "color": colours["gradient"]}
            attributes |= {"constraint": "false", "weight": "0"}
        graph.edge(link.tail, link.head, **attributes)
    return graph


def _attributes(item: Item, colours: Mapping[str, str]) -> dict[str, str]:
    """Return what Graphviz is told of a box."""
    wide, high = extent(item)
    kind = item.drawn_as
    attributes = {"width": f"{wide / 72:.3f}", "height": f"{high / 72:.3f}"} | _SHAPES[KINDS[kind].shape]
    attributes["label"] = escaped("\n".join(item.texts()))
    if item.tooltip:
        attributes["tooltip"] = escaped(item.tooltip)
    if kind != "op" or item.alert or item.hot:
        stroke = colours["alert" if item.alert else kind]
        attributes |= {"fillcolor": colours["hot-fill" if item.hot else f"{kind}-fill"], "color": stroke}
    return attributes


def beside(scene: Scene) -> dict[str, str]:
    """Return which leaves stand beside the one op that uses them, so that data flows in a straight line.

    Where several ops of a layer and a frame have such leaves, Graphviz would lead arrows around some of them.
    """
    users: dict[str, set[str]] = {}
    kinds: dict[str, set[str]] = {}
    for link in scene.links:
        if not link.kind:
            users.setdefault(link.tail, set()).add(link.head)
            kinds.setdefault(link.head, set()).add(scene.items[link.tail].kind)
    neighbours = {}
    for leaf, (user, *others) in users.items():
        item = scene.items[leaf]
        flow = {"op", "module"} if item.kind == "input" else set(_MAIN)
        fits = not others and scene.items[user].group is item.group and kinds[user] & flow
        if fits and item.kind not in ("op", "module"):
            neighbours[leaf] = user
    layers = depths(scene)
    places = {user: (layers[user], scene.items[user].group) for user in neighbours.values()}
    crowded = {place for place, count in Counter(places.values()).items() if count > 1}
    return {leaf: user for leaf, user in neighbours.items() if places[user] not in crowded}


def caption(scene: Scene, title: str | None) -> str:
    """Return what stands below a picture that DOT draws: title, legend and notes."""
    legend = scene.legend()
    parts = [f"{KINDS[kind].shape}: {text}" for kind, text in legend.items() if kind not in _SAY_THEMSELVES]
    if "gradient" in legend:
        parts.append("dashed arrow: gradient")
    return "\n".join([*([title] if title else []), "   ".join(parts), *scene.notes])
