"""From a sheet to SVG: lines between neurons, neurons, boxes, and what is written at them."""

from __future__ import annotations

import math
from html import escape

from tinygrad_nn.viz.network.images import href
from tinygrad_nn.viz.network.layers import Column
from tinygrad_nn.viz.network.painting import Look, Painter, share_text
from tinygrad_nn.viz.network.sheet import PITCH, RADIUS, Place, Sheet, fitted, wrapped
from tinygrad_nn.viz.options import Theme
from tinygrad_nn.viz.theme import DARK, LIGHT, LINE, TITLE, css, width

_MARGIN = 16.0
# What is written above a column: its lines, and room below them.
_ROW, _ABOVE = 15.5, 12.0
COLOURS = {
    "light": {"pos": "#f4a259", "neg": "#7fb3e6", "pos-line": "#c2410c", "neg-line": "#1d4ed8"},
    "dark": {"pos": "#7c3a08", "neg": "#1b4f8f", "pos-line": "#fb923c", "neg-line": "#60a5fa"},
}
"""Orange above zero and blue below, which all eyes tell apart; below zero is dashed too, for pictures in grey."""
_PAGE = {name: f"var(--{name})" for name in (*COLOURS["light"], "edge")}


def styles(theme: str, prefix: str) -> str:
    """Return the style sheet of the view in a theme, or of the page: that of pictures of graphs, and its own."""
    head = f"{prefix} "
    shared = [
        css(theme, prefix),
        f"{head}.wires path{{fill:none}}{head}.wires .neg,{head}.neg>.fill{{stroke-dasharray:4 3}}",
        f"{head}.value{{font-size:{LINE}px}}{head}.index{{text-anchor:start}}",
        f"{head}.wires.later{{opacity:.28}}{head}.later .value{{visibility:hidden}}",
        f"{head}.fill{{stroke-width:1.3}}{head}.now .fill{{stroke-width:2.2}}",
    ]
    light, dark = COLOURS["light"] | {"edge": LIGHT["edge"]}, COLOURS["dark"] | {"edge": DARK["edge"]}
    if theme != "auto":
        return "\n".join([*shared, *_fills(head, {"light": light, "dark": dark, "page": _PAGE}[theme])])
    inside = "\n".join(_fills(head, dark))
    return "\n".join([*shared, *_fills(head, light), f"@media (prefers-color-scheme:dark){{\n{inside}\n}}"])


def _fills(head: str, colours: dict[str, str]) -> list[str]:
    lines = [f"{head}.fill{{fill:none;stroke:{colours['edge']}}}"]
    for sign in ("pos", "neg"):
        line = colours[f"{sign}-line"]
        lines.append(f"{head}.{sign}>.fill{{fill:{colours[sign]};stroke:{line}}}")
        lines.append(f"{head}.wires .{sign}{{stroke:{line}}}")
    return lines


def svg(sheet: Sheet, theme: Theme, prefix: str, step: int, example: int, summary: str) -> str:
    """Return a step of the walk as one SVG file with title, legend and notes."""
    title = sheet.choices.title
    left, top, wide, high = frame(sheet)
    below, room, end = _legend(sheet, step, left, top + high + 18, max(wide, 420.0))
    for note in sheet.notes():
        end += 17
        below.append(f'<text class="note" x="{left:.1f}" y="{end:.1f}">{escape(note)}</text>')
        room = max(room, width(note, LINE))
    caption = 26.0 if title else 0.0
    x, y = left - _MARGIN, top - caption - _MARGIN
    w, h = max(wide, room) + 2 * _MARGIN, end + _MARGIN - y
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{prefix}" role="img" '
        f'aria-labelledby="{prefix}title {prefix}desc" width="{w:.0f}" height="{h:.0f}" '
        f'viewBox="{x:.1f} {y:.1f} {w:.0f} {h:.0f}">',
        f'<title id="{prefix}title">{escape(title or sheet.say("title"))}</title>'
        f'<desc id="{prefix}desc">{escape(summary)}</desc>',
        f"<style>\n{styles(theme, f'#{prefix}')}\n</style>",
        f'<rect class="ground" x="{x:.1f}" y="{y:.1f}" width="100%" height="100%"/>',
    ]
    if title:
        lines.append(f'<text class="caption" x="{left:.1f}" y="{top - 12:.1f}">{escape(title)}</text>')
    return "\n".join([*lines, drawing(sheet, prefix, step, example), *below, "</svg>"])


def frame(sheet: Sheet) -> tuple[float, float, float, float]:
    """Return left, top, width and height of what `drawing` draws."""
    places = sheet.places
    boxes = ("box", "loss")
    head = max((_ROW * (1 + len(p.lines)) + _ABOVE for p in places if p.kind not in boxes), default=0.0)
    left = min(p.x - p.room / 2 for p in places)
    right = max(p.x + p.room / 2 for p in places)
    # The number of a neuron stands at its upper right.
    return left, -head, right - left + 12, head + 2 * sheet.middle


def drawing(sheet: Sheet, prefix: str, step: int, example: int) -> str:
    """Return what is drawn of a network at a step: the lines first, so that they go below."""
    painter = Painter(sheet, step, example)
    lines = [_wires(painter, k, prefix) for k in range(1, len(sheet.places))]
    lines += [_place(painter, k, prefix) for k in range(len(sheet.places))]
    return "\n".join(lines)


def _wires(painter: Painter, k: int, prefix: str) -> str:
    """Return the lines that lead to a place."""
    before, place = painter.sheet.places[k - 1 : k + 1]
    classes = f"wires {painter.state(k)}".strip()
    head = f'<g class="{classes}" id="{prefix}w{k}">'
    if before.kind == "neurons" and place.kind == "neurons" and _is_product(place):
        ends = [(a, b) for b in place.ys for a in before.ys]
        wires = [
            _wire(one, before.x + RADIUS, a, place.x - RADIUS, b)
            for one, (a, b) in zip(painter.wires(k), ends, strict=True)
        ]
        return "".join([head, *wires, "</g>"])
    x0, x1 = before.x + before.wide / 2, place.x - place.wide / 2
    ys = before.ys or place.ys or [painter.sheet.middle]
    paths = [
        f"M{x0:.1f} {_side(painter.sheet, before, y):.1f}L{x1:.1f} {_side(painter.sheet, place, y):.1f}"
        for y in ys
    ]
    return f'{head}<path class="edge" d="{"".join(paths)}"/></g>'


def _side(sheet: Sheet, place: Place, y: float) -> float:
    """Return where a line at a height meets the side of a place: at its neurons, or within a box."""
    reach = math.inf if place.ys else place.high / 2 - 8
    return min(max(y, sheet.middle - reach), sheet.middle + reach)


def _is_product(place: Place) -> bool:
    return isinstance(place.stage, Column) and place.stage.weight is not None


def _wire(one: Look, x0: float, y0: float, x1: float, y1: float) -> str:
    sign = f' class="{one.sign}"' if one.sign else ""
    size, share = share_text(0.4 + 4.1 * one.strength), share_text(0.15 + 0.85 * one.strength)
    d = f"M{x0:.0f} {y0:.0f}L{x1:.0f} {y1:.0f}"
    return f'<path{sign} d="{d}" stroke-width="{size}" stroke-opacity="{share}"/>'


def _place(painter: Painter, k: int, prefix: str) -> str:
    place, state = painter.sheet.places[k], painter.state(k)
    if place.kind in ("box", "loss"):
        return _box(painter.sheet, place, state, f"{prefix}p{k}")
    parts = [f'<g id="{prefix}p{k}" class="{f"column {state}".strip()}">', _head(place)]
    if place.kind == "image":
        parts.append(_image(painter, place))
    else:
        looks = painter.neurons(k)
        circles = zip(place.shown, place.ys, looks, strict=True)
        parts += [_neuron(place, n, y, one, f"{prefix}p{k}n{i}") for i, (n, y, one) in enumerate(circles)]
    if place.left:
        y = place.ys[place.lead - 1] + PITCH
        more = painter.sheet.say("more", n=place.left)
        parts.append(f'<text x="{place.x:.1f}" y="{y - 3:.1f}">⋮</text>')
        parts.append(f'<text x="{place.x:.1f}" y="{y + 12:.1f}">{escape(more)}</text>')
    return "".join([*parts, "</g>"])


def _head(place: Place) -> str:
    """Return what stands above a column."""
    top = -_ABOVE - _ROW * len(place.lines)
    title = fitted(place.title, TITLE * 1.08)
    whole = "" if title == place.title else f"<title>{escape(place.title)}</title>"
    rows = [f'<text class="title" x="{place.x:.1f}" y="{top:.1f}">{whole}{escape(title)}</text>']
    for n, text in enumerate(place.lines, 1):
        rows.append(f'<text x="{place.x:.1f}" y="{top + n * _ROW:.1f}">{escape(fitted(text, LINE))}</text>')
    return "".join(rows)


def _neuron(place: Place, n: int, y: float, one: Look, name: str) -> str:
    x, share = place.x, share_text((0.1 + 0.9 * one.strength) if one.sign else 0)
    return (
        f'<g id="{name}" class="{f"neuron {one.sign}".strip()}">'
        f'<circle class="fill" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS:.0f}" fill-opacity="{share}"/>'
        f'<text class="value" x="{x:.1f}" y="{y + 4:.1f}">{escape(one.text)}</text>'
        f'<text class="index" x="{x + 15:.1f}" y="{y - 14:.1f}">{n}</text></g>'
    )


def _image(painter: Painter, place: Place) -> str:
    column = place.stage
    assert isinstance(column, Column)
    assert place.image is not None
    graded = "graded" in painter.state(painter.sheet.places.index(place))
    array = column.to_before if graded and column.to_before is not None else column.values
    x, y = place.x - place.wide / 2, painter.sheet.middle - place.high / 2
    box = f'x="{x:.1f}" y="{y:.1f}" width="{place.wide:.1f}" height="{place.high:.1f}"'
    picture = href(array[painter.example].reshape(place.image), signed=graded)
    return (
        f'<image {box} preserveAspectRatio="none" image-rendering="pixelated" href="{picture}"/>'
        f'<rect class="fill" {box}/>'
    )


def _box(sheet: Sheet, place: Place, state: str, name: str) -> str:
    kind = "output" if place.kind == "loss" else "module"
    x, y = place.x - place.wide / 2, sheet.middle - place.high / 2
    parts = [
        f'<g id="{name}" class="{f"{kind} {state}".strip()}"><rect class="shape" x="{x:.1f}" y="{y:.1f}" '
        f'width="{place.wide:.1f}" height="{place.high:.1f}" rx="4"/>'
    ]
    title = wrapped(place.title)
    top = sheet.middle - 1.4 * LINE * (len(title) + len(place.lines) - 1) / 2 + 4
    for n, text in enumerate([*title, *place.lines]):
        style = "title" if n < len(title) else "value"
        parts.append(
            f'<text class="{style}" x="{place.x:.1f}" y="{top + 1.4 * LINE * n:.1f}">{escape(text)}</text>'
        )
    return "".join([*parts, "</g>"])


def _legend(sheet: Sheet, step: int, left: float, top: float, room: float) -> tuple[list[str], float, float]:
    """Return the rows of the legend, the width they take, and where they end."""
    parts: list[str] = []
    x, y, widest = left, top, 0.0
    for sample, text in legend(sheet, step):
        wide = 40 + width(text, LINE) + 14
        if x > left and x + wide > left + room:
            x, y = left, y + 22
        parts.append(f'<g transform="translate({x:.1f} {y:.1f})">{sample}</g>')
        parts.append(f'<text class="note" x="{x + 36:.1f}" y="{y + 4:.1f}">{escape(text)}</text>')
        x += wide
        widest = max(widest, x - left)
    return parts, widest, y + 10


def legend(sheet: Sheet, step: int = 0) -> list[tuple[str, str]]:
    """Return samples of what is drawn, around (15, 0), with what they mean at a step."""
    back = bool(step) and sheet.steps[step - 1].phase == "backward"
    what = "gradient" if back else "weight"
    rows = []
    for sign, name in (("pos", "positive"), ("neg", "negative")):
        circle = '<circle class="fill" cx="15" cy="0" r="8" fill-opacity="0.8"/>'
        rows.append((f'<g class="{sign}">{circle}</g>', sheet.say(name)))
    for sign, name in (("pos", "positive"), ("neg", "negative")):
        line = f'<path class="{sign}" d="M0 0H30" stroke-width="3"/>'
        rows.append((f'<g class="wires">{line}</g>', sheet.say(f"{name} {what}")))
    thin = '<path class="pos" d="M0 -4H30" stroke-width="1" stroke-opacity="0.4"/>'
    thick = '<path class="pos" d="M0 3H30" stroke-width="4"/>'
    rows.append((f'<g class="wires">{thin}{thick}</g>', sheet.say("stronger")))
    return rows
