"""Fifth stage, the interactive page: scenes at several levels of detail, all facts, and the steps to walk through."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

from tinygrad_nn.graph.ir import Graph
from tinygrad_nn.viz import export, svg, whatif
from tinygrad_nn.viz.document import document, variables
from tinygrad_nn.viz.dot import extent
from tinygrad_nn.viz.entries import number
from tinygrad_nn.viz.facts import Facts
from tinygrad_nn.viz.layout import Layout, fitted, strip
from tinygrad_nn.viz.lines import listings
from tinygrad_nn.viz.looks import Look
from tinygrad_nn.viz.module_calls import ModuleCalls
from tinygrad_nn.viz.options import Direction, Options
from tinygrad_nn.viz.scene import Scene, build
from tinygrad_nn.viz.story import words
from tinygrad_nn.viz.theme import DARK, LEGEND, LIGHT, css
from tinygrad_nn.viz.units import Unit, closed, frame_units, units
from tinygrad_nn.viz.wording import CONTROLS, PAGE, SCRIPT, said

# Boxes of the picture with everything opened: beyond that, laying it out takes long, and nobody reads it; and those up
# to which it is laid out both ways, for windows that are high.
_MOST, _BOTH_WAYS = 1000, 300
# The script in parts, in the order in which they run: what pages share, what is told of a step, and in detail, arrays
# as small pictures, where things are, what is in the window, files of it, what starts it all.
_SCRIPTS = [
    f"{name}.js" for name in ["common", "page", "captions", "looks", "rows", "view", "saving", "controls"]
]
_WHATIF = ("numbers.js", "words.js", "whatif.js")
_Told = dict[str, Any]
_STYLES = ("page.css", "captions.css")
# Room in points for what is seen without the script.
_ROOM = (1000.0, 800.0)
_PREFIX = "v-"
ASSETS = "viz/assets"
"""Where the files of pages are in the package."""


def page(graph: Graph, facts: Facts, options: Options, summary: str) -> str:
    """Return the whole page; it loads nothing, and its policy forbids that it could."""
    lang = options.lang
    title = options.title or said("title", lang)
    scenes = levels(graph, facts, options)
    whole = max((scene for _, scene in scenes), key=lambda scene: len(scene.items))
    by_depth = [scene for _, scene in levels(graph, facts, replace(options, fold_repeats=False))]
    modules = units(whole, [*by_depth, *(scene for _, scene in scenes)])
    ways = {options.direction: strip(whole, options)}
    if options.direction == "LR" and len(whole.items) <= _BOTH_WAYS:
        ways["TB"] = strip(whole, replace(options, direction="TB"))
    # The page opens on the level that is closest to the picture that was asked for.
    wanted = len(build(graph, facts, options).items)
    distances = [abs(len(scene.items) - wanted) for _, scene in scenes]
    spoken = {**SCRIPT, **{name: CONTROLS[name] for name in ("play", "pause", "dark", "light", "overview")}}
    data = {
        "outputs": list(graph.outputs),
        **_told_once(export.details(graph, facts, lang), export.steps(facts, lang)),
        "looks": _looks(facts.looks),
        "gradient_looks": _looks(facts.gradient_looks),
        "code": listings(graph),
        "words": {name: texts[lang] for name, texts in spoken.items()} | words(lang),
        "levels": [
            {"name": name, "closed": closed(whole, modules, scene), "notes": scene.notes}
            for name, scene in scenes
        ],
        "level": distances.index(min(distances)),
        "theme": options.theme,
        **_places(whole, modules, ways),
    }
    positions = fitted(ways[options.direction], options.direction, _ROOM)
    boxes = [svg.box(unit.item, _PREFIX, (0.0, 0.0, *extent(unit.item)), " hidden") for unit in modules]
    drawing = "\n".join([svg.drawing(whole, positions, _PREFIX), *boxes])
    wide, high = round(positions.width) + 28, round(positions.height) + 28
    styles, scripts = list(_STYLES), list(_SCRIPTS)
    trial = whatif.program(graph, facts, lang)
    if trial is not None:
        data["whatif"] = trial
        styles.append("whatif.css")
        scripts += _WHATIF
    fields = {
        "LANG": lang,
        "TITLE": escape(title),
        "SUMMARY": escape(summary),
        "DRAWING": f'<svg class="level drawn" id="{_PREFIX}" width="{wide}" height="{high}" '
        f'viewBox="-14 -14 {wide} {high}" role="group" '
        f'aria-label="{escape(title)}">\n{drawing}\n</svg>',
        "LEGEND": _legend(whole),
        "TEXT": escape(graph.text(options.max_nodes)),
    }
    fields |= {name: escape(texts[lang]) for name, texts in {**CONTROLS, **PAGE}.items()}
    colours = css("page", ".drawn") + "\n" + variables(LIGHT, DARK)
    return document(ASSETS, "page.html", fields, styles=styles, css=colours, scripts=scripts, data=data)


def _legend(whole: Scene) -> str:
    """Return the legend of a picture as HTML, with that of closed modules, which is hidden while there are none."""
    there = whole.legend()
    kinds = [kind for kind in LEGEND if kind in there or kind == "module"]
    return "\n".join(
        svg.swatch(kind, said(f"kind {kind}", whole.lang), shown=kind in there) for kind in kinds
    )


def _places(whole: Scene, modules: list[Unit], ways: Mapping[Direction, Layout]) -> dict[str, object]:
    """Return what the script needs to know of the picture, in order to move its boxes."""
    around: dict[str, list[str]] = {}
    for unit in sorted(modules, key=lambda unit: -len(unit.inside)):
        for name in unit.inside:
            around.setdefault(name, []).append(unit.item.id)
    sizes = {name: (w, h) for long in ways.values() for name, (_, _, w, h) in long.boxes.items()}
    sizes |= {unit.item.id: extent(unit.item) for unit in modules}
    closing = frame_units(whole, modules)
    return {
        "place": whole.place,
        "links": [[link.tail, link.head, link.kind, link.along] for link in whole.links],
        "sizes": {name: [round(side, 1) for side in size] for name, size in sizes.items()},
        "strips": {way: _rounded(long, len(whole.links)) for way, long in ways.items()},
        "around": around,
        "units": {unit.item.id: {"items": unit.inside, "groups": unit.frames} for unit in modules},
        "groups": {
            group.id: {
                "title": group.title,
                "wide": svg.heading(group.title),
                "unit": closing.get(group.id, ""),
            }
            for group in whole.groups.values()
        },
        "folded": {
            item.id: {"values": item.values, "lines": item.lines}
            for item in (*whole.items.values(), *(unit.item for unit in modules))
            if item.kind == "module"
        },
    }


def _told_once(values: list[_Told], steps: list[_Told]) -> dict[str, object]:
    """Return values and steps without what a script knows.

    Where nothing was there before, what arrives is what is there now, and the last sum is the gradient of the value.
    """
    last: dict[int, str] = {}
    for step in steps:
        for arrival in step["arrivals"]:
            if not arrival["before"]:
                del arrival["before"], arrival["added"]
            last[arrival["to"]] = arrival["total"]
    for index, total in last.items():
        if values[index].get("gradient") == total:
            del values[index]["gradient"]
    return {"values": values, "steps": steps}


def _looks(looks: Mapping[int, Look]) -> dict[int, dict[str, object]]:
    """Return small pictures of arrays for the script, with numbers as texts."""
    return {
        k: {
            "cells": _in_runs(seen.cells),
            "columns": seen.columns,
            "ends": [number(-seen.most), number(seen.most)],
            "bars": seen.bars,
            "span": [number(seen.low), number(seen.high)],
        }
        | ({"images": [_in_runs(image) for image in seen.images], "wide": seen.wide} if seen.images else {})
        for k, seen in looks.items()
    }


def _in_runs(cells: str) -> str:
    """Return levels with a count for those that repeat, as "A{28}": much of an image is of one colour."""
    return re.sub(r"(.)\1{4,}", lambda run: f"{run[1]}{{{len(run[0])}}}", cells)


def _rounded(long: Layout, links: int) -> dict[str, object]:
    """Return a strip for the script: its size, boxes, frames, and the path of each arrow as one list of numbers."""
    paths = [long.paths.get(f"e{k}", []) for k in range(links)]
    return {
        "size": [round(long.width), round(long.height)],
        "boxes": {name: [round(x, 1), round(y, 1)] for name, (x, y, _, _) in long.boxes.items()},
        "groups": {name: [round(x, 1) for x in parts[0]] for name, parts in long.groups.items()},
        "paths": [[round(x) for point in path for x in point] for path in paths],
    }


def levels(graph: Graph, facts: Facts, options: Options) -> list[tuple[str, Scene]]:
    """Return the pictures to choose from, from the coarsest to the finest, each with its name."""
    most = None if options.max_nodes is None else max(_MOST, options.max_nodes)
    plain = replace(options, grads=True, max_nodes=most)
    depths = range(ModuleCalls(graph).deepest)
    lang = options.lang
    choices = [(said("modules", lang, depth=depth), replace(plain, depth=depth)) for depth in depths]
    choices.append((said("all ops", lang), replace(plain, depth=None)))
    if options.fold_repeats:
        choices.append((said("repeats", lang), replace(plain, depth=None, fold_repeats=False)))
    scenes: list[tuple[str, Scene]] = []
    for name, choice in choices:
        scene = build(graph, facts, choice)
        if not options.grads:
            for item in scene.items.values():
                item.gradient = item.gradient if item.value and item.gradient != said("no grad", lang) else ""
        if not scenes or _lines(scene) != _lines(scenes[-1][1]):
            scenes.append((name, scene))
    return scenes


def _lines(scene: Scene) -> list[list[str]]:
    return [item.lines for item in scene.items.values()]
