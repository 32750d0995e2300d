"""Fifth stage, from a scene and its layout to SVG: all that is seen is drawn here."""

from __future__ import annotations

import math
from html import escape

from tinygrad_nn.viz.layout import Box, Layout, Point, fitted, strip
from tinygrad_nn.viz.options import Options
from tinygrad_nn.viz.scene import Item, Scene
from tinygrad_nn.viz.theme import KINDS, LINE, css, font, width
from tinygrad_nn.viz.wording import said

_MARGIN, _GAP = 14.0, 6.0


# Files are read on a page or a slide: room in points, for which long pictures are laid in rows.
_ROOM = (1200.0, 900.0)


def _path(spots: list[Point]) -> str:
    first, *curves = [f"{x:.1f} {y:.1f}" for x, y in spots]
    return f"M{first}C{' '.join(curves)}"


def _back(spots: list[Point]) -> str:
    """Return the path that runs back beside another, on its right-hand side."""
    (x0, y0), (x1, y1) = spots[0], spots[1]
    length = max(math.hypot(x1 - x0, y1 - y0), 1e-9)
    aside = (_GAP * (y1 - y0) / length, -_GAP * (x1 - x0) / length)
    return _path([(x + aside[0], y + aside[1]) for x, y in reversed(spots)])


def _shape(kind: str, w: float, h: float) -> str:
    """Return the outline of a box of a kind, around the origin."""
    shape = KINDS[kind].shape
    styles = "shape dashed" if "dashed" in shape else "shape"
    if "ellipse" in shape:
        return f'<ellipse class="{styles}" rx="{w / 2:.1f}" ry="{h / 2:.1f}"/>'
    left, top = -w / 2, -h / 2
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


def box(item: Item, prefix: str, place: Box, hidden: str = "") -> str:
    """Return a box with its lines, moved to its place."""
    x, y, w, h = place
    kinds = f"node {item.drawn_as}" + " alerted" * bool(item.alert) + " hot" * item.hot
    parts = [f'<g id="{prefix}{item.id}" class="{kinds}" transform="translate({x:.1f} {y:.1f})"{hidden}>']
    if item.tooltip:
        parts.append(f"<title>{escape(item.tooltip)}</title>")
    parts.append(_shape(item.drawn_as, w, h))
    rows = item.rows()
    baseline = -1.28 * sum(font(role)[0] for role, _ in rows) / 2
    for role, text in rows:
        size, _ = font(role)
        baseline += 1.28 * size
        style = f' class="{role}"' if role else ""
        parts.append(f'<text{style} y="{baseline - 0.32 * size:.1f}">{escape(text)}</text>')
    return "".join([*parts, "</g>"])


def _sample(kind: str, x: float, y: float) -> str:
    """Return a small box, or arrow, of a kind for the legend."""
    if kind == "gradient":
        return f'<path class="edge gradient" d="M{x:.1f} {y}h26"/>'
    return f'<g class="{kind}" transform="translate({x + 13:.1f} {y})">{_shape(kind, 26, 15)}</g>'


def swatch(kind: str, text: str, *, shown: bool) -> str:
    """Return an entry of the legend as HTML."""
    sample = f'<svg class="drawn" viewBox="-1 -1 28 18" aria-hidden="true">{_sample(kind, 0, 8)}</svg>'
    return f'<li data-kind="{kind}"{"" if shown else " hidden"}>{sample} {escape(text)}</li>'


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
    positions = fitted(strip(scene, options), options.direction, _ROOM)
    room = max(positions.width, 460.0)
    head = 30.0 if options.title else 0.0
    below, widest, end = _legend(scene, positions.height + 28, room)
    for note in scene.notes:
        end += 17
        below.append(f'<text class="note" x="0" y="{end - 4:.1f}">{escape(note)}</text>')
        widest = max(widest, width(note, LINE))
    wide = max(positions.width, widest) + 2 * _MARGIN
    high = end + head + 2 * _MARGIN - 6
    name = options.title or said("title", options.lang)
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
            f'<marker id="{prefix}tip{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
            f'markerUnits="userSpaceOnUse" orient="auto"><path class="tip {name}" d="M0 1L10 5L0 9z"/></marker>'
        )
    lines.append("</defs>")
    titles = []
    for group in scene.groups.values():
        frames, plates = zip(
            *(_frame(group.title, k, part) for k, part in enumerate(positions.groups[group.id])), strict=True
        )
        lines.append(f'<g id="{prefix}{group.id}">{"".join(frames)}</g>')
        titles.append(f'<g id="{prefix}{group.id}-title" class="heading">{"".join(plates)}</g>')
    for k, link in enumerate(scene.links):
        path = _back(positions.paths[f"e{link.along}"]) if link.kind else _path(positions.paths[f"e{k}"])
        tip = f"{prefix}tip{link.kind}"
        kind = f"edge {link.kind}".strip()
        lines.append(f'<path class="{kind}" id="{prefix}e{k}" d="{path}" marker-end="url(#{tip})"/>')
    lines += titles
    for item in scene.items.values():
        lines.append(box(item, prefix, positions.boxes[item.id]))
    return "\n".join(lines)


def heading(text: str) -> float:
    """Return how wide the title of a frame is."""
    return width(text, LINE, 1.08) + 8


def _frame(title: str, row: int, part: Box) -> tuple[str, str]:
    """Return a part of a frame, and its title, on a plate that keeps arrows from running through it."""
    x0, y0, x1, y1 = part
    text = f"… {title}" if row else title
    frame = (
        f'<rect class="group" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" rx="8"/>'
    )
    at, wide = f'x="{x0 + 6:.1f}" y="{y0 + 4:.1f}"', heading(text)
    plate = f'<rect class="plate" {at} width="{wide:.1f}" height="15" rx="3"/>'
    return frame, f'{plate}<text x="{x0 + 10:.1f}" y="{y0 + 15:.1f}">{escape(text)}</text>'
