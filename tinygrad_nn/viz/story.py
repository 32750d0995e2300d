"""The computation as a story in text: values forward, then gradients backward, with numbers and shapes."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.graph.ir import Call, Graph
from tinygrad_nn.languages import Language, Phrases, phrase
from tinygrad_nn.viz.facts import Facts, assignment
from tinygrad_nn.viz.lines import file_names, place, text_of
from tinygrad_nn.viz.wording import said

PHRASES: Phrases = {
    "forward": {"en": "forward", "ja": "順伝播"},
    "backward": {
        "en": "backward, from the gradient 1 of {loss}; g is the gradient of an op's own result y",
        "ja": "誤差逆伝播：{loss} の勾配 1 から。g は各演算の結果 y の勾配",
    },
    "entry": {"en": "for example {at}: {calculation}", "ja": "たとえば {at}：{calculation}"},
    "update": {"en": "update", "ja": "更新"},
    "backward step": {"en": "backward", "ja": "逆伝播"},
    "gradient of": {"en": "gradient of", "ja": "勾配"},
    "was": {"en": "was", "ja": "これまで"},
    "arrives": {"en": "arrives", "ja": "届いた分"},
    "is now": {"en": "is now", "ja": "合計"},
    "entries": {
        "en": "Entries of what {{who}} gets: choose one",
        "ja": "{{who}} に届いた勾配の成分（選ぶと計算を表示）",
    },
    "begin": {
        "en": "Press → or Play to walk through the computation.",
        "ja": "→ キーか「再生」で、計算を一つずつたどれます。",
    },
    "begin both": {
        "en": "Press → or Play to walk through the computation, forward and then backward.",
        "ja": "→ キーか「再生」で、順伝播から誤差逆伝播まで一つずつたどれます。",
    },
}


def walkthrough(graph: Graph, facts: Facts, lang: Language) -> str:
    """Return the computation as text: values forward, then gradients backward, with numbers and shapes."""
    labels, files = graph.labels(), file_names(graph)
    rows = []
    for value in graph.values:
        if value.index in facts.values and isinstance(value.data, np.ndarray | None):
            line = assignment(value, labels) if isinstance(value, Call) else labels[value.index]
            source = f"{place(value, files)}: {text_of(value.line)}" if value.line is not None else ""
            parts = (facts.values[value.index].text(lang), facts.alert(value.index, lang), source)
            rows.append((line, str(value.shape), "   ".join(filter(None, parts))))
    widths = [max((len(row[k]) for row in rows), default=0) for k in (0, 1)]
    lines = [
        phrase(PHRASES, "forward", lang),
        *(f"  {a:<{widths[0]}}   {b:<{widths[1]}}   {c}" for a, b, c in rows),
    ]
    backwards = [step for step in facts.steps if step.arrivals]
    if backwards:
        lines.append(phrase(PHRASES, "backward", lang, loss=labels[graph.outputs[0]]))
    for step in backwards:
        lines.append(f"  {labels[step.index]}   {step.caption(lang)}")
        for arrival in step.arrivals:
            name = labels[arrival.operand]
            before, added, total = (x.text(lang) for x in (arrival.before, arrival.added, arrival.total))
            terms = f"{before}  +  {added}  =  " if before else ""
            lines.append(f"      {name} {graph.values[arrival.operand].shape}: {terms}{total}")
            if largest := arrival.handing.largest(lang):
                at = f"{name}[{', '.join(map(str, largest.index))}]"
                lines.append("        " + phrase(PHRASES, "entry", lang, at=at, calculation=largest.line()))
    return "\n".join([*lines, *(said("note", lang, note=note) for note in facts.told(lang))])


def words(lang: Language) -> dict[str, object]:
    """Return what the player says besides captions."""
    names = ("forward", "update", "entries", "begin", "begin both")
    return {name: phrase(PHRASES, name, lang) for name in names} | {
        "backward": phrase(PHRASES, "backward step", lang),
        "heads": [phrase(PHRASES, name, lang) for name in ("gradient of", "was", "arrives", "is now")],
    }
