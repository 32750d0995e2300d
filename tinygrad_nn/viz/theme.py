"""Colours and sizes of pictures, in one place: light and dark, told apart by shape before colour.

Text has a contrast of at least 7:1 on whatever it stands on (WCAG 2.2, level AAA); a test computes it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

LIGHT: dict[str, Any] = {
    "ground": "#ffffff",
    "text": "#111827",
    "muted": "#374151",
    "edge": "#64748b",
    "gradient": "#831843",
    "alert": "#7f1d1d",
    "group": "#94a3b8",
    "group-fill": "#f8fafc",
    "input": ("#dbeafe", "#1d4ed8"),
    "parameter": ("#fef3c7", "#b45309"),
    "constant": ("#f3f4f6", "#6b7280"),
    "state": ("#f3f4f6", "#6b7280"),
    "op": ("#ffffff", "#475569"),
    "output": ("#d1fae5", "#047857"),
    "module": ("#ede9fe", "#6d28d9"),
    "backward": ("#fdf2f8", "#be185d"),
    "update": ("#fff7ed", "#c2410c"),
    "error": ("#fef2f2", "#b91c1c"),
    "more": ("#ffffff", "#64748b"),
}
DARK: dict[str, Any] = {
    "ground": "#0f141b",
    "text": "#f1f5f9",
    "muted": "#cbd5e1",
    "edge": "#8493a8",
    "gradient": "#fbb6dc",
    "alert": "#fecaca",
    "group": "#55657c",
    "group-fill": "#141b25",
    "input": ("#12304f", "#60a5fa"),
    "parameter": ("#3d2c08", "#fbbf24"),
    "constant": ("#1f2937", "#9ca3af"),
    "state": ("#1f2937", "#9ca3af"),
    "op": ("#1b2533", "#cbd5e1"),
    "output": ("#063d2e", "#34d399"),
    "module": ("#2b2150", "#a78bfa"),
    "backward": ("#3a1028", "#f472b6"),
    "update": ("#3b1c0a", "#fb923c"),
    "error": ("#450a0a", "#f87171"),
    "more": ("#0f141b", "#8493a8"),
}
KINDS = tuple(name for name, value in LIGHT.items() if isinstance(value, tuple))
DASHED = ("constant", "state", "more", "backward", "update")
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
TITLE, LINE = 12.5, 11.0
LEGEND = {
    "input": "input",
    "parameter": "parameter",
    "constant": "constant",
    "state": "state",
    "op": "op",
    "output": "output",
    "module": "folded modules",
    "backward": "op of the backward pass",
    "update": "update, in place",
    "error": "failed",
    "more": "left out",
}

_NARROW, _WIDE = frozenset("iljI.,:;'|!()[]{} ·tfr-/"), frozenset("mwMW@%×=+…→‖")


@lru_cache(4096)
def width(text: str, size: float, weight: float = 1.0) -> float:
    """Return how wide a text is at most, in points: measured for the widest common font, DejaVu Sans."""
    return size * weight * sum(0.4 if c in _NARROW else 0.95 if c in _WIDE else 0.65 for c in text)


def rules(theme: str, prefix: str) -> str:
    """Return the style block of a picture: `prefix` keeps it from styling anything else."""
    head = f"{prefix} "
    shared = [
        f"{head}text{{font-family:{FONT};font-size:{LINE}px;text-anchor:middle}}",
        f"{head}.title{{font-size:{TITLE}px;font-weight:600}}",
        f"{head}.heading,{head}.note{{text-anchor:start}}{head}.heading{{font-weight:600}}",
        f"{head}.caption{{font-size:16px;font-weight:600;text-anchor:start}}",
        f"{head}.shape{{stroke-width:1.3}}{head}.dashed{{stroke-dasharray:5 3}}",
        f"{head}.edge{{fill:none;stroke-width:1.2}}{head}.edge.gradient{{stroke-dasharray:5 3}}",
        f"{head}.group{{stroke-dasharray:6 4;stroke-width:1}}",
        f"{head}.heading{{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}}",
    ]
    if theme != "auto":
        return "\n".join([*shared, *_colours(head, LIGHT if theme == "light" else DARK)])
    dark = "\n".join(_colours(head, DARK))
    return "\n".join([*shared, *_colours(head, LIGHT), f"@media (prefers-color-scheme:dark){{\n{dark}\n}}"])


def _colours(head: str, colours: dict[str, Any]) -> list[str]:
    c = colours
    lines = [
        f"{head}.ground{{fill:{c['ground']}}}{head}text{{fill:{c['muted']}}}",
        f"{head}.title,{head}.caption,{head}.value{{fill:{c['text']}}}",
        f"{head}.edge{{stroke:{c['edge']}}}{head}.tip{{fill:{c['edge']}}}",
        f"{head}.edge.gradient{{stroke:{c['gradient']}}}{head}.tip.gradient,{head}text.gradient{{fill:{c['gradient']}}}",
        f"{head}text.alert{{fill:{c['alert']};font-weight:600}}",
        f"{head}.group{{fill:{c['group-fill']};stroke:{c['group']}}}",
        f"{head}.heading{{fill:{c['muted']};stroke:{c['group-fill']}}}",
    ]
    for kind in KINDS:
        lines.append(f"{head}.{kind}>.shape{{fill:{c[kind][0]};stroke:{c[kind][1]}}}")
    lines.append(f"{head}.alerted>.shape{{stroke:{c['error'][1]};stroke-width:2.4}}")
    return lines
