"""The page of films: its frames packed, its words, its last frame as still pictures, and the script that plays it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tinygrad_nn.languages import Language
from tinygrad_nn.plot import COLORS
from tinygrad_nn.train.film import still
from tinygrad_nn.train.film.packing import Json
from tinygrad_nn.train.film.phrases import PHRASES
from tinygrad_nn.train.film.recording import Recording
from tinygrad_nn.viz.document import document, variables
from tinygrad_nn.viz.theme import DARK, LIGHT

SIZE = 2_000_000
"""Bytes of a page at most: of a larger one frames are left out, which the page says."""

LIVE_FRAMES = 150
"""Frames of a page that follows a training, which are sent again and again."""
_LEAST = 10


def page(recordings: Sequence[Recording], lang: Language, *, live: bool = False) -> str:
    """Return the whole page; unless it is live it loads nothing, and its policy forbids that it could."""
    stills = "\n".join(map(_still, recordings))
    most = max((len(recording.frames) for recording in recordings), default=0)
    while True:
        text = _written(recordings, lang, most, stills, live)
        if len(text) <= SIZE or most <= _LEAST:
            return text
        most = max(_LEAST, int(most * min(0.9, SIZE / len(text))))


def data(recordings: Sequence[Recording], lang: Language, most: int) -> Json:
    """Return what the script plays."""
    films = [recording.packed(recording.thinned(most)) for recording in recordings if recording.frames]
    words = _words(lang)
    return {"films": films, "words": words, "colours": list(COLORS)}


def framed(text: str) -> str:
    """Return a page in a frame, for a notebook."""
    return (
        f'<iframe srcdoc="{escape(text)}" width="100%" height="760" '
        'sandbox="allow-scripts allow-downloads" style="border:0" title="film"></iframe>'
    )


def _written(recordings: Sequence[Recording], lang: Language, most: int, stills: str, live: bool) -> str:
    words = _words(lang)
    titles = [recording.title for recording in recordings if recording.title]
    fields = {
        "LANG": lang,
        "LIVE": "live" if live else "",
        "TITLE": escape(" | ".join(titles) or words["film"]),
        "STILL": f"<p>{escape(words['still'])}</p>\n{stills}",
        **{name: escape(text) for name, text in words.items()},
    }
    return document(
        "train/film/assets",
        "film.html",
        fields,
        styles=["film.css"],
        css=variables(LIGHT, DARK),
        scripts=["film.js"],
        data=data(recordings, lang, most),
        allowed="; connect-src 'self'" if live else "",
    )


def _still(recording: Recording) -> str:
    """Return the last frame as pictures, with the curves and the table of the history."""
    if not recording.frames:
        return ""
    lang, last = recording.lang, recording.frames[-1]
    named = {"step": last.step, "epoch": last.epoch, "rate": last.rate}
    facts = ", ".join(f"{PHRASES[name][lang]} {value:.6g}" for name, value in named.items())
    figures = [
        f'<figure><img src="{still.png(picture)}" alt="{escape(PHRASES[part][lang])}"><figcaption>'
        f"{escape(PHRASES[part][lang])}</figcaption></figure>"
        for part, picture in still.Painter(recording).pictures(-1).items()
    ]
    figures += [
        f"<figure>{still.curve(values, name)}<figcaption>{escape(name)}: "
        f"{values[0]:.4g} → {values[-1]:.4g}</figcaption></figure>"
        for name, values in recording.steps.items()
    ]
    found = "".join(
        f"<li>{escape(f'{f.name} ({f.module}) {f.text} {f.line}'.replace(' ()', ''))}</li>"
        for f in recording.findings
    )
    parts = [
        f"<h2>{escape(recording.title)}</h2><p>{escape(facts)}</p>",
        f'<div class="figures">{"".join(figures)}</div>',
    ]
    parts += (
        [f"<h3>{escape(PHRASES['history'][lang])}</h3>", still.table(recording, PHRASES["epoch"][lang])]
        if recording.epochs
        else []
    )
    parts += [f"<h3>{escape(PHRASES['findings'][lang])}</h3><ul>{found}</ul>"] if found else []
    return "\n".join(parts)


def _words(lang: Language) -> dict[str, str]:
    return {name: texts[lang] for name, texts in PHRASES.items() if not name.startswith("note-")}
