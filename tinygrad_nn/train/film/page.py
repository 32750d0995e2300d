"""The page of films: its frames packed, its words, its last frame as still pictures, and the script that plays it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files

from tinygrad_nn.languages import Language
from tinygrad_nn.plot import COLORS
from tinygrad_nn.train.film import still
from tinygrad_nn.train.film.packing import Json
from tinygrad_nn.train.film.phrases import PHRASES
from tinygrad_nn.train.film.recording import Recording
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


def encoded(content: Json) -> str:
    """Return data as JSON that may stand in a page."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace(
        "<", "\\u003c"
    )


def framed(text: str) -> str:
    """Return a page in a frame, for a notebook."""
    return (
        f'<iframe srcdoc="{escape(text)}" width="100%" height="760" '
        'sandbox="allow-scripts allow-downloads" style="border:0" title="film"></iframe>'
    )


def _written(recordings: Sequence[Recording], lang: Language, most: int, stills: str, live: bool) -> str:
    style, script = _style(), _asset("film.js")
    allowed = f"style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:"
    if live:
        allowed += "; connect-src 'self'"
    words = _words(lang)
    titles = [recording.title for recording in recordings if recording.title]
    fields = {
        "POLICY": f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'",
        "LANG": lang,
        "LIVE": "live" if live else "",
        "TITLE": escape(" | ".join(titles) or words["film"]),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": encoded(data(recordings, lang, most)),
        "STILL": f"<p>{escape(words['still'])}</p>\n{stills}",
        **{name: escape(text) for name, text in words.items()},
    }
    parts = _asset("film.html").split("@@")
    return "".join(fields[part] if k % 2 else part for k, part in enumerate(parts))


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
        f"<li>{escape(f'{f.name} {f.module} {f.text} {f.line}')}</li>" for f in recording.findings
    )
    parts = [
        f"<h2>{escape(recording.title)}</h2><p>{escape(facts)}</p>",
        f'<div class="figures">{"".join(figures)}</div>',
    ]
    parts += (
        [f"<h3>{escape(PHRASES['history'][lang])}</h3>", still.table(recording)] if recording.epochs else []
    )
    parts += [f"<h3>{escape(PHRASES['findings'][lang])}</h3><ul>{found}</ul>"] if found else []
    return "\n".join(parts)


def _words(lang: Language) -> dict[str, str]:
    return {name: texts[lang] for name, texts in PHRASES.items() if not name.startswith("note-")}


@cache
def _asset(name: str) -> str:
    return files("tinygrad_nn.train.film").joinpath("assets", name).read_text(encoding="utf-8").strip()


@cache
def _style() -> str:
    blocks = []
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        variables = "".join(f"--{key}:{value};" for key, value in colours.items())
        blocks.append(f":root[data-theme={name}]{{color-scheme:{name};{variables}}}")
    return "\n".join([*blocks, _asset("film.css")])


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
