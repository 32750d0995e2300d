"""From a scene to other programs: JSON with everything known about a graph, and Mermaid for Markdown files."""

from __future__ import annotations

from tinygrad_nn.graph.ir import Call, Graph, call_text, path, told_operands
from tinygrad_nn.languages import Language
from tinygrad_nn.viz.captions import rules
from tinygrad_nn.viz.facts import Arrival, Fact, Facts
from tinygrad_nn.viz.lines import file_names, place
from tinygrad_nn.viz.module_calls import Frame
from tinygrad_nn.viz.options import Options
from tinygrad_nn.viz.scene import Scene
from tinygrad_nn.viz.wording import said

_MERMAID = {
    "input": "[{}]",
    "parameter": "({})",
    "output": "[[{}]]",
    "module": "[/{}/]",
    "constant": "[{}]",
    "state": "[{}]",
    "error": "{{{{{}}}}}",
}
# Gradients of which several entries are told: of more, each has its largest entry alone.
_MOST_ARRIVALS = 60
# Their borders are dashed.
_DASHED = ("constant", "state", "backward", "update")
# What Mermaid shows as the character itself.
_SHOWN_AS = str.maketrans({"#": "#35;", "&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;"})


def details(graph: Graph, facts: Facts, lang: Language = "en") -> list[dict[str, object]]:
    """Return what is known about every value, empty entries left out."""
    labels, files = graph.labels(), file_names(graph)
    told = {k for call in graph.ops for k in told_operands(call)}
    entries: list[dict[str, object]] = []
    for value in graph.values:
        if value.kind == "state" and value.index not in told:
            # The others keep their places.
            entries.append({"shape": []})
            continue
        gradient = facts.gradients.get(value.index, Fact())
        arrived, alert = gradient.text(lang), gradient.alert(lang)
        entry: dict[str, object] = {
            "name": labels[value.index],
            "kind": said(f"kind {value.kind}", lang) if lang != "en" else value.kind,
            "call": call_text(value, labels) if isinstance(value, Call) else "",
            "phase": "" if value.phase == "forward" else said(value.phase, lang),
            "shape": list(value.shape),
            "dtype": str(value.dtype),
            "module": path(value.scope),
            "line": place(value, files),
            "operands": told_operands(value) if isinstance(value, Call) else [],
            "value": facts.values.get(value.index, Fact()).text(lang),
            "alert": facts.alert(value.index, lang),
            "gradient": f"{arrived} ({alert})" if alert else arrived,
            "rules": rules(graph, value, labels, lang),
            "of": "" if value.of is None else labels[value.of],
        }
        entries.append({key: part for key, part in entry.items() if part not in ("", []) or key == "shape"})
    return entries


def steps(facts: Facts, lang: Language = "en") -> list[dict[str, object]]:
    """Return the steps forward and backward, with the gradients that arrive."""
    several = sum(len(step.arrivals) for step in facts.steps) <= _MOST_ARRIVALS
    return [
        {
            "phase": step.phase,
            "value": step.index,
            "caption": step.caption(lang),
            "letters": step.legend(lang),
            "arrivals": [_arrival(arrival, several, lang) for arrival in step.arrivals],
        }
        for step in facts.steps
    ]


def _arrival(arrival: Arrival, several: bool, lang: Language) -> dict[str, object]:
    """Return a gradient that arrived, with calculations of several of its entries, or of the largest one."""
    told: dict[str, object] = {
        "to": arrival.operand,
        "before": arrival.before.text(lang),
        "added": arrival.added.text(lang),
        "total": arrival.total.text(lang),
    }
    largest = arrival.handing.largest(lang)
    if largest is not None:
        entries = arrival.handing.entries(lang) if several else [largest]
        told["entries"] = [[", ".join(map(str, e.index)), e.text, e.calculation] for e in entries]
        told["largest"] = entries.index(largest)
    return told


def as_dict(graph: Graph, facts: Facts, scene: Scene, title: str | None) -> dict[str, object]:
    """Return the picture and everything behind it as plain data for JSON."""
    ids: dict[Frame | None, str | None] = {frame: group.id for frame, group in scene.groups.items()}
    ids[None] = None
    return {
        "title": title or "",
        "notes": scene.notes,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "values": details(graph, facts),
        "steps": steps(facts),
        "groups": [
            {"id": group.id, "title": group.title, "parent": ids[group.parent]}
            for group in scene.groups.values()
        ],
        "nodes": [
            {
                "id": item.id,
                "kind": item.drawn_as,
                "lines": item.texts(),
                "group": ids[item.group],
                "values": item.values,
            }
            for item in scene.items.values()
        ],
        "links": [
            {"tail": link.tail, "head": link.head, "kind": link.kind or "data"} for link in scene.links
        ],
    }


def mermaid(scene: Scene, options: Options) -> str:
    """Return the picture as a Mermaid flowchart, which GitHub and many editors draw."""
    lines = [f"flowchart {options.direction}"]
    contents = scene.contents()

    def fill(frame: Frame | None, indent: str) -> None:
        items, groups = contents[frame]
        for item in items:
            text = "<br/>".join(text.translate(_SHOWN_AS) for text in item.texts())
            lines.append(f"{indent}{item.id}" + _MERMAID.get(item.drawn_as, "([{}])").format(f'"{text}"'))
        for inner, group in groups:
            lines.append(f'{indent}subgraph {group.id}["{group.title.translate(_SHOWN_AS)}"]')
            fill(inner, indent + "  ")
            lines.append(f"{indent}end")

    fill(None, "  ")
    lines += [f"  {link.tail} {'-.->' if link.kind else '-->'} {link.head}" for link in scene.links]
    dashed = [item.id for item in scene.items.values() if item.drawn_as in _DASHED]
    if dashed:
        lines += ["  classDef dashed stroke-dasharray:5 3", f"  class {','.join(dashed)} dashed"]
    return "\n".join([*lines, *(f"  %% {note}" for note in scene.notes)]) + "\n"
