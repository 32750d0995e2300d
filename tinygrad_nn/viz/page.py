"""The interactive page: pictures at several levels of detail, what is known of every value, and the steps."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from tinygrad_nn.graph.ir import Graph
from tinygrad_nn.viz import export, svg
from tinygrad_nn.viz.dot import legend
from tinygrad_nn.viz.facts import Facts
from tinygrad_nn.viz.module_calls import Modules
from tinygrad_nn.viz.scene import Options, Scene, build
from tinygrad_nn.viz.theme import DARK, KINDS, LEGEND, LIGHT, rules

_MOST = 1000
"""Boxes on the most detailed level: beyond that, laying them out takes long, and nobody reads them."""


def page(graph: Graph, facts: Facts, options: Options, summary: str) -> str:
    """Return the whole page; it loads nothing, and its policy forbids that it could."""
    title = options.title or "Computation graph"
    scenes = levels(graph, facts, options)
    drawings, described = [], []
    for k, (name, scene) in enumerate(scenes):
        placed = svg.layout(scene, options)
        box = f"-14 -14 {placed.width + 28:.0f} {placed.height + 28:.0f}"
        drawings.append(
            f'<svg class="level" id="v{k}-" hidden viewBox="{box}" data-box="{box}" role="group" '
            f'aria-label="{escape(f"{title}, {name}")}">\n{svg.drawing(scene, placed, f"v{k}-")}\n</svg>'
        )
        described.append(
            {
                "name": name,
                "notes": scene.notes,
                "kinds": [*legend(scene), *(["gradient"] if any(link.kind for link in scene.links) else [])],
                "place": scene.place,
                "links": [[link.tail, link.head, link.kind] for link in scene.links],
                "items": {item.id: item.values for item in scene.items.values() if item.kind == "module"},
                "titles": {item.id: item.lines for item in scene.items.values() if item.kind == "module"},
            }
        )
    shown = next(k for k, (name, _) in enumerate(scenes) if name == _chosen(scenes, graph, facts, options))
    data = {
        "summary": summary,
        "outputs": list(graph.outputs),
        "values": export.details(graph, facts),
        "steps": export.story(facts),
        "levels": described,
        "level": shown,
        "theme": options.theme,
    }
    style, script = _style(), _asset("page.js")
    allowed = f"style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:"
    fields = {
        "POLICY": f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'",
        "TITLE": escape(title),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        "DRAWINGS": "\n".join(drawings),
        "LEGEND": "\n".join(svg.swatch(*entry) for entry in (*LEGEND.items(), ("gradient", "gradient flow"))),
        "TEXT": escape(graph.text(options.max_nodes)),
    }
    parts = _asset("page.html").split("@@")
    return "".join(fields[part] if k % 2 else part for k, part in enumerate(parts))


def levels(graph: Graph, facts: Facts, options: Options) -> list[tuple[str, Scene]]:
    """Return the pictures to choose from, from the coarsest to the finest, each with its name."""
    most = None if options.max_nodes is None else max(_MOST, options.max_nodes)
    plain = replace(options, grads=True, max_nodes=most)
    depths = range(Modules(graph).deepest)
    choices = [(f"modules, depth {depth}", replace(plain, depth=depth)) for depth in depths]
    choices.append(("all ops", replace(plain, depth=None)))
    if options.fold_repeats:
        choices.append(("all ops, repeats opened", replace(plain, depth=None, fold_repeats=False)))
    found: list[tuple[str, Scene]] = []
    for name, choice in choices:
        scene = build(graph, facts, choice)
        if not options.grads:
            for item in scene.items.values():
                item.gradient = item.gradient if item.value and item.gradient != "no grad" else ""
        lines = [item.lines for item in scene.items.values()]
        if found and lines == [item.lines for item in found[-1][1].items.values()]:
            continue
        found.append((name, scene))
    return found


def _chosen(scenes: list[tuple[str, Scene]], graph: Graph, facts: Facts, options: Options) -> str:
    """Return the name of the level that is closest to the picture that was asked for."""
    wanted = len(build(graph, facts, options).items)
    return min(scenes, key=lambda level: abs(len(level[1].items) - wanted))[0]


def without_steps(facts: Facts) -> Facts:
    """Return the facts without the story."""
    return replace(facts, steps=[])


@cache
def _asset(name: str) -> str:
    return files("tinygrad_nn.viz").joinpath("assets", name).read_text(encoding="utf-8").strip()


@cache
def _style() -> str:
    blocks = [_asset("page.css")]
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        own = f":root[data-theme={name}]"
        flat: dict[str, Any] = {key: value for key, value in colours.items() if key not in KINDS}
        flat |= {key: colours[key][1] for key in KINDS} | {f"{key}-fill": colours[key][0] for key in KINDS}
        variables = "".join(f"--{key}:{value};" for key, value in flat.items())
        blocks += [f"{own}{{color-scheme:{name};{variables}}}", rules(name, own)]
    return "\n".join(blocks)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
