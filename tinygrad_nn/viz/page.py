"""Fifth stage, the interactive page: scenes at several levels of detail, all facts, and the steps to walk through."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from functools import cache
from html import escape
from importlib.resources import files

from tinygrad_nn.graph.ir import Graph
from tinygrad_nn.languages import Language
from tinygrad_nn.viz import export, svg
from tinygrad_nn.viz.facts import Facts
from tinygrad_nn.viz.module_calls import ModuleCalls
from tinygrad_nn.viz.options import Options
from tinygrad_nn.viz.scene import Scene, build
from tinygrad_nn.viz.theme import DARK, LEGEND, LIGHT, css

# Boxes on the most detailed level: beyond that, laying them out takes long, and nobody reads them.
_MOST = 1000


def page(graph: Graph, facts: Facts, options: Options, summary: str, lang: Language) -> str:
    """Return the whole page; it loads nothing, and its policy forbids that it could."""
    title = options.title or "Computation graph"
    scenes = levels(graph, facts, options)
    drawings, descriptions = [], []
    for k, (name, scene) in enumerate(scenes):
        positions = svg.layout(scene, options)
        box = f"-14 -14 {positions.width + 28:.0f} {positions.height + 28:.0f}"
        modules = [item for item in scene.items.values() if item.kind == "module"]
        drawings.append(
            f'<svg class="level" id="v{k}-" hidden viewBox="{box}" data-box="{box}" role="group" '
            f'aria-label="{escape(f"{title}, {name}")}">\n{svg.drawing(scene, positions, f"v{k}-")}\n</svg>'
        )
        descriptions.append(
            {
                "name": name,
                "notes": scene.notes,
                "kinds": list(scene.legend()),
                "place": scene.place,
                "links": [[link.tail, link.head, link.kind] for link in scene.links],
                "items": {item.id: item.values for item in modules},
                "titles": {item.id: item.lines for item in modules},
            }
        )
    # The page opens on the level that is closest to the picture that was asked for.
    wanted = len(build(graph, facts, options).items)
    distances = [abs(len(scene.items) - wanted) for _, scene in scenes]
    data = {
        "summary": summary,
        "outputs": list(graph.outputs),
        "values": export.details(graph, facts, lang),
        "steps": export.steps(facts, lang),
        "levels": descriptions,
        "level": distances.index(min(distances)),
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
        "LEGEND": "\n".join(svg.swatch(*entry) for entry in LEGEND.items()),
        "TEXT": escape(graph.text(options.max_nodes)),
    }
    parts = _asset("page.html").split("@@")
    return "".join(fields[part] if k % 2 else part for k, part in enumerate(parts))


def levels(graph: Graph, facts: Facts, options: Options) -> list[tuple[str, Scene]]:
    """Return the pictures to choose from, from the coarsest to the finest, each with its name."""
    most = None if options.max_nodes is None else max(_MOST, options.max_nodes)
    plain = replace(options, grads=True, max_nodes=most)
    depths = range(ModuleCalls(graph).deepest)
    choices = [(f"modules, depth {depth}", replace(plain, depth=depth)) for depth in depths]
    choices.append(("all ops", replace(plain, depth=None)))
    if options.fold_repeats:
        choices.append(("all ops, repeats opened", replace(plain, depth=None, fold_repeats=False)))
    scenes: list[tuple[str, Scene]] = []
    for name, choice in choices:
        scene = build(graph, facts, choice)
        if not options.grads:
            for item in scene.items.values():
                item.gradient = item.gradient if item.value and item.gradient != "no grad" else ""
        if not scenes or _lines(scene) != _lines(scenes[-1][1]):
            scenes.append((name, scene))
    return scenes


def _lines(scene: Scene) -> list[list[str]]:
    return [item.lines for item in scene.items.values()]


@cache
def _asset(name: str) -> str:
    return files("tinygrad_nn.viz").joinpath("assets", name).read_text(encoding="utf-8").strip()


@cache
def _style() -> str:
    blocks = [_asset("page.css")]
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        root = f":root[data-theme={name}]"
        variables = "".join(f"--{key}:{value};" for key, value in colours.items())
        blocks += [f"{root}{{color-scheme:{name};{variables}}}", css(name, root)]
    return "\n".join(blocks)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
