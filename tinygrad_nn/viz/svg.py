"""Fourth stage, from a scene to SVG: Graphviz decides where things are, and all that is seen is drawn here."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from html import escape

from tinygrad_nn.viz import render
from tinygrad_nn.viz.dot import digraph
from tinygrad_nn.viz.options import Options
from tinygrad_nn.viz.scene import Item, Scene
from tinygrad_nn.viz.theme import KINDS, LINE, css, font, width

_MARGIN, _GAP = 14.0, 6.0


@dataclass(slots=True)
class Layout:
    """Positions from Graphviz, in points, y downwards."""

    width: float
    height: float
    boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    groups: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    paths: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def layout(scene: Scene, options: Options) -> Layout:
    """Return where Graphviz places the boxes and arrows of a scene."""
    # Arrows of gradients run beside those of the data, and have no say in the layout.
    data = replace(scene, links=[link for link in scene.links if not link.kind])
    graph = json.loads(render.run_graphviz(digraph(data, options).source, "json0"))
    _, _, wide, high = map(float, graph["bb"].split(","))
    positions = Layout(wide, high)
    for element in graph.get("objects", ()):
        if "pos" in element:
            x, y = map(float, element["pos"].split(","))
            w, h = 72 * float(element["width"]), 72 * float(element["height"])
            positions.boxes[element["name"]] = (x, high - y, w, h)
        elif "bb" in element:
            x0, y0, x1, y1 = map(float, element["bb"].split(","))
            positions.groups[element["name"].removeprefix("cluster_")] = (x0, high - y1, x1, high - y0)
    for edge in graph.get("edges", ()):
        # The text is: e,tip start control control point ...
        tip, *points = edge["pos"].removeprefix("e,").split()
        spots = [tuple(map(float, spot.split(","))) for spot in [*points, tip]]
        positions.paths[edge["id"]] = [(x, high - y) for x, y in spots]
    return positions


def _path(spots: list[tuple[float, float]]) -> str:
    first, *bends, tip = [f"{x:.1f} {y:.1f}" for x, y in spots]
    return f"M{first}C{' '.join(bends)}L{tip}"


def _back(spots: list[tuple[float, float]]) -> str:
    """Return the path that runs back beside another, on its right-hand side."""
    (x0, y0), (x1, y1) = spots[0], spots[-1]
    length = max(math.hypot(x1 - x0, y1 - y0), 1e-9)
    aside = (_GAP * (y1 - y0) / length, -_GAP * (x1 - x0) / length)
    tip, first, *bends = [f"{x + aside[0]:.1f} {y + aside[1]:.1f}" for x, y in [spots[-1], *spots[-2::-1]]]
    return f"M{tip}L{first}C{' '.join(bends)}"


def _shape(kind: str, x: float, y: float, w: float, h: float) -> str:
    """Return the outline of a box of a kind, around its centre."""
    shape = KINDS[kind].shape
    styles = "shape dashed" if "dashed" in shape else "shape"
    if "ellipse" in shape:
        return f'<ellipse class="{styles}" cx="{x:.1f}" cy="{y:.1f}" rx="{w / 2:.1f}" ry="{h / 2:.1f}"/>'
    left, top = x - w / 2, y - h / 2
    box = f'<rect class="{styles}" x="{left:.1f}" y="{top:.1f}" width="{w:.1f}" height="{h:.1f}"'
    if shape == "rounded box":
        return f'{box} rx="10"/>'
    if shape == "double box":
        inner = f'x="{left + 3:.1f}" y="{top + 3:.1f}" width="{w - 6:.1f}" height="{h - 6:.1f}"'
        return f'{box}/><rect class="shape" {inner}/>'
    if shape == "3-D box":
        d = 5.0
        front = f"M{left:.1f} {top + d:.1f}h{w - d:.1f}v{h - d:.1f}h{d - w:.1f}z"
        sides = f"M{left:.1f} {top + d:.1f}l{d} {-d}h{w - d:.1f}v{h - d:.1f}l{-d} {d}"
        sides += f"M{left + w - d:.1f} {top + d:.1f}l{d} {-d}"
        return f'<path class="shape" d="{front}{sides}"/>'
    return f'{box} rx="2"/>'


def _box(item: Item, prefix: str, x: float, y: float, w: float, h: float) -> str:
    kinds = f"node {item.drawn_as}" + " alerted" * bool(item.alert) + " hot" * item.hot
    parts = [f'<g id="{prefix}{item.id}" class="{kinds}">']
    if item.tooltip:
        parts.append(f"<title>{escape(item.tooltip)}</title>")
    parts.append(_shape(item.drawn_as, x, y, w, h))
    rows = item.rows()
    baseline = y - 1.28 * sum(font(role)[0] for role, _ in rows) / 2
    for role, text in rows:
        size, _ = font(role)
        baseline += 1.28 * size
        style = f' class="{role}"' if role else ""
        parts.append(f'<text{style} x="{x:.1f}" y="{baseline - 0.32 * size:.1f}">{escape(text)}</text>')
    return "".join([*parts, "</g>"])


def _sample(kind: str, x: float, y: float) -> str:
    """Return a small box, or arrow, of a kind for the legend."""
    if kind == "gradient":
        return f'<path class="edge gradient" d="M{x:.1f} {y}h26"/>'
    return f'<g class="{kind}">{_shape(kind, x + 13, y, 26, 15)}</g>'


def swatch(kind: str, text: str) -> str:
    """Return an entry of the legend as HTML."""
    sample = f'<svg viewBox="-1 -1 28 18" aria-hidden="true">{_sample(kind, 0, 8)}</svg>'
    return f'<li data-kind="{kind}">{sample} {escape(text)}</li>'


def _legend(scene: Scene, top: float, room: float) -> tuple[list[str], float, float]:
    """Return the rows of the legend below a picture, the width they take, and where they end."""
    parts: list[str] = []
    x, y, widest = 0.0, top, 0.0
    for kind, text in scene.legend().items():
        wide = 34 + width(text, LINE) + 14
        if x and x + wide > room:
            x, y = 0.0, y + 22
        parts.append(_sample(kind, x, y))
        parts.append(f'<text class="note" x="{x + 34:.1f}" y="{y + 4:.1f}">{escape(text)}</text>')
        x += wide
        widest = max(widest, x)
    return parts, widest, y + 16


def svg(scene: Scene, options: Options, prefix: str, summary: str) -> str:
    """Return a picture as one SVG file with title, legend and notes; ids begin with `prefix`."""
    positions = layout(scene, options)
    room = max(positions.width, 460.0)
    head = 30.0 if options.title else 0.0
    below, widest, end = _legend(scene, positions.height + 28, room)
    for note in scene.notes:
        end += 17
        below.append(f'<text class="note" x="0" y="{end - 4:.1f}">{escape(note)}</text>')
        widest = max(widest, width(note, LINE))
    wide = max(positions.width, widest) + 2 * _MARGIN
    high = end + head + 2 * _MARGIN - 6
    name = options.title or "Computation graph"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{prefix}" role="img" '
        f'aria-labelledby="{prefix}title {prefix}desc" width="{wide:.0f}" height="{high:.0f}" '
        f'viewBox="{-_MARGIN} {-_MARGIN - head} {wide:.0f} {high:.0f}">',
        f'<title id="{prefix}title">{escape(name)}</title><desc id="{prefix}desc">{escape(summary)}</desc>',
        f"<style>\n{css(options.theme, f'#{prefix}')}\n</style>",
        f'<rect class="ground" x="{-_MARGIN}" y="{-_MARGIN - head}" width="100%" height="100%"/>',
    ]
    if options.title:
        lines.append(f'<text class="caption" x="0" y="-16">{escape(options.title)}</text>')
    return "\n".join([*lines, drawing(scene, positions, prefix), *below, "</svg>"])


def drawing(scene: Scene, positions: Layout, prefix: str) -> str:
    """Return what is drawn of a scene, from back to front: modules, arrows, their titles, boxes."""
    lines = ["<defs>"]
    for name in ("", "gradient"):
        lines.append(
            f'<marker id="{prefix}tip{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6.5" '
            f'markerHeight="6.5" orient="auto"><path class="tip {name}" d="M0 1L10 5L0 9z"/></marker>'
        )
    lines.append("</defs>")
    titles = []
    for group in scene.groups.values():
        x0, y0, x1, y1 = positions.groups[group.id]
        lines.append(
            f'<rect class="group" id="{prefix}{group.id}" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" '
            f'height="{y1 - y0:.1f}" rx="8"/>'
        )
        titles.append(
            f'<text class="heading" x="{x0 + 10:.1f}" y="{y0 + 15:.1f}">{escape(group.title)}</text>'
        )
    for k, link in enumerate(scene.links):
        path = _back(positions.paths[f"e{link.along}"]) if link.kind else _path(positions.paths[f"e{k}"])
        tip = f"{prefix}tip{link.kind}"
        kind = f"edge {link.kind}".strip()
        lines.append(f'<path class="{kind}" id="{prefix}e{k}" d="{path}" marker-end="url(#{tip})"/>')
    lines += titles
    for item in scene.items.values():
        x, y, w, h = positions.boxes[item.id]
        lines.append(_box(item, prefix, x, y, w, h))
    return "\n".join(lines)
