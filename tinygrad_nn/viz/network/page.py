"""The page of a network: the picture, all numbers of its neurons, and the steps to walk through."""

from __future__ import annotations

from html import escape

from tinygrad_nn.viz.document import document, variables
from tinygrad_nn.viz.network import drawing, numbers
from tinygrad_nn.viz.network.sheet import Sheet
from tinygrad_nn.viz.network.words import PHRASES
from tinygrad_nn.viz.page import ASSETS
from tinygrad_nn.viz.theme import DARK, LIGHT

_SCRIPTS = ("common.js", "numbers.js", "saving.js", "network.js")
_STYLES = ("page.css", "network.css")
# What the script says by itself.
_SCRIPTED = (
    *(
        "bias b",
        "came from",
        "dark",
        "delta of row",
        "from",
        "from box",
        "given value",
        "gradient from",
        "input",
    ),
    *("its weights", "light", "neuron", "of", "others", "overview", "pause", "play", "row softmax", "to"),
    *("unreached", "weight", "went back", "forward", "backward"),
)


def page(sheet: Sheet, summary: str, text: str) -> str:
    """Return the whole page; it loads nothing, and its policy forbids that it could."""
    left, top, wide, high = drawing.frame(sheet)
    w, h = round(wide) + 28, round(high) + 28
    box = f"{left - 14:.0f} {top - 14:.0f} {w} {h}"
    lang = sheet.choices.lang
    name = sheet.choices.title or sheet.say("title")
    picture = (
        f'<svg class="level drawn" id="v-" width="{w}" height="{h}" viewBox="{box}" data-box="{box}" role="group" '
        f'aria-label="{escape(name)}">\n'
        f"{drawing.drawing(sheet, 'v-', 0, 0)}\n</svg>"
    )
    back = sheet.walk.loss is not None
    rows, notes = sheet.walk.chain.rows, sheet.notes()
    if sheet.examples < rows:
        notes.append(sheet.say("examples left out", shown=sheet.examples, rows=rows))
    data = {
        "places": numbers.places(sheet),
        "steps": [{"phase": s.phase, "place": s.place, "caption": s.caption} for s in sheet.steps],
        "examples": sheet.examples,
        "theme": sheet.choices.theme,
        "words": {key: PHRASES[key][lang] for key in _SCRIPTED},
        "start": sheet.say("go", back=sheet.say("and back") if back else ""),
    }
    samples = zip(drawing.legend(sheet), drawing.legend(sheet, len(sheet.steps)), strict=True)
    fields = {
        "LANG": lang,
        "TITLE": escape(name),
        "DRAWING": picture,
        "SUMMARY": escape(summary),
        "NOTES": "".join(f"<p>{escape(note)}</p>" for note in notes),
        "LEGEND": "".join(_entry(sample, said, back) for (sample, said), (_, back) in samples),
        "TEXT": escape(text),
    }
    fields |= {key: escape(texts[lang]) for key, texts in PHRASES.items()}
    themes = (known | drawing.COLOURS[theme] for theme, known in (("light", LIGHT), ("dark", DARK)))
    css = drawing.styles("page", ".drawn") + "\n" + variables(*themes)
    return document(ASSETS, "network.html", fields, styles=_STYLES, css=css, scripts=_SCRIPTS, data=data)


def _entry(sample: str, said: str, back: str) -> str:
    """Return an entry of the legend, with what it says forward, and on the way back."""
    drawn = f'<svg class="drawn" viewBox="-1 -10 32 20" aria-hidden="true">{sample}</svg>'
    return f'<li data-back="{escape(back)}">{drawn} <span>{escape(said)}</span></li>'
