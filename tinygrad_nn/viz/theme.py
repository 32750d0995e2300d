"""Shapes, colours and sizes of pictures, in one place; shape comes before colour.

Text has a contrast of at least 7:1 on whatever it stands on (WCAG 2.2, level AAA); a test computes it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Kind(NamedTuple):
    """How boxes of one kind are drawn: what the legend says, the shape, and the colours in both themes."""

    text: str
    shape: str
    fill: str
    stroke: str
    dark_fill: str
    dark_stroke: str


KINDS = {
    "input": Kind("input", "box", "#dbeafe", "#1d4ed8", "#12304f", "#60a5fa"),
    "parameter": Kind("parameter", "rounded box", "#fef3c7", "#b45309", "#3d2c08", "#fbbf24"),
    "constant": Kind("constant", "dashed box", "#f3f4f6", "#6b7280", "#1f2937", "#9ca3af"),
    "state": Kind("state", "dashed box", "#f3f4f6", "#6b7280", "#1f2937", "#9ca3af"),
    "op": Kind("op", "ellipse", "#ffffff", "#475569", "#1b2533", "#cbd5e1"),
    "output": Kind("output", "double box", "#d1fae5", "#047857", "#063d2e", "#34d399"),
    "module": Kind("folded modules", "3-D box", "#ede9fe", "#6d28d9", "#2b2150", "#a78bfa"),
    "backward": Kind("op of the backward pass", "dashed ellipse", "#fdf2f8", "#be185d", "#3a1028", "#f472b6"),
    "update": Kind("update, in place", "dashed ellipse", "#fff7ed", "#c2410c", "#3b1c0a", "#fb923c"),
    "error": Kind("failed", "box", "#fef2f2", "#b91c1c", "#450a0a", "#f87171"),
    "more": Kind("left out", "plain dashed box", "#ffffff", "#64748b", "#0f141b", "#8493a8"),
}
"""One row per kind of box, in the order of the legend."""

_COLOURS = {
    "ground": ("#ffffff", "#0f141b"),
    "text": ("#111827", "#f1f5f9"),
    "muted": ("#374151", "#cbd5e1"),
    "edge": ("#64748b", "#8493a8"),
    "gradient": ("#831843", "#fbb6dc"),
    "alert": ("#7f1d1d", "#fecaca"),
    "group": ("#94a3b8", "#55657c"),
    "group-fill": ("#f8fafc", "#141b25"),
    "hot-fill": ("#fde4c8", "#4a2408"),
}
LIGHT = (
    {name: light for name, (light, _) in _COLOURS.items()}
    | {name: kind.stroke for name, kind in KINDS.items()}
    | {f"{name}-fill": kind.fill for name, kind in KINDS.items()}
)
DARK = (
    {name: dark for name, (_, dark) in _COLOURS.items()}
    | {name: kind.dark_stroke for name, kind in KINDS.items()}
    | {f"{name}-fill": kind.dark_fill for name, kind in KINDS.items()}
)
# The page has the colours of both as variables, and says which it shows.
_THEMES = {"light": LIGHT, "dark": DARK, "page": {name: f"var(--{name})" for name in LIGHT}}
LEGEND = {name: kind.text for name, kind in KINDS.items()} | {"gradient": "gradient flow"}
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
# Sizes of the first line of a box, and of all others, in points.
TITLE, LINE = 12.5, 11.0

_NARROW, _WIDE = frozenset("iljI.,:;'|!()[]{} ·tfr-/"), frozenset("mwMW@%×=+…→‖")


@lru_cache(4096)
def width(text: str, size: float, weight: float = 1.0) -> float:
    """Return how wide a text is at most, in points: measured for the widest common font, DejaVu Sans."""
    return size * weight * sum(_share(c) for c in text)


def _share(character: str) -> float:
    # From here on stand the letters of East Asia, which are squares.
    if character >= "\u2e80":
        return 1.0
    return 0.4 if character in _NARROW else 0.95 if character in _WIDE else 0.65


def font(role: str) -> tuple[float, float]:
    """Return size and weight of a line of a box."""
    return (TITLE, 1.08) if role == "title" else (LINE, 1.0)


def css(theme: str, prefix: str) -> str:
    """Return the style sheet of a picture in a theme, or of the page: `prefix` keeps it from styling anything else."""
    head = f"{prefix} "
    shared = [
        f"{head}text{{font-family:{FONT};font-size:{LINE}px;text-anchor:middle}}",
        f"{head}.title{{font-size:{TITLE}px;font-weight:600}}",
        f"{head}.heading text,{head}.note{{text-anchor:start}}{head}.heading text{{font-weight:600}}",
        f"{head}.caption{{font-size:16px;font-weight:600;text-anchor:start}}",
        f"{head}.shape{{stroke-width:1.3}}{head}.dashed{{stroke-dasharray:5 3}}",
        f"{head}.edge{{fill:none;stroke-width:1.2}}{head}.edge.gradient{{stroke-dasharray:5 3}}",
        f"{head}.group{{stroke-dasharray:6 4;stroke-width:1}}",
    ]
    if theme in _THEMES:
        return "\n".join([*shared, *_colours(head, _THEMES[theme])])
    dark = "\n".join(_colours(head, DARK))
    return "\n".join([*shared, *_colours(head, LIGHT), f"@media (prefers-color-scheme:dark){{\n{dark}\n}}"])


def _colours(head: str, c: dict[str, str]) -> list[str]:
    lines = [
        f"{head}.ground{{fill:{c['ground']}}}{head}text{{fill:{c['muted']}}}",
        f"{head}.title,{head}.caption,{head}.value{{fill:{c['text']}}}",
        f"{head}.edge{{stroke:{c['edge']}}}{head}.tip{{fill:{c['edge']}}}",
        f"{head}.edge.gradient{{stroke:{c['gradient']}}}{head}.tip.gradient,{head}text.gradient{{fill:{c['gradient']}}}",
        f"{head}text.alert{{fill:{c['alert']};font-weight:600}}",
        f"{head}.group{{fill:{c['group-fill']};stroke:{c['group']}}}",
        f"{head}.plate{{fill:{c['group-fill']}}}",
    ]
    for kind in KINDS:
        lines.append(f"{head}.{kind}>.shape{{fill:{c[f'{kind}-fill']};stroke:{c[kind]}}}")
    lines.append(f"{head}.hot>.shape{{fill:{c['hot-fill']}}}")
    lines.append(f"{head}.alerted>.shape{{stroke:{c['error']};stroke-width:2.4}}")
    return lines
