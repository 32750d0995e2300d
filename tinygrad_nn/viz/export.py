"""A graph for other programs: JSON with everything known about it, and Mermaid for Markdown files."""

from __future__ import annotations

from typing import Any

from tinygrad_nn.graph.ir import Call, Graph, Value, call_text, path
from tinygrad_nn.viz.dot import look, texts
from tinygrad_nn.viz.facts import Facts, rules
from tinygrad_nn.viz.scene import Options, Scene

_MERMAID = {
    "input": "[{}]",
    "parameter": "({})",
    "output": "[[{}]]",
    "module": "[/{}/]",
    "constant": "[{}]",
    "state": "[{}]",
    "error": "{{{{{}}}}}",
}


def details(graph: Graph, facts: Facts) -> list[dict[str, Any]]:
    """Return what is known about every value, empty entries left out."""
    labels = graph.labels()
    found = []
    for value in graph.values:
        fact, grad = facts.values.get(value.index), facts.gradients.get(value.index)
        entry = {
            "name": labels[value.index],
            "kind": value.kind,
            "call": call_text(value, labels) if isinstance(value, Call) else "",
            "phase": "" if value.phase == "forward" else value.phase,
            "shape": list(value.shape),
            "dtype": str(value.dtype),
            "module": path(value.scope),
            "operands": list(value.operands) if isinstance(value, Call) else [],
            "value": fact.text if fact else "",
            "alert": (fact.alert + (" starts here" if value.index in facts.origins else "")) if fact else "",
            "gradient": grad.text + (f" ({grad.alert})" if grad.alert else "") if grad else "",
            "rules": _named(value, labels),
            "of": "" if value.of is None else labels[value.of],
        }
        found.append(
            {key: content for key, content in entry.items() if content not in ("", []) or key == "shape"}
        )
    return found


def _named(value: Value, labels: list[str]) -> list[list[str]]:
    """Return the rules of an op with the tensors that their letters stand for."""
    named = rules(value)
    if not isinstance(value, Call) or value.op.variadic:
        return [list(rule) for rule in named]
    who = {name: labels[k] for name, k in zip(value.op.operand_names, value.operands, strict=True)}
    letters = ", ".join(f"{name} is {label}" for name, label in who.items() if name != label)
    return [[who[name], text, f"{place} · {letters}" if letters else place] for name, text, place in named]


def story(facts: Facts) -> list[dict[str, Any]]:
    """Return the steps forward and backward, with the gradients that arrive."""
    return [
        {
            "phase": step.phase,
            "value": step.index,
            "caption": step.caption,
            "arrivals": [
                {
                    "to": a.operand,
                    "before": a.before.text if a.before else "",
                    "added": a.added.text,
                    "total": a.total.text,
                }
                for a in step.arrivals
            ],
        }
        for step in facts.steps
    ]


def as_dict(graph: Graph, facts: Facts, scene: Scene, title: str | None) -> dict[str, Any]:
    """Return the picture and everything behind it as plain data for JSON."""
    groups = scene.groups
    return {
        "title": title or "",
        "notes": scene.notes,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "values": details(graph, facts),
        "steps": story(facts),
        "groups": [
            {"id": g.id, "title": g.title, "parent": groups[g.parent].id if g.parent else None}
            for g in groups.values()
        ],
        "nodes": [
            {
                "id": item.id,
                "kind": look(item),
                "lines": texts(item),
                "group": groups[item.group].id if item.group else None,
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
    inner: dict[Any, list[Any]] = {}
    for call_, group in scene.groups.items():
        inner.setdefault(group.parent, []).append(call_)

    def fill(call_: Any, indent: str) -> None:
        for item in scene.items.values():
            if item.group is call_:
                text = "<br/>".join(map(_quoted, texts(item)))
                lines.append(f"{indent}{item.id}" + _MERMAID.get(look(item), "([{}])").format(f'"{text}"'))
        for child in inner.get(call_, ()):
            lines.append(f'{indent}subgraph {scene.groups[child].id}["{_quoted(scene.groups[child].title)}"]')
            fill(child, indent + "  ")
            lines.append(f"{indent}end")

    fill(None, "  ")
    lines += [f"  {link.tail} {'-.->' if link.kind else '-->'} {link.head}" for link in scene.links]
    dashed = [
        item.id for item in scene.items.values() if look(item) in ("constant", "state", "backward", "update")
    ]
    if dashed:
        lines += ["  classDef dashed stroke-dasharray:5 3", f"  class {','.join(dashed)} dashed"]
    return "\n".join([*lines, *(f"  %% {note}" for note in scene.notes)]) + "\n"


def _quoted(text: str) -> str:
    """Return a text that Mermaid shows as it is."""
    for old, new in (
        ("#", "#35;"),
        ("&", "#amp;"),
        ('"', "#quot;"),
        ("<", "#lt;"),
        (">", "#gt;"),
        ("`", "#96;"),
    ):
        text = text.replace(old, new)
    return text
